# SPDX-License-Identifier: MIT
"""When machine code is made, what is said of it, and what becomes of its memory."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from common import EXECUTORS, needs_proc, resident, run_on

import micrograd_c as mc
from micrograd_c import Value, nn

pytestmark = pytest.mark.skipif("native" not in EXECUTORS, reason="no machine code here")

# -- what is chosen, and what is said --------------------------------------------------------------


def test_it_is_chosen_where_no_matrix_products_are():
    w = [Value(float(k)) for k in range(20)]
    f = mc.compile(lambda x: (x * w[0] + w[1]).tanh() * x)
    f([1.0])
    assert f.stats().executor == "native"
    model = nn.MLP(4, [16, 16, 1])
    g = mc.compile(lambda x: model(x))
    g([[1.0, 2.0, 3.0, 4.0]])
    assert g.stats().executor == "vector"


def test_the_listing_says_what_was_made(way):
    w = Value(2.0)
    f = mc.compile(lambda x: x * w + x.tan(), executor="native")
    assert "machine code" not in str(f)
    f.value_and_grad([1.0] * 9)
    text = str(f)
    assert ("AVX-512, 8 lanes" if "avx512" in way else "AVX2, 4 lanes") in text
    assert "1 calls" in text


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_level_without_code_runs_all_the_same(dtype):
    run_on("native baseline")
    w = Value(3.0)
    f = mc.compile(lambda x: x * w, executor="native", dtype=dtype)
    assert f([1.0, 2.0]).tolist() == [3.0, 6.0]
    assert f.value_and_grad([1.0, 2.0]) == 4.5
    assert w.grad == 1.5


# -- memory ----------------------------------------------------------------------------------------


@needs_proc
def test_code_is_freed_with_its_program():
    def made(count):
        for k in range(count):
            w = Value(1.0)
            f = mc.compile(lambda x, w=w, k=k: (x * w).sin() + k, executor="native")
            f.value_and_grad([1.0, 2.0])
            f([1.0, 2.0])

    def mappings():
        with open("/proc/self/maps") as maps:
            return sum(1 for _ in maps)

    made(300)
    memory, maps = resident(), mappings()
    made(1500)
    assert mappings() <= maps + 5
    assert resident() <= memory + 2_000_000


SHIM = """
#define _GNU_SOURCE
#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
int mprotect(void *at, size_t size, int rights) {
    if (rights & PROT_EXEC && rights & PROT_READ && size < 1 << 20) { errno = EACCES; return -1; }
    return (int)syscall(SYS_mprotect, at, size, rights);
}
"""

REFUSED = """
import micrograd_c as mc
f = mc.compile(lambda x: x * mc.Value(2.0))
assert f([1.0, 2.0]).tolist() == [2.0, 4.0]
assert f.stats().executor == "vector", f.stats()
try:
    mc.compile(lambda x: x * 2.0, executor="native")([1.0])
except ValueError as error:
    print(error)
"""


@pytest.mark.skipif(
    not sys.platform.startswith("linux") or not shutil.which("cc"), reason="needs a C compiler"
)
@pytest.mark.skipif("LD_PRELOAD" in os.environ, reason="something else is loaded first")
def test_a_system_that_gives_no_executable_memory(tmp_path):
    source, library = tmp_path / "shim.c", tmp_path / "shim.so"
    source.write_text(SHIM)
    subprocess.run(["cc", "-shared", "-fPIC", source, "-o", library], check=True)
    run = subprocess.run(
        [sys.executable, "-c", REFUSED],
        env={**os.environ, "LD_PRELOAD": str(library)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert (
        "executor 'native' cannot run this function: the system gives no memory for machine code"
        in run.stdout
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_code_runs_in_a_forked_process(way):
    f = mc.compile(lambda x: x.exp() * 2.0, executor="native")
    x = np.linspace(0, 1, 100)
    expected = np.asarray(f(x)).tobytes()
    child = os.fork()
    if child == 0:
        os._exit(0 if np.asarray(f(x)).tobytes() == expected else 1)
    assert os.waitpid(child, 0)[1] == 0
