/* SPDX-License-Identifier: MIT
 *
 * The list of executors, and what they measure programs by.
 */
#include "execute.h"

#include "program/loops.h"

extern const Executor native_executor, vector_executor, scalar_executor;

const Executor *const executors[] = {&native_executor, &vector_executor, &scalar_executor, NULL};

const char *reason_against(const Executor *executor, const Graph *graph) {
    const char *reason = executor->refuses(graph);
    return reason || !executor->leaves ? reason : executor->leaves(graph);
}

const Executor *executor_for(const Graph *graph) {
    const Executor *const *executor = executors;
    while (reason_against(*executor, graph)) executor++; /* nothing speaks against the last one */
    return *executor;
}

double graph_work(const Graph *graph) {
    double work = 0.0;
    for (uint32_t i = 0; i < graph->size; i++) {
        work += node_work(&graph->nodes[i]);
        if (graph->nodes[i].op == NODE_SCAN) work += scan_of(graph, i)->length * graph_work(&scan_of(graph, i)->body);
    }
    return work;
}
