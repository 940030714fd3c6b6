# SPDX-License-Identifier: MIT
"""The site builds, without a warning, and its reference has every public name."""

import re
import subprocess
import sys
from types import FunctionType

import pytest
from pages import ROOT

import micrograd_c
from micrograd_c import CompiledFunction, Value, losses, nn, optim, viz

DOCS = ROOT / "docs"
pytestmark = pytest.mark.skipif(not (DOCS / "conf.py").exists(), reason="needs the source tree")


def test_the_site_builds_without_a_warning(tmp_path):
    for package in ("sphinx", "myst_parser", "furo"):
        pytest.importorskip(package)
    build = [sys.executable, "-m", "sphinx", "-W", "-q", "-b", "html", DOCS, tmp_path / "html"]
    run = subprocess.run(map(str, build), cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    reference = (tmp_path / "html" / "api.html").read_text(encoding="utf-8")
    for module in (nn, optim, optim.lr_scheduler, losses, viz):
        own = [
            name
            for name, what in vars(module).items()
            if name[0] != "_" and getattr(what, "__module__", "") == module.__name__
        ]
        for name in getattr(module, "__all__", own):
            assert f'id="{module.__name__}.{name}"' in reference
    members = [
        name
        for name in dir(Value)
        if name[0] != "_" and not isinstance(getattr(Value, name), FunctionType)
    ]  # without what other tests have added
    members += ["_prev", "_op", "_backward"]
    assert {"backward", "data", "grad", "label", "detach", "item", "maximum"} < set(members)
    for name in members:
        assert f'id="micrograd_c.Value.{name}"' in reference, name
    for name in [name for name in vars(CompiledFunction) if name[0] != "_"] + ["__call__"]:
        assert f'id="micrograd_c.CompiledFunction.{name}"' in reference, name


def test_the_rows_shown_are_the_tables():
    page = (DOCS / "operation.md").read_text(encoding="utf-8")
    table = " ".join((ROOT / "src" / "ops" / "ops.h").read_text(encoding="utf-8").split())
    (shown,) = re.findall(r"^```c\n(.*?)^```", page, re.M | re.S)
    for row in shown.splitlines():
        assert " ".join(row.split()) in table


@pytest.mark.parametrize(
    "name", sorted(set(micrograd_c.__all__) - {"engine", "nn", "optim", "losses"})
)
def test_every_public_name_stands_in_the_reference(name):
    assert re.search(rf"micrograd_c\.{name}$", (DOCS / "api.md").read_text(encoding="utf-8"), re.M)
    assert getattr(micrograd_c, name).__doc__
