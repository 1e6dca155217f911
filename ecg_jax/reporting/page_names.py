"""Names of the pages in a folder, one for each recording and label, which another run finds again."""

import csv
import os
import re

from ecg_jax import spreadsheet

INDEX = "pages.csv"  # in the folder: `page`, `recording`, `label`
_LONGEST, _LONGEST_LABEL = 200, 30  # bytes of a recording's name, characters of a label's
_ODD = re.compile(r"[^A-Za-z0-9_.+-]+")  # in a label


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
            with open(self._path, newline="", errors="surrogateescape") as file:
                self._owners = {row[0]: (row[1], row[2]) for row in csv.reader(file) if len(row) == 3}

    def choose(self, recording: str, label: str = "") -> str:
        """The file name of a recording's page, about a label if it is given: not yet chosen, and of no other page.

        The recording's name is shortened so that a label, a number and a suffix fit the 255 bytes of a file name.
        """
        base = os.path.basename(recording)
        stem = base.replace(":", "-") if ":" in base else os.path.splitext(base)[0]  # FILE:EXAM is one of many
        stem = os.fsencode(stem)[:_LONGEST].decode(errors="replace")
        stem += f"_{_ODD.sub('-', label)[:_LONGEST_LABEL]}" if label else ""
        owner, number = (spreadsheet.guard(recording), spreadsheet.guard(label)), 1
        while True:
            name = f"{stem}{f'-{number}' if number > 1 else ''}.{self._suffix}"
            if name not in self._chosen and self._owners.get(name, owner) == owner:
                break
            number += 1
        self._chosen.add(name)
        if name not in self._owners:
            self._owners[name] = owner
            self._write(name, *owner)
        return name

    def _write(self, *row: str) -> None:
        is_new = not os.path.exists(self._path)
        os.makedirs(os.path.dirname(self._path), exist_ok=True)
        with open(self._path, "a", newline="", errors="surrogateescape") as file:
            csv.writer(file).writerows([("page", "recording", "label"), row] if is_new else [row])
