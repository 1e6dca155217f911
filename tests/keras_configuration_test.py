"""What a Keras file states of its network is built, or refused by the layer's name; nothing of it is ignored.

Files are small networks of two units, written as in `keras_import_test`; what they must compute comes from its plain
NumPy implementation.
"""

import json

import h5py
import numpy as np
import pytest
from keras_import_test import compute, create_layers, write

from ecg_jax.errors import InputError
from ecg_jax.inference.model import load_model
from ecg_jax.models.imports import keras as keras_import
from ecg_jax.models.imports.keras_graph import Graph

SAMPLES, FILTERS = 128, (6, 8)
STRIDED, POOLS = (9, 20), (8, 19)  # places of the two units' last convolutions and poolings
CONVOLUTIONS = (1, 4, 9, 10, 15, 20, 21)
NORMS = (2, 5, 12, 16, 23)
LAST_RELU, FLATTEN, DENSE = 24, -2, -1


def create(num_labels: int = 6, steps: int = SAMPLES // 16, filters: tuple[int, int] = FILTERS) -> list[dict]:
    return create_layers(num_labels, filters=filters, steps=steps)


def state(layers: list[dict], places, **settings) -> list[dict]:
    """The layers, some of which state more."""
    for place in (places,) if isinstance(places, int) else places:
        layers[place]["config"] = layers[place].get("config", {}) | settings
    return layers


def append(layers: list[dict], kind: str, name: str, **settings) -> list[dict]:
    """The layers and one more after the last."""
    added = {"class": kind, "kind": "relu", "name": name, "inputs": [layers[-1]["name"]], "arrays": {}}
    return [*layers, added | {"config": settings}]


def insert(layers: list[dict], place: int, kind: str, name: str) -> list[dict]:
    """The layers with one more before a place."""
    added = {"class": kind, "kind": "dropout", "name": name, "inputs": layers[place]["inputs"], "arrays": {}}
    layers[place]["inputs"] = [name]
    return [*layers[:place], added, *layers[place:]]


def change_everything() -> list[dict]:
    """Strides 2 and 5, 99 samples, softmax, other epsilons, biases, no scale, no dropout, no shortcut's convolution."""
    layers = create(3, steps=10, filters=(6, 6))
    state(layers, 0, batch_shape=[None, 99, 12])
    state(state(layers, STRIDED[0], strides=[2]), POOLS[0], pool_size=[2], strides=[2])
    state(state(layers, STRIDED[1], strides=[5]), POOLS[1], pool_size=[5], strides=[5])
    state(state(layers, NORMS, epsilon=1e-5), NORMS[1], epsilon=0.1, scale=False, center=False)
    del layers[NORMS[1]]["arrays"]["gamma"], layers[NORMS[1]]["arrays"]["beta"]
    state(layers, DENSE, activation="softmax")
    rng = np.random.default_rng(3)
    for place in CONVOLUTIONS:
        state(layers, place, use_bias=True)
        width = layers[place]["arrays"]["kernel"].shape[-1]
        layers[place]["arrays"]["bias"] = rng.normal(0, 0.5, width).astype(np.float32)
    shortcut, total = layers[21], layers[22]
    total["inputs"] = [layers[20]["name"], *shortcut["inputs"]]
    layers[15]["inputs"] = [layers[13]["name"]]  # past the dropout
    return [layer for layer in layers if layer not in (shortcut, layers[14])]


def assert_predicts(path: str, layers: list[dict], samples: int) -> None:
    model = load_model(path)
    signal = np.random.default_rng(1).normal(size=(2, samples, 12)).astype(np.float32)
    assert model.contract.samples == samples
    np.testing.assert_allclose(model.predict(signal), compute(layers, signal)[layers[-1]["name"]], atol=1e-5)


@pytest.mark.parametrize("kind", ["keras2", "archive"])
def test_everything_that_can_differ_is_built(kind, tmp_path):
    layers = change_everything()
    path = write(tmp_path / "model", layers, kind)
    found = keras_import.read(path)
    assert (found.samples, found.trunk["stride"], found.activation) == (99, (2, 5), "softmax")
    if kind == "archive":
        assert_predicts(path, layers, 99)


@pytest.mark.parametrize(
    "activation, after, expected",
    [
        ("sigmoid", None, "sigmoid"),
        ("softmax", None, "softmax"),
        ("linear", ("Activation", {"activation": "softmax"}), "softmax"),
        ("linear", ("Softmax", {"axis": -1}), "softmax"),
        (None, ("Activation", {"activation": "sigmoid"}), "sigmoid"),
        ({"class_name": "function", "config": "softmax"}, None, "softmax"),
    ],
)
def test_the_output_is_what_the_file_states(activation, after, expected, tmp_path):
    layers = state(create(2), DENSE, activation=activation)
    layers = append(layers, after[0], "last", **after[1]) if after else layers
    assert keras_import.read(write(tmp_path / "model", layers, "keras3")).activation == expected


def write_linear(path, loss) -> str:
    """A file with a linear output, compiled with a loss unless that is None."""
    file = write(path, state(create(3), DENSE, activation="linear"), "keras2")
    if loss is not None:
        with h5py.File(file, "a") as opened:
            opened.attrs["training_config"] = json.dumps({"loss": loss})
    return file


@pytest.mark.parametrize(
    "loss, expected",
    [
        (None, "sigmoid"),
        ({"class_name": "BinaryCrossentropy", "config": {"from_logits": True}}, "sigmoid"),
        ({"class_name": "CategoricalCrossentropy", "config": {"from_logits": True}}, "softmax"),
        (["sparse_categorical_crossentropy"], "softmax"),
    ],
)
def test_a_linear_output_is_logits_of_what_its_loss_states_and_that_is_said(loss, expected, tmp_path):
    found = keras_import.read(write_linear(tmp_path / "model", loss))
    assert found.activation == expected
    assert f"output of layer dense is linear; its values are taken to be logits of a {expected}" in found.notes[0]


@pytest.mark.parametrize("loss", ["mse", {"class_name": "MeanAbsoluteError", "config": {}}, {"dense": "huber"}])
def test_a_regression_is_refused(loss, tmp_path):
    with pytest.raises(InputError, match=r"layer dense \(Dense\) has a linear output and loss .*; supported: sigmoid"):
        keras_import.read(write_linear(tmp_path / "model", loss))


def rename_class(layers, place, kind, **settings):
    layers[place]["class"] = kind
    return state(layers, place, **settings)


def call_with_training(layers, place):
    layers[place]["training"] = True
    return layers


def register(layers, place, name):
    layers[place]["registered_name"] = name
    return layers


REFUSED = {
    "output": (lambda x: state(x, DENSE, activation="tanh"), r"dense \(Dense\) has output activation tanh"),
    "outputs": (
        lambda x: append(state(x, DENSE, activation="sigmoid"), "Activation", "twice", activation="softmax"),
        r"dense \(Dense\) has output activation sigmoid then softmax",
    ),
    "one softmax": (
        lambda _: state(create(1), DENSE, activation="softmax", units=1),
        r"dense \(Dense\) has a softmax of one unit",
    ),
    "hidden activation": (lambda x: state(x, 3, activation="elu"), r"activation \(Activation\) has activation elu"),
    "own class": (lambda x: rename_class(x, 3, "LeakyReLU"), "activation is of class LeakyReLU"),
    "capped": (
        lambda x: rename_class(x, LAST_RELU, "ReLU", max_value=6.0),
        r"activation_4 \(ReLU\) has activation relu with max_value 6.0",
    ),
    "convolution's": (lambda x: state(x, 4, activation="relu"), r"conv1d_2 \(Conv1D\) has activation relu"),
    "padding": (lambda x: state(x, 4, padding="valid"), r"conv1d_2 \(Conv1D\) has padding valid; supported: same"),
    "causal": (lambda x: state(x, 9, padding="causal"), r"conv1d_3 \(Conv1D\) has padding causal"),
    "dilation": (lambda x: state(x, 1, dilation_rate=[2]), r"conv1d \(Conv1D\) has dilation_rate 2; supported: 1"),
    "groups": (lambda x: state(x, 4, groups=2), r"conv1d_2 \(Conv1D\) has groups 2"),
    "strides": (lambda x: state(x, 4, strides=[2]), r"conv1d_2 \(Conv1D\) has strides 2; supported: 1"),
    "pool": (lambda x: state(x, 8, pool_size=[2]), r"max_pooling1d \(MaxPooling1D\) has pool_size 2; supported: 4"),
    "pool's strides": (lambda x: state(x, 8, strides=[3]), r"max_pooling1d \(MaxPooling1D\) has strides 3"),
    "pooling": (lambda x: rename_class(x, 8, "AveragePooling1D"), "shortcut begins at layer max_pooling1d, where"),
    "axis": (lambda x: state(x, 2, axis=[1]), r"batch_normalization \(BatchNormalization\) has axis 1"),
    "in front": (lambda x: insert(x, 1, "Rescaling", "rescaling"), "layer rescaling is of class Rescaling"),
    "flatten": (lambda x: rename_class(x, FLATTEN, "GlobalAveragePooling1D"), "flatten is of class GlobalAverage"),
    "sum": (lambda x: rename_class(x, 11, "Concatenate"), "layer add is of class Concatenate, expected Add"),
    "own package": (lambda x: register(x, 4, "My>Conv1D"), "layer conv1d_2 is of class My>Conv1D, expected Conv1D"),
    "shape": (lambda x: state(x, 0, batch_shape=[None, 128]), r"signal \(InputLayer\) has shape \[None, 128\]"),
    "length": (lambda x: state(x, 0, batch_shape=[None, 256, 12]), "8 steps, but strides of 4, 4 leave 16 of 256"),
    "leads": (lambda x: state(x, 0, batch_shape=[None, 128, 8]), "input has 8 leads, its first convolution 12"),
    "dtype": (lambda x: state(x, 4, dtype="int8"), r"conv1d_2 \(Conv1D\) has dtype int8"),
    "epsilon": (lambda x: state(x, 2, epsilon=-1.0), r"batch_normalization \(BatchNormalization\) has epsilon -1"),
    "training": (lambda x: call_with_training(x, 7), r"dropout \(Dropout\) has training=True"),
    "statistics": (lambda x: call_with_training(x, 2), r"batch_normalization \(BatchNormalization\) has training=True"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_built_is_refused_in_one_line_that_names_the_layer_and_the_value(name, tmp_path):
    change, message = REFUSED[name]
    with pytest.raises(InputError, match=message) as caught:
        keras_import.read(write(tmp_path / "model", change(create()), "keras3"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("place, name", [(4, "conv1d_2"), (10, "conv1d_1")])
def test_a_convolution_of_other_taps_than_the_first_is_refused(place, name, tmp_path):
    layers = create()
    layers[place]["arrays"]["kernel"] = np.repeat(layers[place]["arrays"]["kernel"], 2, axis=0)
    with pytest.raises(InputError, match=f"layer {name} has kernel_size"):
        keras_import.read(write(tmp_path / "model", layers, "archive"))


@pytest.mark.parametrize("kind", ["SpatialDropout1D", "GaussianNoise", "Dropout"])
def test_layers_that_do_nothing_when_predicting_are_passed_over(kind, tmp_path):
    expected = keras_import.read(write(tmp_path / "model", create(), "keras2")).weights
    found = keras_import.read(write(tmp_path / "other", insert(create(), 1, kind, "noise"), "keras2")).weights
    assert found.keys() == expected.keys()
    for path in found:
        np.testing.assert_array_equal(found[path], expected[path])


def test_a_file_of_weights_alone_says_what_is_assumed(tmp_path):
    found = keras_import.read(write(tmp_path / "model", create(), "weights_h5"))
    assert "holds weights alone; assumed as in the reference: independent sigmoid outputs" in found.notes[0]
    assert "128 samples" in found.notes[0]
    stated = state(create(), 0, batch_input_shape=[None, 120, 12])
    found = keras_import.read(write(tmp_path / "model", stated, "keras2"))
    assert (found.samples, found.notes) == (120, ())


@pytest.mark.parametrize(
    "num_labels, activation, expected",
    [
        (1, "sigmoid", ("abnormal",)),
        (6, "sigmoid", ("1dAVb", "RBBB", "LBBB", "SB", "AF", "ST")),
        (6, "softmax", tuple(f"output{i}" for i in range(1, 7))),
        (2, "softmax", ("output1", "output2")),
    ],
)
def test_outputs_are_named_as_published_only_where_they_are_of_that_kind(num_labels, activation, expected, tmp_path):
    path = write(tmp_path / "model", state(create(num_labels), DENSE, activation=activation), "keras2")
    model = load_model(path)
    assert model.label_names == expected
    said = "labels unknown, numbered" if "output1" in expected else "labels taken to be"
    assert model.notes[1].startswith(f"{said} {', '.join(expected)};")
    assert f"; output: {activation}" in model.notes[1]


def test_labels_and_rate_of_a_keras_file_can_be_set(tmp_path):
    path = write(tmp_path / "model", state(create(2), DENSE, activation="softmax"), "keras2")
    model = load_model(path, labels=("normal", "abnormal"), sampling_rate=500.0)
    assert model.label_names == ("normal", "abnormal")
    assert model.contract.sampling_rate == 500
    with pytest.raises(InputError, match="has 2 outputs; got the labels abnormal"):
        load_model(path, labels=("abnormal",))
    with pytest.raises(InputError, match="states its own leads, unit, rate and labels"):
        load_model(labels=("abnormal",))


def create_hostile(path, kind: str) -> str:
    if kind == "deep units":
        layers = create_layers(1, filters=(1,) * 9, steps=1)
        for layer in layers:
            layer["arrays"] = {key: value[..., :1] for key, value in layer["arrays"].items()}
        return write(path / "model", layers, "weights_h5")
    with h5py.File(path / "model.h5", "w") as file:
        if kind == "announced":
            file.attrs["layer_names"] = ["conv1d"]
            file.create_dataset("conv1d/kernel", (16, 12, 40_000_000), np.float32)
            file["conv1d"].attrs["weight_names"] = ["kernel"]
        else:
            file.create_group("model_weights").attrs["layer_names"] = ["x"]
            file["model_weights"].create_group("x").attrs["weight_names"] = []
            file.attrs["model_config"] = {"nested": "[" * 60_000, "list": "[]", "text": '"x"'}[kind]
    return str(path / "model.h5")


@pytest.mark.parametrize(
    "kind, message",
    [
        ("deep units", "its input has 262144 samples; at most 131072"),
        ("announced", "its arrays announce 29296 MiB; at most 512 are read"),
        ("nested", "not a readable Keras file"),
        ("list", "not a readable Keras file"),
        ("text", "not a readable Keras file"),
    ],
)
def test_a_hostile_file_is_one_line(kind, message, tmp_path):
    with pytest.raises(InputError, match=message) as caught:
        keras_import.read(create_hostile(tmp_path, kind))
    assert "\n" not in str(caught.value)


def test_two_published_cases_give_what_keras_gives(shared):
    folder = shared / "cases" / "ml" / "keras_activation_strides"
    rng = np.random.default_rng(0)
    for name, samples in (("softmax2", 4096), ("n5000", 5000)):
        signal = rng.normal(size=(3, samples, 12)).astype(np.float32)
        model = load_model(str(folder / f"{name}.keras"))
        assert model.contract.samples == samples
        np.testing.assert_allclose(model.predict(signal), np.load(folder / f"{name}_y.npy"), rtol=0, atol=1e-5)


def link_elsewhere(path):
    with h5py.File(path.with_name("other.h5"), "w") as file:
        file["kernel"] = np.zeros((16, 12, 64), np.float32)
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = ["conv1d"]
        file.create_group("conv1d").attrs["weight_names"] = ["kernel"]
        file["conv1d/kernel"] = h5py.ExternalLink("other.h5", "kernel")


def inflate(path):
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = ["conv1d"]
        file.create_dataset("conv1d/kernel", (100_000_000,), np.float32, chunks=(1000,))
        file["conv1d"].attrs["weight_names"] = ["kernel"]


@pytest.mark.parametrize(
    "write_file, message",
    [
        (link_elsewhere, "conv1d/kernel is a link, which may lead to another file"),
        (inflate, "its arrays announce 381 MiB; at most 16 are read"),
    ],
)
def test_a_file_holds_its_arrays_itself_and_no_more_than_it_can(write_file, message, tmp_path):
    write_file(tmp_path / "model.h5")
    with pytest.raises(InputError, match=message):
        keras_import.read(str(tmp_path / "model.h5"))


def test_layers_in_a_circle_are_refused():
    def layer(name, kind, *inputs):
        nodes = [[[each, 0, 0, {}] for each in inputs]]
        return {"class_name": kind, "config": {"name": name, "activation": "relu"}, "inbound_nodes": nodes}

    for kind in ("Activation", "Dropout"):
        topology = {"layers": [layer("a", kind, "b"), layer("b", kind, "a")], "output_layers": [["a", 0, 0]]}
        with pytest.raises(RecursionError):  # `keras_import.read` makes one line of it
            Graph(topology, "x")
