"""Works on a sweep whose runs take no training: `claimer.py WORKDIR STORAGE SPACE SECONDS [search]`."""

import hashlib
import os
import sys
import time

from rich.console import Console

from ecg_jax import config as config_lib
from ecg_jax.sweeps import space as space_lib
from ecg_jax.sweeps.study import Settings, Study


def value_of(overrides: dict) -> float:
    """What a run is worth: the same wherever and however often it is run."""
    text = repr(sorted((key, value) for key, value in overrides.items()))
    return int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) / 2**32


def main() -> None:
    """Claims, "runs" and completes until none is left."""
    workdir, storage, path, seconds, *rest = sys.argv[1:]
    space = space_lib.read(path, config_lib.create_default(), seeds=2)
    settings = Settings(objectives=("loss",), trials=int(rest[0]) if rest else 50, heartbeat=5)
    study = Study(workdir, space, settings, Console(), storage=storage)
    while True:
        claim = study.claim()
        if claim is None:
            if study.is_over:
                return
            time.sleep(0.05)
            continue
        result = os.path.join(workdir, f"{claim.key}.result")
        with study.give_signs_of_life(claim, lambda: None):
            if not os.path.exists(result):
                with open(os.path.join(workdir, "running"), "a") as file:
                    file.write(f"{claim.key}\n")
                time.sleep(float(seconds))
                with open(f"{result}.{os.getpid()}", "w") as file:
                    file.write(repr(value_of(dict(claim.overrides))))
                os.replace(f"{result}.{os.getpid()}", result)
                with open(os.path.join(workdir, "ended"), "a") as file:
                    file.write(f"{claim.key}\n")
            with open(result) as file:
                study.complete(claim, {"loss": float(file.read())})


if __name__ == "__main__":
    main()
