"""Where each data set's recordings are, what its labels mean, and who is in which split."""

import ast
import csv
import os

import h5py
import numpy as np
import pandas as pd
import pytest
import wfdb
from workers_reading import assert_workers_read

from ecg_jax.contract import InputContract
from ecg_jax.data import datasets
from ecg_jax.data.datasets import attributes
from ecg_jax.data.datasets.dataset import SPLITS
from ecg_jax.data.datasets.table import parse_split
from ecg_jax.data.preprocess import create_input
from ecg_jax.data.sampling import Order
from ecg_jax.data.splits import content
from ecg_jax.errors import InputError
from ecg_jax.labels import SIX
from ecg_jax.recording import LEADS
from ecg_jax.statements import LABELS

NAN = np.nan


def create(name, source, labels="six", seed=0, **options):
    return datasets.create(name, source=str(source), labels=labels, seed=seed, options={name: options})


def column(dataset, name):
    return dataset.labels[:, dataset.label_names.index(name)]


def write_record(path, value=0.5, rate=500, samples=20):
    """Writes a record whose every sample is `value` millivolts."""
    path.parent.mkdir(parents=True, exist_ok=True)
    wfdb.wrsamp(
        path.name,
        fs=rate,
        units=["mV"] * 12,
        sig_name=list(LEADS),
        d_signal=np.full((samples, 12), round(1000 * value), np.int64),
        fmt=["16"] * 12,
        adc_gain=[1000.0] * 12,
        baseline=[0] * 12,
        write_dir=str(path.parent),
    )


def write_csv(path, text):
    path.write_text("\n".join(line.strip() for line in text.strip().splitlines()) + "\n")
    return path


# Splits


def test_a_split_column_is_read_in_its_usual_spellings():
    values = pd.Series(["train", " Val ", "valid", "validation", "TEST"])
    expected = ["train", "validation", "validation", "validation", "test"]
    np.testing.assert_array_equal(parse_split(values, "x.csv"), expected)


@pytest.mark.parametrize("bad", ["dev", "1", ""])
def test_another_split_is_refused_with_its_line(tmp_path, bad):
    path = write_csv(tmp_path / "x.csv", f"split,n\ntrain,1\n{bad},2")
    found = f"holds '?{bad}" if bad else "is empty"
    with pytest.raises(
        InputError, match=rf"x\.csv: line 3, column 'split' {found}.*; expected train, validation, test"
    ):
        parse_split(pd.read_csv(path)["split"], str(path))


# By name


def test_an_unknown_data_set_is_refused_naming_the_known():
    with pytest.raises(
        InputError, match="'mitbih'; known: arrays, challenge2021, code, code15, combined, folder, ludb"
    ):
        create("mitbih", "")


def test_a_data_set_with_nothing_to_train_on_is_refused():
    with pytest.raises(InputError, match="simulated: no recording to train on among 5"):
        create("simulated", "", train=0, validation=3, test=2)


def test_an_unknown_split_is_refused():
    with pytest.raises(InputError, match="split 'dev'; known: train, validation, test"):
        create("simulated", "", train=1, validation=0, test=0).indices("dev")


@pytest.mark.parametrize("name", sorted(set(datasets.DATASETS) - {"simulated"}))
@pytest.mark.parametrize("source", ["", "nowhere"])
def test_a_source_that_is_not_there_is_refused(tmp_path, monkeypatch, name, source):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError):
        create(name, source, **{"unit": "mV", "sampling_rate": 400} if name == "arrays" else {})


# PTB-XL

PTBXL = """
ecg_id,patient_id,scp_codes,strat_fold,filename_lr,filename_hr
21,100.0,"{'NORM': 100.0, 'SBRAD': 0.0}",1,records100/00000/00021_lr,records500/00000/00021_hr
22,100.0,"{'NORM': 80.0, 'IMI': 15.0}",8,records100/00000/00022_lr,records500/00000/00022_hr
23,101.0,"{'CRBBB': 100.0, '1AVB': 0.0, 'AFIB': 0.0}",9,records100/00000/00023_lr,records500/00000/00023_hr
24,102.0,"{'SR': 0.0, 'ABQRS': 0.0}",10,records100/00000/00024_lr,records500/00000/00024_hr
25,103.0,"{'CLBBB': 100.0, 'STACH': 0.0}",10,records100/00000/00025_lr,records500/00000/00025_hr
"""


@pytest.fixture
def ptbxl(tmp_path):
    write_csv(tmp_path / "ptbxl_database.csv", PTBXL)
    for number in range(21, 26):
        write_record(tmp_path / f"records100/00000/000{number}_lr", number / 100, rate=100)
        write_record(tmp_path / f"records500/00000/000{number}_hr", number / 10, rate=500)
    return tmp_path


def test_ptbxl_reads_the_six_from_its_statements(ptbxl):
    dataset = create("ptbxl", ptbxl)
    assert dataset.label_names == SIX
    expected = [[0, 0, 0, 1, 0, 0], [0, 0, 0, 0, 0, 0], [1, 1, 0, 0, 1, 0], [0, 0, 0, 0, 0, 0], [0, 0, 1, 0, 0, 1]]
    np.testing.assert_array_equal(dataset.labels, expected)


@pytest.mark.parametrize(
    "codes, expected",
    [
        ("NORM", 0),
        ("NORM SBRAD", 0),
        ("NORM SARRH PAC PVC LPR", 0),
        ("NORM IMI", 1),
        ("NORM AFIB", 1),
        ("AFIB", 1),
        ("PACE", 1),
        ("NORM SVARR", 1),
        ("SR BIGU", 1),
        ("SR ABQRS", NAN),
        ("SR LPR", NAN),
        ("", NAN),
    ],
)
def test_ptbxl_is_normal_where_norm_is_the_only_diagnostic_statement_and_the_rhythm_is_sinus(ptbxl, codes, expected):
    stated = str(dict.fromkeys(codes.split(), 0.0))
    write_csv(ptbxl / "ptbxl_database.csv", PTBXL.replace("{'SR': 0.0, 'ABQRS': 0.0}", stated))
    np.testing.assert_array_equal(create("ptbxl", ptbxl, "abnormal").labels[:, 0], [0, 1, 1, expected, 1])


def test_a_long_pr_interval_leaves_a_first_degree_block_open(ptbxl):
    write_csv(ptbxl / "ptbxl_database.csv", PTBXL.replace("'ABQRS'", "'LPR'").replace("'1AVB'", "'LPR': 0.0, '1AVB'"))
    dataset = create("ptbxl", ptbxl, "1dAVb,LPR,CD")
    np.testing.assert_array_equal(dataset.labels.T[0], [0, 0, 1, NAN, 0])
    np.testing.assert_array_equal(dataset.labels.T[1], [0, 0, 1, 1, 0])
    np.testing.assert_array_equal(dataset.labels.T[2], [0, 0, 1, NAN, 1])


