/* SPDX-License-Identifier: MIT
 *
 * The list of executors.
 */
#include "execute.h"

extern const Executor vector_executor, scalar_executor;

const Executor *const executors[] = {&vector_executor, &scalar_executor, NULL};

const Executor *executor_for(const Graph *graph) {
    const Executor *const *executor = executors;
    while ((*executor)->refuses(graph)) executor++; /* the last one refuses nothing */
    return *executor;
}
