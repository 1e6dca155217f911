"""Keras files of every kind, and parity with an independent implementation of the network.

The small files are written here, layer by layer, in Keras' own layouts; what they must
compute comes from a plain NumPy implementation of the same layers.
"""

import json
import zipfile
from pathlib import Path

import h5py
import jax
import numpy as np
import pytest

from ecg_jax.errors import InputError
from ecg_jax.models import keras_layers
from ecg_jax.models import weights as weights_lib
from ecg_jax.models.imports import keras as keras_import

STEM, FILTERS, SAMPLES = 4, (6, 8, 10, 12), 512
KINDS = ["keras2", "keras3", "keras2_weights", "weights_h5", "archive"]


def create_layers(
    num_labels: int = 6, offset: int = 0, filters: tuple[int, ...] = FILTERS, steps: int = SAMPLES // 256
) -> list[dict]:
    """Layers in Keras' order: class, name, inputs, arrays by Keras' weight name."""
    rng = np.random.default_rng(7)
    table = keras_layers.create_table(len(filters))
    names = {layer.number: shift(layer.keras_name, offset) for layer in table}
    layers = []
    for layer in table:
        n, unit, place = layer.number, (layer.number - 5) // 11, (layer.number - 5) % 11
        inputs = [n - 1] if n > 1 else []
        if 5 <= n <= len(table) - 2:  # in a unit: pool the shortcut, skip back over it, convolve it, add both
            before = 5 + 11 * (unit - 1) + 7 if unit else 4
            inputs = {4: [before], 5: [n - 2], 6: [n - 2], 7: [n - 2, n - 1]}.get(place, inputs)
        width_in = filters[unit - 1] if unit else STEM
        arrays = {}
        if layer.kind == "conv":
            width = filters[min(unit, len(filters) - 1)]
            sizes = {0: (16, width_in, width), 5: (16, width, width), 6: (1, width_in, width)}
            taps, fan_in, fan_out = (16, 12, STEM) if n == 2 else sizes[place]
            arrays["kernel"] = rng.normal(0, np.sqrt(2 / (taps * fan_in)), (taps, fan_in, fan_out))
        elif layer.kind == "norm":
            width = STEM if n == 3 else filters[unit]
            arrays = {
                "gamma": rng.uniform(0.5, 1.5, width),
                "beta": rng.normal(0, 0.2, width),
                "moving_mean": rng.normal(0, 0.2, width),
                "moving_variance": rng.uniform(0.5, 1.5, width),
            }
        elif layer.kind == "dense":
            arrays = {
                "kernel": rng.normal(0, 0.1, (steps * filters[-1], num_labels)),
                "bias": rng.normal(0, 0.2, num_labels),
            }
        kinds = {"conv": "Conv1D", "norm": "BatchNormalization", "relu": "Activation", "pool": "MaxPooling1D"}
        kinds |= {"input": "InputLayer", "add": "Add", "dropout": "Dropout", "flatten": "Flatten", "dense": "Dense"}
        layers.append(
            {
                "class": kinds[layer.kind],
                "kind": layer.kind,
                "name": names[n],
                "inputs": [names[i] for i in inputs],
                "arrays": {key: value.astype(np.float32) for key, value in arrays.items()},
            }
        )
    return layers


def shift(name: str, offset: int) -> str:
    stem, _, number = name.rpartition("_")
    if not offset or name in ("signal", "flatten"):
        return name
    return f"{stem}_{int(number) + offset}" if number.isdigit() else f"{name}_{offset}"


