# SPDX-License-Identifier: MIT
"""Steps that treat Values as objects: attributes, rules in Python, subclasses, weak references."""

import weakref

import mirror
from engine_state import KINDS, Boom, Own, Slots, State
from mirror import Node

from micrograd_c import Value


class Objects(State):
    # -- attributes --

    def attribute(self, r):
        x, a = self.pick(r)
        self.set(x, a, f"a{r >> 16 & 3}", r >> 20 & 255, r >> 20 & 255)

    def set(self, x, a, name, ours, theirs):
        if a.kind is Slots:
            name = ("tag", "box")[len(name) % 2]
        if a.attributes is None:
            a.attributes = {}
        a.attributes.pop(name, None)  # what it replaces may do something when it dies
        setattr(x, name, ours)
        a.attributes[name] = theirs

    def label(self, r):
        x, a = self.pick(r)
        x.label = a.label = f"label {r >> 16 & 255}"

    def container(self, r):
        x, a = self.pick(r)
        y, b = self.pick(r >> 16)
        if b is a or (b.serial > a.serial and "cycles" not in self.features):
            return
        self.set(x, a, "box", [y], [b])

    def cycle(self, r):
        x, a = self.pick(r)
        y, b = self.pick(r >> 16)
        self.set(x, a, "back", [y, x], [b, a])

    def dying(self, r):
        x, a = self.pick(r)
        subclassed = [pair for pair in self.slots if pair[1].kind is not None]
        if subclassed and r >> 62 & 1:  # these lose their attributes while they are destroyed
            x, a = subclassed[-1 - r % min(3, len(subclassed))]
        ours, theirs = self.token(r >> 16 if r >> 60 & 3 else None)
        self.set(x, a, f"token{r >> 12 & 1}", ours, theirs)

    def the_dict(self, r):
        x, a = self.pick(r)
        if a.kind is None:
            x.__dict__["through"] = 1
            if a.attributes is None:
                a.attributes = {}
            a.attributes["through"] = 1

    def delete(self, r):
        x, a = self.pick(r)
        if a.attributes:
            name = sorted(a.attributes)[r % len(a.attributes)]
            del a.attributes[name]
            delattr(x, name)
        else:
            try:
                del x.missing
            except AttributeError:
                return
            self.fail("del of a missing attribute: nothing was raised")

    # -- rules in Python --

    def closure(self, r):
        x, a = self.pick(r)
        y, b = self.pick(r >> 16)
        out = Value(a.data * 0.5 + b.data, (x, y), "own")
        node = self.node(a.data * 0.5 + b.data, (a, b), None, "own")
        if not node.prev:
            node.op = "own"
        elif r >> 32 & 7:  # else a node without a rule
            self.give_rule(out, node, (x, a), (y, b), r >> 36)
        self.add(out, node)

    def late_rule(self, r):
        if self.pauses:
            return
        x, a = self.pick(r)
        pairs = [pair for pair in self.slots if pair[1].serial < a.serial]
        if pairs:
            self.give_rule(
                x, a, pairs[(r >> 16) % len(pairs)], pairs[(r >> 24) % len(pairs)], r >> 36
            )

    def give_rule(self, out, node, first, second, r):
        """Adds to the grads of two nodes, and does what the random number says."""
        (x, a), (y, b) = first, second
        kinds = ["plain", "plain", "without itself", "token", "act"]
        kinds += [
            kind
            for kind, feature in (("nested", "nested"), ("boom", "raising"))
            if feature in self.features
        ]
        kind = kinds[r % len(kinds)]
        r >>= 4
        if kind == "without itself":

            def rule():
                x.grad += 2.0
                y.grad += 0.5

            def mirrored(node):
                a.grad += 2.0
                b.grad += 0.5

        else:
            token, mirror_token = self.token() if kind == "token" else (None, None)
            calls = [0, 0]

            def rule(token=token):
                x.grad += out.grad * 0.5
                y.grad += out.grad
                calls[0] += 1
                self.extra(kind, True, calls[0], r, y)

            def mirrored(node, token=mirror_token):
                a.grad += node.grad * 0.5
                b.grad += node.grad
                calls[1] += 1
                self.extra(kind, False, calls[1], r, b)

        node.rule = mirrored
        out._backward = rule

    def extra(self, kind, is_ours, call, r, older):
        if kind == "act" and is_ours:
            self.act(r, in_rule=True)
        elif kind == "boom" and call % 3 == 1:
            raise Boom
        elif kind == "nested" and self.nesting[is_ours] < 2:
            self.nesting[is_ours] += 1
            try:
                if is_ours:
                    older.backward(accumulate=False)
                else:
                    mirror.backward(older, False)
            finally:
                self.nesting[is_ours] -= 1

    def subclass_leaf(self, r):
        kind = KINDS[r % 4]
        data = (r % 4001 - 2000) / 1000
        node = Node(data)
        node.kind = kind
        if kind is Own:
            node.op = "own"
        self.add(kind(data), node)

    def subclass_node(self, r):
        kind = KINDS[r % 4]
        x, a = self.pick(r >> 8)
        out = kind(a.data, (x,)) if kind is Own else kind(a.data, (x,), "own")
        node = self.node(a.data, (a,), None, "own")
        node.op, node.kind = "own", kind
        if r >> 60 & 1 and node.prev:
            self.give_rule(out, node, (x, a), (x, a), r >> 16)
        self.add(out, node)

    # -- weak references --

    def weakref(self, r):
        x, a = self.pick(r)
        if r >> 60 & 1:
            self.weakrefs.append(weakref.ref(x))
            return
        action = r >> 16
        dependants = [pair for pair in self.slots if a in pair[1].prev] if r >> 61 & 1 else []
        pair = dependants[0] if dependants else None
        self.pending += pair is not None

        def callback(_):
            self.act(action, pair)

        self.weakrefs.append(weakref.ref(x, callback))

    def finalize(self, r):
        x, _ = self.pick(r)
        weakref.finalize(x, self.act, r >> 16).atexit = False

    def weak_key(self, r):
        x, _ = self.pick(r)
        self.weak_keys[x] = [r]
