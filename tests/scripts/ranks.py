# SPDX-License-Identifier: MIT
"""Run by mpiexec: two ranks train, and one of them fails. Each prints what it has found."""

import json
import random
import sys

from mpi4py import MPI

import micrograd_c as mc
from micrograd_c import nn, optim

comm = MPI.COMM_WORLD
random.seed(5)
model = nn.MLP(2, [4, 1])
xs = [[random.uniform(-1, 1), random.uniform(-1, 1)] for _ in range(20)]
ys = [a * b for a, b in xs]
f = mc.compile(lambda x, y: (model(x) - y) ** 2)
mine = slice(comm.rank, None, comm.size)
loss = f.value_and_grad(xs[mine], ys[mine], comm=comm)
grads = [p.grad for p in model.parameters()]
losses = f.fit(
    xs[mine], ys[mine], optimizer=optim.Adam(model.parameters(), 0.05), steps=40, comm=comm
)
try:
    f.value_and_grad(xs[:2], ys[: 2 - comm.rank], comm=comm)
    said = "nothing"
except Exception as error:
    said = f"{type(error).__name__}: {error}"
found = {"rank": comm.rank, "loss": loss, "grads": grads, "losses": losses, "said": said}
sys.stdout.write(json.dumps(found | {"data": [p.data for p in model.parameters()]}) + "\n")
sys.stdout.flush()
