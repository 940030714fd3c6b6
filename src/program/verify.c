/* SPDX-License-Identifier: MIT
 *
 * What has to hold for a graph. Every index is looked at before it is used, so that a graph that is
 * broken in one place does not lead the verifier astray.
 */
#include "verify.h"

#include "loops.h"

#ifdef MICROGRAD_C_DEBUG
int verifying = 1;
#else
int verifying = 0;
#endif

/* What is known of the nodes so far, one entry each. */
typedef struct {
    Graph *graph;
    uint32_t *row_count;       /* of a matrix product: parts that have stood there */
    uint8_t *has_parameter, *has_input, *has_draw;
    uint32_t *seen_by_product; /* of a node: the last product that has it as input */
} Seen;

/* The rule that node i breaks, or NULL. */
#define HOLDS(condition, rule) \
    if (!(condition)) return rule

static const char *broken_list(const Graph *graph, uint64_t at, uint64_t count, uint32_t below) {
    HOLDS(at <= graph->args.size && count <= graph->args.size - at, "operands stand within args");
    for (uint64_t k = 0; k < count; k++) HOLDS(graph->args.items[at + k] < below, "operands stand before their node");
    return NULL;
}

static int all_of_stage(const Graph *graph, const uint32_t *nodes, size_t count, int is_sample) {
    for (size_t k = 0; k < count; k++)
        if ((graph->nodes[nodes[k]].stage == SAMPLE) != is_sample) return 0;
    return 1;
}

static int is_record(const Graph *graph, uint32_t i) {
    uint8_t op = graph->nodes[i].op;
    return op == NODE_PRODUCT || op == NODE_TRANSPOSED || op == NODE_OUTER || op == NODE_SCATTER || op == NODE_SCAN ||
           op == NODE_SEQUENCE || op == NODE_LIST;
}

static const char *broken_product(const Seen *seen, uint32_t i) {
    const Graph *graph = seen->graph;
    const Node *node = &graph->nodes[i];
    uint64_t n_out = node->b < node->c || node->c == 0 ? 0 : (node->b - node->c) / (node->c + node->which);
    HOLDS(n_out > 0 && node->which <= 1 && node->b == node->c + n_out * (node->c + node->which),
          "a matrix product has as many operands as it needs");
    Product product = product_of(graph, i);
    HOLDS(all_of_stage(graph, product.inputs, product.n_in, 1), "inputs of a matrix product change with the sample");
    HOLDS(all_of_stage(graph, product.weights, node->b - product.n_in, 0),
          "weights and biases do not change with the sample");
    for (uint32_t k = 0; k < product.n_in; k++) {
        HOLDS(seen->seen_by_product[product.inputs[k]] != i + 1, "a matrix product has each input once");
        seen->seen_by_product[product.inputs[k]] = i + 1;
    }
    return NULL;
}

/* Of the operands it is known that they stand before their node. */
static const char *broken_part(const Seen *seen, const Node *node) {
    const Graph *graph = seen->graph;
    const Node *record = &graph->nodes[node->a];
    HOLDS(is_record(graph, node->a), "a part belongs to a record");
    if (record->op == NODE_PRODUCT) {
        HOLDS(node->b == seen->row_count[node->a], "parts of a matrix product stand in order, each once");
        HOLDS(node->b < product_of(graph, node->a).n_out, "a part stands within its record");
        seen->row_count[node->a]++;
        return NULL;
    }
    if (record->op == NODE_SCAN) {
        HOLDS(node->b < scan_of(graph, node->a)->n_carries, "a part stands within its record");
        return NULL;
    }
    if (is_sequence(graph, node->a)) {
        HOLDS(node->b < sequence_length(graph, node->a), "a part stands within its record");
        return NULL;
    }
    if (record->op == NODE_SCATTER) {
        HOLDS(node->b < graph->nodes[record->a].b - 1, "a part stands within its record");
        return NULL;
    }
    Product product = product_of(graph, graph->args.items[record->a]);
    uint64_t n = product.n_in, first = record->c, end = first + record->b - 1, biases = product.n_out * n;
    int is_weight = node->b >= first * n && node->b < end * n;
    int is_bias = product.biases && node->b >= biases + first && node->b < biases + end;
    HOLDS(record->op == NODE_TRANSPOSED ? node->b < n : is_weight || is_bias, "a part stands within its record");
    return NULL;
}

