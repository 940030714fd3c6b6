# SPDX-License-Identifier: MIT
import random

from .core import Value


class Neuron:
    def __init__(self, n):
        self.w = [Value(random.uniform(-1, 1)) for _ in range(n)]

    def __call__(self, x):
        return sum((w * xi for w, xi in zip(self.w, x)), Value(0.0)).tanh()
