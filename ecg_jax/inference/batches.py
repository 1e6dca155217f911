"""From recordings to what a network gives for their windows: read in parallel, in batches of one shape.

A recording that cannot be read, or is refused, is set aside with its error.
"""

import dataclasses
import functools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from ecg_jax.contract import InputContract
from ecg_jax.data import quality, verify
from ecg_jax.data.datasets.dataset import Dataset
from ecg_jax.data.preprocess import create_input, create_windows, mask_missing, trim
from ecg_jax.data.readers import LazyRecording
from ecg_jax.data.splits import manifest
from ecg_jax.data.store import Store, check_contract
from ecg_jax.errors import InputError
from ecg_jax.inference.model import Model
from ecg_jax.recording import Recording

NO_SIGNAL = "no signal"
_LONGEST_REASON = 300  # characters
_THREADS = 4  # that read
_Loaded = tuple[Sequence[np.ndarray], dict[str, Any]]  # windows `[samples, leads]`, and what was noticed


def apply(
    compute: Callable[[np.ndarray], np.ndarray],
    model: Model,
    recordings: Sequence[LazyRecording],
    *,
    batch_size: int = 32,
    checks: str = "refuse",
    whole: bool = False,
    keep: bool = False,
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

    Yields:
        A recording's name; what was computed, `[windows, D]`, without windows where there was no signal or an error;
        and what was noticed: `quality`, `notes`, `flags`, `starts` (of windows, in seconds), `ecg` (see `keep`), or
        `error`.
    """
    trained = manifest.Trained(model.split) if model.split else None
    load = functools.partial(_load_safely, model=model, trained=trained, checks=checks, whole=whole, keep=keep)
    waiting: deque[tuple[str, int, dict[str, Any]]] = deque()  # names, numbers of windows, what was noticed
    signals: list[np.ndarray] = []  # windows of those that wait, not yet computed
    computed = np.zeros((0, 0), np.float32)  # of the others
    size = 0  # of batches: one shape is compiled
    for number, (windows, known) in enumerate(_read_ahead(load, recordings, batch_size), start=1):
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
    load: Callable[[LazyRecording], _Loaded], recordings: Sequence[LazyRecording], batch_size: int
) -> Iterator[_Loaded]:
    """Reads recordings in threads, some ahead of the one that is yielded: fewer, where they are long."""
    with ThreadPoolExecutor(_THREADS) as pool:
        ahead: deque[Future[_Loaded]] = deque()
        depth, opened = _THREADS, 0
        for number in range(len(recordings)):
            while opened < len(recordings) and opened <= number + depth:
                ahead.append(pool.submit(load, recordings[opened]))
                opened += 1
            loaded = ahead.popleft().result()
            fitting = 2 * batch_size // max(1, len(loaded[0]))  # the next ones may be as long
            depth = max(_THREADS, min(depth + 1, fitting, 4 * _THREADS))
            yield loaded


def _load_safely(lazy: LazyRecording, **how: Any) -> _Loaded:
    """One bad file ends nothing, whatever it makes a library raise."""
    try:
        return _load(lazy, **how)
    except InputError as error:
        message = " ".join(str(error).split())
    except Exception as error:  # noqa: BLE001 - see above
        reason = " ".join(f"{type(error).__name__}: {error}".split()).rstrip(":")[:_LONGEST_REASON]
        message = f"{lazy.name}: cannot be read ({reason})"
    return (), {"error": message}


def _load(
    lazy: LazyRecording, *, model: Model, trained: manifest.Trained | None, checks: str, whole: bool, keep: bool
) -> _Loaded:
    contract = model.contract
    missing: tuple[str, ...] = ()
    recording, findings = verify.enforce(lazy.read(), checks)
    # A run was validated on centres, a network of others on the windows that its authors take.
    if whole or (contract.has_windows and model.split is None):
        kept, first = trim(recording) if contract.trim else (recording, 0)
        extended, missing = mask_missing(kept, contract.leads) if whole else (kept, ())
        signals, starts = create_windows(extended, contract)
        moves = np.array([_moves(kept, start, contract) for start in starts.tolist()])
        starts = starts + first / recording.sampling_rate
    else:
        signals, starts, moves = create_input(recording, contract)[0][None], np.zeros(1), np.ones(1, bool)
    notes = verify.list_notes(recording, findings, checks)
    kept_ecg = {"ecg": recording} if keep else {}
    if recording.is_degenerate or not moves.any():
        return (), {"quality": "; ".join((NO_SIGNAL, *notes)), "notes": notes, **kept_ecg}
    flags = tuple(quality.examine(recording).flags)
    noticed = []
    if missing:
        listed = ", ".join(missing)
        noticed.append(f"{len(missing)} of {len(contract.leads)} leads missing ({listed}), zeros in their place")
    if not moves.all():
        noticed.append(f"{np.sum(~moves)} of {len(moves)} windows without a signal")
    if recording.gaps:
        noticed.append(f"{recording.gaps} samples masked")
    if trained and (seen := trained.find(recording)):
        noticed.append(seen)
    noticed += [*flags, *notes]
    known = {"quality": "; ".join(noticed), "flags": flags, "notes": notes, "starts": starts[moves], **kept_ecg}
    return [*(signals if moves.all() else signals[moves])], known


def _moves(recording: Recording, start: float, contract: InputContract) -> bool:
    """Whether the recording changes inside a window itself: filters bring something in from beside it."""
    begin, end = (
        round(s * recording.sampling_rate) for s in (start, start + contract.samples / contract.sampling_rate)
    )
    part = recording.signal[begin:end, recording.lead_columns]
    return bool(np.any(part != part[:1]))
