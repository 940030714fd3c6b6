# SPDX-License-Identifier: MIT
"""Steps that record: operations, leaves, layers, copies; and those that drop what was recorded."""

import copy
import math
import operator
import pickle
import random

import mirror
from engine_state import NUMBERS, State, raised, same
from mirror import Node

import micrograd_c as mc
from micrograd_c import Value, nn

# (what is called, the oracle's value, its rule, _op)
UNARY = [
    (getattr(operator, name, None) or getattr(Value, name), value, mirror.UNARY_RULE[name], name)
    for name, (value, _) in mirror.UNARY.items()
]
BINARY = [
    (getattr(operator, name, None) or getattr(Value, name), value, mirror.BINARY_RULE[name], op)
    for name, (op, value, *_) in mirror.BINARY.items()
]
# + - * more often than the others, as in people's graphs; in place, too.
BINARY += [BINARY[0]] * 3 + [BINARY[2]] * 3 + [BINARY[1]]
BINARY += [
    (getattr(operator, f"i{name}"), row[1], mirror.BINARY_RULE[name], row[0])
    for name, row in mirror.BINARY.items()
    if hasattr(operator, f"i{name}")
]


class Operations(State):
    def binary(self, r):
        n = len(self.slots)
        x, a = self.slots[r % n]
        y, b = self.slots[(r >> 16) % n]
        call, value, rule, op = BINARY[(r >> 32) % len(BINARY)]
        self.record(call, value, rule, op, (x, y), (a, b), (a.data, b.data))

    def unary(self, r):
        x, a = self.pick(r)
        call, value, rule, op = UNARY[(r >> 32) % len(UNARY)]
        self.record(call, value, rule, op, (x,), (a,), (a.data,))

    def number(self, r):
        x, a = self.pick(r)
        call, value, rule, op = BINARY[(r >> 32) % len(BINARY)]
        number = NUMBERS[(r >> 16) % len(NUMBERS)]
        as_float = float(number)
        if r >> 40 & 1 and not op[0].isalpha():  # an operator: the number may come first
            self.record(call, value, rule, op, (number, x), (Node(as_float), a), (as_float, a.data))
        elif op == "**":
            self.power(x, a, number)
        else:
            self.record(call, value, rule, op, (x, number), (a, Node(as_float)), (a.data, as_float))

    def power(self, x, a, number):
        want, error = raised(mirror.power, a.data, float(number))
        got, refused = raised(operator.pow, x, number)
        if refused is not error:
            self.fail(f"{a.data} ** {number}: {refused or got!r}, expected {error or want!r}")
        if error is None:
            op = f"**{number}"
            self.add(got, self.node(want, (a,), mirror.pow_number_rule, op, float(number)))

    def scaled(self, r):
        x, a = self.pick(r)
        slope = NUMBERS[(r >> 16) % len(NUMBERS)]
        want = a.data if a.data > 0 else a.data * float(slope)
        node = self.node(want, (a,), mirror.leaky_relu_rule, "leaky_relu", float(slope))
        self.add(x.leaky_relu(slope), node)

    def leaf(self, r):
        data = (r % 4001 - 2000) / 1000 if r >> 60 else NUMBERS[r % len(NUMBERS)]
        if r >> 58 == 5:
            data = (math.inf, -math.inf, math.nan)[r % 3]
            self.slots.append((Value(data), Node(data)))
            return
        self.add(Value(data), Node(float(data)))

    def operands_for(self, r, count):
        """Values and numbers, with their nodes."""
        chance = random.Random(r)
        ours, nodes = [], []
        for _ in range(count):
            if chance.random() < 0.2:
                number = chance.choice(NUMBERS)
                ours.append(number)
                nodes.append(Node(float(number)))
            else:
                x, a = self.pick(chance.getrandbits(32))
                ours.append(x)
                nodes.append(a)
        return ours, nodes

    def variadic(self, r):
        which, count = r % 6, 1 + (r >> 8) % 6
        r >>= 16
        if which == 0:
            ours, nodes = self.operands_for(r, count)
            got, extra = mc.sum(ours), None
            want, rule, op = mirror.sum_value(nodes), mirror.sum_rule, "sum"
        elif which == 1:
            ours, nodes = self.operands_for(r, 2 * count + (r & 1))
            bias = ours[2 * count] if r & 1 else None
            got, extra = mc.dot(ours[0 : 2 * count : 2], ours[1 : 2 * count : 2], bias), None
            want, rule, op = mirror.dot_value(nodes), mirror.dot_rule, "dot"
        elif which == 2:
            ours, nodes = self.operands_for(r, 3)
            if r & 1 or not isinstance(ours[0], Value):
                ours[0] = bool(r & 2)
                nodes[0] = Node(float(ours[0]))
            got, extra = mc.where(*ours), None
            want, rule, op = (
                nodes[1 if nodes[0].data > 0 else 2].data,
                mirror.where_rule,
                "where",
            )
        elif which == 3:
            ours, nodes = self.operands_for(r, 3)
            got, extra = mc.clip(*ours), None
            v, low, high = (node.data for node in nodes)
            want = mirror.minimum(mirror.maximum(v, low), high)
            rule, op = mirror.clip_rule, "clip"
        elif which == 4:
            ours, nodes = self.operands_for(r, count)
            at = r % (2 * count) - count
            index, node = Value(at), Node(float(at))
            got, extra = mc.take(ours, index), None
            want, rule, op = nodes[at].data, mirror.take_rule, "take"
            nodes = [node, *nodes]
            if r >> 40 & 1:
                self.slots.append((index, node))
        else:
            ours, nodes = self.operands_for(r, count)
            extra = [NUMBERS[(r + k) % len(NUMBERS)] for k in range(count)]
            want, rule, op = (r % 2001 - 1000) / 500, mirror.custom_rule, "custom"
            got = mc.custom(want, ours, extra)
        self.add(got, self.node(want, tuple(nodes), rule, op, extra))

    def layer(self, r):
        """An input of numbers for one neuron only: whether neurons share their leaves is open."""
        chance = random.Random(r)
        random.seed(r)
        n_in, n_out = chance.randint(1, 4), chance.randint(1, 3)
        name = chance.choice(["tanh", "relu", "linear", "sigmoid", "gelu", "sin"])
        if chance.random() < 0.3:
            sizes = [*chance.choice([[], [2], [3]]), chance.randint(1, 3)]
            model = nn.MLP(n_in, sizes, name)
            layers = model.layers
        else:
            layers = [nn.Layer(n_in, n_out, name)]
            model = layers[0]
        if len(layers) == len(layers[0].neurons) == 1:
            ours, xs = self.operands_for(r, n_in)
        else:
            pairs = [self.pick(chance.getrandbits(32)) for _ in range(n_in)]
            ours, xs = [x for x, _ in pairs], [a for _, a in pairs]
        parameters = [(p, Node(p.data)) for p in model.parameters()]
        mirrors = {id(p): node for p, node in parameters}
        keep = chance.choice(parameters)
        nodes = xs
        for layer in layers:
            made = []
            for neuron in layer.neurons:
                operands = []
                for w, x in zip(neuron.w, nodes, strict=True):
                    operands += [mirrors[id(w)], x]
                operands.append(mirrors[id(neuron.b)])
                total = self.node(
                    mirror.dot_value(operands), tuple(operands), mirror.dot_rule, "dot"
                )
                if name != "linear":
                    value, error = raised(mirror.UNARY[name][0], total.data)
                    if error is not None:
                        return
                    total = self.node(value, (total,), mirror.UNARY_RULE[name], name)
                made.append(total)
            nodes = made
        got = model(ours)
        self.operations += sum(len(layer.neurons) for layer in layers)
        for out, node in zip(got if isinstance(got, list) else [got], nodes, strict=True):
            self.add(out, node)
        self.slots.append(keep)

    def copy(self, r):
        x, a = self.pick(r)
        how = (copy.copy, copy.deepcopy, lambda v: pickle.loads(pickle.dumps(v)))[(r >> 16) % 3]
        kept = [isinstance(v, (int, str)) for v in (a.attributes or {}).values()]
        if a.kind is not None or not all(kept) or (a.rule is not None):
            return
        try:
            got = how(x)
        except TypeError:
            if not a.prev:
                self.fail(f"a leaf, n{a.serial}, could not be copied")
            return
        if a.prev:
            self.fail(f"n{a.serial}, which is no leaf, was copied")
        node = Node(a.data)
        node.grad, node.label = a.grad, a.label
        node.attributes = dict(a.attributes) if a.attributes else None
        node.op = a.op
        self.add(got, node)

    def detach(self, r):
        x, a = self.pick(r)
        if r >> 16 & 1:
            self.add(x.detach(), Node(a.data))
        elif not same(x.item(), a.data):
            self.fail("item()")

    # -- deaths --

    def drop(self, r):
        if len(self.slots) > 4:
            pair = self.slots.pop(r % len(self.slots))
            del pair
        if len(self.slots) > 48:
            del self.slots[r % 8 : 24 + (r >> 8) % 8]

    def drop_newest(self, r):
        while len(self.slots) > 4 and r & 3:
            self.slots.pop()
            r >>= 2

    def alias(self, r):
        self.slots.append(self.pick(r))
