# SPDX-License-Identifier: MIT
"""Optimisers as objects: live settings, state, copies."""

import array
import copy
import math
import pickle
from fractions import Fraction

import pytest

import micrograd_c as mc
from micrograd_c import Value, _core, nn, optim, tape_stats

MAKERS = {"SGD": optim.SGD, "Adam": optim.Adam, "AdamW": optim.AdamW}
CHANGES = {
    "SGD": {"lr": 0.03, "momentum": 0.8, "nesterov": True, "weight_decay": 0.2, "maximize": True},
    "Adam": {
        "lr": 0.03,
        "betas": (0.7, 0.95),
        "eps": 1e-3,
        "weight_decay": 0.2,
        "amsgrad": True,
        "maximize": True,
    },
}
CHANGES["AdamW"] = CHANGES["Adam"]
SETTINGS = [(name, setting) for name, changes in CHANGES.items() for setting in changes]
each_maker = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


def parameters(count=3):
    return [Value(0.3 * k - 0.5) for k in range(count)]


def steps(optimizer, count, start=0):
    """So many steps with gradients that go up and down."""
    for step in range(start, start + count):
        for k, p in enumerate(optimizer.params):
            p.grad = math.sin(3 * step + k) + 0.2 * p.data
        optimizer.step()
    return [p.data for p in optimizer.params]


def made(name, setting):
    """Without the setting in question, and with what it needs."""
    options = {"lr": 0.05, "momentum": 0.9} if setting == "nesterov" else {"lr": 0.05}
    return MAKERS[name](parameters(), **options), options


# -- settings --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "setting"), SETTINGS)
def test_a_setting_that_is_assigned_is_that_of_the_constructor(name, setting):
    optimizer, options = made(name, setting)
    value = CHANGES[name][setting]
    setattr(optimizer, setting, value)
    assert getattr(optimizer, setting) == value
    expected = MAKERS[name](parameters(), **{**options, setting: value})
    assert steps(optimizer, 6) == steps(expected, 6)
    assert steps(made(name, setting)[0], 6) != steps(expected, 6)


@pytest.mark.parametrize(("name", "setting"), SETTINGS)
def test_fit_follows_a_setting_that_a_callback_assigns(name, setting):
    def run(fitted):
        optimizer, _ = made(name, setting)
        f = mc.compile(lambda x: mc.sum([(p * x - 1) ** 2 for p in optimizer.params]))

        def assign(step, loss):
            if step == 2:
                setattr(optimizer, setting, CHANGES[name][setting])

        if fitted:
            f.fit([1.0, 2.0], optimizer=optimizer, steps=6, callback=assign)
        else:
            for step in range(6):
                f.value_and_grad([1.0, 2.0])
                optimizer.step()
                assign(step, None)
        return [p.data for p in optimizer.params]

    assert run(True) == pytest.approx(run(False), rel=1e-12)


def test_momentum_that_comes_and_goes_is_pytorchs():
    torch = pytest.importorskip("torch")
    p, q = Value(1.0), torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    ours, theirs = optim.SGD([p], lr=0.1), torch.optim.SGD([q], lr=0.1)
    for step, momentum in enumerate([0.0, 0.5, 0.9, 0.0, 0.0, 0.7]):
        ours.momentum = theirs.param_groups[0]["momentum"] = momentum
        p.grad = math.cos(step)
        q.grad = torch.tensor(math.cos(step), dtype=torch.float64)
        ours.step()
        theirs.step()
        assert p.data == pytest.approx(q.item(), rel=1e-12)


@each_maker
def test_an_unknown_attribute_is_refused_and_the_known_ones_are_named(make):
    optimizer = make(parameters(), lr=0.1)
    for name in ("learning_rate", "weightdecay", "dampening"):
        with pytest.raises(AttributeError, match=f"no setting '{name}'.*lr.*weight_decay"):
            setattr(optimizer, name, 0.5)
        assert not hasattr(optimizer, name)
    for name in ("params", "steps"):
        with pytest.raises(AttributeError):
            setattr(optimizer, name, 1)
    with pytest.raises(AttributeError):
        del optimizer.lr


