# SPDX-License-Identifier: MIT
"""The training steps of handwritten.c, compiled for this machine when asked for."""

import ctypes
import subprocess
import tempfile
from pathlib import Path

from . import cloop

SOURCE = Path(__file__).parent / "handwritten.c"
FLAGS = ("-O3", "-march=native", "-fno-math-errno", "-shared", "-fPIC")
DOUBLES = ctypes.c_void_p


def build():
    """handwritten.c as a loaded library; RuntimeError where that can't be had."""
    if cloop.compiler() is None:
        raise RuntimeError("no C compiler here")
    # The directory goes at once: a loaded library needs its file no more.
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder, "handwritten.so")
        command = [*cloop.compiler(), *FLAGS, str(SOURCE), "-o", str(library), "-lm"]
        try:
            subprocess.run(command, check=True, capture_output=True)
            return ctypes.CDLL(str(library))
        except (OSError, subprocess.CalledProcessError):
            raise RuntimeError("the C compiler here does not build handwritten.c") from None


def doubles(numbers):
    numbers = list(numbers)
    return (ctypes.c_double * len(numbers))(*numbers)


class Training:
    """A task trained by the C function of its name."""

    def __init__(self, name, task):
        self.function = getattr(build(), name)
        self.function.argtypes = [DOUBLES] * 3 + [ctypes.c_double, ctypes.c_long, DOUBLES]
        parameters = []
        for matrix, biases in task.weights():
            parameters += [w for row in matrix for w in row] + biases
        if task.optimizer == "Adam":  # two moments for each, and the number of steps
            parameters += [0.0] * (2 * len(parameters) + 1)
        self.parameters = doubles(parameters)
        inputs = task.inputs
        if task.penalty:  # the networks whose biases are weights of an input that is always 1
            inputs = [[*row, 1.0] for row in inputs]
        self.inputs = doubles(number for row in inputs for number in row)
        self.targets = doubles(task.targets)
        self.rate = task.rate

    def train(self, steps):
        """`steps` more steps; their losses."""
        losses = (ctypes.c_double * steps)()
        self.function(self.parameters, self.inputs, self.targets, self.rate, steps, losses)
        return losses
