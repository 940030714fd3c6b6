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

/* The rows become parts of a product, for which a node is needed in front of them. */
static void make_product(Graph *graph, const uint32_t *rows, uint32_t n_out, Node *product) {
    const Node model = graph->nodes[rows[0]];
    uint32_t n_in = model.c, has_bias = model.b & 1;
    size_t n_args = n_in + (size_t)n_out * (n_in + has_bias);
    GROW(graph->arena, &graph->args, uint32_t, n_args);
    uint32_t *args = graph->args.items, to = graph->args.size;
    *product = (Node){
        .op = NODE_PRODUCT, .stage = SAMPLE, .a = to, .b = (uint32_t)n_args, .c = n_in, .which = (uint8_t)has_bias};
    for (uint32_t k = 0; k < n_in; k++) args[to++] = args[model.a + 2 * k + 1];
    for (uint32_t r = 0; r < n_out; r++)
        for (uint32_t k = 0; k < n_in; k++) args[to++] = args[graph->nodes[rows[r]].a + 2 * k];
    for (uint32_t r = 0; r < n_out && has_bias; r++) args[to++] = args[graph->nodes[rows[r]].a + 2 * n_in];
    graph->args.size = to;
    for (uint32_t r = 0; r < n_out; r++) {
        Node *node = &graph->nodes[rows[r]];
        *node = (Node){.op = NODE_PART, .stage = SAMPLE, .b = r};
    }
}

/* Puts the products in front of their first parts, and what no sample changes in front of all: weights
 * stand before their product. product_of: one more than the product of each part. */
static void insert_products(Graph *graph, const Node *products, uint32_t n_products, const uint32_t *product_of_part) {
    uint32_t total = graph->size + n_products, size = 0;
    Node *nodes = ARENA_ARRAY(graph->arena, Node, total);
    uint32_t *to = ARENA_ARRAY(graph->scratch, uint32_t, graph->size + 1);
    uint32_t *product_to = ARENA_ARRAY(graph->scratch, uint32_t, n_products);
    for (uint32_t i = 0; i < graph->size; i++) {
        if (graph->nodes[i].stage == SAMPLE) continue;
        to[i] = size;
        nodes[size++] = graph->nodes[i];
        if (graph->nodes[i].op == NODE_PART) nodes[to[i]].a = to[graph->nodes[i].a];
    }
    for (uint32_t i = 0; i < graph->size; i++) {
        if (graph->nodes[i].stage != SAMPLE) continue;
        uint32_t product = product_of_part[i];
        if (product && graph->nodes[i].b == 0) {
            product_to[product - 1] = size;
            nodes[size++] = products[product - 1];
        }
        to[i] = size;
        nodes[size++] = graph->nodes[i];
        if (product) nodes[to[i]].a = product_to[product - 1];
        else if (graph->nodes[i].op == NODE_PART) nodes[to[i]].a = to[graph->nodes[i].a]; /* of a loop */
    }
    graph->nodes = nodes;
    graph->size = total;
    for (uint32_t i = 0; i < total; i++) {
        uint32_t count, *operands = node_operands(graph, i, &count);
        if (nodes[i].op == NODE_PART) continue; /* its record is given already */
        for (uint32_t k = 0; k < count; k++) operands[k] = to[operands[k]];
    }
    for (uint32_t k = 0; k < graph->n_roots; k++) graph->roots[k] = to[graph->roots[k]];
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
    if (!n_sets) return;
    uint32_t *members = ARENA_ARRAY(graph->scratch, uint32_t, n_rows);
    uint32_t *product_of_part = ARENA_ARRAY(graph->scratch, uint32_t, graph->size);
    Node *products = ARENA_ARRAY(graph->scratch, Node, n_sets);
    for (uint32_t s = 0; s < n_sets; s++) {
        uint32_t node = sets[s].first;
        for (uint32_t k = 0; k < sets[s].count; k++, node = next[node]) {
            members[k] = node;
            product_of_part[node] = s + 1;
        }
        make_product(graph, members, sets[s].count, &products[s]);
    }
    insert_products(graph, products, n_sets, product_of_part);
}
