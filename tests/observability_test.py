"""What a run tells of itself: times, memory, signs of life, a trace."""

import contextlib
import dataclasses
import gzip
import io
import json
import threading
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax._src.array import ArrayImpl
from rich.console import Console

from configs import smoke
from ecg_jax import models
from ecg_jax.runtime import hardware, heartbeat, parallel, profile, run_folder
from ecg_jax.runtime.profile import CHECKPOINTING, INPUT, MEASURED, TRAINING, VALIDATING, StepClock
from ecg_jax.training import loop, run_data, step_log

STEPS, LOG_EVERY, EVAL_EVERY = 24, 6, 12


def test_the_clock_splits_a_step_into_its_parts(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(profile.time, "monotonic", lambda: now[0])

    def spend(seconds: float, phase: str = "", **options) -> None:
        with clock.during(phase, **options) if phase else contextlib.nullcontext():
            now[0] += seconds

    clock = StepClock()
    spend(50)
    clock.enter(TRAINING)
    assert clock.read(8) == {}
    clock.restart()
    spend(1, INPUT, counts=lambda: False)  # the devices were busy meanwhile
    spend(2, INPUT, counts=lambda: True)
    spend(3)
    spend(0.5, CHECKPOINTING)
    with clock.during(VALIDATING):
        spend(4)
        spend(6, INPUT)  # an evaluation's own
    spend(99, profile.PROFILING)
    clock.step = 2
    assert clock.read(8) == {
        "ecg_per_s": 8 / 3.25,
        "step_s": 8.25,
        "input_s": 1.0,
        "compute_s": 2.0,
        "checkpoint_s": 0.25,
        "evaluation_s": 5.0,
    }
    assert clock.read(8) == {}
    spend(1)
    clock.step = 3
    assert clock.read(8)["compute_s"] == 1.0
    assert (clock.activity.phase, clock.activity.since) == (TRAINING, 265.5)


def test_a_log_line_stays_readable():
    values = {"loss": 0.34567, "learning_rate": 1e-3, "ecg_per_s": 12345.6, "step_s": 0.04, "input_s": 0.001}
    values |= {"compute_s": 0.028, "checkpoint_s": 0.001, "evaluation_s": 0.01, "mfu": 0.451}
    values |= {"device_memory_gb": 71.23, "host_memory_gb": 1.234}
    line = step_log.describe(values, 10_000, 105_000)
    assert line == (
        "step  10000/105000  loss 0.3457  lr 1.0e-03  12346 ECG/s  input 3% compute 93% save 3%  MFU 45%  71+1.2 GB  "
        "63:20 left"
    )
    assert len(line) < 120
    assert step_log.describe({"loss": 1.0, "learning_rate": 0.1, "host_memory_gb": 1.0}, 1, 2).endswith("  1.0 GB")


@pytest.mark.parametrize(
    "kind, tflops",
    [
        ("NVIDIA H100 80GB HBM3", 989.5),
        ("NVIDIA H100 PCIe", 756.5),
        ("NVIDIA H200", 989.5),
        ("NVIDIA A100-SXM4-80GB", 312),
        ("NVIDIA A10", 125),
        ("NVIDIA L40S", 362),
        ("TPU v5 lite", 197),
        ("TPU v5", 459),
        ("NVIDIA H100 80GB HBM3 MIG 1g.10gb", None),
        ("cpu", None),
    ],
)
def test_the_peak_of_a_device_is_the_published_one_or_unknown(kind, tflops):
    assert hardware.find_peak_flops(kind) == (tflops and tflops * 1e12)


@pytest.mark.parametrize("convolution", ["auto", "direct"])
def test_operations_are_those_of_the_direct_network(convolution):
    network = models.create("narrow", head="dense", num_labels=6, convolution=convolution)
    counted = hardware.count_flops(network, models.shapes(network, (4096, 12)), (4096, 12))
    taps, width, total, samples = 16, 16, 0, 4096
    total += samples * taps * 12 * 16  # the stem
    for filters in (32, 48, 64, 80):
        total += samples * taps * width * filters  # the unit's first convolution
        samples //= 4
        total += samples * taps * filters * filters + samples * width * filters  # its second, and the shortcut
        width = filters
    total += samples * width * 6
    assert counted == 2 * total


def test_the_heartbeat_tells_what_the_run_does_and_that_it_ended(tmp_path):
    clock = StepClock()
    clock.enter(TRAINING)
    clock.step = 7
    path = tmp_path / "heartbeat.json"
    with heartbeat.Heartbeat(str(tmp_path), clock, stall_warning=0, interval=0.02):
        with clock.during(INPUT):
            time.sleep(0.2)
            beat = json.loads(path.read_text())
            assert (beat["step"], beat["phase"], beat["process"]) == (7, INPUT, 0)
            assert 0.05 < beat["phase_s"] < 10
            assert abs(beat["time"] - time.time()) < 10
        time.sleep(0.2)
        assert json.loads(path.read_text())["phase"] == TRAINING
    assert json.loads(path.read_text())["phase"] == heartbeat.ENDED
    assert not list(tmp_path.glob("*.tmp"))


def test_the_watchdog_warns_at_growing_intervals_and_only_of_input(tmp_path, capsys):
    clock = StepClock()
    with heartbeat.Heartbeat(str(tmp_path), clock, stall_warning=0.1):
        with clock.during(VALIDATING):
            time.sleep(0.3)
        with clock.during(INPUT, lambda: "the batch of step 3"):
            time.sleep(1.1)
    lines = capsys.readouterr().err.splitlines()
    assert 2 <= len(lines) <= 4  # at 0.1, 0.2, 0.4 and 0.8 s
    assert all(
        line.startswith("warning: no input for ") and line.endswith("waiting for the batch of step 3") for line in lines
    )


@dataclasses.dataclass
class Done:
    """A run, and what was seen of it."""

    workdir: Path
    stdout: str = ""
    stderr: str = ""
    calls: int = 0  # of the train step
    stalled: list[str] = dataclasses.field(default_factory=list)  # the recording whose reading took long
    synchronized: set[int] = dataclasses.field(default_factory=set)  # calls after which the loop waited for the device
    phases: set[str] = dataclasses.field(default_factory=set)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    config = smoke.get_config()
    config.contract.samples = 256
    config.model.variant.units = 1
    config.data.cache_gb = 0.0
    config.train.update(steps=STEPS, log_every=LOG_EVERY, eval_every=EVAL_EVERY)
    config.evaluation.update(resamples=10, report=False)
    config.runtime.update(stall_warning=0.5, peak_tflops=1.0)
    seen = Done(tmp_path_factory.mktemp("observed"))
    output, errors = io.StringIO(), io.StringIO()
    console = Console(file=output, width=120, soft_wrap=True, highlight=False)
    dataset = run_data.open_dataset(config, str(seen.workdir), console)
    loops, value, write = threading.current_thread(), ArrayImpl._value.fget, run_folder.write_json

    def read(row: int):
        if seen.calls >= 2 and not seen.stalled:
            seen.stalled.append(str(dataset.ids[row]))
            time.sleep(3)
        return dataset.read(row)

    def note(*_: object) -> None:
        if threading.current_thread() is loops:
            seen.synchronized.add(seen.calls)

    def compile_train(self, step):
        compiled = original(self, step)

        def call(state, batch):
            state = compiled(state, batch)
            seen.calls += 1
            return state

        return call

    def write_json(path, values):
        seen.phases |= {values["phase"]} if "heartbeat" in path else set()
        write(path, values)

    original = parallel.Parallel.compile_train

    def noting(function):  # NumPy reads an array on a CPU without telling it
        def noted(array, *args, **options):
            if isinstance(array, ArrayImpl):
                note()
            return function(array, *args, **options)

        return noted

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parallel.Parallel, "compile_train", compile_train)
        patch.setattr(ArrayImpl, "_value", property(lambda self: (note(), value(self))[1]))
        patch.setattr(ArrayImpl, "block_until_ready", noting(ArrayImpl.block_until_ready))
        patch.setattr(np, "asarray", noting(np.asarray))
        patch.setattr(np, "array", noting(np.array))
        patch.setattr(jax, "block_until_ready", lambda tree: (note(), tree)[1])
        patch.setattr(run_folder, "write_json", write_json)
        patch.setattr(heartbeat.Heartbeat.__init__, "__kwdefaults__", {"interval": 0.01})
        with contextlib.redirect_stderr(errors):
            loop.train_and_evaluate(
                config, str(seen.workdir), console, dataclasses.replace(dataset, read=read), profile=True
            )
        for seen.calls, wait in enumerate((np.asarray, np.array, float, jax.block_until_ready), start=STEPS + 1):
            wait(jnp.ones(()) + 1)
    return dataclasses.replace(seen, stdout=output.getvalue(), stderr=errors.getvalue())


