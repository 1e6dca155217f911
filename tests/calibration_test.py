"""Recalibration, reliability and their measures, by hand and with planted truths."""

import json
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression

from ecg_jax.errors import InputError
from ecg_jax.evaluation import calibration

NAN = np.nan


def fit(method, label, probability):
    label, probability = np.array(label, float)[:, None], np.array(probability)[:, None]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return calibration.fit(method, label, probability, ("AF",))


def plant(change, size=200_000):
    """Labels drawn from sigmoid(change(z)), where sigmoid(z) is what a model says."""
    rng = np.random.default_rng(0)
    z = rng.normal(scale=2, size=size)
    return (rng.random(size) < expit(change(z))).astype(float), expit(z)


def test_temperature_finds_what_was_planted():
    found = fit("temperature", *plant(lambda z: z / 2.5)).maps["AF"]
    assert found == {"slope": pytest.approx(0.4, abs=0.01), "intercept": 0.0}


def test_temperature_by_hand():
    # logits -ln 3 and ln 3, right in three of four: the best slope makes 1/4 and 3/4 of 1/4 and 3/4
    label, probability = [0, 0, 0, 1, 1, 1, 1, 0], [0.25] * 4 + [0.75] * 4
    assert fit("temperature", label, probability).maps["AF"]["slope"] == pytest.approx(1, abs=1e-6)
    # logits twice as long: half the slope
    probability = expit(2 * logit(np.array(probability)))
    found = fit("temperature", label, probability)
    assert found.maps["AF"]["slope"] == pytest.approx(0.5, abs=1e-6)
    np.testing.assert_allclose(found.apply(probability[:, None], ("AF",))[:, 0], [0.25] * 4 + [0.75] * 4, atol=1e-6)


def test_platt_finds_what_was_planted():
    found = fit("platt", *plant(lambda z: 0.7 * z - 1.5)).maps["AF"]
    assert found == {"slope": pytest.approx(0.7, abs=0.02), "intercept": pytest.approx(-1.5, abs=0.02)}


def test_platt_exists_where_classes_are_separable():
    # targets (1 + 1) / (1 + 2) and 1 / (1 + 2) at logits +-ln 4: slope ln 2 / ln 4
    found = fit("platt", [0, 1], [0.2, 0.8])
    assert found.maps["AF"] == {"slope": pytest.approx(0.5, abs=1e-6), "intercept": pytest.approx(0, abs=1e-6)}
    np.testing.assert_allclose(found.apply(np.array([[0.2], [0.8]]), ("AF",)), [[1 / 3], [2 / 3]], atol=1e-6)


SAMPLE = st.tuples(st.integers(0, 2**32 - 1), st.integers(2, 200), st.floats(-6, 6), st.floats(0.3, 4))


@settings(max_examples=60, deadline=None)
@given(SAMPLE)
def test_platt_is_where_nothing_changes(case):
    # at the best line, residuals against Platt's targets sum to 0, alone and times the logit
    seed, size, shift, spread = case
    rng = np.random.default_rng(seed)
    z = rng.normal(shift, spread, size)
    label = (rng.random(size) < expit(z)).astype(float)
    label[:2] = 0, 1
    found = fit("platt", label, expit(z)).maps["AF"]
    if "reason" in found:
        return
    positives, negatives = label.sum(), (1 - label).sum()
    target = np.where(label == 1, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    residual = expit(found["slope"] * z + found["intercept"]) - target
    assert np.mean(residual) == pytest.approx(0, abs=1e-6)
    assert np.mean(residual * z) == pytest.approx(0, abs=1e-6)


def test_isotonic_by_hand():
    found = fit("isotonic", [0, 1, 0, 1], [0.1, 0.2, 0.3, 0.4])
    # 0.2 and 0.3 in the wrong order share a half; between them it is interpolated, beyond the last it is the last
    given_ = np.array([[0.1], [0.15], [0.2], [0.25], [0.3], [0.4], [0.9]])
    np.testing.assert_allclose(found.apply(given_, ("AF",))[:, 0], [0, 0.25, 0.5, 0.5, 0.5, 1, 1])


def test_isotonic_is_scikit_learns():
    label, probability = plant(lambda z: 2 * z + 1, 500)
    expected = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(probability, label)
    unseen = np.linspace(0, 1, 101)
    found = fit("isotonic", label, probability).apply(unseen[:, None], ("AF",))
    np.testing.assert_allclose(found[:, 0], expected.predict(unseen), atol=1e-12)


METHODS = ("temperature", "platt", "isotonic")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "label, reason",
    [([0, 0, NAN], "no positives"), ([1, NAN, 1], "no negatives"), ([NAN, NAN, NAN], "no known label")],
)
def test_one_class_is_left_as_it_is(method, label, reason):
    found = fit(method, label, [0.1, 0.5, 0.9])
    assert found.maps["AF"] == {"slope": 1.0, "intercept": 0.0, "reason": reason}
    probability = np.array([[0.0], [0.123456789], [1.0]])
    np.testing.assert_array_equal(found.apply(probability, ("AF",)), probability)


