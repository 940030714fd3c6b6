# SPDX-License-Identifier: MIT
"""The compiled tasks in JAX: one jitted call a step, or a scan over steps."""

import functools

import jax
import numpy as np
from jax import lax
from jax import numpy as jnp


def use_float64(wanted):
    """Double precision from now on, or else JAX's own default."""
    jax.config.update("jax_enable_x64", wanted)


ACTIVATIONS = {"tanh": jnp.tanh, "relu": lambda x: jnp.maximum(x, 0.0), "linear": lambda x: x}


def network(activations, layers, x):
    """The network's outputs for a batch."""
    for (matrix, biases), activation in zip(layers, activations, strict=True):
        x = ACTIVATIONS[activation](x @ matrix.T + biases)
    return x


def batch_loss(task, layers, x, y):
    """The task's loss of a batch."""
    outputs = network(task.activations, layers, x)
    if task.optimizer == "Adam":
        chances = jax.nn.log_softmax(outputs)
        return -jnp.take_along_axis(chances, y[:, None], axis=1).mean()
    if not task.penalty:
        return ((outputs[:, 0] - y) ** 2).sum()
    penalty = sum((p * p).sum() for layer in layers for p in layer)
    return jnp.maximum(1 - y * outputs[:, 0], 0.0).mean() + task.penalty * penalty


def sgd(task, state, gradients):
    (layers,) = state
    return (jax.tree.map(lambda p, g: p - task.rate * g, layers, gradients),)


def adam(task, state, gradients, beta1=0.9, beta2=0.999, eps=1e-8):
    """PyTorch's Adam."""
    layers, means, squares, count = state
    count = count + 1
    means = jax.tree.map(lambda m, g: beta1 * m + (1 - beta1) * g, means, gradients)
    squares = jax.tree.map(lambda v, g: beta2 * v + (1 - beta2) * g * g, squares, gradients)
    rate, unbias = task.rate / (1 - beta1**count), jnp.sqrt(1 - beta2**count)
    layers = jax.tree.map(
        lambda p, m, v: p - rate * m / (jnp.sqrt(v) / unbias + eps), layers, means, squares
    )
    return layers, means, squares, count


class Training:
    """A task trained by `lax.scan` over the steps, or by one jitted call a step."""

    def __init__(self, task, by_call=False):
        layers = [(jnp.array(matrix), jnp.array(biases)) for matrix, biases in task.weights()]
        zeros = jax.tree.map(jnp.zeros_like, layers)
        adaptive = task.optimizer == "Adam"
        self.state = (layers, zeros, zeros, 0.0) if adaptive else (layers,)
        update = adam if adaptive else sgd
        kind = jnp.int32 if adaptive else float
        x, y = jnp.array(task.inputs), jnp.array(task.targets, dtype=kind)
        # One minibatch after the other; all the data is a constant of the program.
        batched_x, batched_y = (a.reshape(task.batches, -1, *a.shape[1:]) for a in (x, y))
        loss_of = functools.partial(batch_loss, task)

        def step(state, index=0):
            batch = (batched_x[index], batched_y[index]) if task.batch else (x, y)
            loss, gradients = jax.value_and_grad(loss_of)(state[0], *batch)
            return update(task, state, gradients), loss

        @functools.partial(jax.jit, static_argnums=1)
        def scan(state, steps):
            return lax.scan(step, state, jnp.arange(steps) % task.batches)

        self.batches, self.step, self.scan = task.batches, jax.jit(step), scan
        self.run = self.train_by_call if by_call else self.train_by_scan

    def train(self, steps):
        """`steps` more steps; their losses."""
        return self.run(steps)

    def train_by_scan(self, steps):
        self.state, losses = self.scan(self.state, steps)
        return np.asarray(losses)

    def train_by_call(self, steps):
        losses = []
        for index in range(steps):
            which = (index % self.batches,) if self.batches > 1 else ()
            self.state, loss = self.step(self.state, *which)
            losses.append(float(loss))
        return losses