def compute(layers: list[dict], signal: np.ndarray) -> dict[str, np.ndarray]:
    """Every layer's output, in float64, by definition."""
    outputs = {}
    for layer in layers:
        given = [outputs[name] for name in layer["inputs"]]
        arrays = {key: value.astype(np.float64) for key, value in layer["arrays"].items()}
        settings = layer.get("config", {})
        if layer["kind"] == "input":
            value = signal.astype(np.float64)
        elif layer["kind"] == "conv":
            kernel = arrays["kernel"]
            strides = settings.get("strides", [4 if layer["name"] in strided(layers) else 1])[0]
            value = convolve(given[0], kernel, strides) + arrays.get("bias", 0)
        elif layer["kind"] == "norm":
            scale = arrays.get("gamma", 1) / np.sqrt(arrays["moving_variance"] + settings.get("epsilon", 1e-3))
            value = (given[0] - arrays["moving_mean"]) * scale + arrays.get("beta", 0)
        elif layer["kind"] == "relu":
            value = ACTIVATIONS[settings.get("activation", "relu")](given[0])
        elif layer["kind"] == "pool":
            window = settings.get("pool_size", [4])[0]
            total = -given[0].shape[1] % window
            sides = ((0, 0), (total // 2, total - total // 2), (0, 0))
            padded = np.pad(given[0], sides, constant_values=-np.inf)
            value = padded.reshape(len(padded), -1, window, padded.shape[2]).max(axis=2)
        elif layer["kind"] == "add":
            value = given[0] + given[1]
        elif layer["kind"] == "flatten":
            value = given[0].reshape(len(given[0]), -1)
        elif layer["kind"] == "dense":
            value = ACTIVATIONS[settings.get("activation", "sigmoid")](given[0] @ arrays["kernel"] + arrays["bias"])
        else:
            value = given[0]
        outputs[layer["name"]] = value
    return outputs


ACTIVATIONS = {
    "relu": lambda x: np.maximum(x, 0),
    "linear": lambda x: x,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "softmax": lambda x: np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True),
}


def strided(layers: list[dict]) -> set[str]:
    return {layers[i]["name"] for i in range(9, len(layers) - 2, 11)}


def convolve(x: np.ndarray, kernel: np.ndarray, stride: int) -> np.ndarray:
    """`same` padding in TensorFlow's sense: 7 and 8 at stride 1, 6 and 6 at stride 4."""
    taps, samples = len(kernel), x.shape[1]
    total = max((-(-samples // stride) - 1) * stride + taps - samples, 0)
    padded = np.pad(x, ((0, 0), (total // 2, total - total // 2), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, taps, axis=1)[:, ::stride]
    return np.einsum("btck,kcf->btf", windows, kernel)


def write(path, layers: list[dict], kind: str, *, as_bytes: bool = False, optimizer: bool = False) -> str:
    """Writes a Keras file of one kind."""
    text = (lambda names: [name.encode() for name in names]) if as_bytes else (lambda names: names)
    if kind == "archive":
        path = path.with_suffix(".keras")
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("config.json", json.dumps(create_config(layers, 3)))
            write_vars(path.with_suffix(".tmp.h5"), layers)
            archive.write(path.with_suffix(".tmp.h5"), "model.weights.h5")
        return str(path)
    path = path.with_suffix(".weights.h5" if kind == "weights_h5" else ".h5")
    if kind == "weights_h5":
        write_vars(path, layers, optimizer=optimizer)
        return str(path)
    suffix = "" if kind == "keras3" else ":0"
    with h5py.File(path, "w") as file:
        group = file if kind == "keras2_weights" else file.create_group("model_weights")
        group.attrs["layer_names"] = text([layer["name"] for layer in layers])
        for layer in layers:
            inner = group.create_group(layer["name"])
            weight_names = [f"{layer['name']}/{key}{suffix}" for key in layer["arrays"]]
            inner.attrs["weight_names"] = text(weight_names)
            for name, value in zip(weight_names, layer["arrays"].values(), strict=True):
                inner[name] = value
        if kind != "keras2_weights":
            config = json.dumps(create_config(layers, 3 if kind == "keras3" else 2))
            file.attrs["model_config"] = config.encode() if as_bytes else config
        if optimizer:
            file["optimizer_weights/iteration"] = np.int64(12)
            file["optimizer_weights/m/conv1d/kernel"] = np.zeros((16, 12, STEM), np.float32)
    return str(path)


def write_vars(path, layers: list[dict], *, optimizer: bool = False) -> None:
    """`.weights.h5`: groups renumbered by class, variables by number."""
    counts: dict[str, int] = {}
    with h5py.File(path, "w") as file:
        for layer in layers:
            stem = {"Conv1D": "conv1d", "BatchNormalization": "batch_normalization"}.get(
                layer["class"], layer["class"].lower()
            )
            number = counts.get(stem, 0)
            counts[stem] = number + 1
            inner = file.create_group(f"layers/{stem}{f'_{number}' if number else ''}/vars")
            for i, value in enumerate(layer["arrays"].values()):
                inner[str(i)] = value
        if optimizer:
            file["optimizer/vars/0"] = np.int64(12)


def create_config(layers: list[dict], version: int) -> dict:
    def nodes(inputs: list[str], kwargs: dict) -> list:
        if not inputs:
            return []
        if version == 2:
            return [[[name, 0, 0, kwargs] for name in inputs]]
        tensors = [{"class_name": "__keras_tensor__", "config": {"keras_history": [name, 0, 0]}} for name in inputs]
        return [{"args": [tensors] if len(tensors) > 1 else tensors, "kwargs": kwargs}]

    described = [
        {
            "class_name": layer["class"],
            "registered_name": layer.get("registered_name"),
            "name": layer["name"],
            "config": {"name": layer["name"]} | layer.get("config", {}),
            "inbound_nodes": nodes(layer["inputs"], {"training": True} if layer.get("training") else {}),
        }
        for layer in layers
    ]
    return {"class_name": "Functional", "config": {"name": "model", "layers": described}}


@pytest.fixture(scope="module")
def signal() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(2, SAMPLES, 12)).astype(np.float32)


def assert_parity(path: str, layers: list[dict], signal: np.ndarray) -> None:
    network, variables, _ = keras_import.load(path)
    logits, taps = network.apply(variables, signal, mutable=["keras_layers"])
    expected = compute(layers, signal)
    outputs = {number: v[0] for inner in taps["keras_layers"]["trunk"].values() for number, v in inner.items()}
    assert set(outputs) == {str(n) for n in range(2, 49)}
    for number, output in outputs.items():
        truth = expected[layers[int(number) - 1]["name"]]
        assert np.abs(output - truth).max() / np.abs(truth).max() < 1e-5, f"layer {number}"
    np.testing.assert_allclose(jax.nn.sigmoid(logits), expected[layers[-1]["name"]], atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("offset", [0, 13])
def test_every_kind_of_file_computes_what_keras_layers_compute(kind, offset, tmp_path, signal):
    layers = create_layers(offset=offset)
    assert_parity(write(tmp_path / "model", layers, kind), layers, signal)


@pytest.mark.parametrize("kind", KINDS[:4])
def test_bytes_attributes_and_optimizer_state_change_nothing(kind, tmp_path, signal):
    layers = create_layers()
    assert_parity(write(tmp_path / "model", layers, kind, as_bytes=True, optimizer=True), layers, signal)


@pytest.mark.parametrize("num_labels", [1, 3])
def test_any_number_of_outputs_is_read(num_labels, tmp_path):
    found = keras_import.read(write(tmp_path / "model", create_layers(num_labels), "keras2"))
    assert (found.num_labels, found.samples, found.leads) == (num_labels, SAMPLES, 12)
    assert found.trunk == {"stem_filters": STEM, "filters": FILTERS, "kernel_size": 16}


@pytest.mark.parametrize("kind", ["keras2", "keras3", "archive"])
def test_topology_decides_not_names(kind, tmp_path, signal):
    layers = create_layers()
    names = [layer["name"] for layer in layers if layer["kind"] == "conv"]
    swapped = dict(zip(names, reversed(names), strict=True))  # names that mislead whoever sorts them
    renamed = [
        layer
        | {"name": swapped.get(layer["name"], layer["name"]), "inputs": [swapped.get(n, n) for n in layer["inputs"]]}
        for layer in layers
    ]
    assert_parity(write(tmp_path / "model", renamed, kind), renamed, signal)


def test_a_shortcut_stored_before_the_main_convolutions_is_told_by_its_shape(tmp_path, signal):
    layers = create_layers()
    stored = list(layers)
    for unit in range(4):  # creation order: shortcut, first, second
        shortcut = layers[5 + 11 * unit + 6 - 1]
        stored.remove(shortcut)
        stored.insert(stored.index(layers[5 + 11 * unit - 1]), shortcut)
    path = write(tmp_path / "model", stored, "keras2_weights")
    assert_parity(path, layers, signal)


def test_a_mismatch_lists_missing_left_over_and_both_shapes(tmp_path):
    found = keras_import.read(write(tmp_path / "model", create_layers(), "keras2"))
    _, variables, _ = keras_import.load(write(tmp_path / "other", create_layers(num_labels=2), "keras2"))
    variables = weights_lib.unflatten(
        {p: v for p, v in weights_lib.flatten(variables).items() if not p.startswith("params/trunk/unit1/conv1")}
        | {"params/trunk/extra/kernel": np.zeros(3)}
    )
    with pytest.raises(InputError) as caught:
        weights_lib.merge(variables, found.weights, source="model.h5")
    message = str(caught.value)
    assert "missing there (1): params/trunk/extra/kernel" in message
    assert "left over there (1): params/trunk/unit1/conv1/kernel" in message
    assert "params/head/output/kernel (24, 2) here, (24, 6) there" in message


def test_exclusions_are_explicit(tmp_path):
    found = keras_import.read(write(tmp_path / "model", create_layers(), "keras2"))
    _, variables, _ = keras_import.load(write(tmp_path / "other", create_layers(num_labels=2), "keras2"))
    merged = weights_lib.flatten(weights_lib.merge(variables, found.weights, source="", exclude=("head",)))
    before = weights_lib.flatten(variables)
    np.testing.assert_array_equal(merged["params/head/output/kernel"], before["params/head/output/kernel"])
    np.testing.assert_array_equal(
        merged["params/trunk/stem/conv/kernel"], found.weights["params/trunk/stem/conv/kernel"]
    )


@pytest.mark.parametrize("content", [b"", b"not hdf5", "truncated", "other network", "empty hdf5", "absent"])
def test_a_bad_file_is_refused_in_one_line_that_names_it(content, tmp_path):
    path = tmp_path / "model.h5"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content == "truncated":
        whole = write(tmp_path / "whole", create_layers(), "keras2")
        path.write_bytes(Path(whole).read_bytes()[:20_000])
    elif content == "other network":
        write(tmp_path / "model", [layer for layer in create_layers() if layer["name"] != "conv1d_2"], "keras2_weights")
    elif content == "empty hdf5":
        h5py.File(path, "w").close()
    with pytest.raises(InputError, match=str(path)):
        keras_import.load(str(path))


FIXTURES = [
    "full_tfkeras.hdf5", "small_tfkeras.hdf5", "small_tfkeras_offset.hdf5", "small_tfkeras.weights.h5",
    "small_tfkeras_weights_only.h5", "small_keras3.h5", "small_keras3_offset.h5", "small_keras3.weights.h5",
    "small_binary_tfkeras.hdf5", "small_binary_tfkeras.weights.h5", "small_binary_keras3.h5",
    "small_binary_keras3.weights.h5",
]  # fmt: skip


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name.startswith("full") else ()) for name in FIXTURES]
)
def test_parity_with_what_keras_itself_computed(name, shared):
    folder = shared / "reference" / "keras_fixtures"
    stem = name.replace("_offset", "").replace("_weights_only", "").replace(".weights", "").rsplit(".", 1)[0]
    stored = np.load(folder / f"{stem}_io.npz")
    network, variables, _ = keras_import.load(str(folder / name))
    logits, taps = network.apply(variables, stored["signal"], mutable=["keras_layers"])
    np.testing.assert_allclose(jax.nn.sigmoid(logits), stored["probabilities"], rtol=0, atol=1e-6)
    outputs = {int(n): np.asarray(v[0]) for inner in taps["keras_layers"]["trunk"].values() for n, v in inner.items()}
    layers = [key for key in stored.files if key.startswith("layer/")]
    assert len(layers) == (0 if name.startswith("full") else 50)
    for number, key in enumerate(layers, start=1):
        if 2 <= number <= 48:
            output = outputs[number][:, :: max(1, outputs[number].shape[1] // 64)]
            assert np.abs(output - stored[key]).max() / np.abs(stored[key]).max() < 1e-5, key


def test_every_fixture_of_the_folder_is_tested(shared):
    names = {path.name for path in (shared / "reference" / "keras_fixtures").iterdir() if path.suffix != ".npz"}
    assert names == set(FIXTURES)
