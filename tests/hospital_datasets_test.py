"""LUDB, SPH, MIMIC-IV-ECG, SaMi-Trop: where their files lie and what their tables mean."""

import ast
import csv

import h5py
import numpy as np
import pytest
from workers_reading import assert_workers_read

from ecg_jax.data import datasets
from ecg_jax.data.datasets import scp_codes
from ecg_jax.errors import InputError
from ecg_jax.labels import SIX
from ecg_jax.recording import LEADS
from ecg_jax.statements import column_name

NAN = np.nan


def open_source(name, source, labels="six", **options):
    return datasets.open_source(name, source=str(source), labels=labels, seed=0, options={name: options})


def write_record(path, microvolts, leads=LEADS):
    """Writes a WFDB record by hand: lead number i is `microvolts` + i throughout."""
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.full((20, 12), microvolts) + np.arange(12)
    samples.astype("<i2").tofile(path.with_suffix(".dat"))
    lines = [f"{path.name} 12 500 20"]
    for lead, column in zip(leads, samples.T, strict=True):
        checksum = (int(column.sum()) + 32768) % 65536 - 32768
        lines.append(f"{path.name}.dat 16 1000(0)/mV 16 0 {column[0]} {checksum} 0 {lead}")
    path.with_suffix(".hea").write_text("\n".join(lines) + "\n")


def write_rows(path, header, *rows):
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


# LUDB

LUDB = ["ID", "Sex", "Age", "Rhythms", "Electric axis of the heart", "Conduction abnormalities", "Other states"]
AXIS = "Electric axis of the heart: normal"


def open_ludb(folder, *rows, labels="six"):
    """Rows of rhythms, axis, conduction abnormalities and other states, numbered from 1."""
    for number in range(1, len(rows) + 1):
        write_record(folder / "data" / str(number), 100 * number, leads=[lead.lower() for lead in LEADS])
    rows = [[str(number + 1), "F\n", "51\n", *row] for number, row in enumerate(rows)]
    write_rows(folder / "ludb.csv", LUDB, *rows)
    return open_source("ludb", folder, labels)


@pytest.mark.parametrize(
    "rhythm, conduction, present",
    [
        ("Sinus rhythm", "I degree av block", ["1dAVb"]),
        ("Sinus rhythm\n", "Complete right bundle branch block\nI degree av block", ["1dAVb", "RBBB"]),
        ("Atrial fibrillation", "Complete left bundle branch block\n", ["LBBB", "AF"]),
        ("Sinus bradycardia", "Incomplete right bundle branch block", ["SB"]),
        ("Sinus tachycardia\nAberrant conduction", "Iii degree av-block", ["ST"]),
        ("Atrial flutter, typical", "", []),
    ],
)
def test_ludb_reads_the_six_from_its_findings(tmp_path, rhythm, conduction, present):
    dataset = open_ludb(tmp_path, [rhythm, AXIS, conduction, ""])
    np.testing.assert_array_equal(dataset.labels[0], [float(name in present) for name in SIX])


@pytest.mark.parametrize(
    "row, expected",
    [
        (["Sinus rhythm", AXIS, "", ""], 0),
        (["Sinus rhythm", "Electric axis of the heart: vertical", "", ""], 0),
        (["Sinus rhythm", "Electric axis of the heart: left axis deviation", "", ""], 1),
        (["Sinus rhythm", AXIS, "Left anterior hemiblock", ""], 1),
        (["Sinus bradycardia", AXIS, "", ""], 1),
        (["Irregular sinus rhythm", AXIS, "", ""], NAN),
        (["Sinus rhythm", AXIS, "", "Early repolarization syndrome"], NAN),
        (["", "", "", ""], NAN),
    ],
)
def test_ludb_is_normal_where_it_finds_nothing_but_sinus_rhythm(tmp_path, row, expected):
    dataset = open_ludb(tmp_path, row, ["Sinus rhythm", AXIS, "", ""], labels="abnormal")
    np.testing.assert_array_equal(dataset.labels[0], [expected])


