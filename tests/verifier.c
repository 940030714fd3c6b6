/* SPDX-License-Identifier: MIT
 *
 * Breaks a sound graph, and a sound plan, in one place after the other, and prints for each what the
 * verifier says of it. test_verifier.py builds and runs this.
 */
#include "passes/passes.h"
#include "execute/vector/planner.h"
#include "program/verify.h"

#include <stdio.h>

static Graph graph;
static Arena arena, scratch, plan_arena;
static Plan plan;

/* -- a sound graph ---------------------------------------------------------------------------------- */

enum { X, Y, P, Q, NUMBER, PRODUCT, ROW_0, ROW_1, WHERE, TAKE, CLIP, CUSTOM, LINEAR, TANH_0, TANH_1, HIDDEN,
       MUL, DETACH, ROOT, SIZE };

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
    graph.nodes = ARENA_ARRAY(&arena, Node, SIZE);
    graph.roots = ARENA_ARRAY(&arena, uint32_t, 1);
    graph.n_inputs = graph.n_parameters = 2;
    graph.n_roots = 1;
    add_node(NODE_INPUT, 0, 0);
    add_node(NODE_INPUT, 1, 0);
    add_node(NODE_PARAMETER, 0, 0);
    add_node(NODE_PARAMETER, 1, 0);
    add_node(NODE_CONSTANT, 0, 0);
    add_node(OP_mul, P, Q);
    add_variadic(NODE_LINEAR, 2, 5, (uint32_t[]){P, X, Q, Y, PRODUCT});
    add_variadic(NODE_LINEAR, 2, 5, (uint32_t[]){Q, X, P, Y, Q});
    add_ternary(OP_where, X, ROW_0, P);
    add_variadic(OP_take, 0, 3, (uint32_t[]){Y, ROW_1, Q});
    add_ternary(OP_clip, WHERE, NUMBER, TAKE);
    add_variadic(OP_custom, 0, 2, (uint32_t[]){P, NUMBER});
    add_variadic(NODE_LINEAR, 2, 5, (uint32_t[]){CLIP, X, CLIP, Q, CUSTOM});
    add_node(OP_tanh, ROW_0, 0);
    add_node(OP_tanh, ROW_1, 0);
    add_variadic(NODE_LINEAR, 2, 4, (uint32_t[]){P, TANH_0, Q, TANH_1});
    add_node(OP_mul, TANH_0, TANH_1);
    add_node(OP_detach, MUL, 0);
    add_variadic(NODE_LINEAR, 1, 4, (uint32_t[]){DETACH, LINEAR, MUL, HIDDEN});
    graph.roots[0] = ROOT;
    apply_matrices(&graph);
}

/* -- ways to break it --------------------------------------------------------------------------------- */

static uint32_t *args_of(uint32_t node) { return graph.args.items + graph.nodes[node].a; }
static Matvec *matvec(void) { return graph.matvecs.items; }

