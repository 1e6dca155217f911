"""A run folder that was damaged, or made by another user or version, is used or refused in one line."""

import json
import os
import sys
import types

import jax
import numpy as np
import pytest

from ecg_jax import config as config_lib
from ecg_jax import models
from ecg_jax.contract import InputContract
from ecg_jax.errors import InputError
from ecg_jax.inference.model import load_model
from ecg_jax.runtime import checkpoint, run_folder

LABELS = ["AF", "ST"]
FILES = {
    "thresholds": dict.fromkeys(LABELS, 0.5),
    "calibration": {"method": "logistic", "labels": {name: {"slope": 1.0, "intercept": 0.0} for name in LABELS}},
    "split": {"recordings": {"train": []}},
    "result": {},
}


def write(folder):
    """Writes the folder of a small network but its checkpoint; returns the network's arrays and records."""
    config = config_lib.override(config_lib.create_default(), {"model.name": "narrow"})
    contract = InputContract(samples=256)
    network = models.create(**config.model, num_labels=len(LABELS))
    shapes = models.shapes(network, contract.shape)
    for name, values in ({"config": config_lib.to_dict(config)} | FILES).items():
        (folder / f"{name}.json").write_text(json.dumps(values))
    variables = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
    return variables, {"contract": contract.to_dict(), "labels": LABELS}


@pytest.fixture
def run(tmp_path, monkeypatch):
    """The folder of a small network, without its checkpoint's files."""
    variables, records = write(tmp_path)
    monkeypatch.setattr(checkpoint, "read_best", lambda folder: (1, variables, records, []))
    return tmp_path


def test_reads_that_a_failed_restore_abandons_print_nothing(monkeypatch):
    printed = []
    monkeypatch.setattr(sys, "unraisablehook", printed.append)
    checkpoint._ignore_abandoned_reads.__wrapped__()
    abandoned, other = (types.SimpleNamespace(exc_value=RuntimeError(text)) for text in ("Event loop is closed", "x"))
    for found in (abandoned, other):
        sys.unraisablehook(found)
    assert printed == [other]


def test_a_whole_folder_is_loaded(run):
    assert load_model(str(run)).label_names == ("AF", "ST")


@pytest.mark.parametrize(
    "name, text",
    [
        *((name, text) for name in ("config", *FILES) for text in ("[]", "[" * 60_000, '{"a": ')),
        ("config", '{"model": []}'),
        ("thresholds", '{"AF": NaN, "ST": 0.5}'),
        ("thresholds", '{"AF": "0.5", "ST": 0.5}'),
        ("thresholds", '{"VT": 0.5}'),
        ("calibration", '{"method": "logistic", "labels": {"AF": {"slope": 1, "intercept": 0}}}'),
        ("calibration", '{"method": "logistic", "labels": {"AF": 1, "ST": 2}}'),
        ("calibration", '{"labels": {}}'),
        ("split", '{"recordings": []}'),
        ("result", '{"thresholds_not_chosen": 1}'),
    ],
)
def test_a_damaged_file_is_one_line_that_names_the_folder(run, name, text):
    (run / f"{name}.json").write_text(text)
    with pytest.raises(InputError, match=os.path.basename(run)) as refused:
        load_model(str(run))
    assert "\n" not in str(refused.value)


def test_a_pipe_in_a_run_folder_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "config.json")
    with pytest.raises(InputError, match="no regular file"):
        run_folder.read_json(str(tmp_path / "config.json"))


def test_a_contract_of_any_size_is_refused():
    for values in ({"samples": 10**12}, {"sampling_rate": float("inf")}):
        with pytest.raises(InputError, match="at most 4194304 and 100000 Hz are supported"):
            InputContract(**values)


# Of another version: what CHANGELOG.md says under "Upgrading"


def change(folder, edit):
    """Edits `config.json` as if another version of ecg_jax had written it; returns the configuration of this one."""
    values = json.loads((folder / "config.json").read_text())
    config = config_lib.from_dict(values)
    edit(values)
    (folder / "config.json").write_text(json.dumps(values))
    return config


def test_a_key_that_did_not_exist_then_has_its_default(run):
    config = change(run, lambda values: (values.pop("augment"), values["train"].pop("nonfinite")))
    assert run_folder.check_config(str(run), config) == []
    assert load_model(str(run)).label_names == ("AF", "ST")
    config.train.nonfinite = "skip"  # which is not the default
    with pytest.raises(InputError, match="nonfinite: stop there, skip here"):
        run_folder.check_config(str(run), config)


def test_a_key_that_no_longer_exists_is_refused_by_name(run):
    config = change(run, lambda values: values["train"].update(gone=1))
    with pytest.raises(InputError, match=r"train\.gone: 1 there, \(none\) here"):
        run_folder.check_config(str(run), config)
    with pytest.raises(InputError, match=r"config\.train\.gone is unknown"):
        load_model(str(run))


@pytest.mark.parametrize("name", ["added", "bias"])
def test_a_state_with_other_arrays_is_refused_with_the_first_name_that_differs(tmp_path, name):
    checkpoints = checkpoint.Checkpoints(str(tmp_path))
    checkpoints.save(checkpoint.LAST, 1, {"trunk": {"bias": jax.numpy.zeros(2), "kernel": jax.numpy.zeros(3)}}, {})
    checkpoints.wait()
    arrays = {"kernel": jax.numpy.zeros(3)} | ({} if name == "bias" else {"bias": jax.numpy.zeros(2), name: 1})
    with pytest.raises(InputError, match=rf"trunk\.{name}.*continue with that version") as refused:
        checkpoints.restore_last({"trunk": arrays})
    assert "\n" not in str(refused.value)
