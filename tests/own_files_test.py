"""A person's own CSV files: names in other languages, sidecars of files and folders, what the screen says of them."""

import json

import numpy as np
import pytest
from cli_test import call

from ecg_jax import load_model
from ecg_jax.data import readers
from ecg_jax.errors import InputError
from ecg_jax.inference import predict
from ecg_jax.inference.noticed import Noticed
from ecg_jax.recording import LEADS, canonical_lead
from ecg_jax.simulation import textbook

RATE = 400


@pytest.fixture(scope="module")
def signal():
    """`[samples, 12]`, mV."""
    return textbook.simulate(np.random.default_rng(0), np.zeros(6, bool), textbook.Conditions())


def write(path, signal, names=LEADS, factor=1000, **said):
    """Writes a CSV with a column of times, in microvolts, and what is said in a sidecar."""
    rows = np.column_stack([np.arange(len(signal)) / RATE, signal * factor])
    np.savetxt(path, rows, fmt="%.4f", delimiter=",", header=",".join(["time", *names]), comments="")
    if said:
        path.with_suffix(".json").write_text(json.dumps(said))


@pytest.mark.parametrize(
    "name, lead",
    [
        *(("Ableitung I", "I"), ("Abl. aVR (mV)", "aVR"), ("Brustwand V4", "V4"), ("Wilson V1", "V1")),
        *(("Brustwandableitung V2", "V2"), ("dérivation III", "III"), ("Derivación aVF", "aVF")),
        *(("derivação V6", "V6"), ("Derivazione D1", "I"), ("Afleiding II", "II")),
        *(("Lead -aVR", "Lead -aVR"), ("Ableitung", "Ableitung"), ("Wilson", "Wilson")),
    ],
)
def test_leads_are_named_in_other_languages(name, lead):
    assert canonical_lead(name) == lead


def test_declared_leads_rename_columns_that_name_none(signal, tmp_path):
    path = tmp_path / "a.csv"
    write(path, signal[:, :3], ["ch1", "II", "ch3"], leads=["I", "II", "III"], unit="uV")
    found = readers.read(path)
    assert found.leads == ("I", "II", "III")
    assert "columns renamed, as declared: ch1 as I, ch3 as III" in found.notes
    write(path, signal[:, :3], ["II", "I", "III"], leads=["I", "II", "III"], unit="uV")
    with pytest.raises(InputError, match="II, I, III, but I, II, III are declared; rename the columns"):
        readers.read(path)


def test_the_unit_that_fits_is_named(signal, tmp_path):
    for name, factor in (("uV", 1000), ("mV", 1), ("V", 0.001)):
        write(tmp_path / "a.csv", signal, factor=factor)
        if name != "V":  # four digits are too few
            with pytest.raises(InputError, match=rf'as {{"unit": "{name}"}} \(its beats fit this unit\)'):
                readers.read(tmp_path / "a.csv")
    write(tmp_path / "a.csv", signal, factor=200)
    with pytest.raises(InputError, match=r'"UNIT"} \(UNIT is one of mV, uV, V, code, zscore\)'):
        readers.read(tmp_path / "a.csv")


def test_one_file_states_what_holds_of_a_folder_and_a_file_s_own_sidecar_counts_first(signal, tmp_path):
    write(tmp_path / "a.csv", signal)
    write(tmp_path / "b.csv", signal, factor=1, unit="mV")
    [first, second] = readers.find(str(tmp_path))
    assert first.missing == ("unit",)
    assert second.missing == ()
    (tmp_path / "folder.json").write_text('{"unit": "uV"}')
    found = readers.search(str(tmp_path))
    assert [each.missing for each in found.recordings] == [(), ()]
    assert not found.passed_over
    a, b = (each.read() for each in found.recordings)
    np.testing.assert_allclose(a.signal, signal, atol=1e-4)
    np.testing.assert_allclose(b.signal, signal, atol=1e-4)
    assert "unit uV of folder.json is not used: b.json states mV" in b.notes
    (tmp_path / "folder.json").write_text('{"units": "uV"}')
    with pytest.raises(InputError, match=r"folder\.json: key 'units' is unknown; did you mean unit"):
        readers.read(tmp_path / "a.csv")


def test_sidecars_that_a_shell_names_are_passed_over(tmp_path):
    named = [f"{tmp_path}/{name}" for name in ("a.csv", "a.json", "b.json", "folder.json")]
    assert readers.drop_sidecars(named) == [named[0], named[2]]


def test_missing_leads_and_defects_are_counted_before_what_readers_assumed(signal, tmp_path):
    write(tmp_path / "a.csv", signal[: 4 * RATE, 3:6], LEADS[3:6], unit="uV")
    [made] = predict.predict(load_model("simulated"), readers.find(str(tmp_path)), whole=True)
    assert "derived from other limb leads: I, II, III" in made.notes
    noticed = Noticed()
    noticed.add(vars(made))
    lines = noticed.describe()
    assert lines[:2] == [
        "noticed in 1 recording(s): 6 of 12 leads missing (V1, V2, V3, V4, V5, V6), zeros in their place",
        "noticed in 1 recording(s): too_short: less than 5 seconds are valid",
    ]
    assert "time" in lines[2]
    noticed.update(noticed.to_dict())
    assert noticed.count == 2
    assert noticed.describe()[0].startswith("noticed in 2 recording(s): 6 of 12")


def test_recordings_of_the_training_set_are_counted_last():
    noticed = Noticed()
    for quality in ("was in the training set", "", "was in the training set"):
        noticed.add({"quality": quality, "defects": (), "notes": ("a",)})
    assert noticed.describe() == [
        "noticed in 3 recording(s): a",
        "2 of 3 recordings were in the training set of this model: no measure of how good it is",
    ]


def test_a_refusal_is_said_after_the_statements(signal, tmp_path):
    write(tmp_path / "a.csv", signal, unit="uV")
    (tmp_path / "b.csv").write_text("I,II\n1,2\n")
    done = call("predict", "--model=simulated", f"--output={tmp_path / 'out.csv'}", *sorted(tmp_path.iterdir()))
    assert done.returncode == 2, done.stderr
    lines = [line.strip() for line in " ".join(done.stdout.split()).split("not predicted: ")]
    assert "at or above the model's threshold" in lines[0]
    assert len(lines) == 2
    assert "b.csv" in lines[1]
    assert "Written: " in lines[1]
