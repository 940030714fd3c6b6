# SPDX-License-Identifier: MIT
"""__init__ for this engine's Value, with the parameters of the class that it stands for."""

import inspect

from .._core import Value
from .anatomy import HELD
from .attributes import FIELDS, only_own, refuse
from .probes import is_number

ENGINE = {"data": "*data", "_children": "*operands", "_op": "*op", "label": "label"}
DEFAULTS = {"_children": (), "_op": "", "label": ""}


def make_init(anatomy):
    """None where this engine's own takes the same arguments for the same."""
    parameters = anatomy.signature.parameters
    same = list(ENGINE)[: len(parameters)] == list(parameters) and all(
        anatomy.roles[name] == ENGINE[name]
        and parameter.kind is parameter.POSITIONAL_OR_KEYWORD
        and parameter.default == DEFAULTS.get(name, parameter.empty)
        for name, parameter in parameters.items()
    )
    if same:
        return None
    init, first = vars(Value.__mro__[1])["__init__"], next(iter(parameters))
    roles = {role: name for name, role in anatomy.roles.items()}
    defaults = {name: parameter.default for name, parameter in parameters.items()}

    def build(self, given):
        found, slopes = [], []
        for name, role in anatomy.roles.items():
            if role in ("*operands", "*partials"):
                collect(given[name], found, slopes, anatomy.name)
        init(self, given[first], found)
        if slopes:
            self._backward = chain_rule(self, found, slopes)
        rule = given.get(roles.get("*rule"))
        if rule is not None and rule is not defaults[roles["*rule"]]:
            setattr(self, anatomy.rule, rule)
        if "*op" in roles and given[roles["*op"]] is not defaults[roles["*op"]]:
            setattr(self, anatomy.op, given[roles["*op"]])
        for name, role in anatomy.roles.items():
            if (role or "")[:1] != "*" and given[name] is not defaults[name]:
                if role is None:
                    only = f"only the script's own {anatomy.name} knows what to do then"
                    refuse(f"gives {name}={given[name]!r}: {only}")
                setattr(self, role, given[name])

    return with_signature(anatomy.signature, build, init)


def with_signature(signature, build, init):
    """A function of these parameters; a number alone goes the short way."""
    shown = [
        p.replace(
            default=p.default if p.default is p.empty else Shown(f"_defaults[{p.name!r}]"),
            annotation=p.empty,
        )
        for p in signature.parameters.values()
    ]
    scope = {"_build": build, "_defaults": {n: p.default for n, p in signature.parameters.items()}}
    given = ", ".join(f"{name!r}: {name}" for name in signature.parameters)
    text = str(inspect.Signature(shown))[1:-1]
    source = f"lambda _self, {text}: _build(_self, {{{given}}})"
    long = eval(compile(source, __file__, "eval"), scope)

    def __init__(self, *positional, **named):
        if len(positional) == 1 and not named:
            init(self, positional[0])
        else:
            long(self, *positional, **named)

    return __init__


class Shown:
    """Stands for a default in the text of a signature."""

    def __init__(self, text):
        self.text = text

    def __repr__(self):
        return self.text


def collect(given, operands, slopes, kind):
    """Operands and local derivatives, whether in two containers or in pairs."""
    if isinstance(given, Value):
        operands.append(given)
    elif is_number(given):
        slopes.append(given)
    elif type(given) in HELD:
        for each in given:
            collect(each, operands, slopes, kind)
    elif given is not None:
        refuse(f"gives local derivatives as a {type(given).__name__}, {only_own(kind)}")


def chain_rule(node, operands, slopes):
    grad = FIELDS["grad"]

    def rule():
        g = grad.__get__(node)
        for operand, slope in zip(operands, slopes, strict=True):
            grad.__set__(operand, grad.__get__(operand) + slope * g)

    return rule
