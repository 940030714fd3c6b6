# SPDX-License-Identifier: MIT
"""Random use of the engine against the oracle of mirror.py: values, grads, identities, lifetimes.

    python tests/fuzz/engine.py --operations 30000000

A case is a few hundred steps on a list of Values, its slots. Each step does the same to a Value and
to its mirror; what a step works on follows from a random number and from what there is, so that any
part of the steps is a case as well.
"""

import contextlib
import copy
import gc
import math
import operator
import pickle
import random
import sys
import threading
import weakref

import harness
import mirror
from harness import Finding
from mirror import Node

import micrograd_c as mc
from micrograd_c import Value, _core, nn, topological_sort

BASIC = {
    "late_attributes": "attributes, labels and containers given to nodes that have been used",
    "late_rules": "_backward assigned to nodes that have been used",
    "closures": "nodes whose rule is written in Python",
    "weakrefs": "weak references, with callbacks, and weakref.finalize",
    "subclasses": "instances of subclasses",
    "dying_attributes": "attributes whose __del__ does something",
    "cycles": "attributes that lead back to their node",
    "collecting": "callbacks, __del__ and rules that collect",
    "asking": "callbacks, __del__ and rules that ask graphs for their nodes, and keep them",
    "recording": "callbacks, __del__ and rules that record",
    "raising": "callbacks, __del__ and rules that raise",
    "nested": "rules that run backward() of another graph",
    "no_grad": "no_grad()",
    "threads": "other threads that record",
    "suspended": "threads that end inside no_grad()",
    "copies": "copies, pickles, detach()",
    "layers": "nn.Neuron, nn.Layer, nn.MLP",
    "tiny_tape": "a tape that looks for garbage all the time",
    "collections": "gc.collect() and compact() between steps, tiny thresholds of the collector",
}

# name of a step -> (weight, the features that it needs)
STEPS = {
    "binary": (300, ()),
    "unary": (150, ()),
    "number": (120, ()),
    "scaled": (30, ()),
    "leaf": (60, ()),
    "drop": (210, ()),
    "drop_newest": (30, ()),
    "alias": (10, ()),
    "variadic": (50, ()),
    "layer": (8, ("layers",)),
    "assign_data": (10, ()),
    "assign_grad": (10, ()),
    "initialise": (3, ()),
    "backward": (20, ()),
    "by_hand": (10, ()),
    "accumulate": (2, ()),
    "look": (12, ()),
    "operands": (8, ()),
    "refused": (10, ()),
    "collect": (6, ("collections",)),
    "compact": (6, ("collections",)),
    "label": (8, ("late_attributes",)),
    "attribute": (8, ("late_attributes",)),
    "container": (8, ("late_attributes",)),
    "the_dict": (2, ("late_attributes",)),
    "delete": (4, ("late_attributes",)),
    "dying": (6, ("dying_attributes",)),
    "cycle": (6, ("cycles",)),
    "closure": (12, ("closures",)),
    "late_rule": (10, ("late_rules",)),
    "subclass_leaf": (8, ("subclasses",)),
    "subclass_node": (6, ("subclasses", "closures")),
    "weakref": (10, ("weakrefs",)),
    "finalize": (6, ("weakrefs",)),
    "weak_key": (3, ("weakrefs",)),
    "no_grad": (4, ("no_grad",)),
    "thread": (1, ("threads",)),
    "suspended": (1, ("suspended",)),
    "copy": (8, ("copies",)),
    "detach": (5, ("copies",)),
}
NUMBERS = [0.0, 1.0, -1.0, 2.0, 0.5, -2.0, 3.0, -0.5, 1e-3, 10.0, -0.0, 3, 2, -1, True, 0, 1.5]
BASES = ["binary", "number"]


class Boom(Exception):
    """What callbacks and rules of these cases raise."""


class Dict(Value):
    """A subclass with a dict."""


class Slots(Value):
    __slots__ = ("box", "tag")


class Bare(Value):
    __slots__ = ()


class Own(Value):
    """A subclass with a constructor and a method of its own."""

    def __init__(self, data, children=()):
        super().__init__(data, children, "own")
        self.made = [data]


KINDS = [Dict, Slots, Bare, Own]


