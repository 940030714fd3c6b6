/* SPDX-License-Identifier: MIT
 *
 * Walking a graph and forwarding: what passes that rewrite nodes share.
 */
#ifndef MICROGRAD_C_REWRITE_H
#define MICROGRAD_C_REWRITE_H

#include "passes.h"

/* Which node to use instead of each, and whether a node's stage has changed on the way. */
typedef struct {
    uint32_t *to;
    int stages_changed;
} Forward;

static inline Forward forward_none(Graph *graph) {
    Forward forward = {ARENA_ARRAY(graph->scratch, uint32_t, graph->size + 1), 0};
    for (uint32_t i = 0; i < graph->size; i++) forward.to[i] = i;
    return forward;
}

static inline void renew_stage(Graph *graph, uint32_t i, Forward *forward) {
    uint8_t before = graph->nodes[i].stage;
    set_stage(graph, i);
    if (graph->nodes[i].stage != before) forward->stages_changed = 1;
}

/* Operands that are forwarded to may be of an earlier stage: so may the node be, then, and all above. */
FORCE_INLINE void follow_operands(Graph *graph, uint32_t i, Forward *forward) {
    const uint32_t *to = forward->to;
    uint32_t count, *operands = node_operands(graph, i, &count);
    int changed = forward->stages_changed;
    for (uint32_t k = 0; k < count; k++) {
        if (to[operands[k]] == operands[k]) continue;
        operands[k] = to[operands[k]];
        changed = 1;
    }
    if (changed) renew_stage(graph, i, forward);
}

static inline void follow_roots(Graph *graph, const Forward *forward) {
    for (uint32_t k = 0; k < graph->n_roots; k++) graph->roots[k] = forward->to[graph->roots[k]];
}

/* Applies simplify to every node; it returns the node to use instead, or the node itself. */
static inline void rewrite(Graph *graph, uint32_t (*simplify)(Graph *graph, uint32_t i)) {
    Forward forward = forward_none(graph);
    for (uint32_t i = 0; i < graph->size; i++) {
        follow_operands(graph, i, &forward);
        uint8_t before = graph->nodes[i].op;
        forward.to[i] = simplify(graph, i);
        if (graph->nodes[i].op != before) renew_stage(graph, i, &forward);
    }
    follow_roots(graph, &forward);
}

static inline int is_number(const Graph *graph, uint32_t i, double number) {
    return is_constant(graph, i) && memcmp(&graph->nodes[i].number, &number, sizeof number) == 0; /* 0.0 is not -0.0 */
}

static inline void become_binary(Node *node, uint8_t op, uint32_t a, uint32_t b) {
    node->op = op;
    node->a = a;
    node->b = b;
}

#endif
