"""The training data of the PhysioNet/CinC Challenges 2020 and 2021 (doi 10.13026/34va-7q14), all eight sources.

A record's name contains its source: A (CPSC 2018), Q (CPSC 2018 extra), I (INCART), S (PTB), HR (PTB-XL), E (Georgia),
JS (Chapman/Shaoxing up to JS10646, Ningbo after it). Diagnoses are in the header, as SNOMED CT codes after `#Dx:`.

What labels mean: a statement that a record does not carry is absent (0) only where its source uses a code for it at all
(see `snomed`), else unknown: CPSC 2018 knows nine classes, neither SB nor ST among them; Ningbo has no AF (and 7,615
AFL, which may be either). A general code (bundle branch block of no side) leaves the statements open that it may mean.
Sinus rhythm is not a statement of normality, so that `abnormal` is 1 or unknown. A record without any diagnosis is
unknown throughout. The Challenge's own abbreviations are labels as well.

Traps: stray commas, repeated codes and `Unknown` in `#Dx:`; ages -1 and 300; headers that name the `.mat` where the
record's name should be; early Georgia headers with a gain of 4880/mV where the samples are microvolts (mended in
`read`); 257 to 1000 Hz, 5 s to 30 min; PTB-XL is inside (HR00001 is its `ecg_id` 1; its table states patients and
folds), and so is the whole of CPSC 2018. No header names its patient: INCART's 74 records are of 32 people, and PTB has
several of many a person.
"""

import dataclasses
import functools
import os
import re

import numpy as np
import pandas as pd

from ecg_jax import labels as label_lib
from ecg_jax import statements
from ecg_jax.data.datasets import attributes, scp_codes, snomed
from ecg_jax.data.datasets import table as table_lib
from ecg_jax.data.datasets.dataset import Dataset
from ecg_jax.data.readers import reading, wfdb
from ecg_jax.data.readers.wfdb_header import MISTAKEN_GAIN, PUBLISHED_GAIN
from ecg_jax.errors import InputError
from ecg_jax.recording import Recording

LAST_CHAPMAN = 10646  # of JS; Ningbo follows
_LETTERS = {"A": "A", "Q": "Q", "I": "I", "S": "S", "HR": "H", "E": "E", "JS": "C"}
_LONGEST_HEADER = 1 << 16  # bytes; the longest one has about 1,200
_GEORGIA_STEP = MISTAKEN_GAIN / PUBLISHED_GAIN  # microvolts


@dataclasses.dataclass(frozen=True)
class Header:
    """What a record's header says of its patient.

    Attributes:
        path: The record's path, without a suffix.
        source: One of `snomed.SOURCES`' values.
        codes: SNOMED CT codes.
        strange: Words among the codes that are no numbers.
        age: As written there.
        sex: As written there.
    """

    path: str
    source: str
    codes: frozenset[str]
    strange: frozenset[str]
    age: str
    sex: str

    @property
    def id(self) -> str:
        """The record's name."""
        return os.path.basename(self.path)


def create(*, source: str, labels: tuple[str, ...], ptbxl_csv: str = "") -> Dataset:
    """Opens a folder of Challenge records, searched to its depths, with all of its sources or some.

    Its labels are those of the vocabulary (`snomed.KNOWN` has the statements), and the Challenge's abbreviations,
    scored and unscored; of equivalent ones RBBB, LBBB, PAC and PVC. `ptbxl_csv`, PTB-XL's `ptbxl_database.csv`, names
    the patients of HR records, and by its folds their split.
    """
    folder = table_lib.require_folder("challenge2021", source)
    stems = sorted(
        os.path.join(root, name[:-4]) for root, _, files in os.walk(folder) for name in files if name.endswith(".hea")
    )
    ours = [stem for stem in stems if find_source(os.path.basename(stem))]
    whole = [stem for stem in ours if os.path.isfile(stem + ".mat") or os.path.isfile(stem + ".dat")]
    if not whole:
        raise InputError(
            f"{folder}: {len(stems)} .hea files, none of a Challenge record (A0001, HR00001, ...) that has its .mat"
        )
    headers = [read_header(stem) for stem in whole]
    ids = np.array([header.id for header in headers])
    origins = np.array([scp_codes.name_origin(int(id[2:])) if id.startswith("HR") else "" for id in ids.tolist()], str)
    _require_unique(ids, whole)
    notes = _describe(headers, len(stems) - len(ours), len(ours) - len(whole))
    patients = split = None
    if ptbxl_csv:
        patients, split = _find_in_ptbxl(ids, ptbxl_csv)
    elif any(header.source == "ptb-xl" for header in headers):
        notes.append(
            "several HR records may be of one patient; name PTB-XL's table with "
            "--config.data.challenge2021.ptbxl_csv=FILE to keep them on one side"
        )
    if any(header.source in ("st_petersburg_incart", "ptb") for header in headers):
        notes.append(
            "several I or S records (INCART, PTB) may be of one patient, and nothing says which: they may stand on "
            "both sides of a split that is drawn"
        )
    table = pd.DataFrame({"age": [h.age for h in headers], "sex": [h.sex for h in headers]})
    return Dataset(
        name="challenge2021",
        ids=ids,
        columns=label_lib.select(labels, derive_labels(headers), None, folder),
        split=split,
        patients=patients,
        origins=origins if (origins != "").any() else None,
        attributes=attributes.parse(table, folder) | {"source": np.array([header.source for header in headers])},
        read=functools.partial(_read, headers),
        notes=tuple(notes),
    )


