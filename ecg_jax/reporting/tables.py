"""Tables for the terminal, for spreadsheets and programs, and for manuscripts.

Readers see a score and its interval in one column; files for programs keep the three.
"""

import dataclasses
import json
import math
import os
import re
from collections.abc import Mapping, Sequence

import pandas as pd
import rich.table
from rich.console import Console

from ecg_jax import files, spreadsheet
from ecg_jax.reporting import cells, tex

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")


@dataclasses.dataclass(frozen=True, eq=False)
class Table:
    """A table and what is said about it.

    Raises:
        ValueError: when the name has other characters, columns repeat, or a format has no column.
    """

    name: str  # stem of its files, HTML id and LaTeX label: letters, digits, `_` and `-`
    caption: str  # what it shows, as plain text
    frame: pd.DataFrame  # its rows; the index is not shown
    note: str = ""  # shown under the table
    # Column to format specification, such as ".2g" or ","; by default numbers that are not whole have three decimals.
    # That of a score also formats its interval.
    formats: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        check_name(self.name)
        known = list(self.frame.columns)
        if len(set(known)) < len(known):
            raise ValueError(f"table {self.name}: columns repeat: {', '.join(map(str, known))}")
        if unknown := sorted(set(self.formats) - set(known)):
            raise ValueError(f"table {self.name}: formats of no column: {', '.join(unknown)}; there are: {known}")


def check_name(name: str) -> None:
    """Raises `ValueError` unless a name can be a file's stem and an HTML id."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r}: a name begins with a letter and has letters, digits, '_' and '-' only")


def print_scores(scores: pd.DataFrame, title: str, console: Console, formats: Mapping[str, str] | None = None) -> None:
    """Prints a table of scores with three decimals, and their intervals where there are any; see `Table`."""
    columns = cells.arrange(scores, formats)
    plain = str.maketrans({cells.DASH: "-", cells.MINUS: "-"})
    texts = [
        [text.translate(plain) if column.is_number or text == cells.DASH else text for text in column.texts]
        for column in columns
    ]
    print_rows(title, [column.heading for column in columns], list(zip(*texts, strict=True)), console)


def print_rows(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], console: Console) -> None:
    """Prints a table; the first column is left-aligned, the others right."""
    table = rich.table.Table(title=title, title_justify="left")
    for i, column in enumerate(columns):
        table.add_column(column, justify="right" if i else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print(table)


def write_table(folder: str, table: Table, stamps: Sequence[str] = ()) -> list[str]:
    """Writes `NAME.csv` and `NAME.json` in full precision, and `NAME.tex`, each whole or not at all; returns the paths.

    `stamps` are lines that no reader of the numbers may miss: a last column `stamp` of the CSV, a list in the JSON
    (where NaN and infinity are null), the end of the LaTeX caption. `ValueError` if the table has a column `stamp` of
    its own.
    """
    frame, columns = table.frame, cells.arrange(table.frame, table.formats)
    if stamps and "stamp" in frame:
        raise ValueError(f"table {table.name}: its column 'stamp' would be overwritten by the stamps")
    records = {name: [_make_plain(value) for value in values] for name, values in cells.read_cells(frame).items()}
    content = {
        "caption": table.caption,
        "note": table.note,
        "stamps": list(stamps),
        "rows": [dict(zip(records, row, strict=True)) for row in zip(*records.values(), strict=True)],
    }
    texts = {
        "csv": spreadsheet.to_csv(frame.assign(stamp="; ".join(stamps)) if stamps else frame, lineterminator="\n"),
        "json": json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n",
        "tex": tex.draw_table(
            [column.heading for column in columns],
            list(zip(*(column.texts for column in columns), strict=True)),
            is_number=[column.is_number for column in columns],
            label=f"tab:{table.name}",
            caption=table.caption,
            note=table.note,
            stamps=stamps,
        ),
    }
    os.makedirs(folder, exist_ok=True)
    return [files.write_text(os.path.join(folder, f"{table.name}.{kind}"), text) for kind, text in texts.items()]


def _make_plain(value: object) -> bool | float | str | None:
    """A value that JSON can hold."""
    if cells.is_missing(value) or (isinstance(value, float) and math.isinf(value)):
        return None
    return value if isinstance(value, bool | int | float) else str(value)