class Token:
    """An object whose life is watched: each has one beside its Value and one in the mirror."""

    __slots__ = ("__weakref__", "action", "alive", "case", "number")

    def __init__(self, number, alive, case=None, action=None):
        self.number, self.alive, self.case, self.action = number, alive, case, action
        alive.add(number)

    def __del__(self):
        self.alive.discard(self.number)
        if self.action is not None:
            self.case.act(self.action)


def same(a, b):
    return a == b or (a != a and b != b)


def raised(call, *operands):
    """(result, None), or (None, the class of the exception)."""
    try:
        return call(*operands), None
    except (ValueError, OverflowError, ZeroDivisionError) as error:
        return None, type(error)


UNARY = [(name, operator.methodcaller(name), *mirror.UNARY[name]) for name in mirror.UNARY]
UNARY_CALLS = {"neg": operator.neg, "abs": operator.abs}
UNARY = [
    (name, UNARY_CALLS.get(name, call), value, mirror.UNARY_RULE[name], name)
    for name, call, value, _ in UNARY
]
BINARY = [
    (
        name,
        getattr(operator, name, operator.methodcaller(name)),
        row[1],
        mirror.BINARY_RULE[name],
        row[0],
    )
    for name, row in mirror.BINARY.items()
]
for k, row in enumerate(BINARY):
    if row[0] in ("maximum", "minimum"):
        method = getattr(Value, row[0])
        BINARY[k] = (row[0], method, *row[2:])
IN_PLACE = [operator.iadd, operator.isub, operator.imul]
# + - * more often than the others, as in people's graphs.
BINARY += [BINARY[0]] * 3 + [BINARY[2]] * 3 + [BINARY[1]]


