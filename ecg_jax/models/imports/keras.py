"""The reference network and its weights, from a Keras file.

Where a file has its topology, weights are found by following it, and everything that it states is either built or
refused. Otherwise convolutions and BatchNorms are taken in stored order, each unit's three convolutions are identified
by their shapes, and the rest is assumed to be as in the reference.

What the Flax network lacks is expressed by what it has: a convolution's bias by the mean of the BatchNorm after it,
another epsilon by BatchNorm's scale, a shortcut without a convolution by an identity convolution. With stored
statistics all of this is exact.
"""

import dataclasses
import functools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ecg_jax.errors import InputError
from ecg_jax.labels import ABNORMAL, SIX
from ecg_jax.models import network as network_lib
from ecg_jax.models import weights as weights_lib
from ecg_jax.models.imports import keras_topology
from ecg_jax.models.imports.keras_files import Arrays, read_file
from ecg_jax.models.imports.keras_topology import STRIDE, Topology
from ecg_jax.models.keras_layers import create_table
from ecg_jax.models.outputs import OUTPUT

SUFFIXES = (".h5", ".hdf5", ".keras")
_LONGEST = 1 << 17  # samples of the input: more than five minutes at 400 Hz
_EPSILON = 1e-3  # of the reference's BatchNorms
_FLAX_LEAF = {
    "kernel": "params/{}/kernel",
    "bias": "params/{}/bias",
    "gamma": "params/{}/scale",
    "beta": "params/{}/bias",
    "moving_mean": "batch_stats/{}/mean",
    "moving_variance": "batch_stats/{}/var",
}
_DIMENSIONS = {"conv": 3, "dense": 2, "norm": 1}


@dataclasses.dataclass(frozen=True)
class KerasWeights:
    """The weights of a network of the reference's kind, and what the file says of it."""

    weights: Arrays  # arrays by Flax path
    leads: int  # channels of the input
    num_labels: int  # outputs
    trunk: dict[str, Any]  # attributes of `ResNet1d`; `stride` only where it is not the reference's
    samples: int  # length of the input
    activation: str = "sigmoid"  # what makes probabilities of logits, `sigmoid` or `softmax`
    notes: tuple[str, ...] = ()  # assumptions

    @property
    def assumed_labels(self) -> tuple[str, ...] | None:
        """Of the outputs, which no Keras file names: the published ones, if number and kind agree; else None."""
        published = {len(SIX): SIX, 1: (ABNORMAL,)}
        return published.get(self.num_labels) if self.activation == "sigmoid" else None


def read(path: str) -> KerasWeights:
    """Reads a Keras file of the reference network, of any width, depth, strides, length and number of outputs.

    Raises:
        InputError: when it cannot be read or is another network, naming the layer that differs.
    """
    file = read_file(path)
    try:
        topology = keras_topology.recognize(file.topology, file.loss, path) if file.topology is not None else None
        return _convert(path, file.layers, topology)
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, RecursionError) as error:
        raise InputError(f"{path}: not the reference network; its layers do not form one ({error!r})") from error


def _convert(path: str, layers: Mapping[str, Arrays], topology: Topology | None) -> KerasWeights:
    names = {place: node.name for place, node in topology.layers.items()} if topology else _find_names(layers, path)
    if unread := [name for name in names.values() if name not in layers]:
        raise InputError(f"{path}: the file names layer(s) {', '.join(unread)} but holds no weights for them")
    epsilons = topology.epsilons if topology else {}
    weights = _create_weights({place: layers[name] for place, name in names.items()}, names, epsilons, path)
    units = sum(place.endswith("conv2") for place in names)
    stem = weights["params/trunk/stem/conv/kernel"]
    filters = tuple(weights[f"params/trunk/unit{unit}/conv2/kernel"].shape[-1] for unit in range(1, units + 1))
    flat, num_labels = weights[f"params/{OUTPUT}/kernel"].shape
    trunk = {"stem_filters": stem.shape[-1], "filters": filters, "kernel_size": stem.shape[0]}
    strides = topology.strides if topology else (STRIDE,) * units
    if set(strides) != {STRIDE}:
        trunk["stride"] = strides
    steps, rest = divmod(flat, filters[-1])
    if rest:
        raise InputError(f"{path}: the dense layer takes {flat} values, which {filters[-1]} channels do not divide")
    samples, notes = (topology.samples, list(topology.notes)) if topology else (None, [])
    if samples is None:
        samples = steps * math.prod(strides)
        notes.append(_describe_assumptions(path, samples, has_topology=topology is not None))
    _check_length(path, samples, strides, steps)
    if topology and topology.leads not in (None, stem.shape[1]):
        raise InputError(f"{path}: its input has {topology.leads} leads, its first convolution {stem.shape[1]}")
    activation = topology.activation if topology else "sigmoid"
    return KerasWeights(weights, stem.shape[1], num_labels, trunk, samples, activation, tuple(notes))


