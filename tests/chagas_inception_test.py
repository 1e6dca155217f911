"""The inception network for Chagas disease and the import of its weights, against plain NumPy and published numbers."""

import json

import numpy as np
import pytest
import torch_layers
from scipy.special import erf
from torch_layers import Arrays, connect, convolve, normalize, pool

from ecg_jax import models
from ecg_jax.errors import InputError
from ecg_jax.models import weights as weights_lib
from ecg_jax.models.imports import chagas_inception

FILTERS, BOTTLENECK, TAPS, LEADS = 3, 2, (9, 19, 39), 2
NETWORK = "inception_network"


def create_tensors(depth: int = 6) -> Arrays:
    shapes: dict[str, tuple[int, ...]] = {}
    for i, inputs in ((0, LEADS), (3, FILTERS)):
        shapes |= {f"down_layers.{i}.weight": (FILTERS, inputs, 5), f"down_layers.{i}.bias": (FILTERS,)}
        shapes |= torch_layers.list_norm(f"down_layers.{i + 1}", FILTERS)
    width = FILTERS * (len(TAPS) + 1)
    for i in range(depth):
        name, inputs = f"{NETWORK}.blocks.{i}", width if i else FILTERS
        shapes[f"{name}.bottleneck.weight"] = (BOTTLENECK, inputs, 1)
        shapes |= {f"{name}.convs.{k}.weight": (FILTERS, BOTTLENECK, taps) for k, taps in enumerate(TAPS)}
        shapes[f"{name}.pool_conv.1.weight"] = (FILTERS, inputs, 1)
        shapes |= torch_layers.list_norm(f"{name}.batch_norm", width)
    for i in range(depth // 3):
        name = f"{NETWORK}.shortcuts.{i}"
        shapes[f"{name}.conv.weight"] = (width, width if i else FILTERS, 1)
        shapes |= torch_layers.list_norm(f"{name}.batch_norm", width)
    return torch_layers.draw_tensors(shapes | {f"{NETWORK}.fc.weight": (1, width)})


def gelu(x: np.ndarray) -> np.ndarray:
    return x * (1 + erf(x / np.sqrt(2))) / 2


def compute(weights: Arrays, signal: np.ndarray, depth: int = 6) -> Arrays:
    """Every stage of the network, float64, channels first; logits as its authors' network gives them."""
    x, stages = signal, {}
    for i in (0, 3):
        stages[f"down.{i}"] = convolve(x, weights, f"down_layers.{i}", 2)
        stages[f"down.{i + 1}"] = normalize(stages[f"down.{i}"], weights, f"down_layers.{i + 1}")
        x = stages[f"down.{i + 2}"] = gelu(stages[f"down.{i + 1}"])
    shortcut = x
    for i in range(depth):
        name, place = f"{NETWORK}.blocks.{i}", f"block{i}"
        narrow = stages[f"{place}.bottleneck"] = convolve(x, weights, f"{name}.bottleneck")
        parts = {
            f"{place}.convs.{k}": convolve(narrow, weights, f"{name}.convs.{k}", 1, (taps // 2, taps // 2))
            for k, taps in enumerate(TAPS)
        }
        pooled = pool(np.pad(x, ((0, 0), (0, 0), (1, 1)), constant_values=-np.inf), 3, 1)
        parts[f"{place}.pool_conv"] = convolve(pooled, weights, f"{name}.pool_conv.1")
        stages |= parts
        joined = np.concatenate(list(parts.values()), axis=1)
        stages[f"{place}.batch_norm"] = normalize(joined, weights, f"{name}.batch_norm")
        x = stages[place] = gelu(stages[f"{place}.batch_norm"])
        if i % 3 == 2:
            name = f"{NETWORK}.shortcuts.{i // 3}"
            added = normalize(convolve(shortcut, weights, f"{name}.conv"), weights, f"{name}.batch_norm")
            x = shortcut = stages[f"shortcut{i // 3}"] = gelu(added + x)
    pooled = stages["pooled"] = x.mean(axis=2, keepdims=True)
    return stages | {"logits": connect(pooled[..., 0], weights, f"{NETWORK}.fc")}


def capture(network: models.Network, variables: Arrays, signal: np.ndarray) -> Arrays:
    """Every stage of the network under the names of `compute` and of the published numbers."""
    found = torch_layers.capture(network, variables, signal)
    stages: Arrays = {}
    for place, path in ((0, "trunk/down1"), (3, "trunk/down2")):
        norm = found[f"{path}_norm"]
        stages |= {f"down.{place}": found[path], f"down.{place + 1}": norm, f"down.{place + 2}": gelu(norm)}
    depth = network.trunk.depth
    for i in range(depth):
        path, place = f"trunk/block{i + 1}", f"block{i}"
        stages |= {f"{place}.convs.{k}": found[f"{path}/conv{k + 1}"] for k in range(len(TAPS))}
        stages |= {f"{place}.bottleneck": found[f"{path}/bottleneck"], f"{place}.pool_conv": found[f"{path}/pooled"]}
        stages |= {f"{place}.batch_norm": found[f"{path}/norm"], place: found[path]}
        if i % 3 == 2:
            stages[f"shortcut{i // 3}"] = gelu(found[path] + found[f"trunk/shortcut{i // 3 + 1}_norm"])
    pooled = stages[f"shortcut{depth // 3 - 1}"].mean(axis=2, keepdims=True)
    return stages | {"pooled": pooled, "logits": found["logits"] - np.float32(0.8)}


@pytest.fixture(scope="module")
def tensors() -> Arrays:
    return create_tensors()


@pytest.mark.parametrize("samples", [61, 64])
def test_every_stage_is_that_of_plain_numpy(tensors, samples):
    """61 samples leave 29 and 13; of 64, the last three have no part."""
    signal = np.random.default_rng(1).normal(size=(2, LEADS, samples))
    network, variables = chagas_inception.load(tensors, "file")
    torch_layers.compare(capture(network, variables, signal), compute(tensors, signal))


def test_the_constant_added_before_the_sigmoid_is_the_bias_of_the_output(tensors):
    _, variables = chagas_inception.load(tensors, "file")
    np.testing.assert_array_equal(variables["params/head/output/bias"], np.float32([0.8]))
    assert "0.8" in chagas_inception.NOTES[0]


def test_sizes_follow_from_shapes(tensors):
    sizes = chagas_inception.find_sizes({name: array.shape for name, array in tensors.items()})
    trunk = {"depth": 6, "filters": FILTERS, "kernel_sizes": TAPS, "bottleneck": BOTTLENECK, "first_kernel_size": 5}
    assert sizes.trunk == trunk
    assert (sizes.num_labels, sizes.shape) == (1, (800, LEADS))
    assert chagas_inception.find_sizes({"conv1.weight": (4, 2, 17)}) is None


@pytest.mark.parametrize("prefix", ["", "_orig_mod."])
def test_five_networks_in_one_file_are_known_and_refused(tensors, prefix):
    weights = {f"models.{i}.{prefix}{name}": array for i in range(5) for name, array in tensors.items()}
    assert chagas_inception.find_sizes({name: array.shape for name, array in weights.items()}).shape == (800, LEADS)
    with pytest.raises(
        InputError, match=r"^ensemble.pth: holds 5 networks, one for each fold; give the file of one fold$"
    ):
        chagas_inception.load(weights, "ensemble.pth")


@pytest.mark.parametrize(
    "change, message",
    [
        ({f"{NETWORK}.fc.weight": None}, f"x.pt: not the Chagas inception network: it has no {NETWORK}.fc.weight"),
        ({f"{NETWORK}.blocks.0.convs.1.weight": np.ones((3, 2, 18))}, r"convs.1.weight is \[3, 2, 18\], not of an odd"),
        ({f"{NETWORK}.fc.bias": np.ones(1)}, rf"left over \(1\): {NETWORK}.fc.bias"),
        ({f"{NETWORK}.shortcuts.1.conv.weight": None}, rf"missing \(1\): {NETWORK}.shortcuts.1.conv.weight"),
        ({f"{NETWORK}.blocks.4.convs.0.weight": np.ones((3, 2, 7))}, r"\[3, 2, 7\], expected \[3, 2, 9\]"),
    ],
)
def test_another_networks_file_is_refused_in_one_line(tensors, change, message):
    weights = {name: array for name, array in (tensors | change).items() if array is not None}
    with pytest.raises(InputError, match=message) as caught:
        chagas_inception.load(weights, "x.pt")
    assert "\n" not in str(caught.value)


def test_a_signal_that_nothing_would_be_left_of_is_refused():
    network = models.create("chagas_inception", head="dense", num_labels=1)
    with pytest.raises(InputError, match=r"at least 13 samples .* contract.samples is 12"):
        models.shapes(network, (12, 8))
    models.shapes(network, (13, 8))


def test_the_published_sizes_have_the_published_number_of_parameters():
    """And one more: the output layer has a bias, which the published one lacks."""
    network = models.create("chagas_inception", head="dense", num_labels=1)
    assert models.count_weights(models.shapes(network, (800, 8))["params"]) == 483_904 + 1


def test_the_published_file_has_the_tensors_of_the_table(shared):
    manifest = json.loads((shared / "reference" / "torch_fixtures" / "chagas_inception" / "manifest.json").read_text())
    shapes = torch_layers.list_full_size(manifest)
    weights = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    network, variables = chagas_inception.load(weights, "file")
    assert network == models.create("chagas_inception", head="dense", num_labels=1)
    own = weights_lib.flatten(models.shapes(network, (800, 8)))
    assert {path: array.shape for path, array in variables.items()} == {path: leaf.shape for path, leaf in own.items()}
