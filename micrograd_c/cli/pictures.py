# SPDX-License-Identifier: MIT
"""`demo --plot DIR`: the pictures of what the demo has trained."""

import os
import tempfile

from .. import viz
from .parser import UsageError


class Pictures:
    """A folder that pictures are written to.

    UsageError, before anything is trained, where the packages are missing or the folder is no place
    to write to.
    """

    def __init__(self, folder):
        self.folder = folder
        try:
            viz.need("graphviz")
            viz.need("matplotlib").use("Agg")  # files, no windows
        except ImportError as missing:
            raise UsageError(f"--plot: {missing}") from None
        try:
            os.makedirs(folder, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise UsageError(f"--plot: cannot write to {folder}: {error.strerror}") from None

    def save(self, axes, name):
        figure = axes.figure
        path = os.path.join(self.folder, name)
        figure.savefig(path, dpi=150)
        print(f"  {path}")

    def losses(self, curves):
        """`curves`: the losses of each training run, by its name."""
        axes = None
        for name, losses in curves.items():
            axes = viz.plot_losses(losses, ax=axes, label=name, log=True)
        axes.set_title("loss by step")
        self.save(axes, "loss.png")

    def boundary(self, model, points, labels):
        axes = viz.plot_decision_boundary(model, points, labels)
        axes.set_title("two moons, and what the network says of every spot")
        self.save(axes, "boundary.png")

    def graph(self, root):
        """As text for Graphviz, and as a picture."""
        picture = viz.draw_dot(root)
        path = os.path.join(self.folder, "graph.dot")
        picture.save(path)
        print(f"  {path}")
        path = os.path.join(self.folder, "graph.svg")
        with open(path, "wb") as file:
            file.write(picture.pipe(format="svg"))
        print(f"  {path}")
