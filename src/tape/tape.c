/* SPDX-License-Identifier: MIT
 *
 * Node storage and lifetimes: growth, compaction, order. The sweep is in sweep.c.
 */
#include "tape.h"

#include <stdlib.h>
#include <string.h>

enum {
    DEFAULT_MINIMUM = 8192,     /* nodes: 200 KB, so that a small training loop stays in L2 */
    FIRST_CAPACITY = 1024,      /* nodes */
    LARGE = 1 << 17,            /* nodes, 4 MB: less is not worth giving back */
    PATIENCE = 8,               /* looks in a row that find most of the memory unused */
    MOST_PATIENCE = 32,         /* more of them, where memory was given back and taken again */
};

static const uint32_t MOST_NODES = UINT32_MAX - 64;

void tape_init(Tape *tape) {
    memset(tape, 0, sizeof *tape);
    tape->minimum = tape->collect_at = DEFAULT_MINIMUM;
    tape->moves = 1;
}

/* -- storage --------------------------------------------------------------------------------- */

/* Resizes one array in place; on failure it stays as it was. A clean one grows by zeros. */
static int resize(void *array, size_t old_bytes, size_t bytes, int clean) {
    void *old, *new;
    memcpy(&old, array, sizeof old);
    new = realloc(old, bytes);
    if (!new) return bytes > old_bytes ? -1 : 0;
    if (clean && bytes > old_bytes) memset((char *)new + old_bytes, 0, bytes - old_bytes);
    memcpy(array, &new, sizeof new);
    return 0;
}

static int set_capacity(Tape *tape, uint32_t capacity) {
    /* Every array has the old or the new size when one of them fails, so capacity, which is set
     * last when growing, is always within all of them. */
    size_t old = tape->capacity, new = capacity;
    if (new < old) tape->capacity = capacity;
    if (resize(&tape->value, old * sizeof(double), new * sizeof(double), 0) ||
        resize(&tape->operands, old * sizeof(Operands), new * sizeof(Operands), 0) || resize(&tape->op, old, new, 0) ||
        resize(&tape->owner, old * sizeof(Owner), new * sizeof(Owner), 0) ||
        resize(&tape->adjoint, old * sizeof(double), new * sizeof(double), 0) ||
        resize(&tape->rank, WORDS_FOR(old) * 4, WORDS_FOR(new) * 4, 0) ||
        resize(&tape->swept, WORDS_FOR(old) * 8, WORDS_FOR(new) * 8, 1) ||
        resize(&tape->aside, WORDS_FOR(old) * 8, WORDS_FOR(new) * 8, 1))
        return -1;
    for (int level = 0; level < 3; level++) {
        old = WORDS_FOR(old);
        new = WORDS_FOR(new);
        if (resize(&tape->reached[level], old * 8, new * 8, 1)) return -1;
    }
    tape->capacity = capacity;
    return 0;
}

static void set_limit(Tape *tape) {
    tape->limit = tape->collect_at < tape->capacity ? tape->collect_at : tape->capacity;
    if (tape->limit < tape->size) tape->limit = tape->size;
}

/* Looks for garbage when there could be as much as there are living nodes now. */
static void reset_collection(Tape *tape) {
    uint64_t collect_at = (uint64_t)tape->size * 2;
    if (collect_at < tape->minimum) collect_at = tape->minimum;
    tape->collect_at = collect_at < MOST_NODES ? (uint32_t)collect_at : MOST_NODES;
    set_limit(tape);
}

static int set_args_capacity(Tape *tape, uint32_t capacity) {
    size_t bytes = (size_t)capacity * sizeof *tape->args;
    if (resize(&tape->args, (size_t)tape->args_capacity * sizeof *tape->args, bytes, 0)) return -1;
    tape->args_capacity = capacity;
    return 0;
}

static int grow_args(Tape *tape, uint32_t args) {
    uint64_t needed = (uint64_t)tape->args_size + args;
    uint64_t capacity = tape->args_capacity + (uint64_t)tape->args_capacity / 2 + FIRST_CAPACITY;
    if (capacity < needed) capacity = needed;
    if (capacity > UINT32_MAX) capacity = UINT32_MAX;
    if (capacity < needed) return -1;
    return set_args_capacity(tape, (uint32_t)capacity);
}