@pytest.mark.slow
def test_between_log_lines_nothing_waits_for_the_device(done):
    logged = set(range(LOG_EVERY, STEPS + 1, LOG_EVERY))
    compiled, traced = {1}, {20}  # once each
    controls = {STEPS + 1, STEPS + 2, STEPS + 3, STEPS + 4}  # what waits is noticed
    assert done.synchronized - {0} == logged | compiled | traced | controls


@pytest.mark.slow
def test_every_log_line_tells_of_time_and_memory(done):
    lines = [json.loads(line) for line in (done.workdir / "metrics.jsonl").read_text().splitlines()]
    train = [line for line in lines if line["kind"] == "train"]
    assert [line["step"] for line in train] == [6, 12, 18, 24]
    for line in train:
        assert set(MEASURED) - {"device_memory_gb"} <= line.keys()
        parts = (line[f"{part}_s"] for part in ("input", "compute", "checkpoint", "evaluation"))
        assert line["step_s"] == pytest.approx(sum(parts))
        assert line["mfu"] > 0
        assert 0.1 < line["host_memory_gb"] < 20
    assert train[2]["evaluation_s"] > 0 == train[1]["evaluation_s"]
    assert train[2]["checkpoint_s"] > 0 == train[1]["checkpoint_s"]
    shown = [line for line in done.stdout.splitlines() if line.startswith("step") and "ECG/s" in line]
    assert len(shown) == 4
    assert all("input" in line and "compute" in line and "MFU" in line and len(line) < 120 for line in shown)
    (events,) = (done.workdir / "tensorboard").iterdir()
    assert all(f"train/{name}".encode() in events.read_bytes() for name in ("input_s", "mfu", "host_memory_gb"))


