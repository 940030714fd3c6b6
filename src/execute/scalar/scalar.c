/* SPDX-License-Identifier: MIT
 *
 * The scalar executor: a graph as it is, one number a node, one sample after the other. It is short, it
 * shares nothing with the others but the cells, and it says what they have to give.
 */
#include "execute/execute.h"
#include "program/loops.h"
#include "program/print.h"

extern const Executor scalar_executor;

/* A graph that is run: the function's, or a loop's body. */
typedef struct View {
    const Graph *graph;
    Program *program;    /* whose run it is part of */
    double *values;      /* of the nodes; of sums over the batch, so far */
    double *sampled;     /* of the nodes, as samples see them: values, or, in float32, what is rounded to it */
    double *parameters;  /* numbers; of the function, then adjoints */
    double *inputs;      /* of a body; NULL: they are the batch's columns */
    uint32_t step;       /* of a body: which its draws are of */
    int is_float32;      /* draws are of float32 */
    struct View *bodies; /* of each scan of the graph */
    double **sequences;  /* of a body, what its scan gives: numbers of each sequence that it makes, and of each    */
    /* carry's trail, with one more on either side; NULL: nobody asks for it                 */
} View;

typedef struct {
    Program base;
    View view;
    uint32_t *places; /* of parameters in them */
    uint32_t *nodes[4]; /* those with a number, of each stage, but for the sums over the batch */
    uint32_t sizes[4];
    uint32_t *sums; /* over the batch */
    uint32_t n_sums;
    size_t bytes;
} ScalarProgram;

#define SLOWNESS 10.0 /* times slower than vector units, about */

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

static void report_index(Batch *batch, size_t sample, double index, uint32_t count) {
    batch->bad_sample = sample;
    batch->bad_index = index;
    batch->bad_count = count;
}

static void run_scan(const View *view, uint32_t i, Batch *batch, size_t sample, int *bad);

/* Element b of a sequence. */
static double element(const View *view, uint32_t sequence, uint32_t b, const double *v) {
    const Node *node = &view->graph->nodes[sequence];
    if (node->op == NODE_LIST) return v[view->graph->args.items[node->a + b]];
    const Scan *scan = scan_of(view->graph, node->a);
    double **sequences = view->bodies[view->graph->nodes[node->a].c].sequences;
    if (node->b < scan->n_made + scan->n_carries) return sequences[node->b][b];
    const double *trail = sequences[node->b - scan->n_carries]; /* what a step ended with, the next one began with */
    return scan->is_reverse ? trail[(int64_t)b - 1] : trail[b + 1];
}

static double draw(const View *view, const Batch *batch, size_t sample, const Node *node) {
    Stream stream = view->inputs ? stream_of_step(batch->stream, view->step) : batch->stream;
    return draw_one(&stream, drawn_sample(batch, sample), node->a, (DrawKind)node->which, view->is_float32);
}

/* The number of a node whose operands have theirs. *bad, a RunStatus: RUN_BAD_INDEX if an index of a take was none,
 * which is reported; RUN_STOPPED if a loop was told to stop. */
static double node_value(const View *view, uint32_t i, Batch *batch, size_t sample, int *bad) {
    const Graph *graph = view->graph;
    const Node *node = &graph->nodes[i];
    const uint32_t *args = graph->args.items + node->a;
    const double *v = node->stage == SAMPLE ? view->sampled : view->values;
    switch (form_of(node)) {
    case FORM_CONSTANT:
    case FORM_CUSTOM: return node->number;
    case FORM_PARAMETER: return view->parameters[node->a];
    case FORM_INPUT: return view->inputs ? view->inputs[node->a] : column_number(&batch->columns[node->a], sample);
    case FORM_DRAW: return draw(view, batch, sample, node);
    case FORM_SEED: return node->stage != SAMPLE ? once_seed(batch) : graph->is_float32 ? 1.0 : sample_seed(batch);
    case FORM_MAP: {
        uint32_t arity = op_arity(node->op);
        double y = arity > 1 ? v[node->b] : own_number(graph, node);
        return op_value(node->op, v[node->a], y, arity > 2 ? v[node->c] : 0.0);
    }
    case FORM_LINEAR: return linear(node, args, v);
    case FORM_TAKE: {
        uint32_t which = chosen(graph, node, v);
        if (which != NONE) return v[args[1 + which]];
        report_index(batch, sample, v[args[0]], node->b - 1);
        *bad = RUN_BAD_INDEX;
        return NAN;
    }
    case FORM_PART:
        if (graph->nodes[node->a].op == NODE_SCAN) return view->bodies[graph->nodes[node->a].c].inputs[node->b];
        return is_sequence(graph, node->a) ? element(view, node->a, node->b, v) : part_value(graph, node, v);
    case FORM_SCAN: run_scan(view, i, batch, sample, bad); return NAN; /* a record, but its run is due here */
    case FORM_GAIN: return gain_value(graph, node, v);
    case FORM_ADJOINT: return sum_of(args, node->b, v);
    case FORM_PRODUCT:
    case FORM_SCATTER:
    case FORM_TRANSPOSED:
    case FORM_OUTER:
    case FORM_SEQUENCE:
    case FORM_LIST:
    case FORM_TOTAL: break; /* records have no number; sums over the batch are computed below */
    }
    abort();
}

