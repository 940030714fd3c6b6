/* SPDX-License-Identifier: MIT
 *
 * Differentiation of a function's optimised graph: its adjoints as nodes behind it (see graph.h).
 *
 * In reverse mode, the last node first. Each node's rule gives what its operands' adjoints gain, as
 * operations of the graph, so that executors keep a fused kernel for each. A rule is asked for only where
 * an adjoint arrives, and only for operands that lead to a parameter.
 */
#include "gates.h"
#include "scans.h"

typedef struct {
    uint32_t node, next; /* next: one more than the index of the one before */
} Contribution;

typedef struct {
    Graph *graph;
    uint32_t capacity; /* of nodes */
    uint8_t *leads;    /* of the function's nodes: to a parameter, by derivatives that are not always 0 */
    uint32_t *last;    /* ... one more than the last contribution to it; of a product: from its parts */
    const Gate *gates; /* of the same nodes; NULL: there are none */
    uint32_t *adjoint; /* of numbers of loops: their adjoints */
    GROWING(Contribution) contributions;
} Work;

/* -- nodes ------------------------------------------------------------------------------------------ */

static uint32_t append(Work *work, Node node) {
    Graph *graph = work->graph;
    if (graph->size == work->capacity) {
        if (work->capacity > UINT32_MAX / 2) longjmp(*graph->arena->out_of_memory, 1);
        Node *grown = ARENA_ARRAY(graph->arena, Node, (size_t)work->capacity * 2);
        memcpy(grown, graph->nodes, graph->size * sizeof(Node));
        graph->nodes = grown;
        work->capacity *= 2;
    }
    graph->nodes[graph->size] = node;
    return graph->size++;
}

/* Room for so many operands more, from graph->args.size on. */
static uint32_t *room_for_args(Work *work, size_t count) {
    Graph *graph = work->graph;
    GROW(graph->arena, &graph->args, uint32_t, count);
    return graph->args.items + graph->args.size;
}

/* The stage of a node's adjoint, and of what its rule makes of it. */
static uint8_t adjoint_stage(const Work *work, uint32_t i) {
    return work->graph->nodes[i].stage == SAMPLE ? SAMPLE : BATCH;
}

/* A node whose operands stand where room for them has just been made. */
static uint32_t append_listed(Work *work, Node node, uint32_t count) {
    node.a = work->graph->args.size;
    node.b = count;
    work->graph->args.size += count;
    return append(work, node);
}

/* What operand `which` of a row gains where node `source`, whose adjoint is g, is that row of x, y and w. */
static uint32_t append_gain(Work *work, uint32_t source, Op of, uint32_t which, double number,
                            const uint32_t names[NAME_COUNT]) {
    unsigned reads = cell_reads(of, (int)which);
    uint32_t *to = room_for_args(work, NAME_COUNT), count = 0;
    to[count++] = names[NAME_G];
    for (int name = NAME_X; name < NAME_G; name++)
        if (reads >> name & 1 && !(name == NAME_Y && op_info[of].shape == SCALED)) to[count++] = names[name];
    return append_listed(work,
                         (Node){.op = NODE_GAIN,
                                .of = (uint8_t)of,
                                .which = (uint8_t)which,
                                .c = source,
                                .number = number,
                                .stage = adjoint_stage(work, source)},
                         count);
}

/* -- contributions ---------------------------------------------------------------------------------- */

static void contribute(Work *work, uint32_t to, uint32_t node) {
    GROW(work->graph->scratch, &work->contributions, Contribution, 1);
    work->contributions.items[work->contributions.size++] = (Contribution){node, work->last[to]};
    work->last[to] = work->contributions.size;
}

/* Adds to the adjoint of `to`: of an earlier stage, by the sum over the batch. */
static void add(Work *work, uint32_t to, uint32_t node) {
    const Node *nodes = work->graph->nodes;
    if (nodes[to].stage != SAMPLE && nodes[node].stage == SAMPLE)
        node = append(work, (Node){.op = NODE_TOTAL, .a = node, .stage = BATCH});
    contribute(work, to, node);
}