#define FOR_EACH_BROKEN_GRAPH(BROKEN)                                      \
    BROKEN(sound_graph, (void)0)                                           \
    BROKEN(operation_of_the_tape, graph.nodes[PRODUCT].op = OP_sum)        \
    BROKEN(no_operation, graph.nodes[PRODUCT].op = 250)                    \
    BROKEN(operand_above, graph.nodes[PRODUCT].b = ROOT)                   \
    BROKEN(itself_as_operand, graph.nodes[TANH_0].a = TANH_0)              \
    BROKEN(third_operand_above, graph.nodes[WHERE].c = WHERE)              \
    BROKEN(argument_above, args_of(TAKE)[1] = TAKE)                        \
    BROKEN(arguments_outside, graph.nodes[TAKE].a = graph.args.size - 2)   \
    BROKEN(arguments_far_outside, graph.nodes[TAKE].a = NONE)              \
    BROKEN(take_of_nothing, graph.nodes[TAKE].b = 1)                       \
    BROKEN(more_factors_than_operands, graph.nodes[LINEAR].c = 3)          \
    BROKEN(stage_too_late, graph.nodes[PRODUCT].stage = SAMPLE)            \
    BROKEN(stage_too_early, graph.nodes[TANH_1].stage = ONCE)              \
    BROKEN(stage_of_a_choice, graph.nodes[TAKE].stage = ONCE)              \
    BROKEN(stage_of_a_row, graph.nodes[ROW_1].stage = ONCE)                \
    BROKEN(number_by_sample, graph.nodes[NUMBER].stage = SAMPLE)           \
    BROKEN(input_once, graph.nodes[X].stage = ONCE)                        \
    BROKEN(parameter_by_sample, graph.nodes[Q].stage = SAMPLE)             \
    BROKEN(custom_by_sample, (args_of(CUSTOM)[0] = X, graph.nodes[CUSTOM].stage = SAMPLE)) \
    BROKEN(input_that_is_not, graph.nodes[X].a = 2)                        \
    BROKEN(parameter_twice, graph.nodes[Q].a = 0)                          \
    BROKEN(root_outside, graph.roots[0] = SIZE)                            \
    BROKEN(row_of_no_product, graph.nodes[ROW_0].c = 2)                    \
    BROKEN(row_outside, graph.nodes[ROW_1].a = 2)                          \
    BROKEN(row_twice, graph.nodes[ROW_1].a = 0)                            \
    BROKEN(row_missing, (graph.nodes[ROW_1].op = OP_tanh, graph.nodes[ROW_1].a = X)) \
    BROKEN(product_without_inputs, matvec()->n_in = 0)                     \
    BROKEN(product_input_above, graph.args.items[matvec()->inputs] = ROW_1) \
    BROKEN(product_input_once, graph.args.items[matvec()->inputs] = P)     \
    BROKEN(product_input_twice, graph.args.items[matvec()->inputs] = Y)    \
    BROKEN(product_outside, matvec()->weights = graph.args.size)           \
    BROKEN(weight_by_sample, graph.args.items[matvec()->weights + 3] = X)  \
    BROKEN(weight_above, graph.args.items[matvec()->weights + 3] = CUSTOM) \
    BROKEN(bias_by_sample, graph.args.items[matvec()->biases] = X)

#define BROKEN(name, how) \
    static void graph_##name(void) { how; }
FOR_EACH_BROKEN_GRAPH(BROKEN)
#undef BROKEN

/* -- ways to break its plan --------------------------------------------------------------------------- */

static Step *step_of(const StepList *list, StepKind kind, uint8_t op) {
    for (uint32_t k = 0; k < list->size; k++)
        if (list->items[k].kind == kind && (op == OP_leaf || list->items[k].op == op)) return &list->items[k];
    abort();
}

#define FORWARD(kind, op) step_of(&plan.forward, kind, op)
#define BACKWARD(kind, op) step_of(&plan.backward, kind, op)
#define NO_PLACE ((Ref){0})

/* A plan that is broken from the beginning. */
#define FOR_EACH_BROKEN_PLAN(BROKEN)                                              \
    BROKEN(sound_plan, (void)0)                                                   \
    BROKEN(row_outside, FORWARD(STEP_MAP, OP_where)->out.at = plan.n_rows)        \
    BROKEN(once_row_outside, FORWARD(STEP_MAP, OP_where)->w.at = plan.n_once)     \
    BROKEN(once_row_by_another_name, plan.once.items[0].x.space = IN_ONCE)        \
    BROKEN(once_row_unset, plan.once.size = 0)                                    \
    BROKEN(once_row_written, FORWARD(STEP_MAP, OP_clip)->out.space = IN_ONCE)     \
    BROKEN(parameter_unset, plan.parameter_row[0] = NONE)                         \
    BROKEN(no_operand, FORWARD(STEP_MAP, OP_tanh)->x = NO_PLACE)                  \
    BROKEN(map_of_a_sum, FORWARD(STEP_MAP, OP_tanh)->op = OP_sum)                 \
    BROKEN(number_as_lanes, FORWARD(STEP_MAP, OP_detach)->x = ((Ref){0, IN_ONCE, 0})) \
    BROKEN(not_flat, FORWARD(STEP_MAP, OP_tanh)->x.stride = 0)                    \
    BROKEN(own_operand, FORWARD(STEP_MAP, OP_detach)->out = FORWARD(STEP_MAP, OP_detach)->x) \
    BROKEN(unset_row, FORWARD(STEP_MAP, OP_mul)->x.at = plan.n_rows - 1)            \
    BROKEN(gain_of_a_stopped_cell, BACKWARD(STEP_GAIN, OP_tanh)->op = OP_detach)  \
    BROKEN(second_of_one, BACKWARD(STEP_GAIN, OP_tanh)->which = 1)                \
    BROKEN(adjoint_once, BACKWARD(STEP_GAIN, OP_tanh)->g = ((Ref){0, IN_ONCE, 0})) \
    BROKEN(gains_assigned, \
               BACKWARD(STEP_GAIN, OP_tanh)->out.stride = BACKWARD(STEP_GAIN, OP_tanh)->add = \
                   BACKWARD(STEP_GAIN, OP_tanh)->flat = 0)                        \
    BROKEN(number_first, FORWARD(STEP_LINEAR, 0)->runs[1] =                       \
               ((Run){{0, IN_ONCE, 0}, FORWARD(STEP_LINEAR, 0)->runs[1].a, 1}))   \
    BROKEN(matrix_input_once, FORWARD(STEP_MATVEC, 0)->refs[0] = ((Ref){0, IN_ONCE, 0})) \
    BROKEN(no_room_for_pointers, plan.most_pointers = 1)                          \
    BROKEN(column_of_matrix_outside, BACKWARD(STEP_MATVEC_X, 0)->columns[0] = 2)  \
    BROKEN(three_of_many, FORWARD(STEP_MAP, OP_where)->count = 2)                 \
    BROKEN(copies_by_sample, FORWARD(STEP_TAKE, 0)->kind = STEP_GATHER)           \
    BROKEN(choice_of_nothing, FORWARD(STEP_TAKE, 0)->n_refs = 1)                  \
    BROKEN(no_kind, FORWARD(STEP_TAKE, 0)->kind = 99)                             \
    BROKEN(column_outside, plan.columns[0] = 2)                                   \
    BROKEN(no_room_for_members, plan.most_members = 0)

