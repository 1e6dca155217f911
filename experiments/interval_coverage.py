"""How often a 95 % interval contains the truth, by the number of positives and the method.

  python experiments/interval_coverage.py --output=interval_coverage [--repetitions=1000] [--resamples=1000]
      [--study=labels | patients | averages]

Scores are binormal, each recording is positive with the same probability, and the threshold is the
one of the largest F1 in the population, fixed beforehand: the truth of every metric is known. There
are 10 times as many negatives as positives, but at least 100 and at most 1,000; AUROCs are 0.8, 0.9,
0.95 and 0.99. Repetitions without both classes are skipped and counted. Intervals are compared with
`scores.compute` on the first repetition of each setting. Writes coverage.csv (every setting, with the
truth, the misses to either side and the mean width), and coverage.pdf and .png (equal standard
deviations; means over the AUROCs, and bars from the lowest to the highest).

With `--bootstrapped 0.8 0.99`, 2 CPU cores, seed 0, 1,000 repetitions (a coverage of 95 % has a
standard error of 0.7) and 1,000 resamples. Percent, the lowest and the highest over the AUROCs, by the
expected number of positives; percentile, BCa and expanded at AUROCs 0.8 and 0.99 alone, the default and
DeLong at all four. Skipped: 39 to 54 of 1,000 with 3 positives, 2 to 11 with 5, else none.

Standard deviations 1 and 1:

    positives                              3         5        10        20        30        50       100       300
    AUROC, default                 95.2-97.1 95.6-97.1 95.2-97.5 95.3-96.8 93.3-98.0 94.2-96.7 94.4-95.8 94.0-95.3
    AUROC, DeLong, logit           84.1-96.9 86.9-97.7 90.1-97.4 89.4-94.5 89.9-94.3 89.8-94.1 90.7-95.6 93.5-95.5
    AUROC, percentile              46.1-64.0 58.4-80.7 73.2-89.2 80.9-93.3 84.7-94.6 85.7-94.1 88.7-95.0 92.8-94.0
    AUROC, BCa                     46.6-66.1 61.5-82.6 84.2-92.0 90.0-94.5 90.3-94.3 90.5-95.1 90.8-95.1 93.4-93.8
    AUROC, expanded                47.3-73.7 61.2-87.5 78.3-93.9 84.1-95.4 85.8-95.2 86.8-95.3 89.2-95.2 92.9-94.0
    F1, default                    95.5-97.3 95.0-96.3 95.3-96.4 93.8-95.7 94.6-96.1 94.6-95.2 95.4-96.5 93.6-95.4
    F1, percentile                 52.8-65.3 78.6-83.1 91.1-91.9 93.7-94.5 93.7-93.9 93.3-94.2 95.5-96.2 94.4-95.3
    F1, BCa                        53.9-65.5 79.0-82.8 93.2-97.2 95.9-97.1 95.2-96.0 94.7-95.0 95.6-96.5 94.9-95.3
    F1, expanded                   55.3-65.6 79.2-83.9 93.4-96.9 95.5-96.1 95.4-95.7 94.3-95.3 96.0-96.8 94.4-95.5
    Average precision, default     89.0-99.5 90.6-99.5 94.1-98.3 94.7-98.0 93.0-99.0 94.0-98.4 95.1-99.2 94.2-99.5
    Average precision, percentile  45.9-80.0 59.4-90.1 78.7-91.6 88.5-94.2 90.3-92.2 91.4-93.4 94.8-94.8 94.2-94.8
    Average precision, BCa         44.5-77.6 60.9-90.2 84.6-92.8 93.8-94.8 92.7-94.4 93.9-94.3 95.1-95.7 94.8-94.8
    Average precision, expanded    47.0-89.5 61.1-96.3 82.2-96.8 90.9-96.1 92.3-94.3 92.6-94.6 95.2-95.2 94.2-95.0
    Recall, default                96.1-98.1 94.3-96.8 94.4-96.4 94.1-96.4 94.8-95.4 93.6-96.1 94.5-95.8 94.1-95.2
    Recall, percentile             47.9-50.5 61.7-79.9 79.2-91.9 92.0-94.2 92.4-93.7 93.0-95.4 94.9-94.9 94.8-94.8
    Recall, BCa                    48.0-50.7 62.0-80.6 79.5-97.7 93.4-96.9 96.2-96.5 95.0-96.4 94.8-95.5 94.8-95.0
    Recall, expanded               48.0-50.7 62.1-80.5 80.0-96.3 94.1-96.2 93.4-96.3 93.7-96.2 95.0-95.1 94.8-95.0
    Precision, default             91.5-95.6 95.8-96.4 95.4-96.1 93.9-96.2 94.8-96.6 94.6-95.9 94.7-96.8 94.6-95.7
    Precision, percentile          54.8-58.3 59.7-82.8 70.0-93.1 89.8-94.6 91.3-94.1 93.1-94.4 93.5-96.4 95.3-95.4
    Precision, BCa                 55.8-56.5 58.7-83.3 69.9-97.5 89.4-96.5 95.0-95.6 95.5-96.4 95.3-96.6 95.5-95.8
    Precision, expanded            56.7-63.9 69.8-83.8 72.3-97.4 90.2-96.4 93.3-95.7 93.8-95.5 94.1-96.5 95.4-95.7
    Specificity, default           91.8-96.7 95.2-97.3 96.2-96.7 94.3-96.7 94.9-96.7 94.4-95.8 93.2-96.1 95.3-95.7
    Specificity, percentile        38.4-89.6 47.7-91.2 70.3-94.7 90.1-94.7 85.5-96.1 92.4-95.3 92.9-95.6 95.1-95.6
    Specificity, BCa               37.8-94.9 45.7-96.2 69.3-96.9 89.3-96.2 94.3-96.0 95.4-96.4 94.2-95.7 95.5-95.7
    Specificity, expanded          38.4-98.1 48.4-98.3 70.3-98.4 90.5-97.0 89.6-97.1 92.7-96.0 93.1-95.8 95.1-95.7

Standard deviations 1.5 (positives) and 1:

    positives                             30       100
    AUROC, default                 91.2-95.7 87.0-94.7
    AUROC, DeLong, logit           81.4-94.1 84.2-95.0
    AUROC, percentile              74.2-92.4 80.6-94.2
    AUROC, BCa                     82.1-94.0 85.3-95.5
    AUROC, expanded                76.1-93.9 80.7-94.6
    F1, default                    93.8-95.5 94.2-95.3
    F1, percentile                 93.4-94.0 94.5-94.8
    F1, BCa                        95.4-96.7 94.7-95.4
    F1, expanded                   94.6-95.1 94.9-95.2
    Average precision, default     95.1-98.6 95.3-99.5
    Average precision, percentile  87.1-93.3 92.0-94.8
    Average precision, BCa         93.5-94.8 93.9-94.6
    Average precision, expanded    88.5-95.2 92.3-95.2
    Recall, default                94.6-95.2 94.4-95.5
    Recall, percentile             91.4-94.1 93.9-94.4
    Recall, BCa                    95.5-95.6 94.6-96.4
    Recall, expanded               92.5-95.5 94.2-95.2
    Precision, default             94.6-96.6 93.7-95.5
    Precision, percentile          85.4-94.1 93.1-93.5
    Precision, BCa                 84.9-96.7 93.9-96.6
    Precision, expanded            85.6-95.6 93.9-94.1
    Specificity, default           94.3-97.2 94.1-95.7
    Specificity, percentile        85.0-93.4 93.2-93.7
    Specificity, BCa               83.1-95.8 93.6-96.6
    Specificity, expanded          85.0-95.4 93.6-93.9

With at least 30 of each class expected, the default is within 93-97 % in 88 of 96 cells (metric, number
of positives, AUROC) where the standard deviations are equal, and in 38 of 48 where they are not. F1,
recall and precision always are, specificity but for one cell (97.2). Outside are

    AUROC              sd 1    at 0.99: 98.0 with 30 positives
                       sd 1.5  at 0.9: 91.2 with 30, 92.8 with 100; at 0.95: 91.7 with 30, 92.5 with 100;
                               at 0.99: 87.0 with 100 (95.7 with 30)
    average precision  sd 1    at AUROC 0.95: 97.1 with 30, 97.2 with 50, 98.0 with 300 (96.8 with 100);
                               at 0.99: 99.0 with 30, 98.4 with 50, 99.2 with 100, 99.5 with 300
                       sd 1.5  at 0.95: 97.4 with 30, 97.6 with 100; at 0.99: 98.6 with 30, 99.5 with 100
    specificity        sd 1.5  at AUROC 0.99: 97.2 with 30

The interval of the AUROC is too short, by up to 6 points, with unequal standard deviations, where the
model of its variance is wrong; at 0.99 with 100 positives every other method has less still (DeLong
84.2, BCa 85.3, expanded 80.7, percentile 80.6), at 0.9 and 0.95 with 100 DeLong has enough (93.4, 93.2).
That of average precision is too long where the AUROC is high, and more recordings do not mend it; the
bootstraps, which have 92.0 to 95.7 there (AUROC 0.99, 100 and 300 positives), fail with few positives
instead: 44.5 to 47.0 with 3. With fewer than 30 positives the default is lowest for average precision
at AUROC 0.8 (89.0 with 3, 90.6 with 5), and for precision and specificity at 0.99 (91.5, 91.8 with 3).
Every output warns of fewer than 30 positives, or patients who have some.

With `--study=patients`: patients with several recordings (see `coverage_studies.py`), 400 repetitions, 100 with 10
recordings of each of 5 or more positive patients (standard errors 1.1 and 2.2). Percent, the lowest and the highest
over AUROCs of 0.8 and 0.95, correlations of 0.3 and 0.7 within patients, and labels that patients have in all
recordings or in some:

    recordings of a patient       1                               2
    positive patients              3       5      10      30       3       5      10      30
    AUROC                      95-97   96-96  97-100   95-96   93-98   96-98   96-98   93-96
    Average precision         97-100   95-99   96-98   96-96   95-99  96-100   97-99   92-99
    F1                         96-97   96-98   95-96   94-97   96-98   95-97   94-97   94-97
    Recall                     97-98   96-96   96-96   92-94   96-99   96-98   93-97   92-96
    Precision                  95-98   97-98   96-97   94-96   94-97   93-98   94-96   93-96
    Specificity                96-96   96-97   96-97   94-96   95-99   95-99   94-97   93-96
    Difference of AUROCs       94-99  95-100   96-98   96-96  96-100   95-99   94-99   92-97
    Difference of accuracy     99-99   95-99   96-97   94-95   96-99   96-98   95-99   94-97
    Difference of recall       97-98   97-97   97-98   94-94  99-100   98-99   96-99   95-97
    Kappa                      79-87   85-91   91-92   94-95   86-91   90-94   92-96   94-96
    McNemar, p from 0.05     100-100  97-100   98-98   96-97  98-100  97-100   96-99   95-98

    recordings of a patient       5                              10
    positive patients              3       5      10      30       3       5      10      30
    AUROC                      95-98   95-98   94-97   93-96   94-99  91-100   93-99   92-95
    Average precision         93-100  94-100   93-99   92-99  93-100  89-100  92-100   91-99
    F1                         93-97   93-94   94-96   93-96   90-94   92-97   94-97   94-97
    Recall                     93-99   93-97   92-95   93-96   93-98   91-98   90-96   93-97
    Precision                  92-97   92-94   93-97   91-97   92-96   90-97   89-96   92-97
    Specificity                92-98   92-96   91-96   94-96   88-95   86-97   91-96   92-97
    Difference of AUROCs      94-100  95-100   94-98   92-97  95-100  91-100   93-98   91-98
    Difference of accuracy     96-98   94-97   92-97   94-97   94-97   93-98   92-97   92-97
    Difference of recall       97-99   94-99   94-98   91-97  95-100  92-100   94-98   92-97
    Kappa                      86-94   88-97   91-95   93-96   86-94   86-96   91-98   91-97
    McNemar, p from 0.05       96-99   95-98   94-98   94-98   95-99  94-100   93-97   92-97

Score intervals of recordings that are taken for independent have 72-86 % at AUROC 0.8 with 10 recordings of each of
3 to 5 positive patients. The table's are too long where a patient's recordings differ much and patients are few, as
nothing tells then how much. Too low are specificity (86-88) and precision (89-90) with 10 recordings of each of few
patients, and kappa, also of single recordings, with fewer than 10 positives: both have their warnings.

With `--study=averages`: two and five labels of AUROCs from 0.8 to 0.98, scores independent or correlated by 0.5; 300
repetitions, 100 with five recordings per patient and five labels (standard errors 1.3 and 2.2); with 30 positives,
two labels alone:

    positives of each label            3       5      10      30   5 per patient:       3      10
    Macro AUROC                    94-97   96-97   96-99   95-98                    99-99   96-98
    Macro average precision        92-99   96-99  98-100   98-99                    99-99   98-99
    Macro F1                       94-97   94-96   96-98   96-98                    98-99   96-99
    Macro recall                   91-98   94-97   95-97   96-96                   99-100   97-98
    Macro precision                93-94   91-97   95-98   94-95                    93-98   92-99
    Macro specificity              95-96   95-98   94-98   94-94                    96-96   95-97
    Micro AUROC                    93-96   93-95   94-97   91-96                    98-98   93-94
    Micro average precision        95-99   95-97   97-98   95-97                    96-99   92-98
    Micro F1                       93-98   94-97   95-98   94-96                    93-99   95-96
    Micro recall                   94-98   95-97   94-96   93-96                   98-100   95-97
    Micro precision                93-97   94-96   94-97   94-95                   98-100   95-95
    Micro specificity              95-97   93-96   94-98   93-93                    95-96   91-94
    Weighted AUROC                 99-99  97-100   97-99   94-98                  100-100   97-98
    Weighted average precision     93-99   94-99   98-99   97-98                   98-100  98-100
    Weighted F1                    94-97   94-97   96-99   96-98                    96-99  97-100
    Weighted recall                94-97   95-97   96-98   95-97                   99-100   98-99
    Weighted precision             94-96   95-98   96-99   95-97                    98-99   96-98
    Weighted specificity          98-100   96-99   96-98   95-95                    96-99   97-99

Too long are the intervals of averages of average precision, as those of the labels are, and of weighted AUROC,
recall and F1 with few positives, as weights vary; the lowest are of macro recall, precision and average precision with
3 to 5 positives. Macro average precision of five labels with 3 positives, which is biased, has 81 % without room for
that.
"""

