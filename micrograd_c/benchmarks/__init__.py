# SPDX-License-Identifier: MIT
"""The source tree's folder benchmarks/. In an installed package, it stands here itself."""

from pathlib import Path

__path__ = [str(Path(__file__).parents[2] / "benchmarks")]
