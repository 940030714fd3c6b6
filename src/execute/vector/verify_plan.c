/* SPDX-License-Identifier: MIT
 *
 * What has to hold for a plan: the steps are gone through as a replay would, but with the names of rows
 * in place of numbers. A row holds what was written there last, under the name that it had before rows
 * shared memory, so that a row which is overwritten too early is found, too.
 */
#include "program/verify.h"

#include "planner.h"

typedef enum { READ, WRITE, ADD } Access;

typedef struct {
    const Graph *graph;
    const Plan *plan;
    int by_sample;     /* steps on a block's lanes, else on once rows        */
    uint32_t *holds;   /* of a block's row: one more than the name; 0: unset */
    uint8_t *once;     /* of a once row: 1 if it has been set                */
    uint32_t *read_at; /* of a row, of either kind: the step that read it last */
    uint32_t now;      /* one more than the steps so far, of all lists */
    const char *rule;  /* the first that does not hold                       */
} Replay;

static void expect(Replay *r, int holds, const char *rule) {
    if (!holds && !r->rule) r->rule = rule;
}

static void touch_row(Replay *r, uint32_t name, uint32_t row, Access access) {
    uint32_t size = r->by_sample ? r->plan->n_rows : 2 * r->plan->n_once;
    expect(r, row < size, "a step's rows are among those that there are");
    if (r->rule) return;
    if (access != WRITE)
        expect(r, r->by_sample ? r->holds[row] == name + 1 : r->once[row],
               "a row is written before it is read, and kept until then");
    if (access == READ) {
        r->read_at[row] = r->now;
        return;
    }
    expect(r, r->read_at[row] != r->now, "a step does not write what it reads");
    if (r->by_sample) r->holds[row] = name + 1;
    else r->once[row] = 1;
}

/* What a step on samples reads or adds to where no sample counts. */
static void touch_once(Replay *r, uint32_t row, Access access) {
    expect(r, r->by_sample, "steps on once rows name them as rows");
    expect(r, row < r->plan->n_once, "a step's once rows are among those that there are");
    if (r->rule) return;
    expect(r, access != WRITE, "a step on samples writes no once row");
    if (access == READ) expect(r, r->once[row], "a once row is written before samples read it");
}

static void touch(Replay *r, Ref name, Ref ref, uint32_t count, Access access) {
    expect(r, ref.space != NOWHERE, "a step has all the operands that it needs");
    expect(r, name.space == ref.space && name.stride == ref.stride, "sharing rows changes rows only");
    for (uint32_t k = 0; k < (ref.stride ? count : 1) && !r->rule; k++) {
        if (ref.space == IN_ROWS) touch_row(r, name.at + k, ref.at + k, access);
        else touch_once(r, ref.at + k, access);
    }
}

static void touch_refs(Replay *r, const Step *name, const Step *step, uint32_t from, Access access) {
    for (uint32_t k = from; k < step->n_refs && !r->rule; k++) touch(r, name->refs[k], step->refs[k], 1, access);
}

static int all_rows(const Step *step) {
    for (uint32_t k = 0; k < step->n_refs; k++)
        if (step->refs[k].space != IN_ROWS) return 0;
    return 1;
}

static int is_map(const Step *step) { return step->op < OP_FIRST_VARIADIC && op_info[step->op].shape != LEAF; }

#define TOUCH(field, count, access) touch(r, name->field, step->field, count, access)

static void replay_map(Replay *r, const Step *name, const Step *step) {
    Ref refs[] = {step->out, step->x, step->y, step->w};
    expect(r, is_map(step), "a map's operation is one of the table's cells");
    if (r->rule) return;
    uint32_t arity = op_arity(step->op);
    TOUCH(x, step->count, READ);
    if (arity > 1) TOUCH(y, step->count, READ);
    if (arity > 2) TOUCH(w, step->count, READ);
    expect(r,
           step->x.space == IN_ROWS || (arity > 1 && step->y.space == IN_ROWS) ||
               (arity > 2 && step->w.space == IN_ROWS),
           "a step on samples has an operand that changes with the sample");
    expect(r, arity < 3 || step->count == 1, "three operands stand in a step for one node");
    expect(r, !step->flat || is_flat(step->count, refs, 4), "members of a flat step stand side by side");
    TOUCH(out, step->count, WRITE);
}

