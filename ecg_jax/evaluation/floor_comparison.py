"""A network beside the measurement floor, label by label: both scores with their intervals, and the difference."""

import numpy as np
import pandas as pd

from ecg_jax.evaluation import model_differences, regression, scores
from ecg_jax.evaluation.predictions import Predictions
from ecg_jax.evaluation.settings import Settings
from ecg_jax.evaluation.thresholds import GIVEN, Thresholds
from ecg_jax.kinds import FINDING

NETWORK, FLOOR = "network", "floor"
_ENDS = ("", "_low", "_high")


def compare(network: Predictions, floor: Predictions, settings: Settings) -> pd.DataFrame:
    """Compares a network's AUROC of findings, or its mean absolute error of numbers, with the floor's.

    Args:
        network: Predictions of some recordings.
        floor: Of the same recordings, and of some of the labels.
        settings: See `Settings`.

    Returns:
        A row per label of the floor and, of findings, their `macro`: `network` and `floor`, each with `_low` and
        `_high`, `difference` (network minus floor) with its ends, `p` and `p_holm`; see `model_differences`.
    """
    network = network.select(floor.names)
    if network.kind == FINDING:
        metric, unused = "auroc", Thresholds(np.full(len(floor.names), 0.5), "", GIVEN)  # AUROC has no threshold
        tables = [scores.compute(each, unused, settings).table for each in (network, floor)]
        differences = model_differences.compare(network, floor, (unused, unused), settings)
    else:
        metric = "mae"
        tables = [regression.compute(each, settings).table for each in (network, floor)]
        differences = model_differences.compare_numbers(network, floor, settings)
    found = differences[differences["metric"] == metric].set_index("label")
    parts = []
    for name, table in zip((NETWORK, FLOOR), tables, strict=True):
        columns = {f"{metric}{end}": f"{name}{end}" for end in _ENDS if f"{metric}{end}" in table}
        parts.append(table.set_index("label").loc[found.index, [*columns]].rename(columns=columns))
    kept = ["difference", "difference_low", "difference_high", "p", "p_holm"]
    return pd.concat([*parts, found[kept]], axis=1).reset_index()


def find_close(table: pd.DataFrame, kind: str) -> list[str]:
    """Labels of which the network is not clearly better than the floor: the interval of the difference reaches 0."""
    worst = table["difference_low"] if kind == FINDING else -table["difference_high"]
    return table.loc[worst.notna() & (worst <= 0), "label"].tolist()
