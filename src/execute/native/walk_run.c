/* SPDX-License-Identifier: MIT
 *
 * Runs of walks: vectors of samples, chunks of them, workers.
 */
#include "walk_run.h"

enum { MOST_STEPS = 1 << 16 /* between two polls */ };

/* A run, as all workers see it. */
typedef struct {
    WalkProgram *program;
    WalkCode *code;
    Batch *batch;
    size_t n_vectors, n_chunks;
    double *sums; /* over the batch, of each chunk */
    Counter next_chunk;
    Flag stopped;
    RunStatus outcomes[MOST_CHUNKS];
} Job;

/* ... and one of them. */
typedef struct {
    Job *job;
    WalkProgram *program;
    const WalkCode *code;
    Batch *batch;
    const Desk *desk;
    int may_poll;
    uint32_t samples[2 * WIDEST]; /* of the vector at hand */
    size_t valid; /* lanes that hold samples */
} WalkRun;

/* Whether the run has to stop, after so much work. */
static int stops(const WalkRun *run, double work) {
    if (flag_is_set(&run->job->stopped)) return 1;
    if (!run->may_poll || !poll_after(&run->program->base, run->batch, work)) return 0;
    flag_set(&run->job->stopped);
    return 1;
}

static void run_line(const WalkRun *run, const Line *line, double *frame, size_t count) {
    const WalkCode *code = run->code;
    if (!code->pages) {
        ptrdiff_t advance = 0;
        if (line->walk != NONE) advance = (ptrdiff_t)code->walks.walks.items[line->walk].frame_rows * LANES;
        if (line->walk != NONE && code->walks.walks.items[line->walk].is_reverse) advance = -advance;
        interpret(line, run->desk->slots, run->desk->memory, frame, advance, count, run->batch->level);
        return;
    }
    const uint8_t *at = code->pages + line->emission.entry;
    double *slots = run->desk->slots + sizeof(Header) / sizeof(double);
    Memory memory = {line->numbers, run->program->numbers, frame, run->desk->memory, slots, count};
    native_enter(at, &memory, line->emission.calls.items, code->kernels, code->float32_kernels, code->machine.width);
}

static RunStatus run_unit(const WalkRun *run, const Unit *unit, double *frame, uint32_t step);

/* The lanes' draws, two of a pair at a time if both are read. rows: where row 0 is. */
static void draw_rows(const WalkRun *run, Drawing drawing, const RowDraw *draws, uint32_t count, double *rows) {
    const size_t width = width_of(run->code);
    drawing.samples = run->samples;
    drawing.first = run->batch->first_sample;
    drawing.is_one_sample = run->batch->is_one_sample;
    drawing.n = lanes_of(run->code);
    drawing.is_float32 = run->code->is_float32;
    for (uint32_t d = 0; d < count; d++) {
        const RowDraw *of = &draws[d];
        drawing.rows[of->draw % 2] = rows + of->row * width;
        drawing.kinds[of->draw % 2] = of->kind;
        if (of->draw % 2 == 0 && d + 1 < count && of[1].draw == of->draw + 1) continue;
        drawing.pair = of->draw / 2;
        run->batch->level->draw(&drawing);
        drawing.rows[0] = drawing.rows[1] = NULL;
    }
}

/* What a walk draws in some steps, from number `t` on, whose frames begin there. outer: the step that it is part of. */
static void draw_steps(const WalkRun *run, const Walk *walk, double *frame, uint32_t t, uint32_t count,
                       uint32_t outer) {
    const Drawing drawing = {.stream = stream_of_step(run->batch->stream, step_number(walk->numbering, outer, t)),
                             .n_steps = count,
                             .stride = walk->numbering.stride,
                             .apart = walk->frame_rows * lanes_of(run->code)};
    draw_rows(run, drawing, walk->draws, walk->n_draws, frame);
}