/* A scan has the operands that its body wants, and a body that holds itself. */
static const char *broken_scan(const Seen *seen, uint32_t i) {
    Graph *graph = seen->graph;
    const Node *node = &graph->nodes[i];
    const Scan *scan = scan_of(graph, i);
    const uint32_t *args = graph->args.items + node->a;
    HOLDS(node->b == scan_operands(scan), "a scan has as many operands as it needs");
    for (uint32_t k = 0; k < node->b; k++) {
        int is_taken = k >= scan->n_carries && k < scan->n_carries + scan->n_taken;
        HOLDS(is_sequence(graph, args[k]) == is_taken, "a scan takes sequences, and numbers for all else");
        HOLDS(!is_taken || sequence_length(graph, args[k]) == scan->length, "sequences are as long as their scan");
    }
    Graph body = scan->body;
    HOLDS(body.n_inputs == scan->n_carries + scan->n_taken && body.n_parameters == scan->n_captured &&
              body.n_roots == scan->n_carries + scan->n_made,
          "a body has the inputs and the roots of its scan");
    body.scratch = graph->scratch;
    if (verify_graph(&body, graph->fault.after)) return body.fault.rule; /* as deep as loops stand in loops */
    return NULL;
}

/* What stands in gradient graphs only. */
static const char *broken_adjoint(const Seen *seen, uint32_t i) {
    const Graph *graph = seen->graph;
    const Node *node = &graph->nodes[i];
    const uint32_t *args = graph->args.items + node->a;
    HOLDS(i >= graph->primal && graph->primal > 0, "adjoints stand behind the function");
    if (node->op == NODE_GAIN || node->op == NODE_ADJOINT)
        HOLDS(node->c < graph->primal, "adjoints are those of the function's nodes");
    if (node->op == NODE_ADJOINT)
        HOLDS((graph->nodes[node->c].stage == SAMPLE ? SAMPLE : BATCH) == node->stage,
              "an adjoint changes with the sample where its node does");
    if (node->op == NODE_SCATTER) HOLDS(graph->nodes[node->a].op == OP_take, "a scatter belongs to a take");
    if (node->op == NODE_TRANSPOSED || node->op == NODE_OUTER) {
        int of_product = node->b > 1 && graph->nodes[args[0]].op == NODE_PRODUCT;
        HOLDS(of_product && node->c + (uint64_t)node->b - 1 <= product_of(graph, args[0]).n_out,
              "a transposed product has adjoints of a product's outputs");
        HOLDS(all_of_stage(graph, args + 1, node->b - 1, 1), "adjoints of a product's outputs change with the sample");
    }
    return NULL;
}

static const char *broken_leaf(const Seen *seen, const Node *node) {
    const Graph *graph = seen->graph;
    if (node->op == NODE_CONSTANT) {
        HOLDS(node->stage == CONSTANT, "a number is of stage CONSTANT");
        return NULL;
    }
    int is_parameter = node->op == NODE_PARAMETER, is_draw = node->op == NODE_DRAW;
    uint32_t count = is_parameter ? graph->n_parameters : is_draw ? graph->n_draws : graph->n_inputs;
    uint8_t *has = is_parameter ? seen->has_parameter : is_draw ? seen->has_draw : seen->has_input;
    HOLDS(node->a < count && (!is_draw || node->which < DRAW_KINDS),
          "parameters, inputs and draws are those that there are");
    HOLDS(!has[node->a], "parameters, inputs and draws stand once each");
    has[node->a] = 1;
    HOLDS(node->stage == (is_parameter ? ONCE : SAMPLE), "parameters are of stage ONCE, inputs and draws of SAMPLE");
    return NULL;
}

static int is_known(const Node *node) {
    if (node->op > NODE_SCATTER) return 0;
    return forms[node->op] != FORM_NONE;
}

static uint32_t bits_in(unsigned set) {
    uint32_t count = 0;
    for (; set; set &= set - 1) count++;
    return count;
}

static int is_gain(const Node *node) {
    if (node->of >= OP_FIRST_VARIADIC || op_info[node->of].shape == LEAF || node->which >= op_arity(node->of) ||
        cell_stops((Op)node->of, node->which))
        return 0;
    unsigned reads = cell_reads((Op)node->of, node->which);
    if (op_info[node->of].shape == SCALED) reads &= ~(1u << NAME_Y);
    return node->b == bits_in(reads);
}

/* Whether a node whose operands stand in args has as many as it needs. */
static int is_counted(const Node *node) {
    switch (form_of(node)) {
    case FORM_LINEAR: return node->b > 0 && node->c <= node->b / 2;
    case FORM_TAKE: return node->b >= 2;
    case FORM_CUSTOM: return node->b % 2 == 0;
    case FORM_GAIN: return is_gain(node);
    case FORM_ADJOINT: return node->b > 0;
    case FORM_CONSTANT:
    case FORM_PARAMETER:
    case FORM_INPUT:
    case FORM_DRAW:
    case FORM_SEED:
    case FORM_MAP:
    case FORM_PART:
    case FORM_TOTAL:
    case FORM_SCATTER:
    case FORM_PRODUCT:
    case FORM_SEQUENCE:
    case FORM_SCAN:
    case FORM_TRANSPOSED:
    case FORM_OUTER: break;
    case FORM_LIST: return node->b > 0;
    }
    return 1;
}

