"""Data sets as tensorflow-datasets: built from the project's own, read without TensorFlow, here or on Beam."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import processes
import pytest
import tensorflow_datasets as tfds
import wfdb
from workers_reading import assert_workers_read

from ecg_jax.contract import InputContract
from ecg_jax.data import datasets
from ecg_jax.data.datasets import builders
from ecg_jax.data.datasets.builders import base
from ecg_jax.data.preprocess import create_input
from ecg_jax.errors import InputError
from ecg_jax.labels import SIX
from ecg_jax.recording import LEADS
from ecg_jax.statements import column_name

ROOT = Path(__file__).parents[1]
INVALID = -32768


def write_record(path, counts, rate, comments=()):
    """Writes a record of a thousand counts per millivolt; -32768 is WFDB's own word for nothing there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    wfdb.wrsamp(
        path.name,
        fs=rate,
        units=["mV"] * 12,
        sig_name=list(LEADS),
        d_signal=counts.astype(np.int64),
        fmt=["16"] * 12,
        adc_gain=[1000.0] * 12,
        baseline=[0] * 12,
        comments=list(comments),
        write_dir=str(path.parent),
    )


def draw_counts(number, samples):
    return np.random.default_rng(number).integers(-3000, 3000, (samples, 12))


PTBXL = """ecg_id,patient_id,age,sex,scp_codes,strat_fold,filename_lr,filename_hr
21,100.0,60.0,0,"{'NORM': 100.0, 'SBRAD': 0.0}",1,records100/00021_lr,records500/00021_hr
22,100.0,61.0,0,"{'NORM': 80.0, 'IMI': 15.0}",8,records100/00022_lr,records500/00022_hr
23,101.0,300.0,1,"{'SR': 0.0}",9,records100/00023_lr,records500/00023_hr
24,102.0,,1,"{'CLBBB': 100.0}",10,records100/00024_lr,records500/00024_hr
25,103.0,40.0,1,"{'SR': 0.0, 'IMI': 0.0}",1,records100/00025_lr,records500/00025_hr
"""


@pytest.fixture(scope="module")
def ptbxl(tmp_path_factory):
    """Five records; 22 has a gap of three samples in lead V2."""
    folder = tmp_path_factory.mktemp("ptbxl")
    (folder / "ptbxl_database.csv").write_text(PTBXL)
    for number in range(21, 26):
        counts = draw_counts(number, 500)
        if number == 22:
            counts[10:13, 7] = INVALID
        write_record(folder / f"records500/000{number}_hr", counts, 500)
        write_record(folder / f"records100/000{number}_lr", counts[::5], 100)
    return folder


@pytest.fixture(scope="module")
def code15(tmp_path_factory):
    """Thirty exams of fifteen patients, padded on both sides; exam 3 goes beyond what int16 microvolts hold."""
    folder = tmp_path_factory.mktemp("code15")
    lines = [
        f"{i},{20 + i},{i % 2 == 0},{i % 3 == 0},False,False,False,False,{i % 7 == 0},{i % 15},False,exams_part0.hdf5"
        for i in range(1, 31)
    ]
    header = "exam_id,age,is_male,1dAVb,RBBB,LBBB,SB,ST,AF,patient_id,normal_ecg,trace_file"
    (folder / "exams.csv").write_text("\n".join([header, *lines]) + "\n")
    tracings = np.zeros((31, 256, 12), np.float32)
    tracings[:30, 40:-56] = np.random.default_rng(0).normal(size=(30, 160, 12))
    tracings[2, 100, 4] = 80.0  # 40 mV
    with h5py.File(folder / "exams_part0.hdf5", "w") as file:
        file["exam_id"] = np.array([*range(1, 31), 0])
        file["tracings"] = tracings
    return folder


