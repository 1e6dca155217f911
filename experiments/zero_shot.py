"""How well a network reads real ECGs that it never saw: AUROC with intervals, per data set, group and label.

  python experiments/zero_shot.py --data=DIR [--model=runs/pretrain] [--report] [--output=zero_shot]

DIR has `ptbxl`, `ptbxl_100hz` (in millivolts), `ptbxl1819_zscored`, `ludb` and `challenge2021`. Without `--report`
PTB-XL's fold 9 alone is scored: what settings are chosen on. With it fold 10, LUDB and the Challenge, without the
recordings there that PTB-XL has in another fold; every such look is added to `reports.jsonl` in the output folder.
`abnormal` is normal against abnormal; a superclass is against all others; `six`, `superclasses` (without NORM) and
`statements` (the others) are means over labels. A label counts where a set has at least 10 recordings with it and 10
without. Writes selection.csv or report.csv, and with `--errors` what is missed and what is called instead, in
errors.csv, with the twelve worst errors of normal against abnormal on ECG paper.
"""

import argparse
import dataclasses
import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]

import ptbxl1819  # noqa: E402

from ecg_jax import pretrained as shipped  # noqa: E402
from ecg_jax import statements  # noqa: E402
from ecg_jax.data import datasets  # noqa: E402
from ecg_jax.data.datasets.dataset import Dataset  # noqa: E402
from ecg_jax.evaluation import left_out, scores, thresholds  # noqa: E402
from ecg_jax.evaluation.predictions import Predictions  # noqa: E402
from ecg_jax.evaluation.settings import Settings  # noqa: E402
from ecg_jax.inference.model import Model, load_model  # noqa: E402
from ecg_jax.inference.predict import predict_dataset  # noqa: E402
from ecg_jax.recording import LEADS  # noqa: E402
from ecg_jax.reporting import ecg_page  # noqa: E402

FEWEST = 10
DRAWN = 6  # errors of either kind
LABELS = "six,abnormal,superclasses,statements"
PTBXL, ZSCORED = ("ptbxl", "ptbxl_100hz"), "ptbxl1819_zscored"
CHOOSING, REPORTING = 9, 10  # folds of PTB-XL
GROUPS = {"six": tuple(statements.SIX), "superclasses": statements.SUPERCLASSES[1:]}


def open_set(name: str, folder: str, scratch: str) -> Dataset:
    """One of the data sets, with every label that it knows."""
    source = os.path.join(folder, name)
    options: dict[str, dict[str, Any]] = {}
    if name in PTBXL:
        options = {"ptbxl": {"sampling_rate": 100}}
    if name == ZSCORED:
        source, _ = ptbxl1819.convert(source, os.path.join(scratch, "ptbxl1819"))
        options = {"arrays": {"labels_csv": "", "leads": ",".join(LEADS), "sampling_rate": 250.0, "unit": "zscore"}}
    kind = "ptbxl" if name in PTBXL else "arrays" if name == ZSCORED else name
    return datasets.open_source(kind, source=source, labels=LABELS, seed=0, options=options)


def name_ptbxl(id: str) -> str:
    """The Challenge's HR12345 is PTB-XL's 12345."""
    return id.removeprefix("HR").lstrip("0")


def find_folds(sets: dict[str, Dataset]) -> dict[str, int]:
    """PTB-XL's folds by `ecg_id`, as far as these sets know them."""
    folds: dict[str, int] = {}
    for name in (*PTBXL, ZSCORED):
        if name in sets and sets[name].folds is not None:
            folds |= dict(zip(sets[name].ids.tolist(), np.asarray(sets[name].folds).tolist(), strict=True))
    return folds


def choose_rows(name: str, dataset: Dataset, folds: dict[str, int], fold: int) -> np.ndarray:
    """Recordings of one fold of PTB-XL; of other sets all that are not PTB-XL's in another fold, or an unknown one."""
    ids = dataset.ids.tolist()
    if name in (*PTBXL, ZSCORED):
        return np.flatnonzero([folds[id] == fold for id in ids])
    return np.flatnonzero([not id.startswith("HR") or folds.get(name_ptbxl(id)) == fold for id in ids])


