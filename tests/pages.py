# SPDX-License-Identifier: MIT
"""Runs what a page of Markdown shows, and compares what it prints with what the page says.

- A ```python block runs in the page's one namespace, in order. What it prints is the ```text block
  that comes right after it, or, without one, the comments behind its calls of `print`:
  `print(x)  # 6.0`. In a ```text block `...` stands for anything, also over several lines.
- A ```python block behind a line `<!-- file: name.py -->` is not run but written to that file.
- A ```sh block runs in the page's own folder; what its last `python -m micrograd_c` line prints is
  the ```text block that comes right after it, if there is one. Commands that install something run
  only where a mark `<!-- run -->` or `<!-- test -->` leads them into CI's script.
- `my_script.py`, where a page runs it without having written it, is one of tests/scripts.
- A block behind a line `<!-- needs: package -->` runs where that package is installed.
- A block of any other language is not run; one of these that must not run says so by a line
  `<!-- not run: why -->`.

Tried in place of it: pytest-markdown-docs 0.9 (a namespace a block, no outputs, no shell) and
sybil 10 (a wrong output passes; outputs, shell and marks would be parsers of our own, as long).
"""

import contextlib
import doctest
import importlib.util
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

READERS_SCRIPT = "lesson_mlp.py"
ROOT = Path(__file__).parent.parent
BLOCK = re.compile(
    r"(?:^<!-- (?P<mark>[^\n]*?) -->\n+)?"
    r"^```(?P<language>\w+)\n(?P<code>.*?)^```$"
    r"(?:\n+^```text\n(?P<output>.*?)^```$)?",
    re.M | re.S,
)
COMMENT = re.compile(r"^print\(.*\)  # (.*)$", re.M)


@dataclass
class Block:
    language: str
    code: str
    mark: str
    output: str | None
    line: int


def pages():
    """README and every page of docs/, as paths."""
    found = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [page for page in found if page.exists() and "_build" not in page.parts]


def blocks(page):
    """The page's blocks, in order; a ```text block belongs to what it follows."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            found["language"],
            found["code"],
            found["mark"] or "",
            found["output"],
            text.count("\n", 0, found.start("code")),
        )
        for found in BLOCK.finditer(text)
    ]


def same(expected, printed):
    """Whether the output is as the page has it; `...` stands for anything."""
    expected, printed = (
        "\n".join(map(str.rstrip, t.rstrip().splitlines())) for t in (expected, printed)
    )
    return doctest.OutputChecker().check_output(expected, printed, doctest.ELLIPSIS)


def without_trailing_spaces(text):
    return "".join(line.rstrip() + "\n" for line in text.rstrip().splitlines())


def run_page(page, folder):
    """Runs a page in an empty folder; returns how many outputs it compared.

    Raises AssertionError that names the page and the line where an output differs.
    """
    namespace, compared = {"__name__": "__main__"}, 0
    shutil.copy(Path(__file__).parent / "scripts" / READERS_SCRIPT, Path(folder) / "my_script.py")
    with contextlib.chdir(folder) if sys.version_info >= (3, 11) else _chdir(folder):
        for block in blocks(page):
            expected = block.output
            if block.mark.startswith("not run:") or lacks(block.mark):
                continue
            if block.mark.startswith("file: "):
                Path(block.mark.removeprefix("file: ")).write_text(block.code, encoding="utf-8")
                continue
            if block.language == "python":
                printed = run_python(page, block, namespace)
                if expected is None:
                    expected = "\n".join(COMMENT.findall(block.code))
            elif block.language == "sh":
                printed = run_shell(block)
                if expected is None or printed is None:
                    continue
            else:
                continue
            place = f"{page.name}, line {block.line}"
            if not same(expected, printed):
                raise AssertionError(f"{place}: expected\n{expected}\nprinted\n{printed}")
            compared += bool(expected)
    return compared


def lacks(mark):
    """Whether the mark names a package that is not here."""
    return mark.startswith("needs: ") and not importlib.util.find_spec(mark[len("needs: ") :])


def run_python(page, block, namespace):
    # Empty lines before the code, so that a traceback shows the page's own line.
    code = compile("\n" * block.line + block.code, str(page), "exec")
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(code, namespace)
    return out.getvalue()


def run_shell(block):
    """The output of the block's last command of ours; None where it has none."""
    printed = None
    for line in block.code.splitlines():
        words = shlex.split(line, comments=True)
        if words[:3] != ["python", "-m", "micrograd_c"]:
            continue
        child = subprocess.run(
            [sys.executable, *words[1:]],
            capture_output=True,
            text=True,
            encoding="utf-8",
            stdin=subprocess.DEVNULL,
            env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        )
        assert child.returncode == 0, f"{line}\n{child.stderr}"
        printed = child.stdout
    return printed


@contextlib.contextmanager
def _chdir(folder):
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
