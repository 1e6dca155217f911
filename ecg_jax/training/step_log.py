"""Log lines of a run: what its steps did, how long they took, and whether they can be trusted."""

import jax
import numpy as np
from rich.console import Console

from ecg_jax import models
from ecg_jax.errors import InputError
from ecg_jax.runtime import hardware, run_folder
from ecg_jax.runtime.metric_writer import MetricWriter
from ecg_jax.runtime.profile import StepClock
from ecg_jax.training import optimizers
from ecg_jax.training import setup as setup_lib
from ecg_jax.training.prediction import name_recordings
from ecg_jax.training.setup import Setup
from ecg_jax.training.state import TrainState, Window

_PARTS = {"input": "input", "compute": "compute", "save": "checkpoint"}
_JUDGED_STEPS = 10  # minimum number of steps before a run is ended for skipping most of them


class StepLog:
    """Writes a log line to the console, `metrics.jsonl` and TensorBoard."""

    def __init__(
        self,
        setup: Setup,
        clock: StepClock,
        writer: MetricWriter | None,
        console: Console,
    ) -> None:
        """Reports on the run of `setup`, timed by `clock`; `writer` is None in all processes but the first."""
        self._setup = setup
        self._clock = clock
        self._writer = writer
        self._console = console
        self._flops = _relate_flops(setup)
        self._judged = (0, 0)  # steps and skipped steps since the last comparison

    def report(self, state: TrainState, step: int) -> None:
        """Waits for the devices, and reports the steps since the last log line.

        Raises:
            InputError: when a step was not finite, or too many such steps were skipped.
        """
        setup = self._setup
        values = self._read_window(state)
        timing = self._clock.read(setup.config.train.batch_size)
        values |= timing | hardware.read_memory()
        if timing and self._flops:
            values["mfu"] = timing["ecg_per_s"] * self._flops
        if self._writer:
            self._writer.write(step, "train", values)
        self._console.print(describe(values, step, setup.total_steps))

    def check_finite(self, state: TrainState) -> None:
        """Raises `InputError` when a step since the last log line was not finite and should have stopped the run."""
        bad = int(state.window.bad_step)
        if bad >= 0 and self._setup.config.train.nonfinite == "stop":
            raise InputError(f"{self._name_step(bad)}. {self._remedy()}")

    def _read_window(self, state: TrainState) -> dict[str, float]:
        """Fetches the sums since the last log line and turns them into means."""
        window = jax.tree.map(np.asarray, state.window)
        self.check_finite(state)
        last_update = max(optimizers.count_updates(state.opt_state) - 1, 0)
        values = {
            "loss": float(window.loss_sum / max(window.loss_count, 1)),
            "grad_norm": float(window.grad_norm_sum / max(window.steps, 1)),
            "learning_rate": float(self._setup.schedule(last_update)) * float(state.lr_scale),
        }
        if self._setup.config.train.nonfinite == "skip":
            values["skipped"] = int(window.skipped)
            self._judge_skipped(window)
        return values | ({"dropped": int(window.dropped)} if window.dropped else {})

    def _judge_skipped(self, window: Window) -> None:
        """Warns of skipped steps, and ends a run that skips most of them."""
        steps, skipped = self._judged[0] + int(window.steps), self._judged[1] + int(window.skipped)
        if window.skipped:
            skips = f"{self._name_step(int(window.bad_step))}; {window.skipped} of the last {window.steps} steps"
            if 2 * skipped > max(steps, _JUDGED_STEPS):
                raise InputError(f"{skips} were skipped: more than half recently. {self._remedy()}")
            self._console.print(f"warning: {skips} were skipped", style="yellow")
        self._judged = (0, 0) if steps >= _JUDGED_STEPS else (steps, skipped)

    def _name_step(self, step: int) -> str:
        ids = name_recordings(self._setup.examples.ids(self._setup.order, step))
        return f"the loss or gradient of step {step} is not finite; its batch: {ids}"

    def _remedy(self) -> str:
        kept = run_folder.describe_checkpoint(self._setup.workdir)
        return (
            f"{kept[0].upper()}{kept[1:]}; look at these recordings, or lower "
            "config.optimizer.learning_rate or set config.optimizer.clip_norm, in another --workdir"
        )


def describe(values: dict[str, float], step: int, total: int) -> str:
    """A log line; shares are of the time between evaluations, memory is the device's peak + the process's."""
    line = f"step {step:>6}/{total}  loss {values['loss']:.4f}  lr {values['learning_rate']:.1e}"
    if "step_s" in values:
        between = values["step_s"] - values["evaluation_s"]
        shares = {name: values[f"{key}_s"] / between for name, key in _PARTS.items()}
        line += f"  {values['ecg_per_s']:.{0 if values['ecg_per_s'] >= 100 else 1}f} ECG/s  "
        line += " ".join(f"{name} {share:.0%}" for name, share in shares.items() if name != "save" or share >= 0.005)
    if "mfu" in values:
        line += f"  MFU {values['mfu']:.0%}"
    memory = [values[key] for key in ("device_memory_gb", "host_memory_gb") if key in values]
    line += f"  {'+'.join(f'{size:.{0 if size >= 10 else 1}f}' for size in memory)} GB"
    if "step_s" in values:
        left = int((total - step) * values["step_s"])
        line += f"  {left // 60}:{left % 60:02d} left"
    return line


def _relate_flops(setup: Setup) -> float | None:
    """Seconds of all devices at peak speed for training on one ECG; None where that speed is unknown."""
    peak = setup.config.runtime.peak_tflops * 1e12 or hardware.find_peak_flops(jax.devices()[0].device_kind)
    if not peak:
        return None
    network = setup_lib.create_network(setup.config, len(setup.examples.dataset.label_names))
    shape = setup.examples.contract.shape
    forward = hardware.count_flops(network, models.shapes(network, shape), shape)
    return 3 * forward / (peak * jax.device_count())
