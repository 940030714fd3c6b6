/* SPDX-License-Identifier: MIT
 *
 * What a node of the tape depends on, asked while a function is being recorded.
 */
#ifndef MICROGRAD_C_TRACE_H
#define MICROGRAD_C_TRACE_H

#include "tape/tape.h"

/* The nodes that a recording has made begin at `mark`; nothing below it depends on its inputs. */

/* Whether node i depends on one of the inputs, which stand in ascending order, or on a loop: no number is known of
 * what that gives. -1: out of memory. */
int trace_depends(const Tape *tape, uint32_t i, uint32_t mark, const uint32_t *inputs, uint32_t n_inputs);

/* The nodes whose numbers somebody may assign and which decide the number of node i: those below mark
 * that it was computed from, and leaves above it that somebody holds; some of them more than once.
 * The caller frees *sources. -1: out of memory. */
int trace_sources(const Tape *tape, uint32_t i, uint32_t mark, uint32_t **sources, size_t *count);

/* Ends a recording, or the recording of a loop's body within one: the nodes that depend on an input have the numbers
 * of one sample, and nobody may use them any more. With the recording, scans end, too (with_scans). What of them is anchored is told by leaked(), and keeps nothing: it becomes an opaque node
 * of no operands, whose number and adjoint are NaN. So the rest is garbage. */
void trace_end(Tape *tape, uint32_t mark, const uint32_t *inputs, uint32_t n_inputs, int with_scans,
               void (*leaked)(Anchor *));

#endif
