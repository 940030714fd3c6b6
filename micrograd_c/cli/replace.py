# SPDX-License-Identifier: MIT
"""This engine's Value in the place of the one that a script defines.

The script's class statement stays where it is, and one line is put after it:

    class Value: ...                       # as the script has it
    Value = __micrograd_c_adopt__(Value)   # this engine's Value, see adopt.py

Before that the script is read for what its class means (value_class.py) and for what the rest of it
counts on that this engine's Value has not (outside.py): then it is refused, and not started.
"""

import ast

from . import effects
from .adopt import ADOPT, NEW, Adopter
from .constructor import is_value_call
from .outside import complaints_about
from .parser import UsageError
from .value_class import DISPLAYS, FUNCTIONS, ValueClass, called_name

NOT_A_FLOAT = frozenset(
    [
        "array",
        "asarray",
        "asanyarray",
        "zeros",
        "zeros_like",
        "ones",
        "ones_like",
        "tensor",
        "complex",
        "Decimal",
        "Fraction",
        "Value",
    ]
)

# What makes a class an engine's, and not one that just has the name.
COMPUTING = frozenset(["__add__", "__mul__", "__sub__", "__pow__", "tanh", "relu", "backward"])


class Replacement:
    """A script whose Value can be replaced; UsageError where it cannot."""

    def __init__(self, tree, name):
        self.name = name
        self.tree = tree
        self.value = ValueClass(tree, module_level_classes(tree))
        if not COMPUTING & self.value.members.keys():
            raise self.refusal(
                (self.value.classes[0], "class Value does not compute: nothing to replace")
            )
        self.complaints = {}  # method -> (node, why it cannot run on this engine)
        for method, node in self.value.methods.items():
            found = complaints_about(node, self.value, tree)
            if found:
                self.complaints[method] = found[0]
        serious = [
            complaint
            for method, complaint in self.complaints.items()
            if method in self.value.kept and method not in DISPLAYS
        ]
        serious += complaints_about(tree, self.value, tree)
        serious += not_floats(self.value.classes)
        serious += effects.prints(self.value.replaced())
        changed = effects.changed_globals(tree, self.value.replaced())
        serious += effects.uses_of(changed, tree, self.value.replaced())
        if serious:
            raise self.refusal(min(serious, key=lambda complaint: complaint[0].lineno))

    def refusal(self, complaint):
        node, what = complaint
        return UsageError(f"{self.name}, line {node.lineno}: {what}")

    def rewrite(self, namespace):
        """Changes the tree, to be run in `namespace`, which gets what the new lines call."""
        self.adopter = namespace[ADOPT] = Adopter(namespace, self)
        for node in ast.walk(self.tree):
            if is_value_call(node) and not self.value.constructor.suits_engine(node):
                node.func.id = NEW
        for body, i in sorted(module_level_places(self.tree), key=lambda place: -place[1]):
            adoption = ast.parse(f"Value = {ADOPT}(Value)").body[0]
            for node in ast.walk(adoption):
                ast.copy_location(node, body[i])
            body.insert(i + 1, adoption)


def module_level_places(tree):
    """(list of statements, index) of every `class Value` outside functions and other classes."""
    stack = [tree]
    while stack:
        node = stack.pop()
        for field in ("body", "orelse", "finalbody", "handlers", "cases"):
            for i, statement in enumerate(getattr(node, field, [])):
                if isinstance(statement, ast.ClassDef):
                    if statement.name == "Value":
                        yield getattr(node, field), i
                elif not isinstance(statement, FUNCTIONS):
                    stack.append(statement)


def module_level_classes(tree):
    classes = [body[i] for body, i in module_level_places(tree)]
    return sorted(classes, key=lambda node: node.lineno)


def not_floats(classes):
    """Where a class puts something else than a float into data or grad."""
    return [
        (node, f".{target.attr} is made by {called_name(node.value)}(); this engine holds floats")
        for each in classes
        for node in ast.walk(each)
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Call)
        and called_name(node.value) in NOT_A_FLOAT
        for target in node.targets
        if isinstance(target, ast.Attribute) and target.attr in ("data", "grad")
    ]
