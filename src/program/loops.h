/* SPDX-License-Identifier: MIT
 *
 * Loops: scans, whose body is a graph of its own, recorded once for however many steps.
 *
 * A *sequence* is a number a step. It is a record of the graph: a NODE_LIST of nodes, or what a scan gives. A scan
 * takes sequences whole, so that a derivative, which is a scan in the other direction over the sequences of the
 * first one, has as many nodes as that, and not as there are steps.
 *
 * Element t of a sequence belongs to step t, whatever the direction: a reverse scan begins with the last element,
 * and leaves its own elements in their places.
 */
#ifndef MICROGRAD_C_LOOPS_H
#define MICROGRAD_C_LOOPS_H

#include "graph.h"

/* How the steps of a scan are numbered, for the draws in its body: step t of step `outer` of the body that it stands in
 * (0: it stands in none) is number outer * span + first + t * stride. So the steps of loops in loops are numbered one
 * after the other; and scans that are parts of what was one scan to whoever wrote it number its steps as that did. A
 * derivative has the numbers of what it is a derivative of, and so its draws. */
typedef struct {
    uint32_t span, first, stride;
} Numbering;

static inline uint32_t step_number(Numbering numbering, uint32_t outer, uint32_t t) {
    return outer * numbering.span + numbering.first + t * numbering.stride;
}

/* The operands of a NODE_SCAN: the first carries, sequences, and nodes that the body reads in every step alike.
 * The body's inputs are numbered: the carries, then an element of each sequence; its parameters are what is the
 * same in every step. Its roots are the next carries, then an element of each sequence that it makes.
 * The scan gives these sequences, numbered from 0 on; behind them its *trail*, of each carry, what each step began
 * with; and behind that, of each carry, what each step ended with. Executors keep those that somebody asks for. */
typedef struct Scan {
    Graph body; /* no arena is its own */
    uint32_t length;
    Numbering numbering;
    int is_reverse;
    uint32_t n_carries, n_taken, n_captured, n_made;
} Scan;

static inline const Scan *scan_of(const Graph *graph, uint32_t i) { return graph->scans.items[graph->nodes[i].c]; }

static inline uint32_t scan_sequences(const Scan *scan) { return scan->n_made + 2 * scan->n_carries; }

static inline uint32_t scan_operands(const Scan *scan) { return scan->n_carries + scan->n_taken + scan->n_captured; }

/* How many elements a sequence has. */
static inline uint32_t sequence_length(const Graph *graph, uint32_t i) {
    const Node *node = &graph->nodes[i];
    return node->op == NODE_LIST ? node->b : scan_of(graph, node->a)->length;
}

static inline int is_sequence(const Graph *graph, uint32_t i) {
    return graph->nodes[i].op == NODE_LIST || graph->nodes[i].op == NODE_SEQUENCE;
}

static inline int is_record_of_loop(const Node *node) {
    return node->op == NODE_SCAN || node->op == NODE_SEQUENCE || node->op == NODE_LIST;
}

/* A scan or a sequence, of which there are no gates and no sides (passes/sides.h), or a number of one. */
static inline int is_of_loop(const Graph *graph, uint32_t i) {
    const Node *node = &graph->nodes[i];
    if (node->op == NODE_PART) node = &graph->nodes[node->a];
    return is_record_of_loop(node);
}

static inline int has_loops(const Graph *graph) { return graph->scans.size > 0; }

/* Whether something is drawn for a sample, be it in a loop. */
int has_draws(const Graph *graph);

/* How many numbers are drawn for a sample, those of all steps. */
double count_draws(const Graph *graph);

/* A copy in the arena, with copies of the scans within it. */
Scan *scan_copy(const Scan *scan, Arena *arena);

/* How many nodes of a graph have a number, those of bodies among them. */
uint32_t count_nodes(const Graph *graph);

/* Adds a scan to those of a graph: its number. */
uint32_t add_scan(Graph *graph, Scan *scan);

/* -- recording: scans that stand on the tape --------------------------------------------------------- */

/* Freezes what a body has recorded from `mark` on, of its inputs, the carries and then elements, and of its draws, and
 * keeps it: *number is that of the scan, for scan_kept(). *captured: the nodes of the tape that it captures, which the
 * caller frees. scan: its length, its numbering, and how many carries there are, and are taken and made; roots: the
 * next carries, then what it makes. */
FreezeStatus scan_freeze(const Tape *tape, uint32_t mark, const Scan *scan, const Varying *varying,
                         const uint32_t *roots, uint32_t *number, uint32_t **captured, uint32_t *n_captured);

/* A scan that is kept; NULL: there is none. */
Scan *scan_kept(double number);

/* Keeps a copy. NONE: no memory. */
uint32_t scan_keep(const Scan *scan);

/* Forgets them all: nobody records any more. */
void scans_forget(void);

#endif
