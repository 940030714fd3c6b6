/* SPDX-License-Identifier: MIT
 *
 * The verifier: what has to hold for every graph after every pass, and for every plan.
 *
 * It is off at first, but in debug builds, and costs nothing then. A broken rule is a fault of this
 * code, never of its user: what was being made is given up, and graph->fault says what does not hold.
 */
#ifndef MICROGRAD_C_VERIFY_H
#define MICROGRAD_C_VERIFY_H

#include "execute/vector/plan.h"

extern int verifying;

/* -1: something does not hold; `after` says what has just been done. 0 at once unless verifying. */
int verify_graph(Graph *graph, const char *after);

/* The plan as it is before rows share memory, in graph->scratch; NULL unless verifying. */
Plan *verify_copy(const Graph *graph, const Plan *plan, uint32_t root_adjoint);

/* Whether the plan's steps are sound, and do what those of the copy did, now that rows share memory. */
int verify_plan(Graph *graph, const Plan *copy, const Plan *plan, int gradients);

#endif
