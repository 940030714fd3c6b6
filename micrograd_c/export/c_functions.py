# SPDX-License-Identifier: MIT
"""C source: a function of a batch, and one of its loss and gradients."""

import itertools
import textwrap
from collections.abc import Iterable
from typing import Any

from .c_loops import CLoopPrinter
from .dialects import C, Expressions, Text
from .names import LOCAL, Names
from .printer import WIDTH, wrapped
from .program import Exported, Laid, lay_out
from .references import BATCH, SAMPLE, Block

_HEAD = """\
/* Compile with cc -O2 -std=c99, and link with -lm. */
#include <math.h>
#include <stddef.h>
"""
_SUMS = ("outer", "batch", "totalled")  # over the batch


def c_source(exported: Exported) -> str:
    """The whole text: functions of rows, then the functions."""
    expressions = Expressions(C)
    functions = [_evaluation(exported, expressions)]
    if exported.has_gradients:
        functions.append(_gradients(exported, expressions))
    rows = [f"{text}\n" for text in expressions.functions.values()]
    head = _HEAD
    head += "#include <stdint.h>\n" if exported.draws else ""
    head += "#include <stdlib.h>\n" if any("malloc(" in text for text in functions) else ""
    return "\n".join([head, *rows, *functions])


def _lay_out(
    exported: Exported, expressions: Expressions, names: Names, gradients: bool
) -> tuple[Laid, CLoopPrinter, list[int]]:
    """The program, its printer, and where each array of parameters begins among them."""
    laid = lay_out(exported, names, C, gradients)
    printer = CLoopPrinter(expressions, names)
    printer.is_mean = exported.is_mean
    for block in [*laid.arguments, *laid.parameters, *laid.draws]:
        printer.texts[id(block)] = Text(block.name)
    printer.is_float32 = exported.is_float32
    sizes = [block.size for block in laid.parameters]
    return laid, printer, list(itertools.accumulate(sizes, initial=0))[:-1]


def _names(exported: Exported) -> Names:
    own = ["i", "j", "n", "left", "work", "malloc", "free"]
    own += ["seed", "sample"] if exported.draws else []
    return Names(*LOCAL, *own, exported.name, exported.gradients_name)


def _evaluation(exported: Exported, expressions: Expressions) -> str:
    names = _names(exported)
    paths = _paths(exported.recorded.layout)
    targets = [names.take(f"result_{path}" if path else "result") for path in paths]
    laid, printer, offsets = _lay_out(exported, expressions, names, gradients=False)
    printer.statements(laid.results)
    shapes = exported.recorded.shapes
    results = [Block("results", shape, stage=SAMPLE) for shape in shapes]
    for target, ref, block in zip(targets, laid.results, results, strict=True):
        printer.results(target, 0, ref, block.size, SAMPLE, printer.each)
    written = [_sized(target, ("n", *each)) for target, each in zip(targets, shapes, strict=True)]
    return _function(
        exported,
        laid,
        printer,
        offsets,
        comment=f"Results of n samples{{}}. To {', '.join(written)}.",
        head=f"void {exported.name}",
        results=targets,
        sizes=[f"n * {block.size}" if block.size > 1 else "n" for block in results],
        steps=[_step(target, block) for target, block in zip(targets, results, strict=True)],
        begin=[],
        end=[],
        value="",
    )


def _gradients(exported: Exported, expressions: Expressions) -> str:
    names = _names(exported)
    laid, printer, offsets = _lay_out(exported, expressions, names, gradients=True)
    loss, *derivatives = laid.results
    begin, placed = [], set()
    for ref, offset in zip(derivatives, offsets, strict=True):
        block = ref.block
        is_sum = block is not None and ref.is_whole and block.kind in _SUMS
        if is_sum and id(block) not in printer.places:  # summed up where it is to be
            printer.places[id(block)] = name = printer.new_name()
            begin.append(f"    double *{name} = grad{f' + {offset}' if offset else ''};")
            placed.add(offset)
    total = sum(len(array.values) for array in exported.arrays)
    if begin:
        printer.loop(Block("zeros", (total,), stage=BATCH), "i", total, ["grad[i] = 0.0;"], begin)
    printer.statements(laid.results)
    text = printer.element(loss, None).text
    end: list[str] = []
    if loss.stage == SAMPLE:
        begin.insert(0, "    double loss = 0.0;")
        printer.each += wrapped(f"loss += {text};", "        ")
        value = "loss / (double)n" if exported.is_mean else "loss"
    else:
        end += wrapped(f"const double loss = {text};", "    ")
        value = "n ? loss : NAN" if exported.is_mean else "loss * (double)n"
    for array, ref, offset in zip(exported.arrays, derivatives, offsets, strict=True):
        if offset not in placed:
            printer.results("grad", offset, ref, len(array.values), BATCH, end)
    reduced = "mean" if exported.is_mean else "sum"
    return _function(
        exported,
        laid,
        printer,
        offsets,
        comment=f"The {reduced} of the loss of n samples{{}}. grad: its derivatives, in the "
        "parameters' order.",
        head=f"double {exported.gradients_name}",
        results=["grad"],
        sizes=[str(total)],
        steps=[],
        begin=begin,
        end=end,
        value=value,
    )


