# SPDX-License-Identifier: MIT
"""Random use of the engine against the oracle of mirror.py: values, grads, identities, lifetimes.

    python tests/fuzz/engine.py --operations 30000000

A case is a few hundred steps on a list of Values, its slots. Each step does the same to a Value and
to its mirror; what a step works on follows from a random number and from what there is, so that any
part of the steps is a case as well.
"""

import contextlib
import gc
import random
import sys

import harness
from engine_callbacks import Callbacks
from engine_checks import Checks
from engine_objects import Objects
from engine_operations import Operations
from harness import Finding
from mirror import Node

import micrograd_c as mc
from micrograd_c import Value, _core

BASIC = {
    "late_attributes": "attributes, labels and containers given to nodes that have been used",
    "late_rules": "_backward assigned to nodes that have been used",
    "closures": "nodes whose rule is written in Python",
    "weakrefs": "weak references, with callbacks, and weakref.finalize",
    "subclasses": "instances of subclasses",
    "dying_attributes": "attributes whose __del__ does something",
    "cycles": "attributes that lead back to their node",
    "collecting": "callbacks, __del__ and rules that collect",
    "asking": "callbacks, __del__ and rules that ask graphs for their nodes, and keep them",
    "recording": "callbacks, __del__ and rules that record",
    "raising": "callbacks, __del__ and rules that raise",
    "nested": "rules that run backward() of another graph",
    "no_grad": "no_grad(): several at a time, ended in any order and by any thread",
    "threads": "other threads that record",
    "suspended": "threads that end inside no_grad()",
    "copies": "copies, pickles, detach()",
    "layers": "nn.Neuron, nn.Layer, nn.MLP",
    "tiny_tape": "a tape that looks for garbage all the time",
    "collections": "gc.collect() and compact() between steps, tiny thresholds of the collector",
}

# name of a step -> (weight, the features that it needs)
STEPS = {
    "binary": (300, ()),
    "unary": (150, ()),
    "number": (120, ()),
    "scaled": (30, ()),
    "leaf": (60, ()),
    "drop": (210, ()),
    "drop_newest": (30, ()),
    "alias": (10, ()),
    "variadic": (50, ()),
    "layer": (8, ("layers",)),
    "assign_data": (10, ()),
    "assign_grad": (10, ()),
    "initialise": (3, ()),
    "backward": (20, ()),
    "by_hand": (10, ()),
    "accumulate": (2, ()),
    "look": (12, ()),
    "operands": (8, ()),
    "refused": (10, ()),
    "collect": (6, ("collections",)),
    "compact": (6, ("collections",)),
    "label": (8, ("late_attributes",)),
    "attribute": (8, ("late_attributes",)),
    "container": (8, ("late_attributes",)),
    "the_dict": (2, ("late_attributes",)),
    "delete": (4, ("late_attributes",)),
    "dying": (6, ("dying_attributes",)),
    "cycle": (6, ("cycles",)),
    "closure": (12, ("closures",)),
    "late_rule": (10, ("late_rules",)),
    "subclass_leaf": (8, ("subclasses",)),
    "subclass_node": (6, ("subclasses", "closures")),
    "weakref": (10, ("weakrefs",)),
    "finalize": (6, ("weakrefs",)),
    "weak_key": (3, ("weakrefs",)),
    "no_grad": (4, ("no_grad",)),
    "thread": (1, ("threads",)),
    "suspended": (1, ("suspended",)),
    "copy": (8, ("copies",)),
    "detach": (5, ("copies",)),
}


class Case(Operations, Objects, Callbacks, Checks):
    """Each step is a method of its name."""


class Engine:
    __doc__ = __doc__
    unit = "operations"
    features = BASIC

    def generate(self, seed, features):
        """Pairs of a step's name and a random number. Each case leaves some features out."""
        chance = random.Random(seed)
        chosen = {name for name in sorted(features) if chance.random() < 0.7}
        if "recording" in chosen:
            chosen -= {"raising"}  # the order of rules is not known then, nor where one stops
        names = [name for name, (_, needs) in STEPS.items() if chosen.issuperset(needs)]
        weights = [
            STEPS[name][0] * (chance.choice([0.2, 1, 1, 4]) if STEPS[name][1] else 1)
            for name in names
        ]
        count = chance.choice([30, 100, 300, 1000])
        thresholds = [(0, 0, 0), (700, 10, 10)]
        if "collections" in chosen:
            thresholds += [(1, 1, 1), (7, 3, 2), (30, 2, 3)]
        setup = (
            "setup",
            (
                frozenset(chosen),
                "tiny_tape" in chosen and chance.random() < 0.7,
                chance.choice(thresholds),
            ),
        )
        steps = chance.choices(names, weights, k=count)
        return [setup, *((name, chance.getrandbits(64)) for name in steps)]

    def run(self, seed, steps, features, counts, verbose):
        if steps[0][0] == "setup":
            chosen, tiny, threshold = steps[0][1]
            steps = steps[1:]
        else:  # left out while the case is made smaller
            chosen, tiny, threshold = frozenset(features), False, (0, 0, 0)
        gc.set_threshold(0)
        gc.collect()
        before = mc.tape_stats().live
        case = Case(seed, chosen, verbose)
        hook, sys.unraisablehook = sys.unraisablehook, case.unraisable
        _core.set_minimum(1 if tiny else 8192)
        try:
            for k in range(5):
                case.slots.append((Value(k - 1.5), Node(k - 1.5)))
            gc.set_threshold(*threshold)
            for name, r in steps:
                if verbose:
                    print(f"  {name} {r}", flush=True)
                if len(case.slots) < 3:
                    case.slots.append((Value(0.5), Node(0.5)))
                getattr(case, name)(r)
                if case.failure is not None:
                    raise Finding(case.failure)
            gc.set_threshold(0)
            case.finish()
            if case.failure is not None:
                raise Finding(case.failure)
        finally:
            gc.set_threshold(0)
            sys.unraisablehook = hook
            _core.set_minimum(8192)
            mc.accumulate_grads(False)
            case.end_pauses()
        if case.is_rough:
            counts["cases with callbacks that record"] += 1
        counts["tokens"] += case.tokens
        operations = case.operations + len(steps)
        del case
        gc.collect()
        after = mc.tape_stats().live
        if after > before:
            raise Finding(f"{after - before} nodes stay on the tape")
        for name, _ in steps[:: max(1, len(steps) // 40)]:
            counts[name] += 1
        return operations


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(harness.main(Engine()))
