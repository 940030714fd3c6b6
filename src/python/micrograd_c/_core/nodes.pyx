# SPDX-License-Identifier: MIT
# The nodes of a program, for those who print it.
from libc.stdint cimport uint32_t

from headers.program cimport *
from headers.tape cimport *
from .program cimport Recorded

import collections

ProgramNode = collections.namedtuple('ProgramNode', 'kind stage operands number at of which')
ProgramNode.__doc__ = """A node of a program, see graph.h. kind: a row of the operation table, or what print.h calls it;
stage: 0 to 3; operands: nodes; number: its own; at: which parameter, column, part or output, or how many pairs or
inputs; of, which: of a gain, the row and its operand; which of a product: 1 with biases."""

cdef object node_at(const Graph *graph, uint32_t i):
    cdef const Node *node = &graph.nodes[i]
    cdef uint32_t count, k
    cdef const uint32_t *operands = node_operands(graph, i, &count)
    cdef str of = op_info[node.of].name.decode() if node.op == NODE_GAIN else ''
    at = node.a if node.op in (NODE_PARAMETER, NODE_INPUT) else node.b if node.op == NODE_PART else node.c
    return ProgramNode(kind_of(node).decode(), node.stage, tuple([operands[k] for k in range(count)]), node.number,
                       at, of, node.which)

def program_nodes(Recorded recorded, bint gradients=False):
    """The nodes of its program, in order, and the roots: the results' numbers, one after the other.

    gradients: those of the gradient graph, whose roots are the loss and its derivative by each parameter.
    """
    cdef const Graph *graph = recorded.gradient_graph() if gradients else &recorded.graph
    cdef uint32_t i
    return [node_at(graph, i) for i in range(graph.size)], [graph.roots[i] for i in range(graph.n_roots)]
