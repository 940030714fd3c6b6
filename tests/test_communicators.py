# SPDX-License-Identifier: MIT
"""What serves as a communicator beside mpi4py's: size, rank and an Allgather of buffers."""

import numpy as np
import pytest

import micrograd_c as mc
from micrograd_c import Value, optim


class SizeAndRank:
    """One of one's own, by NumPy's assignments or by Python's."""

    size, rank = np.int64(1), 0

    def __init__(self, by_numpy):
        self.by_numpy = by_numpy

    def Allgather(self, sent, received):
        if self.by_numpy:
            np.asarray(received)[...] = np.asarray(sent)
        else:
            received[:] = sent


def train(comm):
    w = Value(0.5)
    losses = mc.compile(lambda x, y: (w * x - y) ** 2).fit(
        [1.0, 2.0, 3.0], [2.0, 4.0, 6.0], optimizer=optim.SGD([w], 0.05), steps=5, comm=comm
    )
    return list(losses), w.data


@pytest.mark.parametrize("by_numpy", [False, True])
def test_size_and_rank_and_an_allgather_of_buffers_are_a_communicator(by_numpy):
    assert train(SizeAndRank(by_numpy)) == train(None)


@pytest.mark.parametrize("size", [None, "1", 1.0])
def test_a_size_has_to_be_a_whole_number(size):
    comm = SizeAndRank(by_numpy=False)
    comm.size = size
    with pytest.raises(TypeError, match=r"got SizeAndRank, which has no Get_size\(\)"):
        train(comm)
