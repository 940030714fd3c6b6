# SPDX-License-Identifier: MIT
# What the Python boundary uses of excerpt.h; the header is the documentation.
from libc.stdint cimport uint32_t

from headers.tape cimport Tape

cdef extern from "program/excerpt.h" nogil:
    const uint32_t UNIT
    ctypedef struct Partial:
        uint32_t node, which
    ctypedef struct Excerpt:
        Partial *partials "function.partials.items"
        uint32_t n_partials "function.partials.size"
        uint32_t *tape_nodes "tape_nodes.items"
        uint32_t closure
    ctypedef enum ExcerptStatus:
        EXCERPT_DONE, EXCERPT_CLOSURE, EXCERPT_NO_MEMORY
    ExcerptStatus excerpt_take(Excerpt *excerpt, Tape *tape, const uint32_t *roots, uint32_t n_roots,
                               const uint32_t *xs, uint32_t n_xs, const uint32_t *others, uint32_t n_others,
                               int decides)
    ExcerptStatus excerpt_reverse(Excerpt *excerpt, const uint32_t *roots, const uint32_t *seeds, uint32_t n_roots,
                                  const uint32_t *xs, uint32_t n_xs, uint32_t *derivatives)
    ExcerptStatus excerpt_forward(Excerpt *excerpt, const uint32_t *roots, uint32_t n_roots, const uint32_t *xs,
                                  const uint32_t *tangents, uint32_t n_xs, uint32_t *derivatives)
    ExcerptStatus excerpt_hessian(Excerpt *excerpt, uint32_t root, const uint32_t *xs, uint32_t n_xs,
                                  uint32_t *entries)
    void excerpt_set_partial(Excerpt *excerpt, uint32_t k, uint32_t tape_node)
    ExcerptStatus excerpt_append(Excerpt *excerpt, uint32_t *derivatives, uint32_t count, int *late)
    void excerpt_free(Excerpt *excerpt)
