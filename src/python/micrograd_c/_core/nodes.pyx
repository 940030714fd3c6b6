# SPDX-License-Identifier: MIT
# The nodes of a program, for those who print it.
from libc.stdint cimport uint32_t

from headers.program cimport *
from headers.tape cimport *
from .program cimport Recorded

import collections

ProgramNode = collections.namedtuple('ProgramNode', 'kind stage operands number at of which scan')
ProgramNode.__doc__ = """A node of a program, see graph.h. kind: a row of the operation table, or what print.h calls it;
stage: 0 to 3; operands: nodes; number: its own; at: which parameter, column, draw, part or output, or how many pairs or
inputs; of, which: of a gain, the row and its operand; of: of a draw, its kind; which: of a product, 1 with biases; scan: a
scan's ProgramScan."""

ProgramScan = collections.namedtuple('ProgramScan', 'length is_reverse numbering n_carries n_taken n_made nodes roots')
ProgramScan.__doc__ = """A loop, see loops.h. numbering: span, first and stride; nodes, roots: its body's, as those of a
program."""

cdef object node_at(const Graph *graph, uint32_t i):
    cdef const Node *node = &graph.nodes[i]
    cdef uint32_t count, k
    cdef const uint32_t *operands = node_operands(graph, i, &count)
    cdef str of = ''
    if node.op == NODE_GAIN:
        of = op_info[node.of].name.decode()
    elif node.op == NODE_DRAW:
        of = draw_kinds[node.which].decode()
    cdef object scan = scan_at(scan_of(graph, i)) if node.op == NODE_SCAN else None
    at = node.c
    if node.op in (NODE_PARAMETER, NODE_INPUT, NODE_DRAW):
        at = node.a
    elif node.op in (NODE_PART, NODE_SEQUENCE):
        at = node.b
    return ProgramNode(kind_of(node).decode(), node.stage, tuple([operands[k] for k in range(count)]), node.number,
                       at, of, node.which, scan)

cdef object scan_at(const Scan *scan):
    numbering = scan.numbering.span, scan.numbering.first, scan.numbering.stride
    return ProgramScan(scan.length, bool(scan.is_reverse), numbering, scan.n_carries, scan.n_taken, scan.n_made,
                       *nodes_and_roots(&scan.body))

cdef tuple nodes_and_roots(const Graph *graph):
    cdef uint32_t i
    return [node_at(graph, i) for i in range(graph.size)], [graph.roots[i] for i in range(graph.n_roots)]

def program_nodes(Recorded recorded, bint gradients=False):
    """The nodes of its program, in order, and the roots: the results' numbers, one after the other.

    gradients: those of the gradient graph, whose roots are the loss and its derivative by each parameter.
    """
    return nodes_and_roots(recorded.gradient_graph() if gradients else &recorded.graph)
