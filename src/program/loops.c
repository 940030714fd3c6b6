/* SPDX-License-Identifier: MIT */
#include "loops.h"

#define COPY(arena, type, from, count) memcpy(ARENA_ARRAY(arena, type, count), from, (count) * sizeof(type))

Scan *scan_copy(const Scan *scan, Arena *arena) {
    Scan *copy = COPY(arena, Scan, scan, 1);
    Graph *body = &copy->body;
    body->arena = body->scratch = NULL;
    body->nodes = COPY(arena, Node, scan->body.nodes, body->size + (size_t)1);
    body->args.items = ARENA_ARRAY(arena, uint32_t, body->args.size + (size_t)1);
    if (body->args.size) memcpy(body->args.items, scan->body.args.items, body->args.size * sizeof(uint32_t));
    body->args.capacity = body->args.size;
    body->roots = ARENA_ARRAY(arena, uint32_t, body->n_roots + (size_t)1);
    if (body->n_roots) memcpy(body->roots, scan->body.roots, body->n_roots * sizeof(uint32_t));
    body->scans.items = ARENA_ARRAY(arena, Scan *, body->scans.size + (size_t)1);
    body->scans.capacity = body->scans.size;
    for (uint32_t k = 0; k < body->scans.size; k++)
        body->scans.items[k] = scan_copy(scan->body.scans.items[k], arena); /* as deep as loops stand in loops */
    return copy;
}

uint32_t count_nodes(const Graph *graph) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < graph->size; i++)
        count += graph->nodes[i].op != NODE_PRODUCT && !is_record_of_loop(&graph->nodes[i]);
    for (uint32_t s = 0; s < graph->scans.size; s++) count += count_nodes(&graph->scans.items[s]->body);
    return count;
}

int has_draws(const Graph *graph) {
    int any = graph->n_draws > 0;
    for (uint32_t s = 0; s < graph->scans.size && !any; s++) any = has_draws(&graph->scans.items[s]->body);
    return any;
}

double count_draws(const Graph *graph) {
    double count = 0;
    for (uint32_t i = 0; i < graph->size; i++) {
        count += graph->nodes[i].op == NODE_DRAW;
        if (graph->nodes[i].op != NODE_SCAN) continue;
        const Scan *scan = scan_of(graph, i);
        count += (double)scan->length * count_draws(&scan->body); /* as deep as loops stand in loops */
    }
    return count;
}

uint32_t add_scan(Graph *graph, Scan *scan) {
    GROW(graph->arena, &graph->scans, Scan *, 1);
    graph->scans.items[graph->scans.size] = scan;
    return graph->scans.size++;
}

/* -- recording --------------------------------------------------------------------------------------- */

static Arena kept_arena;
static GROWING(Scan *) kept;

Scan *scan_kept(double number) { return number >= 0 && number < kept.size ? kept.items[(uint32_t)number] : NULL; }

void scans_forget(void) {
    arena_free(&kept_arena);
    memset(&kept, 0, sizeof kept);
}

static uint32_t keep(const Scan *scan) {
    GROW(&kept_arena, &kept, Scan *, 1);
    kept.items[kept.size] = scan_copy(scan, &kept_arena);
    return kept.size++;
}

uint32_t scan_keep(const Scan *scan) {
    jmp_buf out_of_memory;
    if (setjmp(out_of_memory)) return NONE;
    kept_arena.out_of_memory = &out_of_memory;
    return keep(scan);
}

/* Of the nodes from mark on, those that depend on an input or a draw, and loops, since no record can be captured. NULL:
 * no memory. */
static uint8_t *find_depending(const Tape *tape, uint32_t mark, const Varying *varying) {
    uint8_t *depends = calloc((size_t)tape->size - mark + 1, 1);
    for (uint32_t k = 0; depends && k < varying->n_inputs; k++) depends[varying->inputs[k] - mark] = 1;
    for (uint32_t k = 0; depends && k < varying->n_draws; k++) depends[varying->draws[k].node - mark] = 1;
    for (uint32_t i = mark; depends && i < tape->size; i++) {
        uint32_t count;
        const uint32_t *operands = tape_operands(tape, i, &count);
        if (tape->op[i] == OP_scan || tape->op[i] == OP_list) depends[i - mark] = 1;
        for (uint32_t k = 0; k < count; k++)
            if (operands[k] >= mark && depends[operands[k] - mark]) depends[i - mark] = 1;
    }
    return depends;
}

FreezeStatus scan_freeze(const Tape *tape, uint32_t mark, const Scan *scan, const Varying *varying,
                         const uint32_t *roots, uint32_t *number, uint32_t **captured, uint32_t *n_captured) {
    Arena arena = {0}, scratch = {0};
    Scan frozen = *scan;
    frozen.body = (Graph){.arena = &arena, .scratch = &scratch, .is_body = 1};
    uint32_t *parameters = NULL;
    uint8_t *depends = find_depending(tape, mark, varying);
    FreezeStatus status = FREEZE_NO_MEMORY;
    *captured = NULL;
    if (depends)
        status = graph_freeze_part(&frozen.body, tape, mark, varying, roots, scan->n_carries + scan->n_made,
                                   &parameters, depends);
    if (status == FROZEN) {
        frozen.n_captured = *n_captured = frozen.body.n_parameters;
        *captured = malloc((*n_captured + (size_t)1) * sizeof **captured);
        *number = *captured ? scan_keep(&frozen) : NONE;
        if (*number == NONE) status = FREEZE_NO_MEMORY;
        else if (*n_captured) memcpy(*captured, parameters, *n_captured * sizeof **captured);
    }
    free(depends);
    arena_free(&arena);
    arena_free(&scratch);
    return status;
}
