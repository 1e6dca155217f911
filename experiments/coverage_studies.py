"""What `interval_coverage.py` simulates besides single labels: patients with several recordings, and averages.

Scores are binormal with standard deviations 1. Patients: a recording's score is the sum of a patient's part and of
its own, with variances `alike` and 1 - `alike`; either all recordings of a patient have the label or none, or each
has it with a chance that is a patient's own (`mixed`, correlation 1/3 within patients). A second model's scores
correlate with the first's by 0.5; its population scores are the same, so that differences are 0.
"""

import dataclasses
import functools
import itertools
import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pandas as pd
from scipy import integrate, special, stats

from ecg_jax.evaluation import agreement, auroc_intervals, closed_intervals, metrics, resampling, scores, tally
from ecg_jax.evaluation.predictions import Predictions
from ecg_jax.evaluation.settings import Settings
from ecg_jax.evaluation.thresholds import GIVEN, Thresholds

LABEL_METRICS = ("auroc", "average_precision", "f1", "recall", "precision", "specificity")
BETWEEN = 0.5  # correlation of two models


@functools.cache
def find_truth(auroc: float, prevalence: float) -> tuple[float, dict[str, float]]:
    """The threshold of the largest F1 in a population, and every score there."""
    mean = float(stats.norm.ppf(auroc)) * 2**0.5
    grid = np.linspace(-4, mean + 4, 4001)
    hits, alarms = prevalence * stats.norm.sf(grid - mean), (1 - prevalence) * stats.norm.sf(grid)
    best = int(np.argmax(2 * hits / (hits + alarms + prevalence)))
    hit, alarm = float(hits[best]), float(alarms[best])

    def weigh(score: float) -> float:
        found = prevalence * stats.norm.sf(score - mean)
        return float(found / (found + (1 - prevalence) * stats.norm.sf(score)) * stats.norm.pdf(score - mean))

    return float(grid[best]), {
        "auroc": auroc,
        "average_precision": integrate.quad(weigh, mean - 8, mean + 8, limit=200)[0],
        "f1": 2 * hit / (hit + alarm + prevalence),
        "recall": hit / prevalence,
        "precision": hit / (hit + alarm),
        "specificity": 1 - alarm / (1 - prevalence),
    }


