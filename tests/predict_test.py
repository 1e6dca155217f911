"""ECG files in, probabilities, tables and pages out."""

import dataclasses
import io
import json
import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from cli_test import call, write_wfdb
from matplotlib.backends.backend_agg import FigureCanvasAgg
from rich.console import Console

from ecg_jax import load_model
from ecg_jax.data.preprocess import create_input, create_windows, mask_missing
from ecg_jax.data.readers import LazyRecording, find
from ecg_jax.errors import InputError
from ecg_jax.inference import predict as predict_lib
from ecg_jax.inference import writers
from ecg_jax.inference.model import compute_outputs
from ecg_jax.labels import SIX
from ecg_jax.recording import LEADS, create_recording
from ecg_jax.reporting import ecg_page
from ecg_jax.reporting.page_names import PageNames
from ecg_jax.simulation import textbook


def draw(seed=0, **diagnoses):
    """`[4096, 12]` mV at 400 Hz."""
    chosen = np.array([diagnoses.get(name, 0) for name in SIX])
    drawn = textbook.simulate(np.random.default_rng(seed), chosen, textbook.Conditions())
    return np.resize(drawn, (4096, 12))  # it lasts 7 to 10 s


def wrap(signal, leads=LEADS, rate=400.0, id="ecg"):
    recording = create_recording(signal, leads=leads, sampling_rate=rate, id=id)
    return LazyRecording(id, lambda: recording)


@pytest.fixture(scope="module")
def model():
    return load_model()


def predict(model, *recordings, **options):
    return list(predict_lib.predict(model, list(recordings), whole=True, **options))


def test_probabilities_are_those_of_the_logits_to_the_last_bit_of_float32():
    logits = np.array([[0, np.log(3), -40]], np.float32)
    assert compute_outputs(logits).dtype == np.float32
    np.testing.assert_allclose(compute_outputs(logits), [[0.5, 0.75, 4.248354255291589e-18]], rtol=1e-7)
    np.testing.assert_allclose(compute_outputs(logits[:, :2], "softmax"), [[0.25, 0.75]], rtol=1e-7)


def test_windows_cover_a_long_recording_evenly_and_end_with_it(model):
    recording = wrap(np.tile(draw(), (3, 1))[:10_000]).read()
    signals, starts = create_windows(recording, model.contract)
    assert signals.shape == (3, 4096, 12)
    np.testing.assert_allclose(starts, [0, 2952 / 400, 5904 / 400])  # 10,000 = 5904 + 4096
    single, _ = create_input(wrap(draw()).read(), model.contract)
    whole, starts = create_windows(wrap(draw()).read(), model.contract)
    np.testing.assert_array_equal(whole, single[None])
    assert starts.tolist() == [0]


def test_a_long_recording_has_the_mean_of_its_windows_and_says_where_a_label_is_higher(model):
    long = np.concatenate([draw(1), draw(3), draw(4), draw(2, AF=1)])
    (made,) = predict(model, wrap(long))
    assert made.windows.shape == (4, len(model.label_names))
    np.testing.assert_allclose(made.probabilities, made.windows.mean(axis=0), rtol=1e-6)
    fibrillation = model.label_names.index("AF")
    threshold = model.thresholds["AF"]
    assert made.windows[:3, fibrillation].max() < threshold <= made.windows[3, fibrillation]
    assert made.probabilities[fibrillation] < threshold
    highest = made.windows[3, fibrillation]
    assert f"the probabilities are means over 4 windows; highest: AF {highest:.2f} at 31 s" in made.quality


def test_windows_without_a_signal_are_left_out_and_said(model):
    (made,) = predict(model, wrap(np.concatenate([0 * draw(), 0 * draw(), draw()])))
    assert made.starts.tolist() == [20.48]
    assert "2 of 3 windows without a signal" in made.quality
    assert np.isfinite(made.probabilities).all()


