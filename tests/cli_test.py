"""The command lines, run as a user runs them."""

import csv
import functools
import io
import json
import math
import operator
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import processes
import pytest
import wfdb

from ecg_jax import cli
from ecg_jax.errors import InputError
from ecg_jax.recording import LEADS

ROOT = Path(__file__).parents[1]
TINY = [
    f"--config={ROOT / 'configs' / 'smoke.py'}",
    "--config.evaluation.report=false",
    "--config.contract.samples=1024",
    "--config.model.variant.units=1",
    "--config.train.batch_size=8",
    "--config.train.steps=4",
    "--config.train.eval_every=2",
]
COMMANDS = ("main", "predict", "explain", "embed", "export", "evaluate", "prepare", "sweep", "build_tfds")
COLUMNS = ["label", "n", "positives", "auroc", "average_precision", "f1", "threshold"]


def call(module: str, *arguments: object, cwd: Path | None = None):
    return processes.run("-m", f"ecg_jax.{module}", *arguments, cwd=cwd)


def call_alone(module: str, *arguments: object, cwd: Path | None = None, python: str = sys.executable):
    """In an interpreter that has imported nothing, as at a user's prompt."""
    command = [python, "-m", f"ecg_jax.{module}", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=os.environ, timeout=500)


def assert_one_line(done, *parts: str) -> None:
    """Bad input: exit status 1, one line on stderr, no traceback."""
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert all(part in done.stderr for part in parts), done.stderr


def write_wfdb(folder: Path, name: str, signal: np.ndarray, leads=LEADS, rate: float = 400) -> None:
    folder.mkdir(exist_ok=True, parents=True)
    count = len(leads)
    wfdb.wrsamp(
        name, fs=rate, units=["mV"] * count, sig_name=list(leads), p_signal=signal, fmt=["16"] * count,
        adc_gain=[1000.0] * count, baseline=[0] * count, write_dir=str(folder),
    )  # fmt: skip


def noise(seed: int = 0, samples: int = 1000) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.3, (samples, 12))


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory) -> Path:
    """A finished run."""
    workdir = tmp_path_factory.mktemp("run")
    done = call("main", *TINY, "--config.evaluation.report=true", f"--workdir={workdir}")
    assert done.returncode == 0, done.stderr
    (workdir / "stdout.txt").write_text(done.stdout)
    return workdir


@pytest.mark.slow
def test_a_run_says_what_it_does_and_leaves_its_folder(run_dir):
    said = (run_dir / "stdout.txt").read_text()
    for words in (
        "Device: ",
        "Data: simulated",
        "trainable",
        "frozen",
        "ECG/s",
        "left",
        "Next: ecg-jax predict",
    ):
        assert words in said
    names = ("config", "contract", "split", "environment", "thresholds", "calibration", "result")
    for name in names:
        assert json.loads((run_dir / f"{name}.json").read_text())
    for name in ("report.html", "scores.json", "scores.tex", "calibration.csv", "confusion.csv"):
        assert (run_dir / "evaluation" / name).stat().st_size > 100
    assert (run_dir / "evaluation" / "learning_curve.png").stat().st_size > 10_000
    assert list((run_dir / "tensorboard").glob("events.out.tfevents.*"))
    kinds = {json.loads(line)["kind"] for line in (run_dir / "metrics.jsonl").read_text().splitlines()}
    assert kinds == {"train", "validation"}


@pytest.mark.slow
def test_scores_are_those_of_the_predictions_at_the_thresholds(run_dir):
    scores = pd.read_csv(run_dir / "evaluation" / "scores.csv").set_index("label")
    assert [*scores.index] == ["1dAVb", "RBBB", "LBBB", "SB", "AF", "ST", "macro", "micro", "weighted"]
    assert set(COLUMNS) <= {"label", *scores.columns}
    predictions = pd.read_csv(run_dir / "predictions.csv")
    test = predictions[predictions["split"] == "test"]
    thresholds = json.loads((run_dir / "thresholds.json").read_text())
    for label, threshold in thresholds.items():
        truth, called = test[f"{label}_true"] == 1, test[label] >= threshold
        assert scores.loc[label, "positives"] == truth.sum()
        if truth.any():
            f1 = 2 * (truth & called).sum() / (truth.sum() + called.sum())
            assert scores.loc[label, "f1"] == pytest.approx(f1)
            pairs = np.subtract.outer(test[label][truth].to_numpy(), test[label][~truth].to_numpy())
            auroc = ((pairs > 0) + 0.5 * (pairs == 0)).mean()
            assert scores.loc[label, "auroc"] == pytest.approx(auroc)
    assert scores.loc["macro", "auroc"] == pytest.approx(scores["auroc"][[*thresholds]].mean())


