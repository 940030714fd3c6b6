# SPDX-License-Identifier: MIT
"""What a script counts on that this engine's Value has not, found before the script starts."""

import ast
import multiprocessing

from .constructor import is_value_call
from .value_class import FUNCTIONS, called_name, names_bound_by

# Methods of Python's own types: `names.count(x)` says nothing about a Value's `count`.
COMMON_NAMES = frozenset(name for kind in (list, tuple, dict, set, str) for name in dir(kind))


def complaints_about(node, value, tree):
    """(node, what it counts on) for everything below node that cannot be kept, in order."""
    reader = Reader(value, tree)
    reader.visit(node)
    return reader.complaints


class Reader(ast.NodeVisitor):
    """Reads code that will run on this engine: all but the methods that the engine replaces."""

    def __init__(self, value, tree):
        self.value = value
        self.complaints = []
        self.functions = []
        self.in_other_class = False
        self.modules, self.other_names = surroundings(tree, value)
        self.imports_processes = imports(tree, ("multiprocessing", "concurrent"))

    def complain(self, node, what):
        self.complaints.append((node, what))

    def visit_ClassDef(self, node):
        if node in self.value.classes:
            return  # its methods are looked at one by one
        before = self.in_other_class
        self.in_other_class = not is_subclass(node)
        self.generic_visit(node)
        self.in_other_class = before

    def visit_FunctionDef(self, node):
        self.functions.append(node)
        self.generic_visit(node)
        self.functions.pop()

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Attribute(self, node):
        if node.attr in self.value.lost and not self.is_another(node):
            verb = "reads" if isinstance(node.ctx, ast.Load) else "sets"
            self.complain(node, f"{verb} .{node.attr}, which only the script's own Value has")
        self.generic_visit(node)

    def is_another(self, node):
        """Whether an attribute of that name can be somebody else's."""
        base = node.value.id if isinstance(node.value, ast.Name) else None
        if base == "Value":
            return False
        return (
            base in self.modules
            or node.attr in self.other_names
            or node.attr in COMMON_NAMES
            or (base in ("self", "cls") and self.in_other_class)
        )

    def visit_Subscript(self, node):
        if isinstance(node.value, ast.Attribute) and node.value.attr == "_prev":
            self.complain(node, "indexes ._prev, which is a set here")
        self.generic_visit(node)

    def visit_Call(self, node):
        name = called_name(node)
        if is_value_call(node):
            self.check_construction(node)
        elif name == "__init__" and self.functions:
            self.check_subclass_init(node)
        elif name == "backward" and isinstance(node.func, ast.Attribute):
            backward = self.value.methods.get("backward")
            takes = backward and len(backward.args.args) + len(backward.args.kwonlyargs) > 1
            if takes and (node.args or node.keywords):
                self.complain(node, "gives backward() an argument that only the script's own takes")
        elif name == "getattr" and len(node.args) > 1:
            attribute = getattr(node.args[1], "value", None)
            if isinstance(attribute, str) and attribute in self.value.lost:
                self.complain(node, f"reads .{attribute}, which only the script's own Value has")
        if self.imports_processes and starts_afresh(node):
            self.complain(
                node, "starts processes that read the script anew, with the script's own Value"
            )
        self.generic_visit(node)

    def check_construction(self, call):
        constructor = self.value.constructor
        if not constructor.known:
            return
        for parameter, _ in constructor.match(call):
            known = constructor.roles.get(parameter)
            paired = known == "children" and constructor.pairs
            if paired or (parameter and not known and not self.value.is_plain(parameter)):
                self.complain(
                    call,
                    f"gives Value {parameter}, which only the script's own Value "
                    "knows what to do with",
                )

    def check_subclass_init(self, call):
        """super().__init__(...) and Value.__init__(self, ...) reach this engine's __init__."""
        owner = call.func.value if isinstance(call.func, ast.Attribute) else None
        arguments = list(call.args)
        if isinstance(owner, ast.Name) and owner.id == "Value":
            arguments = arguments[1:]
        elif self.in_other_class or not is_call_of_super(owner):
            return
        plain = ast.Call(func=call.func, args=arguments, keywords=call.keywords)
        if not self.value.constructor.suits_engine(plain):
            self.complain(call, "gives Value.__init__ arguments that only the script's own takes")

    def visit_Assign(self, node):
        for target in node.targets:
            if isinstance(target, ast.Attribute) and target.attr == "_backward":
                rule = self.find_function(node.value)
                if rule and len(rule.args.args) > len(rule.args.defaults):
                    self.complain(
                        node, "a _backward that takes an argument: this engine calls it without"
                    )
        self.generic_visit(node)

    def find_function(self, node):
        """The lambda, or the function of that name in the function that is being read."""
        if isinstance(node, ast.Lambda):
            return node
        inner = ast.walk(self.functions[-1]) if self.functions else ()
        return next(
            (
                function
                for function in inner
                if isinstance(function, FUNCTIONS) and function.name == getattr(node, "id", None)
            ),
            None,
        )


def starts_afresh(call):
    """Whether it starts processes, or says how, otherwise than by forking this one."""
    name = called_name(call)
    if name in ("get_context", "set_start_method"):
        chosen = call.args[0] if call.args else None
        return getattr(chosen, "value", None) in ("spawn", "forkserver")
    by_default = multiprocessing.get_all_start_methods()[0]
    return name in ("Pool", "Process", "ProcessPoolExecutor") and by_default != "fork"


def imports(tree, packages):
    """Whether the script imports one of the packages, or from one."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return any(name.partition(".")[0] in packages for name in names)


def surroundings(tree, value):
    """Names of imported modules; names of attributes that the script's other classes have."""
    modules, others = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules.update((alias.asname or alias.name).partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ClassDef) and node not in value.classes and not is_subclass(node):
            for inner in ast.walk(node):
                if isinstance(inner, FUNCTIONS):
                    others.add(inner.name)
                elif (
                    isinstance(inner, ast.Attribute)
                    and isinstance(inner.ctx, ast.Store)
                    and getattr(inner.value, "id", None) == "self"
                ):
                    others.add(inner.attr)
            for statement in node.body:
                others.update(names_bound_by(statement))
    return modules, others


def is_subclass(node):
    return any(isinstance(base, ast.Name) and base.id == "Value" for base in node.bases)


def is_call_of_super(node):
    return isinstance(node, ast.Call) and called_name(node) == "super"
