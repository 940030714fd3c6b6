# SPDX-License-Identifier: MIT
"""NumPy, JAX and PyTorch source: functions of whole batches, and a module."""

import textwrap
from collections.abc import Iterator
from typing import Any

from . import draws
from .array_loops import LoopPrinter, ScanPrinter
from .array_statements import ArrayPrinter
from .dialects import ATOM, DIALECTS, POWER, Expressions, Text
from .names import LOCAL, Names
from .printer import wrapped
from .program import Exported, Laid, lay_out
from .references import SAMPLE, Ref, Shape

_IMPORTS = {
    "numpy": "import numpy as np",
    "jax": "import jax.numpy as jnp",
    "torch": "import torch",
}


def array_source(exported: Exported, language: str) -> str:
    """The whole text: imports, functions of rows, the function or module."""
    dialect = DIALECTS[language]
    expressions = Expressions(dialect)
    functions = [
        _module(exported, expressions)
        if language == "torch"
        else _function(exported, expressions, gradients=False)
    ]
    if language == "numpy" and exported.has_gradients:
        functions.append(_function(exported, expressions, gradients=True))
    tuples = [_definition(kind, name) for kind, name in _tuple_names(exported).items()]
    parts = [*tuples, *expressions.functions.values(), *functions]
    text = "\n".join(parts)
    imports = ["import collections"] if tuples else []
    imports += ["import math"] if "math." in text else []
    imports += [""] if imports else []
    imports += ["import jax"] if "jax." in text else []
    return "\n".join([*imports, _IMPORTS[language]]) + "\n\n\n" + "\n\n\n".join(parts) + "\n"


def class_name(exported: Exported) -> str:
    """The name of the function as a PyTorch module."""
    name = "".join(part[:1].upper() + part[1:] for part in exported.name.split("_"))
    return Names().take(name)


def _printer(
    exported: Exported, laid: Laid, expressions: Expressions, names: Names
) -> ArrayPrinter:
    kind = ScanPrinter if expressions.dialect.name == "jax" else LoopPrinter
    first = laid.arguments[0].name if laid.arguments else ""
    if not first and expressions.dialect.name == "torch":
        first = f"self.{exported.arrays[0].path}" if exported.arrays else "like"
    printer = kind(expressions, names, first, f"len({first})" if laid.arguments else "samples")
    printer.is_mean = exported.is_mean
    printer.keys = draws.keys_of(laid.draws, laid.streams, names)
    expressions.first = printer.first
    for block in [*laid.arguments, *laid.parameters, *laid.draws]:
        printer.texts[id(block)] = Text(block.name)
    return printer


def _function(exported: Exported, expressions: Expressions, gradients: bool) -> str:
    """A function of (parameters, *arrays)."""
    tuples = _tuple_names(exported).values()
    own = _own_names(exported, expressions.dialect.name)
    names = Names(*LOCAL, *own, exported.name, exported.gradients_name, *tuples)
    laid = lay_out(exported, names, expressions.dialect, gradients)
    printer = _printer(exported, laid, expressions, names)
    body = [*_draws(laid, printer), *printer.statements(laid.results)]
    floats = _floats(laid, expressions)
    unpack = [
        f'{block.name} = parameters["{array.path}"]'
        for block, array in zip(laid.parameters, exported.arrays, strict=True)
        if block.uses
    ]
    if gradients:
        body += _loss_and_gradients(exported, laid, printer)
        reduced = "mean" if exported.is_mean else "sum"
        what = f"The {reduced} of the loss, and its derivatives, for B samples"
    else:
        body += _returned(exported, laid, printer)
        what = "The results for B samples"
    listed = ", ".join(["parameters", *_arguments(exported, laid, expressions)])
    name = exported.gradients_name if gradients else exported.name
    own = _docstring(what, exported, laid, expressions.dialect.name)
    lines = [*own, *floats, *unpack, *body]
    return "\n".join(
        [*wrapped(f"def {name}({listed}):", ""), *[f"    {line}" if line else "" for line in lines]]
    )


