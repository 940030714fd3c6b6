/* SPDX-License-Identifier: MIT
 *
 * Sums of products that share their inputs become matrix-vector products.
 */
#include "passes.h"

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