/* -- loops --------------------------------------------------------------------------------------------- */

static int is_record(const Node *node) {
    return node->op == NODE_PRODUCT || node->op == NODE_SCATTER || node->op == NODE_TRANSPOSED ||
           node->op == NODE_OUTER || node->op == NODE_SEQUENCE || node->op == NODE_LIST;
}

/* One step, with the body's inputs in place. In float32, everything in it is rounded. */
static void run_body(const View *body, Batch *batch, size_t sample, int *bad) {
    const Graph *graph = body->graph;
    for (uint32_t i = 0; i < graph->size && !*bad; i++) {
        if (is_record(&graph->nodes[i])) continue;
        double value = node_value(body, i, batch, sample, bad);
        body->values[i] = body->is_float32 ? (double)(float)value : value;
    }
}

/* Its inputs hold the last carries afterwards. */
static void run_scan(const View *view, uint32_t i, Batch *batch, size_t sample, int *bad) {
    const Graph *graph = view->graph;
    const Node *node = &graph->nodes[i];
    const Scan *scan = scan_of(graph, i);
    View *body = &view->bodies[node->c];
    const uint32_t *args = graph->args.items + node->a, *taken = args + scan->n_carries;
    const double *v = node->stage == SAMPLE ? view->sampled : view->values;
    body->is_float32 = node->stage == SAMPLE && view->is_float32;
    for (uint32_t k = 0; k < scan->n_carries; k++) body->inputs[k] = v[args[k]];
    for (uint32_t k = 0; k < scan->n_captured; k++) body->parameters[k] = v[taken[scan->n_taken + k]];
    for (uint32_t step = 0; step < scan->length && !*bad; step++) {
        uint32_t at = scan->is_reverse ? scan->length - 1 - step : step;
        double **made = body->sequences, **trail = made + scan->n_made;
        body->step = step_number(scan->numbering, view->step, at);
        for (uint32_t k = 0; k < scan->n_carries; k++)
            if (trail[k]) trail[k][at] = body->inputs[k];
        for (uint32_t k = 0; k < scan->n_taken; k++) body->inputs[scan->n_carries + k] = element(view, taken[k], at, v);
        run_body(body, batch, sample, bad);
        for (uint32_t k = 0; k < scan->n_carries; k++) body->inputs[k] = body->values[body->graph->roots[k]];
        for (uint32_t k = 0; k < scan->n_made; k++)
            if (made[k]) made[k][at] = body->values[body->graph->roots[scan->n_carries + k]];
        for (uint32_t k = 0; k < scan->n_carries; k++)
            if (trail[k]) trail[k][scan->is_reverse ? (int64_t)at - 1 : (int64_t)at + 1] = body->inputs[k];
        if (poll_after(view->program, batch, SLOWNESS * (1 + 2 * body->graph->size))) *bad = RUN_STOPPED;
    }
}

/* -- runs --------------------------------------------------------------------------------------------- */

static RunStatus run_stage(ScalarProgram *program, Stage stage, Batch *batch, size_t sample) {
    const View *view = &program->view;
    double *v = stage == SAMPLE ? view->sampled : view->values;
    int bad = 0;
    for (uint32_t k = 0; k < program->sizes[stage] && !bad; k++) {
        uint32_t i = program->nodes[stage][k];
        double value = node_value(view, i, batch, sample, &bad);
        v[i] = stage == SAMPLE ? narrowed(view->graph, value) : value;
    }
    return (RunStatus)bad;
}

