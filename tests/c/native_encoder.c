/* SPDX-License-Identifier: MIT
 *
 * Every form of instruction, with near and far registers and every kind of memory operand, is what the
 * disassembler of binutils says that it is. Without one there is nothing to ask.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "execute/native/encode.h"

static char *expected;
static size_t expected_size, expected_room;

static void expect(const char *text) {
    size_t length = strlen(text);
    if (expected_size + length + 2 > expected_room) {
        expected_room = 2 * (expected_room + length + 2);
        expected = realloc(expected, expected_room);
    }
    memcpy(expected + expected_size, text, length);
    expected_size += length;
    expected[expected_size++] = '\n';
    expected[expected_size] = 0;
}

static const char *const addresses[] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                        "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};

/* Of a displacement, which rbp and r13 never go without. */
static char *hex(char *to, int32_t number, int base) {
    if (number == 0 && (base & 7) == RBP) sprintf(to, "0x0");
    else if (number < 0) sprintf(to, "-0x%x", (unsigned)-(int64_t)number);
    else if (number) sprintf(to, "0x%x", (unsigned)number);
    else *to = 0;
    return to;
}

static void vector_text(const Code *code, char *to, int reg) {
    sprintf(to, "%%%cmm%d", code->machine.width == 8 ? 'z' : 'y', reg);
}

/* Of so many numbers, where it is one of memory. */
static void source_text(const Code *code, char *to, Source source, int numbers) {
    char number[32];
    if (source.reg >= 0) {
        vector_text(code, to, source.reg);
        return;
    }
    sprintf(to, "%s(%%%s)", hex(number, source.at, source.base), addresses[source.base]);
    if (source.broadcast) sprintf(to + strlen(to), "{1to%d}", numbers);
}

/* The register's lower half. */
static void half_text(const Code *code, char *to, int reg) {
    sprintf(to, "%%%cmm%d", code->machine.width == 8 ? 'y' : 'x', reg);
}

static const char *comparison(int immediate) {
    switch ((Predicate)immediate) {
    case COMPARE_IS_EQUAL: return "vcmpeq";
    case COMPARE_IS_LESS: return "vcmplt_oq";
    case COMPARE_IS_LESS_EQUAL: return "vcmple_oq";
    case COMPARE_NOT_EQUAL: return "vcmpneq";
    case COMPARE_NOT_LESS: return "vcmpnlt_uq";
    case COMPARE_NOT_LESS_EQUAL: return "vcmpnle_uq";
    case COMPARE_IS_GREATER: return "vcmpgt_oq";
    case COMPARE_IS_GREATER_EQUAL: return "vcmpge_oq";
    case COMPARE_NOT_GREATER: return "vcmpngt_uq";
    case COMPARE_NOT_GREATER_EQUAL: return "vcmpnge_uq";
    }
    return "?";
}

/* Between a vector of doubles and half a vector of floats. */
static void conversion_text(const Code *code, char *text, int to, Source source) {
    char a[64], c[64];
    int is_narrow = code->machine.width == 4;
    source_text(code, c, source, code->machine.width);
    if (code->is_float32) {
        if (source.reg >= 0) half_text(code, c, source.reg);
        vector_text(code, a, to);
        sprintf(text, "vcvtps2pd %s,%s", c, a);
    } else {
        half_text(code, a, to);
        sprintf(text, "vcvtpd2ps%s %s,%s", is_narrow && source.reg < 0 && !source.broadcast ? "y" : "", c, a);
    }
}

/* Of halves of vectors: 128 bits have another name than 256. */
static void halves_text(const Code *code, char *text, VectorForm form, int to, int first, int reg) {
    const char *kind = code->machine.width == 8 ? "f64x4" : code->machine.evex ? "f32x4" : "f128";
    char whole[64], half[64], other[64];
    vector_text(code, whole, form == VECTOR_TAKE_UPPER ? reg : to);
    half_text(code, half, form == VECTOR_TAKE_UPPER ? to : reg);
    vector_text(code, other, first);
    if (form == VECTOR_TAKE_UPPER) sprintf(text, "vextract%s $0x1,%s,%s", kind, whole, half);
    else sprintf(text, "vinsert%s $0x1,%s,%s,%s", kind, half, other, whole);
}

