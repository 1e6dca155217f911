"""A data set becomes a prepared store: in parallel, a shard at a time, resumable at any moment."""

import concurrent.futures
import dataclasses
import fcntl
import hashlib
import json
import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any

import numpy as np

from ecg_jax.data import quality, store, verify
from ecg_jax.data.datasets.dataset import Dataset
from ecg_jax.data.preprocess import standardize
from ecg_jax.data.store.gather import Outcome, Shard, gather, read_shards
from ecg_jax.data.store.settings import ERRORS, EXCLUDED, NO_SIGNAL, REFUSED, UNREADABLE, Settings
from ecg_jax.data.store.shards import ShardWriter, find_damage
from ecg_jax.errors import InputError

SHARD_SIZE = 256


@dataclasses.dataclass(frozen=True)
class Job:
    """A shard that is to be written.

    Attributes:
        name: Of the shard.
        rows: Numbers of its recordings, `[n]`.
        is_retry: Whether they failed before; then nothing is written if all of them fail again.
    """

    name: str
    rows: np.ndarray
    is_retry: bool


def convert(
    folder: str,
    open_dataset: Callable[[], Dataset],
    settings: Settings,
    *,
    origin: Mapping[str, Any],
    workers: int = 1,
    shard_size: int = SHARD_SIZE,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Outcome:
    """Writes what is not yet there of a data set into a store.

    Whatever ends it early, shards that are whole stay, and the same call goes on from them.
    The store does not depend on where it was interrupted or on the number of workers.
    Recordings that were left out as unreadable or refused are tried again.

    Args:
        folder: The store.
        open_dataset: Opens the data set; it is called in every worker, and must be picklable.
        settings: How recordings are stored.
        origin: How the data set is opened, JSON-ready; kept in the manifest.
        workers: Processes; 1 works in this one.
        shard_size: Recordings in a shard.
        progress: Called with the number of recordings done, and of all that are to be done.

    Raises:
        InputError: when the store was prepared with other settings or from another data set,
            or a worker died.
    """
    _check_same(folder, settings, origin)
    dataset = open_dataset()
    with _lock(folder):
        jobs = _plan(dataset, read_shards(folder, dataset, settings), settings, shard_size)
        total, done, added = sum(len(job.rows) for job in jobs), 0, 0
        for rows, count in _run(folder, open_dataset, dataset, settings, jobs, workers):
            done, added = done + rows, added + count
            progress(done, total)
        return gather(folder, dataset, settings, origin, added)


@contextmanager
def _lock(folder: str) -> Iterator[None]:
    """Keeps other preparations out of a store; the system gives the lock back however this one ends."""
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "lock"), "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InputError(f"{folder}: another preparation is at work in this store; wait for its end") from error
        yield


def verify_store(folder: str, progress: Callable[[int, int], None] = lambda done, total: None) -> dict[str, str]:
    """Compares every shard with its checksum.

    Returns:
        What is wrong, by shard; empty if the store is whole.
    """
    names = [shard["name"] for shard in store.read_manifest(folder)["shards"]]
    damage = {}
    for done, name in enumerate(names):
        if found := find_damage(folder, name):
            damage[name] = found
        progress(done + 1, len(names))
    return damage


def remove_shards(folder: str, names: Sequence[str]) -> None:
    """Deletes shards, so that `convert` writes them again."""
    for name in names:
        for suffix in (".json", ".bin"):
            path = os.path.join(folder, store.SHARDS, name + suffix)
            if os.path.exists(path):
                os.unlink(path)


def _check_same(folder: str, settings: Settings, origin: Mapping[str, Any]) -> None:
    """Refuses a folder whose store was made in another way."""
    if not os.path.exists(os.path.join(folder, store.MANIFEST)):
        return
    manifest = store.read_manifest(folder)
    there, here = manifest["settings"] | manifest["origin"], settings.to_dict() | dict(origin)
    wrong = [f"{key}: {there.get(key)} there, {here[key]} here" for key in here if there.get(key) != here[key]]
    if wrong:
        raise InputError(f"{folder} was prepared in another way ({'; '.join(wrong)}); choose another --output")