@pytest.mark.slow
def test_predict_reads_records_folders_and_hdf5_and_lists_bad_files(run_dir, tmp_path):
    write_wfdb(tmp_path / "ecgs" / "deep", "good", noise())
    write_wfdb(tmp_path / "ecgs", "silent", np.zeros((1000, 12)))
    gap = noise(1)
    gap[100:110, 3] = np.nan
    write_wfdb(tmp_path / "ecgs", "gap", gap)
    write_wfdb(tmp_path / "ecgs", "limbless", noise()[:, 6:], LEADS[6:])
    write_wfdb(tmp_path / "ecgs", "cut", noise())
    os.truncate(tmp_path / "ecgs" / "cut.dat", 3000)
    with h5py.File(tmp_path / "exams.hdf5", "w") as file:
        file["tracings"] = np.stack([noise(2, 4096), noise(3, 4096)]).astype(np.float32)
        file["exam_id"] = [11, 12]
    output = tmp_path / "predictions.csv"
    done = call(
        "predict", f"--model={run_dir}", f"--output={output}", tmp_path / "ecgs", tmp_path / "exams.hdf5", "/nowhere"
    )
    assert done.returncode == 2, done.stderr
    rows = list(csv.DictReader(output.open()))
    assert [*rows[0]] == [
        "recording",
        *(n + s for s in ("", "_raw") for n in ("1dAVb", "RBBB", "LBBB", "SB", "AF", "ST")),
        "quality",
    ]
    found = {Path(row["recording"]).name: row for row in rows}
    assert set(found) == {"good", "silent", "gap", "limbless", "exams.hdf5:11", "exams.hdf5:12"}
    assert found["silent"]["AF"] == ""
    assert found["silent"]["quality"] == "no signal"
    assert found["gap"]["quality"].startswith("10 samples masked; ")
    assert "nan_span" in found["gap"]["quality"].split("; ")
    assert found["limbless"]["quality"].startswith("6 of 12 leads missing (I, II, III, aVR, aVL, aVF), zeros in their")
    assert all(0 < float(found[name]["AF"]) < 1 for name in ("good", "gap", "exams.hdf5:11"))
    for words in ("cut.hea", "/nowhere", "2 could not be read"):
        assert words in done.stdout


@pytest.mark.slow
def test_predict_agrees_with_what_the_run_predicted_for_the_same_ecg(run_dir, tmp_path):
    from ecg_jax.data.datasets import simulated

    config = json.loads((run_dir / "config.json").read_text())["data"]
    dataset = simulated.create(source="", labels=("AF",), seed=config["seed"], **config["simulated"])
    predictions = pd.read_csv(run_dir / "predictions.csv").set_index("recording")
    row = dataset.indices("test")[0]
    with h5py.File(tmp_path / "one.hdf5", "w") as file:
        signal = dataset.read(row).signal
        begin = (len(signal) - 1024) // 2  # a run takes the centre, prediction all
        file["tracings"] = signal[None, begin : begin + 1024] * 2
        file["tracings"].attrs.update(sampling_rate=400, unit="code")
    call("predict", f"--model={run_dir}", f"--output={tmp_path / 'out.csv'}", tmp_path / "one.hdf5")
    made = pd.read_csv(tmp_path / "out.csv").iloc[0]
    for column in ("AF", "AF_raw"):
        assert made[column] == pytest.approx(predictions.loc[dataset.ids[row], column], rel=1e-4)
    fitted = json.loads((run_dir / "calibration.json").read_text())
    line = fitted["labels"]["AF"]
    logit = np.log(made["AF_raw"] / (1 - made["AF_raw"]))
    assert fitted["method"] == "platt"
    assert made["AF"] == pytest.approx(1 / (1 + np.exp(-line["slope"] * logit - line["intercept"])), rel=1e-3)


