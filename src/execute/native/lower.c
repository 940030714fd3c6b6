/* SPDX-License-Identifier: MIT */
#include "lower.h"

#include "elementary.h"
#include "encode.h"
#include "terms.h"

enum { FEW_FLOATS = 8 };

/* What one sample adds to a sum over the batch. Floats are added as such, a few of them, and then as doubles, as
 * products of two are at once. */
typedef struct {
    uint32_t value;     /* numbers of the line's kind; NONE: none so far */
    uint32_t count;     /* how many */
    uint32_t halves[2]; /* what floats have become; NONE: nothing so far */
    uint32_t missing;   /* how many nodes that add to it are still to come */
} Summand;

typedef struct {
    const Graph *graph;
    Lowered *to;
    Straight *line; /* the one at hand, and which */
    LineKind kind;
    TermOrder terms;
    uint32_t (*parts)[MOST_PARTS]; /* of each sum of products: what its terms so far add up to, or NONE */
    uint32_t *value; /* of nodes of the line at hand; of a sum over the batch: which */
    uint32_t *row;   /* of nodes that another line reads: where in the numbers; NONE so far */
    uint32_t *given; /* nodes that line ONCE gives, in order */
    uint32_t *column; /* of arguments: which input of line SAMPLE */
    uint32_t *draw;   /* of draws */
    Summand *summands; /* of each sum over the batch */
    Reader *reader;   /* who knows where operands stand; NULL: this does */
    uint32_t bad;     /* of the line at hand: above 0 if an index is none; NONE: there are none */
} Lowering;

static LineKind line_of(const Node *node) {
    switch ((Stage)node->stage) {
    case CONSTANT:
    case ONCE: return LINE_ONCE;
    case SAMPLE: return LINE_SAMPLE;
    case BATCH: return LINE_BATCH;
    }
    abort();
}

/* Which sum over the batch a node is; they are counted in order. */
static int is_total(const Graph *graph, const Node *node) {
    return node->op == NODE_TOTAL || (node->op == NODE_PART && graph->nodes[node->a].op == NODE_OUTER);
}

/* -- operands --------------------------------------------------------------------------------------- */

/* A number of another line's: line ONCE gives it if it is asked for. */
static uint32_t number_of(Lowering *l, uint32_t i) {
    if (l->row[i] == NONE) {
        l->given[l->to->n_given] = i;
        l->to->given_rows[l->to->n_given++] = l->row[i] = l->to->n_numbers++;
    }
    return straight_once(l->line, l->row[i]);
}

static uint32_t operand(Lowering *l, uint32_t i) {
    if (l->reader) return l->reader->read(l->reader, i);
    const Node *node = &l->graph->nodes[i];
    switch (form_of(node)) {
    case FORM_CONSTANT:
    case FORM_CUSTOM: return straight_number(l->line, node->number);
    case FORM_PARAMETER: return straight_once(l->line, node->a);
    case FORM_SEED: return l->line->is_float32 ? straight_number(l->line, 1.0) : straight_once(l->line, l->to->seed);
    case FORM_INPUT: return straight_input(l->line, l->column[node->a]);
    case FORM_DRAW: return straight_input(l->line, l->draw[node->a]);
    case FORM_MAP:
    case FORM_PART:
    case FORM_TOTAL:
    case FORM_LINEAR:
    case FORM_GAIN:
    case FORM_TAKE:
    case FORM_ADJOINT: break;
    case FORM_SCATTER:
    case FORM_PRODUCT: CASES_OF_LOOPS
    case FORM_TRANSPOSED:
    case FORM_OUTER: abort(); /* records, which no number is read of */
    }
    return line_of(node) == l->kind && !is_total(l->graph, node) ? l->value[i] : number_of(l, i);
}

/* -- nodes ------------------------------------------------------------------------------------------ */

static uint32_t two(Lowering *l, Primitive op, uint32_t a, uint32_t b) {
    return straight_do(l->line, op, 0, a, b, NONE, NONE);
}

