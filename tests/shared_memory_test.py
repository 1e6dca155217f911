"""Arrays of worker processes in shared memory: what fits comes whole, the rest goes another way."""

import os

import numpy as np
import pytest

from ecg_jax.data import shared_memory, workers

ARRAYS = [np.arange(6, dtype=np.float32).reshape(2, 3) + i for i in range(4)]


@pytest.fixture
def blocks():
    made = shared_memory.Blocks(2, 4 * 24)
    yield made
    made.close()


def test_a_worker_leaves_arrays_in_the_block_that_was_lent(blocks):
    with workers.Pool(1, shared_memory.open_blocks, blocks.place) as pool:
        first, second = blocks.take(), blocks.take()
        assert {first, second} == {0, 1}
        assert blocks.take() is None
        assert pool.submit(shared_memory.write, first, ARRAYS).result()
        assert pool.submit(shared_memory.write, second, ARRAYS[1:2]).result()
        copied = blocks.read(first, (4, 2, 3))
        blocks.give_back(first)
        assert pool.submit(shared_memory.write, blocks.take(), ARRAYS[::-1]).result()
        np.testing.assert_array_equal(copied, ARRAYS)
        np.testing.assert_array_equal(blocks.read(second, (1, 2, 3)), ARRAYS[1:2])
        np.testing.assert_array_equal(blocks.read(first, (4, 2, 3)), ARRAYS[::-1])


def test_what_does_not_fit_or_has_no_block_is_not_written(blocks):
    with workers.Pool(1, shared_memory.open_blocks, blocks.place) as pool:
        for block, arrays in ((0, [*ARRAYS, ARRAYS[0]]), (None, ARRAYS), (0, [])):
            assert not pool.submit(shared_memory.write, block, arrays).result()


def test_without_memory_there_is_no_block(monkeypatch):
    def refuse(file, begin, size):
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    before = len(os.listdir("/proc/self/fd"))
    blocks = shared_memory.Blocks(2, 16)
    assert blocks.take() is None
    assert blocks.place is None
    blocks.close()
    assert len(os.listdir("/proc/self/fd")) == before
    with workers.Pool(1, shared_memory.open_blocks, None) as pool:
        assert not pool.submit(shared_memory.write, 0, ARRAYS).result()
