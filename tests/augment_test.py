"""What each augmentation does to a signal that shows it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ecg_jax.errors import InputError
from ecg_jax.recording import LEADS
from ecg_jax.training import augment

RATE = 400.0
SETTINGS = {
    "noise": 0.5,
    "coloured_noise": 0.5,
    "wander": 0.5,
    "powerline": 0.5,
    "scale": 0.5,
    "shift": 0.3,
    "crop": 0.5,
    "time_mask": 0.5,
    "resample": 0.1,
    "lead_dropout": 0.5,
    "lead_sets": 1.0,
}
TIME_MOVES = ("shift", "crop", "resample")
each_augmentation = pytest.mark.parametrize("name", SETTINGS)


@functools.cache
def draw_keys(count):
    return jax.random.split(jax.random.key(0), count)


@functools.cache
def many(count=200, leads=LEADS, rate=RATE, **settings):
    """The augmentation of one signal `count` times, each with its key."""
    one = augment.create(leads=leads, sampling_rate=rate, **settings)
    mapped = jax.jit(jax.vmap(one, (0, None, None)))
    return lambda signal, valid: np.asarray(mapped(draw_keys(count), signal, valid))


def ones(samples, leads=12):
    return np.ones((samples, leads), np.float32)


def everywhere(samples):
    return np.ones(samples, bool)


def added(samples, leads=12, **settings):
    """`[examples, samples, leads]` of what an additive augmentation adds."""
    return many(**settings)(ones(samples, leads), everywhere(samples)) - 1


def ecg_like(samples=600):
    """A signal without zeros, padded on both sides and with a gap, and its mask."""
    time = np.arange(samples)
    valid = (time >= 90) & (time < 480) & ((time < 250) | (time >= 280))
    signal = np.random.default_rng(7).normal(2, 0.1, (samples, 12)).astype(np.float32)
    return np.where(valid[:, None], signal, np.float32(0)), valid


def test_off_is_the_identity_bit_for_bit():
    signal, valid = ecg_like()
    same = augment.create(leads=LEADS, sampling_rate=RATE)(jax.random.key(0), signal, valid)
    np.testing.assert_array_equal(same, signal)


@each_augmentation
def test_the_key_decides(name):
    run = many(20, **{name: SETTINGS[name]})
    first = run(*ecg_like())
    np.testing.assert_array_equal(run(*ecg_like()), first)
    assert np.any(first[1:] != first[0], axis=(1, 2)).sum() >= 10  # there are only 4 lead sets


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name == "noise" else pytest.mark.slow) for name in SETTINGS]
)
def test_compiled_and_mapped_it_does_the_same(name):
    one = augment.create(leads=LEADS, sampling_rate=RATE, **{name: SETTINGS[name]})
    mapped = many(20, **{name: SETTINGS[name]})(*ecg_like())[3]
    alone = one(draw_keys(20)[3], *(jnp.asarray(leaf) for leaf in ecg_like()))
    np.testing.assert_allclose(mapped, alone, rtol=0, atol=1e-4)
    np.testing.assert_array_equal(mapped == 0, alone == 0)


def test_it_draws_the_same_beside_another():
    alone = many(20, noise=SETTINGS["noise"])(*ecg_like())
    together = many(20, noise=SETTINGS["noise"], scale=1e-6)(*ecg_like())
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-4)


@each_augmentation
def test_padding_and_gaps_stay_zero_and_the_rest_is_changed(name):
    signal, valid = ecg_like()
    spoiled = np.where(valid[:, None], signal, np.float32(np.nan))  # even if they were not zero before
    result = many(20, **{name: SETTINGS[name]})(spoiled, valid)
    assert np.isfinite(result).all()
    assert np.any(result != signal, axis=(1, 2)).sum() >= 18
    is_zero = np.all(result == 0, axis=2)
    if name not in TIME_MOVES:
        assert is_zero[:, ~valid].all()
        return
    # Moved along: whatever is not zero is a sample of the signal, never a mix with padding.
    assert np.array_equal(is_zero, np.any(result == 0, axis=2))
    assert result[~is_zero].min() > 1.3
    gaps = np.array([np.sum(np.diff(np.flatnonzero(~row)) > 1) for row in is_zero])
    assert np.all(gaps <= 1)
    assert np.any(gaps == 1)


@each_augmentation
def test_a_lead_that_was_not_recorded_stays_zero(name):
    signal, valid = ecg_like()
    assert not np.any(many(20, **{name: SETTINGS[name]})(np.where(np.arange(12) == 7, 0, signal), valid)[:, :, 7])


@each_augmentation
def test_a_place_without_a_recording_stays_zero(name):
    assert not np.any(many(20, **{name: SETTINGS[name]})(0 * ones(600), ~everywhere(600)))


def test_everything_at_once_is_finite():
    one = augment.create(leads=LEADS, sampling_rate=RATE, **SETTINGS)
    signal, valid = (jnp.asarray(leaf) for leaf in ecg_like())
    result = one(draw_keys(20)[3], signal, valid)
    assert np.isfinite(result).all()
    assert np.any(result)


@each_augmentation
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_the_dtype_stays(name, dtype):
    with jax.enable_x64(True):
        one = augment.create(leads=LEADS, sampling_rate=RATE, **{name: SETTINGS[name]})
        signal, valid = jax.ShapeDtypeStruct((64, 12), dtype), jax.ShapeDtypeStruct((64,), bool)
        result = jax.eval_shape(one, jax.random.key(0), signal, valid)
    assert (result.shape, result.dtype) == ((64, 12), dtype)


def slope_of_power(noise):
    """By which power of the frequency the mean periodogram `[frequency]` of `[samples, leads]` falls."""
    power = np.mean(np.abs(np.fft.rfft(noise, axis=0)) ** 2, axis=1)[4:-4]
    frequency = np.arange(4, 4 + len(power))
    return np.polyfit(np.log(frequency), np.log(power), 1)[0]


def test_noise_is_white_with_a_strength_drawn_up_to_the_setting():
    noise = added(2000, noise=0.4)
    sizes = noise.std(axis=(1, 2))
    assert sizes.max() < 0.41
    assert sizes.mean() == pytest.approx(0.2, abs=0.03)  # uniform in [0, 0.4]
    assert noise.mean() == pytest.approx(0, abs=0.002)
    assert slope_of_power(noise[sizes.argmax()]) == pytest.approx(0, abs=0.1)


def test_coloured_noise_falls_with_frequency_between_pink_and_brown():
    noise = added(2000, coloured_noise=0.4).astype(np.float64)
    strongest = noise[noise.std(axis=(1, 2)) > 0.1]  # clear of float32's rounding around 1
    slopes = np.array([slope_of_power(one) for one in strongest])
    assert slopes.min() == pytest.approx(-2, abs=0.15)
    assert slopes.max() == pytest.approx(-1, abs=0.15)
    assert slopes.mean() == pytest.approx(-1.5, abs=0.1)


def test_coloured_noise_has_the_same_standard_deviation_in_every_lead():
    sizes = added(2000, coloured_noise=0.4).std(axis=1)
    np.testing.assert_allclose(sizes, sizes[:, :1] * np.ones(12), atol=1e-5)
    assert sizes.max() <= 0.4
    assert sizes.mean() == pytest.approx(0.2, abs=0.03)


def test_wander_is_slow_and_bounded():
    wander = added(16000, 3, wander=0.4, count=30)  # 40 s
    assert 0.2 < np.abs(wander).max() <= 0.4
    taper = np.hanning(16000)[:, None]
    power = np.mean(np.abs(np.fft.rfft(wander * taper, axis=1)) ** 2, axis=(0, 2))
    frequency = np.fft.rfftfreq(16000, 1 / RATE)
    assert power[frequency > 0.5 + 2 / 40].sum() < 1e-4 * power.sum()
    assert power[frequency < 0.3].sum() == pytest.approx(0.55 * power.sum(), rel=0.4)


@pytest.mark.parametrize("rate", [250.0, 400.0])
def test_powerline_is_one_sinusoid_of_50_or_60_hz(rate):
    samples = int(rate)  # 1 s: one bin per Hz
    hum = added(samples, powerline=0.4, rate=rate)
    spectrum = np.abs(np.fft.rfft(hum, axis=1)) / (samples / 2)
    peaks = spectrum.argmax(axis=1)
    assert set(np.unique(peaks)) == {50, 60}
    assert np.all(peaks == peaks[:, :1])  # one frequency per example
    assert np.mean(peaks == 50) == pytest.approx(0.5, abs=0.15)
    size = spectrum.max(axis=1)
    assert size.max() <= 0.401
    assert size.mean() == pytest.approx(0.2, abs=0.02)  # drawn in every lead
    np.testing.assert_allclose(hum.std(axis=1), size / np.sqrt(2), atol=1e-3)  # nothing else
    phase = np.angle(np.take_along_axis(np.fft.rfft(hum, axis=1), peaks[:, None], axis=1))
    assert np.abs(np.exp(1j * phase).mean()) < 0.1


def test_scale_is_one_factor_for_all_leads():
    signal, valid = ecg_like()
    factors = many(scale=0.3)(signal, valid)[:, valid] / signal[valid]
    np.testing.assert_allclose(factors, factors[:, :1, :1] * np.ones_like(factors), rtol=1e-5)
    assert 0.7 <= factors.min() < 0.72
    assert 1.28 < factors.max() <= 1.3001


def test_shift_moves_the_signal_and_lets_zeros_in():
    ramp = np.arange(1.0, 101)[:, None] * np.ones(12)
    offsets = []
    for moved in many(1000, shift=0.3)(ramp, everywhere(100))[:, :, 0]:
        place = np.flatnonzero(moved)
        offset = int(place[0] + 1 - moved[place[0]])
        np.testing.assert_array_equal(moved[place], place + 1 - offset)
        np.testing.assert_array_equal(place, np.arange(max(offset, 0), 100 + min(offset, 0)))
        offsets.append(offset)
    assert (min(offsets), max(offsets)) == (-30, 30)


def test_crop_keeps_a_stretch_of_the_recording_in_the_middle_of_the_window():
    samples, first, last = 1000, 100, 500
    valid = (np.arange(samples) >= first) & (np.arange(samples) < last)
    ramp = np.where(valid, np.arange(samples), 0)[:, None] * np.ones(12)
    lengths, starts = [], []
    for cropped in many(crop=0.5)(ramp, valid)[:, :, 0]:
        place = np.flatnonzero(cropped)
        assert place[0] == (samples - len(place)) // 2  # as a recording of that length is padded
        np.testing.assert_array_equal(np.diff(cropped[place]), 1)
        np.testing.assert_array_equal(np.diff(place), 1)
        lengths.append(len(place))
        starts.append(cropped[place[0]])
    assert 200 <= min(lengths) < 210
    assert 390 < max(lengths) <= 400
    assert min(starts) < first + 10
    assert max(starts) > first + 150


def test_time_mask_blanks_a_stretch_of_the_recording_in_all_leads():
    signal = ones(1000)
    valid = np.arange(1000) >= 500
    lengths, places = [], []
    for masked in many(time_mask=0.4)(signal, valid):
        is_masked = np.all(masked[500:] == 0, axis=1)
        assert np.array_equal(is_masked, np.any(masked[500:] == 0, axis=1))
        place = np.flatnonzero(is_masked)
        assert np.all(np.diff(place) == 1)
        lengths.append(len(place))
        places.extend(place)
    assert max(lengths) <= 200
    assert np.mean(lengths) == pytest.approx(100, abs=10)
    assert min(places) < 20
    assert max(places) > 480


def resampled(signal, valid=None, **settings):
    """`[examples, samples, leads]` after `resample`, and each example's factor, which a ramp beside it tells."""
    middle = (len(signal) - 1) / 2
    ramp = 2 + (np.arange(len(signal)) - middle) / middle
    both = np.concatenate([ramp[:, None], signal], axis=1)
    result = many(**settings)(both, everywhere(len(signal)) if valid is None else valid)
    factors = [np.polyfit(np.flatnonzero(one), one[one != 0], 1)[0] * middle for one in result[:, :, 0]]
    return result[:, :, 1:], np.array(factors)