static void replay_gain(Replay *r, const Step *name, const Step *step) {
    Ref refs[] = {step->out, step->g, step->x, step->y, step->w, step->z};
    expect(r, is_map(step) && step->which < op_arity(step->op) && !cell_stops((Op)step->op, step->which),
           "a gain is one of the table's cells");
    if (r->rule) return;
    unsigned reads = cell_reads((Op)step->op, step->which);
    TOUCH(g, step->count, READ);
    if (READS(reads, X)) TOUCH(x, step->count, READ);
    if (READS(reads, Y) && op_arity(step->op) > 1) TOUCH(y, step->count, READ);
    if (READS(reads, W)) TOUCH(w, step->count, READ);
    if (READS(reads, Z)) TOUCH(z, step->count, READ);
    expect(r, step->g.space == IN_ROWS && (!READS(reads, Z) || step->z.space == IN_ROWS),
           "a gain has its node's adjoint and value from rows");
    expect(r,
           step->x.space != IN_ONCE || op_arity(step->op) > 2 || (step->y.space != IN_ONCE && op_arity(step->op) == 2),
           "a step on samples has an operand that changes with the sample");
    expect(r, !step->flat || is_flat(step->count, refs, 6), "members of a flat step stand side by side");
    expect(r,
           r->by_sample || step->count == 1 || step->x.space == NOWHERE || step->x.stride ||
               (op_arity(step->op) == 2 && (step->y.space == NOWHERE || step->y.stride)),
           "of a gain's members on once rows, no more than one operand is the same");
    expect(r, r->by_sample || step->count == 1 || step->z.space == NOWHERE || step->z.stride,
           "of a gain's members on once rows, each has its own value");
    expect(r, step->add || step->out.stride || step->count == 1, "what many members gain is added");
    TOUCH(out, step->count, step->add || step->out.space == IN_ONCE ? ADD : WRITE);
}

/* Member m of a step. */
static Step member_of(const Step *step, uint32_t m) {
    Step member = *step;
    Ref *refs[] = {&member.out, &member.g, &member.x, &member.y, &member.w, &member.z};
    for (int k = 0; k < 6; k++) refs[k]->at += m * refs[k]->stride;
    if (step->kind == STEP_CHAIN && m > 0) member.x = (Ref){member.out.at - 1, IN_ROWS, 0};
    member.count = 1;
    return member;
}

static void replay_chain(Replay *r, const Step *name, const Step *step) {
    for (uint32_t k = 0; k < step->count && !r->rule; k++, r->now++) {
        uint32_t m = step->kind == STEP_CHAIN ? k : step->count - 1 - k;
        Step member_name = member_of(name, m), member = member_of(step, m);
        if (step->kind == STEP_CHAIN) replay_map(r, &member_name, &member);
        else replay_gain(r, &member_name, &member);
    }
}

static void replay_linear(Replay *r, const Step *name, const Step *step) {
    for (uint32_t k = 0; k < step->n_runs && !r->rule; k++) {
        const Run *run = &step->runs[k];
        TOUCH(runs[k].a, run->count, READ);
        if (run->b.space != NOWHERE) TOUCH(runs[k].b, run->count, READ);
        expect(r, run->a.space == IN_ROWS || run->b.space != IN_ROWS, "a product has its row first");
    }
    TOUCH(out, 1, WRITE);
}

static void replay_matrix(Replay *r, const Step *name, const Step *step) {
    uint32_t n_in = step->kind == STEP_MATVEC_X ? (uint32_t)step->number : step->n_refs;
    Ref weights = {step->x.at, step->x.space, 1}, biases = {step->y.at, step->y.space, 1};
    Access weight_access = step->kind == STEP_MATVEC_W ? ADD : READ;
    expect(r, all_rows(step) && step->x.space == IN_ONCE && step->y.space != IN_ROWS,
           "a matrix product has its inputs in rows, and its weights in once rows");
    expect(r, 2 * ((uint64_t)step->n_refs + step->count) <= r->plan->most_pointers,
           "a matrix product has room for its pointers");
    touch(r, weights, weights, n_in * step->count, weight_access);
    if (step->kind != STEP_MATVEC) TOUCH(g, step->count, READ);
    if (step->kind != STEP_MATVEC_X) touch_refs(r, name, step, 0, READ);
    if (step->kind != STEP_MATVEC_X && step->y.space == IN_ONCE) touch(r, biases, biases, step->count, weight_access);
    if (step->kind == STEP_MATVEC) TOUCH(out, step->count, WRITE);
    if (step->kind != STEP_MATVEC_X) return;
    for (uint32_t k = 0; k < step->n_refs; k++)
        expect(r, step->columns[k] < n_in, "a matrix product's columns are within it");
    touch_refs(r, name, step, 0, step->add ? ADD : WRITE);
}

