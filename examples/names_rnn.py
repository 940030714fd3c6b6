# SPDX-License-Identifier: MIT
# %% [markdown]
# # A recurrent network that spells names
#
# Letter by letter, a state of 32 numbers remembers what came before (Elman, 1990). The loop over a
# name's letters is one node of the graph (`scan`), so that its body is recorded once, and the
# gradient goes back through all letters. The function is written for one name; training runs in
# the core, in minibatches of 64.

# %%
import random
from importlib.resources import files
from itertools import pairwise

from micrograd_c import Value, compile, optim, scan, take, where
from micrograd_c.losses import cross_entropy, softmax
from micrograd_c.nn import Layer

EMBEDDING, HIDDEN, LENGTH = 8, 32, 12
LETTERS = ".abcdefghijklmnopqrstuvwxyz"  # the dot stands before and after every name

names = (files("micrograd_c.benchmarks") / "data" / "names.txt").read_text().split()
random.seed(42)
random.shuffle(names)
names = [name for name in names if len(name) < LENGTH]


def row(name):
    """A name's letters as numbers, dots before, behind, and up to the common length."""
    return [float(LETTERS.index(letter)) for letter in f".{name}".ljust(LENGTH + 1, ".")]


split = len(names) * 9 // 10
training, held_out = [row(name) for name in names[:split]], [row(name) for name in names[split:]]
print(f"{len(training):,} names to learn from, {len(held_out):,} held out")

# %%
columns = [[Value(random.gauss(0, 1)) for _ in LETTERS] for _ in range(EMBEDDING)]
memory = Layer(EMBEDDING + HIDDEN, HIDDEN, "tanh")
output = Layer(HIDDEN, len(LETTERS), "linear")
for layer, scale in (memory, 0.3), (output, 0.1):  # small, so that no tanh is saturated
    for neuron in layer.neurons:
        for w in neuron.w:
            w.data *= scale
parameters = [value for column in columns for value in column]
parameters += memory.parameters() + output.parameters()
print(f"{len(parameters):,} parameters")


def step(state, letter):
    """The state after one more letter, and the scores of each letter to come."""
    state = memory([take(column, letter) for column in columns] + state)
    return state, output(state)


def loss(letters):
    """Of one name: cross-entropy, summed over its letters up to the dot that ends it."""

    def body(carry, pair):
        (state, goes_on, total), (letter, following) = carry, pair
        state, scores = step(state, letter)
        total = total + goes_on * cross_entropy(scores, following)
        return (state, where(following > 0.0, goes_on, 0.0), total), None

    (_, _, total), _ = scan(body, ([0.0] * HIDDEN, 1.0, 0.0), list(pairwise(letters)))
    return total


# %%
f, adam = compile(loss), optim.Adam(parameters, lr=0.01)
history = f.fit(
    training,
    optimizer=adam,
    epochs=6,
    batch_size=64,
    shuffle=True,
    seed=1,
    scheduler=optim.lr_scheduler.ExponentialLR(adam, gamma=0.6),
    clip_norm=20.0,
    validation=(held_out,),
)
letters_a_name = sum(min(name.index(0.0, 1), LENGTH) for name in held_out) / len(held_out)
nats = [loss / letters_a_name for loss in history.validation]
print("held out, nats a letter:", " ".join(f"{loss:.3f}" for loss in nats), "(bigrams: 2.45)")


# %%
def sample(state, letter):
    state, scores = step(state, letter)
    return state, softmax(scores)


chances = compile(sample)
for _ in range(8):
    name, state, letter = "", [0.0] * HIDDEN, 0
    while len(name) < LENGTH:
        state, row = (part.tolist()[0] for part in chances([state], [letter]))
        letter = random.choices(range(27), row)[0]
        if not letter:
            break
        name += LETTERS[letter]
    print(name)

# %% [markdown]
# The loss of training, 50 minibatches at a time, and that of the names held out.

# %%
try:
    import matplotlib.pyplot as plt
except ImportError:
    print("no picture: it needs matplotlib (python -m pip install matplotlib)")
else:
    epoch = len(history) // len(nats)
    figure, axes = plt.subplots(figsize=(7.0, 3.6), layout="constrained")
    means = [
        sum(history[k : k + 50]) / 50 / letters_a_name for k in range(0, len(history) - 50, 50)
    ]
    axes.plot([k * 50 / epoch for k in range(len(means))], means, color="#56B4E9", label="training")
    axes.plot(range(1, len(nats) + 1), nats, "o-", color="#D55E00", label="held out")
    axes.set_xlabel("epoch")
    axes.set_ylabel("nats a letter")
    axes.legend(frameon=False)
    figure.savefig("names_rnn.png", dpi=100)

assert nats[-1] < 2.2
