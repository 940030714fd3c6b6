/* SPDX-License-Identifier: MIT
 *
 * Replay: blocks of lanes, chunks of blocks, workers.
 *
 * A batch is cut into blocks whose rows stay in the first or second cache, and blocks into chunks, by
 * the batch's size alone. Chunks are what threads share out; each sums its own adjoints, and the chunks'
 * are added in order, so that results are the same for any number of threads.
 */
#include "program.h"

#include "execute/chunks.h"
#include "execute/native/walks.h"
#include "program/loops.h"

#include <math.h>

extern const Executor vector_executor;

/* -- levels ------------------------------------------------------------------------------------------ */

extern const Kernels kernels_baseline, kernels_baseline_float32;
#if defined(__x86_64__) && defined(__GNUC__)
extern const Kernels kernels_avx2, kernels_avx2_float32, kernels_avx512, kernels_avx512_float32;
#endif

const Level *const *levels_available(int *count) {
    static const Level *levels[3];
    static int known; /* asking the processor takes microseconds on a virtual machine */
    int n = 0;
    *count = known;
    if (known) return levels;
    levels[n++] = &kernels_baseline.level;
#if defined(__x86_64__) && defined(__GNUC__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        levels[n++] = &kernels_avx2.level;
        if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
            __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw"))
            levels[n++] = &kernels_avx512.level;
    }
#endif
    *count = known = n;
    return levels;
}

/* -- sizes -------------------------------------------------------------------------------------------------- */

enum {
    BLOCK_BYTES = 192 * 1024, /* of rows: they stay in the second cache, and those at hand in the first */
    MOST_LANES = 256,
    LEAST_LANES = 32
};

static double *aligned(double *memory) {
    return (double *)round_up((size_t)(uintptr_t)memory, CACHE_LINE * sizeof(double));
}

/* -- making --------------------------------------------------------------------------------------------- */

static MakeStatus make_plan(VectorProgram *program, Graph *graph) {
    jmp_buf out_of_memory;
    if (setjmp(out_of_memory)) return MADE_NO_MEMORY;
    program->arena.out_of_memory = graph->scratch->out_of_memory = &out_of_memory;
    arena_rewind(graph->scratch);
    if (plan_make(&program->plan, &program->arena, graph) != MADE) return MADE_BROKEN;
    const Plan *plan = &program->plan;
    Program *base = &program->base;
    if (graph->is_float32) program->narrow = ARENA_ARRAY(&program->arena, float, (size_t)plan->n_once + 1);
    base->numbers = aligned(ARENA_ARRAY(&program->arena, double, 2 * (size_t)plan->n_once + 1 + CACHE_LINE));
    for (uint32_t k = 0; k < plan->n_constants; k++) base->numbers[plan->constant_rows[k]] = plan->constants[k];
    base->to_adjoint = plan->n_once;
    base->parameter_at = plan->parameter_row;
    base->n_roots = plan->n_roots;
    base->rows = plan->n_rows;
    base->work = plan->work;
    return MADE;
}

static const char *vector_refuses(const Graph *graph) {
    (void)graph;
    return NULL;
}

static void vector_free(Program *base) {
    VectorProgram *program = (VectorProgram *)base;
    free(program->memory);
    free(program->partial);
    arena_free(&program->arena);
    free(program);
}

static MakeStatus vector_make(Graph *graph, Program **made) {
    if (has_loops(graph)) return walks_make(graph, 1, made);
    VectorProgram *program = calloc(1, sizeof *program);
    if (!program) return MADE_NO_MEMORY;
    program->base.executor = &vector_executor;
    MakeStatus status = make_plan(program, graph);
    if (status == MADE) *made = &program->base;
    else vector_free(&program->base);
    return status;
}

static size_t vector_bytes(const Program *base) {
    const VectorProgram *program = (const VectorProgram *)base;
    return sizeof *program + program->arena.bytes + (program->memory_size + program->partial_size) * sizeof(double);
}

/* -- blocks ------------------------------------------------------------------------------------------------ */

/* Lanes of a block: few empty ones in the last, and rows that do not fall on each other in the cache,
 * which takes addresses apart by their distance in lines modulo a power of two. */
static size_t choose_lanes(const Plan *plan, size_t size, const Kernels *kernels) {
    size_t width = kernels->level.width, most = BLOCK_BYTES / kernels->number_bytes / (plan->n_rows + 1), best = 0;
    double least = INFINITY;
    if (most > MOST_LANES) most = MOST_LANES;
    if (most < LEAST_LANES) most = LEAST_LANES;
    if (size == 1 && kernels->number_bytes == sizeof(double))
        return 1; /* kernels then have vectors of a step's members, or of a matrix's columns */
    if (size <= most) return round_up(size, width);
    for (size_t lanes = round_up(most / 2, width); lanes <= most; lanes += width) {
        double cost = (double)((size + lanes - 1) / lanes) * (double)(lanes + 4);
        if (lanes % (4 * CACHE_LINE) == 0) cost *= 1.1;
        if (cost <= least) {
            least = cost;
            best = lanes;
        }
    }
    return best;
}

