/* SPDX-License-Identifier: MIT
 *
 * What stands in the frames of walks.
 */
#include "walk_plan.h"

/* -- families ---------------------------------------------------------------------------------------------- */

uint32_t family_of(View *v, uint32_t i) {
    while (v->family[i] != i) i = v->family[i] = v->family[v->family[i]];
    return i;
}

static void unite(View *v, uint32_t i, uint32_t j) { v->family[family_of(v, i)] = family_of(v, j); }

uint32_t place_of(const View *v, uint32_t i, uint32_t node) {
    const Scan *scan = scan_of(v->graph, i);
    const Node *of = &scan->body.nodes[node];
    if (of->op == NODE_DRAW) return v->draws[i][node]->place.row;
    if (of->op != NODE_INPUT) return NONE;
    if (of->a < scan->n_carries) return v->places[i][scan->n_made + of->a];
    uint32_t sequence = v->graph->args.items[v->graph->nodes[i].a + of->a];
    return v->shift[sequence] ? NONE : v->place[sequence];
}

/* -- draws ---------------------------------------------------------------------------------------------------- */

/* A draw in a body of a scan, of which all that are the same number share a row. */
typedef struct {
    uint32_t family, number, kind;
    Numbering numbering;
    uint32_t scan, node;
} BodyDraw;

enum { SHARED_WORDS = 6 /* of the above, in front: they are the same number where these are the same */ };

static int compare_body_draws(const void *x, const void *y) {
    const uint32_t *a = x, *b = y;
    for (uint32_t k = 0; k < sizeof(BodyDraw) / sizeof *a; k++)
        if (a[k] != b[k]) return a[k] < b[k] ? -1 : 1;
    return 0;
}

/* Rows for what bodies draw, a family's in the order of their numbers. */
static void place_draws(View *v) {
    Arena *scratch = v->p->scratch;
    BodyDraw *found = ARENA_ARRAY(scratch, BodyDraw, v->n_draws + (size_t)1);
    FrameDraw *draws = ARENA_ARRAY(scratch, FrameDraw, v->n_draws + (size_t)1), *draw = draws;
    uint32_t count = 0;
    for (uint32_t i = 0; i < v->graph->size; i++) {
        if (v->graph->nodes[i].op != NODE_SCAN) continue;
        const Scan *scan = scan_of(v->graph, i);
        for (uint32_t n = 0; n < scan->body.size; n++) {
            const Node *node = &scan->body.nodes[n];
            if (node->op == NODE_DRAW)
                found[count++] = (BodyDraw){family_of(v, i), node->a, node->which, scan->numbering, i, n};
        }
    }
    if (count) qsort(found, count, sizeof *found, compare_body_draws);
    for (uint32_t k = 0; k < count; k++) {
        const BodyDraw *of = &found[k];
        if (k == 0 || memcmp(of, of - 1, SHARED_WORDS * sizeof(uint32_t)) != 0) {
            draw = &draws[k];
            draw->place = (RowDraw){v->families[of->family].n_rows++, of->number, (uint8_t)of->kind};
        }
        v->draws[of->scan][of->node] = draw;
    }
}

/* Frames of floats are those of samples in float32. Lists that no sample changes stand in either kind. */
static void find_floats(View *v) {
    const Graph *graph = v->graph;
    for (uint32_t i = 0; v->outer && i < graph->size; i++) v->families[i].is_float32 = v->p->is_float32;
    if (v->outer || !v->p->has_floats) return;
    for (uint32_t i = 0; i < graph->size; i++)
        if (is_record_of_loop(&graph->nodes[i]) && graph->nodes[i].stage == SAMPLE)
            v->families[family_of(v, i)].is_float32 = 1;
    for (uint32_t i = 0; i < graph->size; i++)
        if (graph->nodes[i].op == NODE_SCAN && graph->nodes[i].stage != SAMPLE)
            if (v->families[family_of(v, i)].is_float32) give_up(v->p);
}

enum { MANY_ROWS = 32 };

void find_families(View *v) {
    const Graph *graph = v->graph;
    for (uint32_t i = 0; i < graph->size; i++) {
        const Node *node = &graph->nodes[i];
        v->family[i] = i;
        if (node->op == NODE_SEQUENCE) unite(v, i, node->a);
        if (node->op != NODE_SCAN) continue;
        const Scan *scan = scan_of(graph, i);
        uint32_t count = scan->n_made + scan->n_carries; /* a carry has one row for what steps begin and end with */
        for (uint32_t k = 0; k < scan->n_taken; k++) unite(v, graph->args.items[node->a + scan->n_carries + k], i);
        v->places[i] = ARENA_ARRAY(v->p->scratch, uint32_t, count);
        memset(v->places[i], 0xFF, count * sizeof(uint32_t));
        v->draws[i] = ARENA_ARRAY(v->p->scratch, FrameDraw *, scan->body.size + (size_t)1);
        for (uint32_t n = 0; n < scan->body.size; n++) v->n_draws += scan->body.nodes[n].op == NODE_DRAW;
    }
    for (uint32_t i = 0; i < graph->size; i++) {
        const Node *node = &graph->nodes[i];
        if (!is_record_of_loop(node)) continue;
        Family *family = &v->families[family_of(v, i)];
        family->length = node->op == NODE_SCAN ? scan_of(graph, i)->length : sequence_length(graph, i);
        family->is_kept |= node->op != NODE_SCAN;
        if (node->op == NODE_LIST) v->place[i] = family->n_rows++;
        if (node->op != NODE_SEQUENCE) continue;
        const Scan *scan = scan_of(graph, node->a);
        int is_end = node->b >= scan->n_made + scan->n_carries;
        uint32_t *place = &v->places[node->a][is_end ? node->b - scan->n_carries : node->b];
        if (*place == NONE) *place = family->n_rows++;
        v->place[i] = *place;
        v->shift[i] = !is_end ? 0 : scan->is_reverse ? -1 : 1;
    }
    find_floats(v);
    if (v->n_draws) place_draws(v);
    for (uint32_t i = 0; i < graph->size; i++)
        if (graph->nodes[i].op == NODE_SCAN) leave_for_later(v, i);
    /* A frame more on either side, for what comes behind the last step. */
    for (uint32_t i = 0; i < graph->size; i++) {
        Family *family = &v->families[i];
        if (!is_record_of_loop(&graph->nodes[i]) || v->family[i] != i || !family->n_rows) continue;
        if (family->n_rows >= MANY_ROWS) family->n_rows |= 1; /* a row's places in the first cache are all over it */
        uint32_t before = family->is_kept ? family->n_rows : 0;
        uint64_t n_frames = family->is_kept ? (uint64_t)family->length + 2 : DRAWN_TOGETHER;
        family->base = new_rows(v->p, n_frames * family->n_rows) + before;
        if (family->n_rows >= FRAME_ROW_0 / 4) give_up(v->p);
    }
}
