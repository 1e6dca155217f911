"""A run goes on in its folder: longer, with data that moved, evaluated in another way; nothing else may change."""

import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from cli_test import noise, write_wfdb
from faults_test import fake_train_step
from ml_collections import ConfigDict
from resume_test import read_metrics, read_state
from rich.console import Console

from configs import smoke
from ecg_jax import config as config_lib
from ecg_jax.errors import InputError
from ecg_jax.runtime import locks, parallel, run_folder
from ecg_jax.training import loop, optimizers, progression, setup

EVERY = 4  # steps between evaluations


def tiny(**changes) -> ConfigDict:
    """The smoke configuration on even less; `changes` by dotted key, with `__` for the dot."""
    config = smoke.get_config()
    config.contract.samples = 64
    config.model.variant.units = 1
    config.data.simulated.update(train=16, validation=16, test=16)
    config.train.update(batch_size=8, eval_every=EVERY, steps=8, log_every=4)
    config.schedule.name = "constant"
    config.evaluation.update(report=False, resamples=0)
    return config_lib.override(config, {key.replace("__", "."): value for key, value in changes.items()})


def train(workdir: Path, **changes) -> str:
    """Runs, or continues; returns what it said."""
    said = io.StringIO()
    loop.train_and_evaluate(tiny(**changes), str(workdir), Console(file=said, width=500))
    return said.getvalue()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run of 12 steps that nothing interrupted."""
    workdir = tmp_path_factory.mktemp("whole")
    train(workdir, train__steps=12)
    return workdir


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    """One of 8 steps; tests go on with copies of it."""
    workdir = tmp_path_factory.mktemp("short")
    train(workdir, train__steps=8)
    return workdir


@pytest.mark.slow
def test_a_finished_run_goes_on_and_is_the_longer_run_bit_for_bit(tmp_path, whole, short):
    workdir = shutil.copytree(short, tmp_path / "run")
    said = train(workdir, train__steps=12)
    assert "Changed since the run began: train.steps: 8 there, 12 here" in said
    assert "Continuing from step 8 of 12" in said
    assert "Learning rate:" not in said
    assert_same_state(workdir, whole)
    assert read_metrics(workdir) == read_metrics(whole)
    for name in ("predictions.csv", "thresholds.json", "calibration.json", "result.json", "config.json"):
        assert (workdir / name).read_bytes() == (whole / name).read_bytes(), name


@pytest.mark.slow
def test_a_run_that_ended_between_two_evaluations_goes_on_as_if_it_had_not_been_evaluated_there(tmp_path, whole):
    train(tmp_path, train__steps=6)
    assert "Continuing from step 6 of 12" in train(tmp_path, train__steps=12)
    assert_same_state(tmp_path, whole)


def assert_same_state(workdir: Path, other: Path) -> None:
    (step, state), (expected_step, expected) = read_state(workdir), read_state(other)
    assert step == expected_step
    assert state.keys() == expected.keys()
    assert [path for path in state if state[path].tobytes() != expected[path].tobytes()] == []


@pytest.mark.slow
def test_another_evaluation_makes_no_step(tmp_path, short):
    workdir = shutil.copytree(short, tmp_path / "run")
    said = train(workdir, evaluation__calibration="none", data__threads=1)
    assert "Changed since the run began: data.threads: 0 there, 1 here" in said
    assert "Changed since the run began: evaluation.calibration: platt there, none here" in said
    assert "Compiling" not in said
    assert json.loads((workdir / "calibration.json").read_text())["method"] == "none"
    assert_same_state(workdir, short)


@pytest.mark.slow
def test_what_changes_no_result_leaves_it_finished_and_what_is_not_done_for_a_new_length_has_none(
    tmp_path, short, monkeypatch
):
    config, folder = tiny(), str(short)
    assert run_folder.is_finished(folder, config)
    for key in ("data.threads", "data.cache_gb", "runtime.stall_warning", "train.log_every", "checkpoint.every"):
        assert run_folder.is_finished(folder, config_lib.override(config, {key: 7})), key
    for key, value in {"evaluation.threshold_rule": "youden", "train.steps": 16, "early_stopping.patience": 1}.items():
        assert not run_folder.is_finished(folder, config_lib.override(config, {key: value})), key
    workdir = shutil.copytree(short, tmp_path / "run")
    with pytest.raises(InputError, match=r"has made 8 steps, more than the 4 of train\.steps or train\.epochs"):
        train(workdir, train__steps=0, train__epochs=2.0)  # of 2 steps each
    assert run_folder.is_finished(str(workdir), config)

    def stop(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "_train", stop)
    with pytest.raises(KeyboardInterrupt):
        train(workdir, train__steps=0, train__epochs=6.0)
    assert not any((workdir / f"{name}.json").exists() for name in ("result", "thresholds", "calibration"))
    assert not run_folder.is_finished(str(workdir), tiny(train__steps=0, train__epochs=6.0))


def test_a_schedule_that_depends_on_the_length_is_the_new_one_from_there_on_and_it_is_said():
    config, params = tiny(schedule__name="cosine"), {"kernel": np.ones(2, np.float32)}

    def create(total: int):
        schedule = setup.create_schedule(config, total)
        return optimizers.create("sgd", learning_rate=schedule, momentum=0.0, trainable={"kernel": True})

    short, state = create(4), create(4).init(params)
    for _ in range(4):
        _, state = short.update(params, state, params)
    step, _ = create(8).update(params, state, params)
    np.testing.assert_allclose(step["kernel"], -0.5e-3)  # half of a cosine is half of the peak
    said = io.StringIO()
    now = SimpleNamespace(config=config, total_steps=8)
    progression.report_schedule(now, 4, SimpleNamespace(opt_state=state), 4, Console(file=said, width=500))
    assert "from step 4 on as schedule.name=cosine has it for 8 steps (5.00e-04 now)" in said.getvalue()
    assert "followed that for 4 (0.00e+00 now)" in said.getvalue()


@pytest.mark.slow
def test_a_run_that_stopped_early_stays_so_until_its_patience_is_raised(tmp_path, monkeypatch):
    monkeypatch.setattr(parallel.Parallel, "compile_train", fake_train_step(set()))  # which improves nothing
    stops = {"early_stopping__patience": 1, "early_stopping__min_delta": 10.0}  # the first is best, the second is not
    assert "stopping early" in train(tmp_path, train__steps=20, **stops)
    assert read_state(tmp_path)[0] == 2 * EVERY
    said = train(tmp_path, train__steps=24, **stops)
    assert "no improvement in 1 evaluations. It makes no more steps" in said
    assert "config.early_stopping.patience=2 (or 0, for never) lets it go on" in said
    assert read_state(tmp_path)[0] == 2 * EVERY
    said = train(tmp_path, train__steps=24, **stops | {"early_stopping__patience": 2})
    assert "Continuing from step 8 of 24" in said
    assert read_state(tmp_path)[0] == 3 * EVERY


def test_every_key_that_may_change_is_one_and_all_others_are_refused():
    base = config_lib.to_dict(config_lib.create_default())
    allowed = config_lib.MAY_CHANGE
    assert "train.steps" in allowed
    for key in config_lib.KEYS:
        config = config_lib.override(config_lib.create_default(), {key: "changed"})
        changes = config_lib.compare(base, config_lib.to_dict(config))
        assert bool(changes.allowed) == (key in allowed), key
        assert bool(changes.refused) == (key not in allowed), key


def test_paths_are_absolute_and_a_relative_one_of_before_is_the_same(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = config_lib.create_default()
    config.data.update(dataset="combined", source="ptbxl:stores/a, code15:/b")
    config.data.code.labels_csv = "labels.csv"
    config.init.weights = "runs/first"
    values = config_lib.to_dict(config)
    made = config_lib.make_absolute(values)
    assert made["data"]["source"] == f"ptbxl:{tmp_path}/stores/a,code15:/b"
    assert made["data"]["code"]["labels_csv"] == f"{tmp_path}/labels.csv"
    assert made["init"]["weights"] == f"{tmp_path}/runs/first"
    named = config_lib.make_absolute({"init": {"weights": "ecgfounder:sub/F.pth"}})
    assert named["init"]["weights"] == f"ecgfounder:{tmp_path}/sub/F.pth"
    assert config_lib.make_absolute(named) == named
    changes = config_lib.compare(values, made)
    assert not changes.refused
    assert not changes.allowed
    for key, value in (("init.weights", "demonstration"), ("init.weights", ""), ("data.source", "gs://bucket/a")):
        one = config_lib.to_dict(config_lib.override(config_lib.create_default(), {key: value}))
        assert config_lib.make_absolute(one) == one


@pytest.fixture
def clinic(tmp_path) -> Path:
    """A table of records that can be moved."""
    folder = tmp_path / "clinic"
    for i in range(12):
        write_wfdb(folder, f"r{i}", noise(i))
    names = [f"r{i}" for i in range(12)]
    split = ["train"] * 6 + ["validation"] * 3 + ["test"] * 3
    pd.DataFrame({"path": names, "mine": [1, 0, 1] * 4, "split": split}).to_csv(folder / "clinic.csv", index=False)
    return folder


@pytest.mark.slow
def test_data_that_moved_is_known_by_its_fingerprint_and_other_data_is_refused(tmp_path, clinic, monkeypatch):
    monkeypatch.setattr(parallel.Parallel, "compile_train", fake_train_step(set()))
    monkeypatch.chdir(tmp_path)
    changes = {"data__dataset": "folder", "data__labels": "mine", "train__steps": 4}
    train(tmp_path / "run", data__source="clinic", **changes)
    assert json.loads((tmp_path / "run" / "config.json").read_text())["data"]["source"] == str(clinic)
    moved = clinic.rename(tmp_path / "moved")
    said = train(tmp_path / "run", data__source=str(moved), **changes | {"train__steps": 8})
    assert f"Changed since the run began: data.source: {clinic} there, {moved} here" in said
    assert "Continuing from step 4 of 8" in said
    write_wfdb(moved, "r0", noise(99))  # of the same name, not the same
    moved.rename(clinic)
    with pytest.raises(InputError, match=r"the data is not the run's \(fingerprint: "):
        train(tmp_path / "run", data__source=str(clinic), **changes | {"train__steps": 12})


def test_a_folder_is_kept_for_one_process_which_is_named(tmp_path):
    folder, quiet = str(tmp_path / "run"), Console(quiet=True)
    with locks.hold(folder, quiet):
        with pytest.raises(locks.InUse, match=rf"run: process {os.getpid()} on \S+ is writing to it"):
            locks.hold(folder, quiet).__enter__()
        assert os.listdir(folder) == [locks.NAME]
    assert not os.path.exists(folder)  # nothing was written to it
    (tmp_path / "run").mkdir()
    with locks.hold(folder, quiet):
        Path(folder, "result.json").touch()
    assert os.listdir(folder) == ["result.json"]


def test_a_process_that_is_killed_gives_its_folder_back(tmp_path):
    script = (
        "import sys, time; from rich.console import Console; from ecg_jax.runtime import locks\n"
        "with locks.hold(sys.argv[1], Console()): print('held', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout.readline() == "held\n"
        with pytest.raises(locks.InUse, match=f"process {owner.pid} on "):
            locks.hold(str(tmp_path), Console(quiet=True)).__enter__()
        owner.kill()
    with locks.hold(str(tmp_path), Console(quiet=True)):
        pass


def test_a_file_system_without_locks_is_said_and_the_run_goes_on(tmp_path, monkeypatch, capsys):
    def refuse(file, operation):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(locks.fcntl, "flock", refuse)
    with locks.hold(str(tmp_path), Console()):
        assert "has no locks: start no second run there" in " ".join(capsys.readouterr().out.split())


def test_a_second_run_in_the_folder_is_refused_before_anything_is_opened(tmp_path):
    with (
        locks.hold(str(tmp_path), Console(quiet=True)),
        pytest.raises(locks.InUse, match="wait until it ends, or pass another --workdir"),
    ):
        train(tmp_path, data__source="nowhere", data__dataset="ptbxl")
