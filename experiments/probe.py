"""How much of a data set's labels is linear in what networks compute: regression on frozen embeddings.

  python experiments/probe.py --data=ptbxl:DIR --models real 12_lead_ECGFounder.pth [--random real] [--measurements]
  python experiments/probe.py --data=combined:ptbxl:DIR,ludb:DIR --numbers=age

Of each model every recording is embedded as by `python -m ecg_jax.embed` (--layer, --pool). Embeddings are standardized
over the recordings that fit: train and validation. Each label with 10 positives and 10 negatives there has a logistic
regression with the C, of 1e-4 to 1, of the largest AUROC over five inner folds, in which no patient is in two; each
number of --numbers, attributes of the data set, a ridge regression with the penalty, of 1 to 1e5, of the smallest mean
absolute error over them.

Tested on the test split, each recording once, and on every part of `combined` that has no split of its own, LUDB for
example. Scored, with intervals by patient: AUROC of labels with 10 positives and 10 negatives in that set, and means of
labels as in `zero_shot.py`; mean absolute error and R2 of numbers.

Floors to compare with: --random, networks with random weights; --measurements, the heart rate, the size of beats in
each lead, and the worst noise and wander; of numbers, the median of those that fit. Writes probe.csv, a row per model,
test set and label, after every model.
"""

import argparse
import ast
import contextlib
import dataclasses
import functools
import os
import sys
import time
from typing import Any

import jax
import numpy as np
import pandas as pd
from ml_collections import ConfigDict

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]

import regressions  # noqa: E402

from ecg_jax import config as config_lib  # noqa: E402
from ecg_jax import models  # noqa: E402
from ecg_jax.data import datasets, quality  # noqa: E402
from ecg_jax.data.datasets.dataset import Dataset  # noqa: E402
from ecg_jax.data.measures import amplitude  # noqa: E402
from ecg_jax.errors import InputError  # noqa: E402
from ecg_jax.inference import batches, embed  # noqa: E402
from ecg_jax.inference.model import Model, load_model  # noqa: E402
from ecg_jax.recording import LEADS  # noqa: E402
from ecg_jax.training import run_data  # noqa: E402

LABELS = "six,abnormal,superclasses,statements"
MEASURED = ("heart_rate", "noise", "wander")


def name_data(config: ConfigDict, data: str, labels: str, settings: list[str]) -> ConfigDict:
    """The configuration with the data `NAME:PLACE`, or a prepared store, and settings `SECTION.KEY=VALUE` of `data`."""
    name, _, place = data.partition(":")
    if name not in datasets.DATASETS:
        name, place = "store", data
    values: dict[str, Any] = {"data.dataset": name, "data.source": place, "data.labels": labels}
    for key, _, value in (each.partition("=") for each in settings):
        values[f"data.{key}"] = ast.literal_eval(value) if value[:1].isdigit() else value
    return config_lib.override(config, values)


def randomize(model: Model, seed: int) -> Model:
    """The same network with random weights."""
    return dataclasses.replace(model, variables=models.init(model.network, jax.random.key(seed), model.contract.shape))


def embed_all(model: Model, dataset: Dataset, layer: str, pool: str) -> np.ndarray:
    """`[N, D]` of all recordings, NaN for those that could not be read or hold no signal."""
    model, rows = batches.suit_store(model, dataset.store), np.arange(len(dataset.ids))
    embedded = embed.embed(model, batches.list_recordings(dataset, rows), layer=layer, pool=pool, checks="warn")
    table = embed.collect(embedded, len(rows), embed.measure(model, layer, pool))
    for problem, count in table.problems.items():
        print(f"  left out: {problem} ({count})")
    values = np.full((len(rows), table.values.shape[1]), np.nan, np.float32)
    values[table.rows] = table.values
    return values


