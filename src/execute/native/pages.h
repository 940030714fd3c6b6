/* SPDX-License-Identifier: MIT
 *
 * Pages of memory with code in them: written first, then executable, never both.
 */
#ifndef MICROGRAD_C_PAGES_H
#define MICROGRAD_C_PAGES_H

#include <stddef.h>
#include <stdint.h>

/* Why the system gives no executable pages; NULL: it does. It is asked once. */
const char *pages_refused(void);

/* The bytes in pages that can be executed, and nothing else; NULL: the system refuses. */
const uint8_t *pages_make(const uint8_t *bytes, size_t size);
void pages_free(const uint8_t *pages, size_t size);

#endif
