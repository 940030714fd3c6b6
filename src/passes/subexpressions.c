/* SPDX-License-Identifier: MIT
 *
 * What is computed twice is computed once.
 */
#include "rewrite.h"

static uint64_t bits_of(double number) {
    uint64_t bits;
    memcpy(&bits, &number, sizeof bits);
    return bits;
}

/* Whether the number is part of what the node computes. */
static int has_number(const Node *node) {
    Form form = form_of(node);
    return form == FORM_CONSTANT || (form == FORM_MAP && op_info[node->op].shape == SCALED);
}

static uint64_t hash_node(const Graph *graph, uint32_t i) {
    const Node *node = &graph->nodes[i];
    uint32_t count;
    const uint32_t *operands = node_operands(graph, i, &count);
    uint64_t hash = mix(node->op, has_number(node) ? bits_of(node->number) : has_args(node) ? node->c : 0);
    for (uint32_t k = 0; k < count; k++) hash = mix(hash, operands[k]);
    return hash;
}

static int same_node(const Graph *graph, uint32_t i, uint32_t j) {
    const Node *p = &graph->nodes[i], *q = &graph->nodes[j];
    uint32_t n, m;
    const uint32_t *a = node_operands(graph, i, &n), *b = node_operands(graph, j, &m);
    if (p->op != q->op || n != m) return 0;
    if (has_number(p) ? bits_of(p->number) != bits_of(q->number) : has_args(p) && p->c != q->c) return 0;
    return n == 0 || memcmp(a, b, n * sizeof *a) == 0;
}

void apply_subexpressions(Graph *graph) {
    size_t size = table_size(graph->size);
    uint32_t *table = ARENA_ARRAY(graph->scratch, uint32_t, size); /* one more than the node */
    Forward forward = forward_none(graph);
    for (uint32_t i = 0; i < graph->size; i++) {
        Node *node = &graph->nodes[i];
        follow_operands(graph, i, &forward);
        if (!form_info[form_of(node)].merges) continue;
        if ((node->op == OP_add || node->op == OP_mul) && node->a > node->b)
            become_binary(node, node->op, node->b, node->a);
        size_t slot = hash_node(graph, i) & (size - 1);
        while (table[slot] && !same_node(graph, i, table[slot] - 1)) slot = (slot + 1) & (size - 1);
        if (table[slot]) forward.to[i] = table[slot] - 1;
        else table[slot] = i + 1;
    }
    follow_roots(graph, &forward);
}
