"""How far readers agree, with each other and with a network, beyond chance; and whether one errs more."""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import scipy.stats

from ecg_jax.evaluation import intervals, resampling


def count_pairs(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Counts `[2, 2]` of readings `[N]` in {1, 0, NaN}: rows by `a`, columns by `b`, absent first; unknown left out."""
    known = ~np.isnan(a) & ~np.isnan(b)
    return np.bincount(2 * (a[known] > 0.5) + (b[known] > 0.5), minlength=4).reshape(2, 2)


def compute_kappa(counts: np.ndarray, level: float = 0.95) -> tuple[float, float, float]:
    """Cohen's kappa, and its large-sample interval (Fleiss, Cohen & Everitt 1969, Psychol Bull 72:323-327).

    Args:
        counts: `[2, 2]`, see `count_pairs`.
        level: Of the interval.

    Returns:
        Kappa, and the ends of its interval, at most 1; NaN where both readers say the same of
        everything, as chance would.
    """
    total = counts.sum()
    if not total:
        return np.nan, np.nan, np.nan
    share = counts / total
    rows, columns = share.sum(axis=1), share.sum(axis=0)
    chance = float(rows @ columns)
    if chance == 1:
        return np.nan, np.nan, np.nan
    kappa = (float(np.trace(share)) - chance) / (1 - chance)
    agreeing = np.diag(share) @ (1 - (rows + columns) * (1 - kappa)) ** 2
    crossed = (columns[:, None] + rows[None, :]) ** 2
    differing = (1 - kappa) ** 2 * (share * crossed * (1 - np.eye(2))).sum()
    variance = (agreeing + differing - (kappa - chance * (1 - kappa)) ** 2) / (total * (1 - chance) ** 2)
    reach = scipy.stats.norm.ppf((1 + level) / 2) * np.sqrt(max(variance, 0.0))
    return kappa, kappa - reach, min(kappa + reach, 1.0)


def compute_fleiss_kappa(
    readings: np.ndarray, *, resamples: int = 1000, level: float = 0.95, seed: int = 0
) -> tuple[float, float, float]:
    """Fleiss' kappa of a panel (1971, Psychol Bull 76:378-382), and a BCa bootstrap interval over recordings.

    Args:
        readings: `[N, readers]` in {1, 0, NaN}; recordings that not everyone read are left out.
        resamples: Of the bootstrap; 0 for no interval.
        level: Of the interval.
        seed: Of the resamples.

    Returns:
        Kappa and the ends of its interval; NaN where it is undefined.
    """
    known = readings[~np.isnan(readings).any(axis=1)] > 0.5
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

    estimate = statistic(np.ones((len(known), 1)))[:, 0]
    if not resamples:
        return float(estimate[0]), np.nan, np.nan
    design = resampling.create_design(len(known))
    values = resampling.resample(statistic, design, resamples, seed)
    low, high = intervals.compute_bca(estimate, values, resampling.jackknife(statistic, design), level)
    return float(estimate[0]), float(low[0]), float(high[0])


def compute_mcnemar(only_a: int, only_b: int, *, method: str = "exact") -> float:
    """McNemar's test that two readers err equally often (1947, Psychometrika 12:153-157).

    Args:
        only_a: Recordings in which a is right and b wrong.
        only_b: The reverse.
        method: `exact` (binomial), `asymptotic` (chi-square with 1 degree of freedom) or
            `corrected` (the same with Edwards' continuity correction).

    Returns:
        The two-sided p value; 1 where they never differ.
    """
    if method not in ("exact", "asymptotic", "corrected"):
        raise ValueError(f"method is {method!r}; known: exact, asymptotic, corrected")
    total, difference = only_a + only_b, abs(only_a - only_b)
    if not total:
        return 1.0
    if method == "exact":
        return float(scipy.stats.binomtest(min(only_a, only_b), total).pvalue)
    difference = max(difference - 1, 0) if method == "corrected" else difference
    return float(scipy.stats.chi2.sf(difference**2 / total, 1))


def adjust_holm(p: Sequence[float] | np.ndarray) -> np.ndarray:
    """Holm's adjustment of p values for their number (1979, Scand J Stat 6:65-70); NaN ones do not count."""
    p = np.asarray(p, np.float64)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    adjusted = np.full(len(p), np.nan)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)), 1.0)
    return adjusted


