/* SPDX-License-Identifier: MIT */
#include "emit.h"

#include "registers.h"

/* -- what is not in the line ------------------------------------------------------------------------ */

/* Code behind the loop for arguments that a turning function's code does not take. */
typedef struct {
    size_t jump, back;
    int turned, angle;
    uint32_t op;
    int is_float32;
} Detour;

typedef struct {
    Registers registers;
    Emission *emission;
    Code *code;
    Arena *arena, *scratch;
    GROWING(Detour) detours;
    uint32_t compared[3]; /* what the spare register, or mask 1, says: a comparison, and of what; NONEs: nothing */
} Emitter;

#define OF_HEADER(member) ((int32_t)offsetof(Header, member) - (int32_t)sizeof(Header))

static int vector_bytes(const Emitter *e) { return 8 * e->code->machine.width; }

/* Calls C with the slots and a number. Registers of vectors hold nothing afterwards. */
static void call_c(Emitter *e, int32_t function, uint32_t number) {
    encode_clear_upper(e->code);
    encode_move(e->code, RDI, R15);
    encode_number(e->code, RSI, number);
    encode_call_at(e->code, R15, function);
}

static void emit_detours(Emitter *e) {
    int all = e->code->machine.registers;
    for (uint32_t k = 0; k < e->detours.size; k++) {
        const Detour *detour = &e->detours.items[k];
        code_land(e->code, detour->jump, e->code->size);
        for (int reg = 0; reg < all; reg++)
            encode(e->code, VECTOR_STORE, reg, 0, in_memory(R15, OF_HEADER(saved[0]) + reg * vector_bytes(e)), 0);
        encode(e->code, VECTOR_STORE, detour->turned, 0, in_memory(R15, OF_HEADER(turned)), 0);
        encode(e->code, VECTOR_STORE, detour->angle, 0, in_memory(R15, OF_HEADER(angle)), 0);
        call_c(e, detour->is_float32 ? OF_HEADER(turn[1]) : OF_HEADER(turn[0]), detour->op);
        for (int reg = 0; reg < all; reg++)
            encode(e->code, VECTOR_LOAD, reg, 0, in_memory(R15, OF_HEADER(saved[0]) + reg * vector_bytes(e)), 0);
        encode(e->code, VECTOR_LOAD, detour->turned, 0, in_memory(R15, OF_HEADER(turned)), 0);
        code_land(e->code, encode_jump(e->code, JUMP), detour->back);
    }
}

/* -- instructions by their shape -------------------------------------------------------------------- */

static uint32_t bit_of(const Emitter *e, uint32_t value) {
    int reg = e->registers.reg[value];
    return reg < 0 ? 0 : UINT32_C(1) << reg;
}

/* The registers of all operands. */
static uint32_t pinned(const Emitter *e, const Instruction *in) {
    uint32_t set = 0, count = instruction_operands(in);
    for (uint32_t k = 0; k < count; k++) set |= bit_of(e, in->operands[k]);
    return set;
}

static int is_held(const Emitter *e, uint32_t value) { return e->registers.reg[value] >= 0; }

static void emit_two(Emitter *e, const Instruction *in, VectorForm form, int commutes) {
    Registers *r = &e->registers;
    uint32_t first = 0, second = 1;
    if (commutes && !is_held(e, in->operands[0])) { /* the other one is held, or is it read sooner? */
        const uint32_t *after = r->after[r->at];
        if (is_held(e, in->operands[1]) || after[1] < after[0]) {
            first = 1;
            second = 0;
        }
    }
    bring(r, in->operands[first], pinned(e, in));
    bring_if_best(r, second, pinned(e, in));
    int a = r->reg[in->operands[first]];
    Source b = where_is(r, in->operands[second]);
    retire(r);
    int to = take_register(r, 0);
    encode(e->code, form, to, a, b, 0);
    give(r, to);
}

