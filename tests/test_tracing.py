# SPDX-License-Identifier: MIT
"""What compile() takes, gives and refuses; a refused call leaves everything as it was."""

import copy
import math
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import micrograd_c as mc
from micrograd_c import TraceError, Value, nn, optim


def twice(x):
    return x * 2


@mc.compile(reduction="sum")
def thrice(x):
    return x * 3


@pytest.fixture
def w():
    value = Value(2.0)
    value.grad = 5.0
    return value


def with_closure(x, w):
    out = Value(1.0, (x, w), "own")
    out._backward = lambda: None
    return out


def assign(field):
    def assigning(x, w):
        setattr(x, field, 1.0)
        return x * w

    return assigning


def assign_to_weight(x, w):
    w.data = 3.0
    return x * w


def backward_inside(x, w):
    y = x * w
    y.backward()
    return y


def chain_rule_inside(x, w):
    y = x * w
    y._backward()
    return y


def start_anew(v):
    v.__init__(3.0)
    return v


def after_a_change(change):
    def changing(x, w):
        change(w)
        return x * w

    return changing


def assign_to_an_operand(x, w):
    c = Value(2.0)
    y = x * w * c
    c.data = 3.0
    return y


def compiled_on_numbers(x, w):
    inner = mc.compile(lambda y: y * x)
    return w * inner([1.0])[0]


def read_in_another_thread(x, w):
    read = []

    def reading():
        try:
            read.append(x.data)
        except TraceError as error:
            read.append(error)

    thread = threading.Thread(target=reading)
    thread.start()
    thread.join()
    if isinstance(read[0], TraceError):
        raise read[0]
    return w * read[0]


def pause_in_another_thread(x, w):
    with ThreadPoolExecutor(1) as pool:

        @mc.no_grad()
        def product():
            return x * w

        return pool.submit(product).result()


REFUSED = {
    ".data": lambda x, w: w * x.data,
    ".data of a result": lambda x, w: w * (x * w).data,
    ".item()": lambda x, w: w * x.item(),
    ".grad": lambda x, w: w * x.grad,
    "less": lambda x, w: x if x < 0 else w,
    "greater than a weight": lambda x, w: x if w > x else w,
    "max": lambda x, w: max(x, w),
    "format": lambda x, w: w * float(f"{x:.2f}"),
    "equal to a number": lambda x, w: w if x == 0 else x,
    "a number that is equal": lambda x, w: w if 0.0 == x else x,  # noqa: SIM300
    "unequal to a number": lambda x, w: w if x * w != np.float64(1) else x,
    "in a list of numbers": lambda x, w: w if x in [1, 2] else x,
    "truth": lambda x, w: w if x else -w,
    "not": lambda x, w: w if not x * w else -w,
    "data behind detach": lambda x, w: w * x.detach().data,
    "an input that another program reads": compiled_on_numbers,
    "data in another thread": read_in_another_thread,
    "no_grad in another thread": pause_in_another_thread,
    "copy": lambda x, w: w * copy.copy(x),
    "custom": lambda x, w: mc.custom(3.0, [x], [1.0]),
    "a chain rule in Python": with_closure,
    "assigning data": assign("data"),
    "assigning grad": assign("grad"),
    "assigning a weight's data": assign_to_weight,
    "backward": backward_inside,
    "a chain rule": chain_rule_inside,
    "an input's __init__": lambda x, w: start_anew(x) * w,
    "a weight's __init__": lambda x, w: x * start_anew(w),
    "assigning to an operand": assign_to_an_operand,
    "assigning a weight's grad": after_a_change(lambda w: setattr(w, "grad", 1.0)),
    "a state for a weight": after_a_change(lambda w: w.__setstate__((1.0, 0.0, "", "", {}))),
    "a step": after_a_change(lambda w: optim.SGD([w], lr=0.1).step()),
    "zero_grad": after_a_change(lambda w: optim.SGD([w], lr=0.1).zero_grad()),
    "an optimiser's state": after_a_change(
        lambda w: optim.SGD([w], lr=0.1).load_state_dict(optim.SGD([w], lr=0.1).state_dict())
    ),
    "value_and_grad": after_a_change(lambda w: mc.compile(lambda y: y * w).value_and_grad([1.0])),
    "fit": after_a_change(
        lambda w: mc.compile(lambda y: y * w).fit([1.0], optimizer=optim.SGD([w], lr=0.1), steps=1)
    ),
}


