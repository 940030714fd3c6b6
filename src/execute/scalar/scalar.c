/* SPDX-License-Identifier: MIT
 *
 * The scalar executor: a graph as it is, one number a node, one sample after the other. It is short, it
 * shares nothing with the others but the cells, and it says what they have to give.
 */
#include "execute/execute.h"
#include "program/print.h"

extern const Executor scalar_executor;

typedef struct {
    Program base;
    const Graph *graph;
    double *values;      /* of the nodes; of sums over the batch, so far */
    double *sampled;     /* of the nodes, as samples see them: values, or, in float32, what is rounded to it */
    double *parameters;  /* numbers, then adjoints */
    uint32_t *places;    /* of parameters in them */
    uint32_t *nodes[4];  /* those with a number, of each stage, but for the sums over the batch */
    uint32_t sizes[4];
    uint32_t *sums;      /* over the batch */
    uint32_t n_sums;
    size_t bytes;
} ScalarProgram;

/* -- one node ---------------------------------------------------------------------------------------- */

/* As a number of samples: in float32, rounded. */
static double narrowed(const Graph *graph, double number) { return graph->is_float32 ? (double)(float)number : number; }

/* The number that a node has beside its operands. */
static double own_number(const Graph *graph, const Node *node) {
    return node->stage == SAMPLE ? narrowed(graph, node->number) : node->number;
}

static double linear(const Node *node, const uint32_t *args, const double *v) {
    uint32_t k = 2 * node->c;
    double sum = k < node->b ? v[args[k++]] : 0.0; /* as eager code: the addend of a dot first */
    for (uint32_t p = 0; p < node->c; p++) sum += v[args[2 * p]] * v[args[2 * p + 1]];
    for (; k < node->b; k++) sum += v[args[k]];
    return sum;
}

/* The element of a take that is chosen; NONE: none. */
static uint32_t chosen(const Graph *graph, const Node *take, const double *v) {
    return element_of(v[graph->args.items[take->a]], take->b - 1);
}

/* Output `row` of a product. */
static double output(const Graph *graph, uint32_t product_node, uint32_t row, const double *v) {
    Product product = product_of(graph, product_node);
    const uint32_t *weights = product.weights + (size_t)row * product.n_in;
    double sum = product.biases ? v[product.biases[row]] : 0.0;
    for (uint32_t k = 0; k < product.n_in; k++) sum += v[weights[k]] * v[product.inputs[k]];
    return sum;
}

/* What input k of a product gains. */
static double input_gain(const Graph *graph, const Node *transposed, uint32_t k, const double *v) {
    const uint32_t *args = graph->args.items + transposed->a;
    Product product = product_of(graph, args[0]);
    double sum = 0.0;
    for (uint32_t r = 0; r + 1 < transposed->b; r++)
        sum += v[product.weights[(size_t)(transposed->c + r) * product.n_in + k]] * v[args[1 + r]];
    return sum;
}

/* What a weight or a bias of a product gains by one sample. */
static double weight_gain(const Graph *graph, const Node *outer, uint32_t part, const double *v) {
    const uint32_t *args = graph->args.items + outer->a;
    Product product = product_of(graph, args[0]);
    uint32_t n_weights = product.n_out * product.n_in;
    if (part >= n_weights) return v[args[1 + part - n_weights - outer->c]];
    return v[args[1 + part / product.n_in - outer->c]] * v[product.inputs[part % product.n_in]];
}

static double part_value(const Graph *graph, const Node *part, const double *v) {
    const Node *record = &graph->nodes[part->a];
    if (record->op == NODE_PRODUCT) return output(graph, part->a, part->b, v);
    if (record->op == NODE_TRANSPOSED) return input_gain(graph, record, part->b, v);
    return chosen(graph, &graph->nodes[record->a], v) == part->b ? v[record->b] : 0.0;
}

static double gain_value(const Graph *graph, const Node *gain, const double *v) {
    uint32_t nodes[NAME_COUNT];
    double names[NAME_COUNT];
    gain_names(graph, gain, nodes);
    for (int k = 0; k < NAME_COUNT; k++) names[k] = nodes[k] == NONE ? own_number(graph, gain) : v[nodes[k]];
    return cell_value(cell_of((Op)gain->of, gain->which), names);
}

static double sum_of(const uint32_t *nodes, uint32_t count, const double *v) {
    double sum = v[nodes[0]];
    for (uint32_t k = 1; k < count; k++) sum += v[nodes[k]];
    return sum;
}

