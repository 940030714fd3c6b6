/* SPDX-License-Identifier: MIT
 *
 * The optimiser: small passes over a frozen graph, each walking it once in topological order.
 *
 * A pass rewrites a node in place, or forwards it to an earlier node that computes the same. Values
 * stay those of eager code to the last bit, but for `sums` and `matrices`, which add in another order.
 */
#include "graph.h"

/* -- walking and forwarding --------------------------------------------------------------------- */

static uint32_t *forward_none(Graph *graph) {
    uint32_t *forward = ARENA_ARRAY(graph->scratch, uint32_t, graph->size + 1);
    for (uint32_t i = 0; i < graph->size; i++) forward[i] = i;
    return forward;
}

static void follow_operands(Graph *graph, uint32_t i, const uint32_t *forward) {
    uint32_t count, *operands = node_operands(graph, i, &count);
    for (uint32_t k = 0; k < count; k++) operands[k] = forward[operands[k]];
}

/* Applies simplify to every node; it returns the node to use instead, or the node itself. */
static void rewrite(Graph *graph, uint32_t (*simplify)(Graph *graph, uint32_t i)) {
    uint32_t *forward = forward_none(graph);
    for (uint32_t i = 0; i < graph->size; i++) {
        follow_operands(graph, i, forward);
        forward[i] = simplify(graph, i);
    }
    for (uint32_t k = 0; k < graph->n_roots; k++) graph->roots[k] = forward[graph->roots[k]];
}

static int is_constant(const Graph *graph, uint32_t i) {
    return graph->nodes[i].op == NODE_CONSTANT;
}

static int is_number(const Graph *graph, uint32_t i, double number) {
    return is_constant(graph, i) &&
           memcmp(&graph->nodes[i].number, &number, sizeof number) == 0; /* 0.0 is not -0.0 */
}

static Shape shape_of(const Node *node) {
    return node->op >= OP_COUNT ? VARIADIC : op_info[node->op].shape;
}

/* -- constants ---------------------------------------------------------------------------------- */

static double number_of(const Graph *graph, uint32_t i) { return graph->nodes[i].number; }

/* The element that take's index chooses; NONE: out of range, which is for the replay to report. */
static uint32_t taken_element(double index, uint32_t n_elements) {
    if (index < 0) index += n_elements;
    return index >= 0 && index < n_elements && index == (uint32_t)index ? (uint32_t)index : NONE;
}