@pytest.mark.slow
def test_predict_does_not_take_a_wrong_unit_or_order_silently(run_dir, tmp_path):
    from ecg_jax.data.datasets import simulated

    ecgs = simulated.create(source="", labels=("AF",), seed=3, train=2, validation=0, test=0)
    signal, other = ecgs.read(0).signal, ecgs.read(1).signal
    write_wfdb(tmp_path / "ecgs", "right", signal)
    write_wfdb(tmp_path / "ecgs", "swapped", other[:, [0, 1, 2, 3, 5, 4, *range(6, 12)]])  # aVF before aVL
    np.save(tmp_path / "ecgs" / "array.npy", signal * 1000)
    flags = [f"--model={run_dir}", "--file_leads=" + ",".join(LEADS), "--file_rate=400"]

    def predict(*more):
        done = call("predict", *flags, *more, f"--output={tmp_path / 'out.csv'}", tmp_path / "ecgs")
        table = pd.read_csv(tmp_path / "out.csv", keep_default_na=False).set_index("recording")
        table.index = [os.path.basename(name) for name in table.index]
        return done, table

    done, table = predict("--file_unit=uV")
    assert done.returncode == 2
    assert "contradict Einthoven's" in done.stdout
    assert sorted(table.index) == ["array.npy", "right"]
    assert table.loc["array.npy", "AF"] == pytest.approx(table.loc["right", "AF"], rel=0.01)
    done, table = predict("--file_unit=uV", "--checks=repair")
    assert done.returncode == 0
    assert "repaired" in table.loc["swapped", "quality"]
    done, table = predict("--file_unit=mV")
    assert done.returncode == 2
    assert list(table.index) == ["right"]
    assert "array.npy" in done.stdout
    done, table = predict("--file_unit=mV", "--checks=warn")
    assert done.returncode == 0
    assert "mV" in table.loc["array.npy", "quality"]


@pytest.mark.slow
def test_where_nothing_can_be_predicted_the_predictions_of_before_stay(run_dir, tmp_path):
    write_wfdb(tmp_path, "brain", noise()[:, 6:], ["Fp1", "Fp2", "C3", "C4", "O1", "O2"])
    output = tmp_path / "predictions.csv"
    output.write_text("of yesterday")
    named = [tmp_path / "brain", tmp_path / "brain.dat", f"{tmp_path}/./brain.hea", "/nowhere", "/nowhere"]
    done = call("predict", f"--model={run_dir}", f"--output={output}", *named)
    assert done.returncode == 1
    assert done.stdout.count("brain: ") == done.stdout.count("/nowhere: ") == 1
    assert "2 could not be read" in done.stdout
    assert "threshold" not in done.stdout
    assert output.read_text() == "of yesterday"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["brain.dat", "brain.hea", "predictions.csv"]


@pytest.mark.slow
def test_a_recording_named_twice_is_predicted_once(run_dir, tmp_path):
    write_wfdb(tmp_path, "ecg", noise())
    named = [tmp_path / "ecg", tmp_path, f"{tmp_path}/../{tmp_path.name}/ecg.hea"]
    done = call("predict", f"--model={run_dir}", f"--output={tmp_path / 'out.csv'}", *named)
    assert done.returncode == 0, done.stderr
    assert len(pd.read_csv(tmp_path / "out.csv")) == 1


@pytest.mark.slow
def test_what_a_file_says_in_brackets_is_printed_as_it_is(run_dir, tmp_path):
    write_wfdb(tmp_path, "ecg", noise())
    (tmp_path / "[").mkdir()  # where the first of the files lies
    for name in (
        "[/foo] [red].npy",
        ":heart: [samples, 12].npy",
    ):
        np.save(tmp_path / name, np.zeros((3, 4, 5)))
    flags = [f"--model={run_dir}", "--file_rate=400", "--file_unit=mV", f"--output={tmp_path / 'out.csv'}"]
    done = call("predict", *flags, tmp_path)
    assert done.returncode == 2, done.stderr
    assert f"not predicted: {tmp_path}/[/foo] [red].npy: " in done.stdout
    assert f"not predicted: {tmp_path}/:heart: [samples, 12].npy: " in done.stdout


def test_a_notebook_that_asks_for_colours_is_no_terminal(monkeypatch):
    """Jupyter sets this; progress that moves the cursor would fill the page with copies of itself."""
    from ecg_jax import cli

    monkeypatch.setenv("FORCE_COLOR", "1")
    assert not cli.create_console(io.StringIO()).is_terminal


