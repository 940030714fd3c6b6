# SPDX-License-Identifier: MIT
"""What all calls of a case share: its function, arrays, the eager side, the comparison."""

import contextlib
import math
import random
from typing import NamedTuple

import numpy as np
from buffers import convert
from harness import Finding
from programs_function import SEED, Function, Scale

import micrograd_c as mc
from micrograd_c import Value, _core

PASSES = [name for name, _ in _core.optimiser_passes()]
EAGER = (ArithmeticError, ValueError)


class Seeds:
    """In place of Python's random module, where compiled functions look for a seed."""

    @staticmethod
    def getrandbits(_):
        return SEED


class Sample(list):
    """A sample's arguments, and which one it is."""

    number = 0


class Precision(NamedTuple):
    """How close results are to those of eager code, which computes in float64."""

    dtype: str
    difference: float  # relative
    floor: float  # absolute
    noise: float  # in every step, larger than what rounding does: it finds what is ill-conditioned
    runs: int  # with noise
    spreads: float  # how many times as far as these runs a result may be
    huge: float  # products of larger numbers overflow, unless they are rounded with a sum
    tiny: float  # products of smaller ones vanish

    def alike(self, a, b, tolerance=0.0):
        if a == b or (a != a and b != b) or tolerance == math.inf:
            return True
        if not (math.isfinite(a) and math.isfinite(b)):
            return False
        return abs(a - b) <= self.difference * max(abs(a), abs(b)) + max(tolerance, self.floor)


FLOAT64 = Precision("float64", 1e-9, 1e-12, noise=1e-12, runs=5, spreads=1e4, huge=1e150, tiny=0.0)
FLOAT32 = Precision("float32", 1e-5, 1e-5, noise=1e-6, runs=20, spreads=30, huge=1e9, tiny=1e-9)


