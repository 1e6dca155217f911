"""The weights of xresnet1d101 (helme/ecg_ptbxl_benchmarking), and of that benchmark's others with bottlenecks.

The layers are numbered: 0 to 2 are the stem, 3 pools, every number from 4 on is a stage, and the last is the head,
numbered inside. A block holds its convolutions under two names, `convs` and `convpath.0`; `idpath` is its shortcut.
"""

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np

from ecg_jax.errors import InputError
from ecg_jax.models.imports import torch_layout
from ecg_jax.models.imports.torch_layout import Entry, Shapes, Sizes
from ecg_jax.models.network import Network

NAME = "xresnet1d101"
NOTES = ("the file does not state the strides; the published ones are assumed",)
SAMPLES = 250  # of the published network's input, at 100 Hz
_STAGE = 4  # number of the first
_SIZED = ("0.0.weight", "1.0.weight", "2.0.weight", "4.0.convs.0.0.weight", "4.0.convs.2.0.weight")


def find_contradiction(shapes: Shapes) -> str:
    """Says what first shows that these are not the network's tensors; `""` if nothing does."""
    shapes = _rename(shapes)
    if found := torch_layout.find_contradiction(shapes, dict.fromkeys(_SIZED, 3)):
        return found
    first, *_, inner, outer = (shapes[name] for name in _SIZED)
    if outer[0] % inner[0]:
        return f"its blocks have {outer[0]} channels, not a multiple of the {inner[0]} inside"
    if first[2] % 2 == 0:
        return f"{_SIZED[0]} has {first[2]} taps, not an odd number"
    return torch_layout.find_contradiction(shapes, dict.fromkeys(_list_dense(shapes), 2))


def find_sizes(shapes: Shapes) -> Sizes | None:
    """The sizes of the network whose tensors have these names and shapes; None where they are another's."""
    if find_contradiction(shapes):
        return None
    shapes = _rename(shapes)
    first, second, third, inner, outer = (shapes[name] for name in _SIZED)
    *widths, num_labels = (shapes[name][0] for name in _list_dense(shapes))
    trunk = {
        "stages": _count_blocks(shapes),
        "stem_filters": (first[0], second[0], third[0]),
        "filters": inner[0],
        "expansion": outer[0] // inner[0],
        "kernel_size": first[2],
    }
    return Sizes(trunk, num_labels, (SAMPLES, first[1]), {"dense_widths": tuple(widths)})


def _rename(tensors: Mapping[str, Any]) -> dict[str, Any]:
    return {name.replace(".convpath.0.", ".convs."): tensor for name, tensor in tensors.items()}


def _count_blocks(shapes: Shapes) -> tuple[int, ...]:
    """Blocks of each stage."""
    counts = (torch_layout.count(shapes, f"{stage}.{{}}.convs.0.0.weight") for stage in itertools.count(_STAGE))
    return tuple(itertools.takewhile(bool, counts))


def _list_dense(shapes: Shapes) -> list[str]:
    """Names of the head's dense layers, of which there is at least one."""
    head = _STAGE + len(_count_blocks(shapes))
    names = [f"{head}.{number}.weight" for number in range(4, 4 + 4 * len(shapes), 4)]
    return names[:1] + list(itertools.takewhile(shapes.__contains__, names[1:]))


def create_table(sizes: Sizes) -> dict[str, Entry]:
    """The network's tensors, by Flax path."""
    table: dict[str, Entry] = {}
    for i in range(3):
        table |= _list_conv(f"trunk/stem{i + 1}", f"{i}")
    for stage, blocks in enumerate(sizes.trunk["stages"]):
        for block, i in itertools.product(range(blocks), range(3)):
            path = f"trunk/stage{stage + 1}_block{block + 1}/conv{i + 1}"
            table |= _list_conv(path, f"{_STAGE + stage}.{block}.convs.{i}")
    if sizes.trunk["stem_filters"][-1] != sizes.trunk["filters"] * sizes.trunk["expansion"]:
        table |= _list_conv("trunk/stage1_block1/shortcut", f"{_STAGE}.0.idpath.0")
    head = _STAGE + len(sizes.trunk["stages"])
    names = [*(f"dense{i + 1}" for i in range(len(sizes.head["dense_widths"]))), "output"]
    for i, name in enumerate(names):
        table |= torch_layout.list_norm(f"head/{name}_norm", f"{head}.{4 * i + 2}")
        table |= torch_layout.list_layer(f"head/{name}", f"{head}.{4 * i + 4}", "dense")
    return table


def _list_conv(path: str, name: str) -> dict[str, Entry]:
    """A convolution and the BatchNorm after it."""
    conv = torch_layout.list_layer(f"{path}/conv", f"{name}.0", "conv", bias=False)
    return conv | torch_layout.list_norm(f"{path}/norm", f"{name}.1")


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
    weights = _merge_copies(weights, source)
    sizes = torch_layout.measure(weights, find_sizes, find_contradiction, source, "an xresnet1d with bottlenecks")
    return torch_layout.build(NAME, sizes, create_table(sizes), weights, source)


def _merge_copies(weights: Mapping[str, np.ndarray], source: str) -> dict[str, np.ndarray]:
    """Every tensor once, whichever of its two names, or both, a file has."""
    merged = _rename(weights)
    for name, array in weights.items():
        [own] = _rename({name: array})
        if not np.array_equal(merged[own], array):
            raise InputError(f"{source}: {name} differs from its copy, {own}; give the file that its authors publish")
    return merged
