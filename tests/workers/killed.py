"""Runs `ecg_jax.main`, and kills or signals the process at a chosen point.

  python killed.py POINT [flags of ecg_jax.main]

POINT is `never`, `step:N` (kill after N steps of this process), `term:N` (SIGTERM then),
`validate:N` (kill in the N-th validation), `evaluate:N` (SIGTERM after the N-th batch of any
evaluation), `save:KIND:N` (kill while the N-th checkpoint of a kind is half written, between its
start and its end), `full:N` (from N steps on, no file can grow beyond 4 kB), `short:N` (from N
steps on, the disk says that it is full), or `slow:SECONDS` (every checkpoint takes that long to finish).
"""

import os
import resource
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def watch(folder: Path, count: int) -> None:
    """Kills as soon as the count-th unfinished checkpoint stands in a folder."""
    seen: set[str] = set()
    while True:
        names = os.listdir(folder) if folder.is_dir() else []
        seen |= {name for name in names if "orbax-checkpoint-tmp" in name}
        if len(seen) >= count:
            kill()
        time.sleep(0.0005)


def fill_disk() -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))


def claim_full_disk() -> None:
    shutil.disk_usage = lambda path: SimpleNamespace(total=10**9, used=10**9, free=0)


def after_calls(function: Callable, count: int, act: Callable[[], None]) -> Callable:
    calls = 0

    def counted(*args: object, **kwargs: object) -> object:
        nonlocal calls
        result = function(*args, **kwargs)
        calls += 1
        if calls == count:
            act()
        return result

    return counted


def main() -> None:
    point, sys.argv = sys.argv[1], [sys.argv[0], *sys.argv[2:]]
    from ecg_jax import cli
    from ecg_jax import main as entry
    from ecg_jax.runtime import parallel
    from ecg_jax.training import loop

    kind, *values = point.split(":")
    workdir = next(flag.split("=", 1)[1] for flag in sys.argv if flag.startswith("--workdir="))
    acts = {
        "step": kill,
        "term": lambda: os.kill(os.getpid(), signal.SIGTERM),
        "full": fill_disk,
        "short": claim_full_disk,
    }
    if kind in acts:
        compile_train = parallel.Parallel.compile_train
        parallel.Parallel.compile_train = lambda self, step: after_calls(
            compile_train(self, step), int(values[0]), acts[kind]
        )
    elif kind == "evaluate":
        compile_eval = parallel.Parallel.compile_eval
        parallel.Parallel.compile_eval = lambda self, step: after_calls(
            compile_eval(self, step), int(values[0]), acts["term"]
        )
    elif kind == "validate":
        loop.predict = after_calls(loop.predict, int(values[0]), kill)
    elif kind == "slow":
        from orbax.checkpoint import CheckpointManager

        finalize = CheckpointManager._finalize_checkpoint
        CheckpointManager._finalize_checkpoint = lambda self, step: (time.sleep(float(values[0])), finalize(self, step))
    elif kind == "save":
        folder = Path(workdir) / "checkpoints" / values[0]
        threading.Thread(target=watch, args=(folder, int(values[1])), daemon=True).start()
    cli.run(entry.main)


if __name__ == "__main__":
    main()