@pytest.mark.parametrize("fn", REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("call", ["outputs", "value_and_grad", "fit"])
def test_what_would_bake_in_one_samples_number_is_refused(fn, call, w):
    f = mc.compile(lambda x: fn(x, w))
    optimizer = mc.optim.SGD([w], lr=0.1)
    calls = {
        "outputs": lambda: f([1.0, 2.0]),
        "value_and_grad": lambda: f.value_and_grad([1.0, 2.0]),
        "fit": lambda: f.fit([1.0, 2.0], optimizer=optimizer, steps=3),
    }
    with pytest.raises(TraceError):
        calls[call]()
    assert (w.data, w.grad) == (2.0, 5.0)
    assert (w * 3).data == 6.0 and w.item() == 2.0  # nothing is being recorded any more


def test_the_error_says_what_was_done_and_what_to_do_instead(w):
    with pytest.raises(TraceError, match=r"\.data of a Value that depends on an input.*where\(\)"):
        mc.compile(lambda x: w * x.data)([1.0])
    instead = r"where\(\), maximum\(\), relu\(\), clip\(\) or take\(\)"
    with pytest.raises(TraceError, match=f"a comparison of a Value.*{instead}"):
        mc.compile(lambda x: w if x == 0 else x)([1.0])
    with pytest.raises(TraceError, match=f"the truth value of a Value.*{instead}"):
        mc.compile(lambda x: w if x else -w)([1.0])


def test_an_exception_of_the_function_comes_through(w):
    def fails(x):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        mc.compile(fails).value_and_grad([1.0])
    with pytest.raises(ZeroDivisionError):
        mc.compile(lambda x: x * (w / (w - 2.0)))([1.0])


def test_identity_and_repr_of_an_input_are_no_numbers(w):
    def fn(x):
        y = x * 2
        assert x == x and x != y and x in [y, x] and {x: 1}[x] and "sample" in repr(x)
        assert x != "1" and x != None and x != [1.0]  # noqa: E711
        return x

    assert mc.compile(fn)([1.0]).tolist() == [1.0]


def test_truth_and_equality_of_what_depends_on_no_input_are_as_ever(w):
    def fn(x):
        assert w and w * 0 and w != 2.0 and w not in [2.0]
        return x * w

    assert mc.compile(fn)([1.0]).tolist() == [2.0]


def test_truth_asks_for_a_length_where_a_class_has_one():
    class Sized(Value):
        length = 0

        def __len__(self):
            return self.length

    sized = Sized(3.0)
    assert not sized
    sized.length = 2
    assert sized and Value(0.0)


def test_a_leaf_of_the_function_may_be_assigned_before_it_is_used(w):
    def fn(x):
        c = Value(1.0)
        c.data += 2.0
        c.grad = 1.0
        return x * w * c

    assert mc.compile(fn)([1.0]).tolist() == [6.0]


# -- parameters and programs ----------------------------------------------------------------------


def test_assigned_data_is_seen_by_the_next_call(w):
    f = mc.compile(lambda x: x * w)
    assert f([1.0]).tolist() == [2.0]
    w.data = 7.0
    assert f([1.0]).tolist() == [7.0]
    f.value_and_grad([3.0])
    assert w.grad == 3.0


def test_a_parameter_that_the_result_does_not_move_with_gets_a_zero_gradient(w):
    f = mc.compile(lambda x: mc.where(True, x, w))
    f.value_and_grad([1.0])
    assert w.grad == 0.0


def test_a_parameter_made_in_the_function_and_kept_is_trained():
    kept = []

    def fn(x):
        if not kept:
            kept.append(Value(2.0))
        return x * kept[0]

    mc.compile(fn).value_and_grad([1.0, 3.0])
    assert kept[0].grad == 2.0


def test_the_function_runs_once_for_each_structure_of_arguments():
    calls = []

    def fn(xs):
        calls.append(len(xs))
        return mc.sum(xs)

    f = mc.compile(fn)
    for width in (2, 3, 2, 3, 2):
        assert f(np.ones((4, width))).tolist() == [width] * 4
    assert calls == [2, 3]


def test_a_compiled_function_inside_another_is_part_of_its_graph(w):
    inner = mc.compile(lambda x: x * w)
    outer = mc.compile(lambda x: inner(x) + 1)
    assert outer([1.0, 2.0]).tolist() == [3.0, 5.0]
    outer.value_and_grad([4.0])
    assert w.grad == 4.0


def test_stats_and_listing_show_what_became_of_the_graph(w):
    f = mc.compile(lambda x: x * w + x * w)
    with pytest.raises(ValueError, match="call the function first"):
        f.stats()
    f([1.0])
    stats = f.stats()
    assert stats.recorded_nodes == 5 and stats.optimised_nodes == 4 and stats.parameters == 1
    assert stats.bytes > 0 and stats.lanes >= 1 and stats.level in mc._core.levels()
    assert "input 0" in str(f) and "mul" in str(f)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"fn": 3}, TypeError),
        ({"fn": twice, "reduction": "max"}, ValueError),
        ({"fn": twice, "threads": 0}, ValueError),
        ({"fn": twice, "threads": 1.5}, ValueError),
    ],
)
def test_bad_calls_of_compile(arguments, error):
    with pytest.raises(error, match="compile: expected"):
        mc.compile(**arguments)


