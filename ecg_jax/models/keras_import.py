"""The reference network and its weights, out of a Keras file.

Where a file has its topology, weights are found by walking it, and everything that it states is either built or
refused. Elsewhere convolutions and BatchNorms are taken in stored order, each unit's three convolutions are told apart
by shape, and the rest is assumed to be as in the reference.
"""

import dataclasses
import functools
import math
from collections.abc import Mapping
from typing import Any

from ecg_jax.errors import InputError
from ecg_jax.labels import ABNORMAL, SIX
from ecg_jax.models import keras_topology, keras_weights
from ecg_jax.models import network as network_lib
from ecg_jax.models import weights as weights_lib
from ecg_jax.models.keras_files import Arrays, read_file
from ecg_jax.models.keras_topology import STRIDE, Topology
from ecg_jax.models.outputs import OUTPUT

SUFFIXES = (".h5", ".hdf5", ".keras")
_LONGEST = 1 << 17  # samples of the input: more than five minutes at 400 Hz


@dataclasses.dataclass(frozen=True)
class KerasWeights:
    """The weights of a network of the reference's kind, and what the file says of it.

    Attributes:
        weights: Arrays by Flax path.
        leads: Channels of the input.
        num_labels: Outputs.
        trunk: Attributes of `ResNet1d`; `stride` only where it is not the reference's.
        samples: Length of the input.
        activation: What makes probabilities of logits, `sigmoid` or `softmax`.
        notes: What was assumed.
    """

    weights: Arrays
    leads: int
    num_labels: int
    trunk: dict[str, Any]
    samples: int
    activation: str = "sigmoid"
    notes: tuple[str, ...] = ()

    @property
    def assumed_labels(self) -> tuple[str, ...] | None:
        """Of the outputs, which no Keras file names: as published, where their number and kind are; else None."""
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
    slots = (
        {place: node.name for place, node in topology.layers.items()}
        if topology
        else keras_weights.find_slots(layers, path)
    )
    if unread := [name for name in slots.values() if name not in layers]:
        raise InputError(f"{path}: the file names layer(s) {', '.join(unread)} but holds no weights for them")
    epsilons = topology.epsilons if topology else {}
    weights = keras_weights.convert({place: layers[name] for place, name in slots.items()}, slots, epsilons, path)
    units = sum(place.endswith("conv2") for place in slots)
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
    samples = topology.samples if topology else None
    notes = [] if topology is None else list(topology.notes)
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
