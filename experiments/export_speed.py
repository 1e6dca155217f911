"""What an exported file costs: latency of one ECG in ONNX Runtime beside ours, and AUROC of smaller weights on LUDB.

  python experiments/export_speed.py --data=DIR [--model=real] [--repeats=100]

DIR has `ludb`, whose 200 recordings are only reported on. An ECG is 10 s at 500 Hz, 12 leads, in memory as millivolts;
latencies are on one thread, medians with the 99th percentile, of all ways in turn: `predict` of a `Recording`, the
StableHLO file compiled by jax, and the ONNX file of each kind of weights, also for an ECG with a gap. Beside them the
size of each file, the largest difference of its probabilities from those of `predict`, and the mean AUROC of the labels
with at least 10 recordings with them and 10 without, with the largest loss of a single label against `predict`.
"""

import argparse
import functools
import io
import os
import sys
import time
import zipfile
from collections.abc import Callable

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_multi_thread_eigen=false"

import jax  # noqa: E402
import jax.export  # noqa: E402
import onnxruntime  # noqa: E402
import zero_shot  # noqa: E402

from ecg_jax.evaluation import metrics  # noqa: E402
from ecg_jax.exporting import metadata, onnx_file, stablehlo  # noqa: E402
from ecg_jax.exporting.arrays import Plan  # noqa: E402
from ecg_jax.inference.model import Model, load_model  # noqa: E402
from ecg_jax.recording import LEADS, Recording, create_recording  # noqa: E402
from ecg_jax.runtime import startup  # noqa: E402

RATE, SAMPLES, BATCH = 500.0, 5000, 20
Predict = Callable[[np.ndarray], np.ndarray]


def create_files(model: Model) -> tuple[dict[str, Predict], dict[str, int]]:
    """Every way to run an exported file, from `[B, samples, 12]` to probabilities, and the size of each in bytes."""
    plan = Plan(model.contract, RATE, SAMPLES)
    ways: dict[str, Predict] = {}
    sizes = {}
    file = io.BytesIO()
    stablehlo.write(file, model, plan)
    with zipfile.ZipFile(file) as archive:
        program = jax.jit(jax.export.deserialize(bytearray(archive.read(stablehlo.PROGRAM))).call)
    ways["StableHLO"] = lambda signal: np.asarray(program(signal))
    sizes["StableHLO"] = len(file.getvalue())
    for weights in onnx_file.WEIGHTS:
        file = io.BytesIO()
        onnx_file.write(file, model, plan, weights)
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(file.getvalue(), settings)
        ways[f"ONNX {weights}"] = functools.partial(run_onnx, session)
        sizes[f"ONNX {weights}"] = len(file.getvalue())
    return ways, sizes


def run_onnx(session: onnxruntime.InferenceSession, signal: np.ndarray) -> np.ndarray:
    """Probabilities of arrays."""
    return session.run(None, {metadata.INPUT: signal})[0]


def time_one(ways: dict[str, Predict], signal: np.ndarray, repeats: int) -> dict[str, np.ndarray]:
    """Seconds `[repeats]` of each way, in turn."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for run in ways.values():
        run(signal)
    for _ in range(repeats):
        for name, run in ways.items():
            begin = time.perf_counter()
            run(signal)
            found[name].append(time.perf_counter() - begin)
    return {name: np.array(values) for name, values in found.items()}


def compute_aurocs(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Of the labels with enough recordings."""
    enough = ((labels == 1).sum(axis=0) >= zero_shot.FEWEST) & ((labels == 0).sum(axis=0) >= zero_shot.FEWEST)
    return np.array([metrics.compute_ranking(labels[:, i], probabilities[:, i])[0] for i in np.flatnonzero(enough)])


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--model", default="real")
    parser.add_argument("--repeats", type=int, default=100)
    options = parser.parse_args()
    startup.configure_allocator()
    startup.keep_programs()
    model = load_model(options.model)
    dataset = zero_shot.open_set("ludb", options.data, "")
    recordings: list[Recording] = [dataset.read(row) for row in range(len(dataset.ids))]
    signal = np.stack([np.where(each.valid, each.signal, np.nan) for each in recordings])
    unknown = np.full(len(recordings), np.nan, np.float32)
    labels = np.stack([dataset.columns.get(name, unknown) for name in model.label_names], axis=1)
    expected = np.concatenate([model.predict(each) for each in recordings])
    ways, sizes = create_files(model)

    def predict(array: np.ndarray) -> np.ndarray:
        return model.predict(create_recording(array[0], leads=LEADS, sampling_rate=RATE, id="ecg"))

    with_gap = signal[:1].copy()
    with_gap[:, 1000:1100, 3] = np.nan
    timed = {"predict": predict, **ways}
    whole, gap = (time_one(timed, one, options.repeats) for one in (signal[:1], with_gap))
    reference = compute_aurocs(labels, expected)
    print(f"{len(recordings)} recordings, {len(reference)} labels with enough of them")
    for name, seconds in whole.items():
        p50, p99 = 1000 * np.quantile(seconds, [0.5, 0.99])
        line = f"{name:<14}one ECG {p50:.1f} ms (p99 {p99:.1f}), with a gap {1000 * np.median(gap[name]):.1f} ms"
        if name in ways:
            batches = [ways[name](signal[i : i + BATCH]) for i in range(0, len(signal), BATCH)]
            found = np.concatenate(batches)
            aurocs = compute_aurocs(labels, found)
            line += f"; {sizes[name] / 1e6:.2f} MB, difference {np.abs(found - expected).max():.1e}"
            line += f", AUROC {aurocs.mean():.4f}, largest loss {(reference - aurocs).max():.4f}"
        else:
            line += f"; AUROC {reference.mean():.4f}"
        print(line)


if __name__ == "__main__":
    main()