const Kernels *float32_kernels_of(const Level *level) {
#if defined(__x86_64__) && defined(__GNUC__)
    if (level == &kernels_avx2.level) return &kernels_avx2_float32;
    if (level == &kernels_avx512.level) return &kernels_avx512_float32;
#endif
    (void)level;
    return &kernels_baseline_float32;
}

/* One of few samples does not fill wide vectors; of one alone, there are no vectors of samples. */
static const Level *level_for(const Level *level, size_t size) {
    int count;
    const Level *const *levels = levels_available(&count);
    for (int k = count - 1; k > 0 && size > 1; k--)
        if (levels[k] == level && levels[k - 1]->width >= 4 && levels[k - 1]->width >= size) return levels[k - 1];
    return level;
}

typedef struct {
    VectorProgram *program;
    Batch *batch;
    const Kernels *kernels;
    int gradients;
    size_t lanes, n_blocks, n_chunks;
    double *adjoints;      /* of chunk 0; further chunks' stand behind, each with its loss at the end */
    size_t adjoint_stride;
    double *memory;
    size_t worker_memory, scratch_size;
    Counter next_chunk;
    Flag stopped;
    struct Outcome {
        RunStatus status;
        uint32_t bad_count;
        size_t bad_sample;
        double bad_index;
    } outcomes[MOST_CHUNKS];
} Job;

static RunStatus run_chunk(Job *job, Frame *frame, size_t chunk, int may_poll) {
    VectorProgram *program = job->program;
    size_t first = chunk * job->n_blocks / job->n_chunks, end = (chunk + 1) * job->n_blocks / job->n_chunks;
    double loss = 0.0;
    frame->once_adjoint = job->adjoints + chunk * job->adjoint_stride;
    for (size_t block = first; block < end; block++) {
        RunStatus status = job->kernels->run_block(&program->plan, job->batch, job->gradients, frame,
                                                   block * job->lanes, &loss);
        if (status == RUN_BAD_INDEX) {
            struct Outcome *outcome = &job->outcomes[chunk];
            outcome->bad_sample = block * job->lanes + frame->bad_lane;
            if (job->batch->samples) outcome->bad_sample = job->batch->samples[outcome->bad_sample];
            outcome->bad_index = frame->bad_index;
            outcome->bad_count = frame->bad_count;
        }
        if (status != RUN_DONE) return status;
        if (flag_is_set(&job->stopped)) return RUN_STOPPED;
        double done = program->plan.work * (double)job->lanes * (job->gradients ? 3 : 1) + 100;
        if (may_poll && poll_after(&program->base, job->batch, done)) {
            flag_set(&job->stopped);
            return RUN_STOPPED;
        }
    }
    if (job->gradients) frame->once_adjoint[program->plan.n_once] = loss;
    return RUN_DONE;
}

static void work(void *job_, int worker) {
    Job *job = job_;
    const Plan *plan = &job->program->plan;
    const VectorProgram *program = job->program;
    size_t row_bytes = job->lanes * job->kernels->number_bytes;
    char *memory = (char *)(job->memory + (size_t)worker * job->worker_memory);
    Frame frame = {.rows = memory, .lanes = job->lanes, .once = program->base.numbers, .narrow = program->narrow};
    frame.scratch = memory + round_up(plan->n_rows * row_bytes, sizeof(double));
    frame.bundles = job->lanes == 1 ? (double *)frame.scratch + job->scratch_size - plan->bundles : NULL;
    frame.outputs = (double *)frame.scratch + job->scratch_size;
    frame.pointers = frame.outputs + (program->narrow ? plan->most_outputs * job->lanes : 0);
    for (;;) {
        size_t chunk = counter_next(&job->next_chunk);
        if (chunk >= job->n_chunks) return;
        job->outcomes[chunk].status = run_chunk(job, &frame, chunk, worker == 0);
    }
}

static int grow(double **memory, size_t *size, size_t needed) {
    if (*size >= needed) return 0;
    free(*memory);
    *memory = malloc((needed + CACHE_LINE) * sizeof(double));
    *size = *memory ? needed : 0;
    return *memory ? 0 : -1;
}

/* Doubles for steps on rows of one lane: for two numbers of each member, or for a matrix's inputs. */
static size_t scratch_of_numbers(const Plan *plan) {
    return SCRATCH_ROWS + 2 * (size_t)plan->most_members + plan->most_pointers;
}

