/* SPDX-License-Identifier: MIT
 *
 * Breaks a sound graph, and a sound plan, in one place after the other, and prints for each what the
 * verifier says of it. test_verifier.py builds and runs this.
 */
#include "passes/passes.h"
#include "program/loops.h"
#include "execute/vector/planner.h"
#include "program/verify.h"

#include <stdio.h>

static Graph graph;
static Arena arena, scratch, plan_arena;
static Plan plan;

/* -- a sound graph ---------------------------------------------------------------------------------- */

/* As they are recorded; and where apply_matrices leaves them: what no sample changes stands in front. */
enum {
    R_X,
    R_Y,
    R_P,
    R_Q,
    R_NUMBER,
    R_PRODUCT,
    R_ROW_0,
    R_ROW_1,
    R_WHERE,
    R_TAKE,
    R_CLIP,
    R_CUSTOM,
    R_LINEAR,
    R_TANH_0,
    R_TANH_1,
    R_HIDDEN,
    R_MUL,
    R_DETACH,
    R_ROOT,
    R_SIZE
};
enum {
    P,
    Q,
    NUMBER,
    PRODUCT,
    CUSTOM,
    X,
    Y,
    MATRIX,
    ROW_0,
    ROW_1,
    WHERE,
    TAKE,
    CLIP,
    LINEAR,
    TANH_0,
    TANH_1,
    MATRIX_2,
    HIDDEN,
    MUL,
    DETACH,
    ROOT,
    SIZE
};

static void add_node(uint8_t op, uint32_t a, uint32_t b) {
    graph.nodes[graph.size] = (Node){.op = op, .a = a, .b = b};
    graph.nodes[graph.size].stage = (uint8_t)graph_stage(&graph, graph.size);
    graph.size++;
}

static void add_ternary(uint8_t op, uint32_t x, uint32_t y, uint32_t w) {
    graph.nodes[graph.size] = (Node){.op = op, .a = x, .b = y, .c = w};
    graph.nodes[graph.size].stage = (uint8_t)graph_stage(&graph, graph.size);
    graph.size++;
}

/* A node whose operands stand in args; c: pairs of factors, of a NODE_LINEAR. */
static void add_variadic(uint8_t op, uint32_t c, uint32_t count, const uint32_t *operands) {
    GROW(&arena, &graph.args, uint32_t, count);
    memcpy(graph.args.items + graph.args.size, operands, count * sizeof *operands);
    graph.args.size += count;
    graph.nodes[graph.size] = (Node){.op = op, .a = graph.args.size - count, .b = count, .c = c};
    graph.nodes[graph.size].stage = (uint8_t)graph_stage(&graph, graph.size);
    graph.size++;
}

static void make_graph(void) {
    arena_free(&arena);
    memset(&graph, 0, sizeof graph);
    graph.arena = &arena;
    graph.scratch = &scratch;
    graph.nodes = ARENA_ARRAY(&arena, Node, R_SIZE);
    graph.roots = ARENA_ARRAY(&arena, uint32_t, 1);
    graph.n_inputs = graph.n_parameters = 2;
    graph.n_roots = 1;
    add_node(NODE_INPUT, 0, 0);
    add_node(NODE_INPUT, 1, 0);
    add_node(NODE_PARAMETER, 0, 0);
    add_node(NODE_PARAMETER, 1, 0);
    add_node(NODE_CONSTANT, 0, 0);
    add_node(OP_mul, R_P, R_Q);
    add_variadic(NODE_LINEAR, 2, 5, (uint32_t[]){R_P, R_X, R_Q, R_Y, R_PRODUCT});
    add_variadic(NODE_LINEAR, 2, 5, (uint32_t[]){R_Q, R_X, R_P, R_Y, R_Q});
    add_ternary(OP_where, R_X, R_ROW_0, R_P);
    add_variadic(OP_take, 0, 3, (uint32_t[]){R_Y, R_ROW_1, R_Q});
    add_ternary(OP_clip, R_WHERE, R_NUMBER, R_TAKE);
    add_variadic(OP_custom, 0, 2, (uint32_t[]){R_P, R_NUMBER});
    add_variadic(NODE_LINEAR, 2, 5, (uint32_t[]){R_CLIP, R_X, R_CLIP, R_Q, R_CUSTOM});
    add_node(OP_tanh, R_ROW_0, 0);
    add_node(OP_tanh, R_ROW_1, 0);
    add_variadic(NODE_LINEAR, 2, 4, (uint32_t[]){R_P, R_TANH_0, R_Q, R_TANH_1});
    add_node(OP_mul, R_TANH_0, R_TANH_1);
    add_node(OP_detach, R_MUL, 0);
    add_variadic(NODE_LINEAR, 1, 4, (uint32_t[]){R_DETACH, R_LINEAR, R_MUL, R_HIDDEN});
    graph.roots[0] = R_ROOT;
    apply_matrices(&graph);
}

