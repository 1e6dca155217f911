"""Trains or fine-tunes what a configuration describes, and evaluates it.

  python -m ecg_jax.main --config=configs/finetune.py            (also without the flag)
  python -m ecg_jax.main --config=configs/finetune.py --config.data.dataset=ptbxl --config.data.source=DIR
  python -m ecg_jax.main --config=configs/reference.py --config.data.dataset=code15 --config.data.source=DIR

Every key of the configuration can be set on the command line, as
--config.optimizer.learning_rate=3e-4. Starting the same command again continues the run.
Configurations: default, reference, binary, finetune, pretrain, real, smoke.
"""

import os
from collections.abc import Sequence

from absl import flags
from ml_collections import config_flags

from ecg_jax import cli

_CONFIG = config_flags.DEFINE_config_file(
    "config", None, f"What to run; default {cli.DEFAULT_CONFIG}. Its keys are flags too.", lock_config=True
)
_PROFILE = flags.DEFINE_bool("profile", False, "Write a trace of steps 10 to 20 of this process to WORKDIR/profile.")
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "The run folder; default runs/ and the configuration's name, with the data set's."
)


def main(argv: Sequence[str]) -> int:
    """Runs a configuration; see the module's docstring."""
    cli.refuse_arguments(argv)
    from ecg_jax.runtime import distributed
    from ecg_jax.training import kfold, loop

    console = distributed.start(cli.create_console())
    workdir = _WORKDIR.value or os.path.join("runs", _default_name())
    try:
        kfold.run(_CONFIG.value, workdir, console, profile=_PROFILE.value)
    except loop.Interrupted as stop:
        console.print(f"Stopped by {stop}. The same command continues the run.")
        return 130
    model = kfold.folders(_CONFIG.value, workdir)[0]
    console.print(f"Next: ecg-jax predict --model={model} --output=predictions.csv PATH_OF_YOUR_ECGS")
    console.print(f"  or: ecg-jax evaluate --model={model} --output=evaluation   (figures as files; other data)")
    return 0


def _default_name() -> str:
    """The configuration's name, and the data set's where it is not the embedded one."""
    dataset = _CONFIG.value.data.dataset
    return cli.config_name() + ("" if dataset == "simulated" else f"-{dataset}")


if __name__ == "__main__":
    cli.run(main)
