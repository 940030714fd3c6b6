/* SPDX-License-Identifier: MIT
 *
 * The reverse sweep: zeroing, ordering and the chain rule in one walk downwards from the root.
 *
 * The nodes that the root depends on are found on the way: a node that is reached puts its operands
 * into the set `reached`, and the walk goes to the highest member below. An operand reached for the
 * first time is assigned its adjoint, later contributions add, so nothing is zeroed beforehand.
 * The set has a bit per node and two levels of summary above, so that a stretch of a quarter of a
 * million nodes that the root does not depend on costs one bit.
 *
 * A rule is applied where an adjoint has arrived. An operand that gains nothing whatever the numbers are,
 * such as where's condition, or that a choice has not chosen, and what only such operands depend on, is of the
 * graph all the same: it is set aside, and its adjoint starts as all do. To hand a 0 on instead would be wrong:
 * the rule of sqrt(0), say, makes NaN of it.
 */
#include "tape.h"

#include <stdlib.h>

FORCE_INLINE double starting_adjoint(const Tape *tape, uint32_t i, Start start) {
    int keeps = start == ALL_KEEP || (start == LEAVES_KEEP && (tape->op[i] & ~OP_CLOSURE) == OP_leaf);
    return keeps ? tape_adjoint(tape, i) : 0.0;
}

FORCE_INLINE double root_adjoint(const Tape *tape, uint32_t root, Start start) {
    return start == ALL_KEEP ? 1.0 : starting_adjoint(tape, root, start) + 1.0;
}

/* Adds node i to the set; returns whether it is new there. */
FORCE_INLINE int reach(Tape *tape, uint32_t i) {
    uint64_t *word = &tape->reached[0][WORD_OF(i)], bit = BIT_OF(i), before = *word;
    if (before & bit) return 0;
    *word = before | bit;
    if (!before) {
        uint32_t j = WORD_OF(i), k = WORD_OF(j);
        tape->reached[1][k] |= BIT_OF(j);
        tape->reached[2][WORD_OF(k)] |= BIT_OF(k);
    }
    return 1;
}

/* Adds node i to those that no adjoint arrives at by this way. */
FORCE_INLINE void set_aside(Tape *tape, uint32_t i) {
    uint32_t j = WORD_OF(i), k = WORD_OF(j);
    tape->aside[j] |= BIT_OF(i);
    tape->reached[1][k] |= BIT_OF(j);
    tape->reached[2][WORD_OF(k)] |= BIT_OF(k);
}

/* Who gains, and what of it is kept in registers. A chain's nodes depend on each other only through
 * the word of the set that the walk is in and the adjoint of the next node below: going through
 * memory for those two doubles a node's time. */
typedef struct {
    Tape *tape;
    Start start;
    int alone;       /* one node's rule by itself, no walk */
    int is_aside;    /* nodes have been set aside */
    uint32_t word;   /* the word the walk is in ... */
    uint64_t here;   /* ... and its members */
    uint32_t below;  /* the node below the current one ... */
    double carry;    /* ... and its adjoint, if it is carried */
    int carried;
} Walk;

FORCE_INLINE void gain(Walk *to, uint32_t i, double amount) {
    Tape *tape = to->tape;
    int first;
    if (to->alone) {
        tape_set_adjoint(tape, i, tape_adjoint(tape, i) + amount);
        return;
    }
    if (WORD_OF(i) == to->word) {
        first = !(to->here & BIT_OF(i));
        to->here |= BIT_OF(i);
    } else {
        first = reach(tape, i);
    }
    if (!first) amount += tape->adjoint[i];
    else if (to->start != FROM_ZERO) amount += starting_adjoint(tape, i, to->start);
    tape->adjoint[i] = amount;
    if (i == to->below) {
        to->carry = amount;
        to->carried = 1;
    }
}

FORCE_INLINE void gain_nothing(Walk *to, uint32_t i) {
    if (to->alone) return;
    set_aside(to->tape, i);
    to->is_aside = 1;
}

#define GAIN(i, cell) (IS_ZERO(cell) ? gain_nothing(to, i) : gain(to, i, cell))

/* Of a choice, what is not chosen gains nothing. */
#define GAIN_IF(gains, i, cell) (IS_ZERO(cell) || !(gains) ? gain_nothing(to, i) : gain(to, i, cell))

/* The element that take's index chooses; NO_NODE: none. The index was looked at when it was recorded,
 * but not what was assigned to it later, nor a sample's that only stands for all of them. */
static inline uint32_t taken(const Tape *tape, const uint32_t *args, uint32_t count) {
    double index = tape->value[args[0]];
    if (index < 0) index += count - 1;
    return index >= 0 && index < count - 1 ? args[1 + (uint32_t)index] : NO_NODE;
}