/* -- ways to break it --------------------------------------------------------------------------------- */

static uint32_t *args_of(uint32_t node) { return graph.args.items + graph.nodes[node].a; }
#define FOR_EACH_BROKEN_GRAPH(BROKEN)                                                                              \
    BROKEN(sound_graph, (void)0)                                                                                   \
    BROKEN(operation_of_the_tape, graph.nodes[PRODUCT].op = OP_sum)                                                \
    BROKEN(no_operation, graph.nodes[PRODUCT].op = 250)                                                            \
    BROKEN(operand_above, graph.nodes[PRODUCT].b = ROOT)                                                           \
    BROKEN(itself_as_operand, graph.nodes[TANH_0].a = TANH_0)                                                      \
    BROKEN(third_operand_above, graph.nodes[WHERE].c = WHERE)                                                      \
    BROKEN(argument_above, args_of(TAKE)[1] = TAKE)                                                                \
    BROKEN(arguments_outside, graph.nodes[TAKE].a = graph.args.size - 2)                                           \
    BROKEN(arguments_far_outside, graph.nodes[TAKE].a = NONE)                                                      \
    BROKEN(take_of_nothing, graph.nodes[TAKE].b = 1)                                                               \
    BROKEN(more_factors_than_operands, graph.nodes[LINEAR].c = 3)                                                  \
    BROKEN(stage_too_late, graph.nodes[PRODUCT].stage = SAMPLE)                                                    \
    BROKEN(stage_too_early, graph.nodes[TANH_1].stage = ONCE)                                                      \
    BROKEN(stage_of_a_choice, graph.nodes[TAKE].stage = ONCE)                                                      \
    BROKEN(stage_of_a_row, graph.nodes[ROW_1].stage = ONCE)                                                        \
    BROKEN(number_by_sample, graph.nodes[NUMBER].stage = SAMPLE)                                                   \
    BROKEN(input_once, graph.nodes[X].stage = ONCE)                                                                \
    BROKEN(parameter_by_sample, graph.nodes[Q].stage = SAMPLE)                                                     \
    BROKEN(custom_by_sample, graph.nodes[ROOT].op = OP_custom)                                                     \
    BROKEN(input_that_is_not, graph.nodes[X].a = 2)                                                                \
    BROKEN(draw_that_is_not, graph.nodes[X].op = NODE_DRAW)                                                        \
    BROKEN(draw_of_no_kind, (graph.n_draws = 1, graph.nodes[X].op = NODE_DRAW, graph.nodes[X].which = DRAW_KINDS)) \
    BROKEN(draw_once, (graph.n_draws = 1, graph.nodes[X].op = NODE_DRAW, graph.nodes[X].stage = ONCE))             \
    BROKEN(parameter_twice, graph.nodes[Q].a = 0)                                                                  \
    BROKEN(root_outside, graph.roots[0] = SIZE)                                                                    \
    BROKEN(part_of_no_record, graph.nodes[ROW_0].a = X)                                                            \
    BROKEN(record_as_root, graph.roots[0] = MATRIX)                                                                \
    BROKEN(record_as_operand, graph.nodes[TANH_0].a = MATRIX)                                                      \
    BROKEN(part_outside, (graph.nodes[TANH_0] = graph.nodes[ROW_1], graph.nodes[TANH_0].b = 2))                    \
    BROKEN(part_twice, graph.nodes[ROW_1].b = 0)                                                                   \
    BROKEN(part_missing, (graph.nodes[ROW_1].op = OP_tanh, graph.nodes[ROW_1].a = X))                              \
    BROKEN(product_without_inputs, graph.nodes[MATRIX].c = 0)                                                      \
    BROKEN(product_with_another_weight, graph.nodes[MATRIX].b = 7)                                                 \
    BROKEN(product_input_above, args_of(MATRIX)[0] = ROW_1)                                                        \
    BROKEN(product_input_once, args_of(MATRIX)[0] = P)                                                             \
    BROKEN(product_input_twice, args_of(MATRIX)[0] = Y)                                                            \
    BROKEN(product_outside, graph.nodes[MATRIX].a = graph.args.size)                                               \
    BROKEN(weight_by_sample, args_of(MATRIX)[2 + 3] = X)                                                           \
    BROKEN(weight_above, args_of(MATRIX)[2 + 3] = DETACH)                                                          \
    BROKEN(bias_by_sample, args_of(MATRIX)[2 + 4] = X)                                                             \
    BROKEN(adjoint_in_a_function, (graph.nodes[DETACH].op = NODE_TOTAL, graph.nodes[DETACH].stage = BATCH))

