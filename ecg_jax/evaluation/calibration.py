"""Whether probabilities mean what they say, and functions of them that do.

Recalibration works on the logit z: temperature sigmoid(z / T) (Guo et al. 2017, ICML),
Platt sigmoid(a z + b) with the targets of Platt 1999 (so that it exists where classes are
separable), isotonic a monotone step function (Zadrozny & Elkan 2002, KDD). Each label has its own.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import scipy.optimize
import scipy.special
from scipy.stats import norm
from sklearn.isotonic import IsotonicRegression

from ecg_jax.errors import InputError
from ecg_jax.evaluation import metrics
from ecg_jax.evaluation.settings import CALIBRATIONS

BINS = 10
_WRONG_WAY = "probabilities rank the wrong way round"


@dataclasses.dataclass(frozen=True)
class Calibration:
    """A recalibration of C labels, JSON-ready.

    Attributes:
        method: One of `settings.CALIBRATIONS`.
        maps: By label: `slope` and `intercept` of the logit, or `x` and `y` of an interpolation; and
            `reason`, where a label was left as it is.
    """

    method: str
    maps: Mapping[str, Mapping[str, Any]]

    def apply(self, probabilities: np.ndarray, names: Sequence[str]) -> np.ndarray:
        """Recalibrates `[N, C]`; NaN stays NaN. The type is kept."""
        columns = [_apply(self.maps[name], probabilities[:, i]) for i, name in enumerate(names)]
        return np.stack(columns, axis=1).astype(probabilities.dtype)

    def to_dict(self) -> dict[str, Any]:
        """What `calibration.json` holds."""
        return {"method": self.method, "labels": {name: dict(values) for name, values in self.maps.items()}}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Calibration":
        """The reverse of `to_dict`."""
        return cls(values["method"], values["labels"])


def check_method(method: str) -> None:
    """Raises `InputError` for a method that there is not."""
    if method not in CALIBRATIONS:
        raise InputError(f"calibration method {method!r} is unknown; known: {', '.join(CALIBRATIONS)}")


def fit(method: str, labels: np.ndarray, probabilities: np.ndarray, names: Sequence[str]) -> Calibration:
    """Fits a recalibration.

    Args:
        method: One of `settings.CALIBRATIONS`.
        labels: `[N, C]` in {1, 0, NaN}, of recordings that neither trained nor test.
        probabilities: `[N, C]`.
        names: The C labels.

    Returns:
        One map per label; the identity, with a reason, where only one class is known or
        probabilities rank the wrong way round.
    """
    check_method(method)
    maps = {name: _fit(method, labels[:, i], probabilities[:, i]) for i, name in enumerate(names)}
    return Calibration(method, maps)


def _fit(method: str, label: np.ndarray, probability: np.ndarray) -> dict[str, Any]:
    identity = {"slope": 1.0, "intercept": 0.0}
    if reason := "not asked for" if method == "none" else metrics.explain(label):
        return identity | {"reason": reason}
    if metrics.compute_ranking(label, probability)[0] < 0.5:
        return identity | {"reason": _WRONG_WAY}
    known = ~np.isnan(label)
    truth, score = label[known] > 0.5, probability[known]
    if method == "isotonic":
        curve = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(score, truth)
        return {"x": curve.X_thresholds_.tolist(), "y": curve.y_thresholds_.tolist()}
    logit = _logit(score)
    if method == "temperature":
        entropy = lambda log_slope: _entropy(np.exp(log_slope) * logit, truth.astype(float))  # noqa: E731
        found = scipy.optimize.minimize_scalar(entropy, bounds=(-5, 5), method="bounded", options={"xatol": 1e-9})
        return identity | {"slope": float(np.exp(found.x))}
    positives, negatives = truth.sum(), (~truth).sum()
    target = np.where(truth, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    slope, intercept = _fit_line(logit, target)
    if slope <= 0:
        return identity | {"reason": _WRONG_WAY}
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


def _apply(values: Mapping[str, Any], probability: np.ndarray) -> np.ndarray:
    if "x" in values:
        return np.where(np.isnan(probability), np.nan, np.interp(probability, values["x"], values["y"]))
    if (values["slope"], values["intercept"]) == (1.0, 0.0):
        return probability
    return scipy.special.expit(values["slope"] * _logit(probability) + values["intercept"])


def _logit(probability: np.ndarray) -> np.ndarray:
    kind = np.finfo(probability.dtype)  # the numbers next to 0 and 1 stand for these
    return scipy.special.logit(np.clip(probability.astype(np.float64), float(kind.tiny), 1 - float(kind.epsneg)))


@dataclasses.dataclass(frozen=True)
class Reliability:
    """A reliability curve, `[K]` each, of the bins that hold anything.

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
    """Bins recordings by probability, and compares mean probability with the share of positives.

    Args:
        label: `[N]` in {1, 0, NaN}.
        probability: `[N]` in [0, 1].
        bins: Number of bins.
        equal_mass: Bins of about equally many recordings (equal probabilities stay together);
            else of equal width, each without its lower end but for the first.
        level: Of the intervals.
    """
    known = ~np.isnan(label)
    truth, score = label[known] > 0.5, probability[known].astype(np.float64)
    if not truth.size:
        empty = np.empty(0)
        return Reliability(empty, empty, empty, empty, empty)
    place = _bin_by_mass(score, bins) if equal_mass else np.clip(np.ceil(score * bins - 1e-12) - 1, 0, bins - 1)
    _, place, count = np.unique(place, return_inverse=True, return_counts=True)
    place = place.reshape(-1)
    observed = np.bincount(place, truth) / count
    low, high = compute_wilson(observed * count, count, level)
    return Reliability(np.bincount(place, score) / count, observed, low, high, count)


