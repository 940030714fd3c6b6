# SPDX-License-Identifier: MIT
"""A user's script: read, understood, run as `__main__`, and its troubles told as its own."""

import ast
import builtins
import importlib.machinery
import importlib.util
import math
import os
import sys
import time
import types

from .parser import UsageError
from .replace import Replacement, module_level_classes


class Script:
    """A script that has been read and parsed, but not started."""

    def __init__(self, name):
        self.name = name
        self.path = os.path.abspath(name)
        self.seconds = math.nan  # what the run took, once there has been one
        self.tree = parse(read(name), name, self.path)

    def search_path(self):
        """sys.path as `python SCRIPT` has it: the folder of the script stands first."""
        if getattr(sys.flags, "safe_path", False):
            return sys.path
        # Beside the file itself, not beside a link to it; the first entry is from `python -m`.
        return [os.path.dirname(os.path.realpath(self.path)), *sys.path[1:]]

    def imports_micrograd(self):
        return any(name.partition(".")[0] == "micrograd" for name in imported_names(self.tree))

    def defines_value(self):
        return bool(module_level_classes(self.tree))

    def replacement(self):
        """How to replace the script's Value; None where it only imports micrograd's."""
        if self.defines_value():
            return Replacement(self.tree, self.name)
        if self.imports_micrograd():
            return None
        nested = any(
            isinstance(node, ast.ClassDef) and node.name == "Value" for node in ast.walk(self.tree)
        )
        raise UsageError(
            f"{self.name} defines its class Value inside a function: move it out"
            if nested
            else f"{self.name} has no class Value to replace"
        )

    def run(self, arguments, replacement=None):
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
        if replacement:
            replacement.rewrite(vars(main))
        code = compile_tree(self.tree, self.name, self.path)
        sys.modules["__main__"] = main
        sys.argv[:] = [self.name, *arguments]
        sys.path[:] = self.search_path()
        start = time.perf_counter()
        try:
            exec(code, vars(main))
        except (KeyboardInterrupt, SystemExit, UsageError):
            raise
        except BaseException as error:
            below_this_frame = error.__traceback__.tb_next
            sys.excepthook(type(error), error.with_traceback(below_this_frame), below_this_frame)
            return 1
        finally:
            self.seconds = time.perf_counter() - start
            if replacement:
                self.seconds -= replacement.adopter.seconds
        return 0


def read(name):
    """The source text, decoded as Python decodes it."""
    try:
        with open(name, "rb") as file:
            data = file.read()
    except OSError as error:
        raise UsageError(f"cannot read {name}: {error.strerror}") from None
    if name.endswith(".ipynb"):
        raise UsageError(
            f"{name} is a notebook: save it as a script first (jupyter nbconvert --to script)"
        )
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
    with syntax_errors_told(name):
        return ast.parse(source, path)


def compile_tree(tree, name, path):
    with syntax_errors_told(name):
        return compile(tree, path, "exec", dont_inherit=True)


class syntax_errors_told:
    """Tells what the parser or the compiler refuses in one line."""

    def __init__(self, name):
        self.name = name

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        if isinstance(error, SyntaxError):
            where = f", line {error.lineno}" if error.lineno else ""
            what = f": {error.text.strip()}" if error.text and error.text.strip() else ""
            raise UsageError(f"{self.name}{where}: {error.msg}{what}") from None
        if isinstance(error, (RecursionError, MemoryError)):
            raise UsageError(f"{self.name} is nested too deeply for Python") from None


def imported_names(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
