/* SPDX-License-Identifier: MIT
 *
 * The order of a line's instructions.
 *
 * A processor looks some hundred instructions ahead for those that need not wait. Where a line is written down one
 * long function after the other, as a layer's tanh are, that is not far enough, and it waits for each in turn.
 */
#ifndef MICROGRAD_C_SCHEDULE_H
#define MICROGRAD_C_SCHEDULE_H

#include "straight.h"

/* Where a line that is run once waits more than it computes, its instructions stand in the order in which they can
 * begin. Nothing can be appended afterwards. */
void straight_schedule(Straight *s, Arena *scratch);

#endif
