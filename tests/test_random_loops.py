# SPDX-License-Identifier: MIT
"""Random loops, and loops in loops: values and derivatives up to the third order as unrolled."""

import random

import pytest
from unrolled import EXECUTORS, Scans, Unrolled, gradient, numbers, same

import micrograd_c as mc
from micrograd_c import Value, grad, hessian, jvp, where


def as_value(thing):
    return thing if isinstance(thing, Value) else mc.sum([thing])


def random_expression(rng, leaves, depth):
    """A function of a list of Values."""
    if depth == 0 or rng.random() < 0.15:
        return leaves[rng.randrange(len(leaves))]
    p, q, r = (random_expression(rng, leaves, depth - 1) for _ in range(3))
    a, b, c = (lambda e, f=f: as_value(f(e)) for f in (p, q, r))
    return rng.choice(
        [
            lambda e: a(e).tanh(),
            lambda e: (a(e) * 1.1).sin(),
            lambda e: (a(e) * a(e) * 0.1 + 0.5).log(),
            lambda e: a(e).relu() * 0.5,
            lambda e: a(e) * b(e) * 0.7,
            lambda e: a(e) * 0.6 - b(e) * 0.3,
            lambda e: where(a(e) > 0.1, b(e), c(e)),
            lambda e: mc.dot([a(e), b(e), e[0]], [b(e), 0.3, 0.2], 0.1),
            lambda e: a(e).detach() * b(e) * 0.5,
            lambda e: (a(e) * a(e) + 1.0).sqrt() * 0.3 + b(e).exp().tanh() * 0.2,
            lambda e: mc.take([a(e), b(e) * 0.5, e[0]], where(a(e) > 0.0, 1.0, 2.0)),
        ]
    )


class Program:
    """A random function with loops: of what it reads, and of how it loops."""

    def __init__(self, seed):
        rng = random.Random(seed)
        self.n_carried, self.n_taken, self.n_made = (
            rng.randint(1, 3),
            rng.randint(0, 2),
            rng.randint(0, 2),
        )
        self.n_weights, self.n_inputs = rng.randint(0, 2), rng.randint(1, 3)
        self.steps = rng.choice([1, 2, 3, 5, 8])
        self.drawn, self.inner_drawn = (
            [rng.choice(["normal", "uniform"]) for _ in range(rng.choice(how_many))]
            for how_many in [(0, 1, 2, 3), (0, 0, 1)]
        )
        n = self.n_carried + self.n_taken + self.n_weights + self.n_inputs + len(self.drawn)
        leaves = [lambda e, k=k: e[k] for k in range(n)]
        self.following = [
            random_expression(rng, leaves, rng.randint(1, 3)) for _ in range(self.n_carried)
        ]
        self.made = [random_expression(rng, leaves, rng.randint(1, 3)) for _ in range(self.n_made)]
        self.inner = random_expression(rng, leaves, 2) if rng.random() < 0.3 else None
        self.inner_steps = rng.choice([1, 2, 3])
        self.checkpoint = rng.choice([1, 1, 1, 2, 3, 4])
        self.reads = [rng.randrange(self.steps) for _ in range(rng.randint(0, 2))]
        self.goes_on, self.is_guarded = rng.random() < 0.4, rng.random() < 0.2
        self.sources = [rng.choice(["input", "weight", "number"]) for _ in range(self.n_taken)]
        self.weights = [Value(rng.uniform(-1, 1)) for _ in range(self.n_weights)]
        self.samples = rng.choice([1, 1, 2, 3, 7, 17])
        self.arrays = [
            [rng.uniform(-1, 1) for _ in range(self.n_inputs)] for _ in range(self.samples)
        ]

    def body(self, loop, inputs):
        def step(carry, x):
            e = [*carry, *(x or []), *self.weights, *inputs, *map(loop.draw, self.drawn)]
            following = [as_value(f(e)) for f in self.following]
            if self.inner:
                inner = self.inner

                def inner_step(c, _):
                    drawn = map(loop.draw, self.inner_drawn)
                    return [mc.sum(drawn, c[0] * 0.5 + inner(e)).tanh()], None

                (last,), _ = loop(inner_step, [carry[0]], length=self.inner_steps)
                following[0] = following[0] * 0.5 + last
            return following, [f(e) * 1.0 for f in self.made] if self.made else None

        return step

    def element(self, source, k, step, inputs):
        if source == "input":
            return inputs[k % self.n_inputs] * (0.1 * step)
        return (
            self.weights[0] * (0.2 * step + 0.1)
            if source == "weight" and self.weights
            else 0.1 * step
        )

    def function(self, loop):
        first = self.weights[0] if self.weights else 1.0

        def fn(inputs):
            carry = [
                inputs[k % self.n_inputs] * 0.5 if k % 2 == 0 else 0.3 * first
                for k in range(self.n_carried)
            ]
            xs = [
                [self.element(s, k, step, inputs) for k, s in enumerate(self.sources)]
                for step in range(self.steps)
            ]
            how = {"xs": xs} if self.sources else {"length": self.steps}
            last, ys = loop(self.body(loop, inputs), carry, **how, checkpoint=self.checkpoint)
            result = mc.sum([c * c * 0.3 for c in last])
            if self.made:
                for k in self.reads:
                    result = result + as_value(ys[k][0]).tanh()
            if self.made and self.goes_on:
                other, zs = loop(
                    lambda c, y: (c * 0.8 + y[0] * 0.3 * first, c.sin() * y[-1]),
                    0.0 * inputs[0],
                    ys,
                )
                result = result + other + zs[self.steps - 1]
            return (
                where(inputs[0] > 0.0, result.tanh(), inputs[0] * 2.0)
                if self.is_guarded
                else result
            )

        return fn


