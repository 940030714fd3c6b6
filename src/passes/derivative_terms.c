/* SPDX-License-Identifier: MIT */
#include "derivative_terms.h"

/* -- choices by an index ---------------------------------------------------------------------------- */

uint32_t whole_index(Work *work, uint32_t i, uint32_t n_elements) {
    Builder *b = work->b;
    uint32_t index = operand_of(b, i, 0);
    if (b->decides) {
        double number = b->values[index];
        return build_number(b, number < 0 ? number + n_elements : number);
    }
    uint32_t *known = work->indices ? &work->indices[i] : NULL;
    if (known && *known) return *known - 1;
    work->sorted.size = 0;
    GROW(b->graph->scratch, &work->sorted, uint32_t, n_elements);
    for (uint32_t k = 0; k < n_elements; k++) work->sorted.items[k] = build_number(b, k);
    index = build_take(b, index, work->sorted.items, n_elements);
    if (known) *known = index + 1;
    return index;
}

/* -- sides of choices ------------------------------------------------------------------------------- */

/* Whether the take of a side chooses one of its elements. */
static uint32_t is_among(Work *work, const Side *side) {
    Builder *b = work->b;
    uint32_t index = whole_index(work, side->a, b->graph->nodes[side->a].b - 1), first = build_number(b, side->c);
    if (side->count == 1) return build_map(b, OP_equal, index, first, NONE, 0);
    uint32_t is_below_end = build_map(b, OP_less, index, build_number(b, side->c + side->count), NONE, 0);
    return build_map(b, OP_mul, build_map(b, OP_less_equal, first, index, NONE, 0), is_below_end, NONE, 0);
}

/* Of a side whose parts have their conditions. */
static uint32_t build_condition(Work *work, const Side *side) {
    Builder *b = work->b;
    const uint32_t *conditions = work->conditions;
    uint32_t one = build_number(b, 1.0), zero = build_number(b, 0.0), inner = NONE;
    switch ((SideKind)side->kind) {
    case SIDE_EVERYWHERE: return one;
    case SIDE_EITHER: return build_map(b, OP_where, conditions[side->a] - 1, one, conditions[side->b] - 1, 0);
    case SIDE_CHOSEN: inner = side->a; break;
    case SIDE_OTHER: inner = build_map(b, OP_where, side->a, zero, one, 0); break;
    case SIDE_ELEMENTS: inner = is_among(work, side); break;
    }
    return side->b ? build_map(b, OP_where, conditions[side->b] - 1, inner, zero, 0) : inner;
}

/* After those of the sides that it is made of, which stand before it. */
static uint32_t condition_of(Work *work, uint32_t s) {
    uint32_t *conditions = work->conditions;
    work->pending.size = 0;
    for (uint32_t next = s; !conditions[s];) {
        const Side *side = &work->sides->all.items[next];
        int is_pair = side->kind == SIDE_EITHER;
        uint32_t part = is_pair && !conditions[side->a] ? side->a : side->b;
        if (part && !conditions[part]) {
            GROW(work->b->graph->scratch, &work->pending, uint32_t, 1);
            work->pending.items[work->pending.size++] = next;
            next = part;
            continue;
        }
        conditions[next] = build_condition(work, side) + 1;
        if (work->pending.size) next = work->pending.items[--work->pending.size];
    }
    return conditions[s] - 1;
}

uint32_t mask(Work *work, uint32_t p) {
    const Side *side = &work->sides->all.items[work->side];
    uint32_t zero = build_number(work->b, 0.0);
    if (side->kind == SIDE_OTHER && side->b == 0) return build_map(work->b, OP_where, side->a, zero, p, 0);
    return build_map(work->b, OP_where, condition_of(work, work->side), p, zero, 0);
}
