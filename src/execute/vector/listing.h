/* SPDX-License-Identifier: MIT
 *
 * Text that grows, and a step as part of it: what listing.c and listing_steps.c share.
 */
#ifndef MICROGRAD_C_LISTING_H
#define MICROGRAD_C_LISTING_H

#include "program.h"

typedef struct {
    char *text;
    size_t size, capacity;
    int failed; /* no memory */
} Text;

/* Adds what printf would write, up to 255 characters. */
void put(Text *to, const char *format, ...);

/* A step without the end of its line; once: its rows are once rows, of which there are n_once. */
void put_step(Text *to, const Step *step, int once, uint32_t n_once);

#endif
