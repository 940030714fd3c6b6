/* SPDX-License-Identifier: MIT */
#include "build.h"

#include "loops.h"

static void new_node(Builder *b, Node node, double value) {
    build_room(b, 1);
    b->graph->nodes[b->graph->size] = node;
    b->values[b->graph->size++] = value;
}

/* A new node whose node.b operands stand in args: where they are to be written. */
static uint32_t *new_listed(Builder *b, Node node, double value) {
    Graph *graph = b->graph;
    GROW(graph->arena, &graph->args, uint32_t, node.b);
    node.a = graph->args.size;
    graph->args.size += node.b;
    new_node(b, node, value);
    return graph->args.items + node.a;
}

/* Of the last node, which has got its operands: the stage that they give it. The node. */
static uint32_t set_stage(Builder *b) {
    uint32_t i = b->graph->size - 1;
    if (!b->decides) b->graph->nodes[i].stage = (uint8_t)graph_stage(b->graph, i);
    return i;
}

void build_room(Builder *b, uint32_t nodes) {
    Graph *graph = b->graph;
    if (b->capacity - graph->size >= nodes) return;
    uint32_t capacity = (graph->size + nodes) * 2;
    Node *grown = ARENA_ARRAY(graph->arena, Node, capacity);
    double *values = ARENA_ARRAY(graph->arena, double, capacity);
    if (graph->size) {
        memcpy(grown, graph->nodes, graph->size * sizeof(Node));
        memcpy(values, b->values, graph->size * sizeof(double));
    }
    graph->nodes = grown;
    b->values = values;
    b->capacity = capacity;
}

uint32_t build_number(Builder *b, double number) {
    uint64_t bits;
    memcpy(&bits, &number, sizeof bits);
    uint32_t *known = &b->numbers[bits * UINT64_C(0x9E3779B97F4A7C15) >> 59];
    if (!*known || memcmp(&b->values[*known - 1], &number, sizeof number) != 0)
        *known = build_own_number(b, number) + 1;
    return *known - 1;
}

uint32_t build_own_number(Builder *b, double number) {
    new_node(b, (Node){.op = NODE_CONSTANT, .number = number, .stage = CONSTANT}, number);
    return b->graph->size - 1;
}

uint32_t build_input(Builder *b, uint32_t a, double value) {
    new_node(b, (Node){.op = NODE_INPUT, .a = a, .stage = SAMPLE}, value);
    return b->graph->size - 1;
}

static int is_number(const Builder *b, uint32_t i) { return b->graph->nodes[i].op == NODE_CONSTANT; }

/* Bits, not values: 0.0 is not -0.0. */
static int is(const Builder *b, uint32_t i, double number) {
    return is_number(b, i) && memcmp(&b->values[i], &number, sizeof number) == 0;
}

/* Which node there is already for an operation on these; NONE: there is none. */
static uint32_t known(Builder *b, Op op, uint32_t x, uint32_t y, uint32_t w) {
    const Node *nodes = b->graph->nodes;
    switch (op) {
    case OP_add:
        if (is(b, y, -0.0)) return x;
        if (is(b, x, -0.0)) return y;
        return NONE;
    case OP_sub: return is(b, y, 0.0) ? x : NONE;
    case OP_mul:
        if (is(b, y, 1.0)) return x;
        if (is(b, x, 1.0)) return y;
        return NONE;
    case OP_truediv: return is(b, y, 1.0) ? x : NONE;
    case OP_pow:
        if (is(b, y, 1.0)) return x;
        return is_number(b, y) && b->values[y] == 0 ? build_number(b, 1.0) : NONE;
    case OP_neg: return nodes[x].op == OP_neg ? nodes[x].a : NONE;
    case OP_where: return b->decides || is_number(b, x) ? (b->values[x] > 0 ? y : w) : NONE;
    default: /* all others are computed */ return NONE;
    }
}

uint32_t build_map(Builder *b, Op op, uint32_t x, uint32_t y, uint32_t w, double number) {
    uint32_t arity = op_arity(op), found = known(b, op, x, y, w);
    if (found != NONE) return found;
    if (op == OP_mul && is(b, y, -1.0)) return build_map(b, OP_neg, x, NONE, NONE, 0);
    if (op == OP_mul && is(b, x, -1.0)) return build_map(b, OP_neg, y, NONE, NONE, 0);
    double value = op_value(op, b->values[x], arity > 1 ? b->values[y] : number, arity > 2 ? b->values[w] : 0.0);
    if (is_number(b, x) && (arity < 2 || is_number(b, y)) && (arity < 3 || is_number(b, w)))
        return build_number(b, value);
    new_node(b, (Node){.op = (uint8_t)op, .a = x, .b = y, .c = w, .number = number}, value);
    return set_stage(b);
}

