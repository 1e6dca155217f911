"""The commands that train and use a network, one after the other, as a user goes through them."""

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd
import pytest
from cli_test import call, noise, write_wfdb

import ecg_jax

ROOT = Path(__file__).parents[1]
TINY = [
    f"--config={ROOT / 'configs' / 'smoke.py'}",
    "--config.contract.samples=256",
    "--config.model.variant.units=1",
    "--config.train.batch_size=8",
    "--config.train.steps=2",
    "--config.train.eval_every=1",
    "--config.evaluation.report=false",
]


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A run folder that `main` has left."""
    workdir = tmp_path_factory.mktemp("commands") / "run"
    done = call("main", *TINY, f"--workdir={workdir}")
    assert done.returncode == 0, done.stderr
    assert f"ecg-jax predict --model={workdir}" in done.stdout
    return workdir


def test_main_leaves_scores_of_the_predictions_that_it_wrote(run):
    assert json.loads((run / "result.json").read_text())["best_step"] in (1, 2)
    scores = pd.read_csv(run / "evaluation" / "scores.csv").set_index("label")
    predictions = pd.read_csv(run / "predictions.csv")
    truth = predictions.loc[predictions["split"] == "test", "AF_true"]
    assert (scores.loc["AF", "n"], scores.loc["AF", "positives"]) == (len(truth), truth.sum())


def test_predict_uses_the_run(run, tmp_path):
    write_wfdb(tmp_path, "ecg", noise())
    done = call("predict", f"--model={run}", f"--output={tmp_path / 'out.csv'}", tmp_path / "ecg")
    assert done.returncode == 0, done.stderr
    row = pd.read_csv(tmp_path / "out.csv").iloc[0]
    assert Path(row["recording"]).name == "ecg"
    assert 0 < row["AF"] < 1


def test_export_holds_the_run(run, tmp_path):
    flags = [f"--model={run}", "--sampling_rate=400", "--samples=256", f"--output={tmp_path / 'run.onnx'}"]
    done = call("export", *flags)
    assert done.returncode == 0, done.stderr
    write_wfdb(tmp_path, "ecg", noise()[:256])
    recording = ecg_jax.read(tmp_path / "ecg")
    session = onnxruntime.InferenceSession(tmp_path / "run.onnx")
    assert session.get_modelmeta().custom_metadata_map["card"] == Path(run).name
    [found] = session.run(["probability"], {"signal": recording.signal[None]})
    np.testing.assert_allclose(found, ecg_jax.load_model(str(run)).predict(recording), atol=1e-5)


def test_a_sweep_of_one_point_runs_and_ranks_it(run, tmp_path):
    (tmp_path / "space.py").write_text("def space():\n    return {'optimizer.learning_rate': [1e-3]}\n")
    flags = [f"--space={tmp_path / 'space.py'}", f"--workdir={tmp_path / 'sweep'}", "--seeds=1"]
    done = call("sweep", *TINY, "--config.evaluation.resamples=0", *flags)
    assert done.returncode == 0, done.stdout + done.stderr
    table = pd.read_csv(tmp_path / "sweep" / "results.csv")
    assert table[["rank", "runs"]].to_numpy().tolist() == [[1, 1]]
    assert np.isfinite(table.loc[0, "validation loss"])