/* The number of a node whose operands have theirs. *bad: a take whose index is not one. */
static double node_value(const ScalarProgram *program, uint32_t i, const Batch *batch, size_t sample, uint32_t *bad) {
    const Graph *graph = program->graph;
    const Node *node = &graph->nodes[i];
    const uint32_t *args = graph->args.items + node->a;
    const double *v = node->stage == SAMPLE ? program->sampled : program->values;
    switch (form_of(node)) {
    case FORM_CONSTANT:
    case FORM_CUSTOM: return node->number;
    case FORM_PARAMETER: return program->parameters[node->a];
    case FORM_INPUT: return column_number(&batch->columns[node->a], sample);
    case FORM_DRAW:
        return draw_one(&batch->stream, batch->first_sample + (uint32_t)sample, node->a, (DrawKind)node->which,
                        graph->is_float32);
    case FORM_SEED: return node->stage != SAMPLE ? once_seed(batch) : graph->is_float32 ? 1.0 : sample_seed(batch);
    case FORM_MAP: {
        uint32_t arity = op_arity(node->op);
        double y = arity > 1 ? v[node->b] : own_number(graph, node);
        return op_value(node->op, v[node->a], y, arity > 2 ? v[node->c] : 0.0);
    }
    case FORM_LINEAR: return linear(node, args, v);
    case FORM_TAKE: {
        uint32_t element = chosen(graph, node, v);
        if (element == NONE) *bad = i;
        return element == NONE ? NAN : v[args[1 + element]];
    }
    case FORM_PART: return part_value(graph, node, v);
    case FORM_GAIN: return gain_value(graph, node, v);
    case FORM_ADJOINT: return sum_of(args, node->b, v);
    case FORM_PRODUCT:
    case FORM_SCATTER:
    case FORM_TRANSPOSED:
    case FORM_OUTER:
    case FORM_TOTAL: break; /* records have no number; sums over the batch are computed below */
    }
    abort();
}

/* -- runs --------------------------------------------------------------------------------------------- */

static RunStatus run_stage(ScalarProgram *program, Stage stage, Batch *batch, size_t sample) {
    const Graph *graph = program->graph;
    double *v = stage == SAMPLE ? program->sampled : program->values;
    uint32_t bad = NONE;
    for (uint32_t k = 0; k < program->sizes[stage] && bad == NONE; k++) {
        uint32_t i = program->nodes[stage][k];
        double value = node_value(program, i, batch, sample, &bad);
        v[i] = stage == SAMPLE ? narrowed(graph, value) : value;
    }
    if (bad == NONE) return RUN_DONE;
    const Node *take = &graph->nodes[bad];
    batch->bad_sample = sample;
    batch->bad_index = v[graph->args.items[take->a]];
    batch->bad_count = take->b - 1;
    return RUN_BAD_INDEX;
}

static RunStatus run_once(ScalarProgram *program, Batch *batch) {
    RunStatus status = run_stage(program, CONSTANT, batch, EVERY_SAMPLE);
    if (status == RUN_DONE) status = run_stage(program, ONCE, batch, EVERY_SAMPLE);
    for (uint32_t i = 0; i < program->graph->size && program->sampled != program->values; i++)
        program->sampled[i] = narrowed(program->graph, program->values[i]);
    return status;
}

/* What the sample adds to the sums over the batch. */
static void add_up(ScalarProgram *program) {
    const Graph *graph = program->graph;
    const double *v = program->sampled;
    for (uint32_t k = 0; k < program->n_sums; k++) {
        uint32_t i = program->sums[k], of = graph->nodes[i].a;
        int is_total = graph->nodes[i].op == NODE_TOTAL;
        program->values[i] += is_total ? v[of] : weight_gain(graph, &graph->nodes[of], graph->nodes[i].b, v);
    }
}

static void write_outputs(const ScalarProgram *program, const Batch *batch, size_t k) {
    const Graph *graph = program->graph;
    for (uint32_t r = 0; r < graph->n_roots; r++) {
        const double *v = graph->nodes[graph->roots[r]].stage == SAMPLE ? program->sampled : program->values;
        batch->targets[r].data[k * batch->targets[r].stride] = v[graph->roots[r]];
    }
}

/* Every sample. *loss: their losses' sum; NULL: results are asked for, not gradients. */
static RunStatus run_samples(ScalarProgram *program, Batch *batch, double *loss) {
    Program *base = &program->base;
    for (size_t k = 0; k < batch->size; k++) {
        RunStatus status = run_stage(program, SAMPLE, batch, batch->samples ? batch->samples[k] : k);
        if (status != RUN_DONE) return status;
        if (loss) {
            *loss += program->sampled[program->graph->roots[0]];
            add_up(program);
        } else {
            write_outputs(program, batch, k);
        }
        if (poll_after(base, batch, 10 * base->work)) return RUN_STOPPED; /* about so much slower than vector units */
    }
    return RUN_DONE;
}