@dataclasses.dataclass(frozen=True)
class PatientSetting:
    """Patients with the same number of recordings.

    Attributes:
        positives: Expected number of patients, or patients' worth of recordings, with the label; without, 5 times.
        recordings: Of each patient.
        alike: Correlation of the scores of a patient's recordings.
        auroc: Of the population.
        is_mixed: A patient's recordings need not all have the label.
    """

    positives: int
    recordings: int
    alike: float
    auroc: float
    is_mixed: bool

    @property
    def prevalence(self) -> float:
        """Probability of a positive."""
        return 1 / 6

    def simulate(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Labels `[N]` float, scores `[N, 2]` of both models, and patients `[N]` int."""
        patients = 6 * self.positives
        unit = np.repeat(np.arange(patients), self.recordings)
        if self.is_mixed:
            chance = rng.beta(2 * self.prevalence, 2 * (1 - self.prevalence), size=patients)
            label = rng.random(len(unit)) < chance[unit]
        else:
            label = (rng.random(patients) < self.prevalence)[unit]
        mix = np.linalg.cholesky([[1, BETWEEN], [BETWEEN, 1]])
        parts = [rng.normal(size=(size, 2)) @ mix.T for size in (patients, len(unit))]
        noise = np.sqrt(self.alike) * parts[0][unit] + np.sqrt(1 - self.alike) * parts[1]
        return label.astype(np.float64), noise + label[:, None] * stats.norm.ppf(self.auroc) * 2**0.5, unit

    def find_kappa(self, threshold: float) -> float:
        """Kappa of both models' decisions in the population."""
        mean, shares = float(stats.norm.ppf(self.auroc)) * 2**0.5, np.zeros((2, 2))
        for weight, shift in ((self.prevalence, mean), (1 - self.prevalence, 0.0)):
            below = float(stats.norm.cdf(threshold - shift))
            both = float(
                stats.multivariate_normal.cdf([threshold - shift] * 2, cov=np.array([[1, BETWEEN], [BETWEEN, 1]]))
            )
            shares += weight * np.array([[both, below - both], [below - both, 1 - 2 * below + both]])
        chance = shares.sum(axis=1) @ shares.sum(axis=0)
        return float((np.trace(shares) - chance) / (1 - chance))

    def find_truths(self) -> dict[str, float]:
        """What the intervals are to contain, by the names of `repeat`."""
        threshold, truth = find_truth(self.auroc, self.prevalence)
        differences = dict.fromkeys(("auroc_difference", "accuracy_difference", "recall_difference"), 0.0)
        return {name: truth[name] for name in LABEL_METRICS} | differences | {"kappa": self.find_kappa(threshold)}

    def repeat(self, rng: np.random.Generator) -> dict[str, tuple[float, float]] | None:
        """Intervals of some recordings by score, and `mcnemar` (p, p); None without both classes."""
        label, score, unit = self.simulate(rng)
        if not 0 < label.sum() < len(label):
            return None
        members = unit if self.recordings > 1 else None
        called, truth = score >= find_truth(self.auroc, self.prevalence)[0], label > 0
        counted = tally.create(label, score[:, 0], called[:, 0])
        average_precision = tally.compute_scores(counted, np.ones((len(label), 1)), Settings())["average_precision"][0]
        ends = closed_intervals.find(label, score[:, 0], called[:, 0], average_precision, members)
        test = auroc_intervals.compare(truth, score[:, 0], score[:, 1], members)
        right = called == truth[:, None]
        first, second = called.T.astype(np.float64)
        effect = 1.0 if members is None else agreement.measure_kappa_effect(first, second, unit)
        kappa = agreement.compute_kappa(agreement.count_pairs(first, second), effect=effect)
        chosen = None if members is None else unit[truth]
        p = agreement.compare_right(right[:, 0], right[:, 1], members)
        return {name: ends.get(name, (np.nan, np.nan)) for name in LABEL_METRICS} | {
            "auroc_difference": (test.low, test.high),
            "accuracy_difference": closed_intervals.find_difference(right[:, 0], right[:, 1], members),
            "recall_difference": closed_intervals.find_difference(right[truth, 0], right[truth, 1], chosen),
            "kappa": kappa[1:],
            "mcnemar": (p, p),
        }


@dataclasses.dataclass(frozen=True)
class AverageSetting:
    """Several labels of the same recordings.

    Attributes:
        positives: Expected number of each label.
        labels: Number of labels, whose AUROCs are from 0.8 to 0.98.
        alike: Correlation of a recording's scores.
        recordings: Of each patient, whose labels are the same and whose scores correlate by 0.5.
    """

    positives: int
    labels: int
    alike: float
    recordings: int = 1

    @property
    def aurocs(self) -> np.ndarray:
        """Of the labels, `[C]`."""
        return np.linspace(0.8, 0.98, self.labels)

    @property
    def patients(self) -> int:
        """Number of patients, or of recordings where each has one."""
        return max(100, 10 * self.positives)

    @property
    def prevalence(self) -> float:
        """Probability of each label."""
        return self.positives / self.patients

    def find_truths(self) -> dict[str, float]:
        """What the intervals are to contain, by the names of `repeat`."""
        found = [find_truth(auroc, self.prevalence) for auroc in self.aurocs.tolist()]
        truths = {f"macro {name}": float(np.mean([truth[name] for _, truth in found])) for name in LABEL_METRICS}
        truths |= {f"weighted {name}": truths[f"macro {name}"] for name in LABEL_METRICS}
        means = special.ndtri(self.aurocs) * 2**0.5
        hits = np.mean([truth["recall"] for _, truth in found]) * self.prevalence
        alarms = np.mean([1 - truth["specificity"] for _, truth in found]) * (1 - self.prevalence)
        grid = np.linspace(-8, 12, 20_001)
        rate = self.prevalence * np.mean(stats.norm.sf(grid[:, None] - means), axis=1)
        density = np.mean(stats.norm.pdf(grid[:, None] - means), axis=1)
        curve = rate / (rate + (1 - self.prevalence) * stats.norm.sf(grid))
        return truths | {
            "micro auroc": float(self.aurocs.mean()),
            "micro average_precision": float(integrate.trapezoid(np.nan_to_num(curve) * density, grid)),
            "micro f1": float(2 * hits / (hits + alarms + self.prevalence)),
            "micro recall": float(hits / self.prevalence),
            "micro precision": float(hits / (hits + alarms)),
            "micro specificity": float(1 - alarms / (1 - self.prevalence)),
        }

    def repeat(self, rng: np.random.Generator) -> dict[str, tuple[float, float]] | None:
        """Intervals of averages by score; None where a label has one class."""
        size, unit = self.patients * self.recordings, np.repeat(np.arange(self.patients), self.recordings)
        label = (rng.random((self.patients, self.labels)) < self.prevalence)[unit].astype(np.float64)
        if not ((label.sum(axis=0) > 0) & (label.sum(axis=0) < size)).all():
            return None
        within = 0.5 if self.recordings > 1 else 0.0
        noise = sum(
            np.sqrt(share)
            * (
                np.sqrt(self.alike) * rng.normal(size=(len(names), 1))
                + np.sqrt(1 - self.alike) * rng.normal(size=(len(names), self.labels))
            )[names]
            for share, names in ((within, unit), (1 - within, np.arange(size)))
        )
        score = noise + label * special.ndtri(self.aurocs) * 2**0.5
        cuts = np.array([find_truth(auroc, self.prevalence)[0] for auroc in self.aurocs.tolist()])
        names = tuple(f"l{i}" for i in range(self.labels))
        predictions = Predictions(
            np.arange(size).astype(str), names, label, special.expit(score), patients=unit.astype(str)
        )
        low, high = find_average_ends(predictions, special.expit(cuts), Settings(resamples=64))
        places = [metrics.list_metrics(Settings()).index(name) for name in LABEL_METRICS]
        return {
            f"{average} {name}": (low[self.labels + row, place], high[self.labels + row, place])
            for row, average in enumerate(("macro", "micro", "weighted"))
            for name, place in zip(LABEL_METRICS, places, strict=True)
        }


def find_average_ends(predictions: Predictions, cuts: np.ndarray, settings: Settings) -> tuple[np.ndarray, np.ndarray]:
    """The ends `[rows, metrics]` of `scores.compute`, sooner, as scores are not computed by scikit-learn as well."""
    labels, design = predictions.labels, scores.create_design(predictions, settings)
    columns, names = scores.list_columns(predictions, Thresholds(cuts, "", GIVEN)), metrics.list_metrics(settings)
    tallies = [tally.create(each.label, each.probability, each.called, each.owner, len(labels)) for each in columns]

    def statistic(weights: np.ndarray) -> np.ndarray:
        found = [tally.compute_scores(each, weights, settings) for each in tallies]
        values = np.stack([np.stack([part[name] for name in names]) for part in found])
        return scores.complete(values, ((labels == 1).T @ weights)[:, None])

    estimates = statistic(np.ones((len(labels), 1)))[..., 0]
    drawn = [statistic(next(draw())) for draw in resampling.draw(design, settings.resamples, settings.seed)]
    low, high = np.full_like(estimates, np.nan), np.full_like(estimates, np.nan)
    scores.replace_ends(low, high, estimates, np.concatenate(drawn, axis=-1), columns, labels, design, settings)
    return low, high


Study = PatientSetting | AverageSetting


def list_patients() -> Iterator[PatientSetting]:
    """Clusters of 1, 2, 5 and 10."""
    for recordings, positives in itertools.product((1, 2, 5, 10), (3, 5, 10, 30)):
        for alike, auroc, is_mixed in itertools.product((0.3, 0.7), (0.8, 0.95), (False, True)):
            if recordings > 1 or (alike == 0.3 and not is_mixed):
                yield PatientSetting(positives, recordings, alike, auroc, is_mixed)


def list_averages() -> Iterator[AverageSetting]:
    """Two and six labels, of one and of five recordings per patient."""
    for recordings, positives, labels, alike in itertools.product((1, 5), (3, 5, 10, 30), (2, 5), (0.0, 0.5)):
        yield AverageSetting(positives, labels, alike, recordings)


def summarize(setting: Study, repetitions: int, seed: int) -> list[dict[str, object]]:
    """One row per score: how often, in percent, the truth was inside, below and above; McNemar's: p below 0.05."""
    key = [seed, *(round(1000 * float(value)) for value in dataclasses.astuple(setting))]
    rng, every = np.random.default_rng(key), []
    for _ in range(repetitions):
        if found := setting.repeat(rng):
            every.append(found)
    truths, rows = setting.find_truths(), []
    for name in every[0] if every else ():
        low, high = np.array([found[name] for found in every]).T
        known = ~np.isnan(low)
        low, high, truth = low[known], high[known], truths.get(name, np.nan)
        shares = (low <= truth) & (truth <= high), truth < low, truth > high
        if name == "mcnemar":
            shares = low >= 0.05, low < 0.05, low < 0
        values = [100 * float(np.mean(share)) if known.any() else np.nan for share in shares]
        row = dict(zip(("coverage", "truth_below", "truth_above"), values, strict=True))
        counts = {"repetitions": int(known.sum()), "skipped": repetitions - int(known.sum())}
        rows.append(dataclasses.asdict(setting) | {"score": name, "truth": truth} | row | counts)
    return rows


def format_coverage(table: pd.DataFrame) -> str:
    """Lowest, mean and highest coverage in percent, by score and recordings per patient, over the positives."""
    cells = table.groupby(["score", "recordings", "positives"], sort=False)["coverage"].agg(["min", "mean", "max"])
    text = cells.round(1).astype(str).agg(" ".join, axis=1).unstack("positives")
    return str(text.to_string())


def run(settings: Sequence[Study], repetitions: int, seed: int, workers: int) -> Iterator[pd.DataFrame]:
    """Simulates one setting after the other, and gives what is known after each; see `summarize`."""
    rows: list[dict[str, object]] = []
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        for found in pool.map(functools.partial(summarize, repetitions=repetitions, seed=seed), settings):
            rows += found
            yield pd.DataFrame(rows)
