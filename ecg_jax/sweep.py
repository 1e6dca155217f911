"""Trains one configuration over a grid of its keys, and ranks the runs by validation.

  python -m ecg_jax.sweep --config=configs/finetune.py --space=experiments/learning_rate.py --workdir=sweeps/lr

The space file defines space(), a dict from a dotted key of the configuration to a list of
values. Every grid point is an ordinary run folder; the same command continues the sweep
and runs nothing twice. results.csv ranks the finished points.
"""

from collections.abc import Sequence

from absl import flags
from ml_collections import config_flags

from ecg_jax import cli

_CONFIG = config_flags.DEFINE_config_file(
    "config", None, f"What to start from; default {cli.DEFAULT_CONFIG}. Its keys are flags too.", lock_config=True
)
_SPACE = flags.DEFINE_string("space", None, "A Python file that defines space().", required=True)
_WORKDIR = flags.DEFINE_string("workdir", None, "Where the run folders and results.csv go.", required=True)


def main(argv: Sequence[str]) -> int:
    """Runs a grid; see the module's docstring."""
    cli.refuse_arguments(argv)
    from ecg_jax import config as config_lib
    from ecg_jax.reporting import tables
    from ecg_jax.sweeps import grid, space
    from ecg_jax.training import loop

    console = cli.create_console()
    points = space.create_grid(config_lib.check(_CONFIG.value), space.read_space(_SPACE.value))
    console.print(f"{len(points)} configurations, in {_WORKDIR.value}")
    try:
        table, failures = grid.run(points, _WORKDIR.value, console)
    except loop.Interrupted as stop:
        console.print(f"Stopped by {stop}. The same command continues the sweep.")
        return 130
    if len(table):
        tables.print_scores(table, "Ranked by validation", console)
        console.print(f"Written: {_WORKDIR.value}/{grid.RESULTS}")
        console.print(f"Next: python -m ecg_jax.predict --model={table['run'].iloc[0]} PATH_OF_YOUR_ECGS")
    for failure in failures:
        console.print(f"failed: {failure}")
    return 2 if failures else 0


if __name__ == "__main__":
    cli.run(main)
