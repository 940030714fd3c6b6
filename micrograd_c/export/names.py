# SPDX-License-Identifier: MIT
"""What parameters are called: by the modules, lists and variables that hold them.

Parameters become arrays: a layer's weights are one, and so are a list of Values, and a list of such
lists. Those that nobody is found to hold are arrays by their use, or elements of the array `p`.
"""

import keyword
import re
import sys
import types
import unicodedata
from collections import deque
from collections.abc import Iterable
from functools import partial
from typing import Any, NamedTuple

from .._core import Value
from ..nn import Layer
from . import cells
from .references import Shape

MOST_PARTS = 100_000  # of what a function refers to, looked at for parameters

# Names of the languages' own, and of what is printed.
_RESERVED = """
auto break case char const continue default do double else enum extern float for goto if inline
int long register restrict return short signed sizeof static struct switch typedef union
unsigned void volatile while alignas alignof constexpr false nullptr static_assert thread_local true
typeof typeof_unqual asm linux unix i386 main NULL NAN INFINITY HUGE_VAL EOF
signgam gamma lgamma tgamma j0 j1 jn y0 y1 yn fabs fmax fmin fma ldexp frexp modf scalbn logb
ilogb rint lrint llrint round lround llround trunc nearbyint remainder remquo drem copysign nan
nextafter fdim sincos pow10 significand finite isinf isnan isfinite isnormal signbit fpclassify
size_t ptrdiff_t wchar_t max_align_t offsetof arccos arcsin arctan
np jnp jax math torch numpy collections self super len print float int max min abs sum range
list tuple dict object type bool samples values
take look_up scatter floats philox normal uniform poly log_of
"""

# Members of PyTorch's modules, which are no names of parameters.
_MEMBERS = """
T_destination add_module apply bfloat16 buffers call_super_init children compile cpu cuda double
dump_patches eval extra_repr float forward get_buffer get_extra_state get_parameter
get_submodule half ipu load_state_dict modules mtia named_buffers named_children named_modules
named_parameters register_backward_hook register_buffer register_forward_hook
register_forward_pre_hook register_full_backward_hook register_full_backward_pre_hook
register_load_state_dict_post_hook register_load_state_dict_pre_hook register_module
register_parameter register_state_dict_post_hook register_state_dict_pre_hook requires_grad_
set_extra_state set_submodule share_memory state_dict to to_empty train training xpu zero_grad
"""

# Functions of C's library that a function of this name would replace.
LIBRARY = """
abort atexit atof atoi atol bsearch calloc close div exit fclose fopen fprintf fputc fputs fread
free fscanf fwrite getc getchar getenv index isalnum isalpha isblank iscntrl isdigit isgraph
islower isprint ispunct isspace isupper isxdigit labs malloc memchr memcmp memcpy memmove memset
open printf putc putchar puts qsort raise rand read realloc remove rename rindex scanf signal
snprintf sprintf srand sscanf strcat strchr strcmp strcpy strlen strncmp system time tolower
toupper vprintf write
"""

# Variables of the printed functions.
LOCAL = ("parameters", "loss", "grad")


class Names:
    """Names that are given once."""

    def __init__(self, *others: str, members: bool = False) -> None:
        """others: names that nobody gets, besides those of all languages; members: nor those of
        members of modules."""
        self._taken = {*_RESERVED.split(), *cells.ROWS, *keyword.kwlist, *keyword.softkwlist}
        self._taken.update(others, _MEMBERS.split() if members else ())

    def take(self, wanted: str, otherwise: str = "x") -> str:
        """A name like this one that nobody has, in every language."""
        plain = wanted.replace("\N{LATIN SMALL LETTER DOTLESS I}", "i")
        plain = unicodedata.normalize("NFKD", plain)
        plain = "".join(c for c in plain if not unicodedata.combining(c))
        name = re.sub(r"[^0-9A-Za-z_]+", "_", plain).strip("_") or otherwise
        if name[0].isdigit():
            name = otherwise + name
        found, count = name, 2
        while found in self._taken:
            found, count = (f"{name}_", 2) if found == name else (f"{name}_{count}", count + 1)
        self._taken.add(found)
        return found


class Array(NamedTuple):
    """Parameters that stand together, and what they are called."""

    path: str
    shape: Shape
    values: list[Value]


def arrays_of(fn: Any, parameters: Iterable[Value]) -> list[Array]:
    """Arrays of those of the parameters that somebody is found to hold; each is in one."""
    missing = {id(value): value for value in parameters}
    found: list[tuple[int, Array]] = []
    seen: dict[int, Any] = {}
    queue: deque[tuple[str, Any, int]] = deque([("", fn, 0)])
    while queue and len(seen) < MOST_PARTS:
        path, part, depth = queue.popleft()
        if id(part) in seen:
            continue
        seen[id(part)] = part  # kept: an id is not used again
        for rank, array in _arrays_in(path, part, depth):
            if any(id(value) in missing for value in array.values):
                found.append((rank, array))
        for name, item in _parts(part):
            queue.append((".".join(filter(None, (path, name))), item, depth + 1))
    chosen: list[Array] = []
    taken: set[int] = set()
    for _, array in sorted(found, key=lambda pair: pair[0]):
        own = set(map(id, array.values))
        is_read = 2 * len(own & missing.keys()) > len(own)  # most of it
        if is_read and len(own) == len(array.values) and not own & taken:
            chosen.append(array)
            taken |= own
    return [array._replace(path=path) for array, path in zip(chosen, _short(chosen), strict=True)]


