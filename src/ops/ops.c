/* SPDX-License-Identifier: MIT */
#include "ops.h"

/* clang-format off */
const OpInfo op_info[] = {
    {"leaf", "", LEAF, 0, 0, 0},
#define ROW2(id, symbol, refuse, lo, hi, ...) {#id, symbol, BINARY, lo, hi, 2},
#define ROW1(id, symbol, refuse, lo, hi, ...) {#id, symbol, UNARY, lo, hi, 1},
#define ROWS(id, symbol, refuse, lo, hi, ...) {#id, symbol, SCALED, lo, hi, 1},
#define ROWD(id, symbol, refuse, lo, hi, ...) {#id, symbol, STOPPED, lo, hi, 1},
#define ROW3(id, symbol, refuse, lo, hi, ...) {#id, symbol, TERNARY, lo, hi, 3},
#define ROWV(id, symbol) {#id, symbol, VARIADIC, 0, 0, 0},
    FOR_EACH_BINARY(ROW2) FOR_EACH_UNARY(ROW1) FOR_EACH_SCALED(ROWS) FOR_EACH_STOPPED(ROWD)
    FOR_EACH_TERNARY(ROW3) FOR_EACH_VARIADIC(ROWV)
#undef ROW2
#undef ROW1
#undef ROWS
#undef ROWD
#undef ROW3
#undef ROWV
};
/* clang-format on */

/* A row without a value or a rule does not build: this fails, or the expansions do that stand in ops.h. */
typedef char op_info_has_every_operation[sizeof op_info / sizeof *op_info == OP_COUNT ? 1 : -1];
