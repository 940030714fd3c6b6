/* SPDX-License-Identifier: MIT
 *
 * Every cell of the operation table is read as the compiler reads it: its tree gives the same numbers.
 */
#include <stdio.h>
#include <string.h>

#include "ops/cells.h"

static double compiled(int op, int which, double x, double y, double w, double z, double g) {
    (void)x, (void)y, (void)w, (void)z, (void)g;
    switch (op * 4 + which + 1) {
#define CELL(id, which, cell) \
    case OP_##id * 4 + which + 1: return cell;
#define CELLS2(id, symbol, refuse, lo, hi, value, gain_x, gain_y) \
    CELL(id, -1, value) CELL(id, 0, gain_x) CELL(id, 1, gain_y)
#define CELLS1(id, symbol, refuse, lo, hi, value, gain_x) CELL(id, -1, value) CELL(id, 0, gain_x)
#define CELLS3(id, symbol, refuse, lo, hi, value, gain_x, gain_y, gain_w) \
    CELL(id, -1, value) CELL(id, 0, gain_x) CELL(id, 1, gain_y) CELL(id, 2, gain_w)
        FOR_EACH_BINARY(CELLS2) FOR_EACH_UNARY(CELLS1) FOR_EACH_SCALED(CELLS1) FOR_EACH_TERNARY(CELLS3)
    }
    return 0;
}

static int same(double a, double b) { return memcmp(&a, &b, sizeof a) == 0 || (a != a && b != b); }

static int check_row(int op, int which) {
    static const double numbers[] = {0.0, -0.0,  0.5,    -0.5,   1.0,      -1.0,      2.0, -2.5,
                                     3.0, 700.0, -800.0, 1e-310, INFINITY, -INFINITY, NAN};
    const int n = sizeof numbers / sizeof *numbers;
    Cell cell;
    const char *text = cell_text((Op)op, which), *wrong = cell_read(&cell, text);
    if (wrong) {
        printf("%s, %d: %s: %s\n", op_info[op].name, which, wrong, text);
        return 1;
    }
    for (int k = 0; k < 2 * n * n * n; k++) {
        double x = numbers[k % n], y = numbers[k / n % n], w = numbers[k / n / n % n];
        double g = k / n / n / n ? -1.5 : INFINITY, z = compiled(op, -1, x, y, w, 0.0, g);
        double names[NAME_COUNT] = {x, y, w, z, g};
        double ours = cell_value(&cell, names), theirs = compiled(op, which, x, y, w, z, g);
        if (same(ours, theirs)) continue;
        printf("%s, %d at x %g y %g g %g: %.17g, compiled %.17g: %s\n", op_info[op].name, which, x, y, g, ours, theirs,
               text);
        return 1;
    }
    return 0;
}

static int refused(const char *text) {
    Cell cell;
    if (cell_read(&cell, text)) return 0;
    printf("read: %s\n", text);
    return 1;
}

int main(void) {
    int failed = 0;
    for (int op = 0; op < OP_COUNT; op++)
        for (int which = -1; which < 3; which++)
            if (cell_text((Op)op, which) && op_info[op].shape != STOPPED) failed |= check_row(op, which);
    const char *wrong[] = {"",          "x +",   "x y",       "q",         "x * (y",         "foo(x)",
                           "exp(x, y)", "x < y", "x ? y : z", "x < y ? z", "x && y ? z : g", "x % y",
                           "pow(x)",    "exp()"};
    for (size_t k = 0; k < sizeof wrong / sizeof *wrong; k++) failed |= refused(wrong[k]);
    return failed;
}
