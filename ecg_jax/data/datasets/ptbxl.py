"""PTB-XL (Wagner et al. 2020, Sci Data 7:154; PhysioNet doi 10.13026/kfzx-aw45), in its own layout.

Traps: files at 100 Hz and 500 Hz stand side by side; a likelihood of 0 in `scp_codes`
means unknown likelihood, not absence; some records carry no diagnostic statement.
"""

import ast
import os

import numpy as np
import pandas as pd

from ecg_jax import labels as label_lib
from ecg_jax.data.datasets.dataset import (
    Dataset,
    parse_attributes,
    parse_integers,
    parse_text,
    read_table,
    require_folder,
)
from ecg_jax.data.readers import wfdb
from ecg_jax.errors import InputError

SIX_STATEMENTS = {"1dAVb": "1AVB", "RBBB": "CRBBB", "LBBB": "CLBBB", "SB": "SBRAD", "AF": "AFIB", "ST": "STACH"}
NORMAL = "NORM"
_FILE_COLUMN = {100: "filename_lr", 500: "filename_hr"}


def create(*, source: str, labels: tuple[str, ...], seed: int, sampling_rate: int = 500) -> Dataset:
    """Opens a PTB-XL folder; `strat_fold` 1-8 trains, 9 validates, 10 tests.

    Args:
        source: The folder that holds `ptbxl_database.csv`.
        labels: Of the six diagnoses, `abnormal`, and any SCP statement by its code.
        seed: Unused: the folds are the data set's own.
        sampling_rate: 100 or 500 (Hz): which of the two sets of files is read.

    Raises:
        InputError: on missing files or columns.
    """
    del seed
    if sampling_rate not in _FILE_COLUMN:
        raise InputError(f"data.ptbxl.sampling_rate is {sampling_rate}; PTB-XL has files at 100 and 500 Hz")
    folder = require_folder("ptbxl", source)
    csv = os.path.join(folder, "ptbxl_database.csv")
    column = _FILE_COLUMN[sampling_rate]
    table = read_table(csv, ("ecg_id", "scp_codes", "strat_fold", column))
    paths = [os.path.join(folder, name) for name in parse_text(table[column], csv)]
    absent = [path for path in paths if not os.path.isfile(path + ".hea")]
    if absent:
        raise InputError(
            f"{csv}: {len(absent)} of its {len(paths)} records are not there, the first {absent[0]}.hea; "
            "download them, or try --config.data.ptbxl.sampling_rate=100 (or 500)"
        )
    parse_text(table["scp_codes"], csv)
    statements = [_parse_statements(text, csv, row + 2) for row, text in table["scp_codes"].items()]
    columns = {name: _has(statements, code) for name, code in SIX_STATEMENTS.items()}
    if label_lib.ABNORMAL in labels:
        columns[label_lib.ABNORMAL] = _abnormal(statements, os.path.join(folder, "scp_statements.csv"))
    columns |= {code: _has(statements, code) for code in sorted(set().union(*statements))}
    ids = parse_integers(table["ecg_id"], csv).astype(str)
    fold = parse_integers(table["strat_fold"], csv)
    if (strange := np.flatnonzero((fold < 1) | (fold > 10))).size:
        line = table.index[strange[0]] + 2
        raise InputError(f"{csv}: line {line}, column 'strat_fold' holds {fold[strange[0]]}; folds are 1 to 10")
    return Dataset(
        name="ptbxl",
        ids=ids,
        columns=label_lib.select(labels, columns, None, csv),
        split=np.select([fold == 10, fold == 9], ["test", "validation"], "train"),
        folds=fold,
        patients=parse_text(table["patient_id"], csv) if "patient_id" in table else None,
        attributes=parse_attributes(table, sexes={"0": "M", "1": "F"}),
        read=lambda i: wfdb.read(paths[i], id=str(ids[i])),
    )


def _parse_statements(text: str, csv: str, line: int) -> set[str]:
    try:
        return set(ast.literal_eval(text))
    except (ValueError, SyntaxError, TypeError) as error:
        raise InputError(f"{csv}: line {line}, column 'scp_codes' holds {text!r}; expected a dict") from error


def _has(statements: list[set[str]], code: str) -> np.ndarray:
    return np.array([float(code in codes) for codes in statements], np.float32)


def _abnormal(statements: list[set[str]], path: str) -> np.ndarray:
    """Normal: NORM is the only diagnostic statement. Abnormal: any other. None: unknown."""
    table = read_table(path, ("diagnostic",))
    diagnostic = set(table.loc[pd.to_numeric(table["diagnostic"], errors="coerce") == 1, table.columns[0]])
    state = []
    for codes in statements:
        found = codes & diagnostic
        state.append(np.nan if not found else float(found != {NORMAL}))
    return np.array(state, np.float32)
