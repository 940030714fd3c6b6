/* SPDX-License-Identifier: MIT
 *
 * A program as text, for people: what is computed once a batch, what for every sample, and the way back.
 *
 * A part of up to FULL lines is shown as it is. In a longer one, steps that are repeated on other rows
 * are shown once, and of what is longer still the first and the last lines, with a count of the rest.
 */
#include "listing.h"

/* -- parts that are long --------------------------------------------------------------------------- */

enum {
    FULL = 60,       /* lines of a part that is shown as it is */
    FIRST = 30,      /* of a longer one's lines, how many are shown at its beginning and end */
    LAST = 6,
    MOST_PERIOD = 8, /* steps that are repeated together */
    LEAST_FOLDED = 4 /* steps that are worth a fold */
};

/* Steps that are done `times` times, on other rows each time. */
typedef struct {
    uint32_t first, period, times;
} Fold;

static int same_place(Ref a, Ref b) { return a.space == b.space && a.stride == b.stride; }

/* Whether the steps differ in nothing but their rows and numbers. */
static int same_shape(const Step *a, const Step *b) {
    if (a->kind != b->kind || a->op != b->op || a->which != b->which || a->add != b->add || a->count != b->count ||
        a->n_refs != b->n_refs || a->n_runs != b->n_runs || memcmp(a->kinds, b->kinds, sizeof a->kinds) != 0)
        return 0;
    if (!same_place(a->out, b->out) || !same_place(a->g, b->g) || !same_place(a->x, b->x) || !same_place(a->y, b->y) ||
        !same_place(a->w, b->w) || !same_place(a->z, b->z))
        return 0;
    for (uint32_t k = 0; k < a->n_runs; k++)
        if (a->runs[k].count != b->runs[k].count || !same_place(a->runs[k].a, b->runs[k].a) ||
            !same_place(a->runs[k].b, b->runs[k].b))
            return 0;
    for (uint32_t k = 0; k < a->n_refs; k++)
        if (!same_place(a->refs[k], b->refs[k])) return 0;
    return 1;
}

/* What stands from step `first` on: the repetition that covers most, or the step by itself. */
static Fold fold_from(const StepList *list, uint32_t first) {
    Fold best = {first, 1, 1};
    for (uint32_t period = 1; period <= MOST_PERIOD; period++) {
        uint32_t end = first + period;
        while (end < list->size && same_shape(&list->items[end - period], &list->items[end])) end++;
        uint32_t times = (end - first) / period;
        if (times > 1 && times * period >= LEAST_FOLDED && times * period > best.times * best.period)
            best = (Fold){first, period, times};
    }
    return best;
}

static void put_line(Text *to, const char *indent, const StepList *list, uint32_t step, int once, uint32_t n_once) {
    put(to, "%s", indent);
    put_step(to, &list->items[step], once, n_once);
    put(to, "\n");
}

static void put_fold(Text *to, const StepList *list, const Fold *fold, int once, uint32_t n_once) {
    if (fold->times == 1) {
        put_line(to, "    ", list, fold->first, once, n_once);
    } else if (fold->period == 1) {
        put(to, "    %u times: ", fold->times);
        put_step(to, &list->items[fold->first], once, n_once);
        put(to, " to ");
        put_line(to, "", list, fold->first + fold->times - 1, once, n_once);
    } else {
        put(to, "    %u times, on other rows each time:\n", fold->times);
        for (uint32_t k = 0; k < fold->period; k++) put_line(to, "      ", list, fold->first + k, once, n_once);
    }
}

static uint32_t lines_of(const Fold *fold) { return fold->period == 1 ? 1 : fold->period + 1; }

static const char *name_of(StepKind kind) {
    switch (kind) {
    case STEP_MAP: return "";
    case STEP_CHAIN: return "chain of ";
    case STEP_LINEAR: return "sum";
    case STEP_MATVEC: return "matrix";
    case STEP_TAKE: return "take";
    case STEP_GATHER: return "copy";
    case STEP_NUMBER: return "number";
    case STEP_DRAW: return "draw";
    case STEP_ZERO: return "zero";
    case STEP_GAIN: return "gain of ";
    case STEP_CHAIN_GAIN: return "gain of chain of ";
    case STEP_MATVEC_X: return "transposed matrix";
    case STEP_MATVEC_W: return "outer product";
    case STEP_TAKE_GAIN: return "gain of take";
    case STEP_SCATTER: return "scatter";
    }
    return "";
}

