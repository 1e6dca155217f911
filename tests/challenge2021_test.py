"""The Challenges' records: which source says what, and what it never says."""

import csv

import numpy as np
import pandas as pd
import pytest
import scipy.io
from workers_reading import assert_workers_read

from ecg_jax.data import datasets
from ecg_jax.data.datasets import challenge2021, scp_codes, snomed
from ecg_jax.errors import InputError
from ecg_jax.labels import SIX
from ecg_jax.recording import LEADS, create_recording
from ecg_jax.statements import LABELS

NAN = np.nan
FIRST_DEGREE, RBBB, COMPLETE_RBBB, LBBB, COMPLETE_LBBB = "270492004", "59118001", "713427006", "164909002", "733534002"
SB, AF, ST, NSR = "426177001", "164889003", "427084000", "426783006"


def write_record(path, dx, age="57", sex="Female", gain="1000/mV", samples=None, name=None):
    """Writes a header and a version 4 .mat whose data starts after 24 bytes, as the Challenge does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.full((12, 50), 250, np.int16) if samples is None else samples
    scipy.io.savemat(path.with_suffix(".mat"), {"val": samples}, format="4")
    lines = [f"{name or path.name} 12 500 {samples.shape[1]} 05-May-2020 14:50:55"]
    for lead, row in zip(LEADS, samples, strict=True):
        checksum = int(row.sum(dtype=np.int64)) % 65536
        checksum -= 65536 * (checksum > 32767)
        lines.append(f"{path.name}.mat 16+24 {gain} 16 0 {row[0]} {checksum} 0 {lead}")
    lines += [f"#Age: {age}", f"#Sex: {sex}", f"#Dx: {dx}", "#Rx: Unknown"]
    path.with_suffix(".hea").write_text("\n".join(lines) + "\n")


def open_folder(path, labels="six", **options):
    return datasets.open_source(
        "challenge2021", source=str(path), labels=labels, seed=0, options={"challenge2021": options}
    )


def states(folder, id, labels="six", **options):
    dataset = open_folder(folder, labels, **options)
    return dataset.labels[list(dataset.ids).index(id)]


# Sources


@pytest.mark.parametrize(
    "id, source",
    [
        ("A0001", "cpsc_2018"),
        ("Q3581", "cpsc_2018_extra"),
        ("I0074", "st_petersburg_incart"),
        ("S0549", "ptb"),
        ("HR21837", "ptb-xl"),
        ("E10344", "georgia"),
        ("JS10646", "chapman_shaoxing"),
        ("JS10647", "ningbo"),
        ("X0001", ""),
        ("A1", ""),
        ("00001_hr", ""),
    ],
)
def test_a_name_tells_its_source(id, source):
    assert challenge2021.find_source(id) == source


def test_records_are_found_at_any_depth_with_their_source_age_and_sex(tmp_path):
    write_record(tmp_path / "training/cpsc_2018/g1/A0002", NSR, age="NaN", sex="Unknown")
    write_record(tmp_path / "training/georgia/g3/E00006", NSR, age="-1", sex="M")
    write_record(tmp_path / "JS00001", NSR, age="300")
    write_record(tmp_path / "S0001", NSR, age="81")
    dataset = open_folder(tmp_path)
    assert list(dataset.ids) == ["JS00001", "S0001", "A0002", "E00006"]
    assert list(dataset.attributes["source"]) == ["chapman_shaoxing", "ptb", "cpsc_2018", "georgia"]
    np.testing.assert_array_equal(dataset.attributes["age"], [NAN, 81, NAN, NAN])
    assert list(dataset.attributes["sex"]) == ["F", "F", "", "M"]
    recording = dataset.read(1)
    assert recording.id == "S0001"
    np.testing.assert_allclose(recording.signal, 0.25)
    assert_workers_read(dataset)


# Labels


@pytest.mark.parametrize(
    "codes, label",
    [
        (FIRST_DEGREE, "1dAVb"),
        (RBBB, "RBBB"),
        (COMPLETE_RBBB, "RBBB"),
        (LBBB, "LBBB"),
        (COMPLETE_LBBB, "LBBB"),
        (SB, "SB"),
        (AF, "AF"),
        (ST, "ST"),
    ],
)
def test_the_six_are_read_by_their_codes(tmp_path, codes, label):
    write_record(tmp_path / "E00001", codes)
    np.testing.assert_array_equal(states(tmp_path, "E00001"), [float(name == label) for name in SIX])


@pytest.mark.parametrize(
    "dx",
    [
        f"{AF},{RBBB}",
        f" {AF} , {RBBB} ,",
        f",{RBBB},,{AF},{AF}",
        f"{AF},{RBBB},Unknown",
        f"{AF} {RBBB}",
    ],
)
def test_stray_commas_spaces_and_repetitions_do_not_matter(tmp_path, dx):
    write_record(tmp_path / "E00001", dx)
    np.testing.assert_array_equal(states(tmp_path, "E00001"), [0, 1, 0, 0, 1, 0])
    assert open_folder(tmp_path).notes == ()


@pytest.mark.parametrize(
    "id, unknown",
    [
        ("A0001", {"SB", "ST"}),
        ("Q0001", set()),
        ("I0001", {"1dAVb", "LBBB", "SB"}),
        ("S0001", {"1dAVb", "RBBB", "LBBB", "SB"}),
        ("HR00001", set()),
        ("E00001", set()),
        ("JS00001", set()),
        ("JS10647", {"AF"}),
    ],
)
def test_what_a_source_does_not_annotate_is_unknown(tmp_path, id, unknown):
    """By the published counts: a source that never uses a code says nothing by its absence."""
    write_record(tmp_path / id, NSR)
    expected = [NAN if name in unknown else 0.0 for name in SIX]
    np.testing.assert_array_equal(states(tmp_path, id), expected)


def test_a_finding_is_known_even_where_its_source_should_not_use_it(tmp_path):
    write_record(tmp_path / "A0001", SB)
    np.testing.assert_array_equal(states(tmp_path, "A0001"), [0, 0, 0, 1, 0, NAN])


@pytest.mark.parametrize("dx", ["Unknown", "", ","])
def test_a_record_without_a_diagnosis_is_unknown_throughout(tmp_path, dx):
    write_record(tmp_path / "E00001", dx)
    assert np.isnan(states(tmp_path, "E00001", "all")).all()
    assert open_folder(tmp_path).notes == ("1 records state no diagnosis; all their labels are unknown",)


@pytest.mark.parametrize(
    "dx, expected",
    [
        (NSR, NAN),
        (f"{NSR},427393009", NAN),  # sinus arrhythmia
        (f"{NSR},{RBBB}", 1),
        (AF, 1),
        ("10370003", 1),  # pacing rhythm
        ("164865005", 1),  # myocardial infarction
        ("999999", NAN),
    ],
)
def test_only_an_abnormal_finding_is_known(tmp_path, dx, expected):
    write_record(tmp_path / "E00001", dx)
    np.testing.assert_array_equal(states(tmp_path, "E00001", "abnormal"), [expected])


@pytest.mark.parametrize(
    "dx, known",
    [
        (f"{NSR},164947007", {"LPR": 1, "1dAVb": NAN, "RBBB": 0}),  # prolonged PR interval
        (f"164947007,{FIRST_DEGREE}", {"LPR": 1, "1dAVb": 1}),
        ("233917008", {"1dAVb": NAN, "2AVB": NAN, "3AVB": NAN, "RBBB": 0, "CD": 1, "abnormal": 1}),  # AV block
        ("164865005", {"MI": 1, "IMI": NAN, "abnormal": 1}),  # myocardial infarction
        (NSR, {"MI": 0, "IMI": NAN, "NORM": NAN, "STTC": NAN, "SR": 1}),
        ("164931005,59931005", {"STE_": 1, "INVT": 1, "abnormal": NAN}),  # forms decide nothing
        ("284470004,427172004,39732003", {"PAC": 1, "PVC": 1, "abnormal": NAN}),  # ectopy and axis neither
        ("426648003", {"abnormal": 1}),  # junctional tachycardia
        ("233897008", {"SVTAC": 1, "abnormal": 1}),  # reentrant tachycardia
        ("84114007", {"abnormal": NAN}),  # heart failure is no finding of an ECG
        ("55827005", {"VCLVH": 1, "LVH": 0, "abnormal": NAN}),  # left ventricular high voltage
        (f"{RBBB},445118002", {"CRBBB": 1, "CD": 1, "LAFB": 1, "LAnFB": 1}),
    ],
)
def test_codes_mean_ptbxls_statements(tmp_path, dx, known):
    write_record(tmp_path / "JS00001", dx)
    np.testing.assert_array_equal(states(tmp_path, "JS00001", ",".join(known)), list(known.values()))


@pytest.mark.parametrize(
    "dx, known",
    [
        ("6374002", {"RBBB": NAN, "LBBB": NAN, "IRBBB": NAN, "CD": 1}),
        (f"6374002,{RBBB}", {"RBBB": 1, "LBBB": 0, "IRBBB": 0, "CD": 1}),
        ("426627000", {"SB": NAN, "AF": 0}),  # bradycardia of no rhythm
        (f"426627000,{SB}", {"SB": 1}),
        ("195080001", {"AF": NAN, "AFLT": NAN, "abnormal": 1}),  # fibrillation or flutter
        (NSR, {"CD": 0, "LAO/LAE": 0, "HYP": NAN}),
    ],
)
def test_a_general_code_leaves_open_what_it_may_mean(tmp_path, dx, known):
    write_record(tmp_path / "E00001", dx)
    np.testing.assert_array_equal(states(tmp_path, "E00001", ",".join(known)), list(known.values()))


def test_flutter_of_ningbo_may_be_fibrillation(tmp_path):
    write_record(tmp_path / "JS20000", "164890007")
    np.testing.assert_array_equal(states(tmp_path, "JS20000", "AFLT,AF,abnormal,AFL"), [NAN, NAN, 1, 1])


# PTB-XL's recordings, as PTB-XL has them and as the Challenge has.
TWICE = [
    ("{'NORM': 80.0, 'SBRAD': 0.0}", f"{SB},{NSR}"),
    ("{'NORM': 100.0, 'SR': 0.0}", f"39732003,{NSR}"),  # the axis is from another column
    ("{'NORM': 100.0, 'PVC': 100.0, 'SR': 0.0}", f"164884008,{NSR}"),
    ("{'SR': 0.0, 'PRC(S)': 100.0}", f"164884008,{NSR}"),
    ("{'LPR': 0.0, 'SR': 0.0, 'IMI': 100.0}", f"164947007,{NSR},164865005"),
    ("{'1AVB': 0.0, 'LPR': 0.0, 'AFLT': 0.0}", f"164947007,{FIRST_DEGREE},164890007"),
    ("{'AFIB': 0.0}", AF),
    ("{'SVARR': 0.0, 'NORM': 50.0}", f"63593006,{NSR}"),
    ("{'AMI': 100.0, 'SR': 0.0}", f"54329005,{NSR}"),
    ("{'INJAS': 100.0, 'SR': 0.0}", NSR),
    ("{'INJAS': 100.0, 'SR': 0.0}", f"164865005,{NSR}"),
    ("{'VCLVH': 0.0, 'NORM': 50.0, 'SR': 0.0}", f"164873001,{NSR}"),
    ("{'LVH': 50.0, 'SR': 0.0}", f"164873001,{NSR}"),
    ("{'NDT': 100.0, 'SR': 0.0}", f"164934002,{NSR}"),
    ("{'LOWT': 0.0, 'NORM': 100.0, 'SR': 0.0}", f"164934002,{NSR}"),
    ("{'DIG': 100.0, 'AFIB': 0.0, 'ISC_': 100.0}", f"428750005,{AF},164861001"),
    ("{'SEHYP': 100.0, 'STE_': 0.0, 'NST_': 100.0, 'SR': 0.0}", f"266249003,164931005,55930002,{NSR}"),
    ("{'CRBBB': 100.0, 'BIGU': 0.0, 'SR': 0.0}", f"{COMPLETE_RBBB},11157007,{NSR}"),
]


@pytest.mark.parametrize("codes, dx", TWICE)
def test_a_recording_of_ptbxl_has_the_same_labels_in_the_challenge(tmp_path, codes, dx):
    write_record(tmp_path / "HR00021", dx)
    dataset = open_folder(tmp_path, "all")
    assert list(dataset.origins) == ["ptbxl/21"]
    assert_agree(scp_codes.derive(scp_codes.parse(pd.Series([codes]), "x.csv")), dataset, 0)


def assert_agree(expected, dataset, row):
    """Where both know a label; the Challenge knows most."""
    known = {name: column[row] for name, column in dataset.columns.items() if name in LABELS}
    shared = {name for name, state in known.items() if not np.isnan(state) and not np.isnan(expected[name][0])}
    assert {name: known[name] for name in shared} == {name: expected[name][0] for name in shared}
    assert len(shared) > 40


def test_equivalent_classes_are_one_label(tmp_path):
    write_record(tmp_path / "E00001", "63593006")  # supraventricular premature beats
    write_record(tmp_path / "E00002", "17338001")  # ventricular premature beats
    np.testing.assert_array_equal(open_folder(tmp_path, "PAC,PVC").labels, [[1, 0], [0, 1]])
    with pytest.raises(InputError, match="no label SVPB, VPB; there are: 1dAVb"):
        open_folder(tmp_path, "SVPB,VPB")


def test_the_tables_are_those_that_were_published():
    assert len(snomed.LABELS) == 133
    assert len(set(snomed.LABELS.values())) == 129
    assert snomed.ANNOTATED["IAVB"] >= {"cpsc_2018", "ningbo"}
    nine = {name for name, used in snomed.ANNOTATED.items() if "cpsc_2018" in used}
    assert nine == {"AF", "IAVB", "LBBB", "RBBB", "NSR", "PAC", "VEB", "STD", "STE"}


def test_a_code_of_no_table_is_told(tmp_path):
    write_record(tmp_path / "E00001", f"{NSR},123,oops")
    assert open_folder(tmp_path).notes == (
        "2 codes are in no table of the Challenge, the first 123; no label is theirs",
    )


# Patients


def test_records_of_ptbxl_take_their_patient_from_its_table(tmp_path):
    for id in ("HR00021", "HR00022", "HR00023", "A0001"):
        write_record(tmp_path / "records" / id, NSR)
    (tmp_path / "ptbxl_database.csv").write_text("ecg_id,patient_id\n21,7.0\n22,7.0\n23,8.0\n")
    assert "several HR records may be of one patient" in open_folder(tmp_path).notes[0]
    dataset = open_folder(tmp_path, ptbxl_csv=str(tmp_path / "ptbxl_database.csv"))
    assert list(dataset.ids) == ["A0001", "HR00021", "HR00022", "HR00023"]
    assert list(dataset.patients) == ["", "ptbxl-7.0", "ptbxl-7.0", "ptbxl-8.0"]
    assert dataset.notes == ()
    assert dataset.split is None


def test_records_of_ptbxl_keep_to_its_folds(tmp_path):
    for id in ("HR00021", "HR00022", "HR00023", "A0001"):
        write_record(tmp_path / "records" / id, NSR)
    table = "ecg_id,patient_id,strat_fold\n21,7.0,8\n22,8.0,9\n23,9.0,10\n"
    (tmp_path / "ptbxl_database.csv").write_text(table)
    dataset = open_folder(tmp_path, ptbxl_csv=str(tmp_path / "ptbxl_database.csv"))
    assert dict(zip(dataset.ids.tolist(), dataset.split.tolist(), strict=True)) == {
        "A0001": "", "HR00021": "train", "HR00022": "validation", "HR00023": "test"
    }  # fmt: skip


@pytest.mark.parametrize("id, is_told", [("I0001", True), ("S0001", True), ("A0001", False), ("JS00001", False)])
def test_patients_whom_no_table_names_are_told(tmp_path, id, is_told):
    write_record(tmp_path / id, NSR)
    notes = open_folder(tmp_path).notes
    assert any("several I or S records (INCART, PTB) may be of one patient" in note for note in notes) == is_told


# Files


def test_what_is_no_whole_record_is_left_out_and_told(tmp_path):
    write_record(tmp_path / "A0001", NSR)
    write_record(tmp_path / "A0002", NSR)
    write_record(tmp_path / "00001_lr", NSR)
    (tmp_path / "A0002.mat").unlink()
    dataset = open_folder(tmp_path)
    assert list(dataset.ids) == ["A0001"]
    assert dataset.notes == (
        "1 .hea files are not named like a Challenge record; left out",
        "1 headers lie there without their .mat; left out",
    )


def test_a_folder_without_records_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"0 \.hea files, none of a Challenge record"):
        open_folder(tmp_path)


def test_a_record_that_lies_there_twice_is_refused_naming_both(tmp_path):
    write_record(tmp_path / "a/E00001", NSR)
    write_record(tmp_path / "b/E00001", NSR)
    with pytest.raises(InputError, match=r"a/E00001\.hea and .*b/E00001\.hea are one record by name"):
        open_folder(tmp_path)


def test_a_header_of_noise_is_read_without_a_diagnosis(tmp_path):
    write_record(tmp_path / "A0001", NSR)
    (tmp_path / "A0001.hea").write_bytes(bytes(range(256)) * 50)
    assert np.isnan(open_folder(tmp_path).labels).all()
    with pytest.raises(InputError):
        open_folder(tmp_path).read(0)


# The gain of early Georgia headers


def microvolts(rng):
    """Georgia's samples: multiples of 4.88 microvolts, cut to whole ones."""
    steps = rng.integers(-300, 300, (12, 400))
    return np.trunc(steps * 4.88).astype(np.int16)


