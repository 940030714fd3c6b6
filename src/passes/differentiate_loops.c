/* SPDX-License-Identifier: MIT */
#include "differentiate_loops.h"

#include "scans.h"

void add_part_gain(Work *work, uint32_t i, uint32_t g) {
    uint32_t record = work->b->graph->nodes[i].a;
    work->side = 0;
    if (work->function->leads[record]) add_term(work, record, i, g);
}

static void apply_scan_rule(Work *work, uint32_t i, const Term *terms, uint32_t n_terms);

/* Each of the terms, the first first; they are used up. */
static Term *take_terms(Work *work, uint32_t i, uint32_t *count) {
    const Terms all = work->of[i];
    Term *terms = ARENA_ARRAY(work->b->graph->scratch, Term, all.count);
    *count = all.count;
    work->of[i] = (Terms){0};
    for (uint32_t k = all.count, at = all.last; k-- > 0; at = terms[k].next) terms[k] = work->terms.items[at - 1];
    return terms;
}

/* The adjoints of a sequence's elements that have come one by one, as a sequence; NONE: there are none. */
static uint32_t gather_elements(Work *work, uint32_t i, const Term *terms, uint32_t n_terms) {
    Builder *b = work->b;
    uint32_t length = sequence_length(b->graph, i), any = 0;
    uint32_t *elements = ARENA_ARRAY(b->graph->scratch, uint32_t, length);
    for (uint32_t k = 0; k < length; k++) elements[k] = NONE;
    for (uint32_t k = 0; k < n_terms; k++) {
        if (terms[k].q == NONE) continue;
        uint32_t *element = &elements[b->graph->nodes[terms[k].p].b];
        *element = *element == NONE ? terms[k].q : build_map(b, OP_add, *element, terms[k].q, NONE, 0);
        any = 1;
    }
    if (!any) return NONE;
    for (uint32_t k = 0; k < length; k++)
        if (elements[k] == NONE) elements[k] = build_number(b, 0.0);
    return build_list(b, elements, length);
}

void apply_record_rule(Work *work, uint32_t i) {
    Builder *b = work->b;
    const Node node = b->graph->nodes[i];
    uint32_t n_terms;
    const Term *terms = take_terms(work, i, &n_terms);
    work->side = 0;
    if (node.op == NODE_SCAN) {
        apply_scan_rule(work, i, terms, n_terms);
    } else if (node.op == NODE_SEQUENCE) {
        uint32_t elements = gather_elements(work, i, terms, n_terms);
        if (elements != NONE) add_term(work, node.a, i, elements);
        for (uint32_t k = 0; k < n_terms; k++)
            if (terms[k].q == NONE) add_term(work, node.a, i, terms[k].p);
    } else {
        if (work->sides) work->side = side_of_loop(work->sides, i);
        for (uint32_t k = 0; k < n_terms; k++) {
            for (uint32_t e = 0; terms[k].q == NONE && e < node.b; e++) {
                uint32_t to = operand_of(b, i, e);
                if (work->function->leads[to]) add_term(work, to, build_part(b, terms[k].p, e), NONE);
            }
            if (terms[k].q != NONE) add_term(work, operand_of(b, i, b->graph->nodes[terms[k].p].b), terms[k].q, NONE);
        }
    }
}

/* The scan that a derivative is, as a node. */
static uint32_t build_derivative(Work *work, uint32_t i, const ScanDerivative *d) {
    Builder *b = work->b;
    uint32_t count = scan_operands(d->scan), *operands = ARENA_ARRAY(b->graph->scratch, uint32_t, count);
    for (uint32_t k = 0; k < count; k++) {
        const ScanOperand *operand = &d->scan_operands[k];
        operands[k] = operand->kind == OPERAND_NODE   ? operand->which
                      : operand->kind == OPERAND_ZERO ? build_number(b, 0.0)
                                                      : build_sequence(b, i, operand->which);
    }
    return build_scan(b, d->scan, operands, count);
}

/* The scan's operands, which stay where they are. */
static uint32_t *copy_operands(Work *work, uint32_t i) {
    uint32_t count;
    const uint32_t *operands = node_operands(work->b->graph, i, &count);
    uint32_t *copy = ARENA_ARRAY(work->b->graph->scratch, uint32_t, count);
    if (count) memcpy(copy, operands, count * sizeof *copy);
    return copy;
}