@pytest.mark.slow
def test_a_stalled_input_is_named_and_the_run_goes_on(done):
    lines = [line for line in done.stderr.splitlines() if "the batch of step" in line]
    longest = [line for line in lines if line.startswith("warning: no input for 2 s; waiting for the batch of step ")]
    assert any(" of simulated: train-" in line and done.stalled[0] in line for line in longest)


@pytest.mark.slow
def test_the_heartbeat_went_through_the_phases_of_a_run(done):
    assert {"compiling", "waiting for input", "training", "validating", "ended"} <= done.phases
    assert json.loads((done.workdir / "heartbeat.json").read_text())["step"] == STEPS


@pytest.mark.slow
def test_the_trace_holds_the_steps_and_what_the_host_did(done):
    assert "Profile of steps 10 to 20: open " in done.stdout
    path = done.stdout.split("Profile of steps 10 to 20: open ")[1].split(" in https")[0]
    assert path.startswith(str(done.workdir / "profile"))
    events = json.loads(gzip.decompress(Path(path).read_bytes()))["traceEvents"]
    steps = [int(event["args"]["step_num"]) for event in events if event.get("name") == "train"]
    assert sorted(steps) == [*range(10, 21)]
    assert {"waiting for input", "validating", "checkpointing"} <= {event.get("name") for event in events}
    assert list((done.workdir / "profile").rglob("*.xplane.pb"))


def test_a_profiler_that_fails_ends_nothing(tmp_path, monkeypatch):
    def fail(*args: object, **options: object) -> None:
        raise RuntimeError("no profiler here")

    monkeypatch.setattr(jax.profiler, "start_trace", fail)
    output = io.StringIO()
    trace = profile.Trace(str(tmp_path), 3, StepClock(), Console(file=output))
    for step in range(3):
        with trace.step(step):
            pass
        trace.finish(step)
    trace.close()
    assert output.getvalue().strip() == "warning: no profile: no profiler here"
