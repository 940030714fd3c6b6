/* SPDX-License-Identifier: MIT
 *
 * What holds for every double makes nodes simpler.
 */
#include "rewrite.h"

static void become_unary(Node *node, uint8_t op, uint32_t a) {
    node->op = op;
    node->a = a;
}

/* Only what holds for every double, -0.0, infinities and NaN among them: x + 0 is not x for -0.0,
 * x - x is not 0 for infinity, and x * 0 is not 0 for either. */
static uint32_t simplify_once(Graph *graph, uint32_t i) {
    Node *node = &graph->nodes[i];
    Node *nodes = graph->nodes;
    uint32_t a = node->a, b = node->b;
    switch (node->op) {
    case OP_add:
        if (is_number(graph, b, -0.0)) return a;
        if (is_number(graph, a, -0.0)) return b;
        if (nodes[b].op == OP_neg) become_binary(node, OP_sub, a, nodes[b].a);
        else if (nodes[a].op == OP_neg) become_binary(node, OP_sub, b, nodes[a].a);
        return i;
    case OP_sub:
        if (is_number(graph, b, 0.0)) return a;
        if (nodes[b].op == OP_neg) become_binary(node, OP_add, a, nodes[b].a);
        return i;
    case OP_mul:
        if (is_number(graph, b, 1.0)) return a;
        if (is_number(graph, a, 1.0)) return b;
        if (is_number(graph, b, -1.0)) become_unary(node, OP_neg, a);
        else if (is_number(graph, a, -1.0)) become_unary(node, OP_neg, b);
        else if (nodes[a].op == OP_neg && nodes[b].op == OP_neg) become_binary(node, OP_mul, nodes[a].a, nodes[b].a);
        return i;
    case OP_truediv:
        if (is_number(graph, b, 1.0)) return a;
        if (is_number(graph, b, -1.0)) become_unary(node, OP_neg, a);
        return i;
    case OP_neg: return nodes[a].op == OP_neg ? nodes[a].a : i;
    case OP_abs:
        if (nodes[a].op == OP_neg) node->a = nodes[a].a;
        return nodes[a].op == OP_abs ? a : i;
    case OP_relu: return nodes[a].op == OP_relu ? a : i;
    case OP_detach: /* a sample's inputs and draws have no adjoint that could be stopped */
        if (nodes[a].op == OP_detach || nodes[a].op == NODE_DRAW) return a;
        return nodes[a].op == NODE_INPUT && !graph->is_body ? a : i;
    case OP_pow_number:
        if (node->number == 1.0) return a;
        if (node->number == 2.0) become_binary(node, OP_mul, a, a);
        return i;
    case NODE_LINEAR: return node->c == 0 && node->b == 1 ? graph->args.items[node->a] : i;
    default: return i;
    }
}

static uint32_t simplify(Graph *graph, uint32_t i) {
    /* One identity may make room for another: 1 * -x for -x, for one. */
    for (;;) {
        uint8_t before = graph->nodes[i].op;
        uint32_t instead = simplify_once(graph, i);
        if (instead != i || graph->nodes[i].op == before) return instead;
    }
}

void apply_identities(Graph *graph) { rewrite(graph, simplify); }
