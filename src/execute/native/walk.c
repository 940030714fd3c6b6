/* SPDX-License-Identifier: MIT */
#include "walk_plan.h"

/* -- rows ------------------------------------------------------------------------------------------------ */

void give_up(Planner *p) {
    p->walks->is_too_large = 1;
    longjmp(*p->arena->out_of_memory, 1);
}

uint32_t new_rows(Planner *p, uint64_t count) {
    Walks *walks = p->walks;
    if (walks->n_rows + count > MOST_ROWS) give_up(p);
    uint32_t row = walks->n_rows;
    walks->n_rows += (uint32_t)count;
    return row;
}

static uint32_t frame_row(int64_t row) { return ROW_OF_FRAME | (uint32_t)(FRAME_ROW_0 + row); }

static void set_number(Planner *p, uint32_t row, double number, int is_float32) {
    GROW(p->arena, &p->walks->numbers, RowNumber, 1);
    p->walks->numbers.items[p->walks->numbers.size++] = (RowNumber){row, number, is_float32};
}

/* -- lines ------------------------------------------------------------------------------------------------- */

static void add_item(Planner *p, UnitItem item) {
    GROW(p->arena, &p->unit->items, UnitItem, 1);
    p->unit->items.items[p->unit->items.size++] = item;
}

/* The line at hand, a new one behind a walk. */
static Straight *line_at_hand(Planner *p) {
    Walks *walks = p->walks;
    if (p->line == NONE) {
        GROW(p->arena, &walks->lines, Line, 1);
        p->line = walks->lines.size++;
        walks->lines.items[p->line] = (Line){.bad = NONE, .walk = NONE, .is_float32 = p->is_float32};
        straight_begin(&walks->lines.items[p->line].line, p->scratch, 64);
        walks->lines.items[p->line].line.is_float32 = p->is_float32;
        add_item(p, (UnitItem){ITEM_LINE, p->line});
    }
    return &walks->lines.items[p->line].line;
}

static void put_out(Planner *p, uint32_t row, uint32_t value) { straight_output(line_at_hand(p), row, value); }

/* The function's parameter that the node is, or captures; NONE: it is none. */
static uint32_t parameter_of(const View *v, uint32_t i) {
    while (v->outer && v->graph->nodes[i].op == NODE_PARAMETER) {
        i = v->captured[v->graph->nodes[i].a];
        v = v->outer;
    }
    return !v->outer && v->graph->nodes[i].op == NODE_PARAMETER ? v->graph->nodes[i].a : NONE;
}

/* A row for a leaf of the function. */
static void place_leaf(View *v, uint32_t i, uint32_t row) {
    const Node *node = &v->graph->nodes[i];
    Walks *walks = v->p->walks;
    v->row[i] = row;
    if (node->op == NODE_PARAMETER) walks->parameter_rows[node->a] = row;
    if (node->op == NODE_SEED) walks->seed_row = row;
    if (node->op == NODE_DRAW) {
        GROW(v->p->arena, &walks->draws, RowDraw, 1);
        walks->draws.items[walks->draws.size++] = (RowDraw){row, node->a, node->which};
    }
    if (node->op != NODE_INPUT) return;
    GROW(v->p->arena, &walks->columns, RowColumn, 1);
    walks->columns.items[walks->columns.size++] = (RowColumn){row, node->a};
}

static int is_leaf_of_function(const View *v, uint32_t i) {
    uint8_t op = v->graph->nodes[i].op;
    return !v->outer && (op == NODE_PARAMETER || op == NODE_INPUT || op == NODE_DRAW || op == NODE_SEED);
}

static uint32_t row_of(View *v, uint32_t i);

/* Whether lines on floats read a copy of it: what the function computes once. */
static int is_narrowed(const View *v, uint32_t i, int is_float32) {
    return is_float32 && !v->outer && v->graph->nodes[i].stage != SAMPLE;
}

