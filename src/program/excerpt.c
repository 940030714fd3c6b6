/* SPDX-License-Identifier: MIT */
#include "excerpt.h"

#include "loops.h"

/* -- the graph's node of a node of the tape --------------------------------------------------------- */

static size_t slot_of(const Excerpt *e, uint32_t tape_node) {
    if (e->is_dense) return tape_node;
    size_t slot = tape_node * UINT64_C(0x9E3779B97F4A7C15) >> 20 & (e->n_slots - 1);
    while (e->slots[slot] && e->tape_nodes.items[e->slots[slot] - 1] != tape_node) slot = (slot + 1) & (e->n_slots - 1);
    return slot;
}

static uint32_t node_of(const Excerpt *e, uint32_t tape_node) { return e->slots[slot_of(e, tape_node)] - 1; }

static void note_node(Excerpt *e, uint32_t tape_node, uint8_t leads) {
    uint32_t i = e->graph.size - 1;
    GROW(&e->scratch, &e->tape_nodes, uint32_t, 1);
    e->tape_nodes.items[e->tape_nodes.size++] = tape_node;
    e->leads[i] = leads;
    e->slots[slot_of(e, tape_node)] = i + 1;
}

/* A node that the derivative does not look into: nobody else's number, or something that stays. */
static uint32_t need_node(Excerpt *e, uint32_t tape_node) {
    const Tape *tape = e->tape;
    uint32_t found = node_of(e, tape_node);
    if (found != NONE) return found;
    double value = tape->value[tape_node];
    int is_number = tape->op[tape_node] == OP_leaf && !owner_anchor(tape->owner[tape_node]);
    uint32_t i = is_number ? build_own_number(&e->builder, value) : build_input(&e->builder, e->graph.size, value);
    note_node(e, tape_node, 0);
    return i;
}

/* -- sets of nodes ---------------------------------------------------------------------------------- */

typedef struct {
    uint32_t *slots; /* one more than the member */
    size_t mask;
} NodeSet;

static uint32_t *place_in_set(const NodeSet *set, uint32_t node) {
    size_t slot = node * UINT64_C(0x9E3779B97F4A7C15) >> 20 & set->mask;
    while (set->slots[slot] && set->slots[slot] != node + 1) slot = (slot + 1) & set->mask;
    return &set->slots[slot];
}

static NodeSet make_set(Arena *arena, const uint32_t *nodes, size_t count) {
    size_t size = 16;
    while (size < 2 * count) size *= 2;
    NodeSet set = {ARENA_ARRAY(arena, uint32_t, size), size - 1};
    for (size_t k = 0; k < count; k++) *place_in_set(&set, nodes[k]) = nodes[k] + 1;
    return set;
}

static int set_has(const NodeSet *set, uint32_t node) { return *place_in_set(set, node) != 0; }

/* -- taking ----------------------------------------------------------------------------------------- */

/* Whether a node of the tape has an operand that leads to xs, by a derivative that is not always 0. */
static int has_leading_operand(const Excerpt *e, uint32_t tape_node) {
    uint32_t count;
    const uint32_t *operands = tape_operands(e->tape, tape_node, &count);
    uint8_t op = e->tape->op[tape_node];
    for (uint32_t k = 0; k < count; k++) {
        if (!(op & OP_CLOSURE) && cell_stops((Op)op, (int)k)) continue;
        uint32_t i = node_of(e, operands[k]);
        if (i != NONE && e->leads[i]) return 1;
    }
    return 0;
}

/* The node of a loop, as the last one of the graph: see ops.h for its operands on the tape. Sequences that no
 * derivative leads through are NODE_INPUTs, too: nobody looks into them. */
