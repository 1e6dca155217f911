"""How well a network diagnoses real ECGs of data sets that it never saw: AUROC with intervals, per label and macro.

  python experiments/zero_shot.py --data=DIR [--model=runs/pretrain] [--report] [--output=zero_shot]

DIR has the folders `ptbxl1819_zscored`, `ludb` and `challenge2021`. Without `--report` the 1,442 training records of
the first alone are scored: those that settings are chosen on. With it its validation and test records, the two other
sets, and all of these pooled, a recording that stands in two of them once; every such look is added to
`reports.jsonl` in the output folder. A label counts where a set has at least 10 recordings with it and 10 without.
"""

import argparse
import dataclasses
import json
import os
import sys
import tempfile
import time

import numpy as np
import pandas as pd

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]

import ptbxl1819  # noqa: E402

from ecg_jax.data import datasets  # noqa: E402
from ecg_jax.data.datasets.dataset import Dataset  # noqa: E402
from ecg_jax.evaluation import scores, thresholds  # noqa: E402
from ecg_jax.evaluation.predictions import Predictions  # noqa: E402
from ecg_jax.evaluation.settings import Settings  # noqa: E402
from ecg_jax.inference import predictor  # noqa: E402
from ecg_jax.inference.model import Model, load_model  # noqa: E402
from ecg_jax.recording import LEADS  # noqa: E402
from ecg_jax.weights import DEMONSTRATION  # noqa: E402

FEWEST = 10


def open_ptbxl(folder: str, splits: tuple[str, ...], scratch: str) -> tuple[Dataset, np.ndarray]:
    """The normalized part of PTB-XL, and the numbers of the recordings in some splits."""
    array, _ = ptbxl1819.convert(os.path.join(folder, "ptbxl1819_zscored"), os.path.join(scratch, "ptbxl1819"))
    options = {"arrays": {"labels_csv": "", "leads": ",".join(LEADS), "sampling_rate": 250.0, "unit": "zscore"}}
    dataset = datasets.open_source("arrays", source=array, labels="six", seed=0, options=options)
    assert dataset.split is not None
    return dataset, np.flatnonzero(np.isin(dataset.split, splits))


def open_whole(name: str, folder: str) -> tuple[Dataset, np.ndarray]:
    """The recordings of a data set that settings were not chosen on."""
    dataset = datasets.open_source(name, source=os.path.join(folder, name), labels="six", seed=0, options={})
    table = pd.read_csv(os.path.join(folder, "ptbxl1819_zscored", ptbxl1819.LABELS))
    seen = set(table["ecg_id"][table["split"] == "train"].astype(str))
    leaks = [id.startswith("HR") and name_ptbxl(id) in seen for id in dataset.ids.tolist()]
    return dataset, np.flatnonzero(~np.array(leaks))


def name_ptbxl(id: str) -> str:
    """The Challenge's HR12345 is PTB-XL's 12345."""
    return id.removeprefix("HR").lstrip("0")


def predict(model: Model, dataset: Dataset, rows: np.ndarray) -> Predictions:
    """Predictions that could be made; what was left out is said."""
    found, lines = predictor.predict_dataset(model, dataset, rows, checks="warn")
    for line in lines:
        print(f"  {dataset.name}: {line}")
    return found


def select(found: Predictions) -> Predictions:
    """Of the labels that have enough recordings."""
    present, absent = (found.labels == 1).sum(axis=0), (found.labels == 0).sum(axis=0)
    kept = np.flatnonzero((present >= FEWEST) & (absent >= FEWEST))
    return dataclasses.replace(
        found,
        names=tuple(found.names[i] for i in kept),
        labels=found.labels[:, kept],
        probabilities=found.probabilities[:, kept],
        raw=None,
    )


def score(found: Predictions, model: Model) -> pd.DataFrame:
    """AUROC with intervals of labels with enough recordings, and macro over these; how good the decisions are."""
    chosen = select(found)
    names = chosen.names
    cuts = thresholds.Thresholds(np.array([model.thresholds.get(name, 0.5) for name in names]), "", thresholds.GIVEN)
    table = scores.compute(chosen, cuts, Settings(resampled="recordings")).table
    return table[~table["label"].isin(["micro", "weighted"])][
        ["label", "n", "positives", "auroc", "auroc_low", "auroc_high", "recall", "specificity", "precision"]
    ]


def pool(parts: dict[str, Predictions]) -> Predictions:
    """All recordings, each once."""
    first = next(iter(parts.values()))
    ids = [[name_ptbxl(str(id)) for id in part.ids] for part in parts.values()]
    names = np.array(
        [
            id if name in ("ptbxl", "challenge2021") else f"{name} {id}"
            for name, part in zip(parts, ids, strict=True)
            for id in part
        ]
    )
    _, rows = np.unique(names, return_index=True)
    labels, probabilities = (
        np.concatenate([getattr(part, key) for part in parts.values()]) for key in ("labels", "probabilities")
    )
    return Predictions(names, first.names, labels, probabilities).take(np.sort(rows))


def main() -> None:
    """Scores, prints, writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=DEMONSTRATION, help="a run folder; by default the demonstration weights")
    parser.add_argument("--data", required=True, help="the folder of the data sets")
    parser.add_argument("--report", action="store_true", help="look at what settings must not be chosen on")
    parser.add_argument("--output", default="zero_shot", help="folder for the results")
    options = parser.parse_args()
    model = load_model(options.model)
    os.makedirs(options.output, exist_ok=True)
    tables = {}
    with tempfile.TemporaryDirectory() as scratch:
        if options.report:
            parts = {
                "ptbxl": predict(model, *open_ptbxl(options.data, ("validation", "test"), scratch)),
                **{name: predict(model, *open_whole(name, options.data)) for name in ("ludb", "challenge2021")},
            }
            tables = {name: score(part, model) for name, part in (parts | {"pooled": pool(parts)}).items()}
        else:
            tables["ptbxl, training records"] = score(
                predict(model, *open_ptbxl(options.data, ("train",), scratch)), model
            )
    for name, table in tables.items():
        print(name)
        print(table.to_string(index=False, float_format=lambda value: f"{value:.3f}"))
    table = pd.concat(tables, names=["set"]).reset_index(level=0)
    path = os.path.join(options.output, "report.csv" if options.report else "selection.csv")
    table.to_csv(path, index=False)
    if options.report:
        with open(os.path.join(options.output, "reports.jsonl"), "a") as file:
            macro = table[table["label"] == "macro"].set_index("set")["auroc"].to_dict()
            file.write(
                json.dumps({"time": time.strftime("%Y-%m-%d %H:%M:%S"), "model": options.model, "macro": macro}) + "\n"
            )
    print(f"Written: {path}")


if __name__ == "__main__":
    main()
