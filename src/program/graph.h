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
#include "draws/draws.h"
#include "ops/cells.h"
#include "tape/tape.h"

#define NONE UINT32_MAX

/* What a node depends on, and so how often it is computed: the latest of its operands' stages, always,
 * but for the sums over the batch. Whatever changes a node's operands sets its stage anew (graph_stage). */
typedef enum {
    CONSTANT, /* numbers of the program's text                    */
    ONCE,     /* parameters: once a batch                         */
    SAMPLE,   /* inputs and draws: for every sample               */
    BATCH     /* sums over the batch: once, after all its samples */
} Stage;

/* Node kinds besides the operations of the table. OP_sum and OP_dot become NODE_LINEAR. Those of the
 * second group stand in gradient graphs only (see below). A record is no number: its NODE_PARTs are. */
typedef enum {
    NODE_CONSTANT = OP_leaf, /* number                                                             */
    NODE_PARAMETER = OP_COUNT, /* a: which                                                         */
    NODE_INPUT,              /* a: which column of the arguments                                   */
    NODE_DRAW,               /* a random number. a: which, in the order of recording; which: a DrawKind.
                              * Draws in bodies of loops are numbered apart                    */
    NODE_LINEAR,             /* args from a: c pairs of factors, then addends; b args in all       */
    NODE_PRODUCT,            /* record: a matrix-vector product, W x + bias: see Product           */
    NODE_PART,               /* number b of record a; of a product: output b; of a scan: the last carry b;
                              * of a sequence: element b                                           */
    NODE_SCAN,               /* record: loop c of the graph's, which says what its args are (loops.h) */
    NODE_SEQUENCE,           /* record: number b of the sequences that scan a gives                */
    NODE_LIST,               /* record: a sequence of b args from a                                */

    NODE_SEED,               /* the loss's adjoint, which the executor sets: see below             */
    NODE_GAIN,               /* cell `which` of row `of`, what its operand gains: args as gain_names;
                              * c: the node whose chain rule this is                               */
    NODE_ADJOINT,            /* the sum of b args from a: the adjoint of node c                    */
    NODE_TOTAL,              /* a, summed over the batch                                           */
    NODE_TRANSPOSED,         /* record: args from a: a product, and adjoints of b - 1 of its outputs, from
                              * output c on. Part k: what input k gains, W' g                      */
    NODE_OUTER,              /* record: args as of NODE_TRANSPOSED. Part row * n_in + k: what that weight
                              * gains, g x, summed over the batch; part n_out * n_in + row: a bias.
                              * Its product may be one of other inputs than that of the outputs: with
                              * no parts, since nobody asks for its numbers                        */
    NODE_SCATTER,            /* record: b, which is the adjoint of the take a. Part k: b where the index
                              * chooses element k, else 0                                          */
    NODE_COUNT
} NodeKind;

/* FORM(id, operands, stage, whether nodes that look alike are one): how passes and executors see a node.
 *   operands  how many there are: in a, b and c; ARITY: as many as the row has; LISTED: b, in args from a on
 *   stage     its own; LATEST: that of its latest operand; OF_LOSS: of the loss's adjoint
 * Switches over forms have no default: see ops.h. */
/* clang-format off */
#define FOR_EACH_FORM(FORM)                 \
    FORM(CONSTANT,   0,      CONSTANT, 1)   \
    FORM(PARAMETER,  0,      ONCE,     0)   \
    FORM(INPUT,      0,      SAMPLE,   0)   \
    FORM(DRAW,       0,      SAMPLE,   0)   \
    FORM(SEED,       0,      OF_LOSS,  0)   \
    FORM(MAP,        ARITY,  LATEST,   1)   \
    FORM(PART,       1,      LATEST,   0)   \
    FORM(TOTAL,      1,      BATCH,    0)   \
    FORM(SCATTER,    2,      LATEST,   0)   \
    FORM(LINEAR,     LISTED, LATEST,   1)   \
    FORM(TAKE,       LISTED, LATEST,   1)   \
    FORM(CUSTOM,     LISTED, LATEST,   0)   \
    FORM(PRODUCT,    LISTED, LATEST,   0)   \
    FORM(SCAN,       LISTED, LATEST,   0)   \
    FORM(SEQUENCE,   1,      LATEST,   0)   \
    FORM(LIST,       LISTED, LATEST,   0)   \
    FORM(GAIN,       LISTED, LATEST,   0)   \
    FORM(ADJOINT,    LISTED, LATEST,   0)   \
    FORM(TRANSPOSED, LISTED, LATEST,   0)   \
    FORM(OUTER,      LISTED, BATCH,    0)
