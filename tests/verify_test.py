"""A recording against physics: what is found, what is not, and what policies make of it."""

import dataclasses
import json

import numpy as np
import pytest

from ecg_jax.data import readers, verify
from ecg_jax.data.measures import amplitude
from ecg_jax.errors import InputError
from ecg_jax.recording import CHECKS, LEADS, create_recording
from ecg_jax.simulation import textbook

CHEST = LEADS[6:]
WRONG_ORDERS = {
    "aVF before aVL, as MIMIC-IV-ECG": ("I", "II", "III", "aVR", "aVF", "aVL", *CHEST),
    "aVL, aVF, aVR, as one README of CODE": ("I", "II", "III", "aVL", "aVF", "aVR", *CHEST),
    "chest leads first": (*CHEST, *LEADS[:6]),
    "Cabrera's sequence": ("aVL", "I", "-aVR", "II", "aVF", "III", *CHEST),
    "aVR upside down": ("I", "II", "III", "-aVR", "aVL", "aVF", *CHEST),
    "I and II exchanged": ("II", "I", *LEADS[2:]),
}


def simulate(seed=0, diagnoses=(), noise=1.0):
    present = np.array([name in diagnoses for name in ("1dAVb", "RBBB", "LBBB", "SB", "AF", "ST")])
    return textbook.simulate(np.random.default_rng(seed), present, textbook.Conditions(noise=noise))


def record(signal, leads=LEADS, rate=400.0, unit=1.0, **options):
    return create_recording(np.asarray(signal), leads=leads, sampling_rate=rate, id="rec7", unit=unit, **options)


def arrange(signal, order):
    """Columns of a 12-lead signal in another order; `-aVR` upside down."""
    return np.stack([signal[:, LEADS.index(n.strip("-"))] * (-1 if n[0] == "-" else 1) for n in order], axis=1)


def find(recording):
    found = verify.verify(recording)
    assert len(found) <= 1, found
    return found[0] if found else None


@pytest.mark.parametrize("seed", range(8))
def test_an_ecg_as_it_should_be_has_no_finding(seed):
    diagnoses = textbook.draw_diagnoses(np.random.default_rng(seed))
    signal = textbook.simulate(np.random.default_rng(seed), diagnoses, textbook.Conditions())
    assert verify.verify(record(signal)) == ()


@pytest.mark.parametrize("order", WRONG_ORDERS.values(), ids=WRONG_ORDERS)
@pytest.mark.parametrize("seed", range(3))
def test_a_wrong_order_is_found_with_the_order_that_fits(order, seed):
    finding = find(record(arrange(simulate(seed), order)))
    assert finding.check == "lead_order"
    assert finding.leads == order
    assert finding.is_repairable


@pytest.mark.parametrize("order", WRONG_ORDERS.values(), ids=WRONG_ORDERS)
def test_repair_gives_the_leads_their_names_and_signs_back(order):
    signal = simulate()
    mended, findings = verify.enforce(record(arrange(signal, order)), "repair")
    column = [mended.leads.index(lead) for lead in LEADS]
    np.testing.assert_array_equal(mended.signal[:, column], signal)
    assert len(findings) == len(mended.notes) == 1
    assert mended.notes[0].startswith("repaired: leads I, II, III")
    assert verify.verify(mended) == ()


def test_chest_leads_between_limb_leads_are_not_named_because_nothing_tells_them_apart():
    order = ("I", "aVR", "V1", "V4", "II", "aVL", "V2", "V5", "III", "aVF", "V3", "V6")
    finding = find(record(arrange(simulate(), order)))
    assert finding.check == "lead_order"
    assert finding.leads is None
    assert not finding.is_repairable


def test_limb_leads_alone_are_ordered_too():
    order = ("I", "II", "III", "aVL", "aVR", "aVF")
    assert find(record(arrange(simulate(), order), LEADS[:6])).leads == order
    signal = simulate()
    derived = ("III", "aVR", "aVF", "aVL")  # neither I nor II is there
    assert find(record(arrange(signal, derived), ("III", "aVR", "aVL", "aVF"))).leads == derived


