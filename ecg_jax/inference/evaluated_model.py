"""A model's predictions of a data set as something to evaluate."""

import dataclasses
import functools
import os
from collections.abc import Mapping

import numpy as np
from rich.console import Console

from ecg_jax.data.datasets.dataset import UNKNOWN_FOLD, Dataset
from ecg_jax.data.splits import manifest
from ecg_jax.data.store import PROBLEMS, Store, summary
from ecg_jax.data.store.settings import ERRORS, EXCLUDED, NO_SIGNAL
from ecg_jax.errors import InputError
from ecg_jax.evaluation import left_out
from ecg_jax.evaluation.left_out import LeftOut
from ecg_jax.evaluation.thresholds import VALIDATION, Thresholds
from ecg_jax.inference import floor
from ecg_jax.inference.evaluated import Evaluated
from ecg_jax.inference.model import Model
from ecg_jax.inference.predict import predict_dataset
from ecg_jax.printable import list_some
from ecg_jax.reporting import figures
from ecg_jax.runtime import run_folder
from ecg_jax.runtime.metric_writer import read_metrics
from ecg_jax.trained_on import TrainedOn


def predict_model(
    path: str,
    model: Model,
    dataset: Dataset,
    *,
    split: str | None,
    is_own: bool,
    needs_validation: bool,
    checks: str,
    console: Console | None,
) -> Evaluated:
    """Predicts a split of a data set with the model that was loaded from a path.

    Args:
        path: Of the model.
        model: See `load_model`.
        dataset: With some of the model's labels, which are scored.
        split: `train`, `validation`, `test` or `all`; if None, `test` where the data set has one, else `all`.
        is_own: The data set is that of the model's run.
        needs_validation: Predict the validation split too, where there is one besides the scored one.
        checks: See `verify.enforce`.
        console: Where progress is shown.
    """
    if not set(dataset.label_names) <= set(model.label_names):
        raise InputError(f"{path} predicts {list_some(model.label_names)}, not {list_some(dataset.label_names)}")
    unknown = [name for name in model.label_names if name not in dataset.label_names]
    if console:
        for line in _describe_unknown(unknown):
            console.print(f"  {line}")
    model = model.select(dataset.label_names)
    split = split or choose_split(dataset)
    run = functools.partial(predict_dataset, model, dataset, checks=checks, console=console)
    rows = find_rows(dataset, split)
    predictions, lost, warnings = run(rows)
    unstored = _list_unstored(dataset.store) if dataset.store else []
    among = f"{len(rows)} recordings"
    if split == "all":
        lost, among = [*unstored, *lost], f"{len(rows) + len(unstored)} recordings"
    elif dataset.store:  # which does not know their split
        path = os.path.join(dataset.store.folder, PROBLEMS)
        among_all = f"{len(dataset.ids) + len(unstored)} recordings of all splits ({path})"
        warnings += left_out.describe(unstored, among_all)
    warnings = left_out.describe(lost, among) + warnings
    validation = None
    if needs_validation and split == "test" and len(others := dataset.indices("validation")):
        validation, lost_there, _ = run(others)
        warnings += left_out.describe(lost_there, f"{len(others)} recordings of the validation split")
        lost = [
            each._replace(split=name) for name, some in ((split, lost), ("validation", lost_there)) for each in some
        ]
    warnings += describe_leaks(model.trained_on, dataset, np.flatnonzero(np.isin(dataset.ids, predictions.ids)))
    if is_own and split in ("validation", "all"):
        warnings.append(f"leak: the split {split} has recordings that chose the run's checkpoint")
    is_same = is_own and not (model.split is not None and manifest.differs(model.split, dataset))
    if is_own and not is_same:
        warnings.append("leak: the data or its split is not what the run was trained on: its fingerprint differs")
    chose_thresholds = is_own and split != "test"  # these recordings, or some of them
    return Evaluated(
        title=os.path.basename(os.path.abspath(path)),
        subtitle=f"data set {dataset.name}, split {split}",
        predictions=predictions,
        validation=validation,
        thresholds=None if chose_thresholds else _find_thresholds(model),
        facts=(
            f"{'; '.join(note.rstrip('.') for note in model.notes)}.",
            *(f"{line}." for line in (*dataset.notes, *_describe_unknown(unknown))),
        ),
        warnings=tuple(warnings),
        source=path,
        recordings={"recording": predictions.ids},
        dataset=dataset,
        left_out=tuple(lost),
        cache=os.path.join(path, floor.CACHE) if is_same and os.path.isdir(path) else None,
        learning_curve=_find_learning_curve(path),
    )