def test_a_setting_of_another_rule_is_unknown():
    with pytest.raises(AttributeError, match="SGD has no setting 'betas'"):
        optim.SGD(parameters(), lr=0.1).betas = (0.9, 0.9)
    with pytest.raises(AttributeError, match="Adam has no setting 'momentum'"):
        optim.Adam(parameters()).momentum = 0.9


def test_a_class_of_ones_own_may_say_what_attributes_it_has():
    class Warm(optim.SGD):
        warm_up = 10

    optimizer = Warm(parameters(), lr=0.1)
    optimizer.warm_up = 20
    assert optimizer.warm_up == 20 and Warm.warm_up == 10
    assert copy.deepcopy(optimizer).warm_up == 20
    with pytest.raises(AttributeError, match="no setting 'warmup'"):
        optimizer.warmup = 20


@pytest.mark.parametrize(
    ("name", "setting", "bad", "error"),
    [
        ("SGD", "lr", -1.0, ValueError),
        ("SGD", "lr", math.nan, ValueError),
        ("SGD", "lr", "0.1", TypeError),
        ("SGD", "lr", None, TypeError),
        ("SGD", "momentum", -0.1, ValueError),
        ("SGD", "momentum", Value(0.5), TypeError),
        ("SGD", "weight_decay", -0.1, ValueError),
        ("SGD", "nesterov", True, ValueError),  # without momentum
        ("SGD", "nesterov", "False", TypeError),
        ("SGD", "maximize", 0.5, TypeError),
        ("Adam", "betas", 0.9, TypeError),
        ("Adam", "betas", (0.9,), TypeError),
        ("Adam", "betas", (0.9, 1.0), ValueError),
        ("Adam", "betas", (-0.1, 0.9), ValueError),
        ("Adam", "betas", ("0.9", 0.9), TypeError),
        ("Adam", "eps", -1e-8, ValueError),
        ("AdamW", "amsgrad", None, TypeError),
        ("AdamW", "weight_decay", math.nan, ValueError),
    ],
)
def test_a_bad_setting_is_refused_in_both_places_and_changes_nothing(name, setting, bad, error):
    optimizer = MAKERS[name](parameters(), lr=0.05)
    before = getattr(optimizer, setting)
    with pytest.raises(error, match=setting):
        setattr(optimizer, setting, bad)
    assert getattr(optimizer, setting) == before
    with pytest.raises(error, match=setting):
        MAKERS[name](parameters(), **{"lr": 0.05, setting: bad})
    assert steps(optimizer, 3) == steps(MAKERS[name](parameters(), lr=0.05), 3)


def test_momentum_cannot_be_taken_away_from_nesterovs_rule():
    optimizer = optim.SGD(parameters(), lr=0.1, momentum=0.9, nesterov=True)
    with pytest.raises(ValueError, match="nesterov"):
        optimizer.momentum = 0.0
    optimizer.nesterov = False
    optimizer.momentum = 0.0


# -- once more -------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", MAKERS)
@pytest.mark.parametrize("count", [1, 300])
def test_a_constructor_that_is_called_again_starts_afresh(first, count):
    optimizer = optim.SGD.__new__(MAKERS[first])
    for size in (10, count):
        values = parameters(size)
        optimizer.__init__(values, lr=0.05)
        if first == "SGD":
            optimizer.momentum = 0.9
        fresh = MAKERS[first](parameters(size), lr=0.05)
        if first == "SGD":
            fresh.momentum = 0.9
        assert optimizer.steps == 0
        assert steps(optimizer, 4) == steps(fresh, 4)
        f = mc.compile(lambda x, values=values: mc.sum([p * x for p in values]))
        f.fit([1.0], optimizer=optimizer, steps=2)
        assert optimizer.steps == 6


