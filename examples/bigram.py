# SPDX-License-Identifier: MIT
# %% [markdown]
# # Bigrams: counting and learning are the same thing
#
# Which letter follows which? Counting answers it; so does a table of 27 x 27 logits, trained by
# gradient descent. On the 32,000 names that come with the source, both end at the same loss.

# %%
import math
import random
from collections import Counter
from importlib.resources import files
from itertools import pairwise

from micrograd_c import Value, compile, optim, take
from micrograd_c.losses import cross_entropy

names = (files("micrograd_c.benchmarks") / "data" / "names.txt").read_text().split()
LETTERS = ".abcdefghijklmnopqrstuvwxyz"  # the dot stands before and after each name
number = {letter: k for k, letter in enumerate(LETTERS)}

pairs = Counter()
for name in names:
    letters = f".{name}."
    pairs.update(pairwise(letters))
total = sum(pairs.values())
print(f"{len(names):,} names, {total:,} pairs, {len(pairs)} different ones")

# %% [markdown]
# Counted: the probability of a letter is its share of what follows.

# %%
followed = Counter()
for (first, _), count in pairs.items():
    followed[first] += count
counted_loss = -sum(n * math.log(n / followed[first]) for (first, _), n in pairs.items()) / total
print(f"counted: {counted_loss:.4f} nats a letter (guessing: {math.log(27):.4f})")

# %% [markdown]
# Learned: row `first` of the table holds the logits of what follows. `take` picks it by an index
# that is an input of the compiled function. Equal pairs are one sample, weighted by their number.

# %%
columns = [[Value(0.0) for _ in LETTERS] for _ in LETTERS]


def weighted_loss(first, second, weight):
    logits = [take(column, first) for column in columns]
    return weight * cross_entropy(logits, second)


f = compile(weighted_loss, reduction="sum")
firsts = [number[first] for first, _ in pairs]
seconds = [number[second] for _, second in pairs]
weights = [count / total for count in pairs.values()]
adam = optim.Adam([value for column in columns for value in column], lr=0.1)
losses = f.fit(firsts, seconds, weights, optimizer=adam, steps=600)
print(f"learned: {losses[-1]:.4f} nats a letter, from {losses[0]:.4f}")

# %% [markdown]
# The table writes names, one letter after the other. They sound like names from far away.

# %%
rng = random.Random(2)
for _ in range(5):
    name, letter = "", 0
    while not name.endswith("."):
        powers = [math.exp(column[letter].data) for column in columns]
        letter = rng.choices(range(27), powers)[0]
        name += LETTERS[letter]
    print(name[:-1])

assert abs(losses[-1] - counted_loss) < 0.002

# %% [markdown]
# Both tables, the counted one and the learned one.

# %%
try:
    import matplotlib.pyplot as plt
except ImportError:
    print("no picture: it needs matplotlib (python -m pip install matplotlib)")
else:
    counted = [[pairs[a, b] / followed[a] for b in LETTERS] for a in LETTERS]
    powers = [[math.exp(column[first].data) for column in columns] for first in range(27)]
    learned = [[power / sum(row) for power in row] for row in powers]
    figure, both = plt.subplots(1, 2, figsize=(9.6, 5.0), sharey=True, layout="constrained")
    for axes, name, table in zip(both, ("counted", "learned"), (counted, learned), strict=True):
        drawn = axes.imshow(table, cmap="Blues", vmin=0.0, vmax=0.5)
        axes.set_title(name)
        axes.set_xlabel("the letter that follows")
        axes.set_xticks(range(27), LETTERS)
        axes.set_yticks(range(27), LETTERS)
    both[0].set_ylabel("the letter before")
    figure.colorbar(drawn, ax=both, label="probability", shrink=0.8)
    figure.savefig("bigram.png", dpi=100)
