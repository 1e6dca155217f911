"""How the names of recordings in two columns are compared: as they are spelled, or in less detail.

Names may differ in what a folder, a file's suffix or zeros in front of a number make of them, as long as no two
recordings of either file become one: `files/001.hea` is `/data/files/001` or `1`.
"""

import dataclasses
import itertools
import re
from collections.abc import Iterator

import numpy as np
import pandas as pd

from ecg_jax import columns

_SEPARATOR = re.compile(r"^\./|[\\/:]+(?:\./)*")  # `part0.hdf5:12` is an exam in a file
EXACT, SUFFIX, ZEROS, FOLDER, ALL = WAYS = (
    "as they are spelled",
    "without file suffix",
    "without file suffix and leading zeros",
    "without folder and file suffix",
    "without folder, file suffix and leading zeros",
)
STRICT = (EXACT, SUFFIX)
POSITION = "line by line"


@dataclasses.dataclass(frozen=True)
class Match:
    """Which rows of a second file are those of a first.

    Attributes:
        rows: `[N]` int: for each recording of the first, its row in the second; -1 where it has none.
        columns: Of the first and the second, in which the names stand.
        way: How names were compared, one of `WAYS`; or `POSITION`.
        is_doubtful: They are in folders of other names (`a/1` and `b/1`).
        clash: Two names of one file that would be one, were they compared in a less strict way; empty without any.
    """

    rows: np.ndarray
    columns: tuple[str, str]
    way: str = EXACT
    is_doubtful: bool = False
    clash: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """How many recordings both have."""
        return int((self.rows >= 0).sum())

    @property
    def has_like_columns(self) -> bool:
        """Whether both columns are called the same."""
        first, second = map(columns.canonical, self.columns)
        return first == second


def compare(pair: tuple[str, str], first: pd.Index, second: pd.Index, ways: int | None = None) -> Match:
    """Compares the names in two columns, in the strictest way that finds most.

    Args:
        pair: What the columns are called.
        first: N names, each another.
        second: Others, likewise.
        ways: How many of `WAYS` may be taken, the strictest first; None for all.
    """
    best = Match(np.full(len(first), -1), pair)
    for way, one, other, whole in itertools.islice(_spell(first, second), ways):
        if not (one.is_unique and other.is_unique):
            if not best.clash and one.isin(other).any():
                best = dataclasses.replace(best, clash=_find_clash((first, one), (second, other)))
            continue
        rows = other.get_indexer(one)
        alien = _differ_in_folders(*whole, rows) if whole else np.zeros(len(rows), bool)
        is_doubtful = bool(alien.any()) and not best.count
        rows = rows if is_doubtful else np.where(alien, -1, rows)
        if (rows >= 0).sum() > best.count:
            best = dataclasses.replace(best, rows=rows, way=way, is_doubtful=is_doubtful)
        if best.count == min(len(first), len(second)):
            break
    return best


_Way = tuple[str, pd.Index, pd.Index, tuple[list[str], list[str]] | None]


def _spell(first: pd.Index, second: pd.Index) -> Iterator[_Way]:
    """Ways to compare names, what is then compared of each, and paths of which only the end is; the strictest first."""

    def index(names: list[str]) -> pd.Index:
        return pd.Index(names, dtype=object)

    yield EXACT, first, second, None
    plain = [*map(_strip, first)], [*map(_strip, second)]
    yield SUFFIX, index(plain[0]), index(plain[1]), None
    bare = [*map(_strip_zeros, plain[0])], [*map(_strip_zeros, plain[1])]
    yield ZEROS, index(bare[0]), index(bare[1]), None
    deepest = min(max(name.count("/") for name in names) for names in plain) + 1
    for way, whole in ((FOLDER, plain), (ALL, bare)):
        for parts in range(deepest, 0, -1):
            ends = [["/".join(name.rsplit("/", parts)[-parts:]) for name in names] for names in whole]
            yield way, index(ends[0]), index(ends[1]), whole


def _strip(name: str) -> str:
    """A path with plain separators, without the suffix (`1.2.840` has none) and apostrophes of a spreadsheet."""
    name = name.lstrip("'")
    if "\\" in name or ":" in name or "./" in name or "//" in name:
        name = _SEPARATOR.sub(lambda found: "" if found[0] == "./" else "/", name)
    stem, _, suffix = name.rpartition(".")
    return stem if stem and suffix.isidentifier() and suffix[0].isalpha() else name


def _strip_zeros(name: str) -> str:
    """A path whose last part, if it is a whole number, is without zeros in front (and a `.0` behind)."""
    folder, slash, last = name.rpartition("/")
    number, _, zeros = last.partition(".")
    return f"{folder}{slash}{number.lstrip('0') or 0}" if number.isdigit() and not zeros.strip("0") else name


def _differ_in_folders(first: list[str], second: list[str], rows: np.ndarray) -> np.ndarray:
    """`[N]` bool: where two paths that were joined contradict each other, as neither is the end of the other."""

    def agree(one: str, other: str) -> bool:
        return one == other or one.endswith(f"/{other}") or other.endswith(f"/{one}")

    return np.array([row >= 0 and not agree(name, second[row]) for name, row in zip(first, rows.tolist(), strict=True)])


def _find_clash(*files: tuple[pd.Index, pd.Index]) -> tuple[str, ...]:
    """Two names of one file that are spelled alike when they are compared in one way."""
    for names, keys in files:
        if not keys.is_unique:
            repeated = keys[keys.duplicated()][0]
            return tuple(map(str, names[keys == repeated][:2]))
    return ()
