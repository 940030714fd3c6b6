/* SPDX-License-Identifier: MIT
 *
 * A graph as text, for people: a line a node, in the order of computation.
 */
#include "print.h"

#include "loops.h"

enum { MOST_SHOWN = 12, AT_THE_BEGINNING = 8 }; /* operands of a node */

static void put_operands(Text *to, const uint32_t *nodes, uint32_t count) {
    for (uint32_t k = 0; k < count; k++) {
        if (count > MOST_SHOWN && k == AT_THE_BEGINNING) {
            put(to, ", ... %u more", count - k - 1);
            k = count - 1;
        }
        put(to, k ? ", n%u" : "n%u", nodes[k]);
    }
}

const char *kind_of(const Node *node) {
    static const char *const names[] = {
        [NODE_PARAMETER - OP_COUNT] = "parameter",
        [NODE_INPUT - OP_COUNT] = "input",
        [NODE_DRAW - OP_COUNT] = "draw",
        [NODE_LINEAR - OP_COUNT] = "sum",
        [NODE_PRODUCT - OP_COUNT] = "matrix product",
        [NODE_PART - OP_COUNT] = "part",
        [NODE_SEED - OP_COUNT] = "seed",
        [NODE_SCAN - OP_COUNT] = "scan",
        [NODE_SEQUENCE - OP_COUNT] = "sequence",
        [NODE_LIST - OP_COUNT] = "list",
        [NODE_GAIN - OP_COUNT] = "gain",
        [NODE_ADJOINT - OP_COUNT] = "adjoint",
        [NODE_TOTAL - OP_COUNT] = "total",
        [NODE_TRANSPOSED - OP_COUNT] = "transposed product",
        [NODE_OUTER - OP_COUNT] = "outer product",
        [NODE_SCATTER - OP_COUNT] = "scatter",
    };
    if (node->op >= OP_COUNT) return names[node->op - OP_COUNT];
    return node->op == NODE_CONSTANT ? "number" : op_info[node->op].name;
}

/* The body of scan i, indented by so many spaces more. */
static void put_scan(Text *to, const Graph *graph, uint32_t i, int indent);

static void put_node(Text *to, const Graph *graph, uint32_t i, int indent) {
    const Node *node = &graph->nodes[i];
    uint32_t count;
    const uint32_t *operands = node_operands(graph, i, &count);
    put(to, "%*s    n%u = %s", indent, "", i, kind_of(node));
    if (node->op == NODE_CONSTANT) put(to, " %.17g", node->number);
    if (node->op == NODE_PARAMETER || node->op == NODE_INPUT) put(to, " %u", node->a);
    if (node->op == NODE_DRAW) put(to, " %u, %s", node->a, draw_kinds[node->which]);
    if (node->op == NODE_PART || node->op == NODE_SEQUENCE) put(to, " %u", node->b);
    if (node->op == NODE_GAIN) put(to, " of %s's operand %u", op_info[node->of].name, node->which);
    if (node->op == NODE_ADJOINT) put(to, " of n%u", node->c);
    if (node->op == NODE_TRANSPOSED || node->op == NODE_OUTER) put(to, " from output %u on", node->c);
    if (count && node->op == NODE_LINEAR) put(to, " of %u products", node->c);
    if (count) put(to, "("), put_operands(to, operands, count), put(to, ")");
    if (node->op < OP_COUNT && op_info[node->op].shape == SCALED) put(to, ", %g", node->number);
    put(to, "\n");
    if (node->op == NODE_SCAN) put_scan(to, graph, i, indent + 4);
}

static void put_nodes(Text *to, const Graph *graph, int indent, const char *const *titles) {
    for (int stage = CONSTANT; stage <= BATCH; stage++) {
        int any = 0;
        for (uint32_t i = 0; i < graph->size; i++) {
            if (graph->nodes[i].stage != stage) continue;
            if (!any) put(to, "%*s  %s\n", indent, "", titles[stage]);
            any = 1;
            put_node(to, graph, i, indent);
        }
    }
    put(to, "%*s  results: ", indent, "");
    put_operands(to, graph->roots, graph->n_roots);
    put(to, "\n");
}

static void put_scan(Text *to, const Graph *graph, uint32_t i, int indent) {
    static const char *const titles[] = {"numbers", "the same in every step", "for every step", ""};
    const Scan *scan = scan_of(graph, i);
    put(to, "%*s  %u steps%s: %u carried, %u taken, %u captured, %u made\n", indent, "", scan->length,
        scan->is_reverse ? ", the last first" : "", scan->n_carries, scan->n_taken, scan->n_captured, scan->n_made);
    put_nodes(to, &scan->body, indent, titles);
}

void put_graph(Text *to, const Graph *graph) {
    static const char *const titles[] = {"numbers", "once a batch", "for every sample", "after the samples"};
    put_nodes(to, graph, 0, titles);
}
