/* SPDX-License-Identifier: MIT
 *
 * From the optimised graph to steps: groups, the order of once rows, forward and backward steps, and
 * last which rows of memory they share.
 */
#include "plan.h"

/* Nodes of one operation whose operands stand side by side. */
typedef struct {
    uint32_t first, last;  /* members: nodes, linked by Planner.next */
    uint32_t count;
    uint32_t row;          /* of the first member's value */
    uint8_t strides_known; /* by the second member on */
    uint8_t stride_a, stride_b;
} Group;

/* Rows that live and die together. */
typedef struct {
    uint32_t first, count; /* virtual rows, as steps name them before rows are shared */
    uint32_t born, last;   /* steps */
    uint32_t place;
} Range;

typedef struct {
    Arena *arena;
    Graph *graph;
    Plan *plan;
    uint8_t *needs;       /* its adjoint leads to a parameter */
    uint32_t *group_of, *position, *next;
    GROWING(Group) groups;
    uint32_t *row;        /* of a node: a once row, or a virtual row of a block */
    uint32_t n_values;    /* virtual rows of values; adjoints stand behind */
    uint8_t *reached;     /* virtual adjoint rows that have been assigned */
    uint32_t n_once;
    GROWING(Step) steps;  /* of the stage and direction at hand */
    GROWING(Range) ranges;
    uint32_t *range_of;   /* virtual row -> range */
} Planner;

static int is_sample(const Planner *p, uint32_t i) { return p->graph->nodes[i].stage == SAMPLE; }

/* -- steps ------------------------------------------------------------------------------------------ */

static Step *new_step(Planner *p, StepKind kind, uint32_t count) {
    GROW(p->arena, &p->steps, Step, 1);
    Step *step = &p->steps.items[p->steps.size++];
    *step = (Step){.kind = kind, .count = count};
    return step;
}

static StepList take_steps(Planner *p) {
    StepList list = {p->steps.items, p->steps.size};
    memset(&p->steps, 0, sizeof p->steps);
    return list;
}

/* Where node i's value stands, for a step of the given stage. */
static Ref value_ref(const Planner *p, uint32_t i, Stage stage, int stride) {
    int once = stage == SAMPLE && !is_sample(p, i);
    return (Ref){p->row[i], once ? IN_ONCE : IN_ROWS, (uint8_t)stride};
}

/* Where its adjoint stands: rows of a stage have their adjoints behind all of its values. */
static Ref adjoint_ref(const Planner *p, uint32_t i, Stage stage, int stride) {
    Ref ref = value_ref(p, i, stage, stride);
    if (ref.space == IN_ROWS) ref.at += is_sample(p, i) ? p->n_values : p->plan->n_once;
    return ref;
}

static int is_flat(uint32_t count, const Ref *refs, int n_refs) {
    if (count == 1) return 1;
    for (int k = 0; k < n_refs; k++) {
        if (refs[k].space == IN_ROWS && refs[k].stride == 0) return 0;
        if (refs[k].space == IN_ONCE && refs[k].stride != 0) return 0;
    }
    return 1;
}

static Ref *refs_of(Planner *p, const uint32_t *nodes, uint32_t count, Stage stage) {
    Ref *refs = ARENA_ARRAY(p->arena, Ref, count);
    for (uint32_t k = 0; k < count; k++) refs[k] = value_ref(p, nodes[k], stage, 0);
    return refs;
}

/* -- groups ----------------------------------------------------------------------------------------- */

static uint64_t group_key(const Planner *p, uint32_t i, uint32_t a, uint32_t b) {
    const Node *node = &p->graph->nodes[i];
    uint64_t bits = 0, key = node->op;
    if (op_info[node->op].shape == SCALED) memcpy(&bits, &node->number, sizeof bits);
    key = (key ^ bits) * UINT64_C(0x9E3779B97F4A7C15);
    key = (key ^ key >> 29 ^ a) * UINT64_C(0x9E3779B97F4A7C15);
    key = (key ^ key >> 29 ^ b) * UINT64_C(0x9E3779B97F4A7C15);
    return key ^ key >> 32;
}

static int is_elementwise(const Node *node) {
    return node->op != OP_leaf && node->op < OP_COUNT && op_info[node->op].shape != VARIADIC;
}

static uint32_t new_group(Planner *p, uint32_t i) {
    GROW(p->arena, &p->groups, Group, 1);
    p->groups.items[p->groups.size] = (Group){.first = i, .last = i, .count = 1};
    p->group_of[i] = p->groups.size;
    p->position[i] = 0;
    return p->groups.size++;
}