def _list_unstored(store: Store) -> list[LeftOut]:
    """What could not be read, was refused or has no signal; what was excluded on demand is no loss."""
    if not store.manifest["left_out"]:
        return []
    table = summary.read_problems(store)
    table = table[table["reason"] != EXCLUDED]
    return [
        LeftOut(row.recording, row.reason if row.reason == NO_SIGNAL else row.detail, row.reason in ERRORS)
        for row in table.itertuples(index=False)
    ]


def share_labels(model: Model, dataset: Dataset) -> Dataset:
    """A data set with those of its labels that a model has; as it is where the model has none."""
    shared = {name: column for name, column in dataset.columns.items() if name in model.label_names}
    return dataclasses.replace(dataset, columns=shared or dataset.columns)


def describe_leaks(trained_on: Mapping[str, TrainedOn], dataset: Dataset, scored: np.ndarray) -> list[str]:
    """Lines for each data base that the network has learned from, with how many of the recordings `scored` (numbers).

    Those are counted whose fold is known.
    """
    lines = []
    for name, seen in trained_on.items():
        rows = scored[dataset.find_of(name)[scored]]
        folds = np.full(len(rows), UNKNOWN_FOLD)
        if dataset.folds is not None and seen.trained:
            folds = dataset.folds[rows]
        if (folds == UNKNOWN_FOLD).any():
            lines.append(
                f"leak: the network was trained on {name} ({seen.part}); scores of recordings there say little"
            )
        counts = {
            f"trained the network ({name}, {seen.part})": np.isin(folds, seen.trained).sum(),
            f"chose it (fold {', '.join(map(str, seen.chosen))})": np.isin(folds, seen.chosen).sum(),
        }
        if found := " and ".join(f"{count} {role}" for role, count in counts.items() if count):
            lines.append(f"leak: of the {len(scored)} scored recordings, {found}; their scores say little")
    return lines


def _describe_unknown(labels: list[str]) -> list[str]:
    return [f"{len(labels)} labels of the model that the data set does not know: {list_some(labels)}"] if labels else []


def choose_split(dataset: Dataset) -> str:
    """`test` where the data set has one, else `all`."""
    return "test" if dataset.split is not None and bool((dataset.split == "test").any()) else "all"


def find_rows(dataset: Dataset, split: str) -> np.ndarray:
    """Numbers of a split's recordings; `InputError` without any."""
    if split == "all":
        return np.arange(len(dataset.ids))
    if dataset.split is None:
        raise InputError(f"data set {dataset.name}: has no split of its own; pass --split=all")
    rows = dataset.indices(split)
    if not len(rows):
        raise InputError(f"data set {dataset.name}: no recording in the split {split}; pass --split=all, or another")
    return rows


def _find_thresholds(model: Model) -> Thresholds | None:
    """The model's own, where it has one for each label."""
    if set(model.thresholds) != set(model.label_names):
        return None
    values = np.array([model.thresholds[name] for name in model.label_names])
    return Thresholds(values, model.threshold_rule, VALIDATION, model.unchosen)


def _find_learning_curve(path: str) -> functools.partial | None:
    """Draws that of a finished run."""
    metrics, result = (os.path.join(path, name) for name in ("metrics.jsonl", run_folder.RESULT))
    if not (os.path.isfile(metrics) and os.path.isfile(result)):
        return None
    with run_folder.reading(path):
        best_step = run_folder.read_json(result)["best_step"]
        return functools.partial(figures.draw_learning_curve, read_metrics(metrics), best_step)
