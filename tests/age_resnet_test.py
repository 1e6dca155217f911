"""The network that estimates the age and the import of its weights, against plain NumPy and published numbers."""

import json

import numpy as np
import pytest
import torch_layers
from torch_layers import Arrays, connect, convolve, normalize, pool

from ecg_jax import models
from ecg_jax.errors import InputError
from ecg_jax.models import weights as weights_lib
from ecg_jax.models.imports import ecg_age

WIDTHS, TAPS, LEADS = (3, 5, 5, 7), 17, 2  # the third block has a shortcut without a convolution
SAMPLES, STEPS = 129, 2  # 32, 8 and 2 are left


def create_tensors(widths=WIDTHS, steps=STEPS) -> Arrays:
    shapes = {"conv1.weight": (widths[0], LEADS, TAPS)} | torch_layers.list_norm("bn1", widths[0])
    before = widths[0]
    for block, width in enumerate(widths):
        name = f"resblock1d_{block}"
        shapes |= {f"{name}.conv1.weight": (width, before, TAPS)} | torch_layers.list_norm(f"{name}.bn1", width)
        shapes |= {f"{name}.conv2.weight": (width, width, TAPS)} | torch_layers.list_norm(f"{name}.bn2", width)
        shapes |= {f"{name}.skip_connection.1.weight": (width, before, 1)} if width != before else {}
        before = width
    return torch_layers.draw_tensors(shapes | {"lin.weight": (1, before * steps), "lin.bias": (1,)})


def compute(weights: Arrays, signal: np.ndarray, blocks: int = len(WIDTHS)) -> Arrays:
    """Every stage of the network, float64, channels first."""
    stages = {"stem_conv": convolve(signal, weights, "conv1", 1, (8, 8))}
    x = y = stages["stem"] = normalize(stages["stem_conv"], weights, "bn1")
    for block in range(blocks):
        name, place, stride = f"resblock1d_{block}", f"block{block}", 4 if block else 1
        if block:
            y = pool(y, 4, 4)
        if f"{name}.skip_connection.1.weight" in weights:
            y = stages[f"{place}.skip"] = convolve(y, weights, f"{name}.skip_connection.1")
        stages[f"{place}.conv1"] = convolve(x, weights, f"{name}.conv1", 1, (8, 8))
        stages[f"{place}.bn1"] = normalize(stages[f"{place}.conv1"], weights, f"{name}.bn1")
        padding = (7, 7) if block else (8, 8)
        stages[f"{place}.conv2"] = convolve(
            np.maximum(stages[f"{place}.bn1"], 0), weights, f"{name}.conv2", stride, padding
        )
        y = stages[f"{place}.y"] = stages[f"{place}.conv2"] + y
        stages[f"{place}.bn2"] = normalize(y, weights, f"{name}.bn2")
        x = stages[place] = np.maximum(stages[f"{place}.bn2"], 0)
    return stages | {"age": connect(x.reshape(len(x), -1), weights, "lin")}


def capture(network: models.Network, variables: Arrays, signal: np.ndarray) -> Arrays:
    """Every stage of the network under the names of `compute` and of the published numbers."""
    found = torch_layers.capture(network, variables, signal)
    stages = {"stem_conv": found["trunk/stem"], "stem": found["trunk/norm"], "age": found["logits"]}
    for block in range(len(network.trunk.filters)):
        path, place = f"trunk/block{block + 1}", f"block{block}"
        for name, layer in {"conv1": "conv1", "bn1": "norm1", "conv2": "conv2", "bn2": "norm2"}.items():
            stages[f"{place}.{name}"] = found[f"{path}/{layer}"]
        stages |= {place: found[path], f"{place}.y": found[f"{path}#1"]}
        if f"{path}/shortcut" in found:
            stages[f"{place}.skip"] = found[f"{path}/shortcut"]
    return stages


@pytest.fixture(scope="module")
def tensors() -> Arrays:
    return create_tensors()


@pytest.mark.parametrize("samples", [SAMPLES, SAMPLES + 1])
def test_every_stage_is_that_of_plain_numpy(tensors, samples):
    signal = np.random.default_rng(1).normal(size=(2, LEADS, samples))
    network, variables = ecg_age.load(tensors, "file")
    torch_layers.compare(capture(network, variables, signal), compute(tensors, signal))


