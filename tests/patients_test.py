"""Patients are known by whatever their column is called, and an unknown one is no patient."""

import numpy as np
import pandas as pd
import pytest

from ecg_jax import columns
from ecg_jax.data.datasets import patients
from ecg_jax.errors import InputError


def clean(*names):
    found = patients.clean(pd.Series(names, dtype=object))
    return None if found is None else found.tolist()


@pytest.mark.parametrize(
    "name",
    ["patient_id", "PatientID", "Patient ID", "patient", "subject_id", "Subject", "person_id", "MRN", "patient-id"],
)
def test_a_column_of_patients_has_many_names(name):
    table = pd.DataFrame({"AF": ["1", "0"], name: ["p", "q"]})
    assert patients.parse(table, "l.csv").tolist() == ["p", "q"]


def test_without_such_a_column_nobody_is_known():
    assert patients.parse(pd.DataFrame({"AF": ["1"], "patience": ["p"]}), "l.csv") is None


def test_patient_id_goes_before_other_names_and_a_named_column_before_all():
    table = pd.DataFrame({"subject": ["s"], "patient_id": ["p"], "who": ["w"]})
    assert patients.parse(table, "l.csv").tolist() == ["p"]
    assert patients.parse(table, "l.csv", "who").tolist() == ["w"]
    with pytest.raises(InputError, match=r"l\.csv: no column owner to name patients; it has subject, patient_id, who"):
        patients.parse(table, "l.csv", "owner")


@pytest.mark.parametrize(
    "nobody", ["", " ", "unknown", "Unknown", "UNK", "nan", "None", "NULL", "n/a", "NA", "-1", "-1.0", "-999", "?", "-"]
)
def test_a_word_for_unknown_is_no_patient(nobody):
    assert clean("p", nobody, nobody, "p") == ["p", "", "", "p"]
    assert clean(nobody, nobody) is None
    assert clean("p", np.nan) == ["p", ""]


@pytest.mark.parametrize(
    "names, is_patient",
    [
        ("0 0 1 1 2 2", True),  # numbered from 0
        ("0 1 1 2 2", True),
        ("0.0 0.0 1.0 1.0", True),
        ("0 0 2 2 4 4", True),  # a part of a numbering
        ("0 0 0 1 2 3", False),  # half of the rows: stands more often than anybody
        ("0 0 1 2 3 4", False),
        ("0 0 834512 834512 91234 7712", False),  # among numbers of records, which no clinic counts from 0
        ("0 0 a a b", False),
        ("0 0 unknown", False),
        ("0 0", False),
    ],
)
def test_zero_is_a_patient_only_where_patients_are_numbered_from_zero(names, is_patient):
    found = clean(*names.split())
    zeros = [] if found is None else [name for name in found if name in ("0", "0.0")]
    assert bool(zeros) == is_patient


def test_names_stay_what_they_are():
    assert clean(" 007 ", "7", "7.0", "P-1") == ["007", "7", "7.0", "P-1"]


def test_endless_digits_are_a_name():
    assert clean("9" * 5000, "0") == ["9" * 5000, ""]


def test_columns_are_found_in_the_order_of_preference_whatever_their_case():
    assert columns.find(["Exam ID", "x", "FileName", "RECORDING"], columns.RECORDING) == [
        *("RECORDING", "FileName", "Exam ID")
    ]