static RunStatus run_walk(const WalkRun *run, const Walk *walk, uint32_t outer) {
    const Walks *walks = &run->code->walks;
    const size_t width = width_of(run->code), apart = walk->frame_rows * width;
    const ptrdiff_t advance = walk->is_reverse ? -(ptrdiff_t)apart : (ptrdiff_t)apart;
    double *const frames = run->desk->memory + walk->frames * width, *frame = frames;
    for (uint32_t done = 0, count; done < walk->length; done += count) {
        const uint32_t left = walk->length - done, t = walk->is_reverse ? left - 1 : done;
        if (walk->n_draws && done % DRAWN_TOGETHER == 0) {
            const uint32_t drawn = left < DRAWN_TOGETHER ? left : DRAWN_TOGETHER;
            const size_t before = walk->is_reverse ? (drawn - 1) * apart : 0; /* in memory */
            if (walk->is_ring) frame = frames + before;
            draw_steps(run, walk, frame - before, walk->is_reverse ? left - drawn : t, drawn, outer);
            if (stops(run, (double)drawn * walk->n_draws * DRAW_WORK * (double)width)) return RUN_STOPPED;
        }
        double work = 1.0; /* of a step; one that does nothing takes its time, too */
        const uint32_t most = walk->n_draws ? DRAWN_TOGETHER : MOST_STEPS;
        count = walk->line == NONE ? 1 : left < most ? left : most;
        if (walk->line != NONE) {
            const Line *line = &walks->lines.items[walk->line];
            run_line(run, line, frame, count);
            work += line->emission.instructions;
        } else {
            RunStatus status = run_unit(run, &walk->body, frame, step_number(walk->numbering, outer, t));
            if (status != RUN_DONE) return status;
        }
        if (stops(run, (double)count * work * (double)width)) return RUN_STOPPED;
        frame += advance * (ptrdiff_t)count;
    }
    return RUN_DONE;
}

/* Number `at` of rows of doubles, or of floats. */
static double number_at(const void *rows, size_t at, int is_float32) {
    return is_float32 ? (double)((const float *)rows)[at] : ((const double *)rows)[at];
}

static void set_number_at(void *rows, size_t at, double number, int is_float32) {
    if (is_float32) ((float *)rows)[at] = (float)number;
    else ((double *)rows)[at] = number;
}

/* What a frame adds to the sum of its vectors p and q, in a lane. */
static double contracted(const Contraction *of, uint32_t i, double p, double q) {
    switch (of->kind) {
    case OF_PRODUCTS: return p * q;
    case OF_CHOICES: return p > 0 ? q : 0.0;
    case OF_ELEMENTS: return element_in(of, p) == i ? q : 0.0;
    }
    abort();
}

/* The same without kernels. */
static void contract_lanes(const WalkRun *run, const StepSums *sums, const Contraction *of, const double *frames) {
    const Walk *walk = &run->code->walks.walks.items[sums->walk];
    size_t lanes = LANES << sums->is_float32;
    for (uint32_t s = 0; s < of->n_p * of->n_q; s++) {
        uint32_t i = s / of->n_q;
        size_t p = of->p[of->kind == OF_ELEMENTS ? 0 : i] * lanes, q = of->q[s % of->n_q] * lanes;
        for (size_t lane = 0; lane < (of->is_total ? run->valid : lanes); lane++) {
            double sum = 0.0;
            for (size_t step = 0, at = lane; step < walk->length; step++, at += walk->frame_rows * lanes) {
                double x = number_at(frames, at + p, sums->is_float32), y = number_at(frames, at + q, sums->is_float32);
                sum += contracted(of, i, x, y);
            }
            if (!of->is_total) set_number_at(run->desk->memory, of->to[s] * lanes + lane, sum, sums->is_float32);
            else run->desk->sums[lane / LANES * upper_sums(run->code) + of->to[s] * LANES + lane % LANES] += sum;
        }
    }
}

static void run_step_sums(const WalkRun *run, const StepSums *sums) {
    const Walk *walk = &run->code->walks.walks.items[sums->walk];
    size_t width = width_of(run->code), first = walk->frames;
    if (walk->is_reverse) first -= (size_t)(walk->length - 1) * walk->frame_rows;
    const double *frames = run->desk->memory + first * width;
    const Kernels *kernels = sums->is_float32 ? run->code->float32_kernels : run->code->kernels;
    size_t lanes = width << sums->is_float32;
    for (uint32_t k = 0; k < sums->n_contractions; k++) {
        const Contraction *of = &sums->contractions[k];
        if (run->code->pages)
            kernels->contract(of, frames, walk->length, walk->frame_rows * lanes, of->is_total ? run->valid : lanes,
                              of->is_total ? run->desk->sums : run->desk->memory, upper_sums(run->code));
        else contract_lanes(run, sums, of, frames);
    }
}

