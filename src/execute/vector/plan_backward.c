/* SPDX-License-Identifier: MIT
 *
 * Backward steps: the chain rule of each group, as gains of its operands' adjoints.
 */
#include "planner.h"

/* -- backward steps ---------------------------------------------------------------------------------- */

static void zero_row(Planner *p, uint32_t adjoint) {
    Step *step = new_step(p, STEP_ZERO, 1);
    step->out = (Ref){adjoint, IN_ROWS, 1};
    p->reached[adjoint - p->n_values] = 1;
}

/* Whether a contribution to these adjoint rows of a block is added; if so, all of them have a value. */
static int prepare_rows(Planner *p, Ref out, uint32_t count) {
    uint32_t first = out.at - p->n_values, n = out.stride ? count : 1, reached = 0;
    for (uint32_t k = 0; k < n; k++) reached += p->reached[first + k];
    int assigned = reached == 0 && (out.stride || count == 1);
    for (uint32_t k = 0; k < n; k++) {
        if (assigned) p->reached[first + k] = 1;
        else if (!p->reached[first + k]) zero_row(p, out.at + k);
    }
    return !assigned;
}

static int any_needs(const Planner *p, uint32_t node, uint32_t count, int stride) {
    /* Members of a run stand in consecutive rows: of one group, linked, or leaves. */
    if (!stride) count = 1;
    for (uint32_t k = 0; k < count; k++) {
        if (p->needs[node]) return 1;
        if (k + 1 < count) node = p->next[node];
        if (node == NONE) break;
    }
    return 0;
}

/* A step that adds to the adjoints of an operand, in whichever space it stands. */
static Step *new_gain(Planner *p, StepKind kind, Ref out, uint32_t count, Stage stage) {
    int add = 1;
    if (stage == SAMPLE && out.space == IN_ROWS) add = prepare_rows(p, out, count);
    Step *step = new_step(p, kind, count);
    step->out = out;
    step->add = (uint8_t)add;
    return step;
}

static void plan_map_gains(Planner *p, const Group *group, Stage stage) {
    const Node *node = &p->graph->nodes[group->first];
    const uint32_t operands[] = {node->a, node->b, node->c};
    const int strides[] = {group->stride_a, group->stride_b, 0};
    uint32_t arity = op_arity(node->op);
    for (uint32_t which = 0; which < arity; which++) {
        if (cell_stops((Op)node->op, (int)which)) continue;
        if (!any_needs(p, operands[which], group->count, strides[which])) continue;
        unsigned reads = cell_reads((Op)node->op, (int)which);
        Ref out = adjoint_ref(p, operands[which], stage, strides[which]);
        Step *step = new_gain(p, STEP_GAIN, out, group->count, stage);
        step->op = node->op;
        step->which = (uint8_t)which;
        step->number = node->number;
        step->g = adjoint_ref(p, group->first, stage, 1);
        if (READS(reads, X)) step->x = value_ref(p, node->a, stage, group->stride_a);
        if (READS(reads, Y) && arity > 1) step->y = value_ref(p, node->b, stage, group->stride_b);
        if (READS(reads, W)) step->w = value_ref(p, node->c, stage, 0);
        if (READS(reads, Z)) step->z = value_ref(p, group->first, stage, 1);
        Ref refs[] = {step->out, step->g, step->x, step->y, step->w, step->z};
        step->flat = (uint8_t)(is_flat(group->count, refs, 6) &&
                               !(step->out.space == IN_ONCE && step->out.stride));
    }
}

static Ref to_adjoint(const Planner *p, Ref value, Stage stage) {
    if (value.space == IN_ROWS) value.at += stage == SAMPLE ? p->n_values : p->plan->n_once;
    return value;
}

/* Rows of values that lead to a parameter, for runs, which know places only. */
static int run_needs(const uint8_t *needed, Ref ref, uint32_t count) {
    if (ref.space == NOWHERE) return 0;
    for (uint32_t k = 0; k < (ref.stride ? count : 1); k++)
        if (needed[ref.at + k]) return 1;
    return 0;
}