static RunStatus scalar_evaluate(Program *base, Batch *batch) {
    ScalarProgram *program = (ScalarProgram *)base;
    RunStatus status = run_once(program, batch);
    return status == RUN_DONE ? run_samples(program, batch, NULL) : status;
}

static RunStatus scalar_gradients(Program *base, Batch *batch) {
    ScalarProgram *program = (ScalarProgram *)base;
    const Graph *graph = program->graph;
    double loss = 0.0;
    RunStatus status = run_once(program, batch);
    if (status != RUN_DONE) return status;
    for (uint32_t k = 0; k < program->n_sums; k++) program->values[program->sums[k]] = 0.0;
    if (graph->nodes[graph->roots[0]].stage == SAMPLE) {
        status = run_samples(program, batch, &loss);
        if (status != RUN_DONE) return status;
        batch->loss = sample_loss(batch, loss);
    } else {
        batch->loss = once_loss(batch, program->values[graph->roots[0]]);
    }
    if (graph->is_float32 && batch->size) /* samples were seeded with 1 */
        for (uint32_t k = 0; k < program->n_sums; k++) program->values[program->sums[k]] *= sample_seed(batch);
    run_stage(program, BATCH, batch, EVERY_SAMPLE);
    for (uint32_t k = 0; k < graph->n_parameters; k++)
        base->numbers[base->to_adjoint + k] = program->values[graph->roots[1 + k]];
    return RUN_DONE;
}

/* -- making ------------------------------------------------------------------------------------------- */

static const char *scalar_refuses(const Graph *graph) {
    (void)graph;
    return NULL;
}

static void scalar_free(Program *base) {
    ScalarProgram *program = (ScalarProgram *)base;
    for (int stage = 0; stage < 4; stage++) free(program->nodes[stage]);
    free(program->sums);
    if (program->sampled != program->values) free(program->sampled);
    free(program->values);
    free(program->parameters);
    free(program->places);
    free(program);
}

static int is_sum(const Graph *graph, const Node *node) {
    return node->op == NODE_TOTAL || (node->op == NODE_PART && graph->nodes[node->a].op == NODE_OUTER);
}

static int is_record(const Node *node) {
    return node->op == NODE_PRODUCT || node->op == NODE_SCATTER || node->op == NODE_TRANSPOSED ||
           node->op == NODE_OUTER;
}

static void list_nodes(ScalarProgram *program) {
    const Graph *graph = program->graph;
    for (uint32_t i = 0; i < graph->size; i++) {
        const Node *node = &graph->nodes[i];
        if (is_record(node)) continue;
        if (is_sum(graph, node)) program->sums[program->n_sums++] = i;
        else program->nodes[node->stage][program->sizes[node->stage]++] = i;
        program->base.work += node->stage == SAMPLE ? 2 + (has_args(node) ? node->b : 0) : 0;
        program->base.work += node->op == NODE_DRAW ? DRAW_WORK : 0;
    }
}

static MakeStatus scalar_make(Graph *graph, Program **made) {
    ScalarProgram *program = calloc(1, sizeof *program);
    if (!program) return MADE_NO_MEMORY;
    size_t size = graph->size + 1, n_parameters = graph->n_parameters;
    int failed = 0;
#define ROOM(place, count)                                  \
    failed |= !((place) = calloc((count), sizeof *(place))); \
    program->bytes += (count) * sizeof *(place)
    for (int stage = 0; stage < 4; stage++) {
        ROOM(program->nodes[stage], size);
    }
    ROOM(program->sums, size);
    ROOM(program->values, size);
    program->sampled = program->values;
    if (graph->is_float32) {
        ROOM(program->sampled, size);
    }
    ROOM(program->parameters, 2 * n_parameters + 1);
    ROOM(program->places, n_parameters + 1);
#undef ROOM
    program->graph = graph;
    if (failed) {
        scalar_free(&program->base);
        return MADE_NO_MEMORY;
    }
    for (uint32_t k = 0; k < graph->n_parameters; k++) program->places[k] = k;
    program->base = (Program){.executor = &scalar_executor, .numbers = program->parameters, .lanes = 1,
                              .to_adjoint = n_parameters, .parameter_at = program->places,
                              .n_roots = graph->n_roots};
    list_nodes(program);
    *made = &program->base;
    return MADE;
}

static size_t scalar_bytes(const Program *base) {
    return sizeof(ScalarProgram) + ((const ScalarProgram *)base)->bytes;
}

static char *scalar_listing(const Program *base) {
    Text text = {0};
    put_graph(&text, ((const ScalarProgram *)base)->graph);
    return finished(&text);
}

const Executor scalar_executor = {"scalar", scalar_refuses, scalar_make, scalar_evaluate,
                                  scalar_gradients, scalar_listing, scalar_bytes, scalar_free, NULL};
