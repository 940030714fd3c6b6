/* SPDX-License-Identifier: MIT
 *
 * Machine code of x86-64: the instructions that straight-line programs need, as bytes.
 *
 * Instructions on vectors have two encodings: VEX (AVX2 and FMA: 16 registers of 4 doubles) and EVEX (AVX-512 F,
 * DQ and VL: 32 registers of 8 or 4 doubles, and one number of memory for all lanes). Vectors of floats are as long,
 * and so of twice as many.
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
typedef enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15 } Address;

/* The last operand of an instruction on vectors. */
typedef struct {
    int32_t at;        /* in memory: behind the base */
    int8_t reg;        /* a vector register; -1: memory */
    uint8_t base;      /* an Address */
    uint8_t broadcast; /* one number for all lanes; EVEX only */
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
    PLACE_PICK,    /* to, first, source: of the numbers in to and source, those that first counts: EVEX only */
    PLACE_SIGNS,   /* a number's register, source: VEX only */
    PLACE_TAKE_UPPER, /* to (half a vector), source (a register): the upper half */
    PLACE_PUT_UPPER   /* to, first, source (half a vector): source as the upper half */
} Place;

/* FORM(id, mnemonic and floats' mnemonic, opcode map, opcode and floats' opcode, whether floats' has the prefix 66,
 * W of VEX, place). Doubles' have the prefix, and W = 1 in EVEX; floats' have W = 0 in both. A shift's opcode has its
 * extension in the upper byte. */
#define FOR_EACH_VECTOR_FORM(FORM)                                                          \
    FORM(ADD, "vaddpd", "vaddps", 1, 0x58, 0x58, 0, 0, PLACE_THREE)                         \
    FORM(SUB, "vsubpd", "vsubps", 1, 0x5C, 0x5C, 0, 0, PLACE_THREE)                         \
    FORM(MUL, "vmulpd", "vmulps", 1, 0x59, 0x59, 0, 0, PLACE_THREE)                         \
    FORM(DIV, "vdivpd", "vdivps", 1, 0x5E, 0x5E, 0, 0, PLACE_THREE)                         \
    FORM(AND, "vandpd", "vandps", 1, 0x54, 0x54, 0, 0, PLACE_THREE)                         \
    FORM(ANDN, "vandnpd", "vandnps", 1, 0x55, 0x55, 0, 0, PLACE_THREE)                      \
    FORM(OR, "vorpd", "vorps", 1, 0x56, 0x56, 0, 0, PLACE_THREE)                            \
    FORM(XOR, "vxorpd", "vxorps", 1, 0x57, 0x57, 0, 0, PLACE_THREE)                         \
    FORM(WHOLE_ADD, "vpaddq", "vpaddd", 1, 0xD4, 0xFE, 1, 0, PLACE_THREE)                   \
    FORM(WHOLE_SUB, "vpsubq", "vpsubd", 1, 0xFB, 0xFA, 1, 0, PLACE_THREE)                   \
    FORM(FMADD_132, "vfmadd132pd", "vfmadd132ps", 2, 0x98, 0x98, 1, 1, PLACE_THREE)         \
    FORM(FMADD_213, "vfmadd213pd", "vfmadd213ps", 2, 0xA8, 0xA8, 1, 1, PLACE_THREE)         \
    FORM(FMADD_231, "vfmadd231pd", "vfmadd231ps", 2, 0xB8, 0xB8, 1, 1, PLACE_THREE)         \
    FORM(FMSUB_132, "vfmsub132pd", "vfmsub132ps", 2, 0x9A, 0x9A, 1, 1, PLACE_THREE)         \
    FORM(FMSUB_213, "vfmsub213pd", "vfmsub213ps", 2, 0xAA, 0xAA, 1, 1, PLACE_THREE)         \
    FORM(FMSUB_231, "vfmsub231pd", "vfmsub231ps", 2, 0xBA, 0xBA, 1, 1, PLACE_THREE)         \
    FORM(FNMADD_132, "vfnmadd132pd", "vfnmadd132ps", 2, 0x9C, 0x9C, 1, 1, PLACE_THREE)      \
    FORM(FNMADD_213, "vfnmadd213pd", "vfnmadd213ps", 2, 0xAC, 0xAC, 1, 1, PLACE_THREE)      \
    FORM(FNMADD_231, "vfnmadd231pd", "vfnmadd231ps", 2, 0xBC, 0xBC, 1, 1, PLACE_THREE)      \
    FORM(SQRT, "vsqrtpd", "vsqrtps", 1, 0x51, 0x51, 0, 0, PLACE_TWO)                        \
    FORM(COPY, "vmovapd", "vmovaps", 1, 0x28, 0x28, 0, 0, PLACE_TWO)                        \
    FORM(LOAD, "vmovupd", "vmovups", 1, 0x10, 0x10, 0, 0, PLACE_TWO)                        \
    FORM(SPREAD, "vbroadcastsd", "vbroadcastss", 2, 0x19, 0x18, 1, 0, PLACE_TWO)            \
    FORM(CONVERT, "vcvtpd2ps", "vcvtps2pd", 1, 0x5A, 0x5A, 0, 0, PLACE_TWO)                 \
    FORM(STORE, "vmovupd", "vmovups", 1, 0x11, 0x11, 0, 0, PLACE_STORE)                     \
    FORM(SHIFT_LEFT, "vpsllq", "vpslld", 1, 0x673, 0x672, 1, 0, PLACE_SHIFT)                \
    FORM(SHIFT_RIGHT, "vpsrlq", "vpsrld", 1, 0x273, 0x272, 1, 0, PLACE_SHIFT)               \
    FORM(ROUND, "vroundpd", "vroundps", 3, 0x09, 0x08, 1, 0, PLACE_ROUND)                   \
    FORM(COMPARE, "vcmppd", "vcmpps", 1, 0xC2, 0xC2, 0, 0, PLACE_COMPARE)                   \
    FORM(BLEND_V, "vblendvpd", "vblendvps", 3, 0x4B, 0x4A, 1, 0, PLACE_BLEND_V)             \
    FORM(BLEND_M, "vblendmpd", "vblendmps", 2, 0x65, 0x65, 1, 0, PLACE_BLEND_M)             \
    FORM(MASKED, "vmovapd", "vmovaps", 1, 0x28, 0x28, 0, 0, PLACE_MASKED)                   \
    FORM(PICK, "vpermt2pd", "vpermt2ps", 2, 0x7F, 0x7F, 1, 0, PLACE_PICK)                   \
    FORM(SIGNS, "vmovmskpd", "vmovmskps", 1, 0x50, 0x50, 0, 0, PLACE_SIGNS)                 \
    FORM(TAKE_UPPER, "vextractf128", "vextractf128", 3, 0x19, 0x19, 1, 0, PLACE_TAKE_UPPER) \
    FORM(PUT_UPPER, "vinsertf128", "vinsertf128", 3, 0x18, 0x18, 1, 0, PLACE_PUT_UPPER)

