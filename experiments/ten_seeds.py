r"""The same training from ten seeds: how much of a score is luck, and the band of the precision-recall curves.

Ribeiro et al. 2020 (Nat Commun 11:1760) trained their network ten times and showed the range of its curves. The
shipped example fine-tunes the demonstration weights on real PTB-XL (see `transfer_depth.py` for its array):

  python -m ecg_jax.sweep --space=experiments/ten_seeds.py --workdir=sweeps/ten_seeds --config=configs/finetune.py \
      --config.data.dataset=arrays --config.data.source=ptbxl1819.npy --config.data.labels=six \
      --config.data.arrays.unit=zscore --config.data.arrays.sampling_rate=250 --config.train.epochs=3 \
      --config.evaluation.report=false --config.evaluation.resamples=0
  python experiments/ten_seeds.py sweeps/ten_seeds

Writes the mean, standard deviation and range of every test score over the seeds (no seed is chosen, so the test split
is looked at for all), a figure of them, and evaluation/ of the first seed with the band of the others.

Gave on 2 CPU cores (1,442 recordings to train, 194 to test, 138 steps of the narrow network), mean (standard deviation;
range): macro AUROC 0.928 (0.034; 0.854 to 0.983), average precision 0.662 (0.059; 0.564 to 0.769), F1 0.594 (0.050;
0.527 to 0.699). By label, AUROC: 1dAVb 0.845 (0.065), RBBB 0.987 (0.019), LBBB 0.968 (0.042), SB 0.816 (0.152; 3
recordings have it), AF 0.975 (0.017), ST 0.979 (0.033). So the best of ten seeds would be reported 0.055 above their
mean.
"""

import os
import subprocess
import sys

import numpy as np
import pandas as pd
import studies

from ecg_jax.reporting import figures, style

METRICS = ("auroc", "average_precision", "f1", "recall", "precision", "specificity")


def space() -> dict[str, list[int]]:
    """Returns the seeds."""
    return {"seed": list(range(10))}


def read_scores(runs: pd.DataFrame) -> pd.DataFrame:
    """Test scores by seed, label and metric, of the runs' own evaluations."""
    frames = []
    for _, run in runs.iterrows():
        scores = pd.read_csv(os.path.join(run["run"], "evaluation", "scores.csv"))
        known = [name for name in METRICS if name in scores]
        frames.append(scores[["label", *known]].melt("label", var_name="metric").assign(seed=run["seed"]))
    return pd.concat(frames)


@style.styled
def draw_spread(scores: pd.DataFrame, stem: str) -> None:
    """A point per seed, by label, a panel for each of two metrics."""
    import matplotlib.pyplot as plt

    labels = [label for label in dict.fromkeys(scores["label"]) if label not in ("micro", "weighted")]
    figure, panels = plt.subplots(1, 2, figsize=(style.DOUBLE, 2.6))
    for axes, metric in zip(panels, ("auroc", "f1"), strict=True):
        for place, label in enumerate(labels):
            values = scores[(scores["label"] == label) & (scores["metric"] == metric)]["value"].to_numpy(np.float64)
            spread = np.linspace(-0.15, 0.15, len(values))
            axes.scatter(place + spread, values, s=8, color=style.BLUE)
            axes.plot([place - 0.25, place + 0.25], [values.mean()] * 2, color=style.ORANGE)
        axes.set_xticks(range(len(labels)), labels)
        axes.set_ylabel(f"Test {'AUROC' if metric == 'auroc' else 'F1'}")
    figure.tight_layout()
    figures.write(figure, stem)


def draw(runs: pd.DataFrame, stem: str) -> pd.DataFrame:
    """The spread of every score, and the evaluation of the first seed with the band of the others."""
    scores = read_scores(runs)
    draw_spread(scores, stem)
    first, *others = runs.sort_values("seed")["run"]
    if others:
        seeds = ",".join(os.path.join(run, "predictions.csv") for run in others)
        output = os.path.join(os.path.dirname(stem), "evaluation")
        command = [
            sys.executable,
            "-m",
            "ecg_jax.evaluate",
            f"--model={first}",
            f"--seeds={seeds}",
            f"--output={output}",
        ]
        subprocess.run(command, check=True)
    grouped = scores.groupby(["label", "metric"], sort=False)["value"]
    return grouped.agg(["count", "mean", "std", "min", "max"]).reset_index()


if __name__ == "__main__":
    studies.run(__doc__, draw, "ten_seeds")
