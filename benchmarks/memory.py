# SPDX-License-Identifier: MIT
"""Bytes per node of a live chain, as the system sees them; each figure in a process of its own."""

import gc
import json
import os
import sys

from .measure import lesson_engine, our_engine


def resident_bytes():
    """Resident memory of this process; its peak where the system doesn't tell more."""
    try:
        with open("/proc/self/statm", encoding="ascii") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def available():
    """Whether this system can answer at all."""
    if os.path.exists("/proc/self/statm"):
        return True
    try:
        import resource  # noqa: F401
    except ImportError:
        return False
    return True


def bytes_per_node(engine, nodes, keep_values):
    """Growth of resident memory over a chain of `nodes`, divided by it."""
    work = engine.workloads
    # A short run first: imports, code caches and the allocator's first blocks are not nodes.
    work.chain(*engine.start_chain(), 1000)
    start = engine.start_chain()
    # Filled with one object, the list's own pages are there before; it is the user's, not ours.
    kept = [None] * (nodes if keep_values else 2)
    gc.collect()
    before = resident_bytes()
    root = work.kept_chain(*start, kept) if keep_values else work.chain(*start, nodes)
    growth = resident_bytes() - before
    assert root.data > 0.0
    return growth / nodes


def main(argv):
    """Arguments: engine, nodes, 1 to keep a Value per node or 0; prints one JSON number."""
    name, nodes, keep_values = argv
    engine = lesson_engine() if name == "lesson" else our_engine()
    print(json.dumps(bytes_per_node(engine, int(nodes), keep_values == "1")))