static void one(Code *code, VectorForm form, int to, int first, Source source, int immediate) {
    const VectorFormInfo *info = &vector_forms[form];
    const char *mnemonic = info->mnemonics[code->is_float32], *kind = code->is_float32 ? "ps" : "pd";
    char a[64], b[64], c[64], text[300];
    int evex = code->machine.evex;
    vector_text(code, a, to);
    vector_text(code, b, first);
    source_text(code, c, source, code->machine.width * (1 + code->is_float32));
    switch ((Place)info->place) {
    case PLACE_THREE:
    case PLACE_PICK: sprintf(text, "%s %s,%s,%s", mnemonic, c, b, a); break;
    case PLACE_TWO:
        if (form == VECTOR_SPREAD && source.reg >= 0) c[1] = 'x';
        sprintf(text, "%s %s,%s", mnemonic, c, a);
        if (form == VECTOR_CONVERT) conversion_text(code, text, to, source);
        break;
    case PLACE_STORE: sprintf(text, "%s %s,%s", mnemonic, a, c); break;
    case PLACE_SHIFT: sprintf(text, "%s $0x%x,%s,%s", mnemonic, immediate, c, a); break;
    case PLACE_ROUND: sprintf(text, "%s%s $0x%x,%s,%s", evex ? "vrndscale" : "vround", kind, immediate, c, a); break;
    case PLACE_COMPARE: sprintf(text, "%s%s %s,%s,%s", comparison(immediate), kind, c, b, evex ? "%k1" : a); break;
    case PLACE_BLEND_V: sprintf(text, "%s %%ymm15,%s,%s,%s", mnemonic, c, b, a); break;
    case PLACE_BLEND_M: sprintf(text, "%s %s,%s,%s{%%k1}", mnemonic, c, b, a); break;
    case PLACE_MASKED: sprintf(text, "%s %s,%s{%%k1}{z}", mnemonic, c, a); break;
    case PLACE_SIGNS: sprintf(text, "%s %s,%%%s", mnemonic, c, "eax"); break;
    case PLACE_TAKE_UPPER:
    case PLACE_PUT_UPPER: halves_text(code, text, form, to, first, source.reg); break;
    }
    expect(text);
    encode(code, form, info->place == PLACE_SIGNS ? RAX : to, first, source, immediate);
}

static void every_form(Code *code) {
    static const int32_t places[] = {0,   4,    8,    24,   32,   508,  512,  64,   96,    120,   128,
                                     -64, -128, 1016, 1024, 4064, 4096, 8128, 8192, -8192, -8256, 1 << 20};
    static const int immediates[] = {COMPARE_IS_EQUAL,         COMPARE_IS_LESS,          COMPARE_IS_LESS_EQUAL,
                                     COMPARE_NOT_EQUAL,        COMPARE_NOT_LESS,         COMPARE_NOT_LESS_EQUAL,
                                     COMPARE_IS_GREATER,       COMPARE_IS_GREATER_EQUAL, COMPARE_NOT_GREATER,
                                     COMPARE_NOT_GREATER_EQUAL};
    for (int f = 0; f < VECTOR_FORM_COUNT; f++) {
        Place place = (Place)vector_forms[f].place;
        int evex_only = place == PLACE_BLEND_M || place == PLACE_MASKED || place == PLACE_PICK;
        int vex_only = place == PLACE_BLEND_V || place == PLACE_SIGNS;
        if (code->machine.evex ? vex_only : evex_only) continue;
        int n = code->machine.registers, count = 0;
        for (int to = 0; to < n; to += 5)
            for (int first = 0; first < n; first += 3)
                for (int reg = 0; place != PLACE_STORE && reg < n; reg += 7) {
                    int immediate = place == PLACE_COMPARE ? immediates[count++ % 10]
                                    : place == PLACE_ROUND ? 9 + count++ % 2
                                                           : 1 + count++ % 63;
                    one(code, (VectorForm)f, to, first, in_register(reg), immediate);
                }
        if (place == PLACE_SHIFT || place >= PLACE_SIGNS) continue; /* of registers */
        for (int base = 0; base < 16; base++)
            for (size_t k = 0; k < sizeof places / sizeof *places; k++) {
                int immediate = place == PLACE_COMPARE ? immediates[k % 10] : place == PLACE_ROUND ? 10 : 0;
                int to = (base * 5 + 1) % n, first = (base * 3 + 2) % n;
                one(code, (VectorForm)f, to, first, in_memory((Address)base, places[k]), immediate);
                if (code->machine.evex && place != PLACE_STORE && f != VECTOR_LOAD && f != VECTOR_COPY &&
                    f != VECTOR_SPREAD && f != VECTOR_MASKED)
                    one(code, (VectorForm)f, to, first, number_in_memory((Address)base, places[k]), immediate);
            }
    }
}