/* Such a copy goes to this row. */
static void place_narrowed(View *v, uint32_t i, uint32_t to) {
    Planner *p = v->p;
    const Node *node = &v->graph->nodes[i];
    RowNarrowed row = {node->a, to, node->op == NODE_PARAMETER};
    int before = p->is_float32;
    p->is_float32 = 0;
    if (!row.is_parameter) row.from = row_of(v, i);
    p->is_float32 = before;
    GROW(p->arena, &p->walks->narrowed, RowNarrowed, 1);
    p->walks->narrowed.items[p->walks->narrowed.size++] = row;
}

static uint32_t narrow_row_of(View *v, uint32_t i) {
    const Node *node = &v->graph->nodes[i];
    if (v->narrow_row[i] != NONE) return v->narrow_row[i];
    v->narrow_row[i] = new_rows(v->p, 1);
    if (is_text(node)) set_number(v->p, v->narrow_row[i], node->number, 1);
    else place_narrowed(v, i, v->narrow_row[i]);
    return v->narrow_row[i];
}

/* The row of a node in which all lines find it that come behind the one at hand. */
static uint32_t row_of(View *v, uint32_t i) {
    Planner *p = v->p;
    const Node *node = &v->graph->nodes[i];
    if (is_narrowed(v, i, p->is_float32)) return narrow_row_of(v, i);
    if (v->row[i] != NONE) return v->row[i];
    if (v->outer && node->op == NODE_PARAMETER) return v->row[i] = row_of(v->outer, v->captured[node->a]);
    uint32_t row = new_rows(p, 1);
    if (is_text(node)) {
        set_number(p, row, node->number, p->is_float32);
    } else if (is_leaf_of_function(v, i)) {
        place_leaf(v, i, row);
    } else if (v->frame_row[i] != NONE) { /* a copy, for bodies, whose frames are others */
        if (p->unit != v->unit) abort();  /* see capture */
        put_out(p, row, straight_input(line_at_hand(p), v->frame_row[i]));
    } else {
        straight_output(&p->walks->lines.items[v->line[i]].line, row, v->value[i]);
    }
    return v->row[i] = row;
}

/* The node's value in the line at hand. */
static uint32_t read_node(Reader *reader, uint32_t i) {
    View *v = (View *)(void *)reader;
    Planner *p = v->p;
    Straight *line = line_at_hand(p);
    const Node *text = text_of(v, i);
    if (text) return straight_number(line, text->number);
    if (p->machine.evex && parameter_of(v, i) != NONE) return straight_once(line, parameter_of(v, i));
    if (v->line[i] == p->line) return v->value[i];
    if (v->frame_row[i] != NONE && v->unit == p->unit) return straight_input(line, v->frame_row[i]);
    uint32_t row = row_of(v, i);
    return straight_input(line_at_hand(p), row);
}

static uint32_t place_table(Reader *reader, const uint32_t *nodes, uint32_t count, uint32_t *together) {
    View *v = (View *)(void *)reader;
    Planner *p = v->p;
    if (!p->machine.evex) return NONE;
    *together = 2 * (uint32_t)p->machine.width << p->is_float32;
    RowTable table = {0, count, ARENA_ARRAY(p->arena, uint32_t, count), ARENA_ARRAY(p->arena, double, count),
                      p->is_float32};
    for (uint32_t k = 0; k < count; k++) {
        const Node *text = text_of(v, nodes[k]);
        table.parameters[k] = parameter_of(v, nodes[k]);
        if (table.parameters[k] == NONE && !text) return NONE;
        if (text) table.numbers[k] = text->number;
    }
    table.row = new_rows(p, 2 * (uint64_t)((count + *together - 1) / *together));
    GROW(p->arena, &p->walks->tables, RowTable, 1);
    p->walks->tables.items[p->walks->tables.size++] = table;
    return table.row;
}