int tape_make_room(Tape *tape, uint32_t nodes, uint32_t args) {
    if (tape->limit - tape->size < nodes) {
        if ((uint64_t)tape->size + nodes > tape->collect_at) tape_compact(tape, 0);
        uint64_t needed = (uint64_t)tape->size + nodes;
        if (needed > MOST_NODES) return -1;
        if (needed > tape->capacity) {
            uint64_t capacity = tape->capacity + (uint64_t)tape->capacity / 2 + FIRST_CAPACITY;
            if (capacity < needed) capacity = needed;
            if (capacity > MOST_NODES) capacity = MOST_NODES;
            capacity = (capacity + 63) & ~UINT64_C(63);
            if (set_capacity(tape, (uint32_t)capacity)) return -1;
            if (tape->trimmed_from && capacity > tape->trimmed_from / 2) {
                tape->trimmed_from = 0;
                if (tape->patience < MOST_PATIENCE) tape->patience = tape->patience * 2 + 1;
            }
        }
        if (needed > tape->collect_at) {
            uint64_t later = needed + (needed >> 3);
            tape->collect_at = later < MOST_NODES ? (uint32_t)later : MOST_NODES;
        }
        set_limit(tape);
    }
    return tape->args_capacity - tape->args_size < args ? grow_args(tape, args) : 0;
}

static uint32_t twice(uint32_t size) {
    return size < LARGE / 2 ? LARGE : size < MOST_NODES / 2 ? size * 2 : MOST_NODES;
}

void tape_trim(Tape *tape, int forced) {
    uint32_t keep = twice(tape->size), keep_args = twice(tape->args_size);
    int unused = keep < tape->capacity / 2 || keep_args < tape->args_capacity / 2;
    /* A loop that builds and drops one large graph after another would give back and fault in the
     * same pages for ever: once that has happened, more looks in a row have to find them unused. */
    tape->slack = unused ? tape->slack + 1 : 0;
    if (tape->slack <= tape->patience + (forced ? 0 : PATIENCE) || !unused) return;
    tape->slack = 0;
    tape->trimmed_from = tape->capacity;
    if (keep < tape->capacity) set_capacity(tape, keep);
    if (keep_args < tape->args_capacity) set_args_capacity(tape, keep_args);
    reset_collection(tape);
}

/* -- lifetimes ------------------------------------------------------------------------------- */

static void bury(Tape *tape, uint32_t i) {
    Annex *annex = owner_annex(tape->owner[i]);
    if (annex) {
        annex->next = tape->orphans;
        tape->orphans = annex;
    }
}

void tape_pop(Tape *tape) {
    uint32_t size = tape->size, top = size;
    while (size > 0 && !owner_anchor(tape->owner[size - 1])) {
        size--;
        if (tape->owner[size]) bury(tape, size);
        if ((tape->op[size] & ~OP_CLOSURE) >= OP_FIRST_LISTED) tape->args_size = tape->operands[size].a;
    }
    tape->size = size;
    if (WORD_OF(size) < WORDS_FOR(top)) {
        tape->swept[WORD_OF(size)] &= BIT_OF(size) - 1;
        for (size_t word = WORD_OF(size) + 1; word < WORDS_FOR(top); word++) tape->swept[word] = 0;
    }
    if (top - size > LARGE && !tape->busy) {
        reset_collection(tape);
        tape_trim(tape, 0);
    }
}

/* All that a node refers to, a SCALED node's number too: what must live for the node to live. */
static inline const uint32_t *references(const Tape *tape, uint32_t i, uint32_t *count) {
    const Operands *operands = &tape->operands[i];
    switch (op_info[tape->op[i] & ~OP_CLOSURE].shape) {
    case UNARY:
    case STOPPED: *count = 1; return (const uint32_t *)operands;
    case BINARY:
    case SCALED: *count = 2; return (const uint32_t *)operands; /* a and b are neighbours */
    case TERNARY:
    case VARIADIC: *count = operands->b; return tape->args + operands->a;
    case LEAF: *count = 0; return NULL;
    }
    abort();
}

