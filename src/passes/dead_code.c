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
