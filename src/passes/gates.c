/* SPDX-License-Identifier: MIT */
#include "gates.h"

#include "program/loops.h"

/* A gate of an operand, for the users of a side. */
typedef struct {
    uint32_t side, node, next; /* next: one more than the index of the operand's next entry */
} Entry;

typedef struct {
    const Graph *from;
    Graph *to;
    Arena *scratch;
    Sides sides;
    GROWING(Node) nodes; /* of the new graph */
    GROWING(Entry) entries;
    uint32_t *entry;     /* of each old node: one more than its first entry */
    uint32_t *place;     /* of each old node: the new one */
    uint32_t varying;    /* a new node that changes with the sample, before all others */
    uint32_t one, zero;  /* new nodes, for conditions */
    uint32_t *gaining;   /* of each old product: the side of the samples in which its weights gain; NONE: of none */
    uint32_t *index;     /* of each old take: a new node, its index from the first element on; 0: none so far */
} Work;

static uint32_t append(Work *work, Node node) {
    GROW(work->scratch, &work->nodes, Node, 1);
    work->to->nodes = work->nodes.items;
    work->nodes.items[work->nodes.size++] = node;
    work->to->size = work->nodes.size;
    return work->nodes.size - 1;
}

static uint32_t append_map(Work *work, Op op, uint32_t a, uint32_t b, uint32_t c) {
    uint32_t i = append(work, (Node){.op = (uint8_t)op, .a = a, .b = b, .c = c});
    set_stage(work->to, i);
    return i;
}

static uint32_t append_number(Work *work, double number) {
    return append(work, (Node){.op = NODE_CONSTANT, .number = number, .stage = CONSTANT});
}

/* By which side what operand k of node i gains has to be masked; 0: by none. */
static uint32_t side_of_gate(Work *work, uint32_t i, uint32_t k, uint32_t operand) {
    const Graph *graph = work->from;
    const Node *node = &graph->nodes[i];
    Sides *sides = &work->sides;
    if (sides->of[i] == NONE || !sides->leads[operand] || operand_stops(node, k)) return 0;
    if (node->op == NODE_PART || (node->op == NODE_PRODUCT && k >= node->c)) return 0; /* a record; weights */
    if (is_record_of_loop(node)) return is_record_of_loop(&graph->nodes[operand]) ? 0 : side_of_loop(sides, i);
    uint32_t side = side_left(sides, i, k, operand);
    /* Sums over the batch are made of the adjoints of a product's parts themselves. */
    return !side && graph->nodes[operand].op == NODE_PART ? sides->of[operand] : side;
}

static uint32_t get_gate(Work *work, uint32_t operand, uint32_t side) {
    uint32_t *last = &work->entry[operand], x = work->place[operand];
    for (; *last; last = &work->entries.items[*last - 1].next)
        if (work->entries.items[*last - 1].side == side) return work->entries.items[*last - 1].node;
    /* The sum over the batch, if there is one, comes behind the gate. */
    int is_wider = work->sides.all.items[side].stage == SAMPLE && work->to->nodes[x].stage != SAMPLE;
    uint32_t gate = is_wider ? append_map(work, OP_where, work->varying, x, x) : append_map(work, OP_same, x, 0, 0);
    uint32_t first = work->entry[operand];
    GROW(work->scratch, &work->entries, Entry, 1);
    work->entries.items[work->entries.size++] = (Entry){side, gate, first};
    work->entry[operand] = work->entries.size;
    return gate;
}

static void copy_node(Work *work, uint32_t i) {
    const Graph *from = work->from;
    Node node = from->nodes[i];
    uint32_t count, places[ARITY];
    const uint32_t *operands = node_operands(from, i, &count);
    uint32_t *args = places;
    if (has_args(&node)) {
        GROW(work->scratch, &work->to->args, uint32_t, count);
        args = work->to->args.items + work->to->args.size;
        node.a = work->to->args.size;
        work->to->args.size += count;
    }
    for (uint32_t k = 0; k < count; k++) {
        uint32_t side = side_of_gate(work, i, k, operands[k]);
        args[k] = side ? get_gate(work, operands[k], side) : work->place[operands[k]];
    }
    if (!has_args(&node) && count) memcpy(&node.a, places, count * sizeof *places);
    work->place[i] = append(work, node);
    set_stage(work->to, work->place[i]);
}

