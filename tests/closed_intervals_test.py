"""Intervals that need no resampling: of one label, and of differences of two proportions of the same recordings."""

import warnings

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from ecg_jax.evaluation import auroc_intervals, closed_intervals, tally
from ecg_jax.evaluation.closed_intervals import compute_wilson
from ecg_jax.evaluation.settings import Settings


def draw(size=80, seed=0):
    rng = np.random.default_rng(seed)
    label = (rng.random(size) < 0.3).astype(float)
    return label, np.round(rng.normal(size=size) + 1.5 * label, 1)


def find(label, score, unit=None):
    known = ~np.isnan(label)
    average_precision = average_precision_score(label[known], score[known])
    return closed_intervals.find(label, score, score > 1, average_precision, unit)


def test_each_recording_a_patient_is_as_without_patients():
    label, score = draw()
    one, other = find(label, score), find(label, score, np.arange(80))
    assert set(one) == {"auroc", "average_precision", "f1", "precision", "recall", "specificity", "npv"}
    for name, ends in one.items():
        np.testing.assert_allclose(other[name], ends, rtol=1e-12)
    np.testing.assert_allclose(one["auroc"], auroc_intervals.find_interval(label > 0, score))
    positives, value = label.sum(), average_precision_score(label, score)
    np.testing.assert_allclose(one["average_precision"], compute_wilson(value * positives, positives))


@pytest.mark.parametrize("is_perfect", [False, True])
def test_recordings_that_are_repeated_under_their_patient_change_nothing(is_perfect):
    label, score = draw()
    label[:3] = np.nan
    score = 3 * label if is_perfect else score
    score[:3] = 0
    found = find(np.tile(label, 5), np.tile(score, 5), np.tile(np.arange(80), 5))
    for name, ends in find(label, score).items():
        np.testing.assert_allclose(found[name], ends, rtol=1e-9, err_msg=name)


def test_influences_are_derivatives_by_the_weights():
    label, score = draw()
    counted, weights = tally.create(label, score, score > 1), np.ones((80, 80)) + 1e-6 * np.eye(80)
    values = tally.compute_scores(counted, weights, Settings())["average_precision"]
    slope = (values - average_precision_score(label, score)) / 1e-6
    found = closed_intervals.measure_influence(label > 0, score)
    np.testing.assert_allclose(found, slope, atol=1e-7)
    assert found.sum() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    "hits, count, low, high",
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilsons_interval_as_published(hits, count, low, high):
    np.testing.assert_allclose(compute_wilson(np.array(hits), np.array(count)), [low, high], atol=5e-5)


def test_wilsons_interval_of_all_mirrors_that_of_none_and_of_nothing_is_undefined():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        low, high = compute_wilson(np.array([20, 0]), np.array([20, 0]))
    np.testing.assert_allclose([low, high], [[1 - 0.1611, np.nan], [1, np.nan]], atol=5e-5)


def arrange(both, first, second, neither):
    counts = (both, first, second, neither)
    return np.repeat([True, True, False, False], counts), np.repeat([True, False, True, False], counts)


def wilson(hits, total, z=1.959963984540054):
    middle, share = hits + z**2 / 2, hits / total
    reach = z * np.sqrt(total * share * (1 - share) + z**2 / 4)
    return np.array([middle - reach, middle + reach]) / (total + z**2)


@pytest.mark.parametrize(
    ("counts", "phi"),
    [
        ((36, 12, 2, 0), -24 / np.sqrt(48 * 2 * 38 * 12)),  # 36 * 0 - 12 * 2
        ((20, 9, 4, 7), (140 - 36 - 20) / np.sqrt(29 * 11 * 24 * 16)),  # less half of 40
        ((20, 9, 9, 5), 0),  # 100 - 81 less half of 43 would be below 0
        ((36, 14, 0, 0), 0),
    ],
)
def test_method_10_by_hand(counts, phi):
    both, first, second, _ = counts
    total = sum(counts)
    one, two = (both + first) / total, (both + second) / total
    (low_one, high_one), (low_two, high_two) = wilson(both + first, total), wilson(both + second, total)
    down, up = (one - low_one, high_two - two), (high_one - one, two - low_two)
    expected = [
        one - two - np.sqrt(down[0] ** 2 - 2 * phi * down[0] * down[1] + down[1] ** 2),
        one - two + np.sqrt(up[0] ** 2 - 2 * phi * up[0] * up[1] + up[1] ** 2),
    ]
    np.testing.assert_allclose(closed_intervals.find_difference(*arrange(*counts)), expected)


def test_exchanging_the_models_changes_the_sign():
    one, two = arrange(20, 9, 4, 7)
    low, high = closed_intervals.find_difference(one, two)
    np.testing.assert_allclose(closed_intervals.find_difference(two, one), [-high, -low])


def test_models_that_never_differ_may_yet_differ_elsewhere():
    low, high = closed_intervals.find_difference(*arrange(30, 0, 0, 2))
    assert low < 0 < high
    assert np.isnan(closed_intervals.find_difference(*arrange(0, 0, 0, 0))).all()


def test_a_difference_does_not_change_where_recordings_are_repeated_under_their_patient():
    one, two = arrange(20, 9, 4, 7)
    expected = closed_intervals.find_difference(one, two)
    unit = np.tile(np.arange(40), 5)
    np.testing.assert_allclose(closed_intervals.find_difference(np.tile(one, 5), np.tile(two, 5), unit), expected)
    single = closed_intervals.find_difference(np.tile(one, 5), np.tile(two, 5))
    assert single[1] - single[0] < (expected[1] - expected[0]) / 2


def test_the_interval_keeps_its_level_with_few_patients():
    # 12 patients of five recordings; both models are right in 0.8, by a patient's part in common
    rng, unit, inside = np.random.default_rng(0), np.repeat(np.arange(12), 5), {"patients": 0, "recordings": 0}
    for _ in range(200):
        parts = rng.normal(size=(12, 2)) @ np.linalg.cholesky([[1, 0.3], [0.3, 1]]).T
        right = np.sqrt(0.7) * parts[unit] + np.sqrt(0.3) * rng.normal(size=(60, 2)) < 0.8416
        for name, members in (("patients", unit), ("recordings", None)):
            low, high = closed_intervals.find_difference(right[:, 0], right[:, 1], members)
            inside[name] += low <= 0 <= high
    assert inside["patients"] / 200 > 0.92
    assert inside["recordings"] / 200 < 0.85
