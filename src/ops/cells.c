/* SPDX-License-Identifier: MIT
 *
 * The reader of cells: recursive descent over C's expressions, as far as cells use them.
 *
 *   choice  = sum [ ("<" | "<=" | ">" | ">=" | "==" | "!=") sum "?" choice ":" choice ]
 *   sum     = product { ("+" | "-") product }
 *   product = sign { ("*" | "/") sign }
 *   sign    = "-" sign | primary
 *   primary = number | name | row "(" choice { "," choice } ")" | "(" choice ")"
 */
#include "cells.h"

#include <ctype.h>
#include <string.h>

typedef struct {
    const char *at;
    const char *wrong; /* the first thing that is */
    Cell *cell;
} Reader;

static uint8_t read_choice(Reader *r);

/* -- items ----------------------------------------------------------------------------------------- */

/* Whether g is part of an item, whose own parts stand in the cell. */
static int reads_g(const Cell *cell, const Item *item) {
    switch ((ItemKind)item->kind) {
    case ITEM_NUMBER: return 0;
    case ITEM_NAME: return item->name == NAME_G;
    case ITEM_COMPARE: return item_reads_g(cell, item->a) || item_reads_g(cell, item->b);
    case ITEM_CHOICE: return item_reads_g(cell, item->a) || item_reads_g(cell, item->b) || item_reads_g(cell, item->c);
    case ITEM_CALL: {
        uint32_t arity = op_arity(item->op);
        return item_reads_g(cell, item->a) || (arity > 1 && item_reads_g(cell, item->b)) ||
               (arity > 2 && item_reads_g(cell, item->c));
    }
    }
    abort();
}

static uint8_t add_item(Reader *r, Item item) {
    Cell *cell = r->cell;
    if (cell->size == MOST_ITEMS) {
        if (!r->wrong) r->wrong = "the cell is too long";
        return 0;
    }
    cell->items[cell->size] = item;
    if (reads_g(cell, &item)) cell->with_g |= UINT64_C(1) << cell->size;
    return cell->size++;
}

static uint8_t add_call(Reader *r, Op op, uint8_t a, uint8_t b, uint8_t c) {
    return add_item(r, (Item){.kind = ITEM_CALL, .op = (uint8_t)op, .a = a, .b = b, .c = c});
}

/* -- tokens ---------------------------------------------------------------------------------------- */

static void skip_blanks(Reader *r) {
    while (*r->at == ' ') r->at++;
}

static int take(Reader *r, const char *token) {
    size_t length = strlen(token);
    skip_blanks(r);
    if (strncmp(r->at, token, length) != 0) return 0;
    r->at += length;
    return 1;
}

static void expect(Reader *r, const char *token, const char *wrong) {
    if (!take(r, token) && !r->wrong) r->wrong = wrong;
}

/* -- rows by name ---------------------------------------------------------------------------------- */

static int row_named(const char *name, size_t length) {
    if (length == 4 && memcmp(name, "fabs", 4) == 0) return OP_abs; /* abs is another function in C */
    for (int op = OP_leaf + 1; op < OP_COUNT; op++)
        if (strlen(op_info[op].name) == length && memcmp(op_info[op].name, name, length) == 0) return op;
    return OP_leaf;
}

/* In a cell, a SCALED row's number stands where an operand would. */
static int operands_of(Op op) { return (int)op_arity(op) + (op_info[op].shape == SCALED); }

/* -- the grammar ----------------------------------------------------------------------------------- */

static uint8_t read_call(Reader *r, const char *name, size_t length) {
    Op op = (Op)row_named(name, length);
    uint8_t operands[3] = {0};
    int count = 0;
    do {
        if (count == 3) break;
        operands[count++] = read_choice(r);
    } while (take(r, ","));
    expect(r, ")", "a call without its end");
    if (op == OP_leaf && !r->wrong) r->wrong = "a call of something that is no row";
    if (count != operands_of(op) && !r->wrong) r->wrong = "a call with another number of operands";
    return add_call(r, op, operands[0], operands[1], operands[2]);
}

static uint8_t read_name(Reader *r) {
    static const char names[] = "xywzg";
    const char *start = r->at;
    while (isalnum((unsigned char)*r->at) || *r->at == '_') r->at++;
    size_t length = (size_t)(r->at - start);
    if (take(r, "(")) return read_call(r, start, length);
    const char *found = length == 1 ? strchr(names, *start) : NULL;
    if (!found) {
        if (!r->wrong) r->wrong = "a name that is none of x, y, w, z, g";
        return 0;
    }
    uint8_t name = (uint8_t)(found - names);
    r->cell->reads |= (uint8_t)(1u << name);
    return add_item(r, (Item){.kind = ITEM_NAME, .name = name});
}

static uint8_t read_number(Reader *r) {
    char *end;
    double number = strtod(r->at, &end);
    if (end == r->at && !r->wrong) r->wrong = "neither a number, a name, a call nor a parenthesis";
    r->at = end;
    return add_item(r, (Item){.kind = ITEM_NUMBER, .number = number});
}

static uint8_t read_primary(Reader *r) {
    skip_blanks(r);
    if (isalpha((unsigned char)*r->at)) return read_name(r);
    if (!take(r, "(")) return read_number(r);
    uint8_t item = read_choice(r);
    expect(r, ")", "a parenthesis that stays open");
    return item;
}

static uint8_t read_sign(Reader *r) {
    if (!take(r, "-")) return read_primary(r);
    uint8_t item = read_sign(r);
    Item *number = &r->cell->items[item];
    if (number->kind != ITEM_NUMBER) return add_call(r, OP_neg, item, 0, 0);
    number->number = -number->number;
    return item;
}

