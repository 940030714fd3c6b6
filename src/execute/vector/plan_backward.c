/* SPDX-License-Identifier: MIT
 *
 * Backward steps: what the gradient graph adds to adjoints, group by group of the nodes whose rules it is.
 */
#include "planner.h"

/* -- backward steps ---------------------------------------------------------------------------------- */

/* joins: the row is of the same group as the one that was cleared last, if one was. */
static void zero_row(Planner *p, uint32_t adjoint, int joins) {
    Step *last = p->steps.size ? &p->steps.items[p->steps.size - 1] : NULL;
    p->reached[adjoint - p->n_values] = 1;
    if (joins && last && last->kind == STEP_ZERO && last->out.at + last->count == adjoint) {
        last->count++;
        return;
    }
    new_step(p, STEP_ZERO, 1)->out = (Ref){adjoint, IN_ROWS, 1};
}

/* Whether a contribution to these adjoint rows of a block is added; if so, all of them have a value. */
static int prepare_rows(Planner *p, Ref out, uint32_t count) {
    uint32_t first = out.at - p->n_values, n = out.stride ? count : 1, reached = 0, cleared = 0;
    for (uint32_t k = 0; k < n; k++) reached += p->reached[first + k];
    int assigned = reached == 0 && (out.stride || count == 1);
    for (uint32_t k = 0; k < n; k++) {
        if (assigned) p->reached[first + k] = 1;
        else if (!p->reached[first + k]) zero_row(p, out.at + k, cleared++ > 0);
    }
    return !assigned;
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

/* -- what adds to adjoints -------------------------------------------------------------------------- */

static void note(Planner *p, uint32_t *last, uint32_t rule_of, uint32_t node, uint32_t to) {
    Contribution *all = p->contributions;
    uint32_t k = ++p->n_contributions; /* one more than the index */
    all[k - 1] = (Contribution){node, to, 0};
    if (last[rule_of]) all[last[rule_of] - 1].next = k;
    else p->contribution[rule_of] = k;
    last[rule_of] = k;
}

/* The node whose adjoint this is. */
static uint32_t primal_of(const Graph *graph, uint32_t adjoint) {
    return graph->nodes[adjoint].op == NODE_SEED ? graph->roots[0] : graph->nodes[adjoint].c;
}

void plan_contributions(Planner *p) {
    const Graph *graph = p->graph;
    uint32_t *last = ARENA_ARRAY(p->scratch, uint32_t, graph->size), most = 0;
    for (uint32_t i = p->size; i < graph->size; i++) most += graph->nodes[i].op == NODE_ADJOINT ? graph->nodes[i].b : 1;
    p->contribution = ARENA_ARRAY(p->scratch, uint32_t, graph->size);
    p->contributions = ARENA_ARRAY(p->scratch, Contribution, most);
    for (uint32_t i = p->size; i < graph->size; i++) {
        const Node *node = &graph->nodes[i];
        const uint32_t *args = graph->args.items + node->a;
        if (node->op == NODE_SCATTER) note(p, last, node->a, i, NONE);
        if (node->op == NODE_TRANSPOSED || node->op == NODE_OUTER)
            note(p, last, graph->nodes[primal_of(graph, args[1])].a, i, NONE);
        if (node->op == NODE_PART && graph->nodes[node->a].op == NODE_TRANSPOSED) note(p, last, node->a, i, NONE);
        if (node->op != NODE_ADJOINT) continue;
        for (uint32_t k = 0; k < node->b; k++) {
            uint32_t gain = args[k];
            if (graph->nodes[gain].op == NODE_TOTAL) gain = graph->nodes[gain].a;
            if (graph->nodes[gain].op == NODE_GAIN) note(p, last, graph->nodes[gain].c, gain, node->c);
        }
    }
}

/* -- gains ------------------------------------------------------------------------------------------ */

enum { OUT, G, X, Y, W, Z, REFS };

/* What one member of a step does. */
typedef struct {
    const Node *gain;
    Ref refs[REFS];
    uint32_t group[REFS]; /* rows of other groups may be put elsewhere */
} Member;

static void set_ref(const Planner *p, Member *member, int which, uint32_t node, Stage stage, int is_adjoint) {
    member->refs[which] = is_adjoint ? adjoint_ref(p, node, stage, 0) : value_ref(p, node, stage, 0);
    member->group[which] = stage == SAMPLE ? p->group_of[node] : 0;
}

static Member new_member(const Planner *p, const Contribution *contribution, Stage stage) {
    static const int refs[] = {[NAME_X] = X, [NAME_Y] = Y, [NAME_W] = W, [NAME_Z] = Z};
    Member member = {.gain = &p->graph->nodes[contribution->node]};
    uint32_t names[NAME_COUNT];
    gain_names(p->graph, member.gain, names);
    set_ref(p, &member, OUT, contribution->to, stage, 1);
    set_ref(p, &member, G, primal_of(p->graph, names[NAME_G]), stage, 1);
    for (int name = NAME_X; name < NAME_G; name++)
        if (names[name] != NONE) set_ref(p, &member, refs[name], names[name], stage, 0);
    return member;
}

static uint64_t place_of(Ref ref) { return ((uint64_t)ref.space << 32) + ref.at; }

static MemberKey new_key(const Planner *p, const Contribution *contribution, Stage stage) {
    const Node *gain = &p->graph->nodes[contribution->node];
    return (MemberKey){(uint64_t)gain->of << 8 | gain->which, place_of(adjoint_ref(p, contribution->to, stage, 0)),
                       p->position[gain->c], contribution};
}

static int compare_numbers(uint64_t a, uint64_t b) { return a < b ? -1 : a > b; }

/* Members of a group side by side; of one node's rule, such as a sum's, by place, for longer steps. */
static int compare_keys(const void *left, const void *right) {
    const MemberKey *a = left, *b = right;
    if (a->rule != b->rule) return compare_numbers(a->rule, b->rule);
    if (a->position != b->position) return compare_numbers(a->position, b->position);
    if (a->place != b->place) return compare_numbers(a->place, b->place);
    return a->contribution < b->contribution ? -1 : a->contribution > b->contribution;
}

/* The other way round: of one place, members side by side. */
static int compare_places(const void *left, const void *right) {
    const MemberKey *a = left, *b = right;
    if (a->rule != b->rule || a->place == b->place) return compare_keys(left, right);
    return compare_numbers(a->place, b->place);
}

/* On once rows, members are lanes, of which kernels take one operand of two as a number for all. */
static int members_move(const Member *first, const uint8_t strides[REFS]) {
    const Ref *refs = first->refs;
    if (op_info[first->gain->of].shape == TERNARY) { /* all of a TERNARY row's are lanes */
        for (int k = G; k < REFS; k++)
            if (refs[k].space != NOWHERE && (refs[k].space != IN_ROWS || !strides[k])) return 0;
        return 1;
    }
    if (refs[Z].space != NOWHERE && !strides[Z]) return 0;
    if (refs[X].space == NOWHERE || strides[X]) return 1;
    return op_arity(first->gain->of) == 2 && (refs[Y].space == NOWHERE || strides[Y]);
}

/* Whether the member can be the count-th of a step that begins with `first`. strides: found by the second. */
static int continues(const Member *next, const Member *first, uint32_t count, uint8_t strides[REFS]) {
    if (next->gain->of != first->gain->of || next->gain->which != first->gain->which ||
        memcmp(&next->gain->number, &first->gain->number, sizeof(double)) != 0)
        return 0;
    for (int k = 0; k < REFS; k++) {
        Ref ref = next->refs[k], from = first->refs[k];
        if (ref.space != from.space || next->group[k] != first->group[k]) return 0;
        if (count == 1) strides[k] = ref.at != from.at;
        if (ref.at != from.at + count * strides[k]) return 0;
    }
    return count > 1 || members_move(first, strides);
}

static Step *plan_gain(Planner *p, const Member *first, uint32_t count, const uint8_t strides[REFS], Stage stage) {
    Ref refs[REFS];
    for (int k = 0; k < REFS; k++) {
        refs[k] = first->refs[k];
        if (count > 1 && refs[k].space != NOWHERE) refs[k].stride = strides[k];
    }
    Step *step = new_gain(p, STEP_GAIN, refs[OUT], count, stage);
    step->op = first->gain->of;
    step->which = first->gain->which;
    step->number = first->gain->number;
    step->g = refs[G];
    step->x = refs[X];
    step->y = refs[Y];
    step->w = refs[W];
    step->z = refs[Z];
    step->flat = (uint8_t)(is_flat(count, refs, REFS) && !(refs[OUT].space == IN_ONCE && refs[OUT].stride));
    return step;
}

/* What the links of a chain gain from each other, the last first. It is taken from the members at hand. */
static void plan_chain_gains(Planner *p, uint32_t chain, Stage stage) {
    MemberKey *keys = p->members.items, *links = ARENA_ARRAY(p->scratch, MemberKey, p->members.size);
    uint32_t count = 0, rest = 0;
    for (uint32_t k = 0; k < p->members.size; k++)
        if (p->group_of[keys[k].contribution->to] == chain) links[count++] = keys[k];
        else keys[rest++] = keys[k];
    p->members.size = rest;
    if (!count) return;
    uint8_t strides[REFS] = {0};
    Member first = new_member(p, links[0].contribution, stage);
    uint32_t n = 1;
    for (; n < count; n++) {
        Member next = new_member(p, links[n].contribution, stage);
        if (!continues(&next, &first, n, strides)) break;
    }
    if (n == count && count > 1) {
        Step *step = plan_gain(p, &first, count, strides, stage);
        step->kind = STEP_CHAIN_GAIN;
        step->flat = 0;
        return;
    }
    while (count-- > 0) {
        Member link = new_member(p, links[count].contribution, stage);
        plan_gain(p, &link, 1, strides, stage);
    }
}

/* The members at hand in their order, as steps that are planned or only counted; returns how many. */
static uint32_t make_gains(Planner *p, Stage stage, int planned) {
    uint32_t count = p->members.size, steps = 0;
    const MemberKey *keys = p->members.items;
    Member first, next;
    if (count) next = new_member(p, keys[0].contribution, stage);
    for (uint32_t k = 0, n; k < count; k += n, steps++) {
        uint8_t strides[REFS] = {0};
        first = next;
        for (n = 1; k + n < count; n++) {
            next = new_member(p, keys[k + n].contribution, stage);
            if (!continues(&next, &first, n, strides)) break;
        }
        if (planned) plan_gain(p, &first, n, strides, stage);
    }
    return steps;
}

/* The gains of a group's nodes, as few steps as they make. */
static void plan_gains(Planner *p, const Group *group, Stage stage) {
    int sorted = 1;
    p->members.size = 0;
    for (uint32_t k = 0, node = group->first; k < group->count; k++, node = p->next[node])
        for (uint32_t c = p->contribution[node]; c; c = p->contributions[c - 1].next) {
            GROW(p->scratch, &p->members, MemberKey, 1);
            MemberKey *key = &p->members.items[p->members.size++];
            *key = new_key(p, &p->contributions[c - 1], stage);
            if (key > p->members.items && compare_keys(key - 1, key) > 0) sorted = 0;
        }
    if (group->is_chain) plan_chain_gains(p, (uint32_t)(group - p->groups.items), stage);
    MemberKey *keys = p->members.items;
    uint32_t count = p->members.size;
    if (!count) return;
    if (!sorted) qsort(keys, count, sizeof *keys, compare_keys);
    if (group->count > 1 && p->graph->nodes[group->first].op == NODE_LINEAR) {
        uint32_t by_members = make_gains(p, stage, 0);
        qsort(keys, count, sizeof *keys, compare_places);
        if (make_gains(p, stage, 0) > by_members) qsort(keys, count, sizeof *keys, compare_keys);
    }
    make_gains(p, stage, 1);
}

/* -- records ---------------------------------------------------------------------------------------- */

/* The adjoint of a take, to the element that is chosen. */
static void plan_take_gain(Planner *p, uint32_t take, Stage stage) {
    const Node *node = &p->graph->nodes[take];
    const uint32_t *args = p->graph->args.items + node->a;
    if (!p->contribution[take]) return;
    Ref *refs = ARENA_ARRAY(p->arena, Ref, node->b);
    for (uint32_t k = 1, last = NONE; k < node->b; k++) {
        refs[k] = adjoint_ref(p, args[k], stage, 0);
        if (stage != SAMPLE || refs[k].space != IN_ROWS || p->reached[refs[k].at - p->n_values]) continue;
        zero_row(p, refs[k].at, last != NONE && last == p->group_of[args[k]]);
        last = p->group_of[args[k]];
    }
    Step *step = new_step(p, STEP_TAKE_GAIN, 1);
    step->x = value_ref(p, args[0], stage, 0);
    step->g = adjoint_ref(p, take, stage, 0);
    step->refs = refs;
    step->n_refs = node->b;
}

static void plan_take_gains(Planner *p, const Group *group, Stage stage) {
    for (uint32_t k = 0, take = group->first; k < group->count; k++, take = p->next[take])
        plan_take_gain(p, take, stage);
}

/* product: whose parts have the adjoints; what the record is of may have other inputs. */
static void plan_outer(Planner *p, const Node *record, uint32_t product, Ref g, Ref weights, const Step *forward) {
    uint32_t by = p->graph->args.items[record->a];
    Step *step = new_step(p, STEP_MATVEC_W, record->b - 1);
    step->g = g;
    step->x = weights;
    if (forward->y.space == IN_ONCE) step->y = (Ref){forward->y.at + record->c, IN_ONCE, 1};
    step->refs = forward->refs;
    step->n_refs = forward->n_refs;
    if (by != product) step->refs = refs_of(p, product_of(p->graph, by).inputs, step->n_refs, SAMPLE);
}

static void plan_transposed(Planner *p, uint32_t record, Ref g, Ref weights) {
    const Graph *graph = p->graph;
    const Node *node = &graph->nodes[record];
    Product product = product_of(graph, graph->args.items[node->a]);
    uint32_t *columns = ARENA_ARRAY(p->arena, uint32_t, product.n_in), n = 0, reached = 0;
    Ref *refs = ARENA_ARRAY(p->arena, Ref, product.n_in);
    for (uint32_t c = p->contribution[record]; c; c = p->contributions[c - 1].next) {
        uint32_t column = graph->nodes[p->contributions[c - 1].node].b;
        refs[n] = adjoint_ref(p, product.inputs[column], SAMPLE, 0);
        reached += p->reached[refs[n].at - p->n_values];
        columns[n++] = column;
    }
    for (uint32_t k = 0; k < n; k++) {
        if (reached && !p->reached[refs[k].at - p->n_values]) zero_row(p, refs[k].at, 0);
        p->reached[refs[k].at - p->n_values] = 1;
    }
    Step *step = new_step(p, STEP_MATVEC_X, node->b - 1);
    step->g = g;
    step->x = weights;
    step->refs = refs;
    step->n_refs = n;
    step->columns = columns;
    step->number = product.n_in;
    step->add = reached > 0;
}

static void plan_product_gains(Planner *p, const Group *group, const Step *forward) {
    const Graph *graph = p->graph;
    uint32_t product = graph->nodes[group->first].a;
    for (uint32_t c = p->contribution[product]; c; c = p->contributions[c - 1].next) {
        uint32_t record = p->contributions[c - 1].node;
        const Node *node = &graph->nodes[record];
        Ref g = {p->n_values + group->row + node->c, IN_ROWS, 1};
        Ref weights = {forward->x.at + node->c * forward->n_refs, IN_ONCE, 1};
        if (node->op == NODE_OUTER) plan_outer(p, node, product, g, weights, forward);
        else plan_transposed(p, record, g, weights);
    }
}

void plan_backward(Planner *p, uint32_t from, uint32_t end, Stage stage, const StepList *forward) {
    for (uint32_t g = end; g-- > from;) {
        const Group *group = &p->groups.items[g];
        uint8_t op = p->graph->nodes[group->first].op;
        if (op == NODE_PART) plan_product_gains(p, group, &forward->items[group->step]);
        else if (op == OP_take) plan_take_gains(p, group, stage);
        else plan_gains(p, group, stage);
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
