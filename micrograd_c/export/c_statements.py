# SPDX-License-Identifier: MIT
"""C source: a loop over the samples of a batch, and in it a loop for each vector."""

from collections.abc import Iterable, Sequence

from .c_draws import helpers
from .dialects import Expressions, Text
from .names import Names
from .printer import ELEMENTWISE, Printer, wrapped
from .references import BATCH, ONCE, SAMPLE, Block, Matrix, Ref, Shape


class CPrinter(Printer):
    """Statements in three places: before the samples, for each of them, after them."""

    takes_names = Printer.takes_names | {"dot", "total", "collected", "batch", "extreme"}

    def __init__(self, expressions: Expressions, names: Names) -> None:
        super().__init__(expressions, names)
        self.before: list[str] = []
        self.each: list[str] = []
        self.after: list[str] = []
        self.places: dict[int, str] = {}  # of blocks that have a place in the results
        self.level = 0  # of indentation, in a loop
        self.is_float32 = False  # whether draws are

    def statements(self, refs: Iterable[Ref]) -> None:
        for block in self.order(refs):
            lines = self.before if block.stage <= ONCE else self.each
            lines = self.after if block.stage == BATCH else lines
            self.statement(block, lines)

    def statement(self, block: Block, lines: list[str]) -> None:
        if block.kind in ELEMENTWISE:
            text = self.expression(block)
            if self.is_inline(block, text):
                self.texts[id(block)] = text
            else:
                self.define(block, text, lines)
        else:
            getattr(self, f"_{block.kind}")(block, lines)

    def can_hold(self, block: Block, ref: Ref | Matrix) -> bool:
        """Only at the same stage, so that nothing is computed more often; and by the same index."""
        inner = ref.block
        assert inner is not None
        alike = block.stage == inner.stage and (not inner.shape or block.size == inner.size)
        return alike and (not block.shape or bool(inner.shape)) and super().can_hold(block, ref)

    def draw(self, blocks: Sequence[Block]) -> None:
        """Draws a sample's numbers before all else that is computed for it, those that are used."""
        lines: list[str] = []
        for block in blocks:
            if block.uses:
                self.drawn(block, [int(number) for number in block.numbers], "0", lines)
        if any("(seed, sample, " in line for line in [*lines, *self.each]):
            lines.insert(0, "        const uint32_t sample = (uint32_t)(n - left);")
        self.each[:0] = lines

    def drawn(self, block: Block, numbers: Sequence[int], step: str, lines: list[str]) -> None:
        """Defines a block of draws."""
        for name, text in helpers(block.kind, self.is_float32).items():
            self.expressions.functions.setdefault(name, text)
        call, indent = f"{block.kind}(seed, sample, {{}}, {step})", self.indent(block)
        if not block.shape:
            lines += wrapped(f"const double {block.name} = {call.format(numbers[0])};", indent)
        elif list(numbers) == list(range(numbers[0], numbers[0] + block.size)):
            lines.append(f"{indent}double {block.name}[{block.size}];")
            which = f"{numbers[0]} + (uint32_t)i" if numbers[0] else "(uint32_t)i"
            body = f"{block.name}[i] = {call.format(which)};"
            self.loop(block, "i", block.size, [body], lines)
        else:
            listed = ", ".join(map(call.format, numbers))
            lines += wrapped(f"const double {block.name}[{block.size}] = {{{listed}}};", indent)

    # -- operands ----------------------------------------------------------------------------------

    def at(self, ref: Ref, shape: Shape) -> Text:
        """An element: in a block of some shape, that of index i."""
        return self.element(ref, "i" if shape else None)

    def element(self, ref: Ref, index: str | None) -> Text:
        block = ref.block
        if block is None:
            return self.dialect.number(ref.number)
        if block.kind == "numbers":
            self.numbers(block)
        text = self.texts[id(block)]
        if not block.shape and block.kind != "argument":
            return text
        if ref.count is None:
            return Text(f"{text.text}[{ref.start}]")
        if index is None or not text.text.isidentifier():
            return text  # an expression of i itself
        step = index if ref.step == 1 else f"{ref.step} * {index}"
        return Text(f"{text.text}[{f'{ref.start} + ' if ref.start else ''}{step}]")

    def numbers(self, block: Block) -> None:
        if id(block) not in self.texts:
            name = self.new_name()
            listed = ", ".join(self.dialect.number(number).text for number in block.numbers)
            self.before += wrapped(f"const double {name}[{block.size}] = {{{listed}}};", "    ")
            self.texts[id(block)] = Text(name)

    # -- statements --------------------------------------------------------------------------------

    def indent(self, block: Block) -> str:
        return "    " * (self.level or (2 if block.stage == SAMPLE else 1))

    def place(self, block: Block, lines: list[str]) -> str:
        """The name of the block's array, declared where it has no place yet."""
        name = self.places.get(id(block))
        if name is None:
            name = self.new_name()
            lines.append(f"{self.indent(block)}double {name}[{block.size}];")
        self.texts[id(block)] = Text(name)
        return name

    def define(self, block: Block, text: Text, lines: list[str]) -> None:
        indent = self.indent(block)
        if not block.shape:
            name = self.new_name()
            self.texts[id(block)] = Text(name)
            lines += wrapped(f"const double {name} = {text.text};", indent)
            return
        name = self.place(block, lines)
        self.loop(block, "i", block.size, [f"{name}[i] = {text.text};"], lines)

    def loop(self, block: Block, index: str, size: int, body: list[str], lines: list[str]) -> None:
        indent = self.indent(block)
        head = f"for (int {index} = 0; {index} < {size}; {index}++)"
        if len(body) == 1 and len(head) + len(body[0]) + len(indent) < 100:
            lines.append(f"{indent}{head} {body[0]}")
        elif len(body) == 1:
            lines.append(f"{indent}{head}")
            lines += wrapped(body[0], indent + "    ")
        else:
            lines += [
                f"{indent}{head} {{",
                *[f"{indent}    {line}" for line in body],
                f"{indent}}}",
            ]

    def _summed(self, block: Block, size: int, text: str, lines: list[str]) -> None:
        name = self.new_name()
        self.texts[id(block)] = Text(name)
        lines.append(f"{self.indent(block)}double {name} = 0.0;")
        self.loop(block, "i", size, [f"{name} += {text};"], lines)

    def _dot(self, block: Block, lines: list[str]) -> None:
        a, b = block.operands
        pair = self.expressions.row("mul", [self.element(a, "i"), self.element(b, "i")])
        self._summed(block, a.count, pair.text, lines)

    def _total(self, block: Block, lines: list[str]) -> None:
        (ref,) = block.operands
        self._summed(block, ref.count, self.element(ref, "i").text, lines)

    def _extreme(self, block: Block, lines: list[str]) -> None:
        (ref,) = block.operands
        assert block.node is not None
        name, row = self.new_name(), block.node.kind.partition(" ")[0]
        lines += wrapped(f"double {name} = {self.element(ref, '0').text};", self.indent(block))
        pair = self.expressions.row(row, [Text(name), self.element(ref, "i")])
        self.loop(block, "i", ref.count, [f"{name} = {pair.text};"], lines)
        self.texts[id(block)] = Text(name)

    def weight(self, matrix: Matrix, row: str, column: str) -> str:
        text, (_, n) = self.texts[id(matrix.block)].text, matrix.block.shape
        if matrix.turned:
            row, column = column, row
        first = f"{matrix.first * n} + " if matrix.first else ""
        return f"{text}[{first}{n} * {row} + {column}]"

    def _product(self, block: Block, lines: list[str]) -> None:
        matrix, inputs = block.operands
        name = self.place(block, lines)
        x = self.element(inputs, "j").text
        inner = f"for (int j = 0; j < {inputs.count}; j++)"
        body = [f"{name}[i] = 0.0;", f"{inner} {name}[i] += {self.weight(matrix, 'i', 'j')} * {x};"]
        self.loop(block, "i", block.size, body, lines)

    def _transposed(self, block: Block, lines: list[str]) -> None:
        matrix, adjoints = block.operands
        name = self.place(block, lines)
        g = self.element(adjoints, "j").text
        self.loop(block, "i", block.size, [f"{name}[i] = 0.0;"], lines)
        inner = f"for (int i = 0; i < {block.size}; i++)"
        body = [f"{inner} {name}[i] += {self.weight(matrix, 'j', 'i')} * {g};"]
        self.loop(block, "j", adjoints.count, body, lines)

    def sums(self, block: Block) -> str:
        """The place of sums over the batch, which begin with 0."""
        name = self.places.get(id(block))
        if name is None:
            name = self.new_name()
            size = f"[{block.size}] = {{0.0}}" if block.shape else " = 0.0"
            self.before.append(f"    double {name}{size};")
        elif not block.shape:
            name = f"{name}[0]"
        self.texts[id(block)] = Text(name)
        return name

    def _outer(self, block: Block, lines: list[str]) -> None:
        self.add_outer(self.sums(block), block, self.each)

    def add_outer(self, name: str, block: Block, lines: list[str]) -> None:
        adjoint, inputs = block.operands
        sample = Block("outer", block.shape, stage=SAMPLE)
        g, x = self.element(adjoint, "i"), self.element(inputs, "j")
        n, product = inputs.count, self.expressions.row("mul", [g, x]).text
        if adjoint.count and n:
            inner = f"for (int j = 0; j < {n}; j++) {name}[{n} * i + j] += {product};"
            self.loop(sample, "i", adjoint.count, [inner], lines)
        elif n:
            self.loop(sample, "j", n, [f"{name}[j] += {product};"], lines)
        elif adjoint.count:
            self.loop(sample, "i", adjoint.count, [f"{name}[i] += {product};"], lines)
        else:
            lines.append(f"{self.indent(sample)}{name} += {product};")

    def _batch(self, block: Block, lines: list[str]) -> None:
        sample = Block("batch", block.shape, stage=SAMPLE)
        self.add_to(self.sums(block), block.operands[0], sample, self.each)

    def add_to(self, name: str, ref: Ref, block: Block, lines: list[str]) -> None:
        """Adds a number, or a vector, to a sum of the block's shape and stage."""
        text = self.element(ref, "i").text
        if block.shape:
            self.loop(block, "i", block.size, [f"{name}[i] += {text};"], lines)
        else:
            lines += wrapped(f"{name} += {text};", self.indent(block))

    def _take(self, block: Block, lines: list[str]) -> None:
        index, elements = block.operands
        at, name = self.element(index, None).text, self.expressions.helper("take")
        if isinstance(elements, Matrix):
            table, (m, n) = self.texts[id(elements.block)].text, elements.block.shape
            if elements.turned:
                call = f"{name}({table} + i, {m}, {n}, {at})"
            else:
                first = f"({elements.first} + i)" if elements.first else "i"
                call = f"{name}({table} + {n} * {first}, {n}, 1, {at})"
            self.define(block, Text(call), lines)
            return
        if not elements.is_whole:
            elements = self.copied(elements, block, lines)
        assert elements.block is not None
        if elements.block.kind == "numbers":
            self.numbers(elements.block)
        values = self.texts[id(elements.block)].text
        self.define(block, Text(f"{name}({values}, {elements.count}, 1, {at})"), lines)

    def copied(self, ref: Ref, user: Block, lines: list[str]) -> Ref:
        """The elements in an array of their own."""
        copy = Block("collected", ref.shape, [ref], stage=user.stage)
        self.define(copy, self.element(ref, "i"), lines)
        return Ref(copy, count=ref.count)

    def _scatter(self, block: Block, lines: list[str]) -> None:
        index, value = (self.element(ref, None).text for ref in block.operands)
        call = f"{self.expressions.helper('scatter')}({value}, i, {block.size}, {index})"
        self.define(block, Text(call), lines)

    def _collected(self, block: Block, lines: list[str]) -> None:
        indent = self.indent(block)
        refs = block.operands
        if all(ref.count is None for ref in refs):
            name = self.new_name()
            listed = ", ".join(self.element(ref, None).text for ref in refs)
            lines += wrapped(f"const double {name}[{block.size}] = {{{listed}}};", indent)
            self.texts[id(block)] = Text(name)
            return
        name, at = self.place(block, lines), 0
        for ref in refs:
            if ref.count is None:
                lines.append(f"{indent}{name}[{at}] = {self.element(ref, None).text};")
            else:
                target = f"{name}[{at} + i]" if at else f"{name}[i]"
                body = f"{target} = {self.element(ref, 'i').text};"
                self.loop(block, "i", ref.count, [body], lines)
            at += ref.count or 1

    def _seed(self, block: Block, lines: list[str]) -> None:
        if block.stage == BATCH:
            text = "(n > 0)" if self.is_mean else "(double)n"
        else:
            text = "1.0 / (double)n" if self.is_mean else "1.0"
        name = self.new_name()
        self.before.append(f"    const double {name} = {text};")
        self.texts[id(block)] = Text(name)

    # -- results -----------------------------------------------------------------------------------

    def results(
        self, to: str, offset: int, ref: Ref, size: int, stage: int, lines: list[str]
    ) -> None:
        """Writes so many numbers to an array."""
        results = Block("results", (size,), stage=stage)
        if size > 1:
            target = f"{to}[{offset} + i]" if offset else f"{to}[i]"
            body = f"{target} = {self.element(ref, 'i' if ref.count else None).text};"
            self.loop(results, "i", size, [body], lines)
        else:
            text = self.element(ref, None).text
            lines += wrapped(f"{to}[{offset}] = {text};", self.indent(results))