def test_a_wrong_gain_of_georgia_is_mended_where_the_samples_prove_it(tmp_path):
    samples = microvolts(np.random.default_rng(0))
    write_record(tmp_path / "E00001", NSR, gain="4880/mV", samples=samples)
    recording = open_folder(tmp_path).read(0)
    np.testing.assert_allclose(recording.signal, samples.T / 1000, rtol=1e-6)
    assert recording.known_factor is None  # or a repair would multiply again
    assert [note for note in recording.notes if "4880" in note] == [
        "gain 4880/mV mended to 1000/mV: the samples are in steps of 4.88 microvolts"
    ]


@pytest.mark.parametrize(
    "id, gain, is_georgia",
    [("A0001", "4880/mV", True), ("E00001", "1000/mV", True), ("E00001", "4880/mV", False)],
)
def test_no_other_gain_is_touched(tmp_path, id, gain, is_georgia):
    rng = np.random.default_rng(1)
    samples = microvolts(rng) if is_georgia else rng.integers(-1500, 1500, (12, 400)).astype(np.int16)
    write_record(tmp_path / id, NSR, gain=gain, samples=samples)
    recording = open_folder(tmp_path).read(0)
    np.testing.assert_allclose(recording.signal, samples.T / int(gain[:4]), rtol=1e-6)
    assert not any("mended to" in note for note in recording.notes)


