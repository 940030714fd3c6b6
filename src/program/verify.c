/* SPDX-License-Identifier: MIT
 *
 * What has to hold for a graph. Every index is looked at before it is used, so that a graph that is
 * broken in one place does not lead the verifier astray.
 */
#include "verify.h"

#ifdef MICROGRAD_C_DEBUG
int verifying = 1;
#else
int verifying = 0;
#endif

/* What is known of the nodes so far, one entry each. */
typedef struct {
    Graph *graph;
    uint32_t *row_count;       /* of a matrix product: rows that have stood there */
    uint8_t *has_parameter, *has_input;
    uint32_t *seen_by_product; /* of a node: the last product that has it as input */
} Seen;

/* The rule that node i breaks, or NULL. */
#define HOLDS(condition, rule) \
    if (!(condition)) return rule

static const char *broken_list(const Graph *graph, uint64_t at, uint64_t count, uint32_t below) {
    HOLDS(at <= graph->args.size && count <= graph->args.size - at, "operands stand within args");
    for (uint64_t k = 0; k < count; k++)
        HOLDS(graph->args.items[at + k] < below, "operands stand before their node");
    return NULL;
}

static int all_of_stage(const Graph *graph, uint64_t at, uint64_t count, int is_sample) {
    for (uint64_t k = 0; k < count; k++)
        if ((graph->nodes[graph->args.items[at + k]].stage == SAMPLE) != is_sample) return 0;
    return 1;
}

/* The inputs stand before the first of a product's rows, since one step computes all of them. */
static const char *broken_inputs(const Seen *seen, uint32_t m, uint32_t first_row) {
    const Graph *graph = seen->graph;
    const Matvec *matvec = &graph->matvecs.items[m];
    const char *rule = broken_list(graph, matvec->inputs, matvec->n_in, first_row);
    if (rule) return rule;
    HOLDS(matvec->n_in > 0, "a matrix product has inputs");
    HOLDS(all_of_stage(graph, matvec->inputs, matvec->n_in, 1),
          "inputs of a matrix product change with the sample");
    for (uint32_t k = 0; k < matvec->n_in; k++) {
        uint32_t input = graph->args.items[matvec->inputs + k];
        HOLDS(seen->seen_by_product[input] != m + 1, "a matrix product has each input once");
        seen->seen_by_product[input] = m + 1;
    }
    return NULL;
}

static const char *broken_row(const Seen *seen, uint32_t i) {
    const Graph *graph = seen->graph;
    const Node *node = &graph->nodes[i];
    HOLDS(node->c < graph->matvecs.size, "a row belongs to a matrix product that there is");
    const Matvec *matvec = &graph->matvecs.items[node->c];
    uint64_t weights = matvec->weights + (uint64_t)node->a * matvec->n_in, biases = (uint64_t)matvec->biases + node->a;
    const char *rule = NULL;
    HOLDS(node->a < matvec->n_out, "a row stands within its matrix product");
    HOLDS(node->a == seen->row_count[node->c], "rows of a matrix product stand in order, each once");
    seen->row_count[node->c]++;
    HOLDS(node->stage == SAMPLE, "a stage is the latest of the operands'");
    if (node->a == 0 && (rule = broken_inputs(seen, node->c, i))) return rule;
    if ((rule = broken_list(graph, weights, matvec->n_in, i))) return rule;
    HOLDS(all_of_stage(graph, weights, matvec->n_in, 0), "weights do not change with the sample");
    if (matvec->biases == NONE) return NULL;
    if ((rule = broken_list(graph, biases, 1, i))) return rule;
    HOLDS(all_of_stage(graph, biases, 1, 0), "biases do not change with the sample");
    return NULL;
}