@pytest.mark.parametrize("method", METHODS)
def test_what_ranks_the_wrong_way_round_is_left_as_it_is(method):
    found = fit(method, [1, 1, 0, 0], [0.1, 0.2, 0.8, 0.9]).maps["AF"]
    assert found == {"slope": 1.0, "intercept": 0.0, "reason": "probabilities rank the wrong way round"}


def test_none_changes_nothing():
    found = fit("none", [0, 1], [0.2, 0.8])
    assert found.maps["AF"]["reason"] == "not asked for"
    probability = np.array([[0.3], [0.0]], np.float32)
    np.testing.assert_array_equal(found.apply(probability, ("AF",)), probability)


@pytest.mark.parametrize("method", METHODS)
def test_a_recalibration_survives_json(method):
    label, probability = plant(lambda z: 0.5 * z, 300)
    found = fit(method, label, probability)
    back = calibration.Calibration.from_dict(json.loads(json.dumps(found.to_dict())))
    assert back == found
    unseen = np.linspace(0, 1, 50)[:, None]
    np.testing.assert_array_equal(back.apply(unseen, ("AF",)), found.apply(unseen, ("AF",)))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_unknown_probabilities_stay_so_and_the_type_is_kept(method, dtype):
    found = fit(method, *plant(lambda z: 0.5 * z, 300))
    changed = found.apply(np.array([[NAN], [0.0], [0.9], [1.0]], dtype), ("AF",))
    assert changed.dtype == dtype
    np.testing.assert_array_equal(np.isnan(changed[:, 0]), [True, False, False, False])
    assert (changed[1:] >= 0).all()
    assert (changed[1:] <= 1).all()


def test_each_label_has_a_map_of_its_own_by_name():
    labels, probabilities = np.array([[0.0, 1], [1, 1]]), np.array([[0.2, 0.3], [0.8, 0.4]])
    found = calibration.fit("platt", labels, probabilities, ("AF", "SB"))
    changed = found.apply(probabilities[:, ::-1], ("SB", "AF"))
    np.testing.assert_allclose(changed, [[0.3, 1 / 3], [0.4, 2 / 3]], atol=1e-6)


@pytest.mark.parametrize("method", ["temperature", "platt"])
@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(4, 100))
def test_the_ranking_does_not_change(method, seed, size):
    rng = np.random.default_rng(seed)
    z = rng.normal(scale=2, size=size)
    label = (rng.random(size) < expit(z)).astype(float)
    found = fit(method, label, expit(z))
    if found.maps["AF"]["slope"] > 3:  # (nearly) separable: what saturates is no longer told apart
        return
    changed = found.apply(expit(z)[:, None], ("AF",))[:, 0]
    np.testing.assert_array_equal(np.argsort(changed), np.argsort(z))


@pytest.mark.parametrize("method", ["temperature", "platt"])
def test_small_probabilities_keep_their_order(method):
    found = fit(method, *plant(lambda z: 0.5 * z, 300))
    probability = np.array([1e-12, 1e-10, 1e-8, 1e-6, 1e-4], np.float32)[:, None]
    assert (np.diff(found.apply(probability, ("AF",))[:, 0]) > 0).all()


def test_an_unknown_method_is_refused():
    with pytest.raises(InputError, match="'beta' is unknown; known: none, temperature, platt, isotonic"):
        fit("beta", [0, 1], [0.2, 0.8])


def reliability(label, probability, **choices):
    return calibration.compute_reliability(np.array(label, float), np.array(probability), **choices)


FOUR = [0, 1, 0, 1], [0.1, 0.2, 0.3, 0.9]