/* sum + a * b in one rounding, as kernels for matrices have it; before the first product the sum, NONE, is 0. */
static uint32_t plus_product(Lowering *l, uint32_t sum, uint32_t a, uint32_t b) {
    if (sum == NONE) sum = straight_number(l->line, 0.0);
    return straight_do(l->line, PRIMITIVE_FMADD, 0, a, b, sum, NONE);
}

static uint32_t plus(Lowering *l, uint32_t sum, uint32_t value) {
    return sum == NONE ? value : two(l, PRIMITIVE_ADD, sum, value);
}

static uint32_t sum_of_parts(Lowering *l, const uint32_t *parts) {
    uint32_t sum = parts[0];
    for (int k = 1; k < MOST_PARTS && parts[k] != NONE; k++) sum = two(l, PRIMITIVE_ADD, sum, parts[k]);
    return sum;
}

/* The sum so far and one term more. Of products alone it begins with 0, so that it is never -0. */
static uint32_t plus_term(Lowering *l, const Node *node, uint32_t sum, uint32_t term) {
    const uint32_t *args = l->graph->args.items + node->a;
    if (term >= node->c) return plus(l, sum, operand(l, args[node->c + term]));
    uint32_t a = operand(l, args[2 * term]), b = operand(l, args[2 * term + 1]);
    return sum == NONE && node->b > 2 * node->c ? two(l, PRIMITIVE_MUL, a, b) : plus_product(l, sum, a, b);
}

/* In loops. */
static uint32_t linear(Lowering *l, const Node *node) {
    uint32_t parts[MOST_PARTS] = {NONE, NONE, NONE, NONE}, count = count_terms(node);
    uint32_t n_parts = count < MANY_TERMS ? 1 : MOST_PARTS;
    for (uint32_t k = 0; k < count; k++) parts[k % n_parts] = plus_term(l, node, parts[k % n_parts], term_at(node, k));
    return sum_of_parts(l, parts);
}

static uint32_t adjoint(Lowering *l, const Node *node) {
    const uint32_t *args = l->graph->args.items + node->a;
    uint32_t sum = operand(l, args[0]);
    for (uint32_t k = 1; k < node->b; k++) {
        /* One sum over the batch may stand for several: see share_totals. */
        int is_shared = !l->reader && is_total(l->graph, &l->graph->nodes[args[k]]) &&
                        l->row[args[k]] == l->row[args[k - 1]];
        if (is_shared && args[k] != args[k - 1]) continue;
        sum = two(l, PRIMITIVE_ADD, sum, operand(l, args[k]));
    }
    return sum;
}

static uint32_t gain(Lowering *l, const Node *node) {
    uint32_t nodes[NAME_COUNT], names[NAME_COUNT];
    gain_names(l->graph, node, nodes);
    for (int k = 0; k < NAME_COUNT; k++) names[k] = nodes[k] == NONE ? NONE : operand(l, nodes[k]);
    if (op_info[node->of].shape == SCALED) names[NAME_Y] = straight_number(l->line, node->number);
    return row_gain(l->line, (Op)node->of, node->which, names);
}

static uint32_t map(Lowering *l, const Node *node) {
    uint32_t arity = op_arity(node->op);
    uint32_t x = operand(l, node->a), y = arity > 1 ? operand(l, node->b) : NONE;
    return row_value(l->line, (Op)node->op, node->number, x, y, arity > 2 ? operand(l, node->c) : NONE);
}

/* Output `row` of a product. */
static uint32_t output(Lowering *l, const Product *product, uint32_t row) {
    const uint32_t *weights = product->weights + (size_t)row * product->n_in;
    uint32_t sum = product->biases ? operand(l, product->biases[row]) : NONE;
    for (uint32_t k = 0; k < product->n_in; k++)
        sum = plus_product(l, sum, operand(l, weights[k]), operand(l, product->inputs[k]));
    return sum;
}