def _plan(dataset: Dataset, shards: Sequence[Shard], settings: Settings, shard_size: int) -> list[Job]:
    """What is left to do: what is in no shard yet, and what failed before."""
    is_settled, has_failed = np.zeros(len(dataset.ids), bool), np.zeros(len(dataset.ids), bool)
    for shard in shards:
        is_settled[shard.rows] = True
        for row, problem in shard.problems.items():
            (has_failed if problem["reason"] in ERRORS else is_settled)[row] = True
    return [
        Job(_name_shard(dataset.ids[rows[i : i + shard_size]], settings), rows[i : i + shard_size], bool(is_retry))
        for is_retry, rows in enumerate(np.flatnonzero(~is_settled & (has_failed == again)) for again in (False, True))
        for i in range(0, len(rows), shard_size)
    ]


def _name_shard(ids: np.ndarray, settings: Settings) -> str:
    """A shard is named by what is in it, so that a repeated preparation finds what is done."""
    return hashlib.sha256(json.dumps([settings.fingerprint, *ids.tolist()]).encode()).hexdigest()[:16]


def _run(
    folder: str,
    open_dataset: Callable[[], Dataset],
    dataset: Dataset,
    settings: Settings,
    jobs: list[Job],
    workers: int,
) -> Iterator[tuple[int, int]]:
    """Does the jobs; yields how many recordings each looked at, and how many it wrote."""
    workers = min(workers, len(jobs))
    if workers <= 1:
        for job in jobs:
            yield _write_shard(folder, dataset, settings, job)
        return
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["ecg_jax.data.store.conversion", "ecg_jax.data.datasets"])
    with concurrent.futures.ProcessPoolExecutor(
        workers, context, initializer=_open_worker, initargs=(open_dataset,)
    ) as pool:
        pending = [pool.submit(_work, folder, settings, job) for job in jobs]
        try:
            for future in concurrent.futures.as_completed(pending):
                yield future.result()
        except BrokenProcessPool as error:
            raise InputError(
                f"{folder}: a worker process died (out of memory?); the shards that are whole stay, the same command "
                "goes on from them; try --workers=1 to see which recording it was"
            ) from error
        finally:
            for future in pending:
                future.cancel()


_dataset: Dataset | None = None  # a worker's own


def _open_worker(open_dataset: Callable[[], Dataset]) -> None:
    global _dataset
    _dataset = open_dataset()


def _work(folder: str, settings: Settings, job: Job) -> tuple[int, int]:
    assert _dataset is not None
    return _write_shard(folder, _dataset, settings, job)


def _write_shard(folder: str, dataset: Dataset, settings: Settings, job: Job) -> tuple[int, int]:
    writer = ShardWriter(folder, job.name)
    written = 0
    try:
        for row in job.rows.tolist():
            id = str(dataset.ids[row])
            try:
                steps, facts = _convert_recording(dataset, row, settings)
            except _LeftOut as left_out:
                writer.leave_out(id, left_out.reason, left_out.detail)
                continue
            writer.add(steps, {"id": id, **facts})
            written += 1
        if job.is_retry and not written:
            writer.discard()
        else:
            writer.commit(settings.fingerprint)
    except BaseException:
        writer.discard()
        raise
    return len(job.rows), written


class _LeftOut(Exception):
    def __init__(self, reason: str, detail: str) -> None:
        self.reason, self.detail = reason, " ".join(detail.split())


def _convert_recording(dataset: Dataset, row: int, settings: Settings) -> tuple[np.ndarray, dict[str, Any]]:
    """One recording as int16, and what is known of it."""
    try:
        recording = dataset.read(row)
    except InputError as error:
        raise _LeftOut(UNREADABLE, str(error)) from error
    except Exception as error:  # one bad file in a million stops nothing, whatever it makes a library raise
        raise _LeftOut(UNREADABLE, f"{type(error).__name__}: {error}") from error
    if recording.is_degenerate:
        raise _LeftOut(NO_SIGNAL, "no valid sample differs from zero")
    try:
        recording, findings = verify.enforce(recording, settings.checks)
        examination = quality.examine(recording)
        signal, valid = standardize(recording, settings.contract)
    except InputError as error:
        raise _LeftOut(REFUSED, str(error)) from error
    unwanted = [flag for flag in examination.flags if flag in settings.exclude]
    if unwanted:
        raise _LeftOut(EXCLUDED, ", ".join(unwanted))
    steps, beyond = store.quantize(signal, valid)
    flags = (*examination.flags, *(["saturation"] if beyond and "saturation" not in examination.flags else []))
    facts = {
        "flags": quality.pack_flags(flags),
        "hash": quality.content_hash(recording),
        "normalized": recording.normalized,
        "notes": [*recording.notes, *(finding.message for finding in findings)],
        **examination.measurements,
    }
    return steps, facts