/* The contributions to node i, in the order in which they came, behind the first `before` of the room. */
static uint32_t list_contributions(Work *work, uint32_t i, uint32_t before) {
    uint32_t count = 0;
    for (uint32_t c = work->last[i]; c; c = work->contributions.items[c - 1].next) count++;
    uint32_t *to = room_for_args(work, (size_t)before + count), at = before + count;
    for (uint32_t c = work->last[i]; c; c = work->contributions.items[c - 1].next)
        to[--at] = work->contributions.items[c - 1].node;
    return before + count;
}

static uint32_t sum_contributions(Work *work, uint32_t i) {
    if (!work->last[i]) return NONE;
    uint32_t count = list_contributions(work, i, 0);
    return append_listed(work, (Node){.op = NODE_ADJOINT, .c = i, .stage = adjoint_stage(work, i)}, count);
}

/* -- rules ------------------------------------------------------------------------------------------ */

/* g * factor, or g alone where factor is NONE. */
static uint32_t append_scaled(Work *work, uint32_t source, uint32_t g, uint32_t factor) {
    const uint32_t names[NAME_COUNT] = {NONE, factor, NONE, NONE, g};
    return append_gain(work, source, factor == NONE ? OP_add : OP_mul, 0, 0.0, names);
}

static void add_map_gains(Work *work, uint32_t i, uint32_t g) {
    const Node node = work->graph->nodes[i];
    const uint32_t names[NAME_COUNT] = {node.a, node.b, node.c, i, g};
    for (uint32_t k = 0; k < op_arity(node.op); k++)
        if (work->leads[names[k]] && !cell_stops((Op)node.op, (int)k))
            add(work, names[k], append_gain(work, i, (Op)node.op, k, node.number, names));
}

/* Of a sum's addends, all gain the same. */
static void add_addends_gains(Work *work, uint32_t i, uint32_t g) {
    const Node node = work->graph->nodes[i];
    uint32_t gain = NONE, total = NONE;
    for (uint32_t k = 2 * node.c; k < node.b; k++) {
        uint32_t to = work->graph->args.items[node.a + k];
        if (!work->leads[to]) continue;
        if (gain == NONE) gain = append_scaled(work, i, g, NONE);
        if (node.stage == work->graph->nodes[to].stage || node.stage != SAMPLE) {
            contribute(work, to, gain);
            continue;
        }
        if (total == NONE) total = append(work, (Node){.op = NODE_TOTAL, .a = gain, .stage = BATCH});
        contribute(work, to, total);
    }
}

static void add_linear_gains(Work *work, uint32_t i, uint32_t g) {
    const Node node = work->graph->nodes[i];
    for (uint32_t k = 0; k < 2 * node.c; k++) {
        const uint32_t *args = work->graph->args.items + node.a;
        uint32_t to = args[k], other = args[k ^ 1];
        if (!work->leads[to]) continue;
        if (to != other || work->graph->nodes[to].stage != node.stage) {
            add(work, to, append_scaled(work, i, g, other));
        } else if (k % 2 == 0) { /* both factors' gains at once: those of a square */
            const uint32_t names[NAME_COUNT] = {to, NONE, NONE, NONE, g};
            add(work, to, append_gain(work, i, OP_pow_number, 0, 2.0, names));
        }
    }
    add_addends_gains(work, i, g);
}

static void add_custom_gains(Work *work, uint32_t i, uint32_t g) {
    const Node node = work->graph->nodes[i];
    for (uint32_t k = 0; k < node.b / 2; k++) {
        const uint32_t *args = work->graph->args.items + node.a;
        if (work->leads[args[k]]) add(work, args[k], append_scaled(work, i, g, args[node.b / 2 + k]));
    }
}

static void add_parts(Work *work, uint32_t record, uint32_t part, uint32_t to) {
    if (!work->leads[to]) return;
    uint8_t stage = work->graph->nodes[record].stage;
    add(work, to, append(work, (Node){.op = NODE_PART, .a = record, .b = part, .stage = stage}));
}

static int any_leads(const Work *work, const uint32_t *nodes, size_t count) {
    for (size_t k = 0; k < count; k++)
        if (work->leads[nodes[k]]) return 1;
    return 0;
}

static void add_take_gains(Work *work, uint32_t i, uint32_t g) {
    const Node node = work->graph->nodes[i];
    uint32_t record = append(work, (Node){.op = NODE_SCATTER, .a = i, .b = g, .stage = adjoint_stage(work, i)});
    for (uint32_t k = 1; k < node.b; k++) add_parts(work, record, k - 1, work->graph->args.items[node.a + k]);
}

