r"""What a sweep costs beside its runs: wall time of a sweep against the same runs of `ecg_jax.main`, one by one.

  python experiments/sweep_overhead.py [--points=4] [--steps=60] [--repeats=3]

In turn, in one call, each first in every other repeat: a sweep of as many learning rates, with one seed; and as many
calls of `ecg_jax.main`, each of which starts Python again. Compiled programs are on disk before. A run's own time is
also taken, from the first line of its configuration to its result, which leaves out the start of Python: a sweep starts
it once.
"""

import argparse
import glob
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)


def call(module: str, *arguments: str) -> float:
    """Seconds that a command takes."""
    begin = time.perf_counter()
    command = [sys.executable, "-m", f"ecg_jax.{module}", *arguments]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=ROOT)
    return time.perf_counter() - begin


def find_own_time(folder: str) -> float:
    """Seconds from a run's claim of its folder to its result."""
    begin, end = (os.path.getmtime(os.path.join(folder, name)) for name in ("config.json", "result.json"))
    return end - begin


def run_swept(folder: str, flags: list[str], rates: list[float]) -> tuple[float, float]:
    """Seconds of a sweep of learning rates, and of its runs themselves."""
    space, workdir = os.path.join(folder, "space.py"), os.path.join(folder, "sweep")
    with open(space, "w") as file:
        file.write(f"def space():\n    return {{'optimizer.learning_rate': {rates}}}\n")
    total = call("sweep", *flags, f"--space={space}", "--seeds=1", f"--workdir={workdir}")
    runs = [os.path.dirname(path) for path in glob.glob(os.path.join(workdir, "*", "result.json"))]
    own = sum(map(find_own_time, runs))
    shutil.rmtree(workdir)
    return total, own


def run_bare(folder: str, flags: list[str], rates: list[float]) -> tuple[float, float]:
    """The same of as many calls of `ecg_jax.main`."""
    total = own = 0.0
    workdir = os.path.join(folder, "bare")
    for rate in rates:
        total += call("main", *flags, f"--config.optimizer.learning_rate={rate}", f"--workdir={workdir}")
        own += find_own_time(workdir)
        shutil.rmtree(workdir)
    return total, own


def main() -> None:
    """Times and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=4)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    rates = [1e-3 * (k + 1) for k in range(options.points)]
    flags = ["--config=configs/smoke.py", f"--config.train.steps={options.steps}", "--config.train.eval_every=20"]
    ratios, own_ratios = [], []
    with tempfile.TemporaryDirectory() as folder:
        call("main", *flags, f"--workdir={folder}/warm")
        for repeat in range(options.repeats):
            ways = (run_swept, run_bare) if repeat % 2 == 0 else (run_bare, run_swept)
            times = {way: way(folder, flags, rates) for way in ways}
            (swept, swept_own), (bare, bare_own) = times[run_swept], times[run_bare]
            ratios.append(swept / bare)
            own_ratios.append(swept_own / bare_own)
            print(
                f"repeat {repeat + 1}: sweep of {len(rates)} {swept:.1f} s, bare {bare:.1f} s, ratio {ratios[-1]:.2f}; "
                f"own time of the runs {swept_own:.1f} against {bare_own:.1f} s, ratio {own_ratios[-1]:.2f}",
                flush=True,
            )
    print(f"median ratio {statistics.median(ratios):.3f}; of the runs' own time {statistics.median(own_ratios):.3f}")


if __name__ == "__main__":
    main()
