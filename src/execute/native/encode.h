/* SPDX-License-Identifier: MIT
 *
 * Machine code of x86-64: the instructions that straight-line programs need, as bytes.
 *
 * Instructions on vectors of doubles have two encodings: VEX (AVX2 and FMA: 16 registers of 4 doubles) and
 * EVEX (AVX-512 F, DQ and VL: 32 registers of 8 or 4 doubles, and one number of memory for all lanes).
 *
 * Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, 2.3 (VEX) and
 * 2.7 (EVEX), and the tables of chapters 3 to 6.
 */
#ifndef MICROGRAD_C_ENCODE_H
#define MICROGRAD_C_ENCODE_H

#include <stddef.h>
#include <stdint.h>

/* Which encoding, and how many doubles a vector has. */
typedef struct {
    int evex;
    int width;     /* 4 or 8 */
    int registers; /* 16 or 32 */
} Machine;

/* Of the 16 registers for numbers and addresses, by their numbers. */
typedef enum {
    RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15
} Address;

/* The last operand of an instruction on vectors. */
typedef struct {
    int32_t at;        /* in memory: behind the base */
    int8_t reg;        /* a vector register; -1: memory */
    uint8_t base;      /* an Address */
    uint8_t broadcast; /* one double for all lanes; EVEX only */
} Source;

/* Where the operands of a form stand in the encoding. */
typedef enum {
    PLACE_THREE,   /* to, first, source         */
    PLACE_TWO,     /* to, source                */
    PLACE_STORE,   /* source (memory), to       */
    PLACE_SHIFT,   /* to, source, immediate; the opcode goes on in the register field */
    PLACE_ROUND,   /* to, source, immediate     */
    PLACE_COMPARE, /* to (EVEX: mask 1), first, source, immediate */
    PLACE_BLEND_V, /* to, first, source, the last register as mask: VEX only */
    PLACE_BLEND_M, /* to, first, source by mask 1: EVEX only */
    PLACE_MASKED,  /* to, source, 0 where mask 1 is: EVEX only */
    PLACE_SIGNS    /* a number's register, source: VEX only */
} Place;

/* FORM(id, mnemonic, opcode map, opcode, W of VEX, place). EVEX has W = 1 in all of them; the prefix is 66.
 * A shift's opcode has its extension in the upper byte. */
#define FOR_EACH_VECTOR_FORM(FORM)                            \
    FORM(ADD, "vaddpd", 1, 0x58, 0, PLACE_THREE)              \
    FORM(SUB, "vsubpd", 1, 0x5C, 0, PLACE_THREE)              \
    FORM(MUL, "vmulpd", 1, 0x59, 0, PLACE_THREE)              \
    FORM(DIV, "vdivpd", 1, 0x5E, 0, PLACE_THREE)              \
    FORM(AND, "vandpd", 1, 0x54, 0, PLACE_THREE)              \
    FORM(ANDN, "vandnpd", 1, 0x55, 0, PLACE_THREE)            \
    FORM(OR, "vorpd", 1, 0x56, 0, PLACE_THREE)                \
    FORM(XOR, "vxorpd", 1, 0x57, 0, PLACE_THREE)              \
    FORM(WHOLE_ADD, "vpaddq", 1, 0xD4, 0, PLACE_THREE)        \
    FORM(WHOLE_SUB, "vpsubq", 1, 0xFB, 0, PLACE_THREE)        \
    FORM(FMADD_132, "vfmadd132pd", 2, 0x98, 1, PLACE_THREE)   \
    FORM(FMADD_213, "vfmadd213pd", 2, 0xA8, 1, PLACE_THREE)   \
    FORM(FMADD_231, "vfmadd231pd", 2, 0xB8, 1, PLACE_THREE)   \
    FORM(FMSUB_132, "vfmsub132pd", 2, 0x9A, 1, PLACE_THREE)   \
    FORM(FMSUB_213, "vfmsub213pd", 2, 0xAA, 1, PLACE_THREE)   \
    FORM(FMSUB_231, "vfmsub231pd", 2, 0xBA, 1, PLACE_THREE)   \
    FORM(FNMADD_132, "vfnmadd132pd", 2, 0x9C, 1, PLACE_THREE) \
    FORM(FNMADD_213, "vfnmadd213pd", 2, 0xAC, 1, PLACE_THREE) \
    FORM(FNMADD_231, "vfnmadd231pd", 2, 0xBC, 1, PLACE_THREE) \
    FORM(SQRT, "vsqrtpd", 1, 0x51, 0, PLACE_TWO)              \
    FORM(COPY, "vmovapd", 1, 0x28, 0, PLACE_TWO)              \
    FORM(LOAD, "vmovupd", 1, 0x10, 0, PLACE_TWO)              \
    FORM(SPREAD, "vbroadcastsd", 2, 0x19, 0, PLACE_TWO)       \
    FORM(STORE, "vmovupd", 1, 0x11, 0, PLACE_STORE)           \
    FORM(SHIFT_LEFT, "vpsllq", 1, 0x673, 0, PLACE_SHIFT)      \
    FORM(SHIFT_RIGHT, "vpsrlq", 1, 0x273, 0, PLACE_SHIFT)     \
    FORM(ROUND, "vroundpd", 3, 0x09, 0, PLACE_ROUND)          \
    FORM(COMPARE, "vcmppd", 1, 0xC2, 0, PLACE_COMPARE)        \
    FORM(BLEND_V, "vblendvpd", 3, 0x4B, 0, PLACE_BLEND_V)     \
    FORM(BLEND_M, "vblendmpd", 2, 0x65, 0, PLACE_BLEND_M)     \
    FORM(MASKED, "vmovapd", 1, 0x28, 0, PLACE_MASKED)         \
    FORM(SIGNS, "vmovmskpd", 1, 0x50, 0, PLACE_SIGNS)

