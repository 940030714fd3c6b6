/* SPDX-License-Identifier: MIT
 *
 * A step as part of a text: what listing.c and listing_steps.c share.
 */
#ifndef MICROGRAD_C_LISTING_H
#define MICROGRAD_C_LISTING_H

#include "program.h"
#include "program/text.h"

/* A step without the end of its line; once: its rows are once rows, of which there are n_once. */
void put_step(Text *to, const Step *step, int once, uint32_t n_once);

#endif
