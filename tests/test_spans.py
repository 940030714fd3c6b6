# SPDX-License-Identifier: MIT
"""Parameters in any order: those whose nodes stand side by side are copied and updated together."""

import math

import pytest

import micrograd_c as mc
from micrograd_c import Value, optim

MAKERS = {"SGD": optim.SGD, "Adam": optim.Adam, "AdamW": optim.AdamW}
ORDERS = {
    "as recorded": list,
    "backwards": lambda values: values[::-1],
    "in two pieces": lambda values: values[100:] + values[:100],
    "every other one first": lambda values: values[::2] + values[1::2],
    "not all": lambda values: values[3:67] + values[128:200] + values[201:300],
}


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_a_step_takes_parameters_in_any_order(order, make):
    values = [Value(k / 7 - 20.0) for k in range(300)]
    twins = [Value(v.data) for v in values]
    optimizer, each = make(order(values), lr=0.1), [make([twin], lr=0.1) for twin in order(twins)]
    for steps in range(3):
        for k in range(steps, 300, 3):  # the others have no grad yet
            values[k].grad = twins[k].grad = math.sin(k)
        optimizer.step()
        for one in each:
            one.step()
        assert [v.data for v in values] == [twin.data for twin in twins]
    for v in values:
        v.grad = 7.0
    optimizer.zero_grad()
    for v in order(values):
        assert v.grad == 0.0
        v.grad = 7.0
    assert {v.grad for v in values} == {7.0}


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_a_compiled_function_finds_parameters_in_any_order(order):
    values = [Value(math.cos(k)) for k in range(300)]
    read, nobodys = order(values), Value(0.25)

    def loss(x):
        return mc.sum([v * v * (k + 1.0) for k, v in enumerate(read)]) * x

    f = mc.compile(lambda x: loss(x) + 0.0 * nobodys)
    for _ in range(2):
        for v in [*values, nobodys]:
            v.grad = 5.0
        assert f([1.0])[0] == pytest.approx(loss(1.0).data)
        assert f.value_and_grad([2.0]) == pytest.approx(loss(2.0).data)
        for k, v in enumerate(read):
            assert v.grad == 4.0 * (k + 1.0) * v.data
            v.grad = 5.0
            v.data *= 0.5
        assert {v.grad for v in values} == {5.0}
        assert nobodys.grad == 0.0
