/* SPDX-License-Identifier: MIT */
#include "encode.h"

#include <stdlib.h>
#include <string.h>

enum { PREFIX_66 = 1 };

const VectorFormInfo vector_forms[VECTOR_FORM_COUNT] = {
#define FORM(id, mnemonic, of_floats, map, opcode, floats_opcode, floats_prefix, vex_w, place) \
    {{mnemonic, of_floats}, map, {opcode, floats_opcode}, {PREFIX_66, floats_prefix}, vex_w, place},
    FOR_EACH_VECTOR_FORM(FORM)
#undef FORM
};

/* -- bytes ------------------------------------------------------------------------------------------ */

enum { LONGEST = 16 }; /* bytes of an instruction */

static int make_room(Code *code) {
    if (code->failed) return -1;
    if (code->capacity - code->size >= LONGEST) return 0;
    size_t capacity = code->capacity ? 2 * code->capacity : 4096;
    uint8_t *bytes = realloc(code->bytes, capacity);
    if (!bytes) {
        code->failed = 1;
        return -1;
    }
    code->bytes = bytes;
    code->capacity = capacity;
    return 0;
}

void code_free(Code *code) {
    free(code->bytes);
    *code = (Code){0};
}

/* Where room was made. */
static void put(Code *code, unsigned byte) { code->bytes[code->size++] = (uint8_t)byte; }

static void put_32(Code *code, int32_t number) {
    memcpy(code->bytes + code->size, &number, sizeof number);
    code->size += sizeof number;
}

/* The operand that may be memory: `field` is the other operand, or more of the opcode. Displacements that
 * are a multiple of `unit` take one byte if they fit. */
static void put_memory(Code *code, unsigned field, unsigned base, int32_t at, int32_t unit) {
    int32_t steps = at / unit;
    int is_short = at % unit == 0 && steps >= -128 && steps < 128;
    unsigned mode = at == 0 && (base & 7) != RBP ? 0 : is_short ? 1 : 2;
    put(code, mode << 6 | (field & 7) << 3 | (base & 7));
    if ((base & 7) == RSP) put(code, 0x24); /* no index */
    if (mode == 1) put(code, (uint8_t)steps);
    if (mode == 2) put_32(code, at);
}

static void put_operand(Code *code, unsigned field, Source source, int32_t unit) {
    if (source.reg < 0) put_memory(code, field, source.base, source.at, unit);
    else put(code, 3u << 6 | (field & 7) << 3 | (source.reg & 7u));
}

/* -- vectors ------------------------------------------------------------------------------------------ */

/* What an encoding says of the opcode. */
typedef struct {
    unsigned map, prefix, w;
} Opcode;

static void put_vex(Code *code, Opcode opcode, unsigned field, unsigned first, Source source) {
    unsigned far = source.reg < 0 ? source.base >> 3 & 1u : (unsigned)source.reg >> 3 & 1u;
    unsigned rest = (~first & 15) << 3 | 1u << 2 | opcode.prefix; /* 256 bits */
    if (opcode.map == 1 && !far && !opcode.w) {
        put(code, 0xC5);
        put(code, (~field >> 3 & 1) << 7 | rest);
        return;
    }
    put(code, 0xC4);
    put(code, (~field >> 3 & 1) << 7 | 1u << 6 | (far ^ 1) << 5 | opcode.map);
    put(code, opcode.w << 7 | rest);
}

static void put_evex(Code *code, Opcode opcode, unsigned field, unsigned first, Source source, unsigned mask,
                     unsigned zeroing) {
    unsigned reg = source.reg < 0 ? source.base : (unsigned)source.reg; /* bit 4 stands where an index would */
    put(code, 0x62);
    put(code,
        (~field >> 3 & 1) << 7 | (~reg >> 4 & 1) << 6 | (~reg >> 3 & 1) << 5 | (~field >> 4 & 1) << 4 | opcode.map);
    put(code, opcode.w << 7 | (~first & 15) << 3 | 1u << 2 | opcode.prefix);
    put(code, zeroing << 7 | (code->machine.width == 8 ? 2u : 1u) << 5 | (unsigned)source.broadcast << 4 |
                  (~first >> 4 & 1) << 3 | mask);
}

/* What short displacements are counted in, with EVEX. */
static int32_t unit_of(const Code *code, VectorForm form, Source source) {
    int32_t bytes = 8 * code->machine.width;
    if (source.broadcast || form == VECTOR_SPREAD) return code->is_float32 ? 4 : 8;
    return form == VECTOR_CONVERT && code->is_float32 ? bytes / 2 : bytes;
}

