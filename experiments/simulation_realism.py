"""How simulated ECGs differ from real ones: measures of both side by side, per statement, and what gives them away.

  python experiments/simulation_realism.py --data=DIR/ptbxl,DIR/ptbxl_100hz [--recordings=1500] [--output=realism]

Real are PTB-XL's folds 1 to 8 in millivolts, simulated are of the population `hospital`, 10 s each, both from 0.5 to
40 Hz at 100 Hz and more. Per statement with ten real recordings and measure (amplitudes of the median beat per lead,
axis, R progression, rates, correlations, powers): the 10th, 50th and 90th percentile of both, and the
Kolmogorov-Smirnov distance. A gradient-boosted classifier is cross-validated (five parts) on all measures to tell the
two apart, among as many real as simulated recordings of each set of the six diagnoses and of NORM, and among the normal
ones alone; the measures that it misses most when they are shuffled give the simulation away. Writes measures.csv,
discriminator.csv, distributions.pdf and .png, and simulated.html, a page of ECGs with their statements.
"""

import argparse
import os
import sys

import numpy as np
import pandas as pd
import scipy.stats

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]

import jax  # noqa: E402
import median_beats  # noqa: E402
from median_beats import RATE  # noqa: E402
from sklearn.ensemble import HistGradientBoostingClassifier  # noqa: E402
from sklearn.inspection import permutation_importance  # noqa: E402
from sklearn.metrics import roc_auc_score  # noqa: E402
from sklearn.model_selection import StratifiedKFold, cross_val_predict  # noqa: E402

from ecg_jax import statements  # noqa: E402
from ecg_jax.data import preprocess  # noqa: E402
from ecg_jax.recording import LEADS, create_recording  # noqa: E402
from ecg_jax.reporting import ecg_strip, style  # noqa: E402
from ecg_jax.simulation import criteria  # noqa: E402
from ecg_jax.simulation.simulator import Population, simulate_many  # noqa: E402

SAMPLES, AT_ONCE, FEWEST = 4000, 64, 10
BANDS = ((0.5, 1), (1, 2), (2, 4), (4, 8), (8, 12), (12, 16), (16, 20), (20, 30), (30, 40))  # Hz
PAIRS = ("I II", "I III", "I V6", "II V5", "aVL V6", "aVF V5", "V1 V2", "V2 V3", "V3 V4", "V4 V5", "V5 V6", "V1 V6")
SHOWN = ("interval", "axis", "R/(R+S) V3", "R V5", "lowest V2", "ST V5", "T V2", "T V5")
MATCHED = (*statements.SIX.values(), statements.NORMAL)