/* An input or a draw, the first one; NONE: no node changes with the sample. */
static uint32_t find_varying(const Graph *graph) {
    for (uint32_t i = 0; i < graph->size; i++)
        if (graph->nodes[i].op == NODE_INPUT || graph->nodes[i].op == NODE_DRAW) return i;
    return NONE;
}

/* Not what is added to it, which gains the part's adjoint as it is. */
static int weights_lead(const Work *work, uint32_t product, uint32_t row) {
    Product of = product_of(work->from, product);
    for (uint32_t k = 0; k < of.n_in; k++)
        if (work->sides.leads[of.weights[(size_t)row * of.n_in + k]]) return 1;
    return 0;
}

/* Of each product: the samples that use a part of it by which weights gain. */
static void find_gaining(Work *work) {
    const Graph *from = work->from;
    work->gaining = ARENA_ARRAY(work->scratch, uint32_t, from->size);
    for (uint32_t i = 0; i < from->size; i++) work->gaining[i] = NONE;
    for (uint32_t i = 0; i < from->size; i++) {
        const Node *node = &from->nodes[i];
        uint32_t side = work->sides.of[i];
        if (node->op != NODE_PART || from->nodes[node->a].op != NODE_PRODUCT) continue;
        if (side == NONE || !weights_lead(work, node->a, node->b)) continue;
        uint32_t *gaining = &work->gaining[node->a];
        *gaining = *gaining == NONE ? side : either_side(&work->sides, *gaining, side);
    }
}

/* Whether node i is a product whose weights gain in some samples only. */
static int is_gated_product(const Work *work, uint32_t i) { return work->gaining[i] != NONE && work->gaining[i] != 0; }

/* -- conditions ------------------------------------------------------------------------------------- */

/* Whether the index is one of `count` whole numbers from `first` on. */
static uint32_t append_among(Work *work, uint32_t index, double first, uint32_t count) {
    uint32_t from = append_number(work, first);
    if (count == 1) return append_map(work, OP_equal, index, from, 0);
    uint32_t is_below_end = append_map(work, OP_less, index, append_number(work, first + count), 0);
    uint32_t is_from = append_map(work, OP_less_equal, from, index, 0);
    return append_map(work, OP_mul, is_from, is_below_end, 0);
}

/* The index of a take of the old graph, counted from the first element even where it is negative. */
static uint32_t whole_index(Work *work, uint32_t i) {
    const Node *take = &work->from->nodes[i];
    uint32_t index = work->place[work->from->args.items[take->a]];
    if (!work->index[i]) {
        uint32_t is_from_end = append_map(work, OP_less, index, work->zero, 0);
        uint32_t from_end = append_map(work, OP_add, index, append_number(work, take->b - 1), 0);
        work->index[i] = append_map(work, OP_where, is_from_end, from_end, index);
    }
    return work->index[i];
}

/* conditions: of the sides that it is made of. */
static uint32_t append_condition(Work *work, const Side *side, const uint32_t *conditions) {
    uint32_t one = work->one, zero = work->zero, inner = NONE;
    switch ((SideKind)side->kind) {
    case SIDE_EVERYWHERE: return one;
    case SIDE_EITHER: return append_map(work, OP_where, conditions[side->a], one, conditions[side->b]);
    case SIDE_CHOSEN: inner = work->place[side->a]; break;
    case SIDE_OTHER: inner = append_map(work, OP_where, work->place[side->a], zero, one); break;
    case SIDE_ELEMENTS: inner = append_among(work, whole_index(work, side->a), side->c, side->count); break;
    }
    return side->b ? append_map(work, OP_where, conditions[side->b], inner, zero) : inner;
}

static uint32_t *append_conditions(Work *work) {
    Arena *scratch = work->scratch;
    const Side *all = work->sides.all.items;
    uint8_t *needed = ARENA_ARRAY(scratch, uint8_t, work->sides.all.size);
    uint32_t *conditions = ARENA_ARRAY(scratch, uint32_t, work->sides.all.size);
    for (uint32_t k = 0; k < work->entries.size; k++) needed[work->entries.items[k].side] = 1;
    for (uint32_t i = 0; i < work->from->size; i++)
        if (is_gated_product(work, i)) needed[work->gaining[i]] = 1;
    for (uint32_t s = work->sides.all.size; s-- > 1;) {
        if (!needed[s]) continue;
        needed[all[s].b] = 1;
        if (all[s].kind == SIDE_EITHER) needed[all[s].a] = 1;
    }
    work->index = ARENA_ARRAY(scratch, uint32_t, work->from->size);
    work->one = append_number(work, 1.0);
    work->zero = append_number(work, 0.0);
    for (uint32_t s = 1; s < work->sides.all.size; s++)
        if (needed[s]) conditions[s] = append_condition(work, &all[s], conditions);
    return conditions;
}

