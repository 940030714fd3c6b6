/* SPDX-License-Identifier: MIT */
#include "sparsity.h"

#include "loops.h"

/* -- index sets (Griewank and Walther, Evaluating Derivatives, 2008, chapter 7) ---------------------- */

/* Of inputs: bits from word `first` on. Sets that are equal to an operand's share its words. */
typedef struct {
    uint32_t first, count;
    uint64_t *words;
} IndexSet;

typedef struct {
    const Graph *graph;
    Arena *arena;
    IndexSet *sets; /* of each node */
} Sets;

static int holds_all(const IndexSet *set, const IndexSet *part) {
    if (!part->count) return 1;
    if (part->first < set->first || part->first + part->count > set->first + set->count) return 0;
    const uint64_t *words = set->words + (part->first - set->first);
    for (uint32_t k = 0; k < part->count; k++)
        if (part->words[k] & ~words[k]) return 0;
    return 1;
}

static void unite(Sets *sets, IndexSet *set, const IndexSet *more) {
    if (set->words == more->words || holds_all(set, more)) return;
    if (holds_all(more, set)) {
        *set = *more;
        return;
    }
    uint32_t first = set->first < more->first ? set->first : more->first;
    uint32_t end = set->first + set->count, more_end = more->first + more->count;
    if (end < more_end) end = more_end;
    IndexSet both = {first, end - first, ARENA_ARRAY(sets->arena, uint64_t, end - first)};
    memcpy(both.words + (set->first - first), set->words, set->count * sizeof *set->words);
    for (uint32_t k = 0; k < more->count; k++) both.words[more->first - first + k] |= more->words[k];
    *set = both;
}

static void unite_all(Sets *sets, IndexSet *set, const uint32_t *nodes, uint32_t count) {
    for (uint32_t k = 0; k < count; k++)
        if (sets->graph->nodes[nodes[k]].stage == SAMPLE) unite(sets, set, &sets->sets[nodes[k]]);
}

static IndexSet set_of(Sets *sets, uint32_t i) {
    const Graph *graph = sets->graph;
    const Node *node = &graph->nodes[i];
    IndexSet set = {0};
    uint32_t count;
    switch (form_of(node)) {
    case FORM_CONSTANT:
    case FORM_PARAMETER: return set;
    case FORM_DRAW: /* of the point: recorded with directions, it is a parameter */ return set;
    case FORM_INPUT:
        set = (IndexSet){WORD_OF(node->a), 1, ARENA_ARRAY(sets->arena, uint64_t, 1)};
        set.words[0] = BIT_OF(node->a);
        return set;
    case FORM_MAP:
    case FORM_LINEAR:
    case FORM_TAKE:
    case FORM_CUSTOM:
    case FORM_PRODUCT:
    case FORM_SCAN:
    case FORM_SEQUENCE:
    case FORM_LIST:
    case FORM_PART: {
        const uint32_t *operands = node_operands(graph, i, &count);
        unite_all(sets, &set, operands, count);
        return set;
    }
        CASES_OF_GRADIENTS
        break; /* of gradient graphs */
    }
    abort();
}

static uint32_t size_of(const IndexSet *set) {
    uint32_t size = 0;
    for (uint32_t k = 0; k < set->count; k++) size += count_bits(set->words[k]);
    return size;
}

/* How many operations a node is. */
static double cost_of(const Graph *graph, uint32_t i) {
    const Node *node = &graph->nodes[i];
    switch (form_of(node)) {
    case FORM_CONSTANT:
    case FORM_PARAMETER:
    case FORM_INPUT:
    case FORM_DRAW:
    case FORM_SEQUENCE:
    case FORM_LIST:
    case FORM_PART: return 0;
    case FORM_SCAN: return (double)scan_of(graph, i)->length * scan_of(graph, i)->body.size;
    case FORM_MAP:
    case FORM_TAKE:
    case FORM_CUSTOM: return 1;
    case FORM_LINEAR: return node->b - node->c;
    case FORM_PRODUCT:
        return node->b - node->c; /* its weights */
        CASES_OF_GRADIENTS
        break; /* of gradient graphs */
    }
    abort();
}

static void find_sets(Sets *sets, Sparsity *sparsity) {
    const Graph *graph = sets->graph;
    for (uint32_t i = 0; i < graph->size; i++) {
        double cost = cost_of(graph, i);
        if (graph->nodes[i].stage != SAMPLE) {
            sparsity->once += cost;
            continue;
        }
        sets->sets[i] = set_of(sets, i);
        sparsity->direction += cost;
        sparsity->symbolic += 0.5 * cost * size_of(&sets->sets[i]);
    }
}

/* -- the pattern ------------------------------------------------------------------------------------ */

/* Of a matrix: row i's columns, ascending, stand from starts[i] to starts[i + 1]. */
typedef struct {
    uint32_t n;
    uint32_t *starts, *columns;
} Pattern;

static Pattern new_pattern(Arena *arena, uint32_t n, size_t size) {
    if (size > UINT32_MAX / 2) longjmp(*arena->out_of_memory, 1);
    return (Pattern){n, ARENA_ARRAY(arena, uint32_t, (size_t)n + 1), ARENA_ARRAY(arena, uint32_t, size + 1)};
}

