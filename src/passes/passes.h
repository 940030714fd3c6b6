/* SPDX-License-Identifier: MIT
 *
 * What all passes share.
 */
#ifndef MICROGRAD_C_PASSES_H
#define MICROGRAD_C_PASSES_H

#include "program/graph.h"

#define PASS(id, text) void apply_##id(Graph *graph);
FOR_EACH_PASS(PASS)
#undef PASS

/* Differentiation: gradient, which is empty, becomes the gradient graph (graph.h) of a graph of one root. */
void append_adjoints(const Graph *graph, Graph *gradient);

/* Whether the derivative by operand k of the node is 0 whatever the numbers are. */
static inline int operand_stops(const Node *node, uint32_t k) {
    Form form = form_of(node);
    if (form == FORM_MAP) return cell_stops((Op)node->op, (int)k);
    if (form == FORM_TAKE) return k == 0;
    return form == FORM_CUSTOM && k >= node->b / 2;
}

/* How often each node is used, by nodes that a root depends on. */
uint32_t *count_uses(Graph *graph);

static inline void set_stage(Graph *graph, uint32_t i) { graph->nodes[i].stage = (uint8_t)graph_stage(graph, i); }

static inline int is_constant(const Graph *graph, uint32_t i) { return graph->nodes[i].op == NODE_CONSTANT; }

/* Of a product, whether one factor alone changes with the sample. */
static inline int is_weighted_pair(const Graph *graph, uint32_t a, uint32_t b) {
    return (graph->nodes[a].stage == SAMPLE) != (graph->nodes[b].stage == SAMPLE);
}

/* -- hash tables of nodes: open addressing, of a power of two slots, at least half of them empty -- */

static inline uint64_t mix(uint64_t hash, uint64_t item) {
    hash = (hash ^ item) * UINT64_C(0x9E3779B97F4A7C15);
    return hash ^ hash >> 29;
}

static inline size_t table_size(size_t items) {
    size_t size = 16;
    while (size < 2 * items) size *= 2;
    return size;
}

#endif
