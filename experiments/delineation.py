"""Trains the delineator of `explanation.delineation` on simulated ECGs, and measures it on cardiologists' marks.

  python experiments/delineation.py --train --workdir=DIR [--steps=3600]
  python experiments/delineation.py --ship --workdir=DIR
  python experiments/delineation.py --evaluate --data=DIR [--peers]
  python experiments/delineation.py --speed --data=DIR

`--train` goes on where the checkpoint in DIR ends. `--ship` writes the weights that the package reads, of one of the
thresholds of `delineator_training.THRESHOLDS` for each boundary, and how far boundaries are moved; both were chosen on
LUDB's marks. `--evaluate` reads DIR/waves.csv (columns record, lead, wave, onset, peak, offset, in samples) and
DIR/data/RECORD.hea, and prints, for each boundary, sensitivity, positive predictive value, mean and standard deviation
of the error: of lead II, and the mean over leads. `--peers` measures NeuroKit2 on the same leads II
(python -m pip install neurokit2). `--speed` times 1,000 files of DIR/data, with reading and measuring.
"""

import argparse
import collections
import functools
import glob
import os
import sys
import time
from collections.abc import Callable, Iterator

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]

from ecg_jax.data.readers import wfdb  # noqa: E402
from ecg_jax.explanation import matching  # noqa: E402
from ecg_jax.explanation.delineation import delineate_many, measure  # noqa: E402
from ecg_jax.recording import Recording  # noqa: E402

PEERS = ("prominence", "dwt")
MARKS_RATE = 500.0  # Hz, of LUDB
Waves = dict[str, np.ndarray]  # by wave, `[waves, 2]` seconds: onset, offset


def read_marks(folder: str) -> dict[str, dict[str, Waves]]:
    """Marks of LUDB by record, lead and wave, `[marks, 3]` seconds: onset, offset, top."""
    return matching.read_marks(os.path.join(folder, "waves.csv"), MARKS_RATE)


def tabulate(rows: list[tuple[str, dict[tuple[str, str], matching.Matches]]], title: str) -> None:
    """Prints lead II and the mean over leads, of matches by lead."""
    leads = list(dict.fromkeys(lead for lead, _ in rows))
    print(f"\n{title}\n{'':14}{'lead II':>38}{'mean over leads':>38}")
    print(f"{'':14}" + f"{'sens':>8}{'PPV':>8}{'mean ms':>11}{'SD ms':>11}" * 2)
    for boundary in matching.BOUNDARIES:
        columns = []
        for lead in leads:
            total = matching.add([each[boundary] for name, each in rows if name == lead])
            error = 1e3 * total.errors if len(total.errors) else np.full(1, np.nan)
            columns.append((total.sensitivity, total.predictive_value, error.mean(), error.std()))
        cells = [columns[leads.index("II")] if "II" in leads else (np.nan,) * 4, np.mean(columns, axis=0)]
        text = "".join(f"{a:8.4f}{b:8.4f}{c:11.1f}{d:11.1f}" for a, b, c, d in cells)
        print(f"{' '.join(boundary):14}{text}")


def find_with_neurokit(signal: np.ndarray, sampling_rate: float, method: str) -> Waves:
    """Waves of one lead by NeuroKit2; empty where it fails."""
    import neurokit2

    none = {wave: np.zeros((0, 2)) for wave in matching.WAVES}
    try:
        cleaned = neurokit2.ecg_clean(signal, sampling_rate=sampling_rate)
        _, peaks = neurokit2.ecg_peaks(cleaned, sampling_rate=sampling_rate)
        _, waves = neurokit2.ecg_delineate(cleaned, peaks["ECG_R_Peaks"], sampling_rate=sampling_rate, method=method)
    except (ValueError, IndexError, ZeroDivisionError, TypeError, KeyError) as error:
        print(f"  neurokit2 {method}: {type(error).__name__}: {error}")
        return none
    names = {"P": "ECG_P", "QRS": "ECG_R", "T": "ECG_T"}
    return {
        wave: np.stack(
            [np.asarray(waves[f"{name}_{side}"], float) / sampling_rate for side in ("Onsets", "Offsets")], axis=1
        )
        for wave, name in names.items()
    }


