"""Agreement of readers, by hand and as published."""

import warnings

import numpy as np
import pytest

from ecg_jax.evaluation import agreement

NAN = np.nan
Z95 = 1.959963984540054


def test_pairs_are_counted_where_both_read():
    a, b = np.array([0, 0, 1, 1, 1, NAN, 0]), np.array([0, 1, 0, 1, 1, 1, NAN])
    np.testing.assert_array_equal(agreement.count_pairs(a, b), [[1, 1], [1, 2]])


def test_kappa_and_its_interval_by_hand():
    # agreement 0.7, by chance 0.5 * 0.6 + 0.5 * 0.4 = 0.5: kappa 0.4
    # variance (Fleiss, Cohen & Everitt 1969, formula 13), from shares 0.4, 0.1, 0.2, 0.3:
    # agreeing 0.4 (1 - 1.1 * 0.6)^2 + 0.3 (1 - 0.9 * 0.6)^2 = 0.10972
    # differing 0.6^2 (0.1 (0.6 + 0.5)^2 + 0.2 (0.4 + 0.5)^2) = 0.10188
    # less (0.4 - 0.5 * 0.6)^2 = 0.01; over 50 * 0.5^2
    error = np.sqrt((0.10972 + 0.10188 - 0.01) / 12.5)
    found = agreement.compute_kappa(np.array([[20, 5], [10, 15]]))
    np.testing.assert_allclose(found, [0.4, 0.4 - Z95 * error, 0.4 + Z95 * error])


def test_where_one_reader_never_differs_kappa_is_zero_without_error():
    # as SAS has it (PROC FREQ AGREE, with zero weights): kappa 0, limits 0 and 0
    np.testing.assert_allclose(agreement.compute_kappa(np.array([[0, 3], [0, 3]])), [0, 0, 0], atol=1e-12)


def test_kappa_does_not_depend_on_who_is_first_or_what_is_present():
    counts = np.array([[40, 3], [7, 11]])
    for other in (counts.T, counts[::-1, ::-1]):
        np.testing.assert_allclose(agreement.compute_kappa(other), agreement.compute_kappa(counts))


def test_perfect_agreement_is_1_and_perfect_disagreement_minus_1():
    np.testing.assert_allclose(agreement.compute_kappa(np.array([[7, 0], [0, 5]])), [1, 1, 1])
    assert agreement.compute_kappa(np.array([[0, 6], [6, 0]]))[0] == pytest.approx(-1)


@pytest.mark.parametrize("counts", [[[0, 0], [0, 0]], [[9, 0], [0, 0]], [[0, 0], [0, 7]]])
def test_kappa_is_undefined_where_chance_explains_all(counts):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isnan(agreement.compute_kappa(np.array(counts))).all()


def test_the_interval_of_kappa_keeps_its_level():
    shares = np.array([0.4, 0.1, 0.2, 0.3])
    tables = np.random.default_rng(0).multinomial(300, shares, size=1000).reshape(-1, 2, 2)
    ends = np.array([agreement.compute_kappa(table)[1:] for table in tables])
    covered = np.mean((ends[:, 0] <= 0.4) & (ends[:, 1] >= 0.4))
    assert covered == pytest.approx(0.95, abs=0.03)  # 4 deviations of 1,000 tables


# Fleiss 1971, table 1: what six psychiatrists called each of 30 patients (1 depression, 2 personality disorder,
# 3 schizophrenia, 4 neurosis, 5 other); kappas of single categories as in its section on them
DIAGNOSES = """
444444 222555 233335 555555 222444 113333 333355 113334 114444 555555 144444 124444 222333 144444 224445
333335 111455 111112 224444 133555 555555 244444 224555 114444 144445 222224 111155 224444 133333 555555"""


@pytest.mark.parametrize("category, kappa", [("1", 0.245), ("2", 0.245), ("3", 0.520), ("4", 0.471), ("5", 0.566)])
def test_fleiss_kappa_of_his_own_example(category, kappa):
    readings = np.array([[reading == category for reading in patient] for patient in DIAGNOSES.split()], float)
    found, low, high = agreement.compute_fleiss_kappa(readings, resamples=200)
    assert found == pytest.approx(kappa, abs=5e-4)
    assert low < found < high


def test_fleiss_kappa_of_two_readers_by_hand():
    # pairs agree in 3 of 4; 3 of 8 readings are present, so that chance agrees in (9 + 25) / 64
    found, low, high = agreement.compute_fleiss_kappa(np.array([[1.0, 1], [0, 0], [1, 0], [0, 0]]), resamples=0)
    assert found == pytest.approx((48 - 34) / (64 - 34))
    assert np.isnan([low, high]).all()


@pytest.mark.parametrize(
    "readings", [np.zeros((5, 3)), np.ones((5, 3)), np.full((5, 3), NAN), np.ones((5, 1)), np.ones((0, 3))]
)
def test_fleiss_kappa_is_undefined_where_nobody_differs_or_nobody_reads(readings):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isnan(agreement.compute_fleiss_kappa(readings, resamples=50)).all()


