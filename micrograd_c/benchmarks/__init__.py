# SPDX-License-Identifier: MIT
"""Gives its place to the source tree's folder benchmarks/, which an installed package has here."""

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

folder = Path(__file__).parents[2] / "benchmarks"
spec = spec_from_file_location(
    __name__, folder / "__init__.py", submodule_search_locations=[str(folder)]
)
assert spec and spec.loader
sys.modules[__name__] = module = module_from_spec(spec)
spec.loader.exec_module(module)