#define BROKEN(name, how) \
    static void graph_##name(void) { how; }
FOR_EACH_BROKEN_GRAPH(BROKEN)
#undef BROKEN

/* -- ways to break a loop ------------------------------------------------------------------------------- */

static Scan loop;

static void make_loop(void) {
    static Node body[] = {{.op = NODE_INPUT, .stage = SAMPLE},
                          {.op = NODE_INPUT, .stage = SAMPLE, .a = 1},
                          {.op = NODE_PARAMETER, .stage = ONCE},
                          {.op = OP_mul, .stage = SAMPLE, .b = 1},
                          {.op = OP_add, .stage = SAMPLE, .a = 3, .b = 2}};
    static uint32_t roots[] = {4, 3};
    make_graph();
    graph.size = graph.args.size = 0;
    graph.n_inputs = graph.n_parameters = 1;
    loop = (Scan){.length = 3, .n_carries = 1, .n_taken = 1, .n_captured = 1, .n_made = 1};
    loop.body = (Graph){.nodes = body, .size = 5, .roots = roots, .n_roots = 2, .n_inputs = 2, .n_parameters = 1};
    body[3].a = 0;
    add_scan(&graph, &loop);
    add_node(NODE_INPUT, 0, 0);
    add_node(NODE_PARAMETER, 0, 0);
    add_node(NODE_CONSTANT, 0, 0);
    add_variadic(NODE_LIST, 0, 3, (uint32_t[]){0, 1, 2});
    add_variadic(NODE_SCAN, 0, 3, (uint32_t[]){0, 3, 1});
    add_node(NODE_PART, 4, 0);
    add_node(NODE_SEQUENCE, 4, 0);
    add_node(NODE_PART, 6, 2);
    add_node(OP_add, 5, 7);
    graph.roots[0] = 8;
}

#define FOR_EACH_BROKEN_LOOP(BROKEN)                             \
    BROKEN(sound_loop, (void)0)                                  \
    BROKEN(scan_of_fewer_operands, graph.nodes[4].b = 2)         \
    BROKEN(scan_of_a_number, args_of(4)[1] = 0)                  \
    BROKEN(shorter_sequence, graph.nodes[3].b = 2)               \
    BROKEN(body_with_another_root, loop.body.n_roots = 1)        \
    BROKEN(body_with_an_operand_above, loop.body.nodes[3].a = 4) \
    BROKEN(scan_that_is_not, graph.nodes[4].c = 1)               \
    BROKEN(sequence_of_no_scan, graph.nodes[6].a = 3)            \
    BROKEN(sequence_that_is_not, graph.nodes[6].b = 3)           \
    BROKEN(carry_that_is_not, graph.nodes[5].b = 1)              \
    BROKEN(step_that_is_not, graph.nodes[7].b = 3)               \
    BROKEN(list_of_nothing, graph.nodes[3].b = 0)

#define BROKEN(name, how) \
    static void loop_##name(void) { how; }
FOR_EACH_BROKEN_LOOP(BROKEN)
#undef BROKEN

/* -- ways to break its gradient graph ------------------------------------------------------------------ */

static Graph gradient;
static Arena gradient_arena;

