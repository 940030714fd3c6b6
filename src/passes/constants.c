/* SPDX-License-Identifier: MIT
 *
 * Operations on numbers alone are computed now.
 */
#include "rewrite.h"

static double number_of(const Graph *graph, uint32_t i) { return graph->nodes[i].number; }

static double constant_linear(const Graph *graph, const Node *node) {
    const uint32_t *args = graph->args.items + node->a;
    double total = 0.0;
    /* As eager code: the addend of a dot first; a sum starts with its first addend. */
    uint32_t k = 2 * node->c;
    if (k < node->b) total = number_of(graph, args[k++]);
    for (uint32_t p = 0; p < node->c; p++) total += number_of(graph, args[2 * p]) * number_of(graph, args[2 * p + 1]);
    for (; k < node->b; k++) total += number_of(graph, args[k]);
    return total;
}

/* Numbers all of them; what only is of stage CONSTANT may be a take whose index is out of range. */
static int are_numbers(const Graph *graph, uint32_t i) {
    uint32_t count;
    const uint32_t *operands = node_operands(graph, i, &count);
    for (uint32_t k = 0; k < count; k++)
        if (!is_constant(graph, operands[k])) return 0;
    return 1;
}

/* What numbers alone give is computed now, and a choice that a number makes is made now. */
static uint32_t fold(Graph *graph, uint32_t i) {
    Node *node = &graph->nodes[i];
    uint32_t count;
    const uint32_t *operands = node_operands(graph, i, &count);
    switch (form_of(node)) {
    case FORM_CONSTANT:
    case FORM_PARAMETER:
    case FORM_INPUT:
    case FORM_DRAW:
    case FORM_SEED:
    case FORM_PART:
    case FORM_SCAN:
    case FORM_SEQUENCE:
    case FORM_LIST:
    case FORM_PRODUCT:
    case FORM_TOTAL:
    case FORM_SCATTER:
    case FORM_GAIN:
    case FORM_ADJOINT:
    case FORM_TRANSPOSED:
    case FORM_OUTER: return i; /* no numbers are known of these */
    case FORM_MAP:
        if (node->op == OP_where && is_constant(graph, node->a))
            return number_of(graph, node->a) > 0 ? node->b : node->c;
        if (!are_numbers(graph, i)) return i;
        node->number = op_value(node->op, number_of(graph, node->a),
                                count > 1 ? number_of(graph, node->b) : node->number,
                                count > 2 ? number_of(graph, node->c) : 0.0);
        break;
    case FORM_LINEAR:
        if (!are_numbers(graph, i)) return i;
        node->number = constant_linear(graph, node);
        break;
    case FORM_TAKE: {
        if (!is_constant(graph, operands[0])) return i;
        uint32_t element = element_of(number_of(graph, operands[0]), count - 1);
        return element == NONE ? i : operands[1 + element]; /* none: which the run reports */
    }
    case FORM_CUSTOM: /* its number is given */
        if (!are_numbers(graph, i)) return i;
        break;
    }
    node->op = NODE_CONSTANT;
    return i;
}

void apply_constants(Graph *graph) { rewrite(graph, fold); }