/* clang-format on */

typedef enum {
#define ID(id, operands, stage, merges) FORM_##id,
    FOR_EACH_FORM(ID)
#undef ID
} Form;

enum { ARITY = 4, LISTED };               /* beside numbers of operands */
enum { LATEST = BATCH + 1, OF_LOSS };     /* beside stages */

typedef struct {
    uint8_t operands, stage, merges;
} FormInfo;

static const FormInfo form_info[] = {
#define ROW(id, operands, stage, merges) {operands, stage, merges},
    FOR_EACH_FORM(ROW)
#undef ROW
};

/* Of operations with any number of operands. */
enum {
    FORM_NONE = UINT8_MAX, /* not in a graph */
    FORM_OF_sum = FORM_NONE, /* NODE_LINEAR */
    FORM_OF_dot = FORM_NONE, /* NODE_LINEAR */
    FORM_OF_take = FORM_TAKE,
    FORM_OF_scan = FORM_NONE,     /* NODE_SCAN */
    FORM_OF_part = FORM_NONE,     /* NODE_PART */
    FORM_OF_sequence = FORM_NONE, /* NODE_SEQUENCE */
    FORM_OF_list = FORM_NONE,     /* NODE_LIST */
    FORM_OF_custom = FORM_CUSTOM,
    FORM_OF_opaque = FORM_NONE /* not frozen */
};

/* The forms of gradient graphs alone, for switches that meet none of them. */
/* clang-format off */
#define CASES_OF_GRADIENTS                                                            \
    case FORM_SEED: case FORM_TOTAL: case FORM_SCATTER: case FORM_GAIN: case FORM_ADJOINT: \
    case FORM_TRANSPOSED: case FORM_OUTER:
/* clang-format on */

/* The records of loops, for switches that meet none of them. */
/* clang-format off */
#define CASES_OF_LOOPS case FORM_SCAN: case FORM_SEQUENCE: case FORM_LIST:
/* clang-format on */

typedef struct {
    double number;    /* NODE_CONSTANT; a SCALED operation's number, or that of its gain; OP_custom's value */
    uint32_t a, b, c; /* as on the tape, or as above */
    uint8_t op;
    uint8_t stage;
    uint8_t of, which; /* NODE_GAIN; NODE_PRODUCT has biases if `which` is 1; NODE_DRAW */
} Node;

/* A NODE_PRODUCT's operands: sums that multiply the same inputs by weights which no sample changes. All
 * its parts stand behind it, in order; an input stands in it once. */
typedef struct {
    uint32_t n_out, n_in;
    const uint32_t *inputs;  /* n_in nodes                 */
    const uint32_t *weights; /* n_out rows of n_in nodes   */
    const uint32_t *biases;  /* n_out nodes; NULL: none    */
} Product;

/* A gradient graph is a graph of one root, the loss, with its adjoints behind it, from node `primal` on. It may have
 * gates more than the graph that it was made of (passes/gates.h), whose gain is that of a where.
 * Its roots are the loss and, for each parameter, the derivative of the batch's loss by it, of stage BATCH
 * (or a number 0). What has no adjoint has no node, so that none is multiplied by 0.
 *
 * Of a loss of stage SAMPLE, NODE_SEED has stage SAMPLE: the same number for every sample, 1 or one over
 * their count. Of another, it has stage BATCH: 1 or the count of the samples; 0 if there are none. The
 * adjoint of a node of stage SAMPLE has stage SAMPLE, that of an earlier one BATCH; a NODE_TOTAL or a
 * NODE_OUTER stands between, and there is no other way from one to the other.
 *
 * A NODE_GAIN stands for one contribution of one node, even where its cell is no more than g; but what all
 * addends of a sum gain is one node. A node's adjoint is its NODE_ADJOINT, even where that has one operand;
 * the loss's is the seed. So both know their place. Behind the function stand first the adjoints and
 * contributions of its last node, then those of the one before, and so on. */

