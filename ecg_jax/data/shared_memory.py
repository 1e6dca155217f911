"""Arrays that worker processes hand over through shared memory: a pipe copies each four times, and stops for each part.

The memory has no name, so that nothing of it stays, however a process ends. Only Linux has it; elsewhere, and where
there is too little, arrays go through the pipe.
"""

import contextlib
import mmap
import os
from collections.abc import Sequence

import numpy as np


class Blocks:
    """Blocks of memory of one size, each for the float32 arrays of one task. What they are not lent for is unknown."""

    def __init__(self, count: int, size: int) -> None:
        """Takes the memory: `count` blocks of `size` bytes, or none where that is impossible."""
        self._free: list[int] = []
        self.place: tuple[str, int] | None = None  # for `open_blocks`
        with contextlib.suppress(AttributeError, OSError):  # another system; too little memory
            self._file = os.memfd_create("ecg_jax")
            os.posix_fallocate(self._file, 0, count * size)  # now, not by a signal later
            self._memory = mmap.mmap(self._file, count * size)
            self._free = list(range(count))
            self.place = f"/proc/{os.getpid()}/fd/{self._file}", size

    def take(self) -> int | None:
        """Lends a block, if there is one."""
        return self._free.pop() if self._free else None

    def give_back(self, block: int | None) -> None:
        """Ends that."""
        if block is not None:
            self._free.append(block)

    def read(self, block: int, shape: tuple[int, ...]) -> np.ndarray:
        """A copy of the array that `write` left."""
        assert self.place
        return np.frombuffer(self._memory, np.float32, int(np.prod(shape)), block * self.place[1]).reshape(shape).copy()

    def close(self) -> None:
        """Ends all."""
        self._free = []
        if self.place:
            self._memory.close()
        with contextlib.suppress(AttributeError, OSError):
            os.close(self._file)


_memory: mmap.mmap | None = None  # a worker's
_size = 0


def open_blocks(place: tuple[str, int] | None) -> None:
    """Gives a worker process the blocks of the process that started it."""
    global _memory, _size
    _memory = None
    if place:
        path, _size = place
        with contextlib.suppress(OSError), open(path, "r+b") as file:  # or through the pipe
            _memory = mmap.mmap(file.fileno(), 0)


def write(block: int | None, arrays: Sequence[np.ndarray]) -> bool:
    """Writes arrays of one shape to a block, one after the other; False where they do not fit or there is no block."""
    if _memory is None or block is None or not arrays or sum(array.nbytes for array in arrays) > _size:
        return False
    shape = len(arrays), *arrays[0].shape
    np.stack(arrays, out=np.frombuffer(_memory, np.float32, int(np.prod(shape)), block * _size).reshape(shape))
    return True
