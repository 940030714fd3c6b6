# SPDX-License-Identifier: MIT
"""NumPy, JAX and PyTorch source: a statement a vector, over whole batches."""

from collections.abc import Container, Iterable

from .dialects import ATOM, POWER, PRODUCT, SIGN, Expressions, Text
from .loop import Loop
from .names import Names
from .printer import ELEMENTWISE, WIDTH, Printer, wrapped
from .references import BATCH, SAMPLE, Block, Matrix, Ref, Shape

MOST = WIDTH - 8  # of a statement: methods are indented twice


def _heads(lines: list[str]) -> Iterable[str]:
    """What stands before each line's end."""
    return [" ".join(lines[:k]) for k in range(1, len(lines))]


class ArrayPrinter(Printer):
    """Samples stand along the first axis of what a sample changes; nothing else has that axis."""

    def __init__(self, expressions: Expressions, names: Names, first: str, size: str) -> None:
        """first: the name of the first argument, or of another array; size: how many samples there
        are."""
        super().__init__(expressions, names)
        self.first = first
        self.size = size
        self.depth = 0  # of loops
        self.keys: dict[str, str] = {}  # JAX's, by the names of what they are for

    def statements(self, refs: Iterable[Ref], among: Container[int] | None = None) -> list[str]:
        """Statements that compute what the references say."""
        lines = []
        for block in self.order(refs, among):
            if block.loop:
                lines += self.scan(block, block.loop)
                continue
            text = self.expression_of(block)
            if not self.is_inline(block, text):
                name = self.new_name()
                lines += self.assigned(name, text.text)
                text = Text(name)
            self.texts[id(block)] = text
        return lines

    def scan(self, block: Block, loop: Loop) -> list[str]:
        """The statements of a loop."""
        raise NotImplementedError

    def assigned(self, name: str, text: str, sign: str = " = ") -> list[str]:
        """A statement, on several lines where it is a long one."""
        line, most = f"{name}{sign}{text}", MOST - 4 * self.depth
        if len(line) <= most:
            return [line]
        lines = wrapped(line, "", width=most)
        if all(sum(map(head.count, "([{")) > sum(map(head.count, ")]}")) for head in _heads(lines)):
            return lines
        return [f"{name}{sign}(", *wrapped(text, "    ", "", width=most), ")"]

    def expression_of(self, block: Block) -> Text:
        if block.kind in ELEMENTWISE:
            return self.expression(block)
        make: Text = getattr(self, f"_{block.kind}")(block)
        return make

    # -- operands ----------------------------------------------------------------------------------

    def at(self, ref: Ref, shape: Shape) -> Text:
        block = ref.block
        if block is None:
            return self.dialect.number(ref.number)
        text = self.literal(block) if block.kind == "numbers" else self.texts[id(block)]
        is_sample = block.stage == SAMPLE
        if not block.shape:
            return Text(f"{text.within(ATOM)}[:, None]") if is_sample and shape else text
        if ref.is_whole and (len(block.shape) == 1 or len(shape) == 2):
            return text
        return Text(text.within(ATOM) + self.index(ref, block, bool(shape)))

    def index(self, ref: Ref, block: Block, in_vector: bool) -> str:
        """Which part of a named block."""
        lead = ":, " if block.stage == SAMPLE else ""
        if ref.count is None:
            if len(block.shape) == 2:
                return "[{}, {}]".format(*divmod(ref.start, block.shape[1]))
            end = f":{ref.start + 1}" if lead and in_vector else ""
            return f"[{lead}{ref.start}{end}]"
        if len(block.shape) == 2:
            m, n = block.shape
            if ref.is_whole and m > 1:
                return ".reshape(-1)"
            if ref.step == 1 and ref.count == n and ref.start % n == 0:
                return f"[{ref.start // n}]"
            if ref.step == n and ref.count == m:
                return f"[:, {ref.start}]"
            lead = ""
        end_ = ref.start + (ref.count - 1) * ref.step + 1
        step = f":{ref.step}" if ref.step != 1 else ""
        flat = ".reshape(-1)" if len(block.shape) == 2 else ""
        start = ref.start or ""
        stop = "" if end_ == block.size else end_
        return f"{flat}[{lead}{start}:{stop}{step}]"

    def literal(self, block: Block) -> Text:
        numbers = ", ".join(self.dialect.number(number).text for number in block.numbers)
        if self.dialect.takes_numbers:
            return Text(f"{self.dialect.prefix}array([{numbers}])")
        return Text(f"{self.first}.new_tensor([{numbers}])")

    def matrix(self, matrix: Matrix, turned: bool) -> str:
        text = self.texts[id(matrix.block)].within(ATOM)
        if not matrix.turned and matrix.rows != matrix.block.shape[0]:
            text += f"[{matrix.first}:{matrix.first + matrix.rows}]"
        return f"{text}.T" if turned != matrix.turned else text

    def spread(self, ref: Ref, shape: Shape) -> Text:
        """For each sample of the batch, of this shape."""
        text = self.at(ref, shape)
        if ref.stage == SAMPLE:
            return text
        value = text.text if text.number is None else self.expressions.as_array(text.text)
        sizes = ", ".join(map(str, shape))
        of = f"{self.size}, {sizes}" if shape else f"{self.size},"
        return Text(f"{self.dialect.prefix}broadcast_to({value}, ({of}))")

    # -- statements --------------------------------------------------------------------------------

    def _dot(self, block: Block) -> Text:
        a, b = block.operands
        alike = a.is_whole and b.is_whole and a.block.shape == b.block.shape
        shape = a.block.shape if alike else a.shape
        left, right = self.at(a, shape), self.at(b, shape)
        if a.stage == b.stage == SAMPLE or len(shape) == 2:
            axis = "" if len(shape) == 2 else "-1"
            return Text(f"({left.within(PRODUCT)} * {right.within(SIGN)}).sum({axis})")
        if b.stage == SAMPLE:
            left, right = right, left
        return Text(f"{left.within(POWER)} @ {right.within(POWER)}", PRODUCT)

    def _total(self, block: Block) -> Text:
        (ref,) = block.operands
        shape = ref.block.shape if ref.is_whole else ref.shape
        axis = "" if len(shape) == 2 else "-1"
        return Text(f"{self.at(ref, shape).within(ATOM)}.sum({axis})")

    def _extreme(self, block: Block) -> Text:
        (ref,) = block.operands
        name = "max" if block.node and block.node.kind.startswith("maximum") else "min"
        name = name if self.dialect.takes_numbers else f"a{name}"
        text = self.at(ref, ref.shape)
        return Text(f"{text.within(ATOM)}.{name}(-1)")

    def _batch(self, block: Block) -> Text:
        (ref,) = block.operands
        return Text(f"{self.spread(ref, ref.shape).within(ATOM)}.sum(0)")

    def _product(self, block: Block) -> Text:
        matrix, inputs = block.operands
        x = self.at(inputs, inputs.shape).within(POWER)
        return Text(f"{x} @ {self.matrix(matrix, turned=True)}", PRODUCT)

    def _transposed(self, block: Block) -> Text:
        matrix, adjoints = block.operands
        g = self.spread(adjoints, adjoints.shape).within(POWER)
        return Text(f"{g} @ {self.matrix(matrix, turned=False)}", PRODUCT)

    def _outer(self, block: Block) -> Text:
        adjoint, inputs = block.operands
        g, x = self.spread(adjoint, adjoint.shape), self.at(inputs, inputs.shape)
        turned = f"{g.within(ATOM)}.T" if adjoint.shape else g.within(POWER)
        return Text(f"{turned} @ {x.within(POWER)}", PRODUCT)

    def _take(self, block: Block) -> Text:
        ref, elements = block.operands
        at = self.spread(ref, ()) if elements.stage == SAMPLE else self.at(ref, ())
        name = self.expressions.helper("take" if elements.stage == SAMPLE else "look_up")
        if isinstance(elements, Matrix):
            values = self.matrix(elements, turned=True)
        else:
            values = self.at(elements, elements.shape).text
        index = at.text if at.number is None else self.expressions.as_array(at.text)
        return Text(f"{name}({values}, {index})")

    def _scatter(self, block: Block) -> Text:
        index, value = (self.at(ref, ()) for ref in block.operands)
        name = self.expressions.helper("scatter")
        return Text(f"{name}({value.text}, {block.size}, {index.text})")

    def _collected(self, block: Block) -> Text:
        prefix = self.dialect.prefix
        if len(block.shape) == 2:
            rows = [self.at(ref, ref.shape).text for ref in block.operands]
            return Text(f"{prefix}stack([{', '.join(rows)}])")
        is_sample = block.stage == SAMPLE
        if all(ref.count is None for ref in block.operands):
            texts = [
                self.spread(ref, ()) if is_sample else self.at(ref, ()) for ref in block.operands
            ]
            parts = [
                text.text if text.number is None else self.expressions.as_array(text.text)
                for text in texts
            ]
            return Text(f"{prefix}stack([{', '.join(parts)}], -1)")
        parts = []
        for ref in block.operands:
            if ref.count is not None and (is_sample or ref.block):
                text = self.spread(ref, ref.shape) if is_sample else self.at(ref, ref.shape)
            elif is_sample:
                text = self.spread(ref, (1,))
            elif ref.block is None:
                count = ref.count or 1
                text = self.literal(Block("numbers", (count,), numbers=[ref.number] * count))
            else:
                text = Text(f"{self.at(ref, ()).within(ATOM)}[None]")
            parts.append(text.text)
        return Text(f"{prefix}concatenate([{', '.join(parts)}], -1)")

    def _seed(self, block: Block) -> Text:
        size = self.size
        if block.stage == BATCH:
            return Text("1.0" if self.is_mean else f"float({size})")
        ones = f"{self.dialect.prefix}ones({size})"
        return Text(f"{ones} / {size}", PRODUCT) if self.is_mean else Text(ones)

    # -- results -----------------------------------------------------------------------------------

    def result(self, ref: Ref, shape: Shape) -> str:
        """A part of the results of a batch, of this shape for a sample."""
        text = self.spread(ref, ref.shape if ref.count else (1,) if shape else ())
        if len(shape) == 2:
            sizes = ", ".join(map(str, shape))
            return f"{text.within(ATOM)}.reshape({self.size}, {sizes})"
        return text.text