def test_where_several_orders_fit_none_is_chosen():
    signal = arrange(simulate(), ("II", "I", "III"))  # I and III may change places
    finding = find(record(signal, ("I", "II", "III")))
    assert finding.leads is None
    with pytest.raises(InputError, match=r"rec7: leads I, II, III contradict.*no single repair fits"):
        verify.enforce(record(signal, ("I", "II", "III")), "repair")


def test_leads_other_than_the_twelve_stay_where_they_are():
    signal = np.column_stack([simulate()[:, 0] * 3, arrange(simulate(), WRONG_ORDERS["chest leads first"])])
    finding = find(record(signal, ("vx", *LEADS)))
    assert finding.leads == ("vx", *CHEST, *LEADS[:6])


def test_coarse_steps_do_not_hide_or_make_a_wrong_order():
    signal = np.round(simulate() / 0.02) * 0.02
    assert find(record(signal)) is None
    order = WRONG_ORDERS["aVF before aVL, as MIMIC-IV-ECG"]
    assert find(record(arrange(signal, order))).leads == order


@pytest.mark.parametrize("lead", range(6))
@pytest.mark.parametrize("fill", ["zero", "nan", "noise"])
def test_one_bad_lead_is_not_a_wrong_order(lead, fill):
    signal = simulate()
    bad = {"zero": 0.0, "nan": np.nan, "noise": np.random.default_rng(1).normal(0, 0.3, len(signal))}
    signal[:, lead] = bad[fill]
    assert find(record(signal)) is None


def test_leads_scaled_one_by_one_are_not_a_wrong_order():
    signal = simulate() * np.random.default_rng(0).uniform(0.6, 1.6, 12)
    assert find(record(signal / signal.std(axis=0) * 0.25)) is None


def test_a_burst_of_noise_in_one_lead_does_not_make_a_wrong_order():
    signal = simulate()
    signal[500:900, 1] += np.random.default_rng(0).normal(0, 2, 400)
    assert find(record(signal)) is None


def test_gaps_and_padding_do_not_disturb_the_check():
    signal = np.pad(arrange(simulate(), WRONG_ORDERS["chest leads first"]), ((600, 700), (0, 0)))
    signal[1000:1100, 3] = np.nan
    valid = np.ones(signal.shape, bool)
    valid[:600] = valid[-700:] = False
    assert find(record(signal, valid=valid)).leads == (*CHEST, *LEADS[:6])


def test_nothing_is_said_of_a_recording_without_a_signal_or_with_two_limb_leads():
    assert verify.verify(record(np.zeros((1000, 12)))) == ()
    assert verify.verify(record(np.full((1000, 12), np.nan))) == ()
    assert find(record(simulate()[:, [1, 0, 6]], ("I", "II", "V1"))) is None


@pytest.mark.parametrize("samples", [1, 2, 7, 99, 150])
def test_a_recording_of_a_few_samples_raises_nothing(samples):
    verify.verify(record(simulate()[:samples]))


@pytest.mark.parametrize("factor, unit", [(1e3, 1e-3), (1e-3, 1e3), (1e6, 1e-6)])
def test_a_wrong_unit_is_found_with_the_factor_that_fits(factor, unit):
    signal = simulate(3)
    finding = find(record(signal * factor))
    assert (finding.check, finding.factor) == ("unit", unit)
    mended, _ = verify.enforce(record(signal * factor), "repair")
    np.testing.assert_allclose(mended.signal, signal, rtol=1e-5, atol=1e-7)


def test_the_unit_that_fits_is_that_of_the_file_and_unnamed_where_the_file_names_none():
    assert "1 mV per unit (millivolts) fits, not 0.001 as stated" in find(record(simulate(3) / 1000, unit=1e-3)).message
    assert "mV: 1000 times that fits" in find(record(simulate(3) / 1000, unit=None)).message
    assert (
        find(record(simulate(3) / 1000, unit=None)).factor == find(record(simulate(3) / 1000, unit=1e-3)).factor == 1000
    )


