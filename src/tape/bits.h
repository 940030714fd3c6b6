/* SPDX-License-Identifier: MIT
 *
 * Sets of node indices, one bit each, in 64-bit words.
 */
#ifndef MICROGRAD_C_BITS_H
#define MICROGRAD_C_BITS_H

#include <stdint.h>

#if defined(_MSC_VER)
#include <intrin.h>
#endif

#define WORD_OF(i) ((i) >> 6)
#define BIT_OF(i) (UINT64_C(1) << ((i) & 63))
#define WORDS_FOR(n) (((size_t)(n) + 63) >> 6)

/* Position of the highest bit of a word that is not 0. */
static inline uint32_t highest_bit(uint64_t word) {
#if defined(_MSC_VER) && (defined(_M_X64) || defined(_M_ARM64))
    unsigned long position;
    _BitScanReverse64(&position, word);
    return (uint32_t)position;
#elif defined(_MSC_VER)
    uint32_t position = 0;
    while (word >>= 1) position++;
    return position;
#else
    return 63u - (uint32_t)__builtin_clzll(word);
#endif
}

/* How many bits are set (the baseline x86-64 has no instruction for it). */
static inline uint32_t count_bits(uint64_t word) {
    word -= (word >> 1) & UINT64_C(0x5555555555555555);
    word = (word & UINT64_C(0x3333333333333333)) + ((word >> 2) & UINT64_C(0x3333333333333333));
    word = (word + (word >> 4)) & UINT64_C(0x0F0F0F0F0F0F0F0F);
    return (uint32_t)((word * UINT64_C(0x0101010101010101)) >> 56);
}

/* The bits of a set's word that stand for the indices from `first` up to `end`, of which the word has some. */
static inline uint64_t bits_between(uint32_t word, uint32_t first, uint32_t end) {
    uint64_t bits = ~UINT64_C(0);
    if (first > word << 6) bits <<= first & 63;
    if (WORD_OF(end) == word) bits &= BIT_OF(end) - 1;
    return bits;
}

static inline int bit_is_set(const uint64_t *set, uint32_t i) { return (int)(set[WORD_OF(i)] >> (i & 63) & 1); }

#endif
