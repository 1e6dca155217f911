"""The weights of ECG-FM (wanglab/ecg-fm): of the classifier, and of the pretrained encoder, which has no output layer.

In a classifier the encoder's names begin with `encoder.`, in a pretrained file they have no prefix.
"""

import dataclasses
import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np

from ecg_jax.errors import InputError
from ecg_jax.models.imports import torch_layout
from ecg_jax.models.imports.torch_layout import Entry, Shapes, Sizes
from ecg_jax.models.imports.torch_pickle import Record
from ecg_jax.models.network import Network
from ecg_jax.models.outputs import OUTPUT

NAME = "ecg_fm"
NOTES = ("the file does not state the number of attention heads; one for 64 channels, as published, is assumed",)
_HEADS = "encoder_attention_heads"  # in the configuration that fairseq-signals saves
_MOST_HEADS = 1 << 16
SAMPLES = 2500  # of the published network's input, at 500 Hz
IGNORED = ("mask_emb", "encoder.mask_emb", "quantizer.*", "project_q.*", "final_proj.*")  # of pretraining alone
_CHANNELS_PER_HEAD = 64
_CONV = "feature_extractor.conv_layers.{}.0.weight"
_LAYER = "encoder.layers.{}.fc1.weight"
_PROJECTION = "post_extract_proj.weight"
_POSITION = "conv_pos.pos_conv.0"
# Magnitude and direction of a kernel with weight norm, by an old and by a new version of PyTorch.
_WEIGHT_NORM = (("weight_g", "weight_v"), ("parametrizations.weight.original0", "parametrizations.weight.original1"))
_DENSE = {
    "query": "self_attn.q_proj",
    "key": "self_attn.k_proj",
    "value": "self_attn.v_proj",
    "attention": "self_attn.out_proj",
    "dense1": "fc1",
    "dense2": "fc2",
}
_NORMS = {"attention_norm": "self_attn_layer_norm", "norm": "final_layer_norm"}


def find_contradiction(shapes: Shapes) -> str:
    """Says what first shows that these are not the network's tensors; `""` if nothing does."""
    prefix = _find_prefix(shapes)
    shapes = _simplify(shapes)
    dimensions = {_CONV.format(i): 3 for i in range(max(1, torch_layout.count(shapes, _CONV)))}
    dimensions |= {_PROJECTION: 2, f"{_POSITION}.weight": 3, _LAYER.format(0): 2}
    if found := torch_layout.find_contradiction(shapes, dimensions | ({"proj.weight": 2} if prefix else {})):
        return found
    width, inputs = shapes[_PROJECTION][0], shapes[f"{_POSITION}.weight"][1]
    return f"{_POSITION} has {inputs} inputs, which do not divide the {width} channels" if width % inputs else ""


def find_sizes(shapes: Shapes) -> Sizes | None:
    """The sizes of the network whose tensors have these names and shapes; None where they are another's.

    A pretrained encoder has no labels. `heads` is 0 where the published 64 channels for each do not divide the width.
    """
    if find_contradiction(shapes):
        return None
    is_classifier = bool(_find_prefix(shapes))
    shapes = _simplify(shapes)
    convs = [shapes[_CONV.format(i)] for i in range(torch_layout.count(shapes, _CONV))]
    width = shapes[_PROJECTION][0]
    _, inputs, taps = shapes[f"{_POSITION}.weight"]
    trunk = {
        "conv_filters": tuple(conv[0] for conv in convs),
        "width": width,
        "layers": torch_layout.count(shapes, _LAYER),
        "heads": 0 if width % _CHANNELS_PER_HEAD else width // _CHANNELS_PER_HEAD,
        "hidden": shapes[_LAYER.format(0)][0],
        "position_taps": taps,
        "position_groups": width // inputs,
    }
    return Sizes(trunk, shapes["proj.weight"][0] if is_classifier else 0, (SAMPLES, convs[0][1]))


def _find_prefix(shapes: Shapes) -> str:
    return "encoder." if f"encoder.{_PROJECTION}" in shapes else ""


def _simplify(shapes: Shapes) -> dict[str, tuple[int, ...]]:
    """Names without prefix; a kernel with weight norm has the shape of its direction."""
    prefix = _find_prefix(shapes)
    kernels = {f"{_POSITION}.{direction}": f"{_POSITION}.weight" for _, direction in _WEIGHT_NORM}
    plain = {name.removeprefix(prefix): shape for name, shape in shapes.items()}
    return {kernels.get(name, name): shape for name, shape in plain.items()}


