# SPDX-License-Identifier: MIT
"""The site builds, without a warning, and its reference has every public name."""

import os
import re
import shutil
import subprocess
import sys
from types import FunctionType

import pytest
from pages import ROOT

import micrograd_c
from micrograd_c import CompiledFunction, Value, losses, nn, optim, viz

DOCS = ROOT / "docs"
pytestmark = pytest.mark.skipif(not (DOCS / "conf.py").exists(), reason="needs the source tree")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the built site, its notebooks run."""
    for package in ("myst_nb", "furo", "sphinx_copybutton", "latex2mathml", "jupytext", "sklearn"):
        pytest.importorskip(package)
    folder = tmp_path_factory.mktemp("site") / "html"
    build = [sys.executable, str(DOCS / "build.py"), str(folder)]
    run = subprocess.run(build, cwd=folder.parent, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    return folder


def test_a_browser_finds_nothing_wrong(site):
    pytest.importorskip("playwright")
    if not (os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chrome")):
        pytest.skip("needs a Chromium")
    look = [sys.executable, str(DOCS / "check.py"), str(site)]
    run = subprocess.run(look, cwd=site, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


def test_each_language_has_its_own_tree(site):
    """Its tag, its search, its order of pages; and each page leads to the other tree."""
    trees = (
        (site, "en", "tr/index.html", "Next"),
        (site / "tr", "tr", "../index.html", "Sonraki"),
    )
    for folder, tag, other, following in trees:
        page = (folder / "index.html").read_text(encoding="utf-8")
        assert f'<html class="no-js" lang="{tag}"' in page
        assert (folder / "searchindex.js").exists()
        assert f'href="{other}"' in page
        assert f"<span>{following}</span>" in page
    assert not (site / "tr" / "api.html").exists()
    assert not re.search("Toggle|Made with|Link to this|Light mode", page)
    buttons = (site / "tr" / "_static" / "copybutton.js").read_text(encoding="utf-8")
    assert "Copied!" not in buttons


def test_each_example_is_a_page_with_what_it_printed(site):
    for script in (ROOT / "examples").glob("*.py"):
        if script.stem != "notebooks":
            tree = site / "tr" if script.stem.startswith("tr_") else site
            page = (tree / "gallery" / f"{script.stem}.html").read_text(encoding="utf-8")
            assert "cell_output" in page, script.stem


def test_what_a_block_prints_stands_below_it(site):
    page = (site / "start.html").read_text(encoding="utf-8")
    assert "# 16.0 8.0" not in page
    assert re.search(r'class="output highlight-text.*?16\.0 8\.0', page, re.S)
    page = (site / "compile.html").read_text(encoding="utf-8")
    assert re.search(r'class="output highlight-text.*?compiled function', page, re.S)


def test_the_reference_has_every_public_name(site):
    reference = (site / "api.html").read_text(encoding="utf-8")
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


def test_a_picture_is_said_in_words(site):
    """Those of notebooks by the text before them; files' names are no words."""
    for page in [*site.rglob("gallery/*.html"), site / "examples.html", site / "tr/ornekler.html"]:
        texts = re.findall(r'<img[^>]* alt="([^"]*)"', page.read_text(encoding="utf-8"))
        texts += re.findall(r'<img alt="([^"]*)"', page.read_text(encoding="utf-8"))
        assert texts, page
        assert all(text.strip() and not text.endswith((".png", ".svg")) for text in texts), page


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