@pytest.mark.parametrize(
    "row, known",
    [
        (["Sinus rhythm", AXIS, "", ""], {"NORM": 1, "MI": 0, "STTC": 0, "CD": 0, "HYP": 0, "SR": 1, "LAFB": 0}),
        (["Sinus rhythm", AXIS, "Left anterior hemiblock", ""], {"NORM": 0, "LAFB": 1, "CD": 1, "MI": 0, "HYP": 0}),
        (["Sinus rhythm", AXIS, "", "STEMI: septal\nSTEMI: apical"], {"MI": 1, "CD": 0, "STTC": NAN}),
        (["Sinus rhythm", AXIS, "", "Ischemia: inferior wall"], {"STTC": 1, "MI": 0}),
        (["Sinus rhythm", AXIS, "", "Undefined ischemia/scar/supp.NSTEMI: apical"], {"MI": NAN, "STTC": NAN}),
        (["Sinus rhythm", AXIS, "", "Left ventricular overload"], {"LVH": NAN, "HYP": NAN, "RVH": 0}),
        (["Irregular sinus rhythm", AXIS, "", ""], {"SARRH": NAN, "NORM": NAN, "MI": 0}),
        (["Sinus rhythm", AXIS, "", "Pacemaker presence, undefined"], {"PACE": 1, "NORM": 0}),
        (["Sinus rhythm", AXIS, "", "Atrial extrasystole: undefined"], {"PAC": 1, "PVC": 0, "abnormal": 1}),
    ],
)
def test_ludb_says_what_it_knows_in_ptbxls_statements(tmp_path, row, known):
    dataset = open_ludb(tmp_path, row, labels=",".join(known))
    np.testing.assert_array_equal(dataset.labels[0], list(known.values()))


def test_ludb_reads_the_record_of_each_row_and_tells_which_are_missing(tmp_path):
    rows = [["Sinus rhythm", AXIS, "", ""]] * 3
    open_ludb(tmp_path, *rows)
    (tmp_path / "data" / "2.hea").unlink()
    dataset = open_source("ludb", tmp_path)
    assert list(dataset.ids) == ["1", "3"]
    assert dataset.notes == ("1 of 3 recordings are not there; left out",)
    assert dataset.attributes["age"].tolist() == [51, 51]
    assert dataset.attributes["sex"].tolist() == ["F", "F"]
    recording = dataset.read(1)
    assert recording.leads == LEADS
    np.testing.assert_allclose(recording.signal[0], 0.3 + np.arange(12) / 1000, rtol=1e-6)
    assert_workers_read(dataset)


def test_ludb_without_any_of_its_records_is_refused(tmp_path):
    write_rows(tmp_path / "ludb.csv", LUDB, ["1", "F", "5", "Sinus rhythm", AXIS, "", ""])
    with pytest.raises(InputError, match=r"ludb\.csv: none of its 1 recordings is there, the first .*data/1"):
        open_source("ludb", tmp_path)


# SPH


def open_sph(folder, *codes, labels="six", inside="records", suffix=""):
    (folder / inside).mkdir(exist_ok=True)
    for number in range(1, len(codes) + 1):
        with h5py.File(folder / inside / f"A{number:05d}.h5", "w") as file:
            file["ecg"] = (np.full((12, 50), number / 10) + np.arange(12)[:, None]).astype(np.float16)
    rows = [
        [f"A{n + 1:05d}{suffix}", code, f"S{n // 2}", 40 + n, "M", 50, "2020-03-04"] for n, code in enumerate(codes)
    ]
    write_rows(folder / "metadata.csv", ["ECG_ID", "AHA_Code", "Patient_ID", "Age", "Sex", "N", "Date"], *rows)
    return open_source("sph", folder, labels)


@pytest.mark.parametrize(
    "code, present",
    [
        ("1", []),
        ("82", ["1dAVb"]),
        ("106", ["RBBB"]),
        ("105", []),  # incomplete
        ("104", ["LBBB"]),
        ("22;23", ["SB"]),
        ("50+346;106", ["RBBB", "AF"]),
        ("51", []),  # flutter
        ("21; 60+310", ["ST"]),
        ("145+362;147+322", []),  # modifiers above 200 are no statements
    ],
)
def test_sph_reads_the_six_from_its_statements(tmp_path, code, present):
    np.testing.assert_array_equal(open_sph(tmp_path, code).labels[0], [float(name in present) for name in SIX])


@pytest.mark.parametrize("code, expected", [("1", 0), ("22", 1), ("1;23", 1), ("14", NAN), ("20", NAN), ("3", 1)])
def test_sph_is_normal_by_its_own_statement(tmp_path, code, expected):
    np.testing.assert_array_equal(open_sph(tmp_path, code, labels="abnormal").labels[0], [expected])


