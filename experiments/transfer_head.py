r"""What to put on a pretrained trunk: autoECG's three convolutions and three dense layers, wider, narrower, or none.

autoECG publishes how many layers it adds and not how wide they are. Tried: the widths that `configs/finetune.py` has,
a quarter and a double of them, kernels of 3 and of 9 instead of 5 and 3; the published network's own dense head; and a
linear probe, that head alone on a frozen trunk. Two learning rates each. The commands as in `transfer_depth.py`, with
this space:

  python -m ecg_jax.sweep --space=experiments/transfer_head.py --workdir=sweeps/transfer_head --seeds=2 ...
  python experiments/transfer_head.py sweeps/transfer_head

Gave at that study's scale, macro AUROC on validation for 1e-3 and 3e-3, each +- 0.073: as configured 0.917, 0.888; a
quarter as wide 0.713, 0.686; twice as wide 0.948, 0.872; kernels of 3 0.899, 0.854; kernels of 9 0.930, 0.892; dense
head 0.948, 0.951; linear probe 0.940, 0.970. The head of a quarter is worse than all others; of the others none is
better than another beyond the luck of two seeds. The linear probe, ranked first, has 0.983 on the test split. The
trunk has seen the same diagnoses, in simulated ECGs: 92 steps seem too few for a deep new head to add to that.
"""

import json

import pandas as pd
import studies

RATES = (1e-3, 3e-3)
USUAL = {"filters": (128, 128, 64), "kernels": (5, 3, 3), "widths": (128, 32)}
HEADS = {
    "as configured": USUAL,
    "a quarter as wide": USUAL | {"filters": (32, 32, 16), "widths": (32, 8)},
    "twice as wide": USUAL | {"filters": (256, 256, 128), "widths": (256, 64)},
    "kernels of 3": USUAL | {"kernels": (3, 3, 3)},
    "kernels of 9": USUAL | {"kernels": (9, 9, 9)},
}


def space() -> list[dict]:
    """Returns the points."""
    heads = [
        {
            "model.head": "transfer",
            "model.transfer.conv_filters": head["filters"],
            "model.transfer.conv_kernel_sizes": head["kernels"],
            "model.transfer.dense_widths": head["widths"],
            "freeze.patterns": (),
        }
        for head in HEADS.values()
    ]
    heads += [{"model.head": "dense", "freeze.patterns": patterns} for patterns in ((), ("trunk",))]
    return [head | {"optimizer.learning_rate": rate} for head in heads for rate in RATES]


def name_head(run: pd.Series) -> str:
    """What stands on the trunk."""
    if run["model.head"] == "dense":
        return "linear probe" if json.loads(run["freeze.patterns"]) else "dense"
    keys = ("conv_filters", "conv_kernel_sizes", "dense_widths")
    found = tuple(tuple(json.loads(run[f"model.transfer.{key}"])) for key in keys)
    return next(name for name, head in HEADS.items() if (head["filters"], head["kernels"], head["widths"]) == found)


def draw(runs: pd.DataFrame, stem: str) -> pd.DataFrame:
    """Validation AUROC by head, a series per learning rate, and how many parameters each network has."""
    runs = runs.assign(head=runs.apply(name_head, axis=1))
    table = studies.summarize(runs, ["head", "optimizer.learning_rate"])
    studies.draw_points(runs, table, "head", "optimizer.learning_rate", stem)
    return table.assign(parameters=table["head"].map(runs.groupby("head")["parameters"].first()))


if __name__ == "__main__":
    studies.run(__doc__, draw, "transfer_head")
