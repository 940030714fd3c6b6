# SPDX-License-Identifier: MIT
"""Two networks, trained in front of you: the lesson's, and one that tells two moons apart."""

import math
import random
import sys
import time

from .. import Value, no_grad
from ..nn import MLP
from ..progress import progress_bar
from .parser import PROGRAM, Parser, positive_integer, whole_number

LESSON_XS = [[2.0, 3.0, -1.0], [3.0, -1.0, 0.5], [0.5, 1.0, 1.0], [1.0, 1.0, -1.0]]
LESSON_YS = [1.0, -1.0, -1.0, 1.0]


def train_lesson(steps, seed):
    """Four samples, 41 parameters, tanh; the loss is the sum of squared errors.

    Returns the model and the losses.
    """
    random.seed(seed)
    model = MLP(3, [4, 4, 1])
    print(f"The lesson's network: {len(model.parameters())} parameters, {steps} steps")
    losses = []
    for step in range(steps):
        loss = sum((model(x) - y) ** 2 for x, y in zip(LESSON_XS, LESSON_YS, strict=True))

        model.zero_grad()
        loss.backward()

        for p in model.parameters():
            p.data -= 0.05 * p.grad
        losses.append(loss.data)
        if step % 10 == 0 or step == steps - 1:
            print(f"Step {step:2d}: loss = {loss.data:.6f}")
    for x, y in zip(LESSON_XS, LESSON_YS, strict=True):
        print(f"  pred={model(x).data:+.3f}, target={y:+.1f}")
    return model, losses


def make_moons(n, noise=0.1):
    """n points on two interleaving half circles, labelled +1 and -1."""
    points, labels = [], []
    for i in range(n):
        angle = math.pi * (i // 2) / max(1, n // 2 - 1)
        x, y = math.cos(angle), math.sin(angle)
        if i % 2:
            x, y = 1 - x, 0.5 - y
        points.append([x + random.gauss(0, noise), y + random.gauss(0, noise)])
        labels.append(1 if i % 2 else -1)
    return points, labels


def moons_loss(model, points, labels):
    """Hinge loss plus a small L2 penalty; and how many points are on the right side."""
    scores = [model(point) for point in points]
    hinge = sum((1 - label * score).relu() for label, score in zip(labels, scores, strict=True))
    penalty = sum(p * p for p in model.parameters())
    right = sum((score > 0) == (label > 0) for label, score in zip(labels, scores, strict=True))
    return hinge / len(points) + 1e-4 * penalty, right


def train_moons(steps, seed):
    """100 points, 337 parameters, ReLU; the step size falls from 1 to 0.1.

    Returns the model, the losses, the points and their labels.
    """
    random.seed(seed)
    points, labels = make_moons(100)
    model = MLP(2, [16, 16, 1], activation="relu", output_activation="linear")
    print(f"Two moons: {len(model.parameters())} parameters, {len(points)} points, {steps} steps")
    losses = []
    watched = sys.stderr is not None and sys.stderr.isatty()
    with progress_bar(steps if watched else None) as bar:
        for step in range(steps):
            loss, right = moons_loss(model, points, labels)

            model.zero_grad()
            loss.backward()

            learning_rate = 1.0 - 0.9 * step / steps
            for p in model.parameters():
                p.data -= learning_rate * p.grad
            losses.append(loss.data)
            bar(step + 1, loss.data)
    with no_grad():
        loss, right = moons_loss(model, points, labels)
    print(f"loss = {loss.data:.6f}, accuracy = {100 * right / len(points):.0f} %")
    print_decision_map(model, points, labels)
    return model, losses, points, labels


def labelled_neuron(model):
    """The first neuron's output for the first sample, named and differentiated, to be drawn."""
    neuron = model.layers[0].neurons[0]
    inputs = [Value(x, label=f"x{k}") for k, x in enumerate(LESSON_XS[0])]
    for k, w in enumerate(neuron.w):
        w.label = f"w{k}"
    neuron.b.label = "b"
    output = neuron(inputs)
    output.label = "output"
    output.backward()
    return output


def print_decision_map(model, points, labels, columns=64, rows=20):
    """The plane as the model sees it, and the points that it has learnt it from."""
    left, right = min(x for x, _ in points) - 0.3, max(x for x, _ in points) + 0.3
    low, high = min(y for _, y in points) - 0.3, max(y for _, y in points) + 0.3
    width, height = (right - left) / columns, (high - low) / rows
    with no_grad():
        picture = [
            [
                "*"
                if model([left + width * (column + 0.5), high - height * (row + 0.5)]) > 0
                else "."
                for column in range(columns)
            ]
            for row in range(rows)
        ]
    for (x, y), label in zip(points, labels, strict=True):
        picture[int((high - y) / height)][int((x - left) / width)] = "O" if label > 0 else "o"
    for row in picture:
        print("  " + "".join(row))
    print("  the model says * or . of each spot; the points are O and o")


def main(arguments):
    parser = Parser(
        prog=f"{PROGRAM} demo",
        description="Train the lesson's 41-parameter network "
        "and a classifier of two moons, and show what they have learnt.",
    )
    parser.add_argument(
        "--steps",
        type=positive_integer,
        metavar="N",
        help="training steps of each (default: 50 and 100)",
    )
    parser.add_argument(
        "--seed",
        type=whole_number,
        default=42,
        metavar="N",
        help="for the first weights and the moons (default: 42)",
    )
    parser.add_argument(
        "--plot",
        metavar="DIR",
        help="save the loss curves, the decision boundary and a neuron's graph there",
    )
    options = parser.parse_args(arguments)
    pictures = None
    if options.plot is not None:
        from .pictures import Pictures  # matplotlib takes a second to load

        pictures = Pictures(options.plot)
    trained = []
    for train, steps in (train_lesson, 50), (train_moons, 100):
        start = time.perf_counter()
        trained.append(train(options.steps or steps, options.seed))
        print(f"{time.perf_counter() - start:.3f} s\n")
    if pictures:
        (lesson, lesson_losses), (moons, moons_losses, points, labels) = trained
        print("Pictures:")
        pictures.losses({"the lesson's network": lesson_losses, "two moons": moons_losses})
        pictures.boundary(moons, points, labels)
        pictures.graph(labelled_neuron(lesson))
