/* SPDX-License-Identifier: MIT
 *
 * The elementary functions of machine code are those of vmath.h, to the last bit, where nothing but what
 * is written as one rounding is computed in one. On processors without AVX2 there is nothing to compare.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VMATH_FMA 1
#include "execute/native/elementary.h"
#include "execute/native/emit.h"
#include "execute/native/pages.h"
#include "ops/vmath.h"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(_WIN32)

enum { SAMPLES = 1 << 16 };

typedef struct {
    Op op;
    double (*function)(double);
    double low, high; /* where ordinary arguments lie */
} Case;

#define OF(name) static double c_##name(double x) { return v_##name(x); }
OF(exp) OF(expm1) OF(log) OF(log1p) OF(tanh) OF(sinh) OF(cosh) OF(atan) OF(erf) OF(erfc) OF(sin) OF(cos)
#undef OF

static const Case cases[] = {
    {OP_exp, c_exp, -760, 720},   {OP_expm1, c_expm1, -50, 720},  {OP_log, c_log, 0, 1e3},
    {OP_log1p, c_log1p, -1, 1e3}, {OP_tanh, c_tanh, -25, 25},     {OP_sinh, c_sinh, -715, 715},
    {OP_cosh, c_cosh, -715, 715}, {OP_atan, c_atan, -20, 20},     {OP_erf, c_erf, -7, 7},
    {OP_erfc, c_erfc, -29, 29},   {OP_sin, c_sin, -1.6e6, 1.6e6}, {OP_cos, c_cos, -1.6e6, 1.6e6},
};

static double arguments[SAMPLES + WIDEST], results[2 * SAMPLES + WIDEST];

static uint64_t next_random(void) {
    static uint64_t state = 88172645463325252u;
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
}

/* Half of them are of any bits, a quarter near 0, and all within what sines take if `turns`. */
static void draw(const Case *of, int turns) {
    static const double special[] = {0.0, -0.0, 1.0, -1.0, 0.55, 0.477, 22.0, 28.0, 710.0, -746.0, 5e-324, -5e-324, 1e-310,
                                     2.2250738585072014e-308, 1e-300, 0.41421356237309503, 2.414213562373095,
                                     1e300, INFINITY, -INFINITY, NAN};
    for (int k = 0; k < SAMPLES; k++) {
        double unit = (double)(next_random() >> 11) * 0x1p-53, x = of->low + unit * (of->high - of->low);
        uint64_t bits = next_random();
        if (k % 4 == 1) x = (unit - 0.5) * 4.0;
        if (k % 2) memcpy(&x, &bits, sizeof x);
        if (k < (int)(sizeof special / sizeof *special)) x = special[k];
        arguments[k] = turns && !(fabs(x) <= V_SIN_LIMIT) ? 0.125 : x;
    }
}

static void unused(double *slots, uint64_t which) {
    (void)slots, (void)which;
    abort();
}

/* What machine code gives of the arguments. */
static int run(const Case *of, Machine machine) {
    jmp_buf out_of_memory;
    Arena arena = {0}, scratch = {0};
    Code code = {.machine = machine};
    Emission emission = {.code = &code, .stride = SAMPLES, .n_inputs = 1, .is_loop = 1};
    Straight line;
    if (setjmp(out_of_memory)) abort();
    arena.out_of_memory = scratch.out_of_memory = &out_of_memory;
    straight_begin(&line, &scratch, 100);
    straight_output(&line, 0, row_value(&line, of->op, 0, straight_input(&line, 0), NONE, NONE));
    emit(&emission, &line, &arena, &scratch);
    const uint8_t *pages = code.failed ? NULL : pages_make(code.bytes, code.size);
    if (!pages) return -1;

    size_t copies = machine.evex ? 1 : (size_t)machine.width, width = (size_t)machine.width;
    double *numbers = calloc(emission.numbers.size * copies, sizeof *numbers);
    char *slots = calloc(1, sizeof(Header) + (emission.n_slots + 1) * width * sizeof(double));
    for (uint32_t k = 0; k < emission.numbers.size; k++)
        for (size_t c = 0; c < copies; c++) numbers[k * copies + c] = emission.numbers.items[k].number;
    memcpy(results, arguments, SAMPLES * sizeof *arguments);
    Memory memory = {.numbers = numbers, .rows = results, .slots = (double *)(void *)(slots + sizeof(Header)),
                     .count = SAMPLES / width};
    Header *header = header_of(memory.slots);
    header->call = header->turn = unused;
    void (*entry)(const Memory *);
    const uint8_t *at = pages + emission.entry;
    memcpy(&entry, &at, sizeof entry);
    entry(&memory);

    pages_free(pages, code.size);
    free(numbers);
    free(slots);
    code_free(&code);
    arena_free(&arena);
    arena_free(&scratch);
    return 0;
}

static int check(const Case *of, Machine machine) {
    draw(of, of->op == OP_sin || of->op == OP_cos);
    if (run(of, machine)) return 0; /* the system gives no memory for code */
    for (int k = 0; k < SAMPLES; k++) {
        double expected = of->function(arguments[k]), got = results[SAMPLES + k];
        if (memcmp(&expected, &got, sizeof got) == 0 || (expected != expected && got != got)) continue;
        printf("%s(%a): %a, machine code of width %d gives %a\n", op_info[of->op].name, arguments[k], expected,
               machine.width, got);
        return 1;
    }
    return 0;
}

int main(void) {
    int wrong = 0;
    if (pages_refused()) return 0;
    __builtin_cpu_init();
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
            wrong += check(&cases[k], (Machine){0, 4, 16});
        if (__builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
            wrong += check(&cases[k], (Machine){1, 8, 32});
            wrong += check(&cases[k], (Machine){1, 4, 32});
        }
    }
    return wrong;
}

#else

int main(void) { return 0; }

#endif