@pytest.mark.parametrize(
    "code, known",
    [
        ("1", {"NORM": 1, "MI": 0, "STTC": 0, "CD": 0, "HYP": 0, "IRBBB": 0}),
        ("105", {"NORM": 0, "IRBBB": 1, "CD": 1, "MI": 0, "HYP": 0, "STTC": NAN}),
        ("165+345", {"MI": 1, "ASMI": 1, "IMI": 0}),
        ("166", {"MI": 1, "AMI": NAN, "IMI": NAN}),
        ("144", {"LVH": 1, "RVH": 1, "HYP": 1}),
        ("147+367", {"TAB_": 1, "STTC": NAN}),
        ("82", {"1dAVb": 1, "1AVB": 1, "CD": 1}),
        ("88;51", {"3AVB": 1, "AFLT": 1, "AF": 0}),
    ],
)
def test_sph_says_what_it_knows_in_ptbxls_statements(tmp_path, code, known):
    values = [open_sph(tmp_path, code, labels=name).labels[0, 0] for name in known]
    np.testing.assert_array_equal(values, list(known.values()))


def test_sph_offers_every_statement_by_its_number(tmp_path):
    dataset = open_sph(tmp_path, "105", "60+310;105", labels="AHA60,AHA105")
    np.testing.assert_array_equal(dataset.labels, [[0, 1], [1, 1]])


@pytest.mark.parametrize("inside, suffix", [("records", ""), (".", ".h5")])
def test_sph_reads_the_file_of_each_row(tmp_path, inside, suffix):
    dataset = open_sph(tmp_path, "1", "1", "1", inside=inside, suffix=suffix)
    assert list(dataset.ids) == ["A00001", "A00002", "A00003"]
    assert list(dataset.patients) == ["S0", "S0", "S1"]
    recording = dataset.read(1)
    assert (recording.id, recording.sampling_rate, recording.leads) == ("A00002", 500, LEADS)
    np.testing.assert_allclose(recording.signal[0], 0.2 + np.arange(12), rtol=1e-3)  # half precision
    assert_workers_read(dataset)


@pytest.mark.parametrize("code", ["sinus", "22,23", ";"])
def test_sph_statements_that_are_no_numbers_are_refused_with_their_line(tmp_path, code):
    with pytest.raises(InputError, match=r"metadata\.csv: line 3, column 'AHA_Code' holds"):
        open_sph(tmp_path, "1", code)


# MIMIC-IV-ECG

MIMIC_LEADS = ("I", "II", "III", "aVR", "aVF", "aVL", "V1", "V2", "V3", "V4", "V5", "V6")


@pytest.fixture
def mimic(tmp_path):
    rows = []
    for number, (subject, study) in enumerate([(10000032, 40689238), (10000032, 44458630), (10000117, 45090959)]):
        path = f"files/p1000/p{subject}/s{study}/{study}"
        write_record(tmp_path / path, 100 * number, leads=MIMIC_LEADS)
        rows.append([subject, study, study, "2180-07-23 08:44:00", path])
    write_rows(tmp_path / "record_list.csv", ["subject_id", "study_id", "file_name", "ecg_time", "path"], *rows)
    return tmp_path


def test_mimic_takes_labels_from_a_table_by_study(mimic):
    table = write_rows(mimic / "mine.csv", ["study_id", "AF", "age"], [45090959, 1, 50], [40689238, 0, 60], [7, 1, 9])
    dataset = open_source("mimic_iv_ecg", mimic, "AF", labels_csv=str(table))
    assert list(dataset.ids) == ["40689238", "45090959"]
    assert list(dataset.patients) == ["10000032", "10000117"]
    np.testing.assert_array_equal(dataset.labels[:, 0], [0, 1])
    np.testing.assert_array_equal(dataset.attributes["age"], [60, 50])
    assert dataset.notes == (
        f"1 studies have no row in {table}; left out",
        f"1 rows of {table} are of no study in {mimic}/record_list.csv",
    )


def test_mimic_tells_what_all_labels_are(mimic):
    table = write_rows(mimic / "mine.csv", ["study_id", "AF", "SB"], [40689238, 1, "no"], [45090959, 0, 1])
    dataset = open_source("mimic_iv_ecg", mimic, "all", labels_csv=str(table))
    assert dataset.label_names == ("AF",)
    assert dataset.notes[1:] == (
        "columns taken as labels: AF",
        "column SB is no label: line 2 holds 'no'; a label is 0, 1 or empty",
    )