def test_ece_of_four_recordings_in_two_bins_of_equal_width():
    curve = reliability(*FOUR, bins=2, equal_mass=False)
    np.testing.assert_allclose([curve.predicted, curve.observed, curve.count], [[0.2, 0.9], [1 / 3, 1], [3, 1]])
    assert calibration.compute_ece(curve) == pytest.approx(3 / 4 * (1 / 3 - 0.2) + 1 / 4 * 0.1)


def test_ece_of_four_recordings_in_two_bins_of_equal_mass():
    curve = reliability(*FOUR, bins=2)
    np.testing.assert_allclose([curve.predicted, curve.observed, curve.count], [[0.15, 0.6], [0.5, 0.5], [2, 2]])
    assert calibration.compute_ece(curve) == pytest.approx((0.35 + 0.1) / 2)


def test_a_bin_of_equal_width_holds_its_upper_end():
    curve = reliability([0, 0, 1, 1], [0.0, 0.1, 0.1001, 1.0], equal_mass=False)
    np.testing.assert_array_equal(curve.count, [2, 1, 1])
    edges = np.arange(1, 11) / 10
    np.testing.assert_array_equal(reliability(np.zeros(10), edges, equal_mass=False).count, np.ones(10))


def test_equal_probabilities_share_a_bin():
    np.testing.assert_array_equal(reliability([0, 1, 1, 1], [0.5] * 4).count, [4])
    np.testing.assert_array_equal(reliability([0] * 10, [0.2] * 8 + [0.3, 0.4], bins=5).count, [8, 2])
    np.testing.assert_array_equal(reliability([0] * 100, np.linspace(0, 1, 100)).count, [10] * 10)


def decompose(label, probability, **choice):
    return calibration.decompose_brier(
        label, probability, calibration.compute_reliability(label, probability, **choice)
    )


def test_unknown_labels_are_in_no_bin():
    curve = reliability([NAN, *FOUR[0], NAN], [0.0, *FOUR[1], 1.0], bins=2)
    np.testing.assert_array_equal(curve.count, [2, 2])
    empty = reliability([NAN, NAN], [0.1, 0.2])
    assert empty.count.size == 0
    assert np.isnan(calibration.compute_ece(empty))
    assert np.isnan([*decompose(np.array([NAN]), np.array([0.5])).values()]).all()


def test_the_brier_score_falls_apart_by_hand():
    # bins 0.2 (one of two positive) and 0.8 (both); 3/4 are positive
    found = decompose(np.array([0.0, 1, 1, 1]), np.array([0.2, 0.2, 0.8, 0.8]), bins=2)
    expected = {
        "brier": (0.04 + 0.64 + 0.04 + 0.04) / 4,
        "miscalibration": (0.3**2 + 0.2**2) / 2,
        "resolution": (0.25**2 + 0.25**2) / 2,
        "uncertainty": 3 / 16,
        "within_bins": 0,
    }
    assert found == pytest.approx(expected, abs=1e-12)


@given(st.lists(st.tuples(st.sampled_from([0.0, 1.0, NAN]), st.floats(0, 1)), min_size=1, max_size=30))
def test_the_parts_of_the_brier_score_add_up(pairs):
    label, probability = np.array(pairs).T
    found = decompose(label, probability, bins=4)
    total = found["miscalibration"] - found["resolution"] + found["uncertainty"] + found["within_bins"]
    assert found["brier"] == pytest.approx(total, nan_ok=True)
    if np.isfinite(total):
        assert found["brier"] == pytest.approx(np.nanmean((probability - label) ** 2))
        assert found["resolution"] <= found["uncertainty"] + 1e-12


# Newcombe 1998, Stat Med 17:857-872, table I, method 3


def test_labels_can_be_left_as_they_are_for_a_reason():
    found = calibration.Calibration("platt", {name: {"slope": 0.5, "intercept": 1.0} for name in "ab"})
    left = found.leave(["b"], "fewer than 5 positives")
    probabilities = np.array([[0.3, 0.3]])
    assert left.apply(probabilities, "ab")[0, 1] == 0.3
    assert left.apply(probabilities, "ab")[0, 0] == found.apply(probabilities, "ab")[0, 0] != 0.3
    assert left.maps["b"]["reason"] == "fewer than 5 positives"