typedef enum {
#define ID(id, ...) VECTOR_##id,
    FOR_EACH_VECTOR_FORM(ID)
#undef ID
    VECTOR_FORM_COUNT
} VectorForm;

typedef struct {
    const char *mnemonic;
    uint8_t map;
    uint16_t opcode;
    uint8_t vex_w;
    uint8_t place;
} VectorFormInfo;

extern const VectorFormInfo vector_forms[VECTOR_FORM_COUNT];

/* How a vcmppd compares, without signalling. NOT ones hold where there is a NaN, too. */
typedef enum {
    COMPARE_IS_EQUAL = 0x00,
    COMPARE_IS_LESS = 0x11,
    COMPARE_IS_LESS_EQUAL = 0x12,
    COMPARE_NOT_EQUAL = 0x04,
    COMPARE_NOT_LESS = 0x15,
    COMPARE_NOT_LESS_EQUAL = 0x16,
    COMPARE_IS_GREATER = 0x1E,
    COMPARE_IS_GREATER_EQUAL = 0x1D,
    COMPARE_NOT_GREATER = 0x1A,
    COMPARE_NOT_GREATER_EQUAL = 0x19
} Predicate;

/* How a vroundpd rounds; no exception for being inexact. */
typedef enum { ROUND_DOWN = 9, ROUND_UP = 10 } Rounding;

/* Bytes that grow. */
typedef struct {
    uint8_t *bytes;
    size_t size, capacity;
    int failed; /* no memory: what was written is void */
    Machine machine;
} Code;

void code_free(Code *code);

/* to, first: vector registers, where the form has them. */
void encode(Code *code, VectorForm form, int to, int first, Source source, int immediate);

static inline Source in_register(int reg) { return (Source){.reg = (int8_t)reg}; }

static inline Source in_memory(Address base, int32_t at) {
    return (Source){.reg = -1, .base = (uint8_t)base, .at = at};
}

/* One double for all lanes, with EVEX. */
static inline Source number_in_memory(Address base, int32_t at) {
    return (Source){.reg = -1, .base = (uint8_t)base, .at = at, .broadcast = 1};
}

/* -- addresses, jumps and calls ------------------------------------------------------------------- */

void encode_push(Code *code, Address reg);
void encode_pop(Code *code, Address reg);
void encode_move(Code *code, Address to, Address from);
void encode_read(Code *code, Address to, Address base, int32_t at); /* 64 bits */
void encode_number(Code *code, Address to, uint32_t number);
void encode_add(Code *code, Address to, int32_t number);
void encode_call_at(Code *code, Address base, int32_t at);
void encode_test(Code *code, Address reg);     /* 32 bits of it: is it 0? */
void encode_test_mask(Code *code);             /* the first 8 bits of mask 1: are they 0? */
void encode_clear_upper(Code *code);           /* before code that knows nothing of wide registers */
void encode_return(Code *code);

/* Jumps and calls to a place in the code. The place's number is returned by the first; the second sets it. */
typedef enum { JUMP, CALL, JUMP_IF_NOT_ZERO } Jump;
size_t encode_jump(Code *code, Jump kind);
void code_land(Code *code, size_t jump, size_t place);

#endif
