"""Whether probabilities mean what they say, and functions of them that do.

Recalibration works on the logit z: temperature sigmoid(z / T) (Guo et al. 2017, ICML),
Platt sigmoid(a z + b) with the targets of Platt 1999 (so that it exists where classes are
separable), isotonic a monotone step function (Zadrozny & Elkan 2002, KDD). Each label has a map of its own.
"""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import scipy.optimize
import scipy.special
import scipy.stats
from sklearn.isotonic import IsotonicRegression

from ecg_jax.errors import InputError
from ecg_jax.evaluation import metrics
from ecg_jax.evaluation.closed_intervals import compute_wilson
from ecg_jax.evaluation.settings import CALIBRATIONS

BINS = 10
_BRIER_PARTS = ("brier", "miscalibration", "resolution", "uncertainty", "within_bins")
IDENTITY = {"slope": 1.0, "intercept": 0.0}
_WRONG_WAY = "probabilities rank the wrong way round"


@dataclasses.dataclass(frozen=True)
class Calibration:
    """A recalibration of C labels; its maps can be written as JSON."""

    method: str  # one of `settings.CALIBRATIONS`
    # By label: `slope` and `intercept` of the logit, or `x` and `y` of an interpolation; and `reason`, where a label
    # was left unchanged.
    maps: Mapping[str, Mapping[str, Any]]

    def apply(self, probabilities: np.ndarray, names: Sequence[str]) -> np.ndarray:
        """Recalibrates `[N, C]`; NaN stays NaN, and the dtype is kept."""
        maps = [self.maps[name] for name in names]
        calibrated = probabilities.copy()
        changed = [i for i, values in enumerate(maps) if _is_line(values)]
        if changed:
            slopes, intercepts = (np.array([maps[i][key] for i in changed]) for key in ("slope", "intercept"))
            calibrated[:, changed] = scipy.special.expit(slopes * _logit(probabilities[:, changed]) + intercepts)
        for i, values in enumerate(maps):
            if "x" in values:
                curve = np.interp(probabilities[:, i], values["x"], values["y"])
                calibrated[:, i] = np.where(np.isnan(probabilities[:, i]), np.nan, curve)
        return calibrated

    def leave(self, names: Collection[str], reason: str) -> "Calibration":
        """With the identity for some labels."""
        return Calibration(self.method, {**self.maps, **{name: IDENTITY | {"reason": reason} for name in names}})

    def to_dict(self) -> dict[str, Any]:
        """What `calibration.json` holds."""
        return {"method": self.method, "labels": {name: dict(values) for name, values in self.maps.items()}}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Calibration":
        """The reverse of `to_dict`."""
        return cls(values["method"], values["labels"])


def fit(method: str, labels: np.ndarray, probabilities: np.ndarray, names: Sequence[str]) -> Calibration:
    """Fits a map per label; the identity, with a reason, where only one class is known or the ranking is inverted.

    `method` is one of `settings.CALIBRATIONS`, else `InputError`; the recordings must have been used for neither
    training nor testing.
    """
    if method not in CALIBRATIONS:
        raise InputError(f"calibration method {method!r} is unknown; known: {', '.join(CALIBRATIONS)}")
    maps = {name: _fit(method, labels[:, i], probabilities[:, i]) for i, name in enumerate(names)}
    return Calibration(method, maps)


