/* SPDX-License-Identifier: MIT
 *
 * Runs of machine code: blocks of lanes, chunks of blocks, workers.
 *
 * As in the vector executor, a batch is cut into blocks and chunks by its size alone, and chunks' sums are
 * added in order, so that results are the same for any number of threads. Lanes behind the last sample
 * repeat it, and are left out of the sums: the last vector has sums of its own.
 */
#include "execute/chunks.h"
#include "native.h"
#include "pages.h"

#include <math.h>

extern const Executor vector_executor;

/* -- calls from code ------------------------------------------------------------------------------------ */

typedef struct {
    const Call *calls;
    const Kernels *kernels, *float32_kernels; /* for vectors as wide */
    int width;                                /* doubles of a vector */
} Callee;

static void call_kernel(double *slots, uint64_t which) {
    const Callee *callee = header_of(slots)->owner;
    const Call *call = &callee->calls[which];
    const Kernels *kernels = call->is_float32 ? callee->float32_kernels : callee->kernels;
    size_t width = (size_t)callee->width << call->is_float32;
    double scratch[4 * WIDEST];
    Step step = {.kind = STEP_MAP, .op = call->op, .count = 1, .flat = 1, .number = call->number};
    Ref *refs[] = {&step.x, &step.y, &step.w};
    step.out = (Ref){call->out, IN_ROWS, 1};
    for (uint32_t k = 0; k < op_arity(call->op); k++) *refs[k] = (Ref){call->slots[k], IN_ROWS, 1};
    Frame frame = {.rows = slots, .lanes = width, .valid = width, .scratch = scratch, .bad_lane = NONE};
    kernels->run(&step, 1, &frame);
}

/* The library's sine or cosine where code has left it to it. */
#define FAR_ANGLE 1.6e6

static double turned_by_library(double angle, uint64_t op) { return op == OP_sin ? sin(angle) : cos(angle); }

static void turn_far(double *slots, uint64_t op) {
    Header *header = header_of(slots);
    const Callee *callee = header->owner;
    for (int k = 0; k < callee->width; k++)
        if (fabs(header->angle[k]) > FAR_ANGLE) header->turned[k] = turned_by_library(header->angle[k], op);
}

static void turn_far_floats(double *slots, uint64_t op) {
    Header *header = header_of(slots);
    const Callee *callee = header->owner;
    float angle[2 * WIDEST], turned[2 * WIDEST];
    memcpy(angle, header->angle, sizeof angle);
    memcpy(turned, header->turned, sizeof turned);
    for (int k = 0; k < 2 * callee->width; k++)
        if (fabs((double)angle[k]) > FAR_ANGLE) turned[k] = (float)turned_by_library((double)angle[k], op);
    memcpy(header->turned, turned, sizeof turned);
}

/* -- pieces --------------------------------------------------------------------------------------------- */

/* What one worker works on. */
typedef struct {
    double *slots, *rows, *totals, *once; /* of lines that are run once. Of floats, rows are */
} Desk;

static Desk desk_of(const NativeProgram *program, const NativeCode *code, size_t worker) {
    Desk desk;
    desk.slots = program->memory + worker * code->desk_size + sizeof(Header) / sizeof(double);
    desk.totals = desk.slots + (size_t)code->n_slots * (size_t)code->machine.width;
    desk.rows = desk.totals + total_vectors(code) * (size_t)code->machine.width;
    desk.once = desk.rows + rows_size(code);
    return desk;
}

static int grow(double **memory, size_t *size, size_t needed) {
    if (*size >= needed) return 0;
    numbers_free(*memory, *size);
    *memory = numbers_make(needed);
    *size = *memory ? needed : 0;
    return *memory ? 0 : -1;
}

typedef void (*Entry)(const Memory *memory);

