/* SPDX-License-Identifier: MIT
 *
 * Part of interpret.c: instructions on lanes of doubles, or of floats, which are twice as many. It sets
 *
 *   Real, Bits    the numbers, and whole numbers as long
 *   NAMED(name)   functions of this kind
 *   OF_REAL(name) the library's
 *   ALL_LANES
 */
static Bits NAMED(bits)(Real number) {
    Bits bits;
    memcpy(&bits, &number, sizeof bits);
    return bits;
}

static Real NAMED(number)(Bits bits) {
    Real number;
    memcpy(&number, &bits, sizeof number);
    return number;
}

static int NAMED(holds)(Predicate predicate, Real a, Real b) {
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
static Real *NAMED(place_at)(Real *memory, Real *frame, uint32_t row) {
    if (!(row & ROW_OF_FRAME)) return memory + (size_t)row * ALL_LANES;
    return frame + ((ptrdiff_t)(row & ~ROW_OF_FRAME) - FRAME_ROW_0) * ALL_LANES;
}

static void NAMED(call)(const Instruction *in, uint32_t out, Real *values, const Kernels *kernels) {
    double scratch[4 * LANES];
    Step step = {.kind = STEP_MAP, .op = (uint8_t)in->detail, .count = 1, .flat = 1, .out = {out, IN_ROWS, 1}};
    Ref *refs[] = {&step.x, &step.y, &step.w};
    if (op_info[in->detail].shape == SCALED) memcpy(&step.number, in->operands + 2, sizeof step.number);
    for (uint32_t k = 0; k < op_arity((int)in->detail); k++) *refs[k] = (Ref){in->operands[k], IN_ROWS, 1};
    Frame frame = {.rows = values, .lanes = ALL_LANES, .valid = ALL_LANES, .scratch = scratch, .bad_lane = NONE};
    kernels->run(&step, 1, &frame);
}

/* Instruction i. */
static void NAMED(run_one)(const Instruction *in, uint32_t i, void *of_values, void *memory, void *frame,
                           const Kernels *kernels) {
    Real *values = of_values, *to = values + (size_t)i * ALL_LANES;
    uint32_t n = instruction_operands(in);
    const Real *a = n > 0 ? values + (size_t)in->operands[0] * ALL_LANES : NULL;
    const Real *b = n > 1 ? values + (size_t)in->operands[1] * ALL_LANES : NULL;
    const Real *c = n > 2 ? values + (size_t)in->operands[2] * ALL_LANES : NULL;
    const Real *d = n > 3 ? values + (size_t)in->operands[3] * ALL_LANES : NULL;
    switch ((Primitive)in->op) {
    case PRIMITIVE_NUMBER: EACH_LANE to[lane] = NAMED(number)((Bits)bits_at(in->operands)); break;
    case PRIMITIVE_INPUT: memcpy(to, NAMED(place_at)(memory, frame, in->detail), ALL_LANES * sizeof *to); break;
    case PRIMITIVE_OUTPUT:
        memcpy(NAMED(place_at)(memory, frame, in->detail), a, ALL_LANES * sizeof *a);
        break;
        GIVES(ADD, A + B);
        GIVES(SUB, A - B);
        GIVES(MUL, A * B);
        GIVES(DIV, A / B);
        GIVES(SQRT, OF_REAL(sqrt)(A));
        GIVES(ROUND, in->detail == ROUND_DOWN ? OF_REAL(floor)(A) : OF_REAL(ceil)(A));
        GIVES(FMADD, OF_REAL(fma)(A, B, C));
        GIVES(FMSUB, OF_REAL(fma)(A, B, -C));
        GIVES(FNMADD, OF_REAL(fma)(-A, B, C));
        GIVES(SELECT, NAMED(holds)((Predicate)in->detail, A, B) ? C : D);
        GIVES(TURNED, NAMED(number)(NAMED(bits)(B) & NAMED(bits)(C)) > D
                          ? (Real)(in->detail == OP_sin ? sin((double)B) : cos((double)B))
                          : A);
        GIVES_BITS(AND, NAMED(bits)(A) & NAMED(bits)(B));
        GIVES_BITS(ANDN, ~NAMED(bits)(A) & NAMED(bits)(B));
        GIVES_BITS(OR, NAMED(bits)(A) | NAMED(bits)(B));
        GIVES_BITS(XOR, NAMED(bits)(A) ^ NAMED(bits)(B));
        GIVES_BITS(WHOLE_ADD, NAMED(bits)(A) + NAMED(bits)(B));
        GIVES_BITS(WHOLE_SUB, NAMED(bits)(A) - NAMED(bits)(B));
        GIVES_BITS(SHIFT_LEFT, NAMED(bits)(A) << in->detail);
        GIVES_BITS(SHIFT_RIGHT, NAMED(bits)(A) >> in->detail);
    case PRIMITIVE_CALL: NAMED(call)(in, i, values, kernels); break;
    case PRIMITIVE_HALF:
    case PRIMITIVE_JOINED: /* of both kinds of number: see interpret.c */
    case PRIMITIVE_PICK:
    case PRIMITIVE_TOTAL: abort(); /* lines of walks have no totals, and without EVEX no tables */
    }
}
