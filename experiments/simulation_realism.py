"""How simulated ECGs differ from real ones: measures of both side by side, per diagnosis, and what gives them away.

  python experiments/simulation_realism.py --data=DIR/ptbxl1819_zscored [--recordings=1500] [--output=realism]

Real are the training records of a normalized part of PTB-XL (see `ptbxl1819.py`), simulated as many of the population
`hospital`, 10 s each, both through the contract of `configs/pretrain.py`. Per diagnosis and measure: the quartiles of
both, and the Kolmogorov-Smirnov distance. A gradient-boosted classifier is cross-validated (five parts; every recording
is a patient) on all measures to tell the two apart, among as many real as simulated recordings of each set of
diagnoses, so that these do not tell; the measures that it misses most when they are shuffled give the simulation away.
Writes measures.csv, discriminator.csv, distributions.pdf and .png, and simulated.html, a page with
every diagnosis on ECG paper.
"""

import argparse
import os
import sys

import numpy as np
import pandas as pd
import scipy.signal
import scipy.stats

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]

import jax  # noqa: E402
import ptbxl1819  # noqa: E402
from sklearn.ensemble import HistGradientBoostingClassifier  # noqa: E402
from sklearn.inspection import permutation_importance  # noqa: E402
from sklearn.metrics import roc_auc_score  # noqa: E402
from sklearn.model_selection import StratifiedKFold, cross_val_predict  # noqa: E402

from configs import pretrain  # noqa: E402
from ecg_jax.contract import InputContract  # noqa: E402
from ecg_jax.data import endless  # noqa: E402
from ecg_jax.evaluation.heart_rate import measure_heart_rate  # noqa: E402
from ecg_jax.labels import SIX  # noqa: E402
from ecg_jax.recording import LEADS  # noqa: E402
from ecg_jax.reporting import ecg_paper, style  # noqa: E402
from ecg_jax.simulation.simulator import Population, simulate_many  # noqa: E402

RATE, SAMPLES, AT_ONCE = 400, 4000, 64
BANDS = ((0.5, 1), (1, 2), (2, 4), (4, 8), (8, 12), (12, 16), (16, 20), (20, 30), (30, 40))  # Hz
PAIRS = ("I II", "I III", "I V6", "II V5", "aVL V6", "aVF V5", "V1 V2", "V2 V3", "V3 V4", "V4 V5", "V5 V6", "V1 V6")
SHOWN = ("rate", "irregularity", "qrs", "corr I V6", "corr V1 V6", "max V5", "min V1", "power 20-30 Hz, V5")


def read_real(folder: str) -> tuple[np.ndarray, np.ndarray]:
    """`[N, 4000, 12]` z-scores at 400 Hz and labels `[N, 6]` of the training records."""
    table = pd.read_csv(os.path.join(folder, ptbxl1819.LABELS))
    rows = np.flatnonzero(table["split"] == "train")
    signals = ptbxl1819.read_signals(os.path.join(folder, ptbxl1819.SIGNALS))[rows]
    signals = scipy.signal.resample_poly(signals, 8, 5, axis=1, padtype="line").astype(np.float32)
    spread = signals.std(axis=1, keepdims=True)
    return (signals - signals.mean(axis=1, keepdims=True)) / np.maximum(spread, 1e-6), table[[*SIX]].to_numpy()[rows]


