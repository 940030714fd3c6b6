# SPDX-License-Identifier: MIT
"""The extension module, and the README for package indexes; all else is in pyproject.toml.

MICROGRAD_C_SANITIZE=1 builds it under AddressSanitizer and UndefinedBehaviorSanitizer.
MICROGRAD_C_DEBUG=1 builds it without optimisation, with symbols and every warning; what compile()
makes is verified after every step.
MICROGRAD_C_WERROR=1 builds it only if GCC or Clang have nothing to warn of, conversions included.
"""

import os
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from glob import glob
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py
from setuptools.command.editable_wheel import editable_wheel


class side_by_side(build_ext):
    """Compiles as many files at a time as there are processors.

    Setuptools' own option for that is of extensions, and there is but one.
    """

    def build_extensions(self):
        if self.compiler.compiler_type == "msvc":
            self.compiler.initialize()  # each of the threads would do so
        compile_files = self.compiler.compile

        def compile_side_by_side(sources, **options):
            def compile_one(source, extra_postargs=(), **options):
                own = [*extra_postargs, *optimisation(source)]
                return compile_files([source], extra_postargs=own, **options)

            with ThreadPoolExecutor(os.cpu_count()) as pool:
                made = pool.map(lambda source: compile_one(source, **options), sources)
                return [name for names in made for name in names]

        self.compiler.compile = compile_side_by_side
        super().build_extensions()


class what_bench_runs(build_py):
    """Of benchmarks/, what `python -m micrograd_c bench` needs: the rest stays with the source."""

    def find_package_modules(self, package, folder):
        found = super().find_package_modules(package, folder)
        studies = {"bench_engine", "random_numbers", "ranks"}
        return [
            place
            for place in found
            if place[0] != "micrograd_c.benchmarks" or place[1] not in studies
        ]


class by_path(editable_wheel):
    """`pip install -e` by a path to this folder.

    Type checkers follow a path. Setuptools' own way for a package whose parts stand in two folders
    is an import hook, which none of them sees through.
    """

    def finalize_options(self):
        super().finalize_options()
        self.package_dir = {"": "."}


# Code, where nothing is a link; or a link that is relative, or its picture.
CODE_OR_LINK = re.compile(
    r"^```.*?^```$|`[^`\n]+`|(!?)\[([^\[\]]*)\]\((?!\w+:)([^()\s]+)\)", re.M | re.S
)


def for_the_index(readme, source):
    """The README as a package index shows it, which knows no files beside it.

    source: where the repository is, or None; then links are their text alone, and pictures are
    left out. Addresses are as GitHub, GitLab and their like have them.
    """

    def absolute(found):
        mark, text, target = found.groups()
        if target is None:
            return found[0]
        if source and target[0] != "#":
            return f"{mark}[{text}]({source}/{'raw' if mark else 'blob'}/HEAD/{target})"
        return "" if mark else text

    return CODE_OR_LINK.sub(absolute, readme)


source = re.search(
    r'^\[project\.urls\]$[^\[]*?^Source = "(.*?)/?"$',
    Path("pyproject.toml").read_text(encoding="utf-8"),
    re.M,
)
readme = for_the_index(Path("README.md").read_text(encoding="utf-8"), source and source[1])

is_release = not any(map(os.environ.get, ("MICROGRAD_C_DEBUG", "MICROGRAD_C_SANITIZE")))

# No contraction to fused multiply-add: eager results are those of Python's own float arithmetic.
if sys.platform == "win32":
    compile_args, link_args = ["/O2", "/fp:precise", "/std:c11", "/we4062"], []
else:
    compile_args = ["-O3", "-std=gnu11", "-ffp-contract=off", "-fno-math-errno"]
    compile_args += ["-fvisibility=hidden"]  # only how Python starts a unit is for others
    compile_args += ["-Werror=switch"]  # an operation without its rules does not build
    link_args = ["-pthread"]
    if is_release:
        # Python's own flags ask for symbols: four fifths of the file. Nothing unwinds these frames.
        compile_args += ["-g0", "-fno-asynchronous-unwind-tables"]
        # Apple's linker has no -s.
        link_args += [] if sys.platform == "darwin" else ["-Wl,-s"]
