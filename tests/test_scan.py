# SPDX-License-Identifier: MIT
"""scan gives what the unrolled loop gives, eagerly and compiled, and so do its derivatives."""

import gc
import random
from typing import NamedTuple

import pytest
from unrolled import EXECUTORS, gradient, numbers, same, unrolled

import micrograd_c as mc
from micrograd_c import TraceError, Value, _core, compile, grad, nn, scan, where


class Pair(NamedTuple):
    a: Value
    b: Value


# -- structures ------------------------------------------------------------------------------------


def test_a_loop_of_numbers():
    carry, ys = scan(lambda c, x: (c + x, c * x), 1.0, [2.0, 3.0, 4.0])
    assert carry.data == 10.0
    assert [y.data for y in ys] == [2.0, 9.0, 24.0]


def test_structures_of_all_kinds():
    def body(carry, x):
        w = carry["w"]
        following = {"w": Pair(w.b, w.a + x[0]), "n": [carry["n"][0] + 1.0], "none": None}
        return following, (w.a * x[1]["k"], [w.b])

    first = {"w": Pair(Value(1.0), 2.0), "n": [0], "none": None}
    xs = [(1.0, {"k": 2.0}), (3.0, {"k": 4.0}), (5.0, {"k": 6.0})]

    def run(x):
        carry, ys = scan(body, first, [(a * x, k) for a, k in xs])
        assert isinstance(carry["w"], Pair) and carry["none"] is None and len(ys) == 3
        return [*carry["w"], *carry["n"], *(n for y in ys for n in (y[0], *y[1]))]

    eager = [v.data for v in run(Value(0.5))]
    same(numbers(compile(run)([0.5])), eager)


def test_the_keys_of_a_dict_have_no_order():
    """Those of a carry, of elements, and of what is made: a number belongs to its key."""

    def body(carry, x):
        inner = {"d": carry["in"][0]["c"], "c": carry["in"][0]["d"] * 2.0}
        y = {"p": carry["a"], "q": carry["b"]}
        if body.is_odd:
            y = dict(reversed(y.items()))
        body.is_odd = not body.is_odd
        following = {"in": [inner], "b": carry["a"] * x["s"], "a": carry["b"] + x["t"]}
        return following, y

    def run(x):
        body.is_odd = False
        first = {"a": x, "b": 3.0, "in": [{"c": 5.0, "d": x * 7.0}]}
        xs = [{"s": 0.5, "t": 10.0}, {"t": 20.0, "s": x}, {"s": 0.25, "t": 30.0}]
        last, ys = scan(body, first, xs)
        made = [y[key] for y in ys for key in ("p", "q")]
        return [last["a"], last["b"], last["in"][0]["c"], last["in"][0]["d"], *made]

    # a, b: 2, 3; 13, 1; 21, 26; 56, 5.25. c, d: 5, 14; 28, 5; 10, 28; 56, 10.
    expected = [56.0, 5.25, 56.0, 10.0, 2.0, 3.0, 13.0, 1.0, 21.0, 26.0]
    assert [v.data for v in run(Value(2.0))] == expected
    assert numbers(compile(run)([2.0])) == expected


@pytest.mark.parametrize("length", [0, 1, 2])
def test_short_loops(length):
    def run(x):
        carry, ys = scan(lambda c, _: (c * x, c + x), x, length=length)
        assert len(ys) == length
        return [carry, *ys]

    same(numbers(compile(run)([1.5, 2.0])), [n.data for x in (1.5, 2.0) for n in run(Value(x))])


def test_no_steps_of_no_elements():
    assert scan(lambda c, x: (c, x), 3.0, [])[1] == []
    assert compile(lambda x: scan(lambda c, y: (c, y), x, [])[0])([1.0]).tolist() == [1.0]


def test_what_makes_nothing_has_no_ys():
    assert scan(lambda c, _: (c * 2.0, None), 1.0, length=3)[1] is None
    assert scan(lambda c, _: (c * 2.0, ()), 1.0, length=3)[1] is None

    def run(x):
        carry, ys = scan(lambda c, _: (c * 2.0, []), x, length=3)
        assert ys is None
        return carry

    assert compile(run)([1.0]).tolist() == [8.0]