def test_batches_do_not_matter(model):
    recordings = [wrap(np.tile(draw(i), (1 + i % 3, 1)), id=str(i)) for i in range(5)]
    recordings += [wrap(draw() * 1000, id="unit"), wrap(0 * draw(), id="silent"), wrap(draw(5), id="last")]
    one, many = predict(model, *recordings, batch_size=1), predict(model, *recordings, batch_size=32)
    assert [each.recording for each in many] == ["0", "1", "2", "3", "4", "unit", "silent", "last"]
    assert [len(each.windows) for each in many] == [1, 2, 3, 1, 2, 0, 0, 1]
    assert [bool(each.error) for each in many] == [False] * 5 + [True, False, False]
    for first, second in zip(one, many, strict=True):
        np.testing.assert_allclose(first.probabilities, second.probabilities, atol=1e-5)
    (alone,) = predict(model, recordings[2])
    np.testing.assert_allclose(alone.probabilities, many[2].probabilities, atol=1e-5)


def test_missing_leads_are_zeros_not_valid_and_said_while_limb_leads_are_derived(model):
    signal = draw()
    (made,) = predict(model, wrap(signal[:, [0, 1, 6]], ("I", "II", "V1")))
    assert made.quality.startswith("5 of 12 leads missing (V2, V3, V4, V5, V6), zeros in their place")
    assert np.isfinite(made.probabilities).all()
    recording, missing = mask_missing(wrap(signal[:, [1]], ("II",)).read(), LEADS)
    assert missing == tuple(lead for lead in LEADS if lead != "II")
    values, valid = create_input(recording, model.contract)
    assert valid[:, 1].all()
    assert not np.delete(valid, 1, axis=1).any()
    assert not np.delete(values, 1, axis=1).any()
    with pytest.raises(InputError, match="has none of the leads I, II"):
        mask_missing(wrap(signal[:, [1]], ("ECG",)).read(), LEADS)


@pytest.mark.parametrize(
    "signal, leads, quality",
    [
        (np.zeros((4096, 12)), LEADS, "no signal"),
        (np.full((4096, 12), 0.5), LEADS, "no signal"),
        (draw()[:800], LEADS, "too_short"),
        (draw()[:, [0]], ("I",), "11 of 12 leads missing"),
        (np.random.default_rng(0).normal(0, 0.3, (4096, 12)), LEADS, "high_noise"),
    ],
    ids=["zeros", "flat", "two seconds", "one lead", "noise"],
)
def test_a_poor_recording_is_flagged(model, signal, leads, quality):
    (made,) = predict(model, wrap(signal, leads))
    assert quality in made.quality
    assert np.isnan(made.probabilities).all() == (quality == "no signal")


def test_a_wrong_unit_yields_one_line(model):
    (made,) = predict(model, wrap(draw() * 1000))
    assert np.isnan(made.probabilities).all()
    assert "mV" in made.error
    assert "\n" not in made.error


def test_a_pattern_finds_what_it_matches_each_record_once(tmp_path):
    for name in ("a", "b"):
        write_wfdb(tmp_path / "deep", name, draw())
    (tmp_path / "deep" / "notes.txt").write_text("not an ECG")
    names = [Path(lazy.name).name for lazy in find(str(tmp_path / "**" / "*"))]
    assert names == ["a", "b"]
    assert [Path(lazy.name).name for lazy in find(str(tmp_path / "deep" / "a*"))] == ["a"]
    os.rename(tmp_path / "deep" / "b.hea", tmp_path / "deep" / "a[1].hea")  # a record's name is no pattern
    assert [Path(lazy.name).name for lazy in find(str(tmp_path / "deep" / "a[1]"))] == ["a[1]"]
    with pytest.raises(InputError, match="matches no ECG"):
        find(str(tmp_path / "*.dcm"))


