/* SPDX-License-Identifier: MIT
 *
 * Random numbers that a counter gives: each is a function of the seed, the sample, the call, the draw and the step.
 *
 * So they are the same whoever computes them: any number of threads, any level of vector units, any executor,
 * any process, to the bit. The generator is Philox 4x32 with 10 rounds: Salmon, Moraes, Dror and Shaw,
 * "Parallel random numbers: as easy as 1, 2, 3", SC 2011. A counter gives 128 bits: two draws.
 */
#ifndef MICROGRAD_C_DRAWS_H
#define MICROGRAD_C_DRAWS_H

#include <stddef.h>
#include <stdint.h>

typedef enum {
    DRAW_UNIFORM, /* from 0 up to 1, without 1; of floats, too */
    DRAW_NORMAL,  /* of mean 0 and deviation 1 */
    DRAW_KINDS
} DrawKind;

static const char *const draw_kinds[] = {"uniform", "normal"};

#define DRAW_WORK 10 /* multiply-adds that take as long as a draw, about */

/* What all draws of one run have in common. */
typedef struct {
    uint64_t seed;
    uint32_t call; /* of many with one seed: the step of training */
    uint32_t step; /* of loops inside the function, from 1 on; 0: outside of them, where draws are numbered apart */
} Stream;

#define MOST_DRAWN_STEPS UINT32_MAX /* that draws tell apart */

/* The stream of a step of loops, of which the first is 0. */
static inline Stream stream_of_step(Stream stream, uint32_t step) {
    stream.step = 1 + step;
    return stream;
}

/* Draws 2 * pair and 2 * pair + 1 of n samples: those of `samples`, or, NULL, all from 0 on; `first` is added to
 * their numbers. Of n_steps steps: the stream's, and each `stride` behind the one before. rows: where those of the
 * first step go, doubles or floats, and `apart` numbers on those of the next; NULL: one that nobody reads. */
typedef struct {
    Stream stream;
    const uint32_t *samples;
    uint32_t first;
    int is_one_sample; /* all of them are number `first` */
    size_t n;
    uint32_t pair;
    uint32_t n_steps, stride;
    size_t apart;
    void *rows[2];
    uint8_t kinds[2];
    int is_float32;
} Drawing;

/* Compiled once for each level of vector units (draws_*.c). */
void draw_baseline(const Drawing *drawing);
#if defined(__x86_64__) && defined(__GNUC__)
void draw_avx2(const Drawing *drawing);
void draw_avx512(const Drawing *drawing);
#endif

/* The same, one number at a time. */
double draw_one(const Stream *stream, uint32_t sample, uint32_t draw, DrawKind kind, int is_float32);

void philox(const uint32_t counter[4], uint64_t key, uint32_t numbers[4]);

#endif