/* The k-th node of a kind. */
static uint32_t find(uint8_t op, uint32_t k) {
    for (uint32_t i = 0; i < gradient.size; i++)
        if (gradient.nodes[i].op == op && k-- == 0) return i;
    abort();
}

static Node *the(uint8_t op) { return &gradient.nodes[find(op, 0)]; }
static uint32_t *args_of_the(uint8_t op) { return gradient.args.items + the(op)->a; }

/* The first part of a record of this kind. */
static Node *part_of(uint8_t op) {
    for (uint32_t i = 0; i < gradient.size; i++)
        if (gradient.nodes[i].op == NODE_PART && gradient.nodes[gradient.nodes[i].a].op == op)
            return &gradient.nodes[i];
    abort();
}

#define FOR_EACH_BROKEN_GRADIENT(BROKEN)                                                      \
    BROKEN(sound_gradient, (void)0)                                                           \
    BROKEN(seed_once, the(NODE_SEED)->stage = ONCE)                                           \
    BROKEN(gain_of_nothing, the(NODE_GAIN)->which = 2)                                        \
    BROKEN(gain_of_a_stopped_row, the(NODE_GAIN)->of = OP_detach)                             \
    BROKEN(gain_of_another_row, the(NODE_GAIN)->of = OP_clip)                                 \
    BROKEN(gain_of_an_adjoint, the(NODE_GAIN)->c = gradient.primal)                           \
    BROKEN(adjoint_of_nothing, the(NODE_ADJOINT)->b = 0)                                      \
    BROKEN(adjoint_of_another_stage, the(NODE_ADJOINT)->c = P)                                \
    BROKEN(total_by_sample, the(NODE_TOTAL)->stage = SAMPLE)                                  \
    BROKEN(sample_in_the_batch, gradient.args.items[gradient.nodes[gradient.roots[1]].a] = X) \
    BROKEN(scatter_of_no_take, the(NODE_SCATTER)->a = X)                                      \
    BROKEN(element_that_is_not, part_of(NODE_SCATTER)->b = 2)                                 \
    BROKEN(input_outside, part_of(NODE_TRANSPOSED)->b = 2)                                    \
    BROKEN(weight_outside, part_of(NODE_OUTER)->b = 99)                                       \
    BROKEN(transposed_sum, args_of_the(NODE_TRANSPOSED)[0] = LINEAR)                          \
    BROKEN(transposed_of_more, the(NODE_TRANSPOSED)->c = 2)                                   \
    BROKEN(transposed_once, args_of_the(NODE_OUTER)[1] = P)                                   \
    BROKEN(derivative_by_sample, gradient.roots[1] = find(NODE_SEED, 0))

#define BROKEN(name, how) \
    static void gradient_##name(void) { how; }
FOR_EACH_BROKEN_GRADIENT(BROKEN)
#undef BROKEN

static void say(const Graph *of, const char *name, int status);

static void make_gradient(void) {
    make_graph();
    arena_free(&gradient_arena);
    memset(&gradient, 0, sizeof gradient);
    gradient.arena = &gradient_arena;
    gradient.scratch = &scratch;
    append_adjoints(&graph, &gradient);
}

static void try_gradient(const char *name, void (*spoil)(void)) {
    make_gradient();
    spoil();
    say(&gradient, name, verify_graph(&gradient, "differentiating"));
}

/* -- ways to break its plan --------------------------------------------------------------------------- */

static Step *step_of(const StepList *list, StepKind kind, uint8_t op) {
    for (uint32_t k = 0; k < list->size; k++)
        if (list->items[k].kind == kind && (op == OP_leaf || list->items[k].op == op)) return &list->items[k];
    abort();
}

#define FORWARD(kind, op) step_of(&plan.forward, kind, op)
#define BACKWARD(kind, op) step_of(&plan.backward, kind, op)
#define NO_PLACE ((Ref){0})

/* The gain of a product once a batch, of two members now. */
static void spoil_once_gain(Op op, Ref x, Ref z) {
    Step *step = step_of(&plan.once_backward, STEP_GAIN, OP_mul);
    step->count = 2;
    step->flat = 0;
    step->op = (uint8_t)op;
    step->which = 0;
    step->x = x;
    step->z = z;
}

