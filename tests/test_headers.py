# SPDX-License-Identifier: MIT
"""What Cython is told of the headers is what they say: types of fields, variables and functions."""

import re
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

SOURCES = Path(__file__).parent.parent / "src"
COMPILER = shutil.which("gcc") or shutil.which("clang")

pytestmark = pytest.mark.skipif(
    not (SOURCES.is_dir() and COMPILER),
    reason="needs GCC or Clang and the sources beside the tests",
)

NAME = r"\**\w+(?:\[\]| \"[\w.]+\")?"
FIELD = re.compile(rf" {{8}}((?:const )?\w+) ({NAME}(?:, {NAME})*)$")
VARIABLE = re.compile(r" {4}((?:const )?\w+ [\w *]*?\**(\w+)(?:\[\])?)$")
FUNCTION = re.compile(r" {4}((?:const )?\w+ (?:const )?\**)(\w+)\(([^()]*)\)$")


PRELUDE = """#include <Python.h>
typedef int bint;
#define SAME(field, type) \\
    _Static_assert(__builtin_types_compatible_p(__typeof__(field), type), #field " is no " #type)
"""


def claims(pxd):
    """C that compiles where all that the file says is so. Macros have no types."""
    text = re.sub(r"#.*", "", pxd.read_text(encoding="utf-8"))
    text = re.sub(r"\([^()]*\)", lambda group: " ".join(group[0].split()), text)
    text = re.sub(r" (noexcept|nogil|except\??).*(?<!:)$", "", text, flags=re.MULTILINE)
    ours, struct = False, None
    for line in text.splitlines():
        line = line.rstrip()
        if header := re.match(r'cdef extern from "(.*)"', line):
            ours = "/" in header[1]
            if ours:
                yield f'#include "{header[1]}"'
        elif not ours:
            continue
        elif start := re.match(r" {4}ctypedef struct (\w+):", line):
            struct = start[1]
        elif field := struct and FIELD.match(line):
            for name in field[2].split(", "):
                stars, name, array = re.match(r'(\**)(?:\w+ ")?([\w.]+)(\[\])?', name).groups("")
                said = f"{field[1]} {stars}{array}"
                yield f"SAME((({struct} *)0)->{name}, {said});"
        elif re.match(r" {4}\S", line) and not re.match(r" {4}(ctypedef|enum)", line):
            struct = None
            if variable := VARIABLE.match(line):
                yield "" if variable[2].isupper() else f"extern {variable[1]};"
            elif (function := FUNCTION.match(line)) and not function[2].isupper():
                result, name, arguments = function.groups()
                yield f"{result}(*const say_{name})({arguments or 'void'}) = {name};"


def compiled(lines, folder):
    source = folder / "claims.c"
    source.write_text("\n".join([PRELUDE, *lines, ""]))
    errors = ["incompatible-pointer-types", "discarded-qualifiers", "implicit-function-declaration"]
    return subprocess.run(
        [COMPILER, "-fsyntax-only", "-std=gnu11", f"-I{SOURCES}"]
        + [f"-I{sysconfig.get_path('include')}", source]
        + [f"-Werror={error}" for error in errors],
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    "pxd", sorted((SOURCES / "python" / "headers").glob("[a-z]*.pxd")), ids=lambda path: path.stem
)
def test_what_cython_is_told_of_a_header_is_what_it_says(pxd, tmp_path):
    process = compiled(list(claims(pxd)), tmp_path)
    assert process.returncode == 0, process.stderr


@pytest.mark.parametrize(
    "wrong",
    [
        "    ctypedef struct Tape:\n        uint64_t size\n",
        "    const double tape\n",
        "    void tape_pop(const Tape *tape)\n",
    ],
)
def test_what_a_header_does_not_say_is_found(wrong, tmp_path):
    pxd = tmp_path / "wrong.pxd"
    pxd.write_text('cdef extern from "python/state.h":\n' + wrong)
    assert "error" in compiled(list(claims(pxd)), tmp_path).stderr