/* The product of whose inputs the gains of a product's weights are made. */
static uint32_t gaining_product(const Work *work, uint32_t product) {
    uint32_t by = work->gates ? work->gates[product].product : NONE;
    return by == NONE ? product : by;
}

/* Of the outputs of product i from `first` on, `count` of them, whose adjoints are these. */
static void add_outputs_gains(Work *work, uint32_t i, uint32_t first, uint32_t count, const uint32_t *adjoints) {
    Graph *graph = work->graph;
    Product product = product_of(graph, i);
    size_t from = (size_t)first * product.n_in, n_weights = (size_t)count * product.n_in;
    const uint8_t ways[] = {NODE_OUTER, NODE_TRANSPOSED};
    const int leads[] = {any_leads(work, product.weights + from, n_weights) ||
                             (product.biases && any_leads(work, product.biases + first, count)),
                         any_leads(work, product.inputs, product.n_in)};
    for (int way = 0; way < 2; way++) {
        if (!leads[way]) continue;
        uint32_t *to = room_for_args(work, (size_t)count + 1);
        to[0] = ways[way] == NODE_OUTER ? gaining_product(work, i) : i;
        memcpy(to + 1, adjoints, count * sizeof *adjoints);
        uint32_t record = append_listed(work, (Node){.op = ways[way], .c = first, .stage = way ? SAMPLE : BATCH},
                                        count + 1);
        product = product_of(graph, i); /* args may have moved */
        if (ways[way] == NODE_TRANSPOSED) {
            for (uint32_t k = 0; k < product.n_in; k++) add_parts(work, record, k, product_of(graph, i).inputs[k]);
            continue;
        }
        for (size_t k = from; k < from + n_weights; k++) add_parts(work, record, (uint32_t)k, product.weights[k]);
        for (uint32_t row = first; product.biases && row < first + count; row++)
            add_parts(work, record, product.n_out * product.n_in + row, product.biases[row]);
    }
}

/* A product's parts have left their adjoints with it, the last first. */
static void add_product_gains(Work *work, uint32_t i) {
    const Graph *graph = work->graph;
    if (!work->last[i]) return;
    uint32_t n_out = product_of(graph, i).n_out, count = 0, first = 0;
    uint32_t *adjoints = ARENA_ARRAY(graph->scratch, uint32_t, n_out);
    for (uint32_t c = work->last[i], row = 0; row <= n_out; row++) {
        uint32_t node = NONE;
        if (row < n_out) {
            node = work->contributions.items[c - 1].node;
            c = work->contributions.items[c - 1].next;
        }
        if (node != NONE) {
            if (!count) first = row;
            adjoints[count++] = node;
        } else if (count) {
            add_outputs_gains(work, i, first, count, adjoints);
            count = 0;
        }
    }
}

/* A gate's gain is that of what a choice by its condition chooses. */
static void add_gate_gain(Work *work, uint32_t i, const Gate *gate, uint32_t g) {
    const uint32_t names[NAME_COUNT] = {gate->condition, NONE, NONE, NONE, g};
    add(work, gate->operand, append_gain(work, i, OP_where, gate->is_other ? 2 : 1, 0.0, names));
}

/* -- loops ------------------------------------------------------------------------------------------ */

/* What contributes to a sequence is a sequence of adjoints, or a NODE_PART of its own, whose adjoint is known; to a
 * scan, a NODE_PART of its carries, or a pair of its NODE_SEQUENCE and a sequence of adjoints. */

static uint32_t append_zero(Work *work) { return append(work, (Node){.op = NODE_CONSTANT}); }

/* The sum of two adjoints; NONE is 0. */
static uint32_t append_sum(Work *work, uint32_t x, uint32_t y) {
    if (x == NONE || y == NONE) return x == NONE ? y : x;
    uint8_t stage = work->graph->nodes[x].stage;
    return append(work, (Node){.op = OP_add, .a = x, .b = y, .stage = stage});
}

static uint32_t append_record(Work *work, Node node, const uint32_t *operands, uint32_t count) {
    uint32_t *to = room_for_args(work, count);
    if (count) memcpy(to, operands, count * sizeof *to);
    uint32_t i = append_listed(work, node, count);
    set_stage(work->graph, i);
    return i;
}

