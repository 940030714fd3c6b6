# SPDX-License-Identifier: MIT
# %% [markdown]
# # A GPT of scalars, compiled
#
# `microgpt.py` with fewer than 20 lines changed: the loss of one name is a function of its letters,
# which are Values now, and compiled for each length of a name.

# %%
import functools
import random
import time
from importlib.resources import files

from micrograd_c import Value, compile, optim, take

EMBEDDING, HEADS, LAYERS, CONTEXT, STEPS = 16, 4, 1, 16, 500
LETTERS = "abcdefghijklmnopqrstuvwxyz."  # the dot stands before and after every name
names = (files("micrograd_c.benchmarks") / "data" / "names.txt").read_text().split()
random.seed(42)
random.shuffle(names)


def matrix(n_out, n_in):
    return [[Value(random.gauss(0, 0.08)) for _ in range(n_in)] for _ in range(n_out)]


letters, places = matrix(len(LETTERS), EMBEDDING), matrix(CONTEXT, EMBEDDING)
head = matrix(len(LETTERS), EMBEDDING)
shapes = {"query": 1, "key": 1, "value": 1, "mix": 1, "widen": 4}
layers = [{name: matrix(n * EMBEDDING, EMBEDDING) for name, n in shapes.items()}]
layers[0]["narrow"] = matrix(EMBEDDING, 4 * EMBEDDING)
matrices = [letters, places, head, *(m for layer in layers for m in layer.values())]
parameters = [p for m in matrices for row in m for p in row]
columns = list(zip(*letters, strict=True))
print(f"{len(parameters):,} parameters")

# %% [markdown]
# The parts of a transformer, on lists of Values.

# %%


def linear(rows, x):
    return [sum(w * xi for w, xi in zip(row, x, strict=True)) for row in rows]


def add(x, y):
    return [xi + yi for xi, yi in zip(x, y, strict=True)]


def normalised(x):
    scale = (sum(xi * xi for xi in x) / len(x) + 1e-5) ** -0.5
    return [xi * scale for xi in x]


def softmax(scores):
    top = functools.reduce(Value.maximum, scores)
    powers = [(score - top).exp() for score in scores]
    total = sum(powers)
    return [power / total for power in powers]


def attention(layer, x, keys, values):
    """Each head mixes the values of the places so far; keys and values grow by this place's."""
    query = linear(layer["query"], x)
    keys.append(linear(layer["key"], x))
    values.append(linear(layer["value"], x))
    mixed, size = [], EMBEDDING // HEADS
    for start in range(0, EMBEDDING, size):
        part = range(start, start + size)
        weights = softmax([sum(query[i] * key[i] for i in part) * size**-0.5 for key in keys])
        mixed += [sum(w * v[i] for w, v in zip(weights, values, strict=True)) for i in part]
    return linear(layer["mix"], mixed)


def chances(token, place, past):
    """Of each letter to come after this one. past: keys and values of each layer so far."""
    x = normalised(add([take(column, token) for column in columns], places[place]))
    for layer, (keys, values) in zip(layers, past, strict=True):
        x = add(x, attention(layer, normalised(x), keys, values))
        hidden = [h.relu() for h in linear(layer["widen"], normalised(x))]
        x = add(x, linear(layer["narrow"], hidden))
    return softmax(linear(head, x))


def loss_of(tokens):
    """The mean cross-entropy of each letter, given those before it."""
    past = [([], []) for _ in layers]
    steps = range(min(CONTEXT, len(tokens) - 1))
    return sum(-take(chances(tokens[k], k, past), tokens[k + 1]).log() for k in steps) / len(steps)


def tokens_of(name):
    return [float(LETTERS.index(letter)) for letter in f".{name}."]


# %% [markdown]
# One name a step, and Adam (Kingma and Ba, 2015).

# %%
f, adam = compile(loss_of), optim.Adam(parameters, lr=0.01, betas=(0.9, 0.99))
losses, start = [], time.perf_counter()
for step in range(1, STEPS + 1):
    adam.zero_grad()
    losses.append(f.value_and_grad([tokens_of(names[step % len(names)])]))
    adam.step()
    if step % 100 == 0:
        print(f"after {step} names: {sum(losses[-100:]) / 100:.2f} nats a letter")
seconds = time.perf_counter() - start
print(f"{seconds / STEPS * 1e3:.1f} ms a name")

# %%
for _ in range(8):
    token, name, past = 26, "", [([], []) for _ in layers]
    while len(name) < CONTEXT:
        weights = [chance.data for chance in chances(token, len(name), past)]
        token = random.choices(range(27), weights)[0]
        if LETTERS[token] == ".":
            break
        name += LETTERS[token]
    print(name)

assert sum(losses[-100:]) / 100 < 2.6

# %% [markdown]
# The loss, and what the model expects after each letter of a name.

# %%
try:
    import matplotlib.pyplot as plt
except ImportError:
    print("no picture: it needs matplotlib (python -m pip install matplotlib)")
else:
    name, past, table = ".mariana", [([], []) for _ in layers], []
    for place, letter in enumerate(name):
        expected = chances(LETTERS.index(letter), place, past)
        table.append([chance.data for chance in expected])
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.6, 3.6), layout="constrained")
    left.plot(losses, color="#56B4E9", linewidth=0.6)
    left.plot(range(50, STEPS), [sum(losses[k - 50 : k]) / 50 for k in range(50, STEPS)])
    left.set_xlabel("names seen")
    left.set_ylabel("nats a letter")
    right.imshow(table, cmap="Blues", aspect="auto")
    right.set_xticks(range(27), LETTERS)
    right.set_yticks(range(len(name)), name)
    right.set_xlabel("the letter expected next")
    figure.savefig("microgpt.png", dpi=100)
