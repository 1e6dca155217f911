"""Usual names of a table's columns, compared without case, spaces and punctuation."""

import re
from collections.abc import Iterable

# Both in the order in which they are preferred.
RECORDING = (
    *("recording", "recordingid", "recordingname", "path", "filepath", "filename", "file", "fileid"),
    *("filenamehr", "filenamelr", "waveformpath", "wavepath", "ecgpath", "ecgfile"),
    *("name", "id", "examid", "studyid", "record", "recordid", "recordname", "ecgid", "ecgname"),
    *("uid", "uuid", "accessionnumber"),
)
PATIENT = (
    *("patientid", "patient", "subjectid", "subject", "personid", "person", "participantid", "participant"),
    *("patid", "pid", "mrn", "patientnumber", "patientno", "subjectnumber", "subjectno", "patientuid"),
)


def canonical(name: object) -> str:
    """A column's name in lower case, letters and digits alone: `Patient ID` and `patient_id` are `patientid`."""
    return re.sub(r"[\W_]+", "", str(name).lower())


def find(names: Iterable[object], wanted: tuple[str, ...]) -> list[str]:
    """The columns of a table whose canonical name is wanted, in the order of `wanted`."""
    rank = {name: place for place, name in enumerate(wanted)}
    found = [str(name) for name in names if canonical(name) in rank]
    return sorted(found, key=lambda name: rank[canonical(name)])