def find_source(id: str) -> str:
    """The source of a record by its name; empty for a name that no source uses."""
    match = re.fullmatch(r"(A|Q|I|S|HR|E|JS)(\d{4,5})", id)
    if not match:
        return ""
    letter = _LETTERS[match[1]]
    return snomed.SOURCES["N" if letter == "C" and int(match[2]) > LAST_CHAPMAN else letter]


def read_header(stem: str) -> Header:
    """Reads a header's comments on the patient; raises `InputError` when it cannot be read."""
    fields: dict[str, str] = {}
    for line in reading.read_bytes(stem + ".hea", _LONGEST_HEADER).decode("utf-8", errors="replace").splitlines():
        if line.startswith("#") and ":" in line:
            key, value = line.strip("# ").split(":", 1)
            fields.setdefault(key.strip().lower(), value.strip())
    words = {word for word in re.split(r"[,;\s]+", fields.get("dx", "")) if word}
    codes = frozenset(word for word in words if word.isdigit())
    unknown = {word for word in words if word.lower() in ("unknown", "nan", "none")}
    return Header(
        path=stem,
        source=find_source(os.path.basename(stem)),
        codes=codes,
        strange=frozenset(words - codes - unknown),
        age=fields.get("age", ""),
        sex=fields.get("sex", ""),
    )


def derive_labels(headers: list[Header]) -> dict[str, np.ndarray]:
    """Computes every label: those of the vocabulary that a source knows, and the Challenge's abbreviations.

    Returns:
        `[N]` float32 in {1, 0, NaN} by label.
    """
    sources = np.array([header.source for header in headers])
    silent = np.array([not header.codes for header in headers], bool)

    def create(annotated: frozenset[str]) -> np.ndarray:
        return np.where(np.isin(sources, sorted(annotated)) & ~silent, np.float32(0), np.float32(np.nan))

    own = {label: create(annotated) for label, annotated in snomed.ANNOTATED.items()}
    columns = {code: create(annotated) for code, annotated in snomed.KNOWN.items()}
    classes = {name: create(frozenset()) for name in (*statements.SUPERCLASSES, statements.ABNORMAL)}
    classes["MI"] = create(snomed.ANNOTATED["MI"] - {snomed.SOURCES["H"]})  # a code of its own there
    for row, header in enumerate(headers):
        names = [snomed.ABBREVIATIONS[code] for code in sorted(header.codes & snomed.LABELS.keys())]
        for code in header.codes & snomed.LABELS.keys():
            own[snomed.LABELS[code]][row] = 1
        _state(header.source, names, row, columns, classes)
    columns = statements.doubt(columns)
    derived = statements.derive(columns, np.full(len(headers), np.nan, np.float32), classes=classes)
    vocabulary = statements.name_columns(columns, derived)
    return vocabulary | {name: column for name, column in own.items() if name not in vocabulary}