@pytest.fixture(scope="module")
def challenge2021(tmp_path_factory):
    """Ten records of CPSC 2018, which knows neither SB nor ST, and one of Georgia."""
    folder = tmp_path_factory.mktemp("challenge2021")
    for number in range(1, 11):
        comments = ["Age: 50", "Sex: Male", f"Dx: {59118001 if number % 2 else 426783006}"]
        write_record(folder / f"cpsc_2018/A{number:04d}", draw_counts(number, 300), 500, comments)
    write_record(folder / "georgia/E00001", draw_counts(11, 300), 250, ["Age: -1", "Sex: NaN", "Dx: 426177001"])
    return folder


def open_original(name, source, labels="all", **options):
    return datasets.create(name.partition("/")[0], source=str(source), labels=labels, seed=0, options=options)


def open_built(source, labels="all"):
    return datasets.create("tfds", source=str(source), labels=labels, seed=0, options={})


def build(name, source, output, *beam_arguments):
    """Builds, and returns the folder."""
    builder = builders.create(name, str(output))
    builders.build(builder, str(source), beam_arguments)
    return Path(builder.data_dir)


@pytest.fixture(scope="module")
def built_once(request, tmp_path_factory):
    """Builds a data set of this file's folders when it is first asked for; not to be changed."""
    output = tmp_path_factory.mktemp("built")
    return lambda name: build(name, request.getfixturevalue(name.partition("/")[0]), output)


def read_all(folder):
    """Every record with its split, by id, as TFDS gives them."""
    sources = tfds.builder_from_directory(str(folder)).as_data_source()
    return {record["id"].decode(): (split, record) for split, source in sources.items() for record in source}


def assert_records_are_the_data_sets(folder, original, label_names):
    """Compares every number of every record."""
    found = read_all(folder)
    assert sorted(found) == sorted(original.ids)
    for row, id in enumerate(original.ids):
        split, record = found[id]
        recording = original.read(row)
        assert split == original.split[row]
        assert record["signal"].dtype == np.int16
        assert record["signal"].shape == recording.signal.shape
        np.testing.assert_array_equal(record["signal"] != INVALID, recording.valid)
        expected = np.clip(recording.signal * 1000, -32767, 32767)
        assert np.abs(record["signal"] - expected)[recording.valid].max(initial=0) <= 0.501
        assert record["sampling_rate"] == recording.sampling_rate
        assert record["gaps"] == recording.gaps
        assert set(record["labels"]) == set(label_names)
        for name, state in record["labels"].items():
            expected = original.columns[name][row] if name in original.columns else np.nan
            assert state == (-1 if np.isnan(expected) else expected), (id, name)
        if original.patients is not None:
            assert record["patient_id"].decode() == original.patients[row]
        np.testing.assert_equal(record["age"], np.float32(original.attributes["age"][row]))
        assert record["sex"].decode() == original.attributes["sex"][row]


# Building


@pytest.mark.parametrize("rate", [100, 500])
def test_ptbxl_records_are_the_data_sets_own(ptbxl, built_once, rate):
    folder = built_once(f"ptbxl/{rate}hz")
    assert folder.parts[-3:] == ("ptbxl", f"{rate}hz", "2.0.0")
    original = open_original("ptbxl", ptbxl, ptbxl={"sampling_rate": rate})
    assert_records_are_the_data_sets(folder, original, builders.Ptbxl.LABELS)


def test_ptbxl_records_hold_what_was_written(built_once):
    split, record = read_all(built_once("ptbxl"))["22"]
    counts = draw_counts(22, 500)
    counts[10:13, 7] = INVALID
    np.testing.assert_array_equal(record["signal"], counts)
    assert (split, record["fold"], record["gaps"], record["sampling_rate"]) == ("train", 8, 3, 500.0)
    assert (record["patient_id"], record["age"], record["sex"]) == (b"100.0", 61.0, b"M")
    labels = {name: record["labels"][name] for name in ("NORM", "IMI", "MI", "SB", "abnormal", "LBBB", "LAO/LAE")}
    assert labels == {"NORM": 1, "IMI": 1, "MI": 1, "SB": 0, "abnormal": 1, "LBBB": 0, "LAO/LAE": 0}