static void replay_step(Replay *r, const Step *name, const Step *step) {
    expect(r,
           name->kind == step->kind && name->count == step->count && name->n_refs == step->n_refs &&
               name->n_runs == step->n_runs,
           "sharing rows changes rows only");
    if (r->rule) return;
    switch ((StepKind)step->kind) {
    case STEP_MAP: replay_map(r, name, step); return;
    case STEP_GAIN: replay_gain(r, name, step); return;
    case STEP_CHAIN:
    case STEP_CHAIN_GAIN: replay_chain(r, name, step); return;
    case STEP_LINEAR: replay_linear(r, name, step); return;
    case STEP_MATVEC:
    case STEP_MATVEC_X:
    case STEP_MATVEC_W: replay_matrix(r, name, step); return;
    case STEP_TAKE:
        expect(r, step->n_refs >= 2, "a choice has as many operands as it needs");
        touch_refs(r, name, step, 0, READ);
        TOUCH(out, 1, WRITE);
        return;
    case STEP_TAKE_GAIN:
        TOUCH(x, 1, READ);
        TOUCH(g, 1, READ);
        expect(r, step->g.space == IN_ROWS, "a gain has its node's adjoint and value from rows");
        touch_refs(r, name, step, 1, ADD);
        return;
    case STEP_GATHER:
        expect(r, !r->by_sample && step->n_refs == step->count, "once rows are copied once a batch, each");
        touch_refs(r, name, step, 0, READ);
        TOUCH(out, step->count, WRITE);
        return;
    case STEP_SCATTER:
        expect(r, !r->by_sample && step->n_refs == step->count, "once rows are copied once a batch, each");
        TOUCH(g, step->count, READ);
        touch_refs(r, name, step, 0, ADD);
        return;
    case STEP_DRAW:
        expect(r, r->by_sample && (step->count == 1 || (step->count == 2 && step->draw % 2 == 0)),
               "draws are drawn for samples, one or two of a counter");
        expect(r, (uint64_t)step->draw + step->count <= r->graph->n_draws, "draws are those that there are");
        TOUCH(out, step->count, WRITE);
        return;
    case STEP_NUMBER:
    case STEP_ZERO: TOUCH(out, step->count, WRITE); return;
    }
    expect(r, 0, "a step is of a kind that there is");
}

/* Each returns whether its part is sound; *at: where it is not. */

static int replay(Replay *r, const StepList *names, const StepList *list, int by_sample, uint32_t *at) {
    r->by_sample = by_sample;
    for (uint32_t k = 0; k < list->size && !r->rule; k++) {
        *at = k;
        r->now++;
        replay_step(r, &names->items[k], &list->items[k]);
    }
    return !r->rule;
}

static int fill_parameters(Replay *r, uint32_t *at) {
    r->by_sample = 0;
    for (uint32_t k = 0; k < r->graph->n_parameters && !r->rule; k++) {
        *at = k;
        if (r->plan->parameter_row[k] != NONE) touch_row(r, 0, r->plan->parameter_row[k], WRITE);
    }
    return !r->rule;
}

static int fill_numbers(Replay *r, uint32_t *at) {
    for (uint32_t k = 0; k < r->plan->n_constants && !r->rule; k++) {
        *at = k;
        touch_row(r, 0, r->plan->constant_rows[k], WRITE);
    }
    return !r->rule;
}

static int fill_columns(Replay *r, const Plan *names, uint32_t *at) {
    const Plan *plan = r->plan;
    r->by_sample = 1;
    r->now++;
    for (uint32_t k = 0; k < plan->n_columns && !r->rule; k++) {
        *at = k;
        expect(r, plan->columns[k] < r->graph->n_inputs, "columns are those that there are");
        touch_row(r, names->column_rows[k], plan->column_rows[k], WRITE);
    }
    return !r->rule;
}