def test_resample_multiplies_the_frequency_of_a_sinusoid_around_the_middle():
    time = (np.arange(4001) - 2000) / RATE
    frequencies = np.array([1.0, 10.0, 40.0])
    result, factors = resampled(2 + np.cos(2 * np.pi * frequencies * time[:, None]), resample=0.1)
    assert 0.9 <= factors.min() < 0.905
    assert 1.095 < factors.max() <= 1.1
    expected = 2 + np.cos(2 * np.pi * frequencies * time[:, None] * factors[:, None, None])
    error = np.where(result == 0, 0, np.abs(result - expected)).max(axis=(0, 1))
    assert np.all(error < [2e-4, 2e-3, 0.04]), error
    lost = np.mean(np.all(result == 0, axis=2), axis=1)
    np.testing.assert_allclose(lost, np.maximum(1 - 1 / factors, 0), atol=1e-3)  # faster: zeros enter at both ends
    np.testing.assert_array_equal(result[:, 2000], 3)


def test_a_straight_line_stays_straight_to_the_edge_of_a_gap_and_of_the_recording():
    line = np.linspace(1, 2, 601)
    valid = (np.arange(601) >= 50) & ((np.arange(601) < 200) | (np.arange(601) >= 220))
    result, factors = resampled(np.where(valid, line, 0)[:, None], valid, resample=0.2)
    expected = 1.5 + factors[:, None] * (np.arange(601) - 300) / 600
    np.testing.assert_allclose(result[:, :, 0], np.where(result[:, :, 0] == 0, 0, expected), atol=1e-5)


