"""Agreement of readers, with each other and with a network, beyond chance; and whether one errs more often.

Where patients have several recordings, the variance of kappa is that of sums per patient (Yang and Zhou 2014, Stat Med
33:2612-2633), by way of `clusters.count_effective`, and McNemar's tests use differences per patient.
"""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import scipy.stats

from ecg_jax.evaluation import bootstrap_intervals, clusters

FEW_POSITIVES = 10  # fewer get a note: their kappa says little
METHODS = ("exact", "asymptotic", "corrected")  # of McNemar's test
_LARGEST = 4000  # sum of patients' differences up to which the exact test is computed as such


def count_pairs(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Counts `[2, 2]` of readings `[N]` in {1, 0, NaN}: rows by `a`, columns by `b`, absent first; unknown left out."""
    known = ~np.isnan(a) & ~np.isnan(b)
    return np.bincount(2 * (a[known] > 0.5) + (b[known] > 0.5), minlength=4).reshape(2, 2)


def compute_kappa(counts: np.ndarray, level: float = 0.95, effect: float = 1.0) -> tuple[float, float, float]:
    """Cohen's kappa, and its large-sample interval (Fleiss, Cohen & Everitt 1969, Psychol Bull 72:323-327), at most 1.

    NaN where both readers give everything the same reading. `counts` are those of `count_pairs`; `effect` is the ratio
    of the variance to that of independent recordings (`measure_kappa_effect`).
    """
    total = counts.sum()
    share = counts / max(total, 1)
    rows, columns = share.sum(axis=1), share.sum(axis=0)
    chance = float(rows @ columns)
    if not total or chance == 1:
        return np.nan, np.nan, np.nan
    kappa = (float(np.trace(share)) - chance) / (1 - chance)
    agreeing = np.diag(share) @ (1 - (rows + columns) * (1 - kappa)) ** 2
    crossed = (columns[:, None] + rows[None, :]) ** 2
    differing = (1 - kappa) ** 2 * (share * crossed * (1 - np.eye(2))).sum()
    variance = (agreeing + differing - (kappa - chance * (1 - kappa)) ** 2) / (total * (1 - chance) ** 2)
    reach = scipy.stats.norm.ppf((1 + level) / 2) * np.sqrt(max(variance * effect, 0.0))
    return kappa, kappa - reach, min(kappa + reach, 1.0)


def measure_kappa_effect(a: np.ndarray, b: np.ndarray, unit: np.ndarray) -> float:
    """Ratio of the variance of the kappa of readings `[N]` in {1, 0, NaN} to that of independent recordings."""
    known = ~np.isnan(a) & ~np.isnan(b)
    if not known.any():
        return 1.0
    first, second = (a[known] > 0.5).astype(int), (b[known] > 0.5).astype(int)
    share = count_pairs(a, b) / len(first)
    rows, columns = share.sum(axis=1), share.sum(axis=0)
    chance, agreement = float(rows @ columns), float(np.trace(share))
    agreeing = (first == second) - agreement
    by_chance = columns[first] + rows[second] - 2 * chance
    influence = agreeing * (1 - chance) - by_chance * (1 - agreement)
    return len(first) / clusters.count_effective(influence, unit[known])


def compute_fleiss_kappa(
    readings: np.ndarray,
    *,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    unit: np.ndarray | None = None,
) -> tuple[float, float, float]:
    """Fleiss' kappa of a panel (1971, Psychol Bull 76:378-382) and its BCa bootstrap interval, NaN where undefined.

    `readings` are `[N, readers]` in {1, 0, NaN}; recordings with a missing reading are left out.
    """
    is_known = ~np.isnan(readings).any(axis=1)
    known = readings[is_known] > 0.5
    readers = known.shape[1]
    if not len(known) or readers < 2:
        return np.nan, np.nan, np.nan
    present = known.sum(axis=1)
    agreeing = (present * (present - 1) + (readers - present) * (readers - present - 1)) / (readers * (readers - 1))
    sums = np.stack([agreeing, present / readers, np.ones(len(known))])

    def statistic(weights: np.ndarray) -> np.ndarray:
        agreement, share, count = sums @ weights
        agreement, share = agreement / count, share / count
        chance = share**2 + (1 - share) ** 2
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(chance < 1, (agreement - chance) / (1 - chance), np.nan)[None]

    members = None if unit is None else unit[is_known]
    return bootstrap_intervals.estimate_with_bca(statistic, len(known), members, resamples, level, seed)


def compute_mcnemar(only_a: int, only_b: int, *, method: str = "exact") -> float:
    """McNemar's test that two readers err equally often (1947, Psychometrika 12:153-157): its two-sided p value.

    Args:
        only_a: Recordings in which a is right and b wrong.
        only_b: The reverse.
        method: One of `METHODS`: `exact` (binomial), `asymptotic` (chi-square with 1 degree of freedom) or
            `corrected` (the same with Edwards' continuity correction).
    """
    if method not in METHODS:
        raise ValueError(f"method is {method!r}; known: {', '.join(METHODS)}")
    total, difference = only_a + only_b, abs(only_a - only_b)
    if not total:
        return 1.0
    if method == "exact":
        return float(scipy.stats.binomtest(min(only_a, only_b), total).pvalue)
    difference = max(difference - 1, 0) if method == "corrected" else difference
    return float(scipy.stats.chi2.sf(difference**2 / total, 1))


def compute_clustered_mcnemar(differences: np.ndarray, *, method: str = "exact") -> float:
    """McNemar's test where patients have several recordings; that of `compute_mcnemar` where none has.

    `exact` is Fisher's randomization test (1935, The Design of Experiments, sec. 21) of the sign of each patient's
    difference; `asymptotic` divides the squared sum of differences by the sum of their squares (Yang, Sun and Hardin
    2010, Biom J 52:638-652, after Obuchowski 1998, Stat Med 17:1495-1507), as does `exact` beyond a sum of 4,000;
    `corrected` corrects that for continuity, by half the spacing of the sums. `differences` are `[K]` int, by patient:
    recordings in which only a is right, less those in which only b is.
    """
    sizes = np.abs(differences[differences != 0])
    if not sizes.size:
        return compute_mcnemar(0, 0, method=method)
    spacing = np.gcd.reduce(sizes)
    sizes, total = sizes // spacing, abs(int(differences.sum())) // spacing
    if (sizes == 1).all():
        return compute_mcnemar((len(sizes) + total) // 2, (len(sizes) - total) // 2, method=method)
    if method == "exact" and sizes.sum() <= _LARGEST:
        return _randomize_signs(sizes, total)
    total = max(total - 1, 0) if method == "corrected" else total
    return float(scipy.stats.chi2.sf(total**2 / np.sum(sizes.astype(np.float64) ** 2), 1))


def _randomize_signs(sizes: np.ndarray, total: int) -> float:
    """Probability that numbers `[K]` int above 0 with random signs sum to `total` or more, on either side."""
    chances = np.ones(1)  # of sums from -sum(sizes) on, in steps of 2
    for size, count in zip(*np.unique(sizes, return_counts=True), strict=True):
        steps = np.zeros(size * count + 1)
        steps[::size] = scipy.stats.binom.pmf(np.arange(count + 1), count, 0.5)
        chances = np.convolve(chances, steps)
    sums = 2 * np.arange(len(chances)) - int(sizes.sum())
    return min(float(chances[np.abs(sums) >= total].sum()), 1.0)


def compare_right(right_a: np.ndarray, right_b: np.ndarray, unit: np.ndarray | None, *, method: str = "exact") -> float:
    """McNemar's test of two readers who are right in `[N]` bool; see `compute_mcnemar`, `compute_clustered_mcnemar`."""
    difference = right_a.astype(int) - right_b
    if unit is None:
        return compute_mcnemar(int(np.sum(difference > 0)), int(np.sum(difference < 0)), method=method)
    return compute_clustered_mcnemar(np.rint(clusters.sum_units(difference, unit)).astype(int), method=method)


def adjust_holm(p: Sequence[float] | np.ndarray) -> np.ndarray:
    """Holm's adjustment of p values for their number (1979, Scand J Stat 6:65-70); NaN ones do not count."""
    p = np.asarray(p, np.float64)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    adjusted = np.full(len(p), np.nan)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)), 1.0)
    return adjusted