def test_code15_records_are_the_data_sets_own(code15, built_once):
    original = open_original("code15", code15)
    folder = built_once("code15")
    assert_records_are_the_data_sets(folder, original, (*SIX, "abnormal"))
    found = read_all(folder)
    assert (found["1"][1]["signal"] == INVALID).all(axis=1).sum() == 96  # its padding
    assert found["3"][1]["notes"].decode().endswith("1 samples beyond +-32.767 mV are set to that")
    assert found["4"][1]["notes"] == "\n".join(original.read(list(original.ids).index("4")).notes).encode()


def test_challenge2021_records_are_the_data_sets_own(challenge2021, built_once):
    original = open_original("challenge2021", challenge2021)
    folder = built_once("challenge2021")
    assert_records_are_the_data_sets(folder, original, builders.Challenge2021.LABELS)
    found = read_all(folder)
    assert found["A0001"][1]["labels"]["RBBB"] == 1
    assert found["A0002"][1]["labels"]["RBBB"] == 0
    assert found["A0001"][1]["labels"]["SB"] == -1
    assert found["E00001"][1]["labels"]["SB"] == 1
    assert {record["source"] for _, record in found.values()} == {b"cpsc_2018", b"georgia"}
    assert {float(record["sampling_rate"]) for _, record in found.values()} == {250.0, 500.0}


def test_records_are_in_several_files_in_the_data_sets_order(code15, tmp_path, monkeypatch):
    monkeypatch.setattr(base, "SHARD_SIZE", 7)
    folder = build("code15", code15, tmp_path / "built")
    original = open_original("code15", code15)
    info = tfds.builder_from_directory(str(folder)).info
    for split in ("train", "validation", "test"):
        ids = [id for id, (side, _) in read_all(folder).items() if side == split]
        assert ids == list(original.ids[original.split == split])
        assert max(info.splits[split].shard_lengths) <= 7
        assert sum(info.splits[split].shard_lengths) == len(ids)
    assert len(info.splits["train"].shard_lengths) > 2


@pytest.mark.parametrize("name", sorted(builders.BUILDERS))
def test_a_builder_states_its_facts(name, tmp_path):
    builder = builders.create(name, str(tmp_path))
    assert str(builder.version) in builder.release_notes
    assert "doi = {10." in builder.info.citation
    assert builder.info.homepage.startswith("https://")
    assert builder.info.metadata["leads"] == list(LEADS)
    assert set(SIX) <= set(builder.info.features["labels"])
    assert str(builder.info.file_format.value) == "array_record"


def test_tfds_builds_a_data_set_by_its_name(code15, tmp_path):
    config = tfds.download.DownloadConfig(manual_dir=str(code15))
    records = tfds.data_source(
        "code15", split="train+test", data_dir=tmp_path, download_and_prepare_kwargs={"download_config": config}
    )
    original = open_original("code15", code15)
    assert {record["id"].decode() for record in records} == set(original.ids[original.split != "validation"])


def test_a_build_that_is_there_is_left_as_it_is(code15, tmp_path):
    folder = build("code15", code15, tmp_path / "built")
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert build("code15", code15, tmp_path / "built") == folder
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_a_build_is_whole_or_not_there(ptbxl, tmp_path):
    source = shutil.copytree(ptbxl, tmp_path / "source")
    os.truncate(source / "records500/00025_hr.dat", 100)
    with pytest.raises(InputError, match="00025_hr"):
        build("ptbxl", source, tmp_path / "built")
    assert not list((tmp_path / "built").rglob("*array_record*"))
    assert not builders.create("ptbxl", str(tmp_path / "built")).is_prepared()


def test_a_source_that_is_not_there_is_refused_in_one_line(tmp_path):
    with pytest.raises(InputError, match=r"data set ptbxl: source '/nowhere' is not a folder; pass --source=DIR"):
        build("ptbxl", "/nowhere", tmp_path)
    config = tfds.download.DownloadConfig(manual_dir="/nowhere")
    with pytest.raises(InputError, match=r"^Manual directory /nowhere does not exist[^\n]*$"):
        builders.create("ptbxl", str(tmp_path)).download_and_prepare(download_config=config)


