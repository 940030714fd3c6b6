# SPDX-License-Identifier: MIT
"""A random straight-line function of scalar operations: what no tensor library likes.

Generated as Python source, one operation a line, and executed over whichever names of operations
it is given: on Values it is the loss of one sample, on JAX scalars it is what `vmap` takes.
"""

import math
import random

INPUTS = 8
PARAMETERS = 50
SLOTS = 32  # results that may still be used
CONSTANTS = (0.5, -0.75, 1.25, 2.0)
LARGEST = 4.0  # a result that might exceed it is squashed, so that nothing explodes
EXP_LARGEST = 1.3
SHRINKING = 0.125
BINARY = {"+": lambda a, b: a + b, "-": lambda a, b: a + b, "*": lambda a, b: a * b}
CALLS = ("tanh", "sigmoid", "relu", "exp")
MIX = "++--****"  # beside one of each call
SQUASHING = ("tanh", "sigmoid")


def bound_of_call(name, bound):
    """The largest magnitude of the result, from the argument's."""
    if name == "exp":
        return math.exp(bound)
    return bound if name == "relu" else min(bound, 1.0)  # the others do not exceed 1


def source(operations, seed=5, calls=CALLS, mix=MIX, squashing=SQUASHING):
    """The text of `f(x, p, tanh, sigmoid, relu, exp)`: `operations` lines and a return.

    calls: the names of functions, each as often as one letter of mix, the operators. squashing:
    those that make a large result small; where there are none, a product does.

    A result takes the slot of its first operand, so that every operation counts in the end. Each
    line's largest magnitude is tracked from those of its operands; inputs and parameters: 1.
    """
    rng = random.Random(seed)
    lines = [f"def f({', '.join(('x', 'p', *calls))}):"]
    slots = [(f"x[{k % INPUTS}]", 1.0) for k in range(SLOTS)]
    unread = [(f"p[{k}]", 1.0) for k in range(PARAMETERS)]

    def other_operand():
        kind = rng.random()
        if kind < 0.6:
            return slots[rng.randrange(SLOTS)]
        if kind < 0.7:
            return f"x[{rng.randrange(INPUTS)}]", 1.0
        if kind < 0.9:
            return unread.pop() if unread else (f"p[{rng.randrange(PARAMETERS)}]", 1.0)
        constant = rng.choice(CONSTANTS)
        return f"({constant})", abs(constant)

    last = operations - SLOTS - 1  # the rest goes into the mean of the slots and its square
    for k in range(last):
        slot = k % SLOTS
        name, bound = slots[slot]
        if bound <= LARGEST:
            symbol = rng.choice((*mix, *calls))
        else:
            symbol = rng.choice(squashing) if squashing else "shrink"
        if symbol == "exp" and bound > EXP_LARGEST:
            symbol = "tanh"
        if symbol == "shrink":
            text, bound = f"{name} * {SHRINKING}", bound * SHRINKING
        elif symbol in BINARY:
            other, other_bound = other_operand()
            text, bound = f"{name} {symbol} {other}", BINARY[symbol](bound, other_bound)
        else:
            text, bound = f"{symbol}({name})", bound_of_call(symbol, bound)
        lines.append(f"    v{k} = {text}")
        slots[slot] = (f"v{k}", bound)
    lines.append(f"    mean = ({' + '.join(name for name, _ in slots)}) * {1 / SLOTS}")
    lines.append("    return mean * mean")
    return "\n".join(lines) + "\n"


def function(operations, **choices):
    """The function itself. choices: of source()."""
    space = {}
    text = source(operations, **choices)
    exec(compile(text, f"<{operations} random operations>", "exec"), space)
    return space["f"]


def numbers(samples=256, seed=6):
    """(inputs of every sample, parameters), all from -1 to 1."""
    rng = random.Random(seed)
    inputs = [[rng.uniform(-1, 1) for _ in range(INPUTS)] for _ in range(samples)]
    return inputs, [rng.uniform(-1, 1) for _ in range(PARAMETERS)]
