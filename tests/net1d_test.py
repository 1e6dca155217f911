"""ECGFounder's network and the import of its weights, against plain NumPy and the published code's own numbers."""

import json

import jax.numpy as jnp
import numpy as np
import pytest
import torch_layers
from torch_layers import Arrays, connect, convolve, pool, sigmoid

from ecg_jax import models
from ecg_jax.errors import InputError
from ecg_jax.models import weights as weights_lib
from ecg_jax.models.imports import ecgfounder
from ecg_jax.models.net1d import Net1d, pool_pairs, widen

STEM, WIDTHS, BLOCKS, GROUP, TAPS, LABELS = 4, (4, 9, 9), (2, 1, 2), 1, 16, 3  # 5 channels are added: 2 before
LEADS, SAMPLES = 2, 61


def create_tensors(leads=LEADS, stem=STEM, widths=WIDTHS, blocks=BLOCKS, group=GROUP, labels=LABELS) -> Arrays:
    shapes = {"first_conv.conv.weight": (stem, leads, TAPS), "first_conv.conv.bias": (stem,)}
    shapes |= torch_layers.list_norm("first_bn", stem)
    before = stem
    for stage, (width, count) in enumerate(zip(widths, blocks, strict=True)):
        for block in range(count):
            name = f"stage_list.{stage}.block_list.{block}"
            kernels = {"conv1": (width, before, 1), "conv2": (width, group, TAPS), "conv3": (width, width, 1)}
            for i, (conv, shape) in enumerate(kernels.items(), start=1):
                shapes |= torch_layers.list_norm(f"{name}.bn{i}", before if i == 1 else width)
                shapes |= {f"{name}.{conv}.conv.weight": shape, f"{name}.{conv}.conv.bias": (width,)}
            shapes |= {f"{name}.se_fc1.weight": (width // 2, width), f"{name}.se_fc1.bias": (width // 2,)}
            shapes |= {f"{name}.se_fc2.weight": (width, width // 2), f"{name}.se_fc2.bias": (width,)}
            before = width
    return torch_layers.draw_tensors(shapes | {"dense.weight": (labels, before), "dense.bias": (labels,)})


def pad_same(samples: int, stride: int) -> tuple[int, int]:
    total = max(0, (-(-samples // stride) - 1) * stride + TAPS - samples)
    return total // 2, total - total // 2


def swish(x: np.ndarray) -> np.ndarray:
    return x * sigmoid(x)


def compute(weights: Arrays, signal: np.ndarray, blocks=BLOCKS, group=GROUP) -> Arrays:
    """Every stage of the network, float64, channels first."""
    stages = {"stem_conv": convolve(signal, weights, "first_conv.conv", 2, pad_same(signal.shape[2], 2))}
    x = stages["stem"] = swish(stages["stem_conv"])
    for stage, count in enumerate(blocks):
        for block in range(count):
            name, place = f"stage_list.{stage}.block_list.{block}", f"stage{stage}.block{block}"
            stride, shortcut = (1, x) if block else (2, pool(np.pad(x, ((0, 0), (0, 0), (0, 1))), 2, 2))
            y = convolve(x if stage == block == 0 else swish(x), weights, f"{name}.conv1.conv")
            width = y.shape[1]
            padding = pad_same(y.shape[2], stride)
            y = convolve(swish(y), weights, f"{name}.conv2.conv", stride, padding, width // group)
            y = convolve(swish(y), weights, f"{name}.conv3.conv")
            squeezed = swish(connect(y.mean(axis=2), weights, f"{name}.se_fc1"))
            y = y * sigmoid(connect(squeezed, weights, f"{name}.se_fc2"))[..., None]
            missing = width - x.shape[1]
            x = y + np.pad(shortcut, ((0, 0), (missing // 2, missing - missing // 2), (0, 0)))
            stages[place] = x
    stages["features"] = x.mean(axis=2)
    return stages | {"logits": connect(stages["features"], weights, "dense")}


def capture(network: models.Network, variables: Arrays, signal: np.ndarray) -> Arrays:
    """Every stage of the network under the names of `compute` and of the published numbers."""
    found = torch_layers.capture(network, variables, signal)
    stages = {"stem_conv": found["trunk/stem"], "stem": swish(found["trunk/stem"])}
    x = stages["stem"]
    for stage, count in enumerate(network.trunk.blocks):
        for block in range(count):
            path, name = f"trunk/stage{stage + 1}_block{block + 1}", f"stage{stage}.block{block}"
            stages |= {f"{name}.{conv}": found[f"{path}/{conv}"] for conv in ("conv1", "conv2", "conv3")}
            squeezed = found[f"{path}/squeeze"]
            stages |= {f"{name}.se_fc1": squeezed, f"{name}.se_activation": swish(squeezed)}
            stages |= {f"{name}.se_fc2": found[f"{path}/excite"], name: found[path]}
            if block == 0:
                stages[f"{name}.max_pool"] = np.swapaxes(pool_pairs(jnp.asarray(np.swapaxes(x, 1, 2))), 1, 2)
            x = found[path]
    logits = found["logits"]
    return stages | {"features": x.mean(axis=2), "logits": logits, "probabilities": sigmoid(logits)}


@pytest.fixture(scope="module")
def tensors() -> Arrays:
    return create_tensors()


@pytest.fixture(scope="module")
def signal() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(2, LEADS, SAMPLES))


def test_every_stage_is_that_of_plain_numpy_at_odd_lengths(tensors, signal):
    """61 samples leave 31, 16, 8 and 4."""
    network, variables = ecgfounder.load(tensors, "file")
    torch_layers.compare(capture(network, variables, signal), compute(tensors, signal))


def test_pairs_are_pooled_with_a_zero_after_an_odd_number():
    x = jnp.asarray([-1.0, -3, -2, -4, -5]).reshape(1, 5, 1)
    np.testing.assert_array_equal(pool_pairs(x)[0, :, 0], [-1, -2, 0])
    np.testing.assert_array_equal(pool_pairs(x[:, :4])[0, :, 0], [-1, -2])


def test_channels_are_added_on_both_sides_an_odd_one_after():
    np.testing.assert_array_equal(widen(jnp.asarray([[[1.0, 2]]]), 7)[0, 0], [0, 0, 1, 2, 0, 0, 0])


def test_sizes_follow_from_shapes_with_and_without_batchnorms(tensors):
    sizes = ecgfounder.find_sizes({name: array.shape for name, array in tensors.items()})
    trunk = {"stem_filters": STEM, "filters": WIDTHS, "blocks": BLOCKS, "kernel_size": TAPS, "group_width": GROUP}
    assert sizes.trunk == trunk
    assert (sizes.num_labels, sizes.shape) == (LABELS, (5000, LEADS))
    used = {name: array for name, array in tensors.items() if "bn" not in name}
    (network, variables), (other, same) = (ecgfounder.load(found, "file") for found in (tensors, used))
    assert network == other
    assert variables.keys() == same.keys()
    assert all(np.array_equal(variables[path], same[path]) for path in same)
    assert ecgfounder.find_sizes({"conv1.weight": (4, 2, 17)}) is None


@pytest.mark.parametrize(
    "change, message",
    [
        ({"dense.weight": None}, "x.pth: not ECGFounder's network: it has no dense.weight"),
        ({"first_conv.conv.weight": np.ones((4, 2))}, r"first_conv.conv.weight is \[4, 2\], not of 3 dimensions"),
        ({"dense.bias": None}, r"x.pth: tensors do not form the network; missing \(1\): dense.bias\. Give"),
        ({"extra": np.ones(1)}, r"left over \(1\): extra"),
        ({"stage_list.1.block_list.0.se_fc1.weight": np.ones(3)}, r"se_fc1.weight \[3\], not of 2 dimension"),
        (
            {"stage_list.1.block_list.0.se_fc1.weight": np.ones((5, 9))},
            r"of another shape \(1\): stage_list.1.block_list.0.se_fc1.weight \[5, 9\], expected \[4, 9\]",
        ),
        ({"stage_list.0.block_list.0.conv2.conv.weight": np.ones((4, 3, 16))}, "multiples of group_width 3"),
    ],
)
def test_another_networks_file_is_refused_in_one_line(tensors, change, message):
    weights = {name: array for name, array in (tensors | change).items() if array is not None}
    with pytest.raises(InputError, match=message) as caught:
        ecgfounder.load(weights, "x.pth")
    assert "\n" not in str(caught.value)


def test_widths_that_no_group_or_shortcut_fits_are_refused():
    for attributes in ({"filters": (64, 100), "blocks": (1, 1)}, {"filters": (64, 32), "blocks": (1, 1)}):
        with pytest.raises(InputError, match="must not become fewer and must be multiples of group_width 16"):
            Net1d(**attributes)


@pytest.mark.parametrize("leads, count", [(12, 30_752_646), (1, 30_741_382)])
def test_the_published_sizes_have_the_published_number_of_parameters(leads, count):
    """The published 30,819,014 and 30,807,750 without the BatchNorms' 66,368."""
    network = models.create("ecgfounder", head="dense", num_labels=150)
    assert models.count_weights(models.shapes(network, (5000, leads))) == count


@pytest.mark.parametrize("folder, leads", [("ecgfounder", 12), ("ecgfounder_1lead", 1)])
def test_the_published_file_has_the_tensors_of_the_table(shared, folder, leads):
    manifest = json.loads((shared / "reference" / "torch_fixtures" / folder / "manifest.json").read_text())
    shapes = torch_layers.list_full_size(manifest)
    network, variables = ecgfounder.load({name: np.zeros(shape, np.float32) for name, shape in shapes.items()}, "file")
    assert network == models.create("ecgfounder", head="dense", num_labels=150)
    own = weights_lib.flatten(models.shapes(network, (5000, leads)))
    assert {path: array.shape for path, array in variables.items()} == {path: leaf.shape for path, leaf in own.items()}
