"""Keras files read with h5py alone: the arrays of every layer, and the configuration if there is one.

Four kinds are known: a whole model as HDF5 (Keras 2 and 3: `model_config`, with or without an optimizer), a whole
model as a `.keras` archive, Keras 2's weights-only HDF5 (`layer_names`), and `.weights.h5` of Keras 2 and 3. The last
two hold no configuration.
"""

import dataclasses
import io
import json
import math
import os
import re
import zipfile
from collections.abc import Iterable, Mapping
from typing import Any

import h5py
import numpy as np

from ecg_jax import budget, files
from ecg_jax.errors import InputError

Arrays = dict[str, np.ndarray]

_LARGEST = 1 << 29  # bytes of all arrays, 20 times the published network's; a few bytes of HDF5 can announce any size
_DAMAGE = (OSError, KeyError, ValueError, TypeError, AttributeError, IndexError, RuntimeError, MemoryError)
_ARCHIVE_STEMS = {"Conv1D": "conv1d", "BatchNormalization": "batch_normalization", "Dense": "dense"}
_STATISTICS = ("moving_mean", "moving_variance")


@dataclasses.dataclass(frozen=True)
class KerasFile:
    """The contents of a file.

    Attributes:
        layers: Float arrays by Keras' names, by layer in stored order; layers without arrays are left out.
        topology: The model's configuration, its layers and how they are connected; None if absent.
        loss: That it was compiled with, as Keras serializes it; None if absent.
    """

    layers: dict[str, Arrays]
    topology: dict[str, Any] | None = None
    loss: Any = None


