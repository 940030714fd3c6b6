/* SPDX-License-Identifier: MIT */
#include "interpret.h"

#include <math.h>

void interpret_prepare(Line *line, Arena *arena) {
    const Straight *from = &line->line;
    uint32_t size = from->instructions.size, kept = 0;
    /* Of each instruction: one more than its new number; 0: nobody needs it. */
    uint32_t *to = ARENA_ARRAY(from->scratch, uint32_t, size + (size_t)1);
    for (uint32_t i = size; i-- > 0;) {
        const Instruction *in = &from->instructions.items[i];
        if (in->op == PRIMITIVE_OUTPUT) to[i] = 1;
        for (uint32_t k = 0; to[i] && k < instruction_operands(in); k++) to[in->operands[k]] = 1;
    }
    for (uint32_t i = 0; i < size; i++)
        if (to[i]) to[i] = ++kept;
    Instruction *items = ARENA_ARRAY(arena, Instruction, kept + (size_t)1);
    for (uint32_t i = 0; i < size; i++) {
        if (!to[i]) continue;
        Instruction *in = &items[to[i] - 1];
        *in = from->instructions.items[i];
        for (uint32_t k = 0; k < instruction_operands(in); k++) in->operands[k] = to[in->operands[k]] - 1;
    }
    line->emission.instructions = kept;
    line->line = (Straight){0};
    line->line.instructions.items = items;
    line->line.instructions.size = line->line.instructions.capacity = kept;
}

/* -- instructions ----------------------------------------------------------------------------------------- */

static uint64_t bits_of(double number) {
    uint64_t bits;
    memcpy(&bits, &number, sizeof bits);
    return bits;
}

static int holds(Predicate predicate, double a, double b) {
    switch (predicate) {
    case COMPARE_IS_EQUAL: return a == b;
    case COMPARE_NOT_EQUAL: return !(a == b);
    case COMPARE_IS_LESS: return a < b;
    case COMPARE_IS_LESS_EQUAL: return a <= b;
    case COMPARE_NOT_LESS: return !(a < b);
    case COMPARE_NOT_LESS_EQUAL: return !(a <= b);
    case COMPARE_IS_GREATER: return a > b;
    case COMPARE_IS_GREATER_EQUAL: return a >= b;
    case COMPARE_NOT_GREATER: return !(a > b);
    case COMPARE_NOT_GREATER_EQUAL: return !(a >= b);
    }
    abort();
}

/* Where a row of a walk is: see emit.h. */
static double *place_at(double *memory, double *frame, uint32_t row) {
    if (!(row & ROW_OF_FRAME)) return memory + (size_t)row * LANES;
    return frame + ((ptrdiff_t)(row & ~ROW_OF_FRAME) - FRAME_ROW_0) * LANES;
}

static void call(const Instruction *in, uint32_t out, double *values, const Kernels *kernels) {
    double scratch[4 * LANES];
    Step step = {.kind = STEP_MAP, .op = (uint8_t)in->detail, .count = 1, .flat = 1, .out = {out, IN_ROWS, 1}};
    Ref *refs[] = {&step.x, &step.y, &step.w};
    if (op_info[in->detail].shape == SCALED) memcpy(&step.number, in->operands + 2, sizeof step.number);
    for (uint32_t k = 0; k < op_arity((int)in->detail); k++) *refs[k] = (Ref){in->operands[k], IN_ROWS, 1};
    Frame frame = {.rows = values, .lanes = LANES, .valid = LANES, .scratch = scratch, .bad_lane = NONE};
    kernels->run(&step, 1, &frame);
}

#define EACH_LANE for (int lane = 0; lane < LANES; lane++)
#define A a[lane]
#define B b[lane]
#define C c[lane]
#define D d[lane]

/* On doubles, or on their bits. */
#define GIVES(primitive, expression) \
    case PRIMITIVE_##primitive: EACH_LANE to[lane] = (expression); break
#define GIVES_BITS(primitive, expression) \
    case PRIMITIVE_##primitive: EACH_LANE to[lane] = number_of_bits(expression, 0); break

static void run_once(const Line *line, double *values, double *memory, double *frame, const Kernels *kernels) {
    const Instruction *items = line->line.instructions.items;
    for (uint32_t i = 0; i < line->line.instructions.size; i++) {
        const Instruction *in = &items[i];
        double *to = values + (size_t)i * LANES;
        uint32_t n = instruction_operands(in);
        const double *a = n > 0 ? values + (size_t)in->operands[0] * LANES : NULL;
        const double *b = n > 1 ? values + (size_t)in->operands[1] * LANES : NULL;
        const double *c = n > 2 ? values + (size_t)in->operands[2] * LANES : NULL;
        const double *d = n > 3 ? values + (size_t)in->operands[3] * LANES : NULL;
        switch ((Primitive)in->op) {
        case PRIMITIVE_NUMBER: EACH_LANE to[lane] = number_of_bits(bits_at(in->operands), 0); break;
        case PRIMITIVE_INPUT: memcpy(to, place_at(memory, frame, in->detail), LANES * sizeof *to); break;
        case PRIMITIVE_OUTPUT:
            memcpy(place_at(memory, frame, in->detail), a, LANES * sizeof *a);
            break;
            GIVES(ADD, A + B);
            GIVES(SUB, A - B);
            GIVES(MUL, A * B);
            GIVES(DIV, A / B);
            GIVES(SQRT, sqrt(A));
            GIVES(ROUND, in->detail == ROUND_DOWN ? floor(A) : ceil(A));
            GIVES(FMADD, fma(A, B, C));
            GIVES(FMSUB, fma(A, B, -C));
            GIVES(FNMADD, fma(-A, B, C));
            GIVES(SELECT, holds((Predicate)in->detail, A, B) ? C : D);
            GIVES(TURNED,
                  number_of_bits(bits_of(B) & bits_of(C), 0) > D ? (in->detail == OP_sin ? sin(B) : cos(B)) : A);
            GIVES_BITS(AND, bits_of(A) & bits_of(B));
            GIVES_BITS(ANDN, ~bits_of(A) & bits_of(B));
            GIVES_BITS(OR, bits_of(A) | bits_of(B));
            GIVES_BITS(XOR, bits_of(A) ^ bits_of(B));
            GIVES_BITS(WHOLE_ADD, bits_of(A) + bits_of(B));
            GIVES_BITS(WHOLE_SUB, bits_of(A) - bits_of(B));
            GIVES_BITS(SHIFT_LEFT, bits_of(A) << in->detail);
            GIVES_BITS(SHIFT_RIGHT, bits_of(A) >> in->detail);
        case PRIMITIVE_CALL: call(in, i, values, kernels); break;
        case PRIMITIVE_PICK:
        case PRIMITIVE_TOTAL:
        case PRIMITIVE_HALF:
        case PRIMITIVE_JOINED: abort(); /* walks have none, and no floats */
        }
    }
}

void interpret(const Line *line, double *values, double *memory, double *frame, ptrdiff_t advance, size_t count,
               const Kernels *kernels) {
    for (size_t k = 0; k < count; k++, frame += advance) run_once(line, values, memory, frame, kernels);
}
