/* SPDX-License-Identifier: MIT */
#include "scans.h"

#include "differentiate.h"
#include "passes.h"

void optimise_body(Graph *body, unsigned skip) {
    for (uint32_t s = 0; s < body->scans.size; s++) {
        Graph *inner = &body->scans.items[s]->body;
        inner->arena = body->arena;
        inner->scratch = body->scratch;
        optimise_body(inner, skip); /* as deep as loops stand in loops */
        inner->arena = inner->scratch = NULL;
    }
    for (unsigned k = 0; k < PASS_COUNT; k++)
        if (k != PASS_matrices && !(skip >> k & 1)) passes[k].apply(body);
}

/* -- a derivative's body ------------------------------------------------------------------------------- */

/* A body with the derivative behind it that is being built. */
typedef struct {
    Graph graph;
    Builder builder;
    Function function;
    uint8_t *leads;      /* of the body's nodes */
    uint32_t *inputs;    /* of the body: the node of each input and then of each parameter; NONE: nobody reads it */
    uint32_t n_inputs;   /* of the new body, so far */
} Derivation;

static void begin(Derivation *d, const Scan *of, Arena *scratch) {
    const Graph *body = &of->body;
    uint32_t n = of->n_carries + of->n_taken;
    *d = (Derivation){.graph = {.arena = scratch,
                                .scratch = scratch,
                                .n_parameters = of->n_captured,
                                .n_draws = body->n_draws,
                                .is_body = 1}};
    d->builder.graph = &d->graph;
    d->function.builder = &d->builder;
    build_room(&d->builder, 3 * body->size + 16);
    GROW(scratch, &d->graph.args, uint32_t, body->args.size);
    memcpy(d->graph.nodes, body->nodes, body->size * sizeof(Node));
    if (body->args.size) memcpy(d->graph.args.items, body->args.items, body->args.size * sizeof(uint32_t));
    d->graph.size = d->function.size = body->size;
    d->graph.args.size = body->args.size;
    for (uint32_t s = 0; s < body->scans.size; s++) /* copies, since passes rewrite them in place */
        add_scan(&d->graph, scan_copy(body->scans.items[s], scratch));
    d->leads = ARENA_ARRAY(scratch, uint8_t, body->size);
    d->function.leads = d->leads;
    d->inputs = ARENA_ARRAY(scratch, uint32_t, scan_operands(of));
    memset(d->inputs, 0xFF, scan_operands(of) * sizeof *d->inputs);
    for (uint32_t i = 0; i < body->size; i++) {
        const Node *node = &body->nodes[i];
        d->builder.values[i] = node->op == NODE_CONSTANT ? node->number : NAN; /* of a step: no number is known */
        if (node->op == NODE_INPUT) d->inputs[node->a] = i;
        if (node->op == NODE_PARAMETER) d->inputs[n + node->a] = i;
    }
}

/* Which nodes depend on what leads; a carry leads, too, where what it becomes does. */
static void find_leading(Derivation *d, const Scan *of, uint8_t *leads) {
    const Graph *body = &of->body;
    for (int changed = 1; changed;) {
        changed = 0;
        for (uint32_t i = 0; i < body->size; i++) {
            const Node *node = &body->nodes[i];
            uint32_t count;
            const uint32_t *operands = node_operands(body, i, &count);
            d->leads[i] = 0;
            if (node->op == NODE_INPUT) d->leads[i] = leads[node->a];
            if (node->op == NODE_PARAMETER) d->leads[i] = leads[of->n_carries + of->n_taken + node->a];
            for (uint32_t k = 0; k < count; k++)
                if (d->leads[operands[k]] && !operand_stops(node, k)) d->leads[i] = 1;
        }
        for (uint32_t k = 0; k < of->n_carries; k++) {
            if (leads[k] || !d->leads[body->roots[k]]) continue;
            leads[k] = 1;
            changed = 1;
        }
    }
}

static uint32_t new_input(Derivation *d) { return build_input(&d->builder, d->n_inputs++, NAN); }

