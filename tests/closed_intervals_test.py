"""Intervals of one label that need no resampling."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from ecg_jax.evaluation import closed_intervals, delong, tally
from ecg_jax.evaluation.calibration import compute_wilson
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
    np.testing.assert_allclose(one["auroc"], delong.find_interval(label > 0, score))
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
