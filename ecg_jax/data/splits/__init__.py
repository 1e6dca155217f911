"""Splits and folds that keep a patient on one side."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from ecg_jax.config import check_values
from ecg_jax.data.datasets.dataset import SPLITS, UNKNOWN_FOLD, Dataset
from ecg_jax.data.splits import leaks as leaks_lib
from ecg_jax.data.splits import stratify
from ecg_jax.errors import InputError

REFUSE, DROP = "refuse", "drop"
OWN, PATIENT, RECORDING, DATE = ("own", "patient", "recording", "date")
_ON_PURPOSE = "patients may be on several sides of this split (split.leaks=drop leaves them out of training)"
_UNGROUPED = (
    "recordings of one patient may be on several sides of the split; a column patient_id, subject_id, ... names "
    "patients, or in training the one that --config.data.DATASET.patient_column names"
)
UNDECIDED = ""  # of no split yet, where others have one


def assign(
    dataset: Dataset,
    seed: int,
    *,
    by: str = OWN,
    validation: float = 0.1,
    test: float = 0.1,
    folds: int = 0,
    fold: int = 0,
    leaks: str = REFUSE,
) -> Dataset:
    """Returns the data set with a split: its own, or one that is drawn; or one fold tests and the next validates.

    Where its own leaves recordings undecided (empty), these go where their patient or signal is, and the rest is drawn.
    What is drawn is stratified by label (see `stratify`), whole patients at a time.

    Args:
        dataset: Any data set.
        seed: Chooses what is drawn.
        by: `own`: its own split, or if it has none, drawn by patient. `patient`: drawn by patient in any case.
            `recording`: drawn recording by recording, patients on several sides, as many papers do. `date`: the latest
            recordings test, those before them validate, the earliest train, of any patient (Ribeiro et al. 2020 compare
            such splits, Nat Commun 11:1760).
        validation: Part of the recordings that validates, where the split is drawn.
        test: Part that tests, likewise.
        folds: 0, or the number of parts that take turns as the test split.
        fold: The one whose turn it is, from 1.
        leaks: What happens where the data set's own split has a patient, or a signal, on two sides: `refuse`, or
            `drop`, which leaves those recordings out of training (and of validation, where the test split has them
            too).

    Returns:
        The data set with `split`, and with `split_facts`, which say how it came about.

    Raises:
        InputError: on a value that its key does not take, a leak, or when nothing is left to train on.
    """
    check_values("split", by=by, validation=validation, test=test, folds=folds, fold=fold, leaks=leaks)
    if by != OWN and (folds or fold):
        raise InputError(f"split.by is {by!r}, but folds take turns by patient; leave split.folds at 0")
    groups = leaks_lib.find_groups(dataset)
    if folds or fold:
        place, method, notes = assign_folds(dataset, seed, folds, groups=groups)
        if not 1 <= fold <= folds:
            raise InputError(f"split.fold is {fold}; of {folds} folds, number 1 to {folds} may test")
        if leaks == REFUSE:
            leaks_lib.refuse(dataset, groups, np.char.add("fold ", place.astype(str)))
        split = np.select([place == fold, place == fold % folds + 1], ["test", "validation"], "train")
        method = f"{method}, {fold} of {folds} tests"
    elif by == DATE:
        split, method, notes = _split_by_date(dataset, validation, test), "by date", [_ON_PURPOSE]
    elif by == RECORDING:
        split = _draw_split(dataset.strata, np.asarray(dataset.ids), seed, validation, test)
        method, notes = "drawn by recording", [_ON_PURPOSE]
    elif dataset.split is None or by == PATIENT:
        split, method, notes = _draw_split(dataset.strata, groups, seed, validation, test), "drawn", []
    elif (dataset.split == UNDECIDED).any():
        split, method, notes = _complete(dataset, groups, seed, validation, test), "own, and drawn for the others", []
    else:
        split, method, notes = dataset.split, "own", []
    dropped = 0
    if leaks == DROP:
        split, dropped, note = leaks_lib.drop(split, groups)
        notes += note
    facts = {"method": method, "seed": seed} | count_patients(dataset, groups) | {"leaks_dropped": dropped}
    assigned = dataclasses.replace(dataset, split=split, split_facts=facts, notes=(*dataset.notes, *notes))
    if by in (OWN, PATIENT):
        leaks_lib.refuse(assigned, groups, split)
    if not len(assigned.indices("train")):
        raise InputError(f"data set {dataset.name}: no recording to train on among {len(dataset.ids)}")
    return assigned


def assign_folds(
    dataset: Dataset, seed: int, folds: int, *, groups: np.ndarray | None = None
) -> tuple[np.ndarray, str, list[str]]:
    """Gives every recording one of at least 3 folds: the data set's own where they can be merged, else drawn.

    Args:
        dataset: Any data set.
        seed: Chooses what is drawn.
        folds: How many.
        groups: See `leaks.find_groups`; computed if None.

    Returns:
        `[N]` int64 from 1, where they come from, and notes.

    Raises:
        InputError: on fewer than 3 folds, or more folds than patients.
    """
    groups = leaks_lib.find_groups(dataset) if groups is None else groups
    if folds < 3:
        raise InputError(f"split.folds is {folds}; one fold tests, one validates, others train: 0 (none), 3 or more")
    notes: list[str] = []
    if dataset.folds is not None and (dataset.folds != UNKNOWN_FOLD).all():
        own, rank = np.unique(dataset.folds, return_inverse=True)
        if len(own) % folds == 0:
            return rank.reshape(-1) // (len(own) // folds) + 1, "own folds", notes
        notes.append(f"its own {len(own)} folds do not make {folds}: folds are drawn")
    elif dataset.split is not None:
        notes.append("its own split is not used: folds are drawn over all recordings")
    if len(pd.unique(groups)) < folds:
        raise InputError(
            f"data set {dataset.name}: {len(pd.unique(groups))} patients do not make {folds} folds; lower split.folds"
        )
    return stratify.draw(groups, dataset.strata, np.full(folds, 1 / folds), seed) + 1, "drawn folds", notes


def _split_by_date(dataset: Dataset, validation: float, test: float) -> np.ndarray:
    """The latest test; recordings without a date are left out."""
    _check_shares(validation, test)
    if DATE not in dataset.attributes:
        raise InputError(f"data set {dataset.name}: split.by is 'date', but its recordings' dates are unknown")
    dates = np.asarray(dataset.attributes[DATE], np.float64)
    order = np.lexsort((dataset.ids, dates))[: int(np.isfinite(dates).sum())]  # unknown ones sort last
    ends = np.round(len(order) * np.array([1 - test - validation, 1 - test])).astype(int)
    split = np.full(len(dates), leaks_lib.LEFT_OUT, f"U{max(map(len, SPLITS))}")
    for name, rows in zip(("train", "validation", "test"), np.split(order, ends), strict=True):
        split[rows] = name
    return split


def _complete(dataset: Dataset, groups: np.ndarray, seed: int, validation: float, test: float) -> np.ndarray:
    """Decides the undecided: as others of their group, else drawn."""
    assert dataset.split is not None
    decided = dataset.split != UNDECIDED
    known = pd.Series(dataset.split[decided]).groupby(groups[decided]).first()
    split = np.where(decided, dataset.split, pd.Series(groups).map(known).fillna(UNDECIDED).to_numpy(str))
    rows = np.flatnonzero(split == UNDECIDED)
    split = split.astype(f"U{max(map(len, SPLITS))}")
    split[rows] = _draw_split(dataset.strata[rows], groups[rows], seed, validation, test)
    return split


def _draw_split(labels: np.ndarray, groups: np.ndarray, seed: int, validation: float, test: float) -> np.ndarray:
    """Two patients are too few to hold any out."""
    _check_shares(validation, test)
    names = np.array(["test", "validation", "train"])
    return names[stratify.draw(groups, labels, np.array([test, validation, 1 - test - validation]), seed)]


def _check_shares(validation: float, test: float) -> None:
    if not (validation > 0 and test > 0 and validation + test < 1):
        raise InputError(
            f"split.validation is {validation} and split.test {test}; each above 0, together below 1 "
            "(a `split` column says who is where, if one of them shall be empty)"
        )


def count_patients(dataset: Dataset, groups: np.ndarray) -> dict[str, Any]:
    """Describes which patients were kept together (see `leaks.find_groups`), JSON-ready.

    Returns:
        `patients`, None where none is known, and `patients_merged`: how many were counted as another because a
        recording is the same. Where patients are unknown also `recordings_without_patient`, and `warning`.
    """
    patients = leaks_lib.find_patients(dataset)
    known = patients if dataset.patients is None and not dataset.reads_files else dataset.patients
    named = 0 if known is None else len(pd.unique(known[known != ""]))
    unknown = len(patients) if known is None else int((known == "").sum())
    facts: dict[str, Any] = {
        "patients": named or None,
        "patients_merged": len(pd.unique(patients)) - len(pd.unique(groups)),
    }
    if unknown:
        whose = f"the patients of {unknown} of {len(patients)} recordings" if named else "patients"
        facts |= {"recordings_without_patient": unknown, "warning": f"{whose} are unknown: {_UNGROUPED}"}
    return facts


def describe_patients(facts: Mapping[str, Any]) -> str:
    """What `count_patients` found, in a few words."""
    merged = f", {facts['patients_merged']} of them merged, as signals are the same" if facts["patients_merged"] else ""
    if facts["patients"] is None:
        return "patients unknown" + merged.replace("of them", "recordings")
    unknown = facts.get("recordings_without_patient")
    patients = f"{facts['patients']} patient{'' if facts['patients'] == 1 else 's'}"
    return f"{patients}{f' and {unknown} recordings without one' if unknown else ''}{merged}"