typedef enum {
#define ID(id, ...) VECTOR_##id,
    FOR_EACH_VECTOR_FORM(ID)
#undef ID
        VECTOR_FORM_COUNT
} VectorForm;

/* Of each two, the second is for floats. */
typedef struct {
    const char *mnemonics[2];
    uint8_t map;
    uint16_t opcodes[2];
    uint8_t prefixes[2];
    uint8_t vex_w;
    uint8_t place;
} VectorFormInfo;

extern const VectorFormInfo vector_forms[VECTOR_FORM_COUNT];

/* How a comparison compares, without signalling. NOT ones hold where there is a NaN, too. */
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

/* How a ROUND rounds; no exception for being inexact. */
typedef enum { ROUND_DOWN = 9, ROUND_UP = 10 } Rounding;

/* Bytes that grow. */
typedef struct {
    uint8_t *bytes;
    size_t size, capacity;
    int failed; /* no memory: what was written is void */
    Machine machine;
    int is_float32; /* what instructions on vectors are of now: floats, or doubles */
} Code;

void code_free(Code *code);

/* to, first: vector registers, where the form has them. CONVERT: to the other kind of number, between the lower half
 * of a vector of floats and a vector of doubles. */
void encode(Code *code, VectorForm form, int to, int first, Source source, int immediate);

static inline Source in_register(int reg) { return (Source){.reg = (int8_t)reg}; }

static inline Source in_memory(Address base, int32_t at) {
    return (Source){.reg = -1, .base = (uint8_t)base, .at = at};
}

/* One number for all lanes, with EVEX. */
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
void encode_test_mask(Code *code);             /* mask 1, of 16 bits: is it 0? */
void encode_clear_upper(Code *code);           /* before code that knows nothing of wide registers */
void encode_return(Code *code);

/* Jumps and calls to a place in the code. The place's number is returned by the first; the second sets it. */
typedef enum { JUMP, CALL, JUMP_IF_NOT_ZERO } Jump;
size_t encode_jump(Code *code, Jump kind);
void code_land(Code *code, size_t jump, size_t place);

#endif
