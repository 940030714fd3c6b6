/* SPDX-License-Identifier: MIT
 *
 * Rows of draws, for one level of vector units: draws_*.c set the level and include this.
 *
 *   DRAW            the function's name
 *   VECTOR_BYTES    of a vector; not set: the compiler has no vector types
 *   MULTIPLY(a, b)  of the low 32 bits of each 64, the whole product; not set: by plain arithmetic
 *   ARE_BELOW(p, x) of a vector of doubles at p: a bit for each that is below x; not set: one by one
 *   KEEP_BELOW(to, p, x, places)  instead, of eight: writes those of the places whose double at p is below x to `to`,
 *                                 and gives their number; what it writes behind them nobody reads
 *
 * The generator is written in vectors; all else are loops that compilers turn into vector code.
 */
#include "draws.h"
#include "numbers.h"
#include "ops/ops.h"

enum { PIECE = 256 }; /* draws of a row at a time: what they need meanwhile stays in the first cache */

#ifdef VECTOR_BYTES
typedef uint64_t Words __attribute__((vector_size(VECTOR_BYTES), aligned(8), may_alias));
enum { WORDS = VECTOR_BYTES / 8 };
#else
typedef uint64_t Words;
enum { WORDS = 1 };
#endif

static size_t in_vectors(size_t n) { return (n + WORDS - 1) / WORDS * WORDS; }

#ifndef MULTIPLY
#define MULTIPLY(a, b) (((a) & LOW_32) * ((b) & LOW_32))
#endif

/* A word of each sample; above its low 32 bits stands what nobody reads. */
typedef uint64_t Row[PIECE];

/* From the numbers of samples and of steps, or, NULL, one step, to their four words: two of each draw. */
static void fill_words(const Drawing *drawing, const uint64_t *samples, const uint64_t *steps, size_t n, Row words[4]) {
    const Words zero = {0};
    Words key0[PHILOX_ROUNDS], key1[PHILOX_ROUNDS];
    for (uint32_t round = 0; round < PHILOX_ROUNDS; round++) {
        key0[round] = zero + (uint32_t)((uint32_t)drawing->stream.seed + round * PHILOX_W0);
        key1[round] = zero + (uint32_t)((uint32_t)(drawing->stream.seed >> 32) + round * PHILOX_W1);
    }
    /* Two vectors at a time: each of a round's steps waits for the one before. */
    for (size_t k = 0; k < n; k += 2 * WORDS) {
        Words c[4][2];
        for (int v = 0; v < 2; v++) {
            c[0][v] = *(const Words *)(samples + k + v * WORDS);
            c[1][v] = zero + drawing->stream.call;
            c[2][v] = zero + drawing->pair;
            c[3][v] = zero + drawing->stream.step;
            if (steps) c[3][v] = *(const Words *)(steps + k + v * WORDS);
        }
        for (int round = 0; round < PHILOX_ROUNDS; round++)
            for (int v = 0; v < 2; v++) {
                Words p0 = MULTIPLY(c[0][v], zero + PHILOX_M0), p1 = MULTIPLY(c[2][v], zero + PHILOX_M1);
                c[0][v] = p1 >> 32 ^ c[1][v] ^ key0[round];
                c[1][v] = p1;
                c[2][v] = p0 >> 32 ^ c[3][v] ^ key1[round];
                c[3][v] = p0;
            }
        for (int word = 0; word < 4; word++)
            for (int v = 0; v < 2; v++) *(Words *)(words[word] + k + v * WORDS) = c[word][v];
    }
}

static void fill_uniforms(double *restrict to, const uint64_t *restrict low, const uint64_t *restrict high, size_t n,
                          int is_float32) {
    if (is_float32)
        for (size_t k = 0; k < n; k++) to[k] = float_uniform_of(high[k]);
    else
        for (size_t k = 0; k < n; k++) to[k] = uniform_of(low[k], high[k]);
}

/* Those of the far tail, once in tens of billions of draws. */
NO_INLINE static void fill_far(double *to, const uint64_t *low, const uint64_t *high, size_t n) {
    for (size_t k = 0; k < n; k++)
        if (probability_beyond(low[k], high[k]) < FAR_TAIL) to[k] = normal_of(low[k], high[k]);
}

/* Which of n numbers are below TAIL: their places; how many. Behind the last of each is room for a vector. */
static size_t list_tail(const double *p, size_t n, uint32_t *places) {
    size_t count = 0;
#if defined(KEEP_BELOW)
    typedef uint32_t Places __attribute__((vector_size(32)));
    Places at = {0, 1, 2, 3, 4, 5, 6, 7};
    for (size_t k = 0; k < n; k += WORDS, at += WORDS) count += KEEP_BELOW(places + count, p + k, TAIL, at);
#elif defined(ARE_BELOW)
    for (size_t from = 0; from < n; from += 64) {
        uint64_t tail = 0;
        for (size_t k = 0; k < 64 && from + k < n; k += WORDS) tail |= (uint64_t)ARE_BELOW(p + from + k, TAIL) << k;
        for (; tail; tail &= tail - 1) places[count++] = (uint32_t)(from + (size_t)__builtin_ctzll(tail));
    }
#else
    for (size_t k = 0; k < n; k++) {
        places[count] = (uint32_t)k;
        count += p[k] < TAIL;
    }
#endif
    return count;
}