static void take_loop(Excerpt *e, uint32_t tape_node) {
    Graph *graph = &e->graph;
    const Tape *tape = e->tape;
    const uint32_t *args = tape->args + tape->operands[tape_node].a;
    uint32_t count = tape->operands[tape_node].b;
    uint8_t op = tape->op[tape_node];
    Node node;
    if (op == OP_part || op == OP_sequence) {
        node = (Node){.op = op == OP_part ? NODE_PART : NODE_SEQUENCE,
                      .a = need_node(e, args[0]),
                      .b = (uint32_t)tape->value[args[1]]};
    } else {
        uint32_t first = op == OP_scan;
        for (uint32_t k = first; k < count; k++) need_node(e, args[k]);
        GROW(graph->arena, &graph->args, uint32_t, count);
        node = (Node){.op = op == OP_scan ? NODE_SCAN : NODE_LIST, .a = graph->args.size, .b = count - first};
        for (uint32_t k = first; k < count; k++) graph->args.items[graph->args.size++] = node_of(e, args[k]);
        if (op == OP_scan) node.c = add_scan(graph, scan_kept(tape->value[args[0]]));
    }
    build_room(&e->builder, 1);
    graph->nodes[graph->size] = node;
}

static int is_of_loops(uint8_t op) { return op == OP_scan || op == OP_part || op == OP_sequence || op == OP_list; }

static void take_list(Excerpt *e, uint32_t tape_node) {
    Graph *graph = &e->graph;
    const Tape *tape = e->tape;
    const Operands operands = tape->operands[tape_node];
    uint8_t op = tape->op[tape_node];
    for (uint32_t k = 0; k < operands.b; k++) need_node(e, tape->args[operands.a + k]);
    GROW(graph->arena, &graph->args, uint32_t, operands.b);
    Node node = {.op = op, .a = graph->args.size, .b = operands.b};
    if (op == OP_sum || op == OP_dot) {
        node.op = NODE_LINEAR;
        node.c = op == OP_dot ? operands.b / 2 : 0;
    }
    for (uint32_t k = 0; k < operands.b; k++)
        graph->args.items[graph->args.size++] = node_of(e, tape->args[operands.a + k]);
    build_room(&e->builder, 1);
    graph->nodes[graph->size] = node;
}

/* A node whose derivative is asked for, with its operands. */
static void take_node(Excerpt *e, uint32_t tape_node) {
    const Tape *tape = e->tape;
    Graph *graph = &e->graph;
    uint32_t a = tape->operands[tape_node].a, b = tape->operands[tape_node].b;
    Node node = {.op = tape->op[tape_node]};
    Shape shape = op_info[node.op].shape;
    switch (shape) {
    case LEAF: abort(); /* it has no operands */
    case UNARY:
    case STOPPED:
    case SCALED:
        node.a = need_node(e, a);
        if (shape == SCALED) node.number = tape->value[b];
        break;
    case BINARY:
        node.a = need_node(e, a);
        node.b = need_node(e, b);
        break;
    case TERNARY:
        node.a = need_node(e, tape->args[a]);
        node.b = need_node(e, tape->args[a + 1]);
        node.c = need_node(e, tape->args[a + 2]);
        break;
    case VARIADIC:
        (is_of_loops(node.op) ? take_loop : take_list)(e, tape_node);
        node = graph->nodes[graph->size];
        break;
    }
    build_room(&e->builder, 1);
    graph->nodes[graph->size] = node;
    e->builder.values[graph->size++] = tape->value[tape_node];
    if (!e->builder.decides) graph->nodes[graph->size - 1].stage = (uint8_t)graph_stage(graph, graph->size - 1);
    note_node(e, tape_node, 1);
}

/* Makes room for the nodes that the excerpt may have, and a way to find them by the tape's. */
static void make_room(Excerpt *e, const uint32_t *reached, size_t count, size_t n_more) {
    size_t most = count + n_more, n_args = 0;
    for (size_t k = 0; k < count; k++) {
        uint32_t n;
        int op = e->tape->op[reached[k]] & ~OP_CLOSURE;
        if (op >= OP_FIRST_VARIADIC) n_args += e->tape->operands[reached[k]].b;
        /* Not reached themselves: what a STOPPED node stops at, a custom node's partials. */
        if (op_info[op].shape != STOPPED && op != OP_custom) continue;
        tape_operands(e->tape, reached[k], &n);
        most += n;
    }
    e->is_dense = e->tape->size <= 8 * most;
    if (e->is_dense) e->n_slots = e->tape->size;
    else
        for (e->n_slots = 16; e->n_slots < 2 * most; e->n_slots *= 2) continue;
    e->slots = ARENA_ARRAY(&e->scratch, uint32_t, e->n_slots);
    e->leads = ARENA_ARRAY(&e->scratch, uint8_t, most);
    e->tape_nodes.items = ARENA_ARRAY(&e->scratch, uint32_t, most);
    e->tape_nodes.capacity = (uint32_t)most;
    /* Usually enough for the derivatives, too. */
    build_room(&e->builder, (uint32_t)(3 * most));
    GROW(&e->arena, &e->graph.args, uint32_t, 3 * n_args + most);
}