/* Of one operand, which may stand in memory if the form takes one number of memory for all lanes. */
static void emit_one(Emitter *e, const Instruction *in, VectorForm form) {
    Registers *r = &e->registers;
    if (form == VECTOR_SHIFT_LEFT || form == VECTOR_SHIFT_RIGHT) bring(r, in->operands[0], 0);
    else bring_if_best(r, 0, 0);
    Source a = where_is(r, in->operands[0]);
    retire(r);
    int to = take_register(r, 0);
    encode(e->code, form, to, 0, a, (int)in->detail);
    give(r, to);
}

/* A register with operand k in it, which the result may overwrite. */
static int tie(Emitter *e, const Instruction *in, uint32_t k, uint32_t pins) {
    Registers *r = &e->registers;
    uint32_t value = in->operands[k];
    int own = r->reg[value], dies = r->after[r->at][k] == NONE;
    Source from = where_is(r, value);
    retire(r);
    if (own >= 0 && dies) {
        r->available &= ~(UINT32_C(1) << own);
        return own;
    }
    int to = take_register(r, pins);
    fill(r, to, from);
    return to;
}

static void emit_fused(Emitter *e, const Instruction *in, VectorForm form_132) {
    Registers *r = &e->registers;
    const uint32_t *o = in->operands, *after = r->after[r->at];
    for (uint32_t k = 0; k < 3; k++) bring_if_best(r, k, pinned(e, in));
    /* The operand that the result overwrites: one that nobody reads again, or one that is loaded for that. And
     * one of the others may stay in memory. */
    uint32_t in_place = NONE, tied = NONE;
    for (uint32_t k = 3; k-- > 0 && tied == NONE;)
        if (is_held(e, o[k]) && after[k] == NONE) tied = k;
    for (uint32_t k = 0; k < 3 && tied == NONE; k++)
        if (!is_held(e, o[k])) tied = k;
    if (tied == NONE) tied = 2;
    for (uint32_t k = 0; k < 3; k++) {
        if (k == tied || is_held(e, o[k])) continue;
        if (in_place == NONE && o[k] != o[tied]) in_place = k;
        else bring(r, o[k], pinned(e, in));
    }
    uint32_t pins = pinned(e, in);
    Source sources[3];
    for (uint32_t k = 0; k < 3; k++) sources[k] = where_is(r, o[k]);
    int to = tie(e, in, tied, pins);
    VectorForm form;
    uint32_t first, last;
    if (tied == 2) { /* the addend: to += first * last */
        form = (VectorForm)(form_132 + 2);
        first = in_place == 0 ? 1 : 0;
        last = 1 - first;
    } else { /* a factor: to = to * last + first, or to = first * to + last */
        uint32_t factor = 1 - tied;
        form = in_place == 2 ? (VectorForm)(form_132 + 1) : form_132;
        first = in_place == 2 ? factor : 2;
        last = in_place == 2 ? 2 : factor;
    }
    encode(e->code, form, to, sources[first].reg, sources[last], 0);
    give(r, to);
}

/* The same comparison with its sides changed. */
static int mirrored(uint32_t predicate) {
    switch ((Predicate)predicate) {
    case COMPARE_IS_EQUAL: return COMPARE_IS_EQUAL;
    case COMPARE_NOT_EQUAL: return COMPARE_NOT_EQUAL;
    case COMPARE_IS_LESS: return COMPARE_IS_GREATER;
    case COMPARE_IS_LESS_EQUAL: return COMPARE_IS_GREATER_EQUAL;
    case COMPARE_NOT_LESS: return COMPARE_NOT_GREATER;
    case COMPARE_NOT_LESS_EQUAL: return COMPARE_NOT_GREATER_EQUAL;
    case COMPARE_IS_GREATER: return COMPARE_IS_LESS;
    case COMPARE_IS_GREATER_EQUAL: return COMPARE_IS_LESS_EQUAL;
    case COMPARE_NOT_GREATER: return COMPARE_NOT_LESS;
    case COMPARE_NOT_GREATER_EQUAL: return COMPARE_NOT_LESS_EQUAL;
    }
    abort();
}