static void compute(View *v, uint32_t i) {
    line_at_hand(v->p);
    Line *line = &v->p->walks->lines.items[v->p->line];
    uint32_t bad = line->bad;
    v->value[i] = lower_node(&line->line, v->graph, i, &v->reader, &bad);
    v->line[i] = v->p->line;
    v->p->walks->lines.items[v->p->line].bad = bad;
}

/* -- loops ------------------------------------------------------------------------------------------------- */

static void plan_list(View *v, uint32_t i) {
    const Node *node = &v->graph->nodes[i];
    const Family *family = &v->families[family_of(v, i)];
    for (uint32_t k = 0; k < node->b; k++) {
        uint32_t element = v->graph->args.items[node->a + k], to = row_in_frames(family, k, v->place[i]);
        const Node *text = text_of(v, element);
        if (text) set_number(v->p, to, text->number, family->is_float32);
        else if (is_narrowed(v, element, family->is_float32)) place_narrowed(v, element, to);
        else if (is_leaf_of_function(v, element) && v->row[element] == NONE) place_leaf(v, element, to);
        else put_out(v->p, to, read_node(&v->reader, element));
    }
}

static View *new_view(Planner *p, const Graph *graph, View *outer, const uint32_t *captured, Unit *unit) {
    View *v = ARENA_ARRAY(p->scratch, View, 1);
    size_t size = graph->size + (size_t)1;
    *v = (View){
        .reader = {read_node, place_table}, .p = p, .graph = graph, .outer = outer, .captured = captured, .unit = unit};
    uint32_t **arrays[] = {&v->row,  &v->narrow_row, &v->frame_row, &v->value,
                           &v->line, &v->family,     &v->place,     &v->first_carry_row};
    for (size_t k = 0; k < sizeof arrays / sizeof *arrays; k++) {
        *arrays[k] = ARENA_ARRAY(p->scratch, uint32_t, size);
        memset(*arrays[k], 0xFF, size * sizeof(uint32_t));
    }
    v->is_direct = ARENA_ARRAY(p->scratch, uint8_t, size);
    v->shift = ARENA_ARRAY(p->scratch, int8_t, size);
    v->later = ARENA_ARRAY(p->scratch, Later, size);
    v->families = ARENA_ARRAY(p->scratch, Family, size);
    v->places = ARENA_ARRAY(p->scratch, uint32_t *, size);
    v->draws = ARENA_ARRAY(p->scratch, FrameDraw **, size);
    find_families(v);
    return v;
}

/* The row of carry k of scan i that step number `step` begins with; beyond the last one, that it has left. */
static uint32_t carry_row(View *v, uint32_t i, uint32_t k, int64_t step) {
    const Scan *scan = scan_of(v->graph, i);
    uint32_t place = v->places[i][scan->n_made + k];
    if (place == NONE) return v->first_carry_row[i] + k;
    return row_in_frames(&v->families[family_of(v, i)], step, place);
}

static void plan_nodes(View *v, int line);

/* What a body does not compute in every step: its part of the line before the walk. */
static void hoist(View *body) {
    const Graph *graph = body->graph;
    for (uint32_t i = 0; i < graph->size; i++) {
        const Node *node = &graph->nodes[i];
        if (node->stage == SAMPLE || node->op == NODE_PARAMETER || is_text(node) || is_of_loop(graph, i)) continue;
        uint32_t count, early = 0;
        const uint32_t *operands = node_operands(graph, i, &count);
        for (uint32_t k = 0; k < count; k++) {
            int is_leaf = graph->nodes[operands[k]].op == NODE_PARAMETER || text_of(body, operands[k]);
            early += is_leaf || body->line[operands[k]] != NONE;
        }
        if (early < count) continue; /* it needs a loop within the body */
        compute(body, i);
        row_of(body, i);
    }
}

