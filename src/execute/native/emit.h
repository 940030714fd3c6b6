/* SPDX-License-Identifier: MIT
 *
 * From a straight-line program to machine code: a loop over vectors of lanes.
 *
 * Memory that the code works on:
 *   numbers   what is the same in all lanes, in this piece of code: for VEX a vector each, for EVEX one
 *             double each, or one float in its place. What changes from run to run is among them, as a copy,
 *             where it is read as floats, and of a loop in VEX
 *   given     the program's numbers, among which all else reads what changes from run to run
 *   rows      inputs, then outputs: `stride` numbers from one row to the next
 *   totals    a vector each: what a loop adds to, what a line for one vector sets
 *   slots     a vector each, for values that no register holds; in front of them stands a Header
 */
#ifndef MICROGRAD_C_EMIT_H
#define MICROGRAD_C_EMIT_H

#include "encode.h"
#include "straight.h"

/* A number of the text, or what a once row holds when the program runs. */
typedef struct {
    double number;
    uint32_t row; /* NONE: the number */
    int is_float32;
} Number;

/* An operation that the vector kernels compute, from slots to a slot. */
typedef struct {
    double number; /* of a SCALED row */
    uint8_t op;
    uint8_t is_float32; /* slots hold floats */
    uint32_t slots[3], out;
} Call;

enum { WIDEST = 8, MOST_REGISTERS = 32 };

/* Of walks: rows of a step's frame are numbered from here on, the next frames' and those before among them. */
#define ROW_OF_FRAME UINT32_C(0x80000000)
enum { FRAME_ROW_0 = 1 << 24 };

/* What code needs to call C, in front of the slots. */
typedef struct Header {
    double saved[MOST_REGISTERS][WIDEST];
    double turned[WIDEST], angle[WIDEST]; /* the library's sine or cosine of what vector code does not take */
    void (*call)(double *slots, uint64_t which);
    void (*turn[2])(double *slots, uint64_t op); /* of doubles and of floats */
    const void *owner;
    double rest[WIDEST - 4];
} Header;

static inline Header *header_of(double *slots) { return (Header *)(void *)slots - 1; }

/* What code is given. */
typedef struct {
    const double *numbers, *given;
    void *rows;
    double *totals, *slots;
    uint64_t count; /* vectors; at least 1, and of what is no loop exactly 1 */
} Memory;

typedef struct {
    Code *code; /* it goes to the end of it */
    uint32_t stride, n_inputs;
    int is_loop; /* else there is one vector */
    int is_walk; /* rows are numbered as walk.h says; a loop goes from frame to frame */
    int32_t advance; /* ... so many bytes */
    /* -- results -- */
    size_t entry; /* in the code: a function of a Memory */
    GROWING(Number) numbers; /* of the arena */
    uint32_t n_moving;       /* the first of them, which are copies */
    GROWING(Call) calls;
    uint32_t n_slots;
    uint32_t instructions; /* that something depends on */
    uint32_t stores;       /* of values that had to leave their register */
} Emission;

/* code->failed: no memory for it. */
void emit(Emission *emission, const Straight *straight, Arena *arena, Arena *scratch);

/* Doubles that each number takes among the numbers. */
static inline size_t number_size(const Machine *machine) { return machine->evex ? 1 : (size_t)machine->width; }

/* Puts a number where `size` doubles are for it. */
static inline void put_number(double *to, size_t size, double number, int is_float32) {
    float narrow = (float)number;
    if (is_float32) {
        for (size_t k = 0; k < 2 * size; k++) memcpy((char *)to + k * sizeof narrow, &narrow, sizeof narrow);
        return;
    }
    for (size_t k = 0; k < size; k++) to[k] = number;
}

#endif
