# SPDX-License-Identifier: MIT
"""A user's script: read, understood, run as `__main__`, and its troubles told as its own."""

import ast
import builtins
import glob
import hashlib
import importlib.machinery
import importlib.util
import math
import multiprocessing.spawn
import os
import sys
import time
import types

from ..adopt import Adopter
from ..adopt.refusal import refuse, told
from ..adopt.source import ADOPT, add_lines, hand_over, imports, mentions, parsed, places
from .notebook import code_cells
from .parser import UsageError

# engine.py and nn.py of micrograd 0.1.0, the only release.
MICROGRAD = {
    "engine.py": "95f19fa3734458d868e067d770f0773027763a2f654900bfbc1df8c5413acf84",
    "nn.py": "f54453501abc4fd38ae724a8b378d6a5d23bfdd0a49c77e619b95f86ad16594d",
}


class Script:
    """A script, or a notebook, that has been read and parsed, but not started."""

    def __init__(self, name, class_name="Value"):
        self.name, self.class_name = name, class_name
        self.path = os.path.abspath(name)
        self.seconds = math.nan  # what the run took, once there has been one
        source, self.left_out = read(name), []
        parts = [(source, self.path)]
        if name.endswith(".ipynb"):
            parts, self.left_out = code_cells(name, source)
        self.parts = [(parse(text, name, path), path) for text, path in parts]
        self.trees = [tree for tree, _ in self.parts]
        # The names of all imports; file -> tree of what lies beside the script and is imported.
        codes = [compile_tree(tree, name, path) for tree, path in self.parts]
        self.imported, self.modules = imports(codes, os.path.dirname(os.path.realpath(name)))
        self.own_micrograd = self.find_own_micrograd()

    def search_path(self):
        """sys.path as `python SCRIPT` has it: the folder of the script stands first."""
        if getattr(sys.flags, "safe_path", False):
            return sys.path
        # Beside the file itself, not beside a link to it; the first entry is from `python -m`.
        return [os.path.dirname(os.path.realpath(self.path)), *sys.path[1:]]

    def micrograd_spec(self):
        return importlib.machinery.PathFinder.find_spec("micrograd", self.search_path())

    def find_own_micrograd(self):
        """Files of a package of that name that is not micrograd, and must stay what it is."""
        spec = self.micrograd_spec() if self.imports_micrograd() else None
        if spec is None or is_micrograd(spec):
            return []
        if not spec.submodule_search_locations:
            return [spec.origin]
        folder = next(iter(spec.submodule_search_locations))
        files = glob.glob(os.path.join(glob.escape(folder), "**", "*.py"), recursive=True)
        self.modules |= {file: parsed(file) for file in files}
        return files or [folder]

    def imports_micrograd(self):
        return any(name.partition(".")[0] == "micrograd" for name in self.imported)

    def defines_class(self):
        return any(places(tree, self.class_name) for tree in self.trees)

    def files_with_class(self):
        return [file for file, tree in self.modules.items() if places(tree, self.class_name)]

    def adopter(self, replace_value):
        """What replaces the class of the script or of its modules; None where there is none to.

        Without replace_value, only that of a micrograd package of the user's own.
        """
        files = self.files_with_class()
        if not replace_value:
            files = [file for file in files if file in self.own_micrograd]
        elif not files and not self.defines_class():
            if self.imports_micrograd():
                return None
            raise UsageError(f"{self.name} {self.no_class()}")
        hand_over(files, self.class_name)
        trees = [*self.trees, *self.modules.values()]
        mentioned, assigned = mentions(trees, self.class_name)
        if replace_value:
            add_lines(self.trees, self.class_name)
        return Adopter(mentioned, assigned, strict=replace_value)

    def no_class(self):
        classes = [
            node for tree in self.trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)
        ]
        if any(node.name == self.class_name for node in classes):
            return f"defines its class {self.class_name} inside a function: move it out"
        like = [n.name for n in classes if any(getattr(s, "name", "") == "__add__" for s in n.body)]
        hint = f" (is it --class {like[0]}?)" if like else ""
        return f"has no class {self.class_name} to replace{hint}"

    def run(self, arguments, adopter=None):
        """Runs the script as Python does; returns the exit status. SystemExit comes through."""
        main = types.ModuleType("__main__")
        loader = importlib.machinery.SourceFileLoader("__main__", self.path)
        vars(main).update(
            __file__=self.path,
            __builtins__=builtins,
            __loader__=loader,
            __package__=None,
            __cached__=None,
        )
        if len(self.parts) > 1 or self.name.endswith(".ipynb"):
            main.display = print
        if adopter:
            setattr(builtins, ADOPT, adopter)
            refuse_fresh_processes(adopter)
        codes = [compile_tree(tree, self.name, path) for tree, path in self.parts]
        sys.modules["__main__"] = main
        sys.argv[:] = [self.name, *arguments]
        sys.path[:] = self.search_path()
        start = time.perf_counter()
        try:
            for code in codes:
                exec(code, vars(main))
            if told:
                raise told[0]
        except BaseException as error:
            if told:  # whatever the script made of it
                raise UsageError(str(told[0])) from None
            if isinstance(error, (KeyboardInterrupt, SystemExit, UsageError)):
                raise
            below_this_frame = error.__traceback__.tb_next
            sys.excepthook(type(error), error.with_traceback(below_this_frame), below_this_frame)
            return 1
        finally:
            self.seconds = time.perf_counter() - start
            if adopter:
                self.seconds -= adopter.seconds
        return 0


