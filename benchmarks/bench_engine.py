# SPDX-License-Identifier: MIT
"""The workloads under pytest-benchmark, one group each, with both engines side by side.

`pytest benchmarks/ --benchmark-only`. Nothing here fails for being slow.
"""

import functools

import pytest

from . import measure, workloads
from .reference import with_deep_stack

SIZES = (1_000, 10_000, 100_000)
ENGINES = {"lesson": measure.lesson_engine, "micrograd_c": measure.our_engine}

# Slow calls are repeated a few times only, the quick ones for a second.
pytestmark = pytest.mark.benchmark(min_rounds=3, max_time=1.0)


@pytest.fixture(scope="module", params=ENGINES)
def engine(request):
    return ENGINES[request.param]()


def grouped(benchmark, group, engine):
    """Put this run in its group, under its engine's name."""
    benchmark.group = group
    benchmark.name = engine if isinstance(engine, str) else engine.name
    return benchmark


@pytest.mark.parametrize("size", SIZES)
def test_record_chain(benchmark, engine, size):
    start = engine.start_chain()
    grouped(benchmark, f"record x*a + b, {size:,} operations", engine)
    root = benchmark(engine.workloads.chain, *start, size)
    assert root.data > 0.0


@pytest.mark.parametrize("size", SIZES)
def test_float_chain(benchmark, size):
    floats = measure.own_copy(workloads)
    grouped(benchmark, f"record x*a + b, {size:,} operations", "plain floats")
    assert benchmark(floats.chain, *workloads.CHAIN_START, size) > 0.0


@pytest.mark.parametrize("size", SIZES)
def test_backward_chain(benchmark, engine, size):
    leaves = engine.start_chain()
    root = engine.workloads.chain(*leaves, size)
    grouped(benchmark, f"backward on the chain, {size:,} operations", engine)
    with_deep_stack(benchmark, root.backward)
    assert leaves[2].grad > 0.0


@pytest.mark.parametrize("size", SIZES)
def test_record_graph(benchmark, engine, size):
    plan = workloads.random_plan(size)
    grouped(benchmark, f"record a random graph, {size:,} operations", engine)
    benchmark(engine.workloads.random_graph, engine.Value, plan)


@pytest.mark.parametrize("size", SIZES)
def test_backward_graph(benchmark, engine, size):
    root, leaves = engine.workloads.random_graph(engine.Value, workloads.random_plan(size))
    grouped(benchmark, f"backward on the random graph, {size:,} operations", engine)
    with_deep_stack(benchmark, root.backward)
    assert any(leaf.grad for leaf in leaves)


def test_lesson_step(benchmark, engine):
    classes = engine.lesson_classes(engine.Value)
    training = engine.workloads.LessonTraining(engine.Value, classes[2])
    grouped(benchmark, "lesson's training step", engine)
    assert benchmark(training.step) < 6.0


def test_lesson_step_nn(benchmark):
    from micrograd_c import nn

    engine = measure.our_engine()
    training = engine.workloads.LessonTraining(engine.Value, nn.MLP)
    grouped(benchmark, "lesson's training step", "micrograd_c.nn")
    assert benchmark(training.step) < 6.0


def test_moons_step(benchmark, engine):
    classes = engine.lesson_classes(engine.Value, "relu", "linear")
    training = engine.workloads.MoonsTraining(engine.Value, classes[2])
    grouped(benchmark, "moons step", engine)
    assert benchmark(training.step) < 3.0


def test_moons_step_nn(benchmark):
    from micrograd_c import nn

    engine = measure.our_engine()
    network = functools.partial(nn.MLP, activation="relu", output_activation="linear")
    training = engine.workloads.MoonsTraining(engine.Value, network)
    grouped(benchmark, "moons step", "micrograd_c.nn")
    assert benchmark(training.step) < 3.0


def test_gpt_step(benchmark, engine):
    training = engine.gpt.Training(engine.Value)
    grouped(benchmark, "scalar GPT step", engine)
    assert benchmark(training.step) < 5.0