/* What input k of a product gains. */
static uint32_t input_gain(Lowering *l, const Node *transposed, uint32_t k) {
    const uint32_t *args = l->graph->args.items + transposed->a;
    Product product = product_of(l->graph, args[0]);
    uint32_t sum = NONE;
    for (uint32_t r = 0; r + 1 < transposed->b; r++) {
        uint32_t weight = product.weights[(size_t)(transposed->c + r) * product.n_in + k];
        sum = plus_product(l, sum, operand(l, weight), operand(l, args[1 + r]));
    }
    return sum;
}

static uint32_t choose(Lowering *l, Predicate predicate, uint32_t a, uint32_t b, uint32_t then, uint32_t otherwise) {
    return straight_do(l->line, PRIMITIVE_SELECT, predicate, a, b, then, otherwise);
}

static uint32_t given_index(Lowering *l, const Node *take) { return operand(l, l->graph->args.items[take->a]); }

/* The index of a take, counted from the first element even where it is negative. */
static uint32_t whole_index(Lowering *l, const Node *take) {
    uint32_t index = given_index(l, take);
    uint32_t from_end = two(l, PRIMITIVE_ADD, index, straight_number(l->line, take->b - 1));
    return choose(l, COMPARE_IS_LESS, index, straight_number(l->line, 0.0), from_end, index);
}

/* Above 0 where it is none. Whether it is whole, the given one says: counted from the end, it is rounded. */
static uint32_t is_bad(Lowering *l, uint32_t given, uint32_t index, uint32_t n_elements) {
    uint32_t zero = straight_number(l->line, 0.0), one = straight_number(l->line, 1.0);
    uint32_t whole = straight_do(l->line, PRIMITIVE_ROUND, ROUND_DOWN, given, NONE, NONE, NONE);
    uint32_t bad = choose(l, COMPARE_IS_EQUAL, given, whole, zero, one);
    bad = choose(l, COMPARE_IS_GREATER_EQUAL, index, zero, bad, one);
    return choose(l, COMPARE_IS_LESS, index, straight_number(l->line, n_elements), bad, one);
}

/* The element where they are asked one by one. */
static uint32_t search(Lowering *l, const uint32_t *elements, uint32_t count, uint32_t index) {
    uint32_t chosen = operand(l, elements[count - 1]);
    for (uint32_t k = count - 1; k-- > 0;)
        chosen = choose(l, COMPARE_IS_EQUAL, index, straight_number(l->line, k), operand(l, elements[k]), chosen);
    return chosen;
}

/* ... and where they stand in rows, so many in two of them. */
static uint32_t pick(Lowering *l, uint32_t rows, uint32_t together, uint32_t count, uint32_t index) {
    /* Behind this sum's point nothing is left: its lowest bits are the index. */
    double large = l->line->is_float32 ? 0x1p23 : 0x1p52;
    uint32_t bits = two(l, PRIMITIVE_ADD, index, straight_number(l->line, large)), chosen = NONE;
    for (uint32_t last = (count - 1) / together, k = last + 1; k-- > 0;) {
        uint32_t own = straight_do(l->line, PRIMITIVE_PICK, rows + 2 * k, bits, NONE, NONE, NONE);
        uint32_t end = straight_number(l->line, (k + 1.0) * together);
        chosen = k == last ? own : choose(l, COMPARE_IS_LESS, index, end, own, chosen);
    }
    return chosen;
}

static uint32_t take(Lowering *l, const Node *node) {
    const uint32_t *elements = l->graph->args.items + node->a + 1;
    uint32_t count = node->b - 1, index = whole_index(l, node), bad = is_bad(l, given_index(l, node), index, count);
    uint32_t together, rows = l->reader ? l->reader->table(l->reader, elements, count, &together) : NONE;
    uint32_t chosen = rows == NONE ? search(l, elements, count, index) : pick(l, rows, together, count, index);
    l->bad = l->bad == NONE ? bad : two(l, PRIMITIVE_ADD, l->bad, bad);
    return chosen;
}

