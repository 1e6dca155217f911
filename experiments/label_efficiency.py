"""What the weights `simulated` save in labelled ECGs: real PTB-XL, fine-tuned, from random weights, linear probe.

  python experiments/label_efficiency.py --data=DIR [--fractions=1,3,10,30,100] [--seeds=3] [--output=label_efficiency]

DIR has `ptbxl1819_zscored`, `ludb` and `challenge2021`. Of the 1,442 training records of the first, each percentage is
drawn (another draw for each seed, the same for the three ways to start) and trained on for 10 epochs and at least 100
steps of 32, AdamW, one-cycle, nothing chosen on the way. Scored: AUROC on its validation and test records (folds 9 and
10 of PTB-XL), on LUDB and on the Challenge's recordings that are not in the training set, of normal against abnormal,
and the means of six, superclasses and statements with 10 positives (see `zero_shot.py`). Writes runs.csv (a row per
run, set and group), label_efficiency.pdf and .png, and comparison.csv: paired bootstrap of the means of all seeds'
probabilities, fine-tuned against from random at 100 %, and at 10 % against that.

Learning rates were set once, by habit, and not tried against each other. Continues where it was stopped, with the same
weights.

On 2 CPU cores, --fractions=10,100, means of three seeds: docs/results.md.
"""

import argparse
import dataclasses
import hashlib
import os
import sys
import tempfile
from typing import Any

import numpy as np
import pandas as pd

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]

import ptbxl1819  # noqa: E402
import zero_shot  # noqa: E402
from absl import logging  # noqa: E402
from rich.console import Console  # noqa: E402

from configs import pretrain  # noqa: E402
from ecg_jax.evaluation import model_differences, thresholds  # noqa: E402
from ecg_jax.evaluation.predictions import Predictions  # noqa: E402
from ecg_jax.evaluation.settings import Settings  # noqa: E402
from ecg_jax.inference.model import load_model  # noqa: E402
from ecg_jax.pretrained import FOLDER, SIMULATED  # noqa: E402
from ecg_jax.recording import LEADS  # noqa: E402
from ecg_jax.reporting import style  # noqa: E402
from ecg_jax.runtime import startup  # noqa: E402
from ecg_jax.training import loop  # noqa: E402

LEARNING_RATES = {"fine-tuned": 5e-4, "linear probe": 5e-3, "from random": 2e-3}
SETS = ("ptbxl", "ludb", "challenge2021")
GROUPS = {  # of zero_shot.score, and their labels
    "abnormal": ("abnormal",),
    **{f"{name}, mean": names for name, names in zero_shot.GROUPS.items()},
}


def write_subset(array: str, csv: str, percent: float, seed: int, output: str) -> int:
    """Writes the chosen training records and all others as `output`.npy and .csv; returns how many were chosen."""
    table = pd.read_csv(csv)
    train = np.flatnonzero(table["split"] == "train")
    count = max(1, round(len(train) * percent / 100))
    chosen = np.random.default_rng(seed).permutation(train)[:count]
    rows = np.sort(np.concatenate([chosen, np.flatnonzero(table["split"] != "train")]))
    np.save(f"{output}.npy", np.load(array, mmap_mode="r")[rows])
    table.iloc[rows].to_csv(f"{output}.csv", index=False)
    return count


def train(way: str, seed: int, subset: str, count: int, folder: str) -> None:
    """One run."""
    config = pretrain.get_config()
    config.seed = seed
    config.data.update(dataset="arrays", source=f"{subset}.npy", mode="host")
    config.data.arrays.update(leads=",".join(LEADS), sampling_rate=250.0, unit="zscore")
    config.split.check_content = False
    config.model.name = "narrow"
    config.augment.update(amplitude_loss=0.0, lead_dropout=0.0, lead_sets=0.0, time_mask=0.0)
    config.init.update(weights="" if way == "from random" else SIMULATED, exclude=())
    config.freeze.patterns = ("trunk",) if way == "linear probe" else ()
    config.optimizer.learning_rate = LEARNING_RATES[way]
    steps = max(100, round(10 * count / 32))
    config.train.update(batch_size=32, steps=steps, eval_every=steps, ema_decay=0.0)
    config.evaluation.update(report=False, resamples=0)
    loop.train_and_evaluate(config, folder, Console(quiet=True))


def average(made: list[Predictions]) -> Predictions:
    """The mean of all seeds' probabilities before calibration, as that was fitted on some of these recordings."""
    raw = [each.probabilities if each.raw is None else each.raw for each in made]
    return dataclasses.replace(made[0], probabilities=np.mean(raw, axis=0), raw=None)


def compare(name: str, first: Predictions, second: Predictions) -> pd.DataFrame:
    """Paired differences of AUROC, per group of labels."""
    parts = []
    for group, names in GROUPS.items():
        chosen = zero_shot.select(first, names), zero_shot.select(second, names)
        if chosen[0] is None or chosen[1] is None:
            continue
        given = thresholds.Thresholds(np.full(len(chosen[0].names), 0.5), "", thresholds.GIVEN)
        table = model_differences.compare(chosen[0], chosen[1], (given, given), Settings(resampled="recordings"))
        label = "macro" if len(names) > 1 else names[0]
        table = table[(table["label"] == label) & (table["metric"] == "auroc")]
        parts.append(table.assign(comparison=name, label=group))
    return pd.concat(parts)


