/* SPDX-License-Identifier: MIT
 *
 * Chains of additions and products become sums of products.
 */
#include "passes.h"

#include "rewrite.h"

/* What is needed to decide which nodes of a chain are its own. */
typedef struct {
    Graph *graph;
    const uint32_t *uses;
    uint8_t *weighted; /* a sum of products of a ONCE and a SAMPLE factor, and of ONCE addends */
    uint8_t *inner;    /* absorbed by the sum above it */
    GROWING(uint32_t) stack, factors, addends;
} Sums;

static int is_sum(const Node *node) { return node->op == OP_add || node->op == NODE_LINEAR; }

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

/* Products begin at 0 where there is no addend: a 0 that sum() began with need not be one. */
static void drop_zeros(Sums *sums) {
    if (!sums->factors.size) return;
    for (uint32_t k = 0; k < sums->addends.size; k++)
        if (!is_number(sums->graph, sums->addends.items[k], 0.0)) return;
    sums->addends.size = 0;
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
    return sums->graph->nodes[root].op == NODE_LINEAR || products >= 2 || products + sums->addends.size > 2 ||
           (products && sums->weighted[root]);
}

void apply_sums(Graph *graph) {
    Sums sums = {.graph = graph, .uses = count_uses(graph)};
    sums.weighted = ARENA_ARRAY(graph->scratch, uint8_t, graph->size + 1);
    sums.inner = ARENA_ARRAY(graph->scratch, uint8_t, graph->size + 1);
    for (uint32_t i = 0; i < graph->size; i++)
        sums.weighted[i] = graph->nodes[i].stage == SAMPLE && is_sum(&graph->nodes[i]) && is_weighted_sum(&sums, i);
    for (uint32_t i = graph->size; i-- > 0;) {
        if (!sums.uses[i] || sums.inner[i] || !is_sum(&graph->nodes[i])) continue;
        collect_terms(&sums, i);
        if (!is_worth_it(&sums, i)) continue;
        drop_zeros(&sums);
        become_linear(&sums, i);
    }
}
