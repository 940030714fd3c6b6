/* SPDX-License-Identifier: MIT */
#include "sides.h"

#include "program/loops.h"

#define MOST_LOOKS 64 /* at the sides around a side; beyond, two sides are one that is either of them */

int has_choices(const Graph *graph, uint32_t size) {
    for (uint32_t i = 0; i < size; i++)
        if (graph->nodes[i].op == OP_where || graph->nodes[i].op == OP_take) return 1;
    return 0;
}

/* -- sides, each once -------------------------------------------------------------------------------- */

static size_t slot_of(const Sides *sides, const Side *side) {
    size_t slot = mix(mix(mix(mix(side->kind, side->a), side->b), side->c), side->count) & (sides->table_size - 1);
    for (; sides->table[slot]; slot = (slot + 1) & (sides->table_size - 1)) {
        const Side *known = &sides->all.items[sides->table[slot] - 1];
        if (known->kind == side->kind && known->a == side->a && known->b == side->b && known->c == side->c &&
            known->count == side->count)
            break;
    }
    return slot;
}

static uint32_t get_side(Sides *sides, Side side) {
    Arena *scratch = sides->scratch;
    if (sides->table_size < 2 * ((size_t)sides->all.size + 1)) {
        sides->table_size = table_size(2 * (size_t)sides->all.size + 16);
        sides->table = ARENA_ARRAY(scratch, uint32_t, sides->table_size);
        for (uint32_t k = 0; k < sides->all.size; k++) sides->table[slot_of(sides, &sides->all.items[k])] = k + 1;
    }
    size_t slot = slot_of(sides, &side);
    if (!sides->table[slot]) {
        GROW(scratch, &sides->all, Side, 1);
        sides->all.items[sides->all.size] = side;
        sides->table[slot] = ++sides->all.size;
    }
    return sides->table[slot] - 1;
}

static uint8_t later(uint8_t a, uint8_t b) { return a > b ? a : b; }

/* Whether side s lies within t, as far as that is seen at once. */
static int is_within(const Sides *sides, uint32_t s, uint32_t t) {
    for (int looks = 0; looks < MOST_LOOKS && s > t; looks++) {
        const Side *side = &sides->all.items[s];
        if (side->kind == SIDE_EITHER) return 0;
        s = side->b;
    }
    return s == t;
}

/* Whether both are elements of one take that lie side by side, or have some in common. */
static int is_stretch(const Side *s, const Side *t) {
    return s->kind == SIDE_ELEMENTS && t->kind == SIDE_ELEMENTS && s->a == t->a && s->b == t->b &&
           s->c <= t->c + t->count && t->c <= s->c + s->count;
}

/* The elements of either side: all that a take has are every sample of the side around. */
static uint32_t stretch_of(Sides *sides, const Side *s, const Side *t) {
    Side both = *s;
    uint32_t end = s->c + s->count > t->c + t->count ? s->c + s->count : t->c + t->count;
    if (t->c < both.c) both.c = t->c;
    both.count = end - both.c;
    return both.count == sides->graph->nodes[both.a].b - 1 ? both.b : get_side(sides, both);
}

uint32_t either_side(Sides *sides, uint32_t s, uint32_t t) {
    if (s == 0 || t == 0) return 0;
    if (is_within(sides, s, t)) return t;
    if (is_within(sides, t, s)) return s;
    const Side first = sides->all.items[s], second = sides->all.items[t];
    if (first.kind + second.kind == SIDE_CHOSEN + SIDE_OTHER && first.kind != second.kind && first.a == second.a &&
        first.b == second.b)
        return first.b; /* both sides of a choice */
    if (is_stretch(&first, &second)) return stretch_of(sides, &first, &second);
    return get_side(
        sides,
        (Side){.kind = SIDE_EITHER, .a = s < t ? s : t, .b = s < t ? t : s, .stage = later(first.stage, second.stage)});
}

/* -- the sides of nodes ------------------------------------------------------------------------------ */

/* Whether operand k is a side of choice i. */
static int is_choice(const Node *node, uint32_t k) { return k > 0 && (node->op == OP_where || node->op == OP_take); }

uint32_t side_by(Sides *sides, uint32_t i, uint32_t k) {
    const Node *node = &sides->graph->nodes[i];
    uint32_t around = sides->of[i], count;
    if (!is_choice(node, k)) return around;
    uint32_t condition = node_operands(sides->graph, i, &count)[0];
    Side side = {.kind = k == 1 ? SIDE_CHOSEN : SIDE_OTHER, .a = condition, .b = around};
    if (node->op == OP_take) side = (Side){.kind = SIDE_ELEMENTS, .a = i, .b = around, .c = k - 1, .count = 1};
    side.stage = later(sides->graph->nodes[condition].stage, sides->all.items[around].stage);
    return get_side(sides, side);
}

uint32_t side_left(Sides *sides, uint32_t i, uint32_t k, uint32_t operand) {
    uint32_t by = sides->of[i], of = sides->of[operand];
    if (by == of || (is_choice(&sides->graph->nodes[i], k) && side_by(sides, i, k) == of)) return 0;
    return by;
}

/* Node i uses a node of a loop as operand k. */
static void note_use(Sides *sides, uint32_t i, uint32_t k, uint32_t operand) {
    const Graph *graph = sides->graph;
    uint32_t *of = &sides->of_loop[operand];
    uint32_t by = is_of_loop(graph, i) ? sides->of_loop[i] : side_by(sides, i, k);
    if (by == NONE || *of == 0 || !sides->leads[operand] || operand_stops(&graph->nodes[i], k)) return;
    if (sides->over_batch && graph->nodes[operand].stage < sides->all.items[by].stage) by = 0;
    *of = *of == NONE ? by : either_side(sides, *of, by);
}

void find_sides(Sides *sides) {
    const Graph *graph = sides->graph;
    get_side(sides, (Side){.kind = SIDE_EVERYWHERE});
    if (has_loops(graph)) sides->of_loop = ARENA_ARRAY(sides->scratch, uint32_t, sides->size);
    for (uint32_t i = 0; i < sides->size && sides->of_loop; i++) {
        sides->of_loop[i] = sides->of[i] == 0 ? 0 : NONE;
        if (is_of_loop(graph, i)) sides->of[i] = 0;
    }
    for (uint32_t i = sides->size; i-- > 0;) {
        if (sides->of[i] == NONE) continue;
        uint32_t count;
        const Node *node = &graph->nodes[i];
        const uint32_t *operands = node_operands(graph, i, &count);
        for (uint32_t k = 0; k < count; k++) {
            uint32_t *of = &sides->of[operands[k]];
            if (sides->of_loop && is_of_loop(graph, operands[k])) note_use(sides, i, k, operands[k]);
            if (!sides->leads[operands[k]] || *of == 0 || operand_stops(node, k)) continue;
            uint32_t by = side_by(sides, i, k);
            if (sides->over_batch && graph->nodes[operands[k]].stage < sides->all.items[by].stage) by = 0;
            *of = *of == NONE ? by : either_side(sides, *of, by);
        }
    }
}
