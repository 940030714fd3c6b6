# SPDX-License-Identifier: MIT
"""One language model, written five times, learns the same: eager, compiled, the lesson's engine,
PyTorch tensors, and NumPy with gradients derived by hand."""

import pytest

from micrograd_c import Value
from micrograd_c.benchmarks import compiled_gpt, gpt, reference

STEPS = 3


@pytest.fixture(scope="module")
def losses():
    training = gpt.Training(Value)
    return [training.step() for _ in range(STEPS)]


def learn(training):
    return [training.step() for _ in range(STEPS)]


def test_on_the_lessons_engine(losses):
    assert learn(gpt.Training(reference.Value)) == pytest.approx(losses, rel=1e-12)


def test_compiled(losses):
    assert learn(compiled_gpt.Training()) == pytest.approx(losses, rel=1e-9)


def test_in_torch(losses):
    pytest.importorskip("torch")
    from micrograd_c.benchmarks import gpt_torch

    assert learn(gpt_torch.Training()) == pytest.approx(losses, rel=1e-9)


def test_in_numpy(losses):
    pytest.importorskip("numpy")
    from micrograd_c.benchmarks import gpt_numpy

    assert learn(gpt_numpy.Training()) == pytest.approx(losses, rel=1e-9)