def predict(model: Model, dataset: Dataset, rows: np.ndarray) -> Predictions:
    """Predictions of the model's labels, unknown where the data set does not know them; what was left out is said."""
    unknown = np.full(len(dataset.ids), np.nan, np.float32)
    columns = {name: dataset.columns.get(name, unknown) for name in model.label_names}
    found, lost, lines = predict_dataset(model, dataclasses.replace(dataset, columns=columns), rows, checks="warn")
    for line in (*left_out.describe(lost, f"{len(rows)} recordings"), *lines):
        print(f"  {dataset.name}: {line}")
    return found


def join(parts: list[Predictions]) -> Predictions:
    """Recordings of several sets with the same labels, each once."""
    ids = np.concatenate([part.ids for part in parts])
    _, rows = np.unique(ids, return_index=True)
    labels, probabilities = (
        np.concatenate([getattr(part, key) for part in parts]) for key in ("labels", "probabilities")
    )
    return Predictions(ids, parts[0].names, labels, probabilities).take(np.sort(rows))


def select(found: Predictions, names: tuple[str, ...]) -> Predictions | None:
    """Those of some labels that have enough recordings."""
    present, absent = (found.labels == 1).sum(axis=0), (found.labels == 0).sum(axis=0)
    enough = (present >= FEWEST) & (absent >= FEWEST)
    kept = [i for i, name in enumerate(found.names) if name in names and enough[i]]
    if not kept:
        return None
    return dataclasses.replace(
        found,
        names=tuple(found.names[i] for i in kept),
        labels=found.labels[:, kept],
        probabilities=found.probabilities[:, kept],
        raw=None,
    )


def score(
    found: Predictions, cuts: Mapping[str, float], resampled: str = "recordings", resamples: int = 1000
) -> pd.DataFrame:
    """AUROC with intervals of labels with enough recordings, and of groups of labels; how good the decisions are.

    The thresholds `cuts` are by label, else 0.5; the others are of `Settings`.
    """
    single = {statements.ABNORMAL, *GROUPS["six"], *GROUPS["superclasses"], statements.NORMAL}
    groups = {"abnormal": (statements.ABNORMAL,), **GROUPS}
    groups["statements"] = tuple(name for name in found.names if name not in single)
    parts = []
    for group, names in groups.items():
        chosen = select(found, names)
        if chosen is None:
            continue
        given = thresholds.Thresholds(np.array([cuts.get(name, 0.5) for name in chosen.names]), "", thresholds.GIVEN)
        table = scores.compute(chosen, given, Settings(resampled=resampled, resamples=resamples)).table
        table = table[~table["label"].isin(["micro", "weighted"])].replace({"label": {"macro": f"{group}, mean"}})
        parts.append(table if len(chosen.names) > 1 else table[table["label"] != f"{group}, mean"])
    columns = ["label", "n", "positives", "auroc", "auroc_low", "auroc_high", "recall", "specificity", "precision"]
    return pd.concat(parts)[columns] if parts else pd.DataFrame(columns=columns)


def describe_errors(found: Predictions, model: Model) -> pd.DataFrame:
    """Per statement of abnormal ECGs: how many there are, how many are called normal, and what else is called."""
    cut = model.thresholds.get(statements.ABNORMAL, 0.5)
    column = found.names.index(statements.ABNORMAL)
    called = found.probabilities[:, column] >= cut
    rows = []
    for name in ("normal", *found.names):
        if name in (statements.ABNORMAL, *statements.SUPERCLASSES):
            continue
        has = found.labels[:, column] == 0 if name == "normal" else found.labels[:, found.names.index(name)] == 1
        has &= found.labels[:, column] == (name != "normal")
        if has.sum() < FEWEST:
            continue
        wrong = has & (called == (name == "normal"))
        others = [
            (int((found.probabilities[wrong, i] >= model.thresholds.get(other, 0.5)).sum()), other)
            for i, other in enumerate(found.names)
            if other not in (statements.ABNORMAL, name, *statements.SUPERCLASSES)
        ]
        instead = ", ".join(f"{other} {count}" for count, other in sorted(others, reverse=True)[:4] if count)
        rows.append([name, int(has.sum()), int(wrong.sum()), instead])
    return pd.DataFrame(rows, columns=["stated", "recordings", "called wrongly", "called instead"])