static Pattern pattern_of(Sets *sets, const uint32_t *results, uint32_t n) {
    size_t size = 0;
    for (uint32_t i = 0; i < n; i++) size += size_of(&sets->sets[results[i]]);
    Pattern pattern = new_pattern(sets->arena, n, size);
    for (uint32_t i = 0, at = 0; i < n; i++) {
        const IndexSet *set = &sets->sets[results[i]];
        for (uint32_t k = 0; k < set->count; k++)
            for (uint64_t bits = set->words[k]; bits; bits &= bits - 1)
                pattern.columns[at++] = (set->first + k) * 64 + count_bits((bits & -bits) - 1);
        pattern.starts[i + 1] = at;
    }
    return pattern;
}

static Pattern transpose(const Pattern *rows, Arena *arena) {
    uint32_t n = rows->n, size = rows->starts[n];
    Pattern turned = new_pattern(arena, n, size);
    uint32_t *at = ARENA_ARRAY(arena, uint32_t, n);
    for (uint32_t k = 0; k < size; k++) ++turned.starts[rows->columns[k] + 1];
    for (uint32_t i = 0; i < n; i++) turned.starts[i + 1] += turned.starts[i];
    memcpy(at, turned.starts, n * sizeof *at);
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t k = rows->starts[i]; k < rows->starts[i + 1]; k++) turned.columns[at[rows->columns[k]]++] = i;
    return turned;
}

/* The entries that either of two places has: of a function's Hessian both, but for what simplification
 * has found in one of them only. */
static Pattern make_symmetric(const Pattern *rows, Arena *arena) {
    Pattern turned = transpose(rows, arena);
    Pattern both = new_pattern(arena, rows->n, 2 * (size_t)rows->starts[rows->n]);
    uint32_t size = 0;
    for (uint32_t i = 0; i < rows->n; i++) {
        uint32_t a = rows->starts[i], b = turned.starts[i];
        while (a < rows->starts[i + 1] || b < turned.starts[i + 1]) {
            uint32_t x = a < rows->starts[i + 1] ? rows->columns[a] : NONE;
            uint32_t y = b < turned.starts[i + 1] ? turned.columns[b] : NONE;
            both.columns[size++] = x < y ? x : y;
            a += x <= y;
            b += y <= x;
        }
        both.starts[i + 1] = size;
    }
    return both;
}

/* -- colours ---------------------------------------------------------------------------------------- */

#define MOST_LOOKS 1e8 /* at neighbours of neighbours of neighbours: less than a second */

/* Columns that have a colour each, and meet no other one's rules. */
typedef struct {
    const Pattern *pattern;
    uint8_t *alone;
    uint32_t *degrees; /* neighbours that are not alone */
} Hubs;

/* How many looks a star colouring of the others takes. */
static double count_looks(const Hubs *hubs) {
    const Pattern *pattern = hubs->pattern;
    double looks = 0;
    for (uint32_t w = 0; w < pattern->n; w++) {
        double next = 0;
        hubs->degrees[w] = 0;
        for (uint32_t k = pattern->starts[w]; k < pattern->starts[w + 1]; k++) {
            uint32_t x = pattern->columns[k];
            if (hubs->alone[x] || x == w) continue;
            ++hubs->degrees[w];
            next += pattern->starts[x + 1] - pattern->starts[x];
        }
        if (!hubs->alone[w]) looks += hubs->degrees[w] * next;
    }
    return looks;
}

/* Columns of far more entries than others. */
static void find_hubs(Hubs *hubs) {
    const Pattern *pattern = hubs->pattern;
    double most = 8.0 * pattern->starts[pattern->n] / pattern->n;
    if (most < 64) most = 64;
    for (uint32_t i = 0; i < pattern->n; i++) hubs->alone[i] = pattern->starts[i + 1] - pattern->starts[i] > most;
}

/* Columns by the number of their neighbours, most first. */
static uint32_t *by_degree(const Hubs *hubs, Arena *arena) {
    uint32_t n = hubs->pattern->n, *order = ARENA_ARRAY(arena, uint32_t, n);
    uint32_t *starts = ARENA_ARRAY(arena, uint32_t, (size_t)n + 2);
    for (uint32_t i = 0; i < n; i++) ++starts[n - hubs->degrees[i] + 1];
    for (uint32_t d = 0; d <= n; d++) starts[d + 1] += starts[d];
    for (uint32_t i = 0; i < n; i++) order[starts[n - hubs->degrees[i]]++] = i;
    return order;
}

/* Whether x has a neighbour but w of w's colour. */
static int has_another(const Pattern *pattern, const uint32_t *colours, uint32_t x, uint32_t w) {
    for (uint32_t k = pattern->starts[x]; k < pattern->starts[x + 1]; k++) {
        uint32_t y = pattern->columns[k];
        if (y != w && y != x && colours[y] == colours[w]) return 1;
    }
    return 0;
}