def test_a_flat_recording_proves_nothing():
    flat = create_recording(np.zeros((100, 12)), leads=LEADS, sampling_rate=500, id="E00001")
    assert challenge2021.mend_gain(flat) is flat


# Real data


def read_rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_the_tables_hold_every_published_code_and_where_it_is_used(shared):
    columns = dict(
        zip(
            ["CPSC", "CPSC_Extra", "StPetersburg", "PTB", "PTB_XL", "Georgia", "Chapman_Shaoxing", "Ningbo"],
            snomed.SOURCES.values(),
            strict=True,
        )
    )
    rows = [
        row
        for part in ("scored", "unscored")
        for row in read_rows(shared / "data" / "tables" / f"challenge2021_dx_mapping_{part}.csv")
    ]
    assert {row["SNOMEDCTCode"] for row in rows} == set(snomed.LABELS)
    used: dict[str, set[str]] = {}
    for row in rows:
        label = snomed.LABELS[row["SNOMEDCTCode"]]
        used.setdefault(label, set()).update(name for column, name in columns.items() if int(row[column]))
        assert label == row["Abbreviation"] or label in ("RBBB", "LBBB", "PAC", "PVC", "AcuteMI", "Dysrhythmia")
    assert {name: set(sources) for name, sources in snomed.ANNOTATED.items()} == used


