# SPDX-License-Identifier: MIT
"""Draws the pages' pictures anew: `python docs/pictures.py`.

It needs the extras `viz` and `examples`, and Graphviz's `dot`.
"""

import os
import random
import runpy
from pathlib import Path

import matplotlib

from micrograd_c import Value, compile, optim
from micrograd_c.cli.demo import make_moons
from micrograd_c.nn import MLP
from micrograd_c.viz import draw_dot, plot_decision_boundary, plot_losses

matplotlib.use("Agg")
FOLDER = Path(__file__).parent / "pictures"

a, b, c = (Value(x, label=name) for x, name in ((2.0, "a"), (-3.0, "b"), (10.0, "c")))
d = a + b
d.label = "d"
y = d * c
y.label = "y"
y.backward()
(FOLDER / "graph.svg").write_bytes(draw_dot(y).pipe())

random.seed(42)
points, labels = make_moons(100)
model = MLP(2, [16, 16, 1], activation="relu", output_activation="linear")
f = compile(lambda point, label: (1 - label * model(point)).relu())
losses = f.fit(points, labels, optimizer=optim.Adam(model.parameters(), lr=0.02), steps=300)
plot_losses(losses).figure.savefig(FOLDER / "loss.png", dpi=80)
plot_decision_boundary(model, points, labels).figure.savefig(FOLDER / "boundary.png", dpi=80)

os.chdir(FOLDER)  # where these leave their pictures
for example in ("greeks", "pde"):
    runpy.run_path(str(FOLDER.parent.parent / "examples" / f"{example}.py"))
