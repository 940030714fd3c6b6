# SPDX-License-Identifier: MIT
"""What all printers share: which blocks have a name, and what an expression of one is."""

from collections.abc import Container, Iterable, Sequence

from . import cells
from .dialects import PRODUCT, SUM, Dialect, Expressions, Text
from .names import Names
from .references import Block, Matrix, Ref, Shape, in_order, references

MOST_INLINE = 60  # characters of an expression that stands in another one
WIDTH = 100

# Computed for each element by itself, in one expression.
ELEMENTWISE = frozenset({"map", "gain", "sum"})
LEAVES = frozenset({"argument", "parameter", "numbers", "normal", "uniform"}) | {
    *("carry", "element", "last", "steps", "summed", "totalled")  # of loops
}


class Printer:
    """Prints one function: statements for blocks, in order, and the texts that stand for them."""

    # Kinds whose operands must have names.
    takes_names = frozenset({"product", "transposed", "outer", "scatter", "take", "scan"})

    is_mean = True  # the loss of a batch, where gradients are printed

    def __init__(self, expressions: Expressions, names: Names) -> None:
        self.expressions = expressions
        self.names = names
        self.texts: dict[int, Text] = {}
        self.named: set[int] = set()
        self.count = 0
        self.loops = 0  # printed so far

    @property
    def dialect(self) -> Dialect:
        return self.expressions.dialect

    def order(
        self, refs: Iterable[Ref | Matrix], among: Container[int] | None = None
    ) -> list[Block]:
        """The blocks to print, leaves not among them; says which of them get a name. among: ids of
        those that there are, in a loop's body."""
        ordered = in_order(refs, among)
        for block in ordered:
            for ref in references(block):
                if ref.block is not None and not self.can_hold(block, ref):
                    self.named.add(id(ref.block))
        return [block for block in ordered if block.kind not in LEAVES]

    def can_hold(self, block: Block, ref: Ref | Matrix) -> bool:
        """Whether the block's text can have the text of the operand in it."""
        return block.kind not in self.takes_names

    def is_inline(self, block: Block, text: Text) -> bool:
        return (
            block.uses == 1
            and not block.partly
            and id(block) not in self.named
            and len(text.text) <= MOST_INLINE
        )

    def new_name(self) -> str:
        self.count += 1
        return self.names.take(f"t{self.count}")

    def name_all(self, prefix: str, blocks: Sequence[Block]) -> list[str]:
        """Names for what the loop has, which stand for them from now on."""
        number = f"{self.loops}" if self.loops > 1 else ""
        letters = "abcdefghijklmnopqrstuvwxyz" if len(blocks) <= 26 else ""
        names = []
        for k, block in enumerate(blocks):
            which = f"_{letters[k] if letters else k + 1}" if len(blocks) > 1 else ""
            names.append(self.names.take(f"{prefix}{number}{which}"))
            self.texts[id(block)] = Text(names[-1])
        return names

    def at(self, ref: Ref, shape: Shape) -> Text:
        """The operand, in a block of this shape."""
        raise NotImplementedError

    # -- elementwise expressions -------------------------------------------------------------------

    def expression(self, block: Block) -> Text:
        """What an elementwise block is."""
        node = block.node
        assert node is not None
        if block.kind == "sum":
            return self.sum_of([self.term(term, block.shape) for term in block.operands])
        operands = [self.at(ref, block.shape) for ref in block.operands]
        if block.kind == "map":
            if cells.ROWS[node.kind]["shape"] == "scaled":
                operands.append(self.dialect.number(node.number))
            return self.expressions.row(node.kind, operands)
        return self.expressions.tree(block.cell, dict(zip(block.names, operands, strict=True)))

    def term(self, term: Ref | tuple[Ref, Ref], shape: Shape) -> Text:
        if isinstance(term, tuple):
            return self.expressions.row("mul", [self.at(ref, shape) for ref in term])
        return self.at(term, shape)

    def sum_of(self, terms: Sequence[Text]) -> Text:
        if len(terms) == 1:
            return terms[0]
        texts = [terms[0].within(SUM), *[term.within(PRODUCT) for term in terms[1:]]]
        return Text(" + ".join(texts), SUM)


def wrapped(text: str, indent: str, more: str = "    ", width: int = WIDTH) -> list[str]:
    """Lines of at most so many characters: broken behind commas and before operators, where the
    fewest parentheses are open."""
    lines = []
    while len(indent) + len(text) > width:
        depth, breaks, quote = 0, [], ""
        for at, character in enumerate(text[: width - len(indent) + 1]):
            if quote:
                quote = "" if character == quote and text[at - 1] != "\\" else quote
                continue
            quote = character if character in "'\"" else ""
            depth += (character in "([{") - (character in ")]}")
            if character == " " and text[at - 1] not in _OPERATORS:
                breaks.append((depth, "*/@".find(text[at + 1]) >= 0, at))
        late = [each for each in breaks if 3 * each[-1] > width] or breaks
        if not late:
            break
        best = min(each[:2] for each in late)
        at = [each for each in late if each[:2] == best][-1][-1]
        lines.append(indent + text[:at])
        text = text[at + 1 :]
        indent = indent if lines[1:] else indent + more
    return [*lines, indent + text]


_OPERATORS = "+-*/@<>=?:%"
