"""A data set becomes a prepared store: in parallel, a shard at a time, resumable at any moment."""

import concurrent.futures
import contextlib
import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import numpy as np

from ecg_jax import files
from ecg_jax.data import quality, store, verify
from ecg_jax.data.datasets.dataset import Dataset
from ecg_jax.data.preprocess import standardize
from ecg_jax.data.store.gather import Outcome, Shard, gather, latest_problems, read_shards
from ecg_jax.data.store.settings import ERRORS, EXCLUDED, NO_SIGNAL, REFUSED, UNREADABLE, Settings
from ecg_jax.data.store.shards import ShardWriter, find_damage, find_fault, read_sealed, write_sealed
from ecg_jax.data.workers import Pool, Unavailable
from ecg_jax.errors import InputError

SHARD_SIZE = 256
SETTINGS = "settings.json"


@dataclasses.dataclass(frozen=True)
class Job:
    """A shard to write.

    Attributes:
        name: Of the shard.
        rows: Numbers of its recordings, `[n]`.
        attempt: 0, or the number of the attempt at recordings that failed before.
        failures: How they failed, by number; nothing is written if they all fail in the same way again.
    """

    name: str
    rows: np.ndarray
    attempt: int
    failures: Mapping[int, Mapping[str, str]]


def convert(
    folder: str,
    open_dataset: Callable[[], Dataset],
    settings: Settings,
    *,
    damaged: Collection[str] = (),
    workers: int = 1,
    shard_size: int = SHARD_SIZE,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Outcome:
    """Writes the recordings of a data set that a store does not yet hold.

    Whatever ends it early, whole shards stay, and the same call continues from them. The store does not depend on where
    it was interrupted or on the number of workers. Recordings that were left out as unreadable or refused are tried
    again; the others are not read again, even if their files have changed.

    Args:
        folder: The store.
        open_dataset: Opens the data set; it is called in every worker, where these can.
        settings: How recordings are stored.
        damaged: Names of shards to write again.
        workers: Processes; 1 works in this one, as does a function of the program's own file.
        shard_size: Recordings in a shard.
        progress: Called with the numbers of recordings done and to be done in all.

    Raises:
        InputError: when the store was prepared with other settings or from another data set,
            it cannot be written, another preparation is at work, or a worker died.
    """
    dataset = open_dataset()
    try:
        with store.hold(folder):
            _claim(folder, settings)
            jobs = _plan(dataset, read_shards(folder, dataset, settings, damaged), settings, shard_size)
            total, done, added = sum(len(job.rows) for job in jobs), 0, 0
            for rows, count in _run(folder, open_dataset, dataset, settings, jobs, workers):
                done, added = done + rows, added + count
                progress(done, total)
            _remove(folder, set(damaged) - {job.name for job in jobs})
            return gather(folder, dataset, settings, added)
    except OSError as error:
        raise InputError(
            f"{error.filename or folder}: {error.strerror or error}; what is whole stays, and the same command goes on "
            "from it"
        ) from error


def _claim(folder: str, settings: Settings) -> None:
    """Refuses a folder whose shards were made in another way; removes partial files of a killed preparation."""
    known = read_settings(folder)
    if known and (wrong := known.differences(settings)):
        raise InputError(f"{folder} was prepared in another way ({'; '.join(wrong)}); choose another --output")
    write_sealed(os.path.join(folder, SETTINGS), settings.to_dict())
    for place in (folder, os.path.join(folder, store.SHARDS)):
        for name in os.listdir(place) if os.path.isdir(place) else ():
            if files.is_partial(name):
                os.unlink(os.path.join(place, name))


def read_settings(folder: str) -> Settings | None:
    """How a store is, or was being, prepared; None where nothing was begun. A damaged file raises `InputError`."""
    path = os.path.join(folder, SETTINGS)
    try:
        return Settings.from_dict(read_sealed(path))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not readable ({error}); delete it and give the settings again as flags") from error


def verify_store(
    folder: str, progress: Callable[[int, int], None] = lambda done, total: None
) -> tuple[dict[str, str], dict[str, str]]:
    """Compares every file with its checksum; returns faults by shard, and of other files, which `convert` rewrites."""
    manifest = store.read_manifest(folder)
    names = [shard["name"] for shard in manifest["shards"]]
    damage = {}
    for done, name in enumerate(names):
        if found := find_damage(folder, name):
            damage[name] = found
        progress(done + 1, len(names))
    others = store.find_index_damage(folder, manifest["index"], manifest["checksums"])
    if fault := find_fault(os.path.join(folder, store.PROBLEMS), manifest["problems_checksum"]):
        others[store.PROBLEMS] = fault
    return damage, others


def _remove(folder: str, names: Collection[str]) -> None:
    """Removes damaged shards that are not made again; never through a link into another folder."""
    above = os.path.join(os.path.realpath(folder), "")
    for path in (os.path.join(folder, store.SHARDS, name + suffix) for name in names for suffix in (".json", ".bin")):
        if os.path.isfile(path) and os.path.realpath(path).startswith(above):
            os.unlink(path)


def _plan(dataset: Dataset, shards: Sequence[Shard], settings: Settings, shard_size: int) -> list[Job]:
    """Shards of the recordings that are in none yet, and of those that failed before."""
    is_settled, has_failed = np.zeros(len(dataset.ids), bool), np.zeros(len(dataset.ids), bool)
    failures = latest_problems(shards)
    for shard in shards:
        is_settled[shard.rows] = True
    for row, problem in failures.items():
        (has_failed if problem["reason"] in ERRORS else is_settled)[row] = True
    attempt = 1 + max((shard.attempt for shard in shards), default=0)
    fresh = np.flatnonzero(~is_settled & ~has_failed)
    again = np.flatnonzero(~is_settled & has_failed)
    return [
        Job(_name_shard(dataset.ids[part], settings), part, number, {int(row): failures[row] for row in part if number})
        for rows, number in ((fresh, 0), (again, attempt))
        for part in (rows[i : i + shard_size] for i in range(0, len(rows), shard_size))
    ]


def _name_shard(ids: np.ndarray, settings: Settings) -> str:
    """A shard is named by its contents, so that a repeated preparation finds it."""
    return hashlib.sha256(json.dumps([settings.fingerprint, *ids.tolist()]).encode()).hexdigest()[:16]


def _run(
    folder: str,
    open_dataset: Callable[[], Dataset],
    dataset: Dataset,
    settings: Settings,
    jobs: list[Job],
    workers: int,
) -> Iterator[tuple[int, int]]:
    """Writes shards; yields how many recordings each job read, and how many it wrote."""
    pool = _open_pool(min(workers, len(jobs)), open_dataset)
    if pool is None:
        for job in jobs:
            yield _write_shard(folder, dataset, settings, job)
        return
    with pool:
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


def _open_pool(workers: int, open_dataset: Callable[[], Dataset]) -> Pool | None:
    """Several workers, where they can open the data set."""
    with contextlib.suppress(Unavailable):
        return Pool(workers, _open_worker, open_dataset) if workers > 1 else None
    return None


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
        if job.attempt and writer.problems == list(job.failures.values()):
            writer.discard()
        else:
            writer.commit(settings.fingerprint, job.attempt)
    except BaseException:
        writer.discard()
        raise
    return len(job.rows), written


class _LeftOut(Exception):
    def __init__(self, reason: str, detail: str) -> None:
        self.reason, self.detail = reason, " ".join(detail.split())


def _convert_recording(dataset: Dataset, row: int, settings: Settings) -> tuple[np.ndarray, dict[str, Any]]:
    """One recording as int16, and the facts about it."""
    try:
        recording = dataset.read(row)
    except InputError as error:
        raise _LeftOut(UNREADABLE, str(error)) from error
    except Exception as error:  # one bad file in a million stops nothing, whatever it makes a library raise
        raise _LeftOut(UNREADABLE, f"{type(error).__name__}: {error}") from error
    if recording.is_degenerate:
        raise _LeftOut(NO_SIGNAL, "no valid sample differs from zero")
    try:
        findings: tuple[verify.Finding, ...] = ()
        if dataset.reads_files:  # the unit of a simulated ECG cannot be wrong
            recording, findings = verify.enforce(recording, settings.checks)
        examination = quality.examine(recording)
        steps, beyond = store.quantize(*standardize(recording, settings.contract))
    except InputError as error:
        raise _LeftOut(REFUSED, str(error)) from error
    except Exception as error:
        raise _LeftOut(REFUSED, f"{type(error).__name__}: {error}") from error
    flags = {*examination.flags, *(("saturation",) if beyond else ())}
    if unwanted := sorted(flags & set(settings.exclude)):
        raise _LeftOut(EXCLUDED, ", ".join(unwanted))
    facts = {
        "flags": quality.pack_flags(flags),
        "hash": quality.content_hash(recording),
        "normalized": recording.normalized,
        "notes": verify.list_notes(recording, findings, settings.checks),
        **examination.measurements,
    }
    return steps, facts
