/* SPDX-License-Identifier: MIT
 *
 * Rows of the operation table as primitive instructions.
 */
#ifndef MICROGRAD_C_ELEMENTARY_H
#define MICROGRAD_C_ELEMENTARY_H

#include "ops/cells.h"
#include "straight.h"

/* The value of a row on up to three values; number: a SCALED row's. */
uint32_t row_value(Straight *s, Op op, double number, uint32_t x, uint32_t y, uint32_t w);

/* About how many instructions an operation takes, with those of its derivative. */
uint32_t row_length(Op op);

/* What operand `which` of a row gains. */
uint32_t row_gain(Straight *s, Op op, int which, const uint32_t names[NAME_COUNT]);

/* Functions of floats: elementary_float32.c. Of other rows, NULL. */
extern uint32_t (*const float32_functions[OP_COUNT])(Straight *s, uint32_t x);

#endif