@pytest.mark.slow
def test_one_file_and_no_flag_prints_a_table_and_writes_a_csv(tmp_path):
    write_wfdb(tmp_path, "ecg", draw(3, RBBB=1, ST=1))
    done = call("predict", "ecg.hea", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    words = (
        "PTB-XL", "not for clinical use", "probability", "before calibration", "threshold", "at or above",
        "RBBB", "quality: ", "Written: predictions.csv, 1 recording(s); 0 could not be read",
    )  # fmt: skip
    assert all(word in done.stdout for word in words), done.stdout
    row = pd.read_csv(tmp_path / "predictions.csv").iloc[0]
    assert row["RBBB"] >= load_model().thresholds["RBBB"]
    assert row["LBBB"] < load_model().thresholds["LBBB"]


@pytest.mark.slow
def test_json_has_thresholds_windows_and_the_notice_and_pages_are_drawn(tmp_path):
    write_wfdb(tmp_path, "long", np.tile(draw(), (2, 1)))
    write_wfdb(tmp_path, "silent", np.zeros((4096, 12)))
    done = call("predict", "--figure", "--figure_format=svg", "--output=out.json", "*.hea", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "out.json").read_text())
    assert "not for clinical use" in found["notice"]
    long, silent = found["recordings"]
    assert len(long["windows"]) == 2
    assert long["windows"][1]["start"] == pytest.approx(10.24)
    mean = np.mean([window["AF"] for window in long["windows"]])
    assert long["probabilities"]["AF"] == pytest.approx(mean, rel=1e-4)
    assert silent["probabilities"]["AF"] is None
    assert silent["quality"] == "no signal"
    assert sorted(path.name for path in (tmp_path / "out_figures").iterdir()) == ["long.svg", "pages.csv", "silent.svg"]
    page = (tmp_path / "out_figures" / "long.svg").read_text()
    assert 'width="841.889764pt"' in page  # 297 mm: A4, so that 25 mm are a second


def test_a_page_has_a_millivolt_ten_millimetres_high_and_a_second_25_wide(tmp_path):
    signal = np.zeros((4000, 12))
    signal[400:404] = 1.0  # 1 mV, at one second
    path = tmp_path / "page.png"
    ecg_page.draw(wrap(signal[:, [1]], ("II",)).read(), [ecg_page.Finding("AF", 0.9, 0.5)], str(path))
    pixels = plt.imread(path)[:, :, :3].max(axis=2) < 0.3  # black
    per_millimetre = 200 / 25.4
    rows, columns = (slice(*(round(each * per_millimetre) for each in span)) for span in ((163, 197), (45, 200)))
    strip = pixels[rows, columns]  # of lead II at the foot, beyond its name
    height = strip.any(axis=1).nonzero()[0]
    assert np.ptp(height) / per_millimetre == pytest.approx(10, abs=0.6)
    spike = (strip.sum(axis=0) > 5 * per_millimetre).nonzero()[0].mean() / per_millimetre
    assert spike + 45 == pytest.approx(20 + 10 + 25, abs=0.7)


@pytest.mark.parametrize("height", [1.5, 3.5, -3.5], ids=["usual", "tall", "deep"])
def test_no_trace_passes_the_name_of_a_lead(monkeypatch, tmp_path, height):
    """Complexes of 80 ms every 625 ms, the first in each column where the name of the lead usually is."""
    time = np.arange(4000) / 400
    signal = height * np.clip(1 - np.abs(time % 0.625 - 0.1) / 0.04, 0, None)
    figures, create = [], plt.figure
    monkeypatch.setattr(ecg_page.plt, "figure", lambda **options: figures.append(create(**options)) or figures[0])
    ecg_page.draw(wrap(np.stack([signal] * 12, axis=1)).read(), [], str(tmp_path / "page.png"))
    [axes] = figures[0].axes
    renderer = FigureCanvasAgg(figures[0]).get_renderer()
    names = [text.get_window_extent(renderer) for text in axes.texts if text.get_text() in LEADS]
    traces = [line.get_transform().transform_path(line.get_path()) for line in axes.lines]
    assert len(names) == 13
    assert [name for name in names for trace in traces if trace.intersects_bbox(name, filled=False)] == []


