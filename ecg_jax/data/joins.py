"""Which recording of one file is which of another, by their names in any column and spelling.

Names may differ in folder, file suffix and leading zeros, as long as no two recordings of either file become one:
`files/001.hea` is `/data/files/001` or `1`.
"""

import dataclasses
import functools
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np
import pandas as pd

from ecg_jax import columns
from ecg_jax.data.datasets import table as table_lib
from ecg_jax.errors import InputError

Names = Mapping[str, np.ndarray]  # column to `[N]` str, unique within it

# How names are compared, from strict to loose.
EXACT, SUFFIX, ZEROS, FOLDER, ALL = (
    "as they are spelled",
    "without file suffix",
    "without file suffix and leading zeros",
    "without folder and file suffix",
    "without folder, file suffix and leading zeros",
)
STRICT = (EXACT, SUFFIX)
POSITION = "line by line"
_SEPARATOR = re.compile(r"[\\/:]+(?:\./)*")  # `part0.hdf5:12` is an exam in a file
_SUFFIX = re.compile(r"(?<=.)\.[^\W\d_]\w*\Z", re.DOTALL)  # `1.2.840` has none
_NUMBER = re.compile(r"(?:\A|(?<=/))0*(\d+?)(?:\.0*)?\Z")  # `007`, and `7.0` of a column that was read as numbers


@dataclasses.dataclass(frozen=True)
class Rules:
    """What a user says about how files are joined."""

    columns: tuple[str, ...] = ()  # that name recordings, in each file those that it has; if empty, the usual ones
    patient_column: str = ""  # if empty, the usual ones
    partial: bool = False  # leave out recordings that one of the files lacks, instead of refusing them
    by_position: bool = False  # join files that name no recordings line by line, instead of refusing them


USUAL = Rules()


@dataclasses.dataclass(frozen=True)
class Side:
    """One of two files that are joined: its name for messages, its number of recordings, their names if it has any."""

    source: str
    size: int
    names: Names


@dataclasses.dataclass(frozen=True)
class Match:
    """Which rows of a second file are those of a first."""

    rows: np.ndarray  # `[N]` int: for each recording of the first file, its row in the second; -1 where it has none
    columns: tuple[str, str]  # of the names in the first and in the second file
    way: str = EXACT  # how names were compared: a constant above
    doubt: tuple[str, ...] = ()  # a line, where the joined names are in different folders (`a/1` and `b/1`)
    clash: tuple[str, ...] = ()  # two names of one file that a looser comparison would not tell apart

    @property
    def count(self) -> int:
        """Number of recordings in both."""
        return int((self.rows >= 0).sum())

    @property
    def has_like_columns(self) -> bool:
        """Whether both columns have the same name."""
        return columns.canonical(self.columns[0]) == columns.canonical(self.columns[1])


def find_names(table: pd.DataFrame, source: str, wanted: tuple[str, ...] = ()) -> dict[str, np.ndarray]:
    """The columns of a table of text that name its recordings uniquely, the preferred ones first.

    Those are the `wanted` ones, or else those called as in `columns.RECORDING`, of which there may be none.

    Raises:
        InputError: when none of the wanted ones is there, or all have an empty or a repeated name.
    """
    found = [name for name in wanted if name in table] if wanted else columns.find(table.columns, columns.RECORDING)
    if wanted and not found:
        raise InputError(f"{source}: no column {' or '.join(wanted)} to name recordings; it has {', '.join(table)}")
    texts = {name: table[name].astype(str).str.strip() for name in found}
    unique = [name for name in found if table[name].notna().all() and texts[name].is_unique]
    if found and not unique:
        table_lib.parse_ids(table[found[0]], source)  # says what is wrong
    return {name: texts[name].to_numpy(str) for name in unique}


def take(names: Names, rows: np.ndarray) -> dict[str, np.ndarray]:
    """What is known of some recordings, by number or mask, of columns `[N]`."""
    return {column: values[rows] for column, values in names.items()}


def join(first: Side, second: Side, rules: Rules) -> Match:
    """Finds the recordings of the first among those of the second: by name if both name them, else by position.

    Raises:
        InputError: when only one of them names its recordings, or neither and joining by position was not asked for.
    """
    if first.names and second.names:
        return match(first.names, second.names, (first.source, second.source))
    unnamed, other = (second, first) if first.names else (first, second)
    counts = f"{first.source} has {first.size} recordings, {second.source} {second.size}"
    is_array = unnamed.source.endswith((".npy", ".npz"))
    if other.names and not (is_array and rules.by_position):
        remedy = "add a column of names or ids, or say which one it is with --recording_column=NAME"
        if is_array:
            remedy = f"an array cannot: --by_position joins them {POSITION}, where both are in the same order"
        column = next(iter(other.names))
        raise InputError(f"{counts}; {other.source} names them (column {column}), {unnamed.source} does not; {remedy}")
    if not rules.by_position:
        raise InputError(
            f"{counts}, and neither names them; add a column of names or ids to both, or --by_position joins them "
            f"{POSITION}, where both are in the same order"
        )
    if first.size != second.size:
        raise InputError(f"{counts}; without ids in both they are joined {POSITION}, and must be as many")
    return Match(np.arange(first.size), ("", ""), POSITION)