/* What the verifier has found (verify.h). */
typedef struct {
    const char *after; /* which pass, or other part of the making      */
    const char *rule;  /* what does not hold; NULL: nothing was found  */
    const char *list;  /* "node", or the list of steps that it is in   */
    uint32_t at;
} Fault;

typedef struct Graph {
    Arena *arena;
    Arena *scratch; /* for what a pass or the planner needs meanwhile */
    Node *nodes;
    uint32_t size;
    GROWING(uint32_t) args;
    GROWING(struct Scan *) scans; /* see loops.h */
    uint32_t *roots;
    uint32_t n_roots, n_parameters, n_inputs;
    uint32_t n_draws; /* that were recorded: some of them may be gone; of a body: no number is above, 0: it has none */
    int is_float32; /* samples are computed in float32 */
    int is_body; /* of a loop: its inputs are carries and elements of sequences, which have adjoints */
    uint32_t primal; /* of a gradient graph: nodes of the function; else 0 */
    Fault fault;
    uint32_t recorded; /* nodes that the roots depended on when it was frozen */
} Graph;

/* Kinds of nodes besides the operations; each is a form of its own. */
/* clang-format off */
#define FOR_EACH_KIND(KIND)                                                         \
    KIND(PARAMETER) KIND(INPUT) KIND(DRAW) KIND(LINEAR) KIND(PRODUCT) KIND(PART)    \
    KIND(SCAN) KIND(SEQUENCE) KIND(LIST)                                            \
    KIND(SEED) KIND(GAIN) KIND(ADJOINT) KIND(TOTAL) KIND(TRANSPOSED) KIND(OUTER) KIND(SCATTER)
/* clang-format on */

/* By operation and kind of node; one without a form does not build. */
/* clang-format off */
static const uint8_t forms[] = {
    FORM_CONSTANT,
#define MAP(id, ...) FORM_MAP,
    FOR_EACH_BINARY(MAP) FOR_EACH_UNARY(MAP) FOR_EACH_SCALED(MAP) FOR_EACH_STOPPED(MAP) FOR_EACH_TERNARY(MAP)
#undef MAP
#define FORM_OF(id, ...) FORM_OF_##id,
    FOR_EACH_VARIADIC(FORM_OF)
#undef FORM_OF
#define KIND(id) [NODE_##id] = FORM_##id,
    FOR_EACH_KIND(KIND)
#undef KIND
};
/* clang-format on */

#define PLUS_ONE(id) +1
typedef char forms_has_every_kind[0 FOR_EACH_KIND(PLUS_ONE) == NODE_COUNT - OP_COUNT ? 1 : -1];
#undef PLUS_ONE

static inline Form form_of(const Node *node) { return (Form)forms[node->op]; }

/* What graph_freeze met that cannot be replayed. */
typedef enum {
    FROZEN,
    FREEZE_CLOSURE, /* a node with a chain rule written in Python           */
    FREEZE_CUSTOM, /* a value given by Python that should depend on inputs */
    FREEZE_NO_MEMORY
} FreezeStatus;

/* A draw, as it is recorded: its node of the tape, its number and its DrawKind. */
typedef struct {
    uint32_t node, number;
    uint8_t kind;
} RecordedDraw;

/* What stands for other numbers in every sample: nodes of the tape, ascending. */
typedef struct {
    const uint32_t *inputs;
    const RecordedDraw *draws;
    uint32_t n_inputs, n_draws;
} Varying;

