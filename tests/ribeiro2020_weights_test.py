"""The study of what the published weights take, run as a user runs it, on networks whose truth is planted."""

import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from keras_import_test import SAMPLES, compute, create_layers, write

from ecg_jax.labels import SIX
from ecg_jax.recording import LEADS, LIMB_LEADS

SCRIPT = Path(__file__).parents[1] / "experiments" / "ribeiro2020_weights.py"
COUNT = 70  # more than what is screened
RANGE = 5.15  # standard deviations between the 0.5th and the 99.5th percentile of noise
OTHER = ("I", "II", "III", "aVL", "aVF", "aVR", *LEADS[6:])
MIMIC = ("I", "II", "III", "aVR", "aVF", "aVL", *LEADS[6:])


@pytest.fixture(scope="module")
def millivolts() -> np.ndarray:
    """Noise of an ECG's size that obeys Einthoven and Goldberger, in the order of LEADS, zero-padded."""
    signal = np.random.default_rng(3).normal(0, 1.02 / RANGE, (COUNT, SAMPLES, 12)).astype(np.float32)
    signal[:, :, :6] = signal[:, :, :2] @ np.array([LIMB_LEADS[lead] for lead in LEADS[:6]], np.float32).T
    signal[:, :50] = signal[:, -60:] = 0
    return signal


@pytest.fixture(scope="module")
def layers() -> list[dict]:
    return create_layers()


def arrange(millivolts: np.ndarray, leads: tuple[str, ...], units: float) -> np.ndarray:
    return millivolts[:, :, [LEADS.index(lead) for lead in leads]] * np.float32(units)


def predict(layers: list[dict], signal: np.ndarray) -> np.ndarray:
    return compute(layers, signal)[layers[-1]["name"]].astype(np.float32)


def write_files(folder: Path, layers: list[dict], tracings: np.ndarray, predictions: np.ndarray) -> list[str]:
    """Writes what a user has downloaded and returns the flags that name it."""
    model = write(folder / "model", layers, "keras2")
    with h5py.File(folder / "ecg_tracings.hdf5", "w") as file:
        file["tracings"] = tracings
    np.save(folder / "model.npy", predictions)
    named = {"tracings": "ecg_tracings.hdf5", "predictions": "model.npy", "output": "out"}
    return [f"--model={model}", *(f"--{flag}={folder / name}" for flag, name in named.items())]


