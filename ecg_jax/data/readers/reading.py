"""What all readers do alike: bound the size of a file, name the recording, and report damage in one line."""

import contextlib
import functools
import os
from collections.abc import Callable, Iterator
from typing import Protocol

from ecg_jax import files
from ecg_jax.errors import InputError, describe
from ecg_jax.recording import Recording


class ReadFn(Protocol):
    """Reads a file; `id` is the name for messages and results, the file's own name if None."""

    def __call__(self, path: str | os.PathLike[str], id: str | None = None) -> Recording: ...  # noqa: D102


def reader(kind: str, largest: int | None = None) -> Callable[[Callable[[str, str], Recording]], ReadFn]:
    """Makes a `ReadFn` of `(path, id) -> Recording` that refuses files of more than `largest` bytes, and damage."""

    def wrap(parse: Callable[[str, str], Recording]) -> ReadFn:
        @functools.wraps(parse)
        def read(path: str | os.PathLike[str], id: str | None = None) -> Recording:
            path = os.fspath(path)
            size = measure(path)
            if largest is not None and size > largest:
                raise InputError(f"{path}: {size} bytes; {kind} is read up to {largest}")
            with refuse_damage(path, f"{kind} file"):
                return parse(path, id or os.path.basename(path))

        return read

    return wrap


def measure(path: str) -> int:
    """The size of a file in bytes; raises `InputError` when it is missing or no regular file."""
    try:
        return files.measure(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error


def read_bytes(path: str, most: int = -1) -> bytes:
    """The first `most` bytes of a regular file, all if negative; raises `InputError` when it cannot be read."""
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size + 1  # memory for `most` costs more than reading a small file
            return file.read(most if most < 0 else min(most, size))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error


def decode(content: bytes) -> str:
    """Text in UTF-8, with or without a byte-order mark, or else in Latin-1."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


@contextlib.contextmanager
def refuse_damage(path: str, what: str) -> Iterator[None]:
    """Turns whatever a parser raises on a damaged file into an `InputError` of one line.

    Libraries check little of what they read: on damaged files their own assumptions fail with errors of any type.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{path}: not a readable {what} ({describe(error, path)})") from error