/* Each column gets the first colour with which no path of four columns has two colours only. */
static uint32_t choose_colours(const Pattern *pattern, uint32_t *colours, Arena *arena) {
    uint32_t n = pattern->n, n_colours = 0;
    uint32_t *forbidden = ARENA_ARRAY(arena, uint32_t, (size_t)n + 1); /* one more than for which column */
    Hubs hubs = {pattern, ARENA_ARRAY(arena, uint8_t, n), ARENA_ARRAY(arena, uint32_t, n)};
    int quick = 0;
    if (count_looks(&hubs) > MOST_LOOKS) {
        find_hubs(&hubs);
        /* No two columns that meet in a row have one colour: a star colouring, too, of more colours, which
         * is quicker to find. */
        quick = count_looks(&hubs) > MOST_LOOKS;
    }
    const uint32_t *order = by_degree(&hubs, arena);
    for (uint32_t i = 0; i < n; i++) colours[i] = NONE;
    for (uint32_t k = 0; k < n; k++) {
        uint32_t i = order[k], colour = 0;
        if (hubs.alone[i]) continue;
        for (uint32_t a = pattern->starts[i]; a < pattern->starts[i + 1]; a++) {
            uint32_t w = pattern->columns[a];
            if (w == i || hubs.alone[w]) continue;
            if (colours[w] != NONE) forbidden[colours[w]] = i + 1;
            for (uint32_t b = pattern->starts[w]; b < pattern->starts[w + 1]; b++) {
                uint32_t x = pattern->columns[b];
                if (x == i || x == w || colours[x] == NONE || forbidden[colours[x]] == i + 1) continue;
                if (quick || colours[w] == NONE || has_another(pattern, colours, x, w)) forbidden[colours[x]] = i + 1;
            }
        }
        while (forbidden[colour] == i + 1) ++colour;
        colours[i] = colour;
        if (colour >= n_colours) n_colours = colour + 1;
    }
    for (uint32_t i = 0; i < n; i++)
        if (hubs.alone[i]) colours[i] = n_colours++;
    return n_colours;
}

/* -- entries ---------------------------------------------------------------------------------------- */

/* How many columns of each colour row i has: added to counts, or taken away. */
static void count_colours(const Pattern *pattern, const uint32_t *colours, uint32_t i, int by, int *counts) {
    for (uint32_t k = pattern->starts[i]; k < pattern->starts[i + 1]; k++) counts[colours[pattern->columns[k]]] += by;
}

/* Whether row i has one column only of that colour: the product's number there is the entry. */
static int is_alone(const Pattern *pattern, const uint32_t *colours, uint32_t i, uint32_t colour) {
    uint32_t count = 0;
    for (uint32_t k = pattern->starts[i]; k < pattern->starts[i + 1]; k++)
        count += colours[pattern->columns[k]] == colour;
    return count == 1;
}

static void find_entries(const Pattern *pattern, Sparsity *sparsity, Arena *arena) {
    const uint32_t *colours = sparsity->colours;
    int *counts = ARENA_ARRAY(arena, int, sparsity->n_colours);
    uint32_t size = 0;
    GROW(arena, &sparsity->entries, Entry, pattern->starts[pattern->n]);
    for (uint32_t i = 0; i < pattern->n; i++) {
        count_colours(pattern, colours, i, 1, counts);
        for (uint32_t k = pattern->starts[i]; k < pattern->starts[i + 1]; k++) {
            uint32_t j = pattern->columns[k];
            if (j < i) continue;
            int here = counts[colours[j]] == 1;
            if (!here && !is_alone(pattern, colours, j, colours[i])) abort(); /* no star colouring */
            sparsity->entries.items[size++] = (Entry){i, j, here ? colours[j] : colours[i], here ? i : j};
        }
        count_colours(pattern, colours, i, -1, counts);
    }
    sparsity->entries.size = size;
}

static void find(const Graph *graph, uint32_t first_root, Sparsity *sparsity) {
    Arena *arena = graph->scratch;
    uint32_t n = graph->n_roots - first_root;
    Sets sets = {graph, arena, ARENA_ARRAY(arena, IndexSet, graph->size)};
    find_sets(&sets, sparsity);
    Pattern rows = pattern_of(&sets, graph->roots + first_root, n);
    Pattern pattern = make_symmetric(&rows, arena);
    sparsity->n = n;
    sparsity->colours = ARENA_ARRAY(arena, uint32_t, (size_t)n + 1);
    if ((double)pattern.starts[n] > 0.5 * n * n) { /* nearly every two columns meet */
        for (uint32_t i = 0; i < n; i++) sparsity->colours[i] = i;
        sparsity->n_colours = n;
    } else {
        sparsity->n_colours = choose_colours(&pattern, sparsity->colours, arena);
    }
    find_entries(&pattern, sparsity, arena);
}

SparsityStatus graph_sparsity(const Graph *graph, uint32_t first_root, Sparsity *sparsity) {
    jmp_buf out_of_memory;
    memset(sparsity, 0, sizeof *sparsity);
    if (setjmp(out_of_memory)) return SPARSITY_NO_MEMORY;
    graph->scratch->out_of_memory = &out_of_memory;
    find(graph, first_root, sparsity);
    return SPARSITY_FOUND;
}
