# SPDX-License-Identifier: MIT
import gc

import pytest

from micrograd_c import _core, accumulate_grads

DEFAULT_MINIMUM = 8192


@pytest.fixture(autouse=True)
def defaults():
    """Every test starts from, and leaves, the engine's defaults."""
    yield
    accumulate_grads(False)
    _core.set_minimum(DEFAULT_MINIMUM)


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