const uint32_t *tape_operands(const Tape *tape, uint32_t i, uint32_t *count) {
    const uint32_t *operands = references(tape, i, count);
    int op = tape->op[i] & ~OP_CLOSURE;
    if (op_info[op].shape == SCALED) *count = 1;
    if (op == OP_custom) *count /= 2;
    return operands;
}

/* Marks the living in reached[0], highest first, and counts them. Of the word that is being worked
 * on, the members are kept in a register: a chain's nodes would wait for each other in memory. */
static uint32_t mark(Tape *tape) {
    uint64_t *living = tape->reached[0];
    uint32_t total = 0;
    for (uint32_t word = (uint32_t)WORDS_FOR(tape->size); word-- > 0;) {
        uint32_t base = word << 6, end = tape->size - base < 64 ? tape->size - base : 64;
        uint64_t here = living[word];
        for (uint32_t k = 0; k < end; k++)
            if (tape->owner[base + k] && owner_anchor(tape->owner[base + k])) here |= BIT_OF(k);
        if (!here) continue;
        for (uint32_t i = base + end; i-- > base;) {
            if (!(here & BIT_OF(i))) continue;
            uint32_t count;
            const uint32_t *refs = references(tape, i, &count);
            for (uint32_t k = 0; k < count; k++) {
                uint64_t *other = &living[WORD_OF(refs[k])];
                if (WORD_OF(refs[k]) == word) here |= BIT_OF(refs[k]);
                else if (!(*other & BIT_OF(refs[k]))) *other |= BIT_OF(refs[k]);
            }
        }
        living[word] = here;
        total += count_bits(here);
    }
    return total;
}

static void unmark(Tape *tape) {
    if (tape->size) memset(tape->reached[0], 0, WORDS_FOR(tape->size) * 8);
}

int tape_is_operand(const Tape *tape, uint32_t i) {
    for (uint32_t j = i + 1; j < tape->size; j++) {
        uint32_t count;
        const uint32_t *refs = references(tape, j, &count);
        for (uint32_t k = 0; k < count; k++)
            if (refs[k] == i) return 1;
    }
    return 0;
}

int tape_list_late(Tape *tape, uint32_t **list, uint32_t *count) {
    uint64_t *late = tape->reached[0];
    uint32_t total = 0;
    for (uint32_t i = 0; i < tape->size; i++) {
        const Annex *annex = owner_annex(tape->owner[i]);
        uint32_t n_refs;
        const uint32_t *refs = references(tape, i, &n_refs);
        int found = annex && annex->weight == LATE;
        for (uint32_t k = 0; k < n_refs && !found; k++) found = bit_is_set(late, refs[k]);
        if (!found) continue;
        late[WORD_OF(i)] |= BIT_OF(i);
        total++;
    }
    uint32_t *out = malloc((total + 1) * sizeof *out);
    *count = 0;
    for (uint32_t i = 0; out && i < tape->size; i++)
        if (bit_is_set(late, i)) out[(*count)++] = i;
    unmark(tape);
    *list = out;
    return out ? 0 : -1;
}

uint32_t tape_count_living(Tape *tape) {
    uint32_t total = tape->size ? mark(tape) : 0;
    unmark(tape);
    return total;
}

static inline uint32_t new_index(const Tape *tape, uint32_t i) {
    return tape->rank[WORD_OF(i)] + count_bits(tape->reached[0][WORD_OF(i)] & (BIT_OF(i) - 1));
}

/* Moves node i down to slot k; all nodes below i have been moved. */
static void move_node(Tape *tape, uint32_t i, uint32_t k) {
    Operands operands = tape->operands[i];
    uint8_t op = tape->op[i];
    switch (op_info[op & ~OP_CLOSURE].shape) {
    case BINARY:
    case SCALED: operands.b = new_index(tape, operands.b); /* fall through */
    case UNARY:
    case STOPPED: operands.a = new_index(tape, operands.a); break;
    case TERNARY:
    case VARIADIC: {
        uint32_t from = operands.a;
        operands.a = tape->args_size;
        for (uint32_t j = 0; j < operands.b; j++) tape->args[tape->args_size++] = new_index(tape, tape->args[from + j]);
        break;
    }
    case LEAF: break;
    }
    tape->operands[k] = operands;
    tape->op[k] = op;
    tape->value[k] = tape->value[i];
    tape->owner[k] = tape->owner[i];
    if (tape->owner[k]) {
        Anchor *anchor = owner_anchor(tape->owner[k]);
        if (anchor) anchor->index = k;
    }
    if (bit_is_set(tape->swept, i)) {
        tape->swept[WORD_OF(i)] &= ~BIT_OF(i);
        tape_set_adjoint(tape, k, tape->adjoint[i]);
    } else {
        tape->swept[WORD_OF(k)] &= ~BIT_OF(k);
    }
    if (op & OP_CLOSURE) tape->closures++;
}