static int is_zero(const Emitter *e, uint32_t value) {
    const Instruction *in = instruction_at(&e->registers, value);
    return in->op == PRIMITIVE_NUMBER && in->operands[2] == NONE && bits_at(in->operands) == 0;
}

static void emit_select(Emitter *e, const Instruction *in) {
    Registers *r = &e->registers;
    const uint32_t *o = in->operands;
    int evex = e->code->machine.evex, predicate = (int)in->detail;
    int swap = !is_held(e, o[0]) && is_held(e, o[1]), zero = is_zero(e, o[3]);
    uint32_t left = o[swap], right = o[!swap];
    if (swap) predicate = mirrored(in->detail);
    bring(r, left, pinned(e, in));
    if (!zero) bring(r, o[3], pinned(e, in));
    bring_if_best(r, swap ? 0 : 1, pinned(e, in));
    bring_if_best(r, 2, pinned(e, in));
    int a = r->reg[left], otherwise = zero ? 0 : r->reg[o[3]];
    Source b = where_is(r, right), then = where_is(r, o[2]);
    retire(r);
    int to = take_register(r, 0);
    const uint32_t compared[] = {(uint32_t)predicate, left, right};
    if (memcmp(e->compared, compared, sizeof compared) != 0) {
        encode(e->code, VECTOR_COMPARE, spare(r), a, b, predicate);
        memcpy(e->compared, compared, sizeof compared);
    }
    if (zero && evex) {
        if (then.broadcast) { /* the masked form does not take one number of memory for all lanes */
            then.broadcast = 0;
            encode(e->code, VECTOR_SPREAD, spare(r), 0, then, 0);
            then = in_register(spare(r));
        }
        encode(e->code, VECTOR_MASKED, to, 0, then, 0);
    } else if (zero) {
        encode(e->code, VECTOR_AND, to, spare(r), then, 0);
    } else {
        encode(e->code, evex ? VECTOR_BLEND_M : VECTOR_BLEND_V, to, otherwise, then, 0);
    }
    give(r, to);
}

/* -- instructions of their own kind ----------------------------------------------------------------- */

static void emit_turned(Emitter *e, const Instruction *in) {
    Registers *r = &e->registers;
    int evex = e->code->machine.evex;
    int angle = bring(r, in->operands[1], pinned(e, in));
    uint32_t pins = pinned(e, in);
    Source absolute = where_is(r, in->operands[2]), limit = where_is(r, in->operands[3]);
    int to = tie(e, in, 0, pins);
    encode(e->code, VECTOR_AND, spare(r), angle, absolute, 0);
    encode(e->code, VECTOR_COMPARE, spare(r), spare(r), limit, COMPARE_IS_GREATER);
    if (evex) {
        encode_test_mask(e->code);
    } else {
        encode(e->code, VECTOR_SIGNS, RAX, 0, in_register(spare(r)), 0);
        encode_test(e->code, RAX);
    }
    Detour detour = {encode_jump(e->code, JUMP_IF_NOT_ZERO), e->code->size, to, angle, in->detail, in->is_float32};
    GROW(e->scratch, &e->detours, Detour, 1);
    e->detours.items[e->detours.size++] = detour;
    give(r, to);
}

static void emit_half(Emitter *e, const Instruction *in) {
    Registers *r = &e->registers;
    bring_if_best(r, 0, 0);
    Source from = where_is(r, in->operands[0]);
    retire(r);
    int to = take_register(r, 0);
    if (in->detail && from.reg >= 0) {
        encode(e->code, VECTOR_TAKE_UPPER, to, 0, from, 0);
        from = in_register(to);
    } else if (in->detail) {
        from.at += vector_bytes(e) / 2;
    }
    encode(e->code, VECTOR_CONVERT, to, 0, from, 0);
    give(r, to);
}

