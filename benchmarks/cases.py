# SPDX-License-Identifier: MIT
"""The table's lines: which two things each compares, checked to compute the same first."""

import functools
import importlib.util
import random
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace

from . import cloop, compiled, derivatives, measure, memory, peers, workloads
from .measure import Row, Settings, agree, collector_paused, compare, paired_row, time_calls
from .reference import with_deep_stack

OURS, LESSON = "micrograd_c", "lesson's engine"
PACKAGES = dict.fromkeys(compiled.JAX_PEERS, "jax") | {p: p for p in ("ddx", "torch", "numpy")}
SLOW = 100_000  # operations that the lesson's engine takes seconds to record: no warm-up for it

TITLES = {
    "record/floats": f"Recording x*a + b, per operation: {OURS} / plain Python floats",
    "record/lesson": f"Recording x*a + b, per operation: {LESSON} / {OURS}",
    "backward/c": f"Backward on that chain, per node: {OURS} / plain C loop",
    "backward/lesson": f"Backward on that chain, per node: {LESSON} / {OURS}",
    "graph/record": f"Recording a random graph, per operation: {LESSON} / {OURS}",
    "graph/backward": f"Backward on that graph, per operation: {LESSON} / {OURS}",
    "step": f"A training step: {LESSON} / {OURS}",
    "memory": f"Resident bytes per node of a chain: {LESSON} / {OURS}\n"
    "(fresh processes; the lesson's engine holds a fifth of the nodes)",
    "crowd": f"Backward of a 360-node graph, {OURS}: crowd alive / alone",
    "hessian": f"Hessian at one point, {OURS}.compile: the Hessian / value_and_grad of the same\n"
    "(random functions, operations by inputs; 'ready': with recording; Rosenbrock's chain)",
    "gradients": f"Eager gradients(), {OURS}: they / recording the graph",
    "peer": f"Peers, each in a process of its own: the peer / {OURS}\n"
    f"(torch and jax: beside {OURS}.nn; the others: the same script on both)",
    "compiled": f"Compiled, per step or call: the other / {OURS}.compile\n"
    "(double precision and one thread on both sides but where a line says otherwise)",
}


class Unavailable(Exception):
    """This machine lacks what the comparison needs; the message says what."""


@dataclass
class Case:
    """One entry of the table; `run(settings)` returns its rows."""

    group: str
    name: str
    run: Callable[[Settings], list[Row]]

    @property
    def path(self):
        return f"{self.group}/{self.name}"


@functools.cache
def engines():
    """(lesson's, ours): one copy of each for the whole run."""
    return measure.lesson_engine(), measure.our_engine()


def all_cases(settings):
    """Every case in the table's order."""
    cases = []

    def add(group, name, run, *arguments):
        cases.append(Case(group, name, lambda s: [run(name, s, *arguments)]))

    def chains(group, run, sizes):
        for size in sizes:
            add(group, f"{size:,} operations", run, size)

    chains("record/floats", record_beside_floats, settings.sizes)
    chains("record/lesson", record_chain, settings.sizes)
    chains("backward/c", backward_beside_c, settings.sizes)
    chains("backward/lesson", backward_chain, settings.sizes)
    chains("graph/record", record_graph, settings.sizes)
    chains("graph/backward", backward_graph, settings.sizes)
    add("step", "lesson step, lesson's classes", lesson_step, "classes")
    add("step", "lesson step, micrograd_c.nn", lesson_step, "nn")
    add("step", "moons step, lesson's classes", moons_step, "classes")
    add("step", "moons step, micrograd_c.nn", moons_step, "nn")
    add("step", "scalar GPT step, one script", gpt_step)
    many = f"{settings.deep:,} nodes"
    add("memory", f"{many}, no Value kept", memory_per_node, False)
    add("memory", f"{many}, a Value for each", memory_per_node, True)
    add("crowd", f"{many} recorded before", crowded_backward, False)
    add("crowd", f"{many} in its midst", crowded_backward, True)
    derivatives.add_cases(lambda *case: cases.append(Case(*case)), settings)
    for peer in peers.PEERS:
        cases.append(Case("peer", peer, functools.partial(peer_rows, peer)))
    for peer in ("lesson", *compiled.PEERS):
        cases.append(Case("compiled", peer, functools.partial(compiled_rows, peer)))
    return cases


def record_beside_floats(name, settings, size):
    _, ours = engines()
    floats = measure.own_copy(workloads)
    start = ours.start_chain()
    agree(
        name,
        [ours.workloads.chain(*start, size).data],
        [floats.chain(*workloads.CHAIN_START, size)],
    )
    return compare(
        name,
        lambda: ours.workloads.chain(*start, size),
        lambda: floats.chain(*workloads.CHAIN_START, size),
        settings,
        per=size,
    )


def record_chain(name, settings, size):
    lesson, ours = engines()
    theirs, start = lesson.start_chain(), ours.start_chain()
    return compare(
        name,
        lambda: lesson.workloads.chain(*theirs, size),
        lambda: ours.workloads.chain(*start, size),
        settings,
        per=size,
        first_calls=1 if size >= SLOW else None,
    )


def backward_beside_c(name, settings, size):
    if cloop.compiler() is None:
        raise Unavailable("no C compiler here")
    _, ours = engines()
    leaves = ours.start_chain()
    root = ours.workloads.chain(*leaves, size)
    root.backward()
    try:
        floor = cloop.Chain(size, workloads.CHAIN_START)
    except (OSError, subprocess.CalledProcessError):
        raise Unavailable("the C compiler here does not work") from None
    floor.sweep_seconds(1)
    agree(name, [leaf.grad for leaf in leaves], floor.leaf_gradients)
    ours_calls = measure.calls_for(root.backward, settings.slice)
    floor_calls = measure.calls_for(lambda: floor.sweep_seconds(1), settings.slice)
    return paired_row(
        name,
        lambda: time_calls(root.backward, ours_calls) / size,
        lambda: floor.sweep_seconds(floor_calls) / size,
        settings,
    )


