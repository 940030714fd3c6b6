/* SPDX-License-Identifier: MIT
 *
 * Sums over the steps of walks that are made when the walk is over.
 */
#include "walk_plan.h"

/* -- what is left for later ---------------------------------------------------------------------------------- */

enum {
    LEAST_SUMS = 16, /* with these, what is worth rows in frames */
    SUMS_A_ROW = 2,
    MOST_ELEMENTS = 1 << 20
};

static int is_zero(const Node *node) { return node->op == NODE_CONSTANT && node->number == 0.0; }

/* A choice by whether a number is one of the text, which counts elements, is by that number. */
static void find_element(const Node *nodes, StepSum *sum) {
    const Node *p = &nodes[sum->p];
    if (p->op != OP_equal) return;
    const Node *number = &nodes[p->b];
    if (number->op != NODE_CONSTANT || !(number->number >= 0 && number->number <= MOST_ELEMENTS)) return;
    if (number->number != (uint32_t)number->number) return;
    sum->kind = OF_ELEMENTS;
    sum->element = (uint32_t)number->number;
    sum->p = p->a;
}

/* Whether carry k of a scan, which nobody else reads, is what it was and a product, or a choice between something and
 * nothing, of numbers that change with the step: then sum->p and sum->q are nodes of the body. */
static int is_running_sum(const Scan *scan, uint32_t k, const uint32_t *uses, const uint32_t *inputs, StepSum *sum) {
    const Graph *body = &scan->body;
    const Node *nodes = body->nodes, *root = &nodes[body->roots[k]];
    uint32_t own = inputs[k], more;
    if (own == NONE || uses[own] != 1 || uses[body->roots[k]] != 1) return 0;
    if (root->op == OP_add && (root->a == own || root->b == own)) {
        more = root->a == own ? root->b : root->a;
        if (nodes[more].op == OP_mul) {
            *sum = (StepSum){.p = nodes[more].a, .q = nodes[more].b};
        } else if (nodes[more].op == OP_where && is_zero(&nodes[nodes[more].c])) {
            *sum = (StepSum){.p = nodes[more].a, .q = nodes[more].b, .kind = OF_CHOICES};
            find_element(nodes, sum);
        } else {
            return 0;
        }
    } else if (root->op == NODE_LINEAR && root->c == 1 && root->b == 3 && body->args.items[root->a + 2] == own) {
        *sum = (StepSum){.p = body->args.items[root->a], .q = body->args.items[root->a + 1]};
    } else {
        return 0;
    }
    return nodes[sum->p].stage == SAMPLE && nodes[sum->q].stage == SAMPLE && sum->p != own && sum->q != own;
}

void leave_for_later(View *v, uint32_t i) {
    Arena *scratch = v->p->scratch;
    const Scan *scan = scan_of(v->graph, i);
    const Graph *body = &scan->body;
    const uint32_t *args = v->graph->args.items + v->graph->nodes[i].a;
    Family *family = &v->families[family_of(v, i)];
    Later later = {.is_late = ARENA_ARRAY(scratch, uint8_t, scan->n_carries + (size_t)1),
                   .sums = ARENA_ARRAY(scratch, StepSum, scan->n_carries + (size_t)1),
                   .parts = ARENA_ARRAY(scratch, uint32_t, scan->n_carries + (size_t)1),
                   .total = ARENA_ARRAY(scratch, uint32_t, scan->n_carries + (size_t)1)};
    uint32_t *uses = ARENA_ARRAY(scratch, uint32_t, body->size + (size_t)1), n_new = 0;
    uint32_t *inputs = ARENA_ARRAY(scratch, uint32_t, scan->n_carries + (size_t)1);
    later.place = ARENA_ARRAY(scratch, uint32_t, body->size + (size_t)1);
    memset(inputs, 0xFF, scan->n_carries * sizeof *inputs);
    memset(later.total, 0xFF, scan->n_carries * sizeof *later.total);
    memset(later.place, 0xFF, body->size * sizeof *later.place);
    v->later[i] = later;
    for (uint32_t n = 0; n < body->size; n++) {
        uint32_t count;
        const uint32_t *operands = node_operands(body, n, &count);
        for (uint32_t k = 0; k < count; k++) uses[operands[k]]++;
        if (body->nodes[n].op == NODE_INPUT && body->nodes[n].a < scan->n_carries) inputs[body->nodes[n].a] = n;
    }
    for (uint32_t r = 0; r < body->n_roots; r++) uses[body->roots[r]]++;
    for (uint32_t k = 0; k < scan->n_carries; k++) {
        StepSum *sum = &later.sums[later.n_sums];
        const Node *text = text_of(v, args[k]);
        if (v->places[i][scan->n_made + k] != NONE || !text || text->number != 0.0) continue;
        if (!is_running_sum(scan, k, uses, inputs, sum)) continue;
        sum->to = k;
        later.n_sums++;
        later.is_late[k] = 1;
    }
    for (uint32_t s = 0; s < later.n_sums; s++) {
        const uint32_t nodes[] = {later.sums[s].p, later.sums[s].q};
        for (int side = 0; side < 2; side++) {
            uint32_t *place = &later.place[nodes[side]];
            if (*place != NONE) continue;
            *place = place_of(v, i, nodes[side]);
            if (*place == NONE) *place = family->n_rows + n_new++;
        }
    }
    if (later.n_sums < LEAST_SUMS || later.n_sums < SUMS_A_ROW * n_new) return;
    family->n_rows += n_new;
    family->is_kept = 1;
    v->later[i] = later;
}