static void join(Planner *p, uint32_t g, uint32_t i, uint32_t *before) {
    Group *group = &p->groups.items[g];
    before[i] = group->last;
    p->next[group->last] = i;
    p->group_of[i] = g;
    p->position[i] = group->count++;
    group->last = i;
}

/* Puts the nodes of a stage into groups; leaves and once rows are in `before` already. A node joins
 * the group whose last member's operands stand one row before its own, or are its own. */
static void make_groups(Planner *p, Stage stage, uint32_t *before) {
    Graph *graph = p->graph;
    size_t size = 16;
    while (size < 2 * (size_t)graph->size) size *= 2;
    uint32_t *table = ARENA_ARRAY(p->arena, uint32_t, size); /* key of the last member -> group + 1 */
    uint64_t *keys = ARENA_ARRAY(p->arena, uint64_t, size);
    for (uint32_t i = 0; i < graph->size; i++) {
        const Node *node = &graph->nodes[i];
        if (stage == SAMPLE ? node->stage != SAMPLE : node->stage == SAMPLE) continue;
        if (node->op == NODE_CONSTANT || node->op == NODE_PARAMETER || node->op == NODE_INPUT) continue;
        if (node->op == NODE_ROW) {
            if (node->a > 0) continue; /* the first row has brought them all */
            uint32_t g = new_group(p, i);
            for (uint32_t j = i + 1, r = 1; r < graph->matvecs.items[node->c].n_out; j++)
                if (graph->nodes[j].op == NODE_ROW && graph->nodes[j].c == node->c) {
                    join(p, g, j, before);
                    r++;
                }
            continue;
        }
        if (!is_elementwise(node)) {
            new_group(p, i);
            continue;
        }
        int binary = op_info[node->op].shape == BINARY;
        uint32_t a = node->a, b = binary ? node->b : NONE;
        uint32_t a1 = before[a], b1 = binary ? before[b] : NONE;
        uint32_t found = NONE;
        size_t slot = 0;
        for (int way = 0; way < 3 && found == NONE; way++) {
            uint32_t pa = way == 1 ? a : a1, pb = !binary ? NONE : way == 2 ? b : b1;
            if (pa == NONE || (binary && pb == NONE) || (!binary && way)) continue;
            uint64_t key = group_key(p, i, pa, pb);
            for (slot = key & (size - 1); table[slot]; slot = (slot + 1) & (size - 1)) {
                Group *group = &p->groups.items[table[slot] - 1];
                const Node *last = &graph->nodes[group->last];
                int sa = way != 1, sb = way != 2;
                if (keys[slot] != key || last->op != node->op || last->a != pa ||
                    (binary && last->b != pb))
                    continue;
                if (op_info[node->op].shape == SCALED && last->number != node->number) continue;
                if (group->strides_known && (group->stride_a != sa || (binary && group->stride_b != sb)))
                    continue;
                /* The operands must be there when the group is computed. */
                uint32_t g = table[slot] - 1;
                if ((p->group_of[a] != NONE && p->group_of[a] >= g) ||
                    (binary && p->group_of[b] != NONE && p->group_of[b] >= g))
                    continue;
                group->strides_known = 1;
                group->stride_a = (uint8_t)sa;
                group->stride_b = (uint8_t)(binary && sb);
                found = g;
                break;
            }
        }
        if (found == NONE) found = new_group(p, i);
        else join(p, found, i, before);
        uint64_t key = group_key(p, i, a, b);
        for (slot = key & (size - 1); table[slot]; slot = (slot + 1) & (size - 1)) continue;
        table[slot] = found + 1;
        keys[slot] = key;
    }
}

/* -- the order of once rows -------------------------------------------------------------------------- */

static void place_once(Planner *p, uint32_t i, uint32_t *before, uint32_t *last) {
    if (p->row[i] != NONE || p->graph->nodes[i].stage == SAMPLE) return;
    if (p->graph->nodes[i].op != NODE_PARAMETER && p->graph->nodes[i].op != NODE_CONSTANT) return;
    p->row[i] = p->n_once++;
    before[i] = *last;
    *last = i;
}

