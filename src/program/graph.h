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
#include "ops/ops.h"
#include "tape/tape.h"

#define NONE UINT32_MAX

/* What a node depends on, and so how often it is computed: the latest of its operands' stages, always.
 * Whatever changes a node's operands sets its stage anew (graph_stage). */
typedef enum {
    CONSTANT, /* numbers of the program's text    */
    ONCE,     /* parameters: once a batch         */
    SAMPLE    /* inputs: for every sample         */
} Stage;

/* Kinds of nodes besides the operations of the table; each is a form of its own. */
#define FOR_EACH_KIND(KIND)                                                              \
    KIND(PARAMETER) /* a: which                                                       */ \
    KIND(INPUT)     /* a: which column of the arguments                               */ \
    KIND(LINEAR)    /* args from a: c pairs of factors, then addends; b args in all   */ \
    KIND(ROW)       /* output a of matrix-vector product c                            */

typedef enum {
    NODE_CONSTANT = OP_leaf, /* number */
    NODE_LAST_OPERATION = OP_COUNT - 1, /* kinds follow */
#define KIND(id) NODE_##id,
    FOR_EACH_KIND(KIND)
#undef KIND
    NODE_COUNT
} NodeKind;

/* How passes and planner see a node. Switches over it have no default: see ops.h. */
typedef enum {
    FORM_CONSTANT,
    FORM_PARAMETER,
    FORM_INPUT,
    FORM_MAP,    /* up to three operands, a, b and c: a cell of the operation table */
    FORM_ROW,
    FORM_LINEAR, /* these have their operands in args */
    FORM_TAKE,
    FORM_CUSTOM
} Form;

/* Of operations with any number of operands. */
enum {
    FORM_NONE = UINT8_MAX, /* not in a graph */
    FORM_OF_sum = FORM_NONE, /* NODE_LINEAR */
    FORM_OF_dot = FORM_NONE, /* NODE_LINEAR */
    FORM_OF_take = FORM_TAKE,
    FORM_OF_custom = FORM_CUSTOM,
    FORM_OF_opaque = FORM_NONE /* not frozen */
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

/* What the verifier has found (verify.h). */
typedef struct {
    const char *after; /* which pass, or other part of the making      */
    const char *rule;  /* what does not hold; NULL: nothing was found  */
    const char *list;  /* "node", or the list of steps that it is in   */
    uint32_t at;
} Fault;

typedef struct {
    Arena *arena;
    Arena *scratch; /* for what a pass or the planner needs meanwhile */
    Node *nodes;
    uint32_t size;
    GROWING(uint32_t) args;
    GROWING(Matvec) matvecs;
    uint32_t *roots;
    uint32_t n_roots, n_parameters, n_inputs;
    Fault fault;
    uint32_t recorded; /* nodes that the roots depended on when it was frozen */
} Graph;

/* By operation and kind of node; one without a form does not build. */
static const uint8_t forms[] = {
    FORM_CONSTANT,
#define MAP(id, ...) FORM_MAP,
    FOR_EACH_BINARY(MAP) FOR_EACH_UNARY(MAP) FOR_EACH_SCALED(MAP) FOR_EACH_STOPPED(MAP) FOR_EACH_TERNARY(MAP)
#undef MAP
#define FORM_OF(id, ...) FORM_OF_##id,
    FOR_EACH_VARIADIC(FORM_OF)
#undef FORM_OF
#define KIND(id, ...) FORM_##id,
    FOR_EACH_KIND(KIND)
#undef KIND
};

typedef char forms_has_every_kind[sizeof forms == NODE_COUNT ? 1 : -1];

static inline Form form_of(const Node *node) { return (Form)forms[node->op]; }

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
static inline uint32_t *node_operands(const Graph *graph, uint32_t i, uint32_t *count) {
    Node *node = &graph->nodes[i];
    switch (form_of(node)) {
    case FORM_CONSTANT:
    case FORM_PARAMETER:
    case FORM_INPUT:
    case FORM_ROW:
        *count = 0;
        return NULL;
    case FORM_MAP:
        *count = op_arity(node->op);
        return &node->a; /* b and c are its neighbours */
    case FORM_LINEAR:
    case FORM_TAKE:
    case FORM_CUSTOM:
        *count = node->b;
        return graph->args.items + node->a;
    }
    abort();
}

/* Whether the node's operands stand in args, from a on, b of them. */
static inline int has_args(const Node *node) {
    return form_of(node) >= FORM_LINEAR;
}

/* The stage that node i's operands give it; a leaf's is that of its kind. */
Stage graph_stage(const Graph *graph, uint32_t i);

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

typedef enum { MADE, MADE_NO_MEMORY, MADE_BROKEN /* graph->fault says how: an error of this code's own */ } MakeStatus;

/* Applies the passes that are not in the set `skip` (a bit each). What is left is packed into the arena
 * `to`, and the arena that it was frozen in is freed. */
MakeStatus graph_optimise(Graph *graph, unsigned skip, Arena *to);

#endif
