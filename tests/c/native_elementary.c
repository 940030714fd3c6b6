/* SPDX-License-Identifier: MIT
 *
 * The elementary functions of machine code are those of vmath.h and vmath_float32.h, to the last bit, where
 * nothing but what is written as one rounding is computed in one. What the latter has not got is computed in doubles
 * and rounded. On processors without AVX2 there is nothing to compare.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VMATH_FMA 1
#include "execute/native/elementary.h"
#include "execute/native/emit.h"
#include "execute/native/pages.h"
#include "ops/vmath_float32.h"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(_WIN32)

enum { SAMPLES = 1 << 16 };

typedef struct {
    Op op;
    double (*function)(double);
    float (*of_floats)(float);
    double low, high; /* where ordinary arguments lie */
} Case;

/* clang-format off */
#define OF(name) static double c_##name(double x) { return v_##name(x); }
OF(exp) OF(expm1) OF(log) OF(log1p) OF(tanh) OF(sinh) OF(cosh) OF(atan) OF(erf) OF(erfc) OF(sin) OF(cos)
#undef OF
#define OF(name) static float c_float_##name(float x) { return f_##name(x); }
OF(exp) OF(expm1) OF(log) OF(log1p) OF(tanh) OF(sin) OF(cos)
#undef OF
#define OF(name) static float c_float_##name(float x) { return (float)v_##name((double)x); }
OF(sinh) OF(cosh) OF(atan) OF(erf) OF(erfc)
#undef OF

#define BOTH(name) OP_##name, c_##name, c_float_##name
static const Case cases[] = {
    {BOTH(exp), -760, 720}, {BOTH(expm1), -50, 720}, {BOTH(log), 0, 1e3},        {BOTH(log1p), -1, 1e3},
    {BOTH(tanh), -25, 25},  {BOTH(sinh), -715, 715}, {BOTH(cosh), -715, 715},    {BOTH(atan), -20, 20},
    {BOTH(erf), -7, 7},     {BOTH(erfc), -29, 29},   {BOTH(sin), -1.6e6, 1.6e6}, {BOTH(cos), -1.6e6, 1.6e6},
};
static const Case narrow_cases[] = {
    {BOTH(exp), -110, 95}, {BOTH(expm1), -25, 95}, {BOTH(log), 0, 1e3},        {BOTH(log1p), -1, 1e3},
    {BOTH(tanh), -12, 12}, {BOTH(sinh), -95, 95},  {BOTH(cosh), -95, 95},      {BOTH(atan), -20, 20},
    {BOTH(erf), -5, 5},    {BOTH(erfc), -12, 12},  {BOTH(sin), -1.6e6, 1.6e6}, {BOTH(cos), -1.6e6, 1.6e6},
};
/* clang-format on */

/* As the kind of number that is looked at. */
static double arguments[SAMPLES + WIDEST], results[2 * SAMPLES + WIDEST];
static float *const narrow_arguments = (float *)(void *)arguments, *const narrow_results = (float *)(void *)results;

static uint64_t next_random(void) {
    static uint64_t state = 88172645463325252u;
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
}

/* Half of them are of any bits, a quarter near 0, and all within what sines take if `turns`. */
static void draw(const Case *of, int is_float32) {
    /* clang-format off */
    static const double special[] = {0.0, -0.0, 1.0, -1.0, 0.55, 0.477, 22.0, 28.0, 710.0, -746.0, 5e-324, -5e-324, 1e-310,
                                     2.2250738585072014e-308, 1e-300, 0.41421356237309503, 2.414213562373095,
                                     1e300, INFINITY, -INFINITY, NAN, 0.625, 10.0, 89.0, -104.0, -20.0, 1e-36, -1e-45,
                                     1.17549435e-38, 1e-40, 3e38, 88.72284, -103.97};
    /* clang-format on */
    int turns = of->op == OP_sin || of->op == OP_cos;
    for (int k = 0; k < SAMPLES; k++) {
        double unit = (double)(next_random() >> 11) * 0x1p-53, x = of->low + unit * (of->high - of->low);
        uint64_t bits = next_random();
        if (k % 4 == 1) x = (unit - 0.5) * 4.0;
        if (k % 2) x = number_of_bits(bits, is_float32);
        if (k < (int)(sizeof special / sizeof *special)) x = special[k];
        if (turns && !(fabs(x) <= V_SIN_LIMIT)) x = 0.125;
        if (is_float32) narrow_arguments[k] = (float)x;
        else arguments[k] = x;
    }
}

static void unused(double *slots, uint64_t which) {
    (void)slots, (void)which;
    abort();
}

/* What machine code gives of the arguments. */
static int run(const Case *of, Machine machine, int is_float32) {
    jmp_buf out_of_memory;
    Arena arena = {0}, scratch = {0};
    Code code = {.machine = machine};
    Emission emission = {.code = &code, .stride = SAMPLES, .n_inputs = 1, .is_loop = 1};
    Straight line;
    if (setjmp(out_of_memory)) abort();
    arena.out_of_memory = scratch.out_of_memory = &out_of_memory;
    straight_begin(&line, &scratch, 100);
    line.is_float32 = is_float32;
    straight_output(&line, 0, row_value(&line, of->op, 0, straight_input(&line, 0), NONE, NONE));
    emit(&emission, &line, &arena, &scratch);
    const uint8_t *pages = code.failed ? NULL : pages_make(code.bytes, code.size);
    if (!pages) return -1;

    size_t width = (size_t)machine.width, number = is_float32 ? sizeof(float) : sizeof(double);
    double *numbers = calloc(emission.numbers.size * number_size(&machine), sizeof *numbers);
    char *slots = calloc(1, sizeof(Header) + (emission.n_slots + 1) * width * sizeof(double));
    for (uint32_t k = 0; k < emission.numbers.size; k++)
        put_number(numbers + k * number_size(&machine), number_size(&machine), emission.numbers.items[k].number,
                   emission.numbers.items[k].is_float32);
    memcpy(results, arguments, SAMPLES * number);
    Memory memory = {.numbers = numbers,
                     .rows = results,
                     .slots = (double *)(void *)(slots + sizeof(Header)),
                     .count = SAMPLES / width >> is_float32};
    Header *header = header_of(memory.slots);
    header->call = header->turn[0] = header->turn[1] = unused;
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

static int check(const Case *of, Machine machine, int is_float32) {
    draw(of, is_float32);
    if (run(of, machine, is_float32)) return 0; /* the system gives no memory for code */
    for (int k = 0; k < SAMPLES; k++) {
        double x = is_float32 ? (double)narrow_arguments[k] : arguments[k];
        double expected = is_float32 ? (double)of->of_floats(narrow_arguments[k]) : of->function(x);
        double got = is_float32 ? (double)narrow_results[SAMPLES + k] : results[SAMPLES + k];
        if (memcmp(&expected, &got, sizeof got) == 0 || (expected != expected && got != got)) continue;
        printf("%s(%a)%s: %a, machine code of width %d gives %a\n", op_info[of->op].name, x,
               is_float32 ? " of floats" : "", expected, machine.width, got);
        return 1;
    }
    return 0;
}

static int check_all(Machine machine) {
    int wrong = 0;
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++)
        wrong += check(&cases[k], machine, 0) + check(&narrow_cases[k], machine, 1);
    return wrong;
}

int main(void) {
    int wrong = 0;
    if (pages_refused()) return 0;
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) wrong += check_all((Machine){0, 4, 16});
    if (__builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        wrong += check_all((Machine){1, 8, 32}) + check_all((Machine){1, 4, 32});
    return wrong;
}

#else

int main(void) { return 0; }

#endif
