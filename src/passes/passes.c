/* SPDX-License-Identifier: MIT
 *
 * The optimiser: small passes over a frozen graph, each walking it once in topological order.
 *
 * A pass rewrites a node in place, or forwards it to an earlier node that computes the same. Values
 * stay those of eager code to the last bit, but for `sums` and `matrices`, which add in another order.
 */
#include "passes.h"

#include "program/verify.h"

/* -- walking and forwarding --------------------------------------------------------------------- */

/* Which node to use instead of each, and whether a node's stage has changed on the way. */
typedef struct {
    uint32_t *to;
    int stages_changed;
} Forward;

static Forward forward_none(Graph *graph) {
    Forward forward = {ARENA_ARRAY(graph->scratch, uint32_t, graph->size + 1), 0};
    for (uint32_t i = 0; i < graph->size; i++) forward.to[i] = i;
    return forward;
}

static void renew_stage(Graph *graph, uint32_t i, Forward *forward) {
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

static void follow_roots(Graph *graph, const Forward *forward) {
    for (uint32_t k = 0; k < graph->n_roots; k++) graph->roots[k] = forward->to[graph->roots[k]];
}

/* Applies simplify to every node; it returns the node to use instead, or the node itself. */
static void rewrite(Graph *graph, uint32_t (*simplify)(Graph *graph, uint32_t i)) {
    Forward forward = forward_none(graph);
    for (uint32_t i = 0; i < graph->size; i++) {
        follow_operands(graph, i, &forward);
        uint8_t before = graph->nodes[i].op;
        forward.to[i] = simplify(graph, i);
        if (graph->nodes[i].op != before) renew_stage(graph, i, &forward);
    }
    follow_roots(graph, &forward);
}

static int is_number(const Graph *graph, uint32_t i, double number) {
    return is_constant(graph, i) &&
           memcmp(&graph->nodes[i].number, &number, sizeof number) == 0; /* 0.0 is not -0.0 */
}

/* -- constants ---------------------------------------------------------------------------------- */

static double number_of(const Graph *graph, uint32_t i) { return graph->nodes[i].number; }

/* The element that take's index chooses; NONE: out of range, which is for the replay to report. */
static uint32_t taken_element(double index, uint32_t n_elements) {
    if (index < 0) index += n_elements;
    return index >= 0 && index < n_elements && index == (uint32_t)index ? (uint32_t)index : NONE;
}

static double constant_linear(const Graph *graph, const Node *node) {
    const uint32_t *args = graph->args.items + node->a;
    double total = 0.0;
    /* As eager code: the addend of a dot first; a sum starts with its first addend. */
    uint32_t k = 2 * node->c;
    if (k < node->b) total = number_of(graph, args[k++]);
    for (uint32_t p = 0; p < node->c; p++)
        total += number_of(graph, args[2 * p]) * number_of(graph, args[2 * p + 1]);
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
    case FORM_ROW:
        return i;
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
        uint32_t element = taken_element(number_of(graph, operands[0]), count - 1);
        return element == NONE ? i : operands[1 + element];
    }
    case FORM_CUSTOM: /* its number is given */
        if (!are_numbers(graph, i)) return i;
        break;
    }
    node->op = NODE_CONSTANT;
    return i;
}

void apply_constants(Graph *graph) { rewrite(graph, fold); }

/* -- identities --------------------------------------------------------------------------------- */

static void become_binary(Node *node, uint8_t op, uint32_t a, uint32_t b) {
    node->op = op;
    node->a = a;
    node->b = b;
}

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
        else if (nodes[a].op == OP_neg && nodes[b].op == OP_neg)
            become_binary(node, OP_mul, nodes[a].a, nodes[b].a);
        return i;
    case OP_truediv:
        if (is_number(graph, b, 1.0)) return a;
        if (is_number(graph, b, -1.0)) become_unary(node, OP_neg, a);
        return i;
    case OP_neg:
        return nodes[a].op == OP_neg ? nodes[a].a : i;
    case OP_abs:
        if (nodes[a].op == OP_neg) node->a = nodes[a].a;
        return nodes[a].op == OP_abs ? a : i;
    case OP_relu:
        return nodes[a].op == OP_relu ? a : i;
    case OP_detach: /* inputs have no adjoint that could be stopped */
        return nodes[a].op == OP_detach || nodes[a].op == NODE_INPUT ? a : i;
    case OP_pow_number:
        if (node->number == 1.0) return a;
        if (node->number == 2.0) become_binary(node, OP_mul, a, a);
        return i;
    case NODE_LINEAR:
        return node->c == 0 && node->b == 1 ? graph->args.items[node->a] : i;
    default:
        return i;
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

/* -- common subexpressions ------------------------------------------------------------------------ */

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

/* Whether another node with the same operands may compute something else. */
static int is_unique(const Node *node) {
    switch (form_of(node)) {
    case FORM_PARAMETER:
    case FORM_INPUT:
    case FORM_ROW:
    case FORM_CUSTOM:
        return 1;
    case FORM_CONSTANT:
    case FORM_MAP:
    case FORM_LINEAR:
    case FORM_TAKE:
        return 0;
    }
    abort();
}

