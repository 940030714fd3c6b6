# SPDX-License-Identifier: MIT
"""Notebooks as scripts: the code cells in order, without what only IPython understands."""

import ast
import json

from .parser import UsageError

# Cell magics that have a cell run as usual; the cells of all others are not Python.
AROUND_PYTHON = ("%%time", "%%timeit", "%%capture", "%%prun")


def code_cells(name, text):
    """(source, what to call it) of each cell, and the lines that are left out."""
    try:
        notebook = json.loads(text)
        cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
        sources = ["".join(cell["source"]) for cell in cells]
    except (ValueError, KeyError, TypeError):
        raise UsageError(f"{name} is a notebook that cannot be read") from None
    language = notebook.get("metadata", {}).get("kernelspec", {}).get("language", "python")
    if language != "python":
        raise UsageError(f"{name} is a notebook in {language}")
    found, left_out = [], []
    for k, source in enumerate(sources, 1):
        where = f"{name}, cell {k}"
        found.append((python_of(source, where, left_out), where))
    return found, left_out


def python_of(source, where, left_out):
    lines = source.split("\n")
    first = next((i for i, line in enumerate(lines) if line.strip()), 0)
    if lines[first].startswith("%%"):
        left_out.append((where, lines[first]))
        if lines[first].split()[0] not in AROUND_PYTHON:
            return ""
        lines[first] = ""
    while (wrong := first_wrong_line(lines)) is not None:
        line = lines[wrong]
        stripped = line.strip()
        indentation = line[: len(line) - len(line.lstrip())]
        if stripped.startswith("%time "):
            lines[wrong] = indentation + stripped.removeprefix("%time ")
        elif stripped.startswith(("%", "!", "?")) or stripped.endswith("?"):
            left_out.append((where, stripped))
            lines[wrong] = indentation + "pass"
        elif stripped.partition("=")[2].lstrip().startswith(("%", "!")):
            raise UsageError(f"{where}, line {wrong + 1}: only IPython can do this: {stripped}")
        else:
            break  # the parser says later what is wrong
    return "\n".join(lines)


def first_wrong_line(lines):
    try:
        ast.parse("\n".join(lines))
    except SyntaxError as error:
        return min(error.lineno or 1, len(lines)) - 1
    except ValueError:
        pass
    return None
