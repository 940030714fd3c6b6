# SPDX-License-Identifier: MIT
"""micrograd_c measured beside the lesson's pure-Python engine, C, and whichever peers are here."""
