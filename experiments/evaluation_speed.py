"""How long evaluation takes, and how much memory: resamples all at once, against one at a time.

  python experiments/evaluation_speed.py --data=DIR

DIR is that of `experiments/ribeiro2020_tables.py`. Measures, each in a process of its own:
- the whole script: every table and figure, published and leak-free, start of Python included;
- what the original script spends its time on, done its way: 1,000 resamples of 827 exams, one
  at a time, four scores of six labels for four readers and four networks by scikit-learn (a
  part of the resamples is timed, and multiplied);
- the same resamples at once;
- 10,000 resamples of 100,000 made recordings with six labels: all scores, AUROC and average
  precision among them, and the peak of memory (resident, of the process);
- `python -m ecg_jax.evaluate` of --recordings made ones with six labels, from files to report, as
  users run it: two CSVs that are joined by name; the same with about half as many patients; an
  array and a CSV that are joined by position.

The second and third alternate; numbers are medians of --repeats.

On 2 CPU cores, Python 3.11: the whole script 9.7 s (9.3 to 10.0; an earlier version); one resample at
a time 634 s, at once 0.37 s, 1,700 times faster (an earlier version; later 198 and 0.22 s); the command
on 1,000,000 recordings 48 s and 1.99 GB, with patients 53 s and 1.78 GB, by position 48 s and 1.58 GB.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time

import numpy as np
import pandas as pd
from sklearn.metrics import f1_score, precision_score, recall_score

from ecg_jax import labels as label_lib
from ecg_jax.evaluation import resampling, tally
from ecg_jax.evaluation.settings import Settings

EXAMS, LABELS, READERS, RESAMPLES = 827, 6, 8, 1000
TIMED = 10  # resamples that are done one at a time
LARGE, MANY = 100_000, 10_000


def create_readings(exams: int) -> tuple[np.ndarray, np.ndarray]:
    """Truth `[N, 6]` and readings `[8, N, 6]` bool of about the size of the published study's."""
    rng = np.random.default_rng(0)
    truth = rng.random((exams, LABELS)) < 0.03
    wrong = rng.random((READERS, exams, LABELS)) < 0.01
    return truth, truth ^ wrong


def score_one_by_one() -> float:
    """Seconds for `TIMED` resamples, each scored by scikit-learn as the original script does."""
    truth, readings = create_readings(EXAMS)
    rows = np.random.default_rng(1).integers(EXAMS, size=(TIMED, EXAMS))
    began = time.perf_counter()
    for drawn in rows:
        for calls in readings:
            for i in range(LABELS):
                one, other = truth[drawn, i], calls[drawn, i]
                precision_score(one, other, zero_division=0)
                recall_score(one, other, zero_division=0)
                recall_score(~one, ~other, zero_division=0)
                f1_score(one, other, zero_division=0)
    return time.perf_counter() - began


def score_at_once() -> float:
    """Seconds for `RESAMPLES` resamples, all scores of all labels and readers at once."""
    truth, readings = create_readings(EXAMS)
    began = time.perf_counter()
    tallies = [
        tally.create(truth[:, i].astype(float), calls[:, i].astype(float), calls[:, i])
        for calls in readings
        for i in range(LABELS)
    ]

    def statistic(weights: np.ndarray) -> np.ndarray:
        found = [tally.compute_scores(each, weights, Settings()) for each in tallies]
        return np.concatenate([np.stack([*scores.values()]) for scores in found])

    resampling.resample(statistic, resampling.create_design(EXAMS), RESAMPLES, 0)
    return time.perf_counter() - began


def score_many(resamples: int) -> tuple[float, float]:
    """Seconds for many resamples of 100,000 recordings, and the peak of memory in GB."""
    rng = np.random.default_rng(0)
    truth = (rng.random((LARGE, LABELS)) < 0.03).astype(np.float64)
    probability = 1 / (1 + np.exp(-rng.normal(3 * truth - 2)))
    began = time.perf_counter()
    tallies = [tally.create(truth[:, i], probability[:, i], probability[:, i] > 0.5) for i in range(LABELS)]

    def statistic(weights: np.ndarray) -> np.ndarray:
        found = [tally.compute_scores(each, weights, Settings()) for each in tallies]
        return np.stack([scores[name] for scores in found for name in ("auroc", "average_precision", "f1")])

    resampling.resample(statistic, resampling.create_design(LARGE), resamples, 0)
    return time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def reproduce(data: str) -> float:
    """Seconds for the whole script, in a process of its own."""
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "ribeiro2020_tables.py")
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, script, f"--data={data}", f"--output={folder}/out"], check=True, capture_output=True
        )
        return time.perf_counter() - began


