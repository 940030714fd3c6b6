# SPDX-License-Identifier: MIT
"""What a script's own class Value is, read from its source."""

import ast

from ..engine import Value
from .constructor import Constructor

ENGINE_NAMES = frozenset(dir(Value))
# What people look at, and identity: where the script has its own way, that stays.
DISPLAYS = frozenset(["__repr__", "__str__", "__format__"])
OWN_WAY = DISPLAYS | {"__eq__", "__ne__", "__hash__"}
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
# A test of one of these in backward tells leaves from the other nodes.
GRAPH_NAMES = frozenset(
    ["_prev", "_children", "prev", "children", "parents", "_parents", "_op", "op", "is_leaf"]
)


class ValueClass:
    """All definitions of the class taken together: notebooks build it up in several."""

    def __init__(self, tree, classes):
        self.classes = classes
        self.members = {}  # name -> statement; the last one wins, as at run time
        for statement in (statement for node in classes for statement in node.body):
            self.members.update((name, statement) for name in names_bound_by(statement))
        self.helpers = {node.name: node for node in tree.body if isinstance(node, FUNCTIONS)}
        self.constructor = Constructor(self.members.get("__init__"), self.methods.values())
        self.kept = self._kept(tree)
        self.machinery = self._machinery()
        self.defaults = self._defaults()
        self.aliases = self._aliases()
        self.lost = self._lost()

    @property
    def methods(self):
        return {name: node for name, node in self.members.items() if isinstance(node, FUNCTIONS)}

    def _kept(self, tree):
        """Methods of the script that can be called while this engine does the rest.

        They have no counterpart here, and are mentioned outside the class or in each other.
        """
        inside = {id(node) for each in self.classes for node in ast.walk(each)}
        mentioned = {
            node.attr
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and id(node) not in inside
        }
        own = {name for name in self.methods if name not in ENGINE_NAMES or name in OWN_WAY}
        kept = {name for name in own if name in mentioned or name.startswith("__")}
        fresh = kept
        while fresh:
            fresh = {n for n in own - kept if any(mentions(self.methods[k], {n}) for k in fresh)}
            kept = kept | fresh
        return kept

    def replaced(self):
        return [node for name, node in self.methods.items() if name not in self.kept]

    def _machinery(self):
        """Attributes that the class computes with, where this engine does the computing."""
        return {
            node.attr
            for method in self.replaced()
            if method.name != "__init__"
            for node in ast.walk(method)
            if isinstance(node, ast.Attribute)
        } - ENGINE_NAMES

    def _defaults(self):
        """Attributes that start at a constant: they can stand in the class."""
        return {
            attribute: value
            for attribute, value in self.constructor.constants.items()
            if attribute not in ENGINE_NAMES | self.machinery
        }

    def _aliases(self):
        """Attributes that have another name here, as `children` for `_prev` if it is a set."""
        return {
            attribute: name
            for attribute, name in self.constructor.aliases.items()
            if attribute not in ENGINE_NAMES
        }

    def name_of(self, field):
        """What the script's class calls `data` or `grad`."""
        return next((name for name, real in self.aliases.items() if real == field), field)

    def _lost(self):
        """Attributes that the script's Values have and this engine's do not."""
        stored = {
            node.attr
            for method in self.replaced()
            for node in ast.walk(method)
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
        }
        plain = {
            attribute
            for attribute, parameter in self.constructor.stored.items()
            if self.is_plain(parameter)
        }
        lost = stored - ENGINE_NAMES - plain - self.defaults.keys() - self.aliases.keys()
        if self.constructor.pairs:
            lost.add("_prev")
        return lost | self._filled_in_class()

    def _filled_in_class(self):
        """Containers of the class itself, such as a list of all nodes, that it fills."""
        return {
            name
            for name, member in self.members.items()
            if isinstance(member, ast.Assign)
            and isinstance(member.value, (ast.List, ast.Dict, ast.Set, ast.Call))
            and name not in ENGINE_NAMES
            and any(mentions(method, {name}) for method in self.replaced())
        }

    def is_plain(self, parameter):
        """Whether a parameter is the script's own, and nothing but something to keep."""
        attributes = {a for a, p in self.constructor.stored.items() if p == parameter}
        return (
            parameter not in self.constructor.roles
            and bool(attributes)
            and not attributes & self.machinery
        )

    def grads_add_up(self):
        """Whether backward zeroes no grads first, so that leaves add up from one to the next."""
        backward = self.members.get("backward")
        return isinstance(backward, ast.FunctionDef) and not self._zeroes(backward, set(), False)

    def _zeroes(self, function, seen, self_counts):
        """Whether a function sets the grads of the graph to 0, itself or through a helper."""
        seen.add(function.name)
        leaves_spared = {
            id(inner)
            for node in ast.walk(function)
            if isinstance(node, ast.If) and mentions(node.test, GRAPH_NAMES)
            for inner in ast.walk(node)
        }
        for node in ast.walk(function):
            if id(node) in leaves_spared:
                continue
            if isinstance(node, ast.Assign) and is_zero(node.value):
                for target in node.targets:
                    if (
                        isinstance(target, ast.Attribute)
                        and target.attr == self.name_of("grad")
                        and (self_counts or not is_name(target.value, "self"))
                    ):
                        return True
            elif isinstance(node, ast.Call):
                called = called_name(node)
                helper = self.members.get(called, self.helpers.get(called))
                if isinstance(helper, ast.FunctionDef) and called not in seen:
                    # self.zero_grad() zeroes the root alone, unless it calls itself for the others
                    of_root = is_name(getattr(node.func, "value", None), "self")
                    if self._zeroes(helper, seen, not of_root or calls(helper, called)):
                        return True
        return False


def names_bound_by(statement):
    if isinstance(statement, FUNCTIONS):
        yield statement.name
    elif isinstance(statement, ast.Assign | ast.AnnAssign):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        yield from (target.id for target in targets if isinstance(target, ast.Name))


def called_name(call):
    """`f` in f(...), x.f(...); None in calls of other things."""
    return getattr(call.func, "attr", getattr(call.func, "id", None))


def calls(function, name):
    return any(isinstance(n, ast.Call) and called_name(n) == name for n in ast.walk(function))


def mentions(node, attributes):
    return any(isinstance(n, ast.Attribute) and n.attr in attributes for n in ast.walk(node))


def is_name(node, name):
    return isinstance(node, ast.Name) and node.id == name


def is_zero(node):
    return isinstance(node, ast.Constant) and type(node.value) in (int, float) and node.value == 0