double tape_listed_value(const Tape *tape, int op, const uint32_t *args, uint32_t count) {
    const double *value = tape->value;
    if (op_info[op].shape == TERNARY) return op_value(op, value[args[0]], value[args[1]], value[args[2]]);
    switch ((Variadic)op) {
    case VARIADIC_sum: {
        double total = value[args[0]];
        for (uint32_t k = 1; k < count; k++) total += value[args[k]];
        return total;
    }
    case VARIADIC_dot: {
        /* In the lesson's order: the bias first, then the products. */
        double total = count & 1 ? value[args[count - 1]] : 0.0;
        for (uint32_t k = 0; k + 1 < count; k += 2) total += value[args[k]] * value[args[k + 1]];
        return total;
    }
    case VARIADIC_take: {
        uint32_t chosen = taken(tape, args, count);
        return chosen == NO_NODE ? NAN : value[chosen];
    }
    case VARIADIC_scan:
    case VARIADIC_part:
    case VARIADIC_sequence:
    case VARIADIC_list:
    case VARIADIC_custom:
    case VARIADIC_opaque: break; /* they are given their value */
    }
    abort();
}

FORCE_INLINE void variadic_rule(Walk *to, int op, const uint32_t *args, uint32_t count, double g) {
    const Tape *tape = to->tape;
    const double *value = tape->value;
    switch ((Variadic)op) {
    case VARIADIC_sum:
        for (uint32_t k = 0; k < count; k++) gain(to, args[k], g);
        break;
    case VARIADIC_dot:
        for (uint32_t k = 0; k + 1 < count; k += 2) {
            gain(to, args[k], g * value[args[k + 1]]);
            gain(to, args[k + 1], g * value[args[k]]);
        }
        if (count & 1) gain(to, args[count - 1], g);
        break;
    case VARIADIC_take: {
        uint32_t chosen = taken(tape, args, count);
        gain_nothing(to, args[0]);
        for (uint32_t k = 1; k < count; k++) gain_nothing(to, args[k]);
        if (chosen != NO_NODE) gain(to, chosen, g);
        break;
    }
    case VARIADIC_custom:
        for (uint32_t k = 0; k < count / 2; k++) gain(to, args[k], g * value[args[count / 2 + k]]);
        break;
    case VARIADIC_opaque: /* Python knows the rule; the operands are of the graph all the same */
        for (uint32_t k = 0; k < count; k++) gain(to, args[k], 0.0);
        break;
    case VARIADIC_scan: /* nobody sweeps over what is being recorded */
    case VARIADIC_part:
    case VARIADIC_sequence:
    case VARIADIC_list: break;
    }
}

/* The chain rule of node i, whose adjoint is g. */
FORCE_INLINE void apply_rule(Walk *to, uint32_t i, int op, double g) {
    const Tape *tape = to->tape;
    const uint32_t a = tape->operands[i].a, b = tape->operands[i].b;
    switch ((Op)op) {
    case OP_leaf: return;
#define NAMES(id)                                            \
    case OP_##id: {                                          \
        const double x = tape->value[a], z = tape->value[i]; \
        (void)x, (void)z;
#define RULE2(id, symbol, refuse, lo, hi, value_, gain_x, gain_y) \
    NAMES(id)                                                     \
    const double y = tape->value[b];                              \
    (void)y;                                                      \
    GAIN(a, gain_x);                                              \
    GAIN(b, gain_y);                                              \
    return;                                                       \
    }
#define RULE1(id, symbol, refuse, lo, hi, value_, gain_x) \
    NAMES(id)                                             \
    GAIN(a, gain_x);                                      \
    return;                                               \
    }
#define RULES(id, symbol, refuse, lo, hi, value_, gain_x) \
    NAMES(id)                                             \
    const double y = tape->value[b];                      \
    GAIN(a, gain_x);                                      \
    return;                                               \
    }
#define RULE3(id, symbol, refuse, lo, hi, value_, gain_x, gain_y, gain_w) \
    case OP_##id: {                                                       \
        const uint32_t *args = tape->args + a;                            \
        const double x = tape->value[args[0]], y = tape->value[args[1]];  \
        const double w = tape->value[args[2]], z = tape->value[i];        \
        (void)x, (void)y, (void)w, (void)z;                               \
        GAIN(args[0], gain_x);                                            \
        GAIN_IF(OP_##id != OP_where || x > 0, args[1], gain_y);           \
        GAIN_IF(OP_##id != OP_where || !(x > 0), args[2], gain_w);        \
        return;                                                           \
    }
        FOR_EACH_BINARY(RULE2)
        FOR_EACH_UNARY(RULE1)
        FOR_EACH_SCALED(RULES)
        FOR_EACH_TERNARY(RULE3)
#define NO_RULE(id, ...) \
    case OP_##id: return;
        FOR_EACH_STOPPED(NO_RULE)
#undef NO_RULE
#define RULEV(id, symbol) case OP_##id:
        FOR_EACH_VARIADIC(RULEV)
        variadic_rule(to, op, tape->args + a, b, g);
        return;
#undef RULEV
#undef NAMES
#undef RULE2
#undef RULE1
#undef RULES
#undef RULE3
    }
}

