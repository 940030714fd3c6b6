/* SPDX-License-Identifier: MIT */
#ifndef MICROGRAD_C_PRINT_H
#define MICROGRAD_C_PRINT_H

#include "graph.h"
#include "text.h"

/* What a node is: the name of its row, or that of its kind. */
const char *kind_of(const Node *node);

/* All nodes of a graph, stage by stage; n12 is node 12. */
void put_graph(Text *to, const Graph *graph);

#endif
