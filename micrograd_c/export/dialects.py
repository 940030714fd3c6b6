# SPDX-License-Identifier: MIT
"""What languages call the rows of the operation table; and expressions in them.

A dialect is a small table. A row that it does not name becomes a function of the printed source,
whose body is the row's cell; so a new row can be printed everywhere, and what is named here is what
a language has itself, with the same numbers (tests compare each row in each).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from . import cells

# How closely operators bind.
CHOICE, COMPARISON, SUM, PRODUCT, SIGN, POWER, ATOM = range(7)

# What all have: row -> (operator, how closely it binds).
_OPERATORS = {
    "add": ("+", SUM),
    "sub": ("-", SUM),
    "mul": ("*", PRODUCT),
    "truediv": ("/", PRODUCT),
}


class Text(NamedTuple):
    """An expression, how closely its operator binds, and what it is: a number; of what is 1 or 0 by
    a comparison, that comparison."""

    text: str
    binding: int = ATOM
    condition: str = ""
    number: float | None = None

    def within(self, binding: int) -> str:
        """In parentheses where what is around it binds closer than it does."""
        return self.text if self.binding >= binding else f"({self.text})"


@dataclass(frozen=True)
class Dialect:
    """rows: what the language calls them; `prefix` stands in front where no dot is in the name."""

    name: str
    prefix: str
    rows: Mapping[str, str]
    choice: str = "{prefix}where({condition}, {chosen}, {other})"
    infinity: str = "{prefix}inf"
    nan: str = "{prefix}nan"
    function: str = "def {name}({names}):\n    return {body}"
    argument: str = "{}"
    has_power: bool = True  # as an operator
    takes_numbers: bool = True  # functions do, where arrays can stand
    kept: frozenset[str] = frozenset()  # rows that do not only give what they get: detach
    helpers: Mapping[str, str] = field(default_factory=dict)  # functions that have no cell

    def number(self, number: float, exponent: bool = False) -> Text:
        if exponent and number == int(number) and abs(number) < 100:
            text = str(int(number))
        elif math.isfinite(number):
            text = repr(float(number))
        else:
            text = (self.nan if math.isnan(number) else self.infinity).format(prefix=self.prefix)
            text = f"-{text}" if number < 0 else text
        binding = SIGN if text.startswith("-") else ATOM
        return Text(text, binding, number=number)


class Expressions:
    """Expressions of a dialect; keeps the functions that they need, in order."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self.functions: dict[str, str] = {}
        self.first = ""  # of what is printed, an array of a sample's numbers: for as_array

    def row(self, row: str, operands: Sequence[Text]) -> Text:
        """A row of the table on operands; a scaled row's number is one, too."""
        dialect = self.dialect
        if row in cells.COMPARISONS:
            return self.choice(
                self.compare(cells.COMPARISONS[row], *operands),
                dialect.number(1.0),
                dialect.number(0.0),
            )
        if row == "where":
            condition = operands[0].condition or f"{operands[0].within(SUM)} > 0"
            return self.choice(condition, *operands[1:])._replace(condition="")
        if row in _OPERATORS:
            sign, binding = _OPERATORS[row]
            left, right = operands[0].within(binding), operands[1].within(binding + 1)
            return Text(f"{left} {sign} {right}", binding)
        if row == "neg":
            return Text(f"-{operands[0].within(SIGN + 1)}", SIGN)
        if row in ("pow", "pow_number") and dialect.has_power:
            exponent = operands[1]
            if exponent.number is not None and math.isfinite(exponent.number):
                exponent = dialect.number(exponent.number, exponent=True)
            base = operands[0].within(POWER + 1)
            return Text(f"{base} ** {exponent.within(SIGN)}", POWER)
        if row in ("same", "detach") and row not in dialect.rows:
            return operands[0]
        name = dialect.rows.get(row)
        if name is None:
            name = self.helper(row) if row in dialect.helpers else self._defined(row)
        elif "." not in name:
            name = dialect.prefix + name
        if cells.ROWS[row]["shape"] == "scaled":
            operands = [operands[0], operands[1]._replace(number=None)]
        if name.startswith("."):  # a method
            return Text(f"{operands[0].within(ATOM)}{name}()")
        return Text(f"{name}({', '.join(self._arrays(operands))})")

    def _arrays(self, operands: Sequence[Text]) -> list[str]:
        """Operands of a call, numbers as arrays where the language asks for that."""
        if self.dialect.takes_numbers or not self.first:
            return [operand.text for operand in operands]
        return [
            operand.text if operand.number is None else self.as_array(operand.text)
            for operand in operands
        ]

    def as_array(self, number: str) -> str:
        return number if self.dialect.takes_numbers else f"{self.first}.new_tensor({number})"

    def compare(self, sign: str, left: Text, right: Text) -> str:
        if left.number is not None and right.number is None:  # 0 < x is x > 0
            left, right, sign = right, left, sign.replace("<", ">")
        return f"{left.within(SUM)} {sign} {right.within(SUM)}"

    def choice(self, condition: str, chosen: Text, other: Text) -> Text:
        dialect = self.dialect
        if "?" in dialect.choice:
            text = dialect.choice.format(
                condition=condition, chosen=chosen.within(COMPARISON), other=other.text
            )
            return Text(text, CHOICE, condition)
        first = chosen.text
        if chosen.number is not None and other.number is not None and self.first:
            first = self.as_array(first)
        text = dialect.choice.format(
            prefix=dialect.prefix, condition=condition, chosen=first, other=other.text
        )
        return Text(text, ATOM, condition)

    def tree(self, tree: cells.Tree, names: Mapping[str, Text]) -> Text:
        """A cell, whose names stand for these."""
        if isinstance(tree, float):
            return self.dialect.number(tree)
        if isinstance(tree, str):
            return names[tree]
        if tree[0] == "?":
            _, (sign, left, right), chosen, other = tree
            condition = self.compare(sign, self.tree(left, names), self.tree(right, names))
            found = self.choice(condition, self.tree(chosen, names), self.tree(other, names))
            return found._replace(condition="")
        return self.row(tree[0], [self.tree(part, names) for part in tree[1:]])

    def _defined(self, row: str) -> str:
        """The function of a row's cell, behind those of the rows that it calls."""
        if row in self.functions:
            return row
        tree = cells.tree_of(row)
        names = [name for name in cells.NAMES if name in cells.names_in(tree)]
        first, self.first = self.first, ""
        body = self.tree(tree, {name: Text(name) for name in names}).text
        self.first = first
        listed = ", ".join(map(self.dialect.argument.format, names))
        self.functions[row] = self.dialect.function.format(name=row, names=listed, body=body)
        return row

    def helper(self, name: str) -> str:
        """A function that has no cell."""
        self.functions.setdefault(name, self.dialect.helpers[name])
        return name


