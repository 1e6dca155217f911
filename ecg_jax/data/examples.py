"""Recordings by number as a contract's arrays: from any data set, or int16 straight from a prepared store."""

import collections
import threading
from typing import Any

import numpy as np

from ecg_jax.contract import InputContract
from ecg_jax.data import verify
from ecg_jax.data.datasets.dataset import Dataset
from ecg_jax.data.preprocess import create_input, place
from ecg_jax.data.store import INVALID, check_contract
from ecg_jax.errors import InputError

Batch = dict[str, Any]  # of arrays


class Examples:
    """Recordings of any data set, kept in memory as far as there is room.

    Attributes:
        dataset: Where they come from.
        contract: What the network eats.
        dropped: Ids of recordings that were all zeros.
        gaps: Id to number of samples that were NaN or infinite.
        refused: Id to reason, of recordings that physics contradicts.
        findings: Id to what was found of recordings that were kept or mended all the same.
        notes: What readers noticed, and of how many recordings.
    """

    def __init__(
        self, dataset: Dataset, contract: InputContract, *, cache_gb: float = 0.0, checks: str = "refuse"
    ) -> None:
        """Wraps a data set.

        Args:
            dataset: Its recordings.
            contract: What the network eats.
            cache_gb: Memory for examples that were read before; crops at random are not kept.
            checks: See `verify.enforce`.
        """
        self.dataset = dataset
        self.contract = contract
        samples, leads = contract.shape
        self._room = int(cache_gb * 2**30 / (samples * (4 * leads + 1)))
        self._cache: dict[int, Batch] = {}
        self._lock = threading.Lock()
        self._checks = checks
        self.dropped: set[str] = set()
        self.gaps: dict[str, int] = {}
        self.refused: dict[str, str] = {}
        self.findings: dict[str, str] = {}
        self.notes: collections.Counter[str] = collections.Counter()
        self._noted = np.zeros(len(dataset.ids), bool)

    def __getstate__(self) -> dict[str, Any]:
        """What another process is sent: no lock, and nothing that was read."""
        return self.__dict__ | {"_cache": {}, "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ = state | {"_lock": threading.Lock()}

    def read(self, row: int, crop: float | None = None) -> Batch:
        """Reads one example.

        Args:
            row: The recording's number.
            crop: Where a longer recording is cropped, from 0 to 1; None for its centre.

        Returns:
            `signal` `[T, leads]` float32, `valid` `[T]` bool, `label` `[C]` float32, `mask`
            bool: False when the recording is all zeros or refused, which drops it; its id is
            kept in `dropped` or `refused`.
        """
        if row in self._cache:
            return self._cache[row]
        recording = self.dataset.read(row)
        findings: tuple[verify.Finding, ...] = ()
        try:
            if self.dataset.reads_files:  # what is simulated has no unit to be mistaken
                recording, findings = verify.enforce(recording, self._checks)
        except InputError as error:
            with self._lock:
                self.refused[recording.id] = str(error)
            return self.blank() | {"label": self.dataset.labels[row]}
        signal, valid = create_input(recording, self.contract, crop)
        example = {
            "signal": signal,
            "valid": valid.any(axis=1),
            "label": self.dataset.labels[row],
            "mask": np.array(not recording.is_degenerate),
        }
        with self._lock:
            if recording.is_degenerate:
                self.dropped.add(recording.id)
            if recording.gaps:
                self.gaps[recording.id] = recording.gaps
            if findings:
                self.findings[recording.id] = "; ".join(finding.message for finding in findings)
            if recording.notes and not self._noted[row]:
                self._noted[row] = True
                self.notes.update(recording.notes)
            if crop is None and len(self._cache) < self._room:
                self._cache[row] = example
        return example

    def blank(self) -> Batch:
        """An example that stands where there is none."""
        return {
            "signal": np.zeros(self.contract.shape, np.float32),
            "valid": np.zeros(self.contract.samples, bool),
            "label": np.full(len(self.dataset.label_names), np.nan, np.float32),
            "mask": np.array(False),
        }

    def load(self, rows: np.ndarray, crops: np.ndarray | None = None, stand_ins: np.ndarray | None = None) -> Batch:
        """Reads a batch.

        Args:
            rows: `[B]` numbers of recordings; -1 for none.
            crops: `[B]`, see `read`.
            stand_ins: Ascending numbers of recordings; the next of these takes the place of
                one that is dropped.

        Returns:
            What `read` gives, stacked, and `row` `[B]` int32, which recordings they are.

        Raises:
            InputError: when nothing is left to stand in.
        """
        loaded = []
        for i, row in enumerate(rows):
            crop = None if crops is None else float(crops[i])
            loaded.append(self._read_or_next(int(row), crop, stand_ins))
        return {key: np.stack([example[key] for example in loaded]) for key in loaded[0]}

    def _read_or_next(self, row: int, crop: float | None, stand_ins: np.ndarray | None) -> Batch:
        if row < 0:
            return self.blank() | {"row": np.int32(-1)}
        if stand_ins is None:
            return self.read(row, crop) | {"row": np.int32(row)}
        start = int(np.searchsorted(stand_ins, row))
        for offset in range(len(stand_ins)):
            candidate = int(stand_ins[(start + offset) % len(stand_ins)])
            example = self.read(candidate, crop)
            if example["mask"]:
                return example | {"row": np.int32(candidate)}
        reason = f"; the first: {next(iter(self.refused.values()))}" if self.refused else ""
        raise InputError(
            f"data set {self.dataset.name}: every training recording is all zeros or refused ({len(self.dropped)} and "
            f"{len(self.refused)}){reason}"
        )


class StoredExamples:
    """Recordings of a prepared store, in int16: `decode.create_decoder` makes them a contract's arrays.

    Attributes:
        dataset: The data set `store`.
        contract: What the network eats.
        columns: Which of the store's columns are the contract's leads.
    """

    def __init__(self, dataset: Dataset, contract: InputContract) -> None:
        """Wraps the data set of a store.

        Raises:
            InputError: when the store was prepared for another contract.
        """
        if dataset.store is None:
            raise InputError(f"data set {dataset.name} is no prepared store")
        self.dataset = dataset
        self.contract = contract
        self.store = dataset.store
        self.columns = check_contract(self.store, contract)
        self.dropped: set[str] = set()
        self.gaps: dict[str, int] = {}
        self.refused: dict[str, str] = {}
        self.findings: dict[str, str] = {}

    @property
    def notes(self) -> collections.Counter[str]:
        """See `Examples`; of all recordings of the store."""
        return collections.Counter(line for lines in self.store.notes().values() for line in lines)

    def load(self, rows: np.ndarray, crops: np.ndarray | None = None, stand_ins: np.ndarray | None = None) -> Batch:
        """Reads a batch: see `Examples.load`; a store holds nothing that would have to be stood in for.

        Returns:
            `signal` `[B, T, leads of the store]` int16, `label`, `mask` and `row`.
        """
        del stand_ins
        samples = self.contract.samples
        signal = np.empty((len(rows), samples, len(self.store.leads)), np.int16)
        for i, row in enumerate(rows):
            if row < 0:
                signal[i] = INVALID
                continue
            steps = self.store.read_steps(int(row))
            begin, first, count = place(len(steps), samples, None if crops is None else float(crops[i]))
            signal[i, :first] = INVALID
            signal[i, first : first + count] = steps[begin : begin + count]
            signal[i, first + count :] = INVALID
        return {"signal": signal} | self.load_facts(rows)

    def read(self, row: int) -> Batch:
        """Reads one example: see `Examples.read`."""
        signal, valid = create_input(self.dataset.read(row), self.contract)
        return {
            "signal": signal,
            "valid": valid.any(axis=1),
            "label": self.dataset.labels[row],
            "mask": np.array(True),
        }

    def load_facts(self, rows: np.ndarray) -> Batch:
        """What `load` gives apart from the signal."""
        known = rows >= 0
        label = np.where(known[:, None], self.dataset.labels[rows], np.float32(np.nan))
        return {"label": label, "mask": known, "row": np.asarray(rows, np.int32)}
