"""An open store: its manifest, its index, and its recordings by number."""

import fcntl
import functools
import hashlib
import json
import os
import resource
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from ecg_jax import files
from ecg_jax.contract import InputContract
from ecg_jax.data.store.shards import (
    INVALID,
    SHARDS,
    STEPS_PER_MILLIVOLT,
    find_fault,
    hash_file,
    read_sealed,
    write_sealed,
)
from ecg_jax.errors import InputError
from ecg_jax.recording import Recording, create_recording

VERSION = 1
MANIFEST, PROBLEMS = "store.json", "problems.csv"
MEASUREMENTS, MEASURED = "measurements", "measured"  # a column of the index; what the manifest says of it
_INDEX = "index-"
# What a store fixes of a contract; the second part where it differs from the default.
_KEPT = ("leads", "sampling_rate", "highpass", "lowpass", "notch")
_KEPT_IF_SET = ("trim", "resampling", "bandpass_order", "median_baseline")


def kept_contract(contract: InputContract) -> dict[str, Any]:
    """The part of a contract that a store fixes, JSON-ready."""
    default = InputContract().to_dict()
    return {
        key: value
        for key, value in contract.to_dict().items()
        if key in _KEPT or (key in _KEPT_IF_SET and value != default[key])
    }


def write_manifest(folder: str, manifest: Mapping[str, Any], columns: Mapping[str, np.ndarray]) -> None:
    """Makes shards a store: writes the index under a new name, then the manifest that points to it.

    Args:
        folder: The store.
        manifest: See `Store`.
        columns: The index: name to array, one row per recording.
    """
    partial = os.path.join(folder, f"{_INDEX}partial")
    shutil.rmtree(partial, ignore_errors=True)
    os.makedirs(partial)
    paths = {name: os.path.join(partial, f"{name}.npy") for name in sorted(columns)}
    try:
        for name, path in paths.items():
            with files.naming(path):
                np.save(path, columns[name], allow_pickle=False)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    checksums = {name: hash_file(path) for name, path in paths.items()}
    index = _INDEX + hashlib.sha256(json.dumps(checksums).encode()).hexdigest()[:12]
    path = os.path.join(folder, index)
    if find_index_damage(folder, index, checksums):
        shutil.rmtree(path, ignore_errors=True)
        os.rename(partial, path)
    write_sealed(
        os.path.join(folder, MANIFEST), {"version": VERSION, **manifest, "index": index, "checksums": checksums}
    )
    for name in os.listdir(folder):
        if name.startswith(_INDEX) and name != index:
            shutil.rmtree(os.path.join(folder, name), ignore_errors=True)


def find_index_damage(folder: str, index: str, checksums: Mapping[str, str]) -> dict[str, str]:
    """What is wrong with the files of an index, by their names."""
    names = {os.path.join(index, f"{column}.npy"): expected for column, expected in checksums.items()}
    faults = {name: find_fault(os.path.join(folder, name), expected) for name, expected in names.items()}
    return {name: fault for name, fault in faults.items() if fault}


@contextmanager
def hold(folder: str) -> Iterator[None]:
    """Keeps other preparations out of a store; the system releases the lock however this one ends.

    Raises:
        InputError: where another is at work.
    """
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "lock"), "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InputError(f"{folder}: another preparation is at work in this store; wait for its end") from error
        yield


def is_store(folder: str) -> bool:
    """Whether a folder holds a finished store."""
    return os.path.isfile(os.path.join(folder, MANIFEST))


def read_manifest(folder: str) -> dict[str, Any]:
    """Reads `store.json`; raises `InputError` when it is missing, damaged, or of a newer version of ecg_jax."""
    path = os.path.join(folder, MANIFEST)
    try:
        with open(path, encoding="utf-8") as file:
            version = json.load(file)["version"]
        if isinstance(version, int) and version > VERSION:
            raise InputError(f"{path}: version {version}, this ecg_jax reads up to {VERSION}; update ecg_jax")
        manifest = read_sealed(path)
        names = [manifest["index"], *manifest["columns"], *(shard["name"] for shard in manifest["shards"])]
    except FileNotFoundError as error:
        raise InputError(
            f"{path}: no such file; {folder or '(nothing)'} is no prepared store, or its preparation was not finished; "
            "run ecg-jax prepare --dataset=NAME --source=DIR --output=STORE"
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: not readable as the manifest of a store ({' '.join(str(error).split())}); delete it and prepare "
            "again: the shards stay"
        ) from error
    if wrong := [name for name in [*names, *manifest["checksums"]] if not files.is_plain_name(name)]:
        raise InputError(f"{path}: names {str(wrong[0])[:80]!r}; a store may name files of its own folder alone")
    return manifest


_whole: set[tuple[object, ...]] = set()  # files whose checksum was right, by path and version


def _has_checksum(path: str, expected: str) -> bool:
    """Compares a file with its checksum, once in a process for each version of it."""
    status = os.stat(path)
    version = os.path.abspath(path), status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns, expected
    if version not in _whole and hash_file(path) == expected:
        _whole.add(version)
    return version in _whole


