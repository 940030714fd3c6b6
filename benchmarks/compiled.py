# SPDX-License-Identifier: MIT
"""Compiled training beside other ways to compute the very same steps.

Each peer runs in a process of its own, in turn with ours, one thread and the same precision on both
sides, from the same weights on the same data; first losses are compared before anything is timed.
"""

import functools
import json
import os
import time

PEERS = ("c", "jax", "jax-float32", "jax-pool", "scan", "scan-pool", "ddx", "torch", "numpy")
NAMES = {
    "c": "hand-written C",
    "jax": "JAX jit and scan",
    "jax-float32": "JAX scan, float32",
    "jax-pool": "JAX, all threads",
    "torch": "PyTorch eager",
}
ONE_THREAD = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
JAX_PEERS = ("jax", "jax-float32", "jax-pool", "scan", "scan-pool")
FIRST = 5  # losses that must agree
ROUNDING = {"float64": 1e-8, "float32": 1e-4}
STEPS = {"lesson": 20_000, "moons": 2000, "wide": 100, "digits": 440}  # of a call
OPERATIONS = 300  # of the irregular graph: XLA's time to compile grows with their square
SAMPLES = 100_000  # for two threads
EPOCHS = 40  # of the digits, before the images held out are shown
PREPARED = 2000  # operations of the irregular graph that is only made ready


def peer_of(peer, name, task, by_call=False):
    """The peer's training of a task."""
    if peer in JAX_PEERS:
        from . import compiled_jax

        compiled_jax.use_float64(peer != "jax-float32")
        return compiled_jax.Training(task, by_call)
    if peer == "torch":
        from . import compiled_torch

        return compiled_torch.Training(task)
    from . import handwritten

    return handwritten.Training(name, task)


def training_row(peer, name, settings, by_call=False):
    """One task's training step: the peer's over ours."""
    from . import compiled_workloads as tasks
    from .measure import agree, compare

    theirs = peer_of(peer, name, tasks.TASKS[name](), by_call)
    dtype = "float32" if peer == "jax-float32" else "float64"
    ours = tasks.Ours(tasks.TASKS[name](), by_call, dtype)
    title = f"{name} step, {'one jax.jit call' if by_call else NAMES[peer]}"
    agree(title, list(theirs.train(FIRST)), ours.train(FIRST), rel_tol=ROUNDING[dtype])
    steps = STEPS[name] // (20 if by_call or peer == "torch" else 1)
    return compare(
        title,
        functools.partial(theirs.train, steps),
        functools.partial(ours.train, steps),
        settings,
        per=steps,
    )


def irregular_rows(settings):
    """A random graph of scalar operations, 256 samples: value and gradients; and getting there."""
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
    p, x = jnp.array(numbers), jnp.array(inputs)

    def mean(p, x):
        names = (jnp.tanh, jax.nn.sigmoid, jax.nn.relu, jnp.exp)
        return jax.vmap(lambda sample: function(sample, p, *names))(x).mean()

    def make_theirs():
        # A new function each time: jit keeps what it has compiled for one that it knows.
        fresh = jax.jit(jax.value_and_grad(lambda p, x: mean(p, x)))
        return fresh.lower(p, x).compile()

    def make_ours():
        micrograd_c.compile(lambda x: function(x, parameters, *calls)).value_and_grad(data)

    theirs = make_theirs()
    loss, gradients = theirs(p, x)
    title = f"{OPERATIONS} random operations, jax.jit"
    agree(title, [float(loss)], [ours.value_and_grad(data)], rel_tol=1e-8)
    agree(title, gradients.tolist(), [value.grad for value in parameters], rel_tol=1e-7)
    run = compare(
        title,
        lambda: jax.block_until_ready(theirs(p, x)),
        lambda: ours.value_and_grad(data),
        settings,
    )
    title = f"{OPERATIONS} operations, ready, jax.jit"
    return [run, compare(title, make_theirs, make_ours, settings, first_calls=1, second_calls=10)]


def hessian_rows(settings):
    """A random function's Hessian at one point; and getting there. XLA takes a minute for it."""
    import jax
    from jax import numpy as jnp

    import micrograd_c

    from . import derivatives
    from .measure import Row, agree, compare, time_calls

    operations, n = derivatives.SIZES[1]
    function = derivatives.RandomFunction(operations, n)
    jax_names = (jnp.tanh, jnp.exp, sum)
    jax_function = derivatives.RandomFunction(operations, n, jax_names)
    point, x = [function.point], jnp.array(function.point)

    def make_theirs():
        return jax.jit(jax.hessian(lambda x: jax_function(x))).lower(x).compile()

    def make_ours():
        compiled = micrograd_c.compile(micrograd_c.hessian(function), threads=1)
        compiled(point)
        return compiled

    begin = time.perf_counter()
    theirs = make_theirs()
    took = time.perf_counter() - begin, time_calls(make_ours, 10)
    ratio = took[0] / took[1]
    # Once: a second time would cost a minute more.
    ready = Row(f"Hessian, {operations} by {n}, ready", ratio, ratio, ratio, *took, "s", 1)
    ours = make_ours()
    title = f"Hessian, {operations} by {n}, jax.jit"
    agree(title, theirs(x).ravel().tolist(), [h for row in ours(point)[0] for h in row], 1e-8)
    run = compare(title, lambda: jax.block_until_ready(theirs(x)), lambda: ours(point), settings)
    return [run, ready]