/* step: of the body that it is; 0: it is the function's. */
static RunStatus run_unit(const WalkRun *run, const Unit *unit, double *frame, uint32_t step) {
    const Walks *walks = &run->code->walks;
    RunStatus status = RUN_DONE;
    for (uint32_t k = 0; k < unit->items.size && status == RUN_DONE; k++) {
        const UnitItem *item = &unit->items.items[k];
        switch (item->kind) {
        case ITEM_LINE: run_line(run, &walks->lines.items[item->which], frame, 1); break;
        case ITEM_WALK: /* as deep as loops in loops */
            status = run_walk(run, &walks->walks.items[item->which], step);
            break;
        case ITEM_SUMS: run_step_sums(run, &walks->step_sums.items[item->which]); break;
        }
    }
    return status;
}

static double *row_at_run(const WalkRun *run, uint32_t row) { return run->desk->memory + row * width_of(run->code); }

static void fill_row(const WalkRun *run, uint32_t row, double number, int is_float32) {
    if (row != NONE) put_number(row_at_run(run, row), width_of(run->code), number, is_float32);
}

static void read_columns(const WalkRun *run) {
    const Walks *walks = &run->code->walks;
    for (uint32_t c = 0; c < walks->columns.size; c++) {
        const Column *column = &run->batch->columns[walks->columns.items[c].column];
        double *row = row_at_run(run, walks->columns.items[c].row);
        for (size_t k = 0; k < lanes_of(run->code); k++)
            set_number_at(row, k, column_number(column, run->samples[k]), run->code->is_float32);
    }
}

/* What the samples add to the sums over the batch. */
static void add_sums(const WalkRun *run, size_t valid) {
    const WalkCode *code = run->code;
    const size_t width = width_of(code);
    for (uint32_t r = 0; r < code->walks.n_row_sums; r++) {
        size_t s = code->walks.row_sums[r];
        const double *from = run->desk->memory + code->walks.sums.items[s].of * width;
        double *sum = run->desk->sums + s * width;
        if (valid == WIDEST) /* of a known number, which compilers make vectors of */
            for (size_t k = 0; k < WIDEST; k++) sum[k] += from[k];
        else
            for (size_t k = 0; k < valid; k++) sum[k] += from[k];
    }
}

/* The same of floats. */
static void add_floats(const WalkRun *run, size_t valid) {
    const WalkCode *code = run->code;
    const size_t width = width_of(code);
    for (uint32_t r = 0; r < code->walks.n_row_sums; r++) {
        size_t s = code->walks.row_sums[r];
        const RowSum *of = &code->walks.sums.items[s];
        for (size_t k = 0; k < valid; k++) {
            double number = number_at(row_at_run(run, of->of), k, 1);
            if (of->times != NONE) number *= number_at(row_at_run(run, of->times), k, 1);
            run->desk->sums[k / width * upper_sums(code) + s * width + k % width] += number;
        }
    }
}

static void write_outputs(const WalkRun *run, size_t first, size_t valid) {
    for (uint32_t r = 0; r < run->program->graph->n_roots; r++) {
        const Target target = run->batch->targets[r];
        const double *row = row_at_run(run, run->code->walks.root_rows[r]);
        int is_of_sample = run->program->graph->nodes[run->program->graph->roots[r]].stage == SAMPLE;
        for (size_t k = 0; k < valid; k++)
            target.data[(first + k) * target.stride] = is_of_sample ? number_at(row, k, run->code->is_float32) : row[0];
    }
}

/* Whether an index was none, in one of these lanes. */
static int is_bad(const WalkRun *run, size_t valid) {
    for (int is_float32 = 0; is_float32 < 2; is_float32++) {
        uint32_t bad_row = run->code->walks.bad_rows[is_float32];
        if (bad_row == NONE) continue;
        const double *row = row_at_run(run, bad_row);
        size_t lanes = is_float32 || valid < width_of(run->code) ? valid : width_of(run->code);
        for (size_t k = 0; k < lanes; k++)
            if (number_at(row, k, is_float32) > 0) return 1;
    }
    return 0;
}

