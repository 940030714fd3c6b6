# SPDX-License-Identifier: MIT
"""What a random number costs at each level, and whether 100 million are distributed as they should.

python -m benchmarks.random_numbers [--draws 100_000_000]
"""

import argparse
import time

import numpy as np
from scipy import special

import micrograd_c as mc
from micrograd_c import _core, random

AT_ONCE = 10_000_000
COUNT = 64  # draws of a sample, which are added up
LEAST_P = 0.001


def nanoseconds(kind, level):
    """A draw and an addition, one thread."""
    _core.set_level(level)
    f = mc.compile(lambda: mc.sum([kind() for _ in range(COUNT)]), threads=1, executor="vector")
    samples, best = 20_000, float("inf")
    f(samples=samples, seed=0)
    for seed in range(20):
        start = time.thread_time()
        f(samples=samples, seed=seed)
        best = min(best, time.thread_time() - start)
    _core.set_level(None)
    return best / (samples * COUNT) * 1e9


def ordered(kind, draws):
    """So many of them, ascending."""
    f = mc.compile(kind)
    numbers = np.empty(draws)
    for at in range(0, draws, AT_ONCE):
        part = numbers[at : at + AT_ONCE]
        part[:] = f(samples=len(part), seed=at)
    numbers.sort()
    return numbers


def kolmogorov(numbers, cdf):
    """The largest distance of the two distribution functions, and how probable a larger one is."""
    n, most = len(numbers), 0.0
    for at in range(0, n, AT_ONCE):
        p = cdf(numbers[at : at + AT_ONCE])
        below = np.arange(at, at + len(p)) / n
        most = max(most, (below + 1 / n - p).max(), (p - below).max())
    return most, special.kolmogorov(most * n**0.5)


def anderson_darling(numbers, log_cdf, log_sf):
    """A squared: above 3.857 in one case of a hundred (Stephens 1974, of a known distribution)."""
    n, total = len(numbers), 0.0
    for at in range(0, n, AT_ONCE):
        part = numbers[at : at + AT_ONCE]
        rank = np.arange(at, at + len(part))
        total += ((2 * rank + 1) * log_cdf(part)).sum()
        total += ((2 * (n - rank) - 1) * log_sf(part)).sum()
    return -n - total / n


def moments(numbers, exact):
    """Of each power: the mean's distance from what is exact, in standard deviations."""
    n, found = len(numbers), []
    for power in range(1, 7):
        sums = [(numbers[at : at + AT_ONCE] ** power).sum() for at in range(0, n, AT_ONCE)]
        spread = (exact(2 * power) - exact(power) ** 2) ** 0.5
        found.append((sum(sums) / n - exact(power)) / spread * n**0.5)
    return found


def show(name, numbers, cdf, log_cdf, log_sf, exact):
    distance, p = kolmogorov(numbers, cdf)
    square = anderson_darling(numbers, log_cdf, log_sf)
    of_moments = moments(numbers, exact)
    print(f"{len(numbers):,} {name}: Kolmogorov-Smirnov {distance:.2e}, p {p:.3f};", end=" ")
    print(f"Anderson-Darling {square:.3f}; moments 1 to 6 off by", end=" ")
    print(", ".join(f"{m:+.2f}" for m in of_moments), "standard deviations")
    assert p > LEAST_P and square < 3.857 and max(map(abs, of_moments)) < 4


def of_normal(power):
    return float(special.factorial2(power - 1)) if power % 2 == 0 else 0.0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--draws", type=int, default=100_000_000)
    draws = parser.parse_args().draws
    for level in _core.levels():
        costs = [nanoseconds(kind, level) for kind in (random.uniform, random.normal)]
        print(f"{level}: {costs[0]:.2f} ns a uniform, {costs[1]:.2f} ns a normal")
    uniforms = ordered(random.uniform, draws)
    with np.errstate(divide="ignore"):
        logs = np.log, lambda u: np.log1p(-u)
        show("uniforms", uniforms[uniforms > 0], lambda u: u, *logs, lambda k: 1 / (k + 1))
    del uniforms
    normals = ordered(random.normal, draws)
    logs = special.log_ndtr, lambda z: special.log_ndtr(-z)
    show("normals", normals, special.ndtr, *logs, of_normal)
    for sigma in (4, 5, 6):
        expected = 2 * draws * special.ndtr(-sigma)
        found = np.searchsorted(normals, -sigma) + draws - np.searchsorted(normals, sigma)
        print(f"beyond {sigma} standard deviations: {found:,}, expected {expected:,.1f}")
        assert abs(found - expected) < 4 * expected**0.5 + 2


if __name__ == "__main__":
    main()
