/* SPDX-License-Identifier: MIT
 *
 * The cells of the operation table as trees.
 *
 * A cell is one text read in two ways: by the C compiler, which makes code of it, and by this reader,
 * which makes a tree of it, so that a derivative can be looked into, differentiated again, and printed.
 * A cell holds numbers, the names x y w z g, arithmetic, one comparison before a '?', choices, and calls
 * of other rows; anything else does not read, which the tests would show for every row.
 */
#ifndef MICROGRAD_C_CELLS_H
#define MICROGRAD_C_CELLS_H

#include "ops.h"

typedef enum {
    ITEM_NUMBER,
    ITEM_NAME,   /* name                                     */
    ITEM_CALL,   /* op of up to three earlier items          */
    ITEM_COMPARE, /* compare of items a and b: a condition   */
    ITEM_CHOICE  /* condition a: item b, else item c         */
} ItemKind;

typedef enum { NAME_X, NAME_Y, NAME_W, NAME_Z, NAME_G, NAME_COUNT } CellName;

typedef enum { COMPARE_LESS, COMPARE_LESS_EQUAL, COMPARE_EQUAL } Compare;

typedef struct {
    double number;
    uint8_t kind, op, name, compare;
    uint8_t a, b, c; /* operands: earlier items */
} Item;

enum { MOST_ITEMS = 64 };

/* Operands stand before what uses them; the last item is the whole. */
typedef struct {
    Item items[MOST_ITEMS];
    uint8_t size;
    uint8_t reads; /* a bit for each CellName */
    uint64_t with_g; /* a bit for each item that reads g */
} Cell;

static inline int item_reads_g(const Cell *cell, uint8_t item) { return (int)(cell->with_g >> item & 1); }

/* Reads a text. NULL, or what is wrong with it. */
const char *cell_read(Cell *cell, const char *text);

/* The text of a cell, its value (which == -1) or the gain of operand `which`; NULL: there is none. */
const char *cell_text(Op op, int which);

/* The cell of a row: its value (which == -1), or the gain of operand `which`; NULL: there is none. */
const Cell *cell_load(Op op, int which);

/* Those that have been read before; of the others, the size is 0. */
extern Cell cells[OP_COUNT][4];

/* Of rows that have one. */
static inline const Cell *cell_of(Op op, int which) {
    const Cell *cell = &cells[op][which + 1];
    return cell->size ? cell : cell_load(op, which);
}

/* Which names the gain of operand `which` reads: a bit for each CellName. */
static inline unsigned cell_reads(Op op, int which) { return cell_of(op, which)->reads; }

/* The number that a cell gives where its names have these. */
double cell_value(const Cell *cell, const double names[NAME_COUNT]);

#define READS(set, name) ((set) >> NAME_##name & 1)

#endif