static RunStatus run_once(ScalarProgram *program, Batch *batch) {
    RunStatus status = run_stage(program, CONSTANT, batch, EVERY_SAMPLE);
    if (status == RUN_DONE) status = run_stage(program, ONCE, batch, EVERY_SAMPLE);
    for (uint32_t i = 0; i < program->view.graph->size && program->view.sampled != program->view.values; i++)
        program->view.sampled[i] = narrowed(program->view.graph, program->view.values[i]);
    return status;
}

/* What the sample adds to the sums over the batch. */
static void add_up(ScalarProgram *program) {
    const Graph *graph = program->view.graph;
    const double *v = program->view.sampled;
    for (uint32_t k = 0; k < program->n_sums; k++) {
        uint32_t i = program->sums[k], of = graph->nodes[i].a;
        int is_total = graph->nodes[i].op == NODE_TOTAL;
        program->view.values[i] += is_total ? v[of] : weight_gain(graph, &graph->nodes[of], graph->nodes[i].b, v);
    }
}

static void write_outputs(const ScalarProgram *program, const Batch *batch, size_t k) {
    const Graph *graph = program->view.graph;
    for (uint32_t r = 0; r < graph->n_roots; r++) {
        const double *v = graph->nodes[graph->roots[r]].stage == SAMPLE ? program->view.sampled : program->view.values;
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
            *loss += program->view.sampled[program->view.graph->roots[0]];
            add_up(program);
        } else {
            write_outputs(program, batch, k);
        }
        if (poll_after(base, batch, SLOWNESS * base->work)) return RUN_STOPPED;
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
    const Graph *graph = program->view.graph;
    double loss = 0.0;
    RunStatus status = run_once(program, batch);
    if (status != RUN_DONE) return status;
    for (uint32_t k = 0; k < program->n_sums; k++) program->view.values[program->sums[k]] = 0.0;
    if (graph->nodes[graph->roots[0]].stage == SAMPLE) {
        status = run_samples(program, batch, &loss);
        if (status != RUN_DONE) return status;
        batch->loss = sample_loss(batch, loss);
    } else {
        batch->loss = once_loss(batch, program->view.values[graph->roots[0]]);
    }
    if (graph->is_float32 && batch->size) /* samples were seeded with 1 */
        for (uint32_t k = 0; k < program->n_sums; k++) program->view.values[program->sums[k]] *= sample_seed(batch);
    run_stage(program, BATCH, batch, EVERY_SAMPLE);
    for (uint32_t k = 0; k < graph->n_parameters; k++)
        base->numbers[base->to_adjoint + k] = program->view.values[graph->roots[1 + k]];
    return RUN_DONE;
}

/* -- making ------------------------------------------------------------------------------------------- */

static const char *scalar_refuses(const Graph *graph) {
    (void)graph;
    return NULL;
}

/* Memory that is counted. */
static void *room(size_t count, size_t size, size_t *bytes) {
    *bytes += count * size;
    return calloc(count + 1, size);
}

static void free_bodies(View *view) {
    for (uint32_t s = 0; view->bodies && s < view->graph->scans.size; s++) {
        View *body = &view->bodies[s];
        const Scan *scan = view->graph->scans.items[s];
        if (!body->graph) continue;
        free_bodies(body);
        for (uint32_t k = 0; body->sequences && k < scan->n_made + scan->n_carries; k++)
            if (body->sequences[k]) free(body->sequences[k] - 1);
        free(body->sequences);
        free(body->values);
        free(body->parameters);
        free(body->inputs);
    }
    free(view->bodies);
}