def test_the_console_prints_text_as_it_is(capsys):
    from ecg_jax import cli
    from ecg_jax.reporting import tables

    console = cli.create_console()
    console.print("warning: shape [3, 4], not [samples, 12] [/foo] :heart:", style="yellow")
    console.rule("optimizer.clip_norm=[1]")
    tables.print_rows("title [/b]", ["column [/c]"], [["cell [/d]"]], console)
    said = capsys.readouterr().out
    for words in ("[3, 4], not [samples, 12] [/foo] :heart:\n", "[1]", "title [/b]", "column [/c]", "cell [/d]"):
        assert words in said


@pytest.mark.slow
def test_predict_from_a_keras_file_states_what_it_assumes(tmp_path):
    from keras_import_test import create_layers, write

    model = write(tmp_path / "model", create_layers(), "keras2")
    write_wfdb(tmp_path, "ecg", noise())
    done = call("predict", f"--model={model}", f"--output={tmp_path / 'out.csv'}", tmp_path / "ecg")
    assert done.returncode == 0, done.stderr
    assert "states no input contract" in done.stdout
    assert "2 units per mV" in done.stdout
    declared = ["--units_per_millivolt=1", "--sampling_rate=500", "--names=1dAVb,RBBB,LBBB,SB,AF,tachycardia"]
    other = call("predict", f"--model={model}", *declared, f"--output={tmp_path / 'other.csv'}", tmp_path / "ecg")
    assert other.returncode == 0
    assert "1 units per mV, 500 Hz" in other.stdout
    assert "labels set to be 1dAVb, RBBB, LBBB, SB, AF, tachycardia" in other.stdout
    assert pd.read_csv(tmp_path / "out.csv")["AF"][0] != pd.read_csv(tmp_path / "other.csv")["AF"][0]


@pytest.mark.slow
def test_fine_tuning_starts_from_a_run_and_from_a_keras_file_with_frozen_leaves(run_dir, tmp_path):
    from keras_import_test import create_layers, write

    from ecg_jax.inference.model import load_model
    from ecg_jax.models import weights as weights_lib

    tuned = [
        *TINY,
        "--config.data.labels=abnormal",
        "--config.model.head=transfer",
        "--config.model.variant.units=4",
        "--config.model.transfer.cut=12",
        "--config.freeze.first_keras_layers=5",
    ]
    done = call("main", *tuned, f"--config.init.weights={run_dir}", f"--workdir={tmp_path / 'tuned'}")
    assert done.returncode == 0, done.stderr
    before, after = (weights_lib.flatten(load_model(str(path)).variables) for path in (run_dir, tmp_path / "tuned"))
    same = {p for p in set(before) & set(after) if before[p].tobytes() == after[p].tobytes()}
    assert same == {
        *(f"params/trunk/stem/{leaf}" for leaf in ("conv/kernel", "norm/scale", "norm/bias")),
        *(f"batch_stats/trunk/stem/norm/{leaf}" for leaf in ("mean", "var")),
        "params/trunk/unit1/conv1/kernel",
    }
    model = write(tmp_path / "model", create_layers(), "keras3")
    refused = call("main", *tuned, f"--config.init.weights={model}", f"--workdir={tmp_path / 'refused'}")
    assert_one_line(refused, "of another shape", "trunk/stem/conv/kernel (16, 12, 16) here, (16, 12, 4) there")


