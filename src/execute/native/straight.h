/* SPDX-License-Identifier: MIT
 *
 * A straight-line program: primitive instructions on vectors of lanes, each of which gives one value.
 *
 * Every value is given once and stands for itself ever after, so that two instructions of the same kind on
 * the same values are one: what two operations share (the reduction of a sine's argument and of its
 * derivative's) is computed once.
 *
 * A line for samples in float32 has instructions on floats, and some on doubles: a vector is as long in either case,
 * so that lanes of floats are two halves of lanes of doubles.
 */
#ifndef MICROGRAD_C_STRAIGHT_H
#define MICROGRAD_C_STRAIGHT_H

#include "program/graph.h"

/* PRIMITIVE(id, operands). What `detail` is to each stands behind it. */
#define FOR_EACH_PRIMITIVE(PRIMITIVE)                                                                \
    PRIMITIVE(NUMBER, 0)      /* the same in all lanes: see straight_number                     */   \
    PRIMITIVE(INPUT, 0)       /* which row of inputs                                            */   \
    PRIMITIVE(ADD, 2)                                                                                \
    PRIMITIVE(SUB, 2)                                                                                \
    PRIMITIVE(MUL, 2)                                                                                \
    PRIMITIVE(DIV, 2)                                                                                \
    PRIMITIVE(AND, 2)         /* of bits, as the next three                                     */   \
    PRIMITIVE(ANDN, 2)        /* not the first, and the second                                  */   \
    PRIMITIVE(OR, 2)                                                                                 \
    PRIMITIVE(XOR, 2)                                                                                \
    PRIMITIVE(WHOLE_ADD, 2)   /* of whole numbers as long, as the next three                    */   \
    PRIMITIVE(WHOLE_SUB, 2)                                                                          \
    PRIMITIVE(SHIFT_LEFT, 1)  /* by how many bits                                               */   \
    PRIMITIVE(SHIFT_RIGHT, 1) /* by how many bits                                               */   \
    PRIMITIVE(SQRT, 1)                                                                               \
    PRIMITIVE(ROUND, 1)       /* a Rounding (encode.h)                                          */   \
    PRIMITIVE(FMADD, 3)       /* a * b + c in one rounding                                      */   \
    PRIMITIVE(FMSUB, 3)       /* a * b - c in one rounding                                      */   \
    PRIMITIVE(FNMADD, 3)      /* c - a * b in one rounding                                      */   \
    PRIMITIVE(SELECT, 4)      /* a Predicate (encode.h) of a and b: if it holds c, else d       */   \
    PRIMITIVE(TURNED, 4)      /* an Op: a, or the library's op(b) where (b and c) > d         */     \
    PRIMITIVE(HALF, 1)        /* 0: the lower half of floats as doubles, 1: the upper half      */   \
    PRIMITIVE(JOINED, 2)      /* two halves of doubles as floats                                */   \
    PRIMITIVE(PICK, 1)        /* of the numbers in this row and the next, that which the lowest   */ \
                              /* bits of a count. EVEX only                                     */   \
    PRIMITIVE(CALL, 3)        /* an Op, which has one to three operands: see straight_call      */   \
    PRIMITIVE(TOTAL, 1)       /* which total: its lanes are added to. No value                  */   \
    PRIMITIVE(OUTPUT, 1)      /* which row of outputs is a. No value                            */

typedef enum {
#define ID(id, ...) PRIMITIVE_##id,
    FOR_EACH_PRIMITIVE(ID)
#undef ID
} Primitive;

enum {
#define PLUS_ONE(...) +1
    PRIMITIVE_COUNT = 0 FOR_EACH_PRIMITIVE(PLUS_ONE),
#undef PLUS_ONE
    MOST_OPERANDS = 4
};

typedef struct {
    uint8_t op;         /* Primitive */
    uint8_t is_float32; /* it reads floats, not doubles; if it reads nothing: it is of floats */
    uint32_t detail;
    uint32_t operands[MOST_OPERANDS]; /* earlier instructions, or NONE */
} Instruction;

/* Instructions by what they are: one more than the index, 0: none. */
typedef struct {
    uint32_t *slots;
    uint32_t size, used;
} InstructionTable;

typedef struct {
    Arena *scratch;
    int is_float32; /* what instructions are on from now on */
    GROWING(Instruction) instructions;
    InstructionTable leaves, others; /* leaves are few, and asked for again and again */
} Straight;

void straight_begin(Straight *s, Arena *scratch, uint32_t expected);

/* All of them give a value: an instruction that is there already, or a new one. */

/* A number of the program's text, or what a once row holds when it runs; of floats, rounded to one. The instruction
 * has its bits or NONEs, then the row or NONE, in place of operands. */
uint32_t straight_number(Straight *s, double number);
uint32_t straight_bits(Straight *s, uint64_t bits);
uint32_t straight_once(Straight *s, uint32_t row);

uint32_t straight_input(Straight *s, uint32_t row);
uint32_t straight_do(Straight *s, Primitive op, uint32_t detail, uint32_t a, uint32_t b, uint32_t c, uint32_t d);

/* Half of floats as doubles (upper: which half), and two such halves as floats. */
uint32_t straight_half(Straight *s, uint32_t floats, int upper);
uint32_t straight_joined(Straight *s, uint32_t lower, uint32_t upper);

/* A row of the table that has no code in line: the vector kernels compute it. A SCALED row's number stands
 * in place of its last two operands. */
uint32_t straight_call(Straight *s, Op op, double number, uint32_t x, uint32_t y, uint32_t w);

void straight_total(Straight *s, uint32_t which, uint32_t value);
void straight_output(Straight *s, uint32_t row, uint32_t value);

static inline uint32_t instruction_operands(const Instruction *in) {
    static const uint8_t counts[PRIMITIVE_COUNT] = {
#define COUNT(id, operands) operands,
        FOR_EACH_PRIMITIVE(COUNT)
#undef COUNT
    };
    return in->op == PRIMITIVE_CALL ? op_arity((int)in->detail) : counts[in->op];
}

/* Whether the value is a number of the text, and which. */
int straight_known(const Straight *s, uint32_t value, double *number);

/* The number that bits are. */
static inline double number_of_bits(uint64_t bits, int is_float32) {
    double number;
    float narrow;
    uint32_t low = (uint32_t)bits;
    memcpy(&number, &bits, sizeof number);
    memcpy(&narrow, &low, sizeof narrow);
    return is_float32 ? narrow : number;
}

/* The bits that stand in two places for operands. */
static inline uint64_t bits_at(const uint32_t *operands) { return (uint64_t)operands[1] << 32 | operands[0]; }

#endif
