# SPDX-License-Identifier: MIT
"""Random compiled programs against the same code run eagerly: outputs, losses, gradients, fits.

    python tests/fuzz/programs.py --programs 30000

A case is a function of one sample, written down as steps, and calls of it: batches in all kinds of
arrays, vector levels, threads, passes left out, fits. Any part of the steps is a case as well.
"""

import contextlib
import gc
import random
import sys

import harness
from programs_copies import Copies
from programs_threads import Threads

from micrograd_c import _core

FEATURES = {
    "operations": "operators and methods of the table",
    "sums": "sum, dot, sums of sums",
    "layers": "nn.Layer and what looks like one",
    "choices": "where, clip, take on inputs and parameters",
    "decided": "where and take that a constant decides",
    "detached": "detach() and no_grad() inside the function",
    "reads": "numbers of parameters read while recording: .data, .item(), a branch",
    "grad_reads": "the .grad of a parameter read while recording",
    "inner": "another compiled function called inside the function, on Values",
    "inner_numbers": "another compiled function called inside the function, on numbers",
    "customs": "custom() on parameters",
    "draws": "random numbers, the same ones on both sides",
    "loops": "scan, and scan in scan, which draw where there are draws",
    "specials": "zeros of both signs, infinities, NaN among the inputs",
    "arrays": "float32 and float64 arrays",
    "strided": "arrays with strides",
    "misaligned": "floats at any address",
    "big_endian": "floats with their bytes the other way round",
    "ctypes": "ctypes arrays",
    "sequences": "lists, tuples, array.array, whole numbers",
    "levels": "every vector level",
    "executors": "every executor",
    "float32": "samples computed in float32",
    "skips": "optimiser passes left out",
    "large": "batches of 1,000",
    "empty": "batches of no sample",
    "threads": "calls from several threads at a time",
    "signals": "a signal handler that calls the function",
    "forks": "a child process, forked while a thread runs the function",
    "garbage": "collections at any time, also while a function is recorded",
    "fits": "fit() against a loop",
    "callbacks": "fit() with a callback that calls functions and changes numbers",
    "copies": "copies and pickles of functions and of optimisers that have trained, fits in parts",
    "misuse": "what has to raise TraceError",
    "comparisons": "== and != and truth values of inputs among the misuse",
}

# name of a step of the function -> (weight, the feature it belongs to)
OPERATIONS = {
    "binary": (20, "operations"),
    "number": (12, "operations"),
    "divide": (4, "operations"),
    "power": (5, "operations"),
    "rounded": (3, "operations"),
    "polar": (3, "operations"),
    "unary": (16, "operations"),
    "leaky": (2, "operations"),
    "chain": (3, "sums"),
    "total": (5, "sums"),
    "dot": (6, "sums"),
    "layer": (2, "layers"),
    "dots": (3, "layers"),
    "where": (5, "choices"),
    "condition": (4, "choices"),
    "clip": (3, "choices"),
    "take": (3, "choices"),
    "decided_where": (4, "decided"),
    "decided_take": (3, "decided"),
    "detach": (3, "detached"),
    "no_grad": (2, "detached"),
    "read": (2, "reads"),
    "grad_read": (1, "grad_reads"),
    "inner": (2, "inner"),
    "inner_number": (1, "inner_numbers"),
    "custom": (2, "customs"),
    "draw": (3, "draws"),
    "loop": (1.5, "loops"),
    "drawing_loop": (1.5, "draws"),
}
CALLS = {
    "evaluate": (6, None),
    "gradient": (6, None),
    "assign": (4, None),
    "level": (3, "levels"),
    "fit": (2, "fits"),
    "fit_with_callback": (1, "callbacks"),
    "call_in_threads": (0.5, "threads"),
    "fits_in_threads": (0.2, "threads"),
    "call_in_handler": (0.15, "signals"),
    "call_in_child": (0.1, "forks"),
    "shallow_copy": (0.3, "copies"),
    "deep_copy": (0.7, "copies"),
    "fit_in_parts": (1.2, "copies"),
    "misuse": (1, "misuse"),
}


class Case(Copies, Threads):
    """Each call is a method of its name."""


class Programs:
    __doc__ = __doc__
    unit = "programs"
    features = FEATURES

    def generate(self, seed, features):
        chance = random.Random(seed)
        chosen = {name for name in sorted(features) if chance.random() < 0.75}
        operations = [name for name, (_, needs) in OPERATIONS.items() if needs in chosen]
        operations = operations or ["binary", "number"]
        weights = [OPERATIONS[name][0] * chance.choice([0.3, 1, 1, 4]) for name in operations]
        count = chance.choice([3, 8, 15, 30, 60])
        calls = [name for name, (_, needs) in CALLS.items() if needs is None or needs in chosen]
        call_weights = [CALLS[name][0] for name in calls]
        steps = [("features", frozenset(chosen))]
        for name in chance.choices(operations, weights, k=count):
            steps.append((name, chance.getrandbits(64)))
        for name in chance.choices(calls, call_weights, k=chance.randint(2, 5)):
            steps.append((f"call {name}", chance.getrandbits(64)))
        return steps

    def run(self, seed, steps, features, counts, verbose):
        chosen = features
        if steps[0][0] == "features":
            chosen, steps = steps[0][1], steps[1:]
        operations = [(name, r) for name, r in steps if not name.startswith("call ")]
        case = Case(seed, operations, chosen, counts, verbose)
        gc.collect()
        thresholds = [(700, 10, 10)]
        if "garbage" in chosen:
            thresholds += [(seed % 300 + 1, 10, 10), (seed % 20 + 1, 2, 50)]
        gc.set_threshold(*thresholds[seed % len(thresholds)])
        if verbose:
            print("  operations", " ".join(f"{name}({r})" for name, r in operations))
        try:
            for name, r in steps:
                if name.startswith("call "):
                    if verbose:
                        print(f"  {name} {r}", flush=True)
                    getattr(case, name[5:])(r)
                    counts[name] += 1
            case.finish()
            if verbose:
                with contextlib.suppress(Exception):
                    print(case.compiled)
        finally:
            gc.set_threshold(700, 10, 10)
            _core.set_level(None)
        for name, _ in operations:
            counts[name] += 1
        return 1


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(harness.main(Programs()))
