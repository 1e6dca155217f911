"""How much faster files are read than by an earlier version: both in one run, in turn.

  python experiments/against_before.py [--before=COMMIT] [--recordings=192] [--prepared=3072] [--repeats=5]

Takes the earlier version of the package from the repository's history (by default the last one before recordings were
read in processes), and runs with either, in processes of their own:

- `predict_speed.py` once: ECG/s of `predict` from 500 Hz WFDB records with the weights that ship and with the
  full-size network, start apart;
- `prepare` of the same kind of records with and without the last three quarters of them: recordings/s, start apart.

Prints medians and ranges of both, and the median of the ratios.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import predict_speed

ROOT = Path(__file__).resolve().parent.parent


def extract(commit: str, folder: Path) -> None:
    """Writes the repository as it was, with today's script to measure."""
    archive = subprocess.run(["git", "archive", commit], cwd=ROOT, stdout=subprocess.PIPE, check=True)
    folder.mkdir()
    subprocess.run(["tar", "x", "-C", str(folder)], input=archive.stdout, check=True)
    shutil.copy(predict_speed.__file__, folder / "experiments")


def run(tree: Path, *arguments: str) -> str:
    """What a command prints with the package of `tree`."""
    command, environment = [sys.executable, *arguments], os.environ | {"PYTHONPATH": str(tree)}
    return subprocess.run(command, cwd=tree, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout


def measure_predict(tree: Path, recordings: int) -> dict[str, float]:
    """ECG/s from files by network."""
    printed = run(tree, "experiments/predict_speed.py", "--repeats=1", f"--recordings={recordings}")
    lines = [line.split(":") for line in printed.splitlines() if "from files" in line]
    return {f"predict, {name}": float(rest.split("from files ")[1].split()[0]) for name, rest in lines}


def measure_prepare(tree: Path, few: Path, all_of_them: Path, more: int) -> float:
    """Recordings/s: how many more recordings cost how much more time."""
    seconds = []
    for records in (few, all_of_them):
        with tempfile.TemporaryDirectory() as output:
            began = time.perf_counter()
            run(tree, "-m", "ecg_jax.prepare", "--dataset=folder", f"--source={records}", f"--output={output}/store")
            seconds.append(time.perf_counter() - began)
    return more / (seconds[1] - seconds[0])


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", default="fd7488a~1", metavar="COMMIT")
    parser.add_argument("--recordings", type=int, default=192)
    parser.add_argument("--prepared", type=int, default=3072)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        trees = {"before": Path(folder) / "before", "now": ROOT}
        extract(options.before, trees["before"])
        few, all_of_them, more = Path(folder) / "few", Path(folder) / "all", options.prepared * 3 // 4
        for records, count in ((few, options.prepared - more), (all_of_them, options.prepared)):
            records.mkdir()
            predict_speed.write_records(str(records), count)
        rates: dict[str, list[dict[str, float]]] = {version: [] for version in trees}
        for _ in range(options.repeats):
            for version, tree in trees.items():
                measured = measure_predict(tree, options.recordings)
                rates[version].append(measured | {"prepare": measure_prepare(tree, few, all_of_them, more)})
    for name in rates["now"][0]:
        before, now = ([each[name] for each in rates[version]] for version in ("before", "now"))
        ratio = statistics.median(b / a for a, b in zip(before, now, strict=True))
        print(
            f"{name}: before {statistics.median(before):.0f} ({min(before):.0f}-{max(before):.0f}) per second, now "
            f"{statistics.median(now):.0f} ({min(now):.0f}-{max(now):.0f}), {ratio:.2f} times"
        )


if __name__ == "__main__":
    main()