def _bin_by_mass(score: np.ndarray, bins: int) -> np.ndarray:
    """Number of the bin of each score: by its rank, the middle one of equal scores."""
    _, level, count = np.unique(score, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    return np.floor((2 * last - count - 1) / 2 * bins / len(score))[level]


def compute_wilson(hits: np.ndarray, count: np.ndarray, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Wilson's score interval of a proportion (1927, J Am Stat Assoc 22:209-212); NaN where `count` is 0."""
    z = norm.ppf((1 + level) / 2)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.asarray(hits) / count
        middle = (share + z**2 / (2 * count)) / (1 + z**2 / count)
        reach = z / (1 + z**2 / count) * np.sqrt(share * (1 - share) / count + z**2 / (4 * np.square(count)))
    return np.maximum(middle - reach, 0), np.minimum(middle + reach, 1)


def compute_ece(curve: Reliability) -> float:
    """Expected calibration error: mean distance of share and probability over recordings; NaN without any."""
    if not curve.count.size:
        return np.nan
    return float(np.average(np.abs(curve.observed - curve.predicted), weights=curve.count))


def decompose_brier(label: np.ndarray, probability: np.ndarray, curve: Reliability) -> dict[str, float]:
    """Parts of the Brier score (Murphy 1973, J Appl Meteorol 12:595-600).

    Args:
        label: `[N]` in {1, 0, NaN}.
        probability: `[N]` in [0, 1].
        curve: Their reliability, in bins of equal mass.

    Returns:
        `brier` = `miscalibration` - `resolution` + `uncertainty` + `within_bins`; the last is what
        binning leaves (Stephenson et al. 2008, Weather Forecast 23:752-757). NaN without known labels.
    """
    if not curve.count.size:
        return dict.fromkeys(("brier", "miscalibration", "resolution", "uncertainty", "within_bins"), np.nan)
    known = ~np.isnan(label)
    prevalence = float(np.mean(label[known]))
    brier = float(np.mean((probability[known].astype(np.float64) - label[known]) ** 2))
    miscalibration = float(np.average((curve.observed - curve.predicted) ** 2, weights=curve.count))
    resolution = float(np.average((curve.observed - prevalence) ** 2, weights=curve.count))
    uncertainty = prevalence * (1 - prevalence)
    return {
        "brier": brier,
        "miscalibration": miscalibration,
        "resolution": resolution,
        "uncertainty": uncertainty,
        "within_bins": brier - miscalibration + resolution - uncertainty,
    }
