"""Regressions of all labels and numbers of a data set on embeddings of its recordings, and their scores.

Logistic for labels, ridge for numbers, each with the strength that scores best over inner folds without a common
patient. `probe.py` says how it is used.
"""

import dataclasses
import functools
import os
import sys
from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import mean_absolute_error, roc_auc_score
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]

import zero_shot  # noqa: E402

from ecg_jax.data.datasets.dataset import Dataset, create_predictions  # noqa: E402
from ecg_jax.errors import InputError  # noqa: E402
from ecg_jax.evaluation import bootstrap_intervals, resampling  # noqa: E402

FOLDS = 5
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # C of logistic regression
PENALTIES = (1.0, 1e1, 1e2, 1e3, 1e4, 1e5)  # alpha of ridge regression
COLUMNS = ["label", "n", "positives", "auroc", "auroc_low", "auroc_high"]
TEST = "test split"

Predicted = dict[str, np.ndarray]  # `[N]` by name
Tests = dict[str, np.ndarray]  # numbers of recordings by name


def list_tests(dataset: Dataset) -> Tests:
    """Recordings to test on: the test split, each of them once, and each part whose recordings are in no split."""
    if dataset.split is None or not len(rows := dataset.indices("test")):
        raise InputError(f"data set {dataset.name}: has no test split of its own")
    if dataset.origins is not None:
        origins = np.where(dataset.origins == "", dataset.ids, dataset.origins)
        rows = rows[np.sort(np.unique(origins[rows], return_index=True)[1])]
    parts = np.array([id.partition("/")[0] if dataset.name == "combined" else dataset.name for id in dataset.ids])
    is_open = dataset.split == ""
    return {TEST: rows} | {
        name: np.flatnonzero(is_open & (parts == name)) for name in np.unique(parts[is_open]).tolist()
    }


def find_fitting(dataset: Dataset) -> np.ndarray:
    """Which recordings fit, `[N]` bool: those of train and validation."""
    return np.isin(np.asarray(dataset.split), ("train", "validation"))


def find_patients(dataset: Dataset) -> np.ndarray:
    """The patient of each recording, `[N]` int."""
    return resampling.create_design(len(dataset.ids), patients=dataset.patients).unit


@threadpool_limits.wrap(limits=1)  # several threads wait for each other longer than such small matrices take
def fit_all(values: np.ndarray, dataset: Dataset, numbers: Sequence[str]) -> tuple[Predicted, Predicted]:
    """Probabilities of every label with enough recordings, and predictions of numbers.

    Args:
        values: `[N, D]`, unknown where not finite: the median is taken, and of a recording without any, nothing.
        dataset: N recordings with a split.
        numbers: Names of its attributes.
    """
    patients, is_used = find_patients(dataset), find_fitting(dataset) & np.isfinite(values).any(axis=1)
    scaled = make_pipeline(SimpleImputer(strategy="median"), StandardScaler()).fit(values[is_used]).transform(values)
    labels, found = {}, {}
    for name, label in dataset.columns.items():
        rows = is_used & ~np.isnan(label)
        if min(np.sum(label[rows] == value) for value in (0, 1)) >= zero_shot.FEWEST:
            fitted = fit_label(scaled[rows], label[rows] == 1, patients[rows])
            labels[name] = fitted.predict_proba(scaled)[:, 1]
    for name in numbers:
        rows = is_used & ~np.isnan(dataset.attributes[name])
        found[name] = fit_number(scaled[rows], dataset.attributes[name][rows], patients[rows]).predict(scaled)
    return labels, found


def fit_label(values: np.ndarray, truth: np.ndarray, patients: np.ndarray) -> LogisticRegression:
    """Logistic regression of a label `[n]` bool, by the largest AUROC over inner folds."""
    folds = [*StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0).split(values, truth, patients)]
    predict = functools.partial(cross_val_predict, X=values, y=truth, cv=folds, method="decision_function")
    tried = [LogisticRegression(C=strength, max_iter=1000) for strength in STRENGTHS]
    return max(tried, key=lambda each: roc_auc_score(truth, predict(each))).fit(values, truth)


def fit_number(values: np.ndarray, truth: np.ndarray, patients: np.ndarray) -> Ridge:
    """Ridge regression of a number `[n]`, by the smallest mean absolute error over inner folds."""
    folds = [*GroupKFold(FOLDS, shuffle=True, random_state=0).split(values, truth, patients)]
    predict = functools.partial(cross_val_predict, X=values, y=truth, cv=folds)
    tried = [Ridge(penalty) for penalty in PENALTIES]
    return min(tried, key=lambda each: mean_absolute_error(truth, predict(each))).fit(values, truth)


def score_all(
    dataset: Dataset, tests: Tests, labels: Predicted, numbers: Predicted, resamples: int = 1000
) -> pd.DataFrame:
    """A row per test set and label, mean of labels, or number; see `zero_shot.score`, `score_number`."""
    chosen = dataclasses.replace(dataset, columns={name: dataset.columns[name] for name in labels})
    patients, parts = find_patients(dataset), []
    for test, rows in tests.items():
        if labels:
            probabilities = np.stack([*labels.values()], axis=1)[rows]
            table = zero_shot.score(create_predictions(chosen, rows, probabilities), {}, "auto", resamples)
            parts.append(table[COLUMNS].assign(set=test))
        for name, predicted in numbers.items():
            truth = np.asarray(dataset.attributes[name], float)
            known = rows[np.isfinite(truth[rows])]
            if len(known):
                scores = score_number(truth[known], predicted[known], patients[known], resamples)
                parts.append(pd.DataFrame([{"set": test, "label": name, "n": len(known), **scores}]))
    return pd.concat(parts) if parts else pd.DataFrame()


def score_number(
    truth: np.ndarray, predicted: np.ndarray, patients: np.ndarray, resamples: int = 1000
) -> dict[str, float]:
    """Mean absolute error and R2 of numbers `[n]`, with percentile intervals over patients `[n]` int."""
    error, centred = truth - predicted, truth - truth.mean()
    moments = np.stack([centred, centred**2, np.abs(error), error**2])

    def compute(weights: np.ndarray) -> np.ndarray:
        mean, square, absolute, residual = moments @ weights / weights.sum(axis=0)
        variance = np.where(square > mean**2, square - mean**2, np.nan)  # none where all drawn are equal
        return np.stack([absolute, 1 - residual / variance])

    estimates = compute(np.ones((len(truth), 1)))[:, 0]
    drawn = resampling.resample(compute, resampling.group(patients), resamples, 0)
    ends = np.stack(bootstrap_intervals.compute_percentile(drawn), axis=1)
    return {
        f"{name}{end}": float(value)
        for name, estimate, pair in zip(("mae", "r2"), estimates, ends, strict=True)
        for end, value in zip(("", "_low", "_high"), (estimate, *pair), strict=True)
    }


def compute_median(dataset: Dataset, numbers: Sequence[str]) -> Predicted:
    """The floor of numbers: the median of the recordings that fit, `[N]` of each."""
    is_used, size = find_fitting(dataset), len(dataset.ids)
    return {name: np.full(size, np.nanmedian(dataset.attributes[name][is_used])) for name in numbers}