def test_the_head_takes_sample_by_sample_what_was_stored_channel_by_channel():
    """Stored: channel 0 at both samples, then channel 1, then channel 2."""
    kernel = np.array([[1], [2], [10], [20], [100], [200]])
    np.testing.assert_array_equal(ecg_age.order_by_time(kernel, 3)[:, 0], [1, 10, 100, 2, 20, 200])


def test_strided_convolutions_begin_seven_samples_before_the_signal(tensors):
    """A kernel whose first tap alone is not zero gives at each fourth sample what was there seven before."""
    network, variables = ecg_age.load(tensors, "file")
    kernel = np.zeros((TAPS, 5, 5), np.float32)
    kernel[0] = np.eye(5)
    signal = np.random.default_rng(1).normal(size=(1, LEADS, 128))
    found = capture(network, variables | {"params/trunk/block2/conv2/kernel": kernel}, signal)
    before = np.pad(np.maximum(found["block1.bn1"], 0), ((0, 0), (0, 0), (7, 0)))
    np.testing.assert_allclose(found["block1.conv2"], before[:, :, :-7:4], rtol=1e-6)


def test_sizes_follow_from_shapes(tensors):
    sizes = ecg_age.find_sizes({name: array.shape for name, array in tensors.items()})
    assert sizes.trunk == {"filters": WIDTHS, "strides": (1, 4, 4, 4), "kernel_size": TAPS}
    assert (sizes.num_labels, sizes.shape) == (1, (128, LEADS))
    assert ecg_age.find_sizes({"first_conv.conv.weight": (4, 2, 16)}) is None


@pytest.mark.parametrize(
    "change, message",
    [
        ({"lin.weight": None}, "x.pth: not the age network: it has no lin.weight"),
        ({"lin.weight": np.ones((1, 15))}, "lin.weight takes 15 values, which the 7 channels of the last block"),
        ({"conv1.weight": np.ones((3, 2, 16))}, "conv1.weight has 16 taps, not an odd number"),
        ({"bn1.running_var": None, "lin.bias": None}, r"missing \(2\): bn1.running_var, lin.bias"),
        ({"resblock1d_2.skip_connection.1.weight": np.ones((5, 5, 1))}, r"left over \(1\): resblock1d_2.skip_con"),
        (
            {"resblock1d_1.conv2.weight": np.ones((5, 5, 16))},
            r"\(1\): resblock1d_1.conv2.weight \[5, 5, 16\], expected \[5, 5, 17\]",
        ),
    ],
)
def test_another_networks_file_is_refused_in_one_line(tensors, change, message):
    weights = {name: array for name, array in (tensors | change).items() if array is not None}
    with pytest.raises(InputError, match=message) as caught:
        ecg_age.load(weights, "x.pth")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("samples", [4095, 4099, 63])
def test_a_length_that_the_published_network_cannot_pool_is_refused(samples):
    network = models.create("ecg_age", head="dense", num_labels=1)
    with pytest.raises(InputError, match="give it a length as the published 4096"):
        models.shapes(network, (samples, 12))
    assert models.shapes(network, (4098, 12))["params"]["head"]["output"]["kernel"].shape == (16 * 320, 1)


def test_the_published_sizes_have_the_published_number_of_parameters():
    network = models.create("ecg_age", head="dense", num_labels=1)
    assert models.count_weights(models.shapes(network, (4096, 12))["params"]) == 6_924_705


def test_the_published_file_has_the_tensors_of_the_table(shared):
    manifest = json.loads((shared / "reference" / "torch_fixtures" / "ecg_age" / "manifest.json").read_text())
    shapes = torch_layers.list_full_size(manifest)
    network, variables = ecg_age.load({name: np.zeros(shape, np.float32) for name, shape in shapes.items()}, "file")
    assert network == models.create("ecg_age", head="dense", num_labels=1)
    own = weights_lib.flatten(models.shapes(network, (4096, 12)))
    assert {path: array.shape for path, array in variables.items()} == {path: leaf.shape for path, leaf in own.items()}
