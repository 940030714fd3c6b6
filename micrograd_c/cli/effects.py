# SPDX-License-Identifier: MIT
"""What the methods that will not run do besides computing, for the rest of the script to see."""

import ast

from .value_class import FUNCTIONS, is_name

FILLING = frozenset(["append", "add", "extend", "insert", "update", "setdefault", "appendleft"])


def prints(methods):
    """(node, complaint) for each print that no `if` stands before."""
    for method in methods:
        for statement in unconditional(method.body):
            if (
                isinstance(statement, ast.Expr)
                and isinstance(statement.value, ast.Call)
                and is_name(statement.value.func, "print")
            ):
                yield statement, f"prints in {method.name}, which this engine replaces"


def unconditional(statements):
    for statement in statements:
        yield statement
        if isinstance(statement, (*FUNCTIONS, ast.For, ast.While, ast.With)):
            yield from unconditional(statement.body)


def changed_globals(tree, methods):
    """Names outside the class that its methods rebind or fill: counters, tapes."""
    at_module_level = {
        node.id
        for statement in tree.body
        if not isinstance(statement, (*FUNCTIONS, ast.ClassDef))
        for node in ast.walk(statement)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    changed = set()
    for method in methods:
        nodes = list(ast.walk(method))
        rebound = {name for node in nodes if isinstance(node, ast.Global) for name in node.names}
        local = {
            node.id
            for node in nodes
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        }
        filled = {getattr(filled_by(node), "id", None) for node in nodes}
        changed |= rebound | (filled & at_module_level) - local
    return changed


def filled_by(node):
    """`tape` in tape.append(x) and in tape[x] = y."""
    if isinstance(node, ast.Call) and getattr(node.func, "attr", None) in FILLING:
        return node.func.value
    if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store):
        return node.value
    return None


def uses_of(names, tree, methods):
    """(node, complaint) for each use of the names outside the methods, emptying them excepted."""
    inside = {id(node) for method in methods for node in ast.walk(method)}
    emptied = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr == "clear"
    }
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Name)
            and isinstance(node.ctx, ast.Load)
            and node.id in names
            and id(node) not in inside | emptied
        ):
            yield node, f"reads {node.id}, which the script's own Value keeps up to date"
