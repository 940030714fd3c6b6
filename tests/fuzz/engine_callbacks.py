# SPDX-License-Identifier: MIT
"""What happens in the middle of something else: callbacks, __del__ and rules that act; threads."""

import gc
import math
import threading

import mirror
from engine_state import Boom, State
from harness import Finding
from mirror import Node

import micrograd_c as mc
from micrograd_c import _core, topological_sort


class Callbacks(State):
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

    # -- no_grad, threads --

    def no_grad(self, r):
        if (r & 1 and not self.pauses) or (r & 7 == 7 and len(self.pauses) < 3):
            pause = self.pauses[0] if self.pauses and r & 8 else mc.no_grad()
            pause.__enter__()
            self.pauses.append(pause)
        elif self.pauses:
            pause = self.pauses.pop((r >> 8) % len(self.pauses))
            if r & 48 == 0 and "threads" in self.features:
                self.in_thread(lambda: pause.__exit__(None, None, None))
            else:
                pause.__exit__(None, None, None)

    def end_pauses(self):
        while self.pauses:
            self.pauses.pop().__exit__(None, None, None)

    def thread(self, r):
        """Records in another thread, where no_grad() of this one does not hold."""
        x, a = self.pick(r)
        pauses, self.pauses = self.pauses, []
        made = []
        self.in_thread(lambda: made.append((x * x).tanh()))
        square = Node(a.data * a.data, (a, a), mirror.mul_rule, "*")
        self.add(
            made.pop(),
            Node(math.tanh(square.data), (square,), mirror.UNARY_RULE["tanh"], "tanh"),
        )
        self.pauses = pauses

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
