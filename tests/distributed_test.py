"""Several processes: who they are, that they all come, and that they compute what one does."""

import contextlib
import itertools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp
import pandas as pd
import processes
import pytest
import yaml

from ecg_jax import config as config_lib
from ecg_jax.contract import InputContract
from ecg_jax.data import datasets
from ecg_jax.data.input_pipeline import read_steps
from ecg_jax.data.sampling import Order
from ecg_jax.data.sources import FileSource
from ecg_jax.errors import InputError
from ecg_jax.runtime import distributed
from ecg_jax.runtime.distributed import Group

ROOT = Path(__file__).parents[1]
PODS = ROOT / "experiments" / "pods"
WORKERS = Path(__file__).parent / "workers"
STEPS = 16
FLAGS = [
    f"--config={ROOT / 'configs' / 'smoke.py'}",
    "--config.data.dataset=simulated",
    "--config.data.source=",
    "--config.data.mode=host",
    "--config.data.simulated.train=32",
    "--config.data.simulated.validation=16",
    "--config.data.simulated.test=17",  # of the last batch, one: other processes have none
    "--config.contract.samples=256",
    "--config.model.variant.units=1",
    "--config.evaluation.report=false",
    "--config.evaluation.resamples=2",
    "--config.evaluation.calibration=none",
    "--config.train.batch_size=8",
    f"--config.train.steps={STEPS}",
    "--config.train.eval_every=8",
    "--config.train.log_every=1",
    "--config.checkpoint.every=2",
    "--config.optimizer.learning_rate=1e-5",  # else Adam amplifies rounding within ten steps
    "--config.train.ema_decay=0.0",
    *(f"--config.augment.{name}=0.0" for name in ("noise", "wander", "scale", "shift")),  # compiles faster
]
SLURM = {
    "SLURM_JOB_ID": "4711",
    "SLURM_STEP_NODELIST": "node[01-02]",
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_NTASKS": "4",
    "SLURM_PROCID": "3",
    "SLURM_LOCALID": "1",
}
PLAIN = {"JAX_COORDINATOR_ADDRESS": "node01:1234", "JAX_NUM_PROCESSES": "4", "JAX_PROCESS_ID": "3"}
POD = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "JOB_COMPLETION_INDEX": "3"}
MPI = {"OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_RANK": "3", "OMPI_COMM_WORLD_LOCAL_RANK": "1"}
ORTE = {"OMPI_MCA_orte_hnp_uri": "1531576320.0;tcp://10.96.0.1:34911"}
TPU = {"TPU_ML_PLATFORM": "JAX", "TPU_WORKER_HOSTNAMES": "host-0,host-1", "TPU_WORKER_ID": "1"}


def without(environ: dict[str, str], *names: str) -> dict[str, str]:
    return {name: value for name, value in environ.items() if name not in names}