static uint32_t part(Lowering *l, const Node *node) {
    const Node *record = &l->graph->nodes[node->a];
    if (record->op == NODE_SCATTER) {
        uint32_t index = whole_index(l, &l->graph->nodes[record->a]);
        return choose(l, COMPARE_IS_EQUAL, index, straight_number(l->line, node->b), operand(l, record->b),
                      straight_number(l->line, 0.0));
    }
    if (record->op == NODE_TRANSPOSED) return input_gain(l, record, node->b);
    Product product = product_of(l->graph, node->a);
    return output(l, &product, node->b);
}

static uint32_t node_value(Lowering *l, uint32_t i) {
    const Node *node = &l->graph->nodes[i];
    switch (form_of(node)) {
    case FORM_MAP: return map(l, node);
    case FORM_LINEAR: return l->reader ? linear(l, node) : sum_of_parts(l, l->parts[i]);
    case FORM_GAIN: return gain(l, node);
    case FORM_ADJOINT: return adjoint(l, node);
    case FORM_TAKE: return take(l, node);
    case FORM_PART: return part(l, node);
    case FORM_CONSTANT:
    case FORM_PARAMETER:
    case FORM_INPUT:
    case FORM_DRAW:
    case FORM_SEED:
    case FORM_CUSTOM:  /* all of these are read where they stand */
    case FORM_TOTAL:
    case FORM_SCATTER:
    case FORM_PRODUCT: CASES_OF_LOOPS
    case FORM_TRANSPOSED:
    case FORM_OUTER: return NONE; /* have no number */
    }
    abort();
}

/* What floats have added up to so far, as doubles. */
static void widen(Lowering *l, Summand *sum) {
    if (sum->value == NONE) return;
    for (int upper = 0; upper < 2; upper++) {
        uint32_t half = straight_half(l->line, sum->value, upper);
        l->line->is_float32 = 0;
        sum->halves[upper] = plus(l, sum->halves[upper], half);
        l->line->is_float32 = 1;
    }
    sum->value = NONE;
    sum->count = 0;
}

static void add_value(Lowering *l, Summand *sum, uint32_t value) {
    sum->value = plus(l, sum->value, value);
    if (l->line->is_float32 && ++sum->count == FEW_FLOATS) widen(l, sum);
}

static uint32_t with_product(Lowering *l, uint32_t sum, uint32_t a, uint32_t b) {
    return sum == NONE ? two(l, PRIMITIVE_MUL, a, b) : plus_product(l, sum, a, b);
}

/* That of two floats is a double to the last digit. */
static void add_product(Lowering *l, Summand *sum, uint32_t a, uint32_t b) {
    if (!l->line->is_float32) {
        sum->value = with_product(l, sum->value, a, b);
        return;
    }
    for (int upper = 0; upper < 2; upper++) {
        uint32_t x = straight_half(l->line, a, upper), y = straight_half(l->line, b, upper);
        l->line->is_float32 = 0;
        sum->halves[upper] = with_product(l, sum->halves[upper], x, y);
        l->line->is_float32 = 1;
    }
}

/* What a node of a sum over the batch adds to it. */
static void add_summand(Lowering *l, Summand *sum, const Node *node) {
    if (node->op == NODE_TOTAL) {
        add_value(l, sum, operand(l, node->a));
        return;
    }
    const Node *outer = &l->graph->nodes[node->a];
    const uint32_t *args = l->graph->args.items + outer->a;
    Product product = product_of(l->graph, args[0]);
    uint32_t n_weights = product.n_out * product.n_in;
    if (node->b >= n_weights) {
        add_value(l, sum, operand(l, args[1 + node->b - n_weights - outer->c]));
        return;
    }
    uint32_t g = operand(l, args[1 + node->b / product.n_in - outer->c]);
    add_product(l, sum, g, operand(l, product.inputs[node->b % product.n_in]));
}