static void emit_joined(Emitter *e, const Instruction *in) {
    Registers *r = &e->registers;
    for (uint32_t k = 0; k < 2; k++) bring_if_best(r, k, pinned(e, in));
    Source lower = where_is(r, in->operands[0]), upper = where_is(r, in->operands[1]);
    retire(r);
    int to = take_register(r, 0);
    encode(e->code, VECTOR_CONVERT, spare(r), 0, upper, 0);
    encode(e->code, VECTOR_CONVERT, to, 0, lower, 0);
    encode(e->code, VECTOR_PUT_UPPER, to, to, in_register(spare(r)), 0);
    give(r, to);
}

static void emit_pick(Emitter *e, const Instruction *in) {
    Registers *r = &e->registers;
    int index = bring(r, in->operands[0], 0);
    uint32_t pins = pinned(e, in);
    retire(r);
    int to = take_register(r, pins);
    encode(e->code, VECTOR_LOAD, to, 0, row_source(e->emission, in, in->detail), 0);
    encode(e->code, VECTOR_PICK, to, index, row_source(e->emission, in, in->detail + 1), 0);
    give(r, to);
}

static void emit_call(Emitter *e, const Instruction *in) {
    Registers *r = &e->registers;
    uint32_t count = instruction_operands(in), copies[3];
    Call call = {.op = (uint8_t)in->detail, .is_float32 = in->is_float32};
    if (op_info[call.op].shape == SCALED) memcpy(&call.number, in->operands + 2, sizeof call.number);
    for (uint32_t k = 0; k < count; k++) {
        call.slots[k] = store_in_slot(r, in->operands[k]);
        copies[k] = is_leaf(r, in->operands[k]) ? call.slots[k] : NONE;
    }
    retire(r);
    lose_registers(r);
    call.out = give_slot(r);
    call_c(e, OF_HEADER(call), e->emission->calls.size);
    for (uint32_t k = 0; k < count; k++)
        if (copies[k] != NONE) lose_slot(r, copies[k]);
    GROW(e->arena, &e->emission->calls, Call, 1);
    e->emission->calls.items[e->emission->calls.size++] = call;
}

static void emit_total(Emitter *e, const Instruction *in) {
    Registers *r = &e->registers;
    Source total = in_memory(R13, (int32_t)in->detail * vector_bytes(e));
    int reg = r->reg[in->operands[0]];
    if (reg < 0) load(r, reg = spare(r), in->operands[0]);
    if (e->emission->is_loop) {
        encode(e->code, VECTOR_ADD, spare(r), reg, total, 0);
        reg = spare(r);
    }
    encode(e->code, VECTOR_STORE, reg, 0, total, 0);
    retire(r);
}

static void emit_output(Emitter *e, const Instruction *in) {
    Registers *r = &e->registers;
    Source to = row_source(e->emission, in, e->emission->n_inputs + in->detail);
    int reg = r->reg[in->operands[0]];
    if (reg < 0) load(r, reg = spare(r), in->operands[0]);
    encode(e->code, VECTOR_STORE, reg, 0, to, 0);
    retire(r);
}