def measure_all(dataset: Dataset) -> np.ndarray:
    """`[N, 15]`: heart rate, the worst lead's noise and wander, and the range of each lead's beats; NaN if unknown.

    Of a z-scored recording the heart rate alone is known.
    """
    rows = np.full((len(dataset.ids), len(MEASURED) + len(LEADS)), np.nan)
    for row, values in enumerate(rows):
        with contextlib.suppress(InputError):
            recording = dataset.read(row)
            found = quality.examine(recording).measurements
            ranges = dict(zip(recording.leads, amplitude.measure_ranges(recording), strict=True))
            values[:] = [*(found[name] for name in MEASURED), *(ranges.get(lead, np.nan) for lead in LEADS)]
            values[1:] = np.nan if recording.normalized else values[1:]
    return rows


def probe(values: np.ndarray, dataset: Dataset, numbers: list[str], resamples: int) -> pd.DataFrame:
    """Fits and tests embeddings `[N, D]`; a recording without any is left out."""
    is_known = np.isfinite(values).any(axis=1)
    tests = {name: rows[is_known[rows]] for name, rows in regressions.list_tests(dataset).items()}
    return regressions.score_all(dataset, tests, *regressions.fit_all(values, dataset, numbers), resamples)


def main() -> None:
    """Embeds, fits, prints, writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="*", default=["real"], help="as --model of predict")
    parser.add_argument("--random", nargs="*", default=[], help="models to take with random weights")
    parser.add_argument("--data", required=True, help="NAME:DIR of a data set with a split, or a prepared store")
    parser.add_argument("--set", nargs="*", default=[], help="settings of the data, as ptbxl.sampling_rate=100")
    parser.add_argument("--labels", default=LABELS, help="labels of the data set")
    parser.add_argument("--numbers", nargs="*", default=[], help="attributes of the data set, as age")
    parser.add_argument("--layer", default="", help="a module of the trunk; by default the whole of it")
    parser.add_argument("--pool", default="mean", help="mean, max, flatten or head")
    parser.add_argument("--measurements", action="store_true", help="heart rate and sizes in place of embeddings too")
    parser.add_argument("--resamples", type=int, default=1000, help="of the bootstrap")
    parser.add_argument("--output", default="probe.csv", help="the table to write")
    options = parser.parse_args()
    config = name_data(config_lib.create_default(), options.data, options.labels, options.set)
    config_lib.check(config)
    dataset = run_data.open_files(config, partial=True)
    if unknown := [name for name in options.numbers if dataset.attributes.get(name, np.array("")).dtype.kind != "f"]:
        raise InputError(f"data set {dataset.name}: has no number {', '.join(unknown)}; it has {[*dataset.attributes]}")
    tests, floor = regressions.list_tests(dataset), regressions.compute_median(dataset, options.numbers)
    tables = {"median": regressions.score_all(dataset, tests, {}, floor, options.resamples)}
    ways = {"measurements": functools.partial(measure_all, dataset)} if options.measurements else {}
    for path, is_random in [*((path, False) for path in options.models), *((path, True) for path in options.random)]:
        model, name = load_model(path, needs_output=False), f"{path}, random weights" if is_random else path
        model = randomize(model, 0) if is_random else model
        ways[name] = functools.partial(embed_all, model, dataset, options.layer, options.pool)
    for number, (name, compute) in enumerate(ways.items(), start=1):
        begin = time.monotonic()
        values = compute()
        embedded = time.monotonic()
        tables[name] = probe(values, dataset, options.numbers, options.resamples)
        seconds = f"{embedded - begin:.0f} s to embed, {time.monotonic() - embedded:.0f} s to fit and score"
        print(f"{name} ({number} of {len(ways)}): {values.shape[1]} numbers each, {seconds}")
        print(tables[name].to_string(index=False, float_format=lambda value: f"{value:.3f}"), flush=True)
        pd.concat(tables, names=["model"]).reset_index(level=0).to_csv(options.output, index=False)
    print(f"Written: {options.output}")


if __name__ == "__main__":
    main()
