"""Where a network starts: at random, from weights that ship, from a run, or from a Keras file."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ml_collections import ConfigDict
from rich.console import Console

from ecg_jax import config as config_lib
from ecg_jax import labels as label_lib
from ecg_jax import pretrained as shipped
from ecg_jax.contract import InputContract
from ecg_jax.errors import InputError
from ecg_jax.kinds import NUMBER
from ecg_jax.models import network as network_lib
from ecg_jax.models import outputs
from ecg_jax.models import weights as weights_lib
from ecg_jax.models.imports import keras as keras_import
from ecg_jax.models.imports import published
from ecg_jax.models.keras_layers import LAYERS
from ecg_jax.models.network import AS_PUBLISHED, Network
from ecg_jax.models.outputs import Scale
from ecg_jax.printable import list_some
from ecg_jax.runtime import checkpoint, run_folder
from ecg_jax.trained_on import Inherited

_KNOWN = (
    f"{shipped.DEFAULT!r}, a run folder, a Keras file ({', '.join(keras_import.SUFFIXES)}), or a PyTorch file of a "
    f"published network, FILE or NAME:FILE with NAME one of {', '.join(published.PUBLISHED)}"
)
_AFRESH = "add 'head' to config.init.exclude, so that the head starts afresh"


def load(
    config: ConfigDict,
    variables: dict[str, Any],
    console: Console,
    *,
    labels: Sequence[str],
    scale: Scale | None = None,
) -> tuple[dict[str, Any], Inherited]:
    """Puts `config.init.weights` into a network's variables; outputs are matched by the names of their labels.

    Args:
        config: Of the run.
        variables: Newly initialized; what `config.init.exclude` names stays, and so do outputs that are not stored.
        console: Where it is reported.
        labels: Of the network's outputs, in order.
        scale: Of these, where they are numbers: outputs that are taken over then predict the same numbers.

    Returns:
        The variables, and what the run inherits besides.

    Raises:
        InputError: when the weights do not exist or fit, they were trained under another input contract, or the labels
            of their outputs are unknown or of another kind.
    """
    origin = config.init.weights
    if not origin:
        return variables, Inherited()
    if origin in shipped.FILES:
        found = _read_shipped(config, console)
    elif origin.endswith(keras_import.SUFFIXES) and not os.path.isdir(origin):
        found = _read_keras(config, console)
    elif published.is_published(origin):
        found = _read_published(config, console)
    elif os.path.isdir(origin):
        with run_folder.reading(origin):
            found = _read_run(config, console)
    else:
        raise InputError(f"config.init.weights is {origin!r}; expected nothing, {_KNOWN}")
    aliases = {alias: name for name in labels if (alias := label_lib.find_alias(name))}
    if found.labels is not None:
        found = dataclasses.replace(found, labels=[aliases.get(name, name) for name in found.labels])
    inherited = found.inherited
    if _takes_head(config):
        found = dataclasses.replace(found, arrays=_match_outputs(variables, found, labels, scale, console))
        inherited = dataclasses.replace(inherited, largest=tuple(name for name in inherited.largest if name in labels))
    else:
        console.print(f"Head: starts afresh{_describe_unused(config, variables, found, labels, scale)}")
        inherited = dataclasses.replace(inherited, largest=())
    return _merge(config, variables, found.arrays, found.source), inherited


def require(origin: str) -> None:
    """Raises `InputError` where `config.init.weights` names something that does not exist."""
    if origin and origin not in shipped.FILES and not os.path.exists(published.split_name(origin)[1]):
        raise InputError(f"config.init.weights={origin}: no such file or folder; expected nothing, {_KNOWN}")


def fit(origin: str, contract: InputContract) -> bool:
    """Whether `config.init.weights` exists and can be used with an input contract; Keras files state none."""
    try:
        require(origin)
        return (theirs := _find_contract(origin)) is None or not contract.differences(theirs)
    except InputError:
        return False


def _find_contract(origin: str) -> InputContract | None:
    if origin in shipped.FILES:
        return InputContract.from_dict(shipped.read(origin).contract)
    if published.is_published(origin):
        name, path = published.split_name(origin)
        return published.PUBLISHED[name].contract if name else published.load(path).contract
    if os.path.isdir(origin):
        return InputContract.from_dict(run_folder.read_json(os.path.join(origin, run_folder.CONTRACT)))
    return None


def are_of_the_reference(origin: str) -> bool:
    """Whether `config.init.weights` names weights that only networks of the reference's kind can start from."""
    return origin in shipped.FILES or (origin.endswith(keras_import.SUFFIXES) and not os.path.isdir(origin))


