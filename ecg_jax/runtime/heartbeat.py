"""Signs of life: a file that says what a run is doing, and a warning when its input stalls."""

import contextlib
import os
import sys
import threading
import time

import jax

from ecg_jax.runtime import run_folder
from ecg_jax.runtime.profile import INPUT, Activity, StepClock

ENDED = "ended"


class Heartbeat:
    """A thread that writes what a `StepClock` shows; a context manager.

    `heartbeat.json` (`heartbeat-K.json` in process K of several) holds `time` (seconds since
    1970), `process`, `step`, `phase` and `phase_s`, the seconds since that phase began. The thread
    writes it at any time: the same `step` with a growing `phase_s` is a stall,
    the same `time` is a process that has ended.
    """

    def __init__(self, workdir: str, clock: StepClock, *, stall_warning: float, interval: float = 10.0) -> None:
        """Prepares it.

        Args:
            workdir: The run folder.
            clock: The run's.
            stall_warning: Seconds of waiting for input after which a line on stderr says so, again
                after twice as long, and so on; 0 for never. The run continues to wait.
            interval: Seconds between two writes.
        """
        suffix = f"-{jax.process_index()}" if jax.process_count() > 1 else ""
        self._path = os.path.join(workdir, f"heartbeat{suffix}.json")
        self._process = jax.process_index()
        self._clock = clock
        self._stall_warning = stall_warning
        self._interval = interval
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def __enter__(self) -> "Heartbeat":
        self._thread.start()
        return self

    def __exit__(self, *rest: object) -> None:
        self._stopped.set()
        self._thread.join()
        self._write(Activity(ENDED, time.monotonic()))

    def _run(self) -> None:
        pause = min(1.0, self._interval / 2, (self._stall_warning or 1.0) / 4)
        written, stalled, due = -float("inf"), self._clock.activity, self._stall_warning
        while True:
            activity, now = self._clock.activity, time.monotonic()
            if now - written >= self._interval:
                self._write(activity)
                written = now
            if activity is not stalled:
                stalled, due = activity, self._stall_warning
            elif due and activity.phase == INPUT and now - activity.since >= due:
                _warn(activity, now)
                due *= 2
            if self._stopped.wait(pause):
                return

    def _write(self, activity: Activity) -> None:
        values = {
            "time": round(time.time(), 3),
            "process": self._process,
            "step": self._clock.step,
            "phase": activity.phase,
            "phase_s": round(time.monotonic() - activity.since, 3),
        }
        with contextlib.suppress(OSError):  # the run itself notices a full disk
            run_folder.write_json(self._path, values)


def _warn(activity: Activity, now: float) -> None:
    line = f"warning: no input for {now - activity.since:.0f} s; waiting for {activity.describe()}"
    print(line, file=sys.stderr, flush=True)