class Case:
    def __init__(self, seed, features, verbose):
        self.features = features
        self.verbose = verbose
        self.random = random.Random(~seed)
        self.slots = []  # pairs of a Value and its Node
        self.weakrefs = []
        self.generators = []
        self.weak_keys = weakref.WeakKeyDictionary()
        self.ours_alive, self.mirror_alive = set(), set()
        self.tokens = 0
        self.failure = None
        self.acting = 0
        self.is_rough = False  # the order of recording is not known: sums may be rounded otherwise
        self.pause = None
        self.accumulates = False
        self.nesting = {True: 0, False: 0}
        self.operations = 0
        self.counts = {}
        self.actions = ["allocate", "drop", "compact"]
        self.actions += [
            action
            for action, feature in {
                "collect": "collecting",
                "ask": "asking",
                "sort": "asking",
                "record": "recording",
                "boom": "raising",
            }.items()
            if feature in features
        ]

    # -- what every step uses --

    def unraisable(self, problem):
        if problem.exc_type is not Boom and self.failure is None:
            self.failure = f"raised where nobody catches it: {problem.exc_value!r}"

    def fail(self, text):
        if self.failure is None:
            self.failure = text
        raise Finding(text)

    def expect(self, what, ours, theirs):
        if ours != theirs:
            self.fail(f"{what}: {ours!r}, expected {theirs!r}")

    def pick(self, r):
        return self.slots[r % len(self.slots)]

    def add(self, ours, node):
        """The result of a step; what runs away is dropped at once."""
        if -1e3 < node.data < 1e3:
            self.slots.append((ours, node))
        if ours.data != node.data and node.data == node.data:
            self.fail(f"{node.op!r}: {ours.data!r}, expected {node.data!r}")
        if self.verbose:
            operands = ", ".join(f"n{operand.serial}" for operand in node.prev)
            print(f"    n{node.serial} = {node.op or 'leaf'}({operands})  # {node.data}")

    def node(self, data, prev, rule, op, extra=None):
        """What a step records; under no_grad() a leaf."""
        if self.pause is not None:
            return Node(data)
        return Node(data, prev, rule, op, extra)

    def record(self, call, value, rule, op, operands, nodes, numbers):
        """One operation on both sides, where both may refuse it."""
        want, error = raised(value, *numbers)
        got, refused = raised(call, *operands)
        if refused is not error:
            self.fail(f"{op!r} of {numbers}: {refused or got!r}, expected {error or want!r}")
        if error is None:
            self.add(got, self.node(want, nodes, rule, op))

    def token(self, action=None):
        """A token for each side; with an action, the Value's does something when it dies."""
        self.tokens += 1
        ours = Token(self.tokens, self.ours_alive, self, action)
        return ours, Token(self.tokens, self.mirror_alive)

    # -- operations --

    def binary(self, r):
        n = len(self.slots)
        x, a = self.slots[r % n]
        y, b = self.slots[(r >> 16) % n]
        _, call, value, rule, op = BINARY[(r >> 32) % len(BINARY)]
        self.record(call, value, rule, op, (x, y), (a, b), (a.data, b.data))

    def unary(self, r):
        x, a = self.pick(r)
        _, call, value, rule, op = UNARY[(r >> 32) % len(UNARY)]
        self.record(call, value, rule, op, (x,), (a,), (a.data,))

    def number(self, r):
        x, a = self.pick(r)
        _, call, value, rule, op = BINARY[(r >> 32) % len(BINARY)]
        number = NUMBERS[(r >> 16) % len(NUMBERS)]
        as_float = float(number)
        if r >> 40 & 1 and op not in ("maximum", "minimum"):
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
            index, node = Value(at), Node(float(at), extra="index")
            got, extra = mc.take(ours, index), None
            nodes = [node, *nodes]
            want, rule, op = nodes[1:][at].data, mirror.take_rule, "take"
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

    # -- numbers --

    def assign_data(self, r):
        x, a = self.pick(r)
        if a.extra != "index":  # what a backward pass does with another one is open
            x.data = a.data = NUMBERS[(r >> 16) % 10]

    def assign_grad(self, r):
        x, a = self.pick(r)
        x.grad = a.grad = NUMBERS[(r >> 16) % 10]

    def initialise(self, r):
        """__init__ of a leaf once more."""
        x, a = self.pick(r)
        if not a.prev and a.kind is not Own and a.extra != "index":
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
        if late and not self.weakrefs_hold():
            gc.collect()
            late = self.ours_alive - self.mirror_alive
            if late:
                self.fail(f"attributes {sorted(late)} outlive their node")

    def weakrefs_hold(self):
        return self.pending > 0

    pending = 0  # callbacks that hold Values of their own

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
        if self.pause is not None:
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

    # -- what callbacks, __del__ and rules do besides --

    def act(self, r, pair=None, in_rule=False):
        """Runs in the middle of anything, on the Values' side only."""
        if self.acting >= 2 or not self.slots:
            return
        self.acting += 1
        try:
            action = self.actions[r % len(self.actions)]
            if not in_rule or action != "boom":  # which would stop one side's sweep only
                self.do(action, r >> 8, pair or self.pick(r >> 4))
        except Finding:
            pass  # fail() keeps it for the step
        finally:
            self.acting -= 1

    def do(self, action, r, pair):
        x, a = pair
        if action == "allocate":
            [[] for _ in range(r & 1023)]
        elif action == "drop":
            if len(self.slots) > 4:
                self.slots.pop(r % len(self.slots))
        elif action == "compact":
            _core.compact()
        elif action == "collect":
            gc.collect(r % 3)
        elif action == "ask":
            for value in x._prev:
                _ = value.data, value.label, value._op
        elif action == "sort":
            ours, nodes = topological_sort(x), mirror.topological_order(a)
            if len(ours) != len(nodes):
                self.fail(f"size of n{a.serial}'s graph: {len(ours)}, expected {len(nodes)}")
            k = r % len(ours)
            self.slots.append((ours[k], nodes[k]))
        elif action == "record":
            self.is_rough = True
            y, b = self.pick(r)
            self.add(x + y, self.node(a.data + b.data, (a, b), mirror.add_rule, "+"))
            self.add(
                y.tanh(), self.node(math.tanh(b.data), (b,), mirror.UNARY_RULE["tanh"], "tanh")
            )
        else:
            raise Boom

    # -- no_grad, copies --

    def no_grad(self, r):
        if self.pause is None and r & 1:
            self.pause = mc.no_grad()
            self.pause.__enter__()
        elif self.pause is not None:
            pause, self.pause = self.pause, None
            pause.__exit__(None, None, None)

    def thread(self, r):
        """Records in another thread, where no_grad() of this one does not hold."""
        x, a = self.pick(r)
        pause, self.pause = self.pause, None
        made = []
        self.in_thread(lambda: made.append((x * x).tanh()))
        square = Node(a.data * a.data, (a, a), mirror.mul_rule, "*")
        self.add(
            made.pop(),
            Node(math.tanh(square.data), (square,), mirror.UNARY_RULE["tanh"], "tanh"),
        )
        self.pause = pause

    def in_thread(self, run):
        """Without callbacks meanwhile, of which it is open whether they record."""
        acting, self.acting = self.acting, 2
        worker = threading.Thread(target=run)
        worker.start()
        worker.join()
        self.acting = acting

    def suspended(self, r):
        """A generator that waits inside no_grad() when its thread ends."""

        def waiting():
            with mc.no_grad():
                yield

        generators = [waiting() for _ in range(1 + r % 2)]
        self.in_thread(lambda: [next(generator) for generator in generators])
        self.generators += generators

    def copy(self, r):
        x, a = self.pick(r)
        how = (copy.copy, copy.deepcopy, lambda v: pickle.loads(pickle.dumps(v)))[r >> 16 & 1]
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
        node.op = got._op  # whether a copy keeps what a leaf calls itself is open
        self.add(got, node)

    def detach(self, r):
        x, a = self.pick(r)
        if r >> 16 & 1:
            self.add(x.detach(), Node(a.data))
        elif not same(x.item(), a.data):
            self.fail("item()")

    # -- the end --

    def finish(self):
        """Everything is dropped: nothing is left."""
        if self.pause is not None:
            self.pause.__exit__(None, None, None)
            self.pause = None
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