def find_variant(origin: str) -> dict[str, Any]:
    """The `model.variant` of weights of the reference's kind; empty where others may start from `origin`."""
    if origin in shipped.FILES:
        return AS_PUBLISHED | dict(shipped.read(origin).model.get("variant", {}))
    return AS_PUBLISHED if are_of_the_reference(origin) else {}


@dataclasses.dataclass(frozen=True)
class _Found:
    """Weights to start from."""

    source: str  # for messages
    arrays: Mapping[str, np.ndarray]  # by path
    labels: Sequence[str] | None  # of the outputs; None where they are unknown
    scale: Scale | None = None  # of the outputs, where they are numbers
    inherited: Inherited = dataclasses.field(default_factory=Inherited)


def _read_shipped(config: ConfigDict, console: Console) -> _Found:
    name = config.init.weights
    found, source = shipped.read(name), f"the weights {name}"
    _check_contract(config, found.contract, source)
    console.print(f"Starting weights: {name}. {shipped.NOTICES[shipped.FILES[name]]}")
    inherited = Inherited(shipped.TRAINED_ON[shipped.FILES[name]])
    return _Found(source, found.arrays, found.labels, inherited=inherited)


def _read_keras(config: ConfigDict, console: Console) -> _Found:
    """Refuses a network that the one to train, the published one or a narrower, would not reproduce."""
    origin = config.init.weights
    found = keras_import.read(origin)
    if "stride" in found.trunk:
        raise InputError(
            f"{origin}: its strides are {', '.join(map(str, found.trunk['stride']))}, those of networks trained "
            f"here {keras_import.STRIDE} everywhere; it can predict, but nothing can start from it"
        )
    if _takes_head(config) and found.activation != "sigmoid":
        raise InputError(f"{origin}: its output is {found.activation}, training is of independent outputs; {_AFRESH}")
    if _takes_head(config) and found.samples != config.contract.samples:
        raise InputError(
            f"{origin}: its head is for {found.samples} samples; set config.contract.samples to it, or {_AFRESH}"
        )
    console.print(
        f"Starting weights: {origin} (Keras). It states no input contract; CODE's is assumed: leads "
        f"{', '.join(config.contract.leads)} and {config.contract.units_per_millivolt:g} units per mV"
    )
    for note in found.notes:
        console.print(f"  {note}")
    if _takes_head(config) and found.assumed_labels:
        console.print(f"  its outputs are taken to be {', '.join(found.assumed_labels)}")
    return _Found(origin, found.weights, found.assumed_labels)


def _read_published(config: ConfigDict, console: Console) -> _Found:
    """Refuses a network of another kind or size than the one to train."""
    origin = config.init.weights
    name, path = published.split_name(origin)
    found = published.load(path, name)
    facts = published.PUBLISHED[found.name]
    if config.model.name != facts.module:
        raise InputError(
            f"{origin}: the weights are of {facts.module}; set config.model.name to it, or use "
            f"--config=configs/published.py:{found.name}"
        )
    _check_contract(config, found.contract.to_dict(), origin)
    _check_heads(config, found.network, origin)
    console.print(f"Starting weights: {path} ({facts.title}; licence {facts.licence})")
    trained = [f"{name} ({seen.part})" for name, seen in facts.trained_on.items()]
    if trained:
        console.print(f"  trained on {', '.join(trained)}: scores of recordings there say little", style="yellow")
    for note in found.notes:
        console.print(f"  {note}")
    scale = Scale.create_plain(len(found.labels)) if facts.kind == NUMBER else None
    return _Found(origin, found.weights, found.labels or None, scale, Inherited(facts.trained_on, facts.largest))


def _check_heads(config: ConfigDict, theirs: Network, source: str) -> None:
    """Refuses another number of attention heads, which no shape shows."""
    own = network_lib.create(**config.model, num_labels=1)
    wanted, found = (getattr(network.trunk, "heads", None) for network in (own, theirs))
    if wanted != found:
        raise InputError(
            f"{source}: its attention has {found} heads, that of {config.model.name} {wanted}; such a file can predict "
            "and embed, not be trained further"
        )


def _read_run(config: ConfigDict, console: Console) -> _Found:
    origin = config.init.weights
    _check_contract(config, run_folder.read_json(os.path.join(origin, run_folder.CONTRACT)), origin)
    model = config_lib.from_dict(run_folder.read_json(os.path.join(origin, run_folder.CONFIG))).model
    if (is_theirs := model.variant.preactivation) != config.model.variant.preactivation:  # their shapes are the same
        raise InputError(f"{origin}: its model.variant.preactivation is {is_theirs}; set it here, too")
    step, stored, records, passed_over = checkpoint.read_best(os.path.join(origin, run_folder.CHECKPOINTS))
    for line in passed_over:
        console.print(f"warning: {line}; an older one is used", style="yellow")
    console.print(f"Starting weights: {origin}, best checkpoint (step {step})")
    arrays = {path: np.asarray(leaf) for path, leaf in weights_lib.flatten(stored).items()}
    scale = Scale.from_dict(records["scale"], records["labels"]) if "scale" in records else None
    return _Found(origin, arrays, records["labels"], scale, run_folder.read_inherited(origin))