@pytest.mark.slow
def test_a_trunk_cut_earlier_starts_from_the_same_run(run_dir, tmp_path):
    flags = ["--config.model.head=transfer", "--config.model.variant.units=4", "--config.model.transfer.cut=12"]
    done = call(
        "main", *TINY, *flags, f"--config.init.weights={run_dir}", "--config.train.steps=1", f"--workdir={tmp_path}"
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_damaged_best_checkpoint_is_passed_over_and_said_so(run_dir, tmp_path):
    workdir = tmp_path / "run"
    shutil.copytree(run_dir, workdir)
    best = workdir / "checkpoints" / "best"
    steps = sorted(int(path.name) for path in best.iterdir() if path.name.isdigit())
    assert len(steps) == 2
    shutil.rmtree(best / str(steps[-1]) / "state")
    write_wfdb(tmp_path, "ecg", noise())
    done = call("predict", f"--model={workdir}", f"--output={tmp_path / 'out.csv'}", tmp_path / "ecg")
    assert done.returncode == 0, done.stderr
    assert f"best checkpoint of step {steps[-1]} is unreadable" in done.stdout
    assert f"best checkpoint, step {steps[0]}" in done.stdout


def test_a_start_that_fails_does_not_claim_the_folder(tmp_path):
    refused = call("main", *TINY, "--config.loss.label_smoothing=2.0", f"--workdir={tmp_path / 'run'}")
    assert_one_line(refused, "label_smoothing")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "flags, parts",
    [
        (["--config.data.mode=devise"], ["data.mode is 'devise'; known: host, device"]),
        (["--config.data.mode=devise", "--config.split.folds=2"], ["data.mode is 'devise'"]),
        (["--config.data.crop=middle"], ["data.crop is 'middle'; known: center, random"]),
        (["--config.data.sampling=fair"], ["data.sampling is 'fair'; known: shuffle, balanced, weighted"]),
        (["--config.data.sampling=weighted"], ["no column sampling_weight"]),
        (["--config.data.mode=device"], ["needs a prepared store, not data set simulated"]),
        (["--config.data.mode=device", "--config.data.workers=2"], ["data.workers is 2", "set data.workers=0"]),
    ],
    ids=lambda value: " ".join(value) if value[0].startswith("--") else "",
)
def test_bad_settings_of_the_data_are_noticed_before_a_run_claims_its_folder(flags, parts, tmp_path):
    refused = call("main", *TINY, *flags, f"--workdir={tmp_path / 'run'}")
    assert_one_line(refused, *parts)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "flags, parts",
    [
        (["--config.optimizer.learning_rte=1"], ["config.optimizer.learning_rte", "learning_rate", "weight_decay"]),
        (["--config.seed=abc"], ["config.seed", "abc"]),
        (["--config=configs/nope.py"], ["configs/nope.py", "configs/finetune.py"]),
        (["--config.data.dataset=ptbxll"], ["ptbxll", "did you mean ptbxl?"]),
        (["--config.data.dataset=ptbxl", "--config.data.source=/nowhere"], ["/nowhere", "--config.data.source"]),
        (["--config.data.labels=amyloidosis"], ["amyloidosis", "1dAVb"]),
        (["--config.data.labels=rbb"], ["no label rbb", "did you mean RBBB?"]),
        (["--config.data.simulated.test=0"], ["no recording in the test split"]),
        (["config.seed=3"], ["unexpected argument", "--config.seed=3"]),
        (["--config.checkpoint.monitor=accuracy"], ["accuracy", "auroc"]),
        (["--config.init.weights=/nowhere.h5"], ["/nowhere.h5"]),
        (["--workdir=/proc/run"], ["/proc/run", "--workdir"]),
    ],
)
def test_a_bad_setting_ends_in_one_line(flags, parts, tmp_path):
    assert_one_line(call("main", *TINY, f"--workdir={tmp_path / 'run'}", *flags), *parts)


def test_a_missing_file_is_refused_with_one_of_a_like_name_beside_it(tmp_path):
    (tmp_path / "labels.csv").touch()
    for path, end in (("label.csv", r"; did you mean labels\.csv\?"), ("other.txt", ""), ("none/labels.csv", "")):
        with pytest.raises(InputError, match=f"{path}: no such file{end}$"):
            cli.require_files(str(tmp_path / path))


def test_traceback_shows_where_an_error_came_from(tmp_path):
    done = call("main", *TINY, f"--workdir={tmp_path}", "--config.data.dataset=ptb", "--traceback")
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "data.dataset is 'ptb'" in done.stderr


@pytest.mark.slow
def test_a_non_finite_loss_names_the_step_and_the_recordings_and_keeps_the_last_checkpoint(tmp_path):
    flags = [*TINY, "--config.train.steps=30", "--config.train.log_every=1", "--config.optimizer.name=sgd"]
    flags += ["--config.train.eval_every=30", "--config.checkpoint.every=1"]  # a validation would notice it first
    done = call(
        "main",
        *flags,
        "--config.optimizer.learning_rate=1.0",
        "--config.optimizer.momentum=1e4",
        f"--workdir={tmp_path}",
    )
    assert_one_line(
        done, "the loss or gradient of step", "is not finite", "train-0000", "The last good checkpoint stays"
    )
    kept = [int(path.name) for path in (tmp_path / "checkpoints" / "last").iterdir() if path.name.isdigit()]
    assert kept
    assert max(kept) <= int(done.stderr.split("gradient of step ")[1].split()[0])


