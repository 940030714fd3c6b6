/* SPDX-License-Identifier: MIT */
#include "pages.h"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(_WIN32)

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

#else

const uint8_t *pages_make(const uint8_t *bytes, size_t size) {
    (void)bytes, (void)size;
    return NULL;
}

void pages_free(const uint8_t *pages, size_t size) { (void)pages, (void)size; }

const char *pages_refused(void) { return "there is no machine code for this processor and system"; }

#endif