/* What sums over the steps are made of goes to the step's frame. */
static void keep_for_later(View *body, View *v, uint32_t i) {
    const Later *later = &v->later[i];
    for (uint32_t n = 0; later->n_sums && n < body->graph->size; n++)
        if (later->place[n] != NONE && place_of(v, i, n) == NONE)
            put_out(v->p, frame_row(later->place[n]), read_node(&body->reader, n));
}

/* The last things that a step does. */
static void leave_step(View *body, View *v, uint32_t i) {
    Planner *p = v->p;
    const Scan *scan = scan_of(v->graph, i);
    const Family *family = &v->families[family_of(v, i)];
    const uint32_t *roots = scan->body.roots, *places = v->places[i];
    uint32_t *values = ARENA_ARRAY(p->scratch, uint32_t, scan->n_carries + (size_t)scan->n_made);
    for (uint32_t k = 0; k < scan->n_carries + scan->n_made; k++) {
        const Node *root = &scan->body.nodes[roots[k]];
        int has_trail = k >= scan->n_carries || places[scan->n_made + k] != NONE;
        int stays = root->op == NODE_INPUT && root->a == k && !has_trail;
        values[k] = NONE;
        if (k < scan->n_carries && v->later[i].n_sums && v->later[i].is_late[k]) continue;
        if (stays || (k >= scan->n_carries && places[k - scan->n_carries] == NONE)) continue;
        values[k] = read_node(&body->reader, roots[k]);
        /* What stands in a row that is written below is copied first. */
        Straight *line = line_at_hand(p);
        if (line->instructions.items[values[k]].op == PRIMITIVE_INPUT)
            values[k] = straight_do(line, PRIMITIVE_AND, 0, values[k],
                                    straight_bits(line, line->is_float32 ? UINT32_MAX : UINT64_MAX), NONE, NONE);
    }
    keep_for_later(body, v, i);
    for (uint32_t k = 0; k < scan->n_carries + scan->n_made; k++) {
        if (values[k] == NONE) continue;
        uint32_t place = k < scan->n_carries ? places[scan->n_made + k] : places[k - scan->n_carries];
        int64_t next = k >= scan->n_carries ? 0 : scan->is_reverse ? -(int64_t)family->n_rows : family->n_rows;
        put_out(p, place == NONE ? v->first_carry_row[i] + k : frame_row(next + place), values[k]);
    }
}

static void plan_body(View *body, View *v, uint32_t i) {
    const Scan *scan = scan_of(v->graph, i);
    const uint32_t *args = v->graph->args.items + v->graph->nodes[i].a;
    for (uint32_t k = 0; k < scan->body.size; k++) {
        const Node *node = &scan->body.nodes[k];
        if (node->op == NODE_DRAW) body->frame_row[k] = frame_row(v->draws[i][k]->place.row);
        if (node->op != NODE_INPUT) continue;
        int64_t apart = v->families[family_of(v, i)].n_rows;
        uint32_t trail = node->a < scan->n_carries ? v->places[i][scan->n_made + node->a] : NONE;
        if (node->a >= scan->n_carries)
            body->frame_row[k] = frame_row(v->place[args[node->a]] + v->shift[args[node->a]] * apart);
        else if (trail != NONE) body->frame_row[k] = frame_row(trail);
        else body->row[k] = v->first_carry_row[i] + node->a;
    }
    plan_nodes(body, LINES);
    leave_step(body, v, i);
}

static int compare_draws(const void *x, const void *y) {
    uint32_t a = ((const RowDraw *)x)->draw, b = ((const RowDraw *)y)->draw;
    return (a > b) - (a < b);
}

/* In the order of their numbers, so that the two of a counter stand side by side. */
static void sort_draws(RowDraw *draws, uint32_t count) {
    if (count) qsort(draws, count, sizeof *draws, compare_draws);
}