/* Which samples stand in the lanes: behind the last valid one, that one again. */
static void list_samples(WalkRun *run, size_t first, size_t valid) {
    for (size_t k = 0; k < lanes_of(run->code); k++) {
        size_t at = first + (k < valid ? k : valid - 1);
        run->samples[k] = run->batch->samples ? run->batch->samples[at] : (uint32_t)at;
    }
}

/* Vectors of samples from `first` to `end`. */
static RunStatus run_vectors(WalkRun *run, size_t first, size_t end) {
    const Drawing of_function = {.stream = run->batch->stream, .n_steps = 1};
    const Walks *walks = &run->code->walks;
    size_t lanes = lanes_of(run->code);
    RunStatus status = RUN_DONE;
    for (size_t at = first * lanes; at < end * lanes && status == RUN_DONE; at += lanes) {
        size_t left = run->batch->size - at, valid = left < lanes ? left : lanes;
        run->valid = valid;
        list_samples(run, at, valid);
        read_columns(run);
        draw_rows(run, of_function, walks->draws.items, walks->draws.size, run->desk->memory);
        status = run_unit(run, &walks->units[LINE_SAMPLE], run->desk->memory, 0);
        if (status == RUN_DONE && is_bad(run, valid)) status = RUN_BAD_INDEX;
        if (status != RUN_DONE) break;
        if (run->program->graph->primal) (run->code->is_float32 ? add_floats : add_sums)(run, valid);
        else write_outputs(run, at, valid);
        if (stops(run, 1000)) status = RUN_STOPPED;
    }
    return status;
}

static void fill_tables(const WalkRun *run) {
    const Walks *walks = &run->code->walks;
    for (uint32_t t = 0; t < walks->tables.size; t++) {
        const RowTable *table = &walks->tables.items[t];
        double *rows = row_at_run(run, table->row);
        for (uint32_t k = 0; k < table->count; k++) {
            uint32_t parameter = table->parameters[k];
            double number = parameter == NONE ? table->numbers[k] : run->program->numbers[parameter];
            set_number_at(rows, k, number, table->is_float32);
        }
    }
}

/* What no sample changes, in this worker's memory. */
static RunStatus run_once(const WalkRun *run) {
    const Walks *walks = &run->code->walks;
    const Graph *graph = run->program->graph;
    int is_of_samples = walks->loss_sum != NONE, has_floats = run->code->is_float32;
    double seed = !is_of_samples ? once_seed(run->batch) : has_floats ? 1.0 : sample_seed(run->batch);
    for (uint32_t k = 0; k < graph->n_parameters; k++)
        fill_row(run, walks->parameter_rows[k], run->program->numbers[k], 0);
    fill_tables(run);
    fill_row(run, walks->seed_row, seed, is_of_samples && has_floats);
    for (int k = 0; k < 2; k++) fill_row(run, walks->bad_rows[k], 0.0, k);
    RunStatus status = run_unit(run, &walks->units[LINE_ONCE], run->desk->memory, 0);
    for (uint32_t k = 0; k < walks->narrowed.size; k++) {
        const RowNarrowed *row = &walks->narrowed.items[k];
        fill_row(run, row->to, row->is_parameter ? run->program->numbers[row->from] : row_at_run(run, row->from)[0], 1);
    }
    return status == RUN_DONE && is_bad(run, 1) ? RUN_BAD_INDEX : status;
}

/* Each sum's lanes, added up. */
static void fold_sums(const WalkRun *run, double *to) {
    const size_t n = run->code->walks.sums.size;
    if (run->code->pages && n) {
        run->code->kernels->fold(run->desk->sums, n, width_of(run->code), 0, to);
        if (run->code->is_float32)
            run->code->kernels->fold(run->desk->sums + upper_sums(run->code), n, width_of(run->code), 1, to);
        return;
    }
    for (size_t s = 0; s < n; s++) {
        to[s] = 0.0;
        for (size_t lane = 0; lane < lanes_of(run->code); lane++)
            to[s] += run->desk->sums[lane / LANES * upper_sums(run->code) + s * LANES + lane % LANES];
    }
}

static WalkRun run_of(Job *job, int worker) {
    return (WalkRun){.job = job,
                     .program = job->program,
                     .code = job->code,
                     .batch = job->batch,
                     .desk = &job->code->desks[worker],
                     .may_poll = worker == 0};
}