def _floats(laid: Laid, expressions: Expressions, more: str = "") -> list[str]:
    """Statements that make floats of whole numbers, which would wrap around."""
    if expressions.dialect.name == "numpy":
        return [f"{each.name} = np.asarray({each.name}, dtype=float)" for each in laid.arguments]
    name = expressions.helper("floats") if laid.arguments else ""
    return [f"{each.name} = {name}({each.name}{more})" for each in laid.arguments]


def _draws(laid: Laid, printer: ArrayPrinter) -> list[str]:
    dialect, size, like = printer.dialect, printer.size, printer.first
    drawn = draws.statements(laid.draws, laid.streams, dialect, size, like, printer.keys)
    return [line for name, text in drawn for line in printer.assigned(name, text)]


def _arguments(exported: Exported, laid: Laid, expressions: Expressions) -> list[str]:
    """Besides the parameters."""
    names = [block.name for block in laid.arguments] or ["samples"]
    return [*names, *([draws.ARGUMENTS[expressions.dialect.name]] if exported.draws else [])]


def _own_names(exported: Exported, language: str) -> list[str]:
    """Of variables that draws need."""
    return [draws.ARGUMENTS[language]] if exported.draws else []


def _module(exported: Exported, expressions: Expressions) -> str:
    """A torch.nn.Module, which holds the parameters."""
    name = class_name(exported)
    own = _own_names(exported, "torch")
    names = Names(*LOCAL, *own, "like", name, *_tuple_names(exported).values())
    laid = lay_out(exported, names, expressions.dialect, gradients=False)
    printer = _printer(exported, laid, expressions, names)
    dtype = "torch.float32" if exported.is_float32 else "torch.float64"
    members = ["super().__init__()"]
    for block, array in zip(laid.parameters, exported.arrays, strict=True):
        printer.texts[id(block)] = Text(f"self.{array.path}")
        sizes = ", ".join(map(str, array.shape)) or "()"
        zeros = f"torch.zeros({sizes}, dtype={dtype})"
        members.append(f"self.{array.path} = torch.nn.Parameter({zeros})")
    like = f"self.{exported.arrays[0].path}.dtype" if exported.arrays else dtype
    body = _floats(laid, expressions, f", {like}")
    if printer.first == "like":
        body.append(f"like = torch.zeros((), dtype={dtype})")
    body += [*_draws(laid, printer), *printer.statements(laid.results)]
    body += _returned(exported, laid, printer)
    shapes = _docstring("The results for B samples", exported, laid, "torch")
    arguments = ", ".join(["self", *_arguments(exported, laid, expressions)])
    arguments += "=None" if exported.draws else ""
    return "\n".join(
        [
            f"class {name}(torch.nn.Module):",
            "    def __init__(self):",
            *[f"        {line}" for line in members],
            "",
            *wrapped(f"def forward({arguments}):", "    "),
            *[f"        {line}" if line else "" for line in [*shapes, *body]],
        ]
    )


def _docstring(what: str, exported: Exported, laid: Laid, language: str) -> list[str]:
    shapes = [
        f"{block.name} of shape {_shape_text(('B', *block.shape))}" for block in laid.arguments
    ]
    what = (
        f"{what}: {', '.join(shapes)}" if shapes else what.replace("B samples", "so many samples")
    )
    lines = textwrap.wrap(f'"""{what}.', 88)
    more = []
    if language != "torch" and exported.arrays:
        arrays = [f"{array.path} {_shape_text(array.shape)}" for array in exported.arrays]
        more = textwrap.wrap(f"parameters: a dict of {', '.join(arrays)}.", 92)
    more += [draws.WHAT[language]] if exported.draws else []
    lines += ["", *more] if more else []
    return [f'{lines[0]}"""'] if len(lines) == 1 else [*lines, '"""']