def test_an_unknown_builder_or_configuration_is_refused(tmp_path):
    with pytest.raises(InputError, match="'mitbih' has no builder; there are: challenge2021, code15, ptbxl"):
        builders.create("mitbih", str(tmp_path))
    with pytest.raises(InputError, match="ptbxl has no configuration '250hz'; it has 500hz, 100hz"):
        builders.create("ptbxl/250hz", str(tmp_path))


class Ludb(base.EcgBuilder, skip_registration=True):
    """What a builder of another data set takes."""

    name = "ludb"
    VERSION = tfds.core.Version("1.0.0")
    LABELS = SIX
    MANUAL_DOWNLOAD_INSTRUCTIONS = "LUDB from PhysioNet."


def test_a_builder_of_another_data_set_takes_a_few_lines(shared, tmp_path):
    builder = Ludb(data_dir=tmp_path)
    source = shared / "data" / "ludb"
    builders.build(builder, str(source))
    assert_records_are_the_data_sets(builder.data_dir, open_original("ludb", source), SIX)


# Without TensorFlow


@pytest.fixture
def without_tensorflow(tmp_path):
    """An environment in which importing TensorFlow raises."""
    package = tmp_path / "block" / "tensorflow"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('TensorFlow was imported')\n")
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(package.parent), str(ROOT)])}


def run(arguments, environment):
    done = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


READ = """
import sys
import tensorflow_datasets as tfds
for split, source in tfds.data_source("code15", data_dir=sys.argv[1]).items():
    for record in source:
        print(split, record["id"].decode(), record["labels"]["AF"], record["signal"].dtype, *record["signal"].shape)
assert "tensorflow" not in sys.modules
try:
    import tensorflow
except ImportError:
    print("no TensorFlow")
"""


def test_it_builds_and_reads_without_tensorflow(code15, tmp_path, without_tensorflow):
    output = tmp_path / "built"
    told = run(
        ["-m", "ecg_jax.build_tfds", "--dataset=code15", f"--source={code15}", f"--output={output}"], without_tensorflow
    )
    assert f"Written: {output}/code15/1.0.0 (" in told
    lines = run(["-c", READ, str(output)], without_tensorflow).splitlines()
    assert lines.pop() == "no TensorFlow"
    original = open_original("code15", code15)
    expected = {
        f"{original.split[row]} {id} {int(original.columns['AF'][row])} int16 256 12"
        for row, id in enumerate(original.ids)
    }
    assert set(lines) == expected
    assert len(lines) == 30


def test_the_command_says_what_is_wrong_in_one_line(tmp_path):
    arguments = ["-m", "ecg_jax.build_tfds", "--dataset=ptbxl", "--source=/nowhere", f"--output={tmp_path}"]
    done = processes.run(*arguments)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: data set ptbxl: source '/nowhere' is not a folder")
    assert "Traceback" not in done.stderr


# As a source of the pipeline


def align(built, original):
    """Rows of the original in the order of the built data set."""
    place = {id: row for row, id in enumerate(original.ids)}
    return np.array([place[id] for id in built.ids])


@pytest.mark.parametrize("labels", ["six", "abnormal,AF", "NORM,IMI,SR"])
def test_what_is_known_of_the_records_comes_back(ptbxl, built_once, labels):
    built, original = (
        open_built(built_once("ptbxl"), labels),
        open_original("ptbxl", ptbxl, labels),
    )
    rows = align(built, original)
    assert built.label_names == original.label_names
    np.testing.assert_array_equal(built.labels, original.labels[rows])
    np.testing.assert_array_equal(built.split, original.split[rows])
    np.testing.assert_array_equal(built.patients, original.patients[rows])
    np.testing.assert_array_equal(built.folds, original.folds[rows])
    np.testing.assert_array_equal(built.attributes["age"], original.attributes["age"][rows])
    np.testing.assert_array_equal(built.attributes["sex"], original.attributes["sex"][rows])


