# SPDX-License-Identifier: MIT
# What micrograd_c.adopt asks of the tape, and no user does.

def attributes_of(Handle value not None):
    """The attributes that a node has besides Value's own; {} if it has none."""
    cdef PyAnnex *annex = annex_of(value)
    return dict(<object>annex.attributes) if annex != NULL and annex.attributes != NULL else {}

def stand_for(describe, convert):
    """Value stands for a class of the user's own: describe(value) is what __dict__ gives,
    convert(data) the number for data that is none. None, None: for itself."""
    global description, conversion
    description, conversion = describe, convert

def operands(Handle value not None):
    """The operands of a node, as a list in written order."""
    return operand_values(value.anchor.index)

def sweep_onto_grads(Handle root not None):
    """backward() as micrograd has it: root's grad becomes 1, every other one adds to what it was.

    For classes that the adopter replaces: a second sweep of one graph counts stale grads again.
    """
    sweep(root, ALL_KEEP)

def is_stale(Handle root not None):
    """Whether data that root depends on has been assigned since root was computed from it."""
    cdef int stale = tape_is_stale(&tape, root.anchor.index)
    if stale < 0:
        raise MemoryError
    return bool(stale)
