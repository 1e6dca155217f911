"""Locks on files that a process holds while it lives; the system releases them when it dies."""

import contextlib
import errno
import fcntl
import json
import os
import socket
from collections.abc import Iterator

from rich.console import Console

from ecg_jax.errors import InputError

NAME = "lock.json"  # in a folder that one process at a time may write


class InUse(InputError):
    """Another running process writes to the folder."""


def take(file: int) -> bool | None:
    """Locks an open file for this process without waiting.

    Returns:
        True when this process has the lock now, False while another one holds it, None where the
        file system has no locks.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        return False if error.errno == errno.EACCES else None
    return True


@contextlib.contextmanager
def hold(folder: str, console: Console) -> Iterator[None]:
    """Keeps a folder for this process until the end of the block; a new folder that stays empty is removed.

    Args:
        folder: Its `lock.json` is locked, and names host and process.
        console: For a warning that the file system has no locks.

    Raises:
        InUse: at once, when another process has it, naming its host and process.
        InputError: when the folder cannot be written.
    """
    path, is_new = os.path.join(folder, NAME), not os.path.isdir(folder)
    try:
        file, has_lock = _open(folder, path)
    except OSError as error:
        raise InputError(
            f"{folder}: the run folder cannot be written ({error.strerror}); pass another --workdir"
        ) from error
    try:
        if has_lock is False:
            raise InUse(
                f"{folder}: {_describe_owner(file)} is writing to it; wait until it ends, or pass another --workdir"
            )
        if has_lock is None:
            console.print(
                f"warning: the file system of {folder} has no locks: start no second run there", style="yellow"
            )
        os.truncate(file, 0)
        os.pwrite(file, json.dumps({"host": socket.gethostname(), "process": os.getpid()}).encode(), 0)
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # while it is locked: `_open` notices that it is gone
                os.remove(path)
                if is_new:
                    os.rmdir(folder)
    finally:
        os.close(file)


def _open(folder: str, path: str) -> tuple[int, bool | None]:
    """Opens and locks the file at a path; one that its last owner removed meanwhile is opened again."""
    while True:
        os.makedirs(folder, exist_ok=True)
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except FileNotFoundError:  # its last owner has removed the folder
            continue
        has_lock = take(file)
        with contextlib.suppress(FileNotFoundError):
            if not has_lock or os.path.samestat(os.fstat(file), os.stat(path)):
                return file, has_lock
        os.close(file)


def _describe_owner(file: int) -> str:
    try:
        owner = json.loads(os.pread(file, 1000, 0))
        return f"process {owner['process']} on {owner['host']}"
    except (OSError, ValueError, KeyError, TypeError):  # it has not written its name yet
        return "another process"