/* The body's own inputs are numbered from here on: the carries are what the trail says. */
static void renumber_inputs(Derivation *d, const Scan *of) {
    for (uint32_t k = 0; k < of->n_carries + of->n_taken; k++)
        if (d->inputs[k] != NONE) d->graph.nodes[d->inputs[k]].a = d->n_inputs + k;
    d->n_inputs += of->n_carries + of->n_taken;
}

static uint32_t zero(Derivation *d) { return build_number(&d->builder, 0.0); }

static uint32_t plus(Derivation *d, uint32_t sum, uint32_t more) {
    if (more == NONE) return sum;
    return sum == NONE ? more : build_map(&d->builder, OP_add, sum, more, NONE, 0);
}

/* Drops the operands that the new body does not read, and gives it its final place. operands: of the new scan. */
static void finish(Derivation *d, Scan *scan, uint32_t *roots, ScanOperand *operands, Arena *arena, Arena *scratch) {
    Graph *graph = &d->graph;
    uint32_t n = d->n_inputs, total = n + graph->n_parameters, kept = scan->n_carries;
    uint32_t *to = ARENA_ARRAY(scratch, uint32_t, total);
    graph->roots = roots;
    graph->n_roots = scan->n_carries + scan->n_made;
    graph->n_inputs = n;
    optimise_body(graph, 0);
    for (uint32_t i = 0; i < graph->size; i++) {
        if (graph->nodes[i].op == NODE_INPUT) to[graph->nodes[i].a] = 1;
        if (graph->nodes[i].op == NODE_PARAMETER) to[n + graph->nodes[i].a] = 1;
    }
    for (uint32_t k = scan->n_carries; k < total; k++) {
        if (k == n) scan->n_taken = kept - scan->n_carries;
        if (!to[k]) continue;
        to[k] = kept;
        operands[kept++] = operands[k];
    }
    if (total == n) scan->n_taken = kept - scan->n_carries;
    scan->n_captured = graph->n_parameters = kept - scan->n_carries - scan->n_taken;
    graph->n_inputs = scan->n_carries + scan->n_taken;
    for (uint32_t i = 0; i < graph->size; i++) {
        Node *node = &graph->nodes[i];
        if (node->op == NODE_INPUT && node->a >= scan->n_carries) node->a = to[node->a];
        if (node->op == NODE_PARAMETER) node->a = to[n + node->a] - graph->n_inputs;
    }
    scan->body = *graph;
    scan->body.recorded = graph->size;
    *scan = *scan_copy(scan, arena);
}

/* -- reverse mode ---------------------------------------------------------------------------------------- */

void scan_derivative_begin(ScanDerivative *d, const Scan *of, const uint32_t *operands, Arena *scratch) {
    uint32_t count = scan_operands(of);
    *d = (ScanDerivative){.of = of, .operands = operands};
    d->leads = ARENA_ARRAY(scratch, uint8_t, count);
    d->arriving = ARENA_ARRAY(scratch, uint32_t, count);
    d->gives = ARENA_ARRAY(scratch, uint32_t, count);
    memset(d->arriving, 0xFF, count * sizeof *d->arriving);
    memset(d->gives, 0xFF, count * sizeof *d->gives);
}

static void add_operand(ScanOperand *to, uint32_t *count, uint32_t node) {
    to[(*count)++] = (ScanOperand){node == NONE ? OPERAND_ZERO : OPERAND_NODE, node};
}

/* What both take besides: the trail and the scan's own sequences. */
static void add_taken(const ScanDerivative *d, ScanOperand *to, uint32_t *count) {
    for (uint32_t k = 0; k < d->of->n_carries; k++) to[(*count)++] = (ScanOperand){OPERAND_TRAIL, d->of->n_made + k};
    for (uint32_t k = 0; k < d->of->n_taken; k++) add_operand(to, count, d->operands[d->of->n_carries + k]);
}

/* The body's node that a sequence of the scan is made of; NONE: it is part of the trail. */
static uint32_t root_of(const Scan *scan, uint32_t sequence) {
    if (sequence < scan->n_made) return scan->body.roots[scan->n_carries + sequence];
    sequence -= scan->n_made;
    return sequence < scan->n_carries ? NONE : scan->body.roots[sequence - scan->n_carries];
}