static void put_vector(Code *code, VectorForm form, int to, int first, Source source, int immediate) {
    const VectorFormInfo *info = &vector_forms[form];
    int evex = code->machine.evex, floats = code->is_float32, has_immediate = 0;
    unsigned field = (unsigned)to, other = 0, byte = info->opcodes[floats] & 0xFF, mask = 0, zeroing = 0;
    Opcode opcode = {info->map, info->prefixes[floats], !floats && (evex || info->vex_w)};
    switch ((Place)info->place) {
    case PLACE_THREE: other = (unsigned)first; break;
    case PLACE_TWO:
    case PLACE_STORE: break;
    case PLACE_SIGNS:
        evex = 0;
        opcode.w = 0;
        break;
    case PLACE_SHIFT:
        field = (unsigned)info->opcodes[floats] >> 8;
        other = (unsigned)to;
        has_immediate = 1;
        break;
    case PLACE_ROUND: has_immediate = 1; break;
    case PLACE_COMPARE:
        if (evex) field = 1;
        other = (unsigned)first;
        has_immediate = 1;
        break;
    case PLACE_BLEND_V:
        other = (unsigned)first;
        immediate = (code->machine.registers - 1) << 4;
        has_immediate = 1;
        break;
    case PLACE_BLEND_M:
        other = (unsigned)first;
        mask = 1;
        break;
    case PLACE_PICK: other = (unsigned)first; break;
    case PLACE_MASKED:
        mask = 1;
        zeroing = 1;
        break;
    case PLACE_TAKE_UPPER:
        field = (unsigned)source.reg;
        source = in_register(to);
        break;
    case PLACE_PUT_UPPER: other = (unsigned)first; break;
    }
    if (form == VECTOR_TAKE_UPPER || form == VECTOR_PUT_UPPER) {
        opcode.w = code->machine.width == 8; /* half of 512 bits has opcodes of its own */
        byte += code->machine.width == 8 ? 2 : 0;
        immediate = has_immediate = 1;
    }
    if (evex) put_evex(code, opcode, field, other, source, mask, zeroing);
    else put_vex(code, opcode, field, other, source);
    put(code, byte);
    put_operand(code, field, source, evex ? unit_of(code, form, source) : 1);
    if (has_immediate) put(code, (unsigned)immediate);
}

void encode(Code *code, VectorForm form, int to, int first, Source source, int immediate) {
    if (make_room(code)) return;
    Code own = *code; /* of which the compiler knows that no byte that is written is part of it */
    put_vector(&own, form, to, first, source, immediate);
    code->size = own.size;
}

/* -- addresses, jumps and calls ------------------------------------------------------------------- */

/* 64 bits wide; `field` and `base` may be the upper registers. */
static void put_rex(Code *code, unsigned field, unsigned base) {
    put(code, 0x48 | (field >> 3 & 1) << 2 | (base >> 3 & 1));
}

void encode_push(Code *code, Address reg) {
    if (make_room(code)) return;
    if (reg >= R8) put(code, 0x41);
    put(code, 0x50 | (reg & 7u));
}

void encode_pop(Code *code, Address reg) {
    if (make_room(code)) return;
    if (reg >= R8) put(code, 0x41);
    put(code, 0x58 | (reg & 7u));
}

void encode_move(Code *code, Address to, Address from) {
    if (make_room(code)) return;
    put_rex(code, from, to);
    put(code, 0x89);
    put(code, 3u << 6 | (from & 7u) << 3 | (to & 7u));
}

void encode_read(Code *code, Address to, Address base, int32_t at) {
    if (make_room(code)) return;
    put_rex(code, to, base);
    put(code, 0x8B);
    put_memory(code, to, base, at, 1);
}

void encode_number(Code *code, Address to, uint32_t number) {
    if (make_room(code)) return;
    if (to >= R8) put(code, 0x41);
    put(code, 0xB8 | (to & 7u));
    put_32(code, (int32_t)number);
}

void encode_add(Code *code, Address to, int32_t number) {
    if (make_room(code)) return;
    put_rex(code, 0, to);
    put(code, 0x81);
    put(code, 3u << 6 | (to & 7u));
    put_32(code, number);
}

void encode_call_at(Code *code, Address base, int32_t at) {
    if (make_room(code)) return;
    if (base >= R8) put(code, 0x41);
    put(code, 0xFF);
    put_memory(code, 2, base, at, 1);
}

void encode_test(Code *code, Address reg) {
    if (make_room(code)) return;
    if (reg >= R8) put(code, 0x45);
    put(code, 0x85);
    put(code, 3u << 6 | (reg & 7u) << 3 | (reg & 7u));
}

void encode_test_mask(Code *code) {
    static const uint8_t kortestw[] = {0xC5, 0xF8, 0x98, 0xC9};
    if (make_room(code)) return;
    for (size_t k = 0; k < sizeof kortestw; k++) put(code, kortestw[k]);
}

void encode_clear_upper(Code *code) {
    static const uint8_t vzeroupper[] = {0xC5, 0xF8, 0x77};
    if (make_room(code)) return;
    for (size_t k = 0; k < sizeof vzeroupper; k++) put(code, vzeroupper[k]);
}

void encode_return(Code *code) {
    if (!make_room(code)) put(code, 0xC3);
}

size_t encode_jump(Code *code, Jump kind) {
    if (make_room(code)) return 0;
    switch (kind) {
    case JUMP: put(code, 0xE9); break;
    case CALL: put(code, 0xE8); break;
    case JUMP_IF_NOT_ZERO:
        put(code, 0x0F);
        put(code, 0x85);
        break;
    }
    put_32(code, 0);
    return code->size;
}

void code_land(Code *code, size_t jump, size_t place) {
    int32_t distance = (int32_t)((ptrdiff_t)place - (ptrdiff_t)jump);
    if (!code->failed) memcpy(code->bytes + jump - sizeof distance, &distance, sizeof distance);
}
