/* SPDX-License-Identifier: MIT
 *
 * A step as text: what it sets, and of what.
 */
#include "listing.h"

/* Once rows are p0, p1, ...; rows of a block r0, r1, ...; in steps on once rows, all are p. */
static void put_ref(Text *to, Ref ref, uint32_t count, int once, uint32_t n_once) {
    char letter = once || ref.space == IN_ONCE ? 'p' : 'r';
    const char *adjoint = once && ref.at >= n_once ? "'" : "";
    uint32_t at = once && ref.at >= n_once ? ref.at - n_once : ref.at;
    if (ref.space == NOWHERE) put(to, "-");
    else if (ref.stride && count > 1) put(to, "%s%c%u..%u", adjoint, letter, at, at + count - 1);
    else put(to, "%s%c%u", adjoint, letter, at);
}

/* Of a list that is longer, the first and the last are shown. */
enum { LONGEST_LIST = 16, FIRST_ITEMS = 6, LEAST_EQUAL = 4 };

/* Whether item k of `count` is shown; where the gap is, says how long it is. */
static int is_shown(Text *to, uint32_t k, uint32_t count) {
    if (count <= LONGEST_LIST || k < FIRST_ITEMS || k == count - 1) return 1;
    if (k == FIRST_ITEMS) put(to, ", ... %u more", count - FIRST_ITEMS - 1);
    return 0;
}

/* How many rows from refs[k] on follow each other, by `step`: 1, 0 or -1. */
static uint32_t length_of_run(const Step *step, uint32_t k, int64_t by) {
    uint32_t n = 1;
    while (k + n < step->n_refs && step->refs[k + n].space == step->refs[k].space &&
           (int64_t)step->refs[k + n].at == (int64_t)step->refs[k].at + by * n)
        n++;
    return n;
}

/* What is shown as one item: rows that go up, or many that go down or are the same. */
static uint32_t next_item(const Step *step, uint32_t k, int64_t *by) {
    static const int64_t ways[] = {1, 0, -1};
    for (int way = 0; way < 3; way++) {
        uint32_t n = length_of_run(step, k, ways[way]);
        *by = ways[way];
        if (n >= (way ? LEAST_EQUAL : 2)) return n;
    }
    return 1;
}

static void put_refs(Text *to, const Step *step, int once, uint32_t n_once) {
    uint32_t count = 0, item = 0, n;
    int64_t by;
    for (uint32_t k = 0; k < step->n_refs; k += n, count++) n = next_item(step, k, &by);
    for (uint32_t k = 0; k < step->n_refs; k += n, item++) {
        n = next_item(step, k, &by);
        if (!is_shown(to, item, count)) continue;
        Ref ref = step->refs[k];
        ref.stride = by == 1;
        put(to, item ? ", " : "");
        put_ref(to, ref, n, once, n_once);
        if (n > 1 && by == 0) put(to, " %u times", n);
        if (n > 1 && by == -1) put(to, " down to "), put_ref(to, step->refs[k + n - 1], 1, once, n_once);
    }
}

void put_step(Text *to, const Step *step, int once, uint32_t n_once) {
    const char *sign = step->add ? "+=" : "=";
    const char *name = step->op < OP_COUNT ? op_info[step->op].name : "";
#define REF(ref) put_ref(to, step->ref, step->count, once, n_once)
    switch ((StepKind)step->kind) {
    case STEP_MAP:
    case STEP_CHAIN:
        REF(out), put(to, step->kind == STEP_CHAIN ? " = chain of %s(" : " = %s(", name), REF(x);
        if (step->y.space != NOWHERE) put(to, ", "), REF(y);
        if (step->w.space != NOWHERE) put(to, ", "), REF(w);
        if (op_info[step->op].shape == SCALED) put(to, ", %g", step->number);
        put(to, ")");
        break;
    case STEP_LINEAR:
        REF(out), put(to, " = sum(");
        for (uint32_t k = 0; k < step->n_runs; k++) {
            const Run *run = &step->runs[k];
            if (!is_shown(to, k, step->n_runs)) continue;
            put(to, k ? ", " : "");
            put_ref(to, run->a, run->count, once, n_once);
            if (run->b.space != NOWHERE) put(to, " * "), put_ref(to, run->b, run->count, once, n_once);
        }
        put(to, ")");
        break;
    case STEP_MATVEC:
        REF(out), put(to, " = matrix %ux%u at p%u * (", step->count, step->n_refs, step->x.at);
        put_refs(to, step, once, n_once), put(to, ")");
        if (step->y.space != NOWHERE) put(to, " + "), REF(y);
        break;
    case STEP_MATVEC_X:
        put(to, "("), put_refs(to, step, once, n_once);
        put(to, ") %s transposed matrix at p%u * ", sign, step->x.at), REF(g);
        break;
    case STEP_MATVEC_W:
        put(to, "'matrix at p%u += ", step->x.at), REF(g), put(to, " outer (");
        put_refs(to, step, once, n_once), put(to, ")");
        if (step->y.space != NOWHERE) put(to, ", '"), REF(y), put(to, " += "), REF(g);
        break;
    case STEP_GAIN:
    case STEP_CHAIN_GAIN:
        if (step->out.space == IN_ONCE) put(to, "'");
        REF(out), put(to, " %s gain of %s%s's %s operand(", step->out.space == IN_ONCE ? "+=" : sign,
                      step->kind == STEP_CHAIN_GAIN ? "chain of " : "", name,
                      step->which == 0   ? "first"
                      : step->which == 1 ? "second"
                                         : "third");
        REF(g), put(to, "; "), REF(x), put(to, ", "), REF(y), put(to, ", ");
        if (step->w.space != NOWHERE) REF(w), put(to, ", ");
        REF(z), put(to, ")");
        break;
    case STEP_TAKE: REF(out), put(to, " = take("), put_refs(to, step, once, n_once), put(to, ")"); break;
    case STEP_TAKE_GAIN: put(to, "the taken += "), REF(g); break;
    case STEP_GATHER: REF(out), put(to, " = ("), put_refs(to, step, once, n_once), put(to, ")"); break;
    case STEP_SCATTER: put(to, "("), put_refs(to, step, once, n_once), put(to, ") += "), REF(g); break;
    case STEP_NUMBER: REF(out), put(to, " = %g", step->number); break;
    case STEP_DRAW:
        REF(out), put(to, " = draw %u, %s", step->draw, draw_kinds[step->kinds[0]]);
        if (step->count == 2) put(to, ", and %u, %s", step->draw + 1, draw_kinds[step->kinds[1]]);
        break;
    case STEP_ZERO: REF(out), put(to, " = 0"); break;
    }
#undef REF
}
