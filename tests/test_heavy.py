# SPDX-License-Identifier: MIT
"""What handles.pyx promises of nodes with Python objects: whoever dies, asks or comes late."""

import gc
import weakref

import pytest
from common import collecting_after

from micrograd_c import Value, topological_sort

# -- handles that are being destroyed --------------------------------------------------------------


def test_a_weakref_callback_that_asks_the_graph_gets_a_new_handle():
    found, refs = [], []
    for k in range(500):
        v = Value(k + 0.5)
        u = v * 2
        refs.append(
            weakref.ref(v, lambda _, u=u: found.extend(w for w in u._prev if w.data != 2.0))
        )
        del v
        assert found[-1].data == k + 0.5
        u.backward()
        assert found[-1].grad == 2.0
        assert found[-1] in u._prev
    assert len({id(v) for v in found}) == 500


def test_a_weakref_callback_may_sort_sweep_and_record():
    done = []

    def callback(_, u):
        u.backward()
        done.append((len(topological_sort(u)), (u * 3).data))

    for _ in range(300):
        v = Value(1.0)
        u = v * 2
        ref = weakref.ref(v, lambda _, u=u: callback(_, u))
        del v
        del ref
    assert done == [(3, 6.0)] * 300


def test_a_weakref_callback_may_collect_while_attributes_came_late():
    for _ in range(50):
        v = Value(1.0)
        u = v * 2
        v.tag = [1]
        ref = weakref.ref(v, lambda _: gc.collect())
        del v
        assert ref() is None
        (operand,) = [w for w in u._prev if w.data == 1.0]
        assert operand.tag == [1]


def test_finalizers_of_many_values_with_late_attributes():
    log = []
    with collecting_after(20, 5, 5):
        for k in range(20_000):
            v = Value(1.0)
            u = v * 2
            v.history = [k]
            weakref.finalize(v, lambda k=k: log.append([k]))
            del v, u
    assert len(log) == 20_000


def test_an_attribute_of_a_subclass_may_collect_when_it_ends(clean):
    class Noisy:
        def __init__(self, root):
            self.root = root

        def __del__(self):
            gc.collect()
            ended.append([v.data for v in topological_sort(self.root)])

    class Parameter(Value):
        pass

    before, ended = clean(), []
    for _ in range(50):
        v = Value(1.0)
        u = v * 3.0
        p = Parameter(1.0, (v,), "mine")
        v.tag = [1]  # late: p has been recorded on it
        p.noisy = Noisy(u)
        del p
    assert ended == [[1.0, 3.0, 3.0]] * 50
    del u, v
    assert clean() == before


def test_a_new_handle_for_an_instance_that_is_being_destroyed(clean):
    """The collector settles what is late, and among that is the node of the dying instance."""

    class Slotted(Value):
        __slots__ = ("noisy",)

    class Noisy:
        def __del__(self):
            gc.collect()

    before = clean()
    for _ in range(50):
        v = Value(1.0)
        w = Value(2.0)
        s = Slotted(1.0, (v, w), "mine")
        s.label = "dying"
        v.tag = [1]
        w.tag = [s]
        s.noisy = Noisy()
        del w, s
        gc.collect()
    del v
    assert clean() == before


# -- what comes late -------------------------------------------------------------------------------


@pytest.mark.parametrize("collect", [lambda: None, gc.collect, lambda: gc.collect(0)])
def test_operands_may_become_heavy_one_after_the_other(collect):
    x = Value(3.0)
    a, b = Value(1.0), x * 2.0
    u = a * b
    a.tag = [1]
    collect()

    def rule():
        x.grad += 100.0

    b._backward = rule
    b.label = "second"
    collect()
    del b
    collect()
    u.backward()
    assert x.grad == 100.0
    (second,) = [v for v in u._prev if v is not a]
    assert second.label == "second" and second._backward is rule


def test_what_came_late_is_kept_while_only_the_graph_needs_it():
    a = Value(1.0)
    u = a * 2.0
    a.history = []
    a.history.append(a)  # a cycle that the collector alone would take for garbage
    a.label = "kept"
    junk = [a]
    junk.append(junk)
    del a, junk
    for _ in range(3):
        gc.collect()
        (operand,) = [v for v in u._prev if v.data == 1.0]
        assert operand.label == "kept" and operand.history == [operand]
        del operand


def test_the_collector_may_run_between_lateness_and_settling():
    """Another callback of the collector can make a node heavy after this engine has settled all."""
    made = []

    def callback(phase, info):
        if phase == "start" and not made:
            a = Value(1.0)
            u = a * 2.0
            a.me = [a]
            made.append(u)
            cycle = [a]
            cycle.append(cycle)

    gc.callbacks.append(callback)
    try:
        gc.collect()
    finally:
        gc.callbacks.remove(callback)
    (operand,) = [v for v in made[0]._prev if v.data == 1.0]
    assert operand.me == [operand]


def test_a_late_rule_that_refers_to_its_node_is_collected_with_the_graph(clean):
    before = clean()
    a = Value(2.0)
    b = a * 3.0
    u = b * 4.0

    def rule(a=a, b=b):
        a.grad += b.grad

    b._backward = rule
    ref = weakref.ref(b)
    del b, rule
    gc.collect()
    assert ref() is not None
    u.backward()
    assert a.grad == 4.0
    del u, a
    assert clean() == before
    assert ref() is None


def test_everything_late_at_once(clean):
    """Every second node of a chain becomes heavy after the chain was recorded."""
    before = clean()
    x = chain = Value(1.0)
    nodes = [x]
    for _ in range(200):
        chain = chain * 1.5 - 0.25
        nodes.append(chain)
    chain.backward()
    expected = [v.grad for v in nodes]
    for v in nodes[::2]:
        v.tag = [v]
    identities = [id(v) for v in nodes]
    gc.collect()
    del v, x, nodes
    gc.collect()
    chain.backward()
    order = [v for v in topological_sort(chain) if v._op in ("", "-")]
    order = [v for v in order if hasattr(v, "tag") or v._op == "-"]
    assert [id(v) for v in order] == identities
    assert [v.grad for v in order] == expected
    del chain, order
    assert clean() == before
