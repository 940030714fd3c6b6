# SPDX-License-Identifier: MIT
"""Loops in NumPy, JAX and PyTorch: over steps, or jax.lax.scan, for a whole batch."""

import re
from collections.abc import Sequence

from .array_statements import ArrayPrinter
from .dialects import ATOM, PRODUCT, Text
from .draws import Stream, call
from .loop import Loop, Sum, read_by_others
from .references import SAMPLE, Block, Ref

_IS_NAMED = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*").fullmatch


class LoopPrinter(ArrayPrinter):
    """Loops in Python. A sequence of steps is a list, an array a step."""

    number = ""  # of a loop's step, for draws

    def scan(self, block: Block, loop: Loop) -> list[str]:
        self.loops += 1
        carries = self.name_all("carry", loop.carries)
        carries += self.name_all("total", [each.block for each in loop.sums])
        steps = self.name_all("steps", loop.steps)
        for last, carry in zip(loop.last, loop.carries, strict=True):
            self.texts[id(last)] = self.texts[id(carry)]
        blocks = [*loop.carries, *[each.block for each in loop.sums]]
        refs = [*loop.first, *[each.first for each in loop.sums]]
        first = [self.filled(ref, carry) for ref, carry in zip(refs, blocks, strict=True)]
        prepared: list[str] = []
        sources = [self._source(ref, prepared) for ref in loop.taken]
        return [*prepared, *self._loop(loop, carries, steps, first, sources)]

    def _loop(
        self,
        loop: Loop,
        carries: list[str],
        steps: list[str],
        first: list[str],
        sources: list[str],
    ) -> list[str]:
        lines = []
        for name, text in zip(carries, first, strict=True):
            lines += self.assigned(name, text)
        lines += [f"{name} = []" for name in steps]
        is_read = loop.taken or loop.body.draws
        step = self.names.take("step") if is_read else "_"
        order = f"range({loop.length})"
        order = f"reversed({order})" if loop.is_reverse else order
        self.depth += 1
        self._name_elements(loop, sources)
        body = []
        for element, ref, source in zip(loop.elements, loop.taken, sources, strict=True):
            text = self._element(element, ref, source, step)
            body += self.assigned(self.texts[id(element)].text, text)
        outer, self.number = self.number, loop.number_of(step, self.number)
        body += self._drawn(loop)
        statements, following, made = self._body(loop)
        self.number = outer
        body += statements
        body += [f"{name}.append({text})" for name, text in zip(steps, made, strict=True)]
        body += self._updated(carries, following)
        self.depth -= 1
        lines.append(f"for {step} in {order}:")
        lines += [f"    {line}" for line in body or ["pass"]]
        if loop.is_reverse:
            lines += [f"{name}.reverse()" for name in steps]
        return lines

    def _drawn(self, loop: Loop) -> list[str]:
        """Statements for what a step draws."""
        lines = []
        for block, stream in loop.draws:
            name = self.names.take("z" if stream.kind == "normal" else "u")
            self.texts[id(block)] = Text(name)
            lines += self.assigned(name, self.draw(block, stream))
        return lines

    def draw(self, block: Block, stream: Stream) -> str:
        return f"{stream.name}[{self.number}]"

    def _updated(self, carries: list[str], following: list[str]) -> list[str]:
        """Statements for what carries become: one for those that others become made of."""
        waits = read_by_others(carries, following)
        lines, together = [], []
        for k, (name, text) in enumerate(zip(carries, following, strict=True)):
            if waits[k]:
                together.append(k)
            elif name != text:
                lines += self.assigned(name, text)
        changed = [k for k in together if carries[k] != following[k]]
        if changed:
            names = ", ".join(carries[k] for k in changed)
            lines += self.assigned(names, ", ".join(following[k] for k in changed))
        return lines

    def _name_elements(self, loop: Loop, sources: list[str]) -> None:
        for element, source in zip(loop.elements, sources, strict=True):
            name = source.rpartition(".")[2].rstrip("_")
            self.texts[id(element)] = Text(self.names.take(f"{name}_now"))

    def _body(self, loop: Loop) -> tuple[list[str], list[str], list[str]]:
        """Statements of a step, and texts of what the carries become and of what is made."""
        body = self.statements(loop.roots, loop.inside)
        following = [
            self.filled(ref, carry) for ref, carry in zip(loop.following, loop.carries, strict=True)
        ]
        for each in loop.sums:
            more = self.added(each)
            following.append(f"{self.texts[id(each.block)].text} + {more.within(PRODUCT)}")
        made = [self.filled(ref, block) for ref, block in zip(loop.made, loop.steps, strict=True)]
        return body, following, made

    def added(self, each: Sum) -> Text:
        """What a step adds."""
        if isinstance(each.added, Block):
            return self.expression_of(each.added)
        return self.at(each.added, each.block.shape)

    def filled(self, ref: Ref, block: Block) -> str:
        """What the reference says, as an array of the block's shape and stage."""
        if ref.block is None:
            number = self.dialect.number(ref.number).text
            if block.stage != SAMPLE and not block.shape:
                if block.kind == "totalled":
                    return number
                is_torch = not self.dialect.takes_numbers
                prefix = self.dialect.prefix
                return self.expressions.as_array(number) if is_torch else f"{prefix}array({number})"
            return self.full(number, block)
        if block.stage == SAMPLE:
            return self.spread(ref, block.shape).text
        return self.at(ref, block.shape).text

    def full(self, number: str, block: Block) -> str:
        """An array of one number."""
        sizes = [self.size] if block.stage == SAMPLE else []
        sizes += [str(n) for n in block.shape]
        shape = f"({', '.join(sizes)}{',' if len(sizes) == 1 else ''})"
        dtype = f", {self.first}.dtype" if self.dialect.name == "jax" and self.first else ""
        if number == "0.0":
            shape = sizes[0] if len(sizes) == 1 else shape
            if not self.dialect.takes_numbers:
                return f"{self.first}.new_zeros({', '.join(sizes)})"
            return f"{self.dialect.prefix}zeros({shape}{dtype})"
        if not self.dialect.takes_numbers:
            return f"{self.first}.new_full({shape}, {number})"
        return f"{self.dialect.prefix}full({shape}, {number}{dtype})"

    def _source(self, ref: Ref, lines: list[str]) -> str:
        """The name of the array or list that elements are taken of."""
        assert ref.block is not None
        if ref.block.kind == "steps":
            return self.texts[id(ref.block)].text
        text = self.at(ref, ref.block.shape if ref.is_whole else ref.shape).text
        if not _IS_NAMED(text):
            name = self.new_name()
            lines += self.assigned(name, text)
            text = name
        return text

    @staticmethod
    def _element(element: Block, ref: Ref, source: str, step: str) -> str:
        assert ref.block is not None
        if ref.block.kind == "steps" or (ref.is_whole and len(ref.block.shape) == 2):
            return f"{source}[{step}]"
        lead, n = ":, " if ref.stage == SAMPLE else "", element.size
        if not element.shape:
            return f"{source}[{lead}{step}]"
        return f"{source}[{lead}{n} * {step} : {n} * {step} + {n}]"

    def _unrolled(self, block: Block) -> Text:
        (ref,) = block.operands
        way = "concatenate" if ref.count else "stack"
        return Text(f"{self.dialect.prefix}{way}({self.texts[id(ref.block)].text}, -1)")