/* What the walk makes: draws that its body reads and no walk before it has made. */
static void give_draws(View *v, uint32_t i, Walk *walk) {
    const Graph *body = &scan_of(v->graph, i)->body;
    uint32_t count = 0;
    for (uint32_t n = 0; n < body->size; n++) count += v->draws[i][n] != NULL;
    walk->draws = ARENA_ARRAY(v->p->arena, RowDraw, count + (size_t)1);
    for (uint32_t n = 0; n < body->size; n++) {
        FrameDraw *draw = v->draws[i][n];
        if (!draw || draw->is_made) continue;
        walk->draws[walk->n_draws++] = draw->place;
        draw->is_made = 1;
    }
    sort_draws(walk->draws, walk->n_draws);
}

static void plan_scan(View *v, uint32_t i) {
    Planner *p = v->p;
    Walks *walks = p->walks;
    const Scan *scan = scan_of(v->graph, i);
    const uint32_t *args = v->graph->args.items + v->graph->nodes[i].a;
    const uint32_t *captured = args + scan->n_carries + scan->n_taken;
    const Family *family = &v->families[family_of(v, i)];
    GROW(p->arena, &walks->walks, Walk, 1);
    uint32_t which = walks->walks.size++;
    Unit *unit = ARENA_ARRAY(p->arena, Unit, 1);
    View *body = new_view(p, &scan->body, v, captured, unit);
    v->first_carry_row[i] = new_rows(p, scan->n_carries);
    for (uint32_t k = 0; k < scan->n_carries; k++)
        if (!v->later[i].n_sums || !v->later[i].is_late[k])
            put_out(p, carry_row(v, i, k, scan->is_reverse ? scan->length - 1 : 0), read_node(&v->reader, args[k]));
    for (uint32_t k = 0; k < scan->n_captured; k++)
        if (!text_of(v, captured[k]) && !(p->machine.evex && parameter_of(v, captured[k]) != NONE))
            row_of(v, captured[k]);
    hoist(body);
    add_item(p, (UnitItem){ITEM_WALK, which});
    Unit *outer = p->unit;
    p->unit = unit;
    p->line = NONE;
    plan_body(body, v, i);
    Walk walk = {.body = *unit,
                 .length = scan->length,
                 .is_reverse = scan->is_reverse,
                 .line = NONE,
                 .frame_rows = family->n_rows,
                 .is_ring = !family->is_kept,
                 .numbering = scan->numbering};
    int64_t first = scan->is_reverse && family->is_kept ? scan->length - 1 : 0;
    walk.frames = family->n_rows ? row_in_frames(family, first, 0) : 0;
    give_draws(v, i, &walk);
    if (unit->items.size == 1 && unit->items.items[0].kind == ITEM_LINE) {
        walk.line = unit->items.items[0].which;
        walks->lines.items[walk.line].walk = which;
    }
    walks->walks.items[which] = walk;
    p->unit = outer;
    p->line = NONE;
    if (!v->later[i].n_sums) return;
    add_item(p, (UnitItem){ITEM_SUMS, walks->step_sums.size});
    add_step_sums(v, i, which);
}

/* -- nodes ------------------------------------------------------------------------------------------------- */

static int line_of(const Node *node) {
    return node->stage == BATCH ? LINE_BATCH : node->stage == SAMPLE ? LINE_SAMPLE : LINE_ONCE;
}

/* A number of a loop. */
static void plan_part(View *v, uint32_t i) {
    const Node *node = &v->graph->nodes[i], *record = &v->graph->nodes[node->a];
    if (record->op == NODE_SCAN) {
        const Scan *scan = scan_of(v->graph, node->a);
        v->row[i] = carry_row(v, node->a, node->b, scan->is_reverse ? -1 : (int64_t)scan->length);
        v->later[node->a].parts[node->b]++;
    } else if (record->op == NODE_LIST && is_narrowed(v, i, v->families[family_of(v, node->a)].is_float32)) {
        v->row[i] = row_of(v, v->graph->args.items[record->a + node->b]); /* what stands in frames are floats */
    } else {
        v->row[i] = row_in_frames(&v->families[family_of(v, node->a)], (int64_t)node->b + v->shift[node->a],
                                  v->place[node->a]);
    }
}

