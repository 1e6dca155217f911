"""Several networks that take turns, run as a user runs them: killed, continued, pooled, one fold alone."""

import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import processes
import pytest
from cli_test import call, noise, write_wfdb
from distributed_test import finish, free_port, place, spawn
from rich.console import Console

from ecg_jax import config as config_lib
from ecg_jax.errors import InputError
from ecg_jax.evaluation import left_out
from ecg_jax.evaluation.left_out import LeftOut
from ecg_jax.inference.model import load_model
from ecg_jax.training import kfold

ROOT = Path(__file__).parents[1]
WORKER = Path(__file__).parent / "workers" / "killed.py"
FOLDS, RECORDINGS, PATIENTS = 3, 36, 18
TINY = [
    f"--config={ROOT / 'configs' / 'smoke.py'}",
    "--config.contract.samples=256",
    "--config.model.variant.units=1",
    "--config.train.batch_size=8",
    "--config.train.steps=6",
    "--config.train.eval_every=2",
    "--config.data.dataset=folder",
    "--config.data.labels=mine",
    f"--config.split.folds={FOLDS}",
]


@pytest.fixture(scope="module")
def clinic(tmp_path_factory) -> Path:
    """A table of records, two per patient; r1 and r17 hold the same signal, under different patients."""
    folder = tmp_path_factory.mktemp("clinic")
    for i in range(RECORDINGS):
        write_wfdb(folder, f"r{i}", noise(1 if i == 17 else i))
    numbers = np.arange(RECORDINGS)
    table = pd.DataFrame({"path": [f"r{i}" for i in numbers], "mine": numbers % 3 == 0})
    table["Subject ID"], table["site"] = [f"p{i // 2:02d}" for i in numbers], [*"ab"] * (RECORDINGS // 2)
    table.to_csv(folder / "clinic.csv", index=False)
    return folder / "clinic.csv"


@pytest.fixture(scope="module")
def continued(clinic, tmp_path_factory) -> Path:
    """A run that was killed in its second fold, and continued."""
    workdir = tmp_path_factory.mktemp("folds")
    flags = [*TINY, f"--config.data.source={clinic}", f"--workdir={workdir}"]
    # A fold predicts five times: after steps 2, 4 and 6, and at its end validation and test.
    killed = processes.run(WORKER, "validate:8", *flags)
    assert killed.returncode == -9, killed.stderr
    assert f"Checking {RECORDINGS} recordings" in killed.stdout
    assert (workdir / "fold1" / "result.json").exists()
    assert (workdir / "fold2" / "checkpoints").exists()
    assert not (workdir / "fold2" / "result.json").exists()
    done = call("main", *flags)
    assert done.returncode == 0, done.stderr
    (workdir / "stdout.txt").write_text(done.stdout)
    return workdir


@pytest.mark.slow
def test_a_killed_run_goes_on_in_the_fold_and_at_the_step_where_it_was(continued):
    said = (continued / "stdout.txt").read_text()
    assert f"Finished before: {continued / 'fold1'}" in said
    assert re.search("Continuing from step [24] of 6", said)
    assert "Checking" not in said  # the manifest has told what was the same
    assert "1 of them merged" in said
    assert f"Next: ecg-jax predict --model={continued / 'fold1'}" in said


@pytest.mark.slow
def test_every_recording_is_predicted_once_by_a_network_that_has_not_seen_its_patient(continued):
    pooled = pd.read_csv(continued / "predictions.csv").set_index("recording")
    assert [*pooled.columns] == ["fold", "patient_id", "site", "mine_true", "mine", "mine_raw", "quality"]
    assert all(pooled["patient_id"] == [f"p{int(name[1:]) // 2:02d}" for name in pooled.index])
    assert all(pooled["site"] == ["ab"[int(name[1:]) % 2] for name in pooled.index])
    assert sorted(pooled.index) == sorted(f"r{i}" for i in range(RECORDINGS))
    assert all(pooled["mine_true"] == [int(name[1:]) % 3 == 0 for name in pooled.index])
    for number in range(1, FOLDS + 1):
        recordings = json.loads((continued / f"fold{number}" / "split.json").read_text())["recordings"]
        assert sorted(recordings["test"]) == sorted(pooled.index[pooled["fold"] == number])
        sides = {int(name[1:]) // 2: side for side, names in recordings.items() for name in names}
        placed = {name: side for side, names in recordings.items() for name in names}
        assert sorted(placed) == sorted(pooled.index)
        assert all(sides[int(name[1:]) // 2] == side for name, side in placed.items())
        assert sides[0] == sides[8]  # who share a signal
        own = pd.read_csv(continued / f"fold{number}" / "predictions.csv").set_index("recording")
        tested = own[own["split"] == "test"]
        np.testing.assert_array_equal(pooled.loc[tested.index, "mine"], tested["mine"])


@pytest.mark.slow
def test_pooled_scores_take_each_folds_own_thresholds(continued):
    pooled = pd.read_csv(continued / "predictions.csv")
    thresholds = [json.loads((continued / f"fold{k}" / "thresholds.json").read_text())["mine"] for k in (1, 2, 3)]
    called = pooled["mine"] >= np.array(thresholds)[pooled["fold"] - 1]
    truth = pooled["mine_true"] == 1
    scores = pd.read_csv(continued / "evaluation" / "scores.csv")
    single = pd.read_csv(continued / "fold1" / "evaluation" / "scores.csv")
    assert [*scores.columns] == [*single.columns]
    row = scores.set_index("label").loc["mine"]
    assert (row["n"], row["positives"]) == (RECORDINGS, truth.sum())
    assert row["f1"] == pytest.approx(2 * (truth & called).sum() / (truth.sum() + called.sum()))
    assert row["threshold"] == pytest.approx(np.mean(thresholds))
    pairs = np.subtract.outer(pooled["mine"][truth].to_numpy(), pooled["mine"][~truth].to_numpy())
    assert row["auroc"] == pytest.approx(((pairs > 0) + 0.5 * (pairs == 0)).mean())


@pytest.mark.slow
def test_each_folds_scores_stand_beside_their_mean_and_deviation(continued):
    folds = pd.read_csv(continued / "evaluation" / "folds.csv").set_index(["fold", "label"])
    assert [*folds.index.get_level_values("fold").unique()] == ["1", "2", "3", "mean", "sd"]
    own = [pd.read_csv(continued / f"fold{k}" / "evaluation" / "scores.csv")["auroc"][0] for k in (1, 2, 3)]
    assert folds.loc[("mean", "mine"), "auroc"] == pytest.approx(np.mean(own))
    assert folds.loc[("sd", "mine"), "auroc"] == pytest.approx(np.std(own, ddof=1))
    result = json.loads((continued / "result.json").read_text())
    assert result["folds"] == FOLDS
    assert set(result["test"]) == {"auroc", "average_precision", "loss"}


@pytest.mark.slow
def test_one_fold_alone_is_that_fold_and_folds_from_several_jobs_are_pooled(continued, clinic, tmp_path):
    flags = [*TINY, f"--config.data.source={clinic}", "--config.split.fold=2", f"--workdir={tmp_path}"]
    done = call("main", *flags)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["fold2"]
    for name in ("predictions.csv", "thresholds.json", "split.json", "evaluation/scores.csv", "config.json"):
        assert (tmp_path / "fold2" / name).read_bytes() == (continued / "fold2" / name).read_bytes()
    for other in ("fold1", "fold3"):  # as if other jobs had made them
        shutil.copytree(continued / other, tmp_path / other)
    done = call("main", *(flag for flag in flags if "split.fold=" not in flag))
    assert done.stdout.count("Finished before") == FOLDS
    for name in ("predictions.csv", "evaluation/scores.csv", "evaluation/folds.csv", "result.json", "split.json"):
        assert (tmp_path / name).read_bytes() == (continued / name).read_bytes()
    assert (tmp_path / "evaluation" / "report.html").exists()


@pytest.mark.slow
def test_a_fold_says_of_a_recording_that_it_was_in_its_training_set(continued, clinic, tmp_path):
    model = continued / "fold1"
    recordings = json.loads((model / "split.json").read_text())["recordings"]
    assert load_model(str(model)).split["recordings"] == recordings
    seen, unseen = recordings["train"][0], recordings["test"][0]
    for name, copy in ((seen, "renamed"), (unseen, "new")):
        write_wfdb(tmp_path, copy, noise(1 if name == "r17" else int(name[1:])))
    done = call("predict", f"--model={model}", f"--output={tmp_path / 'out.csv'}", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "1 of 2 recordings was in the training set of this model" in done.stdout
    quality = pd.read_csv(tmp_path / "out.csv").fillna("").set_index("recording")["quality"]
    told = {Path(name).name: text for name, text in quality.items()}
    assert "was in the training set" in told["renamed"]
    assert "training set" not in told["new"]


@pytest.mark.slow
def test_the_folder_of_folds_is_no_model_but_names_one(continued):
    with pytest.raises(InputError, match=f"a run of 3 folds, each a model; pass {continued / 'fold1'}"):
        load_model(str(continued))


@pytest.mark.slow
def test_other_labels_or_settings_are_refused_before_anything_is_trained(continued, clinic):
    config = config_lib.from_dict(json.loads((continued / "config.json").read_text()))
    with pytest.raises(InputError, match=r"belongs to another configuration \(seed: 0 there, 1 here\)"):
        kfold.run(config_lib.override(config, {"seed": 1}), str(continued), Console(quiet=True))
    table = clinic.read_text()
    try:
        clinic.write_text(table.replace("r0,True", "r0,False"))
        with pytest.raises(InputError, match=r"the data is not the run's \(fingerprint: "):
            kfold.run(config, str(continued), Console(quiet=True))
    finally:
        clinic.write_text(table)


@pytest.mark.slow
def test_several_processes_train_the_folds_together(clinic, tmp_path):
    """Each fold waits for the one before; every recording is predicted once, and all of them end."""
    flags = [*TINY, f"--config.data.source={clinic}", f"--workdir={tmp_path / 'run'}"]
    flags += ["--config.train.steps=2", "--config.evaluation.report=false"]
    port = free_port()
    running = [spawn([sys.executable, "-m", "ecg_jax.main", *flags], place(port, 2, index)) for index in range(2)]
    ended = finish(running)
    assert [status for status, _, _ in ended] == [0, 0], ended
    pooled = pd.read_csv(tmp_path / "run" / "predictions.csv")
    assert sorted(pooled["recording"]) == sorted(f"r{i}" for i in range(RECORDINGS))
    assert sorted(pooled["fold"].unique()) == [1, 2, 3]
    for number in (1, 2, 3):
        kept = json.loads((tmp_path / "run" / f"fold{number}" / "split.json").read_text())["recordings"]
        assert sorted(kept["test"]) == sorted(pooled["recording"][pooled["fold"] == number])


def test_what_a_fold_left_out_keeps_its_reason(tmp_path):
    folders = [tmp_path / "fold1", tmp_path / "fold2"]
    for folder, rows in zip(folders, (["1", "2"], ["003"]), strict=True):
        (folder / "evaluation").mkdir(parents=True)
        table = pd.DataFrame({"recording": rows, "split": "test", "a": np.nan, "quality": ""})
        table["quality"] = table["quality"].where(table["recording"] != "1", "refused")
        table.to_csv(folder / "predictions.csv", index=False)
    left_out.write(str(folders[0] / "evaluation"), [LeftOut("1", "1.dat: a unit of 20 V", True, "test")])
    parts = [kfold._read_part(str(folders[i]), i + 1, np.array(names)) for i, names in enumerate((["1", "2"], ["003"]))]
    assert kfold._list_lost(pd.concat(parts), [*map(str, folders)]) == [
        ("1", "1.dat: a unit of 20 V", True, ""),
        ("2", "no finite number", True, ""),
        ("003", "no finite number", True, ""),
    ]
