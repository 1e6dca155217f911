"""A run that was cut off anywhere ends as if it had not been."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import orbax.checkpoint as ocp
import processes
import pytest

from ecg_jax.runtime.profile import MEASURED

WORKER = Path(__file__).parent / "workers" / "killed.py"
CONFIG = Path(__file__).parents[1] / "configs" / "smoke.py"
FLAGS = [  # checkpoints, log lines and evaluations fall on different steps
    f"--config={CONFIG}",
    "--config.contract.samples=256",
    "--config.model.variant.units=1",
    "--config.evaluation.report=false",
    "--config.train.steps=12",
    "--config.train.eval_every=4",
    "--config.train.log_every=5",
    "--config.checkpoint.every=3",
    "--config.plateau.patience=1",
    "--config.plateau.min_delta=10.0",
]


def run(workdir: Path, point: str = "never", *flags: str) -> subprocess.CompletedProcess:
    return processes.run(WORKER, point, *FLAGS, *flags, f"--workdir={workdir}")


def read_state(workdir: Path) -> tuple[int, dict[str, np.ndarray]]:
    with ocp.CheckpointManager(workdir / "checkpoints" / "last") as manager:
        step = manager.latest_step()
        tree = manager.restore(step, args=ocp.args.Composite(state=ocp.args.StandardRestore()))["state"]
    flat = ocp.tree.to_flat_dict(tree, sep="/")
    return step, {path: np.asarray(leaf) for path, leaf in flat.items()}


def read_metrics(workdir: Path) -> list[dict]:
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key not in MEASURED} for line in lines]


def assert_equal(workdir: Path, reference: Path) -> None:
    (step, state), (expected_step, expected) = read_state(workdir), read_state(reference)
    assert (step, state.keys()) == (expected_step, expected.keys())
    different = [path for path in state if state[path].tobytes() != expected[path].tobytes()]
    assert not different
    assert read_metrics(workdir) == read_metrics(reference)
    for name in ("predictions.csv", "thresholds.json", "calibration.json", "evaluation/scores.csv", "result.json"):
        assert (workdir / name).read_bytes() == (reference / name).read_bytes(), name


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """The uninterrupted run."""
    workdir = tmp_path_factory.mktemp("reference")
    done = run(workdir)
    assert done.returncode == 0, done.stderr
    return workdir


ONE_KILL = ["step:5"]  # between two log lines: the window is in the checkpoint
KILLS = [
    "step:2",  # before any checkpoint
    "save:last:1",  # while the first checkpoint is half written
    "step:5",
    "validate:1",  # in a validation
    "save:best:1",  # while the best network is half written
    "save:last:2",
    "step:2",
]


@pytest.mark.parametrize("points", [ONE_KILL, pytest.param(KILLS, marks=pytest.mark.slow)], ids=["once", "everywhere"])
def test_killed_at_every_kind_of_point_the_run_ends_bit_for_bit_the_same(points, tmp_path, reference):
    workdir = tmp_path / "run"
    assert {"params", "opt_state", "ema", "window", "rng", "lr_scale"} <= {
        p.split("/")[0] for p in read_state(reference)[1]
    }
    for point in points:
        killed = run(workdir, point)
        assert killed.returncode == -9, f"{point}: {killed.stdout[-500:]}{killed.stderr[-1500:]}"
        if point.startswith("save"):
            left = list((workdir / "checkpoints" / point.split(":")[1]).glob("*orbax-checkpoint-tmp*"))
            assert left, "the checkpoint was not half written"
    done = run(workdir)
    assert done.returncode == 0, done.stderr
    assert "Continuing from step" in done.stdout
    assert_equal(workdir, reference)


@pytest.mark.slow
def test_sigterm_writes_a_checkpoint_and_the_same_command_continues(tmp_path, reference):
    stopped = run(tmp_path, "term:7")
    assert stopped.returncode == 130
    assert "SIGTERM at step 7" in stopped.stdout
    assert "The same command continues" in stopped.stdout
    assert read_state(tmp_path)[0] == 7
    done = run(tmp_path)
    assert "Continuing from step 7 of 12" in done.stdout
    assert_equal(tmp_path, reference)


@pytest.mark.slow
def test_sigterm_in_a_validation_stops_it_and_the_run_continues_with_it(tmp_path, reference):
    stopped = run(tmp_path, "evaluate:1")
    assert stopped.returncode == 130, stopped.stderr
    assert "SIGTERM at step 4; the state is saved" in stopped.stdout
    assert "validation: " not in stopped.stdout
    assert "step      4/12" in stopped.stdout
    again = run(tmp_path, "evaluate:1")  # now in what the continued run begins with
    assert again.returncode == 130, again.stderr
    assert "Continuing from step 4 of 12" in again.stdout
    assert "validation: " not in again.stdout
    killed = run(tmp_path, "save:last:1")  # while the state after that validation takes the other's place
    assert killed.returncode == -9
    last = run(tmp_path, "evaluate:5", "--profile")  # in the validation after the last step
    assert last.returncode == 130, last.stderr
    assert "SIGTERM at step 12; the state is saved" in last.stdout
    assert "Profile of steps " in last.stdout
    done = run(tmp_path, "never", "--profile")
    assert done.returncode == 0, done.stderr
    assert "Continuing from step 12 of 12" in done.stdout
    assert "ECG/s" not in done.stdout
    assert_equal(tmp_path, reference)
    finished = run(tmp_path)
    assert "validation: " not in finished.stdout  # nothing is due any more


@pytest.mark.slow
def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(tmp_path, reference):
    workdir = tmp_path / "run"
    shutil.copytree(reference, workdir)
    newest = workdir / "checkpoints" / "last" / "12"
    for path in (newest / "state").rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    done = run(workdir)
    assert done.returncode == 0, done.stderr
    assert "checkpoint of step 12 is unreadable" in done.stdout
    assert "the one of step 9 is used" in done.stdout
    assert_equal(workdir, reference)


@pytest.mark.slow
def test_a_full_disk_ends_in_one_line_and_the_last_good_checkpoint_stays(tmp_path, reference):
    command = [sys.executable, WORKER, "full:7", *FLAGS, f"--workdir={tmp_path}"]
    stopped = subprocess.run(command, capture_output=True, text=True, timeout=300)  # pipes do not fill up
    assert stopped.returncode == 1
    last = stopped.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert "could not be written" in last
    step = re.search(r"the state of step (\d+) is whole", last)[1]
    done = run(tmp_path)
    assert f"Continuing from step {step} " in done.stdout
    assert_equal(tmp_path, reference)


@pytest.mark.slow
def test_too_little_room_for_a_checkpoint_is_noticed_before_it_is_begun(tmp_path):
    stopped = run(tmp_path, "short:3")
    assert stopped.returncode == 1
    assert len(stopped.stderr.strip().splitlines()) == 1, stopped.stderr
    assert "the disk has 0 MB left" in stopped.stderr
    assert not list((tmp_path / "checkpoints").rglob("*tmp*"))


@pytest.mark.slow
def test_a_signal_to_one_of_two_processes_stops_both_and_the_same_commands_continue(tmp_path):
    def run_two(point: str) -> list[tuple[int, str]]:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        running = []
        for index in range(2):
            names = {
                "JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{port}",
                "JAX_NUM_PROCESSES": "2",
                "JAX_PROCESS_ID": str(index),
            }
            arguments = [point if index else "never", *FLAGS, f"--workdir={tmp_path}"]
            running.append(processes.start(WORKER, *arguments, env=os.environ | names))
        outputs = ["".join(process.communicate(timeout=240)) for process in running]
        return [(process.returncode, output) for process, output in zip(running, outputs, strict=True)]

    stopped = run_two("term:4")
    assert [code for code, _ in stopped] == [130, 130], stopped
    assert any(int(path.name) < 12 for path in (tmp_path / "checkpoints" / "last").iterdir())
    done = run_two("slow:1.5")  # one process is still finishing a checkpoint when both begin the next
    assert [code for code, _ in done] == [0, 0], done
    assert "Continuing from step" in done[0][1]
    assert (tmp_path / "evaluation" / "scores.csv").exists()


@pytest.mark.slow
def test_another_configuration_in_the_folder_is_refused_with_the_difference(tmp_path, reference):
    refused = run(reference, "never", "--config.seed=7")
    assert refused.returncode == 1
    assert "seed: 0 there, 7 here" in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1