/* -- products within a side -------------------------------------------------------------------------- */

/* By inputs that are 0 where the side is not chosen. No part of it is asked for, so that it is not computed. */
static uint32_t append_masked(Work *work, uint32_t product, uint32_t condition) {
    Node node = work->from->nodes[product];
    uint32_t from = node.a;
    GROW(work->scratch, &work->to->args, uint32_t, node.b);
    node.a = work->to->args.size;
    work->to->args.size += node.b;
    for (uint32_t k = 0; k < node.b; k++) {
        uint32_t operand = work->place[work->from->args.items[from + k]];
        if (k < node.c) operand = append_map(work, OP_where, condition, operand, work->zero);
        work->to->args.items[node.a + k] = operand;
    }
    return append(work, node);
}

/* Of each product of the old graph that has one: one more than the masked one, by whose inputs its weights gain.
 * In a sample that uses one part of several, the others' adjoints are 0. */
static uint32_t *append_masked_products(Work *work, const uint32_t *conditions) {
    uint32_t *masked = ARENA_ARRAY(work->scratch, uint32_t, work->from->size);
    for (uint32_t i = 0; i < work->from->size; i++)
        if (is_gated_product(work, i)) masked[i] = append_masked(work, i, conditions[work->gaining[i]]) + 1;
    return masked;
}

/* -- gates ------------------------------------------------------------------------------------------- */

static Gate *make_gates(Work *work) {
    find_gaining(work);
    const uint32_t *conditions = append_conditions(work), *masked = append_masked_products(work, conditions);
    Gate *gates = ARENA_ARRAY(work->scratch, Gate, work->to->size);
    for (uint32_t i = 0; i < work->to->size; i++) gates[i] = (Gate){.operand = NONE, .product = NONE};
    for (uint32_t i = 0; i < work->from->size; i++)
        if (masked[i]) gates[work->place[i]].product = masked[i] - 1;
    for (uint32_t i = 0; i < work->from->size; i++)
        for (uint32_t e = work->entry[i]; e; e = work->entries.items[e - 1].next) {
            const Entry *entry = &work->entries.items[e - 1];
            const Side *side = &work->sides.all.items[entry->side];
            int is_other = side->kind == SIDE_OTHER && side->b == 0;
            gates[entry->node] = (Gate){.operand = work->place[i],
                                        .is_other = (uint8_t)is_other,
                                        .product = NONE,
                                        .condition = is_other ? work->place[side->a] : conditions[entry->side]};
        }
    return gates;
}

/* -- the whole -------------------------------------------------------------------------------------- */

Gate *add_gates(const Graph *graph, const uint8_t *leads, Arena *scratch, Graph *with_gates) {
    uint32_t size = graph->size;
    if (!has_choices(graph, size)) return NULL;
    Work work = {.from = graph,
                 .to = with_gates,
                 .scratch = scratch,
                 .varying = NONE,
                 .sides = {.graph = graph,
                           .scratch = scratch,
                           .size = size,
                           .leads = leads,
                           .over_batch = 1,
                           .of = ARENA_ARRAY(scratch, uint32_t, size)}};
    for (uint32_t i = 0; i < size; i++) work.sides.of[i] = graph->nodes[i].op == NODE_PARAMETER ? 0 : NONE;
    work.sides.of[graph->roots[0]] = 0;
    find_sides(&work.sides);
    work.entry = ARENA_ARRAY(scratch, uint32_t, size);
    work.place = ARENA_ARRAY(scratch, uint32_t, size);
    *with_gates = *graph;
    with_gates->size = 0;
    memset(&with_gates->args, 0, sizeof with_gates->args);
    with_gates->roots = ARENA_ARRAY(scratch, uint32_t, 1);
    uint32_t first = find_varying(graph);
    if (first != NONE) {
        copy_node(&work, first);
        work.varying = work.place[first];
    }
    for (uint32_t i = 0; i < size; i++)
        if (i != first) copy_node(&work, i);
    if (!work.entries.size) return NULL;
    with_gates->roots[0] = work.place[graph->roots[0]];
    return make_gates(&work);
}