void tape_apply_rule(Tape *tape, uint32_t i) {
    Walk to = {.tape = tape, .alone = 1};
    apply_rule(&to, i, tape->op[i] & ~OP_CLOSURE, tape_adjoint(tape, i));
}

/* The next word of level 0 with a member, given that word `from` has none left; or -1. */
static int64_t next_word(Tape *tape, uint32_t from) {
    uint64_t *middle = tape->reached[1], *top = tape->reached[2];
    uint32_t k = WORD_OF(from);
    middle[k] &= ~BIT_OF(from);
    if (!middle[k]) {
        uint32_t t = WORD_OF(k);
        top[t] &= ~BIT_OF(k);
        while (!top[t]) {
            if (t == 0) return -1;
            t--;
        }
        k = (t << 6) + highest_bit(top[t]);
    }
    return ((int64_t)k << 6) + highest_bit(middle[k]);
}

/* Starts the adjoints of a word's nodes that were set aside, and have not been reached by now. */
NO_INLINE static void start_aside(Tape *tape, uint32_t word, uint64_t reached, Start start) {
    uint64_t left;
    while ((left = tape->aside[word] & ~reached)) {
        uint32_t i = (word << 6) + highest_bit(left), count;
        reached |= BIT_OF(i);
        tape_set_adjoint(tape, i, starting_adjoint(tape, i, start));
        if (op_info[tape->op[i] & ~OP_CLOSURE].shape == STOPPED) continue;
        const uint32_t *operands = tape_operands(tape, i, &count);
        for (uint32_t k = 0; k < count; k++) set_aside(tape, operands[k]);
    }
    tape->aside[word] = 0;
}

/* Applies the rules of the nodes of one word; one at least is there. */
FORCE_INLINE void walk_word(Walk *to) {
    const Tape *tape = to->tape;
    uint32_t base = to->word << 6, i = base + highest_bit(to->here);
    double g = tape->adjoint[i];
    for (;;) {
        to->below = i - 1;
        to->carried = 0;
        apply_rule(to, i, tape->op[i], g);
        uint64_t left = to->here & (BIT_OF(i) - 1);
        if (!left) return;
        /* Guessing the neighbour keeps the next index off the path through memory. */
        if (i > base && to->here & (BIT_OF(i) >> 1)) {
            i--;
            g = to->carried ? to->carry : tape->adjoint[i];
        } else {
            i = base + highest_bit(left);
            g = tape->adjoint[i];
        }
    }
}

FORCE_INLINE void walk(Tape *tape, uint32_t root, Start start) {
    Walk to = {.tape = tape, .start = start};
    int64_t word = WORD_OF(root);
    tape->adjoint[root] = root_adjoint(tape, root, start);
    reach(tape, root);
    do {
        to.word = (uint32_t)word;
        to.here = tape->reached[0][word];
        if (to.here) walk_word(&to);
        tape->swept[word] |= to.here;
        tape->reached[0][word] = 0;
        if (to.is_aside) start_aside(tape, to.word, to.here, start);
        word = next_word(tape, to.word);
    } while (word >= 0);
}

/* -- graphs with closures -------------------------------------------------------------------- */

int tape_list_reached(Tape *tape, const uint32_t *roots, size_t n_roots, uint32_t **list, size_t *count) {
    size_t size = 0, capacity = 64;
    uint32_t *out = malloc(capacity * sizeof *out), highest = 0;
    for (size_t k = 0; k < n_roots; k++) {
        reach(tape, roots[k]);
        if (roots[k] > highest) highest = roots[k];
    }
    int64_t word = WORD_OF(highest);
    do {
        uint64_t *members = &tape->reached[0][word];
        while (*members) {
            uint32_t i = ((uint32_t)word << 6) + highest_bit(*members), operands;
            *members &= ~BIT_OF(i);
            if (out && size == capacity) {
                uint32_t *larger = realloc(out, (capacity *= 2) * sizeof *out);
                if (!larger) free(out); /* the walk goes on, to empty the set */
                out = larger;
            }
            if (out) out[size++] = i;
            if (op_info[tape->op[i] & ~OP_CLOSURE].shape == STOPPED) continue;
            const uint32_t *operand = tape_operands(tape, i, &operands);
            for (uint32_t k = 0; k < operands; k++) reach(tape, operand[k]);
        }
        word = next_word(tape, (uint32_t)word);
    } while (word >= 0);
    *list = out;
    *count = size;
    return out ? 0 : -1;
}

