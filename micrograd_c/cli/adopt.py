# SPDX-License-Identifier: MIT
"""What stands behind `Value = __micrograd_c_adopt__(Value)` while the script runs."""

import contextlib
import inspect
import io
import math
import random
import time
import types
import warnings

from ..engine import Value, accumulate_grads, custom
from .value_class import ENGINE_NAMES, OWN_WAY

ADOPT, NEW = "__micrograd_c_adopt__", "__micrograd_c_new__"

# Parts of every class that are not the script's doing, or are this engine's to decide.
SKIPPED = frozenset(
    [
        "__module__",
        "__doc__",
        "__dict__",
        "__weakref__",
        "__slots__",
        "__init__",
        "__new__",
        "__annotations__",
        "__qualname__",
        "__static_attributes__",
        "__firstlineno__",
        "__annotate__",
        "__annotate_func__",
        "__annotations_cache__",
        "__match_args__",
        "__dataclass_fields__",
        "__dataclass_params__",
        "__replace__",
    ]
)
SLOTS = (types.MemberDescriptorType, types.GetSetDescriptorType)
PROBES = (-30.0, -2.3, -0.7, 0.0, 0.4, 1.7, 30.0)


class Adopter:
    """Gives this engine's Value what the script's class has besides; the answer is Value itself.

    Operators return Value itself, as in the lesson, so a subclass would lose the additions at the
    first sum: they are set on Value.
    """

    def __init__(self, namespace, replacement):
        self.namespace = namespace
        self.replacement = replacement
        self.plan = replacement.value
        self.seconds = 0.0  # spent here, not in the script

    def __call__(self, theirs):
        start = time.perf_counter()
        self.namespace[NEW] = theirs  # while its methods are tried
        for name, member in members(theirs):
            if self.takes(theirs, name, member):
                setattr(Value, name, member)
        for name, constant in self.plan.defaults.items():
            setattr(Value, name, constant)
        for name, real_name in self.plan.aliases.items():
            setattr(Value, name, another_name(real_name))
        self.namespace[NEW] = self.make_new(theirs)
        accumulate_grads(self.plan.grads_add_up())
        self.seconds += time.perf_counter() - start
        return Value

    def takes(self, theirs, name, member):
        """Whether the script's member has a place in this engine's Value."""
        if name in SKIPPED or name in self.plan.lost or isinstance(member, SLOTS):
            return False
        if name in ENGINE_NAMES and name not in OWN_WAY:
            return self.means_another(theirs, name)
        return name not in self.replacement.complaints

    def means_another(self, theirs, name):
        """Whether the script's method of that name is not this engine's: gelu has two formulas."""
        method = vars(theirs).get(name)
        if not isinstance(method, types.FunctionType) or name.startswith("_") or name == "backward":
            return False
        given = parameters(method)
        if given == parameters(getattr(Value, name)) and (given or not self.differs(theirs, name)):
            return False
        if name in self.replacement.complaints:
            raise self.replacement.refusal(self.replacement.complaints[name])
        return True

    def differs(self, theirs, name):
        """Whether a method gives other numbers than this engine's; failing is no number."""
        fields = self.plan.name_of("data"), self.plan.name_of("grad")
        state = random.getstate()
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            answers = [(measure(theirs, name, x, *fields), measure(Value, name, x)) for x in PROBES]
        random.setstate(state)
        return any(not close(mine, ours) for mine, ours in answers if mine is not None)

    def make_new(self, theirs):
        """Value with the script's own parameters, for the calls that need them."""
        constructor = self.plan.constructor
        if not constructor.known:
            return Value
        given = list(inspect.signature(theirs.__init__).parameters.values())[1:]
        scope = {"_Value": Value, "_custom": custom}
        shown = []
        for parameter in given:
            default = parameter.default
            if default is not parameter.empty:
                scope[f"_{parameter.name}_default"] = default
                default = Shown(f"_{parameter.name}_default")
            shown.append(parameter.replace(default=default, annotation=parameter.empty))
        by_role = {role: name for name, role in constructor.roles.items()}
        data, label = by_role["data"], by_role.get("label", "''")
        # None, where a script has it as the default, is nothing: no children, no operation.
        children = f"{by_role.get('children')} or ()"
        op = f"{by_role.get('op')} or ''"
        lines = [
            f"def new{inspect.Signature(shown)}:",
            f"    made = _Value({data}, {children}, {op}, {label})",
        ]
        if "partials" in by_role:
            partials = by_role["partials"]
            lines.append(f"    if {partials}:")
            lines.append(
                f"        made = _custom({data}, {children}, {partials}, {op} or 'custom')"
            )
        if "grad" in by_role:
            lines.append(f"    if {by_role['grad']}:")
            lines.append(f"        made.grad = {by_role['grad']}")
        for role, real_name in ("op", "_op"), ("label", "label"):
            default = scope.get(f"_{by_role.get(role)}_default", "")
            if default != "":
                setattr(Value, real_name, with_default(real_name, default))
        for attribute, name in constructor.stored.items():
            if self.plan.is_plain(name):
                default = f"_{name}_default"
                condition = f"if {name} is not {default}: " if default in scope else ""
                lines.append(f"    {condition}made.{attribute} = {name}")
                if default in scope and attribute not in ENGINE_NAMES:
                    setattr(Value, attribute, scope[default])
        lines.append("    return made")
        exec("\n".join(lines), scope)
        return scope["new"]


def another_name(real_name):
    return property(
        lambda self: getattr(self, real_name),
        lambda self, value: setattr(self, real_name, value),
    )


def with_default(name, default):
    """This engine's property, but a text that nobody has set is the script's, such as None."""
    own = inspect.getattr_static(Value, name)
    return property(lambda self: own.__get__(self) or default, own.__set__)


class Shown:
    """Stands for a default value in the text of a signature."""

    def __init__(self, text):
        self.text = text

    def __repr__(self):
        return self.text


def members(kind):
    """What a class and its bases define, the nearest last; nothing that Value has anyway."""
    for base in reversed(kind.__mro__):
        if base not in Value.__mro__:
            yield from list(vars(base).items())


def parameters(method):
    """Name and default of each parameter but self; None where Python does not know."""
    try:
        return [(p.name, p.default) for p in inspect.signature(method).parameters.values()][1:]
    except (TypeError, ValueError):
        return None


def measure(kind, name, x, data="data", grad="grad"):
    """The method's value at x and, off zero, where kinks are a matter of taste, its derivative."""
    try:
        operand = kind(x)
        result = getattr(operand, name)()
        numbers = [getattr(result, data, result)]
        if x and isinstance(result, kind):
            result.backward()
            numbers.append(getattr(operand, grad))
        return numbers if all(math.isfinite(number) for number in numbers) else None
    except Exception:
        return None


def close(mine, ours):
    return (
        ours is not None
        and len(mine) == len(ours)
        and all(
            math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-8) for a, b in zip(mine, ours, strict=True)
        )
    )