def read_file(path: str) -> KerasFile:
    """Reads a file of any of the four kinds.

    Raises:
        InputError: when it is missing, damaged, of another kind, or announces more than 512 MiB.
    """
    try:
        return _read_archive(path) if zipfile.is_zipfile(path) else _read_hdf5(path)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except (FileNotFoundError, IsADirectoryError) as error:
        raise InputError(f"{path}: no such Keras file") from error
    except (*_DAMAGE, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: not a readable Keras file ({' '.join(str(error).split())[:200]})") from error


def _read_archive(path: str) -> KerasFile:
    with zipfile.ZipFile(path) as archive:
        size = os.path.getsize(path)
        _check_size("archive", sum(member.file_size for member in archive.infolist()), size)
        config = json.loads(archive.read("config.json"))
        topology = config["config"]
        with h5py.File(io.BytesIO(archive.read("model.weights.h5")), "r") as file:
            _refuse_links(file)
            layers = _name_variables(_list_variables(file), topology["layers"])
            return KerasFile(_load(layers, size), topology, (config.get("compile_config") or {}).get("loss"))


def _read_hdf5(path: str) -> KerasFile:
    size = files.measure(path)
    with h5py.File(path, "r") as file:
        _refuse_links(file)
        if "model_config" in file.attrs:
            topology = json.loads(_text(file.attrs["model_config"]))["config"]
            compiled = json.loads(_text(file.attrs.get("training_config", "{}"))) or {}
            return KerasFile(_load(_list_named(file["model_weights"]), size), topology, compiled.get("loss"))
        if "layer_names" in file.attrs:
            return KerasFile(_load(_list_named(file), size))
        if "layers" in file or "_layer_checkpoint_dependencies" in file:
            return KerasFile(_load(_guess_variables(_list_variables(file)), size))
        found = ", ".join([*file.attrs, *file]) or "nothing"
    raise InputError(f"an HDF5 file, but of no known Keras kind (model_config, layer_names or layers); it has {found}")


def _check_size(what: str, announced: int, size: int) -> None:
    """Refuses more bytes than a network, or a file of this size, can hold."""
    for largest in (_LARGEST, budget.limit_unpacked(size)):
        if announced > largest:
            raise InputError(f"its {what} announce {announced >> 20} MiB; at most {largest >> 20} are read")


def _refuse_links(file: h5py.File) -> None:
    """Only a file's own arrays are read: links may lead to other files."""

    def find(name: str, link: object) -> str | None:
        return None if isinstance(link, h5py.HardLink) else name

    if found := file.visititems_links(find):
        raise InputError(f"{found[:80]} is a link, which may lead to another file; copy what it leads to")


def _load(layers: Mapping[str, Mapping[str, h5py.Dataset]], size: int) -> dict[str, Arrays]:
    """Reads the arrays, after checking their total size as announced."""
    stored = [array for arrays in layers.values() for array in arrays.values()]
    chunks = (math.prod(array.chunks or ()) * array.dtype.itemsize for array in stored)
    _check_size("arrays", max(sum(array.nbytes for array in stored), *chunks, 0), size)
    if any(array.is_virtual or array.external for array in stored):
        raise InputError("its arrays lie in other files; copy them into this one")
    for name, arrays in layers.items():
        if other := [f"{leaf} ({array.dtype})" for leaf, array in arrays.items() if array.dtype.kind != "f"]:
            raise InputError(f"layer {name} holds {', '.join(other)}; weights are floating-point numbers")
    return {name: {leaf: np.asarray(array) for leaf, array in arrays.items()} for name, arrays in layers.items()}


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _list_named(group: h5py.Group) -> dict[str, dict[str, h5py.Dataset]]:
    """`layer_names` and `weight_names` attributes; long lists may be split over `layer_names0`, ..."""
    layers = {}
    for name in map(_text, _attribute(group, "layer_names")):
        weight_names = map(_text, _attribute(group[name], "weight_names"))
        if arrays := {weight.split("/")[-1].split(":")[0]: group[name][weight] for weight in weight_names}:
            layers[name] = arrays
    return layers


def _attribute(group: h5py.Group, key: str) -> Iterable[str | bytes]:
    if key in group.attrs:
        return group.attrs[key]
    parts = [group.attrs[f"{key}{i}"] for i in range(len(group.attrs)) if f"{key}{i}" in group.attrs]
    return np.concatenate(parts) if parts else ()


def _list_variables(file: h5py.File) -> dict[str, list[h5py.Dataset]]:
    """`layers/NAME/vars/0...`, ordered by the number in the name."""
    group = file["layers"] if "layers" in file else file["_layer_checkpoint_dependencies"]

    def order(name: str) -> tuple[str, int]:
        stem, number = re.fullmatch(r"(.*?)(?:_(\d+))?", name).groups()  # type: ignore[union-attr]
        return stem, int(number or 0)

    stored = {name: group[name].get("vars", {}) for name in sorted(group, key=order)}
    return {name: [each[key] for key in sorted(each, key=int)] for name, each in stored.items() if len(each)}


def _name_variables(
    layers: Mapping[str, list[h5py.Dataset]], configs: Iterable[Mapping[str, Any]]
) -> dict[str, dict[str, h5py.Dataset]]:
    """Names an archive's layers, numbered by class in the model's order, as its topology does."""
    named, counts = {}, dict.fromkeys(_ARCHIVE_STEMS, 0)
    for config in configs:
        kind, settings = config["class_name"], config["config"]
        if kind not in counts:
            continue
        stored = layers.get(_ARCHIVE_STEMS[kind] + (f"_{counts[kind]}" if counts[kind] else ""))
        counts[kind] += 1
        if not stored:
            continue
        bias = ("bias",) if settings.get("use_bias", kind == "Dense") else ()
        affine = tuple(leaf for leaf, key in (("gamma", "scale"), ("beta", "center")) if settings.get(key, True))
        leaves = (*affine, *_STATISTICS) if kind == "BatchNormalization" else ("kernel", *bias)
        if len(stored) != len(leaves):
            raise InputError(
                f"layer {settings['name']} ({kind}) has {len(stored)} weights; supported: {', '.join(leaves)}"
            )
        named[settings["name"]] = dict(zip(leaves, stored, strict=True))
    return named


def _guess_variables(layers: Mapping[str, list[h5py.Dataset]]) -> dict[str, dict[str, h5py.Dataset]]:
    """Names variables by their number, without a topology."""
    leaves = {1: ("kernel",), 2: ("kernel", "bias"), 4: ("gamma", "beta", *_STATISTICS)}
    if other := [name for name, stored in layers.items() if len(stored) not in leaves]:
        raise InputError(
            f"layer {other[0]} has {len(layers[other[0]])} weights, as none of the reference network's has"
        )
    return {name: dict(zip(leaves[len(stored)], stored, strict=True)) for name, stored in layers.items()}