static void every_address(Code *code) {
    char text[200], number[32];
    static const int32_t places[] = {0, 8, 127, 128, -128, -129, 1 << 20};
    for (int to = 0; to < 16; to++) {
        sprintf(text, "push %%%s", addresses[to]);
        expect(text);
        encode_push(code, (Address)to);
        sprintf(text, "pop %%%s", addresses[to]);
        expect(text);
        encode_pop(code, (Address)to);
        for (int from = 0; from < 16; from++) {
            sprintf(text, "mov %%%s,%%%s", addresses[from], addresses[to]);
            expect(text);
            encode_move(code, (Address)to, (Address)from);
            for (size_t k = 0; k < sizeof places / sizeof *places; k++) {
                sprintf(text, "mov %s(%%%s),%%%s", hex(number, places[k], from), addresses[from], addresses[to]);
                expect(text);
                encode_read(code, (Address)to, (Address)from, places[k]);
            }
        }
        for (size_t k = 0; k < sizeof places / sizeof *places; k++) {
            sprintf(text, "call *%s(%%%s)", hex(number, places[k], to), addresses[to]);
            expect(text);
            encode_call_at(code, (Address)to, places[k]);
        }
        if (to != RAX) { /* which has a form of its own, that the disassembler does not tell apart */
            sprintf(text, "add $0x12345,%%%s", addresses[to]);
            expect(text);
            encode_add(code, (Address)to, 0x12345);
        }
        if (to < R8) {
            sprintf(text, "mov $0x1234567,%%e%s", addresses[to] + 1);
            expect(text);
            encode_number(code, (Address)to, 0x1234567);
            sprintf(text, "test %%e%s,%%e%s", addresses[to] + 1, addresses[to] + 1);
        } else {
            sprintf(text, "mov $0x1234567,%%%sd", addresses[to]);
            expect(text);
            encode_number(code, (Address)to, 0x1234567);
            sprintf(text, "test %%%sd,%%%sd", addresses[to], addresses[to]);
        }
        expect(text);
        encode_test(code, (Address)to);
    }
    expect("kortestw %k1,%k1");
    encode_test_mask(code);
    expect("vzeroupper");
    encode_clear_upper(code);
    static const char *const jumps[] = {"jmp", "call", "jne"};
    for (int kind = JUMP; kind <= JUMP_IF_NOT_ZERO; kind++)
        for (int k = 0; k < 2; k++) {
            size_t place = k ? 7 : code->size + 0x1234;
            sprintf(text, "%s 0x%zx", jumps[kind], place);
            expect(text);
            code_land(code, encode_jump(code, (Jump)kind), place);
        }
    expect("ret");
    encode_return(code);
}

/* One space between words, no comment, and no word on which of two encodings it is. */
static void tidy(char *line) {
    char *to = line;
    for (char *from = strncmp(line, "{evex} ", 7) == 0 ? line + 7 : line;
         *from && *from != '#' && *from != '<' && *from != '\n'; from++)
        if (*from != ' ' || (to > line && to[-1] != ' ')) *to++ = *from == '\t' ? ' ' : *from;
    while (to > line && to[-1] == ' ') to--;
    *to = 0;
}

static int compare(const Code *code) {
    char path[] = "/tmp/micrograd_c_XXXXXX", command[200], line[500];
    int file = mkstemp(path), wrong = 0;
    FILE *binary = fdopen(file, "wb");
    fwrite(code->bytes, 1, code->size, binary);
    fclose(binary);
    sprintf(command, "objdump -D -z -b binary -mi386:x86-64 --no-show-raw-insn %s", path);
    FILE *listing = popen(command, "r");
    const char *want = expected;
    while (fgets(line, sizeof line, listing)) {
        char *text = strstr(line, ":\t");
        if (!text || line[0] != ' ') continue;
        tidy(text += 2);
        size_t length = strcspn(want, "\n");
        if ((strlen(text) != length || memcmp(text, want, length) != 0) && wrong++ < 20)
            printf("%.*s is encoded as %s\n", (int)length, want, text);
        want += length + (want[length] != 0);
    }
    pclose(listing);
    remove(path);
    if (*want && wrong++ < 20) printf("nothing is encoded for %.*s\n", (int)strcspn(want, "\n"), want);
    return wrong;
}

int main(void) {
    static const Machine machines[] = {{0, 4, 16}, {1, 8, 32}, {1, 4, 32}};
    int wrong = 0;
    if (system("objdump --version >/dev/null 2>&1") != 0) return 0;
    for (int t = 0; t < 3; t++) {
        Code code = {.machine = machines[t]};
        expected_size = 0;
        for (code.is_float32 = 0; code.is_float32 < 2; code.is_float32++) every_form(&code);
        every_address(&code);
        wrong += code.failed || compare(&code);
        code_free(&code);
    }
    free(expected);
    return wrong;
}
