# SPDX-License-Identifier: MIT
"""Random numbers in NumPy, JAX and PyTorch: drawn by each one's own generator, before all else."""

from collections.abc import Iterable, Sequence

from .dialects import Dialect
from .references import Block

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
    blocks: Sequence[Block], dialect: Dialect, size: str, like: str
) -> Iterable[tuple[str, str]]:
    """Names and texts of the blocks' numbers. size: how many samples there are; like: an array, of
    whose dtype and on whose device numbers are; or no name."""
    keys = ["key"]
    if dialect.name == "jax" and len(blocks) > 1:
        keys = [f"key_{block.name}" for block in blocks]
        yield ", ".join(keys), f"jax.random.split(key, {len(keys)})"
    dtype = {"jax": f", {like}.dtype", "torch": f", dtype={like}.dtype, device={like}.device"}
    for k, block in enumerate(blocks):
        sizes = [size, *map(str, block.shape)]
        shape = ", ".join(sizes)
        if dialect.name != "torch" and (len(sizes) > 1 or dialect.name == "jax"):
            shape = f"({shape})" if len(sizes) > 1 else f"({shape},)"
        text = _CALLS[dialect.name, block.kind].format(
            shape=shape, key=keys[k % len(keys)], dtype=dtype.get(dialect.name, "") if like else ""
        )
        yield block.name, text
