"""The rate of beats, and what it alone predicts."""

import csv

import numpy as np
import pytest

from ecg_jax.data.readers import wfdb
from ecg_jax.evaluation.heart_rate import measure_heart_rate, predict_from_rate
from ecg_jax.labels import SIX
from ecg_jax.simulation import textbook


def spikes(rate, *, seconds=10.0, sampling_rate=400.0, width=0.015, leads=12):
    """Beats at a rate as narrow bells."""
    time = np.arange(int(seconds * sampling_rate)) / sampling_rate
    beats = np.arange(0.3, seconds, 60 / rate)
    return np.repeat(np.exp(-0.5 * ((time[:, None] - beats) / width) ** 2).sum(axis=1)[:, None], leads, axis=1)


@pytest.mark.parametrize("rate", [35, 50, 60, 75, 100, 150, 200])
@pytest.mark.parametrize("sampling_rate", [100.0, 400.0, 500.0])
def test_the_rate_of_regular_beats_is_found(rate, sampling_rate):
    assert measure_heart_rate(spikes(rate, sampling_rate=sampling_rate), sampling_rate) == pytest.approx(rate, rel=0.02)


@pytest.mark.parametrize("factor", [1e-3, -1.0, 1000.0])
def test_the_rate_depends_on_neither_unit_nor_polarity(factor):
    assert measure_heart_rate(factor * spikes(70), 400.0) == pytest.approx(measure_heart_rate(spikes(70), 400.0))


def test_padding_with_zeros_does_not_change_the_rate():
    padded = np.pad(spikes(48, seconds=7.0), ((648, 648), (0, 0)))
    assert measure_heart_rate(padded, 400.0) == pytest.approx(48, rel=0.02)


def test_one_beat_is_no_rate():
    assert np.isnan(measure_heart_rate(spikes(60, seconds=1.0), 400.0))


def test_silence_has_no_rate():
    assert np.isnan(measure_heart_rate(np.zeros((4096, 12)), 400.0))


@pytest.mark.parametrize("samples", [1, 10])
def test_a_few_samples_have_no_rate(samples):
    assert np.isnan(measure_heart_rate(np.ones((samples, 12)), 400.0))


@pytest.mark.parametrize("diagnosis, low, high", [(None, 60, 100), ("SB", 0, 60), ("ST", 100, 155)])
@pytest.mark.parametrize("block", [None, "RBBB", "LBBB"])
def test_the_rate_of_simulated_ecgs_lies_where_their_rhythm_says(diagnosis, block, low, high):
    for seed in range(15):
        flags = np.array([name in (diagnosis, block) for name in SIX])
        signal = textbook.simulate(np.random.default_rng(seed), flags, textbook.Conditions())
        assert low < measure_heart_rate(signal, textbook.SAMPLING_RATE) < high, seed


def read_csv(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def measure(path):
    recording = wfdb.read(str(path))
    return measure_heart_rate(recording.signal, recording.sampling_rate)


def test_real_sinus_bradycardia_of_ludb_is_slow(shared):
    folder = shared / "data" / "ludb"
    slow = [row["record"] for row in read_csv(folder / "labels_6class.csv") if row["SB"] == "1"]
    rates = np.array([measure(folder / "data" / record) for record in slow])
    assert len(rates) >= 20
    assert rates.max() < 62


def test_real_sinus_rhythm_of_ludb_is_neither_slow_nor_fast(shared):
    folder = shared / "data" / "ludb"
    normal = [row["record"] for row in read_csv(folder / "labels_6class.csv") if row["rhythm"] == "Sinus rhythm"][:40]
    rates = np.array([measure(folder / "data" / record) for record in normal])
    assert np.mean((rates > 55) & (rates < 100)) > 0.9


def test_real_sinus_rates_of_ptbxl_lie_where_their_label_says(shared):
    folder = shared / "data" / "ptbxl"
    rows = read_csv(folder / "ptbxl_database.csv")
    slow = [measure(folder / row["filename_lr"]) for row in rows if "SBRAD" in row["scp_codes"]]
    fast = [measure(folder / row["filename_lr"]) for row in rows if "STACH" in row["scp_codes"]]
    assert slow
    assert fast
    assert max(slow) < 62
    assert min(fast) > 98


def test_real_sinus_rates_of_the_challenge_sets_mostly_lie_where_their_label_says(shared):
    folder = shared / "data" / "challenge2021"
    rows = [row for row in read_csv(folder / "labels_6class.csv") if row["folder"] == "records"]
    slow, fast = (
        np.array([measure(folder / row["folder"] / row["record"]) for row in rows if row[name] == "1"])
        for name in ("SB", "ST")
    )
    assert min(len(slow), len(fast)) >= 5
    assert np.mean(slow < 62) >= 0.9
    assert np.mean(fast > 98) >= 0.9


RATES = np.linspace(40, 150, 111)
LABELS = np.stack([RATES < 60, RATES > 100], axis=1).astype(float)


def test_a_label_that_the_rate_defines_is_predicted_from_it():
    found = predict_from_rate(RATES, LABELS, np.array([45.0, 80.0, 130.0]))
    assert found.shape == (3, 2)
    np.testing.assert_array_equal(found > 0.5, [[True, False], [False, False], [False, True]])


def test_a_label_that_never_or_always_occurs_gets_its_prevalence():
    labels = np.stack([np.zeros(111), np.ones(111), np.full(111, np.nan)], axis=1)
    np.testing.assert_array_equal(predict_from_rate(RATES, labels, np.array([70.0, np.nan])), [[0, 1, 0], [0, 1, 0]])


def test_unknown_labels_are_not_learned_from():
    labels = LABELS.copy()
    labels[::2] = np.nan
    kept = predict_from_rate(RATES[1::2], LABELS[1::2], np.array([45.0, 80.0, 130.0]))
    np.testing.assert_allclose(predict_from_rate(RATES, labels, np.array([45.0, 80.0, 130.0])), kept, atol=1e-6)


def test_an_unknown_rate_counts_as_the_usual_one():
    unknown = predict_from_rate(RATES, LABELS, np.array([np.nan]))
    np.testing.assert_allclose(unknown, predict_from_rate(RATES, LABELS, np.array([np.median(RATES)])))


def test_without_any_known_rate_a_prediction_is_still_a_probability():
    found = predict_from_rate(np.full(111, np.nan), LABELS, np.array([np.nan, 60.0]))
    assert ((found > 0) & (found < 1)).all()
