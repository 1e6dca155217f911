"""The names of findings: PTB-XL's SCP-ECG statements, and what follows from them.

The codes, their kinds and superclasses are those of PTB-XL's `scp_statements.csv` (Wagner et al. 2020, Sci Data 7:154).
The six diagnoses of Ribeiro et al. 2020 are names for six of them. Superclasses and `abnormal` follow from statements
by the rules of this module alone, in files and in the simulator.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np


class Statement(NamedTuple):
    """What a code means; its superclass, empty unless it is diagnostic; whether it is a statement on rhythm."""

    meaning: str
    superclass: str = ""
    is_rhythm: bool = False


NORMAL = "NORM"
REASSURING = (NORMAL, "SR")  # labels that say that nothing is wrong
SUPERCLASSES = (NORMAL, "MI", "STTC", "CD", "HYP")
ABNORMAL = "abnormal"
# The six diagnoses of Ribeiro et al. 2020 (Nat Commun 11:1760), in that paper's order.
SIX = {"1dAVb": "1AVB", "RBBB": "CRBBB", "LBBB": "CLBBB", "SB": "SBRAD", "AF": "AFIB", "ST": "STACH"}

_DIAGNOSTIC = {
    "MI": {
        "AMI": "anterior infarction",
        "ASMI": "anteroseptal infarction",
        "ALMI": "anterolateral infarction",
        "LMI": "lateral infarction",
        "IMI": "inferior infarction",
        "ILMI": "inferolateral infarction",
        "IPMI": "inferoposterior infarction",
        "IPLMI": "inferoposterolateral infarction",
        "PMI": "posterior infarction",
        "INJAS": "anteroseptal subendocardial injury",
        "INJAL": "anterolateral subendocardial injury",
        "INJIN": "inferior subendocardial injury",
        "INJIL": "inferolateral subendocardial injury",
        "INJLA": "lateral subendocardial injury",
    },
    "STTC": {
        "NDT": "T wave changes that are not diagnostic",
        "NST_": "nonspecific ST changes",
        "ISC_": "nonspecific ischaemia",
        "ISCAL": "anterolateral ischaemia",
        "ISCAN": "anterior ischaemia",
        "ISCAS": "anteroseptal ischaemia",
        "ISCIL": "inferolateral ischaemia",
        "ISCIN": "inferior ischaemia",
        "ISCLA": "lateral ischaemia",
        "LNGQT": "long QT interval",
        "DIG": "digitalis effect",
        "EL": "electrolyte disturbance or drug",
        "ANEUR": "ST-T of a ventricular aneurysm",
    },
    "CD": {
        "1AVB": "first-degree AV block",
        "2AVB": "second-degree AV block",
        "3AVB": "third-degree AV block",
        "CRBBB": "complete right bundle branch block",
        "CLBBB": "complete left bundle branch block",
        "IRBBB": "incomplete right bundle branch block",
        "ILBBB": "incomplete left bundle branch block",
        "LAFB": "left anterior fascicular block",
        "LPFB": "left posterior fascicular block",
        "IVCD": "nonspecific intraventricular conduction delay",
        "WPW": "pre-excitation (Wolff-Parkinson-White)",
    },
    "HYP": {
        "LVH": "left ventricular hypertrophy",
        "RVH": "right ventricular hypertrophy",
        "SEHYP": "septal hypertrophy",
        "LAO/LAE": "left atrial enlargement",
        "RAO/RAE": "right atrial enlargement",
    },
    NORMAL: {NORMAL: "normal ECG"},
}
_FORM = {
    "ABQRS": "abnormal QRS complex",
    "HVOLT": "high QRS voltage",
    "INVT": "inverted T waves",
    "LOWT": "low T waves",
    "LPR": "long PR interval",
    "LVOLT": "low QRS voltage",
    "NT_": "nonspecific T wave changes",
    "PAC": "atrial premature complexes",
    "PRC(S)": "premature complexes",
    "PVC": "ventricular premature complexes",
    "QWAVE": "Q waves",
    "STD_": "nonspecific ST depression",
    "STE_": "nonspecific ST elevation",
    "TAB_": "T wave abnormality",
    "VCLVH": "voltage criteria of left ventricular hypertrophy",
}
_RHYTHM = {
    "SR": "sinus rhythm",
    "SBRAD": "sinus bradycardia",
    "STACH": "sinus tachycardia",
    "SARRH": "sinus arrhythmia",
    "AFIB": "atrial fibrillation",
    "AFLT": "atrial flutter",
    "SVTAC": "supraventricular tachycardia",
    "PSVT": "paroxysmal supraventricular tachycardia",
    "SVARR": "supraventricular arrhythmia",
    "PACE": "paced rhythm",
    "BIGU": "bigeminy",
    "TRIGU": "trigeminy",
}
STATEMENTS: dict[str, Statement] = {
    **{code: Statement(text, name) for name, found in _DIAGNOSTIC.items() for code, text in found.items()},
    **{code: Statement(text) for code, text in _FORM.items()},
    **{code: Statement(text, is_rhythm=True) for code, text in _RHYTHM.items()},
}
_SINUS = ("SR", "SBRAD", "STACH", "SARRH")
_COMPLETE = ("MI", "CD", "HYP")  # superclasses of which readers state all findings

# What makes each of these true: one of its statements.
MEMBERS: dict[str, tuple[str, ...]] = {
    name: tuple(code for code, statement in STATEMENTS.items() if statement.superclass == name) for name in SUPERCLASSES
}
MEMBERS[ABNORMAL] = tuple(
    code
    for code, statement in STATEMENTS.items()
    if statement.superclass not in ("", NORMAL) or (statement.is_rhythm and code not in _SINUS)
)


def column_name(code: str) -> str:
    """The name of a statement's column: the six diagnoses have their own, the others their code."""
    return _NAMES.get(code, code)