def _takes_head(config: ConfigDict) -> bool:
    """Whether `init.exclude` leaves any part of the output layer."""
    return any(not weights_lib.matches(path, config.init.exclude) for path in outputs.PATHS)


def _match_outputs(
    variables: Mapping[str, Any],
    found: _Found,
    labels: Sequence[str],
    scale: Scale | None,
    console: Console,
) -> dict[str, np.ndarray]:
    """Arranges the output layer by the names of labels, and reports it."""
    source, stored_labels, arrays = found.source, found.labels, found.arrays
    if stored_labels is None:
        raise InputError(f"{source}: the labels of its outputs are unknown; {_AFRESH}")
    if not _has_head(variables, found):
        raise InputError(f"{source}: its head is of another kind; set another config.model.head, or {_AFRESH}")
    taken = [name for name in labels if name in stored_labels]
    if (scale is None) != (found.scale is None):
        kinds = ("findings", "numbers") if found.scale is None else ("numbers", "findings")
        raise InputError(f"{source}: its outputs are {kinds[0]}, the labels to learn {kinds[1]}; {_AFRESH}")
    if scale is not None and found.scale is not None:
        arrays = _carry_scale(arrays, stored_labels, found.scale, labels, scale)
    drawn = [name for name in labels if name not in stored_labels]
    unused = [name for name in stored_labels if name not in labels]
    parts = [
        f"outputs taken over by name: {', '.join(taken)}" if taken else "",
        f"drawn afresh: {', '.join(drawn)}" if drawn else "",
        f"not used: {list_some(unused)}" if unused else "",
    ]
    console.print(f"Head: {'; '.join(filter(None, parts))}")
    return outputs.rearrange(arrays, stored_labels, weights_lib.flatten(variables), labels)


def _has_head(variables: Mapping[str, Any], found: _Found) -> bool:
    """Whether the weights have all layers of the network's head."""
    return all(path in found.arrays for path in weights_lib.flatten(variables) if "/head/" in path)


def _describe_unused(
    config: ConfigDict, variables: Mapping[str, Any], found: _Found, labels: Sequence[str], scale: Scale | None
) -> str:
    """What a head that starts afresh could have taken over, and how; empty where that is nothing."""
    known = [name for name in labels if name in (found.labels or ())]
    if not known or (scale is None) != (found.scale is None):
        return ""
    how = "--config.init.exclude= keeps it"
    if not _has_head(variables, found):
        how = f"theirs is no head {config.model.head}, and cannot be kept"
    return f"; the starting weights have {', '.join(known)}: {how}"


def _carry_scale(
    arrays: Mapping[str, np.ndarray], stored_labels: Sequence[str], stored: Scale, labels: Sequence[str], scale: Scale
) -> dict[str, np.ndarray]:
    """Weights whose outputs of `labels` compute under `scale` the numbers that they compute as stored."""
    mean, deviation = stored.mean.copy(), stored.deviation.copy()
    for i, name in enumerate(labels):
        if name in stored_labels:
            place = list(stored_labels).index(name)
            mean[place], deviation[place] = scale.mean[i], scale.deviation[i]
    return outputs.rescale(arrays, stored, Scale(mean, deviation))


def _check_contract(config: ConfigDict, theirs: Mapping[str, Any], source: str) -> None:
    different = InputContract.from_dict(config.contract).differences(InputContract.from_dict(theirs))
    if different:
        raise InputError(
            f"{source}: trained under another input contract ({'; '.join(different)}); set config.contract to it"
        )


def _merge(
    config: ConfigDict, variables: dict[str, Any], weights: Mapping[str, np.ndarray], source: str
) -> dict[str, Any]:
    """Merges all but `init.exclude` and the trunk's unused layers after the cut."""
    cut = config.model.transfer.cut if config.model.head == "transfer" else LAYERS[-1].number
    unused = [layer.flax_path for layer in LAYERS[:-1] if layer.flax_path and layer.number > cut]
    used = {path: value for path, value in weights.items() if not weights_lib.matches(path, unused)}
    return weights_lib.merge(variables, used, source=source, exclude=config.init.exclude)