/* A plan that is broken from the beginning. */
#define FOR_EACH_BROKEN_PLAN(BROKEN)                                                                           \
    BROKEN(sound_plan, (void)0)                                                                                \
    BROKEN(row_outside, FORWARD(STEP_MAP, OP_where)->out.at = plan.n_rows)                                     \
    BROKEN(once_row_outside, FORWARD(STEP_MAP, OP_where)->w.at = plan.n_once)                                  \
    BROKEN(once_row_by_another_name, plan.once.items[0].x.space = IN_ONCE)                                     \
    BROKEN(once_row_unset, plan.once.size = 0)                                                                 \
    BROKEN(once_row_written, FORWARD(STEP_MAP, OP_clip)->out.space = IN_ONCE)                                  \
    BROKEN(parameter_unset, plan.parameter_row[0] = NONE)                                                      \
    BROKEN(no_operand, FORWARD(STEP_MAP, OP_tanh)->x = NO_PLACE)                                               \
    BROKEN(map_of_a_sum, FORWARD(STEP_MAP, OP_tanh)->op = OP_sum)                                              \
    BROKEN(number_as_lanes, FORWARD(STEP_MAP, OP_detach)->x = ((Ref){0, IN_ONCE, 0}))                          \
    BROKEN(not_flat, FORWARD(STEP_MAP, OP_tanh)->x.stride = 0)                                                 \
    BROKEN(own_operand, FORWARD(STEP_MAP, OP_detach)->out = FORWARD(STEP_MAP, OP_detach)->x)                   \
    BROKEN(unset_row, FORWARD(STEP_MAP, OP_mul)->x.at = plan.n_rows - 1)                                       \
    BROKEN(gain_of_a_stopped_cell, BACKWARD(STEP_GAIN, OP_tanh)->op = OP_detach)                               \
    BROKEN(second_of_one, BACKWARD(STEP_GAIN, OP_tanh)->which = 1)                                             \
    BROKEN(adjoint_once, BACKWARD(STEP_GAIN, OP_tanh)->g = ((Ref){0, IN_ONCE, 0}))                             \
    BROKEN(gains_assigned, BACKWARD(STEP_GAIN, OP_tanh)->out.stride = BACKWARD(STEP_GAIN, OP_tanh)->add =      \
                               BACKWARD(STEP_GAIN, OP_tanh)->flat = 0)                                         \
    BROKEN(one_operand_for_all, spoil_once_gain(OP_pow_number, (Ref){0, IN_ROWS, 0}, NO_PLACE))                \
    BROKEN(one_value_for_all, spoil_once_gain(OP_exp, NO_PLACE, (Ref){0, IN_ROWS, 0}))                         \
    BROKEN(number_first,                                                                                       \
           FORWARD(STEP_LINEAR, 0)->runs[1] = ((Run){{0, IN_ONCE, 0}, FORWARD(STEP_LINEAR, 0)->runs[1].a, 1})) \
    BROKEN(matrix_input_once, FORWARD(STEP_MATVEC, 0)->refs[0] = ((Ref){0, IN_ONCE, 0}))                       \
    BROKEN(no_room_for_pointers, plan.most_pointers = 1)                                                       \
    BROKEN(column_of_matrix_outside, BACKWARD(STEP_MATVEC_X, 0)->columns[0] = 2)                               \
    BROKEN(three_of_many, FORWARD(STEP_MAP, OP_where)->count = 2)                                              \
    BROKEN(copies_by_sample, FORWARD(STEP_TAKE, 0)->kind = STEP_GATHER)                                        \
    BROKEN(choice_of_nothing, FORWARD(STEP_TAKE, 0)->n_refs = 1)                                               \
    BROKEN(three_draws, (FORWARD(STEP_TAKE, 0)->count = 3, FORWARD(STEP_TAKE, 0)->kind = STEP_DRAW))           \
    BROKEN(no_such_draw, FORWARD(STEP_TAKE, 0)->kind = STEP_DRAW)                                              \
    BROKEN(no_kind, FORWARD(STEP_TAKE, 0)->kind = 99)                                                          \
    BROKEN(column_outside, plan.columns[0] = 2)                                                                \
    BROKEN(no_room_for_members, plan.most_members = 0)

