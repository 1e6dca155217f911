"""ECG-FM from its published PyTorch files: the classifier, and the pretrained encoder, which has no output layer.

McKeen et al. 2024 (arXiv:2408.05178; wanglab/ecg-fm). In a classifier the encoder's names begin with `encoder.`, in a
pretrained file they have no prefix. All sizes follow from the arrays' shapes but the number of attention heads, which is
one for 64 channels in the published files.
"""

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np

from ecg_jax.errors import InputError
from ecg_jax.models import network as network_lib
from ecg_jax.models import weights as weights_lib
from ecg_jax.models.ecg_fm import EcgFm, EcgFmHead
from ecg_jax.models.imports import torch_layout
from ecg_jax.models.imports.torch_layout import Entry
from ecg_jax.models.network import Network

# Of pretraining alone.
IGNORED = ("mask_emb", "encoder.mask_emb", "quantizer.*", "project_q.*", "final_proj.*")
SAMPLES = 2500  # of the published network's input, at 500 Hz
_CHANNELS_PER_HEAD = 64
_POSITION = "conv_pos.pos_conv.0"
# Magnitude and direction of a kernel with weight norm, by an old and by a new version of PyTorch.
_WEIGHT_NORM = (
    ("weight_g", "weight_v"),
    ("parametrizations.weight.original0", "parametrizations.weight.original1"),
)
_LAYER = {
    "query": "self_attn.q_proj",
    "key": "self_attn.k_proj",
    "value": "self_attn.v_proj",
    "attention": "self_attn.out_proj",
    "attention_norm": "self_attn_layer_norm",
    "dense1": "fc1",
    "dense2": "fc2",
    "norm": "final_layer_norm",
}
_DIMENSIONS = {
    "feature_extractor.conv_layers.0.0.weight": 3,
    "post_extract_proj.weight": 2,
    f"{_POSITION}.weight": 3,
    "encoder.layers.0.fc1.weight": 2,
}


def find_sizes(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any] | None:
    """The sizes of the network with these names and shapes.

    Returns:
        `prefix` of the encoder's names, `leads`, and attributes of `trunk` (`EcgFm`) and `head` (`EcgFmHead`), the
        latter empty for a pretrained encoder; None where the names are another network's. `heads` is 0 where the width
        does not tell it.
    """
    prefix = _find_prefix(shapes)
    shapes = {_rename(name).removeprefix(prefix): shape for name, shape in shapes.items()}
    if _find_contradiction(shapes, prefix):
        return None
    convs = _collect(shapes, "feature_extractor.conv_layers.{}.0.weight", 3)
    width = shapes["post_extract_proj.weight"][0]
    _, inputs, taps = shapes[f"{_POSITION}.weight"]
    layers = _collect(shapes, "encoder.layers.{}.fc1.weight", 2)
    trunk = {
        "conv_filters": tuple(shape[0] for shape in convs),
        "width": width,
        "layers": len(layers),
        "heads": 0 if width % _CHANNELS_PER_HEAD else width // _CHANNELS_PER_HEAD,
        "hidden": layers[0][0],
        "position_taps": taps,
        "position_groups": width // inputs,
    }
    head = {"num_labels": shapes["proj.weight"][0]} if prefix else {}
    return {"prefix": prefix, "leads": convs[0][1], "trunk": trunk, "head": head}


def _find_prefix(shapes: Mapping[str, Any]) -> str:
    return "encoder." if "encoder.post_extract_proj.weight" in shapes else ""


def _rename(name: str) -> str:
    """A kernel with weight norm is as large as its direction."""
    for _, direction in _WEIGHT_NORM:
        name = name.replace(f"{_POSITION}.{direction}", f"{_POSITION}.weight")
    return name


def _collect(shapes: Mapping[str, tuple[int, ...]], pattern: str, dimensions: int) -> list[tuple[int, ...]]:
    """The shapes of the names with 0, 1, 2, ... as far as there are such."""
    found = (shapes.get(pattern.format(i), ()) for i in itertools.count())
    return list(itertools.takewhile(lambda shape: torch_layout.is_sized(shape, dimensions), found))


def _find_contradiction(shapes: Mapping[str, tuple[int, ...]], prefix: str) -> str:
    """What shows that these, without prefix, are not the network's names and shapes; empty for nothing."""
    output = {"proj.weight": 2} if prefix else {}
    if reason := torch_layout.find_contradiction(shapes, _DIMENSIONS | output):
        return reason
    width, inputs = shapes["post_extract_proj.weight"][0], shapes[f"{_POSITION}.weight"][1]
    return f"the {inputs} inputs of {_POSITION} do not divide its {width} channels" if width % inputs else ""


