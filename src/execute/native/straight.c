/* SPDX-License-Identifier: MIT */
#include "straight.h"

#include "encode.h"

/* -- the table of instructions ---------------------------------------------------------------------- */

static uint64_t hash_of(const Instruction *in) {
    const uint64_t odd = UINT64_C(0x9E3779B97F4A7C15);
    uint64_t hash = ((uint64_t)in->detail << 9 | (uint64_t)in->is_float32 << 8 | in->op) * odd;
    hash = (hash ^ hash >> 29 ^ ((uint64_t)in->operands[0] << 32 | in->operands[1])) * odd;
    hash = (hash ^ hash >> 29 ^ ((uint64_t)in->operands[2] << 32 | in->operands[3])) * odd;
    return hash ^ hash >> 31;
}

static int same_instruction(const Instruction *x, const Instruction *y) {
    return x->op == y->op && x->is_float32 == y->is_float32 && x->detail == y->detail &&
           memcmp(x->operands, y->operands, sizeof x->operands) == 0;
}

static int is_leaf(const Instruction *in) { return in->op <= PRIMITIVE_INPUT; }

static uint32_t *slot_for(const Straight *s, const InstructionTable *table, const Instruction *in) {
    uint32_t slot = (uint32_t)hash_of(in) & (table->size - 1);
    while (table->slots[slot] && !same_instruction(&s->instructions.items[table->slots[slot] - 1], in))
        slot = (slot + 1) & (table->size - 1);
    return &table->slots[slot];
}

static void make_table(Straight *s, InstructionTable *table, uint32_t size) {
    table->slots = ARENA_ARRAY(s->scratch, uint32_t, size);
    table->size = size;
    for (uint32_t i = 0; i < s->instructions.size; i++) {
        const Instruction *in = &s->instructions.items[i];
        if (is_leaf(in) == (table == &s->leaves)) *slot_for(s, table, in) = i + 1;
    }
}

void straight_begin(Straight *s, Arena *scratch, uint32_t expected) {
    uint32_t size = 256;
    while (size / 4 * 3 < expected && size < UINT32_C(1) << 30) size *= 2;
    *s = (Straight){.scratch = scratch};
    make_table(s, &s->leaves, 256);
    make_table(s, &s->others, size);
    GROW(scratch, &s->instructions, Instruction, expected + 16);
}

static uint32_t append(Straight *s, const Instruction *in) {
    GROW(s->scratch, &s->instructions, Instruction, 1);
    s->instructions.items[s->instructions.size] = *in;
    return s->instructions.size++;
}

static uint32_t find_or_append(Straight *s, const Instruction *in) {
    InstructionTable *table = is_leaf(in) ? &s->leaves : &s->others;
    if (table->used >= table->size / 4 * 3) make_table(s, table, 4 * table->size);
    uint32_t *slot = slot_for(s, table, in);
    if (*slot) return *slot - 1;
    table->used++;
    *slot = s->instructions.size + 1;
    return append(s, in);
}

/* -- numbers ---------------------------------------------------------------------------------------- */

static uint32_t number_of(Straight *s, uint32_t low, uint32_t high, uint32_t row) {
    return find_or_append(s, &(Instruction){PRIMITIVE_NUMBER, (uint8_t)s->is_float32, 0, {low, high, row, NONE}});
}

uint32_t straight_bits(Straight *s, uint64_t bits) {
    return number_of(s, (uint32_t)bits, (uint32_t)(bits >> 32), NONE);
}

uint32_t straight_number(Straight *s, double number) {
    float narrow = (float)number;
    uint32_t narrow_bits;
    uint64_t bits;
    memcpy(&bits, &number, sizeof bits);
    memcpy(&narrow_bits, &narrow, sizeof narrow_bits);
    return straight_bits(s, s->is_float32 ? narrow_bits : bits);
}

uint32_t straight_once(Straight *s, uint32_t row) { return number_of(s, NONE, NONE, row); }