@pytest.mark.parametrize(
    "environ, expected",
    [
        ({}, None),
        (PLAIN, Group("JAX_COORDINATOR_ADDRESS", 4, 3, "node01:1234")),
        (PLAIN | {"JAX_NUM_PROCESSES": "1", "JAX_PROCESS_ID": "0"}, None),
        (SLURM, Group("SLURM", 4, 3)),
        (SLURM | {"JAX_COORDINATOR_ADDRESS": "n:1"}, Group("SLURM", 4, 3, "n:1")),
        (SLURM | {"JAX_PROCESS_ID": "3"}, Group("SLURM", 4, 3)),
        # a step of one task, or the interactive step of salloc, in a job of four
        (SLURM | {"SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"}, None),
        # the shell of salloc, and a batch script
        ({"SLURM_JOB_ID": "4711", "SLURM_NTASKS": "4", "SLURM_JOB_NODELIST": "node[01-02]"}, None),
        ({"SLURM_JOB_ID": "4711", "SLURM_NTASKS": "4", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"}, None),
        (
            PLAIN | {"SLURM_JOB_ID": "4711", "SLURM_NTASKS": "8", "SLURM_PROCID": "0"},
            Group("JAX_COORDINATOR_ADDRESS", 4, 3, "node01:1234"),
        ),
        (POD, None),  # any pod of an indexed Job: nothing says that it is not alone
        (
            POD | without(PLAIN, "JAX_PROCESS_ID"),
            Group("JAX_COORDINATOR_ADDRESS", 4, 3, "node01:1234"),
        ),
        (
            POD | PLAIN | {"JAX_PROCESS_ID": "2"},
            Group("JAX_COORDINATOR_ADDRESS", 4, 2, "node01:1234"),
        ),
        (POD | without(PLAIN, "JAX_COORDINATOR_ADDRESS", "JAX_PROCESS_ID"), Group("Kubernetes", 4, 3)),
        (MPI | ORTE, Group("Open MPI", 4, 3, local_device=1)),
        (MPI | ORTE | {"OMPI_COMM_WORLD_SIZE": "1", "OMPI_COMM_WORLD_RANK": "0"}, None),
        (MPI | ORTE | SLURM | {"SLURM_STEP_NUM_TASKS": "2"}, Group("Open MPI", 4, 3, local_device=1)),
        (
            MPI | {"JAX_COORDINATOR_ADDRESS": "n:1"},
            Group("Open MPI", 4, 3, "n:1", local_device=1),
        ),
        (TPU, Group("Cloud TPU", 2)),
        (TPU | {"TPU_SKIP_MDS_QUERY": "1"}, Group("Cloud TPU", 2)),
        (TPU | {"MEGASCALE_NUM_SLICES": "3"}, Group("Cloud TPU", 6)),
        (TPU | {"TPU_WORKER_HOSTNAMES": "localhost"}, None),  # one host needs no other
        (without(TPU, "TPU_ML_PLATFORM"), None),  # no TPU here
        ({"TPU_ML_PLATFORM": "JAX"}, None),
        ({"TPU_ML_PLATFORM": "JAX", "TPU_SKIP_MDS_QUERY": "1"}, None),
    ],
)
def test_the_environment_says_which_processes_there_are(environ, expected):
    assert distributed.detect(environ) == expected


@pytest.mark.parametrize(
    "environ, said",
    [
        (without(PLAIN, "JAX_PROCESS_ID"), "JAX_PROCESS_ID not set"),
        (without(PLAIN, "JAX_COORDINATOR_ADDRESS"), "set without JAX_COORDINATOR_ADDRESS"),
        (POD | without(PLAIN, "JAX_NUM_PROCESSES", "JAX_PROCESS_ID"), "JAX_NUM_PROCESSES not set"),
        (PLAIN | {"JAX_PROCESS_ID": "4"}, "JAX_PROCESS_ID is '4' of JAX_NUM_PROCESSES '4'; count from 0"),
        (PLAIN | {"JAX_NUM_PROCESSES": "many"}, "JAX_NUM_PROCESSES 'many'"),
        (PLAIN | {"JAX_COORDINATOR_ADDRESS": "node01"}, "JAX_COORDINATOR_ADDRESS is 'node01'; it is HOST:PORT"),
        (PLAIN | {"JAX_COORDINATOR_ADDRESS": "node01:99999"}, "it is HOST:PORT"),
        (without(SLURM, "SLURM_PROCID"), "SLURM needs SLURM_STEP_NUM_TASKS and SLURM_PROCID; SLURM_PROCID not set"),
        (SLURM | {"JAX_NUM_PROCESSES": "8"}, "JAX_NUM_PROCESSES is '8', and by SLURM it is 4"),
        (SLURM | PLAIN | {"JAX_PROCESS_ID": "0"}, "JAX_PROCESS_ID is '0', and by SLURM it is 3"),
        (without(MPI, "OMPI_COMM_WORLD_LOCAL_RANK"), "OMPI_COMM_WORLD_LOCAL_RANK is ''; start all processes"),
        (TPU | {"MEGASCALE_NUM_SLICES": "two"}, "MEGASCALE_NUM_SLICES is 'two'; it is a number"),
    ],
)
def test_incomplete_and_contradicting_variables_are_an_error_with_a_remedy(environ, said):
    with pytest.raises(InputError) as caught:
        distributed.detect(environ)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


START = """
from rich.console import Console
from ecg_jax import cli
from ecg_jax.runtime import distributed
cli.run(lambda argv: distributed.start(Console()) and 0)
"""


@pytest.mark.parametrize(
    "environ, source",
    [
        (without(SLURM, "SLURM_STEP_NODELIST"), "SLURM"),
        (MPI, "Open MPI"),  # version 5, which names no host
        (POD | without(PLAIN, "JAX_COORDINATOR_ADDRESS", "JAX_PROCESS_ID"), "Kubernetes"),
        (without(TPU, "TPU_WORKER_HOSTNAMES") | {"TPU_PROCESS_ADDRESSES": "host-0,host-1"}, "Cloud TPU"),
    ],
)
def test_what_jax_cannot_find_is_an_error_with_a_remedy(environ, source):
    done = processes.run("-c", START, env=os.environ | environ)
    assert done.returncode == 1, done.stdout
    assert f"error: environment (by {source}): " in done.stderr.splitlines()[-1]
    assert "set JAX_COORDINATOR_ADDRESS to HOST:PORT of process 0" in done.stderr


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def place(port: int, count: int, index: int) -> dict[str, str]:
    return {
        "JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{port}",
        "JAX_NUM_PROCESSES": str(count),
        "JAX_PROCESS_ID": str(index),
    }


def spawn(command: list, environ: dict[str, str]) -> subprocess.Popen | processes.Process:
    arguments = list(map(str, command))
    if arguments[0] == sys.executable:
        return processes.start(*arguments[1:], env=os.environ | environ, cwd=ROOT)
    return subprocess.Popen(arguments, env=os.environ | environ, cwd=ROOT, stdout=-1, stderr=-1, text=True)


def finish(running: list[subprocess.Popen], timeout: float = 400) -> list[tuple[int, str, str]]:
    try:
        outputs = [process.communicate(timeout=timeout) for process in running]
    finally:
        for process in running:
            process.kill()
    return [(process.returncode, *output) for process, output in zip(running, outputs, strict=True)]


def run_alone(workdir: Path) -> tuple[int, str, str]:
    return finish([spawn([sys.executable, "-m", "ecg_jax.main", *FLAGS, f"--workdir={workdir}"], {})])[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    "index, said", [(0, "not all 2 processes came within 2 s"), (1, "has waited 2 s for process 0, which does not")]
)
def test_processes_that_do_not_come_end_the_others_in_one_line_and_bounded_time(tmp_path, index, said):
    port = free_port()
    environ = place(port, 2, index) | {"ECG_JAX_JOIN_TIMEOUT": "2"}
    started = time.monotonic()
    command = [sys.executable, "-m", "ecg_jax.main", *FLAGS, f"--workdir={tmp_path / 'run'}"]
    ((status, _, stderr),) = finish([spawn(command, environ)], 100)
    assert status == 1
    assert len(stderr.strip().splitlines()) == 1, stderr
    assert stderr.startswith(f"error: 127.0.0.1:{port} (by JAX_COORDINATOR_ADDRESS): ")
    assert said in stderr
    assert time.monotonic() - started < 60  # of which importing takes most
    assert not (tmp_path / "run").exists()


def read_metrics(workdir: Path) -> list[dict]:
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def assert_close(workdir: Path, reference: Path) -> None:
    """The same steps with the same losses, and the same end, up to float32 rounding (which Adam amplifies)."""
    found, expected = read_metrics(workdir), read_metrics(reference)
    assert [(line["step"], line["kind"]) for line in found] == [(line["step"], line["kind"]) for line in expected]
    for key, tolerance in (("loss", 1e-4), ("learning_rate", 0.0)):
        values, wanted = ([line[key] for line in lines if key in line] for lines in (found, expected))
        np.testing.assert_allclose(values, wanted, rtol=0, atol=tolerance, err_msg=key)
    (step, state), (last, other) = read_state(workdir), read_state(reference)
    assert (step, state.keys()) == (last, other.keys())
    for path, leaf in state.items():
        np.testing.assert_allclose(leaf, other[path], rtol=0, atol=1e-3, err_msg=path)


def read_state(workdir: Path) -> tuple[int, dict[str, np.ndarray]]:
    handlers = {"state": ocp.StandardCheckpointHandler(), "records": ocp.JsonCheckpointHandler()}
    with ocp.CheckpointManager(workdir / "checkpoints" / "last", item_handlers=handlers) as manager:
        step = manager.latest_step()
        stored = manager.item_metadata(step)["state"].tree
        template = jax.tree.map(lambda leaf: np.empty(leaf.shape, leaf.dtype), stored)
        tree = manager.restore(step, args=ocp.args.Composite(state=ocp.args.StandardRestore(template)))["state"]
    flat = {path: np.asarray(leaf) for path, leaf in ocp.tree.to_flat_dict(tree, sep="/").items()}
    return step, {path: leaf for path, leaf in flat.items() if leaf.dtype.kind == "f"}


def assert_every_recording_once(workdir: Path) -> None:
    table = pd.read_csv(workdir / "predictions.csv")
    assert table["recording"].is_unique
    assert table["split"].value_counts().to_dict() == {"validation": 16, "test": 17}
    assert table.filter(like="_raw").notna().all(axis=None)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The uninterrupted run of one process."""
    workdir = tmp_path_factory.mktemp("alone")
    status, _, stderr = run_alone(workdir)
    assert status == 0, stderr
    return workdir


@pytest.mark.slow
def test_two_processes_compute_what_one_does(tmp_path, alone):
    workdir = tmp_path / "run"
    ((status, stdout, stderr),) = finish(
        [spawn([sys.executable, PODS / "local.py", 2, *FLAGS, f"--workdir={workdir}"], {})]
    )
    assert status == 0, stderr
    assert "2 process(es)" in stdout
    assert stdout.count("Run folder") == 1
    assert_close(workdir, alone)
    assert_every_recording_once(workdir)
    assert_every_recording_once(alone)


SRUN = """#!{python}
import os, sys

sys.path.insert(0, {tests!r})
import processes

if __name__ == "__main__":  # which the server that forks imports too
    command = sys.argv[1:][[argument == "python" for argument in sys.argv[1:]].index(True):]
    assert command[:3] == ["python", "-m", "ecg_jax.main"], command
    step = {{"SLURM_JOB_ID": os.environ["JOB"], "SLURM_STEP_NODELIST": "127.0.0.1", "SLURM_STEP_NUM_NODES": "1"}}
    step |= {{"SLURM_STEP_NUM_TASKS": "4", "SLURM_NTASKS": "4"}}
    tasks = [
        processes.start(
            {worker!r},
            "0.2",
            *command[3:],
            env=os.environ | step | {{"SLURM_PROCID": str(k), "SLURM_LOCALID": str(k)}},
        )
        for k in range(4)
    ]
    open(os.environ["PIDS"], "w").write(" ".join(str(task.pid) for task in tasks))
    statuses = [abs(task.wait()) for task in tasks]
    for task in tasks:
        for file, text in zip((sys.stdout, sys.stderr), task.read()):
            file.write(text)
    sys.exit(max(statuses))
"""


def start_slurm(folder: Path, workdir: Path) -> tuple[subprocess.Popen, Path]:
    """Runs the batch script with an srun that starts four tasks here."""
    (folder / "bin").mkdir()
    srun = folder / "bin" / "srun"
    srun.write_text(
        SRUN.format(python=sys.executable, worker=str(WORKERS / "paced.py"), tests=str(Path(__file__).parent))
    )
    srun.chmod(0o755)
    port = next(port for port in (free_port() for _ in range(1000)) if port >= 2**15)
    batch = {  # of four tasks, in a job whose number is that of a free port where JAX counts from
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        "JOB": str(port),
        "JAX_COORDINATOR_PORT": str(port),
        "PIDS": str(folder / "pids"),
        "SLURM_JOB_ID": str(port),
        "SLURM_NTASKS": "4",
        "WORKDIR": str(workdir),
    }
    return spawn(["bash", PODS / "slurm.sh", *FLAGS], batch), folder / "pids"


def start_jobset(workdir: Path) -> list[subprocess.Popen]:
    """Runs the container of the JobSet once for each of its pods."""
    jobset = yaml.safe_load((PODS / "jobset.yaml").read_text())
    assert (jobset["apiVersion"], jobset["kind"]) == ("jobset.x-k8s.io/v1alpha2", "JobSet")
    (job,) = jobset["spec"]["replicatedJobs"]
    spec = job["template"]["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    environ = {entry["name"]: entry["value"] for entry in container["env"]}
    host, port = environ["JAX_COORDINATOR_ADDRESS"].split(":")
    name = jobset["metadata"]["name"]
    assert host == f"{name}-{job['name']}-0-0.{name}"  # as JobSet names pod 0
    assert [int(port)] == [entry["containerPort"] for entry in container["ports"]]
    assert spec["completionMode"] == "Indexed"
    assert spec["completions"] == spec["parallelism"] == int(environ["JAX_NUM_PROCESSES"]) > 1
    assert container["resources"]["limits"]["nvidia.com/gpu"]
    assert container["command"] == ["python", "-m", "ecg_jax.main"]
    environ["JAX_COORDINATOR_ADDRESS"] = f"127.0.0.1:{free_port()}"
    command = [sys.executable, WORKERS / "paced.py", "0.2", *container["args"], *FLAGS, f"--workdir={workdir}"]
    return [spawn(command, environ | POD | {"JOB_COMPLETION_INDEX": str(k)}) for k in range(spec["completions"])]


def last_step(workdir: Path) -> int:
    """Of the newest whole checkpoint; 0 before there is one."""
    return max((int(path.name) for path in workdir.glob("checkpoints/last/*") if path.name.isdigit()), default=0)


def wait_for_step(workdir: Path, step: int, running: list[subprocess.Popen]) -> None:
    deadline = time.monotonic() + 300
    while last_step(workdir) < step:
        assert time.monotonic() < deadline
        assert all(process.poll() is None for process in running), finish(running)
        time.sleep(0.05)


@pytest.mark.parametrize("name", ["slurm.sh", "jobset.yaml"])
def test_the_files_that_launch_name_what_there_is(name):
    text = (PODS / name).read_text()
    if name.endswith(".sh"):
        assert subprocess.run(["bash", "-n", PODS / name], check=False).returncode == 0
    keys = re.findall(r"--(config\.[\w.]+)=", text)
    assert keys
    for key in keys:
        config_lib.check_key(key)
    assert (ROOT / re.search(r"--config=(\S+)", text)[1]).is_file()


@pytest.mark.slow
def test_a_run_goes_on_with_fewer_processes_and_ends_as_one_uninterrupted(tmp_path, alone):
    """Four tasks of SLURM, then two pods of a JobSet, then one process; a signal to one of them stops all."""
    workdir = tmp_path / "run"
    slurm, pids = start_slurm(tmp_path, workdir)
    try:
        wait_for_step(workdir, 1, [slurm])
        os.kill(int(pids.read_text().split()[2]), signal.SIGTERM)
        ((status, stdout, stderr),) = finish([slurm])
    finally:
        if pids.exists():
            for pid in pids.read_text().split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
    assert status == 130, stdout + stderr
    assert "4 process(es)" in stdout
    assert "named by SLURM" in stdout
    first = last_step(workdir)
    assert f"at step {first}; the state is saved" in stdout
    assert 1 <= first < STEPS - 2

    pods = start_jobset(workdir)
    wait_for_step(workdir, first + 1, pods)
    pods[0].send_signal(signal.SIGTERM)
    stopped = finish(pods)
    assert [status for status, _, _ in stopped] == [130, 130], stopped
    assert f"Continuing from step {first} of {STEPS}" in stopped[0][1]
    second = last_step(workdir)
    assert first < second < STEPS

    status, stdout, stderr = run_alone(workdir)
    assert status == 0, stderr
    assert f"Continuing from step {second} of {STEPS}" in stdout
    assert_close(workdir, alone)
    assert_every_recording_once(workdir)


@pytest.mark.slow
def test_a_killed_process_ends_the_others_and_the_same_command_continues(tmp_path, alone):
    workdir = tmp_path / "run"
    port = free_port()
    points = ["never", "step:7"]
    running = [
        spawn(
            [sys.executable, WORKERS / "killed.py", point, *FLAGS, f"--workdir={workdir}"],
            place(port, 2, index) | {"ECG_JAX_HEARTBEAT_TIMEOUT": "10"},
        )
        for index, point in enumerate(points)
    ]
    assert running[1].wait(200) == -signal.SIGKILL
    died = time.monotonic()
    (status, stdout, stderr), _ = finish(running, 60)
    assert status != 0, stdout + stderr
    assert time.monotonic() - died < 10 + 10  # heartbeats are looked at every few seconds
    kept = last_step(workdir)
    assert kept >= 4
    status, stdout, stderr = run_alone(workdir)
    assert status == 0, stderr
    assert f"Continuing from step {kept} of {STEPS}" in stdout
    assert_close(workdir, alone)


def create_batches(count: int, index: int):
    sizes = {"train": 21, "validation": 2, "test": 2}
    dataset = datasets.create("simulated", source="", labels="six", seed=3, options={"simulated": sizes})
    source = FileSource(dataset, InputContract(samples=256))
    order = Order(dataset, 5, batch_size=8)
    return read_steps(source, order, process_index=index, process_count=count)


def test_any_number_of_processes_reads_the_same_batches_from_any_step_on():
    expected = list(itertools.islice(create_batches(1, 0), 4))
    position = None
    for step, count in enumerate((4, 2, 1, 8)):
        parts = []
        for index in range(count):
            batches = create_batches(count, index)
            if position is not None:
                batches.set_state(position)
            parts.append(next(batches))
            reached = batches.get_state()
        position = reached
        order = np.argsort(np.concatenate([part["index"] for part in parts]))
        for key, value in expected[step].items():
            np.testing.assert_array_equal(np.concatenate([part[key] for part in parts])[order], value, err_msg=key)


def test_a_batch_that_the_processes_do_not_divide_is_an_error():
    with pytest.raises(InputError, match=r"train.batch_size is 8, which 3 processes do not divide"):
        create_batches(3, 0)
    with pytest.raises(InputError, match=r"which 16 processes do not divide"):  # more processes than places
        create_batches(16, 0)