def _function(
    exported: Exported,
    laid: Laid,
    printer: CLoopPrinter,
    offsets: list[int],
    comment: str,
    head: str,
    results: list[str],
    sizes: list[str],
    steps: list[str],
    begin: list[str],
    end: list[str],
    value: str,
) -> str:
    """The text: `begin`, what is computed before the samples, for each and after them, `end`.
    sizes: of the results; value: what the function returns."""
    printer.draw(laid.draws)
    memory = _memory(printer.in_work, results, sizes, value) if printer.in_work else []
    end = [*end, *(["    free(work);"] if memory else [])]
    end += [f"    return {value};"] if value else []
    unpack = []
    for block, offset in zip(laid.parameters, offsets, strict=True):
        if block.uses and block.shape:
            at = f" + {offset}" if offset else ""
            unpack.append(f"    const double *{block.name} = parameters{at};")
        elif block.uses:
            unpack.append(f"    const double {block.name} = parameters[{offset}];")
    used = [block for block in laid.arguments if block.uses]
    unused = [block.name for block in laid.arguments if not block.uses]
    unused += [] if unpack else ["parameters"]
    inputs = [_sized(block.name, ("n", *block.shape)) for block in laid.arguments]
    arguments = [f"const double *{block.name}" for block in laid.arguments]
    seed = ["uint64_t seed"] if exported.draws else []
    is_drawn = any("(seed, sample, " in line for line in printer.each)
    unused += ["seed"] if seed and not is_drawn else []
    arguments = ["size_t n", *seed, "const double *parameters", *arguments]
    arguments += [f"double *{result}" for result in results]
    loop = ", ".join(["left--", *[_step(block.name, block) for block in used], *steps])
    samples = _opened(f"for (size_t left = n; left > 0; {loop})", "    ")
    return "\n".join(
        [
            *_comment(comment.format(f": {', '.join(inputs)}" if inputs else ""), exported),
            *_opened(f"{head}({', '.join(arguments)})", ""),
            *[f"    (void){name};" for name in unused],
            *memory,
            *unpack,
            *begin,
            *printer.before,
            *([*samples, *printer.each, "    }"] if printer.each else []),
            *printer.after,
            *end,
            "}",
            "",
        ]
    )


def _memory(size: int, results: list[str], sizes: list[str], value: str) -> list[str]:
    """Memory for sequences; if there is none, all results are NAN."""
    fill = zip(results, sizes, strict=True)
    return [
        f"    double *work = malloc((size_t){size} * sizeof *work);",
        "    if (work == NULL) {",
        *[f"        for (size_t i = 0; i < {n}; i++) {name}[i] = NAN;" for name, n in fill],
        f"        return{' NAN' if value else ''};",
        "    }",
    ]


def _step(name: str, block: Block) -> str:
    """To the next sample."""
    return f"{name}++" if block.size == 1 else f"{name} += {block.size}"


def _opened(text: str, indent: str) -> list[str]:
    """With a brace behind it."""
    lines = wrapped(text, indent, "        ", WIDTH - 2)
    return [*lines[:-1], f"{lines[-1]} {{"]


def _comment(text: str, exported: Exported) -> list[str]:
    text += " seed: of the random numbers." if exported.draws else ""
    if exported.arrays:
        listed = ", ".join(_sized(array.path, array.shape) for array in exported.arrays)
        total = sum(len(array.values) for array in exported.arrays)
        text += f" parameters: {listed}, one after the other, {total} numbers."
    lines = textwrap.wrap(text, 94)
    lines[-1] += " */"
    return [("/* " if k == 0 else " * ") + line for k, line in enumerate(lines)]


def _sized(name: str, shape: Iterable[Any]) -> str:
    return name + "".join(f"[{n}]" for n in shape)


def _paths(layout: Any) -> list[str]:
    """Where each part of the results stands, as part of a name."""
    if layout is None:
        return [""]
    items: Iterable[tuple[Any, Any]] = enumerate(layout)
    if isinstance(layout, dict):
        items = layout.items()
    elif hasattr(layout, "_fields"):
        items = zip(layout._fields, layout, strict=True)
    return [f"{key}_{path}" if path else str(key) for key, part in items for path in _paths(part)]
