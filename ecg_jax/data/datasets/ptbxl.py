"""PTB-XL (Wagner et al. 2020, Sci Data 7:154; PhysioNet doi 10.13026/kfzx-aw45), in its own layout.

Labels: the six diagnoses, the 71 SCP statements of `scp_statements.csv` by their code, the
five diagnostic superclasses (NORM, MI, STTC, CD, HYP) and `abnormal`. A statement that a
record does not carry is absent (0), as annotators wrote down all they found. A record
without any diagnostic statement says nothing about the superclasses: there they are
unknown, NORM included, which is a statement and a superclass and means the same as both.
A record without any statement at all is unknown throughout.

Traps: files at 100 Hz and 500 Hz stand side by side; a likelihood of 0 in `scp_codes`
means unknown likelihood, not absence; some records carry no diagnostic statement.
"""

import ast
import os
from collections.abc import Mapping

import numpy as np
import pandas as pd

from ecg_jax import labels as label_lib
from ecg_jax.data.datasets import patients
from ecg_jax.data.datasets.dataset import Dataset
from ecg_jax.data.datasets.table import (
    describe_absent,
    parse_attributes,
    parse_integers,
    parse_text,
    read_table,
    require_folder,
    require_unique,
)
from ecg_jax.data.readers import wfdb
from ecg_jax.errors import InputError

SIX_STATEMENTS = {"1dAVb": "1AVB", "RBBB": "CRBBB", "LBBB": "CLBBB", "SB": "SBRAD", "AF": "AFIB", "ST": "STACH"}
NORMAL = "NORM"
SUPERCLASSES = (NORMAL, "MI", "STTC", "CD", "HYP")
_FILE_COLUMN = {100: "filename_lr", 500: "filename_hr"}


def create(*, source: str, labels: tuple[str, ...], seed: int, sampling_rate: int = 500) -> Dataset:
    """Opens a PTB-XL folder; `strat_fold` 1-8 trains, 9 validates, 10 tests.

    Args:
        source: The folder that holds `ptbxl_database.csv` and `scp_statements.csv`.
        labels: Of the six diagnoses, `abnormal`, the superclasses, and any SCP statement by its code.
        seed: Unused: the folds are the data set's own.
        sampling_rate: 100 or 500 (Hz): which of the two sets of files is read.

    Raises:
        InputError: on missing tables or columns, or when none of the records is there; one
            that is not is refused when it is read.
    """
    del seed
    if sampling_rate not in _FILE_COLUMN:
        raise InputError(f"data.ptbxl.sampling_rate is {sampling_rate}; PTB-XL has files at 100 and 500 Hz")
    folder = require_folder("ptbxl", source)
    csv = os.path.join(folder, "ptbxl_database.csv")
    column = _FILE_COLUMN[sampling_rate]
    table = read_table(csv, ("ecg_id", "scp_codes", "strat_fold", column))
    paths = [os.path.join(folder, name) for name in parse_text(table[column], csv)]
    remedy = "download them, or try --config.data.ptbxl.sampling_rate=100 (or 500)"
    notes = describe_absent(table, paths, [os.path.isfile(path + ".hea") for path in paths], csv, remedy)
    parse_text(table["scp_codes"], csv)
    statements = [_parse_statements(text, csv, row + 2) for row, text in table["scp_codes"].items()]
    ids = parse_integers(table["ecg_id"], csv).astype(str)
    require_unique(ids, table["ecg_id"], csv)
    fold = parse_integers(table["strat_fold"], csv)
    if (strange := np.flatnonzero((fold < 1) | (fold > 10))).size:
        line = table.index[strange[0]] + 2
        raise InputError(f"{csv}: line {line}, column 'strat_fold' holds {fold[strange[0]]}; folds are 1 to 10")
    known, diagnostic = read_statements(os.path.join(folder, "scp_statements.csv"))
    return Dataset(
        name="ptbxl",
        ids=ids,
        columns=label_lib.select(labels, derive_labels(statements, known, diagnostic), None, csv),
        split=np.select([fold == 10, fold == 9], ["test", "validation"], "train"),
        folds=fold,
        patients=patients.parse(table, csv),
        attributes=parse_attributes(table, csv, sexes={"0": "M", "1": "F"}),
        read=lambda i: wfdb.read(paths[i], id=str(ids[i])),
        notes=tuple(notes),
    )


def _parse_statements(text: str, csv: str, line: int) -> set[str]:
    try:
        return set(ast.literal_eval(text))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise InputError(f"{csv}: line {line}, column 'scp_codes' holds {text[:80]!r}; expected a dict") from error


def read_statements(path: str) -> tuple[tuple[str, ...], dict[str, str]]:
    """Reads `scp_statements.csv`.

    Returns:
        The codes of all statements, and the superclass of each diagnostic one.

    Raises:
        InputError: when the file is missing or has no column `diagnostic_class`.
    """
    table = read_table(path, ("diagnostic", "diagnostic_class"))
    codes = parse_text(table[table.columns[0]], path)
    is_diagnostic = (pd.to_numeric(table["diagnostic"], errors="coerce") == 1).to_numpy()
    classes = parse_text(table.loc[is_diagnostic, "diagnostic_class"], path)
    return tuple(map(str, codes)), dict(zip(codes[is_diagnostic], classes, strict=True))


def derive_labels(
    statements: list[set[str]], known: tuple[str, ...], diagnostic: Mapping[str, str]
) -> dict[str, np.ndarray]:
    """Computes every label from the records' statements.

    Args:
        statements: Per record, the codes it carries.
        known: The codes of all statements; one that no record carries is still a label.
        diagnostic: The superclass of each diagnostic code.

    Returns:
        `[N]` float32 in {1, 0, NaN} by label: the six, `abnormal`, superclasses, statements.
    """
    nothing = np.array([not codes for codes in statements], bool)
    classes = [{diagnostic[code] for code in codes if code in diagnostic} for codes in statements]
    undiagnosed = np.array([not found for found in classes], bool)

    def has(name: str, sets: list[set[str]], unknown: np.ndarray) -> np.ndarray:
        return np.where(unknown, np.nan, [float(name in found) for found in sets]).astype(np.float32)

    columns = {name: has(code, statements, nothing) for name, code in SIX_STATEMENTS.items()}
    # Normal: NORM is the only diagnostic statement. Abnormal: any other. None: unknown.
    others = [float(found != {NORMAL}) for found in classes]
    columns[label_lib.ABNORMAL] = np.where(undiagnosed, np.nan, others).astype(np.float32)
    columns |= {name: has(name, classes, undiagnosed) for name in SUPERCLASSES}
    found_elsewhere = sorted(set().union(*statements) - set(known))
    return columns | {
        code: has(code, statements, nothing) for code in (*known, *found_elsewhere) if code not in SUPERCLASSES
    }
