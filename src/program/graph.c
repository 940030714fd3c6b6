/* SPDX-License-Identifier: MIT
 *
 * Freezing, from the tape to a graph of its own, and packing what optimisation leaves of it.
 */
#include "graph.h"

#include "loops.h"

#define REACHED UINT32_MAX

typedef struct {
    const Tape *tape;
    uint32_t *number; /* by tape index: 0, REACHED, or one more than its index in the frozen graph */
    uint32_t lowest; /* of the nodes below mark that are reached */
} Reach;

static void reach_operands(Reach *reach, uint32_t i) {
    uint32_t count;
    const uint32_t *operands = tape_operands(reach->tape, i, &count);
    if (reach->tape->op[i] == OP_custom) count *= 2; /* the partials, too */
    for (uint32_t k = 0; k < count; k++) {
        reach->number[operands[k]] = REACHED;
        if (operands[k] < reach->lowest) reach->lowest = operands[k];
    }
}

static int is_leaf(const Tape *tape, uint32_t i) { return (tape->op[i] & ~OP_CLOSURE) == OP_leaf; }

Stage graph_stage(const Graph *graph, uint32_t i) {
    uint8_t stage = form_info[form_of(&graph->nodes[i])].stage;
    if (stage == OF_LOSS) return graph->nodes[graph->roots[0]].stage == SAMPLE ? SAMPLE : BATCH;
    if (stage != LATEST) return (Stage)stage;
    uint32_t count;
    const uint32_t *operands = node_operands(graph, i, &count);
    stage = graph->nodes[i].op == NODE_SCAN && has_draws(&scan_of(graph, i)->body) ? SAMPLE : CONSTANT;
    for (uint32_t k = 0; k < count; k++)
        if (graph->nodes[operands[k]].stage > stage) stage = graph->nodes[operands[k]].stage;
    return (Stage)stage;
}

/* The node of a loop; see ops.h for its operands on the tape. */
static FreezeStatus freeze_loop(Graph *graph, Node *node, uint8_t op, const Tape *tape, const uint32_t *args) {
    switch (op) {
    case OP_scan: {
        const Scan *scan = scan_kept(tape->value[args[0]]);
        if (!scan) return FREEZE_CLOSURE;
        node->op = NODE_SCAN;
        node->a++;
        node->b--;
        node->c = add_scan(graph, scan_copy(scan, graph->arena));
        return FROZEN;
    }
    case OP_list: node->op = NODE_LIST; return FROZEN;
    default: /* OP_part, OP_sequence */
        *node = (Node){.op = op == OP_part ? NODE_PART : NODE_SEQUENCE,
                       .a = graph->args.items[node->a],
                       .b = (uint32_t)tape->value[args[1]]};
        return FROZEN;
    }
}

/* Operands of tape node i as operands of the frozen node. */
static FreezeStatus freeze_node(Graph *graph, Reach *reach, uint32_t i) {
    const Tape *tape = reach->tape;
    const uint32_t *number = reach->number;
    Node *node = &graph->nodes[graph->size];
    uint32_t a = tape->operands[i].a, b = tape->operands[i].b;
    uint8_t op = tape->op[i];
    if (op & OP_CLOSURE || op == OP_opaque) return FREEZE_CLOSURE;
    node->op = op;
    switch (op_info[op].shape) {
    case LEAF: node->number = tape->value[i]; return FROZEN;
    case SCALED:
        node->number = tape->value[b];
        node->a = number[a] - 1;
        break;
    case UNARY:
    case STOPPED: node->a = number[a] - 1; break;
    case BINARY:
        node->a = number[a] - 1;
        node->b = number[b] - 1;
        break;
    case TERNARY:
        node->a = number[tape->args[a]] - 1;
        node->b = number[tape->args[a + 1]] - 1;
        node->c = number[tape->args[a + 2]] - 1;
        break;
    case VARIADIC:
        GROW(graph->arena, &graph->args, uint32_t, b);
        node->a = graph->args.size;
        node->b = b;
        node->number = tape->value[i];
        for (uint32_t k = 0; k < b; k++) graph->args.items[graph->args.size++] = number[tape->args[a + k]] - 1;
        if (op == OP_sum || op == OP_dot) {
            node->op = NODE_LINEAR;
            node->c = op == OP_dot ? b / 2 : 0;
        } else if (op == OP_scan || op == OP_part || op == OP_sequence || op == OP_list) {
            FreezeStatus status = freeze_loop(graph, node, op, tape, tape->args + a);
            if (status != FROZEN) return status;
        }
    }
    node->stage = (uint8_t)graph_stage(graph, graph->size);
    return node->op == OP_custom && node->stage == SAMPLE ? FREEZE_CUSTOM : FROZEN;
}

/* Whether node i is a parameter: with `depends`, of a part of a recording. */
static int is_given(const Tape *tape, uint32_t i, uint32_t mark, const uint8_t *depends) {
    int is_held_leaf = is_leaf(tape, i) && owner_anchor(tape->owner[i]);
    if (!depends) return i < mark || is_held_leaf;
    return is_held_leaf || (!is_leaf(tape, i) && (i < mark || !depends[i - mark]));
}