void native_enter(const uint8_t *at, const Memory *memory, const Call *calls, const Kernels *kernels,
                  const Kernels *float32_kernels, int width) {
    Callee callee = {calls, kernels, float32_kernels, width};
    Header *header = header_of(memory->slots);
    Entry entry;
    header->call = call_kernel;
    header->turn[0] = turn_far;
    header->turn[1] = turn_far_floats;
    header->owner = &callee;
    memcpy(&entry, &at, sizeof entry); /* ISO C has no conversion of one to the other */
    entry(memory);
}

static void run_piece(const NativeProgram *program, const NativeCode *code, const Piece *piece, const Desk *desk,
                      double *rows, size_t count) {
    const uint8_t *at = code->pages + piece->emission.entry;
    Memory memory = {piece->numbers, program->numbers, rows, desk->totals, desk->slots, count};
    native_enter(at, &memory, piece->emission.calls.items, code->kernels, code->float32_kernels, code->machine.width);
}

/* Gives a piece its copies of the program's numbers, in `size` doubles each. */
static inline void copy_numbers_of(const NativeProgram *program, Piece *piece, size_t size, int is_float32) {
    const Number *numbers = piece->emission.numbers.items;
    double *to = piece->numbers;
    for (uint32_t k = 0; k < piece->emission.n_moving; k++, to += size)
        put_number(to, size, program->numbers[numbers[k].row], is_float32);
}

static void copy_numbers(const NativeProgram *program, const NativeCode *code, Piece *piece) {
    if (code->machine.evex)
        copy_numbers_of(program, piece, 1, 1); /* of floats alone: doubles are read where they are */
    else if (code->is_float32) copy_numbers_of(program, piece, 4, 1);
    else copy_numbers_of(program, piece, 4, 0);
}

/* A line that is run once. rows: where its outputs go. */
static void run_once(NativeProgram *program, const NativeCode *code, LineKind line, const uint32_t *rows,
                     uint32_t count) {
    size_t width = (size_t)code->machine.width;
    if (!count) return;
    Desk desk = desk_of(program, code, 0);
    run_piece(program, code, &code->pieces[line], &desk, desk.once, 1);
    for (uint32_t k = 0; k < count; k++) program->numbers[rows[k]] = desk.once[k * width];
}

/* -- blocks ------------------------------------------------------------------------------------------------ */

typedef struct {
    NativeProgram *program;
    NativeCode *code;
    Batch *batch;
    size_t n_blocks, n_chunks;
    double *sums; /* of the chunks; of a single one, where all are to be */
    Counter next_chunk;
    Flag stopped;
    RunStatus outcomes[MOST_CHUNKS];
} Job;

enum {
    TURNED = 4,        /* rows, and lanes, that are turned together */
    MOST_TOGETHER = 64 /* results that are written together */
};

static size_t whole_turns(size_t n) { return n - n % TURNED; }

/* Row `row` of inputs and outputs: of doubles, or of floats. */
static void *row_at(const NativeCode *code, double *rows, size_t row) {
    size_t at = row * code->stride;
    return code->is_float32 ? (void *)((float *)(void *)rows + at) : rows + at;
}

static void read_doubles(Column column, const uint32_t *samples, size_t first, double *row, size_t valid,
                         size_t lanes) {
    if (!samples && !column.is_float32 && column.stride == sizeof(double))
        memcpy(row, column.data + first * sizeof(double), valid * sizeof(double));
    else
        for (size_t k = 0; k < valid; k++) row[k] = column_number(&column, samples ? samples[first + k] : first + k);
    for (size_t k = valid; k < lanes; k++) row[k] = row[valid - 1];
}

static void read_floats(Column column, const uint32_t *samples, size_t first, float *row, size_t valid, size_t lanes) {
    if (!samples && column.is_float32 && column.stride == sizeof(float))
        memcpy(row, column.data + first * sizeof(float), valid * sizeof(float));
    else
        for (size_t k = 0; k < valid; k++)
            row[k] = (float)column_number(&column, samples ? samples[first + k] : first + k);
    for (size_t k = valid; k < lanes; k++) row[k] = row[valid - 1];
}