def test_recordings_that_not_everyone_read_are_left_out_of_a_panel():
    readings = np.array([[1, 1, 0], [0, 0, 0], [1, 1, 1], [0, 1, 0]], float)
    more = np.concatenate([readings, [[1, NAN, 0], [NAN, NAN, NAN]]])
    assert agreement.compute_fleiss_kappa(more) == agreement.compute_fleiss_kappa(readings)


@pytest.mark.parametrize(
    "only_a, only_b, method, p",
    [
        # 9 and 5: 2 (1 + 14 + 91 + 364 + 1001 + 2002) / 2^14; 16 / 14 = 1.1429; 9 / 14 = 0.6429
        (9, 5, "exact", 6946 / 16384),
        (9, 5, "asymptotic", 0.28505),
        (9, 5, "corrected", 0.42268),
        # Agresti 2002, table 10.1: approval in two surveys, 150 and 86: z = -4.17
        (150, 86, "asymptotic", 3.1e-5),
        (1, 8, "exact", 2 * 10 / 512),
        (6, 6, "exact", 1),
        (6, 6, "corrected", 1),
        (0, 1, "exact", 1),
        (0, 0, "exact", 1),
        (0, 0, "asymptotic", 1),
    ],
)
def test_mcnemar(only_a, only_b, method, p):
    assert agreement.compute_mcnemar(only_a, only_b, method=method) == pytest.approx(p, rel=1e-2 if p < 1e-3 else 1e-4)
    assert agreement.compute_mcnemar(only_b, only_a, method=method) == agreement.compute_mcnemar(
        only_a, only_b, method=method
    )


def test_an_unknown_test_is_refused():
    with pytest.raises(ValueError, match="'mid'; known: exact, asymptotic, corrected"):
        agreement.compute_mcnemar(3, 4, method="mid")


@pytest.mark.parametrize(
    "p, adjusted",
    [
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),  # 4 * 0.005, 3 * 0.01, 2 * 0.03, no less than that
        ([0.5, 0.6], [1, 1]),
        ([NAN, 0.02, NAN, 0.01], [NAN, 0.02, NAN, 0.02]),
        ([0.02, 0.02], [0.04, 0.04]),
        ([NAN], [NAN]),
        ([], []),
    ],
)
def test_holm(p, adjusted):
    np.testing.assert_allclose(agreement.adjust_holm(p), adjusted)


READERS = {
    "network": np.array([[1, 0], [1, 0], [0, 0], [0, 0], [1, NAN]]),
    "resident": np.array([[1, 0], [0, 0], [0, 1], [1, 0], [NAN, 0]]),
    "student": np.array([[1, 0], [1, 0], [1, 1], [0, 0], [0, 0]]),
}
TRUTH = np.array([[1, 0], [1, 0], [0, 1], [0, NAN], [1, 0]])


def test_every_two_readers_are_compared():
    table = agreement.compare_readers(READERS, ("AF", "SB")).set_index(["readers", "label"])
    assert [*table.index.get_level_values(0)[::2]] == [
        "network vs resident",
        "network vs student",
        "resident vs student",
    ]
    # network and resident, AF: 1 1, 1 0, 0 0, 0 1
    assert table.loc[("network vs resident", "AF"), ["n", "agree", "kappa"]].tolist() == [4, 0.5, 0]
    assert table.loc[("network vs resident", "SB"), ["n", "agree", "kappa"]].tolist() == [4, 0.75, 0]
    assert table.loc[("resident vs student", "SB"), ["n", "agree", "kappa"]].tolist() == [5, 1, 1]


def test_errors_of_every_two_readers_are_compared():
    table = agreement.compare_errors(READERS, TRUTH, ("AF", "SB")).set_index(["readers", "label"])
    # AF of network and resident where both read: right right, right wrong, right right, right wrong
    row = table.loc[("network vs resident", "AF")]
    assert row[["only_first_right", "only_second_right", "p_exact", "p_holm"]].tolist() == [2, 0, 0.5, 1]
    assert table.loc[("network vs resident", "SB"), ["only_first_right", "only_second_right"]].tolist() == [0, 1]
    # AF of resident and student: 1 1, 0 1 (wrong, right), 0 1 (right, wrong), 1 0 (wrong, right)
    assert table.loc[("resident vs student", "AF"), ["only_first_right", "only_second_right"]].tolist() == [1, 2]


def test_the_panel_has_a_row_per_label():
    table = agreement.summarize_panel(READERS, ("AF", "SB"), resamples=50, level=0.9, seed=0)
    assert table["label"].tolist() == ["AF", "SB"]
    assert table["readers"].tolist() == [3, 3]
    assert table["n"].tolist() == [4, 4]
