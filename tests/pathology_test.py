"""The sickest are not taken for a wrong unit: paced, hypertrophic and very slow hearts; a wrong unit is still found."""

import numpy as np
import pytest
from beats import average_beat

from ecg_jax.data import quality, verify
from ecg_jax.data.measures import amplitude, timing
from ecg_jax.errors import InputError
from ecg_jax.evaluation.heart_rate import measure_heart_rate
from ecg_jax.recording import LEADS, LIMB_LEADS, create_recording
from ecg_jax.simulation import textbook

RATE = 400
SEEDS = range(4)


def simulate(seed=0):
    return textbook.simulate(np.random.default_rng(seed), np.zeros(6, bool), textbook.Conditions(noise=0.3))


def record(signal, **options):
    return create_recording(np.asarray(signal), leads=LEADS, sampling_rate=RATE, id="rec7", **options)


def pace(signal, millivolts=10.0, width=1):
    """A spike of some samples in every beat at 75 per minute, which obeys Einthoven; 0.2 of it in the smallest lead."""
    paced = signal.copy()
    limbs = [a * 0.6 + b * 1.0 for a, b in LIMB_LEADS.values()]
    sizes = millivolts * np.array([*limbs, -0.5, 0.4, 0.6, 0.9, 1.0, 0.8])
    for start in range(100, len(signal) - width, 320):
        paced[start : start + width] += sizes
    return paced


def block(seed, per_minute, seconds=10):
    """Complete AV block: P waves of 0.1 mV at 80 per minute, and beats that are much rarer."""
    beat = average_beat(simulate(seed))
    beat = beat - beat[0] - np.linspace(0, 1, len(beat))[:, None] * (beat[-1] - beat[0])
    time = np.arange(seconds * RATE) / RATE
    waves = np.exp(-((((time + 0.3) % 0.75 - 0.375) / 0.03) ** 2) / 2)
    signal = 0.1 * waves[:, None] * np.array([0.7, 1, 0.3, -0.85, 0.2, 0.65, 0.4, 0.5, 0.5, 0.5, 0.5, 0.5])
    for start in range(200, len(signal) - len(beat), round(60 / per_minute * RATE)):
        signal[start : start + len(beat)] += beat
    return signal


def unit_findings(signal):
    return [finding.check for finding in verify.verify(record(signal)) if finding.check in ("unit", "sampling_rate")]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("width", [1, 2])
def test_a_pacemakers_spikes_are_not_the_hearts_voltage(seed, width):
    signal = simulate(seed)
    for millivolts in (10.0, 20.0):
        paced = pace(signal, millivolts, width)
        assert verify.verify(record(paced)) == ()
        assert "implausible_amplitude" not in quality.examine(record(paced)).flags
    plain = amplitude.measure_size(record(signal))
    assert amplitude.measure_size(record(pace(signal, 20.0, width))) == pytest.approx(plain, rel=0.4)


@pytest.mark.parametrize("seed", SEEDS)
def test_hypertrophy_of_6_6_millivolts_is_an_ecg(seed):
    signal = simulate(seed)
    large = signal * 6.6 / np.ptp(signal[:, 1])
    assert amplitude.measure_size(record(large)) < 9
    assert verify.verify(record(large)) == ()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("per_minute", [15, 20, 28])
def test_complete_av_block_is_an_ecg(seed, per_minute):
    signal = block(seed, per_minute)
    assert unit_findings(signal) == []
    examined = quality.examine(record(signal))
    assert "implausible_amplitude" not in examined.flags
    assert examined.measurements["heart_rate"] == pytest.approx(per_minute, rel=0.02)
    assert measure_heart_rate(signal, RATE) == pytest.approx(per_minute, rel=0.02)


@pytest.mark.parametrize("make", [pace, lambda signal: block(0, 20), lambda signal: 5 * signal])
def test_a_wrong_unit_of_the_same_hearts_is_found(make):
    signal = make(simulate())
    for factor in (1000, 0.001):
        assert unit_findings(signal * factor) == ["unit"]


def test_seconds_that_hold_a_beat_are_those_that_move_half_as_much_as_any_near_them():
    moved = np.array([[1.0, 0.2, 0.1, 0.6, 9.0, 0.1, 0.2, 0.2]])  # two stretches of four seconds
    assert amplitude.find_beats(moved).tolist() == [True, False, False, True, True, False, False, False]
    assert amplitude.find_beats(np.array([[0.1, 1.0]])).tolist() == [False, True]


def test_the_rise_of_rare_beats_is_measured_in_their_seconds():
    recording = record(block(0, 20))
    assert timing.measure_rise_time(recording, over=8.0, in_beats=True) < 45
    assert timing.find_strangeness(recording) is None


# Georgia's early headers: 4880 per mV where 1000 is right


def georgia(size):
    """Beats of that many mV at 1000 per mV, as a reader returns them that believed 4880."""
    signal = simulate()
    right = signal * size / amplitude.measure_size(record(signal))
    return record(right / 4.88, known_factor=4.88, notes=("gain 4880",)), right


def test_a_known_mistake_is_mended_by_repair_alone():
    recording, right = georgia(1.5)
    mended, findings = verify.enforce(recording, "repair")
    np.testing.assert_allclose(mended.signal, right, rtol=1e-4, atol=1e-5)
    assert findings == ()
    assert mended.notes[-1] == "repaired: amplitudes multiplied by 4.88, a known mistake of the file's publisher"
    assert verify.enforce(mended, "repair")[0] is mended
    for policy in ("refuse", "warn"):
        np.testing.assert_array_equal(verify.enforce(recording, policy)[0].signal, recording.signal)


def test_a_remedy_that_leads_out_of_the_usual_is_not_applied():
    recording, _ = georgia(6.0)
    assert verify.enforce(recording, "repair")[0] is recording


def test_a_size_that_no_ecg_has_is_refused():
    with pytest.raises(InputError, match=r"an ECG has 0\.2 to 9 mV"):
        verify.enforce(record(simulate() * 50), "refuse")
