# SPDX-License-Identifier: MIT
"""Where a module hands its class to the adopter: a line after the class statement, nothing else.

    class Value: ...                             # as the script has it
    Value = __micrograd_c_adopt__(Value, False)  # see adopter.py

Where functions, classes and imports follow, which it may need, the line stands after them.
"""

import ast
import modulefinder
import os
from importlib.machinery import SourceFileLoader

ADOPT = "__micrograd_c_adopt__"
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


def places(node, name):
    """(statements, index) of every class of that name outside functions and other classes."""
    found = []
    for _, part in ast.iter_fields(node):
        for i, child in enumerate(part if isinstance(part, list) else ()):
            if isinstance(child, ast.ClassDef):
                found += [(part, i)] if child.name == name else []
            elif isinstance(child, ast.AST) and not isinstance(child, FUNCTIONS):
                found += places(child, name)
    return found


def add_lines(trees, name):
    """Adds the line to the parts of one module."""
    found = [place for tree in trees for place in places(tree, name)]
    for body, i in reversed(found):
        end = i + 1
        while end < len(body) and is_quiet(body[end], name):
            end += 1
        again = (body, i) != found[-1]
        adoption = ast.parse(f"{name} = {ADOPT}({name}, {again})").body[0]
        for node in ast.walk(adoption):
            ast.copy_location(node, body[i])
        body.insert(end, adoption)


def is_quiet(node, name):
    """Whether a statement cannot use the class: what it defines is only used later."""
    if isinstance(node, ast.Call) or name in (getattr(node, "id", 0), getattr(node, "name", 0)):
        return False
    parts = ast.iter_child_nodes(node)
    if isinstance(node, FUNCTIONS):
        decorators = getattr(node, "decorator_list", [])
        parts = *decorators, *node.args.defaults, *filter(None, node.args.kw_defaults)
    return all(is_quiet(part, name) for part in parts)


def mentions(trees, name):
    """Every name, attribute and text outside the classes of that name; and, anywhere, attributes
    that are assigned, and names that functions assign."""
    found, assigned = set(), set()
    stack = [(tree, False) for tree in trees]
    for node, inside in stack:
        inside |= isinstance(node, ast.ClassDef) and node.name == name
        stored = isinstance(getattr(node, "ctx", None), ast.Store)
        if isinstance(node, ast.Global):
            assigned.update(node.names)
        elif stored and not isinstance(node, ast.Name):
            for part in node, getattr(node, "value", node):  # of a subscript, the container
                assigned |= {getattr(part, field, None) for field in ("id", "attr")}
        if not (inside or stored):
            texts = (getattr(node, field, None) for field in ("id", "attr", "value"))
            found.update(text for text in texts if isinstance(text, str))
        stack += [(child, inside) for child in ast.iter_child_nodes(node)]
    return found, assigned


def imports(codes, folder):
    """What the script imports, and what of it stands in the folder: names, and file -> tree."""
    finder = modulefinder.ModuleFinder([folder])
    main = finder.add_module("__main__")
    for code in codes:
        finder.scan_code(code, main)
    files = [module.__file__ for module in finder.modules.values() if module.__code__]
    return {*finder.modules, *finder.badmodules}, {file: parsed(file) for file in files}


def parsed(file):
    with open(file, "rb") as source:
        return ast.parse(source.read(), file)


def hand_over(files, name):
    """From now on, importing one of the files hands its class over."""
    plain, files = SourceFileLoader.get_code, {os.path.realpath(file) for file in files}

    def get_code(loader, module):
        path = loader.get_filename(module)
        if os.path.realpath(path) not in files:
            return plain(loader, module)
        tree = parsed(path)
        add_lines([tree], name)
        return compile(tree, path, "exec", dont_inherit=True)

    SourceFileLoader.get_code = get_code
