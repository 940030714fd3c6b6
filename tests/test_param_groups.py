# SPDX-License-Identifier: MIT
"""Parameter groups: settings of their own, in step(), in fit and in states."""

import copy
import math
import pickle
import random
from collections.abc import MutableMapping

import numpy as np
import pytest
from threaded_ranks import both, fit, network, samples

import micrograd_c as mc
from micrograd_c import Value, compile, nn, optim
from micrograd_c.optim import ParamGroup

RULES = {
    "SGD": (optim.SGD, {"lr": 0.1, "weight_decay": 0.1}, {"momentum": 0.9, "nesterov": True}),
    "Adam": (optim.Adam, {"lr": 0.03}, {"lr": 0.01, "amsgrad": True, "betas": (0.8, 0.95)}),
    "AdamW": (optim.AdamW, {"lr": 0.03}, {"weight_decay": 0.0, "maximize": True, "eps": 1e-3}),
}
each_rule = pytest.mark.parametrize("rule", RULES)


def values(count=3, start=0.4):
    return [Value(start - 0.3 * k) for k in range(count)]


def steps(optimizer, count, start=0):
    """So many steps with gradients that go up and down."""
    for step in range(start, start + count):
        for k, p in enumerate(optimizer.params):
            p.grad = math.sin(3 * step + k) + 0.2 * p.data
        optimizer.step()
    return data(optimizer)


def data(optimizer):
    return [p.data for p in optimizer.params]


def two(**settings):
    return optim.SGD(
        [{"params": values(2), "lr": 0.5}, {"params": values(1)}], **{"lr": 0.1, **settings}
    )


# -- what they are ---------------------------------------------------------------------------------


def test_groups_are_dicts_with_the_settings_of_the_constructor_where_they_have_none():
    first, second = values(2), values(1)
    optimizer = optim.Adam(
        [{"params": first, "lr": 1e-3}, {"params": iter(second), "betas": (0.5, 0.6)}], lr=1e-2
    )
    one, other = optimizer.param_groups
    assert dict(one) == {
        "params": first,
        "lr": 1e-3,
        "betas": (0.9, 0.999),
        "eps": 1e-8,
        "weight_decay": 0.0,
        "amsgrad": False,
        "maximize": False,
    }
    assert dict(other) == {**one, "params": second, "lr": 1e-2, "betas": (0.5, 0.6)}
    assert optimizer.params == first + second
    assert isinstance(one, ParamGroup) and isinstance(one, MutableMapping)
    assert optimizer.param_groups[0] is one and one != other and one == dict(one)
    assert one.get("momentum") is None and "momentum" not in one and len(one) == 7
    assert [*one] == [*one.keys()] and [*one.items()] == [*zip(one, one.values(), strict=True)]
    assert repr(other).startswith("ParamGroup(1 parameters, lr=0.01, betas=(0.5, 0.6), eps=")
    assert repr(optimizer) == "Adam(3 parameters in 2 groups, lr=[0.001, 0.01])"


def test_one_list_of_values_is_one_group():
    optimizer = optim.SGD(values(), lr=0.1)
    (group,) = optimizer.param_groups
    assert group["params"] == optimizer.params and group["lr"] == optimizer.lr == 0.1
    group[np.str_("lr")] = 0.2
    assert optimizer.lr == group[np.str_("lr")] == 0.2
    optimizer.momentum = 0.9
    assert group["momentum"] == 0.9
    assert repr(optimizer) == "SGD(3 parameters, lr=0.2)"


@each_rule
def test_groups_step_as_optimisers_of_their_own(rule):
    kind, settings, others = RULES[rule]
    together = kind([{"params": values(70)}, {"params": values(3, 2.0), **others}], **settings)
    apart = kind(values(70), **settings), kind(values(3, 2.0), **{**settings, **others})
    for step in range(7):
        for optimizers in ((together,), apart):
            params = [p for optimizer in optimizers for p in optimizer.params]
            for k, p in enumerate(params):
                p.grad = math.sin(3 * step + k)
            for optimizer in optimizers:
                optimizer.step()
    assert data(together) == data(apart[0]) + data(apart[1])
    together.zero_grad()
    assert all(p.grad == 0.0 for p in together.params)


