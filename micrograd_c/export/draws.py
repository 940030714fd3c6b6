# SPDX-License-Identifier: MIT
"""Random numbers in NumPy, JAX and PyTorch: drawn by each one's own generator, before all else.

What the bodies of loops draw, a derivative's loop finds again. So NumPy and PyTorch draw the
numbers of all steps at once; JAX draws each step's from a key of its own, as often as asked.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .dialects import Dialect
from .names import Names
from .references import Block


@dataclass(eq=False)
class Stream:
    """What bodies draw that have so many steps, together. numbers: which of the draws in bodies."""

    kind: str
    n_steps: int
    numbers: list[int]
    name: str


# A further argument, what it is, and what draws numbers.
ARGUMENTS = {
    "numpy": "rng",
    "jax": "key",
    "torch": "generator",
}
WHAT = {
    "numpy": "rng: a numpy.random.Generator, by whose own numbers it draws.",
    "jax": "key: of jax.random, by whose own numbers it draws.",
    "torch": "generator: a torch.Generator, by whose own numbers it draws; None: PyTorch's.",
}
_CALLS = {
    ("numpy", "normal"): "rng.standard_normal({shape})",
    ("numpy", "uniform"): "rng.random({shape})",
    ("jax", "normal"): "jax.random.normal({key}, {shape}{dtype})",
    ("jax", "uniform"): "jax.random.uniform({key}, {shape}{dtype})",
    ("torch", "normal"): "torch.randn({shape}, generator=generator{dtype})",
    ("torch", "uniform"): "torch.rand({shape}, generator=generator{dtype})",
}


def statements(
    blocks: Sequence[Block],
    streams: Sequence[Stream],
    dialect: Dialect,
    size: str,
    like: str,
    keys: dict[str, str],
) -> Iterable[tuple[str, str]]:
    """Names and texts of the blocks' numbers, and of what streams are in the language. size: how
    many samples there are; like: an array, of whose dtype and on whose device numbers are; or no
    name."""
    is_jax = dialect.name == "jax"
    if is_jax and len(keys) > 1:
        yield ", ".join(keys.values()), f"jax.random.split(key, {len(keys)})"
    for block in blocks:
        sizes = [size, *map(str, block.shape)]
        yield block.name, call(dialect, block.kind, sizes, like, keys[block.name])
    for stream in [] if is_jax else streams:
        sizes = [str(stream.n_steps), size]
        sizes += [str(len(stream.numbers))] if len(stream.numbers) > 1 else []
        yield stream.name, call(dialect, stream.kind, sizes, like)


def keys_of(blocks: Sequence[Block], streams: Sequence[Stream], names: Names) -> dict[str, str]:
    """JAX's keys, by the names of what they are for."""
    found = [*[block.name for block in blocks], *[stream.name for stream in streams]]
    return {name: names.take(f"key_{name}") if len(found) > 1 else "key" for name in found}


def call(dialect: Dialect, kind: str, sizes: Sequence[str], like: str, key: str = "") -> str:
    """What draws an array."""
    shape = ", ".join(sizes)
    if dialect.name != "torch" and (len(sizes) > 1 or dialect.name == "jax"):
        shape = f"({shape})" if len(sizes) > 1 else f"({shape},)"
    dtype = {"jax": f", {like}.dtype", "torch": f", dtype={like}.dtype, device={like}.device"}
    more = dtype.get(dialect.name, "") if like else ""
    return _CALLS[dialect.name, kind].format(shape=shape, key=key, dtype=more)