def _shape_text(shape: tuple[Any, ...]) -> str:
    return "({}{})".format(", ".join(map(str, shape)), "," if len(shape) == 1 else "")


# -- gradients -------------------------------------------------------------------------------------


def _loss_and_gradients(exported: Exported, laid: Laid, printer: ArrayPrinter) -> list[str]:
    loss, *derivatives = laid.results
    text = printer.at(loss, ())
    if loss.stage == SAMPLE:
        body = [f"loss = {text.within(ATOM)}.{'mean' if exported.is_mean else 'sum'}()"]
    else:
        times = "" if exported.is_mean else f" * {printer.size}"
        body = [f"loss = {text.within(POWER)}{times}"]
    body.append("grad = {")
    for array, ref in zip(exported.arrays, derivatives, strict=True):
        lines = printer.assigned(
            f'    "{array.path}"', _derivative(printer, ref, array.shape), ": "
        )
        body += [*lines[:-1], f"{lines[-1]},"]
    return [*body, "}", "return loss, grad"]


def _derivative(printer: ArrayPrinter, ref: Ref, shape: Shape) -> str:
    """As an array of the parameters' shape."""
    prefix = printer.dialect.prefix
    if not shape or ref.block is None or ref.count is None:
        number = printer.at(ref, ()).text
        return f"{prefix}full({_shape_text(shape)}, {number})" if shape else number
    text = printer.at(ref, shape)
    if len(shape) == 2 and not (ref.is_whole and ref.block.shape == shape):
        return f"{text.within(ATOM)}.reshape{_shape_text(shape)}"
    return text.text


# -- results ---------------------------------------------------------------------------------------


def _returned(exported: Exported, laid: Laid, printer: ArrayPrinter) -> list[str]:
    """The return statement: the results in their structure."""
    shapes = exported.recorded.shapes
    parts = [printer.result(*each) for each in zip(laid.results, shapes, strict=True)]
    layout, tuples = exported.recorded.layout, _tuple_names(exported)
    return printer.assigned("return", _structured(layout, iter(parts), tuples), " ")


def _structured(layout: Any, parts: Iterator[str], tuples: dict[type, str]) -> str:
    if layout is None:
        return next(parts)
    if isinstance(layout, dict):
        items = [f"{_key(key)}: {_structured(part, parts, tuples)}" for key, part in layout.items()]
        return "{" + ", ".join(items) + "}"
    items = [_structured(part, parts, tuples) for part in layout]
    if type(layout) in tuples:
        return f"{tuples[type(layout)]}({', '.join(items)})"
    return f"({items[0]},)" if len(items) == 1 else f"({', '.join(items)})"


def _key(key: Any) -> str:
    """A key as text; ValueError where there is none that gives it back."""
    if isinstance(key, str) and key.isidentifier():
        return f'"{key}"'
    if type(key) in (str, int, float, bool, type(None)):
        return repr(key)
    raise ValueError(f"source: the result has the key {key!r}, which is no string or number")


def _tuple_names(exported: Exported) -> dict[type, str]:
    """The classes of named tuples in the results, and what they are called in the text."""
    names = Names(*LOCAL, exported.name, exported.gradients_name, class_name(exported))
    found: dict[type, str] = {}
    rest = [exported.recorded.layout]
    while rest:
        part = rest.pop()
        if isinstance(part, dict):
            rest += part.values()
        elif isinstance(part, tuple):
            rest += part
            kind = type(part)
            if hasattr(part, "_fields") and kind not in found:
                found[kind] = names.take(kind.__name__, "Results")
    return found


def _definition(kind: Any, name: str) -> str:
    """Of a class of named tuples."""
    fields = ", ".join(map(_key, kind._fields))
    numbered = any(field.startswith("_") for field in kind._fields)
    options = ", rename=True" if numbered else ""
    return f'{name} = collections.namedtuple("{name}", [{fields}]{options})'