def test_lead_dropout_drops_each_lead_with_its_probability():
    dropped = many(2000, lead_dropout=0.2)(ones(8), everywhere(8)) == 0
    np.testing.assert_array_equal(dropped.all(axis=1), dropped.any(axis=1))
    np.testing.assert_allclose(dropped[:, 0].mean(axis=0), 0.2, atol=0.04)


@pytest.mark.parametrize("probability", [0.4, 1.0])
def test_lead_sets_keeps_the_leads_of_one_of_the_challenge(probability):
    kept = many(1000, lead_sets=probability)(ones(8), everywhere(8))[:, 0] == 1
    found, counts = np.unique(kept, axis=0, return_counts=True)
    sets = {tuple(lead for lead, is_kept in zip(LEADS, row, strict=True) if is_kept) for row in found}
    assert sets - {LEADS} == {
        ("I", "II", "III", "aVR", "aVL", "aVF"),
        ("I", "II", "III", "V2"),
        ("I", "II", "V2"),
        ("I", "II"),
    }
    reduced = counts[~found.all(axis=1)] / 1000
    assert reduced.sum() == pytest.approx(probability, abs=0.05)
    np.testing.assert_allclose(reduced, probability / 4, atol=0.05)


def test_lead_sets_goes_by_name():
    result = many(50, leads=("V1", "II"), lead_sets=1.0)(ones(8, 2), everywhere(8))
    np.testing.assert_array_equal(result, np.broadcast_to([0, 1], (50, 8, 2)))