def test_a_constructor_that_is_refused_leaves_the_optimiser_as_it_was():
    optimizer = optim.SGD(parameters(), lr=0.1, momentum=0.9)
    twin = optim.SGD(parameters(), lr=0.1, momentum=0.9)
    steps(optimizer, 2)
    steps(twin, 2)
    for bad in (([], 0.1), (parameters(), -1.0), ([1.0], 0.1)):
        with pytest.raises((TypeError, ValueError)):
            optimizer.__init__(*bad)
    assert steps(optimizer, 2, 2) == steps(twin, 2, 2)


def test_an_optimiser_whose_constructor_was_not_called_says_so():
    class Careless(optim.SGD):
        def __init__(self, params):
            pass

    optimizer = Careless(parameters())
    optimizer.zero_grad()
    f = mc.compile(lambda x: x * 2)
    for call in (optimizer.step, lambda: f.fit([1.0], optimizer=optimizer, steps=1)):
        with pytest.raises(RuntimeError, match="__init__ has not been called"):
            call()


# -- state -----------------------------------------------------------------------------------------

VARIANTS = {
    "SGD": lambda p: optim.SGD(p, lr=0.05),
    "SGD momentum": lambda p: optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True),
    "Adam": lambda p: optim.Adam(p, lr=0.02, betas=(0.8, 0.9)),
    "Adam amsgrad": lambda p: optim.Adam(p, lr=0.02, amsgrad=True, weight_decay=0.1),
    "AdamW": lambda p: optim.AdamW(p, lr=0.02, maximize=True),
}
each_variant = pytest.mark.parametrize("make", VARIANTS.values(), ids=VARIANTS)


@each_variant
@pytest.mark.parametrize("done", [0, 1, 5])
def test_a_state_dict_goes_on_where_it_was_taken(make, done):
    ours = make(parameters())
    data = steps(ours, done)
    state = ours.state_dict()
    theirs = type(ours)([Value(number) for number in (data or [p.data for p in ours.params])])
    assert theirs.load_state_dict(pickle.loads(pickle.dumps(state))) is None
    assert theirs.state_dict() == state
    assert theirs.steps == done
    assert steps(theirs, 5, done) == steps(ours, 5, done)
    assert ours.state_dict() != state  # a copy, not a view


def test_a_state_dict_is_plain_and_of_pytorchs_form():
    optimizer = optim.Adam(parameters(2), lr=0.1, amsgrad=True)
    group = {
        "lr": 0.1,
        "betas": (0.9, 0.999),
        "eps": 1e-8,
        "weight_decay": 0.0,
        "amsgrad": True,
        "maximize": False,
        "params": [0, 1],
    }
    assert optimizer.state_dict() == {"state": {}, "param_groups": [group]}
    optimizer.params[0].grad = 1.0
    optimizer.step()
    state = optimizer.state_dict()["state"]
    assert set(state) == {0, 1}
    assert state[0] == {
        "step": 1,
        "exp_avg": pytest.approx(0.1),
        "exp_avg_sq": pytest.approx(0.001),
        "max_exp_avg_sq": pytest.approx(0.001),
    }
    optimizer = optim.SGD(parameters(1), lr=0.1, momentum=0.9)
    optimizer.params[0].grad = 2.0
    optimizer.step()
    assert optimizer.state_dict()["state"] == {0: {"step": 1, "momentum_buffer": 2.0}}