def refuse_fresh_processes(adopter):
    """Processes that are not forked read the script anew, and its class would be there again."""
    prepare = multiprocessing.spawn.get_preparation_data

    def get_preparation_data(name):
        if adopter.adopted:
            kind = next(iter(adopter.adopted.values()))
            refuse(f"starts processes that read the script anew, with the script's own {kind}")
        return prepare(name)

    multiprocessing.spawn.get_preparation_data = get_preparation_data


def is_micrograd(spec):
    """Whether a package is micrograd itself, and not one of the same name."""
    for folder in spec.submodule_search_locations or ():
        try:
            for name, expected in MICROGRAD.items():
                with open(os.path.join(folder, name), "rb") as file:
                    text = file.read().replace(b"\r\n", b"\n")
                if hashlib.sha256(text).hexdigest() != expected:
                    return False
        except OSError:
            return False
        return True
    return False


def read(name):
    """The source text, decoded as Python decodes it."""
    try:
        with open(name, "rb") as file:
            data = file.read()
    except OSError as error:
        raise UsageError(f"cannot read {name}: {error.strerror}") from None
    if b"\0" in data:
        raise UsageError(f"{name} is not a Python script: it holds null bytes")
    try:
        return importlib.util.decode_source(data)
    except UnicodeDecodeError as error:
        raise UsageError(f"{name} is not {error.encoding.upper()} text") from None
    except (SyntaxError, LookupError) as error:
        # Without a declaration it should have been UTF-8, whatever the message says.
        declared = "invalid or missing" not in str(error)
        what = f"cannot be decoded: {error.args[0]}" if declared else "is not UTF-8 text"
        raise UsageError(f"{name} {what}") from None


def parse(source, name, path):
    with syntax_errors_told(name, path):
        return ast.parse(source, path)


def compile_tree(tree, name, path):
    with syntax_errors_told(name, path):
        return compile(tree, path, "exec", dont_inherit=True)


class syntax_errors_told:
    """Tells what the parser or the compiler refuses in one line."""

    def __init__(self, name, path):
        self.name = path if path.startswith(f"{name}, cell") else name

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        if isinstance(error, SyntaxError):
            where = f", line {error.lineno}" if error.lineno else ""
            what = f": {error.text.strip()}" if error.text and error.text.strip() else ""
            raise UsageError(f"{self.name}{where}: {error.msg}{what}") from None
        if isinstance(error, (RecursionError, MemoryError)):
            raise UsageError(f"{self.name} is nested too deeply for Python") from None