def describe_few(sides: Mapping[str, np.ndarray], unit: np.ndarray | None, few: int) -> str:
    """States that the rarest of `sides`, `[N]` bool by name, has fewer than `few` recordings or patients, if so."""
    counts = {
        what: int(side.sum()) if unit is None else clusters.count_units(unit, side) for what, side in sides.items()
    }
    what = min(counts, key=lambda name: counts[name])
    if counts[what] >= few:
        return ""
    number = int(sides[what].sum())
    patients = "" if unit is None else f" of {counts[what]} patient{'' if counts[what] == 1 else 's'}"
    return f"only {number} {what}{'' if number == 1 else 's'}{patients}"


def compare_readers(
    readings: Mapping[str, np.ndarray], names: Sequence[str], *, level: float = 0.95, unit: np.ndarray | None = None
) -> pd.DataFrame:
    """Cohen's kappa of every two readers, per label; readings are `[N, C]` in {1, 0, NaN} by reader.

    Returns:
        `readers` ("A vs B"), `label`, `n`, `positives` (recordings that either calls positive), `prevalence` (mean
        share of the two), `agree` (share), `kappa`, `kappa_low`, `kappa_high`, `pabak` (kappa adjusted for prevalence
        and bias: Byrt, Bishop and Carlin 1993, J Clin Epidemiol 46:423-429), and `note`, on few positives.
    """
    rows = []
    for (first, every_a), (second, every_b) in itertools.combinations(readings.items(), 2):
        for name, a, b in zip(names, every_a.T, every_b.T, strict=True):
            counts = count_pairs(a, b)
            effect = 1.0 if unit is None else measure_kappa_effect(a, b, unit)
            total, positives = int(counts.sum()), int(counts.sum() - counts[0, 0])
            agree = float(np.trace(counts) / total) if total else np.nan
            prevalence = float((counts[1].sum() + counts[:, 1].sum()) / (2 * total)) if total else np.nan
            positive = ~np.isnan(a) & ~np.isnan(b) & ((a > 0.5) | (b > 0.5))
            note = describe_few({"positive": positive}, unit, FEW_POSITIVES)
            shown = [total, positives, prevalence, agree, *compute_kappa(counts, level, effect), 2 * agree - 1, note]
            rows.append([f"{first} vs {second}", name, *shown])
    columns = ["n", "positives", "prevalence", "agree", "kappa", "kappa_low", "kappa_high", "pabak", "note"]
    return pd.DataFrame(rows, columns=["readers", "label", *columns])


