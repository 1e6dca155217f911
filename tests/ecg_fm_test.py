"""ECG-FM and the import of its weights, against plain NumPy and the published code's own numbers."""

import functools
import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch_layers
from networks import draw
from torch_layers import Arrays, connect, convolve

from ecg_jax import models
from ecg_jax.errors import InputError
from ecg_jax.models import weights as weights_lib
from ecg_jax.models.ecg_fm import EcgFmHead
from ecg_jax.models.imports import ecg_fm, published
from ecg_jax.models.imports.torch_files import load_weights
from ecg_jax.models.imports.torch_pickle import Record

LEADS, CONV, WIDTH, LAYERS, HEADS, HIDDEN, TAPS, GROUPS, LABELS = 2, 4, 8, 2, 2, 6, 6, 2, 3
SAMPLES = 173  # 86, 43, 21 and 10 after the convolutions
OLD, NEW = ("weight_g", "weight_v"), ("parametrizations.weight.original0", "parametrizations.weight.original1")
POSITION = "encoder.conv_pos.pos_conv.0"
ATTENTION = ("q_proj", "k_proj", "v_proj", "out_proj")
erf = np.vectorize(math.erf)


def list_pair(name: str, *shape: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}


def create_tensors() -> Arrays:
    """A classifier's tensors, with the old names of weight norm."""
    extractor, layers = "encoder.feature_extractor.conv_layers", "encoder.encoder.layers"
    shapes = {f"{extractor}.{i}.0.weight": (CONV, CONV if i else LEADS, 2) for i in range(4)}
    shapes |= list_pair(f"{extractor}.0.2", CONV) | list_pair("encoder.layer_norm", CONV)
    shapes |= list_pair("encoder.post_extract_proj", WIDTH, CONV) | list_pair("encoder.encoder.layer_norm", WIDTH)
    shapes |= {f"{POSITION}.weight_g": (1, 1, TAPS), f"{POSITION}.weight_v": (WIDTH, WIDTH // GROUPS, TAPS)}
    shapes |= {f"{POSITION}.bias": (WIDTH,)} | list_pair("proj", LABELS, WIDTH)
    for i in range(LAYERS):
        for name in ATTENTION:
            shapes |= list_pair(f"{layers}.{i}.self_attn.{name}", WIDTH, WIDTH)
        shapes |= list_pair(f"{layers}.{i}.self_attn_layer_norm", WIDTH)
        shapes |= list_pair(f"{layers}.{i}.final_layer_norm", WIDTH)
        shapes |= list_pair(f"{layers}.{i}.fc1", HIDDEN, WIDTH) | list_pair(f"{layers}.{i}.fc2", WIDTH, HIDDEN)
    return torch_layers.draw_tensors(shapes)


def pretrain(tensors: Arrays) -> Arrays:
    """A pretrained encoder's tensors: no prefix, no output, and what only pretraining needs."""
    own = {name.removeprefix("encoder."): array for name, array in tensors.items() if not name.startswith("proj.")}
    names = ("mask_emb", "quantizer.vars", "quantizer.weight_proj.weight", "project_q.bias", "final_proj.weight")
    return own | {name: np.ones((2, 2), np.float32) for name in names}


def gelu(x: np.ndarray) -> np.ndarray:
    return x * (1 + erf(x / np.sqrt(2))) / 2


def gelu_by_tanh(x: np.ndarray) -> np.ndarray:
    return x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))) / 2


def normalize(x: np.ndarray, weights: Arrays, name: str, axis: int) -> np.ndarray:
    """Zero mean and unit variance over one axis of `[B, C, T]`, then a scale and a bias for every channel."""
    scale, bias = (weights[f"{name}.{leaf}"].astype(np.float64)[:, None] for leaf in ("weight", "bias"))
    return (x - x.mean(axis, keepdims=True)) / np.sqrt(x.var(axis, keepdims=True) + 1e-5) * scale + bias


def connect_channels(x: np.ndarray, weights: Arrays, name: str) -> np.ndarray:
    return np.swapaxes(connect(np.swapaxes(x, 1, 2), weights, name), 1, 2)


