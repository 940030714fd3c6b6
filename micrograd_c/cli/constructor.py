# SPDX-License-Identifier: MIT
"""What a script's `Value.__init__` takes, read from its source."""

import ast
import re

# Value(data, _children=(), _op='', label='') is how this engine's own reads.
ENGINE_PARAMETERS = {"data": "data", "_children": "children", "_op": "op", "label": "label"}
# By name, where there is a usual one; else the class's own calls tell.
ROLES = {
    "children": re.compile(r"_*(children|prev|previous|parents|inputs|operands)_*"),
    "op": re.compile(r"_*(op|operation|op_name)_*"),
    "label": re.compile(r"_*label_*"),
    "grad": re.compile(r"_*(grad|gradient)_*"),
    "partials": re.compile(
        r"_*(local_)?(grads|gradients|derivatives|derivs|partials)_*|"
        r"_*local_(grad|gradient|derivative)_*"
    ),
}


class Constructor:
    """Parameters by role, and the attributes that they end up in."""

    def __init__(self, function, methods=()):
        self.known = isinstance(function, ast.FunctionDef) and bool(function.args.args[1:])
        self.positional, self.named = [], []
        self.roles = {}  # parameter -> 'data', 'children' and so on
        self.stored = {}  # attribute -> the parameter that it is set to
        self.aliases = {}  # attribute -> this engine's name for it
        self.constants = {}  # attribute -> the constant that it is set to
        self.pairs = False  # children come with their local derivatives: ((a, 1.0), (b, 1.0))
        if self.known:
            arguments = function.args
            self.positional = [a.arg for a in arguments.posonlyargs + arguments.args][1:]
            self.named = self.positional + [a.arg for a in arguments.kwonlyargs]
            self._find_roles(methods)
            self._read_body(function)

    def _find_roles(self, methods):
        self.roles[self.positional[0]] = "data"
        for role, pattern in ROLES.items():
            fitting = [n for n in self.named if n not in self.roles and pattern.fullmatch(n)]
            self.roles.update((name, role) for name in fitting[:1])
        for call in (node for method in methods for node in ast.walk(method)):
            if is_value_call(call):
                for parameter, argument in self.match(call):
                    if self.roles.get(parameter) == "children" and holds_tuples(argument):
                        self.pairs = True
                    role = "children" if holds_self(argument) else "op" if is_text(argument) else ""
                    if parameter and role and role not in self.roles.values():
                        self.roles.setdefault(parameter, role)

    def _read_body(self, function):
        for node in function.body:
            if not isinstance(node, (ast.Assign, ast.AnnAssign)) or node.value is None:
                continue
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                self._read_assignment(target, node.value)

    def _read_assignment(self, target, value):
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            for each, its_value in zip(target.elts, value.elts, strict=False):
                self._read_assignment(each, its_value)
        if not isinstance(target, ast.Attribute):
            return
        attribute = target.attr
        value = unless_missing(value)
        if isinstance(value, ast.Constant):
            self.constants[attribute] = value.value
            if value.value == 0 and ROLES["grad"].fullmatch(attribute):
                self.aliases[attribute] = "grad"
        elif isinstance(value, ast.Lambda) and not value.args.args:
            self.aliases[attribute] = "_backward"
        elif isinstance(value, ast.Name):
            self.stored[attribute] = value.id
            role = self.roles.get(value.id)
            if role in ("data", "op", "label", "grad"):
                self.aliases[attribute] = "_op" if role == "op" else role
        elif isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.args:
            # set(children), or self.children = children and then set(self.children)
            given = unless_missing(value.args[0])
            given = getattr(given, "id", self.stored.get(getattr(given, "attr", None)))
            role = self.roles.get(given)
            if value.func.id == "set" and role == "children" and not self.pairs:
                self.aliases[attribute] = "_prev"
            elif value.func.id == "float" and role == "data":
                self.aliases[attribute] = "data"

    def match(self, call):
        """Pairs of parameter and argument; the parameter is None where it cannot be told."""
        for i, argument in enumerate(call.args):
            if isinstance(argument, ast.Starred) or i >= len(self.positional):
                yield None, argument
            else:
                yield self.positional[i], argument
        for keyword in call.keywords:
            yield (keyword.arg if keyword.arg in self.named else None), keyword.value

    def suits_engine(self, call):
        """Whether this engine's Value takes the arguments for what the script means by them."""
        if not self.known:
            return True
        own = list(ENGINE_PARAMETERS)
        for i, (parameter, _) in enumerate(self.match(call)):
            if i >= len(call.args):
                name = call.keywords[i - len(call.args)].arg
            else:
                name = own[i] if i < len(own) else None
            role = self.roles.get(parameter)
            if role is None or role != ENGINE_PARAMETERS.get(name):
                return False
        return True


def unless_missing(node):
    """`name` in `name or ''` and in `name if name is not None else ''`."""
    if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.Or):
        return node.values[0]
    return node.body if isinstance(node, ast.IfExp) else node


def is_value_call(node):
    return (
        isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Value"
    )


def holds_self(node):
    return isinstance(node, (ast.Tuple, ast.List, ast.Set)) and any(
        isinstance(item, ast.Name) and item.id == "self" for item in node.elts
    )


def holds_tuples(node):
    return isinstance(node, (ast.Tuple, ast.List)) and any(
        isinstance(item, ast.Tuple) for item in node.elts
    )


def is_text(node):
    """Whether it is text that says something: f'**{n}', 'relu', but not ''."""
    text = getattr(node, "value", None) if isinstance(node, ast.Constant) else None
    return isinstance(node, ast.JoinedStr) or bool(text and isinstance(text, str))