def test_what_nobody_knows_stays_unknown(challenge2021, built_once):
    built = open_built(built_once("challenge2021"), "six")
    original = open_original("challenge2021", challenge2021, "six")
    np.testing.assert_array_equal(built.labels, original.labels[align(built, original)])
    assert np.isnan(built.columns["ST"][built.attributes["source"] == "cpsc_2018"]).all()
    assert built.patients is None
    assert built.folds is None
    assert built.notes == original.notes


@pytest.mark.parametrize("name", ["ptbxl", "code15", "challenge2021"])
def test_the_networks_input_is_the_originals_within_half_a_microvolt(name, request, built_once):
    source = request.getfixturevalue(name)
    built, original = open_built(built_once(name)), open_original(name, source)
    for row, there in enumerate(align(built, original)):
        recording, expected = built.read(row), original.read(int(there))
        assert (recording.id, recording.gaps, recording.leads) == (expected.id, expected.gaps, expected.leads)
        if recording.id == "3":
            continue  # beyond +-32.767 mV
        contract = InputContract(sampling_rate=expected.sampling_rate, samples=300)
        (signal, valid), (wanted, known) = (create_input(each, contract) for each in (recording, expected))
        np.testing.assert_array_equal(valid, known)
        assert np.abs(signal - wanted).max() <= 0.0005 * contract.units_per_millivolt * 1.001
    assert_workers_read(built)


def test_opening_decodes_no_record(built_once, monkeypatch):
    folder = built_once("code15")

    def refuse(*_):
        raise AssertionError("a record was decoded")

    monkeypatch.setattr(tfds.features.FeaturesDict, "deserialize_example_np", refuse)
    assert len(open_built(folder, "six").ids) == 30


@pytest.mark.parametrize("above", [0, 1, 2, 3])
def test_a_folder_above_will_do_if_it_holds_no_other(ptbxl, tmp_path, above):
    folder = build("ptbxl/100hz", ptbxl, tmp_path)
    assert len(open_built([folder, *folder.parents][above]).ids) == 5


def test_of_several_versions_the_newest_is_opened(built):
    folder = built
    for version in ("1.10.0", "1.9.0"):
        shutil.copytree(folder, folder.parent / version)
    assert datasets.tfds.find(str(folder.parent)) == str(folder.parent / "1.10.0")
    assert datasets.tfds.find(str(folder)) == str(folder)


def test_a_folder_that_holds_two_data_sets_is_refused(built_once):
    folder, _ = [built_once(f"ptbxl/{rate}hz") for rate in (100, 500)]
    with pytest.raises(InputError, match=r"holds .*ptbxl/100hz, .*ptbxl/500hz; pass one of them"):
        open_built(folder.parents[1])


def test_a_folder_that_holds_none_is_refused(tmp_path):
    for source in ("", str(tmp_path)):
        with pytest.raises(InputError, match=r"no dataset_info\.json at or below"):
            open_built(source)
    with pytest.raises(InputError, match=r"/nowhere: no such file or folder"):
        open_built("/nowhere")


# Damage


@pytest.fixture
def built(built_once, tmp_path):
    """A copy to change."""
    return Path(shutil.copytree(built_once("code15"), tmp_path / "code15" / "1.0.0"))


def test_an_index_of_other_records_is_refused(built):
    table = pd.read_csv(built / "index.csv", dtype=str)
    table.loc[:1, "id"] = table.loc[[1, 0], "id"].to_numpy()
    table.to_csv(built / "index.csv", index=False)
    with pytest.raises(InputError, match=r"index\.csv: .* should be record 0 of train, but that is"):
        open_built(built, "six").read(0)


def test_an_index_of_fewer_records_is_refused(built):
    lines = (built / "index.csv").read_text().splitlines()
    (built / "index.csv").write_text("\n".join(lines[:-1]) + "\n")
    with pytest.raises(InputError, match="its index and its files disagree about the number of records"):
        open_built(built, "six")


def test_a_missing_index_is_refused(built):
    (built / "index.csv").unlink()
    with pytest.raises(InputError, match=r"index\.csv: no such file"):
        open_built(built, "six")


