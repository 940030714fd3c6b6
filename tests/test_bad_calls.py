# SPDX-License-Identifier: MIT
"""What the functions beside Value refuse."""

import pytest
from common import closure_node, leaves, nodes_without_garbage

from micrograd_c import Value, clip, custom, dot, take, tape_stats, topological_sort, where
from micrograd_c import sum as fused_sum

pytestmark = pytest.mark.usefixtures("no_collection_meanwhile")


# -- what the functions refuse ---------------------------------------------------------------------

# call with two Values, exception, what the message says
BAD_CALLS = [
    (lambda a, b: fused_sum([a, "x"]), TypeError, "sum.*str"),
    (lambda a, b: fused_sum([a, None, b]), TypeError, "sum.*NoneType"),
    (lambda a, b: fused_sum([a, [b]]), TypeError, "sum.*list"),
    (lambda a, b: fused_sum([a, 1j]), TypeError, "sum.*complex"),
    (lambda a, b: fused_sum([a], start="x"), TypeError, "sum.*str"),
    (lambda a, b: fused_sum(3), TypeError, "int"),
    (lambda a, b: fused_sum(a), TypeError, "Value"),
    (lambda a, b: fused_sum(), TypeError, None),
    (lambda a, b: fused_sum([a, 10**400]), OverflowError, None),
    (lambda a, b: fused_sum(1 / 0 for _ in [a]), ZeroDivisionError, None),
    (lambda a, b: dot([a, b], [1.0]), ValueError, r"dot.*\b2\b.*\b1\b"),
    (lambda a, b: dot([], [a]), ValueError, r"dot.*\b0\b.*\b1\b"),
    (lambda a, b: dot([a], [1.0, 2.0], b), ValueError, r"dot.*\b1\b.*\b2\b"),
    (lambda a, b: dot([a], ["x"]), TypeError, "dot.*str"),
    (lambda a, b: dot([None], [a]), TypeError, "dot.*NoneType"),
    (lambda a, b: dot([a], [b], "x"), TypeError, "dot.*str"),
    (lambda a, b: dot(3, [a]), TypeError, "int"),
    (lambda a, b: dot([a], b), TypeError, "Value"),
    (lambda a, b: dot([a]), TypeError, None),
    (lambda a, b: dot({a, b}, [1.0, 2.0]), TypeError, "dot.*sequence.*set"),
    (lambda a, b: dot([a, b], {1.0: 2.0, 3.0: 4.0}), TypeError, "dot.*sequence.*dict"),
    (lambda a, b: custom(1.0, frozenset([a, b]), [1.0, 2.0]), TypeError, "custom.*frozenset"),
    (lambda a, b: custom("x", [a], [1.0]), TypeError, "custom.*str"),
    (lambda a, b: custom(a, [a], [1.0]), TypeError, "custom.*Value"),
    (lambda a, b: custom(1.0, ["x"], [1.0]), TypeError, "custom.*str"),
    (lambda a, b: custom(1.0, [a], ["x"]), TypeError, "custom.*str"),
    (lambda a, b: custom(1.0, [a], [b]), TypeError, "custom.*Value"),
    (lambda a, b: custom(1.0, [a], []), ValueError, r"custom.*\b1\b.*\b0\b"),
    (lambda a, b: custom(1.0, [a, b], [1.0]), ValueError, r"custom.*\b2\b.*\b1\b"),
    (lambda a, b: custom(1.0, [a], [1.0, 2.0]), ValueError, r"custom.*\b1\b.*\b2\b"),
    (lambda a, b: custom(1.0, a, [1.0]), TypeError, "Value"),
    (lambda a, b: custom(1.0, [a], 1.0), TypeError, "float"),
    (lambda a, b: where(True, "x", a), TypeError, "where.*str"),
    (lambda a, b: where(False, a, None), TypeError, "where.*NoneType"),
    (lambda a, b: where(a, b), TypeError, None),
    (lambda a, b: where(-1, a, b), TypeError, "where.*bool, a condition or a Value.*int"),
    (lambda a, b: where(~True, a, b), TypeError, "where.*int"),
    (lambda a, b: where(1.0, a, b), TypeError, "where.*float"),
    (lambda a, b: where("False", a, b), TypeError, "where.*str"),
    (lambda a, b: where(None, a, b), TypeError, "where.*NoneType"),
    (lambda a, b: where([a], a, b), TypeError, "where.*list"),
    (lambda a, b: clip("x", 0, 1), TypeError, "clip.*str"),
    (lambda a, b: clip(a, "x", 1), TypeError, "clip.*str"),
    (lambda a, b: clip(a, 0, [1]), TypeError, "clip.*list"),
    (lambda a, b: clip(None), TypeError, "clip.*NoneType"),
    (lambda a, b: take([a, "x"], Value(0)), TypeError, "take.*str"),
    (lambda a, b: take(3, Value(0)), TypeError, "int"),
    (lambda a, b: take({a, b}, Value(0)), TypeError, "take.*sequence.*set"),
    (lambda a, b: take({0: a, 1: b}, Value(0)), TypeError, "take.*sequence.*dict"),
    (lambda a, b: take({0: a, 1: b}, 0), TypeError, "take.*sequence.*dict"),
    (lambda a, b: take([a, b], 0.5), TypeError, None),
    (lambda a, b: take([a, b], "x"), TypeError, None),
    (lambda a, b: take([a, b], None), TypeError, None),
    (lambda a, b: topological_sort([a]), TypeError, "topological_sort.*list"),
    (lambda a, b: topological_sort(), TypeError, None),
]


@pytest.mark.parametrize("kind", ["light", "heavy"])
@pytest.mark.parametrize(("call", "exception", "message"), BAD_CALLS)
def test_a_bad_call_says_why_and_records_nothing(call, exception, message, kind):
    a, b = leaves(1.0, 2.0)
    if kind == "heavy":  # nodes on a closure node are recorded another way
        a = closure_node(a)
    before = nodes_without_garbage()
    for _ in range(5):
        with pytest.raises(exception, match=message):
            call(a, b)
        assert tape_stats().nodes == before
    assert (a.data, b.data) == (1.0, 2.0)
