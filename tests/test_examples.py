# SPDX-License-Identifier: MIT
"""Every example runs as a script; the assertions in them say what they reach.

As notebooks they run where the site is built: see test_docs.py.
"""

import difflib
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
SCRIPTS = sorted(path for path in EXAMPLES.glob("*.py") if path.name != "notebooks.py")
NEEDS = {
    "digits": ["sklearn"],
    "greeks": ["numpy"],
    "heston": ["numpy", "scipy"],
    "least_squares": ["numpy"],
    "lynx_hare": ["numpy", "scipy"],
    "pde": ["scipy"],
    "tr_ders": ["graphviz"],
}

pytestmark = pytest.mark.skipif(not SCRIPTS, reason="needs the source tree")
each_example = pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)


def expect_packages(script):
    for package in NEEDS.get(script.stem, []):
        pytest.importorskip(package)


def notebooks():
    specification = importlib.util.spec_from_file_location("notebooks", EXAMPLES / "notebooks.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@each_example
def test_the_script_runs(script, tmp_path):
    expect_packages(script)
    run = subprocess.run(
        [sys.executable, "-X", "utf8", str(script)], cwd=tmp_path, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout
    if importlib.util.find_spec("matplotlib"):
        (picture,) = tmp_path.glob("*.png")
        assert script.stem.startswith(picture.stem)
        assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", ["lesson", "tr_ders"])
def test_without_matplotlib_a_line_says_that_there_is_no_picture(name, tmp_path):
    expect_packages(EXAMPLES / f"{name}.py")
    code = "import runpy, sys; sys.modules['matplotlib'] = None; runpy.run_path(sys.argv[1])"
    run = subprocess.run(
        [sys.executable, "-X", "utf8", "-c", code, str(EXAMPLES / f"{name}.py")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert (run.returncode, run.stderr) == (0, "")
    (line,) = [line for line in run.stdout.splitlines() if "pip install" in line]
    assert line.startswith(("no picture", "resim yok")) and "matplotlib" in line
    assert not list(tmp_path.glob("*.png"))


@each_example
def test_only_its_picture_needs_matplotlib(script):
    text = script.read_text(encoding="utf-8")
    assert not re.search(r"^(import|from) matplotlib", text, re.M)
    assert len(re.findall(r"^    \w.*\.savefig\(", text, re.M)) == 1


def test_the_gpt_is_compiled_by_fewer_than_twenty_changed_lines(tmp_path):
    """And it learns the same: all losses, and the names that it makes up."""
    eager, compiled = (EXAMPLES / f"{name}.py" for name in ("microgpt", "microgpt_compiled"))
    texts = [
        [line for line in path.read_text(encoding="utf-8").splitlines() if line[:1] != "#"]
        for path in (eager, compiled)
    ]
    changes = list(difflib.ndiff(*texts))
    assert sum(line[:2] == "- " for line in changes) < 20
    assert sum(line[:2] == "+ " for line in changes) < 20
    said = []
    for path in (eager, compiled):
        run = subprocess.run([sys.executable, str(path)], cwd=tmp_path, capture_output=True)
        assert run.returncode == 0
        said.append([line for line in run.stdout.split(b"\n") if b" ms " not in line])
    assert said[0] == said[1] and len(said[0]) > 13


@each_example
def test_the_notebook_is_the_scripts(script):
    pytest.importorskip("jupytext")
    stored = EXAMPLES / "notebooks" / f"{script.stem}.ipynb"
    assert stored.read_text(encoding="utf-8") == notebooks().notebook_text(script)


@each_example
def test_the_example_stands_in_the_gallery(script):
    """With its picture, a text for it, and a link to its page, in both languages."""
    for page in ("examples.md", "tr/ornekler.md"):
        text = (EXAMPLES.parent / "docs" / page).read_text(encoding="utf-8")
        card = (
            rf"^\| \[!\[[^\]]+\]\(((?:\.\./)*pictures/examples/{script.stem}\.png)\)\]"
            rf"\(((?:\.\./)+examples/notebooks/{script.stem}\.ipynb)\) \| \[[^\]]+\]\(\2\): .* \|$"
        )
        (found,) = re.finditer(card, text, re.M)
        for target in found.groups():
            assert (EXAMPLES.parent / "docs" / page).parent.joinpath(target).exists()
