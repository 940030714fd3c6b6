# SPDX-License-Identifier: MIT
"""Compiled training beside other ways to compute the very same steps.

Each peer runs in a process of its own, in turn with ours, one thread and double precision on both
sides, from the same weights on the same data; first losses are compared before anything is timed.
"""

import functools
import json
import os

PEERS = ("c", "jax", "torch")
NAMES = {"c": "hand-written C", "jax": "JAX jit and scan", "torch": "PyTorch eager"}
ONE_THREAD = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
FIRST = 5  # losses that must agree
STEPS = {"lesson": 20_000, "moons": 2000, "wide": 100, "digits": 440}  # of a call
OPERATIONS = 300  # of the irregular graph: XLA's time to compile grows with their square
SAMPLES = 100_000  # for two threads


def peer_of(peer, name, task, by_call=False):
    """The peer's training of a task, or None where it has none."""
    if peer == "jax":
        from . import compiled_jax

        return compiled_jax.Training(task, by_call)
    if peer == "torch":
        from . import compiled_torch

        return compiled_torch.Training(task)
    from . import handwritten

    return handwritten.Training(name, task) if name != "digits" else None


def training_row(peer, name, settings, by_call=False):
    """One task's training step: the peer's over ours."""
    from . import compiled_workloads as tasks
    from .measure import agree, compare

    theirs = peer_of(peer, name, tasks.TASKS[name](), by_call)
    if theirs is None:
        return None
    ours = tasks.Ours(tasks.TASKS[name](), by_call)
    title = f"{name} step, {'one jax.jit call' if by_call else NAMES[peer]}"
    agree(title, list(theirs.train(FIRST)), ours.train(FIRST), rel_tol=1e-8)
    steps = STEPS[name] // (20 if by_call or peer == "torch" else 1)
    return compare(
        title,
        functools.partial(theirs.train, steps),
        functools.partial(ours.train, steps),
        settings,
        per=steps,
    )


def irregular_row(settings):
    """A random graph of scalar operations, 256 samples: value and gradients."""
    import jax
    from jax import numpy as jnp

    import micrograd_c
    from micrograd_c import Value

    from . import irregular
    from .compiled_workloads import buffer
    from .measure import agree, compare

    jax.config.update("jax_enable_x64", True)
    function = irregular.function(OPERATIONS)
    inputs, numbers = irregular.numbers()
    parameters = [Value(number) for number in numbers]
    calls = (Value.tanh, Value.sigmoid, Value.relu, Value.exp)
    ours = micrograd_c.compile(lambda x: function(x, parameters, *calls), threads=1)
    data = buffer(inputs)

    def mean(p, x):
        names = (jnp.tanh, jax.nn.sigmoid, jax.nn.relu, jnp.exp)
        return jax.vmap(lambda sample: function(sample, p, *names))(x).mean()

    theirs = jax.jit(jax.value_and_grad(mean))
    p, x = jnp.array(numbers), jnp.array(inputs)
    loss, gradients = theirs(p, x)
    title = f"{OPERATIONS} random operations, jax.jit"
    agree(title, [float(loss)], [ours.value_and_grad(data)], rel_tol=1e-8)
    agree(title, gradients.tolist(), [value.grad for value in parameters], rel_tol=1e-7)
    return compare(
        title,
        lambda: jax.block_until_ready(theirs(p, x)),
        lambda: ours.value_and_grad(data),
        settings,
    )


def gpt_row(settings):
    """The scalar GPT's training step, a name a step: the lesson's engine over ours, compiled."""
    from . import compiled_gpt, gpt
    from .measure import agree, compare
    from .reference import Value

    theirs, ours = gpt.Training(Value), compiled_gpt.Training()
    title = "scalar GPT step, lesson's engine"
    agree(title, [theirs.step() for _ in range(2)], [ours.step() for _ in range(2)], rel_tol=1e-7)
    for length in range(gpt.CONTEXT):  # a program for each, recorded before anything is timed
        ours.f.value_and_grad([[float(gpt.BOUNDARY)] * (length + 2)])
    return compare(title, theirs.step, ours.step, settings, first_calls=1, second_calls=10)


def threads_row(settings):
    """The wide network on many samples: one thread over two."""
    from . import compiled_workloads as tasks
    from .measure import compare

    task = tasks.wide(SAMPLES)
    one, two = task.compile(threads=1), task.compile(threads=2)
    data = task.arrays()
    return compare(
        f"wide, {SAMPLES:,} samples, 1 / 2 threads",
        lambda: one.value_and_grad(*data),
        lambda: two.value_and_grad(*data),
        settings,
        first_calls=1,
        second_calls=1,
    )


def rows_of(peer, settings):
    """All rows of a peer; of 'lesson', what needs no other library."""
    if peer == "lesson":
        return [gpt_row(settings), threads_row(settings)]
    names = ["lesson", "moons", "wide"]
    if peer != "c":
        import importlib.util

        names += ["digits"] if importlib.util.find_spec("sklearn") else []
    rows = [training_row(peer, name, settings) for name in names]
    if peer == "jax":
        rows += [training_row(peer, "moons", settings, by_call=True), irregular_row(settings)]
    return rows


def main(argv):
    """Arguments: the peer, 'quick' or 'full'; prints its rows as one line of JSON."""
    peer, budget = argv
    if peer == "jax":
        os.environ["XLA_FLAGS"] = ONE_THREAD
    from . import measure

    settings = measure.QUICK if budget == "quick" else measure.Settings()
    print(json.dumps(measure.as_json(rows_of(peer, settings))))
