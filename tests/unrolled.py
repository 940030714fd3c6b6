# SPDX-License-Identifier: MIT
"""What scan is compared with: the loop, recorded step by step."""

EXECUTORS = ["scalar", "vector", None]


def unrolled(body, carry, xs=None, length=None, checkpoint=1):
    """What scan() has to give."""
    ys = []
    for k in range(length if xs is None else len(xs)):
        carry, y = body(carry, None if xs is None else xs[k])
        ys.append(y)
    return carry, ys


def numbers(result):
    """What a compiled function gives, as a flat list."""
    if isinstance(result, float):
        return [result]
    return [number for part in result for number in numbers(part)]


def same(ours, theirs, tolerance=1e-10):
    assert len(ours) == len(theirs)
    for x, y in zip(ours, theirs, strict=True):
        assert x == y or (x != x and y != y) or abs(x - y) <= tolerance * max(1.0, abs(x), abs(y))


def gradient(f, parameters, *arrays):
    """The loss and the gradient; 0 for what the loss does not depend on."""
    for p in parameters:
        p.grad = 0.0
    loss = f.value_and_grad(*arrays)
    return [loss, *(p.grad for p in parameters)]