static const char *broken_leaf(const Seen *seen, const Node *node) {
    const Graph *graph = seen->graph;
    if (node->op == NODE_CONSTANT) {
        HOLDS(node->stage == CONSTANT, "a number is of stage CONSTANT");
        return NULL;
    }
    int is_input = node->op == NODE_INPUT;
    HOLDS(node->a < (is_input ? graph->n_inputs : graph->n_parameters),
          "parameters and inputs are those that there are");
    uint8_t *has = is_input ? seen->has_input : seen->has_parameter;
    HOLDS(!has[node->a], "parameters and inputs stand once each");
    has[node->a] = 1;
    HOLDS(node->stage == (is_input ? SAMPLE : ONCE), "parameters are of stage ONCE, inputs of stage SAMPLE");
    return NULL;
}

static int is_known(const Node *node) {
    if (node->op >= OP_COUNT)
        return node->op == NODE_PARAMETER || node->op == NODE_INPUT || node->op == NODE_LINEAR ||
               node->op == NODE_ROW;
    return node->op != OP_sum && node->op != OP_dot && node->op != OP_opaque;
}

/* Whether a node whose operands stand in args has as many as it needs. */
static int is_counted(const Node *node) {
    switch (form_of(node)) {
    case FORM_LINEAR:
        return node->b > 0 && node->c <= node->b / 2;
    case FORM_TAKE:
        return node->b >= 2;
    case FORM_CUSTOM:
        return node->b % 2 == 0;
    case FORM_CONSTANT:
    case FORM_PARAMETER:
    case FORM_INPUT:
    case FORM_MAP:
    case FORM_ROW:
        break;
    }
    return 1;
}

static const char *broken_node(const Seen *seen, uint32_t i) {
    const Graph *graph = seen->graph;
    const Node *node = &graph->nodes[i];
    HOLDS(is_known(node), "a graph has operations that can be planned");
    HOLDS(is_counted(node), "an operation has as many operands as it needs");
    if (node->op == NODE_ROW) return broken_row(seen, i);
    if (form_of(node) == FORM_CONSTANT || node->op >= OP_COUNT) {
        if (node->op != NODE_LINEAR) return broken_leaf(seen, node);
    }
    const char *rule = has_args(node) ? broken_list(graph, node->a, node->b, i) : NULL;
    if (rule) return rule;
    uint32_t count;
    const uint32_t *operands = node_operands(graph, i, &count);
    uint8_t latest = CONSTANT;
    for (uint32_t k = 0; k < count; k++) {
        HOLDS(operands[k] < i, "operands stand before their node");
        if (graph->nodes[operands[k]].stage > latest) latest = graph->nodes[operands[k]].stage;
    }
    HOLDS(node->stage == latest, "a stage is the latest of the operands'");
    HOLDS(node->op != OP_custom || latest != SAMPLE, "a given value does not change with the sample");
    return NULL;
}

static const char *broken_graph(const Graph *graph, const Seen *seen, const char **list, uint32_t *at) {
    *list = "node";
    for (uint32_t i = 0; i < graph->size; i++) {
        const char *rule = broken_node(seen, i);
        *at = i;
        if (rule) return rule;
    }
    *list = "matrix product";
    for (uint32_t m = 0; m < graph->matvecs.size; m++) {
        *at = m;
        HOLDS(seen->row_count[m] == 0 || seen->row_count[m] == graph->matvecs.items[m].n_out,
              "a matrix product has all of its rows, or none");
    }
    *list = "root";
    for (uint32_t k = 0; k < graph->n_roots; k++) {
        *at = k;
        HOLDS(graph->roots[k] < graph->size, "roots are nodes of the graph");
    }
    return NULL;
}

int verify_graph(Graph *graph, const char *after) {
    if (!verifying) return 0;
    Arena *scratch = graph->scratch;
    Seen seen = {.graph = graph,
                 .row_count = ARENA_ARRAY(scratch, uint32_t, graph->matvecs.size),
                 .has_parameter = ARENA_ARRAY(scratch, uint8_t, graph->n_parameters),
                 .has_input = ARENA_ARRAY(scratch, uint8_t, graph->n_inputs),
                 .seen_by_product = ARENA_ARRAY(scratch, uint32_t, graph->size)};
    const char *list = "";
    uint32_t at = 0;
    const char *rule = broken_graph(graph, &seen, &list, &at);
    if (!rule) return 0;
    graph->fault = (Fault){after, rule, list, at};
    return -1;
}
