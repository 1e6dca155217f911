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

from ecg_jax import load_model
from ecg_jax import weights as shipped
from ecg_jax.errors import InputError
from ecg_jax.labels import SIX

ROOT = Path(__file__).parents[1]


def test_they_bring_what_they_need_and_say_what_they_are():
    model = load_model()
    assert model.label_names == SIX
    assert (model.contract.normalization, model.contract.highpass, model.contract.lowpass) == ("zscore", 0.5, 40.0)
    assert set(model.thresholds) == set(SIX)
    assert model.calibration is not None
    assert set(model.calibration.maps) == set(SIX)
    assert model.notice in model.notes[0]
    probabilities = model.predict(np.zeros((1, *model.contract.shape), np.float32))
    assert probabilities.shape == (1, 6)
    assert (probabilities >= 0).all()
    assert (probabilities <= 1).all()


def test_the_card_begins_with_what_they_are_not_for_and_has_every_result():
    card = (Path(shipped.FOLDER) / "MODEL_CARD.md").read_text()
    assert card.splitlines()[0] == f"# {shipped.NOTICE}"
    assert "simulated ECGs only" in shipped.NOTICE
    assert "not for clinical use" in shipped.NOTICE
    found = shipped.read()
    assert {"ptbxl", "ludb", "challenge2021", "pooled"} == {row["set"] for row in found.results}
    for row in found.results:
        assert f"{row['auroc']:.3f} ({row['auroc_low']:.3f}-{row['auroc_high']:.3f})" in card
    assert found.provenance["command"] in card
    assert found.provenance["commit"] in card


def test_they_are_half_precision_and_small():
    path = Path(shipped.FOLDER) / "demonstration.npz"
    assert path.stat().st_size < 14e6
    with np.load(path) as stored:
        assert {stored[name].dtype for name in stored.files} == {np.dtype(np.float16)}


@pytest.mark.parametrize("name", ["demonstration.npz", "demonstration.json"])
def test_a_damaged_or_missing_file_is_refused(name, tmp_path):
    for each in ("demonstration.npz", "demonstration.json"):
        shutil.copy(os.path.join(shipped.FOLDER, each), tmp_path)
    shipped.read(str(tmp_path))
    content = bytearray((tmp_path / name).read_bytes())
    content[0] ^= 1
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=r"demonstration.*install the package anew"):
        shipped.read(str(tmp_path))
    (tmp_path / name).unlink()
    with pytest.raises(InputError, match=r"cannot be read.*install the package anew"):
        shipped.read(str(tmp_path))


def test_what_is_written_is_read_rounded_to_half_precision(tmp_path):
    arrays = {"params/a/kernel": np.linspace(-1, 1, 7, dtype=np.float32)}
    described = {
        key: value
        for key, value in vars(shipped.read()).items()
        if key != "arrays"
    }  # fmt: skip
    shipped.write(arrays, described, str(tmp_path))
    found = shipped.read(str(tmp_path))
    np.testing.assert_allclose(found.arrays["params/a/kernel"], arrays["params/a/kernel"], atol=3e-4)
    assert found.labels == described["labels"]


@pytest.mark.slow
def test_on_real_ecgs_of_other_hospitals_they_score_what_the_card_says(shared, tmp_path):
    flags = [f"--data={shared / 'data'}", "--report", f"--output={tmp_path}"]
    command = [sys.executable, ROOT / "experiments" / "zero_shot.py", *flags]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(tmp_path / "report.csv").set_index(["set", "label"])
    stated = pd.DataFrame(shipped.read().results).set_index(["set", "label"])
    np.testing.assert_allclose(table["auroc"], stated["auroc"][table.index], atol=5e-3)
    assert table["n"].equals(stated["n"][table.index])


def test_the_pool_has_a_recording_of_ptbxl_once_and_none_that_settings_were_chosen_on(shared, tmp_path):
    spec = importlib.util.spec_from_file_location("zero_shot", ROOT / "experiments" / "zero_shot.py")
    zero_shot = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(zero_shot)
    (tmp_path / "challenge2021").symlink_to(shared / "data" / "challenge2021")
    (tmp_path / "ptbxl1819_zscored").mkdir()
    table = pd.read_csv(shared / "data" / "ptbxl1819_zscored" / "labels_6class.csv")
    records = (shared / "data" / "challenge2021").rglob("HR*.hea")
    chosen_on = sorted(int(path.stem.removeprefix("HR")) for path in records)[0]
    table.loc[0, ["ecg_id", "split"]] = [chosen_on, "train"]
    table.to_csv(tmp_path / "ptbxl1819_zscored" / "labels_6class.csv", index=False)
    dataset, rows = zero_shot.open_whole("challenge2021", str(tmp_path))
    left_out = set(dataset.ids.tolist()) - set(dataset.ids[rows].tolist())
    assert left_out == {f"HR{chosen_on:05d}"}
    parts = {
        name: zero_shot.Predictions(np.array(ids), SIX, np.zeros((len(ids), 6)), np.full((len(ids), 6), value))
        for name, ids, value in (
            ("ptbxl", ["7", "9"], 0.1),
            ("ludb", ["7"], 0.2),
            ("challenge2021", ["HR00007", "A1"], 0.3),
        )
    }
    pooled = zero_shot.pool(parts)
    assert sorted(pooled.ids.tolist()) == ["7", "9", "A1", "ludb 7"]
    assert pooled.probabilities[pooled.ids.tolist().index("7"), 0] == 0.1
