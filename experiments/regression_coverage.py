"""How often a 95 % interval of a score of predicted numbers contains the truth, by size and kind of interval.

  python experiments/regression_coverage.py --output=regression_coverage [--repetitions=1000] [--resamples=1000]

True numbers are normal (mean 60, standard deviation 15, as ages), predictions are 62 + 0.7 (truth - 60) + noise of
standard deviation 8: they are biased and regress to the mean. All is normal, so the truth of every score is known. With
`patients`, each patient has four recordings whose truth is the same and whose noises correlate by 0.5; the size is the
number of patients. Writes coverage.csv.

Percent, 1,000 repetitions (a coverage of 95 % has a standard error of 0.7) of 1,000 resamples:

    recordings, default          10     30    100    300   1000
    MAE                        93.5   93.5   94.4   94.9   94.8
    RMSE                       86.5   89.0   93.0   94.7   95.9
    R2                         93.5   94.4   93.3   94.6   94.5
    Pearson's r                95.9   94.6   94.7   94.0   93.5
    calibration slope          96.0   93.1   94.2   94.3   94.1
    calibration intercept      95.8   93.0   93.8   94.9   94.0
    bias                       94.5   95.1   94.5   95.4   95.4
    lower limit                84.5   90.2   93.2   94.8   95.0
    upper limit                83.9   89.8   92.9   95.4   94.6
    MAE of the median          88.3   92.1   94.5   93.1   94.8

    recordings, percentile       10     30    100    300   1000
    MAE                        89.9   91.7   93.8   94.8   94.8
    RMSE                       82.4   86.9   92.7   94.7   95.7
    R2                         88.9   92.5   92.5   94.5   94.5
    Pearson's r                90.0   92.9   93.9   93.9   93.5
    calibration slope          92.3   92.3   93.5   94.2   94.1
    calibration intercept      91.6   91.8   93.3   94.5   93.9
    bias                       89.5   93.8   94.2   95.3   95.4
    lower limit                80.1   88.0   92.7   94.7   94.9
    upper limit                79.5   88.7   92.4   95.2   94.6
    MAE of the median          82.4   91.1   93.9   93.1   94.7

    recordings, bca              10     30    100    300   1000
    MAE                        90.8   93.5   94.2   94.8   94.9
    RMSE                       85.5   89.8   93.1   95.1   95.6
    R2                         90.2   92.7   93.7   94.5   94.1
    Pearson's r                92.8   92.9   94.2   94.1   93.5
    calibration slope          92.8   92.7   93.9   93.9   94.3
    calibration intercept      92.2   92.0   93.7   94.6   94.3
    bias                       89.4   93.2   94.4   95.0   95.0
    lower limit                82.7   90.4   93.5   94.6   94.7
    upper limit                82.1   89.8   93.0   95.8   95.2
    MAE of the median          88.9   92.4   94.8   93.5   94.8

    patients, default            10     30    100
    MAE                        91.5   93.6   93.0
    RMSE                       88.0   92.0   92.7
    R2                         85.7   91.2   94.1
    Pearson's r                96.4   93.1   94.6
    calibration slope          89.7   92.5   94.0
    calibration intercept      90.2   91.7   94.5
    bias                       94.7   94.0   95.7
    lower limit                84.7   90.7   91.4
    upper limit                85.6   88.2   93.0
    MAE of the median          86.8   91.1   93.8
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
