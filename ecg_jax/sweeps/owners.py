"""Which process runs a trial, and whether it is alive.

A process on this machine holds a lock on a file, which ends with it. A process on another machine counts up the
attribute `beat` of its trial.
"""

import contextlib
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator

import optuna
from optuna.trial import FrozenTrial

from ecg_jax.runtime import locks
from ecg_jax.sweeps.database import ERRORS

FOLDER = "owners"
MISSED = 4  # beats that may be missed


class Owners:
    """The processes of a sweep, as one of them sees them."""

    def __init__(self, workdir: str, heartbeat: int) -> None:
        """Makes the folder of the locks.

        Args:
            workdir: The sweep's folder.
            heartbeat: Seconds between beats.
        """
        self._folder = os.path.join(workdir, FOLDER)
        os.makedirs(self._folder, exist_ok=True)
        self._heartbeat = heartbeat
        self._guard = threading.Lock()
        self._file = -1
        self._name = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._seen: dict[int, tuple[int | None, float, float]] = {}  # by trial: beat, when, seconds of silence

    def live(self) -> str:
        """Holds the lock from now on, as long as this process lives; returns the name of this process."""
        with self._guard:
            if self._file < 0:
                self._file = os.open(os.path.join(self._folder, self._name), os.O_RDWR | os.O_CREAT)
                locks.take(self._file)
        return self._name

    @contextlib.contextmanager
    def beat(self, trial: optuna.Trial, check: Callable[[], None]) -> Iterator[Callable[[], bool]]:
        """Counts up the beat of a trial of this process, and calls `check` every second, until the end of the block.

        Yields a function that tells whether another process has taken over the trial.
        """
        over, lost = threading.Event(), threading.Event()

        def run() -> None:
            last, count = time.monotonic(), 0
            while not over.wait(1.0):
                check()
                if time.monotonic() - last < self._heartbeat:
                    continue
                last, count = time.monotonic(), count + 1
                try:
                    trial.set_user_attr("beat", count)
                except optuna.exceptions.UpdateFinishedTrialError:
                    lost.set()
                except ERRORS:  # the next one may get through
                    pass

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        try:
            yield lost.is_set
        finally:
            over.set()
            thread.join()

    def is_gone(self, trial: FrozenTrial) -> bool:
        """Whether the process that runs a trial is dead, or silent for too long."""
        owner = trial.user_attrs.get("owner")
        if owner is None:  # it died while it claimed the trial
            return True
        silence = self._measure_silence(trial.number, trial.user_attrs.get("beat"))
        is_alive = self._is_alive(owner)
        return silence >= MISSED * self._heartbeat if is_alive is None else not is_alive

    def _measure_silence(self, number: int, beat: int | None) -> float:
        """Seconds; no more than one heartbeat between two looks, as the database may have been away for longer."""
        now = time.monotonic()
        last, looked, silence = self._seen.get(number, (beat, now, 0.0))
        silence = silence + min(now - looked, self._heartbeat) if beat == last else 0.0
        self._seen[number] = beat, now, silence
        return silence

    def _is_alive(self, owner: str) -> bool | None:
        """None where this machine cannot tell."""
        if owner == self._name:
            return True
        if owner.rsplit("-", 2)[0] != socket.gethostname():
            return None
        try:
            file = os.open(os.path.join(self._folder, owner), os.O_RDWR)
        except OSError:
            return None  # of another folder with the same database
        try:
            is_free = locks.take(file)
        finally:
            os.close(file)
        return None if is_free is None else not is_free
