r"""How much a score depends on how the recordings were split: by patient, recording by recording, by date.

Ribeiro et al. 2020 (Nat Commun 11:1760, Supplementary) trained on three splits of their exams. Drawn recording by
recording, a network is tested on patients that it knows; by date, on the future. Any data set or store whose
recordings have patients and dates will do; each split three times, by another draw and another seed (by date there is
one split only):

  python -m ecg_jax.sweep --space=experiments/splits.py --workdir=sweeps/splits --config=configs/finetune.py \
      --config.data.dataset=ptbxl --config.data.source=DIR --config.evaluation.report=false
  python experiments/splits.py sweeps/splits

The table has the scores on each split's own test recordings, which is what a paper would have reported.

Gave on 250 recordings of 239 patients (2 CPU cores, --config.train.epochs=6), test AUROC of the transfer model, normal
against abnormal, each +- 0.19: by patient 0.898, by recording 0.776, by date 0.933. That says nothing of splits, but of
what 25 test recordings can say: it takes a data set of thousands, with patients who came again.
"""

import os

import pandas as pd
import studies

WAYS = ("patient", "recording", "date")


def space() -> list[dict]:
    """Returns the points."""
    return [{"split.by": way, "data.seed": seed, "seed": seed} for way in WAYS for seed in range(3)]


def read_test(run: str) -> float:
    """Macro AUROC of a run on its test split."""
    scores = pd.read_csv(os.path.join(run, "evaluation", "scores.csv")).set_index("label")
    return float(scores["auroc"].get("macro", scores["auroc"].iloc[0]))


def draw(runs: pd.DataFrame, stem: str) -> pd.DataFrame:
    """Validation AUROC by split in the figure, and the test AUROC beside it in the table."""
    runs = runs.assign(**{"test auroc": runs["run"].map(read_test)})
    table = studies.summarize(runs, ["split.by"])
    studies.draw_points(runs, table, "split.by", "", stem)
    return table.merge(studies.summarize(runs, ["split.by"], "test auroc").drop(columns="runs"), on="split.by")


if __name__ == "__main__":
    studies.run(__doc__, draw, "splits")
