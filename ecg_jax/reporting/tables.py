"""Tables for the terminal."""

from collections.abc import Sequence

import pandas as pd
from rich.console import Console
from rich.table import Table

_HEADINGS = {"auroc": "AUROC", "auroc_rate_only": "rate only", "average_precision": "avg. prec.", "f1": "F1"}


def print_scores(scores: pd.DataFrame, title: str, console: Console) -> None:
    """Prints a table of scores with three decimals."""
    print_rows(
        title,
        [_HEADINGS.get(name, name) for name in scores.columns],
        [[_format(value) for value in row] for row in scores.to_numpy()],
        console,
    )


def print_rows(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], console: Console) -> None:
    """Prints a table; the first column is left-aligned, the others right."""
    table = Table(title=title, title_justify="left")
    for i, column in enumerate(columns):
        table.add_column(column, justify="right" if i else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print(table)


def _format(value: object) -> str:
    if isinstance(value, float):
        return "-" if pd.isna(value) else f"{value:.3f}"
    return str(value)
