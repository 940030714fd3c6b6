/* SPDX-License-Identifier: MIT
 *
 * The tape: every node of every graph, in the order of recording.
 *
 * A node's operands stand before it, so the order of indices is a topological order, and a
 * backward pass is one walk downwards from the root. Fields of a node stand in arrays of their
 * own, since recording, sweeping and compacting each touch other fields.
 *
 * A node is alive while an anchor refers to it (a Value, to the Python floor above) or a living
 * node has it as operand. All else is garbage: popped when it is the tail, otherwise slid over by
 * compaction, which keeps the order of the living. So an index is good until the next call that
 * may compact: keep the anchor, or reserve room first.
 *
 * No function here knows Python or recurses. Functions that can run out of memory return -1 and
 * leave the tape as it was.
 */
#ifndef MICROGRAD_C_TAPE_H
#define MICROGRAD_C_TAPE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "bits.h"
#include "ops/ops.h"

#define NO_NODE UINT32_MAX /* in an anchor: the node is another's now */

/* Where somebody keeps the index of a node that they hold on to. */
typedef struct {
    uint32_t index; /* re-pointed when the node moves */
    uint32_t flags; /* the holder's own */
} Anchor;

/* What the nodes above a node hold of it, for the holder to say; see handles.pyx. */
typedef enum {
    LIGHT,  /* its index, on the tape                                        */
    LATE,   /* those recorded first its index, those recorded later its anchor, too */
    SETTLED /* all of them its anchor: a node without an anchor is not needed */
} Weight;

/* What a node has besides its numbers, kept as long as the node lives, anchored or not. */
typedef struct Annex {
    Anchor *anchor;     /* NULL while only the graph refers to the node */
    struct Annex *next; /* in Tape.orphans */
    Weight weight;
} Annex;

/* An Anchor *, or an Annex * with the lowest bit set, or 0: only the graph refers to the node. */
typedef uintptr_t Owner;

/* Operands of a node by shape: LEAF none (a: see LITERAL_INT), UNARY and STOPPED a, BINARY a and b,
 * SCALED a, and b the leaf that holds its number, TERNARY and VARIADIC args[a] to args[a + b]. */
typedef struct {
    uint32_t a, b;
} Operands;

enum { LITERAL_INT = 1 }; /* a leaf's a: the number was written as an integer */

typedef struct {
    /* -- nodes -- */
    double *value;
    Operands *operands;
    uint8_t *op; /* an Op, with OP_CLOSURE or without */
    Owner *owner;
    double *adjoint; /* meaningless unless the node is in swept */
    uint64_t *swept; /* nodes with an adjoint; the others' is 0; no bit at or above size */
    uint32_t *args;  /* operands of VARIADIC nodes, in the order of their nodes */

    uint32_t size;     /* nodes on the tape */
    uint32_t limit;    /* appending below it needs no further check; at most capacity */
    uint32_t capacity; /* nodes that the arrays hold */
    uint32_t args_size, args_capacity;

    /* -- sets of the sweep: all empty between sweeps -- */
    uint64_t *reached[3]; /* level 0: a bit per node; 1 and 2: a bit per word of the level below */
    uint64_t *aside;      /* of the graph, by an operand that gains nothing; levels 1 and 2 are shared */
    uint32_t *rank;       /* of compaction: living nodes below each word of reached[0] */

    /* -- lifetimes -- */
    Annex *orphans;       /* annexes of nodes that died, for the holder to release */
    uint32_t collect_at;  /* size at which to look for garbage */
    uint32_t minimum;     /* least collect_at (tests make it tiny) */
    uint32_t closures;    /* nodes with OP_CLOSURE, at most */
    uint32_t busy;        /* compaction waits while it is not 0 */
    uint32_t slack;       /* looks in a row that found most of the memory unused */
    uint32_t patience;    /* how many of them to let pass */
    uint32_t trimmed_from; /* the capacity before memory was given back, until it is taken again */
    uint64_t compactions;
    uint64_t moves; /* another number after any node of an anchor has got another index; never 0 */
} Tape;

/* -- record ---------------------------------------------------------------------------------- */

void tape_init(Tape *tape);

/* Makes room for so many nodes and args, compacting or growing. Indices may change. */
int tape_make_room(Tape *tape, uint32_t nodes, uint32_t args);

FORCE_INLINE int tape_reserve(Tape *tape, uint32_t nodes, uint32_t args) {
    if (tape->limit - tape->size >= nodes && tape->args_capacity - tape->args_size >= args) return 0;
    return tape_make_room(tape, nodes, args);
}

/* Appends a node for which there is room. */
FORCE_INLINE uint32_t tape_append(Tape *tape, uint8_t op, double value, uint32_t a, uint32_t b, Owner owner) {
    uint32_t i = tape->size++;
    tape->value[i] = value;
    tape->operands[i].a = a;
    tape->operands[i].b = b;
    tape->op[i] = op;
    tape->owner[i] = owner;
    return i;
}

/* The value of a TERNARY or VARIADIC node, from its operands in args. */
double tape_listed_value(const Tape *tape, int op, const uint32_t *args, uint32_t count);

/* -- sweep ----------------------------------------------------------------------------------- */

static inline double tape_adjoint(const Tape *tape, uint32_t i) {
    return bit_is_set(tape->swept, i) ? tape->adjoint[i] : 0.0;
}

