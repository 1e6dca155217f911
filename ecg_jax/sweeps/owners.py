"""Who runs a trial, and whether they live.

On this machine a lock on a file tells, which dies with its process. Of a process on another machine it shows in
the trial: its `beat` goes on as long as it lives.
"""

import os
import socket
import threading
import time
import uuid

from optuna.trial import FrozenTrial

from ecg_jax.runtime import locks

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
        """Holds the lock from now on, as long as this process lives; returns this process' name."""
        with self._guard:
            if self._file < 0:
                self._file = os.open(os.path.join(self._folder, self._name), os.O_RDWR | os.O_CREAT)
                locks.take(self._file)
        return self._name

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