def test_ptbxl_offers_every_statement_by_its_code(ptbxl):
    np.testing.assert_array_equal(create("ptbxl", ptbxl, "CRBBB,IMI").labels.T, [[0, 0, 1, 0, 0], [0, 1, 0, 0, 0]])
    with pytest.raises(InputError, match="no label PACED; there are: 1dAVb"):
        create("ptbxl", ptbxl, "PACED")


def test_ptbxl_tells_of_a_code_that_the_vocabulary_lacks_and_leaves_open_what_it_may_mean(ptbxl):
    write_csv(ptbxl / "ptbxl_database.csv", PTBXL.replace("'SBRAD': 0.0", "'FOO': 0.0"))
    dataset = create("ptbxl", ptbxl, "abnormal,superclasses,FOO")
    np.testing.assert_array_equal(dataset.labels[0], [NAN, 1, NAN, NAN, NAN, NAN, 1])
    np.testing.assert_array_equal(dataset.labels[1], [1, 1, 1, 0, 0, 0, 0])
    assert "FOO are no statements of the vocabulary" in dataset.notes[0]


def test_ptbxl_offers_a_statement_that_no_record_carries(ptbxl):
    np.testing.assert_array_equal(create("ptbxl", ptbxl, "LVH").labels[:, 0], [0] * 5)


