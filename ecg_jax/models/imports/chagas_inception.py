"""The weights of Ahus AIM's inception network for Chagas disease (PhysioNet Challenge 2025).

Ahus-AIM/physionet-challenge-2025, src/model/inception.py and src/submission_utils.py.
"""

import re
from collections.abc import Mapping

import numpy as np

from ecg_jax.errors import InputError
from ecg_jax.models.chagas_inception import RESIDUAL_EVERY
from ecg_jax.models.imports import torch_layout
from ecg_jax.models.imports.torch_layout import Entry, Shapes, Sizes
from ecg_jax.models.network import Network
from ecg_jax.models.outputs import OUTPUT

NAME = "chagas_inception"
OFFSET = 0.8  # is added to the logit before the sigmoid
NOTES = (f"the bias of its output is the {OFFSET} that its authors add before the sigmoid",)
_SAMPLES = 800  # published; the network takes any number from 13
_DOWN = ("down_layers.0", "down_layers.3")  # convolutions
_DOWN_NORMS = ("down_layers.1", "down_layers.4")
_BLOCK = "inception_network.blocks.{}"
_SHORTCUT = "inception_network.shortcuts.{}"
_FC = "inception_network.fc.weight"
_MEMBER = re.compile(r"models\.(\d+)\.(?:_orig_mod\.)?")  # of a trained submission


def _select_member(shapes: Shapes) -> Shapes:
    """The tensors of the first network of several in one file; all where there is one."""
    members = {name: match for name in shapes if (match := _MEMBER.match(name))}
    if len(members) < len(shapes):
        return shapes
    return {name[match.end() :]: shapes[name] for name, match in members.items() if match[1] == "0"}


def find_contradiction(shapes: Shapes) -> str:
    """Says what first shows that these are not the network's tensors; `""` if nothing does."""
    block = _BLOCK.format(0)
    convs = range(max(1, torch_layout.count(shapes, f"{block}.convs.{{}}.weight")))
    dimensions = {f"{_DOWN[0]}.weight": 3, f"{block}.bottleneck.weight": 3, _FC: 2}
    dimensions |= {f"{block}.convs.{i}.weight": 3 for i in convs}
    if found := torch_layout.find_contradiction(shapes, dimensions):
        return found
    even = [name for i in convs if shapes[name := f"{block}.convs.{i}.weight"][2] % 2 == 0]
    return f"{even[0]} is {list(shapes[even[0]])}, not of an odd number of taps" if even else ""


def find_sizes(shapes: Shapes) -> Sizes | None:
    """The sizes of the network whose tensors have these names and shapes; None where they are another's."""
    shapes = _select_member(shapes)
    if find_contradiction(shapes):
        return None
    block = _BLOCK.format(0)
    convs = range(torch_layout.count(shapes, f"{block}.convs.{{}}.weight"))
    filters, leads, first_kernel_size = shapes[f"{_DOWN[0]}.weight"]
    trunk = {
        "depth": torch_layout.count(shapes, f"{_BLOCK}.bottleneck.weight"),
        "filters": filters,
        "kernel_sizes": tuple(shapes[f"{block}.convs.{i}.weight"][2] for i in convs),
        "bottleneck": shapes[f"{block}.bottleneck.weight"][0],
        "first_kernel_size": first_kernel_size,
    }
    return Sizes(trunk, shapes[_FC][0], (_SAMPLES, leads))


def create_table(sizes: Sizes) -> dict[str, Entry]:
    """The network's tensors, by Flax path."""
    table: dict[str, Entry] = {}
    for i, (conv, norm) in enumerate(zip(_DOWN, _DOWN_NORMS, strict=True), start=1):
        table |= torch_layout.list_layer(f"trunk/down{i}", conv, "conv")
        table |= torch_layout.list_norm(f"trunk/down{i}_norm", norm)
    for i in range(sizes.trunk["depth"]):
        path, name = f"trunk/block{i + 1}", _BLOCK.format(i)
        layers = {"bottleneck": "bottleneck", "pooled": "pool_conv.1"}
        layers |= {f"conv{k + 1}": f"convs.{k}" for k in range(len(sizes.trunk["kernel_sizes"]))}
        for flax, torch in layers.items():
            table |= torch_layout.list_layer(f"{path}/{flax}", f"{name}.{torch}", "conv", bias=False)
        table |= torch_layout.list_norm(f"{path}/norm", f"{name}.batch_norm")
    for i in range(sizes.trunk["depth"] // RESIDUAL_EVERY):
        path, name = f"trunk/shortcut{i + 1}", _SHORTCUT.format(i)
        table |= torch_layout.list_layer(path, f"{name}.conv", "conv", bias=False)
        table |= torch_layout.list_norm(f"{path}_norm", f"{name}.batch_norm")
    return table | {f"params/{OUTPUT}/kernel": Entry(_FC, "dense")}


def load(weights: Mapping[str, np.ndarray], source: str) -> tuple[Network, dict[str, np.ndarray]]:
    """Builds the network of a file's sizes.

    Args:
        weights: The file's tensors by name.
        source: The file, for messages.

    Returns:
        The network and its variables by path.

    Raises:
        InputError: when these are not its tensors, naming what differs first, or those of several networks.
    """
    sizes = torch_layout.measure(weights, find_sizes, find_contradiction, source, "the Chagas inception network")
    if members := {match[1] for name in weights if (match := _MEMBER.match(name))}:
        raise InputError(f"{source}: holds {len(members)} networks, one for each fold; give the file of one fold")
    bias = {f"params/{OUTPUT}/bias": np.full(sizes.num_labels, OFFSET, np.float32)}
    return torch_layout.build(NAME, sizes, create_table(sizes), weights, source, adapt=lambda arrays: arrays | bias)