def draw_errors(found: Predictions, sets: list[Dataset], model: Model, folder: str) -> None:
    """The abnormal ECGs that are called normal with the most confidence, and the reverse, each on a page."""
    column = found.names.index(statements.ABNORMAL)
    cut, called = model.thresholds.get(statements.ABNORMAL, 0.5), found.probabilities[:, column]
    by_id = {id: (dataset, row) for dataset in sets for row, id in enumerate(dataset.ids.tolist())}
    for stated, order in (("abnormal", called), ("normal", -called)):
        wrong = (found.labels[:, column] == (stated == "abnormal")) & ((called < cut) == (stated == "abnormal"))
        for row in np.flatnonzero(wrong)[np.argsort(order[wrong], kind="stable")][:DRAWN]:
            dataset, number = by_id[found.ids[row]]
            codes = [name for name, is_there in zip(found.names, found.labels[row] == 1, strict=True) if is_there]
            likely = [i for i in np.argsort(-found.probabilities[row]) if i != column][:6]
            ecg_page.draw(
                dataset.read(number),
                [
                    ecg_page.Finding(name, float(value), float(model.thresholds.get(name, np.nan)))
                    for name, value in ((found.names[i], found.probabilities[row, i]) for i in (column, *likely))
                ],
                os.path.join(folder, f"{stated}-{found.ids[row]}.png"),
                remarks=f"stated: {', '.join(codes) or 'nothing of these labels'}",
            )


def main() -> None:
    """Scores, prints, writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=shipped.DEFAULT, help="a run folder; by default the weights that ship")
    parser.add_argument("--data", required=True, help="the folder of the data sets")
    parser.add_argument("--report", action="store_true", help="look at what settings must not be chosen on")
    parser.add_argument("--errors", action="store_true", help="write errors.csv, of the first set, and draw twelve")
    parser.add_argument("--output", default="zero_shot", help="folder for the results")
    options = parser.parse_args()
    model = load_model(options.model)
    os.makedirs(options.output, exist_ok=True)
    fold = REPORTING if options.report else CHOOSING
    with tempfile.TemporaryDirectory() as scratch:
        wanted = (*PTBXL, ZSCORED, *(("ludb", "challenge2021") if options.report else ()))
        sets = {name: open_set(name, options.data, scratch) for name in wanted}
        folds = find_folds(sets)
        found = {name: predict(model, each, choose_rows(name, each, folds, fold)) for name, each in sets.items()}
        if options.errors:
            whole = join([found[name] for name in PTBXL])
            draw_errors(whole, [sets[name] for name in PTBXL], model, options.output)
    parts = {"PTB-XL": join([found.pop(name) for name in PTBXL]), "PTB-XL, z-scored": found.pop(ZSCORED), **found}
    tables = {name: score(part, model.thresholds) for name, part in parts.items()}
    for name, table in tables.items():
        print(name)
        print(table.to_string(index=False, float_format=lambda value: f"{value:.3f}"))
    tables = {name: table for name, table in tables.items() if len(table)}
    table = pd.concat(tables, names=["set"]).reset_index(level=0)
    path = os.path.join(options.output, "report.csv" if options.report else "selection.csv")
    table.to_csv(path, index=False)
    if options.errors:
        errors = describe_errors(parts["PTB-XL"], model)
        errors.to_csv(os.path.join(options.output, "errors.csv"), index=False)
        print(errors.to_string(index=False))
    if options.report:
        with open(os.path.join(options.output, "reports.jsonl"), "a") as file:
            means = table[table["label"].str.contains("mean|abnormal")].set_index(["set", "label"])["auroc"]
            looked = {f"{name}, {label}": value for (name, label), value in means.items()}
            moment = time.strftime("%Y-%m-%d %H:%M:%S")
            file.write(json.dumps({"time": moment, "model": options.model, "auroc": looked}) + "\n")
    print(f"Written: {path}")


if __name__ == "__main__":
    main()