@each_rule
@pytest.mark.parametrize("options", [{}, {"batch_size": 3, "clip_norm": 0.5}])
@pytest.mark.parametrize("deal", ["layers", "alternately", "with what is not read"])
def test_fit_is_the_loop_in_python(rule, options, deal):
    """To the bit where nothing is clipped: the same updates, wherever the numbers stand."""
    kind, settings, others = RULES[rule]
    xs = [[math.sin(k), math.cos(2 * k)] for k in range(8)]
    runs = []
    for fitted in (True, False):
        random.seed(3)
        model = nn.MLP(2, [5, 4, 1])
        params = model.parameters()
        first = params[::2] if deal == "alternately" else model.layers[0].parameters()
        chosen = set(map(id, first))
        second = [p for p in params if id(p) not in chosen]
        if deal == "with what is not read":
            first, second = [Value(3.0), *first, Value(2.0)], [*second, Value(1.0)]
        optimizer = kind([{"params": first}, {"params": second, **others}], **settings)
        f = compile(lambda x, model=model: (model(x) - 0.3) ** 2)
        if fitted:
            losses = f.fit(xs, optimizer=optimizer, steps=9, **options)
        else:
            losses = []
            for step in range(9):
                at = step % 3 * 3 if options else 0
                optimizer.zero_grad()
                losses.append(f.value_and_grad(xs[at : at + 3] if options else xs))
                if options:
                    optim.clip_grad_norm_(optimizer.params, 0.5)
                optimizer.step()
        runs.append((losses, data(optimizer), optimizer.state_dict()))
    close = (lambda x: pytest.approx(x, rel=1e-11)) if options else (lambda x: x)
    assert runs[0][0] == close(runs[1][0])
    assert runs[0][1] == close(runs[1][1])
    assert runs[0][2]["param_groups"] == runs[1][2]["param_groups"]
    for place, entries in runs[1][2]["state"].items():
        assert runs[0][2]["state"][place] == close(entries)


def test_a_setting_of_a_group_decides_the_next_step_and_fit():
    a, b = Value(1.0), Value(1.0)
    optimizer = optim.SGD([{"params": [a]}, {"params": [b]}], lr=0.5)
    f = compile(lambda x: (a + b) * x)
    f.fit([1.0], optimizer=optimizer, steps=1)
    optimizer.param_groups[1]["lr"] = 0.0
    f.fit([1.0], optimizer=optimizer, steps=1)
    assert (a.data, b.data) == (0.0, 0.5)

    def freeze(step, loss):
        optimizer.param_groups[0]["lr"] = 0.0
        optimizer.param_groups[1].update(lr=0.25, momentum=0.5)

    f.fit([1.0], optimizer=optimizer, steps=2, callback=freeze)
    assert (a.data, b.data) == (-0.5, 0.25)


# -- settings --------------------------------------------------------------------------------------


def test_an_attribute_is_every_groups():
    optimizer = two()
    with pytest.raises(AttributeError, match=r"lr: .* different ones, 0.5, 0.1; read param_groups"):
        optimizer.lr  # noqa: B018
    assert not hasattr(optimizer, "lr") and optimizer.momentum == 0.0
    optimizer.lr = 0.2
    assert optimizer.lr == 0.2 == optimizer.defaults["lr"]
    optimizer.add_param_group({"params": values(1)})
    assert [group["lr"] for group in optimizer.param_groups] == [0.2] * 3
    with pytest.raises(TypeError):
        optimizer.defaults["lr"] = 0.3


