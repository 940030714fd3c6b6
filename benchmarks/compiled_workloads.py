# SPDX-License-Identifier: MIT
# ruff: noqa: B905 (plain zip, as users write it)
"""What is compiled: losses of one sample in plain Value code, with their networks and data.

A `Task` holds all that a peer needs to train the same network on the same numbers.
"""

import functools
import random
from collections.abc import Callable
from dataclasses import dataclass

import micrograd_c
from micrograd_c import nn

from . import workloads

LABELS = 10
IMAGES = 64 * 22  # of the training images, what fills whole minibatches
HELD_OUT = 360


@dataclass
class Task:
    """A network, its loss of one sample, its data, and how it is trained.

    `penalty`: what the loss adds per squared parameter. `batch`: samples of a minibatch; None: all.
    """

    model: nn.MLP
    loss: Callable
    reduction: str
    inputs: list
    targets: list
    optimizer: str = "SGD"
    rate: float = 0.1
    penalty: float = 0.0
    batch: int | None = None

    @property
    def batches(self):
        """Minibatches in one pass over the data."""
        return len(self.inputs) // self.batch if self.batch else 1

    @property
    def activations(self):
        """The operation after each layer."""
        return [layer.neurons[0].activation for layer in self.model.layers]

    def weights(self):
        """One (matrix, biases) of plain numbers per layer."""
        result = []
        for layer in self.model.layers:
            matrix = [[w.data for w in neuron.w] for neuron in layer.neurons]
            result.append((matrix, [neuron.b.data for neuron in layer.neurons]))
        return result

    def arrays(self):
        """The data as compiled functions take it."""
        return buffer(self.inputs), buffer(self.targets)

    def compile(self, threads=1, dtype="float64"):
        """The loss as a new compiled function, nothing recorded yet."""
        options = {"reduction": self.reduction, "threads": threads, "dtype": dtype}
        return micrograd_c.compile(self.loss, **options)

    def make_optimizer(self):
        return getattr(micrograd_c.optim, self.optimizer)(self.model.parameters(), lr=self.rate)


def buffer(numbers):
    """A sequence, or a sequence of rows of one length, as a memoryview of doubles."""
    from array import array

    if not isinstance(numbers[0], list | tuple):
        return memoryview(array("d", numbers))
    flat = array("d", [number for row in numbers for number in row])
    return memoryview(flat).cast("B").cast("d", (len(numbers), len(numbers[0])))


def lesson(samples=4):
    """The lesson's run: 3-4-4-1 network (41 parameters), tanh, 4 samples, squared errors summed."""
    random.seed(42)
    model = nn.MLP(3, [4, 4, 1])

    def loss(x, y):
        return (model(x) - y) ** 2

    inputs = [list(x) for x in workloads.LESSON_X]
    return Task(model, loss, "sum", inputs, list(workloads.LESSON_Y), rate=0.05)


def moons(samples=100, units=16):
    """micrograd's demo: two hidden relu layers, a linear score, mean hinge loss and L2 penalty."""
    random.seed(42)
    model = nn.MLP(2, [units, units, 1], activation="relu", output_activation="linear")

    def loss(x, y):
        penalty = 1e-4 * sum(p * p for p in model.parameters())
        return (1 - y * model(x)).relu() + penalty

    points, labels = workloads.two_moons(samples)
    return Task(model, loss, "mean", [list(point) for point in points], labels, penalty=1e-4)


def wide(samples=1000):
    """The same with 64 units a layer (4,417 parameters)."""
    return moons(samples, units=64)


@functools.cache
def digit_images():
    """(images, labels) of scikit-learn's handwritten digits: 1,797 times 64 pixels from 0 to 1."""
    from sklearn.datasets import load_digits

    data = load_digits()
    return (data.data / 16.0).tolist(), data.target.tolist()


def cross_entropy(scores, label):
    """-log softmax(scores)[label], the largest score taken off first as libraries do."""
    top = functools.reduce(micrograd_c.Value.maximum, scores)
    shifted = [score - top for score in scores]
    return sum(score.exp() for score in shifted).log() - micrograd_c.take(shifted, label)


def digits(samples=IMAGES):
    """Handwritten digits: 64-32-10 network (2,410 parameters), tanh, cross-entropy, Adam.

    In minibatches of 64; the last 360 images are held out, and left out here.
    """
    images, labels = digit_images()
    random.seed(42)
    model = nn.MLP(64, [32, LABELS], output_activation="linear")

    def loss(image, label):
        return cross_entropy(model(image), label)

    training = images[:samples], labels[:samples]
    return Task(model, loss, "mean", *training, optimizer="Adam", rate=0.003, batch=64)


def right_share(model, images, labels):
    """The share of images whose label has the highest score."""
    right = 0
    with micrograd_c.no_grad():
        for image, label in zip(images, labels):
            scores = model(image)
            right += max(range(LABELS), key=lambda k: scores[k].data) == label
    return right / len(labels)


TASKS = {"lesson": lesson, "moons": moons, "wide": wide, "digits": digits}


class Ours:
    """A task trained by `f.fit`, or call by call from Python."""

    def __init__(self, task, by_call=False, dtype="float64"):
        self.f = task.compile(dtype=dtype)
        self.arrays = task.arrays()
        self.optimizer = task.make_optimizer()
        self.batch = task.batch
        self.run = self.train_by_call if by_call else self.fit

    def train(self, steps):
        """`steps` more steps; their losses."""
        return self.run(steps)

    def fit(self, steps):
        options = {"batch_size": self.batch} if self.batch else {}
        return self.f.fit(*self.arrays, optimizer=self.optimizer, steps=steps, **options)

    def train_by_call(self, steps):
        losses = []
        for _ in range(steps):
            losses.append(self.f.value_and_grad(*self.arrays))
            self.optimizer.step()
        return losses
