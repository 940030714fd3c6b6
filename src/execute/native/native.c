/* SPDX-License-Identifier: MIT */
#include "native.h"

#include "execute/chunks.h"
#include "pages.h"
#include "program/loops.h"
#include "program/print.h"
#include "schedule.h"
#include "walks.h"

extern const Executor vector_executor;

enum {
    ROWS_BYTES = 16 * 1024, /* of a block's inputs and outputs: they stay in the first cache */
    LEAST_LANES = 32,
    LEAST_DRAWN = 128,      /* where rows are drawn: fewer are not worth the start of a drawing */
    FEW_PRODUCTS = 64,      /* multiply-adds of matrix products: measured from the lesson's 32 up */
    APART = 8,              /* doubles between rows, so that they do not fall on each other in the cache */
    FIRST_LINES = 50,       /* of a graph's listing */
    LAST_LINES = 20,
    MOST_NODES = 1 << 20    /* of a graph, and operands: distances in code have 32 bits */
};

/* -- code --------------------------------------------------------------------------------------------- */

static size_t numbers_size(const Piece *piece, const Machine *machine) {
    return piece->emission.numbers.size * number_size(machine);
}

/* Room for the numbers that a piece reads, with those of its text in place. */
static int make_numbers(Piece *piece, const Machine *machine) {
    piece->numbers = numbers_make(numbers_size(piece, machine));
    if (!piece->numbers) return -1;
    for (uint32_t k = 0; k < piece->emission.numbers.size; k++) {
        const Number *number = &piece->emission.numbers.items[k];
        put_number(piece->numbers + k * number_size(machine), number_size(machine), number->number, number->is_float32);
    }
    return 0;
}

void native_code_free(NativeCode *code) {
    if (!code) return;
    pages_free(code->pages, code->size);
    for (int k = 0; k < LINES; k++)
        numbers_free(code->pieces[k].numbers, numbers_size(&code->pieces[k], &code->machine));
    arena_free(&code->arena);
    free(code);
}

static uint32_t choose_lanes(const NativeCode *code) {
    const uint32_t number = code->is_float32 ? sizeof(float) : sizeof(double), line = 64 / number;
    uint32_t lanes = ROWS_BYTES / number / (code->lowered.n_inputs + code->lowered.n_outputs + 1) / line * line;
    uint32_t least = code->lowered.n_draws ? LEAST_DRAWN : LEAST_LANES;
    return lanes > MOST_LANES ? MOST_LANES : lanes < least ? least : lanes;
}

/* A header, slots, totals, rows, and the outputs of whichever other line has more. */
static size_t desk_doubles(const NativeCode *code) {
    const Lowered *lowered = &code->lowered;
    size_t vectors = code->n_slots + total_vectors(code);
    vectors += lowered->n_given > lowered->n_batch ? lowered->n_given : lowered->n_batch;
    return round_up(sizeof(Header) / sizeof(double) + vectors * (size_t)code->machine.width + rows_size(code),
                    CACHE_LINE);
}

/* The code as bytes; 0, or -1: no memory. */
static int write_code(NativeCode *code, const Graph *graph, Code *bytes, Arena *scratch) {
    jmp_buf out_of_memory;
    if (setjmp(out_of_memory)) return -1;
    code->arena.out_of_memory = scratch->out_of_memory = &out_of_memory;
    lower(&code->lowered, graph, &code->arena, scratch);
    code->lanes = code->is_loop ? choose_lanes(code) : code->width;
    code->stride = code->is_loop ? code->lanes + (code->is_float32 ? 2 * APART : APART) : code->lanes;
    for (int k = 0; k < LINES; k++) {
        Emission *emission = &code->pieces[k].emission;
        emission->code = bytes;
        emission->stride = k == LINE_SAMPLE ? code->stride : (uint32_t)code->machine.width;
        emission->n_inputs = k == LINE_SAMPLE ? code->lowered.n_inputs : 0;
        emission->is_loop = k == LINE_SAMPLE && code->is_loop;
        if (!emission->is_loop) straight_schedule(&code->lowered.lines[k], scratch);
        emit(emission, &code->lowered.lines[k], &code->arena, scratch);
        emission->code = NULL;
        if (code->n_slots < emission->n_slots) code->n_slots = emission->n_slots;
        if (make_numbers(&code->pieces[k], &code->machine)) return -1;
    }
    memset(code->lowered.lines, 0, sizeof code->lowered.lines);
    code->desk_size = desk_doubles(code);
    return bytes->failed ? -1 : 0;
}

