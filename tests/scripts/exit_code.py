# SPDX-License-Identifier: MIT
import atexit
import sys

from micrograd.engine import Value

atexit.register(print, 'at exit')
print((Value(2.0) * 3).data)
sys.exit(int(sys.argv[1]) if len(sys.argv) > 1 else 'no number given')