def draw_simulated(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same of simulated recordings, and their millivolts."""
    apply = jax.jit(jax.vmap(endless.create_contract_fn(InputContract.from_dict(pretrain.get_config().contract))))
    parts = []
    for block in range(-(-count // AT_ONCE)):
        keys = jax.random.split(jax.random.fold_in(jax.random.key(0), block), AT_ONCE)
        drawn = simulate_many(keys, Population(), durations=(SAMPLES / RATE,))
        inside = np.flatnonzero(np.asarray(drawn.valid[0]))
        found = (apply(drawn.signal, drawn.valid), drawn.signal)
        parts.append((*(np.asarray(each)[:, inside] for each in found), np.asarray(drawn.label)))
    signals, millivolts, labels = (np.concatenate(each)[:count] for each in zip(*parts, strict=True))
    return signals, labels, millivolts


def measure(signal: np.ndarray) -> dict[str, float]:
    """Measures of one recording, `[4000, 12]` z-scores."""
    found: dict[str, float] = {"rate": measure_heart_rate(signal, RATE)}
    band = scipy.signal.butter(2, (5, 30), "bandpass", fs=RATE, output="sos")
    envelope = np.sqrt((scipy.signal.sosfiltfilt(band, signal, axis=0) ** 2).sum(axis=1))
    peaks = scipy.signal.find_peaks(envelope, height=0.4 * np.quantile(envelope, 0.995), distance=120)[0]
    intervals = np.diff(peaks)
    found["irregularity"] = intervals.std() / intervals.mean() if len(intervals) > 1 else np.nan
    inside = [peak for peak in peaks if 160 <= peak < SAMPLES - 160]
    if inside:
        beat = np.median([signal[peak - 160 : peak + 160] for peak in inside], axis=0)
        steepness = np.abs(np.gradient(beat, axis=0)).sum(axis=1)
        steep = np.flatnonzero(steepness[100:220] > 0.15 * steepness[100:220].max())
        found["qrs"] = (steep[-1] - steep[0]) / RATE
        before = beat[60:130]
        found["p, II"], found["p, V1"] = np.ptp(before[:, 1]), np.ptp(before[:, 6])
        found["t, V5"] = beat[200:300, 10].max() - np.median(beat[:, 10])
    flat = 1e-6 * np.random.default_rng(0).standard_normal((12, SAMPLES))  # for leads that are
    correlation = np.atleast_2d(np.corrcoef(signal.T + flat))
    for pair in PAIRS:
        one, two = map(LEADS.index, pair.split())
        found[f"corr {pair}"] = correlation[one, two]
    frequency = np.fft.rfftfreq(SAMPLES, 1 / RATE)
    for lead in ("II", "V1", "V5"):
        column = signal[:, LEADS.index(lead)]
        found[f"max {lead}"], found[f"min {lead}"] = column.max(), column.min()
        power = np.abs(np.fft.rfft(column)) ** 2
        for low, high in BANDS:
            share = power[(frequency >= low) & (frequency < high)].sum() / max(power.sum(), 1e-9)
            found[f"power {low:g}-{high:g} Hz, {lead}"] = share
    return found


def compare(real: pd.DataFrame, simulated: pd.DataFrame, labels: tuple[np.ndarray, np.ndarray]) -> pd.DataFrame:
    """Quartiles of every measure and their distance, per diagnosis; `none` has none of the six."""
    rows = []
    for number, name in enumerate(("none", *SIX)):
        chosen = [each[(label.sum(axis=1) == 0) if name == "none" else label[:, number - 1] == 1]
                  for each, label in zip((real, simulated), labels, strict=True)]  # fmt: skip
        for column in real:
            values = [each[column].dropna().to_numpy() for each in chosen]
            quartiles = [value for each in values for value in np.percentile(each, (25, 50, 75))]
            distance = scipy.stats.ks_2samp(*values).statistic
            rows.append([name, column, *map(len, values), *quartiles, distance])
    ends = [f"{side}_{quartile}" for side in ("real", "simulated") for quartile in ("q1", "median", "q3")]
    return pd.DataFrame(rows, columns=["diagnosis", "measure", "real", "simulated", *ends, "distance"])


def match(labels: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of recordings, real and simulated, as many of each set of diagnoses."""
    codes = [label.astype(int) @ (1 << np.arange(label.shape[1])) for label in labels]
    chosen: tuple[list[int], list[int]] = ([], [])
    for code in np.intersect1d(*codes):
        found = [np.flatnonzero(each == code) for each in codes]
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


def write_page(labels: np.ndarray, millivolts: np.ndarray, path: str) -> None:
    """Two simulated recordings of every diagnosis, and of none, on ECG paper."""
    parts = []
    for number, name in enumerate(("none of the six", *SIX)):
        chosen = np.flatnonzero((labels.sum(axis=1) == 0) if number == 0 else labels[:, number - 1] == 1)[:2]
        for row in chosen:
            signal = millivolts[row]
            present = (
                ", ".join(label for label, flag in zip(SIX, labels[row], strict=True) if flag) or "none of the six"
            )
            strip = ecg_paper.Strip(f"{name}: {present}", signal, np.ones(signal.shape, bool), LEADS, RATE)
            parts.append(f"<h2>{strip.title}</h2>{ecg_paper.draw_strip(strip)}")
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
    parser.add_argument("--data", required=True, help="the folder ptbxl1819_zscored")
    parser.add_argument("--recordings", type=int, default=1500, help="to simulate")
    parser.add_argument("--output", default="realism", help="folder for the results")
    options = parser.parse_args()
    os.makedirs(options.output, exist_ok=True)
    signals, labels = read_real(options.data)
    drawn, drawn_labels, millivolts = draw_simulated(options.recordings)
    real, simulated = (pd.DataFrame([measure(each) for each in some]) for some in (signals, drawn))
    table = compare(real, simulated, (labels, drawn_labels))
    table.to_csv(os.path.join(options.output, "measures.csv"), index=False)
    first, second = match((labels, drawn_labels))
    auroc, lost = discriminate(real.iloc[first], simulated.iloc[second])
    lost.to_csv(os.path.join(options.output, "discriminator.csv"), index=False)
    print(f"{len(real)} real and {len(simulated)} simulated recordings")
    print(table.groupby("diagnosis", sort=False)["distance"].describe()[["mean", "max"]].round(2).to_string())
    print(f"AUROC of telling {len(first)} of each apart: {auroc:.3f}; what it loses when a measure is shuffled:")
    print(lost.head(10).to_string(index=False, float_format=lambda value: f"{value:.3f}"))
    plot(real, simulated, options.output)
    write_page(drawn_labels, millivolts, os.path.join(options.output, "simulated.html"))
    print(f"Written: {options.output}/measures.csv, discriminator.csv, distributions.pdf and .png, simulated.html")


if __name__ == "__main__":
    main()