/* All blocks of the batch, after what is computed once. */
static RunStatus run_blocks(VectorProgram *program, Batch *batch, int gradients, double *loss) {
    const Plan *plan = &program->plan;
    Job job; /* outcomes are set as chunks are run */
    job.program = program;
    job.batch = batch;
    job.gradients = gradients;
    memset(&job.next_chunk, 0, sizeof job.next_chunk);
    memset(&job.stopped, 0, sizeof job.stopped);
    const Level *level = level_for(batch->level, program->narrow ? (batch->size + 3) / 2 : batch->size);
    job.kernels = kernels_of(level);
    if (program->narrow) {
        job.kernels = float32_kernels_of(level);
        for (uint32_t k = 0; k < plan->n_once; k++) program->narrow[k] = (float)program->base.numbers[k];
    }
    job.lanes = choose_lanes(plan, batch->size, job.kernels);
    job.n_blocks = (batch->size + job.lanes - 1) / job.lanes;
    job.n_chunks = chunks_of(job.n_blocks);
    program->base.lanes = (uint32_t)job.lanes;
    double total = plan->work * (double)batch->size * (gradients ? 3 : 1);
    int threads = threads_for(total, batch->threads, job.n_chunks);

    size_t outputs = program->narrow ? plan->most_outputs * job.lanes : 0;
    size_t pointers = (plan->most_pointers + job.lanes) * sizeof(void *) / sizeof(double) + 1;
    size_t rows = (plan->n_rows * job.lanes * job.kernels->number_bytes + sizeof(double) - 1) / sizeof(double);
    job.scratch_size = job.lanes == 1 ? scratch_of_numbers(plan) + plan->bundles : SCRATCH_ROWS * job.lanes;
    job.worker_memory = round_up(rows + job.scratch_size + outputs + pointers, CACHE_LINE);
    job.adjoint_stride = round_up((size_t)plan->n_once + 1, CACHE_LINE);
    if (grow(&program->memory, &program->memory_size, job.worker_memory * (size_t)threads)) return RUN_NO_MEMORY;
    if (gradients && job.n_chunks > 1 &&
        grow(&program->partial, &program->partial_size, job.adjoint_stride * job.n_chunks))
        return RUN_NO_MEMORY;
    job.memory = aligned(program->memory);
    job.adjoints = program->base.numbers + plan->n_once; /* a single chunk's go where all are to be */
    if (gradients && job.n_chunks > 1) {
        job.adjoints = aligned(program->partial);
        memset(job.adjoints, 0, job.adjoint_stride * job.n_chunks * sizeof(double));
    }
    if (threads == 1) work(&job, 0);
    else team_run(work, &job, threads);

    for (size_t chunk = 0; chunk < job.n_chunks; chunk++) {
        const struct Outcome *outcome = &job.outcomes[chunk];
        if (outcome->status == RUN_DONE) continue;
        batch->bad_sample = outcome->bad_sample;
        batch->bad_index = outcome->bad_index;
        batch->bad_count = outcome->bad_count;
        return outcome->status;
    }
    double *to = program->base.numbers + plan->n_once;
    for (size_t chunk = 0; gradients && chunk < job.n_chunks; chunk++) {
        const double *adjoints = job.adjoints + chunk * job.adjoint_stride;
        for (uint32_t k = 0; k < plan->n_once && job.n_chunks > 1; k++) to[k] += adjoints[k];
        *loss += adjoints[plan->n_once];
    }
    for (uint32_t k = 0; gradients && program->narrow && k < plan->n_once; k++) to[k] *= sample_seed(batch);
    return RUN_DONE;
}

static RunStatus run_once(VectorProgram *program, Batch *batch, const StepList *steps, int forward) {
    const Plan *plan = &program->plan;
    double *once = program->base.numbers;
    Frame frame = {.rows = once, .lanes = 1, .valid = 1, .once = once, .bad_lane = NONE};
    if (!steps->size) return RUN_DONE;
    if (grow(&program->memory, &program->memory_size, scratch_of_numbers(plan))) return RUN_NO_MEMORY;
    frame.scratch = program->memory;
    kernels_of(batch->level)->run(steps->items, steps->size, &frame);
    if (frame.bad_lane == NONE || !forward) return RUN_DONE;
    batch->bad_sample = EVERY_SAMPLE;
    batch->bad_index = frame.bad_index;
    batch->bad_count = frame.bad_count;
    return RUN_BAD_INDEX;
}

static RunStatus vector_evaluate(Program *base, Batch *batch) {
    VectorProgram *program = (VectorProgram *)base;
    RunStatus status = run_once(program, batch, &program->plan.once, 1);
    if (status != RUN_DONE || batch->size == 0) return status;
    return run_blocks(program, batch, 0, NULL);
}

static RunStatus vector_gradients(Program *base, Batch *batch) {
    VectorProgram *program = (VectorProgram *)base;
    const Plan *plan = &program->plan;
    Ref root = plan->roots[0];
    double *adjoints = base->numbers + plan->n_once, sum = 0.0;
    RunStatus status = run_once(program, batch, &plan->once, 1);
    if (status != RUN_DONE) return status;
    memset(adjoints, 0, plan->n_once * sizeof(double));
    if (root.space == IN_ONCE) {
        batch->loss = once_loss(batch, base->numbers[root.at]);
        adjoints[root.at] = once_seed(batch);
    } else {
        if (batch->size > 0) status = run_blocks(program, batch, 1, &sum);
        if (status != RUN_DONE) return status;
        batch->loss = sample_loss(batch, sum);
    }
    return run_once(program, batch, &plan->once_backward, 0);
}

const Executor vector_executor = {"vector",        vector_refuses,   vector_make,
                                  vector_evaluate, vector_gradients, vector_listing,
                                  vector_bytes,    vector_free,      NULL};