/* The summand is whole. */
static void give_total(Lowering *l, uint32_t which, Summand *sum) {
    if (!l->line->is_float32) {
        straight_total(l->line, which, sum->value);
        return;
    }
    widen(l, sum);
    for (uint32_t upper = 0; upper < 2; upper++)
        straight_total(l->line, which + upper * l->to->n_totals, sum->halves[upper]);
}

static void lower_total(Lowering *l, uint32_t i) {
    uint32_t which = l->value[i];
    Summand *sum = &l->summands[which];
    add_summand(l, sum, &l->graph->nodes[i]);
    if (--sum->missing == 0) give_total(l, which, sum);
}

/* A sum over the batch of one value. */
static void total_of(Lowering *l, uint32_t which, uint32_t value) {
    Summand *sum = &l->summands[which];
    add_value(l, sum, value);
    give_total(l, which, sum);
}

/* The terms of sums that are added behind node i. */
static void add_terms(Lowering *l, uint32_t i) {
    for (uint32_t k = l->terms.first[i]; k < l->terms.first[i + 1]; k++) {
        const Term *term = &l->terms.terms[k];
        const Node *sum = &l->graph->nodes[term->sum];
        uint32_t *part = &l->parts[term->sum][term->part];
        if (line_of(sum) == l->kind) *part = plus_term(l, sum, *part, term->term);
    }
}

/* -- the whole -------------------------------------------------------------------------------------- */

static void lower_line(Lowering *l, LineKind kind) {
    const Graph *graph = l->graph;
    l->kind = kind;
    l->line = &l->to->lines[kind];
    l->line->is_float32 = graph->is_float32 && kind == LINE_SAMPLE;
    l->bad = NONE;
    for (uint32_t i = 0; i < graph->size; i++) {
        const Node *node = &graph->nodes[i];
        if (is_total(graph, node)) {
            if (kind == LINE_SAMPLE) lower_total(l, i); /* at once, while registers still hold it */
        } else if (line_of(node) == kind) {
            l->value[i] = node_value(l, i);
            if (kind == LINE_SAMPLE && l->to->loss_total != NONE && i == graph->roots[0])
                total_of(l, l->to->loss_total, operand(l, i));
        }
        add_terms(l, i);
    }
    if (kind == LINE_SAMPLE && l->bad != NONE) total_of(l, l->to->bad_total, l->bad);
}

/* A sum over the batch of so many nodes: this one, or, NONE, another one. */
static uint32_t new_total(Lowering *l, uint32_t which, uint32_t nodes) {
    if (which == NONE) which = l->to->n_totals++;
    l->summands[which] = (Summand){.value = NONE, .halves = {NONE, NONE}, .missing = nodes};
    return which;
}

static void set_total(Lowering *l, uint32_t node, uint32_t which) {
    l->value[node] = which;
    l->row[node] = l->to->adjoints + which;
}

/* The parameter whose adjoint the node is, or NONE. */
static uint32_t parameter_of(const Lowering *l, uint32_t i) {
    const Graph *graph = l->graph;
    const Node *of = &graph->nodes[graph->nodes[i].c];
    return of->op == NODE_PARAMETER && graph->roots[1 + of->a] == i ? of->a : NONE;
}

/* Sums over the batch that are added up one after the other, and nothing else, are one sum. If that is all
 * that there is of a parameter's adjoint, it stands where that is to be. */
static void share_totals(Lowering *l, Arena *scratch) {
    const Graph *graph = l->graph;
    uint32_t *uses = ARENA_ARRAY(scratch, uint32_t, graph->size + 1), count;
    for (uint32_t i = 0; i < graph->size; i++) {
        const uint32_t *operands = node_operands(graph, i, &count);
        for (uint32_t k = 0; graph->nodes[i].stage == BATCH && k < count; k++) uses[operands[k]]++;
    }
    for (uint32_t r = 0; r < graph->n_roots; r++) uses[graph->roots[r]]++;
    for (uint32_t i = 0; i < graph->size; i++) {
        const Node *node = &graph->nodes[i];
        if (node->op != NODE_ADJOINT || node->stage != BATCH) continue;
        const uint32_t *args = graph->args.items + node->a;
        uint32_t n = 0;
        while (n < node->b && is_total(graph, &graph->nodes[args[n]]) && uses[args[n]] == 1) n++;
        if (!n) continue;
        uint32_t which = new_total(l, n == node->b ? parameter_of(l, i) : NONE, n);
        for (uint32_t k = 0; k < n; k++) set_total(l, args[k], which);
    }
}

