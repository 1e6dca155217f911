"""Who runs a trial, and whether they live: each process holds a lock on a file of its own, which dies with it."""

import os
import socket
import threading
import uuid

from ecg_jax.runtime import locks

FOLDER = "owners"


class Owner:
    """This process, as others see it."""

    def __init__(self, workdir: str) -> None:
        """Makes the folder of the locks; the lock itself is taken when it is needed."""
        self._folder = os.path.join(workdir, FOLDER)
        os.makedirs(self._folder, exist_ok=True)
        self._guard = threading.Lock()
        self._file = -1
        self._name = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"

    def live(self) -> str:
        """Holds the lock from now on, as long as this process lives; returns this process' name."""
        with self._guard:
            if self._file < 0:
                self._file = os.open(os.path.join(self._folder, self._name), os.O_RDWR | os.O_CREAT)
                locks.take(self._file)
        return self._name

    def is_alive(self, owner: str) -> bool | None:
        """Whether another process lives; None where this machine cannot tell."""
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
