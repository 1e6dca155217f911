"""Data of a run that lies in another place now: read with the run's settings, split as it was, told from other data."""

import io
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cli_test import noise, write_wfdb
from ml_collections import ConfigDict
from rich.console import Console

from ecg_jax import config as config_lib
from ecg_jax.data.splits import manifest
from ecg_jax.errors import InputError
from ecg_jax.training import elsewhere, run_data

RECORDINGS = 10


def write_array(folder: Path, count: int = RECORDINGS, seed: int = 0) -> Path:
    """An array in microvolts at 500 Hz without ids, and its table."""
    folder.mkdir(exist_ok=True)
    signals = np.random.default_rng(seed).normal(0, 300, (count, 500, 2)).astype(np.float32)
    np.save(folder / "ecg.npy", signals)
    pd.DataFrame({"AF": np.arange(count) % 2, "patient_id": np.arange(count)}).to_csv(folder / "table.csv", index=False)
    return folder / "ecg.npy"


def create_config(**changes: object) -> ConfigDict:
    return config_lib.override(
        config_lib.create_default(), {key.replace("__", "."): value for key, value in changes.items()}
    )


@pytest.fixture
def run(tmp_path):
    """Configuration and `split.json` of a run on such an array, whose unit, rate and leads only the run knows."""
    config = create_config(
        data__dataset="arrays",
        data__source=str(write_array(tmp_path / "old")),
        data__labels="AF",
        data__arrays__labels_csv=str(tmp_path / "old" / "table.csv"),
        data__arrays__unit="uV",
        data__arrays__sampling_rate=500.0,
        data__arrays__leads="I,II",
        split__validation=0.3,
        split__test=0.3,
    )
    dataset = run_data.assign(config, run_data.open_dataset(config, str(tmp_path / "run"), Console(quiet=True)))
    return config, manifest.create(dataset), dataset


def open_data(data: object, config, known):
    return elsewhere.open_data(str(data), config, known, ("AF",), Console(file=io.StringIO()))


@pytest.mark.parametrize("form", ["{}", "arrays:{}"], ids=["a path alone", "NAME:SOURCE"])
def test_data_that_moved_is_read_and_split_as_in_the_run(run, tmp_path, form):
    config, known, before = run
    (tmp_path / "old").rename(tmp_path / "new")
    found, is_own = open_data(form.format(tmp_path / "new" / "ecg.npy"), config, known)
    assert is_own
    assert found.split.tolist() == before.split.tolist()
    assert not manifest.differs(known, found)
    recording = found.read(3)
    np.testing.assert_array_equal(recording.signal, before_signal(tmp_path / "new" / "ecg.npy", 3))
    assert (recording.leads, recording.sampling_rate) == (("I", "II"), 500)


def before_signal(path: Path, row: int) -> np.ndarray:
    return np.load(path)[row] * np.float32(1e-3)  # microvolts


def test_other_recordings_of_the_same_names_are_told_apart_by_their_content(run, tmp_path):
    config, known, _ = run
    other = write_array(tmp_path / "other", seed=1)  # rows are called 0 to 9 there too
    found, is_own = open_data(other, config, known)
    assert not is_own
    assert found.split is None
    assert any("its split is not used" in note for note in found.notes)
    more, is_own = open_data(write_array(tmp_path / "more", count=12), config, known)
    assert not is_own
    assert len(more.ids) == 12


def test_a_part_of_the_recordings_keeps_their_split(tmp_path):
    def write(folder: Path, rows: range) -> Path:
        for i in rows:
            write_wfdb(folder, f"r{i}", noise(i))
        table = {"path": [f"r{i}" for i in rows], "id": [f"r{i}" for i in rows], "AF": [i % 2 for i in rows]}
        pd.DataFrame(table).to_csv(folder / "table.csv", index=False)
        return folder

    config = create_config(
        data__dataset="folder", data__source=str(write(tmp_path / "all", range(RECORDINGS))), data__labels="AF"
    )
    before = run_data.assign(config, run_data.open_dataset(config, str(tmp_path / "run"), Console(quiet=True)))
    known = manifest.create(before)
    tested = before.indices("test")
    part, is_own = open_data(write(tmp_path / "part", range(tested[0], RECORDINGS)), config, known)
    assert is_own
    assert part.split.tolist() == before.split[tested[0] :].tolist()
    assert not manifest.differs(known, part)


def test_without_hashes_all_recordings_and_labels_must_be_the_runs(tmp_path):
    config = create_config(data__simulated__train=6, data__simulated__validation=3, data__simulated__test=3)
    before = run_data.assign(config, run_data.open_dataset(config, str(tmp_path), Console(quiet=True)))
    known = manifest.create(before)
    assert "hashes" not in known
    assert manifest.recognize(known, before).tolist() == before.split.tolist()
    other = run_data.open_files(config_lib.override(config, {"data.seed": 1}))
    assert manifest.recognize(known, other) is None  # of the same names


def test_another_kind_has_its_own_settings_and_a_table_of_the_run_stays_where_it_is(run, tmp_path):
    config, known, _ = run
    with pytest.raises(InputError, match=r"data set ptbxl: .*nowhere: no such file or folder; pass --data=ptbxl:PLACE"):
        open_data(f"ptbxl:{tmp_path}/nowhere", config, known)
    moved = shutil.copy(tmp_path / "old" / "ecg.npy", tmp_path / "alone.npy")  # without its table
    assert open_data(moved, config, known)[1]


def test_a_path_alone_is_a_store_where_it_is_one_and_else_of_the_runs_kind(tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "store.json").touch()
    for data, own, expected in (
        (str(tmp_path / "store"), "ptbxl", ("store", str(tmp_path / "store"))),
        ("/data/ptbxl", "ptbxl", ("ptbxl", "/data/ptbxl")),
        ("/data/mine", "simulated", ("store", "/data/mine")),  # of a model without files of its own
        ("code15:/data", "ptbxl", ("code15", "/data")),
        ("ptbxl:/a,code15:/b", "combined", ("combined", "ptbxl:/a,code15:/b")),
        ("combined:ptbxl:/a,code15:/b", "ptbxl", ("combined", "ptbxl:/a,code15:/b")),
        ("ptbxl:/a", "combined", ("ptbxl", "/a")),
        ("/odd:name", "folder", ("folder", "/odd:name")),
    ):
        assert elsewhere._locate(data, own) == expected


def test_messages_name_flags_that_evaluate_has():
    assert elsewhere.name_flags("x; pass --config.data.source=DIR", "sph") == "x; pass --data=sph:DIR"
    text = elsewhere.name_flags("name it with --config.data.code.labels_csv=FILE", "code")
    assert "ecg-jax prepare --dataset=code --source=PLACE --config.data.code.labels_csv=FILE" in text
    assert text.endswith("whose STORE --data takes)")
