# SPDX-License-Identifier: MIT
"""The scalar GPT of gpt.py in NumPy, its gradients derived by hand."""

import numpy as np

from micrograd_c import Value

from . import gpt


def rms_norm(x):
    """x over its root mean square, row by row; and the factors."""
    scale = 1.0 / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-5)
    return x * scale, scale


def rms_norm_back(adjoint, x, scale):
    return scale * adjoint - x * scale**3 * (adjoint * x).mean(-1, keepdims=True)


def softmax(scores):
    powers = np.exp(scores - scores.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def split(x):
    """(positions, EMBED) as (HEADS, positions, HEAD)."""
    return x.reshape(len(x), gpt.HEADS, gpt.HEAD).transpose(1, 0, 2)


def merge(x):
    """The other way round."""
    return x.transpose(1, 0, 2).reshape(-1, gpt.EMBED)


class Training:
    """gpt.Training, batched over the positions of a name; all parameters in one array."""

    def __init__(self, seed=42):
        scalar = gpt.Training(Value, seed)
        model = scalar.model
        self.names, self.steps = scalar.names, 0
        groups = [model.tokens, model.positions, model.head]
        for block in model.blocks:
            groups += block.matrices()
        matrices = [np.array([[v.data for v in row] for row in matrix]) for matrix in groups]
        self.parameters = np.concatenate([matrix.ravel() for matrix in matrices])
        self.gradients, self.means, self.squares = np.zeros((3, self.parameters.size))
        self.weights, self.adjoints, at = [], [], 0
        for matrix in matrices:
            place = slice(at, at := at + matrix.size)
            self.weights.append(self.parameters[place].reshape(matrix.shape))
            self.adjoints.append(self.gradients[place].reshape(matrix.shape))

    def step(self):
        """Learn from the next name; return the loss on it."""
        name = self.names[self.steps % len(self.names)]
        self.steps += 1
        loss = self.loss_and_gradients(np.array(gpt.tokens_of(name)))
        self.adam()
        return loss

    def loss_and_gradients(self, tokens):
        """The name's loss; its gradients stand in `self.gradients`."""
        embedding, positions, head, *rest = self.weights
        length = min(gpt.CONTEXT, len(tokens) - 1)
        now, following = tokens[:length], tokens[1 : length + 1]
        embedded = embedding[now] + positions[:length]
        x, first_scale = rms_norm(embedded)
        kept = []
        for at in range(0, len(rest), 6):
            x, notes = self.forward_block(x, rest[at : at + 6])
            kept.append(notes)
        chances = softmax(x @ head.T)
        rows = np.arange(length)
        loss = -np.log(chances[rows, following]).mean()

        self.gradients[:] = 0.0
        embedding_adjoint, positions_adjoint, head_adjoint, *rest_adjoints = self.adjoints
        chances[rows, following] -= 1.0
        chances /= length
        head_adjoint[:] = chances.T @ x
        adjoint = chances @ head
        for at in reversed(range(0, len(rest), 6)):
            adjoint = self.backward_block(
                adjoint, kept.pop(), rest[at : at + 6], rest_adjoints[at : at + 6]
            )
        adjoint = rms_norm_back(adjoint, embedded, first_scale)
        positions_adjoint[:length] = adjoint
        np.add.at(embedding_adjoint, now, adjoint)
        return float(loss)

    @staticmethod
    def forward_block(x, weights):
        """The block's outputs, and what its way back needs."""
        query, key, value, mix, widen, narrow = weights
        normed, scale = rms_norm(x)
        q, k, v = (split(normed @ matrix.T) for matrix in (query, key, value))
        scores = q @ k.transpose(0, 2, 1) * gpt.HEAD**-0.5
        scores[:, np.triu(np.ones(scores.shape[1:], bool), 1)] = -np.inf
        chances = softmax(scores)
        attended = merge(chances @ v)
        middle = x + attended @ mix.T
        normed_middle, middle_scale = rms_norm(middle)
        hidden = np.maximum(normed_middle @ widen.T, 0.0)
        notes = x, normed, scale, q, k, v, chances, attended
        return middle + hidden @ narrow.T, (notes, middle, normed_middle, middle_scale, hidden)

    @staticmethod
    def backward_block(adjoint, kept, weights, adjoints):
        """The adjoint of the block's inputs; those of its weights are written."""
        query, key, value, mix, widen, narrow = weights
        notes, middle, normed_middle, middle_scale, hidden = kept
        x, normed, scale, q, k, v, chances, attended = notes
        adjoints[5][:] = adjoint.T @ hidden
        open_hidden = (adjoint @ narrow) * (hidden > 0.0)
        adjoints[4][:] = open_hidden.T @ normed_middle
        adjoint = adjoint + rms_norm_back(open_hidden @ widen, middle, middle_scale)
        adjoints[3][:] = adjoint.T @ attended
        of_attended = split(adjoint @ mix)
        of_chances = of_attended @ v.transpose(0, 2, 1)
        of_scores = chances * (of_chances - (of_chances * chances).sum(-1, keepdims=True))
        of_scores *= gpt.HEAD**-0.5
        of_q, of_k = merge(of_scores @ k), merge(of_scores.transpose(0, 2, 1) @ q)
        of_v = merge(chances.transpose(0, 2, 1) @ of_attended)
        for place, each in zip(adjoints, (of_q, of_k, of_v), strict=False):
            place[:] = each.T @ normed
        of_normed = of_q @ query + of_k @ key + of_v @ value
        return adjoint + rms_norm_back(of_normed, x, scale)

    def adam(self, lr=0.01, beta1=0.9, beta2=0.99, eps=1e-8):
        g = self.gradients
        self.means += (1.0 - beta1) * (g - self.means)
        self.squares += (1.0 - beta2) * (g * g - self.squares)
        rate = lr / (1.0 - beta1**self.steps)
        unbias = np.sqrt(1.0 - beta2**self.steps)
        self.parameters -= rate * self.means / (np.sqrt(self.squares) / unbias + eps)
