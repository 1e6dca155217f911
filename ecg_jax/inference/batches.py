"""From recordings to what a network gives for their windows: read in parallel, in batches of one shape.

A recording that cannot be read, or is refused, is set aside with its error.
"""

import contextlib
import dataclasses
import functools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import numpy as np

from ecg_jax.data import workers
from ecg_jax.data.datasets.dataset import Dataset
from ecg_jax.data.loading import Loaded, Loader, load_own, open_own
from ecg_jax.data.readers import LazyRecording
from ecg_jax.data.splits import manifest
from ecg_jax.data.store import Store, check_contract
from ecg_jax.errors import InputError
from ecg_jax.inference.model import Model

_THREADS = 4  # that read few recordings
_MANY = 128  # recordings, for which processes are started
_NICENESS = 5  # of these: they take the time that the network leaves
_TOGETHER = 8  # recordings that a process reads at once


def apply(
    compute: Callable[[np.ndarray], np.ndarray],
    model: Model,
    recordings: Sequence[LazyRecording],
    *,
    batch_size: int = 32,
    checks: str = "refuse",
    whole: bool = False,
    keep: bool = False,
    processes: bool = True,
) -> Iterator[tuple[str, np.ndarray, dict[str, Any]]]:
    """Computes something of recordings in order.

    Args:
        compute: From windows `[B, samples, leads]` to `[B, D]`; it is given batches of one size.
        model: Whose input contract the windows follow, and whose split says which recordings trained it.
        recordings: See `readers.find`.
        batch_size: Windows computed at once.
        checks: See `verify.enforce`; a recording that is refused yields its error.
        whole: Take all of a long recording, in windows, and one that lacks leads, with zeros. Otherwise, as in
            training, only the centre is taken, and missing leads are an error.
        keep: Yield the recordings too, as they were read and, with `checks="repair"`, repaired.
        processes: Read many recordings in processes; False where this process is one of many already, or may not
            start any.

    Yields:
        A recording's name; what was computed, `[windows, D]`, without windows where there was no signal or an error;
        and what was noticed: `quality`, `notes`, `flags`, `starts` (of windows, in seconds), `ecg` (see `keep`), or
        `error`.
    """
    loader = Loader(
        model.contract,
        manifest.Trained(model.split) if model.split else None,
        checks,
        # A run was validated on centres, a network of others on the windows that its authors take.
        whole=whole or (model.contract.has_windows and model.split is None),
        has_zeros=whole,
        keep=keep,
    )
    waiting: deque[tuple[str, int, dict[str, Any]]] = deque()  # names, numbers of windows, what was noticed
    signals: list[np.ndarray] = []  # windows of those that wait, not yet computed
    computed = np.zeros((0, 0), np.float32)  # of the others
    size = 0  # of batches: one shape is compiled
    for number, (windows, known) in enumerate(_read_ahead(loader, recordings, batch_size, processes), start=1):
        waiting.append((recordings[number - 1].name, len(windows), known))
        signals.extend(windows)
        while len(signals) >= batch_size or (signals and number == len(recordings)):
            size = size or min(batch_size, len(signals))
            batch = np.zeros((size, *model.contract.shape), np.float32)
            batch[: len(signals)] = signals[:size]
            given = compute(batch)[: len(signals)]
            computed = np.concatenate([computed, given]) if len(computed) else given
            del signals[:size]
        while waiting and waiting[0][1] <= len(computed):
            name, count, known = waiting.popleft()
            yield name, computed[:count], known
            computed = computed[count:]


def suit_store(model: Model, store: Store | None) -> Model:
    """The model for recordings of a store that was prepared for its contract: what is filtered there stays so."""
    if store is None:
        return model
    try:
        check_contract(store, model.contract)
    except InputError:
        return model
    rest = dataclasses.replace(
        model.contract, highpass=0.0, lowpass=0.0, notch=0.0, bandpass_order=0, median_baseline=0.0, trim=False
    )
    return dataclasses.replace(model, contract=rest)


def list_stored(store: Store) -> list[list[LazyRecording]]:
    """The recordings of a store, by shard, whose names are their ids."""
    ids = store.column("ids").tolist()
    recordings = [LazyRecording(id, functools.partial(store.read, row, id)) for row, id in enumerate(ids)]
    _, counts = np.unique(store.column("shard"), return_counts=True)
    ends = np.cumsum(counts).tolist()
    return [recordings[begin:end] for begin, end in zip([0, *ends], ends, strict=False)]


def list_recordings(dataset: Dataset, rows: np.ndarray) -> list[LazyRecording]:
    """The recordings of numbers `rows` of a data set."""
    ids = dataset.ids[rows].tolist()
    return [LazyRecording(id, functools.partial(dataset.read, int(row))) for id, row in zip(ids, rows, strict=True)]


def _read_ahead(
    loader: Loader, recordings: Sequence[LazyRecording], batch_size: int, processes: bool
) -> Iterator[Loaded]:
    """Loads recordings beside the network, some ahead of the one that is yielded: fewer, where they are long."""
    pool, load, parallel = _open_pool(loader, recordings, processes)
    ahead: deque[tuple[int, int, Future[list[Loaded]]]] = deque()  # from which recording to before which
    depth, together, opened = _THREADS, 1, 0
    wanted = max(2 * batch_size, 2 * _TOGETHER * parallel)  # windows

    def submit(begin: int, end: int) -> tuple[int, int, Future[list[Loaded]]]:
        return begin, end, pool.submit(load, begin, end, batch_size)

    try:
        while ahead or opened < len(recordings):
            first = ahead[0][0] if ahead else opened
            while opened < min(first + depth, len(recordings)):
                end = min(opened + together, len(recordings))
                ahead.append(submit(opened, end))
                opened = end
            begin, end, future = ahead.popleft()
            loaded = future.result()
            if begin + len(loaded) < end:  # they are long
                ahead.appendleft(submit(begin + len(loaded), end))
            fitting = wanted // max(1, *(len(windows) for windows, _ in loaded))  # the next ones may be as long
            together = min(_TOGETHER, max(1, fitting // (2 * parallel)))
            depth = max(_THREADS, min(depth + len(loaded), fitting))
            yield from loaded
    except BrokenProcessPool as error:
        raise InputError(
            f"a process that reads died (out of memory?), at one of {recordings[first].name} to "
            f"{recordings[min(opened, len(recordings)) - 1].name}; name fewer recordings to see which it was"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _open_pool(
    loader: Loader, recordings: Sequence[LazyRecording], processes: bool
) -> tuple[Executor, Callable[[int, int, int], list[Loaded]], int]:
    """Processes for many recordings, as threads of one interpreter hinder each other and the network; else threads.

    Returns:
        The pool, what loads recordings number `begin` to before `end` in it, and how many it loads at once.
    """
    if processes and len(recordings) >= _MANY:
        cores = workers.count_cores()
        with contextlib.suppress(workers.Unavailable):
            return workers.Pool(cores, open_own, loader, recordings, niceness=_NICENESS), load_own, cores

    def load_here(begin: int, end: int, most: int) -> list[Loaded]:
        return loader.load_some(recordings[begin:end], most)

    return ThreadPoolExecutor(_THREADS), load_here, _THREADS
