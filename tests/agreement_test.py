"""Agreement of readers, by hand and as published."""

import itertools
import warnings

import numpy as np
import pytest
import scipy.stats

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


def brute(differences):
    """Share of all signs of the differences whose sum is as far from 0."""
    signs = np.array(list(itertools.product((-1, 1), repeat=len(differences))))
    return np.mean(np.abs(signs @ differences) >= abs(sum(differences)))


@pytest.mark.parametrize("differences", [[3, 1, -1, 2], [5, 5, -5, 10], [1, -4, 2, 2, 3, -1, 1, 1], [2], [-1, 0, 7, 7]])
def test_mcnemar_of_patients_gives_each_difference_both_signs(differences):
    found = agreement.compute_clustered_mcnemar(np.array(differences))
    assert found == pytest.approx(brute([each for each in differences if each]))


def test_mcnemar_of_patients_by_hand():
    # sum 5, squares 9 + 1 + 1 + 4: 25 / 15; corrected 16 / 15
    differences = np.array([3, 1, -1, 2])
    for method, square in (("asymptotic", 25 / 15), ("corrected", 16 / 15)):
        p = agreement.compute_clustered_mcnemar(differences, method=method)
        assert p == pytest.approx(scipy.stats.chi2.sf(square, 1))
    assert agreement.compute_clustered_mcnemar(np.zeros(3, int)) == 1


@pytest.mark.parametrize("method", ["exact", "asymptotic", "corrected"])
@pytest.mark.parametrize("copies", [1, 5])
def test_recordings_repeated_under_their_patient_do_not_change_mcnemars_p(method, copies):
    differences = np.repeat([1, -1, 0], [9, 5, 20]) * copies
    assert agreement.compute_clustered_mcnemar(differences, method=method) == pytest.approx(
        agreement.compute_mcnemar(9, 5, method=method)
    )


def test_mcnemar_of_many_patients_is_fast_and_near_the_asymptotic_one():
    rng = np.random.default_rng(0)
    for size in (600, 60_000):
        differences = rng.integers(-4, 6, size=size)
        differences[rng.random(size) < 0.5] *= -1
        exact, asymptotic = (
            agreement.compute_clustered_mcnemar(differences, method=m) for m in ("exact", "asymptotic")
        )
        assert exact == pytest.approx(asymptotic, abs=0.02)


def test_the_variance_of_kappa_counts_patients():
    rng = np.random.default_rng(0)
    a = (rng.random(200) < 0.3).astype(float)
    b = np.where(rng.random(200) < 0.2, 1 - a, a)
    unit = np.repeat(np.arange(200), 5)
    assert agreement.measure_kappa_effect(a, b, np.arange(200)) == 1
    effect = agreement.measure_kappa_effect(np.repeat(a, 5), np.repeat(b, 5), unit)
    np.testing.assert_allclose(
        agreement.compute_kappa(5 * agreement.count_pairs(a, b), effect=effect),
        agreement.compute_kappa(agreement.count_pairs(a, b)),
    )


def test_the_variance_of_kappa_is_that_of_a_bootstrap_over_patients():
    rng, unit = np.random.default_rng(0), np.repeat(np.arange(80), np.arange(80) % 5 + 1)
    parts = rng.normal(size=(80, 2)) @ [[1, 0.6], [0, 0.8]]
    a, b = (parts[unit] + 0.7 * rng.normal(size=(len(unit), 2)) > 0.3).T.astype(float)
    members = [np.flatnonzero(unit == patient) for patient in range(80)]
    drawn = [np.concatenate([members[i] for i in rng.integers(80, size=80)]) for _ in range(600)]
    values = [agreement.compute_kappa(agreement.count_pairs(a[rows], b[rows]))[0] for rows in drawn]
    effect = agreement.measure_kappa_effect(a, b, unit)
    kappa, low, _ = agreement.compute_kappa(agreement.count_pairs(a, b), effect=effect)
    assert effect > 1.15
    assert (kappa - low) / Z95 == pytest.approx(np.std(values), rel=0.15)


def test_kappas_of_few_positives_say_so():
    a, b = np.zeros((50, 2)), np.zeros((50, 2))
    a[:12, 0], b[:4, 0] = 1, 1
    a[:3, 1], b[1:5, 1] = 1, 1
    table = agreement.compare_readers({"x": a, "y": b}, ("AF", "SB")).set_index("label")
    # AF: 12 that either calls, shares 12 and 4 of 50, agreement 42 of 50, PABAK 2 * 0.84 - 1
    assert table.loc["AF", ["positives", "note"]].tolist() == [12, ""]
    np.testing.assert_allclose(table.loc["AF", ["prevalence", "agree", "pabak"]].astype(float), [0.16, 0.84, 0.68])
    assert table.loc["SB", ["positives", "note"]].tolist() == [5, "only 5 positives"]
    unit = np.arange(50) // 6
    table = agreement.compare_readers({"x": a, "y": b}, ("AF", "SB"), unit=unit).set_index("label")
    assert table["note"].tolist() == ["only 12 positives of 2 patients", "only 5 positives of 1 patient"]


def test_errors_count_patients():
    often = {name: np.tile(values, (5, 1)) for name, values in READERS.items()}
    unit = np.tile(np.arange(5), 5)
    names = ("AF", "SB")
    one, five = (
        agreement.compare_errors(READERS, TRUTH, names),
        agreement.compare_errors(often, np.tile(TRUTH, (5, 1)), names, unit=unit),
    )
    assert five["only_first_right"].tolist() == (5 * one["only_first_right"]).tolist()
    np.testing.assert_allclose(five.filter(like="p_"), one.filter(like="p_"))


def test_a_panel_is_drawn_by_patients():
    rng = np.random.default_rng(0)
    truth = rng.random(80) < 0.4
    readings = {name: (truth ^ (rng.random(80) < 0.15)).astype(float)[:, None] for name in "abc"}
    settings = {"resamples": 400, "level": 0.95, "seed": 0}
    one = agreement.summarize_panel(readings, ("AF",), **settings).iloc[0]
    often = {name: np.tile(values, (4, 1)) for name, values in readings.items()}
    four = agreement.summarize_panel(often, ("AF",), **settings, unit=np.tile(np.arange(80), 4)).iloc[0]
    assert four["kappa"] == pytest.approx(one["kappa"])
    np.testing.assert_allclose(
        four[["kappa_low", "kappa_high"]].tolist(), one[["kappa_low", "kappa_high"]].tolist(), atol=0.01
    )


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
