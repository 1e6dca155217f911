"""What intervals and voltages alone predict: a floor, well above which a network that sees the signal should be.

Logistic regression of each finding, ridge regression of each number. What is missing has the median, and an indicator;
intervals are splines, since a finding may lie at both their ends, as of the heart rate. The strength of the penalties
and the knots were chosen on validation recordings of the simulator.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import SplineTransformer, StandardScaler
from threadpoolctl import threadpool_limits

from ecg_jax.kinds import FINDING

FEWEST = 10  # positives, and negatives, that a finding is learned from; as many recordings of a number
_STRENGTH, _PENALTY = 0.1, 100.0
_KNOTS = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])  # standard deviations
_ANGLE = "axis"  # degrees


@threadpool_limits.wrap(limits=1)  # several threads wait for each other longer than such small matrices take
def predict(
    measured: np.ndarray,
    names: Sequence[str],
    splines: Sequence[str],
    labels: Mapping[str, np.ndarray],
    others: np.ndarray,
    kind: str = FINDING,
) -> dict[str, np.ndarray]:
    """Learns labels from measurements of some recordings, and predicts them of others.

    Args:
        measured: `[N, D]`, NaN for unknown.
        names: Of the D measurements; `axis` is an angle in degrees.
        splines: Those that act in a smooth curve; the others act in proportion.
        labels: `[N]` by name, NaN for unknown.
        others: `[M, D]`, of the recordings to predict.
        kind: Of the labels, one of `kinds.KINDS`.

    Returns:
        `[M]` probabilities or numbers, by the labels that have `FEWEST` recordings to learn from.
    """
    known, unknown = _turn_angle(measured, names), _turn_angle(others, names)
    curved = [place for place, name in enumerate(names) if name in splines and name != _ANGLE]
    found = {}
    for name, label in labels.items():
        rows = ~np.isnan(label)
        truth = label[rows]
        if kind == FINDING and min(np.sum(truth == 1), np.sum(truth == 0)) >= FEWEST:
            model = _create(curved, LogisticRegression(C=_STRENGTH, max_iter=1000)).fit(known[rows], truth == 1)
            found[name] = model.predict_proba(unknown)[:, 1]
        elif kind != FINDING and len(truth) >= FEWEST:
            found[name] = _create(curved, Ridge(_PENALTY)).fit(known[rows], truth).predict(unknown)
    return found


def _turn_angle(values: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """With the cosine of an angle in its place, and its sine as the last column: -179 and 179 degrees are close."""
    if _ANGLE not in names:
        return values
    place, turned = list(names).index(_ANGLE), values.astype(np.float64)
    angle = np.radians(turned[:, place])
    turned[:, place] = np.cos(angle)
    return np.column_stack([turned, np.sin(angle)])


def _create(curved: list[int], regression: LogisticRegression | Ridge) -> Pipeline:
    knots = np.repeat(_KNOTS[:, None], max(len(curved), 1), axis=1)
    spline = SplineTransformer(knots=knots, extrapolation="linear")
    return make_pipeline(
        SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True),
        StandardScaler(),
        ColumnTransformer([("curved", spline, curved)] if curved else [], remainder="passthrough"),
        StandardScaler(),
        regression,
    )
