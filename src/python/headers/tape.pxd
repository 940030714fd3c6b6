# SPDX-License-Identifier: MIT
# What the Python boundary uses of tape.h and ops.h; the headers are the documentation.
from libc.stdint cimport uint8_t, uint32_t, uint64_t, uintptr_t

cdef extern from "ops/ops.h" nogil:
    ctypedef enum Shape:
        LEAF, UNARY, SCALED, STOPPED, BINARY, TERNARY, VARIADIC
    ctypedef enum Verdict:
        ACCEPTED, DOMAIN_ERROR, OVERFLOW_ERROR, ZERO_DIVISION_ERROR
    ctypedef enum Refusal:
        REFUSE_ZERO
    ctypedef struct OpInfo:
        const char *name
        const char *symbol
        Shape shape
        double low, high
    const OpInfo op_info[]
    const uint8_t op_refusal[]
    enum:
        OP_leaf, OP_same, OP_add, OP_sub, OP_mul, OP_truediv, OP_pow, OP_mod, OP_floordiv
        OP_neg, OP_abs, OP_pow_number, OP_leaky_relu, OP_detach, OP_less, OP_less_equal, OP_maximum
        OP_sum, OP_dot, OP_where, OP_clip, OP_take, OP_custom, OP_opaque, OP_scan, OP_part, OP_sequence, OP_list
        OP_COUNT, OP_CLOSURE, OP_FIRST_VARIADIC
    ctypedef enum Op:
        pass
    double op_value(int op, double x, double y, double w)
    Verdict op_verdict(int op, double x, double y, double z)
    bint op_is_method(int op)
    uint32_t op_arity(int op)
    bint op_is_inner(int op)

cdef extern from "ops/cells.h" nogil:
    enum:
        ITEM_NUMBER, ITEM_NAME, ITEM_CALL, ITEM_COMPARE, ITEM_CHOICE
    ctypedef struct Item:
        double number
        uint8_t kind, op, name, compare, a, b, c
    ctypedef struct Cell:
        Item items[]
        uint8_t size
    const char *cell_text(Op op, int which)
    const Cell *cell_of(Op op, int which)

cdef extern from "tape/tape.h" nogil:
    const uint32_t NO_NODE
    ctypedef struct Anchor:
        uint32_t index
        uint32_t flags
    ctypedef enum Weight:
        LIGHT, LATE, SETTLED
    ctypedef struct Annex:
        Anchor *anchor
        Annex *next
        Weight weight
    ctypedef uintptr_t Owner
    ctypedef struct Operands:
        uint32_t a, b
    enum:
        LITERAL_INT
    ctypedef struct Tape:
        double *value
        Operands *operands
        uint8_t *op
        Owner *owner
        uint32_t *args
        uint32_t size, limit, capacity, args_size
        Annex *orphans
        uint32_t collect_at, minimum, closures, busy
        uint64_t compactions, moves
    ctypedef enum Start:
        FROM_ZERO, LEAVES_KEEP, ALL_KEEP
    ctypedef enum SweepStatus:
        SWEEP_DONE, SWEEP_STOPPED, SWEEP_NO_MEMORY

    void tape_init(Tape *tape)
    ctypedef struct Span:
        uint32_t node, place, size
    bint span_continues(const Span *span, uint32_t node, uint32_t place)
    void tape_copy(double *to, const double *numbers, uint32_t n)
    void tape_clear_adjoints(Tape *tape, uint32_t first, uint32_t n)
    const double *tape_adjoints(Tape *tape, uint32_t first, uint32_t n)
    int tape_reserve(Tape *tape, uint32_t nodes, uint32_t args)
    uint32_t tape_append(Tape *tape, uint8_t op, double value, uint32_t a, uint32_t b, Owner owner)
    double tape_listed_value(const Tape *tape, int op, const uint32_t *args, uint32_t count)
    double tape_adjoint(const Tape *tape, uint32_t i)
    void tape_set_adjoint(Tape *tape, uint32_t i, double adjoint)
    void tape_apply_rule(Tape *tape, uint32_t i)
    Annex *owner_annex(Owner owner)
    Anchor *owner_anchor(Owner owner)
    void tape_pop(Tape *tape)
    void tape_compact(Tape *tape, int thorough)
    void tape_trim(Tape *tape, int forced)
    const uint32_t *tape_operands(const Tape *tape, uint32_t i, uint32_t *count)
    int tape_topological_order(Tape *tape, uint32_t root, uint32_t **order, uint32_t *count)
    int tape_is_operand(const Tape *tape, uint32_t i)
    uint32_t tape_count_living(Tape *tape)
    int tape_list_late(Tape *tape, uint32_t **list, uint32_t *count)
    size_t tape_bytes(const Tape *tape)

cdef extern from "tape/tape.h":
    ctypedef int (*ClosureRule)(uint32_t i) except -1
    int tape_is_stale(Tape *tape, uint32_t root)
    SweepStatus tape_sweep(Tape *tape, uint32_t root, Start start, ClosureRule closure)
