/* SPDX-License-Identifier: MIT
 *
 * The rules of loops. In reverse mode, what a record of a loop gains stands in its terms: of a sequence, elements'
 * adjoints, each behind the NODE_PART that it is of, and sequences of adjoints, alone; of a scan, adjoints of carries
 * and sequences, each behind the node that it is of. In forward mode, a scan's tangent is the node of a scan, and a
 * sequence's that of a sequence.
 */
#ifndef MICROGRAD_C_DIFFERENTIATE_LOOPS_H
#define MICROGRAD_C_DIFFERENTIATE_LOOPS_H

#include "program/loops.h"
#include "derivative_terms.h"

/* The adjoint g of NODE_PART i goes to its record. */
void add_part_gain(Work *work, uint32_t i, uint32_t g);

/* What has arrived at record i goes on. */
void apply_record_rule(Work *work, uint32_t i);

/* What moves node i: a scan, a number or a sequence of one, or a sequence of nodes. */
void add_scan_tangent(Work *work, uint32_t i);
void add_part_tangent(Work *work, uint32_t i);
void add_sequence_tangent(Work *work, uint32_t i);
void add_list_tangent(Work *work, uint32_t i);

#endif