static void slide(Tape *tape) {
    uint64_t *living = tape->reached[0];
    uint32_t size = tape->size, k = 0;
    size_t words = WORDS_FOR(size);
    for (size_t word = 0; word < words; word++) {
        tape->rank[word] = k;
        k += count_bits(living[word]);
    }
    k = 0;
    tape->args_size = 0;
    tape->closures = 0;
    for (uint32_t i = 0; i < size; i++) {
        if (bit_is_set(living, i)) {
            move_node(tape, i, k++);
        } else {
            if (tape->owner[i]) bury(tape, i);
            tape->swept[WORD_OF(i)] &= ~BIT_OF(i);
        }
    }
    unmark(tape);
    tape->size = k;
    tape->compactions++;
    tape->moves++;
}

void tape_compact(Tape *tape, int thorough) {
    if (tape->busy || tape->size == 0) return;
    uint32_t size = tape->size, living = mark(tape);
    if (living <= size / 2 || (thorough && living < size)) {
        slide(tape);
        reset_collection(tape);
    } else {
        /* Mostly alive: moving it would be wasted work. Growing by half pays for this look. */
        unmark(tape);
        reset_collection(tape);
        if (tape->collect_at - size < size / 2)
            tape->collect_at = size < MOST_NODES - size / 2 ? size + size / 2 : MOST_NODES;
        set_limit(tape);
    }
    tape_trim(tape, thorough);
}

/* -- inspect --------------------------------------------------------------------------------- */

int tape_topological_order(Tape *tape, uint32_t root, uint32_t **order, uint32_t *count) {
    typedef struct {
        uint32_t node, next;
    } Frame;
    uint64_t *visited = tape->reached[0];
    uint32_t order_size = 0, depth = 0;
    size_t order_capacity = 64, stack_capacity = 64;
    uint32_t *out = malloc(order_capacity * sizeof *out);
    Frame *stack = malloc(stack_capacity * sizeof *stack);
    int failed = !out || !stack;
    if (!failed) {
        visited[WORD_OF(root)] |= BIT_OF(root);
        stack[depth++] = (Frame){root, 0};
    }
    while (depth && !failed) {
        Frame *top = &stack[depth - 1];
        uint32_t operands;
        const uint32_t *operand = tape_operands(tape, top->node, &operands);
        while (top->next < operands && bit_is_set(visited, operand[top->next])) top->next++;
        if (top->next < operands) {
            uint32_t node = operand[top->next++];
            visited[WORD_OF(node)] |= BIT_OF(node);
            if (depth == stack_capacity) {
                Frame *larger = realloc(stack, (stack_capacity *= 2) * sizeof *stack);
                if (larger) stack = larger;
                else failed = 1;
            }
            if (!failed) stack[depth++] = (Frame){node, 0};
        } else {
            if (order_size == order_capacity) {
                uint32_t *larger = realloc(out, (order_capacity *= 2) * sizeof *out);
                if (larger) out = larger;
                else failed = 1;
            }
            if (!failed) {
                out[order_size++] = top->node;
                depth--;
            }
        }
    }
    if (tape->size) memset(visited, 0, WORDS_FOR(root + 1) * 8);
    free(stack);
    if (failed) {
        free(out);
        return -1;
    }
    *order = out;
    *count = order_size;
    return 0;
}

size_t tape_bytes(const Tape *tape) {
    size_t capacity = tape->capacity, words = WORDS_FOR(capacity);
    return capacity * (2 * sizeof(double) + sizeof(Operands) + sizeof(Owner) + 1) + words * (8 + 8 + 8 + 4) +
           WORDS_FOR(words) * 8 + WORDS_FOR(WORDS_FOR(words)) * 8 + (size_t)tape->args_capacity * 4;
}
