# SPDX-License-Identifier: MIT
"""The scalar GPT of gpt.py in PyTorch tensors, all positions of a name at once."""

import torch

from micrograd_c import Value

from . import gpt

torch.set_num_threads(1)


def tensor(matrix):
    """A matrix of Values as a trainable tensor of the same numbers."""
    numbers = [[value.data for value in row] for row in matrix]
    return torch.tensor(numbers, dtype=torch.float64, requires_grad=True)


def rms_norm(x):
    return x * (x.square().mean(-1, keepdim=True) + 1e-5).rsqrt()


def heads(x):
    """(positions, EMBED) as (HEADS, positions, HEAD)."""
    return x.view(len(x), gpt.HEADS, gpt.HEAD).transpose(0, 1)


class Training:
    """gpt.Training, batched over the positions of a name."""

    def __init__(self, seed=42):
        scalar = gpt.Training(Value, seed)
        model = scalar.model
        self.names, self.steps = scalar.names, 0
        self.tokens, self.positions, self.head = map(
            tensor, (model.tokens, model.positions, model.head)
        )
        self.blocks = [[tensor(matrix) for matrix in block.matrices()] for block in model.blocks]
        parameters = [self.tokens, self.positions, self.head]
        for matrices in self.blocks:
            parameters += matrices
        self.optimizer = torch.optim.Adam(parameters, lr=0.01, betas=(0.9, 0.99), eps=1e-8)
        self.future = torch.full((gpt.CONTEXT, gpt.CONTEXT), -torch.inf).double().triu(1)

    def loss(self, tokens):
        """Mean cross-entropy of each token after the first, given those before it."""
        length = min(gpt.CONTEXT, len(tokens) - 1)
        tokens = torch.tensor(tokens)
        x = rms_norm(self.tokens[tokens[:length]] + self.positions[:length])
        for query, key, value, mix, widen, narrow in self.blocks:
            normed = rms_norm(x)
            q, k, v = (heads(normed @ matrix.T) for matrix in (query, key, value))
            scores = q @ k.transpose(1, 2) * gpt.HEAD**-0.5 + self.future[:length, :length]
            attended = (scores.softmax(-1) @ v).transpose(0, 1).reshape(length, gpt.EMBED)
            x = x + attended @ mix.T
            x = x + (rms_norm(x) @ widen.T).relu() @ narrow.T
        return torch.nn.functional.cross_entropy(x @ self.head.T, tokens[1 : length + 1])

    def step(self):
        """Learn from the next name; return the loss on it."""
        name = self.names[self.steps % len(self.names)]
        self.steps += 1
        loss = self.loss(gpt.tokens_of(name))
        # Zeros, not None: Adam has to move a position that the name is too short for, too.
        self.optimizer.zero_grad(set_to_none=False)
        loss.backward()
        self.optimizer.step()
        return loss.item()