def test_what_steps_have_made_is_a_list():
    def run(x):
        _, ys = scan(lambda c, _: (c + x, c), 0.0, length=4)
        assert len(ys) == 4 and len(ys[1:3]) == 2 and len(list(reversed(ys))) == 4
        assert ys[-1] is ys[3] and repr(ys) == "<what 4 steps of a scan have made>"
        with pytest.raises(IndexError, match="step 4 is out of range for 4 steps"):
            ys[4]
        return [ys[-1], mc.sum(ys), mc.dot(ys, [1.0, 2.0, 3.0, 4.0])]

    assert numbers(compile(run)([2.0])) == [6.0, 12.0, 40.0]


def test_what_steps_have_made_goes_on_as_lists_do():
    """A path with its first point in front, as in eager code."""

    def run(x):
        last, ys = scan(lambda c, _: (c * 0.5, c), x, length=3)
        lists = [[x] + ys, ys + [last], ys + ys, ys + ys[1:]]  # noqa: RUF005
        assert [type(one) for one in lists] == [list] * 4
        for other in (ys, lists[0]):
            with pytest.raises(TypeError):
                other + (1.0,)  # noqa: RUF005
        return [v for one in lists for v in one]

    same(numbers(compile(run)([2.0])), [v.data for v in run(Value(2.0))])


def test_what_steps_have_made_is_an_element_and_a_carry():
    def run(x):
        _, ys = scan(lambda c, _: (c + x, (c, x)), 0.0, length=3)
        total, _ = scan(lambda c, pair: (c + pair[0] * pair[1], None), 0.0, ys)
        other, _ = scan(lambda c, _: ([p * 2.0 for p in c], None), [y[0] for y in ys], length=2)
        return [total, *other]

    assert numbers(compile(run)([2.0])) == [12.0, 0.0, 8.0, 16.0]


# -- bad input -------------------------------------------------------------------------------------

BAD = {
    "neither": (lambda: scan(lambda c, x: (c, x), 1.0), ValueError, "expected xs or length"),
    "they disagree": (
        lambda: scan(lambda c, x: (c, x), 1.0, [1.0], length=2),
        ValueError,
        "length is 2, but xs has 1 element",
    ),
    "no function": (lambda: scan(3, 1.0, length=1), TypeError, "expected a function as body"),
    "no list": (lambda: scan(lambda c, x: (c, x), 1.0, 3.0), TypeError, "expected a list as xs"),
    "several lists": (
        lambda: scan(lambda c, x: (c, x), 1.0, {"a": [1.0], "b": [2.0]}),
        TypeError,
        "one list of tuples",
    ),
    "elements differ in length": (
        lambda: scan(lambda c, x: (c, None), 1.0, [[1.0], [1.0, 2.0]]),
        ValueError,
        r"xs\[1\]: expected 1 item\(s\), got 2",
    ),
    "elements differ in kind": (
        lambda: scan(lambda c, x: (c, None), 1.0, [1.0, (1.0,)]),
        TypeError,
        r"xs\[1\]: expected a Value, got a tuple of 1 item",
    ),
    "a carry becomes a list": (
        lambda: scan(lambda c, x: ([c], None), 1.0, length=2),
        TypeError,
        "the carry that body returned: expected a Value, got a list of 1 item",
    ),
    "a carry grows": (
        lambda: scan(lambda c, x: ([*c, 1.0], None), [1.0], length=2),
        ValueError,
        r"the carry that body returned: expected 1 item\(s\), got 2",
    ),
    "a carry loses a key": (
        lambda: scan(lambda c, x: ({}, None), {"a": 1.0}, length=2),
        ValueError,
        r"expected keys \['a'\], got \[\]",
    ),
    "no pair": (
        lambda: scan(lambda c, x: c, 1.0, length=2),
        TypeError,
        r"expected body to return \(carry, y\), got a Value",
    ),
    "no number": (
        lambda: scan(lambda c, x: (c, "y"), 1.0, length=2),
        TypeError,
        "the y that body returned: expected Values, numbers, or .* got str",
    ),
    "length is no number": (
        lambda: scan(lambda c, x: (c, None), 1.0, length=1.5),
        TypeError,
        "expected a whole number as length, got float",
    ),
    "length below 0": (
        lambda: scan(lambda c, x: (c, None), 1.0, length=-1),
        ValueError,
        "expected length from 0",
    ),
    "checkpoint of nothing": (
        lambda: scan(lambda c, x: (c, None), 1.0, length=2, checkpoint=0),
        ValueError,
        "expected checkpoint from 1",
    ),
    "an error of its own": (
        lambda: scan(lambda c, x: (c, 1 / 0), 1.0, length=2),
        ZeroDivisionError,
        "division by zero",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_named(name):
    call, error, message = BAD[name]
    gc.collect()
    before = _core.tape_stats().live
    with pytest.raises(error, match=message):
        call()
    with pytest.raises(error, match=message):
        compile(lambda x: call()[0] + x)([1.0])
    assert _core.tape_stats().live == before


def test_an_eager_y_that_changes_its_shape_is_named():
    shapes = iter([1.0, [1.0]])
    with pytest.raises(TypeError, match="scan: y: expected a Value, got a list"):
        scan(lambda c, _: (c, next(shapes)), 1.0, length=2)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (lambda c, _: (c if c > 0 else -c, None), "truth value of a condition"),
        (lambda c, _: (c * c.data, None), r"\.data of a Value"),
        (lambda c, _: (Value(c), None), "Value|data"),
        (lambda c, _: (c, c > 0), "condition"),
    ],
)
def test_a_body_that_is_recorded_does_not_look_at_numbers(body, message):
    with pytest.raises((TraceError, TypeError), match=message):
        compile(lambda x: scan(body, x, length=2)[0])([1.0])
    # Nothing of it is an input of the function: x may be anything.
    with pytest.raises((TraceError, TypeError), match=message):
        compile(lambda x: scan(body, 1.0, length=2)[0] + x)([1.0])


