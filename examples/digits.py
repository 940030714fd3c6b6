# SPDX-License-Identifier: MIT
# %% [markdown]
# # Handwritten digits
#
# 1,797 real images of 8 x 8 pixels from scikit-learn's own data, a 64-32-10 network with tanh
# units, softmax cross-entropy, Adam in minibatches of 64. 360 images are held out. The same
# architecture, trained as long, stands beside it in scikit-learn's `MLPClassifier` and in
# PyTorch.

# %%
import random
import time

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

from micrograd_c import compile, optim
from micrograd_c.losses import cross_entropy
from micrograd_c.nn import MLP

EPOCHS, BATCH, RATE = 60, 64, 0.003
images, labels = load_digits(return_X_y=True)
x, x_held, y, y_held = train_test_split(
    images / 16.0, labels, test_size=360, random_state=0, stratify=labels
)
steps = EPOCHS * -(-len(x) // BATCH)
table = []

# %% [markdown]
# The loss of one image. Weights from -1 to 1 are too large for 64 inputs: they are scaled by one
# over the square root of their number.

# %%
random.seed(0)
model = MLP(64, [32, 10], output_activation="linear")
for layer in model.layers:
    for neuron in layer.neurons:
        for w in neuron.w:
            w.data /= len(neuron.w) ** 0.5

start = time.perf_counter()
loss = compile(lambda image, label: cross_entropy(model(image), label), threads=1)
adam = optim.Adam(model.parameters(), lr=RATE)
losses = loss.fit(
    x, y.astype(float), optimizer=adam, steps=steps, batch_size=BATCH, shuffle=True, seed=0
)
seconds = time.perf_counter() - start
scores = np.asarray(compile(model)(x_held))
accuracy = (scores.argmax(1) == y_held).mean()
table.append(("micrograd_c", seconds, accuracy))
print(f"{len(model.parameters()):,} parameters, {steps:,} steps, loss {losses[-1]:.4f}")

# %% [markdown]
# The others, with the same data, batches, rate and number of steps.

# %%
start = time.perf_counter()
theirs = MLPClassifier(
    (32,),
    activation="tanh",
    batch_size=BATCH,
    learning_rate_init=RATE,
    alpha=0.0,
    max_iter=EPOCHS,
    tol=0.0,
    n_iter_no_change=EPOCHS,
    random_state=0,
)
with np.errstate(all="ignore"):
    import warnings

    warnings.simplefilter("ignore")  # it would like to go on for longer
    theirs.fit(x, y)
table.append(("MLPClassifier", time.perf_counter() - start, theirs.score(x_held, y_held)))

# %%
try:
    import torch
except ImportError:
    print("PyTorch is not installed")
else:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    network = torch.nn.Sequential(
        torch.nn.Linear(64, 32), torch.nn.Tanh(), torch.nn.Linear(32, 10)
    ).double()
    inputs, targets = torch.tensor(x), torch.tensor(y)
    start = time.perf_counter()
    torch_adam = torch.optim.Adam(network.parameters(), lr=RATE)
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(inputs)).split(BATCH):
            torch_adam.zero_grad()
            torch.nn.functional.cross_entropy(network(inputs[batch]), targets[batch]).backward()
            torch_adam.step()
    seconds = time.perf_counter() - start
    said = network(torch.tensor(x_held)).argmax(1).numpy()
    table.append(("PyTorch", seconds, (said == y_held).mean()))

# %%
print(f"{'':14} {'training':>9}  held out")
for name, seconds, right in table:
    print(f"{name:14} {seconds:7.2f} s  {100 * right:6.1f} %")

assert accuracy >= 0.96 and table[0][1] < 10

# %% [markdown]
# Some of the images that were held out, and what the network says of them; last come those that it
# gets wrong.

# %%
try:
    import matplotlib.pyplot as plt
except ImportError:
    print("no picture: it needs matplotlib (python -m pip install matplotlib)")
else:
    said = scores.argmax(1)
    wrong = np.flatnonzero(said != y_held)[:8]
    shown = np.concatenate([np.flatnonzero(said == y_held)[: 16 - len(wrong)], wrong])
    figure, grid = plt.subplots(2, 8, figsize=(8.0, 2.6), layout="constrained")
    for axes, k in zip(grid.flat, shown, strict=True):
        axes.imshow(x_held[k].reshape(8, 8), cmap="gray_r")
        is_right = said[k] == y_held[k]
        axes.set_title(
            f"{said[k]}" if is_right else f"{said[k]}, is {y_held[k]}",
            color="#000000" if is_right else "#D55E00",
            fontsize=11,
        )
        axes.set_xticks([])
        axes.set_yticks([])
    figure.savefig("digits.png", dpi=100)