static ExcerptStatus take(Excerpt *e, const uint32_t *reached, size_t count, const uint32_t *xs, uint32_t n_xs,
                          const uint32_t *others, uint32_t n_others) {
    make_room(e, reached, count, (size_t)n_xs + n_others);
    NodeSet asked = make_set(&e->scratch, xs, n_xs);
    for (size_t k = count; k-- > 0;) {
        uint32_t i = reached[k];
        int leads = has_leading_operand(e, i);
        if (!leads && !set_has(&asked, i)) continue;
        if (leads && (e->tape->op[i] & OP_CLOSURE || e->tape->op[i] == OP_opaque)) {
            e->closure = i;
            return EXCERPT_CLOSURE;
        }
        if (leads) take_node(e, i);
        else e->leads[need_node(e, i)] = 1;
    }
    for (uint32_t k = 0; k < n_others; k++)
        if (others[k] != NONE && others[k] != UNIT) need_node(e, others[k]);
    e->graph.n_inputs = e->function.size = e->graph.size;
    e->function.leads = e->leads;
    return EXCERPT_DONE;
}

ExcerptStatus excerpt_take(Excerpt *e, Tape *tape, const uint32_t *roots, uint32_t n_roots, const uint32_t *xs,
                           uint32_t n_xs, const uint32_t *others, uint32_t n_others, int decides) {
    uint32_t *reached;
    size_t count;
    memset(e, 0, sizeof *e);
    e->tape = tape;
    e->closure = NONE;
    e->graph.arena = &e->arena;
    e->graph.scratch = &e->scratch;
    e->builder.graph = &e->graph;
    e->builder.decides = decides;
    e->function.builder = &e->builder;
    if (tape_list_reached(tape, roots, n_roots, &reached, &count)) return EXCERPT_NO_MEMORY;
    ExcerptStatus status = EXCERPT_NO_MEMORY;
    jmp_buf out_of_memory;
    if (!setjmp(out_of_memory)) {
        e->arena.out_of_memory = e->scratch.out_of_memory = &out_of_memory;
        status = take(e, reached, count, xs, n_xs, others, n_others);
    }
    free(reached);
    return status;
}

/* -- derivatives ------------------------------------------------------------------------------------ */

static uint32_t direction_of(Excerpt *e, uint32_t tape_node) {
    return tape_node == UNIT ? build_number(&e->builder, 1.0) : node_of(e, tape_node);
}

ExcerptStatus excerpt_reverse(Excerpt *e, const uint32_t *roots, const uint32_t *seeds, uint32_t n_roots,
                              const uint32_t *xs, uint32_t n_xs, uint32_t *derivatives) {
    jmp_buf out_of_memory;
    if (setjmp(out_of_memory)) return EXCERPT_NO_MEMORY;
    e->arena.out_of_memory = e->scratch.out_of_memory = &out_of_memory;
    uint32_t *adjoints = ARENA_ARRAY(&e->scratch, uint32_t, e->function.size);
    uint32_t *tops = ARENA_ARRAY(&e->scratch, uint32_t, n_roots);
    uint32_t *at_tops = ARENA_ARRAY(&e->scratch, uint32_t, n_roots);
    uint32_t n_tops = 0;
    for (uint32_t k = 0; k < n_roots; k++) {
        uint32_t top = node_of(e, roots[k]);
        if (top == NONE || !e->leads[top]) continue; /* it does not depend on xs */
        tops[n_tops] = top;
        at_tops[n_tops++] = direction_of(e, seeds[k]);
    }
    uint32_t *by = ARENA_ARRAY(&e->scratch, uint32_t, n_xs);
    for (uint32_t k = 0; k < n_xs; k++) {
        by[k] = node_of(e, xs[k]);
        if (by[k] != NONE && by[k] >= e->function.size) by[k] = NONE;
    }
    differentiate(&e->function, tops, at_tops, n_tops, by, n_xs, adjoints);
    for (uint32_t k = 0; k < n_xs; k++) derivatives[k] = by[k] == NONE ? NONE : adjoints[by[k]];
    return EXCERPT_DONE;
}

