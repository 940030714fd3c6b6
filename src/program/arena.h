/* SPDX-License-Identifier: MIT
 *
 * Memory that is given back all at once: for a program's parts, and for what its making needs.
 *
 * Making a program takes dozens of arrays. When one cannot be had, arena_alloc jumps to where the
 * making began, and the whole arena is freed there: no function in between knows of failure.
 * Where it began, one setjmp stands in an `if` by itself, and all arenas in use point to its buffer.
 */
#ifndef MICROGRAD_C_ARENA_H
#define MICROGRAD_C_ARENA_H

#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__linux__)
#include <sys/mman.h>
#endif

typedef struct ArenaChunk {
    struct ArenaChunk *next;
    size_t used, size;
    size_t dirty; /* below it, memory has been used before */
} ArenaChunk;

typedef struct {
    ArenaChunk *chunks;
    size_t bytes;
    size_t least; /* size of a chunk, if more than usual */
    jmp_buf *out_of_memory; /* of the making at hand: all of its arenas share one */
} Arena;

enum { ARENA_CHUNK = 1 << 14, ARENA_ALIGN = 16, ARENA_MOST_KEPT = 1 << 22, LARGE_PAGE = 1 << 21 };

/* Asks for large pages where the system has them: first touches of small ones are a third of the time that
 * a large graph's derivatives take. */
static inline void arena_advise(void *memory, size_t bytes) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    uintptr_t first = ((uintptr_t)memory + LARGE_PAGE - 1) / LARGE_PAGE * LARGE_PAGE;
    uintptr_t end = ((uintptr_t)memory + bytes) / LARGE_PAGE * LARGE_PAGE;
    if (first < end) madvise((void *)first, end - first, MADV_HUGEPAGE); /* refused, it does no harm */
#else
    (void)memory;
    (void)bytes;
#endif
}

#define ARENA_HEADER ((sizeof(ArenaChunk) + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN)

/* Zeroed memory for count items. */
static inline void *arena_alloc(Arena *arena, size_t count, size_t size) {
    ArenaChunk *chunk = arena->chunks;
    if (count > (SIZE_MAX - ARENA_HEADER - ARENA_ALIGN) / size) longjmp(*arena->out_of_memory, 1);
    size_t bytes = (count * size + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN;
    if (!chunk || chunk->size - chunk->used < bytes) {
        size_t usual = arena->least > ARENA_CHUNK ? arena->least : ARENA_CHUNK;
        size_t room = bytes > usual ? bytes : usual;
        chunk = calloc(1, ARENA_HEADER + room);
        if (!chunk) longjmp(*arena->out_of_memory, 1);
        arena_advise(chunk, ARENA_HEADER + room);
        chunk->size = room;
        arena->bytes += ARENA_HEADER + room;
        /* A chunk made for one large array is full: the current one stays in front. */
        if (arena->chunks && bytes > usual) {
            chunk->next = arena->chunks->next;
            arena->chunks->next = chunk;
        } else {
            chunk->next = arena->chunks;
            arena->chunks = chunk;
        }
    }
    char *memory = (char *)chunk + ARENA_HEADER + chunk->used;
    if (chunk->used < chunk->dirty)
        memset(memory, 0, bytes < chunk->dirty - chunk->used ? bytes : chunk->dirty - chunk->used);
    chunk->used += bytes;
    return memory;
}

#define ARENA_ARRAY(arena, type, count) ((type *)arena_alloc(arena, (count), sizeof(type)))

static inline void arena_free(Arena *arena) {
    while (arena->chunks) {
        ArenaChunk *next = arena->chunks->next;
        free(arena->chunks);
        arena->chunks = next;
    }
    arena->bytes = 0;
}

/* Gives all of it back, but keeps a chunk to use again: fresh memory costs more than clearing it. Where
 * one chunk was not enough, the next one is as large as all of them. */
static inline void arena_rewind(Arena *arena) {
    ArenaChunk *kept = arena->chunks;
    if (!kept) return;
    if (kept->next) {
        size_t bytes = arena->bytes;
        arena_free(arena);
        if (bytes > arena->least) arena->least = bytes;
        return;
    }
    if (kept->dirty < kept->used) kept->dirty = kept->used;
    kept->used = 0;
}

/* The same between two makings, of an arena that lives on: little is kept for long. */
static inline void arena_rest(Arena *arena) {
    arena_rewind(arena);
    if (arena->bytes > ARENA_MOST_KEPT) arena_free(arena);
    if (arena->least > ARENA_MOST_KEPT) arena->least = 0;
}

/* An array of an arena that grows; the old copy stays in the arena until its end. */
#define GROWING(type)            \
    struct {                     \
        type *items;             \
        uint32_t size, capacity; \
    }

#define GROW(arena, array, type, more)                                                      \
    do {                                                                                    \
        size_t grow_to = (size_t)(array)->size + (more);                                    \
        if (grow_to > (array)->capacity) {                                                  \
            if (grow_to > UINT32_MAX) longjmp(*(arena)->out_of_memory, 1);                  \
            grow_to = grow_to > UINT32_MAX / 2 - 16 ? UINT32_MAX : grow_to * 2 + 16;        \
            type *grown = ARENA_ARRAY(arena, type, grow_to);                                \
            if ((array)->size) memcpy(grown, (array)->items, (array)->size * sizeof(type)); \
            (array)->items = grown;                                                         \
            (array)->capacity = (uint32_t)grow_to;                                          \
        }                                                                                   \
    } while (0)

#endif