def test_an_attribute_that_one_group_refuses_changes_none():
    optimizer = optim.SGD(
        [{"params": values(1)}, {"params": values(1), "nesterov": True}], lr=0.1, momentum=0.9
    )
    with pytest.raises(ValueError, match="nesterov"):
        optimizer.momentum = 0.0
    assert [group["momentum"] for group in optimizer.param_groups] == [0.9, 0.9]
    assert optimizer.defaults["momentum"] == 0.9


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        (lambda g: g.update(lr=0.3, momentum=-1.0), ValueError, "momentum: expected at least 0"),
        (lambda g: g.update({"momentum": 0.9, "betas": 1}), KeyError, "SGD has no setting 'betas'"),
        (lambda g: g.__setitem__("learning_rate", 1), KeyError, "settings are lr, momentum"),
        (lambda g: g.__setitem__("lr", None), TypeError, "lr: expected a number, got NoneType"),
        (lambda g: g.__setitem__("nesterov", True), ValueError, "nesterov: expected a momentum"),
        (lambda g: g.__setitem__("params", []), ValueError, "add_param_group"),
        (lambda g: g.setdefault("dampening", 0), KeyError, "no setting 'dampening'"),
        (lambda g: g.__delitem__("lr"), TypeError, "'lr' of a parameter group cannot be deleted"),
        (lambda g: g.__delitem__("initial_lr"), KeyError, "initial_lr"),
        (lambda g: g.pop("lr"), TypeError, "cannot be deleted"),
        (lambda g: g.clear(), TypeError, "'params' .* cannot be deleted"),
        (lambda g: g["betas"], KeyError, "betas"),
        (lambda g: setattr(g, "lr", 0.3), AttributeError, "lr"),
    ],
)
def test_what_a_group_refuses_changes_nothing(change, error, says):
    optimizer, twin = two(), two()
    before = dict(optimizer.param_groups[0])
    with pytest.raises(error, match=says):
        change(optimizer.param_groups[0])
    assert optimizer.param_groups[0] == before
    assert steps(optimizer, 3) == steps(twin, 3)


BAD_GROUPS = {
    "an unknown setting": ({"learning_rate": 1}, ValueError, "group 1: SGD has no setting 'lea"),
    "a bad setting": ({"lr": -1.0}, ValueError, "group 1: lr: expected at least 0, got -1.0"),
    "settings at odds": ({"nesterov": True}, ValueError, "group 1: nesterov: expected a mom"),
    "numbers": ({"params": [1.0]}, TypeError, "group 1: params: expected Values, got float"),
    "a number": ({"params": 1.0}, TypeError, "iterable"),
    "a result": ({"params": [Value(1.0) * 2]}, ValueError, "group 1: params: expected leaves"),
    "a set": ({"params": {Value(1.0)}}, TypeError, "group 1: params: .* in an order, got a set"),
    "no params": ({"params": ...}, ValueError, "group 1: expected a dict with 'params', got lr"),
}


@pytest.mark.parametrize("name", BAD_GROUPS)
def test_a_bad_group_is_refused_in_both_places_and_changes_nothing(name):
    change, error, says = BAD_GROUPS[name]
    first = values(2)
    bad = {"params": values(1), "lr": 0.3, **change}
    if bad["params"] is ...:
        del bad["params"]
    with pytest.raises(error, match=says):
        optim.SGD([{"params": first}, bad], lr=0.1)
    optimizer = optim.SGD(first, lr=0.1)
    with pytest.raises(error, match=says):
        optimizer.add_param_group(bad)
    assert len(optimizer.param_groups) == 1 and optimizer.params == first
    steps(optimizer, 1)


def test_a_value_is_in_one_group_only():
    a, b, c = values(3)
    for groups in ([[a, b], [c, a]], [[a], [b], [a]]):
        with pytest.raises(ValueError, match="appear in more than one parameter group"):
            optim.SGD([{"params": group} for group in groups], lr=0.1)
    with pytest.raises(ValueError, match="group 1: params: expected each Value once"):
        optim.SGD([{"params": [a]}, {"params": [b, b]}], lr=0.1)
    optimizer = optim.SGD([a, b], lr=0.1)
    with pytest.raises(ValueError, match="appear in more than one parameter group"):
        optimizer.add_param_group({"params": [c, b]})
    optimizer.add_param_group({"params": c})
    assert optimizer.params == [a, b, c]


@pytest.mark.parametrize(
    ("params", "error", "says"),
    [
        ([], ValueError, "at least one Value"),
        ({"params": [Value(1.0)]}, TypeError, "Values, or of dicts with them, got a dict"),
        (Value(1.0), TypeError, "Values, or of dicts with them, got a Value"),
        ([{"params": [Value(1.0)]}, Value(2.0)], TypeError, "group 1: .* got Value"),
        ([Value(2.0), {"params": [Value(1.0)]}], TypeError, "expected Values, got dict"),
        ([{}], ValueError, "group 0: expected a dict with 'params', got none"),
    ],
)
def test_what_is_no_list_of_groups(params, error, says):
    with pytest.raises(error, match=says):
        optim.Adam(params)