/* Columns of an array whose rows are samples. */
static void read_array(const NativeCode *code, const Batch *batch, const Column *column, void *rows, size_t n,
                       size_t first, size_t valid, size_t lanes) {
    const void *samples[MOST_LANES];
    for (size_t k = 0; k < lanes; k++) {
        size_t at = first + (k < valid ? k : valid - 1);
        samples[k] = column->data + (ptrdiff_t)(batch->samples ? batch->samples[at] : at) * column->stride;
    }
    const Kernels *kernels = code->is_float32 ? code->float32_kernels : code->kernels;
    (code->is_float32 && !column->is_float32 ? kernels->turn_doubles : kernels->turn)(rows, code->stride, samples,
                                                                                      lanes, n);
}

static void read_columns(const NativeCode *code, const Batch *batch, double *rows, size_t first, size_t valid,
                         size_t lanes) {
    const Lowered *lowered = &code->lowered;
    for (uint32_t c = 0, n; c < lowered->n_columns; c += n) {
        const Column *column = &batch->columns[lowered->columns[c]];
        void *row = row_at(code, rows, c);
        int is_float32 = code->is_float32 && column->is_float32; /* doubles are read of doubles alone */
        n = (uint32_t)whole_turns(
            columns_together(batch->columns, lowered->columns + c, lowered->n_columns - c, is_float32));
        if (n) read_array(code, batch, column, row, n, first, valid, lanes);
        else if (code->is_float32) read_floats(*column, batch->samples, first, row, valid, lanes);
        else read_doubles(*column, batch->samples, first, row, valid, lanes);
        if (!n) n = 1;
    }
}

/* Draws are inputs behind the columns. */
static void fill_draws(const NativeCode *code, const Batch *batch, double *rows, size_t first, size_t valid,
                       size_t lanes) {
    const Lowered *lowered = &code->lowered;
    size_t row = lowered->n_columns, end = lowered->n_inputs,
           number = code->is_float32 ? sizeof(float) : sizeof(double);
    Drawing drawing = drawing_of(batch, first, valid);
    drawing.is_float32 = code->is_float32;
    for (uint32_t d = 0; d < lowered->n_draws; d++) {
        uint32_t draw = lowered->draws[d];
        drawing.rows[draw % 2] = row_at(code, rows, row + d);
        drawing.kinds[draw % 2] = lowered->kinds[d];
        if (draw % 2 == 0 && d + 1 < lowered->n_draws && lowered->draws[d + 1] == draw + 1) continue;
        drawing.pair = draw / 2;
        code->kernels->level.draw(&drawing);
        drawing.rows[0] = drawing.rows[1] = NULL;
    }
    for (; row < end && valid < lanes; row++) {
        char *last = (char *)row_at(code, rows, row) + (valid - 1) * number;
        for (size_t k = valid; k < lanes; k++) memcpy(last + (k + 1 - valid) * number, last, number);
    }
}

/* How many results from the r-th on are of each sample and go side by side. */
static uint32_t targets_together(const NativeProgram *program, const NativeCode *code, const Target *targets,
                                 uint32_t r) {
    uint32_t n = 0;
    while (r + n < program->base.n_roots && n < MOST_TOGETHER && code->lowered.root_rows[r + n] == NONE &&
           targets[r + n].data == targets[r].data + n && targets[r + n].stride == targets[r].stride)
        n++;
    return n;
}

/* Samples' numbers, or one number for all of them: a step of 0. */
static void write_doubles(double *out, size_t stride, const double *row, size_t step, size_t valid) {
    if (stride == 1 && step == 1) memcpy(out, row, valid * sizeof(double));
    else
        for (size_t k = 0; k < valid; k++) out[k * stride] = row[k * step];
}

static void write_floats(double *out, size_t stride, const float *row, size_t valid) {
    for (size_t k = 0; k < valid; k++) out[k * stride] = (double)row[k];
}