def test_the_state_of_pytorchs_own_optimiser_can_be_taken_over():
    torch = pytest.importorskip("torch")
    p, q = Value(1.0), torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    ours, theirs = optim.Adam([p], lr=0.1), torch.optim.Adam([q], lr=0.1)
    for step in range(3):
        q.grad = torch.tensor(math.cos(step), dtype=torch.float64)
        theirs.step()
    state = theirs.state_dict()
    known = optim.Adam([p]).state_dict()["param_groups"][0]
    ours.load_state_dict(
        {
            "state": {
                k: {name: float(v) if name != "step" else int(v) for name, v in entries.items()}
                for k, entries in state["state"].items()
            },
            "param_groups": [{key: state["param_groups"][0][key] for key in known}],
        }
    )
    p.data, p.grad = q.item(), 0.5
    q.grad = torch.tensor(0.5, dtype=torch.float64)
    ours.step()
    theirs.step()
    assert p.data == pytest.approx(q.item(), rel=1e-12)


def without(state, *path):
    state = copy.deepcopy(state)
    inner = state
    for key in path[:-1]:
        inner = inner[key]
    del inner[path[-1]]
    return state


def with_entry(state, value, *path):
    state = copy.deepcopy(state)
    inner = state
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return state


GROUP = ("param_groups", 0)
BAD_STATES = {
    "None": lambda s: None,
    "a list": lambda s: [1, 2],
    "no state": lambda s: without(s, "state"),
    "no groups": lambda s: without(s, "param_groups"),
    "two groups": lambda s: with_entry(s, s["param_groups"] * 2, "param_groups"),
    "no params": lambda s: without(s, *GROUP, "params"),
    "too few params": lambda s: with_entry(s, [0, 1], *GROUP, "params"),
    "a setting missing": lambda s: without(s, *GROUP, "eps"),
    "a setting too many": lambda s: with_entry(s, 0.5, *GROUP, "momentum"),
    "a bad setting": lambda s: with_entry(s, -1.0, *GROUP, "lr"),
    "a parameter missing": lambda s: without(s, "state", 1),
    "a parameter too many": lambda s: with_entry(s, {}, "state", 7),
    "an unknown moment": lambda s: with_entry(s, 1.0, "state", 2, "momentum_buffer"),
    "a moment that is no number": lambda s: with_entry(s, "x", "state", 2, "exp_avg"),
    "steps that differ": lambda s: with_entry(s, 9, "state", 2, "step"),
    "steps below zero": lambda s: with_entry(
        s, {k: {**v, "step": -1} for k, v in s["state"].items()}, "state"
    ),
    "steps too many to count": lambda s: with_entry(
        s, {k: {**v, "step": 2**70} for k, v in s["state"].items()}, "state"
    ),
    "steps that are no whole number": lambda s: with_entry(s, 4.0, "state", 2, "step"),
    "entries in a list": lambda s: with_entry(s, [("step", 4)], "state", 2),
    "places that are none": lambda s: with_entry(s, [[0], [1], [2]], *GROUP, "params"),
    "entries that are none": lambda s: with_entry(s, 3, "state", 2),
}


@pytest.mark.parametrize("spoil", BAD_STATES.values(), ids=BAD_STATES)
def test_a_state_that_does_not_fit_is_refused_and_changes_nothing(spoil):
    optimizer, twin = optim.Adam(parameters(), lr=0.1), optim.Adam(parameters(), lr=0.1)
    other = optim.Adam(parameters(), lr=0.2)
    for each, count in ((optimizer, 2), (twin, 2), (other, 4)):
        steps(each, count)
    with pytest.raises((ValueError, TypeError), match=r"load_state_dict|expected"):
        optimizer.load_state_dict(spoil(other.state_dict()))
    assert steps(optimizer, 2, 2) == steps(twin, 2, 2)


def test_a_number_of_a_state_that_changes_the_optimiser():
    class Number(Fraction):
        def __float__(self):
            optimizer.__init__(others, lr=0.5)
            return 1.0

    others = parameters(100)
    optimizer = optim.Adam(parameters())
    steps(optimizer, 1)
    state = with_entry(optimizer.state_dict(), Number(1), "state", 2, "exp_avg")
    with pytest.raises(RuntimeError, match="other parameters meanwhile"):
        optimizer.load_state_dict(state)
    assert optimizer.params == others and optimizer.lr == 0.5
    assert optimizer.state_dict()["state"] == {}
    optimizer.step()