def _same_name(names: str) -> dict[str, str]:
    return {name: name for name in names.split()}


_COMMON = "exp expm1 log log2 log10 log1p sqrt sin cos tan sinh cosh tanh floor ceil hypot fmod"
_ARC = "asin acos atan asinh acosh atanh"

C = Dialect(
    "c",
    "",
    {
        **_same_name(_COMMON),
        **_same_name(f"{_ARC} exp2 cbrt erf erfc atan2 pow"),
        "pow_number": "pow",
        "abs": "fabs",
    },
    choice="{condition} ? {chosen} : {other}",
    infinity="INFINITY",
    nan="NAN",
    function="static double {name}({names}) {{\n    return {body};\n}}",
    argument="double {}",
    has_power=False,
    helpers={
        "take": """\
/* Of n values, step apart, that of the index, counted from the end where it is negative; NAN where
 * there is no such value. */
static double take(const double *values, int n, int step, double index) {
    double at = index < 0 ? index + n : index;
    return at >= 0 && at < n && index == floor(index) ? values[step * (int)at] : NAN;
}""",
        "scatter": """\
/* value for the element k that index chooses of n, 0 for the others. */
static double scatter(double value, int k, int n, double index) {
    return (index < 0 ? index + n : index) == k ? value : 0.0;
}""",
    },
)

