"""The reference's Keras weights, read with h5py alone.

Four kinds of file are known: a whole model as HDF5 (Keras 2 and 3: `model_config`, with
or without an optimizer), a whole model as a `.keras` archive, Keras 2's weights-only HDF5
(`layer_names`, no topology), and `.weights.h5` of Keras 2 and 3 (neither). Where a file
has its topology, weights are found by walking it; layer names, which carry offsets and
do not follow the layers' order, decide nothing. Elsewhere convolutions and BatchNorms
are taken in stored order and each unit's three convolutions told apart by shape.
"""

import dataclasses
import io
import json
import re
import zipfile
from collections.abc import Iterable, Mapping
from typing import Any

import h5py
import numpy as np

from ecg_jax.errors import InputError
from ecg_jax.models import network as network_lib
from ecg_jax.models import weights as weights_lib
from ecg_jax.models.keras_layers import create_table

SUFFIXES = (".h5", ".hdf5", ".keras")

_FLAX_LEAF = {
    "kernel": "params/{}/kernel",
    "bias": "params/{}/bias",
    "gamma": "params/{}/scale",
    "beta": "params/{}/bias",
    "moving_mean": "batch_stats/{}/mean",
    "moving_variance": "batch_stats/{}/var",
}
_ARCHIVE_STEMS = {"Conv1D": "conv1d", "BatchNormalization": "batch_normalization", "Dense": "dense"}

Arrays = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class KerasWeights:
    """The weights of a reference network, and the sizes they imply.

    Attributes:
        weights: Arrays by Flax path.
        leads: Channels of the input.
        num_labels: Outputs.
        trunk: Attributes of `ResNet1d`.
        samples: Length of the input.
    """

    weights: Arrays
    leads: int
    num_labels: int
    trunk: dict[str, Any]
    samples: int


def read(path: str) -> KerasWeights:
    """Reads a Keras file of the reference network, of any width and number of outputs.

    Raises:
        InputError: when it cannot be read or is another network, saying what was found.
    """
    layers, topology = _read_layers(path)
    try:
        slots = _walk(topology, layers, path) if topology else _by_order(layers, path)
    except (KeyError, TypeError, IndexError, RecursionError) as error:
        raise InputError(f"{path}: not the reference network; its layers do not form one ({error!r})") from error
    num_units = (len(slots) - 3) // 5
    missing = [row for row in create_table(num_units) if row.flax_path and row.flax_path not in slots]
    if missing:
        found = ", ".join(f"{row.number} ({row.keras_name})" for row in missing)
        raise InputError(f"{path}: not the reference network; it has no layer {found}")
    weights = {}
    for flax_path, name in slots.items():
        for leaf, value in layers[name].items():
            if leaf not in _FLAX_LEAF:
                raise InputError(f"{path}: layer {name} has a weight {leaf!r}; known: {', '.join(_FLAX_LEAF)}")
            weights[_FLAX_LEAF[leaf].format(flax_path)] = value
    stem = weights["params/trunk/stem/conv/kernel"]
    filters = tuple(weights[f"params/trunk/unit{unit}/conv2/kernel"].shape[-1] for unit in range(1, num_units + 1))
    flat, num_labels = weights["params/head/output/kernel"].shape
    trunk = {"stem_filters": stem.shape[-1], "filters": filters, "kernel_size": stem.shape[0]}
    steps, rest = divmod(flat, filters[-1])
    if rest:
        raise InputError(f"{path}: the dense layer takes {flat} values, which {filters[-1]} channels do not divide")
    return KerasWeights(weights, stem.shape[1], num_labels, trunk, steps * 4 ** len(filters))


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