def compare_errors(
    readings: Mapping[str, np.ndarray], truth: np.ndarray, names: Sequence[str], *, unit: np.ndarray | None = None
) -> pd.DataFrame:
    """McNemar's test for every two readers, per label, against the truth `[N, C]` in {1, 0, NaN}, like the readings.

    Returns:
        `readers`, `label`, `only_first_right`, `only_second_right`, `p_exact`, `p_asymptotic`,
        `p_corrected`, and `p_holm`: the exact one adjusted over labels, for each two readers.
    """
    columns = ["readers", "label", "only_first_right", "only_second_right", *(f"p_{name}" for name in METHODS)]
    parts = []
    for (first, every_a), (second, every_b) in itertools.combinations(readings.items(), 2):
        rows = []
        for name, a, b, true in zip(names, every_a.T, every_b.T, truth.T, strict=True):
            known = ~(np.isnan(a) | np.isnan(b) | np.isnan(true))
            right = a[known] == true[known], b[known] == true[known]
            only = int(np.sum(right[0] & ~right[1])), int(np.sum(right[1] & ~right[0]))
            members = None if unit is None else unit[known]
            tests = [compare_right(*right, members, method=method) for method in METHODS]
            rows.append([f"{first} vs {second}", name, *only, *tests])
        table = pd.DataFrame(rows, columns=columns)
        parts.append(table.assign(p_holm=adjust_holm(table["p_exact"].to_numpy())))
    return pd.concat(parts, ignore_index=True)


def summarize_panel(
    readings: Mapping[str, np.ndarray],
    names: Sequence[str],
    *,
    resamples: int,
    level: float,
    seed: int,
    unit: np.ndarray | None = None,
) -> pd.DataFrame:
    """Fleiss' kappa of all readers together, per label: `label`, `readers`, `n`, `kappa`, `kappa_low`, `kappa_high`."""
    rows = []
    for i, name in enumerate(names):
        columns = np.stack([values[:, i] for values in readings.values()], axis=1)
        kappa = compute_fleiss_kappa(columns, resamples=resamples, level=level, seed=seed, unit=unit)
        rows.append([name, columns.shape[1], int((~np.isnan(columns).any(axis=1)).sum()), *kappa])
    return pd.DataFrame(rows, columns=["label", "readers", "n", "kappa", "kappa_low", "kappa_high"])