/* Sums over the batch: what a sample adds stands in a row. */
static void plan_sum(View *v, uint32_t i) {
    Planner *p = v->p;
    const Graph *graph = v->graph;
    const Node *node = &graph->nodes[i];
    uint32_t of = NONE, times = NONE;
    if (node->op == NODE_TOTAL) {
        const Node *part = &graph->nodes[node->a];
        of = row_of(v, node->a);
        int is_carry = part->op == NODE_PART && graph->nodes[part->a].op == NODE_SCAN;
        if (is_carry && graph->nodes[part->a].stage == SAMPLE && v->uses[node->a] == 1)
            v->later[part->a].total[part->b] = p->walks->sums.size;
    } else {
        const Node *outer = &graph->nodes[node->a];
        const uint32_t *args = graph->args.items + outer->a;
        Product product = product_of(graph, args[0]);
        uint32_t n_weights = product.n_out * product.n_in;
        if (node->b >= n_weights) {
            of = row_of(v, args[1 + node->b - n_weights - outer->c]);
        } else if (p->is_float32) { /* products of floats are exact as doubles */
            of = row_of(v, args[1 + node->b / product.n_in - outer->c]);
            times = row_of(v, product.inputs[node->b % product.n_in]);
        } else {
            uint32_t g = read_node(&v->reader, args[1 + node->b / product.n_in - outer->c]);
            uint32_t x = read_node(&v->reader, product.inputs[node->b % product.n_in]);
            of = new_rows(p, 1);
            put_out(p, of, straight_do(line_at_hand(p), PRIMITIVE_MUL, 0, g, x, NONE, NONE));
        }
    }
    if (!v->is_direct[i]) v->row[i] = new_rows(p, 1);
    GROW(p->arena, &p->walks->sums, RowSum, 1);
    v->value[i] = p->walks->sums.size++;
    p->walks->sums.items[v->value[i]] = (RowSum){of, times, v->row[i]};
}

static int is_sum_over_batch(const Graph *graph, uint32_t i) {
    const Node *node = &graph->nodes[i];
    return node->op == NODE_TOTAL || (node->op == NODE_PART && graph->nodes[node->a].op == NODE_OUTER);
}

/* The derivatives that are one sum each, which nobody else reads. */
static void find_direct(View *v) {
    const Graph *graph = v->graph;
    uint32_t *uses = v->uses = ARENA_ARRAY(v->p->scratch, uint32_t, graph->size + (size_t)1), count;
    for (uint32_t i = 0; i < graph->size; i++) {
        const uint32_t *operands = node_operands(graph, i, &count);
        for (uint32_t k = 0; k < count; k++) uses[operands[k]]++;
    }
    for (uint32_t r = 0; r < graph->n_roots; r++) uses[graph->roots[r]]++;
    for (uint32_t r = 1; graph->primal && r < graph->n_roots; r++) {
        const Node *root = &graph->nodes[graph->roots[r]];
        uint32_t sum = root->op == NODE_ADJOINT && root->b == 1 ? graph->args.items[root->a] : NONE;
        if (sum == NONE || !is_sum_over_batch(graph, sum) || uses[sum] != 1 || uses[graph->roots[r]] != 1) continue;
        v->is_direct[sum] = v->is_direct[graph->roots[r]] = 1;
    }
}

/* Where the roots' numbers are. */
static void find_roots(View *v) {
    const Graph *graph = v->graph;
    Walks *walks = v->p->walks;
    for (uint32_t r = 0; r < graph->n_roots; r++) {
        uint32_t root = graph->roots[r];
        v->p->is_float32 = graph->is_float32 && graph->nodes[root].stage == SAMPLE;
        walks->root_sums[r] = v->is_direct[root] ? v->value[graph->args.items[graph->nodes[root].a]] : NONE;
        walks->root_rows[r] = v->is_direct[root] ? NONE : row_of(v, root);
    }
}