static void number_totals(Lowering *l, Arena *scratch) {
    const Graph *graph = l->graph;
    Lowered *to = l->to;
    to->n_totals = graph->primal ? graph->n_parameters : 0;
    share_totals(l, scratch);
    for (uint32_t i = 0; i < graph->size; i++)
        if (is_total(graph, &graph->nodes[i]) && l->row[i] == NONE) set_total(l, i, new_total(l, NONE, 1));
    to->loss_total = graph->primal && graph->nodes[graph->roots[0]].stage == SAMPLE ? new_total(l, NONE, 1) : NONE;
    to->bad_total = NONE;
    for (uint32_t i = 0; i < graph->size && to->bad_total == NONE; i++)
        if (graph->nodes[i].op == OP_take && graph->nodes[i].stage == SAMPLE) to->bad_total = new_total(l, NONE, 1);
    to->n_numbers = to->adjoints + to->n_totals;
}

static void number_columns(Lowering *l, Arena *arena) {
    const Graph *graph = l->graph;
    Lowered *to = l->to;
    to->columns = ARENA_ARRAY(arena, uint32_t, graph->n_inputs + 1);
    for (uint32_t i = 0; i < graph->size; i++) {
        if (graph->nodes[i].op != NODE_INPUT) continue;
        l->column[graph->nodes[i].a] = to->n_columns;
        to->columns[to->n_columns++] = graph->nodes[i].a;
    }
}

/* In order, so that the two of a counter stand side by side. */
static void number_draws(Lowering *l, Arena *arena) {
    const Graph *graph = l->graph;
    Lowered *to = l->to;
    to->draws = ARENA_ARRAY(arena, uint32_t, graph->n_draws + 1);
    to->kinds = ARENA_ARRAY(arena, uint8_t, graph->n_draws + 1);
    for (uint32_t i = 0; i < graph->size; i++) /* one more than the node, for now */
        if (graph->nodes[i].op == NODE_DRAW) l->draw[graph->nodes[i].a] = i + 1;
    for (uint32_t draw = 0; draw < graph->n_draws; draw++) {
        if (!l->draw[draw]) continue;
        to->kinds[to->n_draws] = graph->nodes[l->draw[draw] - 1].which;
        l->draw[draw] = to->n_columns + to->n_draws;
        to->draws[to->n_draws++] = draw;
    }
    to->n_inputs = to->n_columns + to->n_draws;
}

/* As many nodes as line ONCE may give. */
static size_t count_given(const Graph *graph) {
    size_t count = 0;
    for (uint32_t i = 0; i < graph->size; i++) count += graph->nodes[i].stage <= ONCE;
    return count;
}

/* Those that are not sums over the batch, which stand in their places already. */
static void give_adjoints(Lowering *l, Arena *arena) {
    const Graph *graph = l->graph;
    Lowered *to = l->to;
    to->batch_rows = ARENA_ARRAY(arena, uint32_t, graph->n_parameters + 1);
    for (uint32_t k = 0; graph->primal && k < graph->n_parameters; k++) {
        const Node *root = &graph->nodes[graph->roots[1 + k]];
        uint32_t first = root->op == NODE_ADJOINT ? graph->args.items[root->a] : NONE;
        if (first != NONE && is_total(graph, &graph->nodes[first]) && l->row[first] == to->adjoints + k) continue;
        straight_output(l->line, to->n_batch, operand(l, graph->roots[1 + k]));
        to->batch_rows[to->n_batch++] = to->adjoints + k;
    }
}

