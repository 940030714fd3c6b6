/* SPDX-License-Identifier: MIT
 *
 * Programs of graphs with loops, as executors of straight lines make them.
 */
#ifndef MICROGRAD_C_WALKS_H
#define MICROGRAD_C_WALKS_H

#include "execute/execute.h"

/* interprets: without machine code, for the vector executor. */
MakeStatus walks_make(Graph *graph, int interprets, Program **made);

#endif
