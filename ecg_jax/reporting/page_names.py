"""Names of the pages in a folder, one for each recording and label, which another run finds again."""

import csv
import os
import re

from ecg_jax import spreadsheet
from ecg_jax.errors import InputError

INDEX = "pages.csv"  # in the folder: `page`, `recording`, `label`
_LONGEST, _LONGEST_LABEL = 200, 30  # bytes of a recording's name, characters of a label's
_ODD = re.compile(r"[^A-Za-z0-9_.+-]+")  # in a label
_ILLEGAL = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f]')  # in a name on Windows
_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\.|$)", re.IGNORECASE)  # on Windows, whatever the suffix


class PageNames:
    """Chooses names, and writes down whose they are in the folder's `INDEX`.

    A page replaces only one of the same recording and label, whichever run has drawn that.
    """

    def __init__(self, folder: str, suffix: str) -> None:
        """Reads the index where there is one; `suffix` is that of all pages, as `png`."""
        self._path, self._suffix = os.path.join(folder, INDEX), suffix
        self._owners: dict[str, tuple[str, str]] = {}
        self._chosen: set[str] = set()
        if os.path.exists(self._path):
            with open(self._path, encoding="utf-8", newline="", errors="surrogateescape") as file:
                try:
                    rows = [row for row in csv.reader(file) if len(row) == 3]
                except csv.Error as error:
                    raise InputError(f"{self._path}: not readable ({error}); delete it, or draw elsewhere") from error
            self._owners = {page.casefold(): (recording, label) for page, recording, label in rows}

    def choose(self, recording: str, label: str = "") -> str:
        """The file name of a recording's page, about a label if it is given: not yet chosen, and of no other page.

        The recording's name is shortened so that a label, a number and a suffix fit the 255 bytes of a file name.
        """
        stem = _create_stem(recording) + (f"_{_ODD.sub('-', label)[:_LONGEST_LABEL]}" if label else "")
        stem = f"_{stem}" if _DEVICE.match(stem) else stem
        owner, number = (spreadsheet.guard(_make_absolute(recording)), spreadsheet.guard(label)), 1
        while True:
            name = f"{stem}{f'-{number}' if number > 1 else ''}.{self._suffix}"
            key = name.casefold()  # as file systems of Windows and macOS compare
            if key not in self._chosen and self._owners.get(key, owner) == owner:
                break
            number += 1
        self._chosen.add(key)
        if key not in self._owners:
            self._owners[key] = owner
            self._write(name, *owner)
        return name

    def _write(self, *row: str) -> None:
        is_new = not os.path.exists(self._path)
        os.makedirs(os.path.dirname(self._path), exist_ok=True)
        with open(self._path, "a", encoding="utf-8", newline="", errors="surrogateescape") as file:
            csv.writer(file).writerows([("page", "recording", "label"), row] if is_new else [row])


def _create_stem(recording: str) -> str:
    """A recording's name without folder and suffix, as every file system takes it, of at most `_LONGEST` bytes."""
    base = os.path.basename(recording)
    stem = base if ":" in base else os.path.splitext(base)[0]  # FILE:EXAM is one of many
    encoded = _ILLEGAL.sub("-", stem).encode(errors="surrogateescape")
    return encoded[:_LONGEST].decode(errors="replace") or "recording"


def _make_absolute(recording: str) -> str:
    """The path of a file, of a WFDB record or of FILE:EXAM, which has the same page from any folder; else the name."""
    files = (recording, f"{recording}.hea", recording.rpartition(":")[0])
    return os.path.abspath(recording) if any(map(os.path.exists, files)) else recording