USUAL = tuple(np.linspace(0.1, 0.4, 12).tolist())


def test_a_lost_amplitude_becomes_the_usual_deviation_of_each_lead():
    signal, valid = ecg_like()
    signal = np.where(np.arange(12) == 7, 0, signal * np.arange(1, 13, dtype=np.float32))
    for lost in many(5, amplitude_loss=1.0, usual_deviations=USUAL)(signal, valid):
        expected = np.where(np.arange(12) == 7, 0, USUAL)
        np.testing.assert_allclose(lost[valid].std(axis=0), expected, rtol=1e-3)
        np.testing.assert_allclose(lost[valid].mean(axis=0), 0, atol=1e-4)
        np.testing.assert_array_equal(lost[~valid], 0)
        np.testing.assert_array_equal(lost[:, 7], 0)
        for lead in (0, 11):
            assert np.corrcoef(lost[valid, lead], signal[valid, lead])[0, 1] > 0.999


def test_an_amplitude_is_lost_with_its_probability_in_all_leads_at_once():
    signal, valid = ecg_like()
    lost = np.any(many(1000, amplitude_loss=0.3, usual_deviations=USUAL)(signal, valid) != signal, axis=1)
    np.testing.assert_array_equal(lost.all(axis=1), lost.any(axis=1))
    assert lost[:, 0].mean() == pytest.approx(0.3, abs=0.05)