class ScanPrinter(LoopPrinter):
    """Calls of jax.lax.scan. A sequence of steps is an array, with these along its first axis."""

    def _loop(
        self,
        loop: Loop,
        carries: list[str],
        steps: list[str],
        first: list[str],
        sources: list[str],
    ) -> list[str]:
        number = f"{self.loops}" if self.loops > 1 else ""
        name = self.names.take(f"body{number}")
        self._name_elements(loop, sources)
        elements = [self.texts[id(element)].text for element in loop.elements]
        step = self.names.take("step") if loop.body.draws else ""
        elements += [step] if step else []
        self.depth += 1
        outer, self.number = self.number, loop.number_of(step, self.number)
        drawn = self._drawn(loop)
        body, following, made = self._body(loop)
        self.number = outer
        self.depth -= 1
        arguments, unpack = [], []
        for each, one in ((carries, "carry"), (elements, "x")):
            argument = each[0] if len(each) == 1 else self.names.take(f"{one}{number}")
            arguments.append(argument)
            unpack += [f"{', '.join(each)} = {argument}"] if len(each) > 1 else []
        result = f"{_tuple(following)}, {_tuple(made) if made else 'None'}"
        self.depth += 1
        body += self.assigned("return", result, " ")
        self.depth -= 1
        taken = [
            self._leading(element, ref, source, loop.length)
            for element, ref, source in zip(loop.elements, loop.taken, sources, strict=True)
        ]
        taken += [f"jnp.arange({loop.length})"] if step else []
        given = [name, _tuple(first), _tuple(taken) if taken else "None"]
        given += [] if taken else [f"length={loop.length}"]
        given += ["reverse=True"] if loop.is_reverse else []
        results = f"{_tuple(carries) if carries else '_'}, {_tuple(steps) if steps else '_'}"
        return [
            "",
            f"def {name}({', '.join(arguments)}):",
            *[f"    {line}" if line else "" for line in [*unpack, *drawn, *body]],
            "",
            *self.assigned(results, f"jax.lax.scan({', '.join(given)})"),
        ]

    def draw(self, block: Block, stream: Stream) -> str:
        key = f"jax.random.fold_in({self.keys[stream.name]}, {self.number})"
        sizes = [self.size, *map(str, block.shape)]
        return call(self.dialect, stream.kind, sizes, self.first, key)

    def _leading(self, element: Block, ref: Ref, source: str, length: int) -> str:
        """The sequence, with its steps along the first axis."""
        assert ref.block is not None
        if ref.block.kind == "steps" or (ref.is_whole and len(ref.block.shape) == 2):
            return source
        if ref.stage != SAMPLE:
            return f"{source}.reshape({length}, {element.size})" if element.shape else source
        if not element.shape:
            return f"{source}.T"
        shape = f"{self.size}, {length}, {element.size}"
        return f"{source}.reshape({shape}).swapaxes(0, 1)"

    def _unrolled(self, block: Block) -> Text:
        (ref,) = block.operands
        text = self.texts[id(ref.block)].within(ATOM)
        if ref.stage != SAMPLE:
            return Text(f"{text}.reshape(-1)" if ref.count else text)
        if not ref.count:
            return Text(f"{text}.T")
        return Text(f"{text}.swapaxes(0, 1).reshape({self.size}, -1)")


def _tuple(texts: Sequence[str]) -> str:
    return texts[0] if len(texts) == 1 else f"({', '.join(texts)})"
