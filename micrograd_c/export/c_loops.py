# SPDX-License-Identifier: MIT
"""Loops in C: over the steps, for one sample."""

from .c_statements import CPrinter
from .dialects import Expressions, Text
from .draws import Stream
from .loop import Loop, read_by_others
from .names import Names
from .printer import wrapped
from .references import SAMPLE, Block, Ref

MOST_ON_STACK = 1000  # numbers of a sequence


class CLoopPrinter(CPrinter):
    """A sequence of steps is an array, a step's numbers behind those of the one before."""

    def __init__(self, expressions: Expressions, names: Names) -> None:
        super().__init__(expressions, names)
        self.number = ""  # of a loop's step, for draws
        self.in_work = 0  # numbers of sequences that do not stand on the stack

    def _scan(self, block: Block, lines: list[str]) -> None:
        loop, around = block.loop, self.level
        assert loop is not None
        level = self.level = around or (2 if block.stage == SAMPLE else 1)
        self.loops += 1
        self.name_all("carry", loop.carries)
        for carry, last, ref in zip(loop.carries, loop.last, loop.first, strict=True):
            self._declare(carry, ref, lines)
            self.texts[id(last)] = self.texts[id(carry)]
        plain = [each for each in loop.sums if isinstance(each.added, Ref)]
        self.name_all("total", [each.block for each in plain])
        for each in plain:
            self._declare(each.block, each.first, lines)
        for each in loop.sums:
            if each not in plain:
                self.sums(each.block)
        self.name_all("steps", loop.steps)
        for steps in loop.steps:
            self._declare_steps(steps, loop.length, lines)
        step = self.names.take("step")
        most = loop.length * max([ref.block.size for ref in loop.taken if ref.block], default=1)
        kind = "int" if most < 2**31 else "long long"
        order = f"{kind} {step} = 0; {step} < {loop.length}; {step}++"
        if loop.is_reverse:
            order = f"{kind} {step} = {loop.length - 1}; {step} >= 0; {step}--"
        self.level = level + 1
        outer, self.number = self.number, loop.number_of(f"(uint32_t){step}", self.number)
        body = self._body(loop, step)
        self.number, self.level = outer, around
        indent = "    " * level
        lines += [f"{indent}for ({order}) {{", *body, f"{indent}}}"]

    def _declare(self, block: Block, ref: Ref, lines: list[str]) -> None:
        """What steps change, with what it is at first."""
        name, indent = self.texts[id(block)].text, self.indent(block)
        if not block.shape:
            lines += wrapped(f"double {name} = {self.element(ref, None).text};", indent)
        elif ref.block is None and ref.number == 0.0:
            lines.append(f"{indent}double {name}[{block.size}] = {{0.0}};")
        else:
            lines.append(f"{indent}double {name}[{block.size}];")
            self.loop(
                block, "i", block.size, [f"{name}[i] = {self.element(ref, 'i').text};"], lines
            )

    def _declare_steps(self, steps: Block, length: int, lines: list[str]) -> None:
        name, size = self.texts[id(steps)].text, length * steps.size
        if size <= MOST_ON_STACK:
            lines.append(f"{self.indent(steps)}double {name}[{size}];")
        else:
            lines.append(f"{self.indent(steps)}double *{name} = work + {self.in_work};")
            self.in_work += size

    def _unrolled(self, block: Block, lines: list[str]) -> None:
        (ref,) = block.operands
        self.texts[id(block)] = self.texts[id(ref.block)]

    # -- a step ------------------------------------------------------------------------------------

    def _body(self, loop: Loop, step: str) -> list[str]:
        pointers = [
            self._element(element, ref, step)
            for element, ref in zip(loop.elements, loop.taken, strict=True)
        ]
        ordered = self.order(loop.roots, loop.inside)
        self.named.update(id(ref.block) for ref in loop.following if ref.count)
        added = [each.added for each in loop.sums if isinstance(each.added, Block)]
        outer = [block for block in added if block.kind == "outer"]
        self.named.update(id(ref.block) for block in outer for ref in block.operands)
        lines: list[str] = []
        for element, pointer in zip(loop.elements, pointers, strict=True):
            if pointer and element.uses:
                lines.append(f"{self.indent(element)}{pointer}")
        for block, stream in loop.draws:
            self._draw(block, stream, lines)
        for block in ordered:
            self.statement(block, lines)
        for steps, ref in zip(loop.steps, loop.made, strict=True):
            self._store(steps, ref, step, lines)
        for each in loop.sums:
            name = self.texts[id(each.block)].text
            if isinstance(each.added, Ref):
                self.add_to(name, each.added, each.block, lines)
            elif each.added.kind == "outer":
                self.add_outer(name, each.added, lines)
            else:
                self.add_to(name, each.added.operands[0], each.added, lines)
        self._update(loop, lines)
        return lines

    def _draw(self, block: Block, stream: Stream, lines: list[str]) -> None:
        """What a step draws."""
        block.name = self.names.take("z" if stream.kind == "normal" else "u")
        self.texts[id(block)] = Text(block.name)
        self.drawn(block, stream.numbers, f"1 + {self.number}", lines)

    def _element(self, element: Block, ref: Ref, step: str) -> str:
        """What stands for the element; the declaration of a pointer to it, if it is a vector."""
        assert ref.block is not None
        source = self.texts[id(ref.block)].text if ref.block.kind != "numbers" else ""
        if not element.shape:
            is_steps = ref.block.kind == "steps"
            text = f"{source}[{step}]" if is_steps else self.element(ref, step).text
            self.texts[id(element)] = Text(text)
            return ""
        name = self.names.take(f"{source.rstrip('_')}_now")
        self.texts[id(element)] = Text(name)
        first = f"{ref.start} + " if ref.start else ""
        return f"const double *{name} = {source} + {first}{element.size} * {step};"

    def _store(self, steps: Block, ref: Ref, step: str, lines: list[str]) -> None:
        name, n = self.texts[id(steps)].text, steps.size
        if not steps.shape:
            text = self.element(ref, None).text
            lines += wrapped(f"{name}[{step}] = {text};", self.indent(steps))
        else:
            text = self.element(ref, "i").text
            self.loop(steps, "i", n, [f"{name}[{n} * {step} + i] = {text};"], lines)

    def _update(self, loop: Loop, lines: list[str]) -> None:
        """Carries become the next ones: first those that no other one is made of."""
        names = [self.texts[id(carry)].text for carry in loop.carries]
        texts = [
            self.element(ref, "i" if carry.shape else None).text
            for carry, ref in zip(loop.carries, loop.following, strict=True)
        ]
        waits = read_by_others(names, texts)
        late: list[tuple[Block, str, str]] = []
        for k, (carry, name) in enumerate(zip(loop.carries, names, strict=True)):
            if loop.following[k].block is carry:
                continue
            text = texts[k]
            if waits[k]:
                own = self.new_name()
                if carry.shape:
                    lines.append(f"{self.indent(carry)}double {own}[{carry.size}];")
                    self.loop(carry, "i", carry.size, [f"{own}[i] = {text};"], lines)
                    own += "[i]"
                else:
                    lines += wrapped(f"const double {own} = {text};", self.indent(carry))
                late.append((carry, name, own))
            else:
                self._assign(carry, name, text, lines)
        for carry, name, text in late:
            self._assign(carry, name, text, lines)

    def _assign(self, carry: Block, name: str, text: str, lines: list[str]) -> None:
        if carry.shape:
            self.loop(carry, "i", carry.size, [f"{name}[i] = {text};"], lines)
        else:
            lines += wrapped(f"{name} = {text};", self.indent(carry))
