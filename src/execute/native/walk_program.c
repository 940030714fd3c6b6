/* SPDX-License-Identifier: MIT */
#include "program/print.h"
#include "walk_run.h"
#include "walks.h"

extern const Executor scalar_executor;

static const Executor walk_executor, interpreting_executor;

static WalkCode *code_for(WalkProgram *program, const Batch *batch, RunStatus *status) {
    const Graph *graph = program->graph;
    int is_wide = batch->size > (graph->is_float32 ? 8 : 4);
    int which = batch->level->width < 8 ? NARROW : is_wide ? WIDE : WIDE_ONE;
    *status = RUN_DONE;
    if (!program->interprets && batch->level->width >= 4) {
        if (!program->codes[which]) program->codes[which] = walk_code_make(graph, code_machines[which], status);
        if (program->codes[which] || *status != RUN_DONE) return program->codes[which];
    }
    if (!program->codes[CODES]) program->codes[CODES] = walk_code_make(graph, (Machine){0, LANES, 0}, status);
    return program->codes[CODES];
}

/* By the scalar executor, which says what is wrong, too. */
static RunStatus run_instead(WalkProgram *program, Batch *batch) {
    uint32_t n = program->graph->n_parameters;
    if (!program->instead && scalar_executor.make((Graph *)program->graph, &program->instead) != MADE)
        return RUN_NO_MEMORY;
    Program *instead = program->instead;
    memcpy(instead->numbers, program->numbers, n * sizeof(double));
    RunStatus status = (program->graph->primal ? scalar_executor.gradients : scalar_executor.evaluate)(instead, batch);
    memcpy(program->numbers + program->base.to_adjoint, instead->numbers + instead->to_adjoint, n * sizeof(double));
    program->base.lanes = 1;
    program->base.rows = instead->rows;
    return status;
}

static RunStatus run(Program *base, Batch *batch) {
    WalkProgram *program = (WalkProgram *)base;
    RunStatus status;
    WalkCode *code = code_for(program, batch, &status);
    if (status != RUN_DONE) return status;
    if (!code) return run_instead(program, batch);
    base->lanes = (uint32_t)lanes_of(code);
    base->rows = code->walks.n_rows + code->n_slots;
    status = walk_run(program, code, batch);
    return status == RUN_BAD_INDEX ? run_instead(program, batch) : status;
}

/* -- making -------------------------------------------------------------------------------------------------- */

static void walk_free(Program *base) {
    WalkProgram *program = (WalkProgram *)base;
    for (int k = 0; k <= CODES; k++) walk_code_free(program->codes[k]);
    if (program->instead) program->instead->executor->free(program->instead);
    free(program->numbers);
    free(program->places);
    free(program);
}

MakeStatus walks_make(Graph *graph, int interprets, Program **made) {
    WalkProgram *program = calloc(1, sizeof *program);
    if (!program) return MADE_NO_MEMORY;
    program->graph = graph;
    program->interprets = interprets;
    program->numbers = calloc(2 * (size_t)graph->n_parameters + 1, sizeof *program->numbers);
    program->places = calloc((size_t)graph->n_parameters + 1, sizeof *program->places);
    program->base = (Program){.executor = interprets ? &interpreting_executor : &walk_executor,
                              .numbers = program->numbers,
                              .to_adjoint = graph->n_parameters,
                              .parameter_at = program->places,
                              .n_roots = graph->primal ? 1 : graph->n_roots,
                              .work = graph_work(graph)};
    if (!program->numbers || !program->places) {
        walk_free(&program->base);
        return MADE_NO_MEMORY;
    }
    for (uint32_t k = 0; k < graph->n_parameters; k++) program->places[k] = k;
    *made = &program->base;
    return MADE;
}

static size_t walk_bytes(const Program *base) {
    const WalkProgram *program = (const WalkProgram *)base;
    size_t bytes = sizeof *program + 2 * program->graph->n_parameters * sizeof(double);
    for (int k = 0; k <= CODES; k++) {
        const WalkCode *code = program->codes[k];
        if (!code) continue;
        bytes += sizeof *code + code->arena.bytes + code->size;
        for (int desk = 0; desk < MOST_CHUNKS; desk++)
            if (code->desks[desk].memory)
                bytes += (row_doubles(code) + slot_doubles(code) + sum_doubles(code)) * sizeof(double);
    }
    if (program->instead) bytes += program->instead->executor->bytes(program->instead);
    return bytes;
}

static char *walk_listing(const Program *base) {
    const WalkProgram *program = (const WalkProgram *)base;
    Text text = {0};
    put_graph(&text, program->graph);
    for (int k = 0; k <= CODES; k++) {
        const WalkCode *code = program->codes[k];
        if (!code) continue;
        if (code->pages) put(&text, "  machine code for %zu lanes: %zu bytes", lanes_of(code), code->size);
        else put(&text, "  instructions for %d lanes", code->machine.width);
        put(&text, ", %u rows\n", code->walks.n_rows);
        for (uint32_t l = 0; l < code->walks.lines.size; l++) {
            const Line *line = &code->walks.lines.items[l];
            put(&text, "    %s: %u instructions, %u numbers, %u values stored in %u slots, %u calls\n",
                line->walk == NONE ? "a line" : "a loop", line->emission.instructions, line->emission.numbers.size,
                line->emission.stores, line->emission.n_slots, line->emission.calls.size);
        }
        for (uint32_t s = 0; s < code->walks.step_sums.size; s++)
            put(&text, "    %u sums over the steps of a loop\n", code->walks.step_sums.items[s].n_sums);
    }
    return finished(&text);
}

/* What makes programs are the executors of straight lines: see native.c and program.c. */
#define WALKING(name) {name, NULL, NULL, run, run, walk_listing, walk_bytes, walk_free, NULL}
static const Executor walk_executor = WALKING("native"), interpreting_executor = WALKING("vector");
