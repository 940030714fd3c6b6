# SPDX-License-Identifier: MIT
"""How draws in the bodies of loops are recorded, and what is said of them."""

import copy
import pickle
import random as python_random

import pytest
from common import collecting_after
from unrolled import EXECUTORS
from unrolled import drawn_in_step as z

import micrograd_c as mc
from micrograd_c import TraceError, Value, _core, compile, random, scan


def walk(n, checkpoint=1, draw=random.normal):
    return lambda: scan(lambda c, _: (c + draw(), None), 0.0, length=n, checkpoint=checkpoint)[0]


# -- recording -------------------------------------------------------------------------------------


def test_a_body_that_draws_depends_on_no_argument():
    w = Value(0.5)

    def fn():
        last, ys = scan(lambda c, _: (c * w + random.normal(), c), 0.0, length=3)
        return last + ys[2]

    f = compile(fn)
    rows = f(samples=4, seed=1).tolist()
    assert rows == pytest.approx(
        [1.5 * (0.5 * z(k, 0) + z(k, 1)) + z(k, 2) for k in range(4)], rel=1e-12
    )
    assert len({*f(samples=4).tolist(), *rows}) == 8  # without a seed, others
    with pytest.raises(TypeError, match="needs an array for each"):
        f()


def test_bernoulli_and_moved_numbers():
    p, low, mean = Value(0.25), Value(-1.0), Value(3.0)

    def body(c, _):
        return c, [random.bernoulli(p), random.uniform(low, 2.0), random.normal(mean, 0.5)]

    f = compile(lambda: list(scan(body, 0.0, length=3)[1][1]))
    for k, row in enumerate(f(samples=20, seed=1).tolist()):
        u, v = (z(k, 1, which, kind="uniform") for which in range(2))
        expected = [float(u < 0.25), 3.0 * v - 1.0, z(k, 1, 2) * 0.5 + 3.0]
        assert row == pytest.approx(expected, rel=1e-15)


def test_gradients_flow_through_what_moves_a_draw():
    mean, std, low = Value(0.5), Value(2.0), Value(-1.0)

    def fn():
        def body(c, _):
            with mc.no_grad():
                still = random.normal(mean, std)
            return c + random.normal(mean, std) + random.uniform(low, 1.0) + still, None

        return scan(body, 0.0, length=4)[0]

    compile(fn).value_and_grad(samples=6, seed=1)
    steps = [(k, t) for k in range(6) for t in range(4)]
    assert mean.grad == pytest.approx(4.0)
    assert std.grad == pytest.approx(sum(z(k, t, 1) for k, t in steps) / 6)
    assert low.grad == pytest.approx(sum(1 - z(k, t, 2, kind="uniform") for k, t in steps) / 6)


@pytest.mark.parametrize(
    "read",
    [
        lambda v: v * v.data,
        lambda v: v if v > 0.5 else -v,
        lambda v: v * float(f"{v:.3f}"),
        lambda v: setattr(v, "data", 1.0) or v,
        lambda v: mc.custom(3.0, [v], [1.0]),
    ],
)
def test_a_draw_in_a_body_has_no_number(read):
    with pytest.raises(TraceError):
        compile(lambda: scan(lambda c, _: (c + read(random.normal()), None), 0.0, length=2)[0])(
            samples=2
        )


def test_a_draw_that_leaves_its_body_has_leaked():
    kept = []

    def body(c, _):
        kept.append(random.normal())
        return c + kept[-1], None

    def fn():
        last, _ = scan(body, 0.0, length=2)
        with pytest.raises(TraceError, match="has left it"):
            kept[0] + 1.0
        return last

    compile(fn)(samples=1)


def test_an_error_in_a_body_leaves_no_draws():
    def failing(c, _):
        random.normal()
        raise KeyError("no")

    def fn():
        before = random.normal()
        with pytest.raises(KeyError):
            scan(failing, 0.0, length=2)
        return [before, random.normal(), walk(3)()]

    for k, row in enumerate(compile(fn)(samples=3, seed=1).tolist()):
        assert row[:2] == [_core.drawn("normal", 1, k, d) for d in range(2)]
        assert row[2] == z(k, 0, 1) + z(k, 1, 1) + z(k, 2, 1)


def test_steps_that_draws_do_not_tell_apart():
    def nested(outer, inner):
        return lambda: scan(lambda c, _: (walk(inner)() + c, None), 0.0, length=outer)[0]

    with pytest.raises(ValueError, match=r"in 4294967296 steps.*tell 4294967295 apart"):
        compile(nested(2**16, 2**16))(samples=1)
    with pytest.raises(ValueError, match="draws tell"):
        compile(nested(2**31, 2**31))(samples=1)


def test_a_function_that_is_called_in_a_body_draws_for_it():
    inner = compile(lambda x: x + random.normal())
    f = compile(lambda x: scan(lambda c, _: (inner(c), None), x, length=3)[0])
    assert f([0.0], seed=1).tolist() == [z(0, 0) + z(0, 1) + z(0, 2)]


class Drawing:
    """Garbage that draws when it is collected."""

    def __init__(self):
        self.itself = self

    def __del__(self):
        random.normal()


def test_draws_while_a_body_is_recorded():
    def body(c, _):
        found = []
        for _ in range(30):
            Drawing()
            found.append(random.normal())
        return c, found

    def fn():
        Drawing()
        _, ys = scan(body, 0.0, length=2)
        return list(ys[1])

    with collecting_after(1, 1, 1):
        f = compile(fn)
        (found,) = f(samples=1, seed=1).tolist()
    places = {z(0, 1, which): which for which in range(100)}
    places = [places[number] for number in found]
    assert places == sorted(set(places)) and len(places) == 30 and places[-1] > 40


def test_eagerly_draws_are_pythons():
    python_random.seed(5)
    expected = sum(python_random.gauss(0.0, 1.0) for _ in range(4))
    python_random.seed(5)
    assert walk(4)().data == expected


# -- size, listings, copies ------------------------------------------------------------------------


def test_neither_program_nor_memory_grows_with_steps():
    """Of a loop that keeps no carries. Of others it is some numbers a step for each lane."""
    sizes = []
    for n in (100, 1_000_000):
        f = compile(walk(n), threads=1)
        f(samples=8, seed=1)
        sizes.append((f.stats().recorded_nodes, f.stats().bytes))
    assert sizes[0] == sizes[1] and f.stats().draws == 1_000_000
    w = Value(0.5)
    f = compile(
        lambda: scan(lambda c, _: ((c + random.normal()).sin() * w, None), 0.0, length=252)[0],
        threads=1,
    )
    f.value_and_grad(samples=2_000)
    assert f.stats().bytes < 200_000


def test_the_listing_shows_draws_and_stats_count_them():
    def fn():
        return walk(10)() + walk(5, draw=random.uniform)() + random.normal()

    for executor in EXECUTORS:
        f = compile(fn, executor=executor)
        f(samples=3)
        assert f.stats().draws == 16
        text = str(f)
        assert "= draw 0, normal" in text and "= draw 1, uniform" in text


def fn_of_module():
    return walk(5, checkpoint=2)() + random.normal()


def test_copies_draw_the_same():
    f = compile(fn_of_module)
    expected = f(samples=5, seed=1).tolist()
    for other in (copy.copy(f), copy.deepcopy(f), pickle.loads(pickle.dumps(f))):
        assert other(samples=5, seed=1).tolist() == expected
