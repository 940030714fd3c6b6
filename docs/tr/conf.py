# SPDX-License-Identifier: MIT
"""The Turkish site: the English one's settings, and its own language, search and order of pages."""

import runpy
from pathlib import Path

globals().update(runpy.run_path(str(Path(__file__).parent.parent / "conf.py")))

language = "tr"
exclude_patterns = ["_build"]
copyright = "micrograd_c geliştiricileri, MIT lisansı"  # noqa: RUF001
html_title = "micrograd_c · Türkçe"
html_static_path = ["../_static"]
templates_path = ["../_templates"]
html_context = {"other_language": ("English", "en", "../index.html")}
