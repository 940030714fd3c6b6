/* SPDX-License-Identifier: MIT
 *
 * Forward steps: one for each group.
 */
#include "planner.h"

/* -- forward steps ----------------------------------------------------------------------------------- */

/* The terms of a sum as runs; terms are sorted by place first, for longer runs. */
typedef struct {
    Ref a, b;
    uint32_t group_a, group_b; /* rows of other groups may be put elsewhere */
} Term;

static Term new_term(const Planner *p, uint32_t a, uint32_t b, Stage stage) {
    Term term = {.a = value_ref(p, a, stage, 0)};
    term.group_a = stage == SAMPLE ? p->group_of[a] : 0;
    if (b == NONE) return term;
    term.b = value_ref(p, b, stage, 0);
    term.group_b = stage == SAMPLE ? p->group_of[b] : 0;
    if (term.a.space < term.b.space || (term.a.space == term.b.space && term.a.at <= term.b.at)) return term;
    return (Term){term.b, term.a, term.group_b, term.group_a}; /* rows before once rows */
}

static uint64_t place_of(Ref ref) { return ((uint64_t)ref.space << 32) + ref.at; }

static int compare_terms(const void *left, const void *right) {
    const Term *p = left, *q = right;
    if (p->b.space != q->b.space) return p->b.space < q->b.space ? -1 : 1;
    if (place_of(p->a) != place_of(q->a)) return place_of(p->a) < place_of(q->a) ? -1 : 1;
    return place_of(p->b) < place_of(q->b) ? -1 : place_of(p->b) > place_of(q->b);
}

static int follows(Ref next, Ref first, uint32_t count, uint32_t stride) {
    return next.space == first.space && (next.space == NOWHERE || next.at == first.at + count * stride);
}

/* Whether term k is the count-th of a run that begins with `first`. */
static int continues(const Term *next, const Term *first, uint32_t count, uint32_t stride_a, uint32_t stride_b) {
    return next->group_a == first->group_a && next->group_b == first->group_b &&
           follows(next->a, first->a, count, stride_a) && follows(next->b, first->b, count, stride_b);
}

static void make_runs(Planner *p, Step *step, const Node *node, Stage stage) {
    const uint32_t *args = p->graph->args.items + node->a;
    uint32_t n_terms = node->c + (node->b - 2 * node->c);
    Term *terms = ARENA_ARRAY(p->scratch, Term, n_terms + 1);
    int sorted = 1;
    for (uint32_t k = 0; k < n_terms; k++) {
        terms[k] = k < node->c ? new_term(p, args[2 * k], args[2 * k + 1], stage)
                               : new_term(p, args[node->c + k], NONE, stage);
        if (k && compare_terms(&terms[k - 1], &terms[k]) > 0) sorted = 0;
    }
    if (!sorted) qsort(terms, n_terms, sizeof *terms, compare_terms);
    step->runs = ARENA_ARRAY(p->arena, Run, n_terms);
    for (uint32_t k = 0; k < n_terms;) {
        Run *run = &step->runs[step->n_runs++];
        *run = (Run){terms[k].a, terms[k].b, 1};
        if (k + 1 < n_terms)
            for (int way = 0; way < 3; way++) {
                uint32_t sa = way != 1, sb = way != 2;
                if (!continues(&terms[k + 1], &terms[k], 1, sa, sb)) continue;
                uint32_t n = 2;
                while (k + n < n_terms && continues(&terms[k + n], &terms[k], n, sa, sb)) n++;
                run->a.stride = (uint8_t)sa;
                run->b.stride = (uint8_t)(sb && run->b.space != NOWHERE);
                run->count = n;
                break;
            }
        k += run->count;
    }
}

/* Kernels take the operands of these steps as lanes: a number of the batch there would have them read
 * what stands behind it. So this is looked at even where nobody verifies. */
static void expect_sample(Planner *p, uint32_t node, int has_sample) {
    if (has_sample || p->graph->fault.rule) return;
    p->graph->fault = (Fault){"planning", "what is computed for every sample has an operand that changes with it",
                              "node", node};
}

static void plan_matvec(Planner *p, const Group *group) {
    Product product = product_of(p->graph, p->graph->nodes[group->first].a);
    Step *step = new_step(p, STEP_MATVEC, product.n_out);
    step->out = (Ref){group->row, IN_ROWS, 1};
    step->refs = refs_of(p, product.inputs, product.n_in, SAMPLE);
    step->n_refs = product.n_in;
    for (uint32_t k = 0; k < step->n_refs; k++) expect_sample(p, group->first, step->refs[k].space == IN_ROWS);
    p->plan->work += (double)product.n_in * product.n_out;
}

