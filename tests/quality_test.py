"""Flags mean what they say: each defect made by hand, and what must not be taken for one."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecg_jax.data import quality, readers
from ecg_jax.data.measures import defects
from ecg_jax.evaluation import heart_rate
from ecg_jax.recording import LEADS, create_recording
from ecg_jax.simulation import textbook

NOTHING = np.zeros(6, bool)


def simulate(seed=3, diagnoses=NOTHING, noise=0.5):
    return textbook.simulate(np.random.default_rng(seed), diagnoses, textbook.Conditions(noise=noise))


def record(signal, leads=LEADS, rate=400.0, **options):
    return create_recording(np.asarray(signal), leads=leads, sampling_rate=rate, id="rec7", **options)


def flags(signal, *args, **options):
    return quality.examine(record(signal, *args, **options)).flags


def column(lead):
    return LEADS.index(lead)


@pytest.mark.parametrize("seed", range(10))
def test_a_clean_ecg_has_no_flag(seed):
    diagnoses = textbook.draw_diagnoses(np.random.default_rng(seed))
    assert flags(simulate(seed, diagnoses)) == ()


def test_flags_have_a_meaning_and_a_bit_each():
    assert [quality.pack_flags([name]) for name in quality.FLAGS] == [1 << k for k in range(len(quality.FLAGS))]
    assert quality.pack_flags(quality.FLAGS) < 2**31
    assert quality.pack_flags(()) == 0
    assert quality.pack_flags(("nan_span", "nan_span")) == 1
    assert all("\n" not in meaning for meaning in quality.FLAGS.values())


@given(st.sets(st.sampled_from(sorted(quality.FLAGS))))
def test_flags_survive_packing(names):
    assert set(quality.unpack_flags(quality.pack_flags(names))) == names


@pytest.mark.parametrize("column", ["an index", "milliseconds", "nothing", "missing"])
def test_columns_that_are_no_lead_have_no_flag(column):
    signal = simulate()
    values = {"an index": np.arange(len(signal)), "milliseconds": 2.5 * np.arange(len(signal))}
    other = values.get(column, np.zeros(len(signal)))
    if column == "missing":
        other[100:900] = np.nan
    beside = record(np.column_stack([other, signal]), (column, *LEADS))
    alone = quality.examine(record(signal))
    assert quality.examine(beside) == alone
    assert alone.flags == ()


def test_leads_that_are_none_of_the_twelve_are_examined_where_there_are_no_others():
    silent = simulate()[:, :2] * [1, 0]
    assert flags(silent, ("MLII", "MV5")) == ("zeroed_lead",)


def test_nan_inside_and_missing_samples_are_a_span_but_padding_is_none():
    signal = simulate()
    broken = signal.copy()
    broken[700:710, 2] = np.nan
    assert flags(broken) == ("nan_span",)
    valid = np.ones(signal.shape, bool)
    valid[:300] = valid[-200:] = False
    assert flags(signal, valid=valid) == ()
    valid[1000:1100, 4] = False
    assert flags(signal, valid=valid) == ("nan_span",)


@pytest.mark.parametrize("level, flag", [(0.0, "zeroed_lead"), (0.7, "flat_lead"), (-3.0, "flat_lead")])
def test_a_lead_that_does_not_move(level, flag):
    signal = simulate()
    signal[:, column("V3")] = level
    assert flags(signal) == (flag,)


def test_a_lead_of_noise_in_the_last_digit_is_flat():
    signal = simulate()
    signal[:, column("V3")] = np.random.default_rng(0).uniform(-0.002, 0.002, len(signal))
    assert flags(signal) == ("flat_lead",)


def test_a_lead_that_is_flat_for_a_while_was_off():
    signal = simulate()
    signal[400:1600, column("V5")] = 0.3
    assert "lead_off" in flags(signal)


def test_a_pause_of_the_heart_is_no_lead_off():
    signal = simulate(noise=0.0)
    signal[800:1900] = signal[800]
    assert "lead_off" not in flags(signal)


def test_clipped_peaks_are_saturation_and_rounded_ones_are_not():
    signal = simulate(noise=0.0)
    assert "saturation" not in flags(np.round(signal / 0.005) * 0.005)
    clipped = signal.copy()
    tall = clipped[:, column("V5")]
    clipped[:, column("V5")] = np.minimum(tall, 0.25 * tall.max())
    assert flags(clipped) == ("saturation",)


def test_a_lead_at_its_limit_for_half_a_second_is_saturation():
    signal = simulate()
    drift = signal[:, column("V2")] + np.linspace(0, 8, len(signal))
    signal[:, column("V2")] = np.minimum(drift, 5)
    assert {"saturation", "baseline_wander"} <= set(flags(signal))


def swap(signal, names):
    """Electrodes exchanged: potentials of RA, LA and LL from leads I and II, and the leads from them again."""
    one, two = signal[:, 0], signal[:, 1]
    potential = {"RA": -(one + two) / 3, "LA": (2 * one - two) / 3, "LL": (2 * two - one) / 3, "RL": 0 * one}
    first, second = names
    potential[first], potential[second] = potential[second], potential[first]
    right, left, foot = potential["RA"], potential["LA"], potential["LL"]
    limb = [left - right, foot - right, foot - left]
    limb += [right - (left + foot) / 2, left - (right + foot) / 2, foot - (right + left) / 2]
    return np.column_stack([*limb, signal[:, 6:]])


@pytest.mark.parametrize("electrodes", [("RA", "LA"), ("RA", "LL")], ids="-".join)
def test_swapped_limb_electrodes_are_suspected(electrodes):
    swapped = [flags(swap(simulate(seed), electrodes)) for seed in range(20)]
    assert np.mean(["swapped_limb_leads" in found for found in swapped]) >= 0.5
    assert not any("lead_reversal" in found for found in swapped)  # every arrangement obeys the identities


def test_a_silent_lead_two_is_a_right_arm_electrode_on_a_leg():
    signal = simulate(noise=0.0)
    one = signal[:, 0]
    limb = np.stack([one, 0.02 * one, -0.98 * one, -0.51 * one, 0.99 * one, -0.48 * one], axis=1)
    assert "swapped_limb_leads" in flags(np.column_stack([limb, signal[:, 6:]]))


@pytest.mark.parametrize("lead", ["I", "II", "III", "aVR", "aVL", "aVF"])
def test_a_limb_lead_upside_down_is_a_reversal(lead):
    signal = simulate()
    signal[:, column(lead)] *= -1
    assert "lead_reversal" in flags(signal)


def test_a_chest_lead_upside_down_is_a_reversal_where_its_neighbours_agree():
    signal = simulate()
    signal[:, column("V5")] *= -1
    assert "lead_reversal" in flags(signal)


def test_a_foreign_limb_lead_is_found_by_what_the_others_say():
    signal = simulate()
    signal[:, column("aVF")] = np.roll(signal[:, column("V2")], 150)
    assert "lead_reversal" in flags(signal)


def test_leads_scaled_one_by_one_are_no_reversal():
    assert "lead_reversal" not in flags(simulate() * np.linspace(0.7, 1.5, 12))


@pytest.mark.parametrize("seed", range(3))
def test_parts_that_were_not_recorded_at_the_same_time_disagree(seed):
    signal = simulate(seed)[:2700]
    page = np.concatenate([signal[900 * k : 900 * (k + 1), 3 * k : 3 * k + 3] for k in range(3)], axis=1)
    last = simulate(seed + 1)[:900, 9:]
    assert "limb_leads_disagree" in flags(np.column_stack([page, last]))


def test_leads_that_were_scaled_one_by_one_have_noise_or_are_few_do_not_disagree():
    signal = simulate()
    assert "limb_leads_disagree" not in flags(signal * np.linspace(0.7, 1.5, 12))
    assert "limb_leads_disagree" not in flags(signal + np.random.default_rng(0).normal(0, 0.01, signal.shape))
    assert "limb_leads_disagree" not in flags(signal[:, [0, 1, 6]], ("I", "II", "V1"))


def test_an_ecg_that_points_down_in_i_ii_v5_and_v6_is_suspected_to_be_inverted():
    pointed = [seed for seed in range(10) if "inverted" in flags(-simulate(seed))]
    assert len(pointed) >= 5  # a suspicion: S waves may be as large as R waves
    assert not any("inverted" in flags(simulate(seed)) for seed in range(40))
    seed = pointed[0]
    assert "inverted" not in flags(-simulate(seed)[:, :11], LEADS[:11])  # not without V6
    signal = -simulate(seed)
    signal[:, column("I")] *= -1
    assert "inverted" not in flags(signal)


def test_skewness_has_the_sign_of_the_larger_waves():
    leads = np.zeros((4, 100))
    leads[0, 50], leads[1, 50], leads[3, 50] = 1.0, -2.0, 1.0  # one of a hundred: 0.98 / sqrt(0.01 * 0.99)
    found = defects.measure_skewness(leads, ["I", "II", "V5", "V1"])
    assert found == pytest.approx({"I": 9.849, "II": -9.849, "V5": 0}, rel=1e-3)
    assert not defects.suspects_inversion(found)


@pytest.mark.parametrize("rate", [250.0, 500.0, 1000.0])
def test_noise_is_measured_in_millivolts_whatever_the_rate(rate):
    noise = np.random.default_rng(0).normal(0, 0.04, (1, int(10 * rate)))
    assert defects.measure_noise(noise, rate)[0] == pytest.approx(0.04, rel=0.1)


def test_noise_in_one_lead_is_flagged_and_steep_complexes_are_not_noise():
    signal = simulate(noise=0.0)
    assert quality.examine(record(signal)).measurements["noise"] < 0.01
    signal[:, column("V4")] += np.random.default_rng(0).normal(0, 0.05, len(signal))
    assert flags(signal) == ("high_noise",)


def test_wander_is_the_baselines_range():
    signal = simulate(noise=0.0)
    still = quality.examine(record(signal)).measurements["wander"]
    signal[:, column("V1")] += 0.9 * np.sin(2 * np.pi * 0.1 * np.arange(len(signal)) / 400)
    examination = quality.examine(record(signal))
    assert examination.flags == ("baseline_wander",)
    assert examination.measurements["wander"] == pytest.approx(1.8, abs=0.2 + still)


def test_a_wrong_unit_is_implausible_and_limits_in_millivolts_are_not_applied_to_it():
    assert flags(simulate() * 1000) == ("implausible_amplitude",)
    assert flags(simulate() / 1000) == ("implausible_amplitude",)


def test_units_and_identities_do_not_apply_to_normalized_recordings():
    signal = simulate() * 1000
    signal[:, 0] *= -1
    assert flags(signal, normalized=True) == ()
    signal[:, 8] = 0
    assert flags(signal, normalized=True) == ("zeroed_lead",)


def test_less_than_five_valid_seconds_are_too_short():
    signal = np.tile(simulate(), (2, 1))
    assert "too_short" in flags(signal[:1999])
    assert "too_short" not in flags(signal[:2000])
    valid = np.zeros((4000, 12), bool)
    valid[1000:2900] = True
    assert "too_short" in flags(signal[:4000], valid=valid)


@pytest.mark.parametrize("samples", [1, 3, 4])
def test_a_few_samples_are_examined_too(samples):
    assert "too_short" in flags(simulate()[:samples], rate=500.0)


def test_measurements_are_floats_with_the_same_names_for_every_recording():
    expected = quality.examine(record(simulate())).measurements
    odd = [
        record(np.zeros((10, 12))),
        record(np.full((500, 12), np.nan)),
        record(np.ones((1, 1)), ("V1",)),
        record(np.random.default_rng(0).normal(size=(3, 2)), ("resp", "I")),
        record(simulate()[:30], rate=40.0),
    ]
    for recording in odd:
        found = quality.examine(recording).measurements
        assert list(found) == list(expected)
        assert all(type(value) is float for value in found.values())


def test_leads_that_are_valid_at_different_times_are_examined_all_the_same():
    signal = np.tile(simulate(), (2, 1))[:4000]  # as printed on paper: 2.5 s of each lead
    valid = np.zeros(signal.shape, bool)
    for k in range(12):
        valid[1000 * (k // 3) : 1000 * (k // 3 + 1), k] = True
    examination = quality.examine(record(signal, valid=valid))
    assert examination.measurements["duration"] == 2.5
    assert 40 < examination.measurements["heart_rate"] < 120
    assert examination.flags == ("too_short",)


@pytest.mark.parametrize("diagnoses", [(), ("SB",), ("ST",)], ids=str)
@pytest.mark.parametrize("rate", [100.0, 400.0])
def test_the_heart_rate_is_that_of_the_filtered_measurement(diagnoses, rate):
    present = np.array([name in diagnoses for name in ("1dAVb", "RBBB", "LBBB", "SB", "AF", "ST")])
    signal = simulate(5, present)[:: int(400 / rate)]
    measured = quality.examine(record(signal, rate=rate)).measurements["heart_rate"]
    assert measured == pytest.approx(heart_rate.measure_heart_rate(signal, rate), rel=0.03)


def test_lead_twos_range_spans_the_percentiles():
    signal = simulate()
    low, high = np.percentile(signal[:, 1], (0.5, 99.5))
    assert quality.examine(record(signal)).measurements["lead_II_range"] == pytest.approx(high - low, rel=1e-5)


def test_the_hash_names_the_ecg_whatever_its_order_padding_and_last_bits():
    signal = np.round(simulate(), 3)
    name = quality.content_hash(record(signal))
    assert len(name) == 32
    assert int(name, 16)
    shuffled = np.random.default_rng(0).permutation(12)
    assert quality.content_hash(record(signal[:, shuffled], [LEADS[i] for i in shuffled])) == name
    assert quality.content_hash(record(signal * 1000, millivolts_per_unit=1e-3)) == name
    assert quality.content_hash(record(np.column_stack([signal, signal[:, 0]]), (*LEADS, "resp"))) == name
    padded = np.pad(signal, ((5, 9), (0, 0)))
    inside = np.pad(np.ones(signal.shape, bool), ((5, 9), (0, 0)))
    assert quality.content_hash(record(padded, valid=inside)) == name
    assert quality.content_hash(record(signal + 1e-6)) == name


def test_the_hash_tells_other_content_leads_and_rates_apart():
    signal = np.round(simulate(), 3)
    changed = signal.copy()
    changed[100, 5] += 0.001
    hashes = [
        quality.content_hash(recording)
        for recording in (
            record(signal),
            record(changed),
            record(signal[1:]),
            record(signal, rate=500.0),
            record(signal[:, :6], LEADS[:6]),
        )
    ]
    assert len(set(hashes)) == len(hashes)


def test_ties_of_half_a_microvolt_are_rounded_alike_however_they_were_computed():
    steps = np.arange(-500, 500, dtype=np.float64)[:, None]
    by_gain = record(steps / 400, ["I"])  # 2.5 microvolts per step
    by_scale = record(steps * np.float32(2.5) * np.float32(1e-3), ["I"])
    assert quality.content_hash(by_gain) == quality.content_hash(by_scale)


def test_duplicates_are_groups_of_places():
    assert quality.find_duplicates(np.array(["a", "b", "a", "c", "b", "a"])) == [[0, 2, 5], [1, 4]]
    assert quality.find_duplicates([]) == []


def test_an_examination_changes_nothing():
    recording = record(simulate())
    before = recording.signal.copy()
    quality.examine(recording)
    np.testing.assert_array_equal(recording.signal, before)


@pytest.mark.slow
def test_a_challenge_copy_of_a_ptbxl_recording_has_its_hash(shared):
    copies = sorted((shared / "data" / "challenge2021" / "records").rglob("HR*.hea"))
    originals = {path.name[:5]: path for path in (shared / "data" / "ptbxl" / "records500").rglob("*.hea")}
    pairs = [(copy, originals[copy.stem[2:]]) for copy in copies if copy.stem[2:] in originals]
    assert pairs
    for copy, original in pairs:
        assert quality.content_hash(readers.read(str(copy))) == quality.content_hash(readers.read(str(original)))


@pytest.mark.slow
def test_flags_are_rare_in_ptbxl_and_agree_with_its_annotators_on_drift(shared):
    folder = shared / "data" / "ptbxl"
    table = pd.read_csv(folder / "ptbxl_database.csv")
    found = [quality.examine(readers.read(str(folder / name) + ".hea")) for name in table["filename_lr"]]
    rare = set(quality.FLAGS) - {"baseline_wander", "high_noise"}
    assert sum(bool(rare & set(examination.flags)) for examination in found) <= 2
    wander = np.array([examination.measurements["wander"] for examination in found])
    marked = table["baseline_drift"].notna().to_numpy()
    assert (wander[marked, None] > wander[~marked]).mean() > 0.8  # the area under the ROC curve