def attend(x: np.ndarray, weights: Arrays, name: str, frames: list[int]) -> np.ndarray:
    """Scaled dot products of `[B, C, T]`, head by head and example by example, of the first `frames` as keys."""
    query, key, value = (connect_channels(x, weights, f"{name}.{part}") for part in ATTENTION[:3])
    result, size = np.zeros_like(x), WIDTH // HEADS
    for example, kept in enumerate(frames):
        for channels in (slice(i, i + size) for i in range(0, WIDTH, size)):
            scores = np.exp(query[example, channels].T @ key[example, channels, :kept] / np.sqrt(size))
            shares = scores / scores.sum(axis=1, keepdims=True)
            result[example, channels] = value[example, channels, :kept] @ shares.T
    return connect_channels(result, weights, f"{name}.out_proj")


def fold(weights: Arrays, axes=(0, 1)) -> np.ndarray:
    magnitude, direction = (weights[f"{POSITION}.{name}"].astype(np.float64) for name in OLD)
    return magnitude * direction / np.sqrt((direction**2).sum(axis=axes, keepdims=True))


def compute(
    weights: Arrays, signal: np.ndarray, frames=None, kernel=None, shift=0, gelu=gelu, count_all=False
) -> Arrays:
    """Every stage of the network, float64, channels first; the options are wrong readings, but for `frames`."""
    stages, x = {}, signal
    for i in range(4):
        x = convolve(x, weights, f"encoder.feature_extractor.conv_layers.{i}.0", 2)
        if i == 0:
            stages["conv0.conv"] = x
            x = stages["conv0.groupnorm"] = normalize(x, weights, "encoder.feature_extractor.conv_layers.0.2", 2)
        x = stages[f"conv{i}"] = gelu(x)
    frames = frames or [x.shape[2]] * len(x)
    padding = np.stack([np.arange(x.shape[2]) >= kept for kept in frames])[:, None]
    x = stages["features_layer_norm"] = normalize(x, weights, "encoder.layer_norm", 1)
    x = stages["post_extract_proj"] = connect_channels(x, weights, "encoder.post_extract_proj")
    position = {f"{POSITION}.weight": fold(weights) if kernel is None else kernel}
    y = convolve(x, weights | position, POSITION, 1, (TAPS // 2, TAPS // 2), GROUPS)
    y = stages["conv_pos.conv"] = y[..., shift : x.shape[2] + shift]
    stages["conv_pos"] = gelu(y)
    x = np.where(padding, 0, x + gelu(y))
    x = stages["encoder_layer_norm"] = normalize(x, weights, "encoder.encoder.layer_norm", 1)
    for i in range(LAYERS):
        name, place = f"encoder.encoder.layers.{i}", f"layer{i}"
        y = stages[f"{place}.self_attn"] = attend(x, weights, f"{name}.self_attn", frames)
        x = normalize(x + y, weights, f"{name}.self_attn_layer_norm", 1)
        stages[f"{place}.self_attn_layer_norm"] = x
        y = stages[f"{place}.fc1"] = connect_channels(x, weights, f"{name}.fc1")
        x = x + connect_channels(gelu(y), weights, f"{name}.fc2")
        x = stages[place] = normalize(x, weights, f"{name}.final_layer_norm", 1)
    x = stages["encoder_out"] = np.where(padding, 0, x)
    pooled = x.sum(axis=2) / (x.shape[2] if count_all else np.array(frames)[:, None])
    return stages | {"pooled": pooled, "logits": connect(pooled, weights, "proj")}


def capture(network: models.Network, variables: Arrays, signal: np.ndarray, lengths=None) -> Arrays:
    """Every stage of the network, channels first, under the names of `compute` and of the published numbers."""

    def diagnose(network: models.Network, signal: jax.Array) -> tuple[jax.Array, jax.Array]:
        features = network.trunk(signal, jnp.arange(len(signal)), False, lengths)
        return features, network.head(features, jnp.arange(len(signal)), False)

    apply = jax.jit(functools.partial(network.apply, capture_intermediates=True, method=diagnose))
    channels_last = np.swapaxes(signal, 1, 2).astype(np.float32)
    (features, logits), state = apply(weights_lib.unflatten(variables), channels_last)
    calls = weights_lib.flatten(state["intermediates"]["trunk"])
    found = {path.removesuffix("/__call__"): np.swapaxes(np.asarray(call[0]), 1, -1) for path, call in calls.items()}
    stages = {"conv0.conv": found["conv1"], "conv0.groupnorm": found["conv1_norm"], "conv0": gelu(found["conv1_norm"])}
    stages |= {f"conv{i}": gelu(found[f"conv{i + 1}"]) for i in range(1, 4)}
    stages |= {"features_layer_norm": found["features_norm"], "post_extract_proj": found["projection"]}
    stages |= {"conv_pos.conv": found["position"], "conv_pos": gelu(found["position"])}
    stages |= {"encoder_layer_norm": found["norm"], "encoder_out": np.swapaxes(features, 1, 2)}
    for i in range(network.trunk.layers):
        names = {"attention": ".self_attn", "attention_norm": ".self_attn_layer_norm", "dense1": ".fc1", "norm": ""}
        stages |= {f"layer{i}{name}": found[f"layer{i + 1}/{path}"] for path, name in names.items()}
        query, key = (found[f"layer{i + 1}/{path}"] for path in ("query", "key"))
        stages[f"attention{i}"] = average_attention(query, key, network.trunk.heads)
    count = (stages["encoder_out"] != 0).sum(axis=2)
    return stages | {"pooled": stages["encoder_out"].sum(axis=2) / count, "logits": np.asarray(logits)}


def average_attention(query: np.ndarray, key: np.ndarray, heads: int) -> np.ndarray:
    """The attention `[B, T, T]` of the last axis to be, the mean over heads; nothing is masked."""
    query, key = (np.stack(np.split(x.astype(np.float64), heads, axis=1)) for x in (query, key))
    scores = np.exp(np.einsum("hbct,hbcs->hbts", query, key) / np.sqrt(query.shape[2]))
    return (scores / scores.sum(axis=-1, keepdims=True)).mean(axis=0)


@pytest.fixture(scope="module")
def tensors() -> Arrays:
    return create_tensors()


@pytest.fixture(scope="module")
def signal() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(2, LEADS, SAMPLES))


@pytest.fixture(scope="module")
def expected(tensors, signal) -> Arrays:
    return compute(tensors, signal)


def test_every_stage_is_that_of_plain_numpy_at_odd_lengths(tensors, signal, expected):
    network, variables = ecg_fm.load(tensors, "file", heads=HEADS)
    torch_layers.compare(capture(network, variables, signal), expected)


def test_padding_is_seen_by_the_convolutions_alone(tensors, signal, expected):
    """Of the second recording 127 samples are its own, which are 7 frames and a part of another."""
    network, variables = ecg_fm.load(tensors, "file", heads=HEADS)
    found = capture(network, variables, signal, lengths=np.array([SAMPLES, 127]))
    padded = compute(tensors, signal, frames=[10, 7])
    torch_layers.compare(found, padded)
    assert not found["encoder_out"][1, :, 7:].any()
    torch_layers.compare({"logits": found["logits"][:1]}, {"logits": expected["logits"][:1]})
    alone = compute(tensors, signal[1:, :, :127])
    assert np.abs(alone["logits"] - padded["logits"][1]).max() > 1e-3


def test_wrong_readings_would_be_seen(tensors, signal, expected):
    """In the logits of `compute`, by more than the tolerance."""
    usual = fold({**tensors, f"{POSITION}.weight_g": np.ones((1, 1, TAPS))}, axes=(1, 2))
    wrong = [compute(tensors, signal, **option) for option in ({"kernel": usual}, {"shift": 1}, {"gelu": gelu_by_tanh})]
    for found in wrong:
        assert np.abs(found["logits"] - expected["logits"]).max() > 5e-5 * np.abs(expected["logits"]).max()
    padded, all_frames = (compute(tensors, signal, frames=[10, 7], count_all=count) for count in (False, True))
    assert np.abs(padded["logits"] - all_frames["logits"]).max() > 1e-2


def test_pooling_divides_by_what_is_not_zero():
    features = jnp.asarray([[[1.0, 0], [5, 0], [0, 0]]])
    params = {"output": {"kernel": jnp.eye(2), "bias": jnp.zeros(2)}}
    logits = EcgFmHead(num_labels=2).apply({"params": params}, features, jnp.arange(1), False)
    np.testing.assert_array_equal(logits, [[3, 0]])


def test_both_spellings_of_weight_norm_give_one_magnitude_for_each_tap(tensors):
    renamed = {name: array for name, array in tensors.items() if not name.endswith(OLD)}
    renamed |= {f"{POSITION}.{new}": tensors[f"{POSITION}.{old}"] for old, new in zip(OLD, NEW, strict=True)}
    kernels = [ecg_fm.load(one, "file", heads=HEADS)[1]["params/trunk/position/kernel"] for one in (tensors, renamed)]
    np.testing.assert_array_equal(*kernels)
    magnitudes = np.sqrt((kernels[0] ** 2).sum(axis=(1, 2)))
    np.testing.assert_allclose(magnitudes, np.abs(tensors[f"{POSITION}.weight_g"][0, 0]), rtol=1e-6)


def test_a_pretrained_encoder_is_a_trunk_without_variables_of_the_head(tensors):
    network, variables = ecg_fm.load(pretrain(tensors), "file", heads=HEADS)
    classifier, own = ecg_fm.load(tensors, "file", heads=HEADS)
    assert network.trunk == classifier.trunk
    assert set(own) - set(variables) == {"params/head/output/kernel", "params/head/output/bias"}
    assert all(np.array_equal(variables[path], own[path]) for path in variables)


def test_sizes_follow_from_shapes(tensors):
    sizes = ecg_fm.find_sizes({name: array.shape for name, array in tensors.items()})
    trunk = {"conv_filters": (CONV,) * 4, "width": WIDTH, "layers": LAYERS, "hidden": HIDDEN}
    assert sizes.trunk == trunk | {"heads": 0, "position_taps": TAPS, "position_groups": GROUPS}
    assert (sizes.num_labels, sizes.shape) == (LABELS, (2500, LEADS))
    assert ecg_fm.find_sizes({name: array.shape for name, array in pretrain(tensors).items()}).num_labels == 0
    assert ecg_fm.find_sizes({"0.0.weight": (4, 2, 5)}) is None


def test_what_only_masking_needs_is_ignored_in_a_classifier(tensors):
    ecg_fm.load(tensors | {"encoder.mask_emb": np.ones(WIDTH)}, "file", heads=HEADS)


EXTRACTOR = "encoder.feature_extractor.conv_layers"


@pytest.mark.parametrize(
    "change, message",
    [
        ({"encoder.post_extract_proj.weight": None}, "x.pt: not ECG-FM: it has no feature_extractor.conv_layers.0.0"),
        ({"proj.weight": None}, "x.pt: not ECG-FM: it has no proj.weight"),
        ({f"{POSITION}.weight_v": None}, "it has no conv_pos.pos_conv.0.weight"),
        (
            {f"{POSITION}.weight_g": np.ones((WIDTH, 1, 1))},
            r"weight_g is \[8, 1, 1\]; ECG-FM has one magnitude for each",
        ),
        ({f"{POSITION}.weight_v": np.ones((WIDTH, 3, TAPS))}, "has 3 inputs, which do not divide the 8 channels"),
        ({f"{EXTRACTOR}.1.0.weight": np.ones((4, 4))}, r"conv_layers.1.0.weight is \[4, 4\], not of 3 dimensions"),
        ({f"{EXTRACTOR}.1.0.weight": np.ones((4, 4, 3))}, r"1.0.weight \[4, 4, 3\], expected \[4, 4, 2\]"),
        ({"encoder.encoder.layers.1.fc2.bias": None}, r"missing \(1\): encoder.encoder.layers.1.fc2.bias\. Give"),
        ({"encoder.quantizer_vars": np.ones(1)}, r"left over \(1\): encoder.quantizer_vars"),
    ],
)
def test_another_networks_file_is_refused_in_one_line(tensors, change, message):
    weights = {name: array for name, array in (tensors | change).items() if array is not None}
    with pytest.raises(InputError, match=message) as caught:
        ecg_fm.load(weights, "x.pt", heads=HEADS)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("heads, number", [(None, 64), (3, 3), (0, 64)])
def test_heads_that_do_not_share_the_channels_are_refused(tensors, heads, number):
    with pytest.raises(InputError, match=f"x.pt: its 8 channels are not a multiple of {number}; its cfg must state"):
        ecg_fm.load(tensors, "x.pt", heads=heads)


def test_heads_are_those_of_the_files_configuration(shared):
    """The files' networks are 32 channels wide; the old one does not state the heads."""
    folder = shared / "reference" / "torch_fixtures" / "ecg_fm"
    found = published.load(str(folder / "weights_zip.pt"))
    assert (found.network.trunk.heads, found.notes) == (4, ())
    with pytest.raises(InputError, match=r"its 32 channels are not a multiple of 64; its cfg must state the number"):
        published.load(str(folder / "weights_legacy.pt"))


KEY = "encoder_attention_heads"


@pytest.mark.parametrize(
    "saved, expected",
    [
        ({"cfg": {"model": {KEY: 4}}, "args": None}, {"heads": 4}),
        ({"args": Record("argparse.Namespace", state={KEY: 4})}, {"heads": 4}),
        ({"cfg": {"model": {"args": {"model": {KEY: 4}}, KEY: 4}}}, {"heads": 4}),
        ({"cfg": Record("DictConfig", state={"_content": {KEY: Record("AnyNode", state={"_val": 4})}})}, {"heads": 4}),
        ({"cfg": {"model": {KEY: None}}}, {}),
        ({"model": {KEY: 4}}, {}),
        ([], {}),
    ],
)
def test_heads_are_found_wherever_a_configuration_has_them(saved, expected):
    assert ecg_fm.find_settings(saved, "x.pt") == expected


@pytest.mark.parametrize(
    "model, listed",
    [({KEY: 4, "args": {KEY: 12}}, "4 and 12"), ({KEY: -4}, "0"), ({KEY: "4"}, "0"), ({KEY: True}, "0")],
)
def test_heads_that_are_no_number_or_several_are_refused(model, listed):
    with pytest.raises(InputError, match=f"^x.pt: its configuration has {listed} for {KEY}; expected one positive"):
        ecg_fm.find_settings({"cfg": {"model": model}}, "x.pt")


def create(**options) -> models.Network:
    trunk = {"conv_filters": (CONV,) * 4, "width": WIDTH, "layers": LAYERS, "heads": HEADS, "hidden": HIDDEN}
    trunk |= {"position_taps": TAPS, "position_groups": GROUPS}
    return models.create("ecg_fm", head="dense", num_labels=LABELS, trunk=trunk, **options)


def test_keeping_fewer_activations_changes_no_gradient(signal):
    """Dropout's masks included, which follow the examples' numbers and not their places."""
    variables = draw(create(), (SAMPLES, LEADS))
    x, keys = jnp.asarray(np.swapaxes(signal, 1, 2), jnp.float32), {"dropout": jax.random.key(0)}

    def compute_gradient(network: models.Network, order: list[int]) -> Arrays:
        places = np.array(order)
        apply = functools.partial(network.apply, index=places, train=True, rngs=keys)
        gradient = jax.jit(jax.grad(lambda params: (apply({"params": params}, x[places]) ** 2).sum()))
        return weights_lib.flatten(gradient(variables["params"]))

    plain = compute_gradient(create(), [0, 1])
    assert all(leaf.any() for path, leaf in plain.items() if not path.endswith("key/bias"))  # adds the same to all keys
    for other in (compute_gradient(create(checkpoint_activations=True), [0, 1]), compute_gradient(create(), [1, 0])):
        for path, leaf in plain.items():
            np.testing.assert_allclose(other[path], leaf, rtol=1e-4, atol=1e-4 * np.abs(leaf).max() + 1e-5)


def test_bfloat16_computes_in_bfloat16_and_gives_float32_logits():
    network = create(dtype="bfloat16")
    variables, x = models.shapes(network, (SAMPLES, LEADS)), jnp.zeros((2, SAMPLES, LEADS))
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    trunk = {"params": variables["params"]["trunk"]}
    features = jax.eval_shape(lambda v: network.trunk.apply(v, x, jnp.arange(2), False), trunk)
    assert (features.dtype, features.shape) == (jnp.bfloat16, (2, SAMPLES // 16, WIDTH))
    assert jax.eval_shape(network.apply, variables, x).dtype == jnp.float32


def test_a_signal_too_short_for_a_frame_is_refused():
    network = models.create("ecg_fm", head="dense", num_labels=1)
    with pytest.raises(InputError, match="ecg_fm needs at least 16 samples; contract has 15"):
        models.shapes(network, (15, 12))


def test_the_published_sizes_have_the_published_number_of_parameters():
    """The published 90,386,321 without the magnitudes of weight norm, one for each of 128 taps."""
    network = models.create("ecg_fm", head="dense", num_labels=17)
    assert models.count_weights(models.shapes(network, (2500, 12))) == 90_386_321 - 128


@pytest.mark.parametrize("file, head", [("manifest", {"params/head/output/kernel"}), ("manifest_pretrained", set())])
def test_the_published_files_have_the_tensors_of_the_table(shared, file, head):
    """By names and shapes; the arrays would take 360 MB."""
    manifest = json.loads((shared / "reference/torch_fixtures/ecg_fm" / f"{file}.json").read_text())
    shapes = torch_layers.list_full_size(manifest)
    sizes = ecg_fm.find_sizes(shapes)
    network = models.create("ecg_fm", head="dense", num_labels=sizes.num_labels or 17, trunk=sizes.trunk)
    assert network == models.create("ecg_fm", head="dense", num_labels=17)
    own = {path: leaf.shape for path, leaf in weights_lib.flatten(models.shapes(network, (2500, 12))).items()}
    table = ecg_fm.create_table(sizes)
    assert {path for path in own if path.endswith("kernel")} - {p for p in own if "head" in p} | head <= set(table)
    stored = {path: shapes.get(entry.name, (768, 48, 128)) for path, entry in table.items()}
    assert all(own[path] == shape[::-1] for path, shape in stored.items())
    used = {entry.name for entry in table.values()}
    left = {name for name in set(shapes) - used if not name.endswith(NEW)}
    assert all(name.startswith(("mask_emb", "quantizer.", "project_q.", "final_proj.")) for name in left)


@pytest.mark.parametrize("file", ["weights_zip.pt", "weights_legacy.pt"])
def test_every_stage_is_the_published_codes(shared, file):
    """2 layers, narrow; 2500, 1251 and 5000 samples, and 2500 of which the second recording has 1800."""
    folder = shared / "reference" / "torch_fixtures" / "ecg_fm"
    network, variables = ecg_fm.load(load_weights(str(folder / file)), file, heads=4)
    with np.load(folder / "io.npz") as stored:
        kernel = {"kernel": stored["conv_pos_effective_weight"]}
    torch_layers.compare({"kernel": variables["params/trunk/position/kernel"].T}, kernel)
    for stages in torch_layers.read_cases(folder / "io.npz").values():
        signal, padding = stages.pop("input"), stages.pop("padding_mask", None)
        is_padding = stages.pop("frame_padding_mask", None)
        found = capture(network, variables, signal, None if padding is None else (~padding).sum(axis=1))
        torch_layers.compare(found, arrange(stages))
        if is_padding is not None:
            np.testing.assert_array_equal((found["encoder_out"] == 0).all(axis=1), is_padding)


def arrange(stages: Arrays) -> Arrays:
    """Channels first; without the last frame of the convolution over positions, which the network does not compute."""
    arranged = {}
    for key, stage in stages.items():
        name = key.partition("@")[0]
        if name == "attention":
            arranged |= {f"attention{i}": stage[:, i] for i in range(stage.shape[1])}
        elif name == "conv_pos.conv":
            arranged[key] = stage[..., :-1]
        else:
            is_frames_first = (stage.ndim == 3 and not name.startswith("conv")) or name == "conv_pos"
            arranged[key] = np.swapaxes(stage, 1, 2) if is_frames_first else stage
    return arranged