/* Room for the bodies of a graph's scans, and for the sequences that somebody asks for. */
static int make_bodies(View *view, size_t *bytes) {
    const Graph *graph = view->graph;
    int failed = !(view->bodies = room(graph->scans.size, sizeof(View), bytes));
    for (uint32_t s = 0; s < graph->scans.size && !failed; s++) {
        const Scan *scan = graph->scans.items[s];
        View *body = &view->bodies[s];
        body->graph = &scan->body;
        body->program = view->program;
        failed |= !(body->values = body->sampled = room(scan->body.size, sizeof(double), bytes));
        failed |= !(body->parameters = room(scan->n_captured, sizeof(double), bytes));
        failed |= !(body->inputs = room(scan->n_carries + (size_t)scan->n_taken, sizeof(double), bytes));
        failed |= !(body->sequences = room(scan->n_made + (size_t)scan->n_carries, sizeof(double *), bytes));
        failed = failed || make_bodies(body, bytes);
    }
    for (uint32_t i = 0; i < graph->size && !failed; i++) {
        const Node *node = &graph->nodes[i];
        if (node->op != NODE_SEQUENCE) continue;
        const Scan *scan = scan_of(graph, node->a);
        uint32_t which = node->b < scan->n_made + scan->n_carries ? node->b : node->b - scan->n_carries;
        double **sequence = &view->bodies[graph->nodes[node->a].c].sequences[which];
        if (*sequence) continue;
        double *numbers = room(scan->length + (size_t)2, sizeof(double), bytes);
        if (numbers) *sequence = numbers + 1;
        failed |= !numbers;
    }
    return failed ? -1 : 0;
}

static void scalar_free(Program *base) {
    ScalarProgram *program = (ScalarProgram *)base;
    for (int stage = 0; stage < 4; stage++) free(program->nodes[stage]);
    free_bodies(&program->view);
    free(program->sums);
    if (program->view.sampled != program->view.values) free(program->view.sampled);
    free(program->view.values);
    free(program->view.parameters);
    free(program->places);
    free(program);
}

static int is_sum(const Graph *graph, const Node *node) {
    return node->op == NODE_TOTAL || (node->op == NODE_PART && graph->nodes[node->a].op == NODE_OUTER);
}

static void list_nodes(ScalarProgram *program) {
    const Graph *graph = program->view.graph;
    for (uint32_t i = 0; i < graph->size; i++) {
        const Node *node = &graph->nodes[i];
        if (is_record(node)) continue;
        if (is_sum(graph, node)) program->sums[program->n_sums++] = i;
        else program->nodes[node->stage][program->sizes[node->stage]++] = i;
        program->base.work += node->stage == SAMPLE ? node_work(node) : 0;
        if (node->op == NODE_SCAN)
            program->base.work += graph_work(&scan_of(graph, i)->body) * scan_of(graph, i)->length;
    }
}

static MakeStatus scalar_make(Graph *graph, Program **made) {
    ScalarProgram *program = calloc(1, sizeof *program);
    if (!program) return MADE_NO_MEMORY;
    size_t size = graph->size + 1, n_parameters = graph->n_parameters;
    int failed = 0;
#define ROOM(place, count)                                   \
    failed |= !((place) = calloc((count), sizeof *(place))); \
    program->bytes += (count) * sizeof *(place)
    for (int stage = 0; stage < 4; stage++) {
        ROOM(program->nodes[stage], size);
    }
    ROOM(program->sums, size);
    ROOM(program->view.values, size);
    program->view.sampled = program->view.values;
    if (graph->is_float32) {
        ROOM(program->view.sampled, size);
    }
    ROOM(program->view.parameters, 2 * n_parameters + 1);
    ROOM(program->places, n_parameters + 1);
#undef ROOM
    program->view.graph = graph;
    program->view.is_float32 = graph->is_float32;
    program->view.program = &program->base;
    if (failed || make_bodies(&program->view, &program->bytes)) {
        scalar_free(&program->base);
        return MADE_NO_MEMORY;
    }
    for (uint32_t k = 0; k < graph->n_parameters; k++) program->places[k] = k;
    program->base = (Program){.executor = &scalar_executor,
                              .numbers = program->view.parameters,
                              .lanes = 1,
                              .to_adjoint = n_parameters,
                              .parameter_at = program->places,
                              .n_roots = graph->n_roots};
    list_nodes(program);
    program->base.rows = program->sizes[SAMPLE];
    *made = &program->base;
    return MADE;
}

static size_t scalar_bytes(const Program *base) { return sizeof(ScalarProgram) + ((const ScalarProgram *)base)->bytes; }

static char *scalar_listing(const Program *base) {
    Text text = {0};
    put_graph(&text, ((const ScalarProgram *)base)->view.graph);
    return finished(&text);
}

const Executor scalar_executor = {"scalar",        scalar_refuses,   scalar_make,
                                  scalar_evaluate, scalar_gradients, scalar_listing,
                                  scalar_bytes,    scalar_free,      NULL};