_NAMES = {code: name for name, code in SIX.items()}
# Every label of the vocabulary, in the order in which data sets offer them; NORM is a statement and a superclass.
LABELS = tuple(dict.fromkeys((*SIX, ABNORMAL, *SUPERCLASSES, *map(column_name, STATEMENTS))))


def any_of(columns: Sequence[np.ndarray]) -> np.ndarray:
    """1 where one of the columns `[N]` is 1, 0 where all are 0, NaN (unknown) elsewhere; float32 `[N]`."""
    stacked = np.stack([np.asarray(column, np.float32) for column in columns])
    found = np.nanmax(np.where(np.isnan(stacked), -1, stacked), axis=0)
    unknown = np.isnan(stacked).any(axis=0) & (found < 1)
    return np.where(unknown, np.nan, np.maximum(found, 0)).astype(np.float32)


def doubt(columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Statements by code, each `[N]`, with 1AVB unknown instead of absent where a long PR interval is stated.

    LPR is neither a first-degree AV block nor its absence: readers draw the border between the two differently.
    """
    found = dict(columns)
    if "1AVB" in found and "LPR" in found:
        is_doubtful = (found["1AVB"] == 0) & (found["LPR"] == 1)
        found["1AVB"] = np.where(is_doubtful, np.nan, found["1AVB"]).astype(np.float32)
    return found


def derive(
    columns: Mapping[str, np.ndarray],
    unknown: np.ndarray,
    *,
    classes: Mapping[str, np.ndarray] | None = None,
    abnormal: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Superclasses and `abnormal` from statements.

    An ECG is abnormal when one of `MEMBERS["abnormal"]` is stated, and normal when NORM is stated and none of these;
    otherwise it is unknown. A normal ECG has none of the other superclasses.

    Args:
        columns: Statements by code, each `[N]` in {1, 0, NaN}.
        unknown: The state of a code that is not among them, `[N]`: NaN where it may be present, 0 where it would have
            been stated.
        classes: What a source states of superclasses or `abnormal` without naming a statement, each `[N]` in {1, 0,
            NaN}: 1 holds; 0 holds where the statements leave it open.
        abnormal: `[N]` in {1, 0, NaN}, where a source states normality itself; it is taken as it is.

    Returns:
        `[N]` float32 in {1, 0, NaN} by name.
    """
    found = {name: any_of([columns.get(code, unknown) for code in codes]) for name, codes in MEMBERS.items()}
    for name, stated in (classes or {}).items():
        filled = np.where(np.isnan(found[name]), stated, found[name])
        found[name] = np.where(stated == 1, 1, filled).astype(np.float32)
    if abnormal is None:
        is_abnormal = np.any([found[name] == 1 for name in (ABNORMAL, *SUPERCLASSES[1:])], axis=0)
        abnormal = np.where(is_abnormal, 1, np.where(found[NORMAL] == 1, 0, np.nan))
    found[ABNORMAL] = abnormal.astype(np.float32)
    for name in SUPERCLASSES[1:]:
        found[name] = np.where(np.isnan(found[name]) & (abnormal == 0), 0, found[name]).astype(np.float32)
    return found


def derive_complete(
    offered: Mapping[str, np.ndarray],
    *,
    may_be: Mapping[str, np.ndarray],
    classes: Mapping[str, np.ndarray],
    abnormal: np.ndarray,
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Labels of a source that states every infarction, block and hypertrophy: one that is not stated is absent.

    Args:
        offered: Statements by code, each `[N]` in {1, 0}.
        may_be: Where a statement is unknown unless it is stated, `[N]` bool by code.
        classes: Where a finding of a superclass is stated that no statement names, `[N]` bool.
        abnormal: `[N]` in {1, 0, NaN}, as the source states it.

    Returns:
        Labels by name (see `name_columns`), and all statements by code.
    """
    absent = np.zeros(len(abnormal), np.float32)
    columns = {code: absent for name in _COMPLETE for code in MEMBERS[name]} | dict(offered)
    for code, is_open in may_be.items():
        columns[code] = np.where(is_open & (columns[code] == 0), np.nan, columns[code]).astype(np.float32)
    columns[NORMAL] = 1 - abnormal
    stated = {name: np.where(is_stated, 1, np.nan) for name, is_stated in classes.items()}
    derived = derive(columns, np.full(len(abnormal), np.nan), classes=stated, abnormal=abnormal)
    return name_columns({code: columns[code] for code in offered}, derived), columns


def name_columns(columns: Mapping[str, np.ndarray], derived: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Labels by name, in the order of `LABELS`: `derived` (see `derive`), and statements by `column_name`."""
    named = {column_name(code): column for code, column in columns.items()} | dict(derived)
    return {name: named[name] for name in LABELS if name in named} | named
