r"""What a sweep costs beside its runs: wall time of a sweep against the same runs of `ecg_jax.main`, one by one.

  python experiments/sweep_overhead.py [--points=4] [--steps=60] [--repeats=3]

In turn, in one call, each first in every other repeat: a sweep of as many learning rates, with one seed; and as many
calls of `ecg_jax.main`, each of which starts Python anew. Compiled programs are on disk before. A run's own time is
also taken, from the first line of its configuration to its result, which leaves out the start of Python: a sweep starts
it once.
"""

import argparse
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


def main() -> None:
    """Times and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=4)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    rates = [1e-3 * (k + 1) for k in range(options.points)]
    shared = ["--config=configs/smoke.py", f"--config.train.steps={options.steps}", "--config.train.eval_every=20"]
    ratios, own_ratios = [], []
    with tempfile.TemporaryDirectory() as folder:
        space = os.path.join(folder, "space.py")
        with open(space, "w") as file:
            file.write(f"def space():\n    return {{'optimizer.learning_rate': {rates}}}\n")
        call("main", *shared, f"--workdir={folder}/warm")
        for repeat in range(options.repeats):
            for is_sweep in (True, False) if repeat % 2 == 0 else (False, True):
                if is_sweep:
                    swept = call("sweep", *shared, f"--space={space}", "--seeds=1", f"--workdir={folder}/sweep")
                    in_sweep = [
                        find_own_time(path.path)
                        for path in os.scandir(f"{folder}/sweep")
                        if os.path.exists(os.path.join(path.path, "result.json"))
                    ]
                    shutil.rmtree(f"{folder}/sweep")
                    continue
                bare, own = 0.0, []
                for k, rate in enumerate(rates):
                    run = f"{folder}/bare{k}"
                    bare += call("main", *shared, f"--config.optimizer.learning_rate={rate}", f"--workdir={run}")
                    own.append(find_own_time(run))
                    shutil.rmtree(run)
            ratios.append(swept / bare)
            own_ratios.append(sum(in_sweep) / sum(own))
            print(
                f"repeat {repeat + 1}: sweep of {len(rates)} {swept:.1f} s, bare {bare:.1f} s, ratio {ratios[-1]:.2f}; "
                f"own time of the runs {sum(in_sweep):.1f} against {sum(own):.1f} s, ratio {own_ratios[-1]:.2f}",
                flush=True,
            )
    print(f"median ratio {statistics.median(ratios):.3f}; of the runs' own time {statistics.median(own_ratios):.3f}")


if __name__ == "__main__":
    main()