/* Whether the instruction is this number of the text. */
static int is_bits(const Straight *s, uint32_t i, uint64_t bits) {
    const Instruction *in = &s->instructions.items[i];
    return in->op == PRIMITIVE_NUMBER && in->operands[2] == NONE && bits_at(in->operands) == bits;
}

int straight_known(const Straight *s, uint32_t value, double *number) {
    const Instruction *in = &s->instructions.items[value];
    if (in->op != PRIMITIVE_NUMBER || in->operands[2] != NONE) return 0;
    *number = number_of_bits(bits_at(in->operands), in->is_float32);
    return 1;
}

/* -- instructions ----------------------------------------------------------------------------------- */

static uint64_t sign_bit(int is_float32) { return is_float32 ? 0x80000000u : UINT64_C(0x8000000000000000); }
static uint64_t one_bits(int is_float32) { return is_float32 ? 0x3f800000u : UINT64_C(0x3ff0000000000000); }

/* What an exclusive or with the sign's bit has turned round; NONE: the value is no such thing. */
static uint32_t negated(const Straight *s, uint32_t i) {
    const Instruction *in = &s->instructions.items[i];
    if (in->op != PRIMITIVE_XOR || !is_bits(s, in->operands[1], sign_bit(in->is_float32))) return NONE;
    return in->operands[0];
}

/* The comparison that holds where this one does not. */
static uint32_t opposite(uint32_t predicate) {
    switch ((Predicate)predicate) {
    case COMPARE_IS_EQUAL: return COMPARE_NOT_EQUAL;
    case COMPARE_IS_LESS: return COMPARE_NOT_LESS;
    case COMPARE_IS_LESS_EQUAL: return COMPARE_NOT_LESS_EQUAL;
    case COMPARE_NOT_EQUAL: return COMPARE_IS_EQUAL;
    case COMPARE_NOT_LESS: return COMPARE_IS_LESS;
    case COMPARE_NOT_LESS_EQUAL: return COMPARE_IS_LESS_EQUAL;
    case COMPARE_IS_GREATER: return COMPARE_NOT_GREATER;
    case COMPARE_IS_GREATER_EQUAL: return COMPARE_NOT_GREATER_EQUAL;
    case COMPARE_NOT_GREATER: return COMPARE_IS_GREATER;
    case COMPARE_NOT_GREATER_EQUAL: return COMPARE_IS_GREATER_EQUAL;
    }
    abort();
}

/* A choice by whether a choice between 1 and 0 is above 0 is a choice by what that one went by. */
static void look_through(const Straight *s, Instruction *in) {
    uint32_t *o = in->operands;
    while (in->detail == COMPARE_IS_LESS && is_bits(s, o[0], 0)) {
        const Instruction *inner = &s->instructions.items[o[1]];
        if (inner->op != PRIMITIVE_SELECT) return;
        uint64_t one = one_bits(inner->is_float32);
        int is_condition = is_bits(s, inner->operands[2], one) && is_bits(s, inner->operands[3], 0);
        int is_opposite = is_bits(s, inner->operands[3], one) && is_bits(s, inner->operands[2], 0);
        if (!is_condition && !is_opposite) return;
        in->detail = is_condition ? inner->detail : opposite(inner->detail);
        o[0] = inner->operands[0];
        o[1] = inner->operands[1];
    }
}

/* Arithmetic on numbers of the text is done now; that of floats in doubles, whose result rounds to the same float. */
static int is_known(const Straight *s, Primitive op, uint32_t a, uint32_t b, double *result) {
    double x, y;
    if (op < PRIMITIVE_ADD || op > PRIMITIVE_DIV) return 0;
    if (!straight_known(s, a, &x) || !straight_known(s, b, &y)) return 0;
    *result = op == PRIMITIVE_ADD ? x + y : op == PRIMITIVE_SUB ? x - y : op == PRIMITIVE_MUL ? x * y : x / y;
    return 1;
}

