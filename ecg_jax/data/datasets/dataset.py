"""The one shape every data set takes."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ecg_jax.data.store import Store
from ecg_jax.errors import InputError, suggest
from ecg_jax.evaluation.predictions import Predictions
from ecg_jax.interval_names import INTERVALS
from ecg_jax.kinds import FINDING, NUMBER
from ecg_jax.recording import Recording

if TYPE_CHECKING:
    import jax

SPLITS = ("train", "validation", "test")
UNKNOWN_FOLD = -1
WEIGHT = "sampling_weight"  # the attribute behind `data.sampling=weighted`

DrawFn = Callable[["jax.Array", int, float], tuple["jax.Array", "jax.Array", "jax.Array"]]


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Recordings that can be read by number, with what is known of them.

    Attributes:
        name: As in `config.data.dataset`.
        ids: `[N]` str, unique names of the recordings.
        columns: The C labels: name to `[N]` float32, NaN = unknown; of findings 1 or 0.
        read: Reads recording number i; one that can be pickled also reads in other processes.
        split: `[N]` str, `train`, `validation` or `test`; None until `splits.assign` draws one, unless the data set has
            its own. Empty for a recording whose split is to be drawn, or afterwards, for one that is left out.
        split_facts: How the split came about, JSON-ready; see `splits.assign`.
        patients: `[N]` str, empty where unknown, which counts as another patient each; None where no patient is known.
        folds: `[N]` int64, the data set's own folds, `UNKNOWN_FOLD` where one is unknown; None where it has none.
        origins: `[N]` str, which recording of a public data base each is, where data sets share one: `ptbxl/21` is the
            same in all of them. Empty where it is none of these; None where all are.
        attributes: What else is known and may define a subgroup: name to `[N]`; `age` is float32 years (NaN = unknown),
            `sex` is str (`F`, `M` or empty).
        hashes: `[N]` str of the signals' content (see `quality.content_hash`), where it is known without reading them;
            empty for a recording whose hash is unknown.
        draw: Where recordings can be drawn without end, `(key, samples, sampling rate) -> signal [T, 12] mV, valid [T],
            label [C]`, jittable.
        reads_files: False where recordings are made, not read: they cannot be broken or repeated.
        store: The prepared store whose row i is recording i, where there is one.
        notes: Lines to show before a run starts (what was left out, and why).
        kind: Of the labels, one of `kinds.KINDS`.
    """

    name: str
    ids: np.ndarray
    columns: Mapping[str, np.ndarray]
    read: Callable[[int], Recording]
    split: np.ndarray | None = None
    patients: np.ndarray | None = None
    folds: np.ndarray | None = None
    origins: np.ndarray | None = None
    attributes: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    hashes: np.ndarray | None = None
    draw: DrawFn | None = None
    reads_files: bool = True
    split_facts: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    store: Store | None = None
    notes: tuple[str, ...] = ()
    kind: str = FINDING

    def __post_init__(self) -> None:
        values, counts = np.unique(self.ids, return_counts=True)
        if len(values) < len(self.ids):
            raise InputError(
                f"{self.name}: recording {values[counts > 1][0]} occurs {counts.max()} times; ids are unique"
            )

    @property
    def label_names(self) -> tuple[str, ...]:
        """The C labels."""
        return tuple(self.columns)

    def find_of(self, data_base: str) -> np.ndarray:
        """Which recordings come from a public data set, `[N]` bool: by its, a store's, a part's name, or `origins`."""
        names = {self.name, self.store.manifest["settings"]["origin"].get("dataset", "") if self.store else ""}
        found = np.full(len(self.ids), data_base in names)
        prefixes = [id.partition("/")[0] for id in self.ids.tolist()] if "combined" in names else []
        if prefixes:  # a second part has a number behind
            found |= np.array([data_base in (prefix, prefix[:-1]) for prefix in prefixes])
        if self.origins is not None:
            found |= np.char.startswith(self.origins, f"{data_base}/")
        return found

    @functools.cached_property
    def labels(self) -> np.ndarray:
        """`[N, C]` float32; see `columns`."""
        if not self.columns:
            return np.empty((len(self.ids), 0), np.float32)
        return np.stack([np.asarray(column, np.float32) for column in self.columns.values()], axis=1)

    @property
    def strata(self) -> np.ndarray:
        """`[N, K]` in {1, 0, NaN}, what splits balance: the findings, or for each number its fifths."""
        if self.kind == FINDING:
            return self.labels
        parts = []
        for column in self.labels.T:
            known = column[~np.isnan(column)]
            edges = np.quantile(known, [0.2, 0.4, 0.6, 0.8]) if len(known) else np.zeros(0)
            fifth = np.searchsorted(edges, column)[:, None] == np.arange(5)
            parts.append(np.where(np.isnan(column)[:, None], np.nan, fifth))
        return np.concatenate(parts, axis=1, dtype=np.float32)

    def measure(self, names: tuple[str, ...]) -> "Dataset":
        """The same with numbers for labels: attributes of these names, which are attributes no longer.

        Raises:
            InputError: where there is no such attribute, or a value of it is no number.
        """
        numbers = [name for name, values in self.attributes.items() if values.dtype.kind != "U" and name != WEIGHT]
        if missing := [name for name in names if name not in self.attributes]:
            hint = "; ecg-jax prepare --measure makes intervals columns of a store"
            raise InputError(
                f"data set {self.name}: no number {', '.join(missing)}; there are: {', '.join(numbers) or 'none'}"
                + suggest(missing[0], numbers)
                + (hint if {*missing} & INTERVALS.keys() else "")
            )
        return dataclasses.replace(
            self,
            kind=NUMBER,
            columns={name: self._parse_number(name) for name in names},
            attributes={name: values for name, values in self.attributes.items() if name not in names},
        )

    def _parse_number(self, name: str) -> np.ndarray:
        """An attribute as `[N]` float32, NaN = unknown."""
        values = pd.Series(self.attributes[name]).replace("", np.nan)
        with np.errstate(over="ignore"):
            parsed = pd.to_numeric(values, errors="coerce").to_numpy(np.float32)
        bad = np.flatnonzero(values.notna() & ~np.isfinite(parsed))
        if bad.size:
            raise InputError(
                f"data set {self.name}: {name} of recording {self.ids[bad[0]]} is {values[bad[0]]}; expected a number, "
                f"or nothing where it is unknown ({bad.size} such value(s))"
            )
        return parsed

    def indices(self, split: str) -> np.ndarray:
        """Numbers of the recordings of one split, `[n]` int64."""
        if split not in SPLITS:
            raise InputError(f"split {split!r}; known: {', '.join(SPLITS)}")
        return np.flatnonzero(self.split == split)


def create_predictions(
    dataset: Dataset, rows: np.ndarray, probabilities: np.ndarray, raw: np.ndarray | None = None
) -> Predictions:
    """Probabilities `[n, C]` of the recordings of numbers `rows` beside what the data set knows of them.

    The columns are the data set's labels; `raw` `[n, C]` are the probabilities before recalibration, None without one.
    """
    return Predictions(
        ids=dataset.ids[rows],
        names=dataset.label_names,
        labels=dataset.labels[rows].astype(np.float64),
        kind=dataset.kind,
        probabilities=probabilities.astype(np.float64),
        raw=None if raw is None else raw.astype(np.float64),
        patients=None if dataset.patients is None else dataset.patients[rows],
        attributes={name: values[rows] for name, values in dataset.attributes.items() if name != WEIGHT},
    )


def read_file(read: Callable[[str, str], Recording], paths: Sequence[str], ids: np.ndarray, i: int) -> Recording:
    """Reads recording number i from a file of its own; with the other arguments given, it is `Dataset.read`."""
    return read(paths[i], str(ids[i]))


def read_row(read: Callable[..., Recording], ids: np.ndarray, i: int) -> Recording:
    """The same for row i of what holds all of them."""
    return read(i, id=str(ids[i]))
