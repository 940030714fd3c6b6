# SPDX-License-Identifier: MIT
"""Draws the pages' pictures anew: `python docs/pictures.py`.

It needs the extras `viz` and `examples`, and Graphviz's `dot`.
"""

import random
import runpy
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib
from PIL import Image

from micrograd_c import Value, compile, optim, scan
from micrograd_c import random as draws
from micrograd_c.cli.demo import make_moons
from micrograd_c.nn import MLP
from micrograd_c.viz import draw_dot, draw_program, plot_decision_boundary, plot_losses

matplotlib.use("Agg")
FOLDER = Path(__file__).parent / "pictures"
EXAMPLES = FOLDER.parent.parent / "examples"

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

random.seed(42)
model = MLP(3, [4, 4, 1])
f = compile(lambda x, y: (model(x) - y) ** 2)
f.value_and_grad([[2.0, 3.0, -1.0]], [1.0])
(FOLDER / "program.svg").write_bytes(draw_program(f).pipe())

share, volatility = Value(100.0, label="share"), Value(0.01, label="volatility")


def payoff():
    def day(price, _):
        return price * (volatility * draws.normal()).exp(), None

    price, _ = scan(day, share, length=252)
    return (price - 105.0).relu()


f = compile(payoff)
f.value_and_grad(samples=8)
(FOLDER / "scan.svg").write_bytes(draw_program(f).pipe())

# What each example draws: small for the gallery, and two as they are.
scripts = runpy.run_path(str(EXAMPLES / "notebooks.py"))["scripts"]
for script in scripts():
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, str(script)], cwd=folder, check=True)
        (drawn,) = Path(folder).glob("*.png")
        if script.stem in ("greeks", "pde"):
            shutil.copy(drawn, FOLDER)
        with Image.open(drawn) as picture:
            small = picture.convert("RGB")
            small.thumbnail((480, 320))
            small.quantize(64).save(FOLDER / "examples" / f"{script.stem}.png", optimize=True)