NUMPY = Dialect(
    "numpy",
    "np.",
    {
        **_same_name(_COMMON),
        **_same_name("exp2 cbrt"),
        **{name: f"arc{name[1:]}" for name in _ARC.split()},
        "atan2": "arctan2",
        "abs": "abs",
    },
    helpers={
        "erf": "erf = np.vectorize(math.erf, otypes=[float])",
        "erfc": "erfc = np.vectorize(math.erfc, otypes=[float])",
        "take": '''\
def take(values, index):
    """values[index] of each sample, counted from the end where index is negative."""
    n = values.shape[-1]
    if np.any((index != np.floor(index)) | (index >= n) | (index < -n)):
        raise IndexError(f"take: an index is no whole number in the range of {n} values")
    index = index.astype(int)
    return np.take_along_axis(values, index[:, None], -1)[:, 0]''',
        "look_up": '''\
def look_up(table, index):
    """table[index], for an array of indices, counted from the end where they are negative."""
    n = len(table)
    if np.any((index != np.floor(index)) | (index >= n) | (index < -n)):
        raise IndexError(f"look_up: an index is no whole number in the range of {n} values")
    return table[np.asarray(index).astype(int)]''',
        "scatter": '''\
def scatter(value, n, index):
    """value for the element that index chooses of n, 0 for the others."""
    index, value = np.asarray(index)[..., None], np.asarray(value)[..., None]
    return np.where(np.arange(n) == index % n, value, 0.0)''',
    },
)

JAX = Dialect(
    "jax",
    "jnp.",
    {
        **_same_name(_COMMON),
        **_same_name("exp2 cbrt maximum minimum"),
        **{name: f"arc{name[1:]}" for name in _ARC.split()},
        "atan2": "arctan2",
        "abs": "abs",
        "erf": "jax.lax.erf",
        "erfc": "jax.lax.erfc",
        "sigmoid": "jax.nn.sigmoid",
        "relu": "jax.nn.relu",
        "softplus": "jax.nn.softplus",
        "detach": "jax.lax.stop_gradient",
    },
    kept=frozenset({"detach"}),
    helpers={
        "floats": '''\
def floats(x):
    """As an array of floats, since whole numbers wrap around."""
    x = jnp.asarray(x)
    return x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(float)''',
        "take": '''\
def take(values, index):
    """values[index] of each sample, counted from the end where index is negative; NaN where there
    is no such value, since JAX raises no error for a number."""
    n = values.shape[-1]
    found = (index == jnp.floor(index)) & (index < n) & (index >= -n)
    index = jnp.where(found, index % n, 0).astype(int)
    chosen = jnp.take_along_axis(values, index[:, None], -1)[:, 0]
    return jnp.where(found, chosen, jnp.nan)''',
        "look_up": '''\
def look_up(table, index):
    """table[index], for an array of indices, counted from the end where they are negative; NaN
    where there is no such element, since JAX raises no error for a number."""
    n = len(table)
    found = (index == jnp.floor(index)) & (index < n) & (index >= -n)
    chosen = table[jnp.where(found, index % n, 0).astype(int)]
    return jnp.where(found[..., None] if table.ndim == 2 else found, chosen, jnp.nan)''',
    },
)

TORCH = Dialect(
    "torch",
    "torch.",
    {
        **_same_name(_COMMON),
        **_same_name(f"{_ARC} exp2 maximum minimum erf erfc atan2 abs sigmoid relu"),
        "detach": ".detach",
    },
    takes_numbers=False,
    kept=frozenset({"detach"}),
    helpers={
        "floats": '''\
def floats(x, dtype):
    """As floats, since whole numbers wrap around."""
    return x if x.is_floating_point() else x.to(dtype)''',
        "cbrt": """\
def cbrt(x):
    return torch.sign(x) * torch.abs(x) ** (1 / 3)""",
        "softplus": """\
def softplus(x):
    return -torch.nn.functional.logsigmoid(-x)""",
        "take": '''\
def take(values, index):
    """values[index] of each sample, counted from the end where index is negative."""
    n = values.shape[-1]
    if torch.any((index != torch.floor(index)) | (index >= n) | (index < -n)):
        raise IndexError(f"take: an index is no whole number in the range of {n} values")
    return torch.gather(values, -1, index.long()[:, None] % n)[:, 0]''',
        "look_up": '''\
def look_up(table, index):
    """table[index], for an array of indices, counted from the end where they are negative."""
    n = len(table)
    if torch.any((index != torch.floor(index)) | (index >= n) | (index < -n)):
        raise IndexError(f"look_up: an index is no whole number in the range of {n} values")
    return table[index.long()]''',
    },
)

DIALECTS: dict[str, Dialect] = {each.name: each for each in (C, NUMPY, JAX, TORCH)}