/* Parameters and numbers, so that matrices lie in one piece wherever each weight has one place. */
static void place_leaves(Planner *p, uint32_t *before) {
    Graph *graph = p->graph;
    const uint32_t *args = graph->args.items;
    uint32_t last = NONE;
    for (uint32_t m = 0; m < graph->matvecs.size; m++) {
        const Matvec *matvec = &graph->matvecs.items[m];
        for (uint32_t k = 0; k < matvec->n_out * matvec->n_in; k++)
            place_once(p, args[matvec->weights + k], before, &last);
        for (uint32_t k = 0; matvec->biases != NONE && k < matvec->n_out; k++)
            place_once(p, args[matvec->biases + k], before, &last);
    }
    for (uint32_t i = 0; i < graph->size; i++)
        if (graph->nodes[i].op == NODE_PARAMETER) place_once(p, i, before, &last);
    for (uint32_t i = 0; i < graph->size; i++)
        if (graph->nodes[i].op == NODE_CONSTANT) place_once(p, i, before, &last);
    Plan *plan = p->plan;
    plan->parameter_row = ARENA_ARRAY(p->arena, uint32_t, graph->n_parameters);
    for (uint32_t k = 0; k < graph->n_parameters; k++) plan->parameter_row[k] = NONE;
    plan->constant_rows = ARENA_ARRAY(p->arena, uint32_t, p->n_once);
    plan->constants = ARENA_ARRAY(p->arena, double, p->n_once);
    for (uint32_t i = 0; i < graph->size; i++) {
        if (p->row[i] == NONE) continue;
        if (graph->nodes[i].op == NODE_PARAMETER)
            plan->parameter_row[graph->nodes[i].a] = p->row[i];
        else if (graph->nodes[i].op == NODE_CONSTANT) {
            plan->constant_rows[plan->n_constants] = p->row[i];
            plan->constants[plan->n_constants++] = graph->nodes[i].number;
        }
    }
}