void scan_reverse(ScanDerivative *derivative, Arena *arena, Arena *scratch) {
    const Scan *of = derivative->of;
    const uint32_t n_own = of->n_carries + of->n_taken, n_operands = scan_operands(of);
    const uint32_t n_streams = derivative->streams.size;
    Derivation derivation, *d = &derivation;
    begin(d, of, scratch);
    find_leading(d, of, derivative->leads);

    /* New inputs: adjoints of carries, and what has been gained by what is captured; then those that there were; then
     * adjoints of what the scan gives. */
    Scan *scan = ARENA_ARRAY(arena, Scan, 1);
    ScanOperand *operands = ARENA_ARRAY(scratch, ScanOperand,
                                        (size_t)2 * n_operands + n_streams + 2 * (size_t)of->n_carries);
    uint32_t *adjoint_of = ARENA_ARRAY(scratch, uint32_t, n_operands), count = 0;
    *scan = (Scan){.length = of->length, .numbering = of->numbering, .is_reverse = !of->is_reverse};
    for (uint32_t k = 0; k < n_operands; k++) {
        adjoint_of[k] = NONE;
        if ((k >= of->n_carries && k < n_own) || !derivative->leads[k]) continue;
        adjoint_of[k] = new_input(d);
        derivative->gives[k] = scan->n_carries++;
        add_operand(operands, &count, k < of->n_carries ? derivative->arriving[k] : NONE);
    }
    renumber_inputs(d, of);
    add_taken(derivative, operands, &count);
    const uint32_t ends = d->n_inputs; /* of carries: what each step has ended with */
    for (uint32_t k = 0; k < of->n_carries; k++, d->n_inputs++)
        operands[count++] = (ScanOperand){OPERAND_TRAIL, of->n_made + of->n_carries + k};
    uint32_t *streams = ARENA_ARRAY(scratch, uint32_t, n_streams);
    for (uint32_t s = 0; s < n_streams; s++) {
        streams[s] = new_input(d);
        add_operand(operands, &count, derivative->streams.items[s].node);
    }
    for (uint32_t k = 0; k < of->n_captured; k++) add_operand(operands, &count, derivative->operands[n_own + k]);

    /* The body's derivative. */
    uint32_t *roots = ARENA_ARRAY(scratch, uint32_t, of->n_carries + (size_t)n_streams), n_roots = 0;
    uint32_t *seeds = ARENA_ARRAY(scratch, uint32_t, of->n_carries + (size_t)n_streams);
    uint32_t *adjoints = ARENA_ARRAY(scratch, uint32_t, of->body.size);
    for (uint32_t k = 0; k < of->n_carries; k++) {
        if (adjoint_of[k] == NONE || !d->leads[of->body.roots[k]]) continue;
        roots[n_roots] = of->body.roots[k];
        seeds[n_roots++] = adjoint_of[k];
    }
    for (uint32_t s = 0; s < n_streams; s++) {
        uint32_t given_root = root_of(of, derivative->streams.items[s].of);
        if (given_root == NONE || !d->leads[given_root]) continue;
        roots[n_roots] = given_root;
        seeds[n_roots++] = streams[s];
    }
    differentiate(&d->function, roots, seeds, n_roots, d->inputs, n_operands, adjoints);

    /* Its roots. */
    uint32_t *given = ARENA_ARRAY(scratch, uint32_t, n_operands), n_given = 0;
    for (uint32_t k = 0; k < n_operands; k++) {
        if (derivative->gives[k] == NONE) continue;
        uint32_t gain = d->inputs[k] == NONE ? NONE : adjoints[d->inputs[k]];
        if (k >= of->n_carries) gain = plus(d, adjoint_of[k], gain);
        for (uint32_t s = 0; s < n_streams && k < of->n_carries; s++)
            if (derivative->streams.items[s].of == of->n_made + k) gain = plus(d, gain, streams[s]);
        given[n_given++] = gain == NONE ? zero(d) : gain;
    }
    for (uint32_t k = of->n_carries; k < n_own; k++) {
        if (!derivative->leads[k] || d->inputs[k] == NONE || adjoints[d->inputs[k]] == NONE) continue;
        derivative->gives[k] = scan->n_made++;
        given[n_given++] = adjoints[d->inputs[k]];
    }
    /* What the trail says need not be computed again. */
    for (uint32_t k = 0; k < of->n_carries; k++) {
        Node *root = &d->graph.nodes[of->body.roots[k]];
        if (root->stage != SAMPLE || root->op == NODE_INPUT) continue;
        *root = (Node){.op = NODE_INPUT, .stage = SAMPLE, .a = ends + k};
    }
    finish(d, scan, given, operands, arena, scratch);
    derivative->is_zero = 1;
    for (uint32_t k = 0; k < scan->n_carries; k++) derivative->is_zero &= operands[k].kind == OPERAND_ZERO;
    for (uint32_t k = 0; k < scan->n_taken; k++)
        for (uint32_t s = 0; s < n_streams; s++)
            derivative->is_zero &= operands[scan->n_carries + k].kind != OPERAND_NODE ||
                                   operands[scan->n_carries + k].which != derivative->streams.items[s].node;
    derivative->scan = scan;
    derivative->scan_operands = operands;
}