def test_a_lead_that_was_dropped_stays_zero_where_amplitudes_are_lost():
    signal, valid = ecg_like()
    settings = {"lead_dropout": 0.5, "usual_deviations": USUAL}
    dropped = np.all(many(20, **settings)(signal, valid) == 0, axis=1)
    lost = many(20, **settings, amplitude_loss=1.0)(signal, valid)
    np.testing.assert_array_equal(np.all(lost == 0, axis=1), dropped)
    assert dropped.any()


def test_a_stretch_that_was_masked_stays_zero_where_amplitudes_are_lost():
    signal, valid = ecg_like()
    settings = {"time_mask": 0.4, "usual_deviations": USUAL}
    masked = many(10, **settings)(signal, valid)
    lost = many(10, **settings, amplitude_loss=1.0)(signal, valid)
    np.testing.assert_array_equal(lost == 0, masked == 0)
    assert (masked[:, valid, 0] == 0).any()


def test_the_loss_of_amplitudes_needs_usual_deviations():
    with pytest.raises(InputError, match=r"augment.amplitude_loss is 0.3; it needs contract.usual_deviations"):
        augment.create(leads=LEADS, sampling_rate=RATE, amplitude_loss=0.3)


@pytest.mark.parametrize("name", [*SETTINGS, "amplitude_loss"])
@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf")])
def test_a_setting_out_of_range_is_refused(name, value):
    with pytest.raises(InputError, match=rf"^config.augment.{name} is {value}; it must be [^\n]*$"):
        augment.create(leads=LEADS, sampling_rate=RATE, **{name: value})


@pytest.mark.parametrize("name", ["scale", "shift", "crop", "time_mask", "resample", "lead_dropout"])
def test_a_fraction_is_below_one(name):
    with pytest.raises(InputError, match=f"augment.{name} is 1; it must be at least 0 and below 1"):
        augment.create(leads=LEADS, sampling_rate=RATE, **{name: 1})


def test_what_the_contract_cannot_hold_is_refused_only_where_it_is_wanted():
    augment.create(leads=("V1", "V2"), sampling_rate=100.0)
    with pytest.raises(
        InputError, match=r"augment.lead_sets is 0.5; .* leads V1, V2, which hold none of I, II, III, aVR"
    ):
        augment.create(leads=("V1", "V2"), sampling_rate=100.0, lead_sets=0.5)
    with pytest.raises(InputError, match=r"augment.powerline is 0.1; it must be 0 at 100 Hz, .* cannot hold 60 Hz"):
        augment.create(leads=("V1", "V2"), sampling_rate=100.0, powerline=0.1)


PLACES = 6


def batch(places=PLACES):
    """Place i has signal 10^i, label `one hot(i)`; with keys and places."""
    signal = 10.0 ** np.arange(places)[:, None, None] * np.ones((places, 5, 2))
    return draw_keys(places), signal.astype(np.float32), np.eye(places, dtype=np.float32), np.arange(places)


compiled_mixup = functools.cache(lambda alpha: jax.jit(augment.create_mixup(alpha)))


def mix(keys, signal, label, index, *, alpha=1.0, pool=None):
    return compiled_mixup(alpha)(keys, signal, label, index, *(pool or (signal, label, index)))


def test_mixup_of_alpha_zero_is_none():
    assert augment.create_mixup(0.0) is None


