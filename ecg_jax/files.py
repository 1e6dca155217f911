"""Files are written whole or not at all, and names found in a file never lead out of its folder."""

import contextlib
import errno
import itertools
import os
import re
import stat
from collections.abc import Iterable, Iterator
from typing import IO, Any

from ecg_jax import errors

_MOST_COMPARED = 1000  # names in a folder
_PARTIAL = re.compile(r"[0-9a-f]{16}\.partial")


def suggest(path: str) -> str:
    """The end of a message on a missing file or folder: one of a like name beside it, as `errors.suggest`."""
    folder, name = os.path.split(path.rstrip("/"))
    if os.path.islink(path.rstrip("/")) and not os.path.exists(path):
        return "; it is a link to nothing"
    with contextlib.suppress(OSError), os.scandir(folder or ".") as beside:
        names = {entry.name for entry in itertools.islice(beside, _MOST_COMPARED)}
        return errors.suggest(name, names - {name})
    return ""


def refuse_overwriting(outputs: Iterable[str], inputs: Iterable[str]) -> None:
    """Raises `InputError` where a command would write to a file that it reads.

    Args:
        outputs: Files that `--output` names or implies, no two of the same name.
        inputs: Files. Those of other names cost no access to the disk: there may be millions.
    """
    written = {os.path.basename(path): path for path in outputs}
    for path in inputs:
        other = written.get(os.path.basename(path))
        if other and os.path.realpath(other) == os.path.realpath(path):
            raise errors.InputError(
                f"{other}: --output would replace what is read (a recording, its sidecar NAME.json, a model or a "
                "table); choose another name"
            )


class Replacement:
    """A file written beside the one that it replaces, under a name that no other process uses.

    As a context it is removed at the end of the block, unless it was committed, and errors name what it replaces.
    """

    def __init__(self, path: str, mode: str = "w", **options: Any) -> None:
        """Opens it, in mode `w` for UTF-8 or `wb`, with options of `open`; the folder of `path` exists."""
        self.path = path
        self._partial = os.path.join(os.path.dirname(path), f"{os.urandom(8).hex()}.partial")
        with naming(path):
            if os.path.exists(path):
                measure(path)  # a device or a pipe would be gone
            encoding = None if "b" in mode else "utf-8"
            self.file: IO[Any] = open(self._partial, mode, encoding=encoding, **options)  # noqa: SIM115 - see commit

    def __enter__(self) -> "Replacement":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self.discard()
        if isinstance(error, OSError):
            _name(error, self.path)

    def commit(self) -> None:
        """Puts it in its place."""
        with naming(self.path):
            self.file.close()
            os.replace(self._partial, self.path)

    def discard(self) -> None:
        """Removes it, unless it was committed."""
        with contextlib.suppress(OSError):  # of a full disk, which closing would write to
            self.file.close()
        with contextlib.suppress(OSError):
            os.unlink(self._partial)


@contextlib.contextmanager
def replacing(path: str, mode: str = "w", **options: Any) -> Iterator[IO[Any]]:
    """Opens a file that replaces `path` at the end of the block, unless the block fails; see `Replacement`.

    Raises:
        OSError: naming `path`, when it cannot be written.
    """
    with Replacement(path, mode, **options) as made:
        yield made.file
        made.commit()


def write_text(path: str, text: str) -> str:
    """Writes a file in UTF-8; returns its path."""
    with replacing(path, newline="\n") as file:
        file.write(text)
    return path


@contextlib.contextmanager
def naming(path: str) -> Iterator[None]:
    """Has an `OSError` of the block that names no file, or the partial one, name `path`."""
    try:
        yield
    except OSError as error:
        _name(error, path)
        raise


def _name(error: OSError, path: str) -> None:
    if error.filename is None or is_partial(str(error.filename)):
        error.filename, error.filename2 = path, None


def is_partial(path: str) -> bool:
    """Whether a path is what a killed process left of a `Replacement`."""
    return bool(_PARTIAL.fullmatch(os.path.basename(path)))


def is_plain_name(name: object) -> bool:
    """Whether a name that was found in a file names a file beside it: no path, no `..`."""
    return isinstance(name, str) and name == os.path.basename(name) and name not in ("", ".", "..") and "\0" not in name


def measure(path: str) -> int:
    """The size in bytes of a regular file; `OSError` for a folder, or a pipe or a device, which may never end."""
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "no regular file", path)
    return status.st_size