@style.styled
def plot(table: pd.DataFrame, output: str) -> None:
    """AUROC against the share of labels, per group and set: the mean of the seeds, and their range."""
    import matplotlib.pyplot as plt

    size = (style.DOUBLE, 1.9 * len(GROUPS))
    figure, axes = plt.subplots(len(GROUPS), len(SETS), figsize=size, sharex=True, sharey="row", squeeze=False)
    for row, group in zip(axes, GROUPS, strict=True):
        for axis, name in zip(row, SETS, strict=True):
            there = table[(table["set"] == name) & (table["group"] == group)]
            if there.empty:  # fewer than 10 positives or negatives
                axis.set_axis_off()
                continue
            for k, way in enumerate(LEARNING_RATES):
                found = there[there["way"] == way].groupby("percent")["auroc"]
                colour, line, marker = style.choose_look(k)
                axis.fill_between(found.min().index, found.min(), found.max(), color=colour, alpha=0.15, linewidth=0)
                axis.plot(found.mean().index, found.mean(), color=colour, linestyle=line, marker=marker, label=way)
            for zero in there[there["way"] == "not trained"]["auroc"]:
                axis.axhline(zero, color=style.GREY, linewidth=0.8, linestyle=":", label="weights `simulated`")
            axis.set(xscale="log")
        row[0].set_ylabel(group)
    for axis, name in zip(axes[0], SETS, strict=True):
        axis.set_title(name)
    for axis in axes[-1]:
        axis.set_xlabel("% of 1,442 labelled records")
    axes[0, 0].legend()
    figure.tight_layout()
    for suffix in ("pdf", "png"):
        figure.savefig(os.path.join(output, f"label_efficiency.{suffix}"), dpi=200)


def main() -> None:
    """Trains, scores, writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="the folder of the data sets")
    parser.add_argument("--fractions", default="1,3,10,30,100", help="percent")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--output", default="label_efficiency", help="folder for runs and results")
    options = parser.parse_args()
    logging.set_verbosity(logging.FATAL)  # Orbax logs every file it touches
    startup.configure_allocator()
    startup.keep_programs()
    os.makedirs(options.output, exist_ok=True)
    rows: list[dict[str, Any]] = []
    with open(os.path.join(FOLDER, f"{SIMULATED}.npz"), "rb") as file:
        weights = hashlib.sha256(file.read()).hexdigest()[:8]
    made: dict[tuple[str, float], dict[str, list[Predictions]]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        array, csv = ptbxl1819.convert(os.path.join(options.data, "ptbxl1819_zscored"), os.path.join(scratch, "all"))
        whole = {name: zero_shot.open_set(name, options.data, scratch) for name in (zero_shot.ZSCORED, *SETS[1:])}
        folds = zero_shot.find_folds(whole)
        held_out = {id: fold if fold < zero_shot.CHOOSING else zero_shot.REPORTING for id, fold in folds.items()}
        sets = {
            name.replace(zero_shot.ZSCORED, "ptbxl"): (
                each, zero_shot.choose_rows(name, each, held_out, zero_shot.REPORTING)
            )
            for name, each in whole.items()
        }  # fmt: skip

        def score(way: str, percent: float, seed: int, path: str) -> None:
            model = load_model(path)
            for name, opened in sets.items():
                found = zero_shot.predict(model, *opened)
                auroc = zero_shot.score(found, model.thresholds).set_index("label")["auroc"]
                what = {"way": way, "percent": percent, "seed": seed, "set": name}
                rows.extend({**what, "group": group, "auroc": auroc[group]} for group in GROUPS if group in auroc)
                made.setdefault((way, percent), {}).setdefault(name, []).append(found)
                scores = ", ".join(f"{group} {auroc[group]:.3f}" for group in GROUPS if group in auroc)
                print(f"{way}, {percent:g} %, seed {seed}, {name}: {scores}")

        score("not trained", 0, 0, SIMULATED)
        for percent in map(float, options.fractions.split(",")):
            for seed in range(options.seeds):
                subset = os.path.join(options.output, f"subset-{percent:g}-{seed}")
                count = write_subset(array, csv, percent, seed, subset)
                for way in LEARNING_RATES:
                    folder = os.path.join(options.output, f"{weights}-{way.replace(' ', '_')}-{percent:g}-{seed}")
                    if not os.path.exists(os.path.join(folder, "result.json")):
                        train(way, seed, subset, count, folder)
                    score(way, percent, seed, folder)
                os.remove(f"{subset}.npy")
    table = pd.DataFrame(rows)
    table.to_csv(os.path.join(options.output, "runs.csv"), index=False)
    plot(table, options.output)
    wanted = [(("fine-tuned", p), ("from random", 100.0)) for p in (100.0, 10.0)]
    compared = [
        compare(
            f"{one[0]} {one[1]:g} % - {two[0]} {two[1]:g} %, {name}", average(made[one][name]), average(made[two][name])
        )
        for one, two in wanted
        if one in made and two in made
        for name in SETS
    ]
    if compared:
        found = pd.concat(compared)
        found.to_csv(os.path.join(options.output, "comparison.csv"), index=False)
        print(found.to_string(index=False))
    print(f"Written: {options.output}")


if __name__ == "__main__":
    main()
