# SPDX-License-Identifier: MIT
"""Fixtures that several test files share."""

import gc
import os
import sys
from pathlib import Path

import pytest

from micrograd_c import _core, accumulate_grads

# Every graph that the tests compile is verified after every pass; in child processes, too.
os.environ["MICROGRAD_C_VERIFY"] = "1"
_core.set_verifying(True)

# So that common.py and pages.py are found wherever this folder lies, in each of pytest's modes.
sys.path.insert(0, str(Path(__file__).parent))
pytest.register_assert_rewrite("common")
from common import NATIVE_WAYS, run_on  # noqa: E402

DEFAULT_MINIMUM = 8192
# What runs programs where a test asks for nothing: for runs of the suite without machine code.
EXECUTOR = os.environ.get("MICROGRAD_C_TEST_EXECUTOR")
_core.set_executor(EXECUTOR)


def pytest_collection_finish():
    """A collection looks at what tests have made: not at modules, half a million objects.

    Tests ask for thousands of collections.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def defaults():
    """Every test starts from, and leaves, the engine's defaults."""
    yield
    accumulate_grads(False)
    _core.set_minimum(DEFAULT_MINIMUM)
    _core.set_level(os.environ.get("MICROGRAD_C_LEVEL") or None)
    _core.set_executor(EXECUTOR)


@pytest.fixture
def restless():
    """A tape that looks for garbage whenever it can, so that nodes move all the time."""
    _core.set_minimum(1)


@pytest.fixture
def clean():
    """A tape without garbage; returns a function that counts the nodes on it after a collection."""

    def nodes():
        gc.collect()
        return _core.tape_stats().nodes

    nodes()
    return nodes


@pytest.fixture(params=["calm", "restless"])
def either_tape(request):
    """The usual tape, and one on which nodes move all the time."""
    if request.param == "restless":
        request.getfixturevalue("restless")


@pytest.fixture
def no_collection_meanwhile():
    """Counts of nodes must not depend on when Python's collector happens to run."""
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
def cli(tmp_path):
    """Runs the command line in an empty folder."""
    from common import start

    return lambda *arguments: start("-m", "micrograd_c", *arguments, cwd=tmp_path)


@pytest.fixture
def write(tmp_path):
    """Puts a script into that folder; gives its name."""

    def write(text, name="script.py"):
        (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        return name

    return write


@pytest.fixture(params=NATIVE_WAYS)
def way(request):
    """Machine code, at each level that this processor has."""
    run_on(request.param)
    return request.param
