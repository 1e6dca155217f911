"""How often a 95 % interval of a score of predicted numbers contains the truth, by size and kind of interval.

  python experiments/regression_coverage.py --output=regression_coverage [--repetitions=1000] [--resamples=1000]

True numbers are normal (mean 60, standard deviation 15, as ages), predictions are 62 + 0.7 (truth - 60) + noise of
standard deviation 8: they are biased and regress to the mean. All is normal, so the truth of every score is known. With
`patients`, each patient has four recordings whose truth is the same and whose noises correlate by 0.5; the size is the
number of patients. Writes coverage.csv.
"""

import argparse
import os

import numpy as np
import pandas as pd
from scipy import stats

from ecg_jax.evaluation import regression
from ecg_jax.evaluation.moments import METRICS, REACH
from ecg_jax.evaluation.predictions import Predictions
from ecg_jax.evaluation.settings import Settings
from ecg_jax.kinds import NUMBER

MEAN, DEVIATION, SLOPE, NOISE, BIAS = 60.0, 15.0, 0.7, 8.0, 2.0
SIZES = (10, 30, 100, 300, 1000)
INTERVALS = ("auto", "percentile", "bca")
REPEATED, ALIKE = 4, 0.5  # recordings of a patient, and the correlation of their noises
_TOGETHER = 50  # samples that are scored as so many labels


def compute_truths() -> dict[str, float]:
    """The scores of all patients that there could be."""
    spread = np.hypot((1 - SLOPE) * DEVIATION, NOISE)  # of errors
    variance, covariance = (SLOPE * DEVIATION) ** 2 + NOISE**2, SLOPE * DEVIATION**2
    ratio = BIAS / spread
    return {
        "mae": spread * np.sqrt(2 / np.pi) * np.exp(-(ratio**2) / 2) + BIAS * (1 - 2 * stats.norm.cdf(-ratio)),
        "rmse": float(np.hypot(BIAS, spread)),
        "r2": 1 - (BIAS**2 + spread**2) / DEVIATION**2,
        "pearson": covariance / np.sqrt(variance) / DEVIATION,
        "calibration_slope": covariance / variance,
        "calibration_intercept": MEAN - covariance / variance * (MEAN + BIAS),
        "bias": BIAS,
        "limit_low": BIAS - REACH * spread,
        "limit_high": BIAS + REACH * spread,
        "mae_constant": DEVIATION * np.sqrt(2 / np.pi),
    }


def draw(rng: np.random.Generator, size: int, count: int, *, has_patients: bool) -> Predictions:
    """`count` samples of `size` recordings, or patients, each as a label of its own."""
    repeated = REPEATED if has_patients else 1
    truth = np.repeat(rng.normal(MEAN, DEVIATION, (size, count)), repeated, axis=0)
    shared = np.repeat(rng.normal(0, NOISE, (size, count)), repeated, axis=0)
    alike = ALIKE if has_patients else 0.0
    noise = np.sqrt(alike) * shared + np.sqrt(1 - alike) * rng.normal(0, NOISE, truth.shape)
    return Predictions(
        ids=np.arange(len(truth)).astype(str),
        names=tuple(f"sample {i}" for i in range(count)),
        labels=truth,
        probabilities=MEAN + BIAS + SLOPE * (truth - MEAN) + noise,
        patients=np.repeat(np.arange(size), repeated).astype(str) if has_patients else None,
        kind=NUMBER,
    )


def measure(size: int, interval: str, repetitions: int, resamples: int, *, has_patients: bool) -> dict[str, float]:
    """Share of samples whose interval contains the truth, by score."""
    truths, held = compute_truths(), dict.fromkeys(METRICS, 0)
    rng = np.random.default_rng([size, has_patients])
    for seed in range(repetitions // _TOGETHER):
        settings = Settings(interval=interval, resamples=resamples, seed=seed)
        table = regression.compute(draw(rng, size, _TOGETHER, has_patients=has_patients), settings).table
        for name in METRICS:
            held[name] += int(table[f"{name}_low"].le(truths[name]).mul(table[f"{name}_high"].ge(truths[name])).sum())
    return {name: count / (repetitions // _TOGETHER * _TOGETHER) for name, count in held.items()}


def main() -> None:
    """Measures every setting."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", default="regression_coverage")
    parser.add_argument("--repetitions", type=int, default=1000, help="rounded down to whole fifties")
    parser.add_argument("--resamples", type=int, default=1000)
    asked = parser.parse_args()
    os.makedirs(asked.output, exist_ok=True)
    rows = []
    for has_patients in (False, True):
        for size in SIZES[: 3 if has_patients else None]:
            for interval in INTERVALS[: 1 if has_patients else None]:
                found = measure(size, interval, asked.repetitions, asked.resamples, has_patients=has_patients)
                setting = {"units": "patients" if has_patients else "recordings", "size": size, "interval": interval}
                rows.append({**setting, **found})
                print(rows[-1], flush=True)
    pd.DataFrame(rows).to_csv(os.path.join(asked.output, "coverage.csv"), index=False)


if __name__ == "__main__":
    main()