uint32_t straight_do(Straight *s, Primitive op, uint32_t detail, uint32_t a, uint32_t b, uint32_t c, uint32_t d) {
    Instruction in = {(uint8_t)op, (uint8_t)s->is_float32, detail, {a, b, c, d}};
    uint32_t other;
    double number;
    if (is_known(s, op, a, b, &number)) return straight_number(s, number);
    if (op == PRIMITIVE_ADD) {
        if ((other = negated(s, b)) != NONE) return straight_do(s, PRIMITIVE_SUB, 0, a, other, NONE, NONE);
        if ((other = negated(s, a)) != NONE) return straight_do(s, PRIMITIVE_SUB, 0, b, other, NONE, NONE);
    }
    if (op == PRIMITIVE_SUB && (other = negated(s, b)) != NONE)
        return straight_do(s, PRIMITIVE_ADD, 0, a, other, NONE, NONE);
    if (op == PRIMITIVE_FMADD) { /* (-a) * b is -(a * b) */
        if ((other = negated(s, a)) != NONE) return straight_do(s, PRIMITIVE_FNMADD, 0, other, b, c, NONE);
        if ((other = negated(s, b)) != NONE) return straight_do(s, PRIMITIVE_FNMADD, 0, a, other, c, NONE);
    }
    if ((op == PRIMITIVE_ADD || op == PRIMITIVE_MUL) && a > b) { /* they give the same bits either way */
        in.operands[0] = b;
        in.operands[1] = a;
    }
    if (op == PRIMITIVE_SELECT) {
        if (c == d) return c;
        look_through(s, &in);
        if (is_bits(s, c, 0) && !is_bits(s, d, 0)) { /* 0 is the one that costs nothing */
            in.detail = opposite(in.detail);
            in.operands[2] = d;
            in.operands[3] = c;
        }
    }
    return find_or_append(s, &in);
}

uint32_t straight_input(Straight *s, uint32_t row) {
    Instruction in = {PRIMITIVE_INPUT, (uint8_t)s->is_float32, row, {NONE, NONE, NONE, NONE}};
    return find_or_append(s, &in);
}

uint32_t straight_half(Straight *s, uint32_t floats, int upper) {
    const Instruction *of = &s->instructions.items[floats];
    double number;
    if (straight_known(s, floats, &number)) {
        int kind = s->is_float32;
        s->is_float32 = 0;
        uint32_t known = straight_number(s, number);
        s->is_float32 = kind;
        return known;
    }
    if (of->op == PRIMITIVE_NUMBER) upper = 0; /* the same in all lanes */
    return find_or_append(s, &(Instruction){PRIMITIVE_HALF, 1, (uint32_t)upper, {floats, NONE, NONE, NONE}});
}

uint32_t straight_joined(Straight *s, uint32_t lower, uint32_t upper) {
    const Instruction *first = &s->instructions.items[lower], *second = &s->instructions.items[upper];
    if (first->op == PRIMITIVE_HALF && second->op == PRIMITIVE_HALF && first->operands[0] == second->operands[0])
        return first->operands[0];
    return find_or_append(s, &(Instruction){PRIMITIVE_JOINED, 0, 0, {lower, upper, NONE, NONE}});
}

uint32_t straight_call(Straight *s, Op op, double number, uint32_t x, uint32_t y, uint32_t w) {
    Instruction in = {PRIMITIVE_CALL, (uint8_t)s->is_float32, op, {x, y, w, NONE}};
    if (op_info[op].shape == SCALED) memcpy(in.operands + 2, &number, sizeof number);
    return find_or_append(s, &in);
}

void straight_total(Straight *s, uint32_t which, uint32_t value) {
    append(s, &(Instruction){PRIMITIVE_TOTAL, 0, which, {value, NONE, NONE, NONE}});
}

void straight_output(Straight *s, uint32_t row, uint32_t value) {
    append(s, &(Instruction){PRIMITIVE_OUTPUT, (uint8_t)s->is_float32, row, {value, NONE, NONE, NONE}});
}