/* Copies what the roots depend on off the tape. Nodes below `mark`, and leaves above it that somebody
 * holds, become parameters: *parameters lists their tape indices. */
FreezeStatus graph_freeze(Graph *graph, const Tape *tape, uint32_t mark, const Varying *varying, const uint32_t *roots,
                          uint32_t n_roots, uint32_t **parameters);

/* The same of a part of a recording: what does not depend on its inputs, but for numbers, becomes a parameter.
 * depends: of each node from mark on, whether it does. */
FreezeStatus graph_freeze_part(Graph *graph, const Tape *tape, uint32_t mark, const Varying *varying,
                               const uint32_t *roots, uint32_t n_roots, uint32_t **parameters, const uint8_t *depends);

/* Moves the graph to another arena: what its nodes use, and nothing else. The old arena is freed. */
void graph_pack(Graph *graph, Arena *to);

/* Whether the node's operands stand in args, from a on, b of them. */
static inline int has_args(const Node *node) { return form_info[form_of(node)].operands == LISTED; }

/* The operands of a node, all of them, for reading and rewriting. */
static inline uint32_t *node_operands(const Graph *graph, uint32_t i, uint32_t *count) {
    Node *node = &graph->nodes[i];
    *count = form_info[form_of(node)].operands;
    if (*count == LISTED) {
        *count = node->b;
        return graph->args.items + node->a;
    }
    if (*count == ARITY) *count = op_arity(node->op);
    return &node->a; /* b and c are its neighbours */
}

/* The element of a take that an index chooses, counted from the end where it is negative; NONE: none. */
FORCE_INLINE uint32_t element_of(double index, uint32_t n_elements) {
    double at = index < 0 ? index + n_elements : index; /* which rounds: whether it is whole, the index says */
    return at >= 0 && at < n_elements && index == (double)(int64_t)index ? (uint32_t)at : NONE;
}

static inline Product product_of(const Graph *graph, uint32_t i) {
    const Node *node = &graph->nodes[i];
    const uint32_t *args = graph->args.items + node->a;
    Product product = {.n_in = node->c, .inputs = args, .weights = args + node->c};
    product.n_out = (node->b - node->c) / (node->c + node->which);
    if (node->which) product.biases = product.weights + (size_t)product.n_out * product.n_in;
    return product;
}

/* The node that each name in a NODE_GAIN's cell stands for; NONE where the cell does not read it, or where
 * y is a SCALED row's number. In args, g stands first, then those of x, y, w and z that are read. */
static inline void gain_names(const Graph *graph, const Node *gain, uint32_t names[NAME_COUNT]) {
    unsigned reads = cell_reads((Op)gain->of, gain->which);
    const uint32_t *args = graph->args.items + gain->a;
    names[NAME_G] = *args++;
    for (int name = NAME_X; name < NAME_G; name++) {
        int is_operand = reads >> name & 1 && !(name == NAME_Y && op_info[gain->of].shape == SCALED);
        names[name] = is_operand ? *args++ : NONE;
    }
}

/* The stage that node i's operands give it; a leaf's is that of its kind. */
Stage graph_stage(const Graph *graph, uint32_t i);

/* -- passes: each leaves a graph that computes the same, in the same order --------------------- */

/* PASS(id, what it does) in the order of application; each can be switched off. */
#define FOR_EACH_PASS(PASS)                                                                   \
    PASS(constants, "operations on numbers alone are computed now")                           \
    PASS(identities, "x * 1, -(-x), x ** 2 and the like, where IEEE arithmetic has no doubt") \
    PASS(subexpressions, "what is computed twice is computed once")                           \
    PASS(sums, "chains of additions and products become one sum of products")                 \
    PASS(matrices, "sums of products that share their inputs become a matrix-vector product") \
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

/* Makes the gradient graph of an optimised graph of one root, which stays. gradient: its arenas are set, and
 * nothing else. No pass runs over what is new: it holds nothing twice, and nothing that is not needed. */
MakeStatus graph_differentiate(const Graph *graph, Graph *gradient);

#endif
