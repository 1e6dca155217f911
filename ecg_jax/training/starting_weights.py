"""Where a network starts: at random, from a run, from a Keras file, or from a short pretraining."""

import os
from collections.abc import Callable
from typing import Any

import numpy as np
from ml_collections import ConfigDict
from rich.console import Console

from ecg_jax import config as config_lib
from ecg_jax.contract import InputContract
from ecg_jax.errors import InputError
from ecg_jax.models import keras_import
from ecg_jax.models import weights as weights_lib
from ecg_jax.models.keras_layers import LAYERS
from ecg_jax.runtime import checkpoint, run_folder

PRETRAIN = "pretrain"
PRETRAIN_FOLDER = "pretraining"


def create_pretrain_config(config: ConfigDict) -> ConfigDict:
    """The short pretraining: the same trunk and contract, six diagnoses, simulated ECGs."""
    settings = config.pretrain
    pretrain = config_lib.create_default()
    pretrain.seed = config.seed
    pretrain.contract.update(**config.contract)
    pretrain.data.seed = config.data.seed + 1  # other patients than those of the fine-tuning
    pretrain.data.cache_gb = config.data.cache_gb
    pretrain.data.threads = config.data.threads
    pretrain.data.simulated.update(train=settings.recordings, validation=256, test=256)
    kept = ("name", "dropout_rate", "dtype", "convolution", "checkpoint_activations")
    pretrain.model.update({key: config.model[key] for key in kept})
    pretrain.optimizer.update(name="adamw", learning_rate=settings.learning_rate, weight_decay=1e-4)
    pretrain.schedule.update(name="one_cycle", warmup_fraction=0.25)
    pretrain.early_stopping.patience = 0
    pretrain.train.update(batch_size=settings.batch_size, steps=settings.steps, eval_every=max(1, settings.steps // 2))
    pretrain.parallel.update(**config.parallel)
    pretrain.evaluation.report = False
    return config_lib.check(pretrain)


def load(
    config: ConfigDict,
    variables: dict[str, Any],
    *,
    workdir: str,
    pretrain: Callable[[ConfigDict, str], object],
    console: Console,
) -> dict[str, Any]:
    """Puts `config.init.weights` into a network's variables.

    Args:
        config: Of the run.
        variables: Freshly drawn; what `config.init.exclude` names stays.
        workdir: Run folder; a pretraining is cached under it.
        pretrain: Runs a configuration in a folder, continuing what is there.
        console: Where what is done is said.

    Raises:
        InputError: when there are no such weights, they do not fit, or they were trained
            under another input contract.
    """
    origin = config.init.weights
    if not origin:
        return variables
    if origin == PRETRAIN:
        folder = os.path.join(workdir, PRETRAIN_FOLDER)
        settings = config.pretrain
        console.print(
            f"Starting weights: a short pretraining on {settings.recordings} simulated ECGs "
            f"({settings.steps} steps), kept in {folder}"
        )
        settled = create_pretrain_config(config)
        if not run_folder.is_finished(folder, settled):
            try:
                pretrain(settled, folder)  # which refuses a folder of other settings
            except InputError as error:
                raise InputError(f"the pretraining, which config.pretrain sets up: {error}") from error
            console.rule("Fine-tuning")
    elif os.path.isdir(origin):
        folder = origin
    elif origin.endswith(keras_import.SUFFIXES):
        found = keras_import.read(origin)
        console.print(
            f"Starting weights: {origin} (Keras). It states no input contract; CODE's is assumed: leads "
            f"{', '.join(config.contract.leads)} and {config.contract.units_per_millivolt:g} units per mV"
        )
        return _merge(config, variables, found.weights, origin)
    else:
        raise InputError(
            f"config.init.weights is {origin!r}; expected nothing, 'pretrain', a run folder, or a Keras file "
            f"({', '.join(keras_import.SUFFIXES)})"
        )
    theirs = InputContract.from_dict(run_folder.read_json(os.path.join(folder, run_folder.CONTRACT)))
    different = InputContract.from_dict(config.contract).differences(theirs)
    if different:
        raise InputError(
            f"{folder}: trained under another input contract ({'; '.join(different)}); set config.contract to it"
        )
    step, stored, _, passed_over = checkpoint.read_best(os.path.join(folder, run_folder.CHECKPOINTS))
    for line in passed_over:
        console.print(f"warning: {line}; an older one is used", style="yellow")
    console.print(f"Starting weights: {folder}, best checkpoint (step {step})")
    weights = {path: np.asarray(leaf) for path, leaf in weights_lib.flatten(stored).items()}
    return _merge(config, variables, weights, folder)


def _merge(
    config: ConfigDict, variables: dict[str, Any], weights: dict[str, np.ndarray], source: str
) -> dict[str, Any]:
    """Merges all but what `init.exclude` names and the layers after the cut, which are not used."""
    cut = config.model.transfer.cut if config.model.head == "transfer" else LAYERS[-1].number
    unused = [layer.flax_path for layer in LAYERS if layer.flax_path and layer.number > cut]
    used = {path: value for path, value in weights.items() if not weights_lib.matches(path, unused)}
    return weights_lib.merge(variables, used, source=source, exclude=config.init.exclude)