/* -- what is then done --------------------------------------------------------------------------------------- */

void add_step_sums(View *v, uint32_t i, uint32_t walk) {
    Planner *p = v->p;
    Later *later = &v->later[i];
    for (uint32_t s = 0; s < later->n_sums; s++) {
        later->sums[s].p = later->place[later->sums[s].p];
        later->sums[s].q = later->place[later->sums[s].q];
    }
    GROW(p->arena, &p->walks->step_sums, StepSums, 1);
    GROW(p->scratch, &p->later, const Later *, 1);
    p->later.items[p->later.size++] = later;
    p->walks->step_sums.items[p->walks->step_sums.size++] = (StepSums){
        .walk = walk, .n_sums = later->n_sums, .carries = v->first_carry_row[i], .is_float32 = p->is_float32};
}

static int compare_sums(const void *x, const void *y) {
    const StepSum *a = x, *b = y;
    const uint32_t of_a[] = {a->is_total, a->kind, a->p, a->element, a->q};
    const uint32_t of_b[] = {b->is_total, b->kind, b->p, b->element, b->q};
    for (size_t k = 0; k < sizeof of_a / sizeof *of_a; k++)
        if (of_a[k] != of_b[k]) return of_a[k] < of_b[k] ? -1 : 1;
    return 0;
}

static int is_of_one_p(const StepSum *a, const StepSum *b) {
    return a->is_total == b->is_total && a->kind == b->kind && a->p == b->p && a->element == b->element;
}

/* How many sums from the first on are of its p, or of one element of it. */
static uint32_t count_of_one_p(const StepSum *sums, uint32_t n) {
    uint32_t k = 1;
    while (k < n && is_of_one_p(sums, sums + k)) k++;
    return k;
}

/* Whether the n sums behind other n are of the same q's, and of the next element, or of another p. */
static int goes_on(const StepSum *sums, uint32_t n, uint32_t left) {
    const StepSum *next = sums + n;
    if (left < n || count_of_one_p(next, left) != n) return 0;
    if (next->is_total != sums->is_total || next->kind != sums->kind) return 0;
    if (sums->kind == OF_ELEMENTS && (next->p != sums->p || next->element != sums->element + 1)) return 0;
    for (uint32_t k = 0; k < n; k++)
        if (sums[k].q != next[k].q) return 0;
    return 1;
}

/* That of as many sums as go together: how many. */
static uint32_t plan_contraction(Planner *p, Contraction *to, const StepSum *sums, uint32_t n_sums) {
    uint32_t n_q = count_of_one_p(sums, n_sums), n_p = 1;
    while (goes_on(sums + (n_p - 1) * n_q, n_q, n_sums - n_p * n_q)) n_p++;
    uint32_t *places = arena_alloc(p->arena, n_p + n_q + (size_t)n_p * n_q, sizeof *places);
    *to = (Contraction){sums->kind, sums->is_total, n_p, n_q, sums->element, places, places + n_p, places + n_p + n_q};
    for (uint32_t i = 0; i < n_p; i++) *places++ = sums[i * n_q].p;
    for (uint32_t j = 0; j < n_q; j++) *places++ = sums[j].q;
    for (uint32_t k = 0; k < n_p * n_q; k++) *places++ = sums[k].to;
    return n_p * n_q;
}

/* Those that one sum over the batch reads are added to that at once. */
static void find_totals(Planner *p, const Later *later, uint32_t carries) {
    for (uint32_t s = 0; s < later->n_sums; s++) {
        StepSum *sum = &later->sums[s];
        sum->is_total = later->total[sum->to] != NONE && later->parts[sum->to] == 1;
        if (sum->is_total) p->walks->sums.items[sum->to = later->total[sum->to]].of = NONE;
        else sum->to += carries;
    }
}

void plan_contractions(Planner *p) {
    Walks *walks = p->walks;
    for (uint32_t k = 0; k < walks->step_sums.size; k++) {
        StepSums *to = &walks->step_sums.items[k];
        const Later *later = p->later.items[k];
        find_totals(p, later, to->carries);
        qsort(later->sums, later->n_sums, sizeof *later->sums, compare_sums);
        to->contractions = ARENA_ARRAY(p->arena, Contraction, later->n_sums);
        for (uint32_t s = 0; s < later->n_sums;)
            s += plan_contraction(p, &to->contractions[to->n_contractions++], later->sums + s, later->n_sums - s);
    }
    walks->row_sums = ARENA_ARRAY(p->arena, uint32_t, walks->sums.size + (size_t)1);
    for (uint32_t s = 0; s < walks->sums.size; s++)
        if (walks->sums.items[s].of != NONE) walks->row_sums[walks->n_row_sums++] = s;
}
