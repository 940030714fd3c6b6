# SPDX-License-Identifier: MIT
"""The site: `python -m pip install -e ".[docs]" && python -m sphinx docs docs/_build/html`."""

import micrograd_c

project = "micrograd_c"
author = "The micrograd_c developers"
release = micrograd_c.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = "micrograd_c"
autodoc_member_order = "bysource"
autodoc_typehints = "none"