static int read_roots(Replay *r, const Plan *names, int gradients, uint32_t *at) {
    const Plan *plan = r->plan;
    r->now++;
    for (uint32_t k = 0; k < r->plan->n_roots && !r->rule; k++) {
        *at = k;
        touch(r, names->roots[k], plan->roots[k], 1, READ);
    }
    r->now++;
    if (!gradients || r->rule) return !r->rule;
    *at = 0;
    if (plan->roots[0].space == IN_ROWS) touch_row(r, names->root_adjoint, plan->root_adjoint, WRITE);
    else touch_once(r, plan->root_adjoint, ADD);
    return !r->rule;
}

static int replay_once_backward(Replay *r, const Plan *names, uint32_t *at) {
    const StepList *list = &r->plan->once_backward;
    memset(r->once + r->plan->n_once, 1, r->plan->n_once); /* adjoints start at 0 */
    for (uint32_t k = 0; k < list->size && !r->rule; k++) {
        *at = k;
        expect(r, list->items[k].count <= r->plan->most_members, "a step on once rows has room for its members");
    }
    return !r->rule && replay(r, &names->once_backward, list, 0, at);
}

/* What is broken, and *at: where in it; or NULL. */
static const char *broken_part(Replay *r, const Plan *names, int gradients, uint32_t *at) {
    const Plan *plan = r->plan;
    if (!fill_parameters(r, at)) return "parameter";
    if (!fill_numbers(r, at)) return "number";
    if (!replay(r, &names->once, &plan->once, 0, at)) return "step once a batch";
    if (!fill_columns(r, names, at)) return "column";
    if (!replay(r, &names->forward, &plan->forward, 1, at)) return "step for every sample";
    if (!read_roots(r, names, gradients, at)) return "root";
    if (!gradients) return NULL;
    if (!replay(r, &names->backward, &plan->backward, 1, at)) return "step backward, for every sample";
    if (!replay_once_backward(r, names, at)) return "step backward, once a batch";
    return NULL;
}

/* -- what the rows were called -------------------------------------------------------------------- */

static StepList copy_steps(Arena *arena, const StepList *list) {
    StepList copy = {ARENA_ARRAY(arena, Step, list->size), list->size};
    for (uint32_t k = 0; k < list->size; k++) {
        Step *step = &copy.items[k];
        *step = list->items[k];
        step->refs = ARENA_ARRAY(arena, Ref, step->n_refs);
        step->runs = ARENA_ARRAY(arena, Run, step->n_runs);
        if (step->n_refs) memcpy(step->refs, list->items[k].refs, step->n_refs * sizeof(Ref));
        if (step->n_runs) memcpy(step->runs, list->items[k].runs, step->n_runs * sizeof(Run));
    }
    return copy;
}

static void *copy_array(Arena *arena, const void *items, size_t count, size_t size) {
    void *copy = arena_alloc(arena, count, size);
    if (count) memcpy(copy, items, count * size);
    return copy;
}

Plan *verify_copy(const Graph *graph, const Plan *plan, uint32_t root_adjoint) {
    Arena *scratch = graph->scratch;
    if (!verifying) return NULL;
    Plan *copy = ARENA_ARRAY(scratch, Plan, 1);
    *copy = *plan;
    copy->once = copy_steps(scratch, &plan->once);
    copy->forward = copy_steps(scratch, &plan->forward);
    copy->backward = copy_steps(scratch, &plan->backward);
    copy->once_backward = copy_steps(scratch, &plan->once_backward);
    copy->column_rows = copy_array(scratch, plan->column_rows, plan->n_columns, sizeof(uint32_t));
    copy->roots = copy_array(scratch, plan->roots, plan->n_roots, sizeof(Ref));
    copy->root_adjoint = root_adjoint;
    return copy;
}

int verify_plan(Graph *graph, const Plan *copy, const Plan *plan, int gradients) {
    Arena *scratch = graph->scratch;
    if (!verifying) return 0;
    size_t n_once = 2 * (size_t)plan->n_once;
    Replay r = {.now = 1,
                .graph = graph,
                .plan = plan,
                .holds = ARENA_ARRAY(scratch, uint32_t, plan->n_rows),
                .once = ARENA_ARRAY(scratch, uint8_t, n_once),
                .read_at = ARENA_ARRAY(scratch, uint32_t, n_once + plan->n_rows)};
    uint32_t at = 0;
    const char *part = broken_part(&r, copy, gradients, &at);
    if (!part) return 0;
    graph->fault = (Fault){"planning", r.rule, part, at};
    return -1;
}