/* What no sample changes is computed by each worker for itself. */
static void work_on(void *job_, int worker) {
    Job *job = job_;
    WalkRun run = run_of(job, worker);
    const size_t n_sums = job->code->walks.sums.size;
    RunStatus status = worker ? run_once(&run) : RUN_DONE; /* the first one has done it already */
    for (;;) {
        size_t chunk = counter_next(&job->next_chunk);
        if (chunk >= job->n_chunks) return;
        memset(run.desk->sums, 0, sum_doubles(run.code) * sizeof(double));
        if (status == RUN_DONE)
            status = run_vectors(&run, chunk * job->n_vectors / job->n_chunks,
                                 (chunk + 1) * job->n_vectors / job->n_chunks);
        job->outcomes[chunk] = status;
        fold_sums(&run, job->sums + chunk * n_sums);
    }
}

/* All samples; the chunks' sums are added in order. */
static RunStatus run_samples(Job *job) {
    const size_t n_sums = job->code->walks.sums.size;
    int threads = threads_for(job->program->base.work * (double)job->batch->size, job->batch->threads, job->n_chunks);
    for (int k = 1; k < threads; k++)
        if (walk_desk_make(job->code, &job->code->desks[k])) return RUN_NO_MEMORY;
    if (threads == 1) work_on(job, 0);
    else team_run(work_on, job, threads);
    for (size_t chunk = 0; chunk < job->n_chunks; chunk++) {
        if (job->outcomes[chunk] != RUN_DONE) return job->outcomes[chunk];
        for (size_t s = 0; chunk && s < n_sums; s++) job->sums[s] += job->sums[chunk * n_sums + s];
    }
    return RUN_DONE;
}

/* Lines on floats have copies of parameters. */
static void copy_parameters(const WalkProgram *program, WalkCode *code) {
    const size_t copies = copies_of(code);
    for (uint32_t k = 0; k < code->walks.lines.size; k++) {
        const Line *line = &code->walks.lines.items[k];
        for (uint32_t n = 0; n < line->emission.n_moving; n++)
            put_number(line->numbers + n * copies, copies, program->numbers[line->emission.numbers.items[n].row], 1);
    }
}

RunStatus walk_run(WalkProgram *program, WalkCode *code, Batch *batch) {
    const Walks *walks = &code->walks;
    const Graph *graph = program->graph;
    const size_t lanes = lanes_of(code), n_sums = walks->sums.size;
    Job job; /* outcomes are set as chunks are run */
    job.program = program;
    job.code = code;
    job.batch = batch;
    job.n_vectors = (batch->size + lanes - 1) / lanes;
    job.n_chunks = chunks_of(job.n_vectors);
    memset(&job.next_chunk, 0, sizeof job.next_chunk);
    memset(&job.stopped, 0, sizeof job.stopped);
    if (!code->partial) code->partial = malloc((MOST_CHUNKS * n_sums + 1) * sizeof(double));
    if (!code->partial || walk_desk_make(code, &code->desks[0])) return RUN_NO_MEMORY;
    job.sums = code->partial;
    const WalkRun run = run_of(&job, 0);
    copy_parameters(program, code);
    RunStatus status = run_once(&run);
    if (status == RUN_DONE) status = run_samples(&job);
    if (status != RUN_DONE || !graph->primal) return status;
    for (uint32_t s = 0; code->is_float32 && batch->size && s < n_sums; s++) /* samples have the seed 1 */
        if (s != walks->loss_sum) job.sums[s] *= sample_seed(batch);
    for (uint32_t s = 0; s < n_sums; s++) fill_row(&run, walks->sums.items[s].to, job.sums[s], 0);
    batch->loss = walks->loss_sum != NONE ? sample_loss(batch, job.sums[walks->loss_sum])
                                          : once_loss(batch, row_at_run(&run, walks->root_rows[0])[0]);
    status = run_unit(&run, &walks->units[LINE_BATCH], run.desk->memory, 0);
    for (uint32_t k = 0; k < graph->n_parameters; k++) {
        uint32_t row = walks->root_rows[1 + k];
        program->numbers[program->base.to_adjoint + k] = row == NONE ? job.sums[walks->root_sums[1 + k]]
                                                                     : row_at_run(&run, row)[0];
    }
    return status;
}