@pytest.mark.parametrize("alpha", [-1.0, float("nan"), float("inf")])
def test_mixup_refuses_an_alpha_out_of_range(alpha):
    with pytest.raises(InputError, match=f"^config.augment.mixup is {alpha}; it must be at least 0, and finite$"):
        augment.create_mixup(alpha)


def test_mixup_gives_signal_and_label_the_same_share_of_another_place():
    keys, signal, label, index = batch()
    mixed, soft = mix(keys, signal, label, index)
    soft = np.asarray(soft)
    np.testing.assert_allclose(soft.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal((soft > 0).sum(axis=1), 2)  # itself and one other
    assert np.all(np.diag(soft) >= 0.5)
    np.testing.assert_allclose(mixed, np.einsum("ij,jtl->itl", soft, signal), rtol=1e-5)


def test_mixup_draws_every_other_place_alike_and_shares_from_the_folded_beta_distribution():
    _, signal, label, index = batch()
    keys = draw_keys(1000 * PLACES)
    rows = np.tile(index, 1000)
    _, soft = mix(keys, signal[rows], label[rows], rows, alpha=0.4, pool=(signal, label, index))
    soft = np.reshape(soft, (1000, PLACES, PLACES))
    partners = np.mean(soft * (1 - np.eye(PLACES)) > 0, axis=0)
    np.testing.assert_allclose(partners, 0.2 * (1 - np.eye(PLACES)), atol=0.05)
    share = np.diagonal(soft, axis1=1, axis2=2).ravel()
    unfolded = np.random.default_rng(0).beta(0.4, 0.4, 100_000)
    quantiles = [0.1, 0.3, 0.5, 0.7, 0.9]
    folded = np.quantile(np.maximum(unfolded, 1 - unfolded), quantiles)
    np.testing.assert_allclose(np.quantile(share, quantiles), folded, atol=0.02)


def test_mixup_does_not_depend_on_the_order_of_rows_nor_on_who_holds_which():
    arguments = batch()
    whole = mix(*arguments)
    order = np.array([3, 0, 5, 1, 4, 2])
    pool = tuple(leaf[order] for leaf in arguments[1:])
    for rows in (order, np.array([0, 2, 4]), np.array([1, 3, 5])):
        part = mix(*(leaf[rows] for leaf in arguments), pool=pool)
        for one, other in zip(whole, part, strict=True):  # rounding is the compiler's, partners and shares are not
            np.testing.assert_allclose(other, one[rows], rtol=1e-6)


def test_mixup_knows_a_label_where_both_are_known():
    keys, signal, label, index = batch()
    partner = np.argmax(mix(keys, signal, label, index)[1] * (1 - np.eye(PLACES)), axis=1)
    unknown = np.zeros((PLACES, PLACES), bool)
    unknown[2, :3] = unknown[5, 4] = True
    mixed, soft = mix(keys, signal, np.where(unknown, np.float32(np.nan), label), index)
    np.testing.assert_array_equal(np.isnan(soft), unknown | unknown[partner])
    assert np.isfinite(mixed).all()


def test_mixup_keeps_an_unmixed_label_beside_an_unknown_one():
    keys, signal, label, index = batch()
    label[::2] = np.nan
    mixed, soft = mix(keys, signal, label, index, alpha=1e-4)  # shares of exactly 1
    np.testing.assert_array_equal(soft, label)
    np.testing.assert_array_equal(mixed, signal)


def test_mixup_of_a_batch_of_one_changes_nothing():
    keys, signal, label, index = batch(1)
    mixed, soft = mix(keys, signal, label, index)
    np.testing.assert_allclose(mixed, signal)
    np.testing.assert_allclose(soft, label)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_mixup_keeps_the_dtype(dtype):
    with jax.enable_x64(True):
        keys, signal, label, index = batch()
        mixup = augment.create_mixup(0.2)
        pool = signal.astype(dtype), label.astype(dtype), index
        assert [leaf.dtype for leaf in jax.eval_shape(mixup, keys, *pool, *pool)] == [dtype, dtype]