def compare_backward(name, settings, size, theirs, ours):
    """Compare `backward` of two (root, leaves), the recursive sort given the stack it needs."""

    def run():
        theirs[0].backward()
        ours[0].backward()
        agree(name, [leaf.grad for leaf in theirs[1]], [leaf.grad for leaf in ours[1]])
        return compare(name, theirs[0].backward, ours[0].backward, settings, per=size)

    return with_deep_stack(run)


def backward_chain(name, settings, size):
    graphs = []
    with collector_paused():
        for engine in engines():
            leaves = engine.start_chain()
            graphs.append((engine.workloads.chain(*leaves, size), leaves))
    return compare_backward(name, settings, size, *graphs)


def record_graph(name, settings, size):
    lesson, ours = engines()
    plan = workloads.random_plan(size)
    return compare(
        name,
        lambda: lesson.workloads.random_graph(lesson.Value, plan),
        lambda: ours.workloads.random_graph(ours.Value, plan),
        settings,
        per=size,
        first_calls=1 if size >= SLOW else None,
    )


def backward_graph(name, settings, size):
    plan = workloads.random_plan(size)
    with collector_paused():
        graphs = [engine.workloads.random_graph(engine.Value, plan) for engine in engines()]
    return compare_backward(name, settings, size, *graphs)


def our_network(ours, flavour, *activations):
    """What makes the MLP on our side: the lesson's own classes, or micrograd_c.nn."""
    if flavour == "classes":
        return ours.lesson_classes(ours.Value, *activations)[2]
    from micrograd_c import nn

    return functools.partial(
        nn.MLP, **dict(zip(("activation", "output_activation"), activations, strict=False))
    )


def compare_steps(name, settings, theirs, ours):
    """Compare two trainings step by step, after a few steps that must give the same losses."""
    agree(name, [theirs.step() for _ in range(3)], [ours.step() for _ in range(3)], rel_tol=1e-8)
    return compare(name, theirs.step, ours.step, settings)


def lesson_step(name, settings, flavour):
    lesson, ours = engines()
    classes = lesson.lesson_classes(lesson.Value)
    return compare_steps(
        name,
        settings,
        lesson.workloads.LessonTraining(lesson.Value, classes[2]),
        ours.workloads.LessonTraining(ours.Value, our_network(ours, flavour)),
    )


def moons_step(name, settings, flavour):
    lesson, ours = engines()
    classes = lesson.lesson_classes(lesson.Value, "relu", "linear")
    network = our_network(ours, flavour, "relu", "linear")
    return compare_steps(
        name,
        settings,
        lesson.workloads.MoonsTraining(lesson.Value, classes[2], samples=settings.samples),
        ours.workloads.MoonsTraining(ours.Value, network, samples=settings.samples),
    )


def gpt_step(name, settings):
    lesson, ours = engines()
    theirs = lesson.gpt.Training(lesson.Value)
    mine = ours.gpt.Training(ours.Value)
    agree(name, [theirs.step() for _ in range(2)], [mine.step() for _ in range(2)], rel_tol=1e-7)
    longer = replace(settings, budget=3 * settings.budget)
    # A step's cost follows its name's length: call for call, both sides meet the same name.
    return compare(name, theirs.step, mine.step, longer, first_calls=1, second_calls=1)


def memory_per_node(name, settings, keep_values):
    if not memory.available():
        raise Unavailable("this system does not tell resident memory")
    nodes = settings.deep
    keep = int(keep_values)
    return paired_row(
        name,
        # The lesson's nodes are alike at any count: a fifth spares the machine's memory.
        lambda: measure.run_child("memory", "lesson", nodes // 5, keep),
        lambda: measure.run_child("memory", "micrograd_c", nodes, keep),
        replace(settings, least_rounds=2, most_rounds=3),
        unit="B",
    )


def crowded_backward(name, settings, between):
    """`between`: the crowd stands between the parameters and the graph built on them."""
    _, ours = engines()
    work = ours.workloads
    classes = ours.lesson_classes(ours.Value)

    def train():
        return work.LessonTraining(ours.Value, classes[2])

    def seconds(crowd_size, calls=None):
        # Recorded and dropped: what an earlier round left on the tape is pushed off it.
        for _ in range(settings.deep // 1000):
            work.chain(*ours.start_chain(), 1000)
        training = train() if between else None
        crowd = work.chain(*ours.start_chain(), crowd_size)
        training = training or train()
        loss = training.loss()
        if calls is None:
            return measure.calls_for(loss.backward, settings.slice)
        took = time_calls(loss.backward, calls)
        assert crowd.data > 0.0
        return took

    state = random.getstate()
    try:
        calls = seconds(2)
        return paired_row(
            name, lambda: seconds(settings.deep, calls), lambda: seconds(2, calls), settings
        )
    finally:
        random.setstate(state)


def peer_rows(peer, settings):
    if importlib.util.find_spec(peer) is None:
        raise Unavailable("not installed")
    budget = "quick" if settings is measure.QUICK else "full"
    return [Row(**row) for row in measure.run_child("peers", peer, budget)]


def compiled_rows(peer, settings):
    if peer == "c" and cloop.compiler() is None:
        raise Unavailable("no C compiler")
    if peer in PACKAGES and importlib.util.find_spec(PACKAGES[peer]) is None:
        raise Unavailable("not installed")
    budget = "quick" if settings is measure.QUICK else "full"
    return [Row(**row) for row in measure.run_child("compiled", peer, budget)]
