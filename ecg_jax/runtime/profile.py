"""How a run spends its time: a clock for its log lines, a trace of some steps for a viewer."""

import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

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
        describe: What it waits for, in words; called only if that takes long.
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
        self._folder = folder
        self._clock = clock
        self._console = console
        self._first = min(_FIRST_TRACED, calls // 2 + 1)
        self._done = 0
        self._steps: list[int] = []
        self._state = "waiting" if calls else "off"

    @contextmanager
    def step(self, step: int) -> Iterator[None]:
        """Surrounds a step, and numbers it in the trace."""
        if self._state == "waiting" and self._done + 1 == self._first:
            self._attempt("tracing", self._start)
        with jax.profiler.StepTraceAnnotation("train", step_num=step):
            yield
        self._done += 1
        if self._state == "tracing":
            self._steps.append(step)

    def _start(self) -> None:
        options = jax.profiler.ProfileOptions()
        options.python_tracer_level = 0  # calls of Python would hide the rest
        jax.profiler.start_trace(self._folder, create_perfetto_trace=True, profiler_options=options)

    def finish(self, result: Any) -> None:
        """Ends the trace after its last step, once its result is computed."""
        if self._state == "tracing" and self._done + 1 == self._first + _TRACED:
            jax.block_until_ready(result)
            self.close()

    def close(self) -> None:
        """Writes the trace so far."""
        if self._state != "tracing":
            return
        with self._clock.during(PROFILING):
            if not self._attempt("written", jax.profiler.stop_trace):
                return
        if not self._steps:  # the first one failed
            return
        found = [os.path.join(root, name) for root, _, names in os.walk(self._folder) for name in names]
        newest = max(
            (path for path in found if path.endswith("perfetto_trace.json.gz")), key=os.path.getmtime, default=""
        )
        self._console.print(
            f"Profile of steps {self._steps[0]} to {self._steps[-1]}: open {newest} in "
            f"https://ui.perfetto.dev, or pip install xprof and run xprof --logdir={self._folder}"
        )

    def _attempt(self, state: str, act: Callable[[], None]) -> bool:
        """Does what must not end a run; returns whether it worked."""
        try:
            act()
        except Exception as error:  # noqa: BLE001 - whatever a profiler raises, training goes on
            self._console.print(f"warning: no profile: {' '.join(str(error).split())[:200]}", style="yellow")
            self._state = "failed"
        else:
            self._state = state
        return self._state == state