static uint32_t append_part(Work *work, uint32_t record, uint32_t k) {
    return append(work, (Node){.op = NODE_PART, .a = record, .b = k, .stage = work->graph->nodes[record].stage});
}

/* The contributions to node i, as they came. */
static uint32_t *contributions_to(Work *work, uint32_t i, uint32_t *count) {
    *count = 0;
    for (uint32_t c = work->last[i]; c; c = work->contributions.items[c - 1].next) ++*count;
    uint32_t *nodes = ARENA_ARRAY(work->graph->scratch, uint32_t, *count), at = *count;
    for (uint32_t c = work->last[i]; c; c = work->contributions.items[c - 1].next)
        nodes[--at] = work->contributions.items[c - 1].node;
    return nodes;
}

static int is_own_part(const Work *work, uint32_t record, uint32_t node) {
    const Node *own = &work->graph->nodes[node];
    return node < work->graph->primal && own->op == NODE_PART && own->a == record;
}

/* The adjoints of a sequence's elements that have come one by one, as a sequence; NONE: there are none. */
static uint32_t gather_elements(Work *work, uint32_t i, const uint32_t *from, uint32_t count) {
    uint32_t length = sequence_length(work->graph, i), any = 0, zero = NONE;
    uint32_t *elements = ARENA_ARRAY(work->graph->scratch, uint32_t, length);
    for (uint32_t k = 0; k < length; k++) elements[k] = NONE;
    for (uint32_t c = 0; c < count; c++) {
        if (!is_own_part(work, i, from[c])) continue;
        uint32_t *element = &elements[work->graph->nodes[from[c]].b];
        *element = append_sum(work, *element, work->adjoint[from[c]]);
        any = 1;
    }
    if (!any) return NONE;
    for (uint32_t k = 0; k < length; k++) {
        if (elements[k] != NONE) continue;
        if (zero == NONE) zero = append_zero(work);
        elements[k] = zero;
    }
    return append_record(work, (Node){.op = NODE_LIST}, elements, length);
}

/* A sequence of adjoints, summed over the batch where the sequence that it belongs to does not change with the sample:
 * element by element. */
static uint32_t summed(Work *work, uint32_t stream, uint32_t sequence) {
    Graph *graph = work->graph;
    if (graph->nodes[stream].stage != SAMPLE || graph->nodes[sequence].stage == SAMPLE) return stream;
    uint32_t length = sequence_length(graph, sequence);
    uint32_t *totals = ARENA_ARRAY(graph->scratch, uint32_t, length);
    for (uint32_t k = 0; k < length; k++)
        totals[k] = append(work, (Node){.op = NODE_TOTAL, .a = append_part(work, stream, k), .stage = BATCH});
    return append_record(work, (Node){.op = NODE_LIST}, totals, length);
}

static void contribute_stream(Work *work, uint32_t i, uint32_t stream) {
    uint32_t scan = work->graph->nodes[i].a;
    contribute(work, scan, i);
    contribute(work, scan, summed(work, stream, i));
}

/* What a sequence gains goes to its scan, or to its nodes. */
static void add_sequence_gains(Work *work, uint32_t i) {
    const Node node = work->graph->nodes[i];
    uint32_t count;
    const uint32_t *from = contributions_to(work, i, &count);
    if (node.op == NODE_SEQUENCE) {
        uint32_t elements = gather_elements(work, i, from, count);
        if (elements != NONE) contribute_stream(work, i, elements);
        for (uint32_t c = 0; c < count; c++)
            if (!is_own_part(work, i, from[c])) contribute_stream(work, i, from[c]);
        return;
    }
    for (uint32_t c = 0; c < count; c++) {
        if (is_own_part(work, i, from[c])) {
            add(work, work->graph->args.items[node.a + work->graph->nodes[from[c]].b], work->adjoint[from[c]]);
            continue;
        }
        for (uint32_t k = 0; k < node.b; k++) {
            uint32_t to = work->graph->args.items[node.a + k];
            if (work->leads[to]) add(work, to, append_part(work, from[c], k));
        }
    }
}