@pytest.mark.parametrize("module", COMMANDS)
def test_help_teaches(module):
    done = call_alone(module, "--help")
    assert f"python -m ecg_jax.{module} --" in done.stdout
    assert "Traceback" not in done.stderr


def call_verb(*arguments: object):
    return processes.run("-m", "ecg_jax", *arguments)


@pytest.mark.parametrize("arguments", [[], ["--help"], ["help"]])
def test_the_verbs_are_listed(arguments):
    done = call_verb(*arguments)
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()[2:]] == [
        "train",
        *COMMANDS[6:7],
        *COMMANDS[1:6],
        *COMMANDS[7:],
        "models",
    ]
    assert "Trains or fine-tunes what a configuration describes" in done.stdout


@pytest.mark.parametrize(
    "verb, module", [("train", "main"), ("main", "main"), *((name, name) for name in COMMANDS[1:])]
)
def test_a_verb_is_the_entry_point_of_its_name(verb, module):
    done, same = call_verb(verb, "--help"), call(module, "--help")
    assert f"python -m ecg_jax.{module} --" in done.stdout
    assert done.stdout == same.stdout


def test_a_verb_gets_its_flags_and_gives_its_status(tmp_path):
    done = call_verb("train", *TINY, "--config.seed=abc", f"--workdir={tmp_path}")
    assert_one_line(done, "config.seed", "abc")
    assert_one_line(call_verb("trian"), "'trian' is no verb of ecg-jax", "did you mean train?")


def test_help_teaches_the_keys_of_a_configuration():
    brief, full = call("main", "--help").stdout, call("main", "--helpfull").stdout
    assert "optimizer.learning_rate" in brief
    assert "optimizer.learning_rate (0.001; number, above 0): highest learning rate" in full


CHEAP = """
import importlib, os, sys
heavy = ("h5py", "jax", "matplotlib", "pandas", "pydicom", "scipy", "sklearn", "tensorflow", "torch", "wfdb")
for name in sys.argv[1:]:
    if not os.fork():
        importlib.import_module(name)
        print(name, [module for module in heavy if module in sys.modules], flush=True)
        os._exit(0)
    os.wait()
"""


def test_importing_the_package_or_an_entry_point_is_cheap():
    """So that help, and the refusal of a mistyped flag, take no longer than starting Python."""
    names = ["ecg_jax", *(f"ecg_jax.{module}" for module in COMMANDS)]
    done = subprocess.run([sys.executable, "-c", CHEAP, *names], capture_output=True, text=True)
    assert done.stdout.splitlines() == [f"{name} []" for name in names], done.stderr


def test_the_package_reads_a_file_in_one_line(tmp_path):
    import ecg_jax

    write_wfdb(tmp_path, "ecg", noise())
    assert ecg_jax.read(tmp_path / "ecg").leads == LEADS
    with pytest.raises(AttributeError, match="ecg_jax has no load; it has load_model, read"):
        _ = ecg_jax.load


def test_no_command_imports_tensorflow_or_torch():
    """What the entry points import when they run is imported in the server of `processes` already."""
    code = "import sys; print([m for m in ('tensorflow', 'torch', 'keras', *sys.argv[1:]) if m in sys.modules])"
    imported = [name for name in processes.IMPORTED if name.startswith("ecg_jax.")]
    done = processes.run("-c", code, *imported)
    assert done.stdout.strip() == str(imported), done.stderr


def positives(path: Path, label: str, split: str) -> int:
    table = pd.read_csv(path / "predictions.csv")
    return int((table[table["split"] == split][f"{label}_true"] == 1).sum())


REAL = [*TINY, "--config.contract.samples=4096", "--config.train.steps=2"]


@pytest.mark.slow
def test_real_ptbxl_trains_and_evaluates(shared, tmp_path):
    source = shared / "data" / "ptbxl"
    done = call("main", *REAL, "--config.data.dataset=ptbxl", f"--config.data.source={source}", f"--workdir={tmp_path}")
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(source / "ptbxl_database.csv")
    test = table[table["strat_fold"] == 10]
    split = json.loads((tmp_path / "split.json").read_text())["summary"]
    assert (split["train"], split["test"]) == ((table["strat_fold"] <= 8).sum(), len(test))
    for label, code in (("AF", "AFIB"), ("SB", "SBRAD")):
        assert positives(tmp_path, label, "test") == test["scp_codes"].str.contains(f"'{code}'").sum()
    predictions = pd.read_csv(tmp_path / "predictions.csv")
    assert np.isfinite(predictions["AF"]).all()
    assert sorted(predictions[predictions["split"] == "test"]["recording"]) == sorted(test["ecg_id"])