def test_ptbxl_superclasses_are_those_of_its_diagnostic_statements(ptbxl):
    """Of 24, which has none, nothing is known; NORM is a statement and a superclass."""
    dataset = create("ptbxl", ptbxl, "NORM,MI,STTC,CD,HYP")
    expected = [[1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [0, 0, 0, 1, 0], [NAN] * 5, [0, 0, 0, 1, 0]]
    np.testing.assert_array_equal(dataset.labels, expected)


def test_ptbxl_knows_nothing_of_a_record_without_any_statement(ptbxl):
    write_csv(ptbxl / "ptbxl_database.csv", PTBXL.replace("{'SR': 0.0, 'ABQRS': 0.0}", "{}"))
    dataset = create("ptbxl", ptbxl, "all")
    assert np.isnan(dataset.labels[3]).all()
    assert np.isfinite(dataset.labels[[0, 1, 2, 4]]).all()


def test_ptbxl_splits_by_its_folds(ptbxl):
    np.testing.assert_array_equal(create("ptbxl", ptbxl).split, ["train", "train", "validation", "test", "test"])


@pytest.mark.parametrize("rate, divisor", [(100, 100), (500, 10)])
def test_ptbxl_reads_the_files_of_the_rate_that_was_asked_for(ptbxl, rate, divisor):
    dataset = create("ptbxl", ptbxl, sampling_rate=rate)
    for i, number in enumerate(range(21, 26)):
        recording = dataset.read(i)
        assert recording.id == dataset.ids[i] == str(number)
        assert recording.sampling_rate == rate
        np.testing.assert_allclose(recording.signal, number / divisor, rtol=1e-6)


def test_ptbxl_has_no_other_rate(ptbxl):
    with pytest.raises(InputError, match=r"sampling_rate is 250; .*100 and 500"):
        create("ptbxl", ptbxl, sampling_rate=250)


def test_ptbxl_without_some_of_its_records_refuses_these_when_they_are_read(ptbxl):
    os.remove(ptbxl / "records500/00000/00023_hr.hea")
    os.remove(ptbxl / "records500/00000/00025_hr.dat")
    dataset = create("ptbxl", ptbxl)
    assert list(dataset.ids) == ["21", "22", "23", "24", "25"]
    assert "line 4: 1 of its 5 records are not there, the first" in dataset.notes[0]
    for row, name in ((2, "00023_hr"), (4, "00025_hr")):
        with pytest.raises(InputError, match=name):
            dataset.read(row)
    assert dataset.read(3).signal[0, 0] == pytest.approx(2.4)


def test_ptbxl_without_any_of_its_records_is_refused_naming_the_first(ptbxl):
    for number in range(21, 26):
        os.remove(ptbxl / f"records500/00000/000{number}_hr.hea")
    with pytest.raises(
        InputError, match=r"5 of its 5 records are not there, the first .*00021_hr; .*sampling_rate=100"
    ):
        create("ptbxl", ptbxl)
    assert create("ptbxl", ptbxl, sampling_rate=100).notes == ()


def test_ptbxl_statements_that_are_no_dict_are_refused_with_their_line(ptbxl):
    write_csv(ptbxl / "ptbxl_database.csv", PTBXL.replace("{'CRBBB': 100.0, '1AVB': 0.0, 'AFIB': 0.0}", "CRBBB 100"))
    with pytest.raises(InputError, match=r"ptbxl_database\.csv: line 4, column 'scp_codes' holds 'CRBBB 100'"):
        create("ptbxl", ptbxl)


@pytest.mark.parametrize("cell", ["21,100.0", "1,records100/00000/00021_lr", "records100/00000/00021_lr,records500"])
def test_ptbxl_with_an_empty_cell_is_refused_by_file(ptbxl, cell):
    emptied = {
        "21,100.0": ",100.0",
        "1,records100/00000/00021_lr": ",records100/00000/00021_lr",
        "records100/00000/00021_lr,records500": ",records500",
    }[cell]
    write_csv(ptbxl / "ptbxl_database.csv", PTBXL.replace(cell, emptied, 1))
    with pytest.raises(InputError, match=r"ptbxl_database\.csv"):
        create("ptbxl", ptbxl, sampling_rate=100)


def test_ptbxl_without_a_column_is_refused_naming_it(ptbxl):
    write_csv(ptbxl / "ptbxl_database.csv", PTBXL.replace("strat_fold", "fold"))
    with pytest.raises(InputError, match=r"ptbxl_database\.csv: no column strat_fold; it has ecg_id"):
        create("ptbxl", ptbxl)


# CODE-15%

EXAMS = """
exam_id,age,1dAVb,RBBB,LBBB,SB,ST,AF,patient_id,normal_ecg,trace_file
33,40,False,False,False,False,True,False,3,False,exams_part0.hdf5
11,50,True,False,False,False,False,False,1,False,exams_part0.hdf5
52,60,False,False,False,False,False,False,5,True,exams_part1.hdf5
22,70,False,False,False,False,False,True,2,False,exams_part0.hdf5
51,30,False,True,False,False,False,False,1,False,exams_part1.hdf5
44,30,False,False,False,False,False,False,4,False,exams_part0.hdf5
61,30,False,False,True,False,False,False,6,False,exams_part2.hdf5
"""


def write_part(path, ids):
    """Writes exams whose every sample is a hundredth of their id, closed by the degenerate exam 0."""
    tracings = np.zeros((len(ids) + 1, 64, 12), np.float32)
    tracings[:-1] = np.array(ids)[:, None, None] / 100
    with h5py.File(path, "w") as file:
        file["exam_id"] = np.array([*ids, 0])
        file["tracings"] = tracings
        file["tracings"].attrs.update(sampling_rate=400, unit="code")


@pytest.fixture
def code15(tmp_path):
    """Three parts are listed, the third is not there; exam 44 is in no file, exam 99 in no list."""
    write_csv(tmp_path / "exams.csv", EXAMS)
    write_part(tmp_path / "exams_part0.hdf5", [11, 22, 33, 99])
    write_part(tmp_path / "exams_part1.hdf5", [51, 52])
    return tmp_path


def test_code15_joins_its_table_and_its_files_by_exam(code15):
    dataset = create("code15", code15)
    assert list(dataset.ids) == ["33", "11", "52", "22", "51"]
    for i, exam in enumerate(dataset.ids):
        recording = dataset.read(i)
        assert recording.id == exam
        np.testing.assert_allclose(recording.signal, int(exam) / 200, rtol=1e-6)  # a CODE unit is half a millivolt


def test_code15_joins_labels_by_name(code15):
    dataset = create("code15", code15)
    assert dataset.label_names == SIX  # the file has ST before AF
    expected = [[0, 0, 0, 0, 0, 1], [1, 0, 0, 0, 0, 0], [0] * 6, [0, 0, 0, 0, 1, 0], [0, 1, 0, 0, 0, 0]]
    np.testing.assert_array_equal(dataset.labels, expected)


def test_code15_is_abnormal_where_it_is_not_normal(code15):
    np.testing.assert_array_equal(create("code15", code15, "abnormal").labels[:, 0], [1, 1, 0, 1, 1])


def test_code15_knows_what_its_flags_and_its_normals_say_of_superclasses(code15):
    dataset = create("code15", code15, "NORM,CD")
    np.testing.assert_array_equal(dataset.labels.T, [[0, 0, 1, 0, 0], [NAN, 1, 0, NAN, 1]])
    assert create("code15", code15, "statements").label_names == ("1dAVb", "RBBB", "LBBB", "NORM", "SB", "ST", "AF")
    with pytest.raises(InputError, match="no label MI, STTC, HYP; there are: abnormal, NORM, CD"):
        create("code15", code15, "superclasses")


def test_code15_without_a_diagnosis_is_not_normal_for_that(code15):
    write_part(code15 / "exams_part0.hdf5", [11, 22, 33, 44])
    dataset = create("code15", code15, "abnormal,1dAVb,RBBB,LBBB,SB,AF,ST")
    np.testing.assert_array_equal(dataset.labels[list(dataset.ids).index("44")], [1, 0, 0, 0, 0, 0, 0])


def test_code15_leaves_out_the_exam_of_zeros(code15):
    write_csv(code15 / "exams.csv", EXAMS.strip() + "\n0,0,False,False,False,False,False,False,9,True,exams_part0.hdf5")
    dataset = create("code15", code15)
    assert "0" not in dataset.ids
    assert not any(dataset.read(i).is_degenerate for i in range(len(dataset.ids)))


def test_code15_tells_what_it_left_out(code15):
    notes = "\n".join(create("code15", code15).notes)
    assert "1 of 3 parts are not in" in notes
    assert "1 exams of exams.csv are not in the files" in notes
    assert "2 degenerate and 1 unlisted rows" in notes


def test_code15_keeps_a_patient_on_one_side(tmp_path):
    ids = list(range(1, 201))
    lines = [f"{exam},False,False,False,False,False,False,{exam % 60},True,exams_part0.hdf5" for exam in ids]
    header = "exam_id,1dAVb,RBBB,LBBB,SB,ST,AF,patient_id,normal_ecg,trace_file"
    write_csv(tmp_path / "exams.csv", "\n".join([header, *lines]))
    write_part(tmp_path / "exams_part0.hdf5", ids)
    dataset = create("code15", tmp_path)
    patients = dataset.ids.astype(int) % 60
    assert (pd.Series(dataset.split).groupby(patients).nunique() == 1).all()
    assert [len(np.unique(patients[dataset.split == side])) for side in SPLITS] == [48, 6, 6]


def test_code15_with_none_of_its_parts_is_refused(tmp_path):
    write_csv(tmp_path / "exams.csv", EXAMS)
    with pytest.raises(InputError, match=r"none of its files is in .*the first exams_part0\.hdf5"):
        create("code15", tmp_path)


def test_code15_whose_ids_match_nothing_is_refused(code15):
    for part in (0, 1):
        write_part(code15 / f"exams_part{part}.hdf5", [7000 + part])
    with pytest.raises(InputError, match=r"exams\.csv: none of its 6 exam_id is in the files it names"):
        create("code15", code15)


def test_code15_exams_of_a_damaged_part_are_refused_when_they_are_read(code15):
    os.truncate(code15 / "exams_part1.hdf5", 5000)
    dataset = create("code15", code15)
    assert list(dataset.ids) == ["33", "11", "52", "22", "51"]
    for row in (2, 4):
        message = rf"exam {dataset.ids[row]}: .*exams_part1\.hdf5: not a readable HDF5 file .*download this part again"
        with pytest.raises(InputError, match=message):
            dataset.read(row)
    np.testing.assert_allclose(dataset.read(3).signal, 22 / 100 / 2)
    assert any("a part is damaged" in note and "exams_part1.hdf5" in note for note in dataset.notes)
    assert "1 degenerate and 1 unlisted rows of the HDF5 files are left out" in dataset.notes


def test_code15_whose_parts_are_all_damaged_is_refused_by_name(code15):
    for part in (0, 1):
        os.truncate(code15 / f"exams_part{part}.hdf5", 5000)
    with pytest.raises(InputError, match=r"exams_part0\.hdf5: not a readable HDF5 file .*download it again"):
        create("code15", code15)


def test_code15s_sex_is_no_label(code15):
    text = EXAMS.replace("exam_id,age", "exam_id,is_male,age")
    text = "\n".join(line.replace(",", ",True,", 1) if line[0].isdigit() else line for line in text.split() if line)
    dataset = create("code15", _with_table(code15, text), "all")
    assert set(dataset.label_names) == {*SIX, "abnormal", "NORM", "CD", "normal_ecg"}
    assert list(dataset.attributes["sex"]) == ["M"] * 5


def test_code15_refuses_a_bad_label_with_its_line_in_the_file(code15):
    """Also where an exam that is left out stands before it."""
    text = EXAMS.replace("51,30,False,True", "51,30,False,maybe")
    with pytest.raises(InputError, match=r"exams\.csv: line 6, column 'RBBB' holds '?maybe"):
        create("code15", _with_table(code15, text))
    moved = EXAMS.strip().splitlines()
    moved = [moved[0], moved[6], *moved[1:5], moved[5].replace("False,True", "False,maybe")]  # exam 44 first
    with pytest.raises(InputError, match=r"exams\.csv: line 7, column 'RBBB' holds '?maybe"):
        create("code15", _with_table(code15, "\n".join(moved)))


def _with_table(folder, text):
    write_csv(folder / "exams.csv", text)
    return folder


def test_code15_with_an_empty_exam_id_is_refused_by_file(code15):
    with pytest.raises(InputError, match=r"exams\.csv"):
        create("code15", _with_table(code15, EXAMS.replace("\n22,", "\n,")))


def test_code15_that_lists_an_exam_twice_is_refused(code15):
    lines = EXAMS.strip().splitlines()
    with pytest.raises(InputError, match="recording 33 occurs 2 times"):
        create("code15", _with_table(code15, "\n".join([*lines, lines[1]])))


# CODE's own layout


@pytest.fixture
def code(tmp_path):
    write_part(tmp_path / "tracings.hdf5", list(range(1, 100)))  # and exam 0: 100 rows
    lines = [f"{int(i % 7 == 0)},{'' if i % 5 == 0 else int(i % 2)}" for i in range(100)]
    write_csv(tmp_path / "annotations.csv", "\n".join(["AF,ST", *lines]))
    return tmp_path / "tracings.hdf5"


def test_code_labels_tracings_row_by_row(code):
    dataset = create("code", code, "ST,AF")
    np.testing.assert_array_equal(column(dataset, "AF"), [float(i % 7 == 0) for i in range(100)])
    np.testing.assert_array_equal(column(dataset, "ST"), [NAN if i % 5 == 0 else i % 2 for i in range(100)])
    assert list(dataset.ids) == [str(i) for i in [*range(1, 100), 0]]
    np.testing.assert_allclose(dataset.read(41).signal, 42 / 200, rtol=1e-6)


@pytest.mark.parametrize(
    "validation, test", [(0.02, 0.02), (0.1, 0.1), (0.2, 0.2), (0.1, 0.2), (0.3, 0.1), (0.0, 0.05)]
)
def test_code_validates_on_the_end_of_the_file_and_tests_on_what_is_before(code, validation, test):
    dataset = create("code", code, "AF", validation_fraction=validation, test_fraction=test)
    held = round(100 * validation), round(100 * test)
    expected = ["train"] * (100 - sum(held)) + ["test"] * held[1] + ["validation"] * held[0]
    np.testing.assert_array_equal(dataset.split, expected)


def test_codes_split_column_goes_before_the_order_of_the_file(code):
    sides = [("train", "val", "test")[i % 3] for i in range(100)]
    write_csv(code.parent / "annotations.csv", "\n".join(["AF,split", *(f"0,{side}" for side in sides)]))
    np.testing.assert_array_equal(
        create("code", code, "AF").split, [side.replace("val", "validation") for side in sides]
    )


def test_code_needs_as_many_labels_as_tracings(code):
    write_csv(code.parent / "annotations.csv", "AF\n0\n1")
    with pytest.raises(InputError, match=r"annotations\.csv: 2 rows against 100 recordings"):
        create("code", code, "AF")


def test_code_with_two_tables_must_be_told_which(code):
    write_csv(code.parent / "other.csv", "AF\n" + "0\n" * 100)
    with pytest.raises(InputError, match="2 CSV files are beside it; name one"):
        create("code", code, "AF")
    assert create("code", code, "AF", labels_csv=str(code.parent / "other.csv")).labels.sum() == 0


@pytest.mark.parametrize("fractions", [(-0.1, 0.1), (0.1, -0.1), (0.6, 0.4)])
def test_code_fractions_must_leave_something_to_train_on(code, fractions):
    with pytest.raises(InputError, match="fractions"):
        create("code", code, "AF", validation_fraction=fractions[0], test_fraction=fractions[1])


# Folder


@pytest.fixture
def folder(tmp_path):
    for i in range(4):
        write_record(tmp_path / "records" / f"r{i}", i / 10, rate=257 + i)
    write_csv(
        tmp_path / "labels.csv", "path,AF,SB\nrecords/r2,1,\nrecords/r0.hea,0,true\nrecords/r1.dat,,0\nrecords/r3,1.0,0"
    )
    return tmp_path


def test_a_folder_is_read_as_its_table_says(folder):
    dataset = create("folder", folder, "AF,SB")
    np.testing.assert_array_equal(dataset.labels, [[1, NAN], [0, 1], [NAN, 0], [1, 0]])
    assert list(dataset.ids) == ["records/r2", "records/r0.hea", "records/r1.dat", "records/r3"]
    for i, number in enumerate([2, 0, 1, 3]):
        recording = dataset.read(i)
        np.testing.assert_allclose(recording.signal, number / 10, atol=1e-6)
        assert recording.sampling_rate == 257 + number


def test_a_folders_own_ids_and_splits_are_used(folder):
    write_csv(folder / "labels.csv", "id,path,AF,split\na,records/r0,1,train\nb,records/r1,0,val\nc,records/r2,0,test")
    dataset = create("folder", folder / "labels.csv", "AF")
    assert list(dataset.ids) == ["a", "b", "c"]
    assert list(dataset.split) == ["train", "validation", "test"]
    assert dataset.read(1).id == "b"


def test_a_folders_patients_stay_on_one_side(tmp_path):
    write_record(tmp_path / "r")
    lines = [f"e{i},r,0,p{i % 20}" for i in range(100)]
    write_csv(tmp_path / "labels.csv", "\n".join(["id,path,AF,patient_id", *lines]))
    split = create("folder", tmp_path, "AF").split
    assert (pd.Series(split).groupby(np.arange(100) % 20).nunique() == 1).all()
    assert {side: int((split == side).sum()) for side in SPLITS} == {"train": 80, "validation": 10, "test": 10}


@pytest.mark.parametrize("value", ["2", "-1", "0.5", "x"])
def test_a_folders_bad_label_is_refused_with_its_line(folder, value):
    write_csv(folder / "labels.csv", f"path,AF\nrecords/r0,1\nrecords/r1,{value}\nrecords/r2,7")
    with pytest.raises(InputError, match=rf"labels\.csv: line 3, column 'AF' holds .*{value}.*\(2 such"):
        create("folder", folder, "AF")


def test_lines_are_counted_as_an_editor_counts_them(folder):
    (folder / "labels.csv").write_text("path,AF\nrecords/r0,1\n\nrecords/r1,7\n")
    with pytest.raises(InputError, match=r"labels\.csv: line 4, column 'AF'"):
        create("folder", folder, "AF")


def test_records_that_are_not_there_are_refused_when_they_are_read(folder):
    write_csv(folder / "labels.csv", "path,AF\nrecords/r0,1\nrecords/r8,0\nrecords/r9,0")
    dataset = create("folder", folder, "AF")
    assert len(dataset.ids) == 3
    assert dataset.notes[0].startswith("labels.csv, line 3: 2 of its 3 records are not there, the first ")
    assert dataset.read(0).id == "records/r0"
    for row, name in ((1, "records/r8"), (2, "records/r9")):
        with pytest.raises(InputError, match=rf"{name}: no such file"):
            dataset.read(row)
    with pytest.raises(InputError, match=r"2 of 3 recordings cannot be used: .*r8: no such file"):
        content.check(dataset, threads=1)


def test_a_table_none_of_whose_records_is_there_is_refused_naming_the_first(folder):
    write_csv(folder / "labels.csv", "path,AF\nr0,1\nr1,0")
    with pytest.raises(
        InputError, match=r"line 2: 2 of its 2 records are not there, the first .*r0; paths are relative"
    ):
        create("folder", folder, "AF")


def test_weighted_sampling_draws_by_a_folders_column(folder):
    lines = "path,AF,Sampling_Weight,split\nrecords/r0,1,0,train\nrecords/r1,0,2.5,train"
    write_csv(folder / "labels.csv", lines)
    dataset = create("folder", folder, "all")
    weights = dataset.attributes["sampling_weight"]
    assert weights.dtype == np.float32
    np.testing.assert_array_equal(weights, [0, 2.5])
    assert dataset.label_names == ("AF",)
    assert set(Order(dataset, 0, "weighted").rows_at(np.arange(50))) == {1}


@pytest.mark.parametrize(
    "value, found",
    [
        ("-1", "holds '-1'"),
        ("x", "holds 'x'"),
        ("", "is empty"),
        (" ", "is empty"),
        ("inf", "holds"),
        ("1e39", "holds"),
    ],
)
def test_a_weight_that_is_none_is_refused_with_its_line(folder, value, found):
    write_csv(folder / "labels.csv", f"path,sampling_weight,AF\nrecords/r0,1,1\nrecords/r1,{value},0")
    message = rf"labels\.csv: line 3, column 'sampling_weight' {found}.*; a weight is a number of at least 0"
    with pytest.raises(InputError, match=message):
        create("folder", folder, "AF")


@pytest.mark.parametrize("column", ["subject_id", "PatientID", "Patient ID", "patient", "MRN", "person_id"])
def test_patients_are_known_by_whatever_their_column_is_called(folder, column):
    write_csv(folder / "labels.csv", f"path,AF,{column}\nrecords/r0,1,p\nrecords/r1,0,unknown\nrecords/r2,0,q")
    assert list(create("folder", folder, "AF").patients) == ["p", "", "q"]


def test_another_column_of_patients_is_named_or_refused(folder):
    write_csv(folder / "labels.csv", "path,AF,who,patient_id\nrecords/r0,1,p,1\nrecords/r1,0,p,2")
    options = {"folder": {"patient_column": "who"}}
    opened = datasets.open_source("folder", source=str(folder), labels="AF", seed=0, options=options)
    assert list(opened.patients) == ["p", "p"]
    options["folder"]["patient_column"] = "nobody"
    with pytest.raises(InputError, match=r"labels\.csv: no column nobody to name patients; it has path, AF, who"):
        datasets.open_source("folder", source=str(folder), labels="AF", seed=0, options=options)
    options["folder"]["patient_column"] = "patient"
    with pytest.raises(InputError, match=r"did you mean patient_id\?$"):
        datasets.open_source("folder", source=str(folder), labels="AF", seed=0, options=options)


def test_a_folders_unknown_patients_are_people_of_their_own(folder):
    write_csv(
        folder / "labels.csv", "path,AF,patient_id\nrecords/r0,1,p\nrecords/r1,0,\nrecords/r2,0, \nrecords/r3,0,p"
    )
    dataset = create("folder", folder, "AF")
    assert list(dataset.patients) == ["p", "", "", "p"]
    facts = dataset.split_facts
    assert (facts["patients"], facts["recordings_without_patient"]) == (1, 2)


def test_a_folder_tells_what_all_labels_are(folder):
    write_csv(folder / "labels.csv", "path,AF,SB\nrecords/r0,1,0\nrecords/r1,0,yes")
    dataset = datasets.open_source("folder", source=str(folder), labels="all", seed=0, options={})
    assert dataset.label_names == ("AF",)
    assert dataset.notes == (
        "columns taken as labels: AF",
        "column SB is no label: line 3 holds 'yes'; a label is 0, 1 or empty",
    )
    assert create("folder", folder, "AF").notes == ()


def test_a_record_named_by_digits_is_found(tmp_path):
    write_record(tmp_path / "0001")
    write_csv(tmp_path / "labels.csv", "path,AF\n0001,1")
    dataset = create("folder", tmp_path, "AF")
    assert list(dataset.ids) == ["0001"]
    np.testing.assert_allclose(dataset.read(0).signal, 0.5)


def test_a_line_without_a_path_is_refused(folder):
    write_csv(folder / "labels.csv", "path,AF\nrecords/r0,1\n,0")
    with pytest.raises(InputError, match=r"labels\.csv"):
        create("folder", folder, "AF")


def test_a_line_without_an_id_is_refused(folder):
    write_csv(folder / "labels.csv", "id,path,AF\na,records/r0,1\n,records/r1,0")
    with pytest.raises(InputError, match=r"labels\.csv"):
        create("folder", folder, "AF")


def test_a_record_that_stands_twice_is_refused(folder):
    write_csv(folder / "labels.csv", "path,AF\nrecords/r0,1\nrecords/r0,0")
    with pytest.raises(InputError, match="recording records/r0 occurs 2 times"):
        create("folder", folder, "AF")


def test_a_folder_without_a_table_holds_recordings_without_labels(folder):
    os.unlink(folder / "labels.csv")
    dataset = datasets.open_source("folder", source=str(folder), labels="all", seed=0, options={})
    assert dataset.label_names == ()
    assert dataset.labels.shape == (len(dataset.ids), 0)
    assert all(not os.path.isabs(name) for name in dataset.ids)
    assert dataset.read(1).signal.any()
    with pytest.raises(InputError, match="no CSV that says which recording has AF"):
        create("folder", folder, labels="AF")


@pytest.mark.parametrize("names", [["labels.csv"], ["labels.csv", "more.csv"]])
def test_tables_without_a_path_are_not_used_where_no_label_is_asked_for(folder, names):
    for name in names:
        write_csv(folder / name, "where,AF\nrecords/r0,1")
    dataset = datasets.open_source("folder", source=str(folder), labels="all", seed=0, options={})
    assert len(dataset.ids) == 4
    assert dataset.notes[0].startswith(f"not used, without a column `path`: {', '.join(names)}; ")
    with pytest.raises(
        InputError, match=r"no column that names files.* pass the right CSV|2 CSV files .*source=FILE\.csv"
    ):
        create("folder", folder, "AF")


def test_a_folder_with_two_tables_must_be_told_which(folder):
    write_csv(folder / "more.csv", "path,AF\nrecords/r0,1")
    with pytest.raises(InputError, match="2 CSV files"):
        create("folder", folder, "AF")
    assert list(create("folder", folder / "more.csv", "AF").ids) == ["records/r0"]


@pytest.mark.parametrize(
    "contents, message",
    [
        (b"", "not a readable CSV"),
        (b"path,AF\n", "no rows"),
        (b"where,AF\nr0,1\n", "no column that names files, as path, file, filename or recording; it has where, AF"),
        (b"path,AF\nr0,1\nr1,0,5,6\n", "not a readable CSV"),
        (b"path,AF\nr\xf6,1\n", "not a readable CSV"),
    ],
)
def test_a_broken_table_is_refused_by_name(tmp_path, contents, message):
    (tmp_path / "labels.csv").write_bytes(contents)
    with pytest.raises(InputError, match=rf"labels\.csv: {message}"):
        create("folder", tmp_path, "AF")


@pytest.mark.parametrize(
    "text",
    [
        "file,AF\nrecords/r1,1",
        "File Name,AF\nrecords/r1,1",
        "recording,file,AF\nexam 7,records/r1,1",  # the first column names no file
        "recording,path,AF\nrecords/r0,records/r1,1",
    ],
)
def test_files_may_be_named_as_in_any_other_table(folder, text):
    write_csv(folder / "labels.csv", text)
    assert list(create("folder", folder / "labels.csv", "AF").ids) == ["records/r1"]


def test_a_label_that_is_read_from_a_column_of_another_name_is_said(folder):
    write_csv(folder / "labels.csv", "path,AF,SB\nrecords/r0,1,0")
    dataset = create("folder", folder / "labels.csv", "AFIB,SB")
    assert dataset.label_names == ("AFIB", "SB")
    assert "AFIB: read from column AF" in dataset.notes
    assert len(dataset.notes) == 1


def test_a_table_saved_by_a_spreadsheet_is_read(folder):
    (folder / "labels.csv").write_bytes(b"\xef\xbb\xbfpath, AF \r\nrecords/r0,TRUE\r\nrecords/r1,FALSE\r\n")
    np.testing.assert_array_equal(create("folder", folder, "AF").labels[:, 0], [1, 0])


# Arrays


@pytest.fixture
def arrays(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(4 * 20 * 2, dtype=np.int16).reshape(4, 20, 2))
    write_csv(tmp_path / "x.csv", "id,split,AF\na,train,1\nb,train,\nc,val,0\nd,test,1")
    return tmp_path / "x.npy"


@pytest.mark.parametrize("unit, millivolts", [("mV", 1.0), ("uV", 1e-3), ("V", 1e3), ("code", 0.5), ("zscore", 1.0)])
def test_an_array_is_read_in_its_declared_unit(arrays, unit, millivolts):
    dataset = create("arrays", arrays, "AF", unit=unit, sampling_rate=250.0, leads="ii,V1")
    np.testing.assert_array_equal(dataset.labels[:, 0], [1, NAN, 0, 1])
    assert list(dataset.split) == ["train", "train", "validation", "test"]
    recording = dataset.read(2)
    np.testing.assert_allclose(recording.signal, np.arange(80, 120).reshape(20, 2) * millivolts, rtol=1e-6)
    assert recording.leads == ("II", "V1")
    assert (recording.id, recording.sampling_rate, recording.normalized) == ("c", 250.0, unit == "zscore")


OPTIONS = {"arrays": {"unit": "mV", "sampling_rate": 250.0, "leads": "ii,V1"}}


@pytest.mark.parametrize("name", ["arrays", "code", "code15", "folder", "ptbxl"])
def test_workers_read(request, name):
    source = request.getfixturevalue(name)
    assert_workers_read(create(name, source, "AF" if name != "code" else "all", **OPTIONS.get(name, {})))


def test_workers_read_what_has_no_table_and_what_is_joined(folder):
    assert_workers_read(create("combined", f"folder:{folder},folder:{folder}", "AF"))
    (folder / "labels.csv").unlink()
    assert_workers_read(create("folder", folder, "all"))


def test_workers_read_what_is_simulated():
    assert_workers_read(create("simulated", "", train=3, validation=1, test=1))


def test_an_arrays_unit_and_rate_must_be_declared(arrays):
    with pytest.raises(InputError, match=r"data\.arrays\.unit is ''; declare one of mV, uV"):
        create("arrays", arrays, "AF", sampling_rate=250.0, leads="II,V1")
    with pytest.raises(InputError, match=r"data\.arrays\.sampling_rate is 0\.0; declare"):
        create("arrays", arrays, "AF", unit="mV", leads="II,V1")


def test_an_array_of_another_shape_is_refused(arrays):
    with pytest.raises(InputError, match=r"x\.npy: shape \(4, 20, 2\); expected \[N, samples, 12\]"):
        create("arrays", arrays, "AF", unit="mV", sampling_rate=250.0)


def test_an_array_needs_as_many_labels(arrays):
    write_csv(arrays.parent / "x.csv", "AF\n1\n0")
    with pytest.raises(InputError, match=r"x\.csv: 2 rows against 4 recordings"):
        create("arrays", arrays, "AF", unit="mV", sampling_rate=250.0, leads="II,V1")


@pytest.mark.parametrize("contents", [b"", b"no array", b"PK\x03\x04"])
def test_a_broken_array_is_refused_by_name(arrays, contents):
    arrays.write_bytes(contents)
    with pytest.raises(InputError, match=r"x\.npy"):
        create("arrays", arrays, "AF", unit="mV", sampling_rate=250.0, leads="II,V1")


def test_a_truncated_array_is_refused_by_name(arrays):
    os.truncate(arrays, 200)
    with pytest.raises(InputError, match=r"x\.npy: not a readable \.npy array"):
        create("arrays", arrays, "AF", unit="mV", sampling_rate=250.0, leads="II,V1")


@pytest.mark.parametrize("cell", ["CRBBB 100", "['SR']", "{1: 2}", "'SR'"])
def test_a_table_whose_statements_are_no_dict_is_refused_with_its_line(arrays, cell):
    table = pd.DataFrame({"scp_codes": ["{'SR': 0}", cell, "{'SR': 0}", "{}"]})
    table.to_csv(arrays.parent / "x.csv", index=False)
    with pytest.raises(InputError, match=r"x\.csv: line 3, column 'scp_codes' holds .*expected a dict"):
        create("arrays", arrays, "AF", unit="mV", sampling_rate=250.0, leads="II,V1")


SCP_TABLE = pd.DataFrame(
    {
        "ecg_id": ["9", "21", "35", "7"],
        "patient_id": ["100", "100.0", "102", "103"],
        "sex": ["0", "1", "", "1"],
        "strat_fold": ["10", "1", "9", "8"],
        "scp_codes": ["{'NORM': 100.0, 'SR': 0.0}", "{'IMI': 0, 'AFIB': 0}", "{'SR': 0, 'CRBBB': 50}", ""],
    }
)


def test_an_array_may_have_ptbxls_statements_and_folds(arrays):
    SCP_TABLE.to_csv(arrays.parent / "x.csv", index=False)
    options = {"unit": "zscore", "sampling_rate": 250.0, "leads": "II,V1"}
    dataset = create("arrays", arrays, "AF,abnormal,superclasses,CRBBB,LAFB", **options)
    expected = [
        [0, 0, 1, 0, 0, 0, 0, 0, 0],
        [1, 1, 0, 1, 0, 0, 0, 0, 0],
        [0, 1, 0, 0, 0, 1, 0, 1, 0],
        [NAN] * 9,
    ]
    np.testing.assert_array_equal(dataset.labels, expected)
    assert list(dataset.ids) == ["9", "21", "35", "7"]
    assert list(dataset.split) == ["test", "train", "validation", "train"]
    assert list(dataset.folds) == [10, 1, 9, 8]
    assert list(dataset.attributes["sex"]) == ["M", "F", "", "F"]
    assert list(dataset.origins) == ["ptbxl/9", "ptbxl/21", "ptbxl/35", "ptbxl/7"]
    found = create("arrays", arrays, "all", **options)
    assert set(found.label_names) == {*LABELS}
    assert "columns taken as labels: scp_codes (its statements)" in found.notes
    assert "scp_codes" not in found.attributes


def test_a_folder_and_a_code_file_may_have_ptbxls_statements(folder, tmp_path):
    table = SCP_TABLE.assign(path="records/r0")
    table.to_csv(folder / "labels.csv", index=False)
    dataset = create("folder", folder / "labels.csv", "superclasses,statements")
    assert list(dataset.ids) == ["9", "21", "35", "7"]
    assert list(dataset.split) == ["test", "train", "validation", "train"]
    assert len(dataset.label_names) == 71 + 4
    with h5py.File(tmp_path / "y.hdf5", "w") as file:
        file["tracings"] = np.zeros((4, 64, 12), np.float32)
    SCP_TABLE.to_csv(tmp_path / "y.csv", index=False)
    dataset = create("code", tmp_path / "y.hdf5", "MI", labels_csv=str(tmp_path / "y.csv"))
    np.testing.assert_array_equal(dataset.labels[:, 0], [0, 1, 0, NAN])
    assert list(dataset.split) == ["test", "train", "validation", "train"]


def test_columns_of_the_table_go_before_its_statements(arrays):
    SCP_TABLE.assign(AF=["1", "", "0", "1"], split=["train", "train", "val", "test"]).to_csv(
        arrays.parent / "x.csv", index=False
    )
    dataset = create("arrays", arrays, "AF", unit="zscore", sampling_rate=250.0, leads="II,V1")
    np.testing.assert_array_equal(dataset.labels[:, 0], [1, NAN, 0, 1])
    assert list(dataset.split) == ["train", "train", "validation", "test"]


def test_folds_that_ptbxl_does_not_have_are_refused_with_their_line(arrays):
    SCP_TABLE.assign(strat_fold=["1", "11", "2", "3"]).to_csv(arrays.parent / "x.csv", index=False)
    with pytest.raises(InputError, match=r"x\.csv: line 3, column 'strat_fold' holds '11'; folds are 1 to 10"):
        create("arrays", arrays, "AF", unit="zscore", sampling_rate=250.0, leads="II,V1")


# Simulated


def test_simulated_sizes_and_ids_are_as_asked():
    dataset = create("simulated", "", train=5, validation=3, test=2)
    assert [len(dataset.indices(split)) for split in SPLITS] == [5, 3, 2]
    assert dataset.ids[0] == "train-000000"
    assert dataset.ids[-1] == "test-000001"


def test_simulated_is_abnormal_where_any_of_the_six_is_there_that_is_no_rate_of_the_sinus_node():
    dataset = create("simulated", "", "1dAVb,RBBB,LBBB,SB,AF,ST,abnormal", train=200, validation=0, test=0)
    wrong = dataset.labels[:, [0, 1, 2, 4]]
    np.testing.assert_array_equal(column(dataset, "abnormal"), wrong.max(axis=1))
    assert 0 < column(dataset, "abnormal").mean() < dataset.labels[:, :6].max(axis=1).mean() < 1


def test_simulated_reads_no_files():
    with pytest.raises(InputError, match=r"reads no files, but data\.source is 'x'"):
        create("simulated", "x")


def test_simulated_has_no_negative_size():
    with pytest.raises(InputError, match=r"data\.simulated\.test is -1; it must be at least 0"):
        create("simulated", "", train=10, test=-1)


# Real data


def read_rows(path):
    with open(path, newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


def count(dataset):
    """Recordings per split, and positives per split and label."""
    sizes = {split: len(dataset.indices(split)) for split in SPLITS}
    positives = {
        (split, name): int(np.nansum(column(dataset, name)[dataset.indices(split)]))
        for split in SPLITS
        for name in dataset.label_names
    }
    return sizes, positives


def recount(rows, split_of, has):
    """The same numbers from the rows of a CSV."""
    sizes = dict.fromkeys(SPLITS, 0)
    positives = {(split, name): 0 for split in SPLITS for name in SIX}
    for row in rows:
        sizes[split_of(row)] += 1
        for name in SIX:
            positives[split_of(row), name] += has(row, name)
    return sizes, positives


@pytest.mark.parametrize("rate", [100, 500])
def test_real_ptbxl_has_the_recordings_and_positives_of_its_table(shared, rate):
    source = shared / "data" / "ptbxl"
    codes = {"1dAVb": "1AVB", "RBBB": "CRBBB", "LBBB": "CLBBB", "SB": "SBRAD", "AF": "AFIB", "ST": "STACH"}
    sides = {"9": "validation", "10": "test"}
    rows = read_rows(source / "ptbxl_database.csv")
    expected = recount(
        rows,
        lambda row: sides.get(row["strat_fold"], "train"),
        lambda row, name: codes[name] in ast.literal_eval(row["scp_codes"]),
    )
    dataset = create("ptbxl", source, sampling_rate=rate)
    assert count(dataset) == expected
    assert len(dataset.ids) == 250
    assert all(expected[1]["train", name] for name in SIX)


def test_real_ptbxl_normals_have_norm_alone_and_a_sinus_rhythm(shared):
    source = shared / "data" / "ptbxl"
    rows = read_rows(source / "scp_statements.csv")
    diagnostic = {row[""] for row in rows if row["diagnostic"] == "1.0"}
    others = {row[""] for row in rows if row["rhythm"] == "1.0"} - {"SR", "SBRAD", "STACH", "SARRH"}
    expected = []
    for row in read_rows(source / "ptbxl_database.csv"):
        found = set(ast.literal_eval(row["scp_codes"]))
        known = found & diagnostic
        expected.append(1.0 if known - {"NORM"} or found & others else 0.0 if known else NAN)
    np.testing.assert_array_equal(create("ptbxl", source, "abnormal").labels[:, 0], expected)
    assert {0.0, 1.0} <= set(expected)


def test_real_ptbxl_keeps_a_patient_on_one_side(shared):
    source = shared / "data" / "ptbxl"
    patients = [row["patient_id"] for row in read_rows(source / "ptbxl_database.csv")]
    assert (pd.Series(create("ptbxl", source).split).groupby(patients).nunique() == 1).all()


def test_real_code15_has_the_recordings_and_positives_of_its_table(shared):
    source = shared / "data" / "code15"
    rows = read_rows(source / "exams.csv")
    dataset = create("code15", source)
    assert sorted(dataset.ids) == sorted(row["exam_id"] for row in rows)
    side = dict(zip(dataset.ids, dataset.split, strict=True))
    expected = recount(rows, lambda row: side[row["exam_id"]], lambda row, name: row[name] == "True")
    assert count(dataset) == expected
    assert sum(expected[1].values()) == sum(row[name] == "True" for row in rows for name in SIX) > 0


def test_real_code15_exams_are_those_of_the_file(shared):
    source = shared / "data" / "code15"
    dataset = create("code15", source)
    with h5py.File(source / "exams_part0.hdf5") as file:
        row = {str(exam): i for i, exam in enumerate(file["exam_id"][:])}
        for i, exam in enumerate(dataset.ids):
            np.testing.assert_array_equal(dataset.read(i).signal, file["tracings"][row[exam]] / 2)


@pytest.fixture
def ludb(shared, tmp_path):
    """A table of all LUDB records, its splits by their number."""
    rows = read_rows(shared / "data" / "ludb" / "labels_6class.csv")
    for row in rows:
        number = int(row["record"])
        row["path"] = os.path.relpath(shared / "data" / "ludb" / "data" / row["record"], tmp_path)
        row["split"] = "test" if number % 5 == 0 else "validation" if number % 5 == 1 else "train"
    pd.DataFrame(rows).to_csv(tmp_path / "ludb.csv", index=False)
    return tmp_path / "ludb.csv", rows


def test_real_ludb_as_a_folder_has_the_recordings_and_positives_of_its_table(ludb):
    source, rows = ludb
    expected = recount(rows, lambda row: row["split"], lambda row, name: row[name] == "1")
    dataset = create("folder", source)
    assert count(dataset) == expected
    assert len(dataset.ids) == 200
    assert sum(expected[1].values()) > 50


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_folder_may_mix_real_files_of_any_format(shared, tmp_path, delimiter):
    files = {
        "formats/sph_hdf5/SPH00001.h5": (5000, 500),
        "formats/hl7_aecg/Example_aECG.xml": (5000, 500),
        "formats/dicom_ecg/anonymous_ecg_scrubbed.dcm": (10000, 1000),
        "formats/cpsc2018_native_mat/A1980.mat": (5000, 500),
        "formats/philips_sierra_xml/1_03_129DYPRG.XML": (5500, 500),
        "ludb/data/1": (5000, 500),
        "ludb/data/2.dat": (5000, 500),
        "challenge2021/records/A0002.mat": (5000, 500),
    }
    paths = [os.path.relpath(shared / "data" / name, tmp_path) for name in files]
    lines = [delimiter.join(["Path", "AF"]), *(f"{path}{delimiter}0" for path in paths)]
    (tmp_path / "mine.csv").write_text("\ufeff" + "\n".join(lines))
    dataset = datasets.open_source("folder", source=str(tmp_path), labels="AF", seed=0, options={})
    for row, (samples, rate) in enumerate(files.values()):
        recording = dataset.read(row)
        assert (len(recording.signal), recording.sampling_rate) == (samples, rate)


def assert_examples_are_whole(dataset, rows):
    for row in rows:
        signal, valid = create_input(dataset.read(row), InputContract())
        assert signal.shape == valid.shape == (4096, 12)
        assert np.isfinite(signal).all(), dataset.ids[row]
        assert valid.any(), dataset.ids[row]
        assert 0.1 < np.abs(signal).max() < 100, dataset.ids[row]


def test_every_real_ptbxl_recording_of_100_hz_becomes_an_example(shared):
    dataset = create("ptbxl", shared / "data" / "ptbxl", sampling_rate=100)
    assert_examples_are_whole(dataset, range(len(dataset.ids)))


def test_some_real_ptbxl_recordings_of_500_hz_become_examples(shared):
    dataset = create("ptbxl", shared / "data" / "ptbxl", sampling_rate=500)
    assert_examples_are_whole(dataset, range(0, len(dataset.ids), 8))


def test_some_real_ludb_records_become_examples(ludb):
    dataset = create("folder", ludb[0])
    assert_examples_are_whole(dataset, range(0, len(dataset.ids), 10))


def test_both_rates_of_a_real_ptbxl_recording_give_the_same_example(shared):
    slow, fast = (create("ptbxl", shared / "data" / "ptbxl", sampling_rate=rate) for rate in (100, 500))
    for row in range(0, 250, 25):
        (a, _), (b, _) = (create_input(dataset.read(row), InputContract()) for dataset in (slow, fast))
        for lead in range(12):
            assert np.corrcoef(a[100:-100, lead], b[100:-100, lead])[0, 1] > 0.95, (slow.ids[row], LEADS[lead])


def test_dates_are_years_whatever_their_column_is_called():
    table = pd.DataFrame({"recording_date": ["1984-11-14 12:00:00", "2001-01-01", "soon", None]})
    found = attributes.parse(table, "t.csv")["date"]
    day = (31 + 29 + 31 + 30 + 31 + 30 + 31 + 31 + 30 + 31 + 13.5) / 366  # of the leap year 1984 before that noon
    np.testing.assert_allclose(found, [1984 + day, 2001.0, np.nan, np.nan], atol=1e-4)
