"""The PTB-XL benchmark's xresnet1d101 and its shallower variants with bottlenecks, from their published PyTorch files.

Strodthoff et al. 2021 (IEEE JBHI 25:1519; helme/ecg_ptbxl_benchmarking). Layers are numbered: 0 to 2 are the stem, 3
pools, each number from 4 on is a stage, and the last is the head, numbered inside. A block holds its convolutions twice,
as `convs` and `convpath.0`, and its shortcut's as `idpath`. All sizes follow from the arrays' shapes; strides do not,
and are the published ones.
"""

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np

from ecg_jax.errors import InputError
from ecg_jax.models import network as network_lib
from ecg_jax.models import weights as weights_lib
from ecg_jax.models.heads import PooledHead
from ecg_jax.models.imports import torch_layout
from ecg_jax.models.imports.torch_layout import Entry
from ecg_jax.models.network import Network
from ecg_jax.models.xresnet import XResNet1d

IGNORED = ("*.num_batches_tracked",)
SAMPLES = 250  # of the published network's input, at 100 Hz
_FIRST_STAGE = 4
_CONVS = ("0.0.weight", "1.0.weight", "2.0.weight", "4.0.convs.0.0.weight", "4.0.convs.2.0.weight")  # tell the sizes


def find_sizes(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any] | None:
    """The sizes of the network with these names and shapes.

    Returns:
        `leads`, and attributes of `trunk` (`XResNet1d`) and `head` (`PooledHead`); None where the names are another
        network's.
    """
    shapes = {_rename(name): shape for name, shape in shapes.items()}
    if _find_contradiction(shapes):
        return None
    first, second, third, inner, outer = (shapes[name] for name in _CONVS)
    stages = _count_blocks(shapes)
    widths = _find_widths(shapes, _FIRST_STAGE + len(stages))
    trunk = {
        "stages": stages,
        "stem_filters": (first[0], second[0], third[0]),
        "filters": inner[0],
        "expansion": outer[0] // inner[0],
        "kernel_size": first[2],
    }
    return {"leads": first[1], "trunk": trunk, "head": {"num_labels": widths[-1], "dense_widths": widths[:-1]}}


def _rename(name: str) -> str:
    return name.replace(".convpath.0.", ".convs.")


def _find_contradiction(shapes: Mapping[str, tuple[int, ...]]) -> str:
    """What shows that these are not the network's names and shapes; empty for nothing."""
    if reason := torch_layout.find_contradiction(shapes, dict.fromkeys(_CONVS, 3)):
        return reason
    first, *_, inner, outer = (shapes[name] for name in _CONVS)
    if first[2] % 2 == 0:
        return f"{_CONVS[0]} has {first[2]} taps, an even number"
    if outer[0] % inner[0]:
        return f"its blocks have {outer[0]} channels, not a multiple of the {inner[0]} inside"
    head = _FIRST_STAGE + len(_count_blocks(shapes))
    return torch_layout.find_contradiction(shapes, {f"{head}.4.weight": 2})


def _count_blocks(shapes: Mapping[str, Any]) -> tuple[int, ...]:
    """The number of blocks of each stage."""

    def count(stage: int) -> int:
        names = (f"{stage}.{block}.convs.0.0.weight" for block in itertools.count())
        return sum(1 for _ in itertools.takewhile(shapes.__contains__, names))

    return tuple(itertools.takewhile(bool, map(count, itertools.count(_FIRST_STAGE))))


def _find_widths(shapes: Mapping[str, tuple[int, ...]], head: int) -> tuple[int, ...]:
    """The outputs of the head's dense layers."""
    dense = (shapes.get(f"{head}.{number}.weight", ()) for number in itertools.count(4, 4))
    return tuple(shape[0] for shape in itertools.takewhile(lambda shape: torch_layout.is_sized(shape, 2), dense))


def create_table(sizes: Mapping[str, Any]) -> dict[str, Entry]:
    """The PyTorch name of every Flax array of the network of these sizes, of which one name of two is `convs`."""
    trunk, head = sizes["trunk"], sizes["head"]
    table: dict[str, Entry] = {}
    for i in range(len(trunk["stem_filters"])):
        table |= _list_conv(f"trunk/stem{i + 1}", f"{i}")
    for stage, blocks in enumerate(trunk["stages"]):
        for block in range(blocks):
            for i in range(3):
                path = f"trunk/stage{stage + 1}_block{block + 1}/conv{i + 1}"
                table |= _list_conv(path, f"{_FIRST_STAGE + stage}.{block}.convs.{i}")
    if trunk["stem_filters"][-1] != trunk["filters"] * trunk["expansion"]:
        table |= _list_conv("trunk/stage1_block1/shortcut", f"{_FIRST_STAGE}.0.idpath.0")
    last = _FIRST_STAGE + len(trunk["stages"])
    layers = [*(f"dense{i + 1}" for i in range(len(head["dense_widths"]))), "output"]
    for layer, number in zip(layers, itertools.count(4, 4), strict=False):
        table |= _list_norm(f"head/{layer}_norm", f"{last}.{number - 2}")
        table[f"params/head/{layer}/kernel"] = Entry(f"{last}.{number}.weight", "dense")
        table[f"params/head/{layer}/bias"] = Entry(f"{last}.{number}.bias", "vector")
    return table


def _list_conv(path: str, name: str) -> dict[str, Entry]:
    """A convolution and the norm after it."""
    return {f"params/{path}/conv/kernel": Entry(f"{name}.0.weight", "conv"), **_list_norm(f"{path}/norm", f"{name}.1")}


def _list_norm(path: str, name: str) -> dict[str, Entry]:
    return {
        f"params/{path}/scale": Entry(f"{name}.weight", "vector"),
        f"params/{path}/bias": Entry(f"{name}.bias", "vector"),
        f"batch_stats/{path}/mean": Entry(f"{name}.running_mean", "vector"),
        f"batch_stats/{path}/var": Entry(f"{name}.running_var", "vector"),
    }


def load(weights: Mapping[str, np.ndarray], source: str) -> tuple[Network, dict[str, np.ndarray]]:
    """The network that a file's arrays make, and its variables.

    Args:
        weights: The file's arrays by name.
        source: The file, for messages.

    Returns:
        The network, for signals of 100 Hz, and its arrays by Flax path.

    Raises:
        InputError: on another network's file, and on one whose copies of an array differ.
    """
    weights = _merge_copies(weights, source)
    found_shapes = {name: np.shape(array) for name, array in weights.items()}
    if (sizes := find_sizes(found_shapes)) is None:
        raise InputError(f"{source}: not an xresnet1d with bottlenecks; {_find_contradiction(found_shapes)}")
    network = Network(XResNet1d(**sizes["trunk"]), PooledHead(**sizes["head"]))
    found = torch_layout.convert(create_table(sizes), weights, ignored=IGNORED, source=source)
    shapes = network_lib.shapes(network, (SAMPLES, sizes["leads"]))
    return network, weights_lib.flatten(weights_lib.merge(shapes, found, source=source))


def _merge_copies(weights: Mapping[str, np.ndarray], source: str) -> dict[str, np.ndarray]:
    """The arrays under one name each."""
    merged: dict[str, np.ndarray] = {}
    for name, array in weights.items():
        own = _rename(name)
        if own in merged and not np.array_equal(merged[own], array):
            raise InputError(f"{source}: {name} differs from {own}, of which it is a copy in the published network")
        merged[own] = array
    return merged