def draw_simulated(count: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Simulated recordings as `median_beats.read` gives real ones, and their millivolts before the filter."""
    rows, kept = [], []
    for block in range(-(-count // AT_ONCE)):
        keys = jax.random.split(jax.random.fold_in(jax.random.key(0), block), AT_ONCE)
        drawn = jax.device_get(simulate_many(keys, Population(), durations=(SAMPLES / RATE,)))
        for signal, valid, stated in zip(drawn.signal, drawn.valid, drawn.truth["stated"], strict=True):
            recording = create_recording(signal[valid], leads=LEADS, sampling_rate=float(RATE), id="")
            filtered, _ = preprocess.standardize(recording, median_beats.CONTRACT)
            beat = median_beats.find(filtered)
            if beat is not None:
                codes = {code for code, is_there in zip(criteria.NAMES, stated, strict=True) if is_there}
                rows.append([codes, filtered, beat])
                kept.append(signal[valid])
    return pd.DataFrame(rows[:count], columns=["statements", "signal", "beat"]), np.stack(kept[:count])


def measure(signal: np.ndarray, beat: median_beats.Beat) -> dict[str, float]:
    """Measures of one recording, `[n, 12]` mV at 400 Hz, and of its median beat."""
    found = median_beats.measure(beat)
    flat = 1e-6 * np.random.default_rng(0).standard_normal((12, len(signal)))  # for leads that are
    correlation = np.atleast_2d(np.corrcoef(signal.T + flat))
    for pair in PAIRS:
        one, two = map(LEADS.index, pair.split())
        found[f"corr {pair}"] = correlation[one, two]
    frequency = np.fft.rfftfreq(len(signal), 1 / RATE)
    for lead in ("II", "V1", "V5"):
        power = np.abs(np.fft.rfft(signal[:, LEADS.index(lead)])) ** 2
        for low, high in BANDS:
            share = power[(frequency >= low) & (frequency < high)].sum() / max(power.sum(), 1e-9)
            found[f"power {low:g}-{high:g} Hz, {lead}"] = share
    return found


def compare(real: pd.DataFrame, simulated: pd.DataFrame, stated: tuple[pd.Series, pd.Series]) -> pd.DataFrame:
    """Percentiles of every measure and their distance, per statement."""
    rows = []
    for code in criteria.NAMES:
        chosen = [each[[code in codes for codes in some]] for each, some in zip((real, simulated), stated, strict=True)]
        if min(map(len, chosen)) < FEWEST:
            continue
        for column in real:
            values = [each[column].dropna().to_numpy() for each in chosen]
            percentiles = [value for each in values for value in np.percentile(each, (10, 50, 90))]
            rows.append([code, column, *map(len, values), *percentiles, scipy.stats.ks_2samp(*values).statistic])
    ends = [f"{side}_{percentile}" for side in ("real", "simulated") for percentile in (10, 50, 90)]
    return pd.DataFrame(rows, columns=["statement", "measure", "real", "simulated", *ends, "distance"])


def match(stated: tuple[pd.Series, pd.Series], only: str = "") -> tuple[np.ndarray, np.ndarray]:
    """Numbers of recordings, real and simulated, as many of each set of `MATCHED`; `only` those with one statement."""
    sets = [some.map(lambda codes: tuple(code for code in MATCHED if code in codes)) for some in stated]
    chosen: tuple[list[int], list[int]] = ([], [])
    for kind in sorted(set(sets[0]) & set(sets[1])):
        found = [np.flatnonzero(each.map(lambda codes, kind=kind: codes == kind)) for each in sets]
        if not only or only in kind:
            for kept, rows in zip(chosen, found, strict=True):
                kept += rows[: min(map(len, found))].tolist()
    return np.array(chosen[0]), np.array(chosen[1])


def discriminate(real: pd.DataFrame, simulated: pd.DataFrame) -> tuple[float, pd.DataFrame]:
    """Cross-validated AUROC of a classifier, and what it loses when a measure is shuffled."""
    both = pd.concat([real, simulated], ignore_index=True)
    truth = np.repeat([1, 0], [len(real), len(simulated)])
    model = HistGradientBoostingClassifier(max_iter=150, random_state=0)
    parts = StratifiedKFold(5, shuffle=True, random_state=0)
    probability = cross_val_predict(model, both, truth, cv=parts, method="predict_proba")[:, 1]
    train, test = next(parts.split(both, truth))
    fitted = model.fit(both.iloc[train], truth[train])
    lost = permutation_importance(
        fitted, both.iloc[test], truth[test], scoring="roc_auc", n_repeats=5, random_state=0
    ).importances_mean
    table = pd.DataFrame({"measure": both.columns, "auroc_lost": lost}).sort_values("auroc_lost", ascending=False)
    return roc_auc_score(truth, probability), table


@style.styled
def plot(real: pd.DataFrame, simulated: pd.DataFrame, folder: str) -> None:
    """Draws the distributions of some measures."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, len(SHOWN) // 2, figsize=(style.DOUBLE, 3.2))
    for axis, name in zip(axes.ravel(), SHOWN, strict=True):
        values = [each[name].dropna() for each in (real, simulated)]
        low, high = np.percentile(np.concatenate(values), (0.5, 99.5))
        bins = np.linspace(low, high, 30)
        for each, label in zip(values, ("real", "simulated"), strict=True):
            axis.hist(each, bins, density=True, histtype="step", label=label)
        axis.set(xlabel=name, yticks=[])
    axes[0, 0].legend()
    figure.tight_layout()
    for suffix in ("pdf", "png"):
        figure.savefig(os.path.join(folder, f"distributions.{suffix}"), dpi=200)


def write_page(stated: pd.Series, millivolts: np.ndarray, path: str) -> None:
    """Simulated recordings of every statement on ECG paper, two each as far as there are."""
    parts, shown = [], set()
    for code in criteria.NAMES:
        for row in [row for row, codes in enumerate(stated) if code in codes][:2]:
            if row in shown:
                continue
            shown.add(row)
            signal = millivolts[row]
            title = f"{code}: {', '.join(name for name in criteria.NAMES if name in stated[row])}"
            strip = ecg_strip.Strip(title, signal, np.ones(signal.shape, bool), LEADS, RATE)
            parts.append(f"<h2>{strip.title}</h2>{ecg_strip.draw_strip(strip)}")
    looks = (
        "svg{width:100%} path{fill:none;stroke-width:.2} .fine{stroke:#f4c7c7;stroke-width:.1} .coarse{stroke:#e89a9a} "
        ".trace{stroke:#000;vector-effect:non-scaling-stroke;stroke-width:1} text{font-size:3px}"
    )
    with open(path, "w") as file:
        file.write(
            f"<!doctype html><meta charset=utf-8><title>Simulated ECGs</title><style>{looks}</style>{''.join(parts)}"
        )


def main() -> None:
    """Measures, compares, prints, writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="folders in PTB-XL's layout, with commas")
    parser.add_argument("--recordings", type=int, default=1500, help="to simulate")
    parser.add_argument("--output", default="realism", help="folder for the results")
    options = parser.parse_args()
    os.makedirs(options.output, exist_ok=True)
    patients = median_beats.read(options.data.split(","))
    patients = patients[patients["fold"] <= 8].reset_index(drop=True)
    drawn, millivolts = draw_simulated(options.recordings)
    real, simulated = (
        pd.DataFrame([measure(signal, beat) for signal, beat in zip(each["signal"], each["beat"], strict=True)])
        for each in (patients, drawn)
    )
    stated = patients["statements"], drawn["statements"]
    table = compare(real, simulated, stated)
    table.to_csv(os.path.join(options.output, "measures.csv"), index=False)
    print(f"{len(real)} real and {len(simulated)} simulated recordings")
    print(table.groupby("statement", sort=False)["distance"].describe()[["mean", "max"]].round(2).to_string())
    for name, only in (("all", ""), ("normal ones", statements.NORMAL)):
        first, second = match(stated, only)
        auroc, lost = discriminate(real.iloc[first], simulated.iloc[second])
        print(f"AUROC of telling {len(first)} of each apart, {name}: {auroc:.3f}; lost when a measure is shuffled:")
        print(lost.head(10).to_string(index=False, float_format=lambda value: f"{value:.3f}"))
        if not only:
            lost.to_csv(os.path.join(options.output, "discriminator.csv"), index=False)
    plot(real, simulated, options.output)
    write_page(drawn["statements"], millivolts, os.path.join(options.output, "simulated.html"))
    print(f"Written: {options.output}/measures.csv, discriminator.csv, distributions.pdf and .png, simulated.html")


if __name__ == "__main__":
    main()
