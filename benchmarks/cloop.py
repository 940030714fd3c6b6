# SPDX-License-Identifier: MIT
"""The chain's backward pass as a plain C loop over arrays: the floor for ours.

Compiled when asked for, with whichever C compiler the machine has; without one there is no floor.
"""

import ctypes
import os
import shlex
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

SOURCE = r"""
enum { TIMES, PLUS };
enum { X, A, B, LEAVES };

/* x*a + b: the chain's nodes from LEAVES on, as an engine's tape would hold them. */
void record(int count, unsigned char *op, int *lhs, int *rhs, double *value)
{
    int last = X;
    for (int i = LEAVES; i < count; i++) {
        op[i] = (i - LEAVES) % 2 ? PLUS : TIMES;
        lhs[i] = last;
        rhs[i] = op[i] == PLUS ? B : A;
        value[i] = op[i] == PLUS ? value[last] + value[B] : value[last] * value[A];
        last = i;
    }
}

void sweep(int count, const unsigned char *op, const int *lhs, const int *rhs,
           const double *value, double *adjoint)
{
    for (int i = count - 1; i >= LEAVES; i--) {
        double g = adjoint[i];
        int a = lhs[i], b = rhs[i];
        if (op[i] == TIMES) {
            adjoint[a] += g * value[b];
            adjoint[b] += g * value[a];
        } else {
            adjoint[a] += g;
            adjoint[b] += g;
        }
    }
}
"""


def compiler():
    """The C compiler's command as a list, or None."""
    for command in (os.environ.get("CC", ""), "cc", "gcc", "clang"):
        words = shlex.split(command)
        if words and shutil.which(words[0]):
            return words
    return None


def build():
    """The source above as a loaded library."""
    # The directory goes at once: a loaded library needs its file no more (the compilers looked
    # for above are those of systems where that holds).
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "chain.c")
        library = Path(folder, "chain.so")
        source.write_text(SOURCE, encoding="ascii")
        subprocess.run(
            [*compiler(), "-O3", "-shared", "-fPIC", str(source), "-o", str(library)],
            check=True,
            capture_output=True,
        )
        return ctypes.CDLL(str(library))


class Chain:
    """A recorded chain of `operations` nodes in C arrays."""

    def __init__(self, operations, start):
        count = operations + 3
        self.count = count
        self.adjoint = (ctypes.c_double * count)()
        self.value = (ctypes.c_double * count)(*start)
        self.arrays = (
            (ctypes.c_ubyte * count)(),
            (ctypes.c_int * count)(),
            (ctypes.c_int * count)(),
            self.value,
        )
        self.library = build()
        self.library.record(count, *self.arrays)

    @property
    def leaf_gradients(self):
        return list(self.adjoint[:3])

    def sweep_seconds(self, calls):
        """Mean seconds of one backward sweep."""
        seconds = 0.0
        for _ in range(calls):
            # Zeroing and seeding stay outside: the floor is the adds and multiplies alone.
            ctypes.memset(self.adjoint, 0, ctypes.sizeof(self.adjoint))
            self.adjoint[self.count - 1] = 1.0
            start = time.perf_counter()
            self.library.sweep(self.count, *self.arrays, self.adjoint)
            seconds += time.perf_counter() - start
        return seconds / calls
