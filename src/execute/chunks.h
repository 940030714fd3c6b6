/* SPDX-License-Identifier: MIT
 *
 * How executors cut a batch's blocks into chunks and share them out among threads: by the batch's size alone,
 * so that results are the same for any number of threads.
 */
#ifndef MICROGRAD_C_CHUNKS_H
#define MICROGRAD_C_CHUNKS_H

#include "execute.h"
#include "team.h"

enum {
    MOST_CHUNKS = 16,
    BLOCKS_OF_CHUNK = 4, /* at least, if there is more than one chunk */
    CACHE_LINE = 8       /* doubles */
};

#define THREAD_WORK 4e6 /* multiply-adds that are worth a thread's start */

static inline size_t round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

static inline size_t chunks_of(size_t n_blocks) {
    size_t n_chunks = n_blocks / BLOCKS_OF_CHUNK;
    return n_chunks < 1 ? 1 : n_chunks > MOST_CHUNKS ? MOST_CHUNKS : n_chunks;
}

/* Threads for so many multiply-adds: those that are asked for, or that are worth it; of use, too. */
static inline int threads_for(double work, int asked, size_t n_chunks) {
    size_t threads = (size_t)asked;
    if (asked <= 0) {
        threads = work / THREAD_WORK < MOST_CHUNKS ? (size_t)(work / THREAD_WORK) : MOST_CHUNKS;
        if (threads > 1 && (size_t)processors() < threads) threads = (size_t)processors();
    }
    if (threads > n_chunks) threads = n_chunks;
    return threads < 1 ? 1 : (int)threads;
}

#endif
