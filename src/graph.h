/* SPDX-License-Identifier: MIT
 *
 * The frozen graph of one sample: what compile() has recorded, off the tape, for optimising.
 *
 * Operands stand before their node, as on the tape. What the passes leave is planned into steps
 * (plan.h), which are replayed over batches (program.h).
 */
#ifndef MICROGRAD_C_GRAPH_H
#define MICROGRAD_C_GRAPH_H

#include "arena.h"
#include "ops.h"
#include "tape.h"

#define NONE UINT32_MAX

/* What a node depends on, and so how often it is computed. */
typedef enum {
    CONSTANT, /* numbers of the program's text    */
    ONCE,     /* parameters: once a batch         */
    SAMPLE    /* inputs: for every sample         */
} Stage;

/* Node kinds besides the operations of the table. OP_sum and OP_dot become NODE_LINEAR. */
enum {
    NODE_CONSTANT = OP_leaf, /* number                                                        */
    NODE_PARAMETER = OP_COUNT, /* a: which                                                    */
    NODE_INPUT,              /* a: which column of the arguments                              */
    NODE_LINEAR,             /* args from a: c pairs of factors, then addends; b args in all  */
    NODE_ROW                 /* output a of matrix-vector product c                           */
};

typedef struct {
    double number;    /* NODE_CONSTANT; a SCALED operation's number; OP_custom's value */
    uint32_t a, b, c; /* as on the tape, or as above */
    uint8_t op;
    uint8_t stage;
} Node;

/* Sums that multiply the same inputs by weights which no sample changes: outputs = W inputs + b. */
typedef struct {
    uint32_t n_out, n_in;
    uint32_t inputs;  /* in args: n_in nodes                      */
    uint32_t weights; /* in args: n_out rows of n_in nodes        */
    uint32_t biases;  /* in args: n_out nodes; NONE: all without  */
} Matvec;

typedef struct {
    Arena *arena;
    Arena *scratch; /* for what a pass or the planner needs meanwhile */
    Node *nodes;
    uint32_t size;
    GROWING(uint32_t) args;
    GROWING(Matvec) matvecs;
    uint32_t *roots;
    uint32_t n_roots, n_parameters, n_inputs;
    uint32_t recorded; /* nodes that the roots depended on when it was frozen */
} Graph;

/* What graph_freeze met that cannot be replayed. */
typedef enum {
    FROZEN,
    FREEZE_CLOSURE,   /* a node with a chain rule written in Python           */
    FREEZE_CUSTOM,    /* a value given by Python that should depend on inputs */
    FREEZE_NO_MEMORY
} FreezeStatus;

/* Copies what the roots depend on off the tape. Nodes below `mark`, and leaves above it that somebody
 * holds, become parameters: *parameters lists their tape indices. */
FreezeStatus graph_freeze(Graph *graph, const Tape *tape, uint32_t mark, const uint32_t *inputs,
                          uint32_t n_inputs, const uint32_t *roots, uint32_t n_roots,
                          uint32_t **parameters);

/* Moves the graph to another arena: what its nodes use, and nothing else. The old arena is freed. */
void graph_pack(Graph *graph, Arena *to);

/* The operands of a node, for reading and rewriting. A NODE_ROW has its matrix product's. */
#define NODE_IS_VARIADIC(node) ((node)->op >= OP_FIRST_VARIADIC && (node)->op != NODE_PARAMETER && \
                                (node)->op != NODE_INPUT && (node)->op != NODE_ROW)

static inline uint32_t *node_operands(const Graph *graph, uint32_t i, uint32_t *count) {
    Node *node = &graph->nodes[i];
    if (NODE_IS_VARIADIC(node)) {
        *count = node->b;
        return graph->args.items + node->a;
    }
    *count = node->op == NODE_CONSTANT || node->op >= OP_COUNT ? 0
             : op_info[node->op].shape == BINARY               ? 2
                                                               : 1;
    return &node->a;
}

/* -- passes: each leaves a graph that computes the same, in the same order --------------------- */

/* PASS(id, what it does) in the order of application; each can be switched off. */
#define FOR_EACH_PASS(PASS)                                                                     \
    PASS(constants, "operations on numbers alone are computed now")                             \
    PASS(identities, "x * 1, -(-x), x ** 2 and the like, where IEEE arithmetic has no doubt")    \
    PASS(subexpressions, "what is computed twice is computed once")                             \
    PASS(sums, "chains of additions and products become one sum of products")                   \
    PASS(matrices, "sums of products that share their inputs become a matrix-vector product")   \
    PASS(dead_code, "what the result no longer depends on is dropped")

enum {
#define ID(id, text) PASS_##id,
    FOR_EACH_PASS(ID)
#undef ID
    PASS_COUNT
};

typedef struct {
    const char *name, *text;
    void (*apply)(Graph *graph);
} Pass;

extern const Pass passes[PASS_COUNT];

/* Applies the passes that are not in the set `skip` (a bit each). -1: out of memory.
 * What is left is packed into the arena `to`, and the arena that it was frozen in is freed. */
int graph_optimise(Graph *graph, unsigned skip, Arena *to);

#endif