def test_counts_that_fit_several_factors_list_them_and_choose_none():
    finding = find(record(simulate(3) * 200))
    assert finding.factor is None
    assert "0.01 mV per unit (10 microvolts) or 0.005 mV per unit (counts of 200 per mV) fits" in finding.message
    with pytest.raises(InputError, match=r"rec7: a beat's range is .* mV, an ECG has 0.2 to 9 mV"):
        verify.enforce(record(simulate(3) * 200), "repair")


@pytest.mark.parametrize("factor, listed", [(10, "0.1 mV per unit (0.1 mV)"), (0.1, "10 mV per unit (10 mV)")])
def test_a_factor_that_is_no_real_unit_is_listed_and_repairs_nothing(factor, listed):
    finding = find(record(simulate(3) * factor))
    assert (finding.check, finding.factor) == ("unit", None)
    assert f"{listed} fits" in finding.message
    with pytest.raises(InputError, match=r"no single repair fits; correct the file"):
        verify.enforce(record(simulate(3) * factor), "repair")


@pytest.mark.parametrize("seed", range(12))
def test_a_wrong_rate_is_never_repaired_as_a_wrong_unit(seed):
    signal = np.repeat(np.concatenate([simulate(seed), simulate(seed)]), 5, axis=0)  # 2000 Hz, smooth enough
    for rate in (50.0, 100.0, 200.0, 400.0, 500.0):
        try:
            mended, _ = verify.enforce(record(signal, rate=rate), "repair")
        except InputError:
            continue
        np.testing.assert_array_equal(mended.signal, signal.astype(np.float32))


def test_a_repair_after_which_physics_still_contradicts_is_refused(monkeypatch):
    monkeypatch.setattr(amplitude, "find_units", lambda size: (1000.0,))
    with pytest.raises(
        InputError, match=r"^rec7: a beat's range is .*; repaired, a beat's range is .*; correct the fi"
    ):
        verify.enforce(record(simulate(3) * 1000), "repair")


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_a_factor_of_two_is_not_claimed_to_be_seen(factor):
    assert find(record(simulate() * factor)) is None


def test_excursions_and_silent_leads_do_not_make_a_unit():
    signal = simulate()
    signal[:, 7:12] = 0
    signal[:, 6] += np.linspace(-20, 20, len(signal))
    signal[400:500, 6] = 25
    assert find(record(signal)) is None


@pytest.mark.parametrize("scale", [1e-4, 0.1, 0.3, 1.0, 7.0, 1000.0])
@pytest.mark.parametrize("flat", [None, 0.0, 0.4], ids=["whole", "silent lead", "flat lead"])
def test_z_scores_that_are_not_declared_are_found_at_any_scale_and_not_repaired(scale, flat):
    signal = np.pad(simulate(), ((300, 100), (0, 0)))
    valid = np.zeros(signal.shape, bool)
    valid[300:-100] = True
    valid[1000:1100, 3] = False
    known = np.where(valid, signal, np.nan)
    scores = scale * (known - np.nanmean(known, axis=0)) / np.nanstd(known, axis=0)
    if flat is not None:
        scores[:, 8] = flat
    finding = find(record(scores, valid=valid))
    assert (finding.check, finding.is_repairable) == ("unit", False)
    assert f"standard deviation {scale:.3g}" in finding.message
    assert "declared as normalized" in finding.message
    with pytest.raises(InputError, match="these are z-scores, not mV"):
        verify.enforce(record(scores, valid=valid), "repair")
    assert verify.verify(record(scores, valid=valid, normalized=True)) == ()


def test_leads_that_are_centred_or_equally_large_are_not_z_scores():
    signal = simulate()
    assert np.isnan(amplitude.find_common_deviation(record(signal - signal.mean(axis=0))))
    equal = signal / signal.std(axis=0)
    assert np.isnan(amplitude.find_common_deviation(record(equal + np.arange(12))))
    scores = (signal - signal.mean(axis=0)) / signal.std(axis=0)
    assert amplitude.find_common_deviation(record(scores * np.linspace(1, 1.015, 12))) == pytest.approx(1, abs=0.02)
    assert np.isnan(amplitude.find_common_deviation(record(scores * np.linspace(1, 1.025, 12))))
    assert np.isnan(amplitude.find_common_deviation(record(scores[:, :2], LEADS[:2])))  # two may be alike by chance