static void write_row(const NativeCode *code, double *out, size_t stride, double *rows, size_t row, size_t from,
                      size_t valid) {
    if (code->is_float32) write_floats(out, stride, (const float *)row_at(code, rows, row) + from, valid - from);
    else write_doubles(out, stride, (const double *)row_at(code, rows, row) + from, 1, valid - from);
}

/* Rows from the row-th on; lanes that make no whole turn, one by one. */
static void write_array(const NativeCode *code, double *out, size_t stride, double *rows, size_t row, size_t n,
                        size_t valid) {
    const void *from[MOST_TOGETHER] = {NULL};
    size_t turned = whole_turns(valid);
    for (size_t k = 0; k < n; k++) from[k] = row_at(code, rows, row + k);
    (code->is_float32 ? code->float32_kernels->turn_out : code->kernels->turn)(out, stride, from, n, turned);
    for (size_t k = 0; k < n && turned < valid; k++)
        write_row(code, out + turned * stride + k, stride, rows, row + k, turned, valid);
}

static void write_outputs(const NativeProgram *program, const NativeCode *code, const Batch *batch, double *rows,
                          size_t first, size_t valid) {
    size_t row = code->lowered.n_inputs;
    for (uint32_t r = 0, n; r < program->base.n_roots; r += n) {
        size_t stride = batch->targets[r].stride;
        double *out = batch->targets[r].data + first * stride;
        uint32_t number = code->lowered.root_rows[r];
        n = (uint32_t)whole_turns(targets_together(program, code, batch->targets, r));
        if (n) write_array(code, out, stride, rows, row, n, valid);
        else if (number != NONE) write_doubles(out, stride, program->numbers + number, 0, valid);
        else write_row(code, out, stride, rows, row, 0, valid);
        if (!n) n = 1;
        if (number == NONE) row += n;
    }
}

/* The first `valid` lanes of each total go to the sums, or are added to them. */
static void fold_totals(const NativeCode *code, const double *totals, size_t valid, int add, double *sums) {
    size_t width = (size_t)code->machine.width, n = code->lowered.n_totals;
    code->kernels->fold(totals, n, valid < width ? valid : width, add, sums);
    if (valid > width) code->kernels->fold(totals + n * width, n, valid - width, 1, sums);
}

static void clear_totals(const NativeCode *code, const Desk *desk) {
    memset(desk->totals, 0, total_vectors(code) * (size_t)code->machine.width * sizeof(double));
}

/* `valid` samples from `first` on. The totals grow; what the last vector adds, if it is not full, is left to
 * the sums of the chunk. */
static void run_block(const Job *job, const Desk *desk, size_t first, size_t valid, double *sums) {
    const NativeCode *code = job->code;
    const Piece *piece = &code->pieces[LINE_SAMPLE];
    size_t width = code->width, full = valid / width, rest = valid % width;
    read_columns(code, job->batch, desk->rows, first, valid, round_up(valid, width));
    fill_draws(code, job->batch, desk->rows, first, valid, round_up(valid, width));
    if (full) run_piece(job->program, code, piece, desk, desk->rows, full);
    if (rest) {
        fold_totals(code, desk->totals, width, 1, sums);
        clear_totals(code, desk);
        run_piece(job->program, code, piece, desk, desk->rows + full * (size_t)code->machine.width, 1);
        fold_totals(code, desk->totals, rest, 1, sums);
        clear_totals(code, desk);
    }
    if (!job->program->graph->primal) write_outputs(job->program, code, job->batch, desk->rows, first, valid);
}

static size_t sums_size(const Job *job) { return round_up(job->code->lowered.n_totals, CACHE_LINE); }

