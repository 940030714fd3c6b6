/* SPDX-License-Identifier: MIT */
#include "pages.h"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(_WIN32)

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#if !defined(MAP_ANONYMOUS)
#define MAP_ANONYMOUS MAP_ANON
#endif

const uint8_t *pages_make(const uint8_t *bytes, size_t size) {
    void *pages = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED) return NULL;
    memcpy(pages, bytes, size);
    if (mprotect(pages, size, PROT_READ | PROT_EXEC) == 0) return pages;
    munmap(pages, size);
    return NULL;
}

void pages_free(const uint8_t *pages, size_t size) {
    if (pages) munmap((void *)(uintptr_t)pages, size);
}

const char *pages_refused(void) {
    static const uint8_t ret = 0xC3;
    static int known; /* 1: it gives them; 2: it does not */
    int answer = __atomic_load_n(&known, __ATOMIC_RELAXED);
    if (!answer) {
        const uint8_t *pages = pages_make(&ret, 1);
        answer = pages ? 1 : 2;
        pages_free(pages, 1);
        __atomic_store_n(&known, answer, __ATOMIC_RELAXED);
    }
    return answer == 1 ? NULL : "the system gives no memory for machine code";
}

enum { VECTOR = 64 /* bytes of the widest */ };

static size_t round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

#if defined(MICROGRAD_C_DEBUG)

#include <unistd.h>

/* The numbers, then a page that nobody may touch; in front of them another one. */
static size_t guarded_bytes(size_t count, size_t *page) {
    *page = (size_t)sysconf(_SC_PAGESIZE);
    return round_up(count * sizeof(double) + 1, *page) + 2 * *page;
}

double *numbers_make(size_t count) {
    size_t page, bytes = guarded_bytes(count, &page), inner = bytes - 2 * page;
    char *memory = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return NULL;
    if (mprotect(memory + page, inner, PROT_READ | PROT_WRITE) != 0) {
        munmap(memory, bytes);
        return NULL;
    }
    return (double *)(void *)(memory + page + inner - round_up(count * sizeof(double), VECTOR));
}

void numbers_free(double *numbers, size_t count) {
    if (!numbers) return;
    size_t page, bytes = guarded_bytes(count, &page);
    char *end = (char *)numbers + round_up(count * sizeof(double), VECTOR);
    munmap(end + page - bytes, bytes);
}

#else

double *numbers_make(size_t count) {
    void *memory;
    size_t bytes = round_up(count * sizeof(double) + 1, VECTOR);
    return posix_memalign(&memory, VECTOR, bytes) == 0 ? memory : NULL;
}

void numbers_free(double *numbers, size_t count) {
    (void)count;
    free(numbers);
}

#endif

#else

double *numbers_make(size_t count) {
    (void)count;
    return NULL;
}

void numbers_free(double *numbers, size_t count) { (void)numbers, (void)count; }

const uint8_t *pages_make(const uint8_t *bytes, size_t size) {
    (void)bytes, (void)size;
    return NULL;
}

void pages_free(const uint8_t *pages, size_t size) { (void)pages, (void)size; }

const char *pages_refused(void) { return "there is no machine code for this processor and system"; }

#endif