/* The best level for vectors of so many doubles. */
static const Level *level_for(int width) {
    int count;
    const Level *const *levels = levels_available(&count);
    while (count > 1 && levels[count - 1]->width > (uint32_t)width) count--;
    return levels[count - 1];
}

const Kernels *native_kernels(int width) { return kernels_of(level_for(width)); }

/* What a making needs meanwhile is kept for the next one: first touches of memory are dear. Several may be under
 * way; one of them leaves it. */
static void *kept_scratch;

static Arena *take_scratch(void) {
    Arena *scratch = pointer_swap(&kept_scratch, NULL);
    return scratch ? scratch : calloc(1, sizeof *scratch);
}

static void keep_scratch(Arena *scratch) {
    arena_rest(scratch);
    scratch = pointer_swap(&kept_scratch, scratch);
    if (!scratch) return;
    arena_free(scratch);
    free(scratch);
}

static NativeCode *make_code(const Graph *graph, Machine machine, int is_loop, RunStatus *status) {
    NativeCode *code = calloc(1, sizeof *code);
    Arena *scratch = take_scratch();
    Code bytes = {.machine = machine};
    *status = RUN_NO_MEMORY;
    if (!code || !scratch) {
        free(code);
        free(scratch);
        return NULL;
    }
    scratch->least = graph->size * (size_t)200;
    code->machine = machine;
    code->is_loop = is_loop;
    code->is_float32 = graph->is_float32;
    code->width = (uint32_t)machine.width << code->is_float32;
    code->kernels = kernels_of(level_for(machine.width));
    code->float32_kernels = float32_kernels_of(level_for(machine.width));
    if (write_code(code, graph, &bytes, scratch) == 0) {
        *status = RUN_DONE;
        code->size = bytes.size;
        code->pages = pages_make(bytes.bytes, bytes.size);
    }
    code_free(&bytes);
    keep_scratch(scratch);
    if (code->pages) return code;
    native_code_free(code);
    return NULL;
}

const Machine code_machines[CODES] = {
    [WIDE] = {1, 8, 32}, [WIDE_ONE] = {1, 4, 32}, [NARROW] = {0, 4, 16}, [NARROW_ONE] = {0, 4, 16}};

NativeCode *native_code(NativeProgram *program, const Batch *batch, RunStatus *status) {
    int is_loop = batch->size > (program->graph->is_float32 ? 8 : 4);
    int which = batch->level->width == 8 ? is_loop ? WIDE : WIDE_ONE : is_loop ? NARROW : NARROW_ONE;
    *status = RUN_DONE;
    if (batch->level->width < 4) return NULL;
    if (!program->codes[which])
        program->codes[which] = make_code(program->graph, code_machines[which], is_loop, status);
    return program->codes[which];
}

/* -- programs ----------------------------------------------------------------------------------------- */

static const char *native_refuses(const Graph *graph) {
    int count;
    const Level *const *levels = levels_available(&count);
    if (levels[count - 1]->width < 4) return "the processor has neither AVX2 nor AVX-512";
    if (graph->size + (size_t)graph->args.size > MOST_NODES) return "it is too long for machine code";
    return pages_refused();
}

/* Matrix products have kernels that keep more sums in registers than straight lines can, and takes among
 * many elements are a matter of memory. A product's multiply-add costs here about what two operations save;
 * of so few, kernels are not worth their calls, whatever the batch. */
static const char *native_leaves(const Graph *graph) {
    double products = 0, elements = 0, nodes = 0;
    if (has_loops(graph)) return NULL; /* vector kernels have none */
    for (uint32_t i = 0; i < (graph->primal ? graph->primal : graph->size); i++) {
        const Node *node = &graph->nodes[i];
        if (node->op == NODE_PRODUCT) products += (double)product_of(graph, i).n_out * node->c;
        if (node->op == OP_take) elements += node->b;
        nodes += node->stage == SAMPLE;
    }
    if (2 * products > nodes && products > FEW_PRODUCTS) return "matrix products have vector kernels of their own";
    return elements > nodes ? "takes among many elements are as fast on vector kernels" : NULL;
}