def test_real_records_have_the_positives_of_their_table_and_no_zero_their_source_cannot_know(shared):
    dataset = open_folder(shared / "data" / "challenge2021")
    table = {row["record"]: row for row in read_rows(shared / "data" / "challenge2021" / "labels_6class.csv")}
    assert set(dataset.ids) == set(table)
    expected = np.array([[float(table[id][name]) for name in SIX] for id in dataset.ids])
    np.testing.assert_array_equal(dataset.labels == 1, expected == 1)
    assert dict(zip(SIX, (dataset.labels == 1).sum(axis=0).tolist(), strict=True)) == {
        "1dAVb": 2, "RBBB": 5, "LBBB": 0, "SB": 13, "AF": 5, "ST": 18
    }  # fmt: skip
    cpsc = dataset.attributes["source"] == "cpsc_2018"
    assert cpsc.sum() == 4
    assert np.isnan(dataset.labels[cpsc][:, [SIX.index("SB"), SIX.index("ST")]]).all()
    georgia = np.flatnonzero(dataset.attributes["source"] == "georgia")
    is_open = np.isnan(dataset.labels[georgia])
    np.testing.assert_array_equal(dataset.labels[georgia][~is_open], expected[georgia][~is_open])
    assert [dataset.ids[georgia[row]] for row in np.flatnonzero(is_open.any(axis=1))] == ["E07541"]  # AV block


