# SPDX-License-Identifier: MIT
"""Other engines beside ours. Each runs in a child process: a big import or a crash stays there.

micrograd and minigrad run the very script that our Value runs; torch and jax.jit compute whole
batches, as their users would, and stand beside `micrograd_c.nn`.
"""

import functools
import json

from . import measure, workloads
from .measure import Engine, agree, compare
from .reference import with_deep_stack

PEERS = ("micrograd", "minigrad", "torch", "jax")
CHAIN = 1000  # minigrad does not survive much deeper graphs


def our_training(kind, samples):
    """(training, weights): ours on micrograd_c.nn, and its weights for the peer to start from.

    Weights are one (matrix, biases) per layer.
    """
    from micrograd_c import nn

    ours = measure.our_engine()
    if kind == "lesson":
        training = ours.workloads.LessonTraining(ours.Value, nn.MLP)
    else:
        network = functools.partial(nn.MLP, activation="relu", output_activation="linear")
        training = ours.workloads.MoonsTraining(ours.Value, network, samples=samples)
    weights = []
    for layer in training.model.layers:
        matrix = [[w.data for w in neuron.w] for neuron in layer.neurons]
        weights.append((matrix, [neuron.b.data for neuron in layer.neurons]))
    return training, weights


def data_of(kind, samples):
    """(inputs, targets) as plain numbers."""
    if kind == "lesson":
        return workloads.LESSON_X, workloads.LESSON_Y
    return workloads.two_moons(samples)


def torch_step(kind, weights, samples):
    """One eager training step in double precision, as a function that returns the loss."""
    import torch

    torch.set_num_threads(1)  # such small tensors only lose time between threads
    data = data_of(kind, samples)
    inputs, targets = (torch.tensor(numbers, dtype=torch.float64) for numbers in data)
    layers = []
    for matrix, biases in weights:
        linear = torch.nn.Linear(len(matrix[0]), len(matrix), dtype=torch.float64)
        with torch.no_grad():
            linear.weight.copy_(torch.tensor(matrix, dtype=torch.float64))
            linear.bias.copy_(torch.tensor(biases, dtype=torch.float64))
        layers += [linear, torch.nn.Tanh() if kind == "lesson" else torch.nn.ReLU()]
    if kind == "moons":
        layers.pop()
    model = torch.nn.Sequential(*layers)
    parameters = list(model.parameters())
    optimizer = torch.optim.SGD(parameters, lr=0.05 if kind == "lesson" else 0.1)

    def step():
        scores = model(inputs).squeeze(1)
        if kind == "lesson":
            loss = ((scores - targets) ** 2).sum()
        else:
            penalty = sum((p * p).sum() for p in parameters)
            loss = (1 - targets * scores).relu().mean() + 1e-4 * penalty
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def jax_step(kind, weights, samples):
    """One jitted training step in double precision, as a function that returns the loss."""
    import jax
    from jax import numpy as jnp

    jax.config.update("jax_enable_x64", True)
    data = data_of(kind, samples)
    inputs, targets = (jnp.array(numbers, dtype=jnp.float64) for numbers in data)
    parameters = [(jnp.array(matrix), jnp.array(biases)) for matrix, biases in weights]
    lr = 0.05 if kind == "lesson" else 0.1

    def loss_of(parameters):
        x = inputs
        for matrix, biases in parameters[:-1]:
            x = x @ matrix.T + biases
            x = jnp.tanh(x) if kind == "lesson" else jnp.maximum(x, 0.0)
        matrix, biases = parameters[-1]
        scores = (x @ matrix.T + biases)[:, 0]
        if kind == "lesson":
            return ((jnp.tanh(scores) - targets) ** 2).sum()
        penalty = sum((p * p).sum() for layer in parameters for p in layer)
        return jnp.maximum(1 - targets * scores, 0.0).mean() + 1e-4 * penalty

    @jax.jit
    def update(parameters):
        loss, gradients = jax.value_and_grad(loss_of)(parameters)
        return loss, jax.tree.map(lambda p, g: p - lr * g, parameters, gradients)

    def step():
        nonlocal parameters
        loss, parameters = update(parameters)
        return float(loss)

    return step


def tensor_rows(peer, make_step, settings):
    """The lesson's step and the moons step of a tensor library beside micrograd_c.nn."""
    rows = []
    for kind in ("lesson", "moons"):
        training, weights = our_training(kind, settings.samples)
        step = make_step(kind, weights, settings.samples)
        name = f"{peer}, {kind} step"
        agree(name, [step() for _ in range(3)], [training.step() for _ in range(3)], rel_tol=1e-8)
        rows.append(compare(name, step, training.step, settings))
    return rows


def chain_rows(peer, Value, settings):
    """Recording and backward of a short chain on another scalar engine beside ours."""
    theirs, ours = Engine(peer, Value), measure.our_engine()
    graphs = []
    for engine in (theirs, ours):
        leaves = engine.start_chain()
        root = engine.workloads.chain(*leaves, CHAIN)
        root.backward()
        graphs.append((root, leaves, engine))
    agree(peer, *([root.data, *(leaf.grad for leaf in leaves)] for root, leaves, _ in graphs))
    return [
        compare(
            f"{peer}, recording x*a + b",
            *(
                functools.partial(engine.workloads.chain, *leaves, CHAIN)
                for _, leaves, engine in graphs
            ),
            settings,
            per=CHAIN,
        ),
        compare(
            f"{peer}, backward on that chain",
            *(root.backward for root, _, _ in graphs),
            settings,
            per=CHAIN,
        ),
    ]


def moons_row(peer, Value, settings):
    """The moons step with the lesson's classes on another Value beside ours."""
    trainings = []
    for engine in (Engine(peer, Value), measure.our_engine()):
        classes = engine.lesson_classes(engine.Value, "relu", "linear")
        work = engine.workloads
        trainings.append(work.MoonsTraining(engine.Value, classes[2], samples=settings.samples))
    name = f"{peer}, moons step"
    agree(name, *([training.step() for _ in range(2)] for training in trainings), rel_tol=1e-8)
    return compare(name, *(training.step for training in trainings), settings)


def measure_peer(peer, settings):
    """The peer's rows."""
    if peer == "torch":
        return tensor_rows("torch eager", torch_step, settings)
    if peer == "jax":
        return tensor_rows("jax.jit", jax_step, settings)
    if peer == "minigrad":
        from minigrad.engine import Value

        return chain_rows(peer, Value, settings)
    from micrograd.engine import Value

    rows = with_deep_stack(chain_rows, peer, Value, settings)
    return [*rows, moons_row(peer, Value, settings)]


def main(argv):
    """Arguments: the peer, 'quick' or 'full'; prints its rows as one line of JSON."""
    peer, budget = argv
    settings = measure.QUICK if budget == "quick" else measure.Settings()
    print(json.dumps(measure.as_json(measure_peer(peer, settings))))
