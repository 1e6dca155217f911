r"""What the reference network's choices are worth, and how it stands among other networks, trained alike.

One choice at a time is changed: taps of the convolutions (16 as published, 4, 8, 32), residual units (4; 2, 3, 5),
width (1; a half, double), BatchNorm and ReLU after the addition instead of on the main path alone. Beside it the PTB-XL
benchmark's networks (Strodthoff et al. 2021, IEEE JBHI 25:1519) and autoECG's 2-D network. On real PTB-XL from random
weights, one learning rate for all, on an accelerator (on a CPU, --config.model.name=narrow makes the reference's kind
a quarter as wide; the other networks stay as large as they are):

  python experiments/ptbxl1819.py --source=DIR --output=ptbxl1819
  python -m ecg_jax.sweep --space=experiments/architecture.py --workdir=sweeps/architecture \
      --config=configs/reference.py --config.data.dataset=arrays --config.data.source=ptbxl1819.npy \
      --config.data.arrays.unit=zscore \
      --config.data.arrays.sampling_rate=250 \
      --config.contract.normalization=zscore --config.contract.sampling_rate=250 \
      --config.contract.samples=2500 --config.checkpoint.monitor=auroc --config.schedule.name=one_cycle \
      --config.schedule.warmup_fraction=0.3 --config.optimizer.name=adamw --config.train.epochs=30 \
      --config.evaluation.report=false
  python experiments/architecture.py sweeps/architecture

Gave on 2 CPU cores (--seeds=1 --config.model.name=narrow --config.contract.sampling_rate=100
--config.contract.samples=1000 --config.train.batch_size=32 --config.train.epochs=3 --config.evaluation.resamples=0: 138
steps), macro AUROC on validation: as configured 0.834; 4, 8, 32 taps 0.721, 0.738, 0.880; 2, 3, 5 units 0.771, 0.772,
0.741; half, double width 0.749, 0.909; post-activation 0.625; resnet1d_wang 0.768, xresnet1d50 0.809, xresnet1d101
0.822, inception1d 0.812. autoecg_2d has not begun to learn: its output is the same for every ECG (0.500), and with a
learning rate of 1e-4 it is at 0.506 after 46 steps. Seeds of networks so briefly trained differ by 0.03
(`ten_seeds.py`): longer kernels and more channels seem to learn faster, and that is all that can be said.
"""

import pandas as pd
import studies

VARIANTS: tuple[dict, ...] = (
    *({"model.variant.kernel_size": taps} for taps in (4, 8, 32)),
    *({"model.variant.units": units} for units in (2, 3, 5)),
    *({"model.variant.width": width} for width in (0.5, 2.0)),
    {"model.variant.preactivation": False},
)
OTHERS = ("resnet1d_wang", "xresnet1d50", "xresnet1d101", "inception1d", "autoecg_2d")
AS_CONFIGURED = "as configured"


def space() -> list[dict]:
    """Returns the points; the first is the configuration as it is."""
    return [{"model.variant.kernel_size": 16}, *VARIANTS, *({"model.name": name} for name in OTHERS)]


def name_network(run: pd.Series) -> str:
    """What was changed."""
    if isinstance(run["model.name"], str):
        return run["model.name"]
    changed = [
        f"{key.rpartition('.')[2].replace('_', ' ')} {value:g}" if not isinstance(value, bool) else "post-activation"
        for key, value in run.items()
        if key.startswith("model.variant.") and not pd.isna(value) and value != 16
    ]
    return ", ".join(changed) or AS_CONFIGURED


def draw(runs: pd.DataFrame, stem: str) -> pd.DataFrame:
    """Validation AUROC by network, and how many parameters each has."""
    runs = runs.assign(network=runs.apply(name_network, axis=1))
    table = studies.summarize(runs, ["network"])
    studies.draw_points(runs, table, "network", "", stem)
    counts = runs.groupby("network")["parameters"].first()
    return table.assign(parameters=table["network"].map(counts))


if __name__ == "__main__":
    studies.run(__doc__, draw, "architecture")