/* The scan that a derivative is, as a node. */
static uint32_t append_derivative(Work *work, uint32_t i, const ScanDerivative *d) {
    Graph *graph = work->graph;
    uint32_t count = scan_operands(d->scan), zero = NONE;
    uint32_t *operands = ARENA_ARRAY(graph->scratch, uint32_t, count);
    for (uint32_t k = 0; k < count; k++) {
        const ScanOperand *operand = &d->scan_operands[k];
        operands[k] = operand->which;
        if (operand->kind == OPERAND_ZERO) operands[k] = zero = zero == NONE ? append_zero(work) : zero;
        if (operand->kind == OPERAND_TRAIL)
            operands[k] = append(
                work, (Node){.op = NODE_SEQUENCE, .a = i, .b = operand->which, .stage = graph->nodes[i].stage});
    }
    return append_record(work, (Node){.op = NODE_SCAN, .c = add_scan(graph, d->scan)}, operands, count);
}

static void add_scan_gains(Work *work, uint32_t i) {
    Graph *graph = work->graph;
    Arena *scratch = graph->scratch;
    const Scan *scan = scan_of(graph, i);
    uint32_t n_from, count = scan_operands(scan);
    const uint32_t *from = contributions_to(work, i, &n_from);
    uint32_t *operands = ARENA_ARRAY(scratch, uint32_t, count); /* args move */
    if (!n_from) return;
    if (count) memcpy(operands, graph->args.items + graph->nodes[i].a, count * sizeof *operands);
    ScanDerivative d;
    scan_derivative_begin(&d, scan, operands, scratch);
    for (uint32_t k = 0; k < count; k++) d.leads[k] = work->leads[operands[k]];
    for (uint32_t c = 0; c < n_from; c++) {
        const Node *of = &graph->nodes[from[c]];
        if (of->op == NODE_SEQUENCE) {
            GROW(scratch, &d.streams, AdjointStream, 1);
            d.streams.items[d.streams.size++] = (AdjointStream){of->b, from[++c]};
        } else {
            d.arriving[of->b] = append_sum(work, d.arriving[of->b], work->adjoint[from[c]]);
        }
    }
    scan_reverse(&d, graph->arena, scratch);
    if (d.is_zero) return;
    uint32_t made = append_derivative(work, i, &d);
    for (uint32_t k = 0; k < count; k++) {
        if (d.gives[k] == NONE || !work->leads[operands[k]]) continue;
        int is_taken = k >= scan->n_carries && k < scan->n_carries + scan->n_taken;
        if (!is_taken) {
            add(work, operands[k], append_part(work, made, d.gives[k]));
            continue;
        }
        uint32_t stage = graph->nodes[made].stage;
        contribute(work, operands[k],
                   append(work, (Node){.op = NODE_SEQUENCE, .a = made, .b = d.gives[k], .stage = (uint8_t)stage}));
    }
}

static void add_gains(Work *work, uint32_t i, uint32_t g) {
    switch (form_of(&work->graph->nodes[i])) {
    case FORM_MAP: add_map_gains(work, i, g); return;
    case FORM_LINEAR: add_linear_gains(work, i, g); return;
    case FORM_TAKE: add_take_gains(work, i, g); return;
    case FORM_CUSTOM: add_custom_gains(work, i, g); return;
    case FORM_CONSTANT:
    case FORM_PARAMETER:
    case FORM_INPUT:
    case FORM_DRAW:
    case FORM_PART:
    case FORM_SCAN:
    case FORM_SEQUENCE:
    case FORM_LIST:
    case FORM_PRODUCT: /* see append_adjoints */
        return;
        CASES_OF_GRADIENTS
        break; /* derivatives of higher order are taken before a function is compiled */
    }
    abort();
}

/* -- the whole -------------------------------------------------------------------------------------- */

/* Also, for how many nodes and operands of adjoints there should be room. Of an operand: a contribution,
 * a sum over the batch, a place among its addends; of a node: its adjoint, and a record or two. */
