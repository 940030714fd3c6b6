# SPDX-License-Identifier: MIT
"""The site builds, without a warning, and its reference has every public name."""

import re
import subprocess
import sys

import pytest
from pages import ROOT

import micrograd_c
from micrograd_c import losses, nn, optim, viz

DOCS = ROOT / "docs"
pytestmark = pytest.mark.skipif(not (DOCS / "conf.py").exists(), reason="needs the source tree")


def test_the_site_builds_without_a_warning(tmp_path):
    for package in ("sphinx", "myst_parser", "furo"):
        pytest.importorskip(package)
    build = [sys.executable, "-m", "sphinx", "-W", "-q", "-b", "html", DOCS, tmp_path / "html"]
    run = subprocess.run(map(str, build), cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    reference = (tmp_path / "html" / "api.html").read_text(encoding="utf-8")
    for module in (nn, optim, losses, viz):
        own = [
            name
            for name, what in vars(module).items()
            if name[0] != "_" and getattr(what, "__module__", "") == module.__name__
        ]
        for name in getattr(module, "__all__", own):
            assert f'id="{module.__name__}.{name}"' in reference


@pytest.mark.parametrize(
    "name", sorted(set(micrograd_c.__all__) - {"engine", "nn", "optim", "losses"})
)
def test_every_public_name_stands_in_the_reference(name):
    assert re.search(rf"micrograd_c\.{name}$", (DOCS / "api.md").read_text(encoding="utf-8"), re.M)
    assert getattr(micrograd_c, name).__doc__
