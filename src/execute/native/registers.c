/* SPDX-License-Identifier: MIT */
#include "registers.h"

static int has_effect(const Instruction *in) { return in->op == PRIMITIVE_TOTAL || in->op == PRIMITIVE_OUTPUT; }

/* What changes from run to run and stands among the program's numbers alone. */
static int is_given(const Registers *r, const Instruction *in) {
    int reads_doubles = r->code->machine.evex || !r->emission->is_loop;
    return in->op == PRIMITIVE_NUMBER && in->operands[2] != NONE && reads_doubles && !in->is_float32;
}

/* Those of the text, or copies of the others. */
static void list_numbers(Registers *r, Arena *arena, int moving) {
    Emission *emission = r->emission;
    for (uint32_t i = 0; i < r->straight->instructions.size; i++) {
        const Instruction *in = instruction_at(r, i);
        if (in->op != PRIMITIVE_NUMBER || r->next[i] == NONE || (in->operands[2] != NONE) != moving) continue;
        if (is_given(r, in)) continue;
        Number number = {0, in->operands[2], in->is_float32};
        if (!moving) number.number = number_of_bits(bits_at(in->operands), in->is_float32);
        GROW(arena, &emission->numbers, Number, 1);
        r->slot[i] = emission->numbers.size;
        emission->numbers.items[emission->numbers.size++] = number;
    }
}

void registers_begin(Registers *r, Emission *emission, const Straight *straight, Arena *arena, Arena *scratch) {
    uint32_t size = straight->instructions.size;
    *r = (Registers){.straight = straight, .emission = emission, .code = emission->code, .scratch = scratch};
    r->after = arena_alloc(scratch, size + 1, sizeof *r->after);
    r->next = ARENA_ARRAY(scratch, uint32_t, size + 1);
    r->reg = ARENA_ARRAY(scratch, int8_t, size + 1);
    r->slot = ARENA_ARRAY(scratch, uint32_t, size + 1);
    r->n_registers = emission->code->machine.registers - 1;
    r->available = r->n_registers == 31 ? UINT32_MAX >> 1 : (UINT32_C(1) << r->n_registers) - 1;
    memset(r->held, 0xFF, sizeof r->held);
    memset(r->next, 0xFF, size * sizeof *r->next);
    memset(r->slot, 0xFF, size * sizeof *r->slot);
    memset(r->reg, 0xFF, size);
    for (uint32_t i = size; i-- > 0;) {
        const Instruction *in = instruction_at(r, i);
        if (r->next[i] == NONE && !has_effect(in)) continue;
        uint32_t count = instruction_operands(in);
        for (uint32_t k = 0; k < count; k++) r->after[i][k] = r->next[in->operands[k]];
        for (uint32_t k = 0; k < count; k++) r->next[in->operands[k]] = i;
        emission->instructions += !is_leaf(r, i);
    }
    list_numbers(r, arena, 1);
    emission->n_moving = emission->numbers.size;
    list_numbers(r, arena, 0);
}

/* -- memory ----------------------------------------------------------------------------------------- */

static Source slot_at(const Registers *r, uint32_t slot) {
    return in_memory(R15, (int32_t)slot * 8 * r->code->machine.width);
}

Source where_is(const Registers *r, uint32_t value) {
    if (r->reg[value] >= 0) return in_register(r->reg[value]);
    const Instruction *in = instruction_at(r, value);
    if (in->op == PRIMITIVE_INPUT) return row_source(r->emission, in, in->detail);
    if (in->op != PRIMITIVE_NUMBER) return slot_at(r, r->slot[value]);
    if (is_given(r, in)) return number_in_memory(R12, (int32_t)in->operands[2] * 8);
    int32_t place = (int32_t)r->slot[value] * 8;
    return r->code->machine.evex ? number_in_memory(RBX, place) : in_memory(RBX, place * r->code->machine.width);
}

static uint32_t take_slot(Registers *r) {
    return r->free_slots.size ? r->free_slots.items[--r->free_slots.size] : r->emission->n_slots++;
}

void lose_slot(Registers *r, uint32_t slot) {
    GROW(r->scratch, &r->free_slots, uint32_t, 1);
    r->free_slots.items[r->free_slots.size++] = slot;
}

void fill(Registers *r, int reg, Source from) {
    VectorForm form = from.reg >= 0 ? VECTOR_COPY : from.broadcast ? VECTOR_SPREAD : VECTOR_LOAD;
    from.broadcast = 0; /* which a form of its own does */
    encode(r->code, form, reg, 0, from, 0);
}