static void find_leading(const Graph *graph, uint8_t *leads, size_t *nodes, size_t *args) {
    *nodes = *args = 4;
    for (uint32_t i = 0; i < graph->size; i++) {
        const Node *node = &graph->nodes[i];
        uint32_t count, leading = 0;
        const uint32_t *operands = node_operands(graph, i, &count);
        for (uint32_t k = 0; k < count; k++) leading += leads[operands[k]] && !operand_stops(node, k);
        leads[i] = leading || node->op == NODE_PARAMETER;
        if (!leads[i]) continue;
        *nodes += 3 + 2 * leading;
        *args += 2 + (size_t)leading * (node->op == NODE_PRODUCT ? 1 : 1 + NAME_COUNT);
    }
}

static uint32_t copy_graph(const Graph *graph, Graph *to, size_t nodes, size_t args) {
    Graph copy = {.arena = to->arena,
                  .scratch = to->scratch,
                  .size = graph->size,
                  .n_inputs = graph->n_inputs,
                  .n_draws = graph->n_draws,
                  .n_parameters = graph->n_parameters,
                  .scans = graph->scans,
                  .primal = graph->size,
                  .recorded = graph->recorded,
                  .n_roots = 1 + graph->n_parameters};
    nodes += graph->size;
    args += graph->args.size;
    if (nodes > UINT32_MAX || args > UINT32_MAX) longjmp(*to->arena->out_of_memory, 1);
    copy.nodes = ARENA_ARRAY(to->arena, Node, nodes);
    memcpy(copy.nodes, graph->nodes, graph->size * sizeof(Node));
    copy.args.items = ARENA_ARRAY(to->arena, uint32_t, args);
    if (graph->args.size) memcpy(copy.args.items, graph->args.items, graph->args.size * sizeof(uint32_t));
    copy.args.size = graph->args.size;
    copy.args.capacity = (uint32_t)args;
    copy.scans.capacity = copy.scans.size; /* what is added goes to a list of its own */
    copy.roots = ARENA_ARRAY(to->arena, uint32_t, copy.n_roots);
    copy.roots[0] = graph->roots[0];
    *to = copy;
    return (uint32_t)nodes;
}

void append_adjoints(const Graph *of, Graph *graph) {
    Arena *scratch = graph->scratch;
    Graph with_gates;
    Work work = {.graph = graph, .leads = ARENA_ARRAY(scratch, uint8_t, of->size)};
    size_t nodes, args;
    find_leading(of, work.leads, &nodes, &args);
    work.gates = add_gates(of, work.leads, scratch, &with_gates);
    if (work.gates) {
        of = &with_gates;
        work.leads = ARENA_ARRAY(scratch, uint8_t, of->size);
        find_leading(of, work.leads, &nodes, &args);
    }
    work.last = ARENA_ARRAY(scratch, uint32_t, of->size);
    work.adjoint = ARENA_ARRAY(scratch, uint32_t, of->size);
    work.capacity = copy_graph(of, graph, nodes, args);
    uint32_t loss = graph->roots[0], zero = NONE;
    for (uint32_t k = 0; k < graph->n_parameters; k++) graph->roots[1 + k] = NONE;
    for (uint32_t i = graph->primal; i-- > 0;) {
        const Node node = graph->nodes[i];
        if (node.op == NODE_PRODUCT) {
            add_product_gains(&work, i);
            continue;
        }
        if (is_record_of_loop(&node)) {
            if (work.leads[i]) (node.op == NODE_SCAN ? add_scan_gains : add_sequence_gains)(&work, i);
            continue;
        }
        uint32_t g = NONE;
        if (i == loss && work.leads[i]) g = append(&work, (Node){.op = NODE_SEED, .stage = adjoint_stage(&work, i)});
        else if (work.leads[i]) g = sum_contributions(&work, i);
        if (node.op == NODE_PART && graph->nodes[node.a].op != NODE_PRODUCT) {
            work.adjoint[i] = g;
            if (g != NONE) contribute(&work, node.a, i);
        } else if (node.op == NODE_PART) contribute(&work, node.a, g);
        else if (node.op == NODE_PARAMETER) graph->roots[1 + node.a] = g;
        else if (g != NONE && work.gates && work.gates[i].operand != NONE) add_gate_gain(&work, i, &work.gates[i], g);
        else if (g != NONE) add_gains(&work, i, g);
    }
    for (uint32_t k = 1; k < graph->n_roots; k++) {
        if (graph->roots[k] != NONE) continue;
        if (zero == NONE) zero = append(&work, (Node){.op = NODE_CONSTANT});
        graph->roots[k] = zero;
    }
}
