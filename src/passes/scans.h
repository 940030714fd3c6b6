/* SPDX-License-Identifier: MIT
 *
 * Derivatives of scans, which are scans: in reverse mode one in the other direction, whose carries are adjoints; in
 * forward mode one in the same direction, whose carries are tangents. Both take what every step of the scan itself
 * began with, its trail, so that a body is computed again and nothing else of it is kept.
 */
#ifndef MICROGRAD_C_SCANS_H
#define MICROGRAD_C_SCANS_H

#include "program/loops.h"

/* An operand of a derivative: a node, or one that is still to be made. */
typedef struct {
    enum { OPERAND_NODE, OPERAND_ZERO, OPERAND_TRAIL } kind;
    uint32_t which; /* node; or whose trail, counted among the scan's sequences */
} ScanOperand;

/* An adjoint of sequence `of` of those that a scan gives: node is a sequence. */
typedef struct {
    uint32_t of, node;
} AdjointStream;

typedef struct {
    const Scan *of;
    const uint32_t *operands; /* its own */
    uint8_t *leads;           /* of each of them: in reverse mode, whether its adjoint is asked for */
    uint32_t *arriving; /* reverse mode, of each carry: the adjoint of the last one; forward mode, of each operand:
                               * its tangent; NONE: 0 */
    GROWING(AdjointStream) streams; /* reverse mode */
    /* -- results -- */
    Scan *scan;
    int is_zero; /* reverse mode: nothing that arrives matters */
    ScanOperand *scan_operands;
    uint32_t *gives; /* reverse mode, of each operand: which last carry, or which sequence, its adjoint is; NONE */
} ScanDerivative;

/* A ScanDerivative of a scan, in scratch, with nothing arriving so far. */
void scan_derivative_begin(ScanDerivative *d, const Scan *of, const uint32_t *operands, Arena *scratch);

/* Both give a scan in the arena. Reverse mode: leads is set. */
void scan_reverse(ScanDerivative *d, Arena *arena, Arena *scratch);

/* Forward mode: the tangents of all carries, and of all sequences, in order. */
void scan_forward(ScanDerivative *d, Arena *arena, Arena *scratch);

/* Applies the passes that are not in the set `skip` to a body, whose arenas are set, and to those within it; but not
 * `matrices`, which are for batches. */
void optimise_body(Graph *body, unsigned skip);

#endif
