/* SPDX-License-Identifier: MIT
 *
 * The list of executors.
 */
#include "execute.h"

extern const Executor native_executor, vector_executor, scalar_executor;

const Executor *const executors[] = {&native_executor, &vector_executor, &scalar_executor, NULL};

const Executor *executor_for(const Graph *graph) {
    const Executor *const *executor = executors;
    for (;; executor++) { /* the last one suits all, and refuses nothing */
        if ((*executor)->suits && !(*executor)->suits(graph)) continue;
        if (!(*executor)->refuses(graph)) return *executor;
    }
}
