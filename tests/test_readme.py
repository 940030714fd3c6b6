# SPDX-License-Identifier: MIT
"""What README.md shows is what happens."""

import contextlib
import io
import re
from pathlib import Path

import pytest

README = Path(__file__).parent.parent / "README.md"
pytestmark = pytest.mark.skipif(not README.exists(), reason="needs the source tree")


def blocks(language):
    return re.findall(
        rf"^```{language}\n(.*?)^```", README.read_text(encoding="utf-8"), re.M | re.S
    )


def test_the_python_blocks_print_what_their_comments_say():
    namespace, shown = {}, 0
    for block in blocks("python"):
        expected = re.findall(r"^print\(.*\)  # (.*)$", block, re.M)
        with contextlib.redirect_stdout(io.StringIO()) as out:
            exec(block, namespace)
        assert out.getvalue().splitlines() == expected
        shown += len(expected)
    assert shown >= 4


@pytest.mark.parametrize("mark", ["run", "test"])
def test_the_two_commands_are_where_the_ci_script_reads_them(mark):
    text = README.read_text(encoding="utf-8")
    commands = re.findall(rf"^<!-- {mark} -->\n```sh\n(.*)\n```", text, re.M)
    assert len(commands) == 1 and commands[0].startswith("python -m pip install")