static void place_groups(Planner *p, uint32_t from, uint32_t *rows) {
    for (uint32_t g = from; g < p->groups.size; g++) {
        Group *group = &p->groups.items[g];
        group->row = *rows;
        for (uint32_t k = 0, i = group->first; k < group->count; k++, i = p->next[i]) p->row[i] = (*rows)++;
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

/* -- forward steps ----------------------------------------------------------------------------------- */

/* The terms of a sum as runs; terms are sorted by place first, for longer runs. */
typedef struct {
    Ref a, b;
} Term;

static uint64_t place_of(Ref ref) { return ((uint64_t)ref.space << 32) + ref.at; }

static int compare_terms(const void *left, const void *right) {
    const Term *p = left, *q = right;
    if (p->b.space != q->b.space) return p->b.space < q->b.space ? -1 : 1;
    if (place_of(p->a) != place_of(q->a)) return place_of(p->a) < place_of(q->a) ? -1 : 1;
    return place_of(p->b) < place_of(q->b) ? -1 : place_of(p->b) > place_of(q->b);
}

static int follows(Ref next, Ref first, uint32_t count, int stride) {
    return next.space == first.space && (next.space == NOWHERE || next.at == first.at + count * stride);
}

static void make_runs(Planner *p, Step *step, const Node *node, Stage stage) {
    const uint32_t *args = p->graph->args.items + node->a;
    uint32_t n_terms = node->c + (node->b - 2 * node->c);
    Term *terms = ARENA_ARRAY(p->arena, Term, n_terms + 1);
    int sorted = 1;
    for (uint32_t k = 0; k < n_terms; k++) {
        if (k < node->c) {
            terms[k].a = value_ref(p, args[2 * k], stage, 0);
            terms[k].b = value_ref(p, args[2 * k + 1], stage, 0);
            if (place_of(terms[k].a) > place_of(terms[k].b)) {
                Ref a = terms[k].a; /* rows before once rows */
                terms[k].a = terms[k].b;
                terms[k].b = a;
            }
        } else {
            terms[k].a = value_ref(p, args[node->c + k], stage, 0);
        }
        if (k && compare_terms(&terms[k - 1], &terms[k]) > 0) sorted = 0;
    }
    if (!sorted) qsort(terms, n_terms, sizeof *terms, compare_terms);
    step->runs = ARENA_ARRAY(p->arena, Run, n_terms);
    for (uint32_t k = 0; k < n_terms;) {
        Run *run = &step->runs[step->n_runs++];
        *run = (Run){terms[k].a, terms[k].b, 1};
        if (k + 1 < n_terms)
            for (int way = 0; way < 3; way++) {
                int sa = way != 1, sb = way != 2;
                if (!follows(terms[k + 1].a, terms[k].a, 1, sa)) continue;
                if (!follows(terms[k + 1].b, terms[k].b, 1, sb)) continue;
                uint32_t n = 2;
                while (k + n < n_terms && follows(terms[k + n].a, terms[k].a, n, sa) &&
                       follows(terms[k + n].b, terms[k].b, n, sb))
                    n++;
                run->a.stride = (uint8_t)sa;
                run->b.stride = (uint8_t)(sb && run->b.space != NOWHERE);
                run->count = n;
                break;
            }
        k += run->count;
    }
}

static void plan_matvec(Planner *p, const Group *group) {
    Graph *graph = p->graph;
    const Matvec *matvec = &graph->matvecs.items[graph->nodes[group->first].c];
    Step *step = new_step(p, STEP_MATVEC, matvec->n_out);
    step->out = (Ref){group->row, IN_ROWS, 1};
    step->refs = refs_of(p, graph->args.items + matvec->inputs, matvec->n_in, SAMPLE);
    step->n_refs = matvec->n_in;
    p->plan->work += (double)matvec->n_in * matvec->n_out;
}

static StepKind variadic_step(uint8_t op) {
    switch (op) {
    case NODE_LINEAR: return STEP_LINEAR;
    case OP_where: return STEP_WHERE;
    case OP_clip: return STEP_CLIP;
    case OP_take: return STEP_TAKE;
    default: return STEP_NUMBER; /* OP_custom */
    }
}

static void plan_forward(Planner *p, uint32_t from, Stage stage) {
    for (uint32_t g = from; g < p->groups.size; g++) {
        const Group *group = &p->groups.items[g];
        const Node *node = &p->graph->nodes[group->first];
        if (node->op == NODE_ROW) {
            plan_matvec(p, group);
            continue;
        }
        Step *step;
        if (is_elementwise(node)) {
            Shape shape = op_info[node->op].shape;
            step = new_step(p, STEP_MAP, group->count);
            step->op = node->op;
            step->number = node->number;
            step->x = value_ref(p, node->a, stage, group->stride_a);
            if (shape == BINARY) step->y = value_ref(p, node->b, stage, group->stride_b);
            p->plan->work += 2.0 * group->count * (stage == SAMPLE);
        } else {
            step = new_step(p, variadic_step(node->op), 1);
            step->op = node->op;
            step->number = node->number;
            if (node->op == NODE_LINEAR) {
                make_runs(p, step, node, stage);
            } else {
                step->n_refs = node->b;
                step->refs = refs_of(p, p->graph->args.items + node->a, node->b, stage);
            }
            p->plan->work += (double)node->b * (stage == SAMPLE);
        }
        step->out = (Ref){group->row, IN_ROWS, 1};
        Ref refs[] = {step->out, step->x, step->y};
        step->flat = (uint8_t)is_flat(step->count, refs, 3);
    }
}

/* Gives the matrix products of the forward steps their matrices, copied together where need be. */
static void plan_matrices(Planner *p, StepList *forward) {
    Graph *graph = p->graph;
    uint32_t m = 0;
    int copied;
    for (uint32_t g = 0; g < p->groups.size; g++) {
        const Node *node = &graph->nodes[p->groups.items[g].first];
        if (node->op != NODE_ROW) continue;
        const Matvec *matvec = &graph->matvecs.items[node->c];
        while (forward->items[m].kind != STEP_MATVEC) m++;
        Step *step = &forward->items[m++];
        const uint32_t *lists[2] = {graph->args.items + matvec->weights,
                                    graph->args.items + matvec->biases};
        uint32_t counts[2] = {matvec->n_out * matvec->n_in, matvec->n_out};
        Ref *places[2] = {&step->x, &step->y};
        for (int k = 0; k < (matvec->biases == NONE ? 1 : 2); k++) {
            *places[k] = (Ref){in_one_piece(p, lists[k], counts[k], &copied), IN_ONCE, 1};
            if (!copied) continue;
            Step *gather = new_step(p, STEP_GATHER, counts[k]);
            gather->out = (Ref){places[k]->at, IN_ROWS, 1};
            gather->refs = refs_of(p, lists[k], counts[k], ONCE);
            gather->n_refs = counts[k];
        }
    }
}

/* -- backward steps ---------------------------------------------------------------------------------- */

/* Which of x, y and z a chain-rule cell reads, from its text: bit 0, 1, 2. */
static unsigned names_in(const char *cell) {
    unsigned names = 0;
    char before = ' ';
    for (; *cell; before = *cell++) {
        int inside = (before >= 'a' && before <= 'z') || before == '_' || (before >= '0' && before <= '9');
        char after = cell[1];
        int more = (after >= 'a' && after <= 'z') || after == '_' || (after >= '0' && after <= '9') ||
                   after == '(';
        if (*cell >= 'x' && *cell <= 'z' && !inside && !more) names |= 1u << (*cell - 'x');
    }
    return names;
}

static unsigned names_in_gain(uint8_t op, int which) {
    static const char *const cells[OP_COUNT][2] = {
#define CELLS2(id, symbol, refuse, lo, hi, value, gain_x, gain_y) [OP_##id] = {#gain_x, #gain_y},
#define CELLS1(id, symbol, refuse, lo, hi, value, gain_x) [OP_##id] = {#gain_x, ""},
        FOR_EACH_BINARY(CELLS2) FOR_EACH_UNARY(CELLS1) FOR_EACH_SCALED(CELLS1)
#undef CELLS2
#undef CELLS1
    };
    return names_in(cells[op][which]);
}

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
    Shape shape = op_info[node->op].shape;
    for (int which = 0; which < (shape == BINARY ? 2 : 1); which++) {
        uint32_t operand = which ? node->b : node->a;
        int stride = which ? group->stride_b : group->stride_a;
        if (!any_needs(p, operand, group->count, stride)) continue;
        unsigned names = names_in_gain(node->op, which);
        Step *step = new_gain(p, STEP_GAIN, adjoint_ref(p, operand, stage, stride), group->count, stage);
        step->op = node->op;
        step->which = (uint8_t)which;
        step->number = node->number;
        step->g = adjoint_ref(p, group->first, stage, 1);
        if (names & 1) step->x = value_ref(p, node->a, stage, group->stride_a);
        if (names & 2 && shape == BINARY) step->y = value_ref(p, node->b, stage, group->stride_b);
        if (names & 4) step->z = value_ref(p, group->first, stage, 1);
        Ref refs[] = {step->out, step->g, step->x, step->y, step->z};
        step->flat = (uint8_t)(is_flat(group->count, refs, 5) &&
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
        int is_square = run->a.space == run->b.space && run->a.at == run->b.at &&
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

static void plan_variadic_gains(Planner *p, const Group *group, Stage stage) {
    const Node *node = &p->graph->nodes[group->first];
    const uint32_t *args = p->graph->args.items + node->a;
    Ref g = adjoint_ref(p, group->first, stage, 0);
    if (node->op == OP_take) {
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
        step->g = g;
        step->refs = refs;
        step->n_refs = node->b;
        return;
    }
    uint32_t n_operands = node->op == OP_custom ? node->b / 2 : node->b;
    for (uint32_t k = 0; k < n_operands; k++) {
        if (!p->needs[args[k]]) continue;
        if (node->op == OP_where && k == 0) continue;
        StepKind kind = node->op == OP_custom  ? STEP_GAIN
                        : node->op == OP_where ? STEP_WHERE_GAIN
                                               : STEP_CLIP_GAIN;
        Step *step = new_gain(p, kind, adjoint_ref(p, args[k], stage, 0), 1, stage);
        step->which = (uint8_t)k;
        step->g = g;
        step->flat = 1;
        if (kind == STEP_GAIN) {
            step->op = OP_mul;
            step->which = 0;
            step->y = value_ref(p, args[n_operands + k], stage, 0);
        } else {
            step->n_refs = node->b;
            step->refs = refs_of(p, args, node->b, stage);
        }
    }
}

static void plan_matvec_gains(Planner *p, const Group *group, const Step *forward) {
    Graph *graph = p->graph;
    const Matvec *matvec = &graph->matvecs.items[graph->nodes[group->first].c];
    const uint32_t *inputs = graph->args.items + matvec->inputs;
    Ref g = adjoint_ref(p, group->first, SAMPLE, 1);
    uint32_t *columns = ARENA_ARRAY(p->arena, uint32_t, matvec->n_in), n = 0, reached = 0;
    Ref *refs = ARENA_ARRAY(p->arena, Ref, matvec->n_in);
    for (uint32_t k = 0; k < matvec->n_in; k++) {
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
    Step *step = new_step(p, STEP_MATVEC_W, matvec->n_out);
    step->g = g;
    step->x = forward->x;
    step->y = forward->y;
    step->refs = forward->refs;
    step->n_refs = forward->n_refs;
    if (n) {
        step = new_step(p, STEP_MATVEC_X, matvec->n_out);
        step->g = g;
        step->x = forward->x;
        step->refs = refs;
        step->n_refs = n;
        step->columns = columns;
        step->number = matvec->n_in;
        step->add = reached > 0;
    }
}

static void plan_backward(Planner *p, uint32_t from, Stage stage, const StepList *forward) {
    Needed needed = {ARENA_ARRAY(p->arena, uint8_t, p->n_values + 1),
                     ARENA_ARRAY(p->arena, uint8_t, p->n_once + 1)};
    for (uint32_t i = 0; i < p->graph->size; i++)
        if (p->row[i] != NONE && p->needs[i]) (is_sample(p, i) ? needed.rows : needed.once)[p->row[i]] = 1;
    for (uint32_t g = p->groups.size; g-- > from;) {
        const Group *group = &p->groups.items[g];
        const Node *node = &p->graph->nodes[group->first];
        if (!any_needs(p, group->first, group->count, 1)) continue;
        if (stage == SAMPLE) {
            uint32_t reached = 0;
            for (uint32_t k = 0; k < group->count; k++) reached += p->reached[group->row + k];
            if (!reached) continue;
            for (uint32_t k = 0; k < group->count; k++)
                if (!p->reached[group->row + k]) zero_row(p, p->n_values + group->row + k);
        }
        const Step *step = &forward->items[g - from];
        if (node->op == NODE_ROW) plan_matvec_gains(p, group, step);
        else if (node->op == NODE_LINEAR) plan_linear_gains(p, group, stage, step, &needed);
        else if (is_elementwise(node)) plan_map_gains(p, group, stage);
        else plan_variadic_gains(p, group, stage);
    }
}

/* -- sharing rows -------------------------------------------------------------------------------------- */

typedef void (*VisitRef)(Planner *p, Ref *ref, uint32_t count, uint32_t time);

static void visit_refs(Planner *p, Step *step, uint32_t time, VisitRef visit) {
    Ref *own[] = {&step->out, &step->g, &step->x, &step->y, &step->z};
    for (int k = 0; k < 5; k++) visit(p, own[k], step->count, time);
    for (uint32_t k = 0; k < step->n_refs; k++) visit(p, &step->refs[k], 1, time);
    for (uint32_t k = 0; k < step->n_runs; k++) {
        visit(p, &step->runs[k].a, step->runs[k].count, time);
        visit(p, &step->runs[k].b, step->runs[k].count, time);
    }
}

static void note_use(Planner *p, Ref *ref, uint32_t count, uint32_t time) {
    (void)count;
    if (ref->space != IN_ROWS) return;
    Range *range = &p->ranges.items[p->range_of[ref->at]];
    if (range->born == NONE) range->born = time;
    range->last = time;
}

static void put_in_place(Planner *p, Ref *ref, uint32_t count, uint32_t time) {
    (void)count, (void)time;
    if (ref->space != IN_ROWS) return;
    const Range *range = &p->ranges.items[p->range_of[ref->at]];
    ref->at = range->place + (ref->at - range->first);
}

static void new_range(Planner *p, uint32_t first, uint32_t count) {
    GROW(p->arena, &p->ranges, Range, 1);
    for (uint32_t k = 0; k < count; k++) p->range_of[first + k] = p->ranges.size;
    p->ranges.items[p->ranges.size++] = (Range){first, count, NONE, 0, NONE};
}

/* Rows that die make place for rows of as large a range that are born later. */
static void share_rows(Planner *p, uint32_t total) {
    uint32_t n_ranges = p->ranges.size;
    uint32_t *by_birth = ARENA_ARRAY(p->arena, uint32_t, total + 2);
    uint32_t *by_death = ARENA_ARRAY(p->arena, uint32_t, total + 2);
    uint32_t *next_born = ARENA_ARRAY(p->arena, uint32_t, n_ranges + 1);
    uint32_t *next_dead = ARENA_ARRAY(p->arena, uint32_t, n_ranges + 1);
    uint32_t *next_free = ARENA_ARRAY(p->arena, uint32_t, n_ranges + 1);
    uint32_t largest = 0, rows = 0;
    for (uint32_t r = n_ranges; r-- > 0;) { /* lists of range + 1 */
        const Range *range = &p->ranges.items[r];
        if (range->count > largest) largest = range->count;
        if (range->born == NONE) continue;
        next_born[r] = by_birth[range->born];
        by_birth[range->born] = r + 1;
        uint32_t last = range->last > total ? total : range->last;
        next_dead[r] = by_death[last];
        by_death[last] = r + 1;
    }
    uint32_t *free_list = ARENA_ARRAY(p->arena, uint32_t, largest + 1);
    for (uint32_t time = 0; time <= total; time++) {
        for (uint32_t r = by_birth[time]; r; r = next_born[r - 1]) {
            Range *range = &p->ranges.items[r - 1];
            uint32_t donor = free_list[range->count];
            if (donor) {
                range->place = p->ranges.items[donor - 1].place;
                free_list[range->count] = next_free[donor - 1];
            } else {
                range->place = rows;
                rows += range->count;
            }
        }
        for (uint32_t r = by_death[time]; r; r = next_dead[r - 1]) {
            uint32_t count = p->ranges.items[r - 1].count;
            next_free[r - 1] = free_list[count];
            free_list[count] = r;
        }
    }
    p->plan->n_rows = rows;
    StepList *lists[] = {&p->plan->forward, &p->plan->backward};
    for (int k = 0; k < 2; k++)
        for (uint32_t s = 0; s < lists[k]->size; s++) visit_refs(p, &lists[k]->items[s], 0, put_in_place);
}

/* -- the plan ------------------------------------------------------------------------------------------- */

static void find_needs(Planner *p) {
    Graph *graph = p->graph;
    uint8_t *matvec_needs = ARENA_ARRAY(p->arena, uint8_t, graph->matvecs.size + 1);
    uint32_t known = 0;
    for (uint32_t i = 0; i < graph->size; i++) {
        const Node *node = &graph->nodes[i];
        uint32_t count;
        const uint32_t *operands = node_operands(graph, i, &count);
        p->needs[i] = node->op == NODE_PARAMETER;
        for (uint32_t k = 0; k < count; k++) p->needs[i] |= p->needs[operands[k]];
        if (node->op != NODE_ROW) continue;
        while (known <= node->c) matvec_needs[known++] = 2; /* not looked at */
        if (matvec_needs[node->c] == 2) {
            const Matvec *matvec = &graph->matvecs.items[node->c];
            const uint32_t *args = graph->args.items;
            uint8_t needs = 0;
            for (uint32_t k = 0; k < matvec->n_in; k++) needs |= p->needs[args[matvec->inputs + k]];
            for (uint32_t k = 0; k < matvec->n_out * matvec->n_in; k++)
                needs |= p->needs[args[matvec->weights + k]];
            for (uint32_t k = 0; matvec->biases != NONE && k < matvec->n_out; k++)
                needs |= p->needs[args[matvec->biases + k]];
            matvec_needs[node->c] = needs;
        }
        p->needs[i] = matvec_needs[node->c];
    }
}

static void plan_inputs(Planner *p, uint32_t *before) {
    Plan *plan = p->plan;
    uint32_t last = NONE;
    plan->columns = ARENA_ARRAY(p->arena, uint32_t, p->graph->n_inputs);
    plan->column_rows = ARENA_ARRAY(p->arena, uint32_t, p->graph->n_inputs);
    for (uint32_t i = 0; i < p->graph->size; i++) {
        if (p->graph->nodes[i].op != NODE_INPUT) continue;
        p->row[i] = p->n_values;
        before[i] = last;
        if (last != NONE) p->next[last] = i;
        last = i;
        plan->columns[plan->n_columns] = p->graph->nodes[i].a;
        plan->column_rows[plan->n_columns++] = p->n_values++;
    }
}

static void plan_once_backward(Planner *p, uint32_t first_sample_group, const StepList *once,
                               const StepList *gathers) {
    /* Copies give back first: what they were made of may itself be computed. */
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
    uint32_t groups = p->groups.size;
    p->groups.size = first_sample_group;
    plan_backward(p, 0, ONCE, once);
    p->groups.size = groups;
}

static uint32_t most_members(const StepList *list) {
    uint32_t most = 1;
    for (uint32_t k = 0; k < list->size; k++)
        if (list->items[k].count > most) most = list->items[k].count;
    return most;
}

/* Of matrix products: pointers to the rows of both sides, and as many numbers. */
static uint32_t most_pointers(const StepList *list) {
    uint32_t most = 0;
    for (uint32_t k = 0; k < list->size; k++) {
        uint32_t pointers = 2 * (list->items[k].n_refs + list->items[k].count);
        if (pointers > most) most = pointers;
    }
    return most;
}

void plan_make(Plan *plan, Arena *arena, Graph *graph, int gradients) {
    Planner planner = {.arena = arena, .graph = graph, .plan = plan};
    Planner *p = &planner;
    uint32_t size = graph->size + 1;
    p->needs = ARENA_ARRAY(arena, uint8_t, size);
    p->group_of = ARENA_ARRAY(arena, uint32_t, size);
    p->position = ARENA_ARRAY(arena, uint32_t, size);
    p->next = ARENA_ARRAY(arena, uint32_t, size);
    p->row = ARENA_ARRAY(arena, uint32_t, size);
    uint32_t *before = ARENA_ARRAY(arena, uint32_t, size);
    for (uint32_t i = 0; i < size; i++) p->group_of[i] = p->row[i] = before[i] = p->next[i] = NONE;
    find_needs(p);

    place_leaves(p, before);
    for (uint32_t i = 0; i < graph->size; i++)
        if (before[i] != NONE) p->next[before[i]] = i;
    make_groups(p, ONCE, before);
    uint32_t n_once_groups = p->groups.size;
    place_groups(p, 0, &p->n_once);
    plan_forward(p, 0, ONCE);
    StepList once = take_steps(p);

    plan_inputs(p, before);
    make_groups(p, SAMPLE, before);
    place_groups(p, n_once_groups, &p->n_values);
    plan_forward(p, n_once_groups, SAMPLE);
    plan->forward = take_steps(p);
    plan_matrices(p, &plan->forward);
    StepList gathers = take_steps(p);
    plan->n_once = p->n_once;

    plan->once.size = once.size + gathers.size;
    plan->once.items = ARENA_ARRAY(arena, Step, plan->once.size);
    if (once.size) memcpy(plan->once.items, once.items, once.size * sizeof(Step));
    if (gathers.size) memcpy(plan->once.items + once.size, gathers.items, gathers.size * sizeof(Step));

    plan->roots = ARENA_ARRAY(arena, Ref, graph->n_roots);
    for (uint32_t k = 0; k < graph->n_roots; k++)
        plan->roots[k] = value_ref(p, graph->roots[k], SAMPLE, 0);
    p->reached = ARENA_ARRAY(arena, uint8_t, p->n_values + 1);
    Ref seed = {0};
    if (gradients) {
        seed = adjoint_ref(p, graph->roots[0], SAMPLE, 0);
        if (seed.space == IN_ROWS) p->reached[seed.at - p->n_values] = 1;
        plan_backward(p, n_once_groups, SAMPLE, &plan->forward);
        plan->backward = take_steps(p);
        plan_once_backward(p, n_once_groups, &once, &gathers);
        plan->once_backward = take_steps(p);
    }

    p->range_of = ARENA_ARRAY(arena, uint32_t, 2 * (size_t)p->n_values + 1);
    for (uint32_t half = 0; half < (gradients ? 2u : 1u); half++) {
        if (plan->n_columns) new_range(p, half * p->n_values, plan->n_columns);
        for (uint32_t g = n_once_groups; g < p->groups.size; g++)
            new_range(p, half * p->n_values + p->groups.items[g].row, p->groups.items[g].count);
    }
    uint32_t time = 0, forward_end = plan->forward.size;
    for (uint32_t k = 0; k < plan->n_columns; k++)
        note_use(p, &(Ref){plan->column_rows[k], IN_ROWS, 0}, 1, 0);
    for (uint32_t k = 0; k < plan->forward.size; k++) visit_refs(p, &plan->forward.items[k], time++, note_use);
    for (uint32_t k = 0; k < graph->n_roots; k++) note_use(p, &plan->roots[k], 1, forward_end);
    note_use(p, &seed, 1, forward_end);
    time++;
    for (uint32_t k = 0; k < plan->backward.size; k++)
        visit_refs(p, &plan->backward.items[k], time++, note_use);
    /* A step's lists are shared with its gains': put each in place once. */
    for (uint32_t k = 0; k < plan->backward.size; k++) {
        Step *step = &plan->backward.items[k];
        if (step->kind != STEP_MATVEC_W) continue;
        Ref *own = ARENA_ARRAY(arena, Ref, step->n_refs);
        memcpy(own, step->refs, step->n_refs * sizeof(Ref));
        step->refs = own;
    }
    share_rows(p, time);
    for (uint32_t k = 0; k < plan->n_columns; k++) {
        Ref ref = {plan->column_rows[k], IN_ROWS, 0};
        put_in_place(p, &ref, 1, 0);
        plan->column_rows[k] = ref.at;
    }
    for (uint32_t k = 0; k < graph->n_roots; k++) put_in_place(p, &plan->roots[k], 1, 0);
    if (gradients && seed.space == IN_ROWS) put_in_place(p, &seed, 1, 0);
    plan->root_adjoint = seed.at;
    plan->most_members = most_members(&plan->once_backward);
    const StepList *all[] = {&plan->forward, &plan->backward};
    for (int k = 0; k < 2; k++) {
        uint32_t most = most_pointers(all[k]);
        if (most > plan->most_pointers) plan->most_pointers = most;
    }
}