static void native_free(Program *base) {
    NativeProgram *program = (NativeProgram *)base;
    for (int k = 0; k < CODES; k++) native_code_free(program->codes[k]);
    if (program->instead) program->instead->executor->free(program->instead);
    numbers_free(program->memory, program->memory_size);
    numbers_free(program->partial, program->partial_size);
    numbers_free(program->numbers, program->n_numbers);
    free(program->places);
    free(program);
}

/* As many numbers as lowering may want: see lower.h. And how much there is to do. */
static size_t count_numbers(const Graph *graph, double *work) {
    size_t count = adjoints_at(graph->n_parameters) + (size_t)graph->n_parameters + 4 + graph->n_roots;
    for (uint32_t i = 0; i < graph->size; i++) {
        const Node *node = &graph->nodes[i];
        count += node->stage != SAMPLE;
        if (node->stage == SAMPLE) *work += node_work(node);
    }
    return count;
}

static MakeStatus native_make(Graph *graph, Program **made) {
    if (has_loops(graph)) return walks_make(graph, 0, made);
    NativeProgram *program = calloc(1, sizeof *program);
    if (!program) return MADE_NO_MEMORY;
    double work = 0.0;
    program->graph = graph;
    program->n_numbers = count_numbers(graph, &work);
    program->numbers = numbers_make(program->n_numbers);
    program->places = calloc((size_t)graph->n_parameters + 1, sizeof *program->places);
    if (!program->numbers || !program->places) {
        native_free(&program->base);
        return MADE_NO_MEMORY;
    }
    memset(program->numbers, 0, program->n_numbers * sizeof(double));
    for (uint32_t k = 0; k < graph->n_parameters; k++) program->places[k] = k;
    program->base = (Program){.executor = &native_executor,
                              .numbers = program->numbers,
                              .to_adjoint = adjoints_at(graph->n_parameters),
                              .parameter_at = program->places,
                              .n_roots = graph->primal ? 1 : graph->n_roots,
                              .work = work};
    *made = &program->base;
    return MADE;
}

static size_t native_bytes(const Program *base) {
    const NativeProgram *program = (const NativeProgram *)base;
    size_t bytes = sizeof *program;
    bytes += (program->n_numbers + program->memory_size + program->partial_size) * sizeof(double);
    for (int k = 0; k < CODES; k++) {
        const NativeCode *code = program->codes[k];
        if (code) bytes += sizeof *code + code->arena.bytes + code->size;
    }
    if (program->instead) bytes += program->instead->executor->bytes(program->instead);
    return bytes;
}

/* The lines of a text; of many, the first and the last. */
static void put_lines(Text *to, const char *text) {
    uint32_t lines = 0, at = 0;
    for (const char *c = text; *c; c++) lines += *c == '\n';
    for (const char *c = text; *c; c++, at++) {
        const char *end = strchr(c, '\n');
        if (at == FIRST_LINES && lines > FIRST_LINES + LAST_LINES + 1)
            put(to, "    ... %u lines more\n", lines - FIRST_LINES - LAST_LINES);
        if (at < FIRST_LINES || at + LAST_LINES >= lines || lines <= FIRST_LINES + LAST_LINES + 1) {
            put(to, "%.*s", (int)(end - c), c);
            put(to, "\n");
        }
        c = end;
    }
}

static char *native_listing(const Program *base) {
    static const char *const lines[] = {"once a batch", "for every vector of samples", "after the batch"};
    const NativeProgram *program = (const NativeProgram *)base;
    Text text = {0}, graph = {0};
    put_graph(&graph, program->graph);
    char *nodes = finished(&graph);
    if (!nodes) return NULL;
    put_lines(&text, nodes);
    free(nodes);
    for (int k = 0; k < CODES; k++) {
        const NativeCode *code = program->codes[k];
        if (!code) continue;
        put(&text, "  machine code for %s, %u lanes%s: %zu bytes\n", code->machine.evex ? "AVX-512" : "AVX2",
            code->width, code->is_loop ? "" : " once", code->size);
        for (int line = 0; line < LINES; line++) {
            const Emission *emission = &code->pieces[line].emission;
            put(&text, "    %s: %u instructions, %u numbers, %u values stored in %u slots, %u calls\n", lines[line],
                emission->instructions, emission->numbers.size, emission->stores, emission->n_slots,
                emission->calls.size);
        }
    }
    return finished(&text);
}

const Executor native_executor = {"native",       native_refuses, native_make, native_evaluate, native_gradients,
                                  native_listing, native_bytes,   native_free, native_leaves};
