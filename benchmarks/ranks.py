# SPDX-License-Identifier: MIT
"""How much faster ranks are than one: a 2-64-64-1 network on 100,000 samples, one thread each.

    python benchmarks/ranks.py [RANKS ...]

starts itself by mpiexec for each number of ranks (1 and 2), some times in turn, and prints the
fastest step of each, what one exchange alone takes, and whether all ranks had the same losses. It
needs mpi4py and an mpiexec.
"""

import json
import math
import random
import subprocess
import sys
import sysconfig
import time
from array import array
from pathlib import Path

SAMPLES, STEPS, ROUNDS, LAYERS = 100_000, 8, 3, [64, 64, 1]


def on_rank():
    from mpi4py import MPI

    from micrograd_c import compile, nn, optim

    comm = MPI.COMM_WORLD
    random.seed(1)
    model = nn.MLP(2, LAYERS, output_activation="linear")
    rng = random.Random(2)
    points = [[rng.uniform(-2, 2), rng.uniform(-2, 2)] for _ in range(SAMPLES)]
    targets = [math.sin(3 * a) * b for a, b in points]
    mine = slice(SAMPLES * comm.rank // comm.size, SAMPLES * (comm.rank + 1) // comm.size)
    flat = array("d", [number for point in points[mine] for number in point])
    targets = array("d", targets[mine])
    points = memoryview(flat).cast("B").cast("d", (len(targets), 2))
    f = compile(lambda x, y: (model(x) - y) ** 2, threads=1)
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    losses, best = [], math.inf
    for _ in range(STEPS):
        comm.Barrier()
        start = time.perf_counter()
        losses += f.fit(points, targets, optimizer=optimizer, steps=2, comm=comm)
        best = min(best, (time.perf_counter() - start) / 2)
    n = len(model.parameters())
    sent, received = array("d", [0.0]) * n, array("d", [0.0]) * (n * comm.size)
    exchange = math.inf
    for _ in range(50):
        comm.Barrier()
        start = time.perf_counter()
        comm.Allgather(sent, received)
        exchange = min(exchange, time.perf_counter() - start)
    found = comm.gather((losses, best))
    if comm.rank == 0:
        same = all(theirs == losses for theirs, _ in found)
        slowest = max(seconds for _, seconds in found)
        print(json.dumps({"step": slowest, "exchange": exchange, "same": same, "n": n}))


def main(counts):
    beside = Path(sysconfig.get_path("scripts")) / "mpiexec"
    mpiexec = str(beside) if beside.exists() else "mpiexec"
    best = {}
    for _ in range(ROUNDS):
        for count in counts:
            command = [mpiexec, "-n", str(count), sys.executable, "-m", "mpi4py", __file__]
            said = subprocess.run(
                [*command, "--rank"], check=True, capture_output=True, text=True
            ).stdout
            found = json.loads(said)
            assert found["same"], "the ranks had different losses"
            before = best.setdefault(count, found)
            for name in ("step", "exchange"):
                before[name] = min(before[name], found[name])
    alone = best[counts[0]]["step"]
    print(f"{'ranks':>5} {'a step':>10} {'exchange':>10} {'times':>6}   losses the same: yes")
    for count, found in best.items():
        step, exchange = found["step"], found["exchange"]
        print(f"{count:>5} {step * 1e3:>7.2f} ms {exchange * 1e6:>7.1f} us {alone / step:>6.2f}")


if __name__ == "__main__":
    if "--rank" in sys.argv:
        on_rank()
    else:
        main([int(argument) for argument in sys.argv[1:]] or [1, 2])