ExcerptStatus excerpt_forward(Excerpt *e, const uint32_t *roots, uint32_t n_roots, const uint32_t *xs,
                              const uint32_t *tangents, uint32_t n_xs, uint32_t *derivatives) {
    jmp_buf out_of_memory;
    if (setjmp(out_of_memory)) return EXCERPT_NO_MEMORY;
    e->arena.out_of_memory = e->scratch.out_of_memory = &out_of_memory;
    uint32_t *moves = ARENA_ARRAY(&e->scratch, uint32_t, e->function.size);
    for (uint32_t i = 0; i < e->function.size; i++) moves[i] = NONE;
    for (uint32_t k = 0; k < n_xs; k++) {
        uint32_t x = node_of(e, xs[k]);
        if (x != NONE && x < e->function.size && tangents[k] != NONE) moves[x] = direction_of(e, tangents[k]);
    }
    push_tangents(&e->function, moves);
    for (uint32_t k = 0; k < n_roots; k++) {
        uint32_t root = node_of(e, roots[k]);
        derivatives[k] = root == NONE || root >= e->function.size ? NONE : moves[root];
    }
    return EXCERPT_DONE;
}

ExcerptStatus excerpt_hessian(Excerpt *e, uint32_t root, const uint32_t *xs, uint32_t n_xs, uint32_t *entries) {
    const uint32_t unit = UNIT;
    jmp_buf out_of_memory;
    if (setjmp(out_of_memory)) return EXCERPT_NO_MEMORY;
    e->arena.out_of_memory = e->scratch.out_of_memory = &out_of_memory;
    uint32_t *slopes = ARENA_ARRAY(&e->scratch, uint32_t, n_xs), *nodes = ARENA_ARRAY(&e->scratch, uint32_t, n_xs);
    if (excerpt_reverse(e, &root, &unit, 1, xs, n_xs, slopes) != EXCERPT_DONE) return EXCERPT_NO_MEMORY;
    e->arena.out_of_memory = e->scratch.out_of_memory = &out_of_memory; /* it had one of its own */
    for (uint32_t k = 0; k < n_xs; k++) {
        nodes[k] = node_of(e, xs[k]);
        if (nodes[k] != NONE && nodes[k] >= e->function.size) nodes[k] = NONE;
    }
    differentiate_again(&e->function, nodes, slopes, n_xs, entries);
    return EXCERPT_DONE;
}

void excerpt_set_partial(Excerpt *e, uint32_t k, uint32_t tape_node) {
    /* The partial's node is found by what it stands for. */
    for (uint32_t i = e->function.size; i < e->graph.size; i++)
        if (e->graph.nodes[i].op == NODE_INPUT && e->graph.nodes[i].a == e->graph.n_inputs + k)
            e->graph.nodes[i].b = tape_node;
}

/* -- back to the tape ------------------------------------------------------------------------------- */

/* The tape's node of each of the graph's: known, to be made, or not needed. */
static void mark_needed(const Excerpt *e, const uint32_t *derivatives, uint32_t count, uint8_t *needed) {
    for (uint32_t k = 0; k < count; k++)
        if (derivatives[k] != NONE) needed[derivatives[k]] = 1;
    for (uint32_t i = e->graph.size; i-- > e->function.size;) {
        uint32_t n;
        const uint32_t *operands = needed[i] ? node_operands(&e->graph, i, &n) : NULL;
        for (uint32_t k = 0; operands && k < n; k++) needed[operands[k]] = 1;
    }
}