def gpt_row(peer, settings):
    """The scalar GPT's training step, a name a step: the peer's over ours, compiled."""
    from . import compiled_gpt, gpt
    from .measure import agree, compare

    if peer == "torch":
        from . import gpt_torch

        title, theirs = "GPT step, PyTorch tensors", gpt_torch.Training()
    elif peer == "numpy":
        from . import gpt_numpy

        title, theirs = "GPT step, NumPy derived by hand", gpt_numpy.Training()
    else:
        from .reference import Value

        title, theirs = "GPT step, lesson's engine", gpt.Training(Value)
    ours = compiled_gpt.Training()
    agree(title, [theirs.step() for _ in range(2)], [ours.step() for _ in range(2)], rel_tol=1e-7)
    for length in range(gpt.CONTEXT):  # a program for each, recorded before anything is timed
        ours.f.value_and_grad([[float(gpt.BOUNDARY)] * (length + 2)])
    # Both see the same names: as many a turn, but for the engine that takes a second for ten.
    calls = 1 if peer == "lesson" else 50
    return compare(
        title, theirs.step, ours.step, settings, first_calls=calls, second_calls=max(calls, 10)
    )


def held_out_row(settings):
    """The digits that neither side has trained on, in percent right, and no time at all."""
    from . import compiled_torch
    from . import compiled_workloads as tasks
    from .measure import Row

    images, labels = tasks.digit_images()
    images, labels = images[-tasks.HELD_OUT :], labels[-tasks.HELD_OUT :]
    task = tasks.digits()
    theirs, ours = compiled_torch.Training(task), tasks.Ours(task)
    for training in theirs, ours:
        training.train(EPOCHS * task.batches)
    shares = theirs.right_share(images, labels), tasks.right_share(task.model, images, labels)
    ratio = shares[0] / shares[1]
    title = "digits held out, PyTorch"
    return Row(title, ratio, ratio, ratio, 100 * shares[0], 100 * shares[1], "%", 1)


def preparation_rows(settings):
    """Recording, optimising and a first run on one sample, over one eager call of the function.

    The eager call is the same function on the same sample, its graph dropped.
    """
    import micrograd_c
    from micrograd_c import Value

    from . import compiled_gpt, gpt, irregular
    from . import compiled_workloads as tasks
    from .measure import compare

    inputs, numbers = irregular.numbers()
    parameters = [Value(number) for number in numbers]
    function = irregular.function(PREPARED)
    calls = (Value.tanh, Value.sigmoid, Value.relu, Value.exp)
    language = compiled_gpt.Training()
    name = [float(token) for token in gpt.tokens_of(language.names[0])]
    lesson, wide = tasks.lesson(), tasks.wide()
    functions = [
        ("lesson's network", lesson.loss, (lesson.inputs[0], lesson.targets[0])),
        ("2-64-64-1", wide.loss, (wide.inputs[0], wide.targets[0])),
        (f"{PREPARED:,} operations", lambda x: function(x, parameters, *calls), (inputs[0],)),
        (f"GPT, {len(name) - 2} letters", language.loss, (name,)),
    ]
    rows = []
    for title, loss, sample in functions:
        values = [
            [Value(x) for x in part] if isinstance(part, list) else Value(part) for part in sample
        ]
        batch = [[part] for part in sample]
        row = compare(
            f"ready / eager, {title}",
            lambda loss=loss, batch=batch: micrograd_c.compile(loss)(*batch),
            lambda loss=loss, values=values: loss(*values),
            settings,
        )
        rows.append(row)
    return rows


def threads_row(settings):
    """The wide network on many samples: one thread over two."""
    from . import compiled_workloads as tasks
    from .measure import compare

    task = tasks.wide(SAMPLES)
    one, two = task.compile(threads=1), task.compile(threads=2)
    data = task.arrays()
    return compare(
        f"wide, {SAMPLES // 1000}k samples, threads 1 / 2",
        lambda: one.value_and_grad(*data),
        lambda: two.value_and_grad(*data),
        settings,
        first_calls=1,
        second_calls=1,
    )


def rows_of(peer, settings):
    """All rows of a peer; of 'lesson', what needs no other library."""
    if peer == "lesson":
        return [gpt_row(peer, settings), threads_row(settings), *preparation_rows(settings)]
    if peer == "numpy":
        return [gpt_row(peer, settings)]
    if peer == "ddx":
        from . import compiled_ddx

        return compiled_ddx.rows(settings)
    if peer in ("scan", "scan-pool"):
        from . import scans

        return scans.rows(settings)
    if peer == "jax-pool":
        from . import asian

        return [training_row(peer, "wide", settings), asian.row(settings)]
    import importlib.util

    names = ["wide"] if peer == "jax-float32" else ["lesson", "moons", "wide"]
    has_digits = importlib.util.find_spec("sklearn") is not None
    rows = [training_row(peer, name, settings) for name in names + ["digits"] * has_digits]
    if peer == "jax":
        rows += [training_row(peer, "moons", settings, by_call=True), *irregular_rows(settings)]
        rows += hessian_rows(settings)
    if peer == "torch":
        rows += [held_out_row(settings)] * has_digits + [gpt_row(peer, settings)]
    return rows


def main(argv):
    """Arguments: the peer, 'quick' or 'full'; prints its rows as one line of JSON."""
    peer, budget = argv
    for library in ("OPENBLAS", "MKL", "OMP"):
        os.environ[f"{library}_NUM_THREADS"] = "1"
    if peer in ("jax", "jax-float32", "scan"):
        os.environ["XLA_FLAGS"] = ONE_THREAD
    from . import measure

    settings = measure.QUICK if budget == "quick" else measure.Settings()
    print(json.dumps(measure.as_json(rows_of(peer, settings))))