static FreezeStatus freeze(Graph *graph, const Tape *tape, uint32_t mark, const Varying *varying, const uint32_t *roots,
                           uint32_t n_roots, uint32_t **parameters, const uint8_t *depends) {
    Arena *arena = graph->arena;
    uint32_t total = 0;
    Reach reach = {tape, ARENA_ARRAY(graph->scratch, uint32_t, (size_t)tape->size + 1), mark};
    uint32_t *number = reach.number;
    const uint32_t *inputs = varying->inputs;
    const RecordedDraw *draws = varying->draws;
    uint32_t n_inputs = varying->n_inputs, n_draws = varying->n_draws, draw = 0;
    for (uint32_t k = 0; k < n_roots; k++) {
        number[roots[k]] = REACHED;
        if (roots[k] < reach.lowest) reach.lowest = roots[k];
    }
    for (uint32_t i = tape->size; i-- > mark;)
        if (number[i] && (!depends || depends[i - mark])) reach_operands(&reach, i);
    for (uint32_t i = reach.lowest; i < tape->size; i++) total += number[i] == REACHED;

    graph->nodes = ARENA_ARRAY(arena, Node, total + n_inputs);
    graph->roots = ARENA_ARRAY(arena, uint32_t, n_roots);
    graph->n_roots = n_roots;
    graph->n_inputs = n_inputs;
    graph->n_draws = n_draws ? draws[n_draws - 1].number + 1 : 0;
    *parameters = ARENA_ARRAY(arena, uint32_t, total); /* read before the graph is packed */
    for (uint32_t k = 0; k < n_inputs; k++) {
        if (!number[inputs[k]]) continue;
        graph->nodes[graph->size] = (Node){.op = NODE_INPUT, .stage = SAMPLE, .a = k};
        number[inputs[k]] = ++graph->size;
    }
    for (uint32_t i = reach.lowest; i < tape->size; i++) {
        if (number[i] != REACHED) continue;
        Node *node = &graph->nodes[graph->size];
        while (draw < n_draws && draws[draw].node < i) draw++;
        if (draw < n_draws && draws[draw].node == i) { /* in its place, so that no row waits for it */
            *node = (Node){.op = NODE_DRAW, .stage = SAMPLE, .a = draws[draw].number, .which = draws[draw].kind};
        } else if (is_given(tape, i, mark, depends)) {
            *node = (Node){.op = NODE_PARAMETER, .stage = ONCE, .a = graph->n_parameters};
            (*parameters)[graph->n_parameters++] = i;
        } else {
            FreezeStatus status = freeze_node(graph, &reach, i);
            if (status != FROZEN) return status;
        }
        number[i] = ++graph->size;
    }
    for (uint32_t k = 0; k < n_roots; k++) graph->roots[k] = number[roots[k]] - 1;
    graph->recorded = graph->size;
    for (uint32_t s = 0; s < graph->scans.size; s++) graph->recorded += graph->scans.items[s]->body.recorded;
    return FROZEN;
}

FreezeStatus graph_freeze(Graph *graph, const Tape *tape, uint32_t mark, const Varying *varying, const uint32_t *roots,
                          uint32_t n_roots, uint32_t **parameters) {
    return graph_freeze_part(graph, tape, mark, varying, roots, n_roots, parameters, NULL);
}

FreezeStatus graph_freeze_part(Graph *graph, const Tape *tape, uint32_t mark, const Varying *varying,
                               const uint32_t *roots, uint32_t n_roots, uint32_t **parameters, const uint8_t *depends) {
    jmp_buf out_of_memory;
    if (setjmp(out_of_memory)) return FREEZE_NO_MEMORY;
    graph->arena->out_of_memory = graph->scratch->out_of_memory = &out_of_memory;
    size_t least = (size_t)(tape->size - mark) * 32;
    if (graph->scratch->least < least) graph->scratch->least = least;
    graph->arena->least = (size_t)(tape->size - mark) * sizeof(Node);
    return freeze(graph, tape, mark, varying, roots, n_roots, parameters, depends);
}

void graph_pack(Graph *graph, Arena *to) {
    Graph packed = *graph;
    const uint32_t *args = graph->args.items;
    size_t n_args = 0;
    uint32_t at = 0;
    for (uint32_t i = 0; i < graph->size; i++)
        if (has_args(&graph->nodes[i])) n_args += graph->nodes[i].b;
    packed.arena = to;
    packed.nodes = ARENA_ARRAY(to, Node, graph->size);
    packed.args.items = ARENA_ARRAY(to, uint32_t, n_args);
    packed.roots = ARENA_ARRAY(to, uint32_t, graph->n_roots);
    memcpy(packed.roots, graph->roots, graph->n_roots * sizeof(uint32_t));
    memcpy(packed.nodes, graph->nodes, graph->size * sizeof(Node));
    for (uint32_t i = 0; i < graph->size; i++) {
        Node *node = &packed.nodes[i];
        if (!has_args(node)) continue;
        if (node->b) memcpy(packed.args.items + at, args + node->a, node->b * sizeof *args);
        node->a = at;
        at += node->b;
    }
    packed.args.size = packed.args.capacity = at;
    packed.scans.items = ARENA_ARRAY(to, Scan *, graph->scans.size + (size_t)1);
    packed.scans.size = packed.scans.capacity = 0;
    for (uint32_t i = 0; i < packed.size; i++) { /* those that are left */
        Node *node = &packed.nodes[i];
        if (node->op != NODE_SCAN) continue;
        packed.scans.items[packed.scans.size] = scan_copy(graph->scans.items[node->c], to);
        node->c = packed.scans.size++;
    }
    packed.scans.capacity = packed.scans.size;
    arena_free(graph->arena);
    *graph = packed;
}