def _fit(method: str, label: np.ndarray, probability: np.ndarray) -> dict[str, Any]:
    if reason := "not asked for" if method == "none" else metrics.explain(label):
        return IDENTITY | {"reason": reason}
    if metrics.compute_ranking(label, probability)[0] < 0.5:
        return IDENTITY | {"reason": _WRONG_WAY}
    known = ~np.isnan(label)
    truth, score = label[known] > 0.5, probability[known]
    if method == "isotonic":
        curve = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(score, truth)
        return {"x": curve.X_thresholds_.tolist(), "y": curve.y_thresholds_.tolist()}
    logit = _logit(score)
    if method == "temperature":
        entropy = lambda log_slope: _entropy(np.exp(log_slope) * logit, truth.astype(float))  # noqa: E731
        found = scipy.optimize.minimize_scalar(entropy, bounds=(-5, 5), method="bounded", options={"xatol": 1e-9})
        return IDENTITY | {"slope": float(np.exp(found.x))}
    positives, negatives = truth.sum(), (~truth).sum()
    target = np.where(truth, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    slope, intercept = _fit_line(logit, target)
    if slope <= 0:
        return IDENTITY | {"reason": _WRONG_WAY}
    return {"slope": slope, "intercept": intercept}


def _fit_line(logit: np.ndarray, target: np.ndarray) -> tuple[float, float]:
    inputs = np.stack([logit, np.ones_like(logit)])

    def objective(line: np.ndarray) -> tuple[float, np.ndarray]:
        z = line @ inputs
        return _entropy(z, target), inputs @ (scipy.special.expit(z) - target) / len(target)

    found = scipy.optimize.minimize(objective, np.array([1.0, 0.0]), jac=True, method="BFGS", options={"gtol": 1e-9})
    return float(found.x[0]), float(found.x[1])


def _entropy(z: np.ndarray, target: np.ndarray) -> float:
    return float(np.mean(np.logaddexp(0, z) - target * z))


def _is_line(values: Mapping[str, Any]) -> bool:
    return "x" not in values and (values["slope"], values["intercept"]) != (1.0, 0.0)


def _logit(probability: np.ndarray) -> np.ndarray:
    kind = np.finfo(probability.dtype)  # 0 and 1 are replaced by the numbers next to them
    return scipy.special.logit(np.clip(probability.astype(np.float64), float(kind.tiny), 1 - float(kind.epsneg)))


@dataclasses.dataclass(frozen=True)
class Reliability:
    """A reliability curve, `[K]` each, of the bins that are not empty.

    Attributes:
        predicted: Mean probability.
        observed: Share of positives.
        low, high: Wilson interval of that share.
        count: Number of recordings.
    """

    predicted: np.ndarray
    observed: np.ndarray
    low: np.ndarray
    high: np.ndarray
    count: np.ndarray


def compute_reliability(
    label: np.ndarray, probability: np.ndarray, *, bins: int = BINS, equal_mass: bool = True, level: float = 0.95
) -> Reliability:
    """Compares mean probability with the share of positives, in bins of probability.

    `equal_mass` bins have about equally many recordings (equal probabilities stay together); others are of equal width,
    without their lower ends except for the first.
    """
    known = ~np.isnan(label)
    truth, score = label[known] > 0.5, probability[known].astype(np.float64)
    if not truth.size:
        return Reliability(*[np.empty(0)] * 5)
    if equal_mass:
        place = np.floor((scipy.stats.rankdata(score) - 1) * bins / len(score))
    else:
        place = np.clip(np.ceil(score * bins - 1e-12) - 1, 0, bins - 1)
    _, place, count = np.unique(place, return_inverse=True, return_counts=True)
    place = place.reshape(-1)
    observed = np.bincount(place, truth) / count
    low, high = compute_wilson(observed * count, count, level)
    return Reliability(np.bincount(place, score) / count, observed, low, high, count)


def compute_ece(curve: Reliability) -> float:
    """Expected calibration error: mean distance of share and probability over recordings; NaN without any."""
    if not curve.count.size:
        return np.nan
    return float(np.average(np.abs(curve.observed - curve.predicted), weights=curve.count))


def decompose_brier(label: np.ndarray, probability: np.ndarray, curve: Reliability) -> dict[str, float]:
    """Parts of the Brier score (Murphy 1973, J Appl Meteorol 12:595-600), from a curve in bins of equal mass.

    `brier` = `miscalibration` - `resolution` + `uncertainty` + `within_bins`; the last is what binning does not explain
    (Stephenson et al. 2008, Weather Forecast 23:752-757). NaN without known labels.
    """
    if not curve.count.size:
        return dict.fromkeys(_BRIER_PARTS, np.nan)
    known = ~np.isnan(label)
    prevalence = float(np.mean(label[known]))
    brier = float(np.mean((probability[known].astype(np.float64) - label[known]) ** 2))
    miscalibration = float(np.average((curve.observed - curve.predicted) ** 2, weights=curve.count))
    resolution = float(np.average((curve.observed - prevalence) ** 2, weights=curve.count))
    uncertainty = prevalence * (1 - prevalence)
    within = brier - miscalibration + resolution - uncertainty
    return dict(zip(_BRIER_PARTS, (brier, miscalibration, resolution, uncertainty, within), strict=True))