typedef struct {
    uint8_t *rows, *once; /* needed[], by row */
} Needed;

static void plan_linear_gains(Planner *p, const Group *group, Stage stage, const Step *forward,
                              const Needed *needed) {
    Ref g = adjoint_ref(p, group->first, stage, 0);
    for (uint32_t r = 0; r < forward->n_runs; r++) {
        const Run *run = &forward->runs[r];
        const Ref sides[2] = {run->a, run->b};
        int is_square = run->a.space == IN_ROWS && run->b.space == IN_ROWS && run->a.at == run->b.at &&
                        run->a.stride == run->b.stride;
        for (int side = 0; side < (is_square ? 1 : 2); side++) {
            Ref to = sides[side], other = sides[!side];
            const uint8_t *by_row = to.space == IN_ONCE || stage != SAMPLE ? needed->once : needed->rows;
            if (!run_needs(by_row, to, run->count)) continue;
            Step *step = new_gain(p, STEP_GAIN, to_adjoint(p, to, stage), run->count, stage);
            step->op = run->b.space == NOWHERE ? OP_add : OP_mul;
            step->g = g;
            if (step->op == OP_mul) step->y = other; /* the gain of x is g * y */
            if (is_square) { /* both factors' gains at once */
                step->op = OP_pow_number;
                step->number = 2.0;
                step->x = to;
                step->y = (Ref){0};
            }
            Ref refs[] = {step->out, step->g, step->x, step->y};
            step->flat = (uint8_t)(is_flat(run->count, refs, 4) && run->count == 1);
        }
    }
}

static void plan_custom_gains(Planner *p, const Group *group, Stage stage) {
    const Node *node = &p->graph->nodes[group->first];
    const uint32_t *args = p->graph->args.items + node->a;
    uint32_t n_operands = node->b / 2;
    for (uint32_t k = 0; k < n_operands; k++) {
        if (!p->needs[args[k]]) continue;
        Step *step = new_gain(p, STEP_GAIN, adjoint_ref(p, args[k], stage, 0), 1, stage);
        step->g = adjoint_ref(p, group->first, stage, 0);
        step->flat = 1;
        step->op = OP_mul; /* its first operand's gain is g * y */
        step->y = value_ref(p, args[n_operands + k], stage, 0);
    }
}

static void plan_take_gains(Planner *p, const Group *group, Stage stage) {
    const Node *node = &p->graph->nodes[group->first];
    const uint32_t *args = p->graph->args.items + node->a;
    int any = 0;
    for (uint32_t k = 1; k < node->b; k++) any |= p->needs[args[k]];
    if (!any) return;
    Ref *refs = ARENA_ARRAY(p->arena, Ref, node->b);
    for (uint32_t k = 1; k < node->b; k++) {
        refs[k] = adjoint_ref(p, args[k], stage, 0);
        if (stage == SAMPLE && refs[k].space == IN_ROWS && !p->reached[refs[k].at - p->n_values])
            zero_row(p, refs[k].at);
    }
    Step *step = new_step(p, STEP_TAKE_GAIN, 1);
    step->x = value_ref(p, args[0], stage, 0);
    step->g = adjoint_ref(p, group->first, stage, 0);
    step->refs = refs;
    step->n_refs = node->b;
}

