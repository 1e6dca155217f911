"""From recordings to what a network gives for their windows: read in parallel, in batches of one shape.

A recording that cannot be read, or is refused, is set aside with its error.
"""

import dataclasses
import functools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from ecg_jax.data.datasets.dataset import Dataset
from ecg_jax.data.loading import Loader
from ecg_jax.data.readers import LazyRecording
from ecg_jax.data.splits import manifest
from ecg_jax.data.store import Store, check_contract
from ecg_jax.errors import InputError
from ecg_jax.inference.model import Model
from ecg_jax.inference.reading import read_ahead

_BATCHES = 1  # that the network has while the next one is read


def apply(
    compute: Callable[[np.ndarray], Any],
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
        compute: From windows `[B, samples, leads]` to `[B, D]`; it is given batches of one size. A JAX array need not
            be complete: the next batch is read meanwhile, and results are combined and written.
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
    signals: list[np.ndarray] = []  # windows of those that wait, not yet given to the network
    running: deque[tuple[Any, int]] = deque()  # what the network was given, and how many windows are in it
    computed = np.zeros((0, 0), np.float32)  # of the others
    size = 0  # of batches: one shape is compiled

    def collect(most: int) -> None:
        """Waits until the network has no more than `most` batches."""
        nonlocal computed
        while len(running) > most:
            given, count = running.popleft()
            values = np.asarray(given)[:count]
            computed = np.concatenate([computed, values]) if len(computed) else values

    for number, (windows, known) in enumerate(read_ahead(loader, recordings, batch_size, processes), start=1):
        waiting.append((recordings[number - 1].name, len(windows), known))
        signals.extend(windows)
        is_last = number == len(recordings)
        while len(signals) >= batch_size or (signals and is_last):
            size = size or min(batch_size, len(signals))
            batch = np.zeros((size, *model.contract.shape), np.float32)
            count = len(signals[:size])
            np.stack(signals[:size], out=batch[:count])
            running.append((compute(batch), count))
            del signals[:size]
            collect(_BATCHES)
        if is_last:
            collect(0)
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
