"""Trains one configuration over a search space, as many times as it takes, and ranks what came out by validation.

  python -m ecg_jax.sweep --config=configs/finetune.py --space=experiments/learning_rate.py --workdir=sweeps/lr

The space file defines space(): a dict from a dotted key of the configuration to a list of values (a
grid), or to an Optuna distribution (a search of --trials points), or a list of such dicts with one value
each. Every point is run with --seeds seeds. Every run is an ordinary run folder in --workdir.

The same command continues a sweep, whatever was killed, and runs nothing twice. Started several times,
on one machine or (with --storage=postgresql://... and a --workdir that all see) on many, it works with
the others. --workers=8 starts as many processes, each on its own GPU or share of the cores.

  --dry_run    lists the points, and estimates the time from a few measured steps
  --best       prints the command line of the best configuration so far

Written to --workdir: results.csv (a row per configuration: mean and 95 % interval over seeds), runs.csv,
results.md and report.html. Exit status: 2 if a run failed (results say why), 130 if it was stopped, 1 if runs
are left that could not be finished.
"""

import contextlib
import math
import os
import socket
import sys
from collections.abc import Sequence

from absl import flags
from ml_collections import config_flags

from ecg_jax import cli

_CONFIG = config_flags.DEFINE_config_file(
    "config", None, f"What to start from; default {cli.DEFAULT_CONFIG}. Its keys are flags too.", lock_config=True
)
_SPACE = flags.DEFINE_string("space", None, "A Python file that defines space().", required=True)
_WORKDIR = flags.DEFINE_string("workdir", None, "The sweep's folder; default sweeps/ and the name of the space file.")
_SEEDS = flags.DEFINE_integer("seeds", 3, "Seeds per point, from config.seed on, unless the space varies `seed`.", 1)
_OBJECTIVES = flags.DEFINE_list(
    "objectives", None, "What to be best in, on validation: loss, auroc, average_precision, parameters or seconds; "
    "default config.checkpoint.monitor. Several, with commas between: a search looks for compromises; the first ranks."
)  # fmt: skip
_SAMPLER = flags.DEFINE_string("sampler", "tpe", "How a search draws its points: random, tpe or cmaes.")
_PRUNER = flags.DEFINE_string("pruner", "none", "Ends runs that are worse than others half-way: median or hyperband.")
_TRIALS = flags.DEFINE_integer("trials", 50, "Points of a search.")
_WORKERS = flags.DEFINE_integer("workers", 0, "Processes on this machine; 0 is one per GPU, and one on a CPU.", 0)
_STORAGE = flags.DEFINE_string("storage", "", "postgresql://USER:PASSWORD@HOST/DATABASE, for many machines.")
_HEARTBEAT = flags.DEFINE_integer("heartbeat", 30, "Seconds between signs of life; after four missed, a run is lost.")
_RETRY = flags.DEFINE_bool("retry_failed", False, "Run points that failed once more.")
_DRY_RUN = flags.DEFINE_bool("dry_run", False, "List the points and estimate the time; run nothing.")
_BEST = flags.DEFINE_bool("best", False, "Print the command line of the best configuration so far; run nothing.")
_YES = flags.DEFINE_bool("yes", False, "Run even a very large grid.")
_WORKER = flags.DEFINE_string("worker", "", "Set by --workers for the processes that it starts.")

_LARGE = 5000  # runs


def main(argv: Sequence[str]) -> int:
    """Runs a sweep; see the module's docstring."""
    cli.refuse_arguments(argv)
    from ecg_jax.sweeps import launcher

    number, count, parent = map(int, _WORKER.value.split("/")) if _WORKER.value else (0, 0, 0)
    if count:
        launcher.pin_cores(number, count)
    from ecg_jax import config as config_lib
    from ecg_jax.errors import InputError
    from ecg_jax.sweeps import database, estimate, report, results, worker
    from ecg_jax.sweeps import space as space_lib
    from ecg_jax.sweeps import study as study_lib
    from ecg_jax.training import loop

    console = cli.create_console()
    base = config_lib.check(_CONFIG.value)
    space = space_lib.read(_SPACE.value, base, seeds=_SEEDS.value, most=math.inf if _YES.value else _LARGE)
    settings = study_lib.Settings(
        objectives=tuple(_OBJECTIVES.value or [base.checkpoint.monitor]),
        sampler=_SAMPLER.value,
        pruner=_PRUNER.value,
        trials=_TRIALS.value,
        heartbeat=_HEARTBEAT.value,
        retries_failed=_RETRY.value and not count and not _BEST.value,
    )
    study_lib.check_settings(settings, space)
    if _DRY_RUN.value:
        estimate.describe(space, settings, console)
        return 0
    workdir = _WORKDIR.value or os.path.join("sweeps", os.path.splitext(os.path.basename(_SPACE.value))[0])
    storage = database.find_url(_STORAGE.value)
    study = study_lib.Study(workdir, space, settings, console, storage=storage, creates=not _BEST.value)
    if _BEST.value:
        print(report.describe_command(results.collect(study, judges=False), sys.argv[1:]))
        return 0
    if count:
        try:
            worker.work(study, console, console, launcher=parent)
        except loop.Interrupted as stop:
            console.print(f"Stopped by {stop}")
            return 130
        return 0
    workers = _WORKERS.value or max(1, launcher.count_gpus())
    stopped = None
    console.print(f"Sweep in {workdir}: {launcher.look(study)[2]}")
    if workers > 1:
        stopped = launcher.launch(study, sys.argv[1:], workers, console)
    else:

        def tell() -> None:
            with contextlib.suppress(OSError):  # tables can be written later
                report.write_tables(results.collect(study, judges=False), study)
            console.print(launcher.look(study)[2])

        try:
            with launcher.open_log(workdir, f"{socket.gethostname()}-{os.getpid()}") as log:
                worker.work(study, console, cli.create_console(log), ended=tell)
        except loop.Interrupted as stop:
            stopped = str(stop)
    points = study.points()
    due = len(points) if space.is_search else study.size  # a search may end for want of other points
    left = due - sum(point.state in study_lib.FINAL for point in points)
    found = results.collect(study, judges=not stopped and not left)
    if found.ranked:
        report.show(found, study, sys.argv[1:], console)
    else:
        report.write_tables(found, study)
    for _, run in found.runs[found.runs["state"] == "failed"].iterrows() if len(found.runs) else ():
        console.print(f"failed: {run['run']}: {run['reason']}")
    if stopped:
        console.print(f"Stopped by {stopped}. The same command continues the sweep.")
        return 130
    if left:
        raise InputError(f"{left} runs are not finished, whose processes ended; the same command continues the sweep")
    return 2 if len(found.runs) and (found.runs["state"] == "failed").any() else 0


if __name__ == "__main__":
    cli.run(main)
