"""ECGFounder's weights, for 12 leads or one.

Those of `Net1D` (PKUDigitalHealth/ECGFounder, net1d.py). Its files also hold BatchNorms, which that code never applies.
"""

from collections.abc import Mapping

import numpy as np

from ecg_jax.models.imports import torch_layout
from ecg_jax.models.imports.torch_layout import Entry, Shapes, Sizes
from ecg_jax.models.network import Network
from ecg_jax.models.outputs import OUTPUT

NAME = "ecgfounder"
NOTES: tuple[str, ...] = ()
_SAMPLES = 5000  # published; the network takes any number
_UNUSED = ("first_bn.*", "stage_list.*.block_list.*.bn?.*")
_STEM, _OUTPUT = "first_conv.conv", "dense"
_STAGE = "stage_list.{}.block_list.0.conv1.conv.weight"
_BLOCK = "stage_list.{}.block_list.{}"


def find_contradiction(shapes: Shapes) -> str:
    """Says what first shows that these are not the network's tensors; `""` if nothing does."""
    stages = range(max(1, torch_layout.count(shapes, _STAGE)))
    dimensions = {f"{_STEM}.weight": 3, f"{_BLOCK.format(0, 0)}.conv2.conv.weight": 3, f"{_OUTPUT}.weight": 2}
    return torch_layout.find_contradiction(shapes, dimensions | {_STAGE.format(i): 3 for i in stages})


def find_sizes(shapes: Shapes) -> Sizes | None:
    """The sizes of the network whose tensors have these names and shapes; None where they are another's."""
    if find_contradiction(shapes):
        return None
    stages = range(torch_layout.count(shapes, _STAGE))
    stem_filters, leads, kernel_size = shapes[f"{_STEM}.weight"]
    trunk = {
        "stem_filters": stem_filters,
        "filters": tuple(shapes[_STAGE.format(i)][0] for i in stages),
        "blocks": tuple(
            torch_layout.count(shapes, f"stage_list.{i}.block_list.{{}}.conv1.conv.weight") for i in stages
        ),
        "kernel_size": kernel_size,
        "group_width": shapes[f"{_BLOCK.format(0, 0)}.conv2.conv.weight"][1],
    }
    return Sizes(trunk, shapes[f"{_OUTPUT}.weight"][0], (_SAMPLES, leads))


def create_table(sizes: Sizes) -> dict[str, Entry]:
    """The network's tensors, by Flax path."""
    table = torch_layout.list_layer("trunk/stem", _STEM, "conv")
    for stage, blocks in enumerate(sizes.trunk["blocks"]):
        for i in range(blocks):
            path, name = f"trunk/stage{stage + 1}_block{i + 1}", _BLOCK.format(stage, i)
            for conv in ("conv1", "conv2", "conv3"):
                table |= torch_layout.list_layer(f"{path}/{conv}", f"{name}.{conv}.conv", "conv")
            table |= torch_layout.list_layer(f"{path}/squeeze", f"{name}.se_fc1", "dense")
            table |= torch_layout.list_layer(f"{path}/excite", f"{name}.se_fc2", "dense")
    return table | torch_layout.list_layer(OUTPUT, _OUTPUT, "dense")


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
    sizes = torch_layout.measure(weights, find_sizes, find_contradiction, source, "ECGFounder's network")
    return torch_layout.build(NAME, sizes, create_table(sizes), weights, source, ignored=_UNUSED)