/* A plan that becomes broken when rows begin to share memory. */
#define FOR_EACH_BROKEN_SHARING(BROKEN)                                           \
    BROKEN(sound_sharing, (void)0)                                                \
    BROKEN(overwritten_too_early, FORWARD(STEP_TAKE, 0)->out = FORWARD(STEP_MAP, OP_where)->out) \
    BROKEN(another_row_is_read, FORWARD(STEP_MAP, OP_clip)->x = FORWARD(STEP_MAP, OP_clip)->w) \
    BROKEN(another_column, plan.column_rows[0] = plan.column_rows[1])             \
    BROKEN(another_root, plan.roots[0].at = FORWARD(STEP_MAP, OP_mul)->out.at)    \
    BROKEN(another_stride, FORWARD(STEP_MAP, OP_tanh)->x.stride = 0)              \
    BROKEN(another_step, FORWARD(STEP_MAP, OP_mul)->count = 2)

#define BROKEN(name, how) \
    static void plan_##name(void) { how; }
FOR_EACH_BROKEN_PLAN(BROKEN)
FOR_EACH_BROKEN_SHARING(BROKEN)
#undef BROKEN

/* -- what the verifier says ---------------------------------------------------------------------------- */

static void say(const char *name, int status) {
    const Fault *fault = &graph.fault;
    if (status) printf("%s | %s | %s %u | %s\n", name, fault->after, fault->list, fault->at, fault->rule);
    else printf("%s | holds\n", name);
}

static void try_graph(const char *name, void (*spoil)(void)) {
    make_graph();
    spoil();
    say(name, verify_graph(&graph, "spoiling"));
}

static void try_plan(const char *name, void (*spoil)(void), int by_sharing) {
    make_graph();
    arena_free(&plan_arena);
    memset(&plan, 0, sizeof plan);
    if (plan_make(&plan, &plan_arena, &graph, 1) != MADE) {
        say("the plan itself", 1);
        return;
    }
    if (!by_sharing) spoil();
    const Plan *copy = verify_copy(&graph, &plan, plan.root_adjoint);
    if (by_sharing) spoil();
    say(name, verify_plan(&graph, copy, &plan, 1));
}

/* What the planner itself looks at, whoever verifies. */
static void try_planning(const char *name, uint32_t node, Stage stage) {
    make_graph();
    arena_free(&plan_arena);
    memset(&plan, 0, sizeof plan);
    graph.nodes[node].stage = (uint8_t)stage;
    verifying = 0;
    say(name, plan_make(&plan, &plan_arena, &graph, 1) != MADE);
    verifying = 1;
}

int main(void) {
    jmp_buf out_of_memory;
    if (setjmp(out_of_memory)) return 1;
    arena.out_of_memory = scratch.out_of_memory = plan_arena.out_of_memory = &out_of_memory;
    verifying = 1;
#define BROKEN(name, how) try_graph(#name, graph_##name);
    FOR_EACH_BROKEN_GRAPH(BROKEN)
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