/* Whether node i is a choice that has not chosen its operand k. */
static int is_left_out(const Tape *tape, uint32_t i, uint32_t k) {
    uint32_t count;
    const uint32_t *operands = tape_operands(tape, i, &count);
    if (k == 0) return 0;
    if (tape->op[i] == OP_where) return (k == 1) != (tape->value[operands[0]] > 0);
    return tape->op[i] == OP_take && operands[k] != taken(tape, operands, count);
}

/* Adds the operands that gain from node i, or may do so for all that is known, to a set whose first node
 * is `lowest`. */
static void note_gaining(const Tape *tape, uint32_t i, uint64_t *gaining, uint32_t lowest) {
    uint32_t count;
    const uint32_t *operands = tape_operands(tape, i, &count);
    for (uint32_t k = 0; k < count; k++) {
        uint32_t place = operands[k] - lowest;
        if (tape->op[i] & OP_CLOSURE || (!cell_stops((Op)tape->op[i], (int)k) && !is_left_out(tape, i, k)))
            gaining[WORD_OF(place)] |= BIT_OF(place);
    }
}

/* A closure may read and write any adjoint, record nodes, or sweep another graph. So all adjoints
 * are in place before the first one runs, and no set of the tape is in use while it does. */
static int sweep_with_closures(Tape *tape, uint32_t root, Start start, ClosureRule closure) {
    uint32_t *list;
    size_t count;
    int closures = 0, status = 0;
    if (tape_list_reached(tape, &root, 1, &list, &count)) return SWEEP_NO_MEMORY;
    for (size_t k = 0; k < count; k++) closures |= tape->op[list[k]] & OP_CLOSURE;
    if (closures) {
        const uint32_t lowest = list[count - 1];
        uint64_t *gaining = calloc(WORDS_FOR(root - lowest + 1), sizeof *gaining);
        if (!gaining) {
            free(list);
            return SWEEP_NO_MEMORY;
        }
        gaining[WORD_OF(root - lowest)] = BIT_OF(root - lowest);
        double at_root = root_adjoint(tape, root, start);
        for (size_t k = 0; k < count; k++) tape_set_adjoint(tape, list[k], starting_adjoint(tape, list[k], start));
        tape->adjoint[root] = at_root;
        for (size_t k = 0; k < count && !status; k++) {
            if (!bit_is_set(gaining, list[k] - lowest)) continue;
            note_gaining(tape, list[k], gaining, lowest);
            if (tape->op[list[k]] & OP_CLOSURE) status = closure(list[k]);
            else tape_apply_rule(tape, list[k]);
        }
        free(gaining);
    }
    free(list);
    return status ? SWEEP_STOPPED : closures ? SWEEP_DONE : SWEEP_NO_CLOSURE;
}

SweepStatus tape_sweep(Tape *tape, uint32_t root, Start start, ClosureRule closure) {
    if (tape->closures) {
        tape->busy++;
        int status = sweep_with_closures(tape, root, start, closure);
        tape->busy--;
        if (status != SWEEP_NO_CLOSURE) return (SweepStatus)status;
    }
    if (start == ALL_KEEP) walk(tape, root, ALL_KEEP);
    else if (start == LEAVES_KEEP) walk(tape, root, LEAVES_KEEP);
    else walk(tape, root, FROM_ZERO);
    return SWEEP_DONE;
}

int tape_is_stale(Tape *tape, uint32_t root) {
    uint32_t *list;
    size_t count;
    int stale = 0;
    if (tape_list_reached(tape, &root, 1, &list, &count)) return -1;
    for (size_t k = 0; k < count && !stale; k++) {
        uint32_t i = list[k], n;
        int op = tape->op[i];
        Shape shape = op_info[op & ~OP_CLOSURE].shape;
        if (op & OP_CLOSURE || shape == LEAF || shape == VARIADIC) continue;
        const uint32_t *operands = tape_operands(tape, i, &n);
        double y = shape == BINARY || shape == SCALED ? tape->value[tape->operands[i].b] : 0.0;
        double value = shape == TERNARY ? tape_listed_value(tape, op, operands, n)
                                        : op_value(op, tape->value[operands[0]], y, 0.0);
        stale = value != tape->value[i] && (value == value || tape->value[i] == tape->value[i]);
    }
    free(list);
    return stale;
}