def _state(
    source: str, names: list[str], row: int, columns: dict[str, np.ndarray], classes: dict[str, np.ndarray]
) -> None:
    """Records the meaning of a record's abbreviations: statements, superclasses, and what they leave open."""
    meanings = [snomed.find_meaning(source, name) for name in names]
    stated = {codes[0] for codes in meanings if len(codes) == 1 and codes[0] in columns}
    for code in stated:
        columns[code][row] = 1
    for name, codes in zip(names, meanings, strict=True):
        for code in columns.keys() & set(codes) if stated.isdisjoint(codes) else ():
            columns[code][row] = np.nan
        for of, members in statements.MEMBERS.items():
            if codes and set(codes) <= set(members):
                classes[of][row] = 1
        if name in snomed.OTHERS:
            classes[statements.ABNORMAL][row] = 1


def _require_unique(ids: np.ndarray, stems: list[str]) -> None:
    values, counts = np.unique(ids, return_counts=True)
    if (repeated := np.flatnonzero(counts > 1)).size:
        first, second = (stems[row] for row in np.flatnonzero(ids == values[repeated[0]])[:2])
        raise InputError(f"{first}.hea and {second}.hea are one record by name; keep one of the two")


def _find_in_ptbxl(ids: np.ndarray, ptbxl_csv: str) -> tuple[np.ndarray | None, np.ndarray | None]:
    """PTB-XL's patient and split where a record is PTB-XL's, else empty: unknown; None where none is."""
    table = table_lib.read_table(ptbxl_csv, ("ecg_id", "patient_id"))
    names = [f"HR{number:05d}" for number in table_lib.parse_integers(table["ecg_id"], ptbxl_csv)]
    patients = [f"ptbxl-{patient}" for patient in table_lib.parse_text(table["patient_id"], ptbxl_csv)]
    splits = np.full(len(names), "")
    if table_lib.FOLD in table:
        splits = table_lib.split_by_fold(table_lib.parse_folds(table[table_lib.FOLD], ptbxl_csv))
    found = []
    for values in (patients, splits.tolist()):
        known = dict(zip(names, values, strict=True))
        column = np.array([known.get(id, "") for id in ids.tolist()], str)
        found.append(column if (column != "").any() else None)
    return found[0], found[1]


def _describe(headers: list[Header], foreign: int, incomplete: int) -> list[str]:
    """Lines on what was left out or not understood."""
    notes = []
    if foreign:
        notes.append(f"{foreign} .hea files are not named like a Challenge record; left out")
    if incomplete:
        notes.append(f"{incomplete} headers lie there without their .mat; left out")
    if silent := sum(not header.codes for header in headers):
        notes.append(f"{silent} records state no diagnosis; all their labels are unknown")
    words = sorted(set().union(*(header.strange | (header.codes - snomed.LABELS.keys()) for header in headers)))
    if words:
        notes.append(
            f"{len(words)} codes are in no table of the Challenge, the first {words[0][:40]}; no label is theirs"
        )
    return notes


def _read(headers: list[Header], i: int) -> Recording:
    header = headers[i]
    recording = wfdb.read(header.path, id=header.id)
    return mend_gain(recording) if recording.known_factor and header.source == "georgia" else recording


def mend_gain(recording: Recording) -> Recording:
    """Puts a Georgia recording that was read at 4880/mV right, where its samples prove that they are microvolts.

    Georgia's recorder has steps of 4.88 microvolts, truncated to whole microvolts: every sample of a measured lead is a
    truncated multiple of 4.88, as one number in five is by chance.
    """
    samples = np.rint(recording.signal * np.float64(MISTAKEN_GAIN))
    measured = [i for i, lead in enumerate(recording.leads) if not lead.startswith("aV")]
    size = np.abs(samples[:, measured])
    steps = np.ceil(size / _GEORGIA_STEP - 1e-9)
    if not measured or np.ptp(size) < 100 or (np.trunc(steps * _GEORGIA_STEP + 1e-6) != size).any():
        return recording
    notes = [note for note in recording.notes if str(MISTAKEN_GAIN) not in note]  # the reader's own doubt is settled
    notes.append(f"gain {MISTAKEN_GAIN}/mV mended to {PUBLISHED_GAIN}/mV: the samples are in steps of 4.88 microvolts")
    signal = (samples / PUBLISHED_GAIN).astype(np.float32)
    return dataclasses.replace(recording, signal=signal, known_factor=None, notes=tuple(notes))
