"""The weights of the network that estimates the age (antonior92/ecg-age-prediction, resnet.py)."""

import math
from collections.abc import Mapping

import numpy as np

from ecg_jax.models.imports import torch_layout
from ecg_jax.models.imports.torch_layout import Entry, Shapes, Sizes
from ecg_jax.models.network import Network
from ecg_jax.models.outputs import OUTPUT

NAME = "ecg_age"
NOTES = (
    "its output is the age in years, not a logit",
    "the file does not state the strides of the blocks; the published 1, 4, 4, ... are assumed",
)
_STRIDE = 4  # of every block but the first
_BLOCK = "resblock1d_{}.conv1.weight"


def find_contradiction(shapes: Shapes) -> str:
    """Says what first shows that these are not the network's tensors; `""` if nothing does."""
    blocks = range(max(1, torch_layout.count(shapes, _BLOCK)))
    dimensions = {"conv1.weight": 3, "lin.weight": 2} | {_BLOCK.format(i): 3 for i in blocks}
    if found := torch_layout.find_contradiction(shapes, dimensions):
        return found
    width, flat, taps = shapes[_BLOCK.format(blocks[-1])][0], shapes["lin.weight"][1], shapes["conv1.weight"][2]
    if flat % width:
        return f"lin.weight takes {flat} values, which the {width} channels of the last block do not divide"
    return "" if taps % 2 else f"conv1.weight has {taps} taps, not an odd number"


def find_sizes(shapes: Shapes) -> Sizes | None:
    """The sizes of the network whose tensors have these names and shapes; None where they are another's."""
    if find_contradiction(shapes):
        return None
    filters = tuple(shapes[_BLOCK.format(i)][0] for i in range(torch_layout.count(shapes, _BLOCK)))
    strides = (1, *[_STRIDE] * (len(filters) - 1))
    _, leads, kernel_size = shapes["conv1.weight"]
    num_labels, flat = shapes["lin.weight"]
    trunk = {"filters": filters, "strides": strides, "kernel_size": kernel_size}
    return Sizes(trunk, num_labels, (flat // filters[-1] * math.prod(strides), leads))


def create_table(sizes: Sizes) -> dict[str, Entry]:
    """The network's tensors, by Flax path."""
    table = torch_layout.list_layer("trunk/stem", "conv1", "conv", bias=False)
    table |= torch_layout.list_norm("trunk/norm", "bn1")
    before, filters = sizes.trunk["filters"][0], sizes.trunk["filters"]
    for i, width in enumerate(filters):
        path, name = f"trunk/block{i + 1}", f"resblock1d_{i}"
        for layer in (1, 2):
            table |= torch_layout.list_layer(f"{path}/conv{layer}", f"{name}.conv{layer}", "conv", bias=False)
            table |= torch_layout.list_norm(f"{path}/norm{layer}", f"{name}.bn{layer}")
        if width != before:
            table |= torch_layout.list_layer(f"{path}/shortcut", f"{name}.skip_connection.1", "conv", bias=False)
        before = width
    return table | torch_layout.list_layer(OUTPUT, "lin", "dense")


def load(weights: Mapping[str, np.ndarray], source: str) -> tuple[Network, dict[str, np.ndarray]]:
    """Builds the network of a file's sizes.

    Args:
        weights: The file's tensors by name.
        source: The file, for messages.

    Returns:
        The network and its variables by path.

    Raises:
        InputError: when these are not its tensors, naming what differs first.
    """
    sizes = torch_layout.measure(weights, find_sizes, find_contradiction, source, "the age network")
    kernel, channels = f"params/{OUTPUT}/kernel", sizes.trunk["filters"][-1]

    def adapt(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return arrays | {kernel: order_by_time(arrays[kernel], channels)}

    return torch_layout.build(NAME, sizes, create_table(sizes), weights, source, adapt=adapt)


def order_by_time(kernel: np.ndarray, channels: int) -> np.ndarray:
    """The weights `[channels * T, labels]` of features flattened channel by channel, for sample by sample."""
    return kernel.reshape(channels, -1, kernel.shape[-1]).swapaxes(0, 1).reshape(kernel.shape)