static void apply_scan_rule(Work *work, uint32_t i, const Term *terms, uint32_t n_terms) {
    Builder *b = work->b;
    Arena *scratch = b->graph->scratch;
    const Scan *scan = scan_of(b->graph, i);
    const uint32_t *operands = copy_operands(work, i), count = scan_operands(scan);
    ScanDerivative d;
    scan_derivative_begin(&d, scan, operands, scratch);
    for (uint32_t k = 0; k < count; k++) d.leads[k] = work->function->leads[operands[k]];
    for (uint32_t k = 0; k < n_terms; k++) {
        const Node *of = &b->graph->nodes[terms[k].p];
        if (of->op == NODE_SEQUENCE) {
            GROW(scratch, &d.streams, AdjointStream, 1);
            d.streams.items[d.streams.size++] = (AdjointStream){of->b, terms[k].q};
        } else if (d.arriving[of->b] == NONE) {
            d.arriving[of->b] = terms[k].q;
        } else { /* it is asked for more than once */
            d.arriving[of->b] = build_map(b, OP_add, d.arriving[of->b], terms[k].q, NONE, 0);
        }
    }
    scan_reverse(&d, b->graph->arena, scratch);
    if (d.is_zero) return;
    uint32_t made = build_derivative(work, i, &d);
    for (uint32_t k = 0; k < count; k++) {
        if (d.gives[k] == NONE || !work->function->leads[operands[k]]) continue;
        int is_taken = k >= scan->n_carries && k < scan->n_carries + scan->n_taken;
        work->side = work->sides && !is_taken ? side_of_loop(work->sides, i) : 0;
        add_term(work, operands[k], is_taken ? build_sequence(b, made, d.gives[k]) : build_part(b, made, d.gives[k]),
                 NONE);
    }
}

void add_scan_tangent(Work *work, uint32_t i) {
    Builder *b = work->b;
    const Scan *scan = scan_of(b->graph, i);
    const uint32_t *operands = copy_operands(work, i), count = scan_operands(scan);
    ScanDerivative d;
    int any = 0;
    scan_derivative_begin(&d, scan, operands, b->graph->scratch);
    for (uint32_t k = 0; k < count; k++) any |= (d.arriving[k] = work->tangents[operands[k]]) != NONE;
    if (!any) return;
    scan_forward(&d, b->graph->arena, b->graph->scratch);
    add_term(work, i, build_derivative(work, i, &d), NONE);
}

/* Whether number k of a tangent scan's results, its carries and then what it makes, is always 0. */
static int is_still(const Work *work, uint32_t scan, uint32_t k) {
    const Graph *graph = work->b->graph;
    const Graph *body = &scan_of(graph, scan)->body;
    uint32_t count;
    const uint32_t *operands = node_operands(graph, scan, &count);
    if (!is_zero_node(&body->nodes[body->roots[k]])) return 0;
    return k >= scan_of(graph, scan)->n_carries || is_zero(work->b, operands[k]);
}

void add_part_tangent(Work *work, uint32_t i) {
    Builder *b = work->b;
    const Node node = b->graph->nodes[i];
    uint32_t moves = work->tangents[node.a];
    if (moves == NONE) return;
    if (b->graph->nodes[moves].op == NODE_SCAN && is_still(work, moves, node.b)) return;
    add_term(work, i, build_part(b, moves, node.b), NONE);
}

void add_sequence_tangent(Work *work, uint32_t i) {
    Builder *b = work->b;
    const Node node = b->graph->nodes[i];
    uint32_t moves = work->tangents[node.a];
    if (moves == NONE) return;
    const Scan *scan = scan_of(b->graph, moves);
    uint32_t of = node.b < scan->n_made ? scan->n_carries + node.b : (node.b - scan->n_made) % scan->n_carries;
    if (is_still(work, moves, of)) return;
    add_term(work, i, build_sequence(b, moves, node.b), NONE);
}

void add_list_tangent(Work *work, uint32_t i) {
    Builder *b = work->b;
    uint32_t length = b->graph->nodes[i].b, *elements = copy_operands(work, i);
    int any = 0;
    for (uint32_t k = 0; k < length; k++) any |= (elements[k] = work->tangents[elements[k]]) != NONE;
    if (!any) return;
    for (uint32_t k = 0; k < length; k++)
        if (elements[k] == NONE) elements[k] = build_number(b, 0.0);
    add_term(work, i, build_list(b, elements, length), NONE);
}