/* All as if they were near; then those of the tail, side by side. */
static void fill_normals(double *restrict to, const uint64_t *restrict low, const uint64_t *restrict high, size_t n) {
    double p[PIECE + WORDS], of_tail[PIECE + WORDS];
    uint32_t places[PIECE + WORDS];
    uint64_t far = 0;
    for (size_t k = 0; k < n; k++) {
        p[k] = probability_beyond(low[k], high[k]);
        to[k] = with_sign(near_normal(p[k]), high[k]);
    }
    for (size_t k = n; k < n + WORDS; k++) p[k] = TAIL;
    size_t count = list_tail(p, n, places), whole_vectors = in_vectors(count);
    for (size_t j = count; j < whole_vectors; j++) places[j] = (uint32_t)n;
    for (size_t j = 0; j < whole_vectors; j++) of_tail[j] = p[places[j]];
    for (size_t j = 0; j < whole_vectors; j++) {
        far |= bits_of(of_tail[j] - FAR_TAIL);
        of_tail[j] = tail_normal(of_tail[j]);
    }
    for (size_t j = 0; j < count; j++) to[places[j]] = with_sign(of_tail[j], high[places[j]]);
    if (far >> 63) fill_far(to, low, high, n);
}

/* Rows of numbers, n in each, as doubles or floats. */
static void put_rows(const Drawing *drawing, int which, size_t at, const double *numbers, size_t n, uint32_t count) {
    for (uint32_t s = 0; s < count; s++, at += drawing->apart, numbers += n) {
        if (drawing->is_float32) {
            float *to = (float *)drawing->rows[which] + at;
            for (size_t k = 0; k < n; k++) to[k] = (float)numbers[k];
        } else {
            double *to = (double *)drawing->rows[which] + at;
            for (size_t k = 0; k < n; k++) to[k] = numbers[k]; /* few: a call or a string instruction takes longer */
        }
    }
}

/* Samples from `from` on, n of each of `count` steps from `step` on: a piece. */
static void draw_piece(const Drawing *drawing, size_t from, size_t n, uint32_t step, uint32_t count) {
    Row samples, steps, words[4];
    double numbers[PIECE];
    const int is_one_step = drawing->n_steps == 1;
    const uint32_t *list = drawing->samples;
    const size_t at = step * drawing->apart + from, total = n * count;
    const size_t whole_vectors = (total + 2 * WORDS - 1) / (2 * WORDS) * (2 * WORDS);
    for (size_t k = 0; list && k < n; k++) samples[k] = drawing->first + list[from + k];
    for (size_t k = 0; !list && k < n; k++) samples[k] = drawing->first + (uint32_t)(from + k);
    for (size_t k = 0; drawing->is_one_sample && k < n; k++) samples[k] = drawing->first;
    for (size_t s = 0; s < count && !is_one_step; s++) {
        const uint64_t number = drawing->stream.step + (step + (uint32_t)s) * drawing->stride;
        for (size_t k = 0; k < n; k++) samples[s * n + k] = samples[k];
        for (size_t k = 0; k < n; k++) steps[s * n + k] = number;
    }
    for (size_t k = total; k < whole_vectors; k++) samples[k] = steps[k] = 0; /* behind the last */
    fill_words(drawing, samples, is_one_step ? NULL : steps, whole_vectors, words);
    for (int which = 0; which < 2; which++) {
        const uint64_t *low = words[2 * which], *high = words[2 * which + 1];
        if (!drawing->rows[which]) continue;
        int is_in_place = count == 1 && !drawing->is_float32;
        double *to = is_in_place ? (double *)drawing->rows[which] + at : numbers;
        if (drawing->kinds[which] == DRAW_UNIFORM) fill_uniforms(to, low, high, total, drawing->is_float32);
        else fill_normals(to, low, high, total);
        if (!is_in_place) put_rows(drawing, which, at, numbers, n, count);
    }
}

/* Of few samples, several steps are one piece. */
void DRAW(const Drawing *drawing) {
    const uint32_t together = drawing->n && drawing->n < PIECE ? (uint32_t)(PIECE / drawing->n) : 1;
    for (uint32_t step = 0, count; step < drawing->n_steps; step += count) {
        count = drawing->n_steps - step < together ? drawing->n_steps - step : together;
        for (size_t from = 0; from < drawing->n; from += PIECE)
            draw_piece(drawing, from, drawing->n - from < PIECE ? drawing->n - from : PIECE, step, count);
    }
}