SEED = 7


def derivatives(program, executor, dtype="float64"):
    """Everything that is asked of a program: numbers."""
    return asked(program, program.function(Scans()), executor, dtype, seed=SEED)


def unrolled_derivatives(program):
    """The same of a function that is given what the other one draws."""
    dry = Unrolled()
    program.function(dry)([Value(0.5)] * program.n_inputs)
    given = [list(row) for row in dry.numbers(range(program.samples), SEED)]

    def f(inputs, z):
        return program.function(Unrolled(z))(inputs)

    return asked(
        program, f, None, "float64", *([given] if dry.places else [[[0.0]] * program.samples])
    )


def asked(program, f, executor, dtype, *given, **named):
    def compile(fn, executor):
        return mc.compile(fn, executor=executor, dtype=dtype)

    def results(way):
        return numbers(compile(way, executor=executor)(program.arrays, *given, **named))

    compiled = compile(f, executor=executor)
    found = {
        "values": results(f),
        "gradient": gradient(compiled, program.weights, program.arrays, *given, **named),
    }
    if program.samples <= 3:
        ones = [1.0] * program.n_inputs
        found["grad"] = results(grad(f))
        found["hessian"] = results(hessian(f))
        found["third"] = results(lambda e, *z: jvp(lambda i: grad(f)(i, *z), [e], [ones])[1])
        slopes = compile(lambda e, *z: mc.sum([d * d for d in grad(f)(e, *z)]), executor=executor)
        found["gradient of slopes"] = gradient(
            slopes, program.weights, program.arrays, *given, **named
        )
    return found


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("first", range(0, 120, 20))
def test_random_loops_against_unrolled_ones(first, executor):
    for seed in range(first, first + 20):
        program = Program(seed)
        ours = derivatives(program, executor)
        for name, theirs in unrolled_derivatives(program).items():
            same(ours[name], theirs, 1e-9)


@pytest.mark.parametrize("first", range(0, 120, 20))
def test_random_loops_in_float32(first):
    for seed in range(first, first + 20):
        program = Program(seed)
        theirs = derivatives(program, "scalar", "float32")
        for name, ours in derivatives(program, None, "float32").items():
            same(ours, theirs[name], 3e-6 * max(1.0, *map(abs, theirs[name])))
