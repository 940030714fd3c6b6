# SPDX-License-Identifier: MIT
"""The verifier refuses what is broken: graphs and plans, each spoilt in one place by verifier.c."""

import os
import re
import shlex
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

import micrograd_c as mc
from micrograd_c import _core

HERE = Path(__file__).parent
SOURCES = HERE.parent / "src"
PARTS = [
    "draws/*.c",
    "ops/*.c",
    "tape/*.c",
    "program/[!etp]*.c",
    "passes/*.c",
    "execute/vector/plan*.c",
    "execute/vector/verify*.c",
]

OF_ITS_STAGE = "parameters are of stage ONCE, inputs and draws of SAMPLE"
NO_SUCH_LEAF = "parameters, inputs and draws are those that there are"

# What verifier.c spoils -> where it is found, and the rule that it breaks.
BROKEN = {
    "operation_of_the_tape": ("node 3", "a graph has operations that can be planned"),
    "no_operation": ("node 3", "a graph has operations that can be planned"),
    "operand_above": ("node 3", "operands stand before their node"),
    "itself_as_operand": ("node 14", "operands stand before their node"),
    "third_operand_above": ("node 10", "operands stand before their node"),
    "argument_above": ("node 11", "operands stand before their node"),
    "arguments_outside": ("node 11", "operands stand within args"),
    "arguments_far_outside": ("node 11", "operands stand within args"),
    "take_of_nothing": ("node 11", "an operation has as many operands as it needs"),
    "more_factors_than_operands": ("node 13", "an operation has as many operands as it needs"),
    "stage_too_late": ("node 3", "a stage is the latest of the operands'"),
    "stage_too_early": ("node 15", "a stage is the latest of the operands'"),
    "stage_of_a_choice": ("node 11", "a stage is the latest of the operands'"),
    "stage_of_a_row": ("node 9", "a stage is the latest of the operands'"),
    "number_by_sample": ("node 2", "a number is of stage CONSTANT"),
    "input_once": ("node 5", OF_ITS_STAGE),
    "parameter_by_sample": ("node 1", OF_ITS_STAGE),
    "custom_by_sample": ("node 20", "a given value does not change with the sample"),
    "input_that_is_not": ("node 5", NO_SUCH_LEAF),
    "draw_that_is_not": ("node 5", NO_SUCH_LEAF),
    "draw_of_no_kind": ("node 5", NO_SUCH_LEAF),
    "draw_once": ("node 5", OF_ITS_STAGE),
    "parameter_twice": ("node 1", "parameters, inputs and draws stand once each"),
    "root_outside": ("root 0", "roots are nodes of the graph"),
    "part_of_no_record": ("node 8", "a part belongs to a record"),
    "record_as_root": ("root 0", "a record is no number"),
    "record_as_operand": ("node 14", "a record is no number"),
    "part_outside": ("node 14", "a part stands within its record"),
    "part_twice": ("node 9", "parts of a matrix product stand in order, each once"),
    "part_missing": ("matrix product 7", "a matrix product has all of its parts, or none"),
    "product_without_inputs": ("node 7", "a matrix product has as many operands as it needs"),
    "product_with_another_weight": ("node 7", "a matrix product has as many operands as it needs"),
    "product_input_above": ("node 7", "operands stand before their node"),
    "product_input_once": ("node 7", "inputs of a matrix product change with the sample"),
    "product_input_twice": ("node 7", "a matrix product has each input once"),
    "product_outside": ("node 7", "operands stand within args"),
    "weight_by_sample": ("node 7", "weights and biases do not change with the sample"),
    "weight_above": ("node 7", "operands stand before their node"),
    "bias_by_sample": ("node 7", "weights and biases do not change with the sample"),
    "adjoint_in_a_function": ("node 19", "adjoints stand behind the function"),
}

BROKEN_LOOPS = {
    "scan_of_fewer_operands": "a scan has as many operands as it needs",
    "scan_of_a_number": "a scan takes sequences, and numbers for all else",
    "shorter_sequence": "sequences are as long as their scan",
    "body_with_another_root": "a body has the inputs and the roots of its scan",
    "body_with_an_operand_above": "operands stand before their node",
    "scan_that_is_not": "a scan is one of the graph's",
    "sequence_of_no_scan": "a scan gives sequences",
    "sequence_that_is_not": "a part stands within its record",
    "carry_that_is_not": "a part stands within its record",
    "step_that_is_not": "a part stands within its record",
    "list_of_nothing": "an operation has as many operands as it needs",
}

BROKEN_GRADIENTS = {
    "seed_once": "a stage is the latest of the operands'",
    "gain_of_nothing": "an operation has as many operands as it needs",
    "gain_of_a_stopped_row": "an operation has as many operands as it needs",
    "gain_of_another_row": "an operation has as many operands as it needs",
    "gain_of_an_adjoint": "adjoints are those of the function's nodes",
    "adjoint_of_nothing": "an operation has as many operands as it needs",
    "adjoint_of_another_stage": "an adjoint changes with the sample where its node does",
    "total_by_sample": "a stage is the latest of the operands'",
    "sample_in_the_batch": "what samples give goes into the batch by a sum",
    "scatter_of_no_take": "a scatter belongs to a take",
    "element_that_is_not": "a part stands within its record",
    "input_outside": "a part stands within its record",
    "weight_outside": "a part stands within its record",
    "transposed_sum": "a transposed product has adjoints of a product's outputs",
    "transposed_of_more": "a transposed product has adjoints of a product's outputs",
    "transposed_once": "adjoints of a product's outputs change with the sample",
    "derivative_by_sample": "derivatives by parameters are of stage BATCH",
}