def call(*arguments: str):
    return subprocess.run([sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, timeout=300)


def read_table(folder: Path) -> pd.DataFrame:
    assert os.listdir(folder / "out") == ["hypotheses.csv"]
    return pd.read_csv(folder / "out" / "hypotheses.csv")


@pytest.mark.parametrize(
    ("stored", "units", "expected", "wanted", "columns"),
    [
        (LEADS, 2.0, LEADS, 2.0, "1 2 3 4 5 6 7 8 9 10 11 12"),
        (OTHER, 1.0, LEADS, 2.0, "1 2 3 6 4 5 7 8 9 10 11 12"),
        (LEADS, 0.001, MIMIC, 1.0, "1 2 3 4 6 5 7 8 9 10 11 12"),
    ],
)
@pytest.mark.slow
def test_the_planted_unit_and_order_are_found(
    stored, units, expected, wanted, columns, tmp_path, millivolts, layers
):  # the file is in `stored` and `units`, the network takes `expected` and `wanted`
    predictions = predict(layers, arrange(millivolts, expected, wanted))
    done = call(*write_files(tmp_path, layers, arrange(millivolts, stored, units), predictions))
    assert done.returncode == 0, done.stderr
    assert f"In the file: leads {','.join(stored)}, by Einthoven and Goldberger in 70 of 70" in done.stdout
    assert "Conclusion: only this reproduces the predictions" in done.stdout
    assert f"--leads={','.join(expected)} --units_per_millivolt={wanted:g}\n" in done.stdout
    table = read_table(tmp_path)
    assert len(table) == 42
    assert table.reproduces.tolist() == [1] + [0] * 41
    found = table.iloc[0]
    assert found.factor == pytest.approx(wanted / units)
    assert (found["columns"], found.leads, found.recordings) == (columns, ",".join(expected), COUNT)
    assert found.largest_difference < 1e-5
    assert set(table.recordings[1:]) == {64}


@pytest.mark.slow
def test_predictions_of_another_network_are_reproduced_by_none_and_noise_has_no_order(tmp_path, layers):
    rng = np.random.default_rng(5)
    tracings = rng.normal(0, 0.4, (40, SAMPLES, 12))
    done = call(*write_files(tmp_path, layers, tracings, rng.random((40, 6))))
    assert done.returncode == 0, done.stderr
    assert "leads in no order that most recordings agree on" in done.stdout
    assert "Conclusion: none of 42 hypotheses reproduces the predictions; the nearest (" in done.stdout
    assert "Flags of predict: none follow" in done.stdout
    table = read_table(tmp_path)
    assert not table.reproduces.any()
    assert table.leads.isna().all()


@pytest.mark.slow
def test_a_network_that_is_blind_to_the_order_leaves_it_open_and_the_gold_standard_scores_all(tmp_path, millivolts):
    blind = create_layers()
    blind[1]["arrays"]["kernel"][:, 3:6] = 0
    predictions = predict(blind, millivolts)
    truth = predictions > np.quantile(predictions, 0.9, axis=0)
    pd.DataFrame(truth.astype(int), columns=SIX).to_csv(tmp_path / "gold_standard.csv", index=False)
    done = call(*write_files(tmp_path, blind, millivolts, predictions), f"--annotations={tmp_path}")
    assert done.returncode == 0, done.stderr
    assert "Conclusion: 6 hypotheses reproduce the predictions, and nothing tells which" in done.stdout
    assert "Flags of predict: none follow" in done.stdout
    assert "Gold standard: best is values" in done.stdout
    table = read_table(tmp_path)
    assert table.factor[table.reproduces == 1].tolist() == [1] * 6
    assert set(table.recordings) == {COUNT}
    assert table.micro_average_precision.between(0, 1).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("tracings missing", "no-such.hdf5: no such HDF5 file"),
        ("tracings renamed", "expected `tracings` of shape [N, samples, 12], found keys signal"),
        ("tracings not finite", "NaN or infinity among the 3 tracings"),
        ("predictions short", "shape (2, 6); expected [3, 6], one row per tracing"),
        ("predictions missing", "no-such.hdf5: no such file"),
        ("predictions narrow", "shape (3, 5); expected [3, 6]"),
        ("predictions logits", "float32 values that are no probabilities"),
        pytest.param("model other", "the network has 1 output(s); expected 6", marks=pytest.mark.slow),
        ("output a file", "not a folder that can be written"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(change, message, tmp_path, layers):
    tracings, predictions = np.ones((3, SAMPLES, 12), np.float32), np.full((3, 6), 0.5, np.float32)
    if change == "tracings not finite":
        tracings[1, 2, 3] = np.nan
    changed = {"predictions short": predictions[:2], "predictions narrow": predictions[:, :5]}
    predictions = changed.get(change, predictions + 1 if change == "predictions logits" else predictions)
    flags = write_files(tmp_path, create_layers(1) if change == "model other" else layers, tracings, predictions)
    if change == "tracings renamed":
        with h5py.File(tmp_path / "ecg_tracings.hdf5", "a") as file:
            file.move("tracings", "signal")
    elif change == "output a file":
        (tmp_path / "out").write_text("mine")
    elif change.endswith("missing"):
        flags.append(f"--{change.split()[0]}={tmp_path / 'no-such.hdf5'}")
    before = sorted(path.name for path in tmp_path.iterdir())
    done = call(*flags)
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert message in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_help_teaches_where_to_download():
    done = call("--help")
    assert all(part in done.stdout for part in ("zenodo.3625017", "zenodo.3625006", "dnn_predicts/model.npy"))