static void plan_map(Planner *p, const Group *group, Stage stage) {
    const Node *node = &p->graph->nodes[group->first];
    Step *step = new_step(p, group->is_chain ? STEP_CHAIN : STEP_MAP, group->count);
    step->op = node->op;
    step->number = node->number;
    step->x = value_ref(p, node->a, stage, group->stride_a);
    if (op_arity(node->op) > 1) step->y = value_ref(p, node->b, stage, group->stride_b);
    if (op_arity(node->op) > 2) step->w = value_ref(p, node->c, stage, 0);
    step->out = (Ref){group->row, IN_ROWS, 1};
    Ref refs[] = {step->out, step->x, step->y};
    step->flat = (uint8_t)(!group->is_chain && is_flat(step->count, refs, 3));
    p->plan->work += 2.0 * group->count * (stage == SAMPLE);
    expect_sample(p, group->first,
                  stage != SAMPLE || step->x.space == IN_ROWS || step->y.space == IN_ROWS || step->w.space == IN_ROWS);
}

/* A step for one node whose operands stand in args. */
static Step *plan_one(Planner *p, StepKind kind, const Group *group, Stage stage) {
    const Node *node = &p->graph->nodes[group->first];
    Step *step = new_step(p, kind, 1);
    step->out = (Ref){group->row, IN_ROWS, 1};
    step->flat = 1;
    p->plan->work += (double)node->b * (stage == SAMPLE);
    return step;
}

/* A step for each member of a group of takes, or of sums. */
static void plan_each(Planner *p, StepKind kind, const Group *group, Stage stage) {
    for (uint32_t k = 0, i = group->first; k < group->count; k++, i = p->next[i]) {
        const Node *node = &p->graph->nodes[i];
        Step *step = plan_one(p, kind, group, stage);
        step->out.at += k;
        if (kind == STEP_LINEAR) {
            make_runs(p, step, node, stage);
            continue;
        }
        step->refs = refs_of(p, p->graph->args.items + node->a, node->b, stage);
        step->n_refs = node->b;
    }
}

static void plan_draw(Planner *p, const Group *group) {
    const Node *first = &p->graph->nodes[group->first], *last = &p->graph->nodes[group->last];
    Step *step = new_step(p, STEP_DRAW, group->count);
    step->out = (Ref){group->row, IN_ROWS, 1};
    step->draw = first->a;
    step->kinds[0] = first->which;
    step->kinds[1] = last->which;
    p->plan->work += DRAW_WORK * group->count;
}

void plan_forward(Planner *p, uint32_t from, Stage stage) {
    for (uint32_t g = from; g < p->groups.size; g++) {
        Group *group = &p->groups.items[g];
        const Node *node = &p->graph->nodes[group->first];
        group->step = p->steps.size;
        switch (form_of(node)) {
        case FORM_MAP: plan_map(p, group, stage); break;
        case FORM_LINEAR: plan_each(p, STEP_LINEAR, group, stage); break;
        case FORM_DRAW: plan_draw(p, group); break;
        case FORM_PART: plan_matvec(p, group); break;
        case FORM_TAKE: plan_each(p, STEP_TAKE, group, stage); break;
        case FORM_CUSTOM: plan_one(p, STEP_NUMBER, group, stage)->number = node->number; break;
        case FORM_CONSTANT:
        case FORM_PARAMETER:
        case FORM_INPUT:
        case FORM_PRODUCT:
            CASES_OF_LOOPS
            CASES_OF_GRADIENTS
            abort(); /* these are in no group */
        }
    }
}

/* Once rows in which the listed nodes stand one after another: where they do so already, or a copy. */
static uint32_t in_one_piece(Planner *p, const uint32_t *nodes, uint32_t count, int *copied) {
    *copied = 0;
    for (uint32_t k = 1; k < count && !*copied; k++) *copied = p->row[nodes[k]] != p->row[nodes[0]] + k;
    if (!*copied) return p->row[nodes[0]];
    uint32_t row = p->n_once;
    p->n_once += count;
    return row;
}

/* Gives the matrix products of the forward steps their matrices, copied together where need be. */
void plan_matrices(Planner *p, StepList *forward) {
    Graph *graph = p->graph;
    uint32_t m = 0;
    int copied;
    for (uint32_t g = 0; g < p->groups.size; g++) {
        const Node *node = &graph->nodes[p->groups.items[g].first];
        if (node->op != NODE_PART) continue;
        Product product = product_of(graph, node->a);
        while (forward->items[m].kind != STEP_MATVEC) m++;
        Step *step = &forward->items[m++];
        const uint32_t *lists[2] = {product.weights, product.biases};
        uint32_t counts[2] = {product.n_out * product.n_in, product.n_out};
        Ref *places[2] = {&step->x, &step->y};
        for (int k = 0; k < (product.biases ? 2 : 1); k++) {
            *places[k] = (Ref){in_one_piece(p, lists[k], counts[k], &copied), IN_ONCE, 1};
            if (!copied) continue;
            Step *gather = new_step(p, STEP_GATHER, counts[k]);
            gather->out = (Ref){places[k]->at, IN_ROWS, 1};
            gather->refs = refs_of(p, lists[k], counts[k], ONCE);
            gather->n_refs = counts[k];
        }
    }
}