@pytest.mark.parametrize("name", ["dataset_info.json", "metadata.json"])
@pytest.mark.parametrize("contents", [b"", b"{", b"\xff\xfe"])
def test_a_damaged_description_is_refused_in_one_line(built, name, contents):
    (built / name).write_bytes(contents)
    with pytest.raises(InputError, match=r"code15/1\.0\.0: [^\n]*$"):
        open_built(built, "six").read(0)


def test_opening_imports_no_module_that_the_folder_names(built, tmp_path, monkeypatch):
    (tmp_path / "stranger.py").write_text("raise AssertionError('imported')\n")
    monkeypatch.syspath_prepend(tmp_path)
    text = (built / "features.json").read_text()
    (built / "features.json").write_text(text.replace("tensorflow_datasets.core.features.scalar", "stranger"))
    with pytest.raises(AssertionError, match="imported"):
        tfds.builder_from_directory(str(built))
    assert len(read_every_signal(built)) == 30


@pytest.mark.parametrize(
    "change",
    [
        {"name": "../code15"},
        {"fileFormat": "tfrecord"},
        {"splits": [{"name": "../train", "shardLengths": ["30"]}]},
        {"splits": [{"name": "train", "shardLengths": ["9" * 30]}]},
        {"splits": [{"name": "train", "shardLengths": ["-1", "31"]}]},
    ],
)
def test_a_description_names_no_file_elsewhere(built, change):
    info = json.loads((built / "dataset_info.json").read_text())
    (built / "dataset_info.json").write_text(json.dumps(info | change))
    with pytest.raises(InputError, match="TFDS cannot read this data set"):
        open_built(built, "six")


@pytest.mark.parametrize("damage", ["gone", "empty", "truncated", "overwritten"])
def test_a_damaged_file_is_refused_in_one_line(built, damage):
    path = next(built.glob("*train*"))
    data = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        damaged = {
            "empty": b"",
            "truncated": data[: len(data) // 3],
            "overwritten": data[:200] + bytes(len(data) - 200),
        }
        path.write_bytes(damaged[damage])
    with pytest.raises(InputError, match=r"code15/1\.0\.0: [^\n]*$"):
        read_every_signal(built)


def read_every_signal(folder):
    opened = open_built(folder, "six")
    return [opened.read(row).signal for row in range(len(opened.ids))]


# Apache Beam


@pytest.fixture
def beam():
    return pytest.importorskip("apache_beam", reason="Apache Beam is not installed (extra `beam`)")


def assert_builds_are_equal(one, other):
    """Compares files by name, the index by its bytes, and every number of every record, in order."""
    assert sorted(path.name for path in one.iterdir()) == sorted(path.name for path in other.iterdir())
    assert (one / "index.csv").read_bytes() == (other / "index.csv").read_bytes()
    sources = [tfds.builder_from_directory(str(folder)).as_data_source() for folder in (one, other)]
    assert sources[0].keys() == sources[1].keys()
    for split, source in sources[0].items():
        assert len(source) == len(sources[1][split])
        for record, wanted in zip(source, sources[1][split], strict=True):
            np.testing.assert_equal(record, wanted)


def test_beam_writes_the_same_records_into_the_same_files(beam, code15, tmp_path, monkeypatch):
    monkeypatch.setattr(base, "SHARD_SIZE", 5)
    plain = build("code15", code15, tmp_path / "plain")
    assert_builds_are_equal(plain, build("code15", code15, tmp_path / "beam", "--runner=DirectRunner"))


def test_beam_is_used_when_tfds_is_told_its_runner(beam, ptbxl, built_once, tmp_path):
    builder = builders.create("ptbxl", str(tmp_path / "beam"))
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(manual_dir=str(ptbxl), beam_runner="DirectRunner")
    )
    assert_builds_are_equal(built_once("ptbxl"), Path(builder.data_dir))