def match(first: Names, second: Names, sources: tuple[str, str]) -> Match:
    """Finds the recordings of the first among those of the second, by the pair of columns that matches best.

    Raises:
        InputError: naming `sources`, when columns that match about as well contradict each other.
    """
    pairs = [*itertools.product(first, second)]
    found = [_compare((a, b), first[a], second[b], len(STRICT)) for a, b in pairs]
    size = min(len(next(iter(names.values()))) for names in (first, second))
    if not any(each.count == size and (_is_sure(each, first) or len(pairs) == 1) for each in found):
        found = [_compare((a, b), first[a], second[b]) for a, b in pairs]
    most = max(each.count for each in found)
    rivals = [(_is_sure(each, first), each) for each in found if 2 * each.count >= most]
    is_best_sure, best = max(
        rivals, key=lambda rival: (rival[0], rival[1].count, rival[1].way in STRICT, rival[1].has_like_columns)
    )
    for is_sure, other in rivals:
        if is_sure >= is_best_sure and _contradict(best, other):
            raise InputError(
                f"{sources[0]} and {sources[1]}: columns {' and '.join(best.columns)} name other recordings than "
                f"{' and '.join(other.columns)}; say which are right: "
                f"--recording_column={','.join(dict.fromkeys(best.columns))}"
            )
    return best


def _is_sure(found: Match, first: Names) -> bool:
    """Whether equal names mean equal recordings: plain numbers are in every list, and may be equal by accident."""
    if found.way not in STRICT or not found.count:
        return False
    return not str(first[found.columns[0]][np.argmax(found.rows >= 0)]).isdigit()


def _contradict(best: Match, other: Match) -> bool:
    """Whether two pairs of columns join different recordings, and neither is to be preferred."""
    shares_column = bool({*enumerate(best.columns)} & {*enumerate(other.columns)})
    if shares_column and best.has_like_columns and not other.has_like_columns:
        return False
    both = (best.rows >= 0) & (other.rows >= 0)
    return bool((best.rows[both] != other.rows[both]).any())


def _compare(pair: tuple[str, str], first: np.ndarray, second: np.ndarray, ways: int | None = None) -> Match:
    """Compares the unique names in two columns, in the strictest way that finds most; at most in the first `ways`."""
    names = _index(first.tolist()), _index(second.tolist())
    best = Match(np.full(len(first), -1), pair)
    for way, keys, paths in itertools.islice(_spell(names), ways):
        if not (keys[0].is_unique and keys[1].is_unique):
            if not best.clash and keys[0].isin(keys[1]).any():
                best = dataclasses.replace(best, clash=_find_clash(names, keys))
            continue
        rows = keys[1].get_indexer(keys[0])
        differs = _differ_in_folders(*paths, rows) if paths else np.zeros(len(rows), bool)
        doubt: tuple[str, ...] = ()
        if differs.any() and not best.count:
            row = int(np.argmax(rows >= 0))
            example = f"{names[0][row]!r} and {names[1][rows[row]]!r}"
            doubt = (f"recordings are joined by the names of their files alone, as {example}",)
        else:
            rows = np.where(differs, -1, rows)
        if (rows >= 0).sum() > best.count:
            best = dataclasses.replace(best, rows=rows, way=way, doubt=doubt)
        if best.count == min(len(first), len(second)):
            break
    return best


_Pair = tuple[pd.Index, pd.Index]  # of both files


def _index(names: Iterable[str]) -> pd.Index:
    return pd.Index([*names], dtype=object)


def _spell(names: _Pair) -> Iterator[tuple[str, _Pair, _Pair | None]]:
    """A way to compare names, their keys then, and the whole paths where keys are only the ends of these."""

    def convert(function: Callable[[str], str], names: _Pair) -> _Pair:
        return _index(map(function, names[0])), _index(map(function, names[1]))

    yield EXACT, names, None
    plain = convert(_strip, names)
    yield SUFFIX, plain, None
    bare = convert(lambda path: _NUMBER.sub(r"\1", path), plain)
    yield ZEROS, bare, None
    deepest = min(max(name.count("/") for name in each) for each in plain) + 1
    for way, paths in ((FOLDER, plain), (ALL, bare)):
        for parts in range(deepest, 0, -1):
            yield way, convert(functools.partial(_take_end, parts), paths), paths


def _strip(name: str) -> str:
    """A path with plain separators, without suffix and without a spreadsheet's apostrophes."""
    return _SUFFIX.sub("", _SEPARATOR.sub("/", name.lstrip("'")).removeprefix("./"))


def _take_end(parts: int, path: str) -> str:
    return "/".join(path.rsplit("/", parts)[-parts:])


def _differ_in_folders(first: pd.Index, second: pd.Index, rows: np.ndarray) -> np.ndarray:
    """`[N]` bool: whether two joined paths contradict each other, as neither is the end of the other."""
    ends = [(f"/{one}", f"/{other}") for one, other in zip(first, second.take(rows), strict=True)]
    agree = [one.endswith(other) or other.endswith(one) for one, other in ends]
    return (rows >= 0) & ~np.array(agree)


def _find_clash(names: _Pair, keys: _Pair) -> tuple[str, ...]:
    """Two names of one file that have the same key."""
    i = int(keys[0].is_unique)
    repeated = keys[i][keys[i].duplicated()][0]
    return tuple(names[i][keys[i] == repeated][:2])
