"""Which recording of one file is which of another, by their names in whatever columns these are."""

import dataclasses
import itertools
from collections.abc import Mapping

import numpy as np
import pandas as pd

from ecg_jax import columns
from ecg_jax.data import spelling
from ecg_jax.data.datasets import table as table_lib
from ecg_jax.errors import InputError

Names = Mapping[str, np.ndarray]  # column to `[N]` str, in which every recording has a name of its own


@dataclasses.dataclass(frozen=True)
class Rules:
    """What a user says of how files are joined.

    Attributes:
        columns: That name recordings, in each file those of them that it has; none: the usual ones.
        patient_column: That names patients; empty: the usual ones.
        partial: Recordings that one of the files lacks are left out; otherwise they are refused.
        by_position: Files that name no recordings are joined line by line; otherwise they are refused.
    """

    columns: tuple[str, ...] = ()
    patient_column: str = ""
    partial: bool = False
    by_position: bool = False


USUAL = Rules()


@dataclasses.dataclass(frozen=True)
class Side:
    """One of two files that are joined.

    Attributes:
        source: Its name for messages.
        size: Number of its recordings.
        names: Their names; empty where it names none.
    """

    source: str
    size: int
    names: Names

    @property
    def can_name(self) -> bool:
        """Whether a file of its kind can name recordings."""
        return not self.source.endswith((".npy", ".npz"))


def find_names(table: pd.DataFrame, source: str, wanted: tuple[str, ...] = ()) -> dict[str, np.ndarray]:
    """The columns of a table that name its recordings, each by a name of its own.

    Args:
        table: Of text.
        source: File name for messages.
        wanted: Columns that do; if none, those that are called as in `columns.RECORDING`.

    Returns:
        Column to `[N]` str, the preferred ones first; empty where there is no such column.

    Raises:
        InputError: when none of the wanted ones is there, or all have an empty or a repeated name.
    """
    found = [name for name in wanted if name in table] if wanted else columns.find(table.columns, columns.RECORDING)
    if wanted and not found:
        raise InputError(f"{source}: no column {' or '.join(wanted)} to name recordings; it has {', '.join(table)}")
    unique = [name for name in found if table[name].notna().all() and table[name].str.strip().is_unique]
    if found and not unique:
        table_lib.parse_ids(table[found[0]], source)  # says what is wrong
    return {name: table[name].str.strip().to_numpy(str) for name in unique}


def take(names: Names, rows: np.ndarray) -> dict[str, np.ndarray]:
    """The names of some recordings, by number or mask."""
    return {column: values[rows] for column, values in names.items()}


def join(first: Side, second: Side, rules: Rules) -> spelling.Match:
    """Finds the recordings of the first among those of the second: by name if either names them, else as asked.

    Raises:
        InputError: when only one of them names its recordings, or neither and joining by position was not asked for.
    """
    if first.names and second.names:
        return match(first.names, second.names, (first.source, second.source))
    unnamed, other = (second, first) if first.names else (first, second)
    counts = f"{first.source} has {first.size} recordings, {second.source} {second.size}"
    if other.names and (unnamed.can_name or not rules.by_position):
        remedy = "add a column of names or ids, or say which one it is with --recording_column=NAME"
        if not unnamed.can_name:
            remedy = f"an array cannot: --by_position joins them {spelling.POSITION}, where both are in the same order"
        column = next(iter(other.names))
        raise InputError(f"{counts}; {other.source} names them (column {column}), {unnamed.source} does not; {remedy}")
    if not rules.by_position:
        raise InputError(
            f"{counts}, and neither names them; add a column of names or ids to both, or --by_position joins them "
            f"{spelling.POSITION}, where both are in the same order"
        )
    if first.size != second.size:
        raise InputError(f"{counts}; without ids in both they are joined {spelling.POSITION}, and must be as many")
    return spelling.Match(np.arange(first.size), ("", ""), spelling.POSITION)


def match(first: Names, second: Names, sources: tuple[str, str]) -> spelling.Match:
    """Finds the recordings of the first among those of the second.

    Of several columns those are compared that match best. Columns that match about as well must say the same.

    Args:
        first: Names of N recordings, by column.
        second: Of others.
        sources: What the files are called in messages.

    Raises:
        InputError: when columns contradict each other.
    """
    indices = [
        {column: pd.Index(values.astype(object), dtype=object) for column, values in names.items()}
        for names in (first, second)
    ]
    pairs = [*itertools.product(*indices)]
    found = [spelling.compare((a, b), indices[0][a], indices[1][b], len(spelling.STRICT)) for a, b in pairs]
    size = min(len(next(iter(names.values()))) for names in indices)
    if not any(each.count == size and (_is_sure(each, first) or len(pairs) == 1) for each in found):
        found = [spelling.compare((a, b), indices[0][a], indices[1][b]) for a, b in pairs]
    most = max(each.count for each in found)
    rivals = [(each, _is_sure(each, first)) for each in found if 2 * each.count >= most]
    best, best_is_sure = max(
        rivals, key=lambda each: (each[1], each[0].count, each[0].way in spelling.STRICT, each[0].has_like_columns)
    )
    for other, is_sure in rivals:
        if is_sure >= best_is_sure and _contradict(best, other):
            raise InputError(_describe_contradiction(best, other, sources))
    return best


def describe_doubt(found: spelling.Match, first: Names, second: Names) -> list[str]:
    """A line where recordings were joined although their folders contradict each other."""
    if not found.is_doubtful:
        return []
    row = int(np.argmax(found.rows >= 0))
    names = [first[found.columns[0]][row], second[found.columns[1]][found.rows[row]]]
    return [f"recordings are joined by the names of their files alone, as {' and '.join(map(repr, map(str, names)))}"]


def _is_sure(found: spelling.Match, first: Names) -> bool:
    """Whether names that are the same mean the same: numbers are in every list, and might by accident."""
    if found.way not in spelling.STRICT or not found.count:
        return False
    return not str(first[found.columns[0]][np.argmax(found.rows >= 0)]).isdigit()


def _contradict(best: spelling.Match, other: spelling.Match) -> bool:
    """Whether two pairs of columns join other recordings, and neither is to be preferred."""
    shares_column = bool({*enumerate(best.columns)} & {*enumerate(other.columns)})
    if shares_column and best.has_like_columns and not other.has_like_columns:
        return False
    both = (best.rows >= 0) & (other.rows >= 0)
    return bool((best.rows[both] != other.rows[both]).any())


def _describe_contradiction(best: spelling.Match, other: spelling.Match, sources: tuple[str, str]) -> str:
    return (
        f"{sources[0]} and {sources[1]}: columns {' and '.join(best.columns)} name other recordings than "
        f"{' and '.join(other.columns)}; say which are right: "
        f"--recording_column={','.join(dict.fromkeys(best.columns))}"
    )
