"""How a run spends its time: a clock for its log lines, a trace of some steps for a viewer."""

import glob
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import jax
from rich.console import Console

STARTING, COMPILING, INPUT, TRAINING = "starting", "compiling", "waiting for input", "training"
VALIDATING, CHECKPOINTING, EVALUATING, PROFILING = "validating", "checkpointing", "evaluating", "writing a profile"
MEASURED = (  # of a log line: time and memory, which differ from run to run
    *("ecg_per_s", "step_s", "input_s", "compute_s", "checkpoint_s", "evaluation_s"),
    *("mfu", "device_memory_gb", "host_memory_gb"),
)
_FIRST_TRACED, _TRACED = 10, 11


def _say_nothing() -> str:
    return ""


class Activity(NamedTuple):
    """What a run is doing.

    Attributes:
        phase: One of the names above.
        since: When that began, on the monotonic clock.
        describe: Returns what it waits for; called only if that takes long.
    """

    phase: str
    since: float
    describe: Callable[[], str] = _say_nothing


class StepClock:
    """Splits a run's time into phases, without waiting for the devices.

    JAX dispatches steps without waiting for them. So the time to compute is that between two log lines, where
    the loop waits for the devices, less the other phases; and a wait for input counts only if the devices had
    run out of work when it ended.

    Attributes:
        step: Steps made so far.
        activity: What the run is doing; another thread may look.
    """

    def __init__(self) -> None:
        self.step = 0
        self.activity = Activity(STARTING, time.monotonic())
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._begin: tuple[int, float] | None = None

    def enter(self, phase: str) -> None:
        """Begins a phase that lasts until the next one."""
        self.activity = Activity(phase, time.monotonic())

    @contextmanager
    def during(
        self,
        phase: str,
        describe: Callable[[], str] = _say_nothing,
        counts: Callable[[], bool] = lambda: True,
    ) -> Iterator[None]:
        """A phase inside another one, which continues afterwards; it is named in a trace.

        Args:
            phase: Its name.
            describe: See `Activity`.
            counts: Called at its end: whether its time is subtracted from the steps'.
        """
        outer, begin = self.activity, time.monotonic()
        self.activity = Activity(phase, begin, describe)
        try:
            with jax.profiler.TraceAnnotation(phase):
                yield
        finally:
            end = time.monotonic()
            if outer.phase == TRAINING and counts():
                self._seconds[phase] += end - begin
            self.activity = outer._replace(since=end)

    def restart(self) -> None:
        """Measures from here, once the devices have finished what came before."""
        self._seconds.clear()
        self._begin = self.step, time.monotonic()

    def read(self, batch_size: int) -> dict[str, float]:
        """Measures the steps since the last call (or `restart`), and restarts.

        Args:
            batch_size: ECGs per step.

        Returns:
            `step_s` and its parts `input_s`, `compute_s`, `checkpoint_s` and `evaluation_s`, all in
            seconds per step, and `ecg_per_s`, evaluations left out; nothing where no step was measured.
        """
        begin, spent, now = self._begin, dict(self._seconds), time.monotonic()
        self.restart()
        if begin is None or self.step == begin[0]:
            return {}
        steps = self.step - begin[0]
        input_s, checkpoint_s, evaluation_s = (
            spent.get(phase, 0.0) / steps for phase in (INPUT, CHECKPOINTING, VALIDATING)
        )
        step_s = (now - begin[1] - spent.get(PROFILING, 0.0)) / steps
        return {
            "ecg_per_s": batch_size / (step_s - evaluation_s),
            "step_s": step_s,
            "input_s": input_s,
            "compute_s": step_s - input_s - checkpoint_s - evaluation_s,
            "checkpoint_s": checkpoint_s,
            "evaluation_s": evaluation_s,
        }


class Trace:
    """The tenth to the twentieth call of this process's step as a trace; of a shorter run, its second half."""

    def __init__(self, folder: str, calls: int, clock: StepClock, console: Console) -> None:
        """Prepares it.

        Args:
            folder: Where it is written.
            calls: Number of steps of this process; 0 for no trace.
            clock: Receives the time that writing takes.
            console: For the place of the trace, and how to open it.
        """
        self._folder, self._clock, self._console = folder, clock, console
        first = min(_FIRST_TRACED, calls // 2 + 1)
        self._traced = range(first, first + _TRACED) if calls else range(0)  # calls, counted from 1
        self._call = 0
        self._steps: list[int] = []
        self._is_tracing = False

    @contextmanager
    def step(self, step: int) -> Iterator[None]:
        """Surrounds a step, and numbers it in the trace."""
        self._call += 1
        if self._traced and self._call == self._traced.start:
            self._start()
        with jax.profiler.StepTraceAnnotation("train", step_num=step):
            yield
        if self._is_tracing:
            self._steps.append(step)

    def _start(self) -> None:
        options = jax.profiler.ProfileOptions()
        options.python_tracer_level = 0  # calls of Python would hide the rest
        with self._warning():
            jax.profiler.start_trace(self._folder, create_perfetto_trace=True, profiler_options=options)
            self._is_tracing = True

    def finish(self, result: object) -> None:
        """Ends the trace after its last step, once its result is computed."""
        if self._is_tracing and self._call + 1 == self._traced.stop:
            jax.block_until_ready(result)
            self.close()

    def close(self) -> None:
        """Writes the trace so far."""
        if not self._is_tracing:
            return
        self._is_tracing = False
        with self._warning(), self._clock.during(PROFILING):
            jax.profiler.stop_trace()
            if self._steps:  # the first one may have failed
                self._console.print(
                    f"Profile of steps {self._steps[0]} to {self._steps[-1]}: open {self._find_newest()} in "
                    f"https://ui.perfetto.dev, or pip install xprof and run xprof --logdir={self._folder}"
                )

    def _find_newest(self) -> str:
        found = glob.glob(os.path.join(glob.escape(self._folder), "**", "*perfetto_trace.json.gz"), recursive=True)
        return max(found, key=os.path.getmtime, default="")

    @contextmanager
    def _warning(self) -> Iterator[None]:
        """A profiler that fails does not end the run."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - profilers raise many kinds
            self._console.print(f"warning: no profile: {' '.join(str(error).split())[:200]}", style="yellow")