def _describe_assumptions(path: str, samples: int, *, has_topology: bool) -> str:
    if has_topology:
        return f"{path} does not state its input's length; {samples} samples are assumed"
    return (
        f"{path} holds weights alone; assumed as in the reference: independent sigmoid outputs, ReLU, strides of "
        f"{STRIDE}, BatchNorm's epsilon of 0.001, {samples} samples"
    )


def _check_length(path: str, samples: int, strides: tuple[int, ...], steps: int) -> None:
    if samples > _LONGEST:
        raise InputError(f"{path}: its input has {samples} samples; at most {_LONGEST} are supported")
    left = functools.reduce(lambda length, stride: -(-length // stride), strides, samples)
    if left != steps:
        raise InputError(
            f"{path}: the dense layer takes {steps} steps, but strides of {', '.join(map(str, strides))} leave {left} "
            f"of {samples} samples"
        )


def _find_names(layers: Mapping[str, Arrays], path: str) -> dict[str, str]:
    """Layer names by Flax path, from the stored order alone; `InputError` if the layers are not the reference's."""
    stored: dict[str, list[str]] = {"conv": [], "norm": [], "dense": []}
    for name, arrays in layers.items():
        dimensions = arrays["kernel"].ndim if "kernel" in arrays else 0
        kind = "norm" if "moving_mean" in arrays else {3: "conv", 2: "dense"}.get(dimensions)
        if kind is None:
            raise InputError(f"{path}: not the reference network; layer {name} holds {', '.join(arrays)}")
        stored[kind].append(name)
    convs, norms, dense = (len(names) for names in stored.values())
    units, rest = divmod(convs - 1, 3)
    if rest or units < 1 or norms != 2 * units + 1 or dense != 1:
        raise InputError(
            f"{path}: not the reference network; found {convs} convolutions, {norms} BatchNorms and "
            f"{dense} dense layers, expected 1 + 3u, 1 + 2u and 1 for u residual units"
        )
    order = {kind: iter(names) for kind, names in stored.items()}
    names_by_place = {row.flax_path: next(order[row.kind]) for row in create_table(units) if row.flax_path}
    for unit in range(1, units + 1):
        places = [f"trunk/unit{unit}/{name}" for name in ("conv1", "conv2", "shortcut")]
        trio = [names_by_place[place] for place in places]
        shortcut = min(trio, key=lambda name: layers[name]["kernel"].shape[0])
        mains = [name for name in trio if name != shortcut]
        widens = [layers[name]["kernel"].shape[1] != layers[name]["kernel"].shape[2] for name in mains]
        first, second = reversed(mains) if widens == [False, True] else mains
        names_by_place |= dict(zip(places, (first, second, shortcut), strict=True))
    return names_by_place


def _create_weights(
    layers: Mapping[str, Arrays], names: Mapping[str, str], epsilons: Mapping[str, float], path: str
) -> Arrays:
    """Converts Keras' arrays to Flax weights, by path; `InputError` names a layer that the network cannot have.

    Args:
        layers: Keras' arrays by the Flax path of the layer.
        names: Keras' names of the layers likewise, for messages.
        epsilons: Of BatchNorms likewise, where they are known; otherwise the reference's.
        path: Of the file, for messages.
    """
    taps = len(layers["trunk/stem/conv"].get("kernel", ()))
    for place, arrays in layers.items():
        _check_arrays(arrays, place, 1 if place.endswith("shortcut") else taps, f"{path}: layer {names[place]}")
    complete = {place: _complete(arrays, place) for place, arrays in layers.items()}
    complete |= {
        place: {"kernel": np.eye(len(arrays["kernel"][0]), dtype=np.float32)[None]}
        for second, arrays in layers.items()
        if second.endswith("conv2") and (place := second.replace("conv2", "shortcut")) not in layers
    }
    complete |= {
        place: _absorb_epsilon(complete[place], epsilon)
        for place, epsilon in epsilons.items()
        if "gamma" in complete[place] and epsilon != _EPSILON
    }
    complete = _absorb_biases(complete)
    return {
        _FLAX_LEAF[leaf].format(place): value for place, arrays in complete.items() for leaf, value in arrays.items()
    }


def _check_arrays(arrays: Arrays, place: str, taps: int, source: str) -> None:
    """Refuses arrays that do not fit the layer at a place, or a convolution of another number of taps."""
    if unknown := [leaf for leaf in arrays if leaf not in _FLAX_LEAF]:
        raise InputError(f"{source} has a weight {unknown[0]!r}; known: {', '.join(_FLAX_LEAF)}")
    kind = "dense" if place == OUTPUT else "norm" if "/norm" in place else "conv"
    wanted = "moving_mean" if kind == "norm" else "kernel"
    if wanted not in arrays or arrays[wanted].ndim != _DIMENSIONS[kind]:
        found = ", ".join(f"{leaf} {array.shape}" for leaf, array in arrays.items())
        raise InputError(f"{source} holds {found}; expected a {wanted} of {_DIMENSIONS[kind]} dimension(s)")
    if kind == "conv" and len(arrays["kernel"]) != taps:
        raise InputError(
            f"{source} has kernel_size {len(arrays['kernel'])}; supported: that of the first convolution, and 1 in "
            "shortcuts"
        )


def _complete(arrays: Arrays, place: str) -> Arrays:
    """Adds the arrays that a layer without scale, centre or bias lacks."""
    if "moving_mean" in arrays:
        mean = arrays["moving_mean"]
        return {"gamma": np.ones_like(mean), "beta": np.zeros_like(mean)} | arrays
    return ({"bias": np.zeros_like(arrays["kernel"][0])} if place == OUTPUT else {}) | arrays


def _absorb_epsilon(norm: Arrays, epsilon: float) -> Arrays:
    """Changes the scale so that the reference's epsilon has the effect of the stored one."""
    variance = norm["moving_variance"].astype(np.float64)
    gamma = norm["gamma"] * np.sqrt((variance + _EPSILON) / (variance + epsilon))
    return norm | {"gamma": gamma.astype(np.float32)}


def _absorb_biases(layers: Mapping[str, Arrays]) -> dict[str, Arrays]:
    """Removes biases of convolutions and subtracts them from the mean of the BatchNorm that they reach.

    What a unit's last convolution and its shortcut add continues along the shortcuts: pooling preserves a constant, and
    a convolution of one tap multiplies it.
    """
    found = {place: dict(arrays) for place, arrays in layers.items()}
    biases = {place: arrays.pop("bias") for place, arrays in found.items() if "bias" in arrays and place != OUTPUT}
    if not biases:
        return found

    def absorb(norm: str, constant: Any) -> None:
        mean = found[f"trunk/{norm}"]["moving_mean"]
        found[f"trunk/{norm}"]["moving_mean"] = (mean.astype(np.float64) - constant).astype(np.float32)

    def bias(convolution: str) -> np.ndarray:
        return biases.get(f"trunk/{convolution}", np.zeros(())).astype(np.float64)

    absorb("stem/norm", bias("stem/conv"))
    carried: Any = None  # by the shortcut; that of the first unit begins after a BatchNorm
    for unit in (f"unit{number}" for number in range(1, 1 + sum(place.endswith("conv2") for place in layers))):
        absorb(f"{unit}/norm1", bias(f"{unit}/conv1"))
        passed_on = 0.0 if carried is None else carried @ found[f"trunk/{unit}/shortcut"]["kernel"][0]
        carried = passed_on + bias(f"{unit}/conv2") + bias(f"{unit}/shortcut")
        absorb(f"{unit}/norm2", carried)
    return found


def load(path: str) -> tuple[network_lib.Network, dict[str, Any], KerasWeights]:
    """Reads a Keras file and builds the network it holds.

    Returns:
        The network, its variables, and what was read.

    Raises:
        InputError: see `read`; also when arrays do not fit together.
    """
    found = read(path)
    network = network_lib.create("reference", head="dense", num_labels=found.num_labels, trunk=found.trunk)
    blank = network_lib.shapes(network, (found.samples, found.leads))
    return network, weights_lib.merge(blank, found.weights, source=path), found