static uint64_t hash_node(const Graph *graph, uint32_t i) {
    const Node *node = &graph->nodes[i];
    uint32_t count;
    const uint32_t *operands = node_operands(graph, i, &count);
    uint64_t hash = mix(node->op, has_number(node) ? bits_of(node->number) : node->c);
    for (uint32_t k = 0; k < count; k++) hash = mix(hash, operands[k]);
    return hash;
}

static int same_node(const Graph *graph, uint32_t i, uint32_t j) {
    const Node *p = &graph->nodes[i], *q = &graph->nodes[j];
    uint32_t n, m;
    const uint32_t *a = node_operands(graph, i, &n), *b = node_operands(graph, j, &m);
    if (p->op != q->op || n != m) return 0;
    if (has_number(p) ? bits_of(p->number) != bits_of(q->number) : has_args(p) && p->c != q->c)
        return 0;
    return n == 0 || memcmp(a, b, n * sizeof *a) == 0;
}

void apply_subexpressions(Graph *graph) {
    size_t size = table_size(graph->size);
    uint32_t *table = ARENA_ARRAY(graph->scratch, uint32_t, size); /* one more than the node */
    Forward forward = forward_none(graph);
    for (uint32_t i = 0; i < graph->size; i++) {
        Node *node = &graph->nodes[i];
        follow_operands(graph, i, &forward);
        if (is_unique(node)) continue;
        if ((node->op == OP_add || node->op == OP_mul) && node->a > node->b)
            become_binary(node, node->op, node->b, node->a);
        size_t slot = hash_node(graph, i) & (size - 1);
        while (table[slot] && !same_node(graph, i, table[slot] - 1)) slot = (slot + 1) & (size - 1);
        if (table[slot]) forward.to[i] = table[slot] - 1;
        else table[slot] = i + 1;
    }
    follow_roots(graph, &forward);
}

/* -- dead code ------------------------------------------------------------------------------------ */

uint32_t *count_uses(Graph *graph) {
    uint32_t *uses = ARENA_ARRAY(graph->scratch, uint32_t, graph->size + 1);
    for (uint32_t k = 0; k < graph->n_roots; k++) uses[graph->roots[k]]++;
    for (uint32_t i = graph->size; i-- > 0;) {
        uint32_t count, *operands = node_operands(graph, i, &count);
        /* Rows of a matrix product stay together, used or not. */
        if (!uses[i] && graph->nodes[i].op != NODE_ROW) continue;
        for (uint32_t k = 0; k < count; k++) uses[operands[k]]++;
        if (graph->nodes[i].op != NODE_ROW) continue;
        const Matvec *matvec = &graph->matvecs.items[graph->nodes[i].c];
        const uint32_t *args = graph->args.items;
        for (uint32_t k = 0; k < matvec->n_in; k++) {
            uses[args[matvec->inputs + k]]++;
            uses[args[matvec->weights + graph->nodes[i].a * matvec->n_in + k]]++;
        }
        if (matvec->biases != NONE) uses[args[matvec->biases + graph->nodes[i].a]]++;
    }
    return uses;
}

void apply_dead_code(Graph *graph) {
    uint32_t *uses = count_uses(graph), size = 0;
    uint32_t *to = ARENA_ARRAY(graph->scratch, uint32_t, graph->size + 1);
    for (uint32_t i = 0; i < graph->size; i++) {
        if (!uses[i] && graph->nodes[i].op != NODE_ROW) continue;
        to[i] = size;
        graph->nodes[size] = graph->nodes[i];
        uint32_t count, *operands = node_operands(graph, size++, &count);
        for (uint32_t k = 0; k < count; k++) operands[k] = to[operands[k]];
    }
    for (uint32_t m = 0; m < graph->matvecs.size; m++) {
        const Matvec *matvec = &graph->matvecs.items[m];
        uint32_t *args = graph->args.items;
        for (uint32_t k = 0; k < matvec->n_in; k++)
            args[matvec->inputs + k] = to[args[matvec->inputs + k]];
        for (uint32_t k = 0; k < matvec->n_in * matvec->n_out; k++)
            args[matvec->weights + k] = to[args[matvec->weights + k]];
        for (uint32_t k = 0; matvec->biases != NONE && k < matvec->n_out; k++)
            args[matvec->biases + k] = to[args[matvec->biases + k]];
    }
    graph->size = size;
    follow_roots(graph, &(Forward){to, 0});
}

/* -- the table of passes ---------------------------------------------------------------------------- */

const Pass passes[PASS_COUNT] = {
#define PASS(id, text) {#id, text, apply_##id},
    FOR_EACH_PASS(PASS)
#undef PASS
};

MakeStatus graph_optimise(Graph *graph, unsigned skip, Arena *to) {
    jmp_buf out_of_memory;
    if (setjmp(out_of_memory)) return MADE_NO_MEMORY;
    graph->arena->out_of_memory = graph->scratch->out_of_memory = to->out_of_memory = &out_of_memory;
    if (verify_graph(graph, "freezing")) return MADE_BROKEN;
    for (unsigned k = 0; k < PASS_COUNT; k++) {
        if (skip >> k & 1) continue;
        arena_rewind(graph->scratch);
        passes[k].apply(graph);
        if (verify_graph(graph, passes[k].name)) return MADE_BROKEN;
    }
    graph_pack(graph, to);
    return verify_graph(graph, "packing") ? MADE_BROKEN : MADE;
}