def compare_readers(readings: Mapping[str, np.ndarray], names: Sequence[str], *, level: float = 0.95) -> pd.DataFrame:
    """Cohen's kappa of every two readers, per label.

    Args:
        readings: `[N, C]` in {1, 0, NaN} by reader.
        names: The C labels.
        level: Of the intervals.

    Returns:
        `readers` ("A vs B"), `label`, `n`, `agree` (share), `kappa`, `kappa_low`, `kappa_high`.
    """
    rows = []
    for (first, a), (second, b) in itertools.combinations(readings.items(), 2):
        for i, name in enumerate(names):
            counts = count_pairs(a[:, i], b[:, i])
            kappa, low, high = compute_kappa(counts, level)
            total = int(counts.sum())
            agree = float(np.trace(counts) / total) if total else np.nan
            rows.append([f"{first} vs {second}", name, total, agree, kappa, low, high])
    return pd.DataFrame(rows, columns=["readers", "label", "n", "agree", "kappa", "kappa_low", "kappa_high"])


def compare_errors(readings: Mapping[str, np.ndarray], truth: np.ndarray, names: Sequence[str]) -> pd.DataFrame:
    """McNemar's test for every two readers, per label, against the truth.

    Args:
        readings: `[N, C]` in {1, 0, NaN} by reader.
        truth: `[N, C]` likewise; recordings in which anything is unknown are left out.
        names: The C labels.

    Returns:
        `readers`, `label`, `only_first_right`, `only_second_right`, `p_exact`, `p_asymptotic`,
        `p_corrected`, and `p_holm`: the exact one adjusted over labels, for each two readers.
    """
    parts = []
    for (first, a), (second, b) in itertools.combinations(readings.items(), 2):
        rows = []
        for i, name in enumerate(names):
            known = ~(np.isnan(a[:, i]) | np.isnan(b[:, i]) | np.isnan(truth[:, i]))
            right_a, right_b = (a[known, i] == truth[known, i]), (b[known, i] == truth[known, i])
            only_a, only_b = int(np.sum(right_a & ~right_b)), int(np.sum(right_b & ~right_a))
            tests = [compute_mcnemar(only_a, only_b, method=method) for method in ("exact", "asymptotic", "corrected")]
            rows.append([f"{first} vs {second}", name, only_a, only_b, *tests])
        table = pd.DataFrame(
            rows,
            columns=[
                "readers",
                "label",
                "only_first_right",
                "only_second_right",
                "p_exact",
                "p_asymptotic",
                "p_corrected",
            ],
        )
        parts.append(table.assign(p_holm=adjust_holm(table["p_exact"].to_numpy())))
    return pd.concat(parts, ignore_index=True)


def summarize_panel(
    readings: Mapping[str, np.ndarray], names: Sequence[str], *, resamples: int, level: float, seed: int
) -> pd.DataFrame:
    """Fleiss' kappa of all readers together, per label: `label`, `readers`, `n`, `kappa`, `kappa_low`, `kappa_high`."""
    rows = []
    for i, name in enumerate(names):
        columns = np.stack([values[:, i] for values in readings.values()], axis=1)
        kappa, low, high = compute_fleiss_kappa(columns, resamples=resamples, level=level, seed=seed)
        rows.append([name, columns.shape[1], int((~np.isnan(columns).any(axis=1)).sum()), kappa, low, high])
    return pd.DataFrame(rows, columns=["label", "readers", "n", "kappa", "kappa_low", "kappa_high"])
