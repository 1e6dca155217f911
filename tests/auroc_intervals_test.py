"""AUROC intervals and the paired test, against hand computation, pROC's numbers and all pairs."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecg_jax.evaluation.auroc_intervals import compare, compute_covariance, compute_score_interval, find_interval

Z95 = 1.959963984540054

# Subarachnoid hemorrhage, 41 patients of poor and 72 of good outcome: Turck et al. (2010), Intensive Care Med
# 36:107-115, data set aSAH of the R package pROC (Robin et al. 2011, BMC Bioinformatics 12:77). WFNS is the grade;
# S100 is no concentration but a score of the same order, from the placements that pROC's tests list
# (helper-deLongPlacementsCpp-expected.R). Expected are the numbers of its test-cov.R, test-var.R, test-roc.test.R.
WFNS_POOR = "32455552521254425552525245441442255225555"
WFNS_GOOD = "111151221221112121134141551124112212122111121211324214115422111312244111"
S100_POOR = """
81 63 103 78 130 144 140 26 123 50 26 128 126 139 144 118 144 144 144 26 144 120 0 50 116 144 118 144 38 118 81 63 74
116 144 88 144 121 144 144 130"""
S100_GOOD = """
81 88 63 10 134 111 63 63 10 38 10 50 74 26 111 26 74 81 111 10 103 88 125 50 142 134 103 26 129 134 74 38 50 38 10 81
63 88 96 10 10 50 10 50 38 103 50 38 123 74 119 26 63 121 26 10 117 127 63 96 38 88 63 26 10 111 96 134 111 96 142
139"""
POOR = np.arange(113) < 41
WFNS = np.array([int(grade) for grade in WFNS_POOR + WFNS_GOOD])
S100 = np.array([int(score) for score in (S100_POOR + S100_GOOD).split()])


def covariance_over_all_pairs(truth, scores):
    """The definition: components as means of the kernel (1, one half, 0) over all pairs."""
    positive, negative = scores[truth][:, None], scores[~truth][None]
    kernel = (positive > negative) + (positive == negative) / 2
    aurocs = kernel.mean(axis=(0, 1))
    parts = [kernel.mean(axis=axis) - aurocs for axis in (1, 0)]
    return aurocs, sum(part.T @ part / (len(part) - 1) / len(part) for part in parts)


def hanley_mcneil(auroc, positives, negatives):
    """Variance by the probabilities that one beats two, each class of the mean count."""
    one, two = auroc / (2 - auroc), 2 * auroc**2 / (1 + auroc)
    others = (positives + negatives) / 2 - 1
    return (auroc * (1 - auroc) + others * (one + two - 2 * auroc**2)) / (positives * negatives)


def test_two_positives_and_three_negatives_by_hand():
    # positives 2 and 4 against 1, 2, 3: 2 wins 1, ties 2, loses 3 (1.5 / 3); 4 wins all (1): AUROC 0.75
    # negatives 1, 2, 3: both above (1); one tied, one above (0.75); one above (0.5)
    # variance: (0.25^2 + 0.25^2) / 1 / 2 + (0.25^2 + 0 + 0.25^2) / 2 / 3 = 0.0625 + 0.0208333
    aurocs, covariance = compute_covariance(np.array([1, 1, 0, 0, 0], bool), np.array([[2.0], [4], [1], [2], [3]]))
    np.testing.assert_allclose(aurocs, [0.75])
    np.testing.assert_allclose(covariance, [[1 / 12]])


def test_two_scores_by_hand():
    # a: positives 1, 4, negatives 2, 3: components 0, 1 and 0.5, 0.5; variance 0.5 / 2 + 0
    # b: positives 2, 4, negatives 1, 3: components 0.5, 1 and 1, 0.5; variance 0.125 / 2 + 0.125 / 2
    # together: (-0.5)(-0.25) + (0.5)(0.25) = 0.25 over 1 over 2, and 0
    truth, a, b = np.array([1, 1, 0, 0], bool), np.array([1.0, 4, 2, 3]), np.array([2.0, 4, 1, 3])
    aurocs, covariance = compute_covariance(truth, np.stack([a, b], axis=1))
    np.testing.assert_allclose(aurocs, [0.5, 0.75])
    np.testing.assert_allclose(covariance, [[0.25, 0.125], [0.125, 0.125]])
    # the difference -0.25, its variance 0.25 + 0.125 - 2 * 0.125
    found = compare(truth, a, b)
    assert found.z == pytest.approx(-0.25 / 0.125**0.5)
    assert found.low == pytest.approx(-0.25 - Z95 * 0.125**0.5)


def test_covariance_of_a_published_example():
    aurocs, covariance = compute_covariance(POOR, np.stack([WFNS, S100], axis=1))
    np.testing.assert_allclose(aurocs, [0.823678861788618, 0.731368563685637], rtol=1e-12)
    expected = [[0.00146991470882363, 0.00119615567376754], [0.00119615567376754, 0.00266868245717244]]
    np.testing.assert_allclose(covariance, expected, rtol=1e-12)


def test_comparison_of_a_published_example():
    found = compare(POOR, WFNS, S100)
    assert found.z == pytest.approx(2.20898359144091, rel=1e-12)
    assert found.p == pytest.approx(0.0271757822291882, rel=1e-10)
    assert found.low == pytest.approx(0.0104061769564846, rel=1e-10)
    assert found.high == pytest.approx(0.174214419249478, rel=1e-10)


@st.composite
def tied_scores(draw):
    positives, negatives, columns = (draw(st.integers(low, high)) for low, high in [(2, 12), (2, 12), (1, 3)])
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    truth = rng.permutation(np.arange(positives + negatives) < positives)
    return truth, rng.integers(0, draw(st.integers(1, 20)), (truth.size, columns)) + truth[:, None] * 0.5


@settings(max_examples=100, deadline=None)
@given(tied_scores())
def test_midranks_equal_all_pairs(case):
    for found, expected in zip(compute_covariance(*case), covariance_over_all_pairs(*case), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-14)


@settings(max_examples=50, deadline=None)
@given(tied_scores())
def test_exchanging_the_scores_changes_the_sign(case):
    truth, scores = case
    a, b = scores[:, 0], scores[:, -1][::-1]
    one, other = compare(truth, a, b), compare(truth, b, a)
    expected = [-one.difference, -one.high, -one.low, -one.z, one.p]
    np.testing.assert_allclose([other.difference, other.low, other.high, other.z, other.p], expected, atol=1e-12)


def test_a_monotone_transform_is_no_difference():
    found = compare(POOR, S100, np.exp(S100 / 10))
    assert (found.difference, found.low, found.high, found.z, found.p) == (0, 0, 0, 0, 1)


def test_only_the_order_counts():
    truth = np.array([1, 1, 0, 0], bool)
    aurocs, _ = compute_covariance(truth, np.array([[np.inf], [5], [1e300], [-np.inf]]))
    np.testing.assert_allclose(aurocs, [0.75])


@pytest.mark.parametrize(
    ("truth", "auroc"), [([0, 0, 0], np.nan), ([1, 1, 1], np.nan), ([1, 0, 0], 1), ([1, 1, 0], 0.5), ([], np.nan)]
)
def test_without_two_of_each_class_the_covariance_is_undefined(truth, auroc):
    truth, scores = np.array(truth, bool), np.array([[3.0], [1], [2]])[: len(truth)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        aurocs, covariance = compute_covariance(truth, scores)
        found = compare(truth, scores[:, 0], -scores[:, 0])
    np.testing.assert_array_equal(aurocs, [auroc])
    assert np.isnan(covariance).all()
    assert covariance.shape == (1, 1)
    assert np.isnan([found.low, found.high, found.z, found.p]).all()


def test_unequal_aurocs_without_variance_are_not_compared():
    found = compare(np.array([1, 1, 0, 0], bool), np.array([4.0, 3, 2, 1]), np.zeros(4))
    assert found.difference == 0.5
    assert np.isnan([found.low, found.high, found.z, found.p]).all()


def test_the_score_interval_of_one_pair_is_wilsons():
    # one trial, one success: from 1 / (1 + z^2) to 1
    np.testing.assert_allclose(compute_score_interval(1, 1, 1), [1 / (1 + Z95**2), 1])


@pytest.mark.parametrize("auroc", [0.5, 0.8, 0.99])
@pytest.mark.parametrize(("positives", "negatives"), [(1, 2), (5, 300), (30, 30), (1000, 20000)])
def test_the_score_limits_are_z_standard_errors_away(auroc, positives, negatives):
    for limit in compute_score_interval(auroc, positives, negatives):
        error = np.sqrt(hanley_mcneil(limit, positives, negatives))
        assert abs(limit - auroc) == pytest.approx(Z95 * error, rel=1e-6)


@given(st.floats(0, 1), st.integers(1, 50), st.integers(1, 2000))
def test_the_score_interval_holds_the_auroc_and_mirrors(auroc, positives, negatives):
    low, high = compute_score_interval(auroc, positives, negatives)
    assert 0 <= low <= auroc <= high <= 1
    assert low < high
    mirrored = compute_score_interval(1 - auroc, negatives, positives)
    np.testing.assert_allclose(mirrored, [1 - high, 1 - low], atol=1e-12)


def test_the_score_interval_keeps_its_level_where_delongs_does_not():
    # binormal, AUROC 0.95 (shift sqrt(2) * 1.6448536), 5 positives, 100 negatives
    rng = np.random.default_rng(0)
    truth, hits = np.arange(105) < 5, {"delong": 0, "score": 0}
    for _ in range(400):
        scores = rng.normal(size=(105, 1)) + truth[:, None] * 2**0.5 * 1.6448536
        (auroc,), ((variance,),) = compute_covariance(truth, scores)
        for name, (low, high) in {
            "delong": (auroc - Z95 * variance**0.5, auroc + Z95 * variance**0.5),
            "score": compute_score_interval(auroc, 5, 100),
        }.items():
            hits[name] += low <= 0.95 <= high
    assert hits["score"] / 400 > 0.94
    assert hits["delong"] / 400 < 0.9


@pytest.mark.parametrize(("auroc", "positives", "negatives"), [(np.nan, 5, 5), (np.nan, 0, 5), (np.nan, 5, 0)])
def test_an_undefined_auroc_has_no_interval(auroc, positives, negatives):
    assert np.isnan(compute_score_interval(auroc, positives, negatives)).all()


def test_errors_name_the_value_and_the_rule():
    with pytest.raises(ValueError, match=r"level is 95; it must be in \(0, 1\)"):
        compute_score_interval(0.9, 5, 5, level=95)
    with pytest.raises(ValueError, match=r"truth is \(3,\), scores \(2, 1\)"):
        compute_covariance(np.ones(3, bool), np.ones((2, 1)))
    with pytest.raises(ValueError, match="a score is NaN"):
        compute_covariance(np.array([True, False]), np.array([[0.1], [np.nan]]))


def test_the_covariance_of_patients_by_hand():
    # a: patient 0 has positives 2 and 4, patient 1 positive 3, patients 2 and 3 negatives 1 and 3; AUROC 4.5 / 6
    # components of positives 0.5, 1, 0.75 less 0.75: sums per patient 0, 0; of negatives 1, 0.5 less 0.75
    truth, unit = np.array([1, 1, 1, 0, 0], bool), np.array([0, 0, 1, 2, 3])
    aurocs, covariance = compute_covariance(truth, np.array([[2.0], [4], [3], [1], [3]]), unit)
    np.testing.assert_allclose(aurocs, [0.75])
    np.testing.assert_allclose(covariance, [[0 + 2 / 1 * 2 * 0.25**2 / 2**2]])
    # a patient with the positive 4 and the negative 1, another with 2 and 3: components 1, 0.5 and 1, 0.5
    # 2 (0.25^2 + 0.25^2) / 2^2 of either, and twice 2 (0.25 * 0.25 + 0.25 * 0.25) / 2^2
    truth, unit = np.array([1, 1, 0, 0], bool), np.array([0, 1, 0, 1])
    _, covariance = compute_covariance(truth, np.array([[4.0], [2], [1], [3]]), unit)
    np.testing.assert_allclose(covariance, [[4 * 2 * (2 * 0.25**2) / 4]])


@settings(max_examples=25, deadline=None)
@given(tied_scores(), st.integers(1, 6))
def test_recordings_that_are_repeated_under_their_patient_change_nothing(case, copies):
    truth, scores = case
    unit, one = np.repeat(np.arange(len(truth)), copies), compare(truth, scores[:, 0], scores[:, -1][::-1])
    again, others = (np.repeat(each, copies, axis=0) for each in (truth, scores))
    np.testing.assert_allclose(
        compute_covariance(again, others, unit)[1], compute_covariance(truth, scores)[1], atol=1e-12
    )
    np.testing.assert_allclose(find_interval(again, others[:, 0], unit), find_interval(truth, scores[:, 0]), atol=1e-9)
    found = compare(again, others[:, 0], np.repeat(scores[:, -1][::-1], copies), unit)
    for name in ("difference", "low", "high", "p"):
        assert getattr(found, name) == pytest.approx(getattr(one, name), abs=1e-9, nan_ok=True)


def test_the_covariance_of_patients_is_that_of_a_bootstrap_over_them():
    # 60 patients of 1 to 6 recordings, some with both classes
    rng, unit = np.random.default_rng(0), np.repeat(np.arange(60), np.arange(60) % 6 + 1)
    truth = rng.random(len(unit)) < np.repeat(rng.choice([0.1, 0.6], 60), np.arange(60) % 6 + 1)
    scores = (rng.normal(size=(60, 2))[unit] + rng.normal(size=(len(unit), 2)) + truth[:, None]) @ [[1, 0.5], [0, 1]]
    members = [np.flatnonzero(unit == patient) for patient in range(60)]
    drawn = [np.concatenate([members[i] for i in rng.integers(60, size=60)]) for _ in range(500)]
    values = np.array([compute_covariance(truth[rows], scores[rows])[0] for rows in drawn])
    expected = np.cov(values, rowvar=False) * 60 / 59
    np.testing.assert_allclose(compute_covariance(truth, scores, unit)[1], expected, rtol=0.2)


def test_few_patients_make_a_difference_less_sure_but_no_less_than_if_their_recordings_said_the_same():
    rng, unit = np.random.default_rng(1), np.repeat(np.arange(8), 10)
    truth = unit < 4
    scores = rng.normal(size=(8, 2))[unit] + rng.normal(size=(80, 2)) + truth[:, None]
    found, (_, covariance) = compare(truth, *scores.T, unit), compute_covariance(truth, scores, unit)
    plain = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    assert plain < ((found.high - found.low) / 2 / Z95) ** 2 <= plain * (3.182446 / 2.022691) ** 2


def test_the_interval_of_few_patients_keeps_its_level():
    # 5 positive and 25 other patients of ten recordings each, which are alike by half; binormal, AUROC 0.8
    rng, unit, hits = np.random.default_rng(0), np.repeat(np.arange(30), 10), {"patients": 0, "recordings": 0}
    truth = unit < 5
    for _ in range(150):
        score = (rng.normal(size=30)[unit] + rng.normal(size=300)) / 2**0.5 + truth * 2**0.5 * 0.8416212
        for name, members in (("patients", unit), ("recordings", None)):
            low, high = find_interval(truth, score, members)
            hits[name] += low <= 0.8 <= high
    assert hits["patients"] / 150 > 0.92
    assert hits["recordings"] / 150 < 0.75
