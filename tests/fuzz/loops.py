# SPDX-License-Identifier: MIT
"""Training loops in Python: what fit() is compared with. The formulas are torch.optim's."""

import math

from micrograd_c import optim


class Rule:
    """One optimiser's settings and moments, said once more."""

    def __init__(self, chance, n, in_groups=False):
        self.name = chance.choice(["SGD", "Adam", "AdamW"])
        self.lr = chance.choice([0.0, 1e-3, 0.01, 0.1])
        self.options = {"maximize": chance.random() < 0.2}
        if chance.random() < 0.5:
            self.options["weight_decay"] = chance.choice([0.0, 0.01, 0.3])
        if self.name == "SGD":
            momentum = chance.choice([0.0, 0.0, 0.5, 0.9])
            self.options["momentum"] = momentum
            self.options["nesterov"] = momentum > 0 and chance.random() < 0.5
        else:
            if chance.random() < 0.5:
                self.options["betas"] = (chance.choice([0.0, 0.5, 0.9]), chance.choice([0.9, 0.99]))
            self.options["amsgrad"] = chance.random() < 0.3
            self.options["eps"] = chance.choice([1e-8, 1e-3])
        # Every second parameter may be in a group of its own: a factor of its learning rate.
        self.second = chance.choice([None, 0.5, 3.0]) if in_groups else None
        self.m, self.v, self.v_max = [0.0] * n, [0.0] * n, [0.0] * n
        self.t = 0

    def optimizer(self, params):
        if self.second is not None:
            second = {"params": params[1::2], "lr": self.lr * self.second}
            params = [{"params": params[::2]}, second]
        return getattr(optim, self.name)(params, lr=self.lr, **self.options)

    def lr_of(self, k):
        return self.lr * self.second if self.second is not None and k % 2 else self.lr

    def step(self, numbers, grads):
        """The numbers after a step."""
        self.t += 1
        update = self.sgd if self.name == "SGD" else self.adam
        sign = -1.0 if self.options["maximize"] else 1.0
        return [update(k, p, sign * g) for k, (p, g) in enumerate(zip(numbers, grads, strict=True))]

    def sgd(self, k, p, g):
        g += self.options.get("weight_decay", 0.0) * p
        momentum = self.options["momentum"]
        if momentum:
            self.m[k] = momentum * self.m[k] + g if self.t > 1 else g
            g = g + momentum * self.m[k] if self.options["nesterov"] else self.m[k]
        return p - self.lr_of(k) * g

    def adam(self, k, p, g):
        beta1, beta2 = self.options.get("betas", (0.9, 0.999))
        decay = self.options.get("weight_decay", 0.01 if self.name == "AdamW" else 0.0)
        if self.name == "AdamW":
            p *= 1.0 - self.lr_of(k) * decay
        else:
            g += decay * p
        self.m[k] = beta1 * self.m[k] + (1.0 - beta1) * g
        self.v[k] = beta2 * self.v[k] + (1.0 - beta2) * g * g
        square = self.v[k]
        if self.options["amsgrad"]:
            square = self.v_max[k] = max(self.v_max[k], square)
        root = math.sqrt(square / (1.0 - beta2**self.t))
        return p - self.lr_of(k) / (1.0 - beta1**self.t) * self.m[k] / (root + self.options["eps"])


def batches(order_of_epoch, n, batch_size, steps):
    """The samples of each step: an epoch's last batch may be smaller."""
    size = min(batch_size or n, n)
    made, epoch, at = [], 0, 0
    order = order_of_epoch(0)
    for _ in range(steps):
        made.append(order[at : at + size])
        at += size
        if at >= n:
            epoch, at = epoch + 1, 0
            order = order_of_epoch(epoch)
    return made