import argparse
import dataclasses
import functools
import itertools
import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

import coverage_studies
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from scipy import integrate, special, stats

from ecg_jax.evaluation import (
    auroc_intervals,
    bootstrap_intervals,
    closed_intervals,
    metrics,
    resampling,
    scores,
    tally,
    thresholds,
)
from ecg_jax.evaluation.predictions import Predictions
from ecg_jax.evaluation.settings import Settings
from ecg_jax.reporting import figures, layout, style

METRICS = {
    "auroc": "AUROC",
    "f1": "F1",
    "average_precision": "Average precision",
    "recall": "Recall",
    "precision": "Precision",
    "specificity": "Specificity",
}
METHODS = {
    "auto": "default",
    "delong": "DeLong, logit",
    "percentile": "percentile",
    "bca": "BCa",
    "expanded": "expanded",
}
POSITIVES, AUROCS = (3, 5, 10, 20, 30, 50, 100, 300), (0.8, 0.9, 0.95, 0.99)
UNEQUAL_SD, UNEQUAL_POSITIVES = 1.5, (30, 100)
CHUNK = 50  # repetitions that a process computes at a time
WORKERS = 2
LOWEST, HIGHEST = 93, 97  # percent: what passes for 95


Ends = dict[str, tuple[float, float]]  # lower and upper, by metric


