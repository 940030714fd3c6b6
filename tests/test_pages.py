# SPDX-License-Identifier: MIT
"""What README.md and the pages of docs/ show is what happens."""

import re

import pytest
from pages import ROOT, pages, run_page

README = ROOT / "README.md"
pytestmark = pytest.mark.skipif(not README.exists(), reason="needs the source tree")


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_prints_what_it_says(page, tmp_path):
    run_page(page, tmp_path)


def test_the_readme_shows_outputs(tmp_path):
    assert run_page(README, tmp_path) >= 4


@pytest.mark.parametrize(
    ("shown", "happens"),
    [
        ("```python\nprint(1 + 1)  # 3\n```\n", "printed\n2"),
        ("```python\nprint(1 + 1)\n```\n\n```text\n3\n```\n", "printed\n2"),
        ("```python\nprint(1 + 1)\n```\n", "printed\n2"),
        ("```python\nx = 1\n```\n\n```text\n1\n```\n", "expected\n1"),
        ("```sh\npython -m micrograd_c --version\n```\n\n```text\n0.0\n```\n", "micrograd_c "),
    ],
)
def test_a_page_that_says_something_else_fails(tmp_path, shown, happens):
    page = tmp_path / "page.md"
    page.write_text(shown, encoding="utf-8")
    with pytest.raises(AssertionError, match=re.escape(happens)):
        run_page(page, tmp_path)


@pytest.mark.parametrize("mark", ["run", "test"])
def test_the_two_commands_are_where_the_ci_script_reads_them(mark):
    text = README.read_text(encoding="utf-8")
    commands = re.findall(rf"^<!-- {mark} -->\n```sh\n(.*)\n```", text, re.M)
    assert len(commands) == 1 and commands[0].startswith("python -m pip install")
