"""What attributions cost, and how precise they are.

  python experiments/attribution_cost.py --data=DIR [--recordings=4] [--repeats=5]

DIR is LUDB. Prints milliseconds per ECG of delineation and of each method after compilation, with the weights `real`
and the full-size network, and CPU time of all cores together; how far SmoothGrad's noise moves logits; of integrated
gradients what is missing from the difference of logits, by steps; of sampled Shapley values their 95 % intervals and
agreement with those of 32 pairs of orders. Results: docs/explain.md.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

import ecg_jax
from ecg_jax import models
from ecg_jax.data.preprocess import create_input
from ecg_jax.explanation import attribution, methods, shapley
from ecg_jax.explanation.delineation import delineate
from ecg_jax.explanation.logits import Apply
from ecg_jax.explanation.segments import label_samples
from ecg_jax.inference.model import Model
from ecg_jax.recording import Recording

LABELS = ("RBBB", "AF", "abnormal")
STEPS, PAIRS, MOST_PAIRS = (32, 64, 128, 512), (4, 8, 16), 32


def read(folder: str, count: int) -> list[Recording]:
    """Recordings spread over LUDB's 200."""
    numbers = np.linspace(1, 200, count).round().astype(int)
    return [ecg_jax.read(os.path.join(folder, "data", f"{number}.hea")) for number in numbers]


def prepare(model: Model, recording: Recording) -> tuple[np.ndarray, np.ndarray]:
    """Input `[T, L]` and segments `[T]`, the recording in their middle."""
    signal, _ = create_input(recording, model.contract)
    padding = len(signal) / model.contract.sampling_rate - len(recording.signal) / recording.sampling_rate
    waves = delineate(recording).waves
    return signal, label_samples(waves, -padding / 2, len(signal), model.contract.sampling_rate)


def measure(run: Callable[[int], Any], repeats: int) -> str:
    """Milliseconds after a first call: median and range, and those of all CPU cores together."""
    run(0)
    taken, cpu = [], time.process_time()
    for i in range(repeats):
        start = time.perf_counter()
        run(i)
        taken.append(1e3 * (time.perf_counter() - start))
    cpu = 1e3 * (time.process_time() - cpu) / repeats
    return f"{statistics.median(taken):7.0f} ms ({min(taken):.0f}-{max(taken):.0f}), CPU {cpu:.0f}"


def print_speeds(model: Model, recording: Recording, signal: np.ndarray, segments: np.ndarray, repeats: int) -> None:
    """Of one recording; at every repeat another label."""
    print(f"{'delineation':<40}{measure(lambda _: delineate(recording), repeats)}")
    large = models.create("reference", head="dense", num_labels=6)
    networks = {
        "real": (model.network, model.variables),
        "reference": (large, models.init(large, jax.random.key(0), model.contract.shape)),
    }
    for name, network in networks.items():
        for method in methods.METHODS:
            taken = measure(lambda i: methods.attribute(method, *network, signal, i % 6, segments), repeats)  # noqa: B023
            print(f"{name + ' ' + method:<40}{taken}", flush=True)


def print_gaps(model: Model, signal: np.ndarray, outputs: list[int]) -> None:
    """Of what integrated gradients add up to, against the difference of logits."""
    apply: Apply = model.network.apply
    variables = model.variables
    drops = np.asarray(apply(variables, signal) - apply(variables, np.zeros_like(signal)))[:, outputs]
    for steps in STEPS:
        found = [
            attribution.integrated_gradients(apply, variables, signal, output, np.zeros_like(signal), steps=steps).sum(
                axis=(1, 2)
            )
            for output in outputs
        ]
        gaps = np.abs(np.stack(found, axis=1) - drops)
        shares = gaps / np.abs(drops)
        print(
            f"integrated gradients, {steps:4} steps: missing {np.median(gaps):.4f} of {np.median(np.abs(drops)):.1f} "
            f"logits (medians); {100 * np.median(shares):.2f} %, at most {100 * shares.max():.1f} %",
            flush=True,
        )


def print_noise(model: Model, signal: np.ndarray, outputs: list[int]) -> None:
    """How far the noise of SmoothGrad moves logits."""
    width = np.ptp(signal, axis=(1, 2), keepdims=True)
    noise = np.random.default_rng(0).normal(size=signal.shape)
    apply: Apply = model.network.apply
    clean = apply(model.variables, signal)
    for share in (0.01, 0.02, 0.05, 0.1, 0.2):
        moved = apply(model.variables, np.float32(signal + share * width * noise)) - clean
        print(
            f"noise of {100 * share:.0f} % of the range: logits move by {np.abs(moved[:, outputs]).mean():.2f} (mean)"
        )


def print_intervals(model: Model, signal: np.ndarray, segments: np.ndarray, outputs: list[int]) -> None:
    """Medians over recordings and labels: half the interval of a part, the largest value, agreement with the best."""
    rows: dict[int, list[tuple[float, float, float]]] = {pairs: [] for pairs in PAIRS}
    for output in outputs:
        question = (model.network.apply, model.variables, signal, output, segments)
        best = shapley.sample(*question, pairs=MOST_PAIRS, seed=1).value
        for pairs in PAIRS:
            found = shapley.sample(*question, pairs=pairs)
            low, high = found.interval()
            for i, value in enumerate(found.value):
                half = np.median(high[i] - low[i]) / 2
                rows[pairs].append((half, np.abs(best[i]).max(), np.corrcoef(value, best[i])[0, 1]))
    for pairs, row in rows.items():
        half, largest, correlation = np.median(row, axis=0)
        print(
            f"Shapley values, {pairs:2} pairs: +-{half:.2f}, the largest {largest:.1f} logits; correlation with "
            f"{MOST_PAIRS} pairs {correlation:.3f} (least {min(each[2] for each in row):.3f})",
            flush=True,
        )


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="LUDB's folder")
    parser.add_argument("--recordings", type=int, default=4, help="of LUDB, spread evenly")
    parser.add_argument("--repeats", type=int, default=5, help="of each measured time")
    given = parser.parse_args()
    model = ecg_jax.load_model("real")
    recordings = read(given.data, given.recordings)
    signal, segments = map(np.stack, zip(*(prepare(model, each) for each in recordings), strict=True))
    outputs = [model.label_names.index(label) for label in LABELS]
    print_speeds(model, recordings[0], signal[:1], segments[:1], given.repeats)
    print_noise(model, signal, outputs)
    print_gaps(model, signal, outputs)
    print_intervals(model, signal, segments, outputs)


if __name__ == "__main__":
    main()
