# SPDX-License-Identifier: MIT
# %% [markdown]
# # A network that spells names
#
# Three letters of context, each an embedding of 8 numbers, a hidden layer of 64 tanh units, 27
# logits: the language model of Bengio et al. (2003), small. Its loss of ONE letter is compiled; the
# training loop runs in the core, in minibatches of 128 out of 228,000 letters.

# %%
import random
from array import array
from importlib.resources import files

from micrograd_c import Value, compile, optim, take
from micrograd_c.losses import cross_entropy, softmax
from micrograd_c.nn import MLP

CONTEXT, EMBEDDING, HIDDEN = 3, 8, 64
LETTERS = ".abcdefghijklmnopqrstuvwxyz"

names = (files("micrograd_c.benchmarks") / "data" / "names.txt").read_text().split()
random.seed(42)
random.shuffle(names)


def samples(names):
    """(contexts, next letters), as buffers of numbers."""
    contexts, following = array("d"), array("d")
    for name in names:
        context = [0] * CONTEXT
        for letter in f"{name}.":
            contexts.extend(context)
            following.append(LETTERS.index(letter))
            context = [*context[1:], LETTERS.index(letter)]
    rows = memoryview(contexts).cast("B").cast("d", (len(following), CONTEXT))
    return rows, following


split = len(names) * 9 // 10
training, held_out = samples(names[:split]), samples(names[split:])
print(f"{len(training[1]):,} letters to learn from, {len(held_out[1]):,} held out")

# %% [markdown]
# Weights start small, so that no tanh is saturated and no letter preferred.

# %%
columns = [[Value(random.gauss(0, 1)) for _ in LETTERS] for _ in range(EMBEDDING)]
network = MLP(CONTEXT * EMBEDDING, [HIDDEN, 27], output_activation="linear")
for layer, scale in zip(network.layers, (0.3, 0.05), strict=True):
    for neuron in layer.neurons:
        for w in neuron.w:
            w.data *= scale
parameters = [value for column in columns for value in column] + network.parameters()
print(f"{len(parameters):,} parameters")


def logits(context):
    return network([take(column, letter) for letter in context for column in columns])


loss = compile(lambda context, following: cross_entropy(logits(context), following))

# %%
steps = 6000
adam, curve = optim.Adam(parameters, lr=0.005), []
for share, rate in (0.7, 0.005), (0.3, 0.0005):
    adam.lr = rate
    losses = loss.fit(
        *training, optimizer=adam, steps=int(steps * share), batch_size=128, shuffle=True, seed=1
    )
    curve += losses
    print(f"after {adam.steps} steps: training {sum(losses[-100:]) / 100:.2f} nats a letter")

each = loss(*held_out)
held_out_loss = sum(each) / len(each)
print(f"held out: {held_out_loss:.2f} nats a letter (bigrams: 2.45)")

# %%
chances = compile(lambda context: softmax(logits(context)))
for _ in range(8):
    name, context = "", [0] * CONTEXT
    while not name.endswith("."):
        row = chances([context]).tolist()[0]
        letter = random.choices(range(27), row)[0]
        name += LETTERS[letter]
        context = [*context[1:], letter]
    print(name[:-1])

assert held_out_loss < 2.3

# %% [markdown]
# The loss, 50 minibatches at a time, and what the network expects after each letter of a name.

# %%
try:
    import matplotlib.pyplot as plt
except ImportError:
    print("no picture: it needs matplotlib (python -m pip install matplotlib)")
else:
    name, table, context = ".mariana", [], [0] * CONTEXT
    for letter in name:
        context = [*context[1:], LETTERS.index(letter)]
        table.append(chances([context]).tolist()[0])
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.6, 3.6), layout="constrained")
    left.plot(range(0, steps, 50), [sum(curve[k : k + 50]) / 50 for k in range(0, steps, 50)])
    left.set_xlabel("steps")
    left.set_ylabel("nats a letter")
    right.imshow(table, cmap="Blues", aspect="auto")
    right.set_xticks(range(27), LETTERS)
    right.set_yticks(range(len(name)), name)
    right.set_xlabel("the letter expected next")
    figure.savefig("names_mlp.png", dpi=100)