/* -- forward mode ---------------------------------------------------------------------------------------- */

void scan_forward(ScanDerivative *derivative, Arena *arena, Arena *scratch) {
    const Scan *of = derivative->of;
    const uint32_t n_own = of->n_carries + of->n_taken, n_operands = scan_operands(of);
    Derivation derivation, *d = &derivation;
    begin(d, of, scratch);
    for (uint32_t k = 0; k < n_operands; k++) derivative->leads[k] = derivative->arriving[k] != NONE;
    find_leading(d, of, derivative->leads);

    /* New inputs: tangents of all carries; then those that there were; then tangents of what is taken. */
    Scan *scan = ARENA_ARRAY(arena, Scan, 1);
    ScanOperand *operands = ARENA_ARRAY(scratch, ScanOperand, 3 * (size_t)n_operands);
    uint32_t *moves = ARENA_ARRAY(scratch, uint32_t, of->body.size), count = 0;
    *scan = (Scan){.length = of->length,
                   .numbering = of->numbering,
                   .is_reverse = of->is_reverse,
                   .n_carries = of->n_carries,
                   .n_made = of->n_made};
    for (uint32_t i = 0; i < of->body.size; i++) moves[i] = NONE;
    for (uint32_t k = 0; k < of->n_carries; k++) {
        uint32_t input = new_input(d);
        if (derivative->leads[k] && d->inputs[k] != NONE) moves[d->inputs[k]] = input;
        add_operand(operands, &count, derivative->arriving[k]);
    }
    renumber_inputs(d, of);
    add_taken(derivative, operands, &count);
    for (uint32_t k = of->n_carries; k < n_own; k++) {
        if (derivative->arriving[k] == NONE) continue;
        uint32_t input = new_input(d);
        if (d->inputs[k] != NONE) moves[d->inputs[k]] = input;
        add_operand(operands, &count, derivative->arriving[k]);
    }
    for (uint32_t k = n_own; k < n_operands; k++) add_operand(operands, &count, derivative->operands[k]);
    for (uint32_t k = n_own; k < n_operands; k++) {
        if (derivative->arriving[k] == NONE) continue;
        build_room(&d->builder, 1);
        d->graph.nodes[d->graph.size] = (Node){.op = NODE_PARAMETER, .stage = ONCE, .a = d->graph.n_parameters++};
        d->builder.values[d->graph.size] = NAN;
        if (d->inputs[k] != NONE) moves[d->inputs[k]] = d->graph.size;
        d->graph.size++;
        add_operand(operands, &count, derivative->arriving[k]);
    }
    push_tangents(&d->function, moves);
    uint32_t *roots = ARENA_ARRAY(scratch, uint32_t, of->body.n_roots);
    for (uint32_t r = 0; r < of->body.n_roots; r++) {
        uint32_t tangent = moves[of->body.roots[r]];
        roots[r] = tangent == NONE ? zero(d) : tangent;
    }
    finish(d, scan, roots, operands, arena, scratch);
    derivative->scan = scan;
    derivative->scan_operands = operands;
}