@pytest.mark.slow
def test_real_code15_trains_and_evaluates(shared, tmp_path):
    source = shared / "data" / "code15"
    flags = ["--config.data.dataset=code15", f"--config.data.source={source}", "--config.data.labels=abnormal"]
    flags.append("--config.checkpoint.monitor=auroc")
    done = call("main", *REAL, *flags, f"--workdir={tmp_path}")
    assert done.returncode == 0, done.stderr
    exams = pd.read_csv(source / "exams.csv")
    split = json.loads((tmp_path / "split.json").read_text())
    assert sorted(functools.reduce(operator.iadd, split["recordings"].values(), [])) == sorted(
        exams["exam_id"].astype(str)
    )
    assert "1 degenerate" in done.stdout
    assert "monitoring loss, not auroc" in done.stdout  # of six exams, validation has one
    scores = pd.read_csv(tmp_path / "evaluation" / "scores.csv").set_index("label")
    assert scores.loc["abnormal", "n"] == split["summary"]["test"]


@pytest.mark.slow
def test_a_real_folder_with_a_csv_trains_and_evaluates_and_drops_what_is_empty(shared, tmp_path):
    names = pd.read_csv(shared / "data" / "ludb" / "labels_6class.csv").head(30)
    table = pd.DataFrame({"path": [str(shared / "data" / "ludb" / "data" / str(n)) for n in names["record"]]})
    table["my_label"] = names["SB"]
    table["split"] = ["train"] * 14 + ["validation"] * 8 + ["test"] * 8
    table.loc[0, "my_label"] = None
    write_wfdb(tmp_path, "silent", np.zeros((1000, 12)))
    table.loc[len(table)] = [str(tmp_path / "silent"), 0, "test"]
    table.to_csv(tmp_path / "mine.csv", index=False)
    flags = [
        "--config.data.dataset=folder",
        f"--config.data.source={tmp_path / 'mine.csv'}",
        "--config.data.labels=my_label",
    ]
    done = call("main", *REAL, *flags, f"--workdir={tmp_path / 'run'}")
    assert done.returncode == 0, done.stderr
    assert "Dropped, all zeros: 1 recording(s)" in done.stdout
    scores = pd.read_csv(tmp_path / "run" / "evaluation" / "scores.csv").set_index("label")
    assert (scores.loc["my_label", "n"], scores.loc["my_label", "positives"]) == (8, names["SB"][22:30].sum())
    assert positives(tmp_path / "run", "my_label", "validation") == names["SB"][14:22].sum()


@pytest.mark.slow
def test_what_physics_contradicts_is_left_out_said_and_not_scored(tmp_path):
    for i in range(24):
        write_wfdb(tmp_path / "ecgs", f"r{i}", noise(i) * (0 if i == 20 else 20 if i in (3, 21) else 1))
    table = pd.DataFrame({"path": [f"ecgs/r{i}" for i in range(24)], "y": [i % 2 for i in range(24)]})
    table["split"] = ["train"] * 8 + ["validation"] * 8 + ["test"] * 8
    table.to_csv(tmp_path / "mine.csv", index=False)
    flags = ["--config.data.dataset=folder", f"--config.data.source={tmp_path / 'mine.csv'}", "--config.data.labels=y"]
    done = call("main", *TINY, *flags, f"--workdir={tmp_path / 'run'}")
    assert done.returncode == 0, done.stderr
    assert "left out: 2 of 24 recordings contradict physics: ecgs/r21: " in done.stdout
    assert "Refused: 2 recording(s): ecgs/r21, ecgs/r3; the first: ecgs/r" in done.stdout
    found = pd.read_csv(tmp_path / "run" / "predictions.csv", keep_default_na=False).set_index("recording")
    assert found.loc["ecgs/r21", ["y", "quality"]].tolist() == ["", "refused"]
    assert found.loc["ecgs/r20", ["y", "quality"]].tolist() == ["", "no signal"]
    assert (found["quality"] == "").sum() == 14  # of validation and test
    assert pd.read_csv(tmp_path / "run" / "evaluation" / "scores.csv")["n"].tolist() == [6, 6]
    line = "warning: 1 of the 16 recordings could not be read or were refused and are left out: ecgs/r21 ("
    assert line in done.stdout
    listed = pd.read_csv(tmp_path / "run" / "evaluation" / "not_scored.csv")
    assert listed[["recording", "split"]].values.tolist() == [["ecgs/r20", "test"], ["ecgs/r21", "test"]]