/* How many steps of which operation stand from `first` up to `end`. */
static void put_counts(Text *to, const StepList *list, uint32_t first, uint32_t end) {
    uint32_t counts[STEP_SCATTER + 1][OP_COUNT] = {{0}};
    put(to, "    ... %u steps more:", end - first);
    for (uint32_t k = first; k < end; k++) {
        const Step *step = &list->items[k];
        int has_op = step->kind == STEP_MAP || step->kind == STEP_CHAIN || step->kind == STEP_GAIN ||
                     step->kind == STEP_CHAIN_GAIN;
        counts[step->kind][has_op ? step->op : 0]++;
    }
    const char *comma = "";
    for (uint32_t kind = 0; kind <= STEP_SCATTER; kind++)
        for (uint32_t op = 0; op < OP_COUNT; op++) {
            if (!counts[kind][op]) continue;
            put(to, "%s %u %s%s", comma, counts[kind][op], name_of((StepKind)kind), op ? op_info[op].name : "");
            comma = ",";
        }
    put(to, "\n");
}

/* The list as folds; *lines: how many lines they take. */
static uint32_t fold_steps(const StepList *list, Fold *folds, uint32_t *lines) {
    uint32_t size = 0;
    *lines = 0;
    for (uint32_t k = 0; k < list->size; k += folds[size].period * folds[size].times, size++) {
        folds[size] = fold_from(list, k);
        *lines += lines_of(&folds[size]);
    }
    return size;
}

static void put_folds(Text *to, const StepList *list, const Fold *folds, uint32_t size, int once, uint32_t n_once) {
    for (uint32_t k = 0; k < size; k++) put_fold(to, list, &folds[k], once, n_once);
}

static void put_steps(Text *to, const StepList *list, int once, uint32_t n_once) {
    if (list->size <= FULL) {
        for (uint32_t k = 0; k < list->size; k++) put_line(to, "    ", list, k, once, n_once);
        return;
    }
    Fold *folds = malloc(list->size * sizeof *folds);
    if (!folds) {
        to->failed = 1;
        return;
    }
    uint32_t lines, size = fold_steps(list, folds, &lines);
    if (lines <= FULL) {
        put_folds(to, list, folds, size, once, n_once);
    } else {
        uint32_t first = 0, last = size, shown = 0;
        while (shown < FIRST) shown += lines_of(&folds[first++]);
        for (shown = 0; shown < LAST;) shown += lines_of(&folds[--last]);
        put_folds(to, list, folds, first, once, n_once);
        put_counts(to, list, folds[first].first, folds[last].first);
        put_folds(to, list, folds + last, size - last, once, n_once);
    }
    free(folds);
}

static void put_part(Text *to, const char *title, const StepList *list, int once, uint32_t n_once) {
    if (!list->size) return;
    put(to, "  %s\n", title);
    put_steps(to, list, once, n_once);
}

static void put_numbers(Text *to, const Plan *plan) {
    uint32_t shown = plan->n_constants > FULL ? FIRST : plan->n_constants;
    for (uint32_t k = 0; k < shown; k++) put(to, "    p%u = %.17g\n", plan->constant_rows[k], plan->constants[k]);
    if (shown < plan->n_constants) put(to, "    ... %u numbers more\n", plan->n_constants - shown);
}

/* Many columns: those that follow each other in neighbouring rows are one line. */
static void put_inputs(Text *to, const Plan *plan) {
    for (uint32_t k = 0, n; k < plan->n_columns; k += n) {
        uint32_t row = plan->column_rows[k], column = plan->columns[k];
        n = 1;
        while (plan->n_columns > FULL && k + n < plan->n_columns && plan->column_rows[k + n] == row + n &&
               plan->columns[k + n] == column + n)
            n++;
        if (n > 1) put(to, "    r%u..%u = input %u..%u\n", row, row + n - 1, column, column + n - 1);
        else put(to, "    r%u = input %u\n", row, column);
    }
}

char *vector_listing(const Program *program) {
    const Plan *plan = &((const VectorProgram *)program)->plan;
    Text text = {0};
    put(&text, "  %u numbers once a batch (p), %u rows of lanes (r); 'p: an adjoint\n", plan->n_once, plan->n_rows);
    put_numbers(&text, plan);
    put_part(&text, "once a batch", &plan->once, 1, plan->n_once);
    if (plan->n_columns) put(&text, "  for every sample\n");
    put_inputs(&text, plan);
    put_steps(&text, &plan->forward, 0, plan->n_once);
    put_part(&text, "backward, for every sample", &plan->backward, 0, plan->n_once);
    put_part(&text, "backward, once a batch", &plan->once_backward, 1, plan->n_once);
    return finished(&text);
}
