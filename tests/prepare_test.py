"""`python -m ecg_jax.prepare` as a user runs it, and training from what it leaves."""

import csv
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import processes
import pytest
import wfdb

from ecg_jax.data import datasets, store
from ecg_jax.recording import LEADS
from ecg_jax.runtime.profile import MEASURED
from ecg_jax.simulation import textbook

COUNT = 30


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Records of ten patients, one truncated, one in volts headed as millivolts; and their table."""
    folder = tmp_path_factory.mktemp("hospital")
    rng = np.random.default_rng(0)
    with open(folder / "labels.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", "patient_id", "age", "AF", "abnormal"])
        for i in range(COUNT):
            diagnoses = textbook.draw_diagnoses(rng)
            signal = textbook.simulate(rng, diagnoses, textbook.Conditions())[:4000]
            gain = 1000.0 if i != 4 else 1e6
            wfdb.wrsamp(
                f"r{i:02d}",
                400,
                ["mV"] * 12,
                list(LEADS),
                d_signal=np.rint(signal * 1000).astype(np.int16),
                fmt=["16"] * 12,
                adc_gain=[gain] * 12,
                baseline=[0] * 12,
                write_dir=str(folder),
            )
            table.writerow([f"r{i:02d}.hea", f"p{i % 10}", 40 + i, int(diagnoses[4]), int(any(diagnoses))])
    os.truncate(folder / "r02.dat", 1000)
    return folder


def run(module, *flags, cwd):
    return processes.run("-m", f"ecg_jax.{module}", *flags, cwd=cwd)


@pytest.fixture(scope="module")
def prepared(source, tmp_path_factory):
    folder = tmp_path_factory.mktemp("stores")
    done = run("prepare", "--dataset=folder", f"--source={source}", "--output=mine", "--workers=1", cwd=folder)
    return folder / "mine", done


def open_store(folder):
    return datasets.open_source("store", source=str(folder), labels="all", seed=0, options={})


def test_a_folder_becomes_a_store_and_what_was_left_out_is_said(prepared):
    folder, done = prepared
    assert done.returncode == 2, done.stderr
    dataset = open_store(folder)
    assert len(dataset.ids) == COUNT - 2
    assert set(dataset.label_names) >= {"AF", "abnormal"}
    problems = list(csv.DictReader((folder / "problems.csv").read_text().splitlines()))
    assert [(p["recording"], p["reason"]) for p in problems] == [("r02.hea", "unreadable"), ("r04.hea", "refused")]
    for line in (
        "left out, unreadable: 1",
        "left out, refused: 1",
        "the store holds 28",
    ):
        assert line in done.stdout
    flags = "--config.data.dataset=store --config.data.source=mine --config.data.labels=abnormal"
    assert done.stdout.splitlines()[-1] == f"Next: ecg-jax train {flags}"


@pytest.mark.slow
def test_the_next_command_runs_as_printed(prepared, source, tmp_path):
    """The configuration's label is none of the store's, whose labels hold a space; then a store without labels."""
    shutil.copytree(source, tmp_path / "exams")
    table = tmp_path / "exams" / "labels.csv"
    table.write_text(table.read_text().replace("AF,abnormal", "of interest,mine"))
    flags = ("--dataset=folder", "--source=exams", "--workers=1", "--config=configs/smoke.py")
    for output, verb in (("my store", "train"), ("bare", "predict")):
        done = run("prepare", *flags, f"--output={output}", cwd=tmp_path)
        command = done.stdout.splitlines()[-1].removeprefix("Next: ecg-jax ")
        chosen, *arguments = shlex.split(command)
        assert chosen == verb
        if verb == "train":
            assert "--config.data.labels=of interest,mine" in arguments
        done = run("main" if verb == "train" else verb, *arguments, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        table.unlink(missing_ok=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    "chosen, added",
    [
        (["data.labels=age", "data.label_kind=number", "checkpoint.monitor=mae"], []),
        (["contract.sampling_rate=250.0", "data.labels=AF"], ["init.weights=", "freeze.first_keras_layers=0"]),
    ],
)
def test_the_next_command_is_configured_as_this_one(prepared, source, tmp_path, chosen, added):
    """Numbers as labels; an input contract that the starting weights do not have."""
    chosen, added = ([f"--config.{setting}" for setting in settings] for settings in (chosen, added))
    done = run("prepare", "--dataset=folder", f"--source={source}", "--output=mine", *chosen, cwd=tmp_path)
    command = done.stdout.splitlines()[-1].removeprefix("Next: ecg-jax train ")
    arguments = shlex.split(command)
    assert {*arguments} == {"--config.data.dataset=store", "--config.data.source=mine", *chosen, *added}
    done = run("main", *arguments, "--config.train.steps=1", "--config.evaluation.report=false", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_again_adds_nothing_and_still_says_what_is_missing(prepared, source):
    folder, _ = prepared
    before = {path: path.stat().st_mtime_ns for path in (folder / "shards").iterdir()}
    done = run("prepare", "--dataset=folder", f"--source={source}", "--output=mine", cwd=folder.parent)
    assert done.returncode == 2
    assert "Added 0 recordings" in done.stdout
    assert {path: path.stat().st_mtime_ns for path in (folder / "shards").iterdir()} == before


def test_a_store_remembers_how_it_was_made(prepared):
    folder, _ = prepared
    done = run("prepare", "--output=mine", cwd=folder.parent)
    assert done.returncode == 2
    assert "Added 0 recordings" in done.stdout
    for flag in ("--checks=warn", "--exclude=high_noise", "--config.contract.sampling_rate=250"):
        done = run("prepare", "--output=mine", flag, cwd=folder.parent)
        assert (done.returncode, "was prepared in another way" in done.stderr) == (1, True)
    done = run("prepare", "--dataset=simulated", "--source=", "--output=mine", cwd=folder.parent)
    assert done.returncode == 1
    assert "was prepared in another way (origin.dataset: folder there, simulated here" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_store_of_another_configuration_is_verified_by_its_own(tmp_path):
    sizes = [f"--config.data.simulated.{name}=4" for name in ("train", "validation", "test")]
    flags = ["--config=configs/smoke.py", "--dataset=simulated", *sizes, "--config.contract.sampling_rate=250"]
    assert run("prepare", *flags, "--output=mine", "--workers=1", cwd=tmp_path).returncode == 0
    contract = store.read_manifest(tmp_path / "mine")["contract"]
    assert "every file is whole" in run("prepare", "--output=mine", "--verify", cwd=tmp_path).stdout
    next((tmp_path / "mine" / "shards").glob("*.bin")).write_bytes(b"damaged")
    done = run("prepare", "--output=mine", "--verify", "--workers=1", cwd=tmp_path)
    assert "Added 12 recordings" in done.stdout, done.stderr
    assert store.read_manifest(tmp_path / "mine")["contract"] == contract
    for flag in ("--config=configs/smoke.py", "--config.contract.highpass=3.0", "--exclude=high_noise"):
        for task in ([], ["--verify"], ["--measure"]):
            refused = run("prepare", "--output=mine", flag, *task, cwd=tmp_path)
            assert (refused.returncode, "was prepared in another way" in refused.stderr) == (1, True)


def test_a_store_is_the_same_from_any_folder(prepared, source):
    folder, _ = prepared
    relative = os.path.relpath(source, folder)
    done = run("prepare", "--dataset=folder", f"--source={relative}", "--output=.", cwd=folder)
    assert "Added 0 recordings" in done.stdout, done.stderr


def test_the_folder_of_the_source_is_no_store(source):
    done = run("prepare", "--dataset=folder", f"--source={source}", f"--output={source}", cwd=source)
    assert (done.returncode, "is the folder of the source" in done.stderr) == (1, True)


def test_a_damaged_shard_is_found_by_verify_and_rebuilt(prepared):
    folder, _ = prepared
    assert "every file is whole" in run("prepare", "--output=mine", "--verify", cwd=folder.parent).stdout
    shard = next((folder / "shards").glob("*.bin"))
    data = bytearray(shard.read_bytes())
    data[5000] ^= 8
    shard.write_bytes(data)
    done = run("prepare", "--output=mine", "--verify", cwd=folder.parent)
    assert f"damaged: shard {shard.stem}: its checksum is" in done.stdout
    assert "Added 28 recordings" in done.stdout
    done = run("prepare", "--output=mine", "--verify", cwd=folder.parent)
    assert (done.returncode, "every file is whole" in done.stdout) == (0, True)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--dataset=nothing", "--source=x"], ["nothing", "ptbxl"]),
        (["--dataset=ptbxl", "--source=nowhere"], ["nowhere"]),
        (["--verify"], ["no store to verify"]),
        (["--dataset=simulated", "--checks=perhaps"], ["perhaps", "refuse, repair, warn"]),
        (["--dataset=simulated", "--exclude=noise"], ["noise", "nan_span"]),
        (["--dataset=simulated", "--config.contract.sampling_rte=100"], ["sampling_rte", "sampling_rate"]),
        (["stray"], ["stray"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_bad_flag_is_one_line(tmp_path, flags, words):
    done = run("prepare", *flags, "--output=out", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    for word in words:
        assert word in done.stderr
    assert not (tmp_path / "out" / store.MANIFEST).exists()


def test_help_teaches(tmp_path):
    done = run("prepare", "--help", cwd=tmp_path)
    assert "--dataset=ptbxl --source=DIR --output=stores/ptbxl" in done.stdout
    assert "--verify" in done.stdout


SMALL_SHARDS = """
from ecg_jax import cli, prepare
from ecg_jax.data.store import conversion

