"""Waves and intervals beside predictions: in files, on pages, of long, silent and odd recordings."""

import csv
import dataclasses
import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cli_test import call, write_wfdb

from ecg_jax import load_model
from ecg_jax.data.readers import LazyRecording
from ecg_jax.explanation import parts
from ecg_jax.explanation.delineation import Delineation
from ecg_jax.inference import measured as measured_lib
from ecg_jax.inference import predict as predict_lib
from ecg_jax.inference import writers
from ecg_jax.recording import LEADS, LIMB_LEADS, create_recording
from ecg_jax.reporting import ecg_page
from ecg_jax.simulation import DOWER

NAMES = ["heart_rate", "pr", "qrs", "qt", "qtc", "axis"]
RATE = 500.0
# (middle, width, dipole to the left, to the feet, to the back) in seconds and millivolts; a QRS complex is at 0.
BEAT = (
    (-0.110, 0.018, (0.10, 0.14, -0.02)),
    (-0.029, 0.008, (-0.15, -0.06, -0.16)),
    (-0.002, 0.012, (0.90, 0.75, 0.10)),
    (0.020, 0.011, (0.05, -0.05, 0.60)),
    (0.250, 0.045, (0.33, 0.22, -0.12)),
)


def draw(earlier=0.0, seconds=10.0, interval=0.8):
    """A textbook ECG `[samples, 12]` of regular beats, whose P waves are earlier by some seconds."""
    time = np.arange(round(seconds * RATE)) / RATE
    dipole = np.zeros((len(time), 3))
    for place in np.arange(0.4, seconds, interval):
        for i, (middle, width, vector) in enumerate(BEAT):
            at = place + middle - (earlier if i == 0 else 0)
            dipole += np.exp(-0.5 * ((time - at) / width) ** 2)[:, None] * np.array(vector)
    eight = {lead: dipole @ np.array(row) for lead, row in DOWER.items()}
    limbs = {lead: a * eight["I"] + b * eight["II"] for lead, (a, b) in LIMB_LEADS.items()}
    noise = np.random.default_rng(0).normal(0, 0.002, (len(time), 12))
    return np.stack([(eight | limbs)[lead] for lead in LEADS], axis=1) + noise


def wrap(signal, id="ecg", rate=RATE):
    recording = create_recording(signal, leads=LEADS, sampling_rate=rate, id=id)
    return LazyRecording(id, lambda: recording)


@pytest.fixture(scope="module")
def model():
    return load_model()


def measure(model, *recordings):
    return list(measured_lib.measure_all(predict_lib.predict(model, list(recordings), whole=True, keep=True)))


