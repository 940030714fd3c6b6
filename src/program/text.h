/* SPDX-License-Identifier: MIT
 *
 * Text that grows: what listings are made of.
 */
#ifndef MICROGRAD_C_TEXT_H
#define MICROGRAD_C_TEXT_H

#include <stddef.h>

typedef struct {
    char *text;
    size_t size, capacity;
    int failed; /* no memory */
} Text;

/* Adds what printf would write, up to 255 characters. */
#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
void put(Text *to, const char *format, ...);

/* The text, which the caller frees; NULL: there was no memory for all of it. */
char *finished(Text *text);

#endif
