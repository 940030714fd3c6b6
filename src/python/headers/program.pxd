# SPDX-License-Identifier: MIT
# What the Python boundary uses of graph.h, execute.h and train.h; the headers are the documentation.
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stddef cimport ptrdiff_t

from headers.tape cimport Anchor, Span, Tape

cdef extern from "program/arena.h" nogil:
    ctypedef struct Arena:
        size_t bytes
    void arena_free(Arena *arena)
    void arena_rest(Arena *arena)

cdef extern from "draws/draws.h" nogil:
    ctypedef enum DrawKind:
        DRAW_UNIFORM, DRAW_NORMAL, DRAW_KINDS
    const char *const draw_kinds[]
    ctypedef struct Stream:
        uint64_t seed
        uint32_t call, step
    const uint32_t MOST_DRAWN_STEPS
    ctypedef struct Drawing:
        Stream stream
        uint32_t first, pair, n_steps, stride
        size_t n, apart
        void *rows[2]
        uint8_t kinds[2]
    double draw_one(const Stream *stream, uint32_t sample, uint32_t draw, DrawKind kind, int is_float32)
    void philox(const uint32_t *counter, uint64_t key, uint32_t *numbers)

cdef extern from "program/graph.h" nogil:
    enum:
        NONE, PASS_COUNT, NODE_CONSTANT, NODE_PARAMETER, NODE_INPUT, NODE_DRAW, NODE_PRODUCT, NODE_PART, NODE_SCAN,
        NODE_SEQUENCE, NODE_GAIN
    ctypedef enum FreezeStatus:
        FROZEN, FREEZE_CLOSURE, FREEZE_CUSTOM, FREEZE_NO_MEMORY
    ctypedef enum MakeStatus:
        MADE, MADE_NO_MEMORY, MADE_BROKEN
    ctypedef struct Fault:
        const char *after
        const char *rule
        const char *list
        uint32_t at
    ctypedef struct Node:
        double number
        uint32_t a, b, c
        uint8_t op, stage, of, which
    ctypedef struct Graph:
        Arena *arena
        Arena *scratch
        Fault fault
        Node *nodes
        uint32_t *roots
        uint32_t size, recorded, n_parameters, n_roots, n_inputs, n_draws
        int is_float32
    ctypedef struct Pass:
        const char *name
        const char *text
    const Pass passes[]
    ctypedef struct RecordedDraw:
        uint32_t node, number
        uint8_t kind
    ctypedef struct Varying:
        const uint32_t *inputs
        const RecordedDraw *draws
        uint32_t n_inputs, n_draws
    FreezeStatus graph_freeze(Graph *graph, const Tape *tape, uint32_t mark, const Varying *varying,
                              const uint32_t *roots, uint32_t n_roots, uint32_t **parameters)
    MakeStatus graph_optimise(Graph *graph, unsigned skip, Arena *to)
    MakeStatus graph_differentiate(const Graph *graph, Graph *gradient)
    uint32_t *node_operands(const Graph *graph, uint32_t i, uint32_t *count)

cdef extern from "program/print.h" nogil:
    const char *kind_of(const Node *node)

cdef extern from "program/loops.h" nogil:
    ctypedef struct Numbering:
        uint32_t span, first, stride
    ctypedef struct Scan:
        Graph body
        uint32_t length, n_carries, n_taken, n_made
        Numbering numbering
        int is_reverse
    const Scan *scan_of(const Graph *graph, uint32_t i)
    FreezeStatus scan_freeze(const Tape *tape, uint32_t mark, const Scan *scan, const Varying *varying,
                             const uint32_t *roots, uint32_t *number, uint32_t **captured, uint32_t *n_captured)
    void scans_forget()
    uint32_t count_nodes(const Graph *graph)
    int has_draws(const Graph *graph)
    double count_draws(const Graph *graph)

cdef extern from "program/sparsity.h" nogil:
    ctypedef struct Entry:
        uint32_t row, column, colour, at
    ctypedef struct Sparsity:
        uint32_t n, n_colours
        uint32_t *colours
        Entry *entries "entries.items"
        uint32_t n_entries "entries.size"
        double once, direction, symbolic
    ctypedef enum SparsityStatus:
        SPARSITY_FOUND, SPARSITY_NO_MEMORY
    SparsityStatus graph_sparsity(const Graph *graph, uint32_t first_root, Sparsity *sparsity)