NOT_IN_TIME = "a row is written before it is read, and kept until then"
NOT_BY_SAMPLE = "a step on samples has an operand that changes with the sample"
OF_NO_SAMPLE = "what is computed for every sample has an operand that changes with it"
BROKEN_PLANS = {
    "row_outside": "a step's rows are among those that there are",
    "once_row_outside": "a step's once rows are among those that there are",
    "once_row_by_another_name": "steps on once rows name them as rows",
    "once_row_unset": "a once row is written before samples read it",
    "once_row_written": "a step on samples writes no once row",
    "parameter_unset": NOT_IN_TIME,
    "no_operand": "a step has all the operands that it needs",
    "map_of_a_sum": "a map's operation is one of the table's cells",
    "number_as_lanes": NOT_BY_SAMPLE,
    "not_flat": "members of a flat step stand side by side",
    "own_operand": "a step does not write what it reads",
    "unset_row": NOT_IN_TIME,
    "gain_of_a_stopped_cell": "a gain is one of the table's cells",
    "second_of_one": "a gain is one of the table's cells",
    "adjoint_once": "a gain has its node's adjoint and value from rows",
    "gains_assigned": "what many members gain is added",
    "one_operand_for_all": "of a gain's members on once rows, no more than one operand is the same",
    "one_value_for_all": "of a gain's members on once rows, each has its own value",
    "number_first": "a product has its row first",
    "matrix_input_once": "a matrix product has its inputs in rows, and its weights in once rows",
    "no_room_for_pointers": "a matrix product has room for its pointers",
    "column_of_matrix_outside": "a matrix product's columns are within it",
    "copies_by_sample": "once rows are copied once a batch, each",
    "three_of_many": "three operands stand in a step for one node",
    "choice_of_nothing": "a choice has as many operands as it needs",
    "three_draws": "draws are drawn for samples, one or two of a counter",
    "no_such_draw": "draws are those that there are",
    "no_kind": "a step is of a kind that there is",
    "column_outside": "columns are those that there are",
    "no_room_for_members": "a step on once rows has room for its members",
    "overwritten_too_early": NOT_IN_TIME,
    "another_row_is_read": NOT_IN_TIME,
    "another_column": NOT_IN_TIME,
    "another_root": NOT_IN_TIME,
    "another_stride": "sharing rows changes rows only",
    "another_step": "sharing rows changes rows only",
    "planned_for_no_sample": OF_NO_SAMPLE,
    "planned_on_once_rows": OF_NO_SAMPLE,
}


def build(folder):
    """verifier.c with what it needs of the core."""
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "")
    if not SOURCES.is_dir() or not compiler or not shutil.which(compiler[0]):
        pytest.skip("takes the sources and a C compiler")
    sources = [str(path) for part in PARTS for path in sorted(SOURCES.glob(part))]
    program = folder / "verifier"
    command = [*compiler, "-std=gnu11", f"-I{SOURCES}", str(HERE / "verifier.c"), *sources]
    subprocess.run([*command, "-lm", "-o", str(program)], check=True, capture_output=True)
    return program


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory):
    program = build(tmp_path_factory.mktemp("verifier"))
    result = subprocess.run([program], check=True, capture_output=True, text=True, timeout=60)
    return [tuple(line.split(" | ")) for line in result.stdout.splitlines()]


def test_what_is_sound_is_accepted(verdicts):
    accepted = [name for name, verdict, *_ in verdicts if verdict == "holds"]
    assert accepted == [
        "sound_graph",
        "sound_loop",
        "sound_gradient",
        "sound_plan",
        "sound_sharing",
        "planned_as_it_is",
    ]


def test_a_broken_graph_is_refused_with_its_node_and_the_rule(verdicts):
    refused = {name: tuple(rest) for name, after, *rest in verdicts if after == "spoiling"}
    assert refused == BROKEN


def test_a_broken_loop_is_refused_with_the_rule(verdicts):
    refused = {name: rest[-1] for name, after, *rest in verdicts if after == "spoiling a loop"}
    assert refused == BROKEN_LOOPS


def test_a_broken_gradient_graph_is_refused_with_the_rule(verdicts):
    refused = {name: rest[-1] for name, after, *rest in verdicts if after == "differentiating"}
    assert refused == BROKEN_GRADIENTS


def test_a_broken_plan_is_refused_with_the_rule(verdicts):
    refused = {name: rest[-1] for name, after, *rest in verdicts if after == "planning"}
    assert refused == BROKEN_PLANS


def test_every_rule_is_broken_by_something(verdicts):
    written = "".join(path.read_text() for path in SOURCES.rglob("verify*.c"))
    rules = set(re.findall(r'(?:HOLDS|expect)\([^;"]*"([^"]+)"\)', written))
    assert len(rules) > 30
    assert rules == {verdict[-1] for verdict in verdicts} - {"holds", OF_NO_SAMPLE}


# -- in the module ---------------------------------------------------------------------------------


def test_the_suite_verifies_what_it_compiles():
    assert _core.set_verifying(True)


def test_verifying_changes_no_program():
    w = [mc.Value(0.5 * k) for k in range(4)]

    def fn(xs):
        return mc.where(xs[0], mc.dot(w, xs), mc.dot(w, xs).exp() * w[0]) + mc.sum(w)

    listings = []
    for verifying in (True, False):
        before = _core.set_verifying(verifying)
        try:
            f = mc.compile(fn)
            f.value_and_grad([[1.0, 2.0, 3.0, 4.0], [-1.0, 1.0, 0.0, 2.0]])
            listings.append(str(f))
        finally:
            _core.set_verifying(before)
    assert listings[0] == listings[1]