@pytest.mark.slow
@pytest.mark.parametrize(
    "flag, part",
    [
        ("--config.split.check_content=true", "1 of 24 recordings cannot be used"),  # before anything is trained
        ("--config.split.check_content=false", "r3"),
    ],
)
def test_a_broken_file_ends_in_one_line_before_training_or_in_it(shared, tmp_path, flag, part):
    for i in range(24):
        write_wfdb(tmp_path / "ecgs", f"r{i}", noise(i))
    table = pd.DataFrame({"path": [f"ecgs/r{i}" for i in range(24)], "y": [i % 2 for i in range(24)]})
    table["split"] = ["train"] * 8 + ["validation"] * 8 + ["test"] * 8
    table.to_csv(tmp_path / "mine.csv", index=False)
    os.truncate(tmp_path / "ecgs" / "r3.dat", 100)
    flags = ["--config.data.dataset=folder", f"--config.data.source={tmp_path / 'mine.csv'}", "--config.data.labels=y"]
    assert_one_line(call("main", *TINY, *flags, flag, f"--workdir={tmp_path / 'run'}"), "r3.hea", part)
    assert (tmp_path / "run" / "checkpoints").exists() == flag.endswith("false")


@pytest.mark.slow
def test_a_wheel_runs_in_another_environment_outside_the_checkout(tmp_path):
    source = tmp_path / "source"
    shutil.copytree(
        ROOT, source, ignore=shutil.ignore_patterns(".git", "build", "*.egg-info", "__pycache__", "runs", ".*")
    )
    subprocess.run(
        [sys.executable, "-m", "build", "--outdir", tmp_path / "dist", source],  # the sdist, and the wheel from it
        check=True,
        capture_output=True,
    )
    environment = tmp_path / "environment"
    venv.create(environment, with_pip=True)
    python = str(environment / "bin" / "python")
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    assert {"ecg_jax/reporting/quality_report.html", "ecg_jax/py.typed"} < {*zipfile.ZipFile(wheel).namelist()}
    subprocess.run([python, "-m", "pip", "install", "--no-deps", "-q", wheel], check=True, capture_output=True)
    site = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], capture_output=True, text=True
    ).stdout.strip()
    dependencies = Path(np.__file__).parents[1]  # installed already; only the package itself is new there
    (Path(site) / "dependencies.pth").write_text(f"{dependencies}\n")
    where = subprocess.run(
        [python, "-c", "import ecg_jax; print(ecg_jax.__file__)"], capture_output=True, text=True, cwd=tmp_path
    )
    assert where.stdout.startswith(str(environment))
    verbs = subprocess.run([environment / "bin" / "ecg-jax"], capture_output=True, text=True, cwd=tmp_path)
    assert "train" in verbs.stdout
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = call_alone("main", "--config=configs/smoke.py", *TINY[1:], cwd=elsewhere, python=python)
    assert done.returncode == 0, done.stderr
    write_wfdb(elsewhere, "ecg", noise())
    for model in (["--model=runs/smoke"], []):  # and the weights that ship
        done = call_alone("predict", *model, "ecg.hea", cwd=elsewhere, python=python)
        assert done.returncode == 0, done.stderr
        assert math.isfinite(pd.read_csv(elsewhere / "predictions.csv")["AF"][0])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("label", "line"),
    [("macro", "a label is called macro, as an average is; rename it"), ("quality", "a label is called quality")],
)
def test_a_label_called_as_an_average_or_a_column_is_refused_before_training(tmp_path, label, line):
    for i in range(12):
        write_wfdb(tmp_path, f"r{i}", noise(i))
    table = pd.DataFrame({"path": [f"r{i}" for i in range(12)], label: np.arange(12) % 2})
    table.to_csv(tmp_path / "labels.csv", index=False)
    flags = ["--config.data.dataset=folder", f"--config.data.source={tmp_path / 'labels.csv'}"]
    done = call("main", *TINY, *flags, f"--config.data.labels={label}", f"--workdir={tmp_path / 'run'}")
    assert_one_line(done, line)
    assert not (tmp_path / "run").exists()