static inline void tape_set_adjoint(Tape *tape, uint32_t i, double adjoint) {
    tape->adjoint[i] = adjoint;
    tape->swept[WORD_OF(i)] |= BIT_OF(i);
}

#define NOWHERE_ELSE UINT32_MAX

/* Nodes side by side on the tape that have places side by side elsewhere, too; or NOWHERE_ELSE, all of them. */
typedef struct {
    uint32_t node, place, size;
} Span;

/* Whether one more node, with this place, belongs to the span. */
static inline int span_continues(const Span *span, uint32_t node, uint32_t place) {
    if (node != span->node + span->size) return 0;
    return span->place == NOWHERE_ELSE || place == NOWHERE_ELSE ? span->place == place
                                                                : place == span->place + span->size;
}

static inline void tape_copy(double *restrict to, const double *restrict from, uint32_t n) {
    if (n < 16) /* most layers of a network */
        for (uint32_t k = 0; k < n; k++) to[k] = from[k];
    else memcpy(to, from, n * sizeof(double));
}

static inline void tape_set_adjoints(Tape *tape, uint32_t first, uint32_t n, const double *adjoints) {
    tape_copy(tape->adjoint + first, adjoints, n);
    for (uint32_t word = WORD_OF(first); word <= WORD_OF(first + n - 1); word++)
        tape->swept[word] |= bits_between(word, first, first + n);
}

/* To 0. */
static inline void tape_clear_adjoints(Tape *tape, uint32_t first, uint32_t n) {
    for (uint32_t word = WORD_OF(first); word <= WORD_OF(first + n - 1); word++)
        tape->swept[word] &= ~bits_between(word, first, first + n);
}

/* Those of n nodes side by side, for reading. */
static inline const double *tape_adjoints(Tape *tape, uint32_t first, uint32_t n) {
    for (uint32_t word = WORD_OF(first); word <= WORD_OF(first + n - 1); word++)
        for (uint64_t rest = bits_between(word, first, first + n) & ~tape->swept[word], bit; rest; rest ^= bit) {
            uint32_t position = highest_bit(rest);
            bit = BIT_OF(position);
            tape->adjoint[(word << 6) + position] = 0.0;
        }
    return tape->adjoint + first;
}

/* Runs the Python chain rule of node i; anything but 0 stops the sweep. */
typedef int (*ClosureRule)(uint32_t i);

typedef enum { SWEEP_DONE, SWEEP_STOPPED, SWEEP_NO_MEMORY, SWEEP_NO_CLOSURE } SweepStatus;

/* What adjoints start from. */
typedef enum {
    FROM_ZERO,   /* the lesson: every adjoint of the graph starts at 0  */
    LEAVES_KEEP, /* PyTorch: leaves add to what they had                */
    ALL_KEEP     /* micrograd: so do inner nodes; the root starts at 1  */
} Start;

/* Sets the adjoints of all nodes that root depends on. Only a graph with closures can stop or run out
 * of memory. */
SweepStatus tape_sweep(Tape *tape, uint32_t root, Start start, ClosureRule closure);

/* Whether a number that root depends on is no longer what its operands give: one of them has been
 * assigned since. -1: out of memory. */
int tape_is_stale(Tape *tape, uint32_t root);

/* Adds node i's contributions to its operands' adjoints: the chain rule of one node. */
void tape_apply_rule(Tape *tape, uint32_t i);

/* -- lifetimes ------------------------------------------------------------------------------- */

static inline Annex *owner_annex(Owner owner) { return owner & 1 ? (Annex *)(owner - 1) : NULL; }

static inline Anchor *owner_anchor(Owner owner) { return owner & 1 ? ((Annex *)(owner - 1))->anchor : (Anchor *)owner; }

/* Drops the garbage at the end of the tape, down to the last anchored node. */
void tape_pop(Tape *tape);

/* Slides the living over the garbage, if that is at least half of the tape or thorough is set; does
 * nothing while the tape is busy. */
void tape_compact(Tape *tape, int thorough);

/* Gives unused memory back: if forced, unless it was given back and needed again before. */
void tape_trim(Tape *tape, int forced);

/* -- inspect --------------------------------------------------------------------------------- */

/* The operands of node i, a SCALED node's number not among them. Good until the tape changes. */
const uint32_t *tape_operands(const Tape *tape, uint32_t i, uint32_t *count);

/* What the roots depend on (at least one), highest first; a STOPPED node's operand is left out. The
 * caller frees *list. -1: out of memory. */
int tape_list_reached(Tape *tape, const uint32_t *roots, size_t n_roots, uint32_t **list, size_t *count);

/* Depth-first post-order of what root depends on, operands in written order, root last.
 * The caller frees *order. */
int tape_topological_order(Tape *tape, uint32_t root, uint32_t **order, uint32_t *count);

/* Whether a node on the tape, garbage or not, has node i as operand. */
int tape_is_operand(const Tape *tape, uint32_t i);

uint32_t tape_count_living(Tape *tape);

/* The LATE nodes and all that was recorded on them, directly or not, lowest first; the caller frees
 * *list. -1: out of memory. */
int tape_list_late(Tape *tape, uint32_t **list, uint32_t *count);
size_t tape_bytes(const Tape *tape);

#endif