def test_the_state_of_another_rule_is_refused():
    sgd, adam = optim.SGD(parameters(), lr=0.1), optim.Adam(parameters())
    with pytest.raises(ValueError, match=r"the settings lr, momentum.* of SGD, got.*betas"):
        sgd.load_state_dict(adam.state_dict())


# -- copies ----------------------------------------------------------------------------------------

COPIES = {"deepcopy": copy.deepcopy, "pickle": lambda f: pickle.loads(pickle.dumps(f))}
each_copy = pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)


@each_copy
@each_variant
def test_a_copy_goes_on_by_itself(copied, make):
    ours = make(parameters())
    steps(ours, 3)
    theirs = copied(ours)
    assert type(theirs) is type(ours) and theirs.steps == 3
    assert all(a is not b for a, b in zip(ours.params, theirs.params, strict=True))
    assert steps(theirs, 3, 3) == steps(ours, 3, 3)


@each_copy
def test_a_copy_of_a_model_with_its_optimiser_trains_that_model(copied):
    model = nn.MLP(2, [3, 1])
    optimizer = optim.Adam(model.parameters(), lr=0.1)
    model_too, optimizer_too = copied((model, optimizer))
    pairs = zip(model_too.parameters(), optimizer_too.params, strict=True)
    assert all(p is q for p, q in pairs)
    before = [p.data for p in model.parameters()]
    steps(optimizer_too, 2)
    assert [p.data for p in model.parameters()] == before
    assert [p.data for p in model_too.parameters()] != before


def test_a_shallow_copy_trains_the_same_parameters():
    ours = optim.SGD(parameters(), lr=0.1, momentum=0.9)
    steps(ours, 1)
    theirs = copy.copy(ours)
    assert all(a is b for a, b in zip(ours.params, theirs.params, strict=True))
    theirs.lr = 0.5
    assert ours.lr == 0.1


# -- clip_grad_norm_ -------------------------------------------------------------------------------


def with_grads(*grads):
    values = [Value(0.0) for _ in grads]
    for value, grad in zip(values, grads, strict=True):
        value.grad = grad
    return values


@pytest.mark.parametrize(
    ("grads", "arguments", "norm", "clipped"),
    [
        ((3.0, -4.0), (1.0,), 5.0, (0.6, -0.8)),
        ((3.0, -4.0), (10.0,), 5.0, (3.0, -4.0)),
        ((3.0, -4.0), (2.0, math.inf), 4.0, (1.5, -2.0)),
        ((3.0, -4.0), (3.5, 1), 7.0, (1.5, -2.0)),
        ((1.0, 2.0, 2.0), (1.0, 3.0), 17 ** (1 / 3), [g / 17 ** (1 / 3) for g in (1, 2, 2)]),
        ((3e200, 4e200), (1.0,), 5e200, (0.6, 0.8)),
        ((1e200, 1e200), (1.0, 4.0), 2**0.25 * 1e200, (2**-0.25, 2**-0.25)),
        ((0.0, 0.0), (1.0,), 0.0, (0.0, 0.0)),
        ((5.0,), (0.0,), 5.0, (0.0,)),
        ((5.0,), (math.inf,), 5.0, (5.0,)),
        ((), (1.0,), 0.0, ()),
        ((math.inf, 1.0), (1.0,), math.inf, (math.nan, 0.0)),
        ((math.nan, math.inf), (1.0,), math.nan, (math.nan, math.nan)),
        ((math.nan, math.inf, 1.0), (1.0,), math.nan, (math.nan,) * 3),
    ],
)
def test_grads_are_scaled_to_a_norm(grads, arguments, norm, clipped):
    values = with_grads(*grads)
    assert optim.clip_grad_norm_(iter(values), *arguments) == pytest.approx(norm, nan_ok=True)
    assert [v.grad for v in values] == pytest.approx(list(clipped), rel=1e-5, nan_ok=True)


