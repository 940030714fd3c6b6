/* SPDX-License-Identifier: MIT
 *
 * Which value stands in which register, and which in memory.
 *
 * The whole program is one straight line, so that it is known when each value is read next. Where a register
 * is wanted and all are taken, the value goes that is read last (Belady, IBM Systems Journal 5, 1966).
 * Numbers and inputs stand in memory anyway; other values get a slot there when they lose their register.
 * A slot is free again behind the last instruction that reads it, not in it: what is stored to make room
 * for the result is stored before the operands are read.
 */
#ifndef MICROGRAD_C_REGISTERS_H
#define MICROGRAD_C_REGISTERS_H

#include "emit.h"

typedef struct {
    const Straight *straight;
    Emission *emission;
    Code *code;
    Arena *scratch;
    uint32_t (*after)[MOST_OPERANDS]; /* of each instruction's operands: who reads it next; NONE: nobody */
    uint32_t *next;                   /* of each value: who reads it next */
    int8_t *reg;                      /* of each value: -1 if it is in none */
    uint32_t *slot;                   /* of each value, or NONE; of a number: its place among the piece's */
    uint32_t held[MOST_REGISTERS];    /* the value in each register, or NONE */
    uint32_t until[MOST_REGISTERS];   /* ... and who reads it next */
    uint32_t available;               /* registers that hold nothing: a bit each */
    int n_registers;                  /* all but the one that no value ever holds */
    uint32_t at;                      /* the instruction at hand */
    GROWING(uint32_t) free_slots;
} Registers;

/* Finds out who reads what when, and so what nobody reads. */
void registers_begin(Registers *r, Emission *emission, const Straight *straight, Arena *arena, Arena *scratch);

/* The register that no value holds: for a moment's numbers. */
static inline int spare(const Registers *r) { return r->n_registers; }

static inline const Instruction *instruction_at(const Registers *r, uint32_t i) {
    return &r->straight->instructions.items[i];
}

static inline int is_leaf(const Registers *r, uint32_t value) {
    return instruction_at(r, value)->op <= PRIMITIVE_INPUT;
}

/* Where a row of the instruction's numbers begins. */
static inline int32_t row_place(const Emission *emission, const Instruction *in, uint32_t row) {
    return (int32_t)(row * emission->stride * (in->is_float32 ? sizeof(float) : sizeof(double)));
}

/* Where a row of inputs stands; those of outputs are numbered behind them. */
static inline Source row_source(const Emission *emission, const Instruction *in, uint32_t row) {
    int32_t bytes = (int32_t)(emission->stride * 8);
    if (!emission->is_walk) return in_memory(RBP, row_place(emission, in, row));
    return row & ROW_OF_FRAME ? in_memory(RBP, ((int32_t)(row & ~ROW_OF_FRAME) - FRAME_ROW_0) * bytes)
                              : in_memory(R13, (int32_t)row * bytes);
}

/* Where the value stands: its register, or memory. */
Source where_is(const Registers *r, uint32_t value);

/* All of these leave the registers in the set `pinned` as they are. */

/* A register that is free from now on. */
int take_register(Registers *r, uint32_t pinned);
/* The value stands in a register afterwards: it is given. */
int bring(Registers *r, uint32_t value, uint32_t pinned);
/* Brings operand k of the instruction at hand where that costs nobody else a register, or where instructions
 * cannot read it from memory. */
void bring_if_best(Registers *r, uint32_t k, uint32_t pinned);

/* The operands have been read, or will be by instructions that follow at once: those that nobody reads again
 * lose their registers now, and, when the instruction is written, their slots. */
void retire(Registers *r);
void release_slots(Registers *r);

/* The instruction at hand gives its value in this register; or it has been given, in a new slot. */
void give(Registers *r, int reg);
uint32_t give_slot(Registers *r);

/* The value has a slot, a copy of a leaf too. */
uint32_t store_in_slot(Registers *r, uint32_t value);
void lose_slot(Registers *r, uint32_t slot);

/* No register holds anything: what is read again stands in memory. */
void lose_registers(Registers *r);

/* The value to a register, or what stands at a source. */
void load(Registers *r, int reg, uint32_t value);
void fill(Registers *r, int reg, Source from);

#endif