def _read_layers(path: str) -> tuple[dict[str, Arrays], dict[str, Any] | None]:
    """Returns the weights of every layer that has some, in stored order, and the topology if there is one."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                config = json.loads(archive.read("config.json"))
                with h5py.File(io.BytesIO(archive.read("model.weights.h5")), "r") as file:
                    return _rename(_read_vars(file), config["config"]["layers"]), config["config"]
        with h5py.File(path, "r") as file:
            if "model_config" in file.attrs:
                return _read_named(file["model_weights"]), json.loads(_text(file.attrs["model_config"]))["config"]
            if "layer_names" in file.attrs:
                return _read_named(file), None
            if "layers" in file or "_layer_checkpoint_dependencies" in file:
                return _read_vars(file), None
            found = ", ".join([*file.attrs, *file]) or "nothing"
    except (FileNotFoundError, IsADirectoryError) as error:
        raise InputError(f"{path}: no such Keras file") from error
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: not a readable Keras file ({' '.join(str(error).split())})") from error
    raise InputError(
        f"{path}: an HDF5 file, but of no known Keras kind (model_config, layer_names or layers); it has {found}"
    )


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _read_named(group: h5py.Group) -> dict[str, Arrays]:
    """`layer_names` and `weight_names` attributes; long lists may be split over `layer_names0`, ..."""
    layers = {}
    for name in map(_text, _attribute(group, "layer_names")):
        arrays = {
            _text(weight).split("/")[-1].split(":")[0]: np.asarray(group[name][_text(weight)])
            for weight in _attribute(group[name], "weight_names")
        }
        if arrays:
            layers[name] = arrays
    return layers


def _attribute(group: h5py.Group, key: str) -> Iterable[str | bytes]:
    if key in group.attrs:
        return group.attrs[key]
    parts = [group.attrs[f"{key}{i}"] for i in range(len(group.attrs)) if f"{key}{i}" in group.attrs]
    return np.concatenate(parts) if parts else ()


def _read_vars(file: h5py.File) -> dict[str, Arrays]:
    """`layers/NAME/vars/0...`, ordered by the number in the name."""
    group = file["layers"] if "layers" in file else file["_layer_checkpoint_dependencies"]
    leaves = {1: ("kernel",), 2: ("kernel", "bias"), 4: ("gamma", "beta", "moving_mean", "moving_variance")}

    def order(name: str) -> tuple[str, int]:
        stem, number = re.fullmatch(r"(.*?)(?:_(\d+))?", name).groups()  # type: ignore[union-attr]
        return stem, int(number or 0)

    layers = {}
    for name in sorted(group, key=order):
        stored = group[name].get("vars", {})
        values = [np.asarray(stored[key]) for key in sorted(stored, key=int)]
        if values and len(values) in leaves:
            layers[name] = dict(zip(leaves[len(values)], values, strict=True))
    return layers


def _rename(layers: dict[str, Arrays], configs: list[dict[str, Any]]) -> dict[str, Arrays]:
    """Gives an archive's layers, which it numbers by class in the model's order, the names of its topology."""
    renamed, counts = {}, dict.fromkeys(_ARCHIVE_STEMS, 0)
    for config in configs:
        kind = config["class_name"]
        if kind in counts:
            stored = _ARCHIVE_STEMS[kind] + (f"_{counts[kind]}" if counts[kind] else "")
            counts[kind] += 1
            if stored in layers:
                renamed[config["config"]["name"]] = layers[stored]
    return renamed


def _by_order(layers: dict[str, Arrays], path: str) -> dict[str, str]:
    """Flax path -> layer name, where the file says nothing but an order."""
    convs = [name for name, arrays in layers.items() if arrays.get("kernel", np.empty(0)).ndim == 3]
    norms = [name for name, arrays in layers.items() if "gamma" in arrays]
    dense = [name for name, arrays in layers.items() if arrays.get("kernel", np.empty(0)).ndim == 2]
    units, rest = divmod(len(convs) - 1, 3)
    if rest or units < 1 or len(norms) != 2 * units + 1 or len(dense) != 1:
        raise InputError(
            f"{path}: not the reference network; found {len(convs)} convolutions, {len(norms)} BatchNorms and "
            f"{len(dense)} dense layers, expected 1 + 3u, 1 + 2u and 1 for u residual units"
        )
    stored = {"conv": iter(convs), "norm": iter(norms), "dense": iter(dense)}
    slots = {row.flax_path: next(stored[row.kind]) for row in create_table(units) if row.flax_path}
    for unit in range(1, units + 1):
        places = [f"trunk/unit{unit}/{name}" for name in ("conv1", "conv2", "shortcut")]
        trio = [slots[place] for place in places]
        shortcut = min(trio, key=lambda name: layers[name]["kernel"].shape[0])
        mains = [name for name in trio if name != shortcut]
        widens = [layers[name]["kernel"].shape[1] != layers[name]["kernel"].shape[2] for name in mains]
        first, second = reversed(mains) if widens == [False, True] else mains
        slots |= dict(zip(places, (first, second, shortcut), strict=True))
    return slots


def _walk(topology: Mapping[str, Any], layers: Mapping[str, Arrays], path: str) -> dict[str, str]:
    """Flax path -> layer name, by following the graph back from every addition."""
    kinds = {layer["config"]["name"]: layer["class_name"] for layer in topology["layers"]}
    inputs = {layer["config"]["name"]: _predecessors(layer["inbound_nodes"], kinds) for layer in topology["layers"]}

    def depth(name: str) -> int:
        if name not in depths:
            depths[name] = 1 + max(map(depth, inputs[name]), default=0)
        return depths[name]

    def back_to(name: str, kind: str) -> str:
        """The nearest layer of a kind at or before `name`, past layers without weights."""
        while kinds[name] != kind:
            if name in layers or len(inputs[name]) != 1:
                raise InputError(f"{path}: not the reference network; expected a {kind} before {name} ({kinds[name]})")
            name = inputs[name][0]
        return name

    def after(name: str) -> str:
        """The BatchNorm that normalizes `name`."""
        found = [other for other in kinds if kinds[other] == "BatchNormalization" and inputs[other] == [name]]
        if len(found) != 1:
            raise InputError(f"{path}: not the reference network; {len(found)} BatchNorms follow {name}, expected 1")
        return found[0]

    depths: dict[str, int] = {}
    sums = sorted((name for name, kind in kinds.items() if kind == "Add"), key=depth)
    denses = [name for name, kind in kinds.items() if kind == "Dense"]
    if not sums or len(denses) != 1 or any(len(inputs[name]) != 2 for name in sums):
        raise InputError(f"{path}: not the reference network; it has {len(sums)} Add and {len(denses)} Dense layers")
    slots = {"head/output": denses[0]}
    for unit, total in enumerate(sums, start=1):
        shortcut, second = sorted(inputs[total], key=depth)
        second = back_to(second, "Conv1D")
        norm = back_to(inputs[second][0], "BatchNormalization")
        first = back_to(inputs[norm][0], "Conv1D")
        base = f"trunk/unit{unit}"
        slots |= {f"{base}/conv1": first, f"{base}/norm1": norm, f"{base}/conv2": second}
        slots |= {f"{base}/shortcut": back_to(shortcut, "Conv1D"), f"{base}/norm2": after(total)}
        if unit == 1:
            slots["trunk/stem/norm"] = back_to(inputs[first][0], "BatchNormalization")
            slots["trunk/stem/conv"] = back_to(inputs[slots["trunk/stem/norm"]][0], "Conv1D")
    unread = [name for name in slots.values() if name not in layers]
    if unread:
        raise InputError(f"{path}: the file names layer(s) {', '.join(unread)} but holds no weights for them")
    return slots


def _predecessors(nodes: Any, known: Mapping[str, str]) -> list[str]:
    """Layer names in `inbound_nodes`: `[[[name, 0, 0, {}], ...]]` in Keras 2, `keras_history` in Keras 3."""
    if isinstance(nodes, Mapping):
        return _predecessors(list(nodes.values()), known)
    if isinstance(nodes, list | tuple):
        if len(nodes) >= 3 and isinstance(nodes[0], str) and isinstance(nodes[1], int) and nodes[0] in known:
            return [nodes[0]]
        return [name for node in nodes for name in _predecessors(node, known)]
    return []