def test_mimic_names_its_leads(mimic):
    """Its files have aVF before aVL."""
    table = write_rows(mimic / "mine.csv", ["study_id", "AF"], [44458630, 0])
    dataset = open_source("mimic_iv_ecg", mimic, "AF", labels_csv=str(table))
    recording = dataset.read(0)
    assert recording.leads == MIMIC_LEADS
    assert recording.signal[0, recording.leads.index("aVL")] == pytest.approx(0.105)
    assert recording.signal[0, recording.leads.index("aVF")] == pytest.approx(0.104)
    assert_workers_read(dataset)


def test_mimic_tells_which_records_are_missing(mimic):
    (mimic / "files/p1000/p10000117/s45090959/45090959.hea").unlink()
    dataset = open_source("mimic_iv_ecg", mimic, "all")
    assert list(dataset.ids) == ["40689238", "44458630"]
    assert dataset.label_names == ()
    assert dataset.notes == ("1 of 3 recordings are not there; left out",)


@pytest.mark.parametrize(
    "rows, message",
    [
        (None, r"no labels of its own; pass --config\.data\.mimic_iv_ecg\.labels_csv=FILE\.csv"),
        ([[1, 0]], r"mine\.csv: none of its 1 study_id is in .*record_list\.csv"),
        ([[40689238, 0], [40689238, 1]], r"mine\.csv: lines 2 and 3, column 'study_id': recording 40689238 occurs 2"),
        ([[44458630, 0], [40689238, 2]], r"mine\.csv: line 3, column 'AF' holds 2"),
    ],
)
def test_mimic_with_labels_that_cannot_be_joined_is_refused(mimic, rows, message):
    options = {"labels_csv": str(write_rows(mimic / "mine.csv", ["study_id", "AF"], *rows))} if rows else {}
    with pytest.raises(InputError, match=message):
        open_source("mimic_iv_ecg", mimic, "AF", **options)


# SaMi-Trop


@pytest.fixture
def samitrop(tmp_path):
    with h5py.File(tmp_path / "exams.hdf5", "w") as file:
        file["tracings"] = np.full((3, 64, 12), 1, np.float32) * np.arange(1, 4)[:, None, None]
    header = ["exam_id", "age", "is_male", "normal_ecg", "death", "timey", "nn_predicted_age"]
    rows = [[294669, 61, True, True, False, 2.1, 58.2], [291253, 34, False, False, True, 2.1, 51.3]]
    write_rows(tmp_path / "exams.csv", header, *rows, [287571, 77, False, False, False, 2.1, 73.4])
    return tmp_path


def test_samitrop_labels_tracings_row_by_row(samitrop):
    dataset = open_source("samitrop", samitrop, "abnormal,death")
    assert list(dataset.ids) == ["294669", "291253", "287571"]
    np.testing.assert_array_equal(dataset.labels, [[0, 0], [1, 1], [1, 0]])
    np.testing.assert_array_equal(dataset.attributes["age"], [61, 34, 77])
    assert list(dataset.attributes["sex"]) == ["M", "F", "F"]
    for row in range(3):
        recording = dataset.read(row)
        assert recording.sampling_rate == 400
        np.testing.assert_array_equal(recording.signal, (row + 1) / 2)  # a CODE unit is half a millivolt
    assert_workers_read(dataset)


def test_samitrop_annotates_none_of_the_six(samitrop):
    with pytest.raises(InputError, match="no label 1dAVb, RBBB, LBBB, SB, AF, ST; there are: abnormal"):
        open_source("samitrop", samitrop)


def test_samitrop_with_other_exams_in_its_file_is_refused(samitrop):
    with h5py.File(samitrop / "exams.hdf5", "a") as file:
        file["exam_id"] = np.array([294669, 287571, 291253])
    with pytest.raises(InputError, match=r"exams\.csv: its exam_id are not those of .*exams\.hdf5, row by row"):
        open_source("samitrop", samitrop, "abnormal")


def test_samitrop_with_fewer_rows_than_tracings_is_refused(samitrop):
    lines = (samitrop / "exams.csv").read_text().splitlines()
    (samitrop / "exams.csv").write_text("\n".join(lines[:-1]))
    with pytest.raises(InputError, match=r"exams\.csv: 2 rows against 3 recordings"):
        open_source("samitrop", samitrop, "abnormal")


