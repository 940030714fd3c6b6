/* SPDX-License-Identifier: MIT
 *
 * Memory: pages with code in them, which are written first, then executable, never both; and what code
 * works on.
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

/* Memory for so many doubles, which vectors fill from its beginning on; NULL: there is none. Debug builds
 * have pages beside it that nobody may touch, the one behind it at most a vector away. */
double *numbers_make(size_t count);
void numbers_free(double *numbers, size_t count);

#endif
