/* SPDX-License-Identifier: MIT
 *
 * Straight lines of walks without machine code: instruction after instruction, on vectors of lanes that any compiler
 * makes of loops. It is what the vector executor has for loops, and native code where the system gives no pages.
 */
#ifndef MICROGRAD_C_INTERPRET_H
#define MICROGRAD_C_INTERPRET_H

#include "execute/vector/program.h"
#include "walk.h"

enum { LANES = 8 };

/* The instructions that something depends on, in their order, with operands renumbered: all that it needs of a line,
 * in the arena. */
void interpret_prepare(Line *line, Arena *arena);

/* values: room for LANES doubles, or as many floats as that, for each of them. count frames, `advance` doubles from one
 * to the next. */
void interpret(const Line *line, double *values, double *memory, double *frame, ptrdiff_t advance, size_t count,
               const Level *level);

#endif