if os.environ.get("MICROGRAD_C_DEBUG"):
    compile_args += ["-O0", "-g", "-Wall", "-Wextra", "-DMICROGRAD_C_DEBUG"]
if os.environ.get("MICROGRAD_C_WERROR"):
    compile_args += ["-Wall", "-Wextra", "-Wconversion", "-Werror"]
if os.environ.get("MICROGRAD_C_SANITIZE"):
    sanitizers = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]
    compile_args += [*sanitizers, "-O2", "-fno-omit-frame-pointer"]
    # Lines for reports. To follow variables through what is added takes GCC minutes in sweep.c.
    compile_args += ["-g1", "-fno-var-tracking"]
    link_args += sanitizers


# What runs for every node or element keeps -O3. So do kernels, and draws: their loops become vector
# code only there, and if all in them is inlined.
PER_NODE = {"tape", "sweep", "record", "value", "handles", "modules", "layer", "runs"}
PER_CALL = {"arguments", "functions", "groups", "program"}
TEXTS = {"listing", "listing_steps", "print", "text", "trace", "verify", "verify_plan"}

# Rows are whole vectors: for what is left of one, a plain loop does, and copies of loops for cases
# that do not occur are a third of a kernel's size. Clang takes such words and does as it likes.
KERNELS = ["--param=max-completely-peel-times=4", "--param=vect-epilogues-nomask=0"]
KERNELS += ["-fno-ipa-cp-clone", "-fno-tree-loop-distribution", "-fno-version-loops-for-strides"]
KERNELS += ["-fno-split-paths", "-fno-gcse-after-reload", "-Wno-ignored-optimization-argument"]


def optimisation(source):
    """What a release asks of the compiler for one file: beyond those above, a small file."""
    unit = os.path.splitext(os.path.basename(source))[0]
    if not is_release or sys.platform == "win32" or unit in PER_NODE:
        return []
    if unit.startswith("draws_"):
        return ["-fno-tree-loop-distribute-patterns"]  # copies of a few numbers stay loops
    if unit.startswith("kernels_"):
        return KERNELS
    is_boundary = "python" in os.path.normpath(source).split(os.sep)
    return ["-Os"] if unit in TEXTS or (is_boundary and unit not in PER_CALL) else ["-O2"]


def module_name(path):
    name = os.path.relpath(path, "src/python").removesuffix(".pyx").replace(os.sep, ".")
    return name if "." in name else f"micrograd_c.{name}"


# One shared object holds all modules: the first loads the others, from the same file.
modules = ["src/python/_core.pyx", *sorted(glob("src/python/micrograd_c/_core/*.pyx"))]
generated = cythonize(
    [Extension(module_name(path), [path]) for path in modules],
    include_path=["src/python"],
    build_dir="build",
    compiler_directives={
        "language_level": 3,
        "boundscheck": False,
        "wraparound": False,
        "initializedcheck": False,
        "c_api_binop_methods": True,
        "cdivision": True,
        "autotestdict": False,
        "auto_pickle": False,
    },
)

core = Extension(
    "micrograd_c._core",
    # The first are those that take longest to compile.
    sources=[
        *sorted(glob("src/**/*.c", recursive=True)),
        *(source for module in generated for source in module.sources),
    ],
    depends=glob("src/**/*.h", recursive=True),
    include_dirs=["src"],
    libraries=[] if sys.platform == "win32" else ["m"],
    extra_compile_args=compile_args,
    extra_link_args=link_args,
)

setup(
    ext_modules=[core],
    cmdclass={
        "build_ext": side_by_side,
        "build_py": what_bench_runs,
        "editable_wheel": by_path,
    },
    long_description=readme,
    long_description_content_type="text/markdown",
)