/* Of the rows from `from` to `end` of a matrix product, all of which need their adjoints. */
static void plan_rows_gains(Planner *p, const Group *group, const Step *forward, uint32_t from, uint32_t end) {
    Graph *graph = p->graph;
    Product product = product_of(graph, graph->nodes[group->first].a);
    const uint32_t *inputs = product.inputs;
    Ref g = {p->n_values + group->row + from, IN_ROWS, 1};
    Ref weights = {forward->x.at + from * product.n_in, IN_ONCE, 1};
    uint32_t *columns = ARENA_ARRAY(p->arena, uint32_t, product.n_in), n = 0, reached = 0;
    Ref *refs = ARENA_ARRAY(p->arena, Ref, product.n_in);
    for (uint32_t k = 0; k < product.n_in; k++) {
        if (!p->needs[inputs[k]]) continue;
        refs[n] = adjoint_ref(p, inputs[k], SAMPLE, 0);
        reached += p->reached[refs[n].at - p->n_values];
        columns[n++] = k;
    }
    for (uint32_t k = 0; k < n; k++) {
        if (reached && !p->reached[refs[k].at - p->n_values]) zero_row(p, refs[k].at);
        p->reached[refs[k].at - p->n_values] = 1;
    }
    /* Weights first: their adjoints read the inputs, whose rows the next step may be the last to need. */
    Step *step = new_step(p, STEP_MATVEC_W, end - from);
    step->g = g;
    step->x = weights;
    if (forward->y.space == IN_ONCE) step->y = (Ref){forward->y.at + from, IN_ONCE, 1};
    step->refs = forward->refs;
    step->n_refs = forward->n_refs;
    if (n) {
        step = new_step(p, STEP_MATVEC_X, end - from);
        step->g = g;
        step->x = weights;
        step->refs = refs;
        step->n_refs = n;
        step->columns = columns;
        step->number = product.n_in;
        step->add = reached > 0;
    }
}

static void plan_matvec_gains(Planner *p, const Group *group, const Step *forward) {
    uint32_t node = group->first, from = 0;
    for (uint32_t k = 0; k <= group->count; k++) { /* a stretch ends at a row that needs nothing, or at the end */
        int more = k < group->count && p->needs[node];
        if (!more && from < k) plan_rows_gains(p, group, forward, from, k);
        if (!more) from = k + 1;
        if (k < group->count) node = p->next[node];
    }
}

/* The group's adjoints have a value, of a block's rows those that are needed. */
static void complete_adjoints(Planner *p, const Group *group) {
    for (uint32_t k = 0, i = group->first; k < group->count; k++, i = p->next[i])
        if (p->needs[i] && !p->reached[group->row + k]) zero_row(p, p->n_values + group->row + k);
}

void plan_backward(Planner *p, uint32_t from, Stage stage, const StepList *forward) {
    Needed needed = {ARENA_ARRAY(p->scratch, uint8_t, p->n_values + 1),
                     ARENA_ARRAY(p->scratch, uint8_t, p->n_once + 1)};
    for (uint32_t i = 0; i < p->graph->size; i++)
        if (p->row[i] != NONE && p->needs[i]) (is_sample(p, i) ? needed.rows : needed.once)[p->row[i]] = 1;
    for (uint32_t g = p->groups.size; g-- > from;) {
        const Group *group = &p->groups.items[g];
        const Step *step = &forward->items[g - from];
        if (!any_needs(p, group->first, group->count, 1)) continue;
        if (stage == SAMPLE) complete_adjoints(p, group);
        switch (form_of(&p->graph->nodes[group->first])) {
        case FORM_MAP: plan_map_gains(p, group, stage); break;
        case FORM_LINEAR: plan_linear_gains(p, group, stage, step, &needed); break;
        case FORM_PART: plan_matvec_gains(p, group, step); break;
        case FORM_TAKE: plan_take_gains(p, group, stage); break;
        case FORM_CUSTOM: plan_custom_gains(p, group, stage); break;
        case FORM_CONSTANT:
        case FORM_PARAMETER:
        case FORM_INPUT:
        case FORM_PRODUCT:
        CASES_OF_GRADIENTS
            abort(); /* these are in no group */
        }
    }
}

/* Copies give back what they gain: what they were made of may itself be computed. */
void plan_scatters(Planner *p, const StepList *gathers) {
    for (uint32_t k = gathers->size; k-- > 0;) {
        const Step *gather = &gathers->items[k];
        Step *step = new_step(p, STEP_SCATTER, gather->count);
        step->g = (Ref){gather->out.at + p->plan->n_once, IN_ROWS, 1};
        step->refs = ARENA_ARRAY(p->arena, Ref, gather->n_refs);
        step->n_refs = gather->n_refs;
        for (uint32_t r = 0; r < gather->n_refs; r++) {
            step->refs[r] = gather->refs[r];
            step->refs[r].at += p->plan->n_once;
        }
    }
}