/* value: NULL where it is still to be computed. */
static uint32_t append_list(Tape *tape, Op op, const uint32_t *nodes, uint32_t count, const uint32_t *on_tape,
                            const double *value) {
    uint32_t at = tape->args_size;
    for (uint32_t k = 0; k < count; k++) tape->args[at + k] = on_tape[nodes[k]];
    tape->args_size += count;
    return tape_append(tape, (uint8_t)op, value ? *value : tape_listed_value(tape, op, tape->args + at, count), at,
                       count, 0);
}

static uint32_t append_linear(Tape *tape, const Graph *graph, const Node *node, const uint32_t *on_tape,
                              const double *value) {
    const uint32_t *args = graph->args.items + node->a;
    uint32_t n_factors = 2 * node->c, n_addends = node->b - n_factors;
    if (n_factors == 0) return append_list(tape, OP_sum, args, node->b, on_tape, value);
    if (n_addends <= 1) return append_list(tape, OP_dot, args, node->b, on_tape, value);
    uint32_t sum = append_list(tape, OP_sum, args + n_factors, n_addends, on_tape, NULL);
    uint32_t dot = append_list(tape, OP_dot, args, n_factors, on_tape, NULL);
    return tape_append(tape, OP_add, *value, sum, dot, 0);
}

static uint32_t append_map(Tape *tape, const Node *node, const uint32_t *on_tape, const double *value) {
    uint32_t arity = op_arity(node->op), b = 0;
    if (arity == 3) return append_list(tape, (Op)node->op, &node->a, 3, on_tape, value);
    if (op_info[node->op].shape == SCALED) b = tape_append(tape, OP_leaf, node->number, 0, 0, 0);
    else if (arity == 2) b = on_tape[node->b];
    return tape_append(tape, node->op, *value, on_tape[node->a], b, 0);
}

/* A node of a loop, whose first or last operand is a leaf with its number. */
static uint32_t append_loop(Excerpt *e, uint32_t i, uint32_t *on_tape, double name) {
    Tape *tape = e->tape;
    const Node *node = &e->graph.nodes[i];
    uint32_t count, at = tape->args_size, leaf = tape_append(tape, OP_leaf, name, 0, 0, 0);
    const uint32_t *operands = node_operands(&e->graph, i, &count);
    int is_scan = node->op == NODE_SCAN;
    if (is_scan) tape->args[tape->args_size++] = leaf;
    for (uint32_t k = 0; k < count; k++) tape->args[tape->args_size++] = on_tape[operands[k]];
    if (!is_scan) tape->args[tape->args_size++] = leaf;
    uint8_t op = is_scan ? OP_scan : node->op == NODE_PART ? OP_part : OP_sequence;
    return tape_append(tape, op, NAN, at, count + 1, 0);
}

/* How many nodes of the tape stand for one of the graph, at most. */
static uint32_t nodes_on_tape(const Node *node) {
    if (node->op == NODE_SCAN || node->op == NODE_PART || node->op == NODE_SEQUENCE) return 2;
    if (node->op == NODE_LINEAR) return node->c && node->b > 2 * node->c + 1 ? 3 : 1;
    return node->op < OP_COUNT && op_info[node->op].shape == SCALED ? 2 : 1;
}

static uint32_t append_node(Excerpt *e, uint32_t i, uint32_t *on_tape) {
    const Node *node = &e->graph.nodes[i];
    const double *value = &e->builder.values[i];
    switch (form_of(node)) {
    case FORM_CONSTANT: return tape_append(e->tape, OP_leaf, node->number, 0, 0, 0);
    case FORM_INPUT: return node->b; /* a partial */
    case FORM_MAP: return append_map(e->tape, node, on_tape, value);
    case FORM_LINEAR: return append_linear(e->tape, &e->graph, node, on_tape, value);
    case FORM_TAKE: return append_list(e->tape, OP_take, e->graph.args.items + node->a, node->b, on_tape, value);
    case FORM_SCAN: return append_loop(e, i, on_tape, e->kept[i]);
    case FORM_PART:
    case FORM_SEQUENCE: return append_loop(e, i, on_tape, node->b);
    case FORM_LIST: return append_list(e->tape, OP_list, e->graph.args.items + node->a, node->b, on_tape, value);
    case FORM_PARAMETER:
    case FORM_DRAW:
    case FORM_PRODUCT:
    case FORM_CUSTOM: CASES_OF_GRADIENTS break; /* derivatives are not made of these */
    }
    abort();
}

