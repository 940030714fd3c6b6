# SPDX-License-Identifier: MIT
"""An operation, a form of nodes or a step without its rules does not build: none gets another's."""

import os
import shlex
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# What is added -> header, the text before which it is added, and who has to refuse it.
ADDED = {
    'VARIADIC(median, "median") ': ("ops.h", 'VARIADIC(take,   "take")', "sweep.c graph.c"),
    'UNARY(cube, "cube", REFUSE_NOTHING, -3, 3, x * x * x) ': (
        "ops.h",
        "UNARY(neg,",
        "sweep.c cells.c kernels_baseline.c",
    ),
    "QUATERNARY, ": ("ops.h", "BINARY, TERNARY, VARIADIC } Shape;", "tape.c graph.c excerpt.c"),
    "NODE_SORT, ": ("graph.h", "NODE_PART,  ", "graph.c"),
    "KIND(SORT) ": ("graph.h", "KIND(PART) ", "graph.c"),
    "FORM(SORT, LISTED, LATEST, 0) ": (
        "graph.h",
        "FORM(PART, ",
        "constants.c adjoints.c differentiate.c verify.c excerpt.c "
        "plan_forward.c plan_groups.c scalar.c",
    ),
    "STEP_SORT, ": (
        "plan.h",
        "STEP_GATHER,",
        "kernels_baseline.c listing.c listing_steps.c verify_plan.c",
    ),
}


@pytest.fixture
def compiles(tmp_path):
    """Whether a source file compiles, of a copy of the sources, with the build's own switch."""
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "")
    if not (ROOT / "src").is_dir() or not compiler or not shutil.which(compiler[0]):
        pytest.skip("takes the sources and a C compiler")
    sources = tmp_path / "src"
    shutil.copytree(ROOT / "src", sources)
    switch = "-Werror=switch"
    assert switch in (ROOT / "setup.py").read_text(encoding="utf-8")

    def compiles(name):
        (path,) = sources.rglob(name)
        command = [*compiler, "-std=gnu11", f"-I{sources}", switch, "-fsyntax-only", str(path)]
        return subprocess.run(command, capture_output=True).returncode == 0

    compiles.folder = sources
    return compiles


@pytest.mark.parametrize("added", ADDED, ids=lambda added: added.split("(")[0].strip(" ,"))
def test_what_has_no_rules_does_not_build(compiles, added):
    header, before, files = ADDED[added]
    (path,) = compiles.folder.rglob(header)
    text = path.read_text(encoding="utf-8")
    assert text.count(before) == 1
    assert all(compiles(name) for name in files.split())
    path.write_text(text.replace(before, added + before), encoding="utf-8")
    assert not any(compiles(name) for name in files.split())
