# SPDX-License-Identifier: MIT
"""Subclasses of Value: constructors, slots, attributes, overridden methods."""

import math

import pytest
from common import Bare, Parameter, Slotted, churn, each_operator, operand, run_python

from micrograd_c import Value

pytestmark = pytest.mark.usefixtures("no_collection_meanwhile")


# -- subclasses ------------------------------------------------------------------------------------


class Unmade(Value):
    def __init__(self):
        """Never calls Value's."""


def test_a_subclass_may_have_a_constructor_of_its_own():
    p = Parameter("w", 2.0, decay=0.5)
    assert (p.data, p.label, p.name, p.decay) == (2.0, "w", "w", 0.5)
    assert vars(p) == {"name": "w", "decay": 0.5}
    assert isinstance(p, Value) and isinstance(p, Parameter) and issubclass(Parameter, Value)
    y = p.shrunk()
    y.backward()
    assert (y.data, p.grad) == (1.0, 0.5)
    assert Unmade().data == 0.0


@each_operator
def test_operators_of_a_subclass_return_value(op):
    p = Parameter("p", 2.0)
    for result in (op(p, p), op(p, 2), op(2, p), op(p, Value(2.0)), op(Value(2.0), p)):
        assert type(result) is Value
        assert result.data == op(2.0, 2.0)
        assert any(v is p for v in result._prev)


def test_methods_of_a_subclass_return_value():
    p = Parameter("p", 2.0)
    for result in (-p, abs(p), p.tanh(), p.maximum(1), p.leaky_relu(), p.detach()):
        assert type(result) is Value


@pytest.mark.parametrize("cls", [Slotted, Bare])
def test_a_subclass_may_have_slots(cls, either_tape):
    p = cls(3.0, label="p")
    p.name = "weight"
    p.more = [1]
    y = p * 2
    del p
    churn()
    p = operand(y, "p")
    assert (type(p), p.name, p.more, p.data) == (cls, "weight", [1], 3.0)
    del p.name
    assert not hasattr(p, "name")


@pytest.mark.parametrize("cls", [Bare, Slotted, Parameter], ids=lambda cls: cls.__name__)
def test_attributes_of_a_subclass_beside_its_own_getattr(cls):
    class Dynamic(cls):
        __slots__ = ()

        def __getattr__(self, name):
            if name.startswith("no"):
                return f"dynamic {name}"
            raise AttributeError(name)

    p = Dynamic.__new__(Dynamic)
    p.kept = 1
    assert (p.kept, p.nothing, hasattr(p, "missing")) == (1, "dynamic nothing", False)


def test_attributes_of_a_subclass_survive_while_only_a_graph_refers_to_it(either_tape):
    p = Parameter("w", 2.0)
    p.history = [p]
    y = (p * 3).tanh()
    identity = id(p)
    del p
    churn()
    product = y._prev.pop()
    found = operand(product, "w")
    assert type(found) is Parameter and id(found) == identity
    assert (found.name, found.history) == ("w", [found])
    y.backward()
    assert found.grad == pytest.approx(3 * (1 - math.tanh(6.0) ** 2))


def test_operators_overridden_in_a_subclass_have_the_first_word():
    class Loud(Value):
        def __add__(self, other):
            return "add", super().__add__(other)

        def __radd__(self, other):
            return "radd", super().__radd__(other)

        def __neg__(self):
            return "neg", super().__neg__()

    for expression, word, data in [
        (lambda: Loud(2.0) + 1, "add", 3.0),
        (lambda: 1 + Loud(2.0), "radd", 3.0),
        (lambda: Value(1.0) + Loud(2.0), "radd", 3.0),
        (lambda: -Loud(2.0), "neg", -2.0),
    ]:
        called, result = expression()
        assert (called, result.data) == (word, data)
    assert (Loud(2.0) * 3).data == 6.0


def test_methods_overridden_in_a_subclass():
    class Clamped(Value):
        def exp(self):
            return self.minimum(100.0).exp() if self.data > 100 else super().exp()

        def backward(self, **options):
            super().backward(**options)
            self.grad = -1.0

    p = Clamped(1000.0)
    assert p.exp().data == math.exp(100.0)
    p.backward()
    assert p.grad == -1.0


def test_a_subclass_of_a_subclass_and_with_another_base():
    class Named:
        def title(self):
            return self.name.title()

    class Both(Parameter, Named):
        pass

    p = Both("weight", 1.0)
    assert (p.title(), p.data, (p + 1).data) == ("Weight", 1.0, 2.0)


def test_changing_the_class_of_a_value_does_no_harm():
    code = """
        import gc
        from micrograd_c import Value

        class Bare(Value):
            __slots__ = ()

        for old, new in [(Value, Bare), (Bare, Value)]:
            v = old(2.0)
            y = v * 3
            try:
                v.__class__ = new
            except TypeError:
                pass
            for _ in range(2):
                v = None
                gc.collect()
                fresh = [Value(float(k)) for k in range(3000)]
                del fresh
                y.backward()
                print(sorted(v.data for v in y._prev), sorted(v.grad for v in y._prev))
    """
    assert run_python(code) == "[2.0, 3.0] [2.0, 3.0]\n" * 4


def test_a_half_made_instance_is_not_found_by_looking_at_all_objects():
    """Room on the tape is made after the object: code that runs meanwhile must not meet it."""
    code = """
        import gc
        from micrograd_c import Value, _core

        class Parameter(Value):
            pass

        class Curious:
            __slots__ = ()  # no cycle can come of it: it goes when the tape looks for garbage

            def __del__(self):
                ends.append(making)
                seen.update(v.data for v in gc.get_objects() if type(v) is Parameter)

        first, seen, ends, kept, making = Value(7.0), set(), [], [], False
        for _ in range(100):
            garbage = [Value(1.0) for _ in range(20)]
            for v in garbage:
                v.curious = Curious()
            kept = [Value(2.0)]
            del v, garbage
            _core.set_minimum(1)     # look for garbage at once
            making = True
            Parameter(3.0)
            making = False
        print(True in ends, seen)
    """
    assert run_python(code) == "True set()\n"
