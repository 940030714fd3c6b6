/* SPDX-License-Identifier: MIT
 *
 * What the result no longer depends on is dropped.
 */
#include "rewrite.h"

uint32_t *count_uses(Graph *graph) {
    uint32_t *uses = ARENA_ARRAY(graph->scratch, uint32_t, graph->size + 1);
    for (uint32_t k = 0; k < graph->n_roots; k++) uses[graph->roots[k]]++;
    for (uint32_t i = graph->size; i-- > 0;) {
        uint32_t count, *operands = node_operands(graph, i, &count);
        if (!uses[i]) continue;
        for (uint32_t k = 0; k < count; k++) uses[operands[k]]++;
    }
    return uses;
}

void apply_dead_code(Graph *graph) {
    uint32_t *uses = count_uses(graph), size = 0;
    uint32_t *to = ARENA_ARRAY(graph->scratch, uint32_t, graph->size + 1);
    for (uint32_t i = 0; i < graph->size; i++) {
        if (!uses[i]) continue;
        to[i] = size;
        graph->nodes[size] = graph->nodes[i];
        uint32_t count, *operands = node_operands(graph, size++, &count);
        for (uint32_t k = 0; k < count; k++) operands[k] = to[operands[k]];
    }
    graph->size = size;
    follow_roots(graph, &(Forward){to, 0});
}