/* Nodes that were recorded without their operands' handles: see handles.pyx. */
static int make_late(Tape *tape, uint32_t from) {
    int late = 0;
    for (uint32_t i = from; i < tape->size; i++) {
        uint32_t count;
        const uint32_t *operands = tape_operands(tape, i, &count);
        for (uint32_t k = 0; k < count; k++) {
            Annex *annex = owner_annex(tape->owner[operands[k]]);
            if (!annex || annex->weight == LIGHT) continue;
            annex->weight = LATE;
            late = 1;
        }
    }
    return late;
}

static ExcerptStatus append(Excerpt *e, uint32_t *derivatives, uint32_t count) {
    Tape *tape = e->tape;
    uint32_t size = e->graph.size, n_nodes = 2 * count, n_args = 0;
    uint8_t *needed = ARENA_ARRAY(&e->scratch, uint8_t, size + 1);
    uint8_t *given = ARENA_ARRAY(&e->scratch, uint8_t, size + 1);
    uint32_t *on_tape = ARENA_ARRAY(&e->scratch, uint32_t, size + 1);
    mark_needed(e, derivatives, count, needed);
    for (uint32_t i = e->function.size; i < size; i++) {
        uint32_t n;
        if (!needed[i]) continue;
        node_operands(&e->graph, i, &n);
        n_nodes += nodes_on_tape(&e->graph.nodes[i]);
        n_args += n + 1;
        if (e->graph.nodes[i].op != NODE_SCAN) continue;
        if (!e->kept) e->kept = ARENA_ARRAY(&e->scratch, uint32_t, size);
        e->kept[i] = scan_keep(scan_of(&e->graph, i));
        if (e->kept[i] == NONE) return EXCERPT_NO_MEMORY;
    }
    if (tape_reserve(tape, n_nodes, n_args)) return EXCERPT_NO_MEMORY;
    for (uint32_t i = 0; i < size; i++) {
        if (i < e->function.size) on_tape[i] = e->tape_nodes.items[i];
        else if (needed[i]) on_tape[i] = append_node(e, i, on_tape);
    }
    for (uint32_t k = 0; k < count; k++) {
        uint32_t i = derivatives[k];
        uint32_t at = i == NONE ? tape_append(tape, OP_leaf, 0.0, 0, 0, 0) : on_tape[i];
        /* What is somebody else's already gets a node of its own; so does a number in a function that is
         * being recorded, where a leaf that somebody has is a parameter. */
        int is_free = i == NONE || (i >= e->function.size && !owner_anchor(tape->owner[at]) && !given[i]);
        if (i != NONE) given[i] = 1;
        if (is_free && (e->builder.decides || tape->op[at] != OP_leaf)) derivatives[k] = at;
        else derivatives[k] = tape_append(tape, OP_same, tape->value[at], at, 0, 0);
    }
    return EXCERPT_DONE;
}

ExcerptStatus excerpt_append(Excerpt *e, uint32_t *derivatives, uint32_t count, int *late) {
    const uint32_t from = e->tape->size;
    jmp_buf out_of_memory;
    if (setjmp(out_of_memory)) return EXCERPT_NO_MEMORY;
    e->arena.out_of_memory = e->scratch.out_of_memory = &out_of_memory;
    ExcerptStatus status = append(e, derivatives, count);
    *late = make_late(e->tape, from);
    return status;
}

void excerpt_free(Excerpt *e) {
    arena_free(&e->arena);
    arena_free(&e->scratch);
}
