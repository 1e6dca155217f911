"""LUDB 1.0.1 (Kalyakulina et al. 2020, IEEE Access 8:186181; PhysioNet doi 10.13026/eegm-h675).

200 records of 200 people in `data/`, findings as text in `ludb.csv`, which describes every record in every column, so
that a finding that is not there is absent: of rhythms, blocks, hypertrophies and infarctions all are stated. Sinus
rhythm, an axis that does not deviate and nothing else is normal (NORM); irregular sinus rhythm or early repolarization
alone is neither; any other finding is abnormal.

Ischaemia, STEMI and scars are stated by wall, several at once, where PTB-XL has one statement (inferolateral): only the
superclass is known, and neither infarction nor ischaemia where the column leaves it open which it is.

Traps: a cell holds several findings, one a line; ages end with a line break, the oldest is `>89` (unknown here); leads
are in lower case, with another gain and baseline each; Einthoven's law holds only roughly.
"""

import functools
import os

import numpy as np
import pandas as pd

from ecg_jax import labels as label_lib
from ecg_jax import statements
from ecg_jax.data.datasets import attributes
from ecg_jax.data.datasets import table as table_lib
from ecg_jax.data.datasets.dataset import Dataset, read_file
from ecg_jax.data.readers import wfdb

STATEMENTS = {  # code: how the findings begin that say it, in lower case
    "1AVB": ("i degree av block",),
    "3AVB": ("iii degree av-block",),
    "CRBBB": ("complete right bundle branch block",),
    "CLBBB": ("complete left bundle branch block",),
    "IRBBB": ("incomplete right bundle branch block",),
    "ILBBB": ("incomplete left bundle branch block",),
    "LAFB": ("left anterior hemiblock",),
    "IVCD": ("non-specific intravintricular conduction delay",),
    "LVH": ("left ventricular hypertrophy",),
    "RVH": ("right ventricular hypertrophy",),
    "LAO/LAE": ("left atrial hypertrophy", "left atrial overload"),
    "RAO/RAE": ("right atrial hypertrophy", "right atrial overload"),
    "PAC": ("atrial extrasystole",),
    "PVC": ("ventricular extrasystole",),
    "SR": ("sinus rhythm",),
    "SBRAD": ("sinus bradycardia",),
    "STACH": ("sinus tachycardia",),
    "SARRH": ("sinus arrhythmia",),
    "AFIB": ("atrial fibrillation",),
    "AFLT": ("atrial flutter",),
    "PACE": ("pacemaker presence", "unipolar", "bipolar", "biventricular pacing"),
}
_CLASSES = {"MI": ("stemi", "scar formation"), "STTC": ("ischemia", "non-specific repolarization abnormalities")}
_DOUBTS = {  # where one of these begins a finding, the statements are unknown unless they are stated
    "irregular sinus rhythm": ("SARRH",),
    "left ventricular overload": ("LVH", "SEHYP"),
    "undefined ischemia/scar": statements.MEMBERS["MI"],
    "stemi": statements.MEMBERS["MI"],
    "scar formation": statements.MEMBERS["MI"],
}
OWN = {  # own labels, by the abbreviations of the Challenges
    "AFL": "AFLT",
    "CHB": "3AVB",
    "LAnFB": "LAFB",
    "NSR": "SR",
    "SA": "SARRH",
}
_OWN_FINDINGS = {"ERe": "early repolarization syndrome", "LAH": "left atrial hypertrophy"}
_NORMAL = {"sinus rhythm"} | {f"electric axis of the heart: {axis}" for axis in ("normal", "vertical", "horizontal")}
_NEITHER = {"sinus arrhythmia", "irregular sinus rhythm", "early repolarization syndrome"}
_NO_FINDINGS = ("ID", "Sex", "Age")  # the columns that hold something else


def create(*, source: str, labels: tuple[str, ...]) -> Dataset:
    """Opens a folder of `ludb.csv` and `data/`; labels: `abnormal`, superclasses, `STATEMENTS`, own abbreviations."""
    folder, csv, table = table_lib.open_folder("ludb", source, "ludb.csv", ("ID", "Rhythms"))
    paths = [os.path.join(folder, "data", id) for id in table_lib.parse_ids(table["ID"], csv)]
    table, paths, notes = table_lib.keep_present(table, paths, csv, ".hea")
    ids = table_lib.parse_ids(table["ID"], csv)
    return Dataset(
        name="ludb",
        ids=ids,
        columns=label_lib.select(labels, derive_labels(table), None, csv),
        attributes=attributes.parse(table, csv, labels=labels),
        read=functools.partial(read_file, wfdb.read, paths, ids),
        notes=tuple(notes),
    )


def derive_labels(table: pd.DataFrame) -> dict[str, np.ndarray]:
    """Computes every label, `[N]` float32 in {1, 0, NaN}."""
    text = table.drop(columns=[name for name in _NO_FINDINGS if name in table]).fillna("")
    rows = ["\n".join(cells).lower().splitlines() for cells in text.itertuples(index=False)]
    found = [{finding.strip(" .") for finding in row} - {""} for row in rows]

    def has(*beginnings: str) -> np.ndarray:
        return np.array([any(finding.startswith(beginnings) for finding in row) for row in found], np.float32)

    may_be: dict[str, np.ndarray] = {}
    for beginning, codes in _DOUBTS.items():
        may_be |= {code: may_be.get(code, False) | (has(beginning) == 1) for code in codes}
    vocabulary, columns = statements.derive_complete(
        {code: has(*beginnings) for code, beginnings in STATEMENTS.items()},
        may_be=may_be,
        classes={name: has(*beginnings) == 1 for name, beginnings in _CLASSES.items()},
        abnormal=np.array([_judge(row) for row in found], np.float32),
    )
    own = {name: columns[code] for name, code in OWN.items()}
    return vocabulary | own | {name: has(finding) for name, finding in _OWN_FINDINGS.items()}


def _judge(findings: set[str]) -> float:
    beyond = findings - _NORMAL
    if beyond <= _NEITHER:
        return 0.0 if "sinus rhythm" in findings and not beyond else np.nan
    return 1.0