class Engine:
    __doc__ = __doc__
    unit = "operations"
    features = BASIC

    def generate(self, seed, features):
        """Pairs of a step's name and a random number. Each case leaves some features out."""
        chance = random.Random(seed)
        chosen = {name for name in sorted(features) if chance.random() < 0.7}
        if "recording" in chosen:
            chosen -= {"raising"}  # the order of rules is not known then, nor where one stops
        names = [name for name, (_, needs) in STEPS.items() if chosen.issuperset(needs)]
        weights = [
            STEPS[name][0] * (chance.choice([0.2, 1, 1, 4]) if STEPS[name][1] else 1)
            for name in names
        ]
        count = chance.choice([30, 100, 300, 1000])
        thresholds = [(0, 0, 0), (700, 10, 10)]
        if "collections" in chosen:
            thresholds += [(1, 1, 1), (7, 3, 2), (30, 2, 3)]
        setup = (
            "setup",
            (
                frozenset(chosen),
                "tiny_tape" in chosen and chance.random() < 0.7,
                chance.choice(thresholds),
            ),
        )
        steps = chance.choices(names, weights, k=count)
        return [setup, *((name, chance.getrandbits(64)) for name in steps)]

    def run(self, seed, steps, features, counts, verbose):
        if steps[0][0] == "setup":
            chosen, tiny, threshold = steps[0][1]
            steps = steps[1:]
        else:  # left out while the case is made smaller
            chosen, tiny, threshold = frozenset(features), False, (0, 0, 0)
        gc.set_threshold(0)
        gc.collect()
        before = mc.tape_stats().live
        case = Case(seed, chosen, verbose)
        hook, sys.unraisablehook = sys.unraisablehook, case.unraisable
        _core.set_minimum(1 if tiny else 8192)
        try:
            for k in range(5):
                case.slots.append((Value(k - 1.5), Node(k - 1.5)))
            gc.set_threshold(*threshold)
            for name, r in steps:
                if verbose:
                    print(f"  {name} {r}", flush=True)
                if len(case.slots) < 3:
                    case.slots.append((Value(0.5), Node(0.5)))
                getattr(case, name)(r)
                if case.failure is not None:
                    raise Finding(case.failure)
            gc.set_threshold(0)
            case.finish()
            if case.failure is not None:
                raise Finding(case.failure)
        finally:
            gc.set_threshold(0)
            sys.unraisablehook = hook
            _core.set_minimum(8192)
            mc.accumulate_grads(False)
            if case.pause is not None:
                case.pause.__exit__(None, None, None)
        if case.is_rough:
            counts["cases with callbacks that record"] += 1
        counts["tokens"] += case.tokens
        operations = case.operations + len(steps)
        del case
        gc.collect()
        after = mc.tape_stats().live
        if after > before:
            raise Finding(f"{after - before} nodes stay on the tape")
        for name, _ in steps[:: max(1, len(steps) // 40)]:
            counts[name] += 1
        return operations


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(harness.main(Engine()))
