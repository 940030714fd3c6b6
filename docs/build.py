# SPDX-License-Identifier: MIT
"""Builds the site, English and Turkish: `python docs/build.py [FOLDER]`; docs/_build/html.

It needs the extra `docs`. Warnings are errors.
"""

import sys
from pathlib import Path

from sphinx.cmd.build import main as sphinx

DOCS = Path(__file__).parent


def build(folder):
    for source, target in ((DOCS, folder), (DOCS / "tr", folder / "tr")):
        caches = folder.parent / "doctrees" / source.name
        status = sphinx(
            ["-W", "--keep-going", "-q", "-b", "html", "-d", str(caches), str(source), str(target)]
        )
        if status:
            raise SystemExit(status)


if __name__ == "__main__":
    build(Path(sys.argv[1]) if len(sys.argv) > 1 else DOCS / "_build" / "html")