def create_table(sizes: Sizes) -> dict[str, Entry]:
    """The network's tensors, by Flax path; weight norm is folded into its kernel."""
    prefix = "encoder." if sizes.num_labels else ""
    table: dict[str, Entry] = {}
    for i in range(len(sizes.trunk["conv_filters"])):
        name = prefix + _CONV.format(i).removesuffix(".weight")
        table |= torch_layout.list_layer(f"trunk/conv{i + 1}", name, "conv", bias=False)
    table |= _list_norm("trunk/conv1_norm", f"{prefix}feature_extractor.conv_layers.0.2")
    table |= _list_norm("trunk/features_norm", f"{prefix}layer_norm")
    table |= torch_layout.list_layer("trunk/projection", f"{prefix}post_extract_proj", "dense")
    table |= torch_layout.list_layer("trunk/position", f"{prefix}{_POSITION}", "conv")
    table |= _list_norm("trunk/norm", f"{prefix}encoder.layer_norm")
    for i in range(sizes.trunk["layers"]):
        for path, name in _DENSE.items():
            table |= torch_layout.list_layer(
                f"trunk/layer{i + 1}/{path}", f"{prefix}encoder.layers.{i}.{name}", "dense"
            )
        for path, name in _NORMS.items():
            table |= _list_norm(f"trunk/layer{i + 1}/{path}", f"{prefix}encoder.layers.{i}.{name}")
    return table | (torch_layout.list_layer(OUTPUT, "proj", "dense") if sizes.num_labels else {})


def _list_norm(path: str, name: str) -> dict[str, Entry]:
    """A norm without stored statistics."""
    leaves = {"scale": "weight", "bias": "bias"}
    return {f"params/{path}/{flax}": Entry(f"{name}.{torch}", "vector") for flax, torch in leaves.items()}


def load(
    weights: Mapping[str, np.ndarray], source: str, *, heads: int | None = None
) -> tuple[Network, dict[str, np.ndarray]]:
    """Builds the network of a file's sizes.

    Args:
        weights: The file's tensors by name.
        source: The file, for messages.
        heads: Of the attention; None for one for 64 channels.

    Returns:
        The network and its variables by path. For a pretrained encoder the network has one output, without variables.

    Raises:
        InputError: when these are not its tensors, naming what differs first, or `heads` do not divide the channels.
    """
    weights = fold_weight_norm(weights, source)
    sizes = torch_layout.measure(weights, find_sizes, find_contradiction, source, "ECG-FM")
    trunk = sizes.trunk | ({} if heads is None else {"heads": heads})
    if not trunk["heads"] or trunk["width"] % trunk["heads"]:
        raise InputError(
            f"{source}: its {trunk['width']} channels are not a multiple of {heads or _CHANNELS_PER_HEAD}; its cfg "
            f"must state the number of attention heads ({_HEADS}) that it was trained with"
        )
    sizes = dataclasses.replace(sizes, trunk=trunk)
    return torch_layout.build(NAME, sizes, create_table(sizes), weights, source, ignored=IGNORED)


def find_settings(saved: Any, source: str) -> dict[str, int]:
    """What a checkpoint of fairseq-signals states beside its weights: `heads`, or nothing.

    Args:
        saved: See `torch_files.read`. Its `cfg`, in old files `args`, is the configuration; a classifier's may hold
            that of the encoder it was trained from.
        source: The file, for messages.

    Raises:
        InputError: where it is no positive number, or not the same one everywhere.
    """
    parts = [saved[key] for key in ("cfg", "args") if key in saved] if isinstance(saved, dict) else []
    stated = _list_heads(parts)
    heads = {value if type(value) is int and 0 < value <= _MOST_HEADS else 0 for value in stated}  # 0 for what is none
    if len(heads) > 1 or 0 in heads:
        listed = " and ".join(map(str, sorted(heads)))
        raise InputError(f"{source}: its configuration has {listed} for {_HEADS}; expected one positive number")
    return {"heads": heads.pop()} if heads else {}


def _list_heads(configurations: list[Any]) -> list[Any]:
    """Every number of heads in some configurations and what they hold."""
    waiting, seen, found = [*configurations], set(), []
    while waiting:
        value = waiting.pop()
        fields = value.state if isinstance(value, Record) else value
        if isinstance(fields, dict) and id(fields) not in seen:
            seen.add(id(fields))
            found.append(fields.get(_HEADS))
            waiting += fields.values()
    values = map(_unwrap, found)
    return [value for value in values if value is not None]


def _unwrap(value: Any) -> Any:
    """The value of what remains of one in OmegaConf's containers; others as they are."""
    return value.state.get("_val") if isinstance(value, Record) and isinstance(value.state, dict) else value


def fold_weight_norm(weights: Mapping[str, np.ndarray], source: str) -> dict[str, np.ndarray]:
    """Replaces magnitude `[1, 1, taps]` and direction `[O, I, taps]` of a convolution's kernel by the kernel.

    There is one magnitude for each tap, not, as usual, for each output. `InputError` where there is not.
    """
    folded = dict(weights)
    for prefix, pair in itertools.product(("", "encoder."), _WEIGHT_NORM):
        names = [f"{prefix}{_POSITION}.{name}" for name in pair]
        if not set(names) <= set(folded):
            continue
        magnitude, direction = (np.asarray(folded.pop(name), np.float64) for name in names)
        if direction.ndim != 3 or magnitude.shape != (1, 1, direction.shape[-1]):
            raise InputError(f"{source}: {names[0]} is {list(magnitude.shape)}; ECG-FM has one magnitude for each tap")
        norms = np.sqrt((direction**2).sum(axis=(0, 1), keepdims=True))
        if not norms.all():
            raise InputError(f"{source}: {names[1]} is zero at a tap, so that no magnitude can scale it")
        folded[f"{prefix}{_POSITION}.weight"] = (magnitude * direction / norms).astype(np.float32)
    return folded