def test_pages_of_recordings_of_one_name_do_not_overwrite_each_other_in_any_run(tmp_path):
    def choose(*pages):
        names = PageNames(str(tmp_path / "pages"), "png")
        return [names.choose(*page) for page in pages]

    first = [("a/ecg",), ("b/ecg.dcm",), ("exams.hdf5:11",), ("c/ecg", "AFIB/AFL")]
    assert choose(*first) == ["ecg.png", "ecg-2.png", "exams.hdf5-11.png", "ecg_AFIB-AFL.png"]
    assert choose(("d/ecg", "MI"), ("d/ecg",), ("d/ecg", "AFIB/AFL")) == [
        "ecg_MI.png",
        "ecg-3.png",
        "ecg_AFIB-AFL-2.png",
    ]
    assert choose(*reversed(first)) == ["ecg_AFIB-AFL.png", "exams.hdf5-11.png", "ecg-2.png", "ecg.png"]
    index = pd.read_csv(tmp_path / "pages" / "pages.csv", keep_default_na=False)
    assert len(index) == 7
    assert index.iloc[5].to_dict() == {"page": "ecg-3.png", "recording": "d/ecg", "label": ""}


def test_a_file_has_the_same_page_however_its_path_is_spelled(tmp_path, monkeypatch):
    (tmp_path / "1.hea").touch()
    monkeypatch.chdir(tmp_path)
    for name in (f"{tmp_path}/1.hea", "1.hea", "./1.hea"):
        assert PageNames("pages", "png").choose(name) == "1.png"
    for name in (f"{tmp_path}/1", "1"):  # the WFDB record, another spelling of the same
        assert PageNames("records", "png").choose(name) == "1.png"


@pytest.mark.parametrize(
    "threshold, chosen, expected",
    [
        (0.0248, True, ("0.020", "below 0.025")),
        (0.02031, True, ("0.02030", "below 0.02031")),
        (0.5, False, ("0.02", "below 0.50, not chosen")),
        (0.0203, True, ("0.02", "at or above 0.02")),
        (np.nan, True, ("0.02", "")),
    ],
)
def test_a_probability_below_its_threshold_looks_so(threshold, chosen, expected):
    assert ecg_page.Finding("LOWT", 0.0203, threshold, chosen).describe() == expected


@pytest.mark.parametrize(
    "signal, parts",
    [
        (np.zeros((4096, 12), np.float32), ["float32 (4096, 12)", "[B, 4096, 12]", "signal[None] is one recording"]),
        (np.zeros((2, 12, 4096)), ["(2, 12, 4096)", "[B, 4096, 12]", "400 Hz, leads I, II, III"]),
        (np.zeros((1, 4096, 8)), ["(1, 4096, 8)"]),
        (np.array([["ecg"]]), ["expected numbers [B, 4096, 12]"]),
    ],
    ids=["one", "turned", "leads", "text"],
)
def test_a_signal_of_another_shape_is_refused_in_one_line_with_the_right_one(model, signal, parts):
    with pytest.raises(InputError) as refused:
        model.predict(signal)
    assert "\n" not in str(refused.value)
    assert all(part in str(refused.value) for part in parts), refused.value


def test_a_recording_is_predicted_as_the_command_does_it(model):
    for signal, rate in ((draw(), 400.0), (np.tile(draw(), (3, 1)), 500.0)):
        recording = wrap(signal, rate=rate).read()
        (made,) = predict(model, wrap(signal, rate=rate))
        found = model.predict(recording)
        assert found.shape == (1, len(model.label_names))
        np.testing.assert_array_equal(found[0], made.probabilities)
    with pytest.raises(InputError, match="flat: no signal"):
        model.predict(wrap(np.zeros((4096, 12)), id="flat").read())


def test_a_threshold_that_was_not_chosen_is_said_in_the_table_and_in_json(model):
    unchosen = dataclasses.replace(model, unchosen=("AF",))
    (made,) = predict(model, wrap(draw()))
    text, file = io.StringIO(), io.StringIO()
    writers.print_table(Console(file=text, width=200), unchosen, made)
    assert text.getvalue().count("0.5, not chosen") == 1
    table = writers.JsonTable(file, unchosen)
    table.add(made)
    table.close()
    assert json.loads(file.getvalue())["thresholds_not_chosen"] == ["AF"]
