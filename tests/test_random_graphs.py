# SPDX-License-Identifier: MIT
"""Random graphs on this engine and on the lesson's agree, whatever dies and moves meanwhile."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from micrograd_c import Value, _core, dot, topological_sort
from micrograd_c import sum as fused_sum
from micrograd_c.benchmarks import reference

# Each takes two operands, so that a program is a list of (operation, index, index).
OPERATIONS = {
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
    "div": lambda x, y: x / (y * y + 1.0),
    "square": lambda x, y: x**2,
    "tanh": lambda x, y: x.tanh(),
    "relu": lambda x, y: (x - y).relu(),
    "exp": lambda x, y: (x * 0.1).tanh().exp(),
    "log": lambda x, y: (x * x + 0.5).log(),
    "number": lambda x, y: 2 - 3.5 * x + y / 2 - 1,
    "negated": lambda x, y: -x + y,
    "reciprocal": lambda x, y: 1 / (x * x + 1.0),
}

# Rounded: the oracle's tanh has no digits left below 1e-16, which decides at a kink.
leaves = st.lists(st.floats(-2, 2).map(lambda x: round(x, 3)), min_size=1, max_size=5)
programs = st.lists(
    st.tuples(st.sampled_from(sorted(OPERATIONS)), st.integers(0, 10**6), st.integers(0, 10**6)),
    max_size=60,
)


def run(Value, numbers, program, drop=()):
    """The Values that the program makes; those at the steps in drop are forgotten on the way."""
    values = [Value(number) for number in numbers]
    made = list(values)
    for step, (operation, i, j) in enumerate(program):
        result = OPERATIONS[operation](made[i % len(made)], made[j % len(made)])
        # The oracle's tanh overflows above 350: scale down what runs away.
        made.append(result * (1 / result.data) if abs(result.data) > 50 else result)
        if step in drop and len(made) > 1:
            del made[step % len(made)]
    return values, made


def assert_close(ours, theirs):
    assert ours == pytest.approx(theirs, rel=1e-9, abs=1e-12)


@settings(max_examples=300, deadline=None)
@given(leaves, programs, st.sets(st.integers(0, 60)), st.booleans())
def test_agrees_with_the_lesson(numbers, program, drop, restless):
    _core.set_minimum(1 if restless else 8192)
    ours, our_nodes = run(Value, numbers, program, drop)
    theirs, their_nodes = run(reference.Value, numbers, program, drop)
    assert_close([v.data for v in our_nodes], [v.data for v in their_nodes])
    for root, their_root in list(zip(our_nodes, their_nodes, strict=True))[-3:]:
        root.backward()
        their_root.backward()
        assert_close([v.grad for v in ours], [v.grad for v in theirs])
        assert_close([v.grad for v in our_nodes], [v.grad for v in their_nodes])


@settings(max_examples=100, deadline=None)
@given(leaves, programs)
def test_topological_order_puts_operands_first(numbers, program):
    _, made = run(Value, numbers, program)
    order = topological_sort(made[-1])
    position = {node: k for k, node in enumerate(order)}
    assert order[-1] is made[-1]
    assert len(position) == len(order)
    for node in order:
        assert all(position[operand] < position[node] for operand in node._prev)
    assert set(order) == reachable(made[-1])


def reachable(root):
    seen, todo = set(), [root]
    while todo:
        node = todo.pop()
        if node not in seen:
            seen.add(node)
            todo += node._prev
    return seen


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.floats(-3, 3), st.floats(-3, 3)), min_size=1, max_size=20))
def test_fused_sums_are_the_plain_ones(pairs):
    def plain(Value):
        ws, xs = [Value(w) for w, _ in pairs], [Value(x) for _, x in pairs]
        out = Value(0.5)
        for w, x in zip(ws, xs, strict=True):
            out = out + w * x
        out.backward()
        return [out.data, *[v.grad for v in ws + xs]]

    ws, xs = [Value(w) for w, _ in pairs], [Value(x) for _, x in pairs]
    out = dot(ws, xs, Value(0.5))
    out.backward()
    assert [out.data, *[v.grad for v in ws + xs]] == plain(Value)
    assert plain(Value) == pytest.approx(plain(reference.Value))
    total = fused_sum(ws, start=1.0)
    total.backward()
    expected = 1.0
    for w, _ in pairs:  # Python's own sum of floats compensates rounding since 3.12
        expected += w
    assert total.data == expected
    assert [w.grad for w in ws] == [1.0] * len(ws)


@settings(max_examples=100, deadline=None)
@given(leaves, programs, st.integers(1, 4))
def test_accumulation_adds_only_to_leaves(numbers, program, times):
    _, made = run(Value, numbers, program)
    root = made[-1]
    root.backward()
    once = [v.grad for v in made]
    is_leaf = [v._op == "" for v in made]
    for _ in range(times):
        root.backward(accumulate=True)
    for node, grad, leaf in zip(made, once, is_leaf, strict=True):
        assert node.grad == pytest.approx(grad * (1 + times) if leaf else grad)