void load(Registers *r, int reg, uint32_t value) { fill(r, reg, where_is(r, value)); }

/* Values that are read again keep their number in memory. */
static void save(Registers *r, uint32_t value) {
    if (is_leaf(r, value) || r->slot[value] != NONE) return;
    r->slot[value] = take_slot(r);
    encode(r->code, VECTOR_STORE, r->reg[value], 0, slot_at(r, r->slot[value]), 0);
    r->emission->stores++;
}

uint32_t store_in_slot(Registers *r, uint32_t value) {
    if (!is_leaf(r, value)) {
        save(r, value);
        return r->slot[value];
    }
    uint32_t slot = take_slot(r);
    int reg = r->reg[value];
    if (reg < 0) load(r, reg = spare(r), value);
    encode(r->code, VECTOR_STORE, reg, 0, slot_at(r, slot), 0);
    return slot;
}

/* -- registers -------------------------------------------------------------------------------------- */

static void lose_register(Registers *r, int reg) {
    r->reg[r->held[reg]] = -1;
    r->held[reg] = NONE;
    r->available |= UINT32_C(1) << reg;
}

/* The register whose value is read last. */
static int held_longest(const Registers *r, uint32_t pinned) {
    uint64_t latest[2] = {0}; /* and the register: of even and odd ones, so that none waits for the one before */
    for (int k = 0; k < r->n_registers; k++) {
        uint64_t at = pinned >> k & 1 ? 0 : (uint64_t)r->until[k] << 8 | (unsigned)k;
        if (latest[k % 2] < at) latest[k % 2] = at;
    }
    return (latest[0] < latest[1] ? latest[1] : latest[0]) & 0xFF;
}

static int first_of(uint32_t set) {
#if defined(__GNUC__)
    return __builtin_ctz(set);
#else
    int k = 0;
    while (!(set >> k & 1)) k++;
    return k;
#endif
}

static void hold(Registers *r, int reg, uint32_t value) {
    r->held[reg] = value;
    r->until[reg] = r->next[value];
    r->reg[value] = (int8_t)reg;
}

int take_register(Registers *r, uint32_t pinned) {
    uint32_t available = r->available & ~pinned;
    int reg;
    if (available) {
        reg = first_of(available);
    } else {
        reg = held_longest(r, pinned);
        if (r->until[reg] != NONE) save(r, r->held[reg]);
        lose_register(r, reg);
    }
    r->available &= ~(UINT32_C(1) << reg);
    return reg;
}

int bring(Registers *r, uint32_t value, uint32_t pinned) {
    if (r->reg[value] >= 0) return r->reg[value];
    int reg = take_register(r, pinned);
    load(r, reg, value);
    hold(r, reg, value);
    return reg;
}

void bring_if_best(Registers *r, uint32_t k, uint32_t pinned) {
    uint32_t value = instruction_at(r, r->at)->operands[k];
    if (r->reg[value] >= 0) return;
    int is_free = !is_leaf(r, value) && r->after[r->at][k] != NONE && (r->available & ~pinned);
    if (is_free || (where_is(r, value).broadcast && !r->code->machine.evex)) bring(r, value, pinned);
}

void retire(Registers *r) {
    const Instruction *in = instruction_at(r, r->at);
    uint32_t count = instruction_operands(in);
    for (uint32_t k = 0; k < count; k++) {
        uint32_t value = in->operands[k];
        int reg = r->reg[value];
        r->next[value] = r->after[r->at][k];
        if (reg < 0) continue;
        r->until[reg] = r->next[value];
        if (r->next[value] == NONE) lose_register(r, reg);
    }
}

void release_slots(Registers *r) {
    const Instruction *in = instruction_at(r, r->at);
    uint32_t count = instruction_operands(in);
    for (uint32_t k = 0; k < count; k++) {
        uint32_t value = in->operands[k];
        if (r->next[value] != NONE || is_leaf(r, value) || r->slot[value] == NONE) continue;
        lose_slot(r, r->slot[value]);
        r->slot[value] = NONE;
    }
}

void give(Registers *r, int reg) {
    hold(r, reg, r->at);
    r->available &= ~(UINT32_C(1) << reg);
}

uint32_t give_slot(Registers *r) { return r->slot[r->at] = take_slot(r); }

void lose_registers(Registers *r) {
    for (int reg = 0; reg < r->n_registers; reg++) {
        if (r->held[reg] == NONE) continue;
        if (r->next[r->held[reg]] != NONE) save(r, r->held[reg]);
        lose_register(r, reg);
    }
}
