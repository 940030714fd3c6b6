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

#define EACH_LANE for (int lane = 0; lane < ALL_LANES; lane++)
#define A a[lane]
#define B b[lane]
#define C c[lane]
#define D d[lane]

/* On numbers, or on their bits. */
#define GIVES(primitive, expression) \
    case PRIMITIVE_##primitive: EACH_LANE to[lane] = (expression); break
#define GIVES_BITS(primitive, expression) \
    case PRIMITIVE_##primitive: EACH_LANE to[lane] = NAMED(number)(expression); break

#define Real double
#define Bits uint64_t
#define NAMED(name) name##_of_doubles
#define OF_REAL(name) name
#define ALL_LANES LANES
#include "interpret_lanes.h"
#undef Real
#undef Bits
#undef NAMED
#undef OF_REAL
#undef ALL_LANES

#define Real float
#define Bits uint32_t
#define NAMED(name) name##_of_floats
#define OF_REAL(name) name##f
#define ALL_LANES (2 * LANES)
#include "interpret_lanes.h"

/* Half of floats as doubles, or two such halves as floats. */
static void convert(const Instruction *in, double *to, const double *values) {
    const double *a = values + (size_t)in->operands[0] * LANES;
    if (in->op == PRIMITIVE_HALF) {
        const float *half = (const float *)a + in->detail * LANES;
        for (int lane = 0; lane < LANES; lane++) to[lane] = (double)half[lane];
        return;
    }
    const double *b = values + (size_t)in->operands[1] * LANES;
    for (int lane = 0; lane < LANES; lane++) {
        ((float *)to)[lane] = (float)a[lane];
        ((float *)to)[LANES + lane] = (float)b[lane];
    }
}

/* Of a line on floats, some instructions are on doubles. */
static void run_once(const Line *line, double *values, double *memory, double *frame, const Level *level) {
    const Instruction *items = line->line.instructions.items;
    for (uint32_t i = 0; i < line->line.instructions.size; i++) {
        const Instruction *in = &items[i];
        if (in->op == PRIMITIVE_HALF || in->op == PRIMITIVE_JOINED) convert(in, values + (size_t)i * LANES, values);
        else if (in->is_float32) run_one_of_floats(in, i, values, memory, frame, float32_kernels_of(level));
        else run_one_of_doubles(in, i, values, memory, frame, kernels_of(level));
    }
}

void interpret(const Line *line, double *values, double *memory, double *frame, ptrdiff_t advance, size_t count,
               const Level *level) {
    for (size_t k = 0; k < count; k++, frame += advance) run_once(line, values, memory, frame, level);
}