def write_files(folder: str, recordings: int) -> dict[str, list[str]]:
    """Writes made predictions and labels; the flags that name them, by what they show."""
    rng, names = np.random.default_rng(0), [*label_lib.SIX]
    truth = rng.random((recordings, LABELS)) < np.linspace(0.01, 0.1, LABELS)
    probabilities = pd.DataFrame(1 / (1 + np.exp(-rng.normal(3 * truth - 3))), columns=names)
    labels, rows = pd.DataFrame(truth.astype(int), columns=names), rng.permutation(recordings)
    ids = pd.Series([f"rec{number:09d}" for number in rng.permutation(recordings)])
    patients = pd.Series([f"p{number}" for number in rng.integers(recordings * 3 // 5, size=recordings)])
    tables = {
        "p": pd.concat([ids.rename("recording"), probabilities], axis=1),
        "l": pd.concat([ids.rename("recording"), labels], axis=1).iloc[rows],
        "patients": pd.concat([ids.rename("recording"), patients.rename("patient_id"), labels], axis=1).iloc[rows],
        "unnamed": labels,
    }
    paths = {name: os.path.join(folder, f"{name}.csv") for name in tables}
    for name, table in tables.items():
        table.to_csv(paths[name], index=False)
    array = os.path.join(folder, "p.npy")
    np.save(array, probabilities.to_numpy())
    return {
        "CSVs": [f"--predictions={paths['p']}", f"--labels={paths['l']}"],
        "CSVs with patients": [f"--predictions={paths['p']}", f"--labels={paths['patients']}"],
        "array, by position": [f"--predictions={array}", f"--labels={paths['unnamed']}", "--by_position"],
    }


def evaluate_files(flags: list[str], folder: str) -> tuple[float, float, float]:
    """Seconds for the command, seconds of processor time, and the peak of its memory in GB."""
    command = [sys.executable, "-m", "ecg_jax.evaluate", *flags, f"--output={folder}/out"]
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise subprocess.CalledProcessError(status, command)
    return time.perf_counter() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1e6


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", default="", help="Folder with annotations/ and dnn_predicts/; without, they are left out."
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--resamples", type=int, default=MANY, help="Of 100,000 recordings.")
    parser.add_argument("--recordings", type=int, default=1_000_000, help="In files.")
    flags = parser.parse_args()
    if flags.data:
        whole = [reproduce(flags.data) for _ in range(flags.repeats)]
        print(
            f"whole script: {np.median(whole):.1f} s (median of {flags.repeats}; {min(whole):.1f} to {max(whole):.1f})"
        )
    pairs = [(score_one_by_one() * RESAMPLES / TIMED, score_at_once()) for _ in range(flags.repeats)]
    alone, together = np.median(pairs, axis=0)
    ratio = np.median([one / other for one, other in pairs])
    print(
        f"1,000 resamples, 8 readers, 6 labels, 4 scores: one at a time {alone:.0f} s (from {TIMED} resamples), "
        f"at once {together:.2f} s: {ratio:.0f} times"
    )
    seconds, memory = score_many(flags.resamples)
    print(f"{flags.resamples:,} resamples of {LARGE:,} recordings, 6 labels: {seconds:.0f} s, {memory:.2f} GB")
    with tempfile.TemporaryDirectory() as folder:
        for name, chosen in write_files(folder, flags.recordings).items():
            seconds, processor, memory = evaluate_files(chosen, folder)
            print(
                f"the command, {flags.recordings:,} recordings, {name}: {seconds:.0f} s, {processor:.0f} s of "
                f"processor time, {memory:.2f} GB"
            )


if __name__ == "__main__":
    main()
