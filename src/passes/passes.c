/* SPDX-License-Identifier: MIT
 *
 * The optimiser: small passes over a frozen graph, each walking it once in topological order.
 *
 * A pass rewrites a node in place, or forwards it to an earlier node that computes the same. Values
 * stay those of eager code to the last bit, but for `sums` and `matrices`, which add in another order.
 */
#include "passes.h"

#include "program/verify.h"
#include "scans.h"

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
    for (uint32_t s = 0; s < graph->scans.size; s++) {
        arena_rewind(graph->scratch);
        Graph *body = &graph->scans.items[s]->body;
        body->arena = graph->arena;
        body->scratch = graph->scratch;
        optimise_body(body, skip);
        body->arena = body->scratch = NULL;
    }
    if (has_loops(graph) && verify_graph(graph, "optimising loops")) return MADE_BROKEN;
    graph_pack(graph, to);
    return verify_graph(graph, "packing") ? MADE_BROKEN : MADE;
}

MakeStatus graph_differentiate(const Graph *graph, Graph *gradient) {
    jmp_buf out_of_memory;
    if (setjmp(out_of_memory)) return MADE_NO_MEMORY;
    gradient->arena->out_of_memory = gradient->scratch->out_of_memory = &out_of_memory;
    arena_rewind(gradient->scratch);
    append_adjoints(graph, gradient);
    gradient->is_float32 = graph->is_float32;
    return verify_graph(gradient, "differentiating") ? MADE_BROKEN : MADE;
}
