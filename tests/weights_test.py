"""The weights that ship: whole, described, small, and of use on real ECGs."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ecg_jax import load_model, statements
from ecg_jax import pretrained as shipped
from ecg_jax.data.datasets.dataset import Dataset
from ecg_jax.errors import InputError
from ecg_jax.labels import SIX
from ecg_jax.simulation import criteria

ROOT = Path(__file__).parents[1]


NAMES = (shipped.SIMULATED, shipped.REAL)


@pytest.mark.parametrize("name", NAMES)
def test_they_bring_what_they_need_and_say_what_they_are(name):
    model = load_model(name)
    names = model.label_names
    assert names[:6] == SIX
    simulated = {statements.column_name(code) for code in criteria.NAMES} | set(statements.MEMBERS)
    assert simulated <= set(names) <= set(statements.LABELS)
    assert (model.contract.normalization, model.contract.highpass, model.contract.lowpass) == ("none", 0.5, 40.0)
    assert model.contract.takes_normalized
    assert set(model.thresholds) == set(names)
    assert model.calibration is not None
    assert set(model.calibration.maps) == set(names)
    assert model.notice in model.notes[0]
    probabilities = model.predict(np.zeros((1, *model.contract.shape), np.float32))
    assert probabilities.shape == (1, len(names))
    assert (probabilities >= 0).all()
    assert (probabilities <= 1).all()


def test_the_old_name_means_the_same_weights():
    assert load_model("demonstration").label_names == load_model("simulated").label_names
    both = (shipped.read(name).arrays.values() for name in ("demonstration", "simulated"))
    for kernel, same in zip(*both, strict=True):
        np.testing.assert_array_equal(kernel, same)


@pytest.mark.parametrize("name", NAMES)
def test_the_card_begins_with_what_they_are_not_for_and_has_every_result(name):
    card = (Path(shipped.FOLDER) / f"{name}.md").read_text()
    notice = shipped.NOTICES[name]
    assert card.splitlines()[0] == f"# {notice}"
    assert ("simulated ECGs only" in notice) == (name == shipped.SIMULATED)
    assert "not for clinical use" in notice
    found = shipped.read(name)
    assert {"PTB-XL", "PTB-XL, z-scored", "ludb", "challenge2021"} == {row["set"] for row in found.results}
    for row in found.results:
        assert f"{row['auroc']:.3f} ({row['auroc_low']:.3f}-{row['auroc_high']:.3f})" in card
    assert found.provenance["command"] in card
    assert found.provenance["commit"] in card


def test_they_are_half_precision_and_small():
    paths = [Path(shipped.FOLDER) / f"{name}.npz" for name in NAMES]
    assert sum(path.stat().st_size for path in paths) < 14e6
    for path in paths:
        with np.load(path) as stored:
            assert {stored[name].dtype for name in stored.files} == {np.dtype(np.float16)}


@pytest.mark.parametrize("name", ["simulated.npz", "simulated.json"])
def test_a_damaged_or_missing_file_is_refused(name, tmp_path):
    for each in ("simulated.npz", "simulated.json"):
        shutil.copy(os.path.join(shipped.FOLDER, each), tmp_path)
    shipped.read("simulated", str(tmp_path))
    content = bytearray((tmp_path / name).read_bytes())
    content[0] ^= 1
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=r"simulated.*reinstall the package"):
        shipped.read("simulated", str(tmp_path))
    (tmp_path / name).unlink()
    with pytest.raises(InputError, match=r"cannot be read.*reinstall the package"):
        shipped.read("simulated", str(tmp_path))


def test_what_is_written_is_read_rounded_to_half_precision(tmp_path):
    arrays = {"params/a/kernel": np.linspace(-1, 1, 7, dtype=np.float32)}
    described = {
        key: value
        for key, value in vars(shipped.read()).items()
        if key != "arrays"
    }  # fmt: skip
    shipped.write(arrays, described, folder=str(tmp_path))
    found = shipped.read(folder=str(tmp_path))
    np.testing.assert_allclose(found.arrays["params/a/kernel"], arrays["params/a/kernel"], atol=3e-4)
    assert found.labels == described["labels"]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_on_real_ecgs_of_other_hospitals_they_score_what_the_card_says(name, shared, tmp_path):
    flags = [f"--data={shared / 'data'}", "--report", f"--output={tmp_path}", f"--model={name}"]
    command = [sys.executable, ROOT / "experiments" / "zero_shot.py", *flags]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(tmp_path / "report.csv").set_index(["set", "label"])
    stated = pd.DataFrame(shipped.read(name).results).set_index(["set", "label"])
    assert set(table.index) == set(stated.index)
    np.testing.assert_allclose(table["auroc"], stated["auroc"][table.index], atol=5e-3)
    assert table["n"].equals(stated["n"][table.index])


@pytest.fixture(scope="module")
def zero_shot():
    spec = importlib.util.spec_from_file_location("zero_shot", ROOT / "experiments" / "zero_shot.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_no_recording_is_scored_that_ptbxl_has_in_another_fold(zero_shot):
    folds = {"7": 3, "9": 9, "21": 10}

    def choose(name, ids, fold):
        dataset = Dataset(name=name, ids=np.array(ids), columns={}, read=None)
        return zero_shot.choose_rows(name, dataset, folds, fold).tolist()

    assert choose("ptbxl", ["7", "9", "21"], 10) == [2]
    assert choose("ptbxl1819_zscored", ["21", "9"], 9) == [1]
    assert choose("challenge2021", ["HR00007", "HR00021", "A1", "HR12345"], 10) == [1, 2]  # 12345 is of no known fold
    assert choose("ludb", ["7", "9"], 10) == [0, 1]


def test_a_label_counts_with_ten_recordings_that_have_it_and_ten_that_have_not(zero_shot):
    labels = np.zeros((30, 3))
    labels[:10, 0] = 1
    labels[:9, 1] = 1
    labels[:21, 2] = 1
    names = np.arange(30).astype(str)
    found = zero_shot.Predictions(names, ("AF", "ST", "MI"), labels, np.full((30, 3), 0.5))
    assert zero_shot.select(found, ("AF", "ST", "MI")).names == ("AF",)
    assert zero_shot.select(found, ("ST",)) is None


def test_a_recording_of_two_sets_is_joined_once(zero_shot):
    parts = [
        zero_shot.Predictions(np.array(ids), SIX, np.zeros((len(ids), 6)), np.full((len(ids), 6), value))
        for ids, value in ((["7", "9"], 0.1), (["9", "8"], 0.2))
    ]
    joined = zero_shot.join(parts)
    assert joined.ids.tolist() == ["7", "9", "8"]
    assert joined.probabilities[:, 0].tolist() == [0.1, 0.1, 0.2]
