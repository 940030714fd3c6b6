# SPDX-License-Identifier: MIT
# Random numbers in functions that are being compiled.
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memset

from headers.program cimport DRAW_KINDS, DrawKind, Drawing, Stream, draw_kinds, draw_one, philox as philox_block
from headers.state cimport is_recording
from .executors cimport level_in_use
from .numbers cimport expect_operand
from .outputs cimport Outputs
from .recording cimport Recording, here

cdef int kind_named(str name) except -1:
    cdef int kind
    for kind in range(<int>DRAW_KINDS):
        if draw_kinds[kind].decode() == name:
            return kind
    raise ValueError(f'no such draw: {name!r}')

def draw(str name):
    """A Value that stands for a 'uniform' or a 'normal' number, another one for each sample, in a function that
    this thread is recording; None: it is recording none."""
    cdef int kind = kind_named(name)
    cdef Recording recording = here().recording if is_recording else None
    return None if recording is None else recording.draw(kind)

def operand(value, str what):
    """A Value as it is, a number as a float; TypeError for anything else."""
    return expect_operand(value, what)

# -- for tests --------------------------------------------------------------------------------------------

def philox(counter, uint64_t key):
    """The generator's block of four numbers for a counter of four."""
    cdef uint32_t[4] words
    cdef uint32_t[4] found
    cdef int k
    for k in range(4):
        words[k] = counter[k]
    philox_block(words, key, found)
    return found[0], found[1], found[2], found[3]

def drawn(str name, uint64_t seed, uint32_t sample, uint32_t draw, uint32_t call=0, bint is_float32=False,
          uint32_t step=0):
    """The number that such a draw is."""
    cdef Stream stream
    stream.seed, stream.call, stream.step = seed, call, step
    return draw_one(&stream, sample, draw, <DrawKind>kind_named(name), is_float32)

def drawn_row(str name, uint64_t seed, uint32_t sample, uint32_t draw, uint32_t call=0, uint32_t step=0,
              Py_ssize_t n=1, uint32_t n_steps=1, uint32_t stride=1):
    """Those of n samples from `sample` on, of each of the steps, by the level of vector units in use."""
    cdef Outputs row = Outputs(n * <Py_ssize_t>n_steps, ())
    cdef Drawing drawing
    memset(&drawing, 0, sizeof(drawing))
    drawing.stream.seed, drawing.stream.call, drawing.stream.step = seed, call, step
    drawing.first, drawing.pair, drawing.n = sample, <uint32_t>(draw // 2), <size_t>n
    drawing.n_steps, drawing.stride, drawing.apart = n_steps, stride, <size_t>n
    drawing.rows[draw % 2] = row.numbers
    drawing.kinds[draw % 2] = <uint8_t>kind_named(name)
    level_in_use().draw(&drawing)
    return row