/* Whether the node reads a record as such. */
static int reads_record(const Node *node, uint32_t operand) {
    if (node->op == NODE_SCAN || node->op == NODE_SEQUENCE) return 1; /* see broken_scan */
    return node->op == NODE_PART || (operand == 0 && (node->op == NODE_TRANSPOSED || node->op == NODE_OUTER));
}

static const char *broken_stage(const Graph *graph, uint32_t i, const uint32_t *operands, uint32_t count) {
    const Node *node = &graph->nodes[i];
    int is_sum = node->op == NODE_TOTAL || node->op == NODE_OUTER;
    HOLDS(node->stage == graph_stage(graph, i), "a stage is the latest of the operands'");
    if (node->stage != BATCH || is_sum) return NULL;
    for (uint32_t k = 0; k < count; k++)
        HOLDS(graph->nodes[operands[k]].stage != SAMPLE, "what samples give goes into the batch by a sum");
    return NULL;
}

static const char *broken_node(const Seen *seen, uint32_t i) {
    const Graph *graph = seen->graph;
    const Node *node = &graph->nodes[i];
    HOLDS(is_known(node), "a graph has operations that can be planned");
    HOLDS(is_counted(node), "an operation has as many operands as it needs");
    Form form = form_of(node);
    if (form == FORM_CONSTANT || form == FORM_PARAMETER || form == FORM_INPUT || form == FORM_DRAW)
        return broken_leaf(seen, node);
    const char *rule = has_args(node) ? broken_list(graph, node->a, node->b, i) : NULL;
    if (rule) return rule;
    uint32_t count;
    const uint32_t *operands = node_operands(graph, i, &count);
    for (uint32_t k = 0; k < count; k++) {
        HOLDS(operands[k] < i, "operands stand before their node");
        HOLDS(!is_record(graph, operands[k]) || reads_record(node, k), "a record is no number");
    }
    if (form == FORM_PRODUCT && (rule = broken_product(seen, i))) return rule;
    if (form == FORM_SEQUENCE) {
        HOLDS(graph->nodes[node->a].op == NODE_SCAN, "a scan gives sequences");
        const Scan *scan = scan_of(graph, node->a);
        HOLDS(node->b < scan_sequences(scan), "a part stands within its record");
    }
    if (form == FORM_SCAN) {
        HOLDS(node->c < graph->scans.size, "a scan is one of the graph's");
        if ((rule = broken_scan(seen, i))) return rule;
    }
    if (form == FORM_PART && (rule = broken_part(seen, node))) return rule;
    if (node->op >= NODE_SEED && (rule = broken_adjoint(seen, i))) return rule;
    if ((rule = broken_stage(graph, i, operands, count))) return rule;
    HOLDS(node->op != OP_custom || node->stage != SAMPLE, "a given value does not change with the sample");
    return NULL;
}

static int is_zero(const Node *node) { return node->op == NODE_CONSTANT && node->number == 0.0; }

static const char *broken_graph(const Graph *graph, const Seen *seen, const char **list, uint32_t *at) {
    *list = "node";
    for (uint32_t i = 0; i < graph->size; i++) {
        const char *rule = broken_node(seen, i);
        *at = i;
        if (rule) return rule;
    }
    *list = "matrix product";
    for (uint32_t i = 0; i < graph->size; i++) {
        *at = i;
        HOLDS(graph->nodes[i].op != NODE_PRODUCT || !seen->row_count[i] ||
                  seen->row_count[i] == product_of(graph, i).n_out,
              "a matrix product has all of its parts, or none");
    }
    *list = "root";
    for (uint32_t k = 0; k < graph->n_roots; k++) {
        *at = k;
        HOLDS(graph->roots[k] < graph->size, "roots are nodes of the graph");
        HOLDS(!is_record(graph, graph->roots[k]), "a record is no number");
        HOLDS(!graph->primal || k == 0 || graph->nodes[graph->roots[k]].stage == BATCH ||
                  is_zero(&graph->nodes[graph->roots[k]]),
              "derivatives by parameters are of stage BATCH");
    }
    return NULL;
}

int verify_graph(Graph *graph, const char *after) {
    if (!verifying) return 0;
    Arena *scratch = graph->scratch;
    Seen seen = {.graph = graph,
                 .row_count = ARENA_ARRAY(scratch, uint32_t, graph->size),
                 .has_parameter = ARENA_ARRAY(scratch, uint8_t, graph->n_parameters),
                 .has_input = ARENA_ARRAY(scratch, uint8_t, graph->n_inputs),
                 .has_draw = ARENA_ARRAY(scratch, uint8_t, graph->n_draws),
                 .seen_by_product = ARENA_ARRAY(scratch, uint32_t, graph->size)};
    const char *list = "";
    uint32_t at = 0;
    graph->fault.after = after;
    const char *rule = broken_graph(graph, &seen, &list, &at);
    if (!rule) return 0;
    graph->fault = (Fault){after, rule, list, at};
    return -1;
}
