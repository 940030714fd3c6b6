# SPDX-License-Identifier: MIT
"""fit with its options, schedules and parameter groups against PyTorch, step by step."""

import itertools
import json

import pytest
from pytorch_runs import OPTIONS, RULES, SCHEDULES, STORED, TABLE, name_of, ours, theirs


def assert_same(run, expected):
    found = ours(run)
    assert found.keys() == expected.keys()
    for what, numbers in expected.items():
        assert found[what] == pytest.approx(numbers, rel=1e-10, abs=1e-13), what


@pytest.mark.parametrize("run", STORED, ids=name_of)
def test_a_run_has_the_numbers_that_pytorch_gave_once(run):
    stored = json.loads(TABLE.read_text(encoding="utf-8"))
    assert stored["numbers"].keys() == set(map(name_of, STORED))
    assert_same(run, stored["numbers"][name_of(run)])


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_run_is_pytorchs(rule, schedule):
    pytest.importorskip("torch")
    for options, in_groups in itertools.product(OPTIONS, (False, True)):
        run = rule, schedule, options, in_groups
        assert_same(run, theirs(run))


def test_the_runs_try_what_they_are_there_for():
    """Each rule, schedule and option is stored once at least; patience comes into play."""
    for k, names in enumerate((RULES, SCHEDULES, OPTIONS)):
        assert {run[k] for run in STORED} == set(names)
    table = json.loads(TABLE.read_text(encoding="utf-8"))["numbers"]
    lengths = {name: len(numbers["validation"]) for name, numbers in table.items()}
    assert any("patience" in name and length < 12 for name, length in lengths.items())
