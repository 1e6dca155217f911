"""Recordings loaded beside the network, in processes or in threads, some ahead of the one that is asked for."""

import contextlib
import functools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import numpy as np

from ecg_jax.data import workers
from ecg_jax.data.loading import Loaded, Loader, load_own, open_own
from ecg_jax.data.readers import LazyRecording
from ecg_jax.data.shared_memory import Blocks
from ecg_jax.errors import InputError

_THREADS = 4  # that read few recordings
_MANY = 128  # recordings, for which processes are started
_NICENESS = 10  # of these: they take the time that the network leaves
_TOGETHER = 8  # recordings that a process reads at once
_SHARED = 64 << 20  # bytes at most for their windows; more go through a pipe, as do those of long recordings

_Finish = Callable[[], list[Loaded]]  # waits for what was submitted


def read_ahead(
    loader: Loader, recordings: Sequence[LazyRecording], batch_size: int, processes: bool
) -> Iterator[Loaded]:
    """Loads recordings in order: two batches ahead of the one that is yielded, fewer where they are long.

    Args:
        loader: How.
        recordings: Which.
        batch_size: Windows that the network takes at once.
        processes: Read many in processes, as threads of one interpreter hinder each other and the network.

    Raises:
        InputError: when a process died.
    """
    ahead: deque[tuple[int, int, _Finish]] = deque()  # from which recording to before which
    depth, together, opened = _THREADS, 1, 0
    pool = _open_pool(loader, recordings, batch_size, processes)
    try:
        while ahead or opened < len(recordings):
            first = ahead[0][0] if ahead else opened
            while opened < min(first + depth, len(recordings)):
                end = min(opened + together, len(recordings))
                ahead.append((opened, end, pool.submit(opened, end)))
                opened = end
            begin, end, finish = ahead.popleft()
            loaded = finish()
            if begin + len(loaded) < end:  # they are long
                ahead.appendleft((begin + len(loaded), end, pool.submit(begin + len(loaded), end)))
            fitting = pool.wanted // max(1, *(len(windows) for windows, _ in loaded))  # the next ones may be as long
            together = min(_TOGETHER, max(1, fitting // (2 * pool.parallel)))
            depth = max(_THREADS, min(depth + len(loaded), fitting))
            yield from loaded
    except BrokenProcessPool as error:
        raise InputError(
            f"a process that reads died (out of memory?), at one of {recordings[first].name} to "
            f"{recordings[min(opened, len(recordings)) - 1].name}; name fewer recordings to see which it was"
        ) from error
    finally:
        pool.close()


def _open_pool(
    loader: Loader, recordings: Sequence[LazyRecording], batch_size: int, processes: bool
) -> "_Processes | _Threads":
    if processes and len(recordings) >= _MANY:
        with contextlib.suppress(workers.Unavailable):
            return _Processes(loader, recordings, batch_size)
    return _Threads(loader, recordings, batch_size)


def _count_wanted(batch_size: int, parallel: int) -> int:
    return max(2 * batch_size, 2 * _TOGETHER * parallel)


class _Threads:
    def __init__(self, loader: Loader, recordings: Sequence[LazyRecording], batch_size: int) -> None:
        self.parallel = _THREADS
        self.wanted = _count_wanted(batch_size, self.parallel)  # windows
        self._load = lambda begin, end: loader.load_some(recordings[begin:end], batch_size)
        self._pool = ThreadPoolExecutor(_THREADS)

    def submit(self, begin: int, end: int) -> _Finish:
        """Starts to load recordings number `begin` to before `end`."""
        return self._pool.submit(self._load, begin, end).result

    def close(self) -> None:
        """Waits for what is being loaded, and forgets the rest."""
        self._pool.shutdown(cancel_futures=True)


class _Processes:
    def __init__(self, loader: Loader, recordings: Sequence[LazyRecording], batch_size: int) -> None:
        self.parallel = workers.count_cores()
        self.wanted = _count_wanted(batch_size, self.parallel)
        self._most, self._shape = batch_size, loader.contract.shape
        window = 4 * int(np.prod(self._shape))  # bytes
        tasks = self.wanted // _TOGETHER + 1  # that run ahead
        self._blocks = Blocks(min(tasks, max(_SHARED // (_TOGETHER * window), 1)), _TOGETHER * window)
        given = loader, recordings, self._blocks.place
        try:
            self._pool = workers.Pool(self.parallel, open_own, *given, niceness=_NICENESS)
        except BaseException:
            self._blocks.close()
            raise

    def submit(self, begin: int, end: int) -> _Finish:
        """As that of `_Threads`."""
        block = self._blocks.take()
        return functools.partial(self._finish, self._pool.submit(load_own, begin, end, self._most, block), block)

    def _finish(self, future: Future[tuple[list[Loaded], list[int]]], block: int | None) -> list[Loaded]:
        loaded, counts = future.result()
        if block is not None and counts:
            windows = self._blocks.read(block, (sum(counts), *self._shape))
            parts = np.split(windows, np.cumsum(counts)[:-1])
            loaded = [(list(part), known) for part, (_, known) in zip(parts, loaded, strict=True)]
        self._blocks.give_back(block)
        return loaded

    def close(self) -> None:
        """As that of `_Threads`."""
        self._pool.shutdown(cancel_futures=True)
        self._blocks.close()