def test_what_a_scan_of_parameters_gives_has_no_number_while_it_is_recorded():
    w = Value(0.5)

    def run(x):
        carry, _ = scan(lambda c, _: (c * w, None), w, length=3)
        return carry * x if carry.data > 0 else x

    with pytest.raises(TraceError, match=r"\.data of a Value"):
        compile(run)([1.0])


def test_a_chain_rule_in_python_is_refused():
    def body(c, _):
        out = Value(0.0, (c,), "mine")
        out._backward = lambda: None
        return out, None

    with pytest.raises(TraceError, match="_backward of its own"):
        compile(lambda x: scan(body, x, length=2)[0])([1.0])
    with pytest.raises(TraceError, match="depends on its carry, its x or a draw"):
        compile(lambda x: scan(lambda c, _: (mc.custom(1.0, [c], [1.0]), None), x, length=2)[0])(
            [1.0]
        )


def test_what_leaves_a_body_has_leaked():
    kept = []

    def run(x):
        carry, _ = scan(lambda c, _: (kept.append(c * x) or c * x, None), x, length=2)
        with pytest.raises(TraceError, match="has left it"):
            kept[0] + 1.0
        return carry

    assert compile(run)([3.0]).tolist() == [27.0]
    with pytest.raises(TraceError, match="has left it"):
        kept[0].data  # noqa: B018


# -- what bodies may hold --------------------------------------------------------------------------


def test_what_does_not_change_from_step_to_step_is_computed_once():
    w = Value(0.7)

    def run(x):
        return scan(lambda c, _: (c * w.exp().sin() + x.tanh(), None), x, length=5)[0]

    f = compile(run)
    same(numbers(f([0.3])), [run(Value(0.3)).data])
    assert str(f).count("= exp(") == str(f).count("= tanh(") == 1
    assert str(f).index("= exp(") < str(f).index("= scan(") > str(f).index("= tanh(")


@pytest.mark.parametrize("executor", EXECUTORS)
def test_layers_conditions_takes_and_parameters(executor):
    random.seed(3)
    cell, table = nn.Linear(3, 2), [[Value(random.uniform(-1, 1))] for _ in range(4)]
    parameters = [*cell.parameters(), *(row[0] for row in table)]

    def run(loop):
        def body(c, x):
            letter = mc.take([row[0] for row in table], x)
            h = [v.tanh() for v in cell([*c, letter])]
            return [where(h[0] > 0.0, h[0], 0.1 * h[1]), h[1]], mc.sum(h)

        def fn(letters):
            last, ys = loop(body, [0.0, 0.1], letters)
            return mc.sum([y * y for y in ys]) + last[0]

        return fn

    letters = [[0, 1, 2, 3, 3], [3, 2, 0, 1, 0], [1, 1, 1, 1, -1]]
    ours = gradient(compile(run(scan), executor=executor), parameters, letters)
    same(ours, gradient(compile(run(unrolled)), parameters, letters))


