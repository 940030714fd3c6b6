/* SPDX-License-Identifier: MIT
 *
 * The list of executors.
 */
#include "execute.h"

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