static void emit_instruction(Emitter *e, const Instruction *in) {
    e->code->is_float32 = in->is_float32;
    switch ((Primitive)in->op) {
    case PRIMITIVE_NUMBER:
    case PRIMITIVE_INPUT: return; /* read where they stand */
    case PRIMITIVE_ADD: emit_two(e, in, VECTOR_ADD, 1); break;
    case PRIMITIVE_SUB: emit_two(e, in, VECTOR_SUB, 0); break;
    case PRIMITIVE_MUL: emit_two(e, in, VECTOR_MUL, 1); break;
    case PRIMITIVE_DIV: emit_two(e, in, VECTOR_DIV, 0); break;
    case PRIMITIVE_AND: emit_two(e, in, VECTOR_AND, 1); break;
    case PRIMITIVE_ANDN: emit_two(e, in, VECTOR_ANDN, 0); break;
    case PRIMITIVE_OR: emit_two(e, in, VECTOR_OR, 1); break;
    case PRIMITIVE_XOR: emit_two(e, in, VECTOR_XOR, 1); break;
    case PRIMITIVE_WHOLE_ADD: emit_two(e, in, VECTOR_WHOLE_ADD, 1); break;
    case PRIMITIVE_WHOLE_SUB: emit_two(e, in, VECTOR_WHOLE_SUB, 0); break;
    case PRIMITIVE_SHIFT_LEFT: emit_one(e, in, VECTOR_SHIFT_LEFT); break;
    case PRIMITIVE_SHIFT_RIGHT: emit_one(e, in, VECTOR_SHIFT_RIGHT); break;
    case PRIMITIVE_SQRT: emit_one(e, in, VECTOR_SQRT); break;
    case PRIMITIVE_ROUND: emit_one(e, in, VECTOR_ROUND); break;
    case PRIMITIVE_FMADD: emit_fused(e, in, VECTOR_FMADD_132); break;
    case PRIMITIVE_FMSUB: emit_fused(e, in, VECTOR_FMSUB_132); break;
    case PRIMITIVE_FNMADD: emit_fused(e, in, VECTOR_FNMADD_132); break;
    case PRIMITIVE_SELECT: emit_select(e, in); break;
    case PRIMITIVE_TURNED: emit_turned(e, in); break;
    case PRIMITIVE_HALF: emit_half(e, in); break;
    case PRIMITIVE_JOINED: emit_joined(e, in); break;
    case PRIMITIVE_PICK: emit_pick(e, in); break;
    case PRIMITIVE_CALL: emit_call(e, in); break;
    case PRIMITIVE_TOTAL: emit_total(e, in); break;
    case PRIMITIVE_OUTPUT: emit_output(e, in); break;
    }
    if (in->op >= PRIMITIVE_TURNED) e->compared[0] = NONE; /* these use what a comparison is in */
    release_slots(&e->registers);
}

/* -- the whole -------------------------------------------------------------------------------------- */

/* Registers that C wants back, and one, to make them an odd number: with the return address the stack is then
 * as C wants it. */
static const Address kept[] = {RBX, RBP, R12, R13, R14, R15, RAX};
enum { N_KEPT = sizeof kept / sizeof *kept };

void emit(Emission *emission, const Straight *straight, Arena *arena, Arena *scratch) {
    Emitter emitter = {.emission = emission, .code = emission->code, .arena = arena, .scratch = scratch};
    Emitter *e = &emitter;
    Registers *r = &e->registers;
    registers_begin(r, emission, straight, arena, scratch);
    e->compared[0] = NONE;

    emission->entry = e->code->size;
    for (int k = 0; k < N_KEPT; k++) encode_push(e->code, kept[k]);
    encode_read(e->code, RBX, RDI, offsetof(Memory, numbers));
    encode_read(e->code, R12, RDI, offsetof(Memory, given));
    encode_read(e->code, RBP, RDI, offsetof(Memory, rows));
    encode_read(e->code, R13, RDI, offsetof(Memory, totals));
    encode_read(e->code, R15, RDI, offsetof(Memory, slots));
    encode_read(e->code, R14, RDI, offsetof(Memory, count));
    size_t top = e->code->size;
    for (r->at = 0; r->at < straight->instructions.size; r->at++) {
        const Instruction *in = instruction_at(r, r->at);
        int is_read = r->next[r->at] != NONE || in->op == PRIMITIVE_TOTAL || in->op == PRIMITIVE_OUTPUT;
        if (is_read) emit_instruction(e, in);
    }
    if (emission->is_loop) {
        encode_add(e->code, RBP, emission->is_walk ? emission->advance : vector_bytes(e));
        encode_add(e->code, R14, -1);
        code_land(e->code, encode_jump(e->code, JUMP_IF_NOT_ZERO), top);
    }
    encode_clear_upper(e->code);
    for (int k = N_KEPT; k-- > 0;) encode_pop(e->code, kept[k]);
    encode_return(e->code);
    emit_detours(e);
}
