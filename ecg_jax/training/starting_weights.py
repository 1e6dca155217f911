"""Where a network starts: at random, from the demonstration weights, from a run, or from a Keras file."""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from ml_collections import ConfigDict
from rich.console import Console

from ecg_jax import weights as shipped
from ecg_jax.contract import InputContract
from ecg_jax.errors import InputError
from ecg_jax.models import keras_import
from ecg_jax.models import weights as weights_lib
from ecg_jax.models.keras_layers import LAYERS
from ecg_jax.runtime import checkpoint, run_folder


def load(config: ConfigDict, variables: dict[str, Any], console: Console) -> dict[str, Any]:
    """Puts `config.init.weights` into a network's variables.

    Args:
        config: Of the run.
        variables: Freshly drawn; what `config.init.exclude` names stays.
        console: Where what is done is said.

    Raises:
        InputError: when there are no such weights, they do not fit, or they were trained
            under another input contract.
    """
    origin = config.init.weights
    if not origin:
        return variables
    if origin == shipped.DEMONSTRATION:
        found = shipped.read()
        _check_contract(config, found.contract, "the demonstration weights")
        console.print(f"Starting weights: demonstration. {shipped.NOTICE}")
        return _merge(config, variables, found.arrays, "the demonstration weights")
    if origin.endswith(keras_import.SUFFIXES) and not os.path.isdir(origin):
        keras = keras_import.read(origin)
        console.print(
            f"Starting weights: {origin} (Keras). It states no input contract; CODE's is assumed: leads "
            f"{', '.join(config.contract.leads)} and {config.contract.units_per_millivolt:g} units per mV"
        )
        return _merge(config, variables, keras.weights, origin)
    if not os.path.isdir(origin):
        raise InputError(
            f"config.init.weights is {origin!r}; expected nothing, {shipped.DEMONSTRATION!r}, a run folder, or a Keras "
            f"file ({', '.join(keras_import.SUFFIXES)})"
        )
    _check_contract(config, run_folder.read_json(os.path.join(origin, run_folder.CONTRACT)), origin)
    step, stored, _, passed_over = checkpoint.read_best(os.path.join(origin, run_folder.CHECKPOINTS))
    for line in passed_over:
        console.print(f"warning: {line}; an older one is used", style="yellow")
    console.print(f"Starting weights: {origin}, best checkpoint (step {step})")
    weights = {path: np.asarray(leaf) for path, leaf in weights_lib.flatten(stored).items()}
    return _merge(config, variables, weights, origin)


def require(origin: str) -> None:
    """Raises `InputError` where `config.init.weights` names something that is not there."""
    if origin and origin != shipped.DEMONSTRATION and not os.path.exists(origin):
        raise InputError(
            f"config.init.weights={origin}: no such file or folder; expected nothing, {shipped.DEMONSTRATION!r}, a run "
            f"folder, or a Keras file ({', '.join(keras_import.SUFFIXES)})"
        )


def are_of_the_reference(origin: str) -> bool:
    """Whether `config.init.weights` names weights that only networks of the reference's kind can start from."""
    return origin == shipped.DEMONSTRATION or (origin.endswith(keras_import.SUFFIXES) and not os.path.isdir(origin))


def _check_contract(config: ConfigDict, theirs: Mapping[str, Any], source: str) -> None:
    different = InputContract.from_dict(config.contract).differences(InputContract.from_dict(theirs))
    if different:
        raise InputError(
            f"{source}: trained under another input contract ({'; '.join(different)}); set config.contract to it"
        )


def _merge(
    config: ConfigDict, variables: dict[str, Any], weights: dict[str, np.ndarray], source: str
) -> dict[str, Any]:
    """Merges all but what `init.exclude` names and the layers after the cut, which are not used."""
    cut = config.model.transfer.cut if config.model.head == "transfer" else LAYERS[-1].number
    unused = [layer.flax_path for layer in LAYERS if layer.flax_path and layer.number > cut]
    used = {path: value for path, value in weights.items() if not weights_lib.matches(path, unused)}
    return weights_lib.merge(variables, used, source=source, exclude=config.init.exclude)
