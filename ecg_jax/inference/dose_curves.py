"""Curves over a dose, and where they cross.

The mean over patients reaches the model's threshold, and one half, at a dose that is compared with the guideline's.
"""

import dataclasses

import numpy as np
import pandas as pd

from ecg_jax.evaluation import resampling
from ecg_jax.simulation.doses import Dose

_RESAMPLES = 2000
_HALF = 0.5


@dataclasses.dataclass(frozen=True)
class Response:
    """What a model answers to the doses."""

    dose: Dose
    labels: tuple[str, ...]
    thresholds: dict[str, float]  # of the model, by label
    probabilities: np.ndarray  # `[patients, values, labels]`, calibrated
    stated: np.ndarray  # `[patients, values, labels]`, 1 where a simulated reader states it; NaN where readers never do


def tabulate_curves(response: Response) -> pd.DataFrame:
    """A row per label and dose.

    Columns: `label`, `dose` in its unit, `mean` over patients with its 95 % bootstrap interval (`mean_low`,
    `mean_high`), the 10th and the 90th percentile of patients (`tenth`, `ninetieth`), and `stated`, the share of
    patients of whom a simulated reader states the label.
    """
    tables = []
    for i, name in enumerate(response.labels):
        each = response.probabilities[..., i]
        low, high = np.quantile(_resample_means(each), (0.025, 0.975), axis=1)
        tenth, ninetieth = np.quantile(each, (0.1, 0.9), axis=0)
        columns = {"label": name, "dose": response.dose.values, "mean": each.mean(axis=0), "mean_low": low}
        columns |= {"mean_high": high, "tenth": tenth, "ninetieth": ninetieth}
        tables.append(pd.DataFrame(columns | {"stated": response.stated[..., i].mean(axis=0)}))
    return pd.concat(tables, ignore_index=True)


def tabulate_crossings(response: Response) -> pd.DataFrame:
    """Where mean curves cross: a row per label and level, which is the model's threshold, or one half.

    Columns: `label`, `level` in words, `probability`, `crossing` with its 95 % bootstrap interval (`crossing_low`,
    `crossing_high`), infinite beyond `first_dose` and `last_dose`; `readers`, where the readers' share crosses
    one half; `limits` of the guideline; and `difference` of the crossing from the nearest of them, 0 between them. NaN
    stands for no criterion.
    """
    values, rows = np.array(response.dose.values), []
    for i, name in enumerate(response.labels):
        criterion = response.dose.criteria.get(name)
        rises = criterion is None or criterion.rises
        limits = criterion.limits if criterion else (np.nan,)
        each = response.probabilities[..., i]
        means, resampled = each.mean(axis=0)[:, None], _resample_means(each)
        [readers] = find_crossings(values, response.stated[..., i].mean(axis=0)[:, None], _HALF, rises)
        levels = {"threshold": response.thresholds.get(name), "one half": _HALF}
        for words, level in levels.items():
            if level is None:
                continue
            [crossing] = find_crossings(values, means, level, rises)
            spread = find_crossings(values, resampled, level, rises)
            low, high = np.quantile(spread, (0.025, 0.975), method="inverted_cdf")
            row = {"label": name, "level": words, "probability": level, "crossing": crossing, "crossing_low": low}
            row |= {"crossing_high": high, "first_dose": values[0], "last_dose": values[-1]}
            row |= {"readers": readers, "limits": limits}
            rows.append(row | {"difference": crossing - np.clip(crossing, limits[0], limits[-1])})
    return pd.DataFrame(rows)


def find_crossings(values: np.ndarray, curves: np.ndarray, level: float, rises: bool = True) -> np.ndarray:
    """Doses at which curves first reach a level, `[R]`, between neighbouring doses by a straight line.

    Infinite where one never does, and with the other sign where it does so from the first dose on.

    Args:
        values: `[D]`, rising.
        curves: `[D, R]`; one with NaN crosses nowhere, NaN.
        level: To reach.
        rises: Whether doses are followed upwards, or downwards from the last.
    """
    if not rises:
        return -find_crossings(-values[::-1], curves[::-1], level)
    is_above = curves >= level
    after = is_above.argmax(axis=0)
    before = np.maximum(after - 1, 0)
    column = np.arange(curves.shape[1])
    low, high = curves[before, column], curves[after, column]
    share = (level - low) / np.where(high > low, high - low, 1.0)
    found = np.where(after > 0, values[before] + share * (values[after] - values[before]), -np.inf)
    found = np.where(is_above.any(axis=0), found, np.inf)
    return np.where(np.isnan(curves).any(axis=0), np.nan, found)


def _resample_means(each: np.ndarray) -> np.ndarray:
    """Mean curves of resampled patients, `[D, R]`, of `[patients, D]`."""
    exact = each.T.astype(np.float64)
    design = resampling.create_design(len(each))
    return resampling.resample(lambda weights: exact @ weights / len(each), design, _RESAMPLES, seed=0)