def _arrays_in(path: str, part: Any, depth: int) -> Iterable[tuple[int, Array]]:
    """The arrays that a part is, the more telling ones of lower rank."""
    if isinstance(part, Value):
        yield 2 if depth == 1 else 4, Array(path, (), [part])
    elif isinstance(part, Layer):
        rows = [list(neuron.w) for neuron in part.neurons]
        biases = [neuron.b for neuron in part.neurons]
        prefix = f"{path}." if path else ""
        if _is_regular(rows):
            yield 0, _matrix(f"{prefix}w", rows)
        if biases and all(isinstance(bias, Value) for bias in biases):
            yield 0, Array(f"{prefix}b", (len(biases),), biases)
    elif isinstance(part, list | tuple):
        if part and all(isinstance(item, Value) for item in part):
            yield 3, Array(path, (len(part),), list(part))
        elif part and all(isinstance(item, list | tuple) for item in part) and _is_regular(part):
            yield 1, _matrix(path, part)
    elif _is_of_objects(part) and part.ndim in (1, 2):
        values = list(part.flat)
        if values and all(isinstance(value, Value) for value in values):
            yield 3 if part.ndim == 1 else 1, Array(path, tuple(part.shape), values)


def _is_of_objects(part: Any) -> bool:
    """Whether it is a NumPy array of objects."""
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(part, numpy.ndarray) and part.dtype.kind == "O"


def _is_regular(rows: Any) -> bool:
    return bool(
        rows
        and rows[0]
        and all(
            len(row) == len(rows[0]) and all(isinstance(item, Value) for item in row)
            for row in rows
        )
    )


def _matrix(path: str, rows: Any) -> Array:
    return Array(path, (len(rows), len(rows[0])), [value for row in rows for value in row])


def _parts(part: Any) -> Iterable[tuple[str, Any]]:
    """What a part holds or refers to, by name."""
    if isinstance(part, Value | type | types.ModuleType | types.BuiltinFunctionType):
        return []
    if isinstance(part, dict):
        return [(str(key), item) for key, item in part.items()]
    if isinstance(part, list | tuple | deque):
        numbers = isinstance(part[0], int | float | str) if part else True
        return [] if numbers else [(str(k), item) for k, item in enumerate(part)]
    if isinstance(part, types.MethodType):
        return [("", part.__self__), ("", part.__func__)]
    if isinstance(part, partial):
        names = getattr(getattr(part.func, "__code__", None), "co_varnames", ())
        bound = zip(names, part.args, strict=False)
        return [("", part.func), *bound, *part.keywords.items(), ("", part.args)]
    if isinstance(part, types.FunctionType):
        return _referred(part)
    if _is_of_objects(part):
        return [(str(k), item) for k, item in enumerate(part.flat)]
    if type(part).__module__ in ("builtins", "numpy"):
        return []
    items = list(part.__dict__.items()) if isinstance(getattr(part, "__dict__", 0), dict) else []
    for base in type(part).__mro__:
        slots = base.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in ("__dict__", "__weakref__") and hasattr(part, name):
                items.append((name, getattr(part, name)))
    return [(name.lstrip("_"), item) for name, item in items if name != "__wrapped__"]


def _referred(fn: types.FunctionType) -> list[tuple[str, Any]]:
    """What a function's code can reach: variables around it, globals that it names, defaults."""
    found: list[tuple[str, Any]] = []
    for name, cell in zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=True):
        try:
            found.append((name, cell.cell_contents))
        except ValueError:  # nothing is in it yet
            continue
    codes = deque([fn.__code__])
    while codes:
        code = codes.popleft()
        found += [(n, fn.__globals__[n]) for n in code.co_names if n in fn.__globals__]
        codes += [each for each in code.co_consts if isinstance(each, types.CodeType)]
    count = len(fn.__defaults__ or ())
    names = fn.__code__.co_varnames[: fn.__code__.co_argcount][-count:] if count else ()
    found += zip(names, fn.__defaults__ or (), strict=True)
    found += (fn.__kwdefaults__ or {}).items()
    return [
        ("" if isinstance(item, types.FunctionType | types.MethodType) else name, item)
        for name, item in found
    ]


def _short(arrays: list[Array]) -> list[str]:
    """The arrays' paths, without the model's name where all are parts of one model."""
    paths = [array.path.split(".") for array in arrays]
    if len({path[0] for path in paths}) == 1 and all(
        len(path) > 2 and not path[1].isdigit() for path in paths
    ):
        paths = [path[1:] for path in paths]
    return [".".join(path) for path in paths]


def numbers_of(array: Array) -> Any:
    """The parameters' numbers, as nested lists."""
    data = [value.data for value in array.values]
    if not array.shape:
        return data[0]
    if len(array.shape) == 1:
        return data
    n = array.shape[1]
    return [data[k : k + n] for k in range(0, len(data), n)]