uint32_t build_linear(Builder *b, const uint32_t *terms, uint32_t n_pairs, uint32_t n_addends) {
    uint32_t count = 2 * n_pairs + n_addends;
    if (count == 1) return terms[0];
    if (n_pairs == 1 && n_addends == 0) return build_map(b, OP_mul, terms[0], terms[1], NONE, 0);
    if (n_pairs == 0 && n_addends == 2) return build_map(b, OP_add, terms[0], terms[1], NONE, 0);
    /* As the tape does it, where a sum of several addends is a node by itself. */
    double value = n_addends ? b->values[terms[2 * n_pairs]] : 0.0, products = 0.0;
    for (uint32_t k = 1; k < n_addends; k++) value += b->values[terms[2 * n_pairs + k]];
    double *total = n_addends > 1 && n_pairs ? &products : &value;
    for (uint32_t k = 0; k < n_pairs; k++) *total += b->values[terms[2 * k]] * b->values[terms[2 * k + 1]];
    value = total == &products ? value + products : value;
    uint32_t *args = new_listed(b, (Node){.op = NODE_LINEAR, .b = count, .c = n_pairs}, value);
    memcpy(args, terms, count * sizeof *terms);
    return set_stage(b);
}

uint32_t build_take(Builder *b, uint32_t index, const uint32_t *elements, uint32_t n_elements) {
    double at = b->values[index];
    if (at < 0) at += n_elements;
    double value = at >= 0 && at < n_elements ? b->values[elements[(uint32_t)at]] : NAN;
    uint32_t *args = new_listed(b, (Node){.op = OP_take, .b = 1 + n_elements}, value);
    args[0] = index;
    memcpy(args + 1, elements, n_elements * sizeof *elements);
    return set_stage(b);
}

/* -- loops, which have no numbers ------------------------------------------------------------------ */

uint32_t build_part(Builder *b, uint32_t record, uint32_t k) {
    new_node(b, (Node){.op = NODE_PART, .a = record, .b = k}, NAN);
    return set_stage(b);
}

uint32_t build_sequence(Builder *b, uint32_t scan, uint32_t k) {
    new_node(b, (Node){.op = NODE_SEQUENCE, .a = scan, .b = k}, NAN);
    return set_stage(b);
}

static uint32_t build_record(Builder *b, Node node, const uint32_t *operands) {
    uint32_t *args = new_listed(b, node, NAN);
    if (node.b) memcpy(args, operands, node.b * sizeof *operands);
    return set_stage(b);
}

uint32_t build_list(Builder *b, const uint32_t *elements, uint32_t count) {
    return build_record(b, (Node){.op = NODE_LIST, .b = count}, elements);
}

uint32_t build_scan(Builder *b, Scan *scan, const uint32_t *operands, uint32_t count) {
    return build_record(b, (Node){.op = NODE_SCAN, .b = count, .c = add_scan(b->graph, scan)}, operands);
}

/* -- cells ----------------------------------------------------------------------------------------- */

/* A choice that the numbers make is made before its branches are built. */
static uint32_t build_choice(Builder *b, const Cell *cell, const Item *choice, const uint32_t names[NAME_COUNT],
                             uint32_t *known) {
    static const Op comparisons[] = {OP_less, OP_less_equal, OP_equal};
    const Item *compare = &cell->items[choice->a];
    uint32_t left = build_item(b, cell, compare->a, names, known);
    uint32_t right = build_item(b, cell, compare->b, names, known);
    Op op = comparisons[compare->compare];
    if (b->decides || (is_number(b, left) && is_number(b, right))) {
        int holds = op_value(op, b->values[left], b->values[right], 0.0) > 0;
        return build_item(b, cell, holds ? choice->b : choice->c, names, known);
    }
    int is_noted = known && !item_reads_g(cell, choice->a);
    uint32_t condition = is_noted && known[choice->a] ? known[choice->a] - 1 : build_map(b, op, left, right, NONE, 0);
    if (is_noted) known[choice->a] = condition + 1;
    uint32_t chosen = build_item(b, cell, choice->b, names, known);
    uint32_t other = build_item(b, cell, choice->c, names, known);
    return chosen == other ? chosen : build_map(b, OP_where, condition, chosen, other, 0);
}

static uint32_t build_call(Builder *b, const Cell *cell, const Item *call, const uint32_t names[NAME_COUNT],
                           uint32_t *known) {
    uint32_t arity = op_arity(call->op), operands[3] = {NONE, NONE, NONE};
    const uint8_t items[] = {call->a, call->b, call->c};
    for (uint32_t k = 0; k < arity; k++) operands[k] = build_item(b, cell, items[k], names, known);
    return build_map(b, (Op)call->op, operands[0], operands[1], operands[2], 0);
}

uint32_t build_item(Builder *b, const Cell *cell, uint8_t at, const uint32_t names[NAME_COUNT], uint32_t *known) {
    const Item *item = &cell->items[at];
    if (known && known[at]) return known[at] - 1;
    uint32_t made = NONE;
    switch ((ItemKind)item->kind) {
    case ITEM_NUMBER: made = build_number(b, item->number); break;
    case ITEM_NAME: made = names[item->name]; break;
    case ITEM_CALL: made = build_call(b, cell, item, names, known); break;
    case ITEM_CHOICE: made = build_choice(b, cell, item, names, known); break;
    case ITEM_COMPARE: abort(); /* part of a choice */
    }
    if (known && !item_reads_g(cell, at)) known[at] = made + 1;
    return made;
}
