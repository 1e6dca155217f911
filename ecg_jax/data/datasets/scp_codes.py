"""PTB-XL's column `scp_codes`, in any table: what a recording's statements say, and which recording it is.

A cell is a dict of codes and likelihoods; a likelihood of 0 means unknown likelihood, not absence. Annotators wrote
down all they found: a statement that a recording does not carry is absent. A recording without any statement is unknown
throughout, one without a diagnostic statement says nothing of the superclasses, and what LPR leaves open (see
`statements.doubt`) is unknown.

Every table of PTB-XL's recordings names the same ones: `ecg_id` 21 is one recording and `patient_id` 7 one patient, in
any file, and the Challenges' HR00021 is that recording too.
"""

import ast
import re
from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd

from ecg_jax import statements
from ecg_jax.data.datasets import table as table_lib

COLUMN = "scp_codes"
ID = "ecg_id"
_DATABASE = "ptbxl/"
_NUMBER = re.compile(r"0*(\d+)(?:\.0*)?")


def parse(column: pd.Series, source: str) -> list[frozenset[str]]:
    """The codes of each recording, none where the cell is empty; another value raises `InputError` with its line."""
    found = [_parse(text) for text in column.fillna("{}")]
    is_valid = np.array([codes is not None for codes in found], bool)
    table_lib.require(is_valid, column, source, "expected a dict such as {'NORM': 100.0}")
    return [codes for codes in found if codes is not None]


def _parse(text: str) -> frozenset[str] | None:
    try:
        found = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None
    return frozenset(found) if isinstance(found, dict) and all(isinstance(code, str) for code in found) else None


def derive(stated: Sequence[Collection[str]]) -> dict[str, np.ndarray]:
    """Every label of the vocabulary, and every other code that is stated in the codes of each of N recordings.

    Returns:
        `[N]` float32 in {1, 0, NaN} by name, in the order of `statements.LABELS`.
    """
    silent = np.array([not codes for codes in stated], bool)
    unknown = np.where(silent, np.nan, 0).astype(np.float32)
    strange = sorted(set().union(*stated) - statements.STATEMENTS.keys())
    columns = {
        code: np.where(silent, np.nan, [code in codes for codes in stated]).astype(np.float32)
        for code in (*strange, *statements.STATEMENTS)
    }
    columns = statements.doubt(columns)
    derived = statements.derive(columns, unknown)
    diagnostic = [code for code, statement in statements.STATEMENTS.items() if statement.superclass]
    is_diagnosed = np.array([not codes.isdisjoint(diagnostic) for codes in map(set, stated)], bool)
    for name in statements.SUPERCLASSES:
        derived[name] = np.where(is_diagnosed, derived[name], np.nan).astype(np.float32)
    has_strange = np.array([not codes.isdisjoint(strange) for codes in map(set, stated)], bool)
    for name, column in derived.items():  # what such a code would make true is not known
        derived[name] = np.where(has_strange & (column == 0), np.nan, column).astype(np.float32)
    return statements.name_columns(columns, derived)


def describe_strange(stated: Sequence[Collection[str]], source: str) -> list[str]:
    """A line on codes that the vocabulary does not have, if there are any."""
    strange = sorted(set().union(*stated) - statements.STATEMENTS.keys())
    if not strange:
        return []
    return [f"{source}: {', '.join(strange)} are no statements of the vocabulary; what they mean is unknown"]


def read_labels(table: pd.DataFrame, source: str) -> dict[str, np.ndarray]:
    """Labels of a table's column `scp_codes`, see `derive`, except those that the table has itself."""
    if COLUMN not in table:
        return {}
    return {name: column for name, column in derive(parse(table[COLUMN], source)).items() if name not in table}


def read_origins(table: pd.DataFrame, source: str) -> np.ndarray | None:
    """Which recordings of PTB-XL these are (see `name_origin`), `[N]` str; None for a table of others.

    Raises:
        InputError: when the table has statements, and an `ecg_id` is not a number.
    """
    if COLUMN not in table or ID not in table:
        return None
    return np.array([name_origin(number) for number in table_lib.parse_integers(table[ID], source)], str)


def name_origin(ecg_id: int) -> str:
    """What `Dataset.origins` calls a recording of PTB-XL."""
    return f"{_DATABASE}{ecg_id}"


def name_patient(text: str) -> str:
    """One spelling of PTB-XL's patients: 7, 7.0 and ptbxl-7.0 are `ptbxl/patient 7`; empty where unknown."""
    found = _NUMBER.fullmatch(text.removeprefix("ptbxl-"))
    return f"{_DATABASE}patient {found[1] if found else text}" if text else ""
