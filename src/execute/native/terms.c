/* SPDX-License-Identifier: MIT */
#include "terms.h"

enum { FAR_APART = 8 /* nodes from one to the next, of terms that need none */ };

/* Whether code reads it where it stands, at any time. */
static int stands_ready(const Node *node) {
    switch (form_of(node)) {
    case FORM_CONSTANT:
    case FORM_PARAMETER:
    case FORM_INPUT:
    case FORM_DRAW:
    case FORM_SEED:
    case FORM_CUSTOM: return 1;
    case FORM_MAP:
    case FORM_PART:
    case FORM_TOTAL:
    case FORM_LINEAR:
    case FORM_GAIN:
    case FORM_TAKE:
    case FORM_ADJOINT:
    case FORM_SCATTER:
    case FORM_PRODUCT: CASES_OF_LOOPS
    case FORM_TRANSPOSED:
    case FORM_OUTER: return 0;
    }
    abort();
}

/* The last node that the term waits for, of those that are computed as often as the sum; NONE: there is none. */
static uint32_t waits_for(const Graph *graph, const Node *sum, uint32_t term) {
    const uint32_t *args = graph->args.items + sum->a;
    int is_product = term < sum->c;
    const uint32_t *operands = is_product ? args + 2 * term : args + sum->c + term;
    uint32_t last = NONE;
    for (uint32_t k = 0; k < (is_product ? 2u : 1u); k++) {
        const Node *node = &graph->nodes[operands[k]];
        int is_earlier = node->stage != sum->stage && sum->stage > ONCE;
        if (is_earlier || stands_ready(node)) continue;
        if (last == NONE || operands[k] > last) last = operands[k];
    }
    return last;
}

/* Behind which node each term of sum i is added, in that order; and the number of its parts. */
static uint32_t place_terms(const Graph *graph, uint32_t i, uint32_t *places) {
    const Node *sum = &graph->nodes[i];
    uint32_t count = count_terms(sum), first = i - 1, last = 0;
    for (uint32_t k = 0; k < count; k++) {
        places[k] = count < MANY_TERMS ? i - 1 : waits_for(graph, sum, term_at(sum, k));
        if (places[k] < first) first = places[k];
    }
    for (uint32_t k = 0; k < count; k++) {
        if (places[k] == NONE) places[k] = first;
        if (places[k] > last) last = places[k];
    }
    return count < MANY_TERMS || last - first >= FAR_APART * count ? 1 : MOST_PARTS;
}

TermOrder order_terms(const Graph *graph, Arena *scratch) {
    TermOrder order = {.first = ARENA_ARRAY(scratch, uint32_t, graph->size + 2)};
    Term *terms = arena_alloc(scratch, (size_t)graph->args.size + 1, sizeof *terms);
    uint32_t *places = arena_alloc(scratch, (size_t)graph->args.size + 1, sizeof *places), size = 0;
    for (uint32_t i = 0; i < graph->size; i++) {
        if (graph->nodes[i].op != NODE_LINEAR) continue;
        const Node *sum = &graph->nodes[i];
        uint32_t count = count_terms(sum), parts = place_terms(graph, i, places + size);
        for (uint32_t k = 0; k < count; k++, size++) {
            terms[size] = (Term){i, term_at(sum, k), k % parts};
            order.first[places[size] + 2]++; /* how many stand behind it: moved on by two, for what follows */
        }
    }
    for (uint32_t i = 1; i < graph->size; i++) order.first[i + 1] += order.first[i];
    order.terms = arena_alloc(scratch, (size_t)size + 1, sizeof *order.terms);
    for (uint32_t k = 0; k < size; k++) order.terms[order.first[places[k] + 1]++] = terms[k];
    return order;
}
