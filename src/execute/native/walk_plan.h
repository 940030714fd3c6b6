/* SPDX-License-Identifier: MIT
 *
 * What the planning of walks has in common: see walk.h.
 */
#ifndef MICROGRAD_C_WALK_PLAN_H
#define MICROGRAD_C_WALK_PLAN_H

#include "program/loops.h"
#include "walk.h"

/* A sum over steps that is one of a Contraction. p and q are nodes of the body, and later rows of a frame; `to` is a
 * carry, and later where a Contraction's sum goes. */
typedef struct {
    uint8_t kind, is_total;
    uint32_t p, q, to;
    uint32_t element; /* which p has to be, or 0 */
} StepSum;

/* What a scan adds up in carries that it does not read, and that is left for later. */
typedef struct {
    uint8_t *is_late;       /* of each carry */
    StepSum *sums;          /* those of one p, and of one element of it, side by side */
    uint32_t n_sums;
    uint32_t *place; /* of each node of the body: where in frames it stands for that; NONE */
    uint32_t *parts; /* of each carry: how many nodes of the graph are what it has become, ... */
    uint32_t *total; /* ... and the sum over the batch that alone reads it; NONE */
} Later;

typedef struct {
    Walks *walks;
    Arena *arena, *scratch;
    Machine machine;
    int has_floats, is_float32; /* samples are computed in float32; the lines at hand are */
    Unit *unit;    /* that is being planned */
    uint32_t line; /* its last item, if that is a line; NONE */
    GROWING(const Later *) later; /* of each of the walks' StepSums */
} Planner;

/* A draw that steps of a family find in their frames. */
typedef struct {
    RowDraw place;
    int is_made; /* by a walk that has been planned */
} FrameDraw;

/* Scans that share sequences, and these: of each, the rows of a frame. */
typedef struct {
    uint32_t length, n_rows, base;
    int is_float32;
    int is_kept; /* frames are those of all steps, since they hold more than draws */
} Family;

/* A graph that is planned: the function's, or a body's. */
typedef struct View {
    Reader reader; /* in front, since it stands for the view */
    Planner *p;
    const Graph *graph;
    struct View *outer;       /* NULL: of the function */
    const uint32_t *captured; /* the outer nodes that its parameters are */
    Unit *unit;
    uint32_t *row;            /* of each node; NONE: none of its own */
    uint32_t *narrow_row;     /* of what the function computes once, as floats; NONE */
    uint32_t *frame_row;      /* of each node, as code names it; NONE: none */
    uint32_t *value, *line;   /* of each node: in which line it is which value; NONE */
    uint32_t *family;         /* of each record: its family's first record; a tree, as it is found */
    Family *families;         /* of each such record */
    uint32_t **places;        /* of each scan: the frame's row of each sequence that it gives; NONE: nobody asks */
    uint32_t *place;          /* of each sequence: its row in a frame ... */
    int8_t *shift;            /* ... that is so many after the step's own */
    uint32_t *first_carry_row; /* of each scan: of its carries without a trail, in order */
    uint32_t *uses;           /* of each node of the function */
    uint8_t *is_direct;       /* of each node: it is a root's sum over the batch, or an adjoint that is that sum */
    Later *later;             /* of each scan: what is added up when it is over */
    FrameDraw ***draws;       /* of each scan: of each node of its body, if that is a draw; else NULL */
    uint32_t n_draws;         /* in bodies of its scans */
} View;

/* Ends the planning, as where there is no memory: of what is too large, no row would be one. */
_Noreturn void give_up(Planner *p);

/* So many rows more: the first of them. */
uint32_t new_rows(Planner *p, uint64_t count);

/* Element `step` of the sequence in row `place` of a family's frames, wherever that is read from. */
static inline uint32_t row_in_frames(const Family *family, int64_t step, uint32_t place) {
    return (uint32_t)(family->base + step * family->n_rows + place);
}

static inline int is_text(const Node *node) { return node->op == NODE_CONSTANT || node->op == OP_custom; }

/* The node, or what it captures, if that is a number of the text. */
static inline const Node *text_of(const View *v, uint32_t i) {
    while (v->outer && v->graph->nodes[i].op == NODE_PARAMETER) {
        i = v->captured[v->graph->nodes[i].a];
        v = v->outer;
    }
    return is_text(&v->graph->nodes[i]) ? &v->graph->nodes[i] : NULL;
}

/* The family's first record. */
uint32_t family_of(View *v, uint32_t i);

/* Which records share frames, and where in them sequences stand, and what sums over steps are made of. */
void find_families(View *v);

/* What scan i leaves for later. */
void leave_for_later(View *v, uint32_t i);

/* Behind the walk, or, of the sums that that leaves: all of them, when it is known who reads what. */
void add_step_sums(View *v, uint32_t i, uint32_t walk);
void plan_contractions(Planner *p);

/* The row in frames of a node of scan i's body that stands there anyway; NONE: none. */
uint32_t place_of(const View *v, uint32_t i, uint32_t node);

#endif
