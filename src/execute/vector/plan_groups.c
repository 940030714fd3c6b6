/* SPDX-License-Identifier: MIT
 *
 * Groups: nodes that one step computes, since their operands stand in consecutive rows.
 */
#include "planner.h"

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

static uint32_t new_group(Planner *p, uint32_t i) {
    GROW(p->scratch, &p->groups, Group, 1);
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

/* The rows of the matrix product whose first row is node i. */
static void join_rows(Planner *p, uint32_t i, uint32_t *before) {
    const Graph *graph = p->graph;
    uint32_t g = new_group(p, i), product = graph->nodes[i].a, left = product_of(graph, product).n_out - 1;
    for (uint32_t j = i + 1; left > 0; j++) {
        if (graph->nodes[j].op != NODE_PART || graph->nodes[j].a != product) continue;
        join(p, g, j, before);
        left--;
    }
}

enum { MOST_SUMS = 32 }; /* of a group: the rows of all live as long as one of them is read */

/* Whether sum or take i can stand behind the last one of group g: what is computed of the row of a table, or of sums
 * that look alike, then stands side by side, too. */
static int follows(const Planner *p, uint32_t i, uint32_t g) {
    if (g == NONE || p->groups.items[g].count == MOST_SUMS) return 0;
    const Node *node = &p->graph->nodes[i], *last = &p->graph->nodes[p->groups.items[g].last];
    const uint32_t *args = p->graph->args.items + node->a;
    if (node->op != last->op || node->b != last->b || p->needs[i] != p->needs[p->groups.items[g].last]) return 0;
    if (node->op == OP_take ? args[0] != p->graph->args.items[last->a] : node->c != last->c) return 0;
    for (uint32_t k = 0; k < node->b; k++)
        if (p->group_of[args[k]] != NONE && p->group_of[args[k]] >= g) return 0;
    return 1;
}

/* Two draws that come of one counter are drawn together. pairs: one more than the group of each pair. */
static void place_draw(Planner *p, uint32_t i, uint32_t *pairs, uint32_t *before) {
    uint32_t draw = p->graph->nodes[i].a, *group = &pairs[draw / 2];
    if (*group && draw % 2) join(p, *group - 1, i, before);
    else *group = new_group(p, i) + 1;
}

enum { MOST_LINKS = 64 }; /* of a chain: the rows of all live as long as one of them is read */

/* The chain that node i of two operands is the next link of: it begins where the last one ends, and its other operand
 * stands behind that one's. NONE: there is none. */
static uint32_t chain_of(const Planner *p, uint32_t i, const uint32_t *before) {
    const Node *node = &p->graph->nodes[i], *last = &p->graph->nodes[node->a];
    uint32_t g = p->group_of[node->a];
    if (g == NONE || last->op != node->op || is_sample(p, node->a) != is_sample(p, i)) return NONE;
    const Group *group = &p->groups.items[g];
    if (group->last != node->a || group->count == MOST_LINKS || (group->count > 1 && !group->is_chain)) return NONE;
    if (before[node->b] == NONE || before[node->b] != last->b || p->needs[i] != p->needs[node->a]) return NONE;
    return p->group_of[node->b] == NONE || p->group_of[node->b] < g ? g : NONE;
}

/* Puts the nodes of a stage into groups; leaves and once rows are in `before` already. A node joins
 * the group whose last member's operands stand one row before its own, or are its own; or a chain. */
void plan_groups(Planner *p, Stage stage, uint32_t *before) {
    Graph *graph = p->graph;
    size_t size = 16;
    while (size < 2 * (size_t)p->size) size *= 2;
    uint32_t *table = ARENA_ARRAY(p->scratch, uint32_t, size); /* key of the last member -> group + 1 */
    uint64_t *keys = ARENA_ARRAY(p->scratch, uint64_t, size);
    uint32_t listed = NONE; /* the group of the last sum or take */
    uint32_t *pairs = ARENA_ARRAY(p->scratch, uint32_t, graph->n_draws / 2 + 1);
    for (uint32_t i = 0; i < p->size; i++) {
        const Node *node = &graph->nodes[i];
        if (stage == SAMPLE ? node->stage != SAMPLE : node->stage == SAMPLE) continue;
        switch (form_of(node)) {
        case FORM_CONSTANT:
        case FORM_PARAMETER:
        case FORM_INPUT:
        case FORM_PRODUCT: continue;
        case FORM_DRAW: place_draw(p, i, pairs, before); continue;
        case FORM_PART:
            if (node->b == 0) join_rows(p, i, before); /* the first row brings them all */
            continue;
        case FORM_LINEAR:
        case FORM_TAKE:
            if (follows(p, i, listed)) join(p, listed, i, before);
            else listed = new_group(p, i);
            continue;
        case FORM_CUSTOM: new_group(p, i); continue;
        case FORM_MAP:
            if (op_info[node->op].shape != TERNARY) break;
            new_group(p, i);
            continue;
            CASES_OF_LOOPS
            CASES_OF_GRADIENTS
            abort(); /* refused; of gradient graphs */
        }
        int binary = op_info[node->op].shape == BINARY, repeats = stage == SAMPLE && node->op == OP_same;
        uint32_t a = node->a, b = binary ? node->b : NONE;
        uint32_t a1 = before[a], b1 = binary ? before[b] : NONE;
        uint32_t found = NONE;
        size_t slot = 0;
        for (int way = 0; way < 3 && found == NONE; way++) {
            uint32_t pa = way == 1 ? a : a1, pb = !binary ? NONE : way == 2 ? b : b1;
            if (pa == NONE || (binary && pb == NONE) || (!binary && (way == 2 || (way && !repeats)))) continue;
            uint64_t key = group_key(p, i, pa, pb);
            for (slot = key & (size - 1); table[slot]; slot = (slot + 1) & (size - 1)) {
                Group *group = &p->groups.items[table[slot] - 1];
                const Node *last = &graph->nodes[group->last];
                int sa = way != 1, sb = way != 2;
                if (group->is_chain || keys[slot] != key || last->op != node->op || last->a != pa ||
                    (binary && last->b != pb))
                    continue;
                if (p->needs[group->last] != p->needs[i]) continue;
                if (op_info[node->op].shape == SCALED && last->number != node->number) continue;
                if (group->strides_known && (group->stride_a != sa || (binary && group->stride_b != sb))) continue;
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
        if (found == NONE && binary && (found = chain_of(p, i, before)) != NONE) {
            Group *chain = &p->groups.items[found];
            chain->is_chain = chain->strides_known = chain->stride_b = 1;
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
void plan_leaves(Planner *p, uint32_t *before) {
    Graph *graph = p->graph;
    uint32_t last = NONE;
    for (uint32_t i = 0; i < p->size; i++) {
        if (graph->nodes[i].op != NODE_PRODUCT) continue;
        Product product = product_of(graph, i);
        for (uint32_t k = 0; k < product.n_out * product.n_in; k++) place_once(p, product.weights[k], before, &last);
        for (uint32_t k = 0; product.biases && k < product.n_out; k++) place_once(p, product.biases[k], before, &last);
    }
    for (uint32_t i = 0; i < p->size; i++)
        if (graph->nodes[i].op == NODE_PARAMETER) place_once(p, i, before, &last);
    for (uint32_t i = 0; i < p->size; i++)
        if (graph->nodes[i].op == NODE_CONSTANT) place_once(p, i, before, &last);
    Plan *plan = p->plan;
    plan->parameter_row = ARENA_ARRAY(p->arena, uint32_t, graph->n_parameters);
    for (uint32_t k = 0; k < graph->n_parameters; k++) plan->parameter_row[k] = NONE;
    plan->constant_rows = ARENA_ARRAY(p->arena, uint32_t, p->n_once);
    plan->constants = ARENA_ARRAY(p->arena, double, p->n_once);
    for (uint32_t i = 0; i < p->size; i++) {
        if (p->row[i] == NONE) continue;
        if (graph->nodes[i].op == NODE_PARAMETER) plan->parameter_row[graph->nodes[i].a] = p->row[i];
        else if (graph->nodes[i].op == NODE_CONSTANT) {
            plan->constant_rows[plan->n_constants] = p->row[i];
            plan->constants[plan->n_constants++] = graph->nodes[i].number;
        }
    }
}