static RunStatus run_chunk(Job *job, const Desk *desk, size_t chunk, int may_poll) {
    Program *base = &job->program->base;
    size_t first = chunk * job->n_blocks / job->n_chunks, end = (chunk + 1) * job->n_blocks / job->n_chunks;
    double *sums = job->sums + chunk * sums_size(job);
    for (uint32_t k = 0; k < job->code->lowered.n_totals; k++) sums[k] = 0.0; /* sums: NULL if there are none */
    clear_totals(job->code, desk);
    for (size_t block = first; block < end; block++) {
        size_t at = block * job->code->lanes, left = job->batch->size - at;
        run_block(job, desk, at, left < job->code->lanes ? left : job->code->lanes, sums);
        if (flag_is_set(&job->stopped)) return RUN_STOPPED;
        if (may_poll && poll_after(base, job->batch, base->work * job->code->lanes + 100)) {
            flag_set(&job->stopped);
            return RUN_STOPPED;
        }
    }
    if (job->batch->size % job->code->width == 0 || end < job->n_blocks)
        fold_totals(job->code, desk->totals, job->code->width, 1, sums);
    return RUN_DONE;
}

static void work_on(void *job_, int worker) {
    Job *job = job_;
    Desk desk = desk_of(job->program, job->code, (size_t)worker);
    for (;;) {
        size_t chunk = counter_next(&job->next_chunk);
        if (chunk >= job->n_chunks) return;
        job->outcomes[chunk] = run_chunk(job, &desk, chunk, worker == 0);
    }
}

/* All samples, after what is computed once. Sums over the batch are numbers of the program afterwards. */
static RunStatus run_samples(NativeProgram *program, NativeCode *code, Batch *batch) {
    uint32_t n_totals = code->lowered.n_totals;
    double *sums = program->numbers + code->lowered.adjoints;
    Job job; /* outcomes are set as chunks are run */
    job.program = program;
    job.code = code;
    job.batch = batch;
    memset(&job.next_chunk, 0, sizeof job.next_chunk);
    memset(&job.stopped, 0, sizeof job.stopped);
    job.n_blocks = (batch->size + code->lanes - 1) / code->lanes;
    job.n_chunks = chunks_of(job.n_blocks);
    int threads = threads_for(program->base.work * (double)batch->size, batch->threads, job.n_chunks);
    if (grow(&program->memory, &program->memory_size, code->desk_size * (size_t)threads)) return RUN_NO_MEMORY;
    copy_numbers(program, code, &code->pieces[LINE_SAMPLE]);
    if (job.n_chunks == 1) {
        Desk desk = desk_of(program, code, 0);
        job.sums = sums;
        return run_chunk(&job, &desk, 0, 1);
    }
    if (grow(&program->partial, &program->partial_size, sums_size(&job) * job.n_chunks)) return RUN_NO_MEMORY;
    job.sums = program->partial;
    if (threads == 1) work_on(&job, 0);
    else team_run(work_on, &job, threads);
    for (size_t chunk = 0; chunk < job.n_chunks; chunk++) {
        if (job.outcomes[chunk] != RUN_DONE) return job.outcomes[chunk];
        const double *part = job.sums + chunk * sums_size(&job);
        for (uint32_t t = 0; t < n_totals; t++) sums[t] = chunk ? sums[t] + part[t] : part[t];
    }
    return RUN_DONE;
}

/* The same of code for one vector. */
static RunStatus run_vector(NativeProgram *program, NativeCode *code, Batch *batch) {
    Desk desk = desk_of(program, code, 0);
    double *sums = program->numbers + code->lowered.adjoints;
    if (!batch->is_known) read_columns(code, batch, desk.rows, 0, batch->size, code->width);
    fill_draws(code, batch, desk.rows, 0, batch->size, code->width);
    batch->is_known = 1;
    program->known = code;
    copy_numbers(program, code, &code->pieces[LINE_SAMPLE]);
    run_piece(program, code, &code->pieces[LINE_SAMPLE], &desk, desk.rows, 1);
    fold_totals(code, desk.totals, batch->size, 0, sums);
    if (!program->graph->primal) write_outputs(program, code, batch, desk.rows, 0, batch->size);
    return poll_after(&program->base, batch, program->base.work * code->lanes + 100) ? RUN_STOPPED : RUN_DONE;
}

/* -- runs -------------------------------------------------------------------------------------------------- */