def test_samitrop_that_was_not_unpacked_is_refused(samitrop):
    (samitrop / "exams.hdf5").unlink()
    with pytest.raises(InputError, match=r"exams\.hdf5: no such file; unpack exams\.zip there"):
        open_source("samitrop", samitrop, "abnormal")


# Real data


def read_rows(path):
    with open(path, newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


def test_real_ludb_has_the_positives_of_its_table(shared):
    dataset = open_source("ludb", shared / "data" / "ludb")
    table = {row["record"]: row for row in read_rows(shared / "data" / "ludb" / "labels_6class.csv")}
    assert set(dataset.ids) == set(table)
    expected = [[float(table[id][name]) for name in SIX] for id in dataset.ids]
    np.testing.assert_array_equal(dataset.labels, expected)
    np.testing.assert_array_equal(dataset.labels.sum(axis=0), [10, 4, 4, 25, 15, 4])


def test_real_ludb_records_are_those_of_their_header(shared):
    dataset = open_source("ludb", shared / "data" / "ludb", "all")
    for row in range(0, 200, 20):
        header = (shared / "data" / "ludb" / "data" / f"{dataset.ids[row]}.hea").read_text()
        age, is_old = dataset.attributes["age"][row], ">89" in header
        assert is_old or f"<age>: {age:.0f}" in header
        assert f"<sex>: {dataset.attributes['sex'][row]}" in header
        assert dataset.read(row).signal.shape == (5000, 12)


def test_real_sph_records_carry_the_statements_of_their_table(shared):
    dataset = open_source("sph", shared / "data" / "formats" / "sph_hdf5", "SB,RBBB,abnormal")
    assert list(dataset.ids) == ["SPH00001", "SPH00007"]
    np.testing.assert_array_equal(dataset.labels, [[1, 0, 1], [0, 1, 1]])
    lengths = {row["ECG_ID"].removesuffix(".h5"): int(row["N"]) for row in
               read_rows(shared / "data" / "formats" / "sph_hdf5" / "metadata.csv")}  # fmt: skip
    for row, id in enumerate(dataset.ids):
        assert dataset.read(row).signal.shape == (lengths[id], 12)


PTBXL_CODES = {"1dAVb": "1AVB", "RBBB": "CRBBB", "LBBB": "CLBBB", "SB": "SBRAD", "AF": "AFIB", "ST": "STACH"}


def test_the_six_of_ptbxl_are_those_of_the_table_of_all_records_with_any(shared):
    rows = read_rows(shared / "data" / "tables" / "ptbxl_all_records_with_any_of_6_labels.csv")
    listed = [set(ast.literal_eval(row["labels"])) for row in rows]
    stated = [set(ast.literal_eval(row["scp_codes"])) for row in rows]
    columns = scp_codes.derive(stated)
    for name, code in PTBXL_CODES.items():
        is_open = [name == "1dAVb" and "LPR" in codes and code not in codes for codes in stated]
        expected = np.where(is_open, NAN, [float(code in codes) for codes in listed])
        np.testing.assert_array_equal(columns[name], expected)
        assert np.nansum(columns[name]) > 500
    mine = open_source("ptbxl", shared / "data" / "ptbxl")
    numbers = {row["ecg_id"] for row in rows}
    np.testing.assert_array_equal((mine.labels == 1).any(axis=1), [id in numbers for id in mine.ids])


def test_real_ptbxl_offers_71_statements_and_5_superclasses(shared):
    dataset = open_source("ptbxl", shared / "data" / "ptbxl", "all")
    statements = {row[""]: row["diagnostic_class"] for row in read_rows(shared / "data/ptbxl/scp_statements.csv")}
    assert len(statements) == 71
    assert set(dataset.label_names) == {*SIX, "abnormal", "MI", "STTC", "CD", "HYP"} | (
        {*statements} - {*PTBXL_CODES.values()}
    )
    for name in ("MI", "STTC", "CD", "HYP"):
        members = [
            dataset.columns[column_name(code)] == 1 for code, superclass in statements.items() if superclass == name
        ]
        np.testing.assert_array_equal(dataset.columns[name] == 1, np.any(members, axis=0))
    absent = [name for name, column in dataset.columns.items() if not np.nansum(column)]
    assert absent  # 250 records do not carry every statement