@dataclasses.dataclass(frozen=True)
class Setting:
    """Recordings of which each is positive with the same probability, and whose scores are binormal.

    Attributes:
        positives: Expected number.
        auroc: Of the population.
        sd: Of the positives' scores; that of the negatives' is 1, and their mean 0.
        is_bootstrapped: Whether methods are tried that need a bootstrap.
    """

    positives: int
    auroc: float
    sd: float
    is_bootstrapped: bool

    @property
    def negatives(self) -> int:
        """Expected number."""
        return min(max(10 * self.positives, 100), 1000)

    @property
    def prevalence(self) -> float:
        """Probability of a positive."""
        return self.positives / (self.positives + self.negatives)

    @property
    def mean(self) -> float:
        """Of the positives' scores."""
        return float(stats.norm.ppf(self.auroc) * np.hypot(1, self.sd))

    def compute_rates(self, score: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
        """Shares of all recordings that are positive, and negative, and whose score is at least this."""
        there = self.prevalence * stats.norm.sf(score, self.mean, self.sd)
        return there, (1 - self.prevalence) * stats.norm.sf(score)

    @functools.cached_property
    def threshold(self) -> float:
        """The score at which F1 is largest in the population."""
        grid = np.linspace(-4, self.mean + 4 * self.sd, 10_001)
        hits, alarms = self.compute_rates(grid)
        return float(grid[np.argmax(2 * hits / (hits + alarms + self.prevalence))])

    def compute_truth(self) -> dict[str, float]:
        """Every metric in the population."""

        def weigh(score: float) -> float:
            hits, alarms = self.compute_rates(score)
            return float(hits / (hits + alarms) * stats.norm.pdf(score, self.mean, self.sd))

        reach = 8 * self.sd
        average_precision, _ = integrate.quad(weigh, self.mean - reach, self.mean + reach, limit=200)
        hits, alarms = (float(rate) for rate in self.compute_rates(self.threshold))
        return {
            "auroc": self.auroc,
            "f1": 2 * hits / (hits + alarms + self.prevalence),
            "average_precision": average_precision,
            "recall": hits / self.prevalence,
            "precision": hits / (hits + alarms),
            "specificity": 1 - alarms / (1 - self.prevalence),
        }

    def simulate(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Labels and scores of some recordings, `[N]` float64 each; scores by the logistic function in (0, 1)."""
        label = (rng.random(self.positives + self.negatives) < self.prevalence).astype(np.float64)
        noise = rng.normal(size=len(label))
        return label, special.expit(np.where(label > 0, self.mean + self.sd * noise, noise))


def compute_bootstrap(label: np.ndarray, score: np.ndarray, called: np.ndarray, settings: Settings) -> dict[str, Ends]:
    """Intervals of every metric by each kind of bootstrap, all from the same resamples."""
    design = resampling.create_design(len(label))
    counted = tally.create(label, score, called)

    def statistic(weights: np.ndarray) -> np.ndarray:
        found = tally.compute_scores(counted, weights, settings)
        return np.stack([found[name] for name in METRICS])

    drawn = [statistic(next(draw())) for draw in resampling.draw(design, settings.resamples, settings.seed)]
    values = np.concatenate(drawn, axis=1)
    estimate = statistic(np.ones((len(label), 1)))[:, 0]
    ranking = [[*METRICS].index(name) for name in ("auroc", "average_precision")]
    estimate[ranking] = metrics.compute_ranking(label, score)  # BCa asks whether a resample equals it to the last bit
    sizes = np.full(len(METRICS), max(min(label.sum(), (1 - label).sum()), 2))
    found = {
        "percentile": bootstrap_intervals.compute_percentile(values),
        "bca": bootstrap_intervals.compute_bca(estimate, values, resampling.jackknife(statistic, design)),
        "expanded": bootstrap_intervals.compute_expanded(values, sizes),
    }
    return {method: dict(zip(METRICS, zip(*ends, strict=True), strict=True)) for method, ends in found.items()}


def compute_delong(auroc: float, variance: float, positives: int, negatives: int) -> closed_intervals.Ends:
    """DeLong's interval on the logit scale (Perme and Manevski 2019, Stat Methods Med Res 28:3755-3768).

    The score interval where the variance is zero, as it is where classes are separated, or undefined.
    """
    if not variance > 0:
        return auroc_intervals.compute_score_interval(auroc, positives, negatives)
    reach = stats.norm.ppf(0.975) * np.sqrt(variance) / (auroc * (1 - auroc))
    return float(special.expit(special.logit(auroc) - reach)), float(special.expit(special.logit(auroc) + reach))


def compute_intervals(
    label: np.ndarray, score: np.ndarray, called: np.ndarray, settings: Settings, is_bootstrapped: bool
) -> np.ndarray:
    """Lower and upper ends, `[metrics, methods, 2]`; NaN where a method has none, or is a bootstrap left out."""
    auroc, covariance = auroc_intervals.compute_covariance(label > 0, score[:, None])
    classes = int(label.sum()), int((1 - label).sum())
    observed = tally.compute_scores(tally.create(label, score, called), np.ones((len(label), 1)), settings)
    default = closed_intervals.find(label, score, called, observed["average_precision"][0])
    found: dict[str, Ends] = {
        "auto": default,
        "delong": {"auroc": compute_delong(auroc[0], covariance[0, 0], *classes)},
    }
    if is_bootstrapped:
        found |= compute_bootstrap(label, score, called, settings)
        found["auto"] = found["expanded"] | default
    elif "precision" not in default:  # nothing was called positive
        default["precision"] = compute_bootstrap(label, score, called, settings)["expanded"]["precision"]
    return np.array([[found.get(method, {}).get(name, (np.nan, np.nan)) for method in METHODS] for name in METRICS])


def check(ends: np.ndarray, label: np.ndarray, score: np.ndarray, threshold: float, settings: Settings) -> None:
    """Raises AssertionError unless `scores.compute` gives the same intervals."""
    predictions = Predictions(np.arange(len(label)).astype(str), ("label",), label[:, None], score[:, None])
    given = thresholds.Thresholds(np.array([threshold]), "", thresholds.GIVEN)
    for i, interval in enumerate(METHODS):
        known = ~np.isnan(ends[:, i])
        if interval != "delong" and known.any():
            row = scores.compute(predictions, given, dataclasses.replace(settings, interval=interval)).table.iloc[0]
            expected = np.array([[row[f"{name}_low"], row[f"{name}_high"]] for name in METRICS], np.float64)
            np.testing.assert_allclose(ends[:, i][known], expected[known], rtol=1e-9, atol=1e-12)


def repeat(setting: Setting, start: int, stop: int, resamples: int, seed: int) -> np.ndarray:
    """Intervals of some repetitions, `[repetitions, metrics, methods, 2]`, but of those without both classes.

    The first of a setting is compared with `scores.compute`.
    """
    threshold = float(special.expit(setting.threshold))
    every: list[np.ndarray] = []
    for repetition in range(start, stop):
        key = [seed, setting.positives, round(1000 * setting.auroc), round(1000 * setting.sd), repetition]
        rng = np.random.default_rng(key)
        label, score = setting.simulate(rng)
        if 0 < label.sum() < len(label):
            settings = Settings(resamples=resamples, seed=int(rng.integers(2**31)))
            every.append(compute_intervals(label, score, score >= threshold, settings, setting.is_bootstrapped))
            if start == 0 and len(every) == 1:
                check(every[0], label, score, threshold, settings)
    return np.stack(every) if every else np.empty((0, len(METRICS), len(METHODS), 2))


def summarize(setting: Setting, ends: np.ndarray, repetitions: int) -> Iterator[dict[str, object]]:
    """One row per metric and method: how often the truth was inside, below and above, in percent; mean width."""
    truth = setting.compute_truth()
    for (i, metric), (j, method) in itertools.product(enumerate(METRICS), enumerate(METHODS)):
        low, high = ends[:, i, j].T
        if np.isnan(low).all():
            continue
        yield {
            "sd": setting.sd,
            "auroc": setting.auroc,
            "positives": setting.positives,
            "negatives": setting.negatives,
            "metric": metric,
            "method": method,
            "truth": truth[metric],
            "repetitions": len(ends),
            "skipped": repetitions - len(ends),
            "coverage": 100 * np.mean((low <= truth[metric]) & (truth[metric] <= high)),
            "truth_below": 100 * np.mean(truth[metric] < low),
            "truth_above": 100 * np.mean(truth[metric] > high),
            "width": np.mean(high - low),
        }


def run(settings: list[Setting], repetitions: int, resamples: int, seed: int) -> Iterator[pd.DataFrame]:
    """Simulates one setting after the other, and gives what is known after each; see `summarize`."""
    chunks = [range(start, min(start + CHUNK, repetitions)) for start in range(0, repetitions, CHUNK)]
    columns = (
        TextColumn("repetitions"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    tables: list[pd.DataFrame] = []
    context = multiprocessing.get_context("spawn")
    with Progress(*columns) as progress, ProcessPoolExecutor(WORKERS, mp_context=context) as pool:
        task = progress.add_task("", total=len(settings) * repetitions)
        futures = {
            setting: [pool.submit(repeat, setting, part.start, part.stop, resamples, seed) for part in chunks]
            for setting in settings
        }
        for setting, parts in futures.items():
            found = []
            for part, chunk in zip(parts, chunks, strict=True):
                found.append(part.result())
                progress.advance(task, len(chunk))
            tables.append(pd.DataFrame(summarize(setting, np.concatenate(found), repetitions)))
            default = tables[-1].query("method == 'auto'").set_index("metric")["coverage"]
            shown = ", ".join(f"{METRICS[metric]} {coverage:.1f}" for metric, coverage in default.items())
            what = f"{setting.positives} positives, AUROC {setting.auroc:g}, standard deviation {setting.sd:g}"
            progress.console.print(f"{what}, default: {shown}", highlight=False, soft_wrap=True)
            yield pd.concat(tables, ignore_index=True)


def format_table(table: pd.DataFrame) -> str:
    """Coverage in percent, lowest and highest over the AUROCs, of each method over the numbers of positives."""
    counts = table["positives"].unique()
    lines = [f"{'positives':<30}" + "".join(f"{count:>10}" for count in counts)]
    for metric, name in METRICS.items():
        for method, title in METHODS.items():
            cells = table[(table["metric"] == metric) & (table["method"] == method)].groupby("positives")["coverage"]
            if len(cells):
                found = [f"{group.min():.1f}-{group.max():.1f}".replace("100.0", "100") for _, group in cells]
                lines.append(f"{f'{name}, {title}':<30}" + "".join(f"{text:>10}" for text in found))
    return "\n".join(lines)


@style.styled
def draw(table: pd.DataFrame) -> Figure:
    """Draws coverage over the number of positives: means over the AUROCs, and bars from the lowest to the highest."""
    figure, panels, _ = layout.create_panels(len(METRICS))
    counts = table["positives"].unique()
    handles: list[Artist] = []
    for axes, metric in zip(panels, METRICS, strict=True):
        axes.axhspan(LOWEST, HIGHEST, color=style.GREY, alpha=0.2, lw=0)
        axes.axhline(95, color=style.GREY, lw=0.6)
        for k, (method, title) in enumerate(METHODS.items()):
            cells = table[(table["metric"] == metric) & (table["method"] == method)].groupby("positives")["coverage"]
            if not len(cells):
                continue
            color, line, marker = style.choose_look(k)
            place = counts * 1.05 ** (k - 2)  # side by side
            axes.vlines(place, cells.min(), cells.max(), color=color, lw=0.6)
            look = {"color": color, "ls": line, "marker": marker, "ms": 3, "label": title}
            (drawn,) = axes.plot(place, cells.mean(), **look)
            if metric == "auroc":
                handles.append(drawn)
        axes.set(xscale="log", ylim=(min(table["coverage"].min() - 2, 88), 101))
        axes.set_xticks(counts, [str(count) for count in counts])
        axes.xaxis.set_minor_locator(NullLocator())
    layout.set_titles(panels, [*METRICS.values()], [""] * len(METRICS))
    layout.label_outer(panels, "Expected positives", "Coverage (%)")
    layout.add_legend(figure, handles)
    layout.arrange(figure, panels)
    return figure


def _run_study(study: str, repetitions: int, seed: int, output: str) -> None:
    """Simulates patients with several recordings, or averages, and writes and prints how often intervals hold."""
    listed = {"patients": coverage_studies.list_patients, "averages": coverage_studies.list_averages}[study]
    for table in coverage_studies.run([*listed()], repetitions, seed, WORKERS):
        table.to_csv(os.path.join(output, f"{study}.csv"), index=False, float_format="%.6g")
    print(coverage_studies.format_coverage(table))


def main() -> None:
    """Simulates, prints a table, and writes every number and a figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=1000, help="of each setting")
    parser.add_argument("--resamples", type=int, default=1000, help="of each bootstrap")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--positives", type=int, nargs="+", default=POSITIVES, help="expected numbers")
    parser.add_argument("--bootstrapped", type=float, nargs="*", default=AUROCS, help="AUROCs with bootstrap methods")
    parser.add_argument(
        "--study", choices=("labels", "patients", "averages"), default="labels", help="what has the intervals"
    )
    parser.add_argument("--output", default="interval_coverage", help="folder for coverage.csv, .pdf and .png")
    arguments = parser.parse_args()
    counts = sorted(arguments.positives)
    blocks = [(1.0, count) for count in counts] + [
        (UNEQUAL_SD, count) for count in counts if count in UNEQUAL_POSITIVES
    ]
    settings = [
        Setting(count, auroc, sd, auroc in arguments.bootstrapped) for (sd, count) in blocks for auroc in AUROCS
    ]
    os.makedirs(arguments.output, exist_ok=True)
    if arguments.study != "labels":
        _run_study(arguments.study, arguments.repetitions, arguments.seed, arguments.output)
        return
    path = os.path.join(arguments.output, "coverage.csv")
    for table in run(settings, arguments.repetitions, arguments.resamples, arguments.seed):
        table.to_csv(path, index=False, float_format="%.6g")
    for sd, part in table.groupby("sd"):
        print(f"\nstandard deviations {sd:g} and 1\n{format_table(part)}")
    figures.write(draw(table[table["sd"] == 1]), os.path.join(arguments.output, "coverage"))


if __name__ == "__main__":
    main()