def test_the_tuple_of_groups_and_their_lists_are_to_be_read():
    optimizer = two()
    with pytest.raises(AttributeError):
        optimizer.param_groups = ()
    with pytest.raises(AttributeError):
        optimizer.param_groups.append({})
    with pytest.raises(TypeError, match="expected a dict with 'params', got int"):
        optimizer.add_param_group(1)
    with pytest.raises(RuntimeError, match="__init__ has not been called"):
        optim.SGD.__new__(optim.SGD).add_param_group({"params": values()})


def test_a_dict_that_is_given_stays_as_it_was():
    given = {"params": values(2)}
    optim.SGD([given], lr=0.1)
    assert given.keys() == {"params"}


# -- more and fewer of them ------------------------------------------------------------------------


@pytest.mark.parametrize("rule", ["Adam", "SGD"])
def test_a_group_that_comes_later_starts_afresh(rule):
    """Its corrections of the moments count its own steps."""
    kind, settings, others = RULES[rule]
    optimizer, alone = kind(values(2), **settings), kind(values(3), **{**settings, **others})
    steps(optimizer, 4)
    late = values(3)
    optimizer.add_param_group({"params": late, **others})
    for step in range(5):
        for mine, theirs in zip(late, alone.params, strict=True):
            mine.grad = theirs.grad = math.cos(step)
        optimizer.step()
        alone.step()
    assert [p.data for p in late] == data(alone)
    assert optimizer.steps == 9
    states = optimizer.state_dict()["state"]
    assert [states[k]["step"] for k in range(5)] == [9, 9, 5, 5, 5]


def test_groups_may_be_empty():
    optimizer = optim.Adam([{"params": []}, {"params": values(2)}, {"params": ()}], lr=0.1)
    plain = optim.Adam(values(2), lr=0.1)
    assert steps(optimizer, 3) == steps(plain, 3)
    w = Value(1.0)
    optimizer = optim.SGD([{"params": []}, {"params": [w], "momentum": 0.9}], lr=0.1)
    f = compile(lambda x: w * x)
    f.fit([1.0], optimizer=optimizer, steps=2)
    assert w.data == pytest.approx(1 - 0.1 - 0.19)
    nobody = optim.SGD([{"params": []}], lr=0.1)
    nobody.step()
    assert f.fit([1.0], optimizer=nobody, steps=2, clip_norm=1.0) == [w.data] * 2
    assert nobody.steps == 3


def test_a_group_that_comes_during_fit_is_refused_there():
    w = Value(1.0)
    optimizer = optim.SGD([w], lr=0.1)
    f = compile(lambda x: w * x)
    with pytest.raises(RuntimeError, match="other parameters meanwhile"):
        f.fit(
            [1.0],
            optimizer=optimizer,
            steps=3,
            callback=lambda step, loss: optimizer.add_param_group({"params": [Value(2.0)]}),
        )
    assert w.data == pytest.approx(0.9) and len(optimizer.param_groups) == 2


def test_a_bad_sample_leaves_all_groups_as_they_were():
    table, w = [Value(1.0), Value(2.0)], Value(1.0)
    f = compile(lambda i: mc.take(table, i) * w)
    optimizer = optim.Adam([{"params": table}, {"params": [w], "amsgrad": True}])
    f.fit([0.0, 1.0], optimizer=optimizer, steps=2)
    before = optimizer.state_dict(), data(optimizer)
    with pytest.raises(IndexError):
        f.fit([0.0, 7.0], optimizer=optimizer, steps=4, batch_size=1)
    assert (optimizer.state_dict(), data(optimizer)) == before


def test_ranks_whose_groups_differ_say_so():
    def work(comm):
        model = network()
        params, lr = model.parameters(), 0.1 + comm.rank
        groups = [{"params": params[:3]}, {"params": params[3:], "lr": lr}]
        fit(comm, samples(4), model, optimizer=optim.SGD(groups, lr=0.1))

    for error in both(work):
        assert type(error) is ValueError
        assert str(error).startswith("fit: the ranks do not do the same: optimizer is SGD [{'lr'")