/* A plan that becomes broken when rows begin to share memory. */
#define FOR_EACH_BROKEN_SHARING(BROKEN)                                                          \
    BROKEN(sound_sharing, (void)0)                                                               \
    BROKEN(overwritten_too_early, FORWARD(STEP_TAKE, 0)->out = FORWARD(STEP_MAP, OP_where)->out) \
    BROKEN(another_row_is_read, FORWARD(STEP_MAP, OP_clip)->x = FORWARD(STEP_MAP, OP_clip)->w)   \
    BROKEN(another_column, plan.column_rows[0] = plan.column_rows[1])                            \
    BROKEN(another_root, plan.roots[0].at = FORWARD(STEP_MAP, OP_mul)->out.at)                   \
    BROKEN(another_stride, FORWARD(STEP_MAP, OP_tanh)->x.stride = 0)                             \
    BROKEN(another_step, FORWARD(STEP_MAP, OP_mul)->count = 2)

#define BROKEN(name, how) \
    static void plan_##name(void) { how; }
FOR_EACH_BROKEN_PLAN(BROKEN)
FOR_EACH_BROKEN_SHARING(BROKEN)
#undef BROKEN

/* -- what the verifier says ---------------------------------------------------------------------------- */

static void say(const Graph *of, const char *name, int status) {
    const Fault *fault = &of->fault;
    if (status) printf("%s | %s | %s %u | %s\n", name, fault->after, fault->list, fault->at, fault->rule);
    else printf("%s | holds\n", name);
}

static void try_graph(const char *name, void (*spoil)(void)) {
    make_graph();
    spoil();
    say(&graph, name, verify_graph(&graph, "spoiling"));
}

static void try_loop(const char *name, void (*spoil)(void)) {
    make_loop();
    spoil();
    say(&graph, name, verify_graph(&graph, "spoiling a loop"));
}

static void try_plan(const char *name, void (*spoil)(void), int by_sharing) {
    make_gradient();
    arena_free(&plan_arena);
    memset(&plan, 0, sizeof plan);
    if (plan_make(&plan, &plan_arena, &gradient) != MADE) {
        say(&gradient, "the plan itself", 1);
        return;
    }
    if (!by_sharing) spoil();
    const Plan *copy = verify_copy(&gradient, &plan, plan.root_adjoint);
    if (by_sharing) spoil();
    say(&gradient, name, verify_plan(&gradient, copy, &plan, 1));
}

/* What the planner itself looks at, whoever verifies. */
static void try_planning(const char *name, uint32_t node, Stage stage) {
    make_gradient();
    arena_free(&plan_arena);
    memset(&plan, 0, sizeof plan);
    gradient.nodes[node].stage = (uint8_t)stage;
    verifying = 0;
    say(&gradient, name, plan_make(&plan, &plan_arena, &gradient) != MADE);
    verifying = 1;
}

int main(void) {
    jmp_buf out_of_memory;
    if (setjmp(out_of_memory)) return 1;
    arena.out_of_memory = gradient_arena.out_of_memory = scratch.out_of_memory = plan_arena.out_of_memory =
        &out_of_memory;
    verifying = 1;
#define BROKEN(name, how) try_graph(#name, graph_##name);
    FOR_EACH_BROKEN_GRAPH(BROKEN)
#undef BROKEN
#define BROKEN(name, how) try_loop(#name, loop_##name);
    FOR_EACH_BROKEN_LOOP(BROKEN)
#undef BROKEN
#define BROKEN(name, how) try_gradient(#name, gradient_##name);
    FOR_EACH_BROKEN_GRADIENT(BROKEN)
#undef BROKEN
#define BROKEN(name, how) try_plan(#name, plan_##name, 0);
    FOR_EACH_BROKEN_PLAN(BROKEN)
#undef BROKEN
#define BROKEN(name, how) try_plan(#name, plan_##name, 1);
    FOR_EACH_BROKEN_SHARING(BROKEN)
#undef BROKEN
    try_planning("planned_as_it_is", TANH_0, SAMPLE);
    try_planning("planned_for_no_sample", PRODUCT, SAMPLE);
    try_planning("planned_on_once_rows", X, ONCE);
    return 0;
}
