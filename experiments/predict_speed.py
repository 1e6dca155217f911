"""How much of the network's own rate `predict` or `embed` keeps when it reads files: ECG/s of both, in turn.

  python experiments/predict_speed.py [--recordings=256] [--passes=5] [--repeats=5] [--embed MODEL...]

Writes as many WFDB records (500 Hz, 10 s, 12 leads), reads some once so that the disk's cache is warm and the processes
that read have a parent, and times, in turn, the network alone on batches that are there and calls of
`predict.predict` that take the files once and --passes times, whose difference does not hold the start of its
processes; for the weights that ship and for the reference network (random weights); with --embed, `embed.embed` of
those models. An ECG of a network that takes windows is all windows of a recording. Prints medians, ranges and the
ratio.
"""

import argparse
import dataclasses
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.dirname(HERE)]

import jax  # noqa: E402
import wfdb  # noqa: E402

from ecg_jax import models  # noqa: E402
from ecg_jax.data import readers  # noqa: E402
from ecg_jax.inference import embed, predict  # noqa: E402
from ecg_jax.inference.model import Model, load_model  # noqa: E402
from ecg_jax.recording import LEADS  # noqa: E402
from ecg_jax.runtime import startup  # noqa: E402
from ecg_jax.simulation import textbook  # noqa: E402

BATCH = 32


def write_records(folder: str, count: int) -> None:
    """Simulated ECGs as 500 Hz WFDB; that they run faster than they should does not matter here."""
    rng = np.random.default_rng(0)
    drawn = [textbook.simulate(rng, textbook.draw_diagnoses(rng), textbook.Conditions()) for _ in range(8)]
    for i in range(count):
        signal = np.resize(drawn[i % 8], (5000, 12)).astype(float)
        wfdb.wrsamp(f"{i:05d}", 500, ["mV"] * 12, list(LEADS), signal, fmt=["16"] * 12, adc_gain=[1000.0] * 12,
                    baseline=[0] * 12, write_dir=folder)  # fmt: skip


def time_alone(compute: Callable[[np.ndarray], np.ndarray], signal: np.ndarray, count: int) -> float:
    """Windows/s of the network on batches that are there."""
    begin = time.perf_counter()
    for _ in range(count // BATCH):
        compute(signal)
    return count // BATCH * BATCH / (time.perf_counter() - begin)


def time_files(
    apply: Callable[..., Iterable[Any]], model: Model, recordings: list[readers.LazyRecording], passes: int
) -> float:
    """ECG/s from files, start apart."""
    seconds = []
    for count in (1, passes):
        begin = time.perf_counter()
        for _ in apply(model, recordings * count, batch_size=BATCH, whole=True):
            pass
        seconds.append(time.perf_counter() - begin)
    return len(recordings) * (passes - 1) / (seconds[1] - seconds[0])


def create_both() -> dict[str, Model]:
    """The weights that ship, and the reference network with random weights."""
    narrow = load_model()
    network = models.create("reference", head="dense", num_labels=6)
    variables = models.init(network, jax.random.key(0), narrow.contract.shape)
    names = narrow.label_names[:6]
    large = dataclasses.replace(narrow, network=network, variables=variables, label_names=names)
    return {"narrow": narrow, "reference": large}


def main() -> None:
    """Times and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recordings", type=int, default=256)
    parser.add_argument("--passes", type=int, default=5, help="2 or more")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--embed", nargs="*", default=[], metavar="MODEL", help="as --model of embed")
    options = parser.parse_args()
    startup.configure_allocator()
    startup.keep_programs()
    timed = {path: load_model(path, needs_output=False) for path in options.embed} or create_both()
    apply = embed.embed if options.embed else predict.predict
    with tempfile.TemporaryDirectory() as folder:
        write_records(folder, options.recordings)
        recordings = readers.find(folder)
        for name, model in timed.items():
            signal = np.random.default_rng(0).normal(size=(BATCH, *model.contract.shape)).astype(np.float32)
            windows = model.contract.window_count or 1
            compute = model.embed if options.embed else model.predict_raw
            count = len(recordings) * (options.passes - 1) * windows
            time_files(apply, model, recordings[:BATCH], 2)
            pairs = []
            for _ in range(options.repeats):
                rate = time_alone(compute, signal, count) / windows
                pairs.append((rate, time_files(apply, model, recordings, options.passes)))
            alone, files = zip(*pairs, strict=True)
            ratio = statistics.median(second / first for first, second in pairs)
            print(
                f"{name}: alone {statistics.median(alone):.1f} ECG/s ({min(alone):.1f}-{max(alone):.1f}), from files "
                f"{statistics.median(files):.1f} ({min(files):.1f}-{max(files):.1f}), ratio {ratio:.2f}"
            )


if __name__ == "__main__":
    main()