class Store:
    """An open store: its index, and its recordings by number. Each file is checked before it is read.

    Attributes:
        manifest: The contents of `store.json`.
        leads: Lead names, in the order of the columns.
        sampling_rate: Hz.
        normalized: Whether recordings are in standard deviations.
        lengths: `[N]` samples of each recording.
    """

    def __init__(self, folder: str) -> None:
        """Memory-maps a store; raises `InputError` when it is not whole, or of a newer version."""
        self.folder = folder
        self.manifest = read_manifest(folder)
        self.leads = tuple(self.manifest["contract"]["leads"])
        self.sampling_rate = float(self.manifest["contract"]["sampling_rate"])
        self.normalized = bool(self.manifest["normalized"])
        self.lengths = self.column("length")
        self._shards = [str(shard["name"]) for shard in self.manifest["shards"]]
        self._shard, self._start = self.column("shard"), self.column("start")
        self._map = functools.lru_cache(maxsize=_raise_file_limit() // 2)(self._open)

    def __len__(self) -> int:
        return len(self.lengths)

    def __reduce__(self) -> tuple[type["Store"], tuple[str]]:
        return Store, (self.folder,)

    def column(self, name: str) -> np.ndarray:
        """A column of the index, `[N, ...]`; raises `InputError` when its file is missing or damaged."""
        path = os.path.join(self.folder, self.manifest["index"], f"{name}.npy")
        try:
            files.measure(path)
            if not _has_checksum(path, self.manifest["checksums"].get(name, "")):
                raise ValueError("its checksum is wrong: it was changed since it was written")
            return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
        except (OSError, ValueError, EOFError) as error:
            raise InputError(
                f"{path}: the store's index is damaged ({' '.join(str(error).split())}); "
                f"ecg-jax prepare --output={self.folder} writes it again"
            ) from error

    @functools.cached_property
    def notes(self) -> dict[int, list[str]]:
        """Notes on recordings, by their number; most have none."""
        return {int(row): lines for row, lines in json.loads(self.column("notes").tobytes()).items()}

    @property
    def measurements(self) -> dict[str, np.ndarray]:
        """What `measurements.add` measured, name to `[N]` float32, NaN for unknown; empty where nothing was."""
        if MEASURED not in self.manifest:
            return {}
        return dict(zip(self.manifest[MEASURED]["units"], self.column(MEASUREMENTS).T, strict=True))

    def has_column(self, name: str) -> bool:
        """Whether the index has a column."""
        return name in self.manifest["columns"]

    def read_steps(self, row: int) -> np.ndarray:
        """A recording, `[n, leads]` int16, a view of the mapped file; `INVALID` where there is nothing."""
        start = int(self._start[row])
        return self._map(int(self._shard[row]))[start : start + int(self.lengths[row])]

    def read(self, row: int, id: str) -> Recording:
        """A recording in millivolts (in standard deviations, if the store is normalized)."""
        steps = self.read_steps(row)
        return create_recording(
            steps,
            leads=self.leads,
            sampling_rate=self.sampling_rate,
            id=id,
            millivolts_per_unit=1 / STEPS_PER_MILLIVOLT,
            valid=steps != INVALID,
            normalized=self.normalized,
            notes=self.notes.get(row, ()),
        )

    def _open(self, shard: int) -> np.ndarray:
        path = os.path.join(self.folder, SHARDS, f"{self._shards[shard]}.bin")
        samples, checksum = (self.manifest["shards"][shard][key] for key in ("samples", "sha256"))
        try:
            size, expected = files.measure(path), samples * len(self.leads) * 2
            wrong = f"{size} bytes instead of {expected}" if size != expected else "its checksum is wrong"
            if size != expected or not _has_checksum(path, checksum):
                raise InputError(
                    f"{path}: {wrong}; the shard is damaged: "
                    f"ecg-jax prepare --output={self.folder} --verify rebuilds it"
                )
            return np.asarray(np.memmap(path, "<i2", "r", shape=(samples, len(self.leads))))
        except OSError as error:
            raise InputError(f"{path}: the shard cannot be read ({error.strerror})") from error


def check_contract(store: Store, contract: InputContract) -> tuple[int, ...]:
    """Returns the store's columns that are a contract's leads; raises `InputError` naming every other difference."""
    default = InputContract().to_dict()
    there, here = default | store.manifest["contract"], default | kept_contract(contract)
    wrong = [
        f"{key} {there[key]} there, {here[key]} here" for key in (*_KEPT[1:], *_KEPT_IF_SET) if there[key] != here[key]
    ]
    missing = [lead for lead in contract.leads if lead not in store.leads]
    if missing:
        wrong.append(f"no lead {', '.join(missing)} there")
    if store.normalized and not contract.takes_normalized:
        wrong.append("z-scored there, while the contract keeps amplitudes")
    if contract.statistics == "recording":
        wrong.append("statistics of whole recordings, which a store does not apply: train from the files instead")
    if wrong:
        raise InputError(
            f"{store.folder}: the store was prepared for another input contract ({'; '.join(wrong)}); prepare another "
            "with the contract's settings, or train with --config.contract of the store"
        )
    return tuple(store.leads.index(lead) for lead in contract.leads)


def _raise_file_limit() -> int:
    """Lets this process open as many files as the system allows; returns how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(hard, 65536) if hard > 0 else 65536
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return max(soft, wanted)