def test_an_unknown_pass_cannot_be_left_out():
    with pytest.raises(ValueError, match="expected passes among constants"):
        mc.compile(twice, skip=("magic",))([1.0])


def test_the_tape_is_as_before_when_a_function_has_been_recorded(w):
    mc._core.compact()
    before = mc.tape_stats().nodes
    f = mc.compile(lambda x: (x * w).tanh())
    f.value_and_grad([1.0, 2.0])
    assert mc.tape_stats().nodes == before
    assert math.isfinite(w.grad)


# -- what stands around the call -------------------------------------------------------------------


def test_no_grad_around_the_first_call_does_not_matter():
    w = Value(2.0)
    f = mc.compile(lambda x: (w * x).tanh())
    with mc.no_grad():
        assert f([1.0]).tolist() == [math.tanh(2.0)]
        assert (w * 2)._op == ""  # it is on again
    assert (w * 2)._op == "*"
    f.value_and_grad([1.0])
    assert w.grad == pytest.approx(1 - math.tanh(2.0) ** 2)


def test_no_grad_that_a_function_leaves_open_ends_with_it():
    def careless(x):
        mc.no_grad().__enter__()
        return x

    assert mc.compile(careless)([1.0]).tolist() == [1.0]
    w = Value(2.0)
    assert (w * 2)._op == "*"


def test_compile_is_a_decorator_with_and_without_options():
    w = Value(2.0)

    @mc.compile
    def plain(x):
        """Doubles."""
        return w * x

    @mc.compile(reduction="sum", threads=1)
    def summed(x):
        return w * x

    assert plain.value_and_grad([1.0, 3.0]) == 4.0
    assert summed.value_and_grad([1.0, 3.0]) == 8.0
    assert plain.__doc__ == "Doubles."


# -- copies ----------------------------------------------------------------------------------------

COPIES = {"deepcopy": copy.deepcopy, "pickle": lambda f: pickle.loads(pickle.dumps(f))}
each_copy = pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)


@each_copy
def test_a_copy_keeps_the_function_and_the_options_and_records_anew(copied):
    f = mc.compile(twice, reduction="sum", threads=2, skip="sums")
    f([1.0])
    g = copied(f)
    assert type(g) is mc.compiled.CompiledFunction and g is not f
    with pytest.raises(ValueError, match="nothing has been recorded"):
        g.stats()
    assert g([1.0, 2.0]).tolist() == [2.0, 4.0] and g.value_and_grad([1.0, 2.0]) == 6.0
    assert g.__name__ == "twice" and g._skip == ("sums",)


@each_copy
def test_a_copy_of_a_compiled_model_has_parameters_of_its_own(copied):
    model = nn.MLP(2, [3, 1])
    f = mc.compile(model)
    before = f([[1.0, 2.0]]).tolist()
    pair = copied([model, f])
    assert pair[1]([[1.0, 2.0]]).tolist() == before
    for p in pair[0].parameters():
        p.data = 0.0
    assert pair[1]([[1.0, 2.0]]).tolist() == [0.0]
    assert f([[1.0, 2.0]]).tolist() == before


@each_copy
def test_a_decorated_function_is_copied_as_functions_are(copied):
    assert copied(thrice) is thrice


def test_a_function_without_a_name_is_pickles_own_error():
    f = mc.compile(lambda x: x * 2)
    with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
        pickle.dumps(f)
    assert copy.deepcopy(f)([1.0]).tolist() == [2.0]


def test_a_list_of_numbers_and_values_is_a_call_on_values():
    """Wherever the first Value stands: called on one, a compiled function is part of its graph."""
    f = mc.compile(lambda v: v[0] * v[1])
    assert f([Value(3.0), 2.0]).data == f([2.0, Value(3.0)]).data == 6.0
    assert mc.compile(lambda x: f([2.0, x]))([3.0]).tolist() == [6.0]