@pytest.mark.parametrize("executor", EXECUTORS)
def test_random_numbers_drawn_outside_of_the_body(executor):
    w = Value(0.3)

    def run(loop):
        def fn(x):
            level, shocks = mc.random.uniform(), [mc.random.normal() for _ in range(5)]
            body = lambda c, z: (c * (w * z).exp() + level, c)  # noqa: E731
            last, ys = loop(body, x, shocks)
            return last + ys[2] * shocks[3]

        return fn

    x = [0.1 * k for k in range(19)]
    f, g = compile(run(scan), executor=executor), compile(run(unrolled))
    same(f(x, seed=3).tolist(), g(x, seed=3).tolist())
    losses = [h.value_and_grad(x, seed=3) for h in (f, g)]
    same(losses[:1], losses[1:])


@pytest.mark.parametrize("executor", EXECUTORS)
def test_an_index_that_is_none_is_refused(executor):
    f = compile(
        lambda letters: scan(lambda c, x: (c + mc.take([1.0, 2.0 * c], x), None), 0.0, letters)[0],
        executor=executor,
    )
    assert f([[0, 1, 1]]).tolist() == [9.0]
    with pytest.raises(
        IndexError, match="take: index 2 is out of range for 2 values, for sample 1"
    ):
        f([[0, 1, 1], [0, 2, 1]])


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_scan_that_a_sample_does_not_choose_gains_nothing(executor):
    w = Value(0.5)

    def run(loop):
        def body(c, x):
            return (c * w + x).sqrt(), c

        def fn(x):
            last, ys = loop(body, x * w, [x, x * w])
            return where(x > 0.0, last * ys[1], 2.0 * x * w)

        return fn

    x = [0.0, 0.7, -1.0, 0.0]
    theirs = gradient(compile(run(unrolled)), [w], x)
    assert all(number == number for number in theirs)
    same(gradient(compile(run(scan), executor=executor), [w], x), theirs)
    slopes = numbers(compile(grad(run(unrolled)))(x))
    assert slopes[0] == 1.0
    same(numbers(compile(grad(run(scan)), executor=executor)(x)), slopes)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_nothing_flows_through_what_is_stopped(executor):
    w = Value(0.8)

    def run(loop):
        def body(c, _):
            with mc.no_grad():
                scale = c * w
            return c * w + c.detach() * scale, None

        return lambda x: loop(body, x, length=3)[0]

    ours = gradient(compile(run(scan), executor=executor), [w], [0.5, 0.7])
    same(ours, gradient(compile(run(unrolled)), [w], [0.5, 0.7]))


def test_a_scan_in_no_grad_stops_the_gradient():
    w = Value(0.8)

    def run(x):
        with mc.no_grad():
            carry, ys = scan(lambda c, _: (c * w, c), x, length=3)
        return carry * w + ys[1]

    loss, slope = gradient(compile(run), [w], [2.0])
    same([loss, slope], [2.0 * 0.8**4 + 2.0 * 0.8, 2.0 * 0.8**3])


def test_one_compiled_function_within_the_body_of_another():
    step = compile(lambda c, w: c * w + 1.0)
    w = Value(0.5)
    f = compile(lambda x: scan(lambda c, _: (step(c, w), None), x, length=3)[0])
    same(gradient(f, [w], [2.0]), [2.0, 2.0 * 3 * 0.25 + 2.0])