/* A choice that a number makes is made now. */
static uint32_t choose(const Graph *graph, uint32_t i) {
    const Node *node = &graph->nodes[i];
    const uint32_t *args = graph->args.items + node->a;
    if (!is_constant(graph, args[0])) return i;
    if (node->op == OP_where) return args[number_of(graph, args[0]) > 0 ? 1 : 2];
    uint32_t element = taken_element(number_of(graph, args[0]), node->b - 1);
    return element == NONE ? i : args[1 + element];
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

static uint32_t fold(Graph *graph, uint32_t i) {
    Node *node = &graph->nodes[i];
    const uint32_t *args = graph->args.items + node->a;
    if (node->op == OP_where || node->op == OP_take) return choose(graph, i);
    if (node->stage != CONSTANT || node->op == NODE_CONSTANT) return i;
    switch (shape_of(node)) {
    case BINARY:
        node->number = op_value(node->op, number_of(graph, node->a), number_of(graph, node->b));
        break;
    case UNARY:
    case SCALED:
    case STOPPED:
        node->number = op_value(node->op, number_of(graph, node->a), node->number);
        break;
    default:
        if (node->op == NODE_LINEAR) node->number = constant_linear(graph, node);
        else if (node->op == OP_clip)
            node->number = fn_minimum(fn_maximum(number_of(graph, args[0]), number_of(graph, args[1])),
                                      number_of(graph, args[2]));
    }
    node->op = NODE_CONSTANT;
    return i;
}

static void apply_constants(Graph *graph) { rewrite(graph, fold); }

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

static void apply_identities(Graph *graph) { rewrite(graph, simplify); }

/* -- common subexpressions ------------------------------------------------------------------------ */

static uint64_t mix(uint64_t hash, uint64_t item) {
    hash = (hash ^ item) * UINT64_C(0x9E3779B97F4A7C15);
    return hash ^ hash >> 29;
}

static uint64_t bits_of(double number) {
    uint64_t bits;
    memcpy(&bits, &number, sizeof bits);
    return bits;
}

static int has_number(const Node *node) {
    return node->op == NODE_CONSTANT || shape_of(node) == SCALED;
}

static int is_unique(const Node *node) {
    return node->op == NODE_PARAMETER || node->op == NODE_INPUT || node->op == NODE_ROW ||
           node->op == OP_custom;
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
    if (has_number(p) ? bits_of(p->number) != bits_of(q->number) : NODE_IS_VARIADIC(p) && p->c != q->c)
        return 0;
    return n == 0 || memcmp(a, b, n * sizeof *a) == 0;
}

static size_t table_size(size_t items) {
    size_t size = 16;
    while (size < 2 * items) size *= 2;
    return size;
}

static void apply_subexpressions(Graph *graph) {
    size_t size = table_size(graph->size);
    uint32_t *table = ARENA_ARRAY(graph->scratch, uint32_t, size); /* one more than the node */
    uint32_t *forward = forward_none(graph);
    for (uint32_t i = 0; i < graph->size; i++) {
        Node *node = &graph->nodes[i];
        follow_operands(graph, i, forward);
        if (is_unique(node)) continue;
        if ((node->op == OP_add || node->op == OP_mul) && node->a > node->b)
            become_binary(node, node->op, node->b, node->a);
        size_t slot = hash_node(graph, i) & (size - 1);
        while (table[slot] && !same_node(graph, i, table[slot] - 1)) slot = (slot + 1) & (size - 1);
        if (table[slot]) forward[i] = table[slot] - 1;
        else table[slot] = i + 1;
    }
    for (uint32_t k = 0; k < graph->n_roots; k++) graph->roots[k] = forward[graph->roots[k]];
}

/* -- dead code ------------------------------------------------------------------------------------ */

/* How often each node is used, by nodes that a root depends on. */
static uint32_t *count_uses(Graph *graph) {
    uint32_t *uses = ARENA_ARRAY(graph->scratch, uint32_t, graph->size + 1);
    for (uint32_t k = 0; k < graph->n_roots; k++) uses[graph->roots[k]]++;
    for (uint32_t i = graph->size; i-- > 0;) {
        uint32_t count, *operands = node_operands(graph, i, &count);
        if (!uses[i]) continue;
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

static void apply_dead_code(Graph *graph) {
    uint32_t *uses = count_uses(graph), size = 0;
    uint32_t *forward = ARENA_ARRAY(graph->scratch, uint32_t, graph->size + 1);
    for (uint32_t i = 0; i < graph->size; i++) {
        /* Rows of a matrix product stay together, used or not. */
        if (!uses[i] && graph->nodes[i].op != NODE_ROW) continue;
        forward[i] = size;
        graph->nodes[size] = graph->nodes[i];
        follow_operands(graph, size++, forward);
    }
    for (uint32_t m = 0; m < graph->matvecs.size; m++) {
        const Matvec *matvec = &graph->matvecs.items[m];
        uint32_t *args = graph->args.items;
        for (uint32_t k = 0; k < matvec->n_in; k++)
            args[matvec->inputs + k] = forward[args[matvec->inputs + k]];
        for (uint32_t k = 0; k < matvec->n_in * matvec->n_out; k++)
            args[matvec->weights + k] = forward[args[matvec->weights + k]];
        for (uint32_t k = 0; matvec->biases != NONE && k < matvec->n_out; k++)
            args[matvec->biases + k] = forward[args[matvec->biases + k]];
    }
    graph->size = size;
    for (uint32_t k = 0; k < graph->n_roots; k++) graph->roots[k] = forward[graph->roots[k]];
}

/* -- sums of products ----------------------------------------------------------------------------- */

/* What is needed to decide which nodes of a chain are its own. */
typedef struct {
    Graph *graph;
    const uint32_t *uses;
    uint8_t *weighted; /* a sum of products of a ONCE and a SAMPLE factor, and of ONCE addends */
    uint8_t *inner;    /* absorbed by the sum above it */
    GROWING(uint32_t) stack, factors, addends;
} Sums;

static int is_sum(const Node *node) { return node->op == OP_add || node->op == NODE_LINEAR; }

static int is_weighted_pair(const Graph *graph, uint32_t a, uint32_t b) {
    return (graph->nodes[a].stage == SAMPLE) != (graph->nodes[b].stage == SAMPLE);
}

/* May the product or sum i be merged into a sum that computes at the same stage? */
static int is_private(const Sums *sums, uint32_t i, Stage stage) {
    return sums->uses[i] == 1 && sums->graph->nodes[i].stage == stage;
}

static int is_weighted_term(const Sums *sums, uint32_t i, Stage stage) {
    const Graph *graph = sums->graph;
    const Node *node = &graph->nodes[i];
    if (node->stage != SAMPLE) return 1;
    if (!is_private(sums, i, stage)) return 0;
    if (node->op == OP_mul) return is_weighted_pair(graph, node->a, node->b);
    return is_sum(node) && sums->weighted[i];
}

static int is_weighted_sum(const Sums *sums, uint32_t i) {
    const Graph *graph = sums->graph;
    const Node *node = &graph->nodes[i];
    uint32_t count;
    const uint32_t *operands = node_operands(graph, i, &count);
    uint32_t k = node->op == NODE_LINEAR ? 2 * node->c : 0;
    for (uint32_t p = 0; p < k; p += 2)
        if (!is_weighted_pair(graph, operands[p], operands[p + 1])) return 0;
    for (; k < count; k++)
        if (!is_weighted_term(sums, operands[k], (Stage)node->stage)) return 0;
    return 1;
}

/* Whether the sum `root` takes the term i apart. A matrix row within a sum of other things stays. */
static int absorbs(const Sums *sums, uint32_t root, uint32_t i) {
    const Node *node = &sums->graph->nodes[i];
    if (!is_private(sums, i, (Stage)sums->graph->nodes[root].stage)) return 0;
    if (node->op == OP_mul) {
        int same_stage = node->stage == ONCE || sums->graph->nodes[node->a].stage == SAMPLE ||
                         sums->graph->nodes[node->b].stage == SAMPLE;
        return same_stage;
    }
    return is_sum(node) && sums->weighted[i] == sums->weighted[root];
}

static void push_term(Sums *sums, uint32_t i) {
    GROW(sums->graph->scratch, &sums->stack, uint32_t, 1);
    sums->stack.items[sums->stack.size++] = i;
}

static void add_factors(Sums *sums, uint32_t a, uint32_t b) {
    GROW(sums->graph->scratch, &sums->factors, uint32_t, 2);
    sums->factors.items[sums->factors.size++] = a;
    sums->factors.items[sums->factors.size++] = b;
}

static void push_operands(Sums *sums, uint32_t i) {
    const Node *node = &sums->graph->nodes[i];
    uint32_t count;
    const uint32_t *operands = node_operands(sums->graph, i, &count);
    uint32_t first = node->op == NODE_LINEAR ? 2 * node->c : 0;
    for (uint32_t k = 0; k < first; k += 2) add_factors(sums, operands[k], operands[k + 1]);
    for (uint32_t k = count; k-- > first;) push_term(sums, operands[k]);
}

static void collect_terms(Sums *sums, uint32_t root) {
    sums->factors.size = sums->addends.size = sums->stack.size = 0;
    push_operands(sums, root);
    while (sums->stack.size) {
        uint32_t i = sums->stack.items[--sums->stack.size];
        const Node *node = &sums->graph->nodes[i];
        if (!absorbs(sums, root, i)) {
            GROW(sums->graph->scratch, &sums->addends, uint32_t, 1);
            sums->addends.items[sums->addends.size++] = i;
            continue;
        }
        sums->inner[i] = 1;
        if (node->op == OP_mul) add_factors(sums, node->a, node->b);
        else push_operands(sums, i);
    }
}

static void become_linear(Sums *sums, uint32_t root) {
    Graph *graph = sums->graph;
    Node *node = &graph->nodes[root];
    uint32_t n_factors = sums->factors.size, n_addends = sums->addends.size;
    GROW(graph->arena, &graph->args, uint32_t, n_factors + n_addends);
    node->op = NODE_LINEAR;
    node->a = graph->args.size;
    node->b = n_factors + n_addends;
    node->c = n_factors / 2;
    uint32_t *args = graph->args.items + graph->args.size;
    for (uint32_t k = 0; k < n_factors; k++) args[k] = sums->factors.items[k];
    for (uint32_t k = 0; k < n_addends; k++) args[n_factors + k] = sums->addends.items[k];
    graph->args.size += node->b;
}

/* One product and one addend are not worth a sum of products, unless a matrix may come of it. */
static int is_worth_it(const Sums *sums, uint32_t root) {
    uint32_t products = sums->factors.size / 2;
    return sums->graph->nodes[root].op == NODE_LINEAR || products >= 2 ||
           products + sums->addends.size > 2 || (products && sums->weighted[root]);
}

static void apply_sums(Graph *graph) {
    Sums sums = {.graph = graph, .uses = count_uses(graph)};
    sums.weighted = ARENA_ARRAY(graph->scratch, uint8_t, graph->size + 1);
    sums.inner = ARENA_ARRAY(graph->scratch, uint8_t, graph->size + 1);
    for (uint32_t i = 0; i < graph->size; i++)
        sums.weighted[i] = graph->nodes[i].stage == SAMPLE && is_sum(&graph->nodes[i]) &&
                           is_weighted_sum(&sums, i);
    for (uint32_t i = graph->size; i-- > 0;) {
        if (!sums.uses[i] || sums.inner[i] || !is_sum(&graph->nodes[i])) continue;
        collect_terms(&sums, i);
        if (is_worth_it(&sums, i)) become_linear(&sums, i);
    }
}

/* -- matrix-vector products ------------------------------------------------------------------------ */

/* A sum that can be a row: weights times inputs, each input once, and at most one addend. */
static int is_row(const Graph *graph, const Node *node, uint32_t *last_seen, uint32_t i) {
    if (node->op != NODE_LINEAR || node->stage != SAMPLE || node->c == 0) return 0;
    uint32_t *args = graph->args.items + node->a;
    if (node->b - 2 * node->c > 1) return 0;
    if (node->b > 2 * node->c && graph->nodes[args[2 * node->c]].stage == SAMPLE) return 0;
    for (uint32_t k = 0; k < 2 * node->c; k += 2) {
        if (!is_weighted_pair(graph, args[k], args[k + 1])) return 0;
        uint32_t input = graph->nodes[args[k]].stage == SAMPLE ? args[k] : args[k + 1];
        if (last_seen[input] == i + 1) return 0;
        last_seen[input] = i + 1;
    }
    for (uint32_t k = 0; k < 2 * node->c; k += 2) {
        if (graph->nodes[args[k]].stage != SAMPLE) continue;
        uint32_t input = args[k]; /* the weight stands first from now on */
        args[k] = args[k + 1];
        args[k + 1] = input;
    }
    return 1;
}

static uint64_t hash_inputs(const Graph *graph, const Node *node) {
    const uint32_t *args = graph->args.items + node->a;
    uint64_t hash = mix(node->c, node->b & 1);
    for (uint32_t k = 0; k < node->c; k++) hash = mix(hash, args[2 * k + 1]);
    return hash;
}

static int same_inputs(const Graph *graph, const Node *p, const Node *q) {
    const uint32_t *a = graph->args.items + p->a, *b = graph->args.items + q->a;
    if (p->c != q->c || p->b != q->b) return 0;
    for (uint32_t k = 0; k < p->c; k++)
        if (a[2 * k + 1] != b[2 * k + 1]) return 0;
    return 1;
}

static void make_matvec(Graph *graph, const uint32_t *rows, uint32_t n_out) {
    const Node model = graph->nodes[rows[0]];
    uint32_t n_in = model.c, has_bias = model.b & 1;
    GROW(graph->arena, &graph->args, uint32_t, n_in + (size_t)n_out * (n_in + 1));
    GROW(graph->arena, &graph->matvecs, Matvec, 1);
    uint32_t *args = graph->args.items, to = graph->args.size;
    Matvec *matvec = &graph->matvecs.items[graph->matvecs.size];
    *matvec = (Matvec){n_out, n_in, to, to + n_in, has_bias ? to + n_in + n_out * n_in : NONE};
    for (uint32_t k = 0; k < n_in; k++) args[to++] = args[model.a + 2 * k + 1];
    for (uint32_t r = 0; r < n_out; r++)
        for (uint32_t k = 0; k < n_in; k++) args[to++] = args[graph->nodes[rows[r]].a + 2 * k];
    for (uint32_t r = 0; r < n_out && has_bias; r++)
        args[to++] = args[graph->nodes[rows[r]].a + 2 * n_in];
    graph->args.size = to;
    for (uint32_t r = 0; r < n_out; r++) {
        Node *node = &graph->nodes[rows[r]];
        node->op = NODE_ROW;
        node->a = r;
        node->b = 0;
        node->c = graph->matvecs.size;
    }
    graph->matvecs.size++;
}

static void apply_matrices(Graph *graph) {
    uint32_t *uses = count_uses(graph), n_rows = 0, n_sets = 0;
    uint32_t *last_seen = ARENA_ARRAY(graph->scratch, uint32_t, graph->size + 1);
    uint32_t *rows = ARENA_ARRAY(graph->scratch, uint32_t, graph->size + 1);
    uint32_t *next = ARENA_ARRAY(graph->scratch, uint32_t, graph->size + 1); /* of the same inputs */
    for (uint32_t i = 0; i < graph->size; i++)
        if (uses[i] && is_row(graph, &graph->nodes[i], last_seen, i)) rows[n_rows++] = i;

    struct Set {
        uint32_t first, last, count;
    };
    size_t size = table_size(n_rows);
    uint32_t *table = ARENA_ARRAY(graph->scratch, uint32_t, size);
    struct Set *sets = ARENA_ARRAY(graph->scratch, struct Set, n_rows + 1);
    for (uint32_t r = 0; r < n_rows; r++) {
        const Node *node = &graph->nodes[rows[r]];
        size_t slot = hash_inputs(graph, node) & (size - 1);
        while (table[slot] && !same_inputs(graph, node, &graph->nodes[sets[table[slot] - 1].first]))
            slot = (slot + 1) & (size - 1);
        if (!table[slot]) {
            sets[n_sets] = (struct Set){rows[r], rows[r], 0};
            table[slot] = ++n_sets;
        }
        struct Set *set = &sets[table[slot] - 1];
        next[set->last] = rows[r];
        set->last = rows[r];
        set->count++;
    }
    uint32_t *members = ARENA_ARRAY(graph->scratch, uint32_t, n_rows + 1);
    for (uint32_t s = 0; s < n_sets; s++) {
        uint32_t node = sets[s].first;
        for (uint32_t k = 0; k < sets[s].count; k++, node = next[node]) members[k] = node;
        make_matvec(graph, members, sets[s].count);
    }
}

/* -- the table of passes ---------------------------------------------------------------------------- */

const Pass passes[PASS_COUNT] = {
#define PASS(id, text) {#id, text, apply_##id},
    FOR_EACH_PASS(PASS)
#undef PASS
};

int graph_optimise(Graph *graph, unsigned skip, Arena *to) {
    if (setjmp(graph->arena->out_of_memory) || setjmp(graph->scratch->out_of_memory) ||
        setjmp(to->out_of_memory))
        return -1;
    for (unsigned k = 0; k < PASS_COUNT; k++) {
        arena_rewind(graph->scratch);
        if (!(skip >> k & 1)) passes[k].apply(graph);
    }
    graph_pack(graph, to);
    return 0;
}