class State:
    def __init__(self, seed, operations, features, counts, verbose):
        mc.compiled.random = Seeds  # here, not where tests take their functions from
        self.features, self.counts, self.verbose = features, counts, verbose
        self.fn = Function(seed, operations, features)
        self.fn.scale = Scale()
        chance = random.Random(seed ^ 0x5EED)
        skip = (
            chance.sample(PASSES, chance.randint(0, len(PASSES))) if chance.random() < 0.3 else []
        )
        self.skip = [name for name in PASSES if name in skip] if "skips" in features else []
        self.reduction = chance.choice(["mean", "sum"])
        self.threads = chance.choice([None, None, 1, 2, 3])
        executor = chance.choice([None, None, "vector", "vector", "scalar"])
        is_float32 = "float32" in features and chance.random() < 0.5
        self.precision = FLOAT32 if is_float32 else FLOAT64
        self.fn.is_float32 = is_float32
        self.compiled = self.compile(
            self.fn,
            skip=self.skip,
            threads=self.threads,
            executor=executor if "executors" in features else None,
        )
        self.parameters = [*self.fn.parameters, self.fn.position]
        self.is_extreme = False  # whether an eager run has met huge or tiny numbers
        self.results = []  # the last ones, and what they were

    def compile(self, fn, **options):
        dtype = self.precision.dtype
        return mc.compile(fn, reduction=self.reduction, dtype=dtype, **options)

    def arrays(self, chance, size=None):
        """(arguments, the numbers in them by sample)"""
        if size is None:
            sizes = [1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 33]
            if "large" in self.features and chance.random() < 0.03:
                sizes = [1000]
            if "empty" in self.features and chance.random() < 0.03:
                sizes = [0]
            size = chance.choice(sizes)
        source = np.random.RandomState(chance.getrandbits(32))
        arguments, numbers = [], []
        for n in self.fn.structure:
            a = source.standard_normal((size,) if n < 0 else (size, n)) * 1.5
            if "specials" in self.features and chance.random() < 0.15:
                special = source.choice([0.0, -0.0, 1.0, np.inf, -np.inf, np.nan, 0.0], a.shape)
                a = np.where(source.random_sample(a.shape) < 0.3, special, a)
            buffer, held = convert(a, chance, self.features)
            arguments.append(buffer)
            numbers.append(held.astype(self.precision.dtype).astype(np.float64))
        if self.fn.has_index:
            a = source.randint(-3, 3, size).astype(np.float64)
            buffer, held = (a.tolist(), a) if chance.random() < 0.5 else (a, a)
            arguments.append(buffer)
            numbers.append(held)
        samples = [
            Sample(a[k].tolist() for a in numbers) for k in range(size)
        ]  # lists of floats, and floats
        for k, sample in enumerate(samples):
            sample.number = k
        return arguments, samples

    # -- the eager side --

    def sample(self, numbers):
        self.fn.sample = numbers.number
        return self.fn(
            *[[Value(x) for x in a] if isinstance(a, list) else Value(a) for a in numbers]
        )

    def eager_outputs(self, samples):
        """A row for each sample; None where eager code refuses its numbers."""
        rows = []
        for numbers in samples:
            try:
                result = self.sample(numbers)
            except EAGER:
                rows.append(None)
                continue
            self.look_for_extremes()
            rows.append([v.data for v in result] if isinstance(result, list) else [result.data])
        return rows

    def eager_gradients(self, samples):
        """(loss, gradients by parameter), or None where eager code refuses."""
        loss, totals = 0.0, [0.0] * len(self.parameters)
        before = [p.grad for p in self.parameters]
        for numbers in samples:
            for p, grad in zip(self.parameters, before, strict=True):
                p.grad = grad  # which the function may read
            try:
                root = self.sample(numbers)
            except EAGER:
                return None
            for p in self.parameters:
                p.grad = 0.0
            root.backward()
            self.look_for_extremes()
            loss += root.data
            totals = [t + p.grad for t, p in zip(totals, self.parameters, strict=True)]
        for p, grad in zip(self.parameters, before, strict=True):
            p.grad = grad
        n = len(samples) if self.reduction == "mean" else 1
        return loss / n, [t / n for t in totals]

    def look_for_extremes(self):
        huge, tiny = self.precision.huge, self.precision.tiny
        for v in self.fn.pool:
            for number in (v.data, v.grad):
                if huge < abs(number) < math.inf or 0.0 < abs(number) < tiny:
                    self.is_extreme = True

    # -- comparison --

    def expect(self, what, got, want, again):
        """got and want: flat lists. again(): want, computed with noise in every step."""
        if len(got) != len(want):
            raise Finding(f"{what}: {len(got)} numbers, expected {len(want)}")
        precision, alike = self.precision, self.precision.alike
        if all(map(alike, got, want)):
            return
        is_finite = all(map(math.isfinite, [*got, *want]))
        if self.is_extreme and (not is_finite or precision is FLOAT32):
            self.counts["overflows"] += 1
            return
        spread = [0.0] * len(want)
        for k in range(precision.runs):
            self.fn.noise = Noise(k, precision)
            try:
                noisy = again()
            except EAGER:
                noisy = None
            finally:
                self.fn.noise = None
            if noisy is None:
                self.counts["ill-conditioned"] += 1
                return
            spread = [
                max(s, abs(a - b))
                if math.isfinite(a) and math.isfinite(b)
                else (s if alike(a, b) else math.inf)
                for s, a, b in zip(spread, noisy, want, strict=True)
            ]
        for k, (a, b) in enumerate(zip(got, want, strict=True)):
            if not alike(a, b, precision.spreads * spread[k]):
                raise Finding(f"{what}, number {k}: {a!r}, expected {b!r} (spread {spread[k]:.1e})")
        self.counts["ill-conditioned"] += 1

    def refusal(self, what, call):
        """What the compiled side raises where eager code does not is a finding."""
        try:
            return call()
        except Finding:
            raise
        except Exception as error:
            raise Finding(f"{what} raised {type(error).__name__}: {error}") from error

    def show(self, text):
        if self.verbose:
            print("   ", text, flush=True)

    def check_outputs(self, what, call, arguments, samples):
        want = self.eager_outputs(samples)
        if any(row is None for row in want[:1]):
            with contextlib.suppress(*EAGER):  # as recording may refuse them, too
                call(*arguments)
            self.counts["refused"] += 1
            return
        try:
            result = self.refusal(what, lambda: call(*arguments))
        except Finding as finding:
            if samples or not isinstance(finding.__cause__, EAGER):
                raise
            self.counts["refused"] += 1  # of no sample: recording met a number of its own
            return
        if isinstance(result, np.ndarray) is not any(isinstance(a, np.ndarray) for a in arguments):
            raise Finding(f"{what}: {type(result)} for {[type(a) for a in arguments]}")
        got = np.asarray(result)
        self.results = [*self.results[-9:], (result, got.copy())]
        n = self.fn.n_outputs
        shape = (len(samples),) if n < 0 else (len(samples), n)
        if got.shape != shape:
            raise Finding(f"{what}: shape {got.shape}, expected {shape}")
        rows = got.reshape(len(samples), abs(n))
        for k, row in enumerate(want):
            if row is not None:
                self.expect(
                    f"{what}, sample {k}",
                    rows[k].tolist(),
                    row,
                    lambda k=k: self.eager_outputs([samples[k]])[0],
                )
        self.counts["outputs"] += got.size

    def finish(self):
        """Results are their owner's: no later call has changed them."""
        for result, numbers in self.results:
            if np.asarray(result).tobytes() != numbers.tobytes():
                raise Finding("a later call changed a result")

    def check_gradients(self, what, compiled, arguments, samples):
        if not samples:
            with contextlib.suppress(ValueError, ZeroDivisionError):
                compiled.value_and_grad(*arguments)
            return
        want = self.eager_gradients(samples)
        if want is None:
            with contextlib.suppress(*EAGER):
                compiled.value_and_grad(*arguments)
            self.counts["refused"] += 1
            return
        before = [p.grad for p in self.parameters]
        loss = self.refusal(what, lambda: compiled.value_and_grad(*arguments))
        grads = [p.grad for p in self.parameters]
        for p, grad in zip(self.parameters, before, strict=True):
            p.grad = grad  # which the function may read
        unread = set(range(len(grads))) - self.read_parameters(samples[0])
        for k in unread:
            grads[k] = want[1][k] = 0.0
        for p, grad in zip(self.parameters, before, strict=True):
            p.grad = grad if self.fn.reads else 0.0

        def again():
            noisy = self.eager_gradients(samples)
            if noisy is None:
                return None
            for k in unread:
                noisy[1][k] = 0.0
            return [noisy[0], *noisy[1]]

        got, want = [loss, *grads], [want[0], *want[1]]
        if compiled is self.compiled:
            self.allow_fewer_nans(what, arguments, samples, got, want)
            self.allow_nans_of_layers(what, arguments, got, want)
        self.expect(what, got, want, again)
        self.counts["gradients"] += 1

    def allow_fewer_nans(self, what, arguments, samples, got, want):
        """Where nodes are dropped or merged, their 0 * inf is gone: NaN eagerly, a number compiled.

        Passes may do that, and choices, of which only what is chosen has an adjoint to hand on. So
        without passes and without choices, NaN has to be NaN.
        """
        fewer = [k for k in range(1, len(want)) if math.isnan(want[k]) and not math.isnan(got[k])]
        chooses = self.chooses()
        if fewer and not chooses and set(self.skip) != set(PASSES):
            plain = self.compile(self.fn, skip=PASSES)
            self.check_gradients(f"{what} without passes", plain, arguments, samples)
        if fewer and (chooses or set(self.skip) != set(PASSES)):
            for k in fewer:
                want[k] = got[k]
            self.counts["fewer NaN"] += 1

    def allow_nans_of_layers(self, what, arguments, got, want):
        """Of a layer whose inputs are infinite, where a sample chooses some parts: NaN for all.

        The chosen parts' weights are not finite there anyway. As sums one by one, they agree.
        """
        more = [k for k in range(1, len(want)) if math.isnan(got[k]) and not math.isnan(want[k])]
        if not more or "matrices" in self.skip or all(map(math.isfinite, want[1:])):
            return
        before = [p.grad for p in self.parameters]
        self.compile(self.fn, skip=[*self.skip, "matrices"]).value_and_grad(*arguments)
        plain = [p.grad for p in self.parameters]
        for p, grad in zip(self.parameters, before, strict=True):
            p.grad = grad
        for k in more:
            if math.isnan(plain[k - 1]):
                raise Finding(f"{what}, number {k}: NaN without matrices, expected {want[k]!r}")
            want[k] = got[k]
        self.counts["layers with more NaN"] += 1

    def chooses(self):
        choices = {
            "where",
            "condition",
            "take",
            "decided_where",
            "decided_take",
            "no_grad",
            "detach",
            "loop",
            "drawing_loop",
        }
        return any(name in choices for name, _ in self.fn.steps)

    def read_parameters(self, numbers):
        """Of which the function's value depends; what value_and_grad sets."""
        root = self.sample(numbers)
        nodes = set(map(id, mc.topological_sort(root)))
        return {k for k, p in enumerate(self.parameters) if id(p) in nodes}

    def put(self, numbers):
        for p, number in zip(self.parameters, numbers, strict=True):
            p.data, p.grad = number, 0.0


class Noise:
    """Blurs Values as rounding would; in float32 also zeros, which addends may have left."""

    def __init__(self, seed, precision):
        self.chance, self.size = random.Random(seed), precision.noise
        self.is_float32 = precision is FLOAT32

    def __call__(self, v):
        blurred = v * (1.0 + self.size * self.chance.gauss(0, 1))
        if self.is_float32:
            blurred = blurred + self.size * self.chance.gauss(0, 1)
        return blurred