/* Those of one of the function's lines, or all of a body's. */
static void plan_nodes(View *v, int line) {
    const Graph *graph = v->graph;
    for (uint32_t i = 0; i < graph->size; i++) {
        const Node *node = &graph->nodes[i];
        int is_sum = is_sum_over_batch(graph, i);
        if (line != LINES && (is_sum ? LINE_SAMPLE : line_of(node)) != line) continue;
        switch (form_of(node)) {
        case FORM_CONSTANT:
        case FORM_CUSTOM:
        case FORM_PARAMETER:
        case FORM_INPUT:
        case FORM_DRAW:
        case FORM_SEED: /* all of these are placed when they are read */
        case FORM_SEQUENCE:
        case FORM_PRODUCT:
        case FORM_TRANSPOSED:
        case FORM_OUTER:
        case FORM_SCATTER: break;
        case FORM_TOTAL: plan_sum(v, i); break;
        case FORM_SCAN: plan_scan(v, i); break;
        case FORM_LIST: plan_list(v, i); break;
        case FORM_PART:
            if (is_sum) plan_sum(v, i);
            else if (is_of_loop(graph, i)) plan_part(v, i);
            else compute(v, i);
            break;
        case FORM_MAP:
        case FORM_LINEAR:
        case FORM_TAKE:
        case FORM_GAIN:
        case FORM_ADJOINT:
            if (v->line[i] == NONE && !v->is_direct[i]) compute(v, i); /* else it is done before the walk */
            break;
        }
    }
}

/* Indices that were none are counted in a row. */
static void end_lines(Planner *p) {
    Walks *walks = p->walks;
    for (uint32_t k = 0; k < walks->lines.size; k++) {
        Line *line = &walks->lines.items[k];
        uint32_t *bad_row = &walks->bad_rows[line->is_float32];
        if (line->bad == NONE) continue;
        if (*bad_row == NONE) *bad_row = new_rows(p, 1);
        uint32_t before = straight_input(&line->line, *bad_row);
        straight_output(&line->line, *bad_row,
                        straight_do(&line->line, PRIMITIVE_ADD, 0, before, line->bad, NONE, NONE));
    }
}

void plan_walks(Walks *walks, const Graph *graph, Machine machine, Arena *arena, Arena *scratch) {
    Planner planner = {.walks = walks, .arena = arena, .scratch = scratch, .machine = machine}, *p = &planner;
    *walks = (Walks){.seed_row = NONE, .bad_rows = {NONE, NONE}, .loss_sum = NONE, .n_rows = 1};
    p->has_floats = graph->is_float32;
    walks->parameter_rows = ARENA_ARRAY(arena, uint32_t, graph->n_parameters + (size_t)1);
    walks->root_rows = ARENA_ARRAY(arena, uint32_t, graph->n_roots + (size_t)1);
    walks->root_sums = ARENA_ARRAY(arena, uint32_t, graph->n_roots + (size_t)1);
    memset(walks->parameter_rows, 0xFF, graph->n_parameters * sizeof(uint32_t));
    View *v = new_view(p, graph, NULL, NULL, NULL);
    find_direct(v);
    for (int line = 0; line < LINES; line++) {
        p->unit = v->unit = &walks->units[line];
        p->line = NONE;
        p->is_float32 = graph->is_float32 && line == LINE_SAMPLE;
        plan_nodes(v, line);
    }
    find_roots(v);
    if (graph->primal && graph->nodes[graph->roots[0]].stage == SAMPLE) {
        walks->loss_sum = walks->sums.size;
        GROW(arena, &walks->sums, RowSum, 1);
        walks->sums.items[walks->sums.size++] = (RowSum){walks->root_rows[0], NONE, NONE};
    }
    plan_contractions(p);
    end_lines(p);
    sort_draws(walks->draws.items, walks->draws.size);
}
