"""The score of the PhysioNet/CinC Challenge 2021, which gives partial credit to related diagnoses.

Reyna et al. 2021, Computing in Cardiology, doi 10.23919/CinC53138.2021.9662687.
"""

import numpy as np

from ecg_jax.evaluation import bootstrap_intervals
from ecg_jax.evaluation.settings import Settings


def compute_credits(labels: np.ndarray, called: np.ndarray, weights: np.ndarray, normal: int) -> np.ndarray:
    """What each recording adds to the observed, the best and the inactive score, `[3, N]`; no label may be unknown.

    `weights` `[C, C]` are the credits for calling the column's diagnosis where the row's is true; `normal` is the
    column of sinus rhythm, which an inactive system would always call.
    """
    truth = labels > 0.5
    inactive = np.zeros_like(truth)
    inactive[:, normal] = True

    def credit(calls: np.ndarray) -> np.ndarray:
        return ((truth @ weights) * calls).sum(axis=1) / np.maximum((truth | calls).sum(axis=1), 1)

    return np.stack([credit(called), credit(truth), credit(inactive)])


def compute_score(
    labels: np.ndarray,
    called: np.ndarray,
    weights: np.ndarray,
    normal: int,
    settings: Settings,
    unit: np.ndarray | None = None,
) -> tuple[float, float, float]:
    """The normalized score, 1 for the truth, 0 for a system that always calls sinus rhythm; and its BCa interval.

    NaN where nothing but sinus rhythm occurs. Recordings with an unknown label are left out; for the other arguments
    see `compute_credits`.
    """
    known = ~np.isnan(labels).any(axis=1)
    credits = compute_credits(labels[known], np.asarray(called)[known], weights, normal)
    if not known.any():
        return np.nan, np.nan, np.nan

    def statistic(drawn: np.ndarray) -> np.ndarray:
        observed, best, inactive = credits @ drawn
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(best != inactive, (observed - inactive) / (best - inactive), np.nan)[None]

    members = None if unit is None else unit[known]
    bootstrap = (settings.resamples, settings.level, settings.seed)
    return bootstrap_intervals.estimate_with_bca(statistic, credits.shape[1], members, *bootstrap)