# -- state -----------------------------------------------------------------------------------------


@each_rule
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))])
def test_copies_go_on_with_all_groups(rule, copied):
    kind, settings, others = RULES[rule]
    optimizer = kind([{"params": values(2)}, {"params": values(3), **others}], **settings)
    steps(optimizer, 2)
    optimizer.add_param_group({"params": values(1)})
    steps(optimizer, 2, 2)
    theirs = copied(optimizer)
    assert theirs.state_dict() == optimizer.state_dict()
    assert theirs.defaults == optimizer.defaults
    assert steps(theirs, 3, 4) == steps(optimizer, 3, 4)
    assert all(a is not b for a, b in zip(theirs.params, optimizer.params, strict=True))


def test_a_copy_of_a_group_is_a_dict():
    (group, _) = two().param_groups
    for copied in (copy.copy(group), copy.deepcopy(group), pickle.loads(pickle.dumps(group))):
        assert type(copied) is dict and copied["lr"] == 0.5 and len(copied["params"]) == 2
    assert optim.SGD([copy.copy(group)]).param_groups[0] == group
    assert optim.SGD([group]).param_groups[0] == group


def test_a_state_dict_has_the_groups_of_pytorch():
    optimizer = two(momentum=0.9)
    steps(optimizer, 1)
    state = optimizer.state_dict()
    assert [group["params"] for group in state["param_groups"]] == [[0, 1], [2]]
    assert [group["lr"] for group in state["param_groups"]] == [0.5, 0.1]
    other = optim.SGD([{"params": values(2)}, {"params": values(1)}], lr=3.0, momentum=0.1)
    groups = other.param_groups
    for p, q in zip(other.params, optimizer.params, strict=True):
        p.data = q.data
    other.load_state_dict(copy.deepcopy(state))
    assert other.param_groups == groups and groups[0]["lr"] == 0.5
    assert steps(other, 3, 1) == steps(optimizer, 3, 1)


def test_a_state_of_a_plain_list_is_that_of_one_group():
    optimizer, grouped = optim.Adam(values(2)), optim.Adam([{"params": values(2)}], lr=1.0)
    steps(optimizer, 2)
    steps(grouped, 1)
    grouped.load_state_dict(optimizer.state_dict())
    assert grouped.state_dict() == optimizer.state_dict() and grouped.lr == 1e-3


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (
            lambda s: s["param_groups"].pop(),
            r"state of 2 \+ 1 parameters in 2 groups, got .* of 2 ",
        ),
        (lambda s: s["param_groups"].append({"params": []}), r"2 \+ 1 \+ 0 parameters in 3 groups"),
        (lambda s: s["param_groups"].reverse(), r"got that of 1 \+ 2 parameters"),
        (lambda s: s["param_groups"][1].update(params=[1]), "state for each parameter or for none"),
        (lambda s: s["state"].pop(1), "group 0: expected a state for each parameter"),
        (lambda s: s["state"].update({9: {}}), "a state for each parameter or for none"),
        (lambda s: s["param_groups"][1].update(lr=-1), "group 1: lr: expected at least 0"),
        (
            lambda s: s["param_groups"][1].update(foo=1),
            "group 1: expected the settings lr, mom.*foo",
        ),
        (
            lambda s: s["param_groups"][1].update(initial_lr="1"),
            "group 1: initial_lr: expected a n",
        ),
        (lambda s: s["state"][2].update(exp_avg=1.0), "group 1: expected step, momentum_buffer"),
    ],
)
def test_a_state_that_does_not_fit_changes_no_group(spoil, says):
    optimizer, twin, other = two(momentum=0.9), two(momentum=0.9), two(lr=0.7)
    other.momentum = 0.3
    for each in (optimizer, twin, other):
        steps(each, 2)
    state = other.state_dict()
    spoil(state)
    with pytest.raises((ValueError, TypeError), match=says):
        optimizer.load_state_dict(state)
    assert optimizer.state_dict() == twin.state_dict()
    assert steps(optimizer, 2, 2) == steps(twin, 2, 2)
