"""LUDB 1.0.1 (Kalyakulina et al. 2020, IEEE Access 8:186181; PhysioNet doi 10.13026/eegm-h675).

200 records of 200 people in `data/`, findings as text in `ludb.csv`, which describes every
record in every column, so that a finding that is not there is absent. Sinus rhythm, an axis
that does not deviate and nothing else is normal; irregular sinus rhythm or early
repolarization alone is neither; any other finding is abnormal.

Traps: a cell holds several findings, one a line; ages end with a line break, the oldest is
`>89` (unknown here); leads are in lower case, with another gain and baseline each;
Einthoven's law holds only roughly.
"""

import os

import numpy as np
import pandas as pd

from ecg_jax import labels as label_lib
from ecg_jax.data.datasets.dataset import Dataset
from ecg_jax.data.datasets.table import keep_present, parse_attributes, parse_ids, read_table, require_folder
from ecg_jax.data.readers import wfdb

FINDINGS = {  # label: the finding's text, in lower case; abbreviations as in the Challenges
    "1dAVb": "i degree av block",
    "RBBB": "complete right bundle branch block",
    "LBBB": "complete left bundle branch block",
    "SB": "sinus bradycardia",
    "AF": "atrial fibrillation",
    "ST": "sinus tachycardia",
    "AFL": "atrial flutter, typical",
    "CHB": "iii degree av-block",
    "ERe": "early repolarization syndrome",
    "ILBBB": "incomplete left bundle branch block",
    "IRBBB": "incomplete right bundle branch block",
    "LAH": "left atrial hypertrophy",
    "LAnFB": "left anterior hemiblock",
    "LVH": "left ventricular hypertrophy",
    "NSR": "sinus rhythm",
    "RVH": "right ventricular hypertrophy",
    "SA": "sinus arrhythmia",
}
_NORMAL = {"sinus rhythm"} | {f"electric axis of the heart: {axis}" for axis in ("normal", "vertical", "horizontal")}
_NEITHER = {"sinus arrhythmia", "irregular sinus rhythm", "early repolarization syndrome"}
_NO_FINDINGS = ("ID", "Sex", "Age")  # the columns that hold something else


def create(*, source: str, labels: tuple[str, ...], seed: int) -> Dataset:
    """Opens an LUDB folder.

    Args:
        source: The folder that holds `ludb.csv` and `data/`.
        labels: Of `abnormal` and `FINDINGS`.
        seed: Unused: nothing is drawn.

    Raises:
        InputError: on missing files or columns.
    """
    del seed
    folder = require_folder("ludb", source)
    csv = os.path.join(folder, "ludb.csv")
    table = read_table(csv, ("ID", "Rhythms"))
    paths = [os.path.join(folder, "data", id) for id in parse_ids(table["ID"], csv)]
    table, paths, notes = keep_present(table, paths, [os.path.isfile(path + ".hea") for path in paths], csv)
    ids = parse_ids(table["ID"], csv)
    return Dataset(
        name="ludb",
        ids=ids,
        columns=label_lib.select(labels, derive_labels(table), None, csv),
        attributes=parse_attributes(table, csv),
        read=lambda i: wfdb.read(paths[i], id=str(ids[i])),
        notes=tuple(notes),
    )


def derive_labels(table: pd.DataFrame) -> dict[str, np.ndarray]:
    """Computes `abnormal` and every label of `FINDINGS`, `[N]` float32 in {1, 0, NaN}."""
    text = table.drop(columns=[name for name in _NO_FINDINGS if name in table]).fillna("")
    rows = ["\n".join(cells).lower().splitlines() for cells in text.itertuples(index=False)]
    found = [{finding.strip(" .") for finding in row} - {""} for row in rows]
    columns = {name: np.array([float(wanted in row) for row in found], np.float32) for name, wanted in FINDINGS.items()}
    columns[label_lib.ABNORMAL] = np.array([_judge(row) for row in found], np.float32)
    return columns


def _judge(findings: set[str]) -> float:
    beyond = findings - _NORMAL
    if beyond <= _NEITHER:
        return 0.0 if "sinus rhythm" in findings and not beyond else np.nan
    return 1.0
