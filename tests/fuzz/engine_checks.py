# SPDX-License-Identifier: MIT
"""Steps that compare the two sides: numbers, sweeps, graphs, refusals, collections, the end."""

import gc
import math

import mirror
from engine_state import NUMBERS, Boom, Own, State, Token, same

import micrograd_c as mc
from micrograd_c import Value, _core, topological_sort


class Checks(State):
    # -- numbers --

    def assign_data(self, r):
        x, a = self.pick(r)
        x.data = a.data = NUMBERS[(r >> 16) % 10]

    def assign_grad(self, r):
        x, a = self.pick(r)
        x.grad = a.grad = NUMBERS[(r >> 16) % 10]

    def initialise(self, r):
        """__init__ of a leaf once more."""
        x, a = self.pick(r)
        if not a.prev and a.kind is not Own:
            x.__init__(1.25)
            a.data, a.grad = 1.25, 0.0

    def backward(self, r):
        x, a = self.pick(r)
        accumulate = (None, None, True, False)[r >> 20 & 3]
        adding = self.accumulates if accumulate is None else accumulate
        self.both(lambda: x.backward(accumulate=accumulate), lambda: mirror.backward(a, adding))
        self.operations += 1
        if r >> 24 & 1:
            self.compare_slots()

    def by_hand(self, r):
        x, a = self.pick(r)
        if a.rule is not None or not a.prev:
            self.both(x._backward, lambda: a.rule and a.rule(a))

    def both(self, ours, theirs):
        """What may run rules; where a rule raises, it does so on both sides."""
        self.nesting[True] = self.nesting[False] = 0
        errors = []
        for call in (ours, theirs):
            try:
                call()
                errors.append(None)
            except Boom:
                errors.append(Boom)
        if not self.is_rough:
            self.expect("what a rule raised", *errors)

    def accumulate(self, r):
        self.accumulates = bool(r & 1)
        mc.accumulate_grads(self.accumulates)

    # -- looking --

    def compare_slots(self):
        for x, a in tuple(self.slots):
            g = x.grad
            if not same(x.data, a.data):
                self.fail(f"data of n{a.serial}: {x.data!r}, expected {a.data!r}")
            if not same(g, a.grad) and not (
                self.is_rough and math.isclose(g, a.grad, rel_tol=1e-6, abs_tol=1e-6)
            ):
                if self.is_rough and not abs(g) + abs(a.grad) < 1e6:
                    continue
                self.fail(f"grad of n{a.serial} {a.op!r}: {g!r}, expected {a.grad!r}")

    def look_at(self, x, a):
        what = f"n{a.serial}"
        if not same(x.data, a.data):
            self.fail(f"data of {what}: {x.data!r}, expected {a.data!r}")
        self.expect(f"_op of {what}", x._op, a.op)
        self.expect(f"label of {what}", x.label, a.label)
        self.expect(f"class of {what}", type(x), a.kind or Value)
        for name, want in (a.attributes or {}).items():
            got = getattr(x, name, None)
            if isinstance(got, Token):
                got, want = got.number, want.number
            elif isinstance(got, list):
                want = [node.data for node in want]
                got = [value.data for value in got]
                if not all(map(same, got, want)) or len(got) != len(want):
                    self.fail(f"{name} of {what}: {got}, expected {want}")
                continue
            self.expect(f"{name} of {what}", got, want)

    def look(self, r):
        """The whole graph of a node, as the engine orders it."""
        x, a = self.pick(r)
        ours, nodes = topological_sort(x), mirror.topological_order(a)
        self.expect(f"size of the graph of n{a.serial}", len(ours), len(nodes))
        held = {id(node): value for value, node in self.slots}
        at = dict(zip(map(id, nodes), ours, strict=True))
        for value, node in zip(ours, nodes, strict=True):
            if held.get(id(node), value) is not value:
                self.fail(f"n{node.serial}: another object than the one that is held")
            self.look_at(value, node)
            operands = {id(v) for v in value._prev}
            if operands != {id(at[id(operand)]) for operand in node.prev}:
                self.fail(f"_prev of n{node.serial}: not the operands")
        if r >> 32 & 3 == 0:
            k = (r >> 34) % len(ours)
            self.slots.append((ours[k], nodes[k]))
        self.compare_slots()

    def operands(self, r):
        x, a = self.pick(r)
        self.look_at(x, a)
        prev = x._prev
        self.expect(f"operands of n{a.serial}", len(prev), len(set(a.prev)))
        ids = {id(v) for v in prev}
        for value, node in tuple(self.slots):
            if node in a.prev and id(value) not in ids:
                self.fail(f"_prev of n{a.serial}: not the n{node.serial} that is held")

    # -- refusals: nothing changes --

    def refused(self, r):
        x, _ = self.pick(r)
        y, _ = self.pick(r >> 8)
        which = r >> 16 & 7
        calls = (
            (TypeError, lambda: x + "text"),
            (TypeError, lambda: mc.sum([x, None, y])),
            (TypeError, lambda: mc.dot([x, y], [x, object()])),
            (ValueError, lambda: mc.dot([x, y], [x])),
            (TypeError, lambda: Value(1.0, (x, 3.0))),
            (TypeError, lambda: setattr(x, "data", "text")),
            (AttributeError, lambda: delattr(x, "grad")),
            (IndexError, lambda: mc.take([x, y], Value(2))),
        )
        error, call = calls[which]
        try:
            call()
        except error:
            return
        self.fail(f"refusal {which}: nothing was raised")

    # -- the collector --

    def collect(self, r):
        gc.collect(r % 3)
        if r % 3 == 2 and r & 8:
            gc.collect()
            self.compare_tokens()

    def compact(self, r):
        _core.compact()

    def compare_tokens(self):
        """After collections: what the mirror's nodes keep, the engine's keep, and no more."""
        early = self.mirror_alive - self.ours_alive
        late = self.ours_alive - self.mirror_alive
        if early:
            self.fail(f"attributes {sorted(early)} died before their node")
        if late and not self.pending:
            gc.collect()
            late = self.ours_alive - self.mirror_alive
            if late:
                self.fail(f"attributes {sorted(late)} outlive their node")

    # -- the end --

    def finish(self):
        """Everything is dropped: nothing is left."""
        self.end_pauses()
        self.compare_slots()
        self.actions = ["allocate", "compact"]
        self.slots.clear()
        self.weak_keys.clear()
        refs = [ref for ref in self.weakrefs if ref.__callback__ is None]
        self.weakrefs.clear()
        for _ in range(4):
            gc.collect()
            self.slots.clear()
        left = sum(ref() is not None for ref in refs)
        if left:
            self.fail(f"{left} Values outlive everything that refers to them")
        if self.ours_alive:
            self.fail(f"{len(self.ours_alive)} attributes outlive everything")