def test_a_single_value_is_clipped():
    (value,) = with_grads(-5.0)
    assert optim.clip_grad_norm_(value, 1.0) == 5.0
    assert value.grad == pytest.approx(-1.0)


def test_clipping_is_pytorchs():
    torch = pytest.importorskip("torch")
    for k in range(20):
        grads = [math.sin(5 * k + j) * 10 ** (k % 5 - 2) for j in range(7)]
        values = with_grads(*grads)
        weights = torch.zeros(7, dtype=torch.float64, requires_grad=True)
        weights.grad = torch.tensor(grads, dtype=torch.float64)
        for norm_type in (2.0, math.inf, 1.5):
            ours = optim.clip_grad_norm_(values, 0.7, norm_type)
            theirs = torch.nn.utils.clip_grad_norm_([weights], 0.7, norm_type)
            assert ours == pytest.approx(theirs.item(), rel=1e-12)
            assert [v.grad for v in values] == pytest.approx(weights.grad.tolist(), rel=1e-12)


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda v: optim.clip_grad_norm_([*v, v[0]], 1.0), ValueError, "each Value once"),
        (lambda v: optim.clip_grad_norm_([*v, 1.0], 1.0), TypeError, "a Value, got float"),
        (lambda v: optim.clip_grad_norm_(v, -1.0), ValueError, "max_norm of at least 0, got -1"),
        (lambda v: optim.clip_grad_norm_(v, math.nan), ValueError, "max_norm of at least 0"),
        (lambda v: optim.clip_grad_norm_(v, "1"), TypeError, "a number as max_norm, got str"),
        (lambda v: optim.clip_grad_norm_(v, 1.0, 0), ValueError, "norm_type above 0, got 0"),
        (
            lambda v: optim.clip_grad_norm_(v, 1.0, error_if_nonfinite=True),
            RuntimeError,
            "norm of the grads is inf",
        ),
    ],
)
def test_a_clipping_that_is_refused_changes_no_grad(call, error, says):
    values = with_grads(3.0, math.inf)
    with pytest.raises(error, match=f"clip_grad_norm_.*{says}"):
        call(values)
    assert [v.grad for v in values] == [3.0, math.inf]


def test_a_step_follows_values_whose_nodes_have_moved():
    """Between two steps the tape is compacted, and one of the values gets another node."""
    garbage = [Value(0.0) for _ in range(100)]
    values = with_grads(1.0, 2.0, 4.0)
    operand = Value(3.0)
    optimizer = optim.SGD(values, lr=0.5)
    optimizer.step()
    before = [v.data for v in values]
    compactions = tape_stats().compactions
    del garbage
    _core.compact()
    assert tape_stats().compactions > compactions
    values[1].__init__(7.0, (operand,))
    for value, grad in zip(values, (1.0, 2.0, 4.0), strict=True):
        value.grad = grad
    optimizer.step()
    assert [v.data for v in values] == [before[0] - 0.5, 6.0, before[2] - 2.0]


def test_a_compiled_function_follows_parameters_whose_nodes_have_moved():
    garbage = [Value(0.0) for _ in range(100)]
    weights = [Value(2.0), Value(3.0)]
    f = mc.compile(lambda x: weights[0] * x + weights[1] * x * x)
    x = array.array("d", [1.0, 2.0])
    assert f.value_and_grad(x) == 2.0 * 1.5 + 3.0 * 2.5
    compactions = tape_stats().compactions
    del garbage
    _core.compact()
    assert tape_stats().compactions > compactions
    weights[0].data, weights[1].grad = 4.0, 0.0
    assert f.value_and_grad(x) == 4.0 * 1.5 + 3.0 * 2.5
    assert [w.grad for w in weights] == [1.5, 2.5]
