/* SPDX-License-Identifier: MIT */
#include "draws.h"

#include "numbers.h"

void philox(const uint32_t counter[4], uint64_t key, uint32_t numbers[4]) {
    uint32_t c[4], key0 = (uint32_t)key, key1 = (uint32_t)(key >> 32);
    memcpy(c, counter, sizeof c);
    for (int round = 0; round < PHILOX_ROUNDS; round++) {
        uint64_t p0 = (uint64_t)c[0] * PHILOX_M0, p1 = (uint64_t)c[2] * PHILOX_M1;
        c[0] = (uint32_t)(p1 >> 32) ^ c[1] ^ key0;
        c[1] = (uint32_t)p1;
        c[2] = (uint32_t)(p0 >> 32) ^ c[3] ^ key1;
        c[3] = (uint32_t)p0;
        key0 += PHILOX_W0;
        key1 += PHILOX_W1;
    }
    memcpy(numbers, c, sizeof c);
}

double draw_one(const Stream *stream, uint32_t sample, uint32_t draw, DrawKind kind, int is_float32) {
    const uint32_t counter[4] = {sample, stream->call, draw / 2, stream->step};
    uint32_t numbers[4];
    philox(counter, stream->seed, numbers);
    uint32_t low = numbers[draw % 2 * 2], high = numbers[draw % 2 * 2 + 1];
    if (kind == DRAW_UNIFORM) return is_float32 ? float_uniform_of(high) : uniform_of(low, high);
    return is_float32 ? (double)(float)normal_of(low, high) : normal_of(low, high);
}
