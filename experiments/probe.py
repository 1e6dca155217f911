"""How much of a data set's labels is linear in what networks compute: logistic regression on frozen embeddings.

  python experiments/probe.py --data=ptbxl:DIR --models real 12_lead_ECGFounder.pth [--random] [--measurements]

Of each model every recording is embedded as by `python -m ecg_jax.embed` (--layer, --pool). Embeddings are standardized
over the recordings that fit (train and validation); a logistic regression of each label with 10 positives and 10
negatives both there and in the test split has the C, of 1e-4 to 1, with the largest AUROC over five inner folds, in
which no patient is in two. Scored: AUROC on the test split with intervals by patient, and the mean of all labels.

Floors to compare with: --random, the same networks with random weights; --measurements, the heart rate, the size of
beats in each lead, and the worst noise and wander. Writes probe.csv, a row per model and label.
"""

import argparse
import contextlib
import dataclasses
import functools
import os
import sys

import jax
import numpy as np
import pandas as pd
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from rich.console import Console

from ecg_jax import config as config_lib
from ecg_jax import models
from ecg_jax.data import quality
from ecg_jax.data.datasets.dataset import Dataset, create_predictions
from ecg_jax.data.measures import amplitude
from ecg_jax.errors import InputError
from ecg_jax.evaluation import resampling, scores, thresholds
from ecg_jax.evaluation.settings import Settings
from ecg_jax.inference import batches, embed
from ecg_jax.inference.model import Model, load_model
from ecg_jax.recording import LEADS
from ecg_jax.training import elsewhere

FEWEST = 10
FOLDS = 5
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # C
LABELS = "six,abnormal,superclasses,statements"
MEASURED = ("heart_rate", "noise", "wander")
COLUMNS = ["label", "n", "positives", "auroc", "auroc_low", "auroc_high"]


def randomize(model: Model, seed: int) -> Model:
    """The same network with random weights."""
    return dataclasses.replace(model, variables=models.init(model.network, jax.random.key(seed), model.contract.shape))


def embed_all(model: Model, dataset: Dataset, layer: str, pool: str) -> np.ndarray:
    """`[N, D]` of all recordings, NaN for those that could not be read or hold no signal."""
    model, recordings = (
        batches.suit_store(model, dataset),
        batches.list_recordings(dataset, np.arange(len(dataset.ids))),
    )
    embedded = embed.embed(model, recordings, layer=layer, pool=pool, checks="warn")
    table = embed.collect(embedded, len(recordings), embed.measure(model, layer, pool))
    for problem, count in table.problems.items():
        print(f"  left out: {problem} ({count})")
    values = np.full((len(recordings), table.values.shape[1]), np.nan, np.float32)
    values[table.rows] = table.values
    return values


def measure_all(dataset: Dataset) -> np.ndarray:
    """`[N, 15]`: heart rate, the worst lead's noise and wander, and the range of each lead's beats; NaN if unknown."""
    rows = np.full((len(dataset.ids), len(MEASURED) + len(LEADS)), np.nan)
    for row, values in enumerate(rows):
        with contextlib.suppress(InputError):
            recording = dataset.read(row)
            found = quality.examine(recording).measurements
            ranges = dict(zip(recording.leads, amplitude.measure_ranges(recording), strict=True))
            values[:] = [*(found[name] for name in MEASURED), *(ranges.get(lead, np.nan) for lead in LEADS)]
    return rows


def create_probe(strength: float) -> Pipeline:
    """Medians in place of what is unknown, standardization, logistic regression."""
    return make_pipeline(
        SimpleImputer(strategy="median"), StandardScaler(), LogisticRegression(C=strength, max_iter=1000)
    )


def fit(values: np.ndarray, truth: np.ndarray, patients: np.ndarray) -> Pipeline:
    """The probe of one label, its strength chosen by inner folds that share no patient."""
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)

    def score(strength: float) -> float:
        decided = cross_val_predict(
            create_probe(strength), values, truth, groups=patients, cv=folds, method="decision_function"
        )
        return roc_auc_score(truth, decided)

    return create_probe(max(STRENGTHS, key=score)).fit(values, truth)


def probe(values: np.ndarray, dataset: Dataset, resamples: int) -> pd.DataFrame:
    """AUROC on the test split of every label that has enough recordings, and their mean."""
    is_known = np.isfinite(values).any(axis=1)
    rows = np.arange(len(dataset.ids))
    is_test = np.isin(rows, dataset.indices("test")) & is_known
    is_fit = np.isin(rows, [*dataset.indices("train"), *dataset.indices("validation")]) & is_known
    unit = resampling.create_design(len(dataset.ids), patients=dataset.patients).unit
    chosen = {}
    for name, label in dataset.columns.items():
        counts = [np.sum(side & (label == value)) for side in (is_test, is_fit) for value in (0, 1)]
        if min(counts) >= FEWEST:
            used = is_fit & ~np.isnan(label)
            fitted = fit(values[used], label[used] == 1, unit[used])
            chosen[name] = fitted.predict_proba(values[is_test])[:, 1]
    if not chosen:
        raise InputError(f"data set {dataset.name}: no label has {FEWEST} positives and negatives in test and train")
    columns = {name: dataset.columns[name] for name in chosen}
    predictions = create_predictions(
        dataclasses.replace(dataset, columns=columns), np.flatnonzero(is_test), np.stack([*chosen.values()], axis=1)
    )
    cuts = thresholds.Thresholds(np.full(len(chosen), 0.5), "", thresholds.GIVEN)
    table = scores.compute(predictions, cuts, Settings(resamples=resamples)).table
    return table[~table["label"].isin(["micro", "weighted"])][COLUMNS]


def main() -> None:
    """Embeds, fits, prints, writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["real"], help="as --model of predict")
    parser.add_argument("--data", required=True, help="NAME:DIR of a data set with a split, or a prepared store")
    parser.add_argument("--labels", default=LABELS, help="labels of the data set")
    parser.add_argument("--layer", default="", help="a module of the trunk; by default the whole of it")
    parser.add_argument("--pool", default="mean", help="mean, max, flatten or head")
    parser.add_argument("--random", action="store_true", help="each network with random weights too")
    parser.add_argument("--measurements", action="store_true", help="heart rate and sizes in place of embeddings too")
    parser.add_argument("--resamples", type=int, default=1000, help="of the bootstrap of the mean")
    parser.add_argument("--output", default="probe.csv", help="the table to write")
    options = parser.parse_args()
    console, config = Console(), config_lib.create_default()
    dataset, _ = elsewhere.open_data(options.data, config, None, options.labels.split(","), console)
    if dataset.split is None or not len(dataset.indices("test")):
        raise InputError(f"data set {dataset.name}: has no test split of its own")
    ways = {"measurements": functools.partial(measure_all, dataset)} if options.measurements else {}
    for path in options.models:
        model, how = load_model(path, needs_output=False), (dataset, options.layer, options.pool)
        ways[path] = functools.partial(embed_all, model, *how)
        if options.random:
            ways[f"{path}, random weights"] = functools.partial(embed_all, randomize(model, 0), *how)
    parts = {}
    for name, compute in ways.items():
        parts[name] = probe(compute(), dataset, options.resamples)
        print(name)
        print(parts[name].to_string(index=False, float_format=lambda value: f"{value:.3f}"))
    pd.concat(parts, names=["model"]).reset_index(level=0).to_csv(options.output, index=False)
    print(f"Written: {options.output}")


if __name__ == "__main__":
    main()
