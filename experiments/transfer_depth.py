r"""How much of a pretrained network to freeze: autoECG's "first 5 layers" against none, more, and gentler ways.

The first 0, 5, 15, 26, 37 or 45 Keras layers stay as they are (45 is all of the trunk that is kept), each with two
learning rates; or nothing is frozen and modules learn one after the other from the head down (gradual unfreezing,
every 30 steps), or with a learning rate that falls by module (layer decay 0.6; both after Howard & Ruder 2018,
arXiv:1801.06146). Starts from the demonstration weights, on real PTB-XL:

  python experiments/ptbxl1819.py --source=DIR --output=ptbxl1819
  python -m ecg_jax.sweep --space=experiments/transfer_depth.py --workdir=sweeps/transfer_depth --seeds=2 \
      --config=configs/finetune.py --config.data.dataset=arrays --config.data.source=ptbxl1819.npy \
      --config.data.labels=six --config.data.arrays.unit=zscore --config.data.arrays.sampling_rate=250 \
      --config.train.epochs=2 --config.evaluation.report=false --config.evaluation.resamples=0
  python experiments/transfer_depth.py sweeps/transfer_depth

Gave on 2 CPU cores, on 1,442 recordings to train and 183 to validate (two epochs, 92 steps of the narrow network),
macro AUROC for 1e-3 and 3e-3, each +- 0.050: 0 frozen 0.855, 0.949; 5 frozen 0.917, 0.888; 15 frozen 0.902, 0.931; 26
frozen 0.922, 0.900; 37 frozen 0.888, 0.884; 45 frozen 0.924, 0.902; gradual unfreezing 0.909, 0.925; layer decay 0.902,
0.925. Two runs of a pair differ by luck more than the ways do: at this scale nothing speaks for freezing five layers,
nor against freezing all, which takes two thirds of the time (61 against 96 s a run). The winner, nothing frozen with
3e-3, has 0.886 on the test split.
"""

import pandas as pd
import studies

RATES = (1e-3, 3e-3)
LAYERS = (0, 5, 15, 26, 37, 45)


def space() -> list[dict]:
    """Returns the points."""
    frozen: list[dict] = [{"freeze.first_keras_layers": layers} for layers in LAYERS]
    gentle: list[dict] = [{"optimizer.unfreeze_every": 30}, {"optimizer.layer_decay": 0.6}]
    ways = [*frozen, *({"freeze.first_keras_layers": 0} | way for way in gentle)]
    return [way | {"optimizer.learning_rate": rate} for way in ways for rate in RATES]


def name_way(run: pd.Series) -> str:
    """What was done with the pretrained layers."""
    if run.get("optimizer.unfreeze_every", 0) > 0:
        return "gradual unfreezing"
    if run.get("optimizer.layer_decay", 1.0) < 1:
        return "layer decay"
    return f"{int(run['freeze.first_keras_layers'])} frozen"


def draw(runs: pd.DataFrame, stem: str) -> pd.DataFrame:
    """Validation AUROC by way, a series per learning rate."""
    runs = runs.assign(way=runs.apply(name_way, axis=1))
    order = [*(f"{layers} frozen" for layers in LAYERS), "gradual unfreezing", "layer decay"]
    table = studies.summarize(runs, ["way", "optimizer.learning_rate"])
    table = table.sort_values("way", key=lambda ways: ways.map(order.index), kind="stable")
    studies.draw_points(runs, table, "way", "optimizer.learning_rate", stem)
    return table


if __name__ == "__main__":
    studies.run(__doc__, draw, "transfer_depth")