@pytest.mark.parametrize("seed", range(40))
def test_simulated_ecgs_are_not_taken_for_z_scores(seed):
    assert np.isnan(amplitude.find_common_deviation(record(simulate(seed))))


def test_unit_and_order_of_normalized_recordings_are_not_checked_and_that_is_said():
    shuffled = record(arrange(simulate(), WRONG_ORDERS["chest leads first"]) * 1e4, normalized=True)
    assert verify.verify(shuffled) == ()
    assert verify.skipped_checks(shuffled) == ("lead_order", "unit")
    assert verify.skipped_checks(record(simulate())) == ()


def test_a_duration_that_contradicts_the_rate_is_found():
    signal = np.tile(simulate(), (2, 1))[:4000]
    finding = find(record(signal, rate=500.0, duration=10.0))
    assert (finding.check, finding.sampling_rate) == ("sampling_rate", 400.0)
    assert "4000 samples at 500 Hz are 8 s, the file states 10 s: 400 Hz fits" in finding.message
    mended, _ = verify.enforce(record(signal, rate=500.0, duration=10.0), "repair")
    assert mended.sampling_rate == 400.0


@pytest.mark.parametrize("duration", [10.0, 9.995, 10.0025, None])
def test_a_duration_within_a_sample_or_a_thousandth_agrees(duration):
    assert find(record(np.tile(simulate(), (2, 1))[:4000], duration=duration)) is None


@pytest.mark.parametrize("duration", [0.0, -1.0, np.nan])
def test_a_duration_that_is_none_states_nothing(duration):
    assert find(record(simulate(), duration=duration)) is None


def test_a_duration_that_fits_no_common_rate_is_found_without_a_repair():
    finding = find(record(np.tile(simulate(), (2, 1))[:4000], duration=7.0))
    assert finding.sampling_rate is None
    assert "no common rate fits" in finding.message


def test_regular_beats_at_a_rate_no_heart_has_question_the_sampling_rate():
    signal = np.concatenate([simulate(seed, noise=0.3) for seed in (5, 5, 5)])
    for rate in (40.0, 4000.0):
        finding = find(record(signal, rate=rate))
        assert finding.check == "sampling_rate"
        assert "400" in finding.message.split("minute: ")[1]
        assert finding.sampling_rate is None  # others fit as well


@pytest.mark.parametrize("diagnoses", [("SB",), ("ST",), ("AF",), ("LBBB", "SB"), ("RBBB", "ST")], ids="+".join)
@pytest.mark.parametrize("seed", range(3))
def test_slow_fast_broad_and_irregular_beats_do_not_question_it(diagnoses, seed):
    assert find(record(simulate(seed, diagnoses))) is None


def test_policies():
    wrong = record(arrange(simulate(), WRONG_ORDERS["chest leads first"]), notes=("kept",))
    with pytest.raises(
        InputError, match=r"^rec7: leads .* contradict .* fits .*; correct the file; --checks=repair mends it"
    ) as error:
        verify.enforce(wrong, "refuse")
    assert "\n" not in str(error.value)
    same, findings = verify.enforce(wrong, "warn")
    assert same is wrong
    assert [finding.check for finding in findings] == ["lead_order"]
    mended, _ = verify.enforce(wrong, "repair")
    assert mended.notes[0] == "kept"
    fine = record(simulate())
    for policy in CHECKS:
        assert verify.enforce(fine, policy) == (fine, ())
    with pytest.raises(InputError, match="policy is 'ignore'; known: refuse, repair, warn"):
        verify.enforce(fine, "ignore")


def test_order_and_unit_are_repaired_together():
    signal = simulate(3)
    mended, findings = verify.enforce(record(arrange(signal, WRONG_ORDERS["Cabrera's sequence"]) * 1000), "repair")
    assert {finding.check for finding in findings} == {"lead_order", "unit"}
    np.testing.assert_allclose(mended.signal[:, mended.leads.index("V3")], signal[:, 8], rtol=1e-5, atol=1e-7)
    assert len(mended.notes) == 2


