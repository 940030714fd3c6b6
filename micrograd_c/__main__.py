# SPDX-License-Identifier: MIT
"""`python -m micrograd_c`."""

import sys

from .cli import main

# The processes that a script starts by multiprocessing import this file under another name.
if __name__ == "__main__":
    sys.exit(main())
