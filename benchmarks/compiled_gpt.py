# SPDX-License-Identifier: MIT
# ruff: noqa: B905 (plain zip, as users write it)
"""The scalar GPT of gpt.py with its training step compiled: one program per length of name."""

import functools

import micrograd_c
from micrograd_c import Value, optim

from . import gpt


def softmax(scores):
    # The largest score is one of the graph's Values here: its number differs from name to name.
    top = functools.reduce(Value.maximum, scores)
    powers = [(score - top).exp() for score in scores]
    total = sum(powers)
    return [power / total for power in powers]


class Training:
    """The same model, names and order as gpt.Training, with Adam of micrograd_c.optim."""

    def __init__(self, seed=42):
        eager = gpt.Training(Value, seed)
        self.names, self.model, self.steps = eager.names, eager.model, 0
        self.columns = list(zip(*self.model.tokens))
        self.f = micrograd_c.compile(self.loss, threads=1)
        self.optimizer = optim.Adam(self.model.parameters(), lr=0.01, betas=(0.9, 0.99), eps=1e-8)

    def loss(self, tokens):
        """gpt.GPT.loss, for tokens that are Values: embeddings and chances are taken by them."""
        length = min(gpt.CONTEXT, len(tokens) - 1)
        pasts = [([], []) for _ in self.model.blocks]
        losses = []
        for position in range(length):
            embedding = [micrograd_c.take(column, tokens[position]) for column in self.columns]
            x = gpt.rms_norm(gpt.add(embedding, self.model.positions[position]))
            for block, past in zip(self.model.blocks, pasts):
                x = block(x, past, softmax)
            chances = softmax(gpt.linear(self.model.head, x))
            losses.append(-micrograd_c.take(chances, tokens[position + 1]).log())
        return sum(losses) / length

    def step(self):
        """Learn from the next name; return the loss on it."""
        name = self.names[self.steps % len(self.names)]
        self.steps += 1
        # What a shorter name's program does not read would keep the gradient of the last one.
        self.optimizer.zero_grad()
        loss = self.f.value_and_grad([[float(token) for token in gpt.tokens_of(name)]])
        self.optimizer.step()
        return loss
