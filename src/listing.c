/* SPDX-License-Identifier: MIT
 *
 * A program as text, for people: what is computed once a batch, what for every sample, and the way back.
 */
#include "program.h"

#include <stdarg.h>
#include <stdio.h>

typedef struct {
    char *text;
    size_t size, capacity;
    int failed;
} Text;

static void put(Text *to, const char *format, ...) {
    char line[256];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (length < 0 || to->failed) return;
    if ((size_t)length >= sizeof line) length = sizeof line - 1;
    if (to->size + (size_t)length + 1 > to->capacity) {
        size_t capacity = 2 * to->capacity + 1024;
        char *text = realloc(to->text, capacity);
        if (!text) {
            to->failed = 1;
            return;
        }
        to->text = text;
        to->capacity = capacity;
    }
    memcpy(to->text + to->size, line, (size_t)length + 1);
    to->size += (size_t)length;
}

/* Once rows are p0, p1, ...; rows of a block r0, r1, ...; in steps on once rows, all are p. */
static void put_ref(Text *to, Ref ref, uint32_t count, int once, uint32_t n_once) {
    char letter = once || ref.space == IN_ONCE ? 'p' : 'r';
    const char *adjoint = once && ref.at >= n_once ? "'" : "";
    uint32_t at = once && ref.at >= n_once ? ref.at - n_once : ref.at;
    if (ref.space == NOWHERE) put(to, "-");
    else if (ref.stride && count > 1) put(to, "%s%c%u..%u", adjoint, letter, at, at + count - 1);
    else put(to, "%s%c%u", adjoint, letter, at);
}

static void put_refs(Text *to, const Step *step, int once, uint32_t n_once) {
    /* Consecutive rows are named by the first and the last. */
    for (uint32_t k = 0; k < step->n_refs;) {
        uint32_t n = 1;
        while (k + n < step->n_refs && step->refs[k + n].space == step->refs[k].space &&
               step->refs[k + n].at == step->refs[k].at + n)
            n++;
        Ref ref = step->refs[k];
        ref.stride = 1;
        put(to, k ? ", " : "");
        put_ref(to, ref, n, once, n_once);
        k += n;
    }
}

static void put_step(Text *to, const Step *step, int once, uint32_t n_once) {
    const char *sign = step->add ? "+=" : "=";
    const char *name = step->op < OP_COUNT ? op_info[step->op].name : "";
#define REF(ref) put_ref(to, step->ref, step->count, once, n_once)
    put(to, "    ");
    switch ((StepKind)step->kind) {
    case STEP_MAP:
        REF(out), put(to, " = %s(", name), REF(x);
        if (step->y.space != NOWHERE) put(to, ", "), REF(y);
        if (step->w.space != NOWHERE) put(to, ", "), REF(w);
        if (op_info[step->op].shape == SCALED) put(to, ", %g", step->number);
        put(to, ")");
        break;
    case STEP_LINEAR:
        REF(out), put(to, " = sum(");
        for (uint32_t k = 0; k < step->n_runs; k++) {
            const Run *run = &step->runs[k];
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
        if (step->out.space == IN_ONCE) put(to, "'");
        REF(out), put(to, " %s gain of %s's %s operand(", step->out.space == IN_ONCE ? "+=" : sign, name,
                      step->which == 0 ? "first" : step->which == 1 ? "second" : "third");
        REF(g), put(to, "; "), REF(x), put(to, ", "), REF(y), put(to, ", ");
        if (step->w.space != NOWHERE) REF(w), put(to, ", ");
        REF(z), put(to, ")");
        break;
    case STEP_TAKE: REF(out), put(to, " = take("), put_refs(to, step, once, n_once), put(to, ")"); break;
    case STEP_TAKE_GAIN: put(to, "the taken += "), REF(g); break;
    case STEP_GATHER: REF(out), put(to, " = ("), put_refs(to, step, once, n_once), put(to, ")"); break;
    case STEP_SCATTER: put(to, "("), put_refs(to, step, once, n_once), put(to, ") += "), REF(g); break;
    case STEP_NUMBER: REF(out), put(to, " = %g", step->number); break;
    case STEP_ZERO: REF(out), put(to, " = 0"); break;
    }
    put(to, "\n");
#undef REF
}

static void put_steps(Text *to, const char *title, const StepList *list, int once, uint32_t n_once) {
    if (!list->size) return;
    put(to, "  %s\n", title);
    for (uint32_t k = 0; k < list->size; k++) put_step(to, &list->items[k], once, n_once);
}

char *program_listing(const Program *program) {
    const Plan *plan = &program->plan;
    Text text = {0};
    put(&text, "  %u numbers once a batch (p), %u rows of lanes (r); 'p: an adjoint\n", plan->n_once,
        plan->n_rows);
    for (uint32_t k = 0; k < plan->n_constants; k++)
        put(&text, "    p%u = %.17g\n", plan->constant_rows[k], plan->constants[k]);
    put_steps(&text, "once a batch", &plan->once, 1, plan->n_once);
    if (plan->n_columns) put(&text, "  for every sample\n");
    for (uint32_t k = 0; k < plan->n_columns; k++)
        put(&text, "    r%u = input %u\n", plan->column_rows[k], plan->columns[k]);
    for (uint32_t k = 0; k < plan->forward.size; k++) put_step(&text, &plan->forward.items[k], 0, plan->n_once);
    put_steps(&text, "backward, for every sample", &plan->backward, 0, plan->n_once);
    put_steps(&text, "backward, once a batch", &plan->once_backward, 1, plan->n_once);
    if (text.failed) {
        free(text.text);
        return NULL;
    }
    return text.text;
}