/* By the vector executor. */
static RunStatus run_instead(NativeProgram *program, Batch *batch) {
    Program *own = &program->base;
    if (!program->instead) { /* made in the middle of a run, beside which others may be made */
        Arena scratch = {0};
        program->planned = *program->graph;
        program->planned.scratch = &scratch;
        MakeStatus status = vector_executor.make(&program->planned, &program->instead);
        program->planned.scratch = NULL;
        arena_free(&scratch);
        if (status != MADE) return RUN_NO_MEMORY;
    }
    Program *instead = program->instead;
    for (uint32_t k = 0; k < program->graph->n_parameters; k++) {
        double *number = program_parameter(instead, k);
        if (number) *number = own->numbers[k];
    }
    RunStatus status = (program->graph->primal ? vector_executor.gradients : vector_executor.evaluate)(instead, batch);
    for (uint32_t k = 0; k < program->graph->n_parameters; k++) {
        const double *number = program_parameter(instead, k);
        own->numbers[own->to_adjoint + k] = number ? number[instead->to_adjoint] : 0.0;
    }
    own->lanes = instead->lanes;
    own->rows = instead->rows;
    return status;
}

/* Whether the loss changes with the sample. */
static int is_of_samples(const NativeCode *code) { return code->lowered.loss_total != NONE; }

/* The code for a batch, and what depends on the batch alone. NULL: none. */
static NativeCode *code_for(NativeProgram *program, const Batch *batch, RunStatus *status) {
    NativeCode *code = native_code(program, batch, status);
    if (!code) return NULL;
    program->base.lanes = code->lanes;
    program->base.rows = code->lowered.n_inputs + code->lowered.n_outputs + code->n_slots;
    program->numbers[code->lowered.seed] = is_of_samples(code) ? sample_seed(batch) : once_seed(batch);
    if (grow(&program->memory, &program->memory_size, code->desk_size) == 0) return code;
    *status = RUN_NO_MEMORY;
    return NULL;
}

/* Samples in float32 have the seed 1. */
static void seed_sums(NativeProgram *program, const Lowered *lowered, double seed) {
    double *sums = program->numbers + lowered->adjoints;
    for (uint32_t k = 0; k < lowered->n_totals; k++)
        if (k != lowered->loss_total) sums[k] *= seed;
}

static RunStatus run(NativeProgram *program, Batch *batch) {
    RunStatus status = RUN_DONE;
    NativeCode *code = batch->is_known ? program->known : code_for(program, batch, &status);
    if (status != RUN_DONE) return status;
    if (!code) return run_instead(program, batch);
    const Lowered *lowered = &code->lowered;
    run_once(program, code, LINE_ONCE, lowered->given_rows, lowered->n_given);
    if (lowered->bad_row != NONE && program->numbers[lowered->bad_row] > 0) return run_instead(program, batch);
    if (batch->size == 0) memset(program->numbers + lowered->adjoints, 0, lowered->n_totals * sizeof(double));
    else status = (code->is_loop ? run_samples : run_vector)(program, code, batch);
    if (status != RUN_DONE) return status;
    if (code->is_float32 && is_of_samples(code) && batch->size) seed_sums(program, lowered, sample_seed(batch));
    /* An index was none: the other executor says which. */
    if (lowered->bad_total != NONE && program->numbers[lowered->adjoints + lowered->bad_total] > 0)
        return run_instead(program, batch);
    if (!program->graph->primal) return RUN_DONE;
    batch->loss = is_of_samples(code) ? sample_loss(batch, program->numbers[lowered->adjoints + lowered->loss_total])
                                      : once_loss(batch, program->numbers[lowered->root_rows[0]]);
    run_once(program, code, LINE_BATCH, lowered->batch_rows, lowered->n_batch);
    return RUN_DONE;
}

RunStatus native_evaluate(Program *program, Batch *batch) { return run((NativeProgram *)program, batch); }

RunStatus native_gradients(Program *program, Batch *batch) { return run((NativeProgram *)program, batch); }
