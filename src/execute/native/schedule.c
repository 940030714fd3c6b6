/* SPDX-License-Identifier: MIT */
#include "schedule.h"

enum {
    AT_ONCE = 2,           /* instructions a cycle, of those that need not wait */
    MOST_SCHEDULED = 1000, /* in longer lines, too many values would wait for being read */
    EARLINESS = 8          /* how much an earlier cycle counts for more than an earlier place */
};

/* Cycles until its result can be read, about. */
static uint32_t latency(Primitive op) {
    switch (op) {
    case PRIMITIVE_NUMBER:
    case PRIMITIVE_INPUT:
    case PRIMITIVE_TOTAL:
    case PRIMITIVE_OUTPUT: return 0;
    case PRIMITIVE_AND:
    case PRIMITIVE_ANDN:
    case PRIMITIVE_OR:
    case PRIMITIVE_XOR:
    case PRIMITIVE_WHOLE_ADD:
    case PRIMITIVE_WHOLE_SUB:
    case PRIMITIVE_SHIFT_LEFT:
    case PRIMITIVE_SHIFT_RIGHT: return 1;
    case PRIMITIVE_ADD:
    case PRIMITIVE_SUB: return 3;
    case PRIMITIVE_MUL:
    case PRIMITIVE_FMADD:
    case PRIMITIVE_FMSUB:
    case PRIMITIVE_FNMADD: return 4;
    case PRIMITIVE_SELECT: return 5; /* a comparison, then a choice */
    case PRIMITIVE_PICK:
    case PRIMITIVE_HALF: return 6; /* it is taken, then converted */
    case PRIMITIVE_JOINED:
    case PRIMITIVE_ROUND: return 8;
    case PRIMITIVE_DIV: return 13;
    case PRIMITIVE_SQRT: return 20;
    case PRIMITIVE_TURNED: return 1; /* beside its line */
    case PRIMITIVE_CALL: return 20; /* little goes on beside it, however long it takes */
    }
    abort();
}

/* When each instruction can begin, if only operands are waited for; returns when the last has ended. */
static uint32_t find_beginnings(const Straight *s, uint32_t *begin, Arena *scratch) {
    uint32_t *end = ARENA_ARRAY(scratch, uint32_t, s->instructions.size + 1), last = 0;
    for (uint32_t i = 0; i < s->instructions.size; i++) {
        const Instruction *in = &s->instructions.items[i];
        uint32_t count = instruction_operands(in);
        for (uint32_t k = 0; k < count; k++)
            if (begin[i] < end[in->operands[k]]) begin[i] = end[in->operands[k]];
        end[i] = begin[i] + latency((Primitive)in->op);
        if (last < end[i]) last = end[i];
    }
    return last;
}

/* places[i]: how many of the keys are less than keys[i], or as much and stand before it. */
static void sort(const uint32_t *keys, uint32_t count, uint32_t most, uint32_t *places, Arena *scratch) {
    uint32_t *first = ARENA_ARRAY(scratch, uint32_t, most + 2);
    for (uint32_t i = 0; i < count; i++) first[keys[i] + 1]++;
    for (uint32_t key = 0; key <= most; key++) first[key + 1] += first[key];
    for (uint32_t i = 0; i < count; i++) places[i] = first[keys[i]]++;
}

void straight_schedule(Straight *s, Arena *scratch) {
    uint32_t count = s->instructions.size;
    if (count > MOST_SCHEDULED) return;
    uint32_t *keys = ARENA_ARRAY(scratch, uint32_t, count + 1), *places = ARENA_ARRAY(scratch, uint32_t, count + 1);
    uint32_t cycles = find_beginnings(s, keys, scratch);
    if (count >= AT_ONCE * cycles) return;
    /* Operands stay before what reads them: they begin no later, and stood before it. */
    for (uint32_t i = 0; i < count; i++) keys[i] = EARLINESS * keys[i] + i;
    sort(keys, count, EARLINESS * cycles + count, places, scratch);
    Instruction *from = ARENA_ARRAY(scratch, Instruction, count + 1), *to = s->instructions.items;
    memcpy(from, to, count * sizeof *from);
    for (uint32_t i = 0; i < count; i++) {
        Instruction *in = &to[places[i]];
        *in = from[i];
        uint32_t operands = instruction_operands(in);
        for (uint32_t k = 0; k < operands; k++) in->operands[k] = places[in->operands[k]];
    }
}