def evaluate(folder: str, peers: bool) -> None:
    """Prints the tables."""
    marks = read_marks(folder)
    recordings = [wfdb.read(os.path.join(folder, "data", f"{record}.hea")) for record in marks]
    next(delineate_many(recordings[:1]))
    begin = time.perf_counter()
    delineations = list(delineate_many(recordings))
    seconds = time.perf_counter() - begin
    rows = []
    for record, delineation in zip(marks, delineations, strict=True):
        for lead, waves in marks[record].items():
            found = matching.collect(delineation.waves_by_lead[lead])
            rows.append((lead, matching.compare(found, waves)))
    tabulate(rows, f"ecg_jax, {len(recordings)} recordings, {len(recordings) / seconds:.0f} ECG/s")
    for method in PEERS if peers else ():
        tabulate(measure_peer(marks, recordings, functools.partial(find_with_neurokit, method=method)), method)


def time_folder(folder: str, count: int = 1000) -> None:
    """Prints how fast records of DIR/data are read, delineated and measured, from start to end."""
    paths = sorted(glob.glob(os.path.join(folder, "data", "*.hea")))
    paths = (paths * -(-count // len(paths)))[:count]
    waiting: collections.deque[Recording] = collections.deque()

    def read(some: list[str]) -> Iterator[Recording]:
        for path in some:
            waiting.append(wfdb.read(path))
            yield waiting[-1]

    def run(some: list[str]) -> None:
        for delineation in delineate_many(read(some)):
            measure(waiting.popleft(), delineation)

    run(paths[:17])  # compiles
    begin, busy = time.perf_counter(), time.process_time()
    run(paths)
    wall, busy = time.perf_counter() - begin, time.process_time() - busy
    print(f"{count} files read, delineated and measured: {count / wall:.0f} ECG/s, {1e3 * busy / count:.1f} ms of CPU")


def measure_peer(
    marks: dict[str, dict[str, Waves]], recordings: list[Recording], find: Callable[[np.ndarray, float], Waves]
) -> list[tuple[str, dict[tuple[str, str], matching.Matches]]]:
    """Matches of lead II by a function of a signal and its rate."""
    rows = []
    for record, recording in zip(marks, recordings, strict=True):
        signal = recording.signal[:, recording.leads.index("II")].astype(float)
        found = find(signal, recording.sampling_rate)
        rows.append(("II", matching.compare(found, marks[record]["II"])))
    return rows


def main() -> None:
    """Runs what the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", action="store_true")
    parser.add_argument("--ship", action="store_true")
    parser.add_argument("--evaluate", action="store_true")
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--workdir", help="folder of the checkpoint")
    parser.add_argument("--steps", type=int, default=3600)
    parser.add_argument("--rate", type=float, default=2e-3, help="largest learning rate")
    parser.add_argument("--start", help="folder of a checkpoint whose averaged weights training starts from")
    parser.add_argument("--data", help="folder of waves.csv and data/")
    parser.add_argument("--peers", action="store_true")
    arguments = parser.parse_args()
    if not (arguments.train or arguments.ship or arguments.speed or arguments.evaluate):
        parser.error("one of --train, --ship, --evaluate and --speed is required")
    if (arguments.train or arguments.ship) and not arguments.workdir:
        parser.error("--train and --ship need --workdir")
    if (arguments.speed or arguments.evaluate) and not arguments.data:
        parser.error("--evaluate and --speed need --data")
    if arguments.train or arguments.ship:
        import delineator_training

        if arguments.train:
            delineator_training.train(arguments.workdir, arguments.steps, arguments.rate, arguments.start)
        if arguments.ship:
            delineator_training.ship(arguments.workdir)
    if arguments.speed:
        time_folder(arguments.data)
    if arguments.evaluate:
        evaluate(arguments.data, arguments.peers)


if __name__ == "__main__":
    main()
