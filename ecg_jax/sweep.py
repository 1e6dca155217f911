"""Trains one configuration over a search space, and ranks the results by validation.

  python -m ecg_jax.sweep --config=configs/finetune.py --space=experiments/learning_rate.py --workdir=sweeps/lr

The space file defines space(): a dict from a dotted key of the configuration to a list of values (a
grid), or to an Optuna distribution (a search of --trials points), or a list of such dicts with one value
each. Every point is run with --seeds seeds. Every run is an ordinary run folder in --workdir.

The same command continues a sweep, even after a kill, and runs nothing twice. Started several times,
on one machine or (with --storage=postgresql://... and a --workdir that all see) on many, its processes
share the work. --workers=8 starts as many processes, each on its own GPU or share of the cores.

  --dry_run    lists the points, and estimates the time from a few measured steps
  --best       prints the command line of the best configuration so far

Written to --workdir: results.csv (a row per configuration: mean and 95 % interval over seeds), runs.csv,
results.md and report.html. Exit status: 2 if a run failed (the results say why), 130 after a signal, 1 if some runs
could not be finished.
"""

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
    "objectives", None, "What is optimized, on validation: loss, auroc, average_precision (of numbers loss, mae, rmse, "
    "r2, pearson), parameters or seconds; default config.checkpoint.monitor. "
    "Several, with commas between: a search looks for compromises; the first ranks."
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
    from ecg_jax.sweeps import database, estimate, report, results, summary, worker
    from ecg_jax.sweeps import space as space_lib
    from ecg_jax.sweeps import study as study_lib
    from ecg_jax.training.loop import Interrupted

    console = cli.create_console()
    base = _CONFIG.value
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
        print(summary.describe_command(results.collect(study, judges=False), sys.argv[1:]))
        return 0
    workers = _WORKERS.value or max(1, len(launcher.list_gpus()))
    stopped = None
    try:
        if count:
            worker.work(study, console, console, launcher=parent)
            return 0
        console.print(f"Sweep in {workdir}: {launcher.look(study)[2]}")
        if workers > 1:
            stopped = launcher.launch(study, sys.argv[1:], workers, console)
        else:
            with launcher.open_log(workdir, f"{socket.gethostname()}-{os.getpid()}") as log:
                worker.work(study, console, cli.create_console(log), ended=lambda: report.update(study, console))
    except Interrupted as stop:
        stopped = str(stop)
        if count:
            console.print(f"Stopped by {stopped}")
            return 130
    return report.finish(study, sys.argv[1:], stopped, console)


if __name__ == "__main__":
    cli.run(main)