def write(kind, *predictions):
    """What a table of these predictions holds."""
    file = io.StringIO(newline="")
    table = kind(file)
    for made in predictions:
        table.add(made)
    table.close()
    return file.getvalue()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Predicted by the command: an ECG of 75 beats per minute, its P waves 60 ms earlier, and no signal."""
    folder = tmp_path_factory.mktemp("measure")
    write_wfdb(folder, "a", draw(), rate=RATE)
    write_wfdb(folder, "b", draw(earlier=0.06), rate=RATE)
    write_wfdb(folder, "silent", np.zeros((5000, 12)), rate=RATE)
    done = call("predict", "--figure", "--figure_format=svg", "--output=out.json", "*.hea", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_json_has_measurements_and_the_waves_that_were_drawn(folder):
    """A bell ends at 2.448 widths, where it is 5 % high: P begins at -154 ms, QRS at -49 ms, so that PR is 105 ms."""
    first, second, silent = json.loads((folder / "out.json").read_text())["recordings"]
    assert [*first["measurements"]] == NAMES
    assert first["measurements"]["heart_rate"] == pytest.approx(75, abs=0.3)
    assert first["measurements"]["pr"] == pytest.approx(105, abs=10)
    assert second["measurements"]["pr"] == pytest.approx(165, abs=10)
    waves = first["waves"]
    assert {"wave", "onset", "offset"} <= {*waves[0]}
    assert [wave["wave"] for wave in waves[:6]] == ["P", "QRS", "T"] * 2
    onsets = [wave["onset"] for wave in waves if wave["wave"] == "QRS"]
    np.testing.assert_allclose(np.diff(onsets), 0.8, atol=0.02)
    assert [*first["waves_by_lead"]] == list(LEADS)
    assert sum(wave["wave"] == "QRS" for wave in first["waves_by_lead"]["V2"]) == len(onsets) == 12
    assert silent["measurements"] == dict.fromkeys(NAMES)
    assert (silent["waves"], silent["waves_by_lead"]) == ([], {})


def test_a_page_has_the_intervals_in_its_head_and_marks_of_onsets(folder):
    measured = json.loads((folder / "out.json").read_text())["recordings"][0]["measurements"]
    page = (folder / "out_figures" / "a.svg").read_text()
    assert f"heart rate 75 per minute; PR {measured['pr']:.0f} ms; QRS {measured['qrs']:.0f} ms" in page
    assert [page.count(f"<!-- {wave} -->") for wave in ("P", "QRS", "T")] == [12, 12, 12]
    silent = (folder / "out_figures" / "silent.svg").read_text()
    assert "heart rate unknown; PR unknown" in silent
    assert "<!-- QRS -->" not in silent


def test_the_csv_has_measurements_as_columns_empty_where_unknown(folder):
    done = call("predict", "--measure", "--output=out.csv", "a.hea", "silent.hea", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("  measured: heart rate ") == 2
    first, silent = csv.DictReader((folder / "out.csv").read_text().splitlines())
    in_json = json.loads((folder / "out.json").read_text())["recordings"][0]["measurements"]
    assert {name: float(first[name]) for name in NAMES} == pytest.approx(in_json, rel=1e-3)
    assert [silent[name] for name in NAMES] == [""] * 6
    assert [*first][-7:] == [*NAMES, "quality"]


def test_without_the_flags_tables_are_as_before(model):
    (made,) = predict_lib.predict(model, [wrap(draw())], whole=True)
    assert (made.ecg, made.measured) == (None, None)
    assert not {*NAMES} & {*pd.read_csv(io.StringIO(write(lambda file: writers.CsvTable(file, model), made)))}
    (row,) = json.loads(write(lambda file: writers.JsonTable(file, model), made))["recordings"]
    assert not {"measurements", "waves", "waves_by_lead"} & {*row}


def test_a_measurement_that_is_also_a_label_has_another_column(model):
    (made,) = predict_lib.predict(model, [wrap(draw())], whole=True)
    made = dataclasses.replace(made, measured=measured_lib.create(None))
    named = dataclasses.replace(model, label_names=("pr", *model.label_names[1:]))
    header = write(lambda file: writers.CsvTable(file, named, NAMES), made).splitlines()[0].split(",")
    assert len(header) == len({*header})
    assert header[-7:-3] == ["heart_rate", "measured_pr", "qrs", "qt"]


def test_order_and_errors_are_kept_and_one_that_cannot_be_measured_ends_nothing(model, monkeypatch):
    def fail(recording, delineation):
        if recording.id == "odd":
            raise ValueError("of a\nlibrary")
        return found(recording, delineation)

    found = measured_lib.measure
    monkeypatch.setattr(measured_lib, "measure", fail)
    given = [wrap(draw(), "first"), wrap(draw(), "odd"), wrap(1000 * draw(), "refused"), wrap(draw(), "last")]
    first, odd, refused, last = measure(model, *given)
    assert [each.recording for each in (first, odd, refused, last)] == ["first", "odd", "refused", "last"]
    assert refused.error
    assert odd.quality.endswith("not measured: ValueError: of a library")
    assert np.isnan([*odd.measured.measurements.values(), *refused.measured.measurements.values()]).all()
    assert last.measured.measurements == first.measured.measurements


def test_a_part_that_is_shown_is_measured_alone():
    """Beats a second apart, then half a second."""
    recording = wrap(np.zeros((10_000, 12))).read()
    onsets = [*np.arange(0.5, 10.0), *np.arange(10.25, 20.0, 0.5)]
    waves = [{"wave": "QRS", "onset": at, "offset": at + 0.1, "kind": "usual"} for at in onsets]
    measured = measured_lib.create(recording, Delineation(waves, {}))
    assert measured_lib.measure_part(measured, recording, 0.0, 20.0) == measured.measurements
    assert measured_lib.measure_part(measured, recording, 0.0, 10.0)["heart_rate"] == pytest.approx(60)
    assert measured_lib.measure_part(measured, recording, 10.0, 20.0)["heart_rate"] == pytest.approx(120)


def test_parts_of_a_long_recording_meet_in_a_pause_and_hold_each_wave_once():
    """Parts begin at 0 and 110 s and share 10 s; a beat each second, which they place 4 ms apart."""
    beats = np.arange(0.4, 200.0)

    def see(start, shift):
        inside = beats[(beats >= start) & (beats < start + parts.PART)] - start + shift
        waves = [{"wave": "QRS", "onset": at, "offset": at + 0.1} for at in inside.tolist()]
        return Delineation(waves, {"II": waves})

    joined = parts.join([see(0, 0.0), see(110, 0.004)], [0.0, 110.0])
    for waves in (joined.waves, joined.waves_by_lead["II"]):
        found = np.array([wave["onset"] for wave in waves])
        np.testing.assert_allclose(found, beats, atol=0.005)
        assert found[-1] == pytest.approx(beats[-1] + 0.004)


def test_a_recording_of_several_parts_has_the_waves_of_all_of_it(monkeypatch):
    monkeypatch.setattr(parts, "PART", 20.0)
    recording = wrap(draw(seconds=40.0)).read()
    (found,) = parts.delineate_parts([recording])
    onsets = np.array([wave["onset"] for wave in found.waves if wave["wave"] == "QRS"])
    np.testing.assert_allclose(onsets, np.arange(0.4, 40.0, 0.8) - 0.055, atol=0.02)
    assert measured_lib.create(recording, found).measurements["heart_rate"] == pytest.approx(75, abs=0.1)


def test_a_page_without_measurements_says_nothing_of_them(tmp_path):
    ecg_page.draw(wrap(draw()).read(), [], str(tmp_path / "page.svg"))
    assert "<!-- 10.0 s at 500 Hz -->" in Path(tmp_path / "page.svg").read_text()