@pytest.mark.slow
def test_beam_spreads_shards_over_processes_without_tensorflow(beam, code15, built_once, tmp_path, without_tensorflow):
    flags = ["--dataset=code15", f"--source={code15}", f"--output={tmp_path / 'beam'}"]
    runner = ["--runner=DirectRunner", "--direct_num_workers=2", "--direct_running_mode=multi_processing"]
    run(["-m", "ecg_jax.build_tfds", *flags, "--", *runner], without_tensorflow)
    assert_builds_are_equal(built_once("code15"), tmp_path / "beam" / "code15" / "1.0.0")


@pytest.mark.slow
def test_a_dask_cluster_builds_the_same_and_reports_a_bad_recording_in_one_line(
    beam, code15, ptbxl, built_once, tmp_path
):
    from distributed import LocalCluster

    source = shutil.copytree(ptbxl, tmp_path / "source")
    os.truncate(source / "records500/00025_hr.dat", 100)
    flags = ["-m", "ecg_jax.build_tfds", f"--output={tmp_path}"]
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50) as cluster:
        where = ("--", "--runner=DaskRunner", f"--dask_client_address={cluster.scheduler_address}")
        done = processes.run(*flags, "--dataset=code15", f"--source={code15}", *where)
        assert done.returncode == 0, done.stderr
        done = processes.run(*flags, "--dataset=ptbxl", f"--source={source}", *where)
    assert_builds_are_equal(built_once("code15"), tmp_path / "code15" / "1.0.0")
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]  # after what Dask has to say
    assert last.startswith("error: ")
    assert "00025_hr" in last


def test_a_bad_recording_ends_a_build_on_beam_too(beam, ptbxl, tmp_path):
    source = shutil.copytree(ptbxl, tmp_path / "source")
    os.truncate(source / "records500/00025_hr.dat", 100)
    with pytest.raises(InputError, match="00025_hr"):
        build("ptbxl", source, tmp_path / "built", "--runner=DirectRunner")
    assert not list((tmp_path / "built").rglob("*array_record*"))


@pytest.mark.parametrize(
    "argument, message",
    [
        ("--direct_num_wrkers=2", "Apache Beam has no option --direct_num_wrkers"),
        ("--runner=NoRunner", "Apache Beam: Unexpected pipeline runner: NoRunner"),
    ],
)
def test_what_beam_does_not_know_is_refused_in_one_line(beam, code15, tmp_path, argument, message):
    with pytest.raises(InputError, match=rf"^{message}[^\n]*$"):
        build("code15", code15, tmp_path, argument)


def test_without_beam_its_options_are_refused(code15, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    with pytest.raises(InputError, match=r"Apache Beam is not installed; pip install 'ecg_jax\[beam\]'"):
        build("code15", code15, tmp_path / "built", "--runner=DirectRunner")


# Real data


def test_real_ptbxl_has_the_statements_of_the_builder(shared):
    codes = pd.read_csv(shared / "data" / "ptbxl" / "scp_statements.csv").iloc[:, 0]
    assert set(map(column_name, codes)) < set(builders.Ptbxl.LABELS)


def test_real_ptbxl_of_100_hz_keeps_its_recordings_and_positives(shared, tmp_path):
    source = shared / "data" / "ptbxl"
    folder = build("ptbxl/100hz", source, tmp_path)
    original = open_original("ptbxl", source, ptbxl={"sampling_rate": 100})
    assert_records_are_the_data_sets(folder, original, builders.Ptbxl.LABELS)
    splits = tfds.builder_from_directory(str(folder)).info.splits
    assert {name: split.num_examples for name, split in splits.items()} == {
        name: int((original.split == name).sum()) for name in ("train", "validation", "test")
    }
    built = open_built(folder, "six")
    assert len(built.ids) == 250
    np.testing.assert_array_equal(np.nansum(built.labels, axis=0), np.nansum(original.labels[:, :6], axis=0))


@pytest.mark.parametrize("name", ["code15", "challenge2021"])
def test_real_recordings_are_the_data_sets_own(shared, tmp_path, name):
    source = shared / "data" / name / ("records" if name == "challenge2021" else "")
    original = open_original(name, source)
    assert_records_are_the_data_sets(build(name, source, tmp_path), original, builders.BUILDERS[name].LABELS)