@pytest.mark.parametrize("executor", EXECUTORS)
def test_what_one_scan_has_made_within_the_body_of_another(executor):
    w = Value(0.5)

    def run(loop):
        def fn(x):
            numbers_outside = [x * 0.1, 0.2, w]
            _, made = loop(lambda c, _: (c * w, c), x, length=3)

            def body(c, _):
                a, _ = loop(lambda d, y: (d * 0.9 + y, None), c, made)
                b, ys = loop(lambda d, y: (d * 0.9 + y, d * w), c * w, numbers_outside)
                first, again = loop(
                    lambda d, _: (d * w, d), 1.0, length=3
                )  # the same in every step
                e, _ = loop(
                    lambda d, y: (d + y[0] * y[1], None), first, list(zip(ys, again, strict=True))
                )
                return a * b * 0.1 + e + made[1] * ys[2], ys[0]

            last, ys = loop(body, x, length=4)
            return last + mc.sum(list(ys))

        return fn

    x = [0.3, -0.7, 1.1]
    same(
        gradient(compile(run(scan), executor=executor), [w], x),
        gradient(compile(run(unrolled)), [w], x),
    )
    slope = compile(grad(run(scan)), executor=executor)
    same(gradient(slope, [w], x), gradient(compile(grad(run(unrolled))), [w], x))


# -- size ------------------------------------------------------------------------------------------


def test_a_program_does_not_grow_with_its_steps():
    w = Value(0.9999)

    def program(length):
        f = compile(lambda x: scan(lambda c, _: (c * w + 1e-4, None), x, length=length)[0])
        f([1.0])
        return f.stats(), f.value_and_grad

    few, _ = program(10)
    many, gradients_of_many = program(1_000_000)
    assert many[:3] == few[:3]  # nodes recorded and optimised, bytes
    loss = gradients_of_many([1.0])
    assert abs(loss - 1.0) < 1e-9 and abs(w.grad - 1e4) < 1e-3


# -- checkpoints -----------------------------------------------------------------------------------


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("block", [1, 2, 3, 5, 7, 12, 100])
def test_checkpoints_change_no_number(block, executor):
    w = Value(0.6)

    def run(loop, checkpoint=1):
        def body(c, x):
            return [(c[0] * w + x).tanh(), c[0] - c[1] * 0.5], c[0] * c[1]

        def fn(xs):
            last, ys = loop(body, [xs[0], 0.2], xs, checkpoint=checkpoint)
            return last[0] + mc.sum(list(ys)) * last[1]

        return fn

    xs = [[0.1 * k for k in range(12)], [0.3 - 0.1 * k for k in range(12)]]
    ours = gradient(compile(run(scan, block), executor=executor), [w], xs)
    same(ours, gradient(compile(run(unrolled)), [w], xs))


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_batch_of_no_samples(executor):
    w = Value(0.5)
    f = compile(lambda x: scan(lambda c, _: (c * w, None), x, length=4)[0], executor=executor)
    assert f([]).tolist() == []
    w.grad = 1.0
    assert f.value_and_grad([]) != f.value_and_grad([]) and w.grad == 0.0


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("samples", [1, 3, 8, 1_000])
def test_a_thousand_steps(samples, executor):
    w = [Value(0.3), Value(-0.2)]

    def run(loop):
        def body(c, _):
            a, b = c
            return [(a * w[0] + b).tanh() * 0.9, b + w[1] * a * 0.01], None

        return lambda x: mc.sum(loop(body, [x, x * 0.5], length=1_000)[0])

    if samples == 1_000 and executor == "scalar":
        pytest.skip("takes long, one sample after the other")
    array = [0.001 * k - 0.3 for k in range(samples)]
    ours = gradient(compile(run(scan), executor=executor), w, array)
    same(ours, gradient(compile(run(unrolled)), w, array), 1e-9)


def test_what_the_steps_made_is_a_list_among_results():
    """As in eager code; also as one list of two, and within a dict."""

    def running(xs):
        return mc.scan(lambda c, x: (c + x, c * x), 1.0, xs)

    last, made = mc.compile(running)([[1.0, 2.0, 3.0]])
    assert (last.tolist(), made.tolist()) == ([7.0], [[1.0, 4.0, 12.0]])
    rows = mc.compile(lambda xs: [running(xs)[1], xs])([[1.0, 2.0, 3.0]])
    assert rows.tolist() == [[[1.0, 4.0, 12.0], [1.0, 2.0, 3.0]]]
    found = mc.compile(lambda xs: {"sums": running(xs)[1]})([[1.0, 2.0]])
    assert found["sums"].tolist() == [[1.0, 4.0]]
    pairs = mc.compile(lambda xs: mc.scan(lambda c, x: (c + x, [c, x]), 1.0, xs)[1])
    assert pairs([[1.0, 2.0]]).tolist() == [[[1.0, 1.0], [2.0, 2.0]]]
