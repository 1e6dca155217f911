"""The workers of a sweep on one machine, each with its own GPU or share of the cores."""

import datetime
import glob
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import IO

from rich.console import Console

from ecg_jax.errors import InputError
from ecg_jax.runtime.progress import show_progress
from ecg_jax.sweeps.study import FINAL, Study

LOGS = "logs"
_PERIOD = 2.0  # seconds between looks
_RESTARTS = 20  # of killed workers; a point fails long before


def list_gpus() -> list[str]:
    """GPUs that this process may use, without initializing them; none where JAX is set to use the CPU."""
    if os.environ.get("JAX_PLATFORMS", "").lower() == "cpu":
        return []
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name for name in named.split(",") if name.strip()]
    return [str(number) for number in range(len(glob.glob("/dev/nvidia[0-9]*")))]


def list_cores(number: int, count: int) -> set[int]:
    """The share of worker `number` of `count` in the cores of this process."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if count > len(cores):
        return {cores[number % len(cores)]} if cores else set()
    return set(cores[len(cores) * number // count : len(cores) * (number + 1) // count])


def pin_cores(number: int, count: int) -> None:
    """Keeps this process to its share; to be called before JAX starts as many threads."""
    if hasattr(os, "sched_setaffinity") and (cores := list_cores(number, count)):
        os.sched_setaffinity(0, cores)


def launch(study: Study, arguments: Sequence[str], count: int, console: Console) -> str | None:
    """Runs workers until the sweep is over.

    Args:
        study: The sweep.
        arguments: Of this command, and of the workers.
        count: Number of workers.
        console: Where progress is shown.

    Returns:
        None at the end of the sweep; the name of a signal that was received before.

    Raises:
        InputError: when all workers ended with an error.
    """
    logs = os.path.join(study.workdir, LOGS)
    console.print(f"{count} workers; their output: {logs}/worker-*.log")
    asked: list[str] = []

    def ask(number: int, frame: object) -> None:
        del frame
        asked.append(signal.Signals(number).name)

    previous = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    workers = [_start(arguments, number, count, study.workdir) for number in range(count)]
    restarts = 0
    try:
        with show_progress(console, "runs") as update:
            said = ""
            while any(worker.poll() is None for worker in workers) and not asked:
                for number, worker in enumerate(workers):
                    if (worker.poll() or 0) < 0 and restarts < _RESTARTS:
                        restarts += 1
                        console.print(f"worker {number} was killed (signal {-worker.returncode}); starting another one")
                        workers[number] = _start(arguments, number, count, study.workdir)
                done, total, line = look(study, count)
                if line != said:
                    said = line
                    update(done, total)
                    console.print(line)
                time.sleep(_PERIOD)
    finally:
        for worker in workers:
            if worker.poll() is None:
                worker.terminate()
        for worker in workers:
            worker.wait()
        for signum, handler in previous.items():
            signal.signal(signum, handler)
    if asked:
        return asked[0]
    if all(worker.returncode for worker in workers):
        raise InputError(f"all workers ended with an error; the first: {_read_end(logs)}")
    return None


def _read_end(logs: str) -> str:
    with open(os.path.join(logs, "worker-0.log"), errors="replace") as file:
        return file.read().strip().rpartition("\n")[2].removeprefix("error: ")


def open_log(workdir: str, name: str) -> IO[str]:
    """The file for the output of a process' runs."""
    path = os.path.join(workdir, LOGS, f"worker-{name}.log")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    return open(path, "a", buffering=1)


def _start(arguments: Sequence[str], number: int, count: int, workdir: str) -> subprocess.Popen:
    environment = dict(os.environ)
    if gpus := list_gpus():
        environment["CUDA_VISIBLE_DEVICES"] = gpus[number % len(gpus)]
        together = -(-count // len(gpus))
        if together > 1:  # JAX takes three quarters of a GPU's memory for itself
            environment.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", f"{0.9 / together:.2f}")
    command = [sys.executable, "-m", "ecg_jax.sweep", *arguments, f"--worker={number}/{count}/{os.getpid()}"]
    with open_log(workdir, str(number)) as log:
        return subprocess.Popen(
            command,
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
        )


def look(study: Study, workers: int = 1) -> tuple[int, int, str]:
    """Number of finished points, of all points, and a line with both, the best so far and the time left.

    Args:
        study: The sweep.
        workers: Processes that share the remaining points.
    """
    points = study.points()
    states = [point.state for point in points]
    total = max(study.size, len(points))
    done = sum(state in FINAL for state in states)
    line = f"{done} of {total} done"
    for state in ("running", "pruned", "failed"):
        if state in states:
            line += f", {states.count(state)} {state}"
    complete = [point.trial for point in points if point.state == "complete"]
    if complete:
        best = min((trial.values[0] for trial in complete), key=lambda value: study.sign * value)
        line += f", best {study.settings.objectives[0]} {best:.4f}"
        seconds = [trial.user_attrs.get("seconds", math.nan) for trial in complete]
        known = [value for value in seconds if math.isfinite(value)]
        if known and done < total:
            left = (total - done) * sum(known) / len(known) / workers
            line += f", about {datetime.timedelta(seconds=int(left))} left"
    return done, total, line