def test_real_recordings_of_ptbxl_have_the_same_labels_in_both(shared):
    data = shared / "data"
    dataset = open_folder(data / "challenge2021", "all")
    tables = ("ptbxl/ptbxl_database", "ptbxl_100hz/ptbxl_database", "ptbxl1819_zscored/scp_statements_of_records")
    stated = {}
    for name in ("tables/ptbxl_all_records_with_any_of_6_labels", *tables):
        table = pd.read_csv(data / f"{name}.csv", dtype=str)
        stated |= dict(zip("ptbxl/" + table["ecg_id"], table["scp_codes"], strict=True))
    both = [row for row, origin in enumerate(dataset.origins) if origin in stated]
    assert len(both) >= 6
    for row in both:
        assert_agree(
            scp_codes.derive(scp_codes.parse(pd.Series([stated[dataset.origins[row]]]), "x.csv")), dataset, row
        )


def test_the_real_record_with_a_wrong_gain_is_mended_and_no_other(shared):
    dataset = open_folder(shared / "data" / "challenge2021")
    mended = []
    for row, id in enumerate(dataset.ids):
        if id.startswith("E"):
            recording = dataset.read(row)
            assert 0.2 < np.ptp(np.percentile(recording.signal[:, 1], [0.5, 99.5])) < 5, id  # millivolts of lead II
            mended += [id for note in recording.notes if "mended to" in note]
    assert mended == ["E00793"]
