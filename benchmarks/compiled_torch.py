# SPDX-License-Identifier: MIT
"""The compiled tasks in eager PyTorch, in double precision and one thread."""

import torch

torch.set_num_threads(1)

ACTIVATIONS = {"tanh": torch.nn.Tanh, "relu": torch.nn.ReLU, "linear": torch.nn.Identity}


def network(task):
    """The task's network with the task's starting weights."""
    modules = []
    for (matrix, biases), activation in zip(task.weights(), task.activations, strict=True):
        linear = torch.nn.Linear(len(matrix[0]), len(matrix), dtype=torch.float64)
        with torch.no_grad():
            linear.weight.copy_(torch.tensor(matrix, dtype=torch.float64))
            linear.bias.copy_(torch.tensor(biases, dtype=torch.float64))
        modules.append(linear)
        if activation != "linear":
            modules.append(ACTIVATIONS[activation]())
    return torch.nn.Sequential(*modules)


class Training:
    """A task trained by eager steps."""

    def __init__(self, task):
        self.task = task
        self.model = network(task)
        self.parameters = list(self.model.parameters())
        self.optimizer = getattr(torch.optim, task.optimizer)(self.parameters, lr=task.rate)
        kind = torch.int64 if task.optimizer == "Adam" else torch.float64
        size = task.batch or len(task.inputs)
        self.inputs = torch.tensor(task.inputs, dtype=torch.float64).split(size)
        self.targets = torch.tensor(task.targets, dtype=kind).split(size)

    def loss(self, x, y):
        """The task's loss of a batch."""
        outputs = self.model(x)
        if self.task.optimizer == "Adam":
            return torch.nn.functional.cross_entropy(outputs, y)
        if not self.task.penalty:
            return ((outputs[:, 0] - y) ** 2).sum()
        penalty = sum((p * p).sum() for p in self.parameters)
        return (1 - y * outputs[:, 0]).relu().mean() + self.task.penalty * penalty

    def step(self, x, y):
        loss = self.loss(x, y)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.item()

    def train(self, steps):
        """`steps` more steps; their losses."""
        count = len(self.inputs)
        return [self.step(self.inputs[k % count], self.targets[k % count]) for k in range(steps)]

    def right_share(self, images, labels):
        """The share of images whose label has the highest score."""
        with torch.no_grad():
            scores = self.model(torch.tensor(images, dtype=torch.float64))
        return (scores.argmax(1) == torch.tensor(labels)).double().mean().item()
