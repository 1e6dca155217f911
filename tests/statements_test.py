"""The vocabulary: which statements there are, and what follows from them."""

import csv

import numpy as np
import pytest

from ecg_jax import statements

NAN = np.nan


def derive(codes, annotated=statements.STATEMENTS, **stated):
    """What follows where these codes are stated, and the others of `annotated` are not."""
    columns = {code: np.array([float(code in codes.split())]) for code in annotated}
    found = statements.derive(columns, np.array([NAN]), **stated)
    return {name: float(column[0]) for name, column in found.items()}


@pytest.mark.parametrize(
    "columns, expected",
    [([[1], [0]], 1), ([[0], [0]], 0), ([[1], [NAN]], 1), ([[0], [NAN]], NAN), ([[NAN], [NAN]], NAN)],
)
def test_any_of_is_known_where_one_is_present_or_all_are_absent(columns, expected):
    np.testing.assert_array_equal(statements.any_of(columns), [expected])


def test_abnormal_are_diagnostic_statements_and_rhythms_that_are_not_sinus():
    rhythms = {"AFIB", "AFLT", "SVTAC", "PSVT", "SVARR", "PACE", "BIGU", "TRIGU"}
    diagnostic = {code for code, found in statements.STATEMENTS.items() if found.superclass not in ("", "NORM")}
    assert set(statements.MEMBERS["abnormal"]) == diagnostic | rhythms
    assert not diagnostic & rhythms


def test_superclasses_are_known_only_where_their_statements_are():
    found = derive("1AVB", ["1AVB"])
    assert (found["CD"], found["abnormal"]) == (1, 1)
    assert np.isnan([found[name] for name in ("NORM", "MI", "STTC", "HYP")]).all()
    found = derive("", ["LVH", "RVH", "SEHYP", "LAO/LAE", "RAO/RAE", "1AVB"])
    assert found["HYP"] == 0
    assert np.isnan([found[name] for name in ("NORM", "MI", "STTC", "CD", "abnormal")]).all()


def test_a_normal_ecg_has_no_other_superclass():
    assert derive("NORM", ["NORM"]) == {"NORM": 1, "MI": 0, "STTC": 0, "CD": 0, "HYP": 0, "abnormal": 0}


def test_a_source_may_state_a_superclass_or_normality_itself():
    found = derive("NORM", classes={"MI": np.array([1.0])})
    assert (found["MI"], found["abnormal"]) == (1, 1)
    found = derive("", ["AMI"], classes={"MI": np.array([0.0])})
    assert found["MI"] == 0
    found = derive("SBRAD", ["SBRAD"], abnormal=np.array([1.0]))
    assert found["abnormal"] == 1


def test_a_long_pr_interval_leaves_an_absent_first_degree_block_open():
    columns = {"1AVB": np.array([0, 0, 1, NAN]), "LPR": np.array([0, 1, 1, 1])}
    np.testing.assert_array_equal(statements.doubt(columns)["1AVB"], [0, NAN, 1, NAN])
    assert list(statements.doubt({"1AVB": np.zeros(1)})) == ["1AVB"]


def test_every_label_has_one_name():
    assert len(statements.LABELS) == len(set(statements.LABELS)) == 71 + 5  # abnormal, MI, STTC, CD, HYP
    assert statements.LABELS[:7] == ("1dAVb", "RBBB", "LBBB", "SB", "AF", "ST", "abnormal")
    assert not set(statements.SIX.values()) & set(statements.LABELS)


def test_the_vocabulary_is_ptbxls(shared):
    with open(shared / "data" / "tables" / "ptbxl_scp_statements.csv", newline="") as file:
        rows = {row[""]: row for row in csv.DictReader(file)}
    assert set(rows) == set(statements.STATEMENTS)
    for code, found in statements.STATEMENTS.items():
        assert (found.superclass, found.is_rhythm) == (rows[code]["diagnostic_class"], rows[code]["rhythm"] == "1.0")