cdef extern from "program/verify.h" nogil:
    int verifying

cdef extern from "program/trace.h" nogil:
    int trace_depends(const Tape *tape, uint32_t i, uint32_t mark, const uint32_t *inputs,
                      uint32_t n_inputs)
    int trace_sources(const Tape *tape, uint32_t i, uint32_t mark, uint32_t **sources, size_t *count)

cdef extern from "program/trace.h":
    void trace_end(Tape *tape, uint32_t mark, const uint32_t *inputs, uint32_t n_inputs, int with_scans,
                   void (*leaked)(Anchor *anchor) noexcept)

cdef extern from "train/optimiser.h" nogil:
    ctypedef enum RuleKind:
        SGD, ADAM, ADAMW
    ctypedef struct Rule:
        RuleKind kind
        int nesterov, amsgrad, maximize
        double lr, momentum, beta1, beta2, eps, weight_decay
    ctypedef struct Moments:
        double *m
        double *v
        double *v_max
        uint64_t steps
    ctypedef struct ParameterGroup:
        Rule rule
        Moments moments
    void group_begin_step(ParameterGroup *group)

cdef extern from "execute/execute.h" nogil:
    ctypedef struct Level:
        const char *name
        void update(const ParameterGroup *group, double *p, const double *grads, size_t n, size_t first)
        void draw(const Drawing *drawing)
    const Level *const *levels_available(int *count)

    ctypedef struct Column:
        const char *data
        ptrdiff_t stride
        int is_float32
    const size_t EVERY_SAMPLE
    ctypedef enum RunStatus:
        RUN_DONE, RUN_NO_MEMORY, RUN_STOPPED, RUN_BAD_INDEX
    ctypedef int (*Poll)() noexcept
    ctypedef struct Target:
        double *data
        size_t stride
    ctypedef struct Batch:
        Stream stream
        uint32_t first_sample
        int is_one_sample
        const Column *columns
        const uint32_t *samples
        size_t size
        int threads, is_mean, is_known
        const Level *level
        Poll poll
        double loss
        const Target *targets
        size_t bad_sample
        double bad_index
        uint32_t bad_count
    ctypedef struct Executor:
        const char *name
        const char *(*refuses)(const Graph *graph) noexcept nogil
        MakeStatus (*make)(Graph *graph, Program **made) noexcept nogil
        RunStatus (*evaluate)(Program *program, Batch *batch) noexcept nogil
        RunStatus (*gradients)(Program *program, Batch *batch) noexcept nogil
        char *(*listing)(const Program *program) noexcept nogil
        size_t (*bytes)(const Program *program) noexcept nogil
        void (*free)(Program *program) noexcept nogil
    ctypedef struct Program:
        const Executor *executor
        double *numbers
        size_t to_adjoint
        const uint32_t *parameter_at
        uint32_t n_roots, lanes, rows
        double work
    const Executor *const executors[]
    const Executor *executor_for(const Graph *graph)
    const char *reason_against(const Executor *executor, const Graph *graph)
    void program_load(const Program *program, const Tape *tape, const Span *spans, size_t n)
    void program_store_adjoints(const Program *program, Tape *tape, const Span *spans, size_t n)
    double program_adjoint(const Program *program, uint32_t parameter)
    double *program_parameter(const Program *program, uint32_t parameter)

cdef extern from "train/clip.h" nogil:
    ctypedef struct Stretch:
        double *p
        double *grads
        size_t size, first "from"
    double gradients_norm(const Stretch *stretches, size_t n, double p)
    void gradients_clip(const Stretch *stretches, size_t n, double norm, double longest)

cdef extern from "train/train.h" nogil:
    ctypedef struct TrainedGroup:
        ParameterGroup own
        size_t first_stretch, n_stretches, size
    ctypedef RunStatus (*Meet)(void *ranks, Program *program, Batch *batch, RunStatus status) noexcept
    ctypedef struct Training:
        Batch batch
        TrainedGroup *groups
        size_t n_groups
        const Rule *rules
        double clip_norm
        Meet meet
        void *ranks
        const Stretch *stretches
        size_t n_stretches
        double *work
        uint32_t *order
        size_t n_samples, batch_size, position
        int shuffle
        uint64_t random
        double *losses
        size_t done
    RunStatus program_train(Program *program, Training *training, size_t steps)