conversion.convert.__kwdefaults__["shard_size"] = 25
cli.run(prepare.main)
"""


@pytest.mark.slow
def test_the_workers_of_a_killed_preparation_end_with_it(tmp_path):
    flags = ["--dataset=simulated", "--config.data.simulated.train=3000", "--workers=2", "--output=out"]
    process = subprocess.Popen([sys.executable, "-c", SMALL_SHARDS, *flags], cwd=tmp_path)
    shards = tmp_path / "out" / "shards"
    while process.poll() is None and not (shards.is_dir() and len(list(shards.glob("*.json"))) >= 1):
        time.sleep(0.05)
    process.kill()
    process.wait()
    time.sleep(2)  # what was being renamed is
    before = sorted(path.name for path in shards.iterdir())
    time.sleep(2)  # a shard takes half a second
    assert sorted(path.name for path in shards.iterdir()) == before


SIMULATED = ["--dataset=simulated", *(f"--config.data.simulated.{n}=100" for n in ("train", "validation", "test"))]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The store of a preparation that nothing interrupted."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    done = processes.run("-c", SMALL_SHARDS, *SIMULATED, "--workers=1", "--output=whole", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "whole"


@pytest.mark.slow
@pytest.mark.parametrize("files", [1, 9])
def test_a_killed_preparation_continues_and_ends_in_the_same_store(tmp_path, whole, files):
    command = ["-c", SMALL_SHARDS, *SIMULATED, "--workers=2", "--output=killed"]
    process = subprocess.Popen([sys.executable, *command], cwd=tmp_path, start_new_session=True)
    shards = tmp_path / "killed" / "shards"
    while process.poll() is None and not (shards.is_dir() and len(list(shards.iterdir())) >= files):
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "killed" / store.MANIFEST).exists()
    again = processes.run(*command, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    manifests = [json.loads((path / store.MANIFEST).read_text()) for path in (tmp_path / "killed", whole)]
    assert [manifest["recordings"] for manifest in manifests] == [300, 300]
    assert manifests[0] == manifests[1]  # shards with their checksums, and the index, which is named by its content


@pytest.mark.slow
def test_training_from_a_store_on_the_host_and_on_the_device_is_the_same(prepared):
    folder, _ = prepared
    results = {}
    for mode in ("host", "device"):
        done = run(
            "main",
            "--config=configs/smoke.py",
            "--config.model.variant.units=1",
            "--config.evaluation.report=false",
            "--config.contract.highpass=0.5",  # as the store, by the default configuration
            "--config.contract.lowpass=40.0",
            "--config.data.dataset=store",
            f"--config.data.source={folder}",
            f"--config.data.mode={mode}",
            "--config.data.labels=abnormal",
            f"--workdir={mode}",
            cwd=folder.parent,
        )
        assert done.returncode == 0, done.stderr
        results[mode] = [
            {key: value for key, value in json.loads(line).items() if key not in MEASURED}
            for line in (folder.parent / mode / "metrics.jsonl").read_text().splitlines()
        ]
    assert results["host"] == results["device"]
    done = run(
        "main",
        "--config=configs/smoke.py",
        "--config.data.dataset=store",
        f"--config.data.source={folder}",
        "--config.data.labels=abnormal",
        "--workdir=other",
        cwd=folder.parent,
    )
    assert (done.returncode, "prepared for another input contract (highpass 0.5 there" in done.stderr) == (1, True)
    done = run(
        "main", "--config=configs/smoke.py", "--config.data.mode=device", "--workdir=none", cwd=folder.parent
    )  # fmt: skip
    assert done.returncode == 1
    assert "needs a prepared store" in done.stderr
