# SPDX-License-Identifier: MIT
"""Which files a run changes, so that the next run finds them as the first one did.

The process that runs a script keeps a copy of each file before the script first opens it for
writing, moves or removes it; afterwards somebody else puts them back.
"""

import json
import os
import shutil
import sys

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# Audit events of the standard library -> which of their arguments are paths that change.
CHANGES = {
    **dict.fromkeys(("os.remove", "os.rmdir", "os.mkdir", "os.truncate", "shutil.rmtree"), (0,)),
    **dict.fromkeys(("os.link", "os.symlink", "shutil.copyfile"), (1,)),
    **dict.fromkeys(("os.rename", "shutil.move"), (0, 1)),
    "sqlite3.connect": (0,),
}
MOST_FILES = 5000


class Trail:
    def __init__(self, folder):
        self.folder = folder
        self.index = os.path.join(folder, "index")
        self.seen, self.busy = set(), False

    def begin(self):
        """From now on, in this process and those that it forks."""
        open(self.index, "w").close()
        sys.addaudithook(self.listen)

    def listen(self, event, arguments):
        if self.busy:
            return
        if event == "open":
            path, mode, flags = arguments
            writes = set(mode or "") & set("wax+") or (flags or 0) & WRITING
            changed = [path] if writes else []
        else:
            changed = [arguments[k] for k in CHANGES.get(event, ())]
        for path in changed:
            if isinstance(path, (str, bytes, os.PathLike)):
                self.busy = True
                try:
                    self.keep(os.path.abspath(os.fsdecode(path)))
                except OSError:
                    pass  # it cannot be read: nor will the script change it
                finally:
                    self.busy = False

    def keep(self, path):
        special = os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path)
        if path in self.seen or special or path.startswith(self.folder):
            return
        self.seen.add(path)
        kept = None
        if os.path.lexists(path):
            kept = os.path.join(self.folder, f"{os.getpid()}-{len(self.seen)}")
            copy = shutil.copytree if os.path.isdir(path) else shutil.copy2
            copy(path, kept)
        with open(self.index, "a", encoding="utf-8") as file:
            file.write(json.dumps([path, kept]) + "\n")

    def put_back(self):
        """Everything is as it was before the run."""
        try:
            with open(self.index, encoding="utf-8") as file:
                entries = [json.loads(line) for line in file]
        except OSError:
            return
        for path, kept in reversed(entries):
            if kept is None:
                remove(path)
            elif os.path.isdir(kept):
                shutil.copytree(kept, path, dirs_exist_ok=True)
            else:
                os.makedirs(os.path.dirname(path), exist_ok=True)
                shutil.copy2(kept, path)


def remove(path):
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path, ignore_errors=True)
    elif os.path.lexists(path):
        os.remove(path)


def state(folders):
    """File -> size and time of change, for as many files as can be looked at quickly."""
    found = {}
    for folder in folders:
        for where, below, files in os.walk(folder):
            below[:] = [name for name in below if not name.startswith((".", "__pycache__"))]
            for name in files:
                path = os.path.join(where, name)
                if len(found) >= MOST_FILES:
                    return found
                try:
                    entry = os.stat(path)
                except OSError:
                    continue
                found[path] = entry.st_size, entry.st_mtime_ns
    return found