static uint8_t read_product(Reader *r) {
    uint8_t left = read_sign(r);
    for (;;) {
        if (take(r, "*")) left = add_call(r, OP_mul, left, read_sign(r), 0);
        else if (take(r, "/")) left = add_call(r, OP_truediv, left, read_sign(r), 0);
        else return left;
    }
}

static uint8_t read_sum(Reader *r) {
    uint8_t left = read_product(r);
    for (;;) {
        if (take(r, "+")) left = add_call(r, OP_add, left, read_product(r), 0);
        else if (take(r, "-")) left = add_call(r, OP_sub, left, read_product(r), 0);
        else return left;
    }
}

static uint8_t read_choice(Reader *r) {
    static const struct {
        const char *token;
        Compare compare;
        int swapped, negated;
    } comparisons[] = {
        /* the longer tokens first */
        {"<=", COMPARE_LESS_EQUAL, 0, 0}, {">=", COMPARE_LESS_EQUAL, 1, 0}, {"==", COMPARE_EQUAL, 0, 0},
        {"!=", COMPARE_EQUAL, 0, 1},      {"<", COMPARE_LESS, 0, 0},        {">", COMPARE_LESS, 1, 0},
    };
    uint8_t left = read_sum(r);
    for (size_t k = 0; k < sizeof comparisons / sizeof *comparisons; k++) {
        if (!take(r, comparisons[k].token)) continue;
        uint8_t right = read_sum(r);
        int swapped = comparisons[k].swapped;
        uint8_t condition = add_item(r, (Item){.kind = ITEM_COMPARE,
                                               .compare = (uint8_t)comparisons[k].compare,
                                               .a = swapped ? right : left,
                                               .b = swapped ? left : right});
        expect(r, "?", "a comparison without a choice");
        uint8_t chosen = read_choice(r);
        expect(r, ":", "a choice without its other side");
        uint8_t other = read_choice(r);
        int negated = comparisons[k].negated;
        return add_item(
            r,
            (Item){.kind = ITEM_CHOICE, .a = condition, .b = negated ? other : chosen, .c = negated ? chosen : other});
    }
    return left;
}

const char *cell_read(Cell *cell, const char *text) {
    Reader r = {text, NULL, cell};
    cell->size = cell->reads = 0;
    uint8_t last = read_choice(&r);
    skip_blanks(&r);
    if (!r.wrong && *r.at) r.wrong = "something behind the end";
    if (!r.wrong && last + 1 != cell->size) r.wrong = "items behind the whole";
    return r.wrong;
}

/* -- the table's cells ------------------------------------------------------------------------------ */

/* Text as the compiler sees it: constants are numbers by then. */
#define TEXT_(...) #__VA_ARGS__
#define TEXT(...) TEXT_(__VA_ARGS__)

typedef struct {
    const char *value, *gains[3];
} Texts;

static const Texts texts[OP_COUNT] = {
#define TEXT2(id, symbol, refuse, lo, hi, value, gain_x, gain_y) \
    [OP_##id] = {TEXT(value), {TEXT(gain_x), TEXT(gain_y)}},
#define TEXT1(id, symbol, refuse, lo, hi, value, gain_x) [OP_##id] = {TEXT(value), {TEXT(gain_x)}},
#define TEXT0(id, symbol, refuse, lo, hi, value) [OP_##id] = {TEXT(value), {NULL}},
#define TEXT3(id, symbol, refuse, lo, hi, value, gain_x, gain_y, gain_w) \
    [OP_##id] = {TEXT(value), {TEXT(gain_x), TEXT(gain_y), TEXT(gain_w)}},
    FOR_EACH_BINARY(TEXT2) FOR_EACH_UNARY(TEXT1) FOR_EACH_SCALED(TEXT1) FOR_EACH_STOPPED(TEXT0) FOR_EACH_TERNARY(TEXT3)
#undef TEXT2
#undef TEXT1
#undef TEXT0
#undef TEXT3
};

const char *cell_text(Op op, int which) { return which < 0 ? texts[op].value : texts[op].gains[which]; }

Cell cells[OP_COUNT][4];

const Cell *cell_load(Op op, int which) {
    Cell *cell = &cells[op][which + 1];
    if (!cell_text(op, which)) return NULL;
    if (!cell->size && cell_read(cell, cell_text(op, which))) abort();
    return cell;
}

/* -- numbers ---------------------------------------------------------------------------------------- */

static int compares(Compare compare, double a, double b) {
    return compare == COMPARE_LESS ? a < b : compare == COMPARE_EQUAL ? a == b : a <= b;
}

/* Of both sides of a choice there is a number, and one of them is chosen. */
double cell_value(const Cell *cell, const double names[NAME_COUNT]) {
    double values[MOST_ITEMS];
    for (uint8_t k = 0; k < cell->size; k++) {
        const Item *item = &cell->items[k];
        switch ((ItemKind)item->kind) {
        case ITEM_NUMBER: values[k] = item->number; break;
        case ITEM_NAME: values[k] = names[item->name]; break;
        case ITEM_CALL: values[k] = op_value(item->op, values[item->a], values[item->b], values[item->c]); break;
        case ITEM_COMPARE: values[k] = compares((Compare)item->compare, values[item->a], values[item->b]); break;
        case ITEM_CHOICE: values[k] = values[item->a] != 0 ? values[item->b] : values[item->c]; break;
        }
    }
    return values[cell->size - 1];
}
