"""xresnet1d101 and the import of its weights, against plain NumPy and the published code's own numbers."""

import json

import numpy as np
import pytest
import torch_layers
from torch_layers import Arrays, connect, convolve, pool

from ecg_jax import models
from ecg_jax.errors import InputError
from ecg_jax.models.imports import xresnet1d101

LEADS, STEM, INNER, OUTER, BLOCKS, HEAD, LABELS = 2, (3, 4, 6), 2, 8, (2, 1, 1), 5, 3
SAMPLES = 33  # 17 and 9 after the stem, 5 and 3 after the stages: every pooled length is odd


def list_conv(name: str, outputs: int, inputs: int, taps: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.0.weight": (outputs, inputs, taps)} | torch_layers.list_norm(f"{name}.1", outputs)


def create_tensors() -> Arrays:
    """A file's tensors, without the second names."""
    shapes = {}
    for i, (outputs, inputs) in enumerate(zip(STEM, (LEADS, *STEM), strict=False)):
        shapes |= list_conv(f"{i}", outputs, inputs, 5)
    shapes |= list_conv("4.0.idpath.0", OUTER, STEM[-1], 1)
    width = STEM[-1]
    for stage, blocks in enumerate(BLOCKS):
        for block in range(blocks):
            name = f"{4 + stage}.{block}.convs"
            shapes |= list_conv(f"{name}.0", INNER, width, 1) | list_conv(f"{name}.1", INNER, INNER, 5)
            shapes |= list_conv(f"{name}.2", OUTER, INNER, 1)
            width = OUTER
    for number, (outputs, inputs) in {4: (HEAD, 2 * OUTER), 8: (LABELS, HEAD)}.items():
        shapes |= torch_layers.list_norm(f"7.{number - 2}", inputs)
        shapes |= {f"7.{number}.weight": (outputs, inputs), f"7.{number}.bias": (outputs,)}
    return torch_layers.draw_tensors(shapes)


def copy(tensors: Arrays) -> Arrays:
    """The second names of a block's convolutions."""
    return {name.replace(".convs.", ".convpath.0."): array for name, array in tensors.items() if ".convs." in name}


def relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0)


def normalize(x: np.ndarray, weights: Arrays, name: str) -> np.ndarray:
    return torch_layers.normalize(x[..., None], weights, name)[..., 0]


def convolve_and_normalize(x: np.ndarray, weights: Arrays, name: str, stride: int = 1) -> np.ndarray:
    half = weights[f"{name}.0.weight"].shape[2] // 2
    return torch_layers.normalize(convolve(x, weights, f"{name}.0", stride, (half, half)), weights, f"{name}.1")


def average_pairs(x: np.ndarray) -> np.ndarray:
    """An odd sample at the end is its own mean."""
    return np.stack([x[..., i : i + 2].mean(axis=-1) for i in range(0, x.shape[-1], 2)], axis=-1)


def pool_stem(x: np.ndarray) -> np.ndarray:
    return pool(np.pad(x, ((0, 0), (0, 0), (1, 1)), constant_values=-np.inf), 3, 2)


def compute(weights: Arrays, signal: np.ndarray, average=average_pairs, order=(0, 1)) -> Arrays:
    """Every stage of the network, float64, channels first."""
    stages, x = {}, signal
    for i in range(3):
        x = stages[f"stem{i}"] = relu(convolve_and_normalize(x, weights, f"{i}", 2 if i == 0 else 1))
    x = stages["maxpool"] = pool_stem(x)
    for stage, blocks in enumerate(BLOCKS):
        for block in range(blocks):
            name, place = f"{4 + stage}.{block}", f"layer{stage}.block{block}"
            stride = 2 if stage and not block else 1
            y = stages[f"{place}.convs.0"] = relu(convolve_and_normalize(x, weights, f"{name}.convs.0"))
            y = stages[f"{place}.convs.1"] = relu(convolve_and_normalize(y, weights, f"{name}.convs.1", stride))
            y = stages[f"{place}.convs.2"] = convolve_and_normalize(y, weights, f"{name}.convs.2")
            x = average(x) if stride == 2 else x
            if name == "4.0":
                x = stages[f"{place}.idpath"] = convolve_and_normalize(x, weights, f"{name}.idpath.0")
            x = stages[place] = relu(y + x)
        stages[f"layer{stage}"] = x
    pooled = (x.max(axis=2), x.mean(axis=2))
    x = stages["head1"] = np.concatenate([pooled[i] for i in order], axis=1)
    x = stages["head2"] = normalize(x, weights, "7.2")
    x = stages["head4"] = connect(x, weights, "7.4")
    x = stages["head6"] = normalize(relu(x), weights, "7.6")
    return stages | {"logits": connect(x, weights, "7.8")}


