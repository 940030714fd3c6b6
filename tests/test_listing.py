# SPDX-License-Identifier: MIT
"""print(f): a small program as it is, a large one folded, and none longer than people read."""

import functools
import re

import micrograd_c as mc
from micrograd_c import Value


def lines_of(fn, *arrays):
    f = mc.compile(fn, executor="vector")
    f.value_and_grad(*arrays)
    return str(f).splitlines()


def forward(lines):
    """The steps for every sample, without the inputs."""
    end = lines.index("  backward, for every sample")
    return [
        line for line in lines[lines.index("  for every sample") + 1 : end] if "input" not in line
    ]


def chain(names):
    """A function that applies the operations one after the other, to w * x."""
    w = Value(0.5)
    return lambda x: functools.reduce(lambda v, name: getattr(v, name)(), names, x * w)


def test_a_small_program_is_listed_step_by_step():
    w, b = Value(2.0), Value(-1.0)
    assert lines_of(lambda x: (w * x + b).relu() + w * w, [1.0])[3:] == [
        "  8 nodes recorded, 7 after optimisation, 2 parameters",
        "  3 numbers once a batch (p), 4 rows of lanes (r); 'p: an adjoint",
        "  once a batch",
        "    p2 = mul(p0, p0)",
        "  for every sample",
        "    r0 = input 0",
        "    r1 = matrix 1x1 at p0 * (r0) + p1",
        "    r2 = relu(r1)",
        "    r1 = add(r2, p2)",
        "  backward, for every sample",
        "    r1 = gain of add's first operand(r3; -, -, -)",
        "    'p2 += gain of add's second operand(r3; -, -, -)",
        "    r3 = gain of relu's first operand(r1; -, -, r2)",
        "    'matrix at p0 += r3 outer (r0), 'p1 += r3",
        "  backward, once a batch",
        "    'p0 += gain of mul's first operand('p2; -, p0, -)",
        "    'p0 += gain of mul's second operand('p2; p0, -, -)",
    ]


def test_a_chain_of_one_operation_is_one_step_each_way():
    weights = [Value(float(k)) for k in range(5)]
    products = functools.partial(map, Value.__mul__, weights)
    lines = lines_of(lambda x: functools.reduce(Value.maximum, products(x)), [[1.0] * 5])
    assert forward(lines) == [
        "    r5..9 = mul(r0..4, p0..4)",
        "    r10..13 = chain of maximum(r5, r6..9)",
    ]
    assert lines[-5:] == [
        "    r14..16 = gain of chain of maximum's first operand(r15..17; r10..12, r7..9, -)",
        "    r18 = gain of maximum's first operand(r14; r5, r6, -)",
        "    r19 = gain of maximum's second operand(r14; r5, r6, -)",
        "    r20..22 = gain of maximum's second operand(r15..17; r10..12, r7..9, -)",
        "    'p0..4 += gain of mul's second operand(r18..22; r0..4, -, -)",
    ]


def test_sixty_steps_are_listed_one_by_one():
    assert len(forward(lines_of(chain(["tanh"] * 59), [1.0]))) == 60
    assert len(forward(lines_of(chain(["tanh"] * 60), [1.0]))) == 2


def test_steps_that_are_repeated_are_one_line():
    first, repeated = forward(lines_of(chain(["tanh"] * 500), [1.0]))
    assert first == "    r1 = mul(r0, p0)"
    assert re.fullmatch(r"    500 times: r2 = tanh\(r1\) to r\d+ = tanh\(r\d+\)", repeated)


def test_steps_that_are_repeated_together_are_listed_once():
    lines = forward(lines_of(chain(["tanh", "sin", "cos"] * 200), [1.0]))
    assert lines[1] == "    200 times, on other rows each time:" and len(lines) == 5
    assert [re.search(r"= (\w+)\(", line)[1] for line in lines[2:]] == ["tanh", "sin", "cos"]


def test_of_a_long_program_the_beginning_and_the_end_are_listed_and_the_rest_is_counted():
    names = [["tanh", "sin", "cos", "sigmoid"][pow(3, k, 1009) % 4] for k in range(1000)]
    lines = lines_of(chain(names), [1.0])
    assert len(lines) < 100
    counts, times = dict.fromkeys(names, 0), []
    for line in forward(lines):
        if rest := re.search(r"\.\.\. (\d+) steps more: (.*)", line):
            numbers = {name: int(n) for n, name in (part.split() for part in rest[2].split(", "))}
            assert sum(numbers.values()) == int(rest[1]) > 900
            counts = {name: counts[name] + numbers.get(name, 0) for name in counts}
        elif repeated := re.search(r"(\d+) times", line):
            times.append(int(repeated[1]))
            if found := re.search(r"= (\w+)\(", line):
                counts[found[1]] += times.pop()
        elif found := re.search(r"= (tanh|sin|cos|sigmoid)\(", line):
            counts[found[1]] += 1 if not line.startswith("      ") else times[-1]
    assert counts == {name: names.count(name) for name in counts}


def test_long_lists_of_rows_and_numbers_are_shortened():
    w = Value(2.0)
    vs = [Value(float(k)) for k in range(101)]

    def fn(xs, k):
        numbers = mc.sum(x * (0.5 + n) for n, x in enumerate(xs))
        return (
            mc.dot([w] * 100, xs)
            + mc.take([vs[7 * n % 101] for n in range(101)], k)
            + numbers * mc.sum(x * x for x in xs)
        )

    lines = lines_of(fn, [[1.0] * 100], [0.0])
    assert max(map(len, lines)) < 200 and len(lines) < 100
    text = "\n".join(lines)
    assert re.search(r"= \(p\d+\.\.\d+, p\d+ 99 times\)", text)
    assert re.search(r"take\(r\d+(, p\d+){5}, \.\.\. 95 more, p\d+\)", text)
    assert re.search(r"\.\.\. \d+ numbers more", text)
    assert re.search(r"r\d+\.\.\d+ = input 0\.\.100", text)
