/* SPDX-License-Identifier: MIT */
#include "walk_code.h"

#include "pages.h"

static void desk_release(const WalkCode *code, Desk *desk) {
    if (desk->memory) numbers_free(desk->memory, row_doubles(code));
    if (desk->slots) numbers_free(desk->slots, slot_doubles(code));
    if (desk->sums) numbers_free(desk->sums, sum_doubles(code));
    *desk = (Desk){0};
}

void walk_code_free(WalkCode *code) {
    if (!code) return;
    pages_free(code->pages, code->size);
    for (uint32_t k = 0; k < code->walks.lines.size; k++) {
        const Line *line = &code->walks.lines.items[k];
        if (line->numbers) numbers_free(line->numbers, line->emission.numbers.size * copies_of(code));
    }
    for (int k = 0; k < MOST_CHUNKS; k++) desk_release(code, &code->desks[k]);
    free(code->partial);
    arena_free(&code->arena);
    free(code);
}

static int make_numbers(WalkCode *code, Line *line) {
    size_t copies = copies_of(code);
    line->numbers = numbers_make(line->emission.numbers.size * copies);
    if (!line->numbers) return -1;
    for (uint32_t k = 0; k < line->emission.numbers.size; k++) {
        const Number *number = &line->emission.numbers.items[k];
        put_number(line->numbers + k * copies, copies, number->number, number->is_float32);
    }
    return 0;
}

/* The code as bytes, where there is to be some; 0, or -1: no memory. */
static int write_code(WalkCode *code, const Graph *graph, Code *bytes, Arena *scratch) {
    jmp_buf out_of_memory;
    if (setjmp(out_of_memory)) return code->walks.is_too_large ? 0 : -1;
    code->arena.out_of_memory = scratch->out_of_memory = &out_of_memory;
    plan_walks(&code->walks, graph, code->machine, &code->arena, scratch);
    for (uint32_t k = 0; k < code->walks.lines.size; k++) {
        Line *line = &code->walks.lines.items[k];
        const Walk *walk = line->walk == NONE ? NULL : &code->walks.walks.items[line->walk];
        Emission *emission = &line->emission;
        if (!bytes) {
            interpret_prepare(line, &code->arena);
            if (code->n_slots < emission->instructions) code->n_slots = emission->instructions;
            continue;
        }
        emission->code = bytes;
        emission->is_walk = 1;
        emission->stride = (uint32_t)code->machine.width;
        emission->is_loop = walk != NULL;
        if (walk) emission->advance = (walk->is_reverse ? -8 : 8) * code->machine.width * (int32_t)walk->frame_rows;
        emit(emission, &line->line, &code->arena, scratch);
        emission->code = NULL;
        memset(&line->line, 0, sizeof line->line);
        if (code->n_slots < emission->n_slots) code->n_slots = emission->n_slots;
        if (make_numbers(code, line)) return -1;
    }
    return bytes && bytes->failed ? -1 : 0;
}

int walk_desk_make(const WalkCode *code, Desk *desk) {
    const Walks *walks = &code->walks;
    size_t width = width_of(code);
    if (desk->memory) return 0;
    *desk = (Desk){numbers_make(row_doubles(code)), numbers_make(slot_doubles(code)), numbers_make(sum_doubles(code))};
    if (!desk->memory || !desk->slots || !desk->sums) {
        desk_release(code, desk);
        return -1;
    }
    memset(desk->slots, 0, slot_doubles(code) * sizeof(double));
    for (uint32_t k = 0; k < walks->numbers.size; k++) {
        const RowNumber *number = &walks->numbers.items[k];
        put_number(desk->memory + number->row * width, width, number->number, number->is_float32);
    }
    return 0;
}

WalkCode *walk_code_make(const Graph *graph, Machine machine, RunStatus *status) {
    int has_code = machine.registers > 0;
    WalkCode *code = calloc(1, sizeof *code);
    Arena scratch = {0};
    Code bytes = {.machine = machine};
    *status = RUN_NO_MEMORY;
    if (!code) return NULL;
    code->machine = machine;
    code->is_float32 = graph->is_float32;
    code->kernels = native_kernels(machine.width);
    code->float32_kernels = float32_kernels_of(&code->kernels->level);
    int failed = write_code(code, graph, has_code ? &bytes : NULL, &scratch);
    if (!failed && !code->walks.is_too_large && has_code) {
        code->size = bytes.size;
        code->pages = pages_make(bytes.bytes, bytes.size);
    }
    code_free(&bytes);
    arena_free(&scratch);
    if (!failed) *status = RUN_DONE;
    if (!failed && !code->walks.is_too_large && (code->pages || !has_code)) return code;
    walk_code_free(code);
    return NULL;
}
