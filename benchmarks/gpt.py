# SPDX-License-Identifier: MIT
# ruff: noqa: B905 (plain zip, as users write it)
"""A character-level GPT in scalar operations that learns to spell names, on any Value class.

In the spirit of Karpathy's microgpt: one token at a time, keys and values kept in a growing list,
every product and sum a node of the graph. One training step is one name.
"""

import argparse
import random
import sys
import time
from pathlib import Path

NAMES = Path(__file__).parent / "data" / "thousand_names.txt"  # some of names.txt, for wheels
BOUNDARY = 26  # stands before and after every name; the letters a to z are 0 to 25
VOCABULARY = 27
EMBED = 16
HEADS = 4
HEAD = EMBED // HEADS
LAYERS = 1
CONTEXT = 16


def read_names():
    """The names, lower-case a to z, in the file's order."""
    return NAMES.read_text(encoding="ascii").split()


def tokens_of(name):
    letters = [ord(letter) - ord("a") for letter in name]
    return [BOUNDARY, *letters, BOUNDARY]


def linear(rows, x):
    return [sum(w * xi for w, xi in zip(row, x)) for row in rows]


def add(x, y):
    return [xi + yi for xi, yi in zip(x, y)]


def rms_norm(x):
    mean_square = sum(xi * xi for xi in x) / len(x)
    scale = (mean_square + 1e-5) ** -0.5
    return [xi * scale for xi in x]


def softmax(scores):
    # Shifting by a constant changes no probability, and keeps exp from overflowing.
    top = max(score.data for score in scores)
    powers = [(score - top).exp() for score in scores]
    total = sum(powers)
    return [power / total for power in powers]


class Block:
    """One layer: causal attention, then a ReLU network four times as wide, both residual."""

    def __init__(self, matrix):
        self.query, self.key, self.value, self.mix = (matrix(EMBED, EMBED) for _ in range(4))
        self.widen = matrix(4 * EMBED, EMBED)
        self.narrow = matrix(EMBED, 4 * EMBED)

    def matrices(self):
        return self.query, self.key, self.value, self.mix, self.widen, self.narrow

    def __call__(self, x, past, softmax=softmax):
        """`past`: (keys, values) of the positions so far; this one is appended."""
        keys, values = past
        normed = rms_norm(x)
        query = linear(self.query, normed)
        keys.append(linear(self.key, normed))
        values.append(linear(self.value, normed))
        attended = []
        for start in range(0, EMBED, HEAD):
            head = range(start, start + HEAD)
            scores = [sum(query[i] * key[i] for i in head) * HEAD**-0.5 for key in keys]
            weights = softmax(scores)
            attended += [sum(w * value[i] for w, value in zip(weights, values)) for i in head]
        x = add(x, linear(self.mix, attended))
        hidden = [h.relu() for h in linear(self.widen, rms_norm(x))]
        return add(x, linear(self.narrow, hidden))


class GPT:
    """Token and position embeddings, blocks, and a linear head over the vocabulary."""

    def __init__(self, Value, rng):
        def matrix(n_out, n_in):
            return [[Value(rng.gauss(0.0, 0.08)) for _ in range(n_in)] for _ in range(n_out)]

        self.tokens = matrix(VOCABULARY, EMBED)
        self.positions = matrix(CONTEXT, EMBED)
        self.blocks = [Block(matrix) for _ in range(LAYERS)]
        self.head = matrix(VOCABULARY, EMBED)

    def parameters(self):
        matrices = [self.tokens, self.positions, self.head]
        for block in self.blocks:
            matrices += block.matrices()
        return [p for matrix in matrices for row in matrix for p in row]

    def loss(self, tokens):
        """Mean cross-entropy of each token after the first, given those before it."""
        length = min(CONTEXT, len(tokens) - 1)
        pasts = [([], []) for _ in self.blocks]
        losses = []
        for position in range(length):
            x = rms_norm(add(self.tokens[tokens[position]], self.positions[position]))
            for block, past in zip(self.blocks, pasts):
                x = block(x, past)
            chances = softmax(linear(self.head, x))
            losses.append(-chances[tokens[position + 1]].log())
        return sum(losses) / length


class Training:
    """A model, its names in a seeded order, and Adam in plain Python."""

    def __init__(self, Value, seed=42):
        rng = random.Random(seed)
        self.names = read_names()
        rng.shuffle(self.names)
        self.model = GPT(Value, rng)
        self.parameters = self.model.parameters()
        self.means = [0.0] * len(self.parameters)
        self.squares = [0.0] * len(self.parameters)
        self.steps = 0

    def step(self):
        """Learn from the next name; return the loss on it."""
        name = self.names[self.steps % len(self.names)]
        loss = self.model.loss(tokens_of(name))
        loss.backward()
        self.steps += 1
        self.adam()
        return loss.data

    def adam(self, lr=0.01, beta1=0.9, beta2=0.99, eps=1e-8):
        means, squares = self.means, self.squares
        unbias1 = 1.0 - beta1**self.steps
        unbias2 = 1.0 - beta2**self.steps
        for i, p in enumerate(self.parameters):
            g = p.grad
            means[i] = beta1 * means[i] + (1.0 - beta1) * g
            squares[i] = beta2 * squares[i] + (1.0 - beta2) * g * g
            p.data -= lr * (means[i] / unbias1) / ((squares[i] / unbias2) ** 0.5 + eps)
            # A letter that the next name lacks is not in its graph: backward won't zero it.
            p.grad = 0.0


def train(Value, steps, seed=42):
    """Losses of the first `steps` names."""
    training = Training(Value, seed)
    return [training.step() for _ in range(steps)]


def value_class(engine):
    """The Value class that the engine's name stands for."""
    if engine == "lesson":
        from .reference import Value
    else:
        from micrograd_c import Value
    return Value


def main(argv=None):
    """Train on the command line; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m micrograd_c.benchmarks.gpt", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--engine", choices=("lesson", "micrograd_c"), default="micrograd_c")
    parser.add_argument("--steps", type=int, default=100, help="names to learn from (%(default)s)")
    parser.add_argument("--seed", type=int, default=42, help="of names and weights (%(default)s)")
    # One line, where argparse would print the whole usage before it.
    parser.error = lambda message: parser.exit(2, f"{parser.prog}: {message}\n")
    options = parser.parse_args(argv)
    if options.steps < 1:
        parser.error(f"--steps must be at least 1, got {options.steps}")

    training = Training(value_class(options.engine), options.seed)
    print(f"{options.engine}: {len(training.parameters)} parameters, {len(training.names)} names")
    every = max(1, options.steps // 20)
    recent = []
    start = time.perf_counter()
    for step in range(1, options.steps + 1):
        recent.append(training.step())
        if step % every == 0 or step == options.steps:
            pace = (time.perf_counter() - start) / step
            mean = sum(recent) / len(recent)
            print(f"step {step:6d}: mean loss {mean:.4f}, {pace * 1e3:.1f} ms a step", flush=True)
            recent.clear()
    return 0


if __name__ == "__main__":
    sys.exit(main())