def test_findings_are_ready_for_json_and_for_a_list_separated_by_semicolons():
    for wrong in (record(simulate() * 1000), record(arrange(simulate(), WRONG_ORDERS["chest leads first"]))):
        finding = find(wrong)
        assert json.loads(json.dumps(dataclasses.asdict(finding)))["check"] == finding.check
        assert ";" not in finding.message


def test_amplitude_is_the_median_over_leads_of_the_range_in_a_second():
    time = np.arange(2000) / 400
    signal = np.sin(2 * np.pi * 5 * time)[:, None] * [1.0, 2.0, 3.0, 0.0]  # ranges 2, 4, 6 and silence
    recording = record(signal, ("I", "II", "V1", "V2"))
    ranges = amplitude.measure_ranges(recording)
    np.testing.assert_allclose(ranges, [2, 4, 6, 0], rtol=1e-3)
    assert amplitude.summarize_ranges(ranges, recording.leads) == pytest.approx(4, rel=1e-3)


def test_the_scale_of_a_data_set_has_an_uncertainty_that_decides_what_is_said():
    rng = np.random.default_rng(0)
    millivolts = 1.02 * rng.lognormal(0, 0.4, 400)
    plain = amplitude.estimate_scale(millivolts)
    assert plain.low < 1 < plain.high < 2
    assert plain.message.endswith("that looks like mV")
    doubled = amplitude.estimate_scale(2 * millivolts)
    assert 1 < doubled.low < 2 < doubled.high
    assert "CODE's unit (2 x mV)" in doubled.message
    few = amplitude.estimate_scale(2 * millivolts[:3])
    assert few.high / few.low > doubled.high / doubled.low
    assert "microvolts" in amplitude.estimate_scale(1000 * millivolts).message
    assert "none of the known units" in amplitude.estimate_scale(30 * millivolts).message
    assert np.isnan(amplitude.estimate_scale(np.array([np.nan, 0.0])).factor)


def read_all(folder):
    sources = [source for path in sorted(folder.rglob("*.hea")) for source in readers.find(str(path))]
    return [source.read() for source in sources if "low_sample_rate" not in source.name]


def lead_two_ranges(recordings):
    return np.array([np.ptp(np.percentile(r.signal[:, r.leads.index("II")], (0.5, 99.5))) for r in recordings])


@pytest.mark.parametrize("folder", ["ptbxl/records100", "challenge2021/records", "tnmg_unlabelled", "ludb/data"])
@pytest.mark.slow
def test_no_real_recording_is_contradicted_and_wrong_ones_are(shared, folder):
    recordings = read_all(shared / "data" / folder)
    assert len(recordings) > 50
    assert [finding.message for r in recordings for finding in verify.verify(r)] == []
    if folder == "ludb/data":
        return  # each of its leads is scaled to a range of 1: what is wrong in it does not show
    order = WRONG_ORDERS["aVF before aVL, as MIMIC-IV-ECG"]
    alive = [r for r in recordings if not r.is_degenerate and set(r.leads) == set(LEADS)]
    renamed = [dataclasses.replace(r, leads=LEADS, signal=arrange(r.signal, order)) for r in alive if r.leads == LEADS]
    found = [verify.verify(r) for r in renamed]
    assert np.mean([any(f.leads == order for f in findings) for findings in found]) > 0.97
    microvolts = [verify.verify(dataclasses.replace(r, signal=r.signal * np.float32(1000))) for r in alive]
    assert np.mean([any(f.check == "unit" for f in findings) for findings in microvolts]) == 1
    assert np.mean([any(f.factor == 1e-3 for f in findings) for findings in microvolts]) > 0.9


@pytest.mark.slow
def test_the_scale_of_codes_exams_and_of_ptbxl_is_recognized(shared):
    code = amplitude.estimate_scale(lead_two_ranges(read_all(shared / "data" / "tnmg_unlabelled")))
    assert code.low > 1.2
    assert "CODE" in code.message
    ptbxl = amplitude.estimate_scale(lead_two_ranges(read_all(shared / "data" / "ptbxl" / "records100")))
    assert ptbxl.low < 1 < ptbxl.high < 1.5
