"""PyTorch files of published networks, and what the published code computed with them, stage by stage."""

from pathlib import Path

import age_resnet_test
import chagas_inception_test
import net1d_test
import numpy as np
import pytest
import torch_layers
import xresnet1d101_test
from torch_layers import Arrays, sigmoid

from ecg_jax.models.imports import chagas_inception, ecg_age, ecgfounder, xresnet1d101
from ecg_jax.models.imports.torch_files import load_weights

FOLDERS = {
    "ecgfounder": (ecgfounder, net1d_test.capture, 3),
    "ecgfounder_1lead": (ecgfounder, net1d_test.capture, 3),
    "ecg_age": (ecg_age, age_resnet_test.capture, 2),
    "chagas_inception": (chagas_inception, chagas_inception_test.capture, 2),
    "xresnet1d101": (xresnet1d101, xresnet1d101_test.capture, 3),
}
KEYS = ("signal_400hz", "crop_starts", "crop_logits", "crop_probabilities", "probability")


@pytest.fixture(scope="module")
def fixtures(shared) -> Path:
    return shared / "reference" / "torch_fixtures"


def check_cases(network, variables: Arrays, capture, cases: dict[str, Arrays]) -> None:
    for case in cases.values():
        expected = dict(case)
        torch_layers.compare(capture(network, variables, expected.pop("input")), expected)


@pytest.mark.slow
@pytest.mark.parametrize("folder", FOLDERS)
def test_every_stage_is_that_of_the_published_code(fixtures, folder):
    module, capture, count = FOLDERS[folder]
    network, variables = module.load(load_weights(str(fixtures / folder / "weights_zip.pt")), folder)
    cases = torch_layers.read_cases(fixtures / folder / "io.npz")
    assert len(cases) == count
    check_cases(network, variables, capture, cases)


@pytest.mark.parametrize("folder", FOLDERS)
def test_both_containers_of_pytorch_give_the_same_network(fixtures, folder):
    module = FOLDERS[folder][0]
    files = (str(fixtures / folder / f"weights_{container}.pt") for container in ("zip", "legacy"))
    (network, variables), (other, same) = (module.load(load_weights(file), file) for file in files)
    assert network == other
    assert all(np.array_equal(variables[path], same[path]) for path in variables)


def create_crops(signal: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Crops `[N, leads, 800]` of `signal` `[leads, T]`, z-scored with the unbiased deviation."""
    crops = np.stack([signal[:, start : start + 800] for start in starts]).astype(np.float64)
    deviation = crops.std(axis=2, ddof=1, keepdims=True)
    return (crops - crops.mean(axis=2, keepdims=True)) / np.maximum(deviation, 1e-5)


@pytest.mark.slow
def test_trained_weights_give_the_probabilities_of_their_authors(fixtures):
    """Fold 0 of the Chagas networks on the crops of five recordings, and every stage of three of these."""
    folder = fixtures / "chagas_inception"
    network, variables = chagas_inception.load(load_weights(str(folder / "real_fold0.pt")), "real_fold0.pt")
    check_cases(network, variables, chagas_inception_test.capture, torch_layers.read_cases(folder / "real_io.npz"))
    with np.load(folder / "real_io.npz") as file:
        names = sorted({key.split("/")[1] for key in file.files if key.endswith("/crop_logits")})
        records = [{key: file[f"record/{name}/{key}"] for key in KEYS} for name in names]
    assert len(records) == 5
    crops = np.concatenate([create_crops(record["signal_400hz"], record["crop_starts"]) for record in records])
    logits = torch_layers.capture(network, variables, crops)["logits"][:, 0].reshape(5, 20)
    for record, own in zip(records, logits, strict=True):
        scale = np.abs(record["crop_logits"]).max()
        np.testing.assert_allclose(own - 0.8, record["crop_logits"].ravel(), rtol=0, atol=1e-5 * scale)
        np.testing.assert_allclose(sigmoid(own), record["crop_probabilities"].ravel(), rtol=0, atol=1e-5)
        np.testing.assert_allclose(sigmoid(own).mean(), record["probability"], rtol=0, atol=1e-5)