def create_table(sizes: Mapping[str, Any]) -> dict[str, Entry]:
    """The PyTorch name of every Flax array of the network of these sizes; weight norm is folded into its kernel."""
    trunk, prefix = sizes["trunk"], sizes["prefix"]
    extractor = f"{prefix}feature_extractor.conv_layers"
    table = {
        f"params/trunk/conv{i + 1}/kernel": Entry(f"{extractor}.{i}.0.weight", "conv")
        for i in range(len(trunk["conv_filters"]))
    }
    table |= _list_module("trunk/conv1_norm", f"{extractor}.0.2")
    table |= _list_module("trunk/features_norm", f"{prefix}layer_norm")
    table |= _list_module("trunk/projection", f"{prefix}post_extract_proj", "dense")
    table |= _list_module("trunk/position", f"{prefix}{_POSITION}", "conv")
    table |= _list_module("trunk/norm", f"{prefix}encoder.layer_norm")
    for i in range(trunk["layers"]):
        for module, name in _LAYER.items():
            kind = "vector" if module.endswith("norm") else "dense"
            table |= _list_module(f"trunk/layer{i + 1}/{module}", f"{prefix}encoder.layers.{i}.{name}", kind)
    return table | (_list_module("head/output", "proj", "dense") if sizes["head"] else {})


def _list_module(path: str, name: str, kind: str = "vector") -> dict[str, Entry]:
    """Weight and bias of a norm (`vector`), a dense layer or a convolution."""
    leaf = "scale" if kind == "vector" else "kernel"
    return {
        f"params/{path}/{leaf}": Entry(f"{name}.weight", kind),
        f"params/{path}/bias": Entry(f"{name}.bias", "vector"),
    }


def load(
    weights: Mapping[str, np.ndarray], source: str, *, heads: int | None = None
) -> tuple[Network, dict[str, np.ndarray]]:
    """The network that a file's arrays make, and its variables.

    Args:
        weights: The file's arrays by name.
        source: The file, for messages.
        heads: Of the attention; None for one for 64 channels, as published.

    Returns:
        The network, for signals of 500 Hz, and its arrays by Flax path. Of a pretrained encoder the network has one
        output, for which there are no arrays.

    Raises:
        InputError: on another network's file, and where the number of heads is not told.
    """
    weights = _fold_weight_norm(weights, source)
    shapes = {name: np.shape(array) for name, array in weights.items()}
    if (sizes := find_sizes(shapes)) is None:
        prefix = _find_prefix(shapes)
        reason = _find_contradiction({name.removeprefix(prefix): shape for name, shape in shapes.items()}, prefix)
        raise InputError(f"{source}: not ECG-FM; {reason}")
    trunk = sizes["trunk"] | {"heads": sizes["trunk"]["heads"] if heads is None else heads}
    if not trunk["heads"] or trunk["width"] % trunk["heads"]:
        raise InputError(
            f"{source}: {trunk['width']} channels cannot be shared by {heads or 'heads of 64'}; state the number of "
            "attention heads with which it was trained"
        )
    network = Network(EcgFm(**trunk), EcgFmHead(**({"num_labels": 1} | sizes["head"])))
    found = torch_layout.convert(create_table(sizes), weights, ignored=IGNORED, source=source)
    own = network_lib.shapes(network, (SAMPLES, sizes["leads"]))
    merged = weights_lib.merge(own, found, source=source, exclude=() if sizes["head"] else ("head",))
    return network, {path: leaf for path, leaf in weights_lib.flatten(merged).items() if path in found}


def _fold_weight_norm(weights: Mapping[str, np.ndarray], source: str) -> dict[str, np.ndarray]:
    """Replaces magnitude and direction of the convolution's kernel, `[1, 1, taps]` and `[O, I, taps]`, by the kernel.

    There is one magnitude for each tap, not, as usual, for each output.
    """
    folded = dict(weights)
    for prefix, (magnitude, direction) in itertools.product(("", "encoder."), _WEIGHT_NORM):
        stem = f"{prefix}{_POSITION}"
        if f"{stem}.{magnitude}" not in folded or f"{stem}.{direction}" not in folded:
            continue
        g, v = (np.asarray(folded.pop(f"{stem}.{name}"), np.float64) for name in (magnitude, direction))
        if v.ndim != 3 or g.shape != (1, 1, v.shape[-1]):
            raise InputError(f"{source}: {stem}.{magnitude} is of shape {g.shape}; ECG-FM has one value for each tap")
        folded[f"{stem}.weight"] = (g * v / np.sqrt((v**2).sum((0, 1), keepdims=True))).astype(np.float32)
    return folded
