/* SPDX-License-Identifier: MIT
 *
 * Walks downwards from a node, as far as a recording goes.
 */
#include "trace.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int trace_depends(const Tape *tape, uint32_t i, uint32_t mark, const uint32_t *inputs, uint32_t n_inputs) {
    if (i < mark) return 0;
    uint8_t *reached = calloc((size_t)i - mark + 1, 1);
    uint32_t above = n_inputs; /* inputs[above] and those after it stand above the node at hand */
    int depends = 0;
    if (!reached) return -1;
    reached[i - mark] = 1;
    for (uint32_t j = i + 1; j-- > mark && !depends;) {
        uint32_t count;
        if (!reached[j - mark]) continue;
        while (above > 0 && inputs[above - 1] > j) above--;
        depends = (above > 0 && inputs[above - 1] == j) || tape->op[j] == OP_scan;
        const uint32_t *operands = tape_operands(tape, j, &count);
        for (uint32_t k = 0; k < count; k++)
            if (operands[k] >= mark) reached[operands[k] - mark] = 1;
    }
    free(reached);
    return depends;
}

typedef struct {
    uint32_t *items; /* NULL once memory has run out */
    size_t size, capacity;
} List;

static void push(List *list, uint32_t item) {
    if (list->items && list->size == list->capacity) {
        uint32_t *larger = realloc(list->items, (list->capacity *= 2) * sizeof *larger);
        if (!larger) free(list->items);
        list->items = larger;
    }
    if (list->items) list->items[list->size++] = item;
}

int trace_sources(const Tape *tape, uint32_t i, uint32_t mark, uint32_t **sources, size_t *count) {
    size_t above = i < mark ? 0 : (size_t)i - mark + 1;
    uint8_t *reached = calloc(above + 1, 1);
    List found = {malloc(64 * sizeof *found.items), 0, 64};
    if (i < mark) push(&found, i);
    else if (reached) reached[i - mark] = 1;
    for (uint32_t j = i + 1; reached && above && j-- > mark;) {
        uint32_t operand_count;
        if (!reached[j - mark]) continue;
        if ((tape->op[j] & ~OP_CLOSURE) == OP_leaf && owner_anchor(tape->owner[j])) push(&found, j);
        const uint32_t *operands = tape_operands(tape, j, &operand_count);
        for (uint32_t k = 0; k < operand_count; k++) {
            if (operands[k] < mark) push(&found, operands[k]);
            else reached[operands[k] - mark] = 1;
        }
    }
    if (!reached || !found.items) {
        free(reached);
        free(found.items);
        return -1;
    }
    free(reached);
    *sources = found.items;
    *count = found.size;
    return 0;
}

/* Whether node i has an operand in a set of nodes. */
static int leans_on(const Tape *tape, uint32_t i, const uint64_t *set) {
    uint32_t count;
    const uint32_t *operands = tape_operands(tape, i, &count);
    for (uint32_t k = 0; k < count; k++)
        if (bit_is_set(set, operands[k])) return 1;
    return 0;
}

void trace_end(Tape *tape, uint32_t mark, const uint32_t *inputs, uint32_t n_inputs, int with_scans,
               void (*leaked)(Anchor *)) {
    uint64_t *depend = tape->reached[0];
    uint32_t args = tape->args_size; /* where those of node i began */
    for (uint32_t i = mark, k = 0; i < tape->size; i++) {
        int is_input = k < n_inputs && inputs[k] == i;
        k += (uint32_t)is_input;
        int is_scan = with_scans && tape->op[i] == OP_scan;
        if (is_input || is_scan || leans_on(tape, i, depend)) depend[WORD_OF(i)] |= BIT_OF(i);
    }
    for (uint32_t i = tape->size; i-- > mark;) {
        if ((tape->op[i] & ~OP_CLOSURE) >= OP_FIRST_LISTED) args = tape->operands[i].a;
        Anchor *anchor = bit_is_set(depend, i) ? owner_anchor(tape->owner[i]) : NULL;
        if (!anchor) continue;
        tape->op[i] = OP_opaque;
        tape->operands[i] = (Operands){args, 0};
        tape->value[i] = NAN;
        tape_set_adjoint(tape, i, NAN);
        leaked(anchor);
    }
    if (tape->size > mark) memset(depend + WORD_OF(mark), 0, (WORDS_FOR(tape->size) - WORD_OF(mark)) * sizeof *depend);
}
