/* SPDX-License-Identifier: MIT
 *
 * The passes over sums: chains of additions and products become sums of products, and those that share
 * their inputs matrix-vector products.
 */
#include "passes.h"

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
    set_stage(graph, root);
}

/* One product and one addend are not worth a sum of products, unless a matrix may come of it. */
static int is_worth_it(const Sums *sums, uint32_t root) {
    uint32_t products = sums->factors.size / 2;
    return sums->graph->nodes[root].op == NODE_LINEAR || products >= 2 ||
           products + sums->addends.size > 2 || (products && sums->weighted[root]);
}

void apply_sums(Graph *graph) {
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

void apply_matrices(Graph *graph) {
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
