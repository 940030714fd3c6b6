# SPDX-License-Identifier: MIT
"""Where a module hands its class to the adopter: a line after the class statement, nothing else.

    class Value: ...                             # as the script has it
    Value = __micrograd_c_adopt__(Value, False)  # see adopter.py

Where functions, classes and imports follow, which it may need, the line stands after them.
"""

import ast
import importlib.machinery
import os

ADOPT = "__micrograd_c_adopt__"
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def places(tree, name):
    """(statements, index) of every class of that name outside functions and other classes."""
    found, stack = [], [tree]
    while stack:
        node = stack.pop()
        for field in ("body", "orelse", "finalbody", "handlers", "cases"):
            for i, statement in enumerate(getattr(node, field, [])):
                if isinstance(statement, ast.ClassDef):
                    if statement.name == name:
                        found.append((getattr(node, field), i))
                elif not isinstance(statement, FUNCTIONS):
                    stack.append(statement)
    return sorted(found, key=lambda place: place[0][place[1]].lineno)


def add_lines(trees, name):
    """Adds the line to the parts of one module."""
    found = [place for tree in trees for place in places(tree, name)]
    for k, (body, i) in reversed(list(enumerate(found, 1))):
        end = i + 1
        while end < len(body) and is_quiet(body[end], name):
            end += 1
        adoption = ast.parse(f"{name} = {ADOPT}({name}, {k < len(found)})").body[0]
        for node in ast.walk(adoption):
            ast.copy_location(node, body[i])
        body.insert(end, adoption)


def is_quiet(statement, name):
    """Whether a statement cannot use the class: what it defines is only used later."""
    now = []
    if isinstance(statement, FUNCTIONS):
        defaults = *statement.args.defaults, *filter(None, statement.args.kw_defaults)
        now = [*statement.decorator_list, *defaults]
    elif isinstance(statement, ast.ClassDef):
        if statement.name == name or not all(is_quiet(inner, name) for inner in statement.body):
            return False
        now = [*statement.decorator_list, *statement.bases, *statement.keywords]
    elif isinstance(getattr(statement, "value", None), ast.Constant):
        now = [statement]
    elif not isinstance(statement, (ast.Import, ast.ImportFrom, ast.Pass)):
        return False
    return not any(getattr(node, "id", None) == name for part in now for node in ast.walk(part))


class Mentions(set):
    """Every name, attribute and text in the trees outside the classes of that name.

    assigned: attributes that are assigned anywhere, and names that functions assign. subclassed:
    whether a class inherits from one of the name.
    """

    def __init__(self, trees, name):
        super().__init__()
        self.assigned, self.subclassed = set(), False
        stack = [(tree, False) for tree in trees]
        while stack:
            node, inside = stack.pop()
            if isinstance(node, ast.ClassDef):
                bases = {getattr(base, "id", getattr(base, "attr", None)) for base in node.bases}
                self.subclassed |= name in bases
                inside |= node.name == name
            elif isinstance(node, ast.Global):
                self.assigned.update(node.names)
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                self.assigned.add(node.attr)
            if not inside:
                texts = (getattr(node, field, None) for field in ("id", "attr", "value"))
                self.update(text for text in texts if isinstance(text, str))
            stack += [(child, inside) for child in ast.iter_child_nodes(node)]


def imported_names(tree):
    """(level, dotted name) of whatever the module imports, or may import."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((0, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = [node.module] if node.module else []
            yield from ((node.level, ".".join([*base, alias.name])) for alias in node.names)
            if base:
                yield node.level, node.module


def modules_beside(tree, folder, root, found=None):
    """file -> tree of the modules in `root` that a module in `folder` imports, and they import."""
    found = {} if found is None else found
    for level, name in imported_names(tree):
        base = root
        if level:
            base = folder
            for _ in range(level - 1):
                base = os.path.dirname(base)
        for part in name.split("."):
            base = os.path.join(base, part)
            for file in base + ".py", os.path.join(base, "__init__.py"):
                if file not in found and os.path.isfile(file):
                    try:
                        with open(file, "rb") as source:
                            found[file] = ast.parse(source.read(), file)
                    except (OSError, SyntaxError, ValueError):
                        continue  # importing it tells what is wrong
                    modules_beside(found[file], os.path.dirname(file), root, found)
    return found


class Finder:
    """Finds the given files as Python does, and has their class handed to the adopter."""

    def __init__(self, files, name):
        self.files, self.name = {os.path.realpath(file) for file in files}, name

    def find_spec(self, name, path=None, target=None):
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is None or not spec.has_location or os.path.realpath(spec.origin) not in self.files:
            return None
        spec.loader = Loader(spec.loader.name, spec.loader.path)
        spec.loader.class_name = self.name
        return spec


class Loader(importlib.machinery.SourceFileLoader):
    def get_code(self, fullname):
        path = self.get_filename(fullname)
        tree = ast.parse(self.get_data(path), path)
        add_lines([tree], self.class_name)
        return compile(tree, path, "exec", dont_inherit=True)