/* The function's results: what does not change with the sample stands in the numbers. */
static void give_roots(Lowering *l, Arena *arena) {
    const Graph *graph = l->graph;
    l->to->root_rows = ARENA_ARRAY(arena, uint32_t, graph->n_roots + 1);
    for (uint32_t r = 0; r < (graph->primal ? 1 : graph->n_roots); r++) {
        const Node *root = &graph->nodes[graph->roots[r]];
        l->to->root_rows[r] = NONE;
        if (root->stage != SAMPLE) {
            if (root->op == NODE_PARAMETER) l->row[graph->roots[r]] = root->a;
            number_of(l, graph->roots[r]);
            l->to->root_rows[r] = l->row[graph->roots[r]];
        } else if (!graph->primal) {
            straight_output(l->line, l->to->n_outputs++, operand(l, graph->roots[r]));
        }
    }
}

uint32_t lower_node(Straight *line, const Graph *graph, uint32_t node, Reader *reader, uint32_t *bad) {
    Lowering lowering = {.graph = graph, .line = line, .reader = reader, .bad = *bad};
    uint32_t value = node_value(&lowering, node);
    *bad = lowering.bad;
    return value;
}

/* About as many instructions as line SAMPLE will have. */
static uint32_t expected_length(const Graph *graph) {
    uint32_t length = graph->args.size;
    for (uint32_t i = 0; i < graph->size; i++) {
        int op = graph->nodes[i].op;
        length += op < OP_COUNT ? row_length((Op)op) : 1;
    }
    return length;
}

void lower(Lowered *lowered, const Graph *graph, Arena *arena, Arena *scratch) {
    *lowered = (Lowered){.seed = graph->n_parameters, .adjoints = adjoints_at(graph->n_parameters)};
    Lowering lowering = {.graph = graph, .to = lowered};
    Lowering *l = &lowering;
    l->value = ARENA_ARRAY(scratch, uint32_t, graph->size + 1);
    l->row = ARENA_ARRAY(scratch, uint32_t, graph->size + 1);
    l->given = ARENA_ARRAY(scratch, uint32_t, graph->size + 1);
    l->summands = ARENA_ARRAY(scratch, Summand, graph->size + graph->n_parameters + 2);
    l->column = ARENA_ARRAY(scratch, uint32_t, graph->n_inputs + 1);
    l->draw = ARENA_ARRAY(scratch, uint32_t, graph->n_draws + 1);
    l->terms = order_terms(graph, scratch);
    l->parts = arena_alloc(scratch, (size_t)graph->size + 1, sizeof *l->parts);
    memset(l->parts, 0xFF, graph->size * sizeof *l->parts);
    memset(l->row, 0xFF, graph->size * sizeof *l->row);
    for (int k = 0; k < LINES; k++)
        straight_begin(&lowered->lines[k], scratch, k == LINE_SAMPLE ? expected_length(graph) : 16);
    lowered->given_rows = ARENA_ARRAY(arena, uint32_t, count_given(graph) + graph->n_roots + 1);
    number_totals(l, scratch);
    number_columns(l, arena);
    number_draws(l, arena);

    lower_line(l, LINE_BATCH);
    give_adjoints(l, arena);
    lower_line(l, LINE_SAMPLE);
    give_roots(l, arena);
    /* What the others ask for is known now; it asks for nothing itself. */
    lower_line(l, LINE_ONCE);
    for (uint32_t k = 0; k < lowered->n_given; k++) {
        uint32_t i = l->given[k];
        if (line_of(&graph->nodes[i]) != LINE_ONCE) abort(); /* sums have their places already */
        straight_output(l->line, k, operand(l, i));
    }
    lowered->bad_row = NONE;
    if (l->bad != NONE) {
        straight_output(l->line, lowered->n_given, l->bad);
        lowered->given_rows[lowered->n_given++] = lowered->bad_row = lowered->n_numbers++;
    }
    lowered->work = lowered->lines[LINE_SAMPLE].instructions.size;
}
