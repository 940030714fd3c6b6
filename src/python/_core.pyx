# SPDX-License-Identifier: MIT
"""The Python boundary of the tape: arguments, errors, lifetimes, handles.

One shared object, with one tape, holds several modules. This one loads the others, lowest first, and has
all their names.
"""
import sys
from importlib.machinery import ExtensionFileLoader, ModuleSpec

# Each takes from those before it. Value: up to derivatives; programs: the rest.
for name in ('handles', 'recording', 'numbers', 'record', 'conditions', 'functions', 'table', 'layer', 'modules',
             'graph', 'value', 'leaked', 'derivatives', 'executors', 'arguments', 'outputs', 'drawing', 'runs',
             'ranks', 'program', 'nodes', 'hessians', 'groups', 'optimizer', 'training', 'loops'):
    name = f'{__name__}.{name}'
    loader = ExtensionFileLoader(name, __file__)
    spec = ModuleSpec(name, loader, origin=__file__)
    module = sys.modules[name] = loader.create_module(spec)
    module.__spec__ = spec
    loader.exec_module(module)
del name, loader, spec, module, sys, ExtensionFileLoader, ModuleSpec

from ._core.arguments import Arguments
from ._core.conditions import Condition, logical_and, logical_not, logical_or
from ._core.derivatives import gradients, hessian_of, is_in_no_grad, pull_back, push_forward, recorded, same
from ._core.drawing import draw, drawn, drawn_row, operand, philox
from ._core.functions import clip, custom, dot, sum, take, where
from ._core.groups import ParamGroup
from ._core.graph import (TapeStats, accumulate_grads, around_collection, attributes_of, compact, is_stale, operands,
                    set_minimum, sweep_onto_grads, tape_stats, topological_sort)
from ._core.hessians import Products
from ._core.layer import activations, layer
from ._core.loops import (apart, body_being_recorded, drawn_in_bodies, is_recorded, list_of, number_of, pull_back_apart,
                    record_scan, sequence_of)
from ._core.modules import parameters_of
from ._core.executors import check_executor, executor_names, levels, set_executor, set_level
from ._core.nodes import ProgramNode, ProgramScan, program_nodes
from ._core.numbers import expect_value, is_bool
from ._core.optimizer import Optimizer, clip_grads
from ._core.outputs import Outputs
from ._core.program import CompiledStats, Recorded, optimiser_passes, record, set_verifying
from ._core.recording import (Context, Pause, Recording, TraceError, after_fork, pause_recording,
                        resume_recording)
from ._core.ranks import Exchange, described
from ._core.table import cell_tree, operations
from ._core.training import Session
from ._core.value import Handle, Value, stand_for

# As people meet them: in messages and pickles.
for thing in [*globals().values()]:
    if isinstance(thing, type(operations)) or thing in (TraceError, TapeStats, CompiledStats, ProgramNode, ProgramScan,
                                                        ParamGroup):
        thing.__module__ = __name__
del thing