def capture(network: models.Network, variables: Arrays, signal: np.ndarray) -> Arrays:
    """Every stage of the network under the names of `compute` and of the published numbers."""
    found = torch_layers.capture(network, variables, signal)
    stages = {f"stem{i}": relu(found[f"trunk/stem{i + 1}"]) for i in range(3)}
    x = stages["maxpool"] = pool_stem(stages["stem2"])
    for stage, blocks in enumerate(network.trunk.stages):
        for block in range(blocks):
            path, place = f"trunk/stage{stage + 1}_block{block + 1}", f"layer{stage}.block{block}"
            stages |= {f"{place}.convs.{i}": relu(found[f"{path}/conv{i + 1}"]) for i in range(2)}
            stages[f"{place}.convs.2"] = found[f"{path}/conv3"]
            shortcut = average_pairs(x) if stage and not block else x
            stages[f"{place}.idpath"] = found.get(f"{path}/shortcut", shortcut)
            x = stages[place] = found[path]
        stages[f"layer{stage}"] = x
    stages["head1"] = np.concatenate([x.max(axis=2), x.mean(axis=2)], axis=1)
    stages |= {"head2": found["head/dense1_norm"], "head4": found["head/dense1"], "head5": relu(found["head/dense1"])}
    return stages | {"head6": found["head/output_norm"], "head8": found["logits"], "logits": found["logits"]}


@pytest.fixture(scope="module")
def tensors() -> Arrays:
    return create_tensors()


@pytest.fixture(scope="module")
def signal() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(2, LEADS, SAMPLES))


def test_every_stage_is_that_of_plain_numpy_at_odd_lengths(tensors, signal):
    network, variables = xresnet1d101.load(tensors | copy(tensors), "file")
    torch_layers.compare(capture(network, variables, signal), compute(tensors, signal))


def test_wrong_readings_would_be_seen(tensors, signal):
    """The odd sample averaged with a zero, and the mean before the largest value, in the logits of `compute`."""

    def halve(x: np.ndarray) -> np.ndarray:
        return average_pairs(np.pad(x, ((0, 0), (0, 0), (0, x.shape[-1] % 2))))

    right = compute(tensors, signal)["logits"]
    for wrong in (compute(tensors, signal, average=halve), compute(tensors, signal, order=(1, 0))):
        assert np.abs(wrong["logits"] - right).max() > 1e-3 * np.abs(right).max()


def test_sizes_follow_from_shapes(tensors):
    sizes = xresnet1d101.find_sizes({name: array.shape for name, array in tensors.items()})
    blocks = {"stages": BLOCKS, "stem_filters": STEM, "filters": INNER, "expansion": OUTER // INNER, "kernel_size": 5}
    assert sizes.trunk == blocks
    assert (sizes.num_labels, sizes.shape, sizes.head) == (LABELS, (250, LEADS), {"dense_widths": (HEAD,)})
    assert xresnet1d101.find_sizes({"conv1.weight": (4, 2, 17)}) is None


def test_either_name_of_a_convolution_is_enough(tensors):
    both = xresnet1d101.load(tensors | copy(tensors), "file")[1]
    others = {name: array for name, array in tensors.items() if ".convs." not in name} | copy(tensors)
    for one in (tensors, others):
        found = xresnet1d101.load(one, "file")[1]
        assert found.keys() == both.keys()
        assert all(np.array_equal(found[path], both[path]) for path in both)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"2.0.weight": None}, "x.pth: not an xresnet1d with bottlenecks: it has no 2.0.weight"),
        ({"7.4.weight": None}, "it has no 7.4.weight"),
        ({"1.0.weight": np.ones((4, 3))}, r"1.0.weight is \[4, 3\], not of 3 dimensions"),
        ({"0.0.weight": np.ones((3, 2, 4))}, "0.0.weight has 4 taps, not an odd number"),
        ({"4.0.convs.2.0.weight": np.ones((7, 2, 1))}, "7 channels, not a multiple of the 2 inside"),
        ({"7.8.bias": None}, r"x.pth: tensors do not form the network; missing \(1\): 7.8.bias\. Give"),
        ({"6.0.idpath.0.0.weight": np.ones((8, 8, 1))}, r"left over \(1\): 6.0.idpath.0.0.weight"),
        ({"5.0.convs.1.0.weight": np.ones((2, 2, 3))}, r"5.0.convs.1.0.weight \[2, 2, 3\], expected \[2, 2, 5\]"),
        (
            {"4.1.convpath.0.1.1.running_var": np.ones(2)},
            "running_var differs from its copy, 4.1.convs.1.1.running_var",
        ),
    ],
)
def test_another_networks_file_is_refused_in_one_line(tensors, change, message):
    weights = {name: array for name, array in (tensors | change).items() if array is not None}
    with pytest.raises(InputError, match=message) as caught:
        xresnet1d101.load(weights, "x.pth")
    assert "\n" not in str(caught.value)


def test_the_published_sizes_have_the_published_number_of_parameters():
    network = models.create("xresnet1d101", head="dense", num_labels=71)
    assert models.count_weights(models.shapes(network, (250, 12))["params"]) == 1_880_775


def test_the_published_file_has_the_tensors_of_the_table(shared):
    manifest = json.loads((shared / "reference/torch_fixtures/xresnet1d101/manifest.json").read_text())
    shapes = torch_layers.list_full_size(manifest)
    assert len(shapes) == 1226
    network, _ = xresnet1d101.load({name: np.zeros(shape, np.float32) for name, shape in shapes.items()}, "file")
    assert network == models.create("xresnet1d101", head="dense", num_labels=71)
