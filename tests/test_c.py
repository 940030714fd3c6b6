# SPDX-License-Identifier: MIT
"""What only C can say of the core: small programs, compiled with its sources, that return 0."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SOURCES = HERE.parent / "src"
COMPILER = shutil.which(os.environ.get("CC", "cc").split()[-1])

pytestmark = pytest.mark.skipif(
    not (SOURCES.is_dir() and COMPILER) or os.name == "nt",
    reason="needs a C compiler and the sources beside the tests",
)


@pytest.mark.parametrize("program", sorted((HERE / "c").glob("*.c")), ids=lambda path: path.stem)
def test_c(program, tmp_path):
    binary = tmp_path / program.stem
    names = ("tape/tape.c", "tape/sweep.c", "ops/ops.c", "ops/cells.c")
    sources = [SOURCES / name for name in names]
    native = ("encode", "straight", "registers", "emit", "elementary", "pages")
    native += ("elementary_float32",)
    sources += [SOURCES / "execute" / "native" / f"{name}.c" for name in native]
    options = ["-std=gnu11", "-O1", "-ffp-contract=off", "-Wall", "-Wextra", f"-I{SOURCES}"]
    subprocess.run(
        [COMPILER, *options, program, *sources, "-o", binary, "-lm"],
        check=True,
        env={k: v for k, v in os.environ.items() if k != "LD_PRELOAD"},
    )
    run = subprocess.run([binary], capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stdout) == (0, "")
