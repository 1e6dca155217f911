"""Scores of predicted numbers: hand-computed, published, against SciPy and scikit-learn, and their intervals."""

import numpy as np
import pytest
import scipy.stats
from sklearn import metrics as sk

from ecg_jax.errors import InputError
from ecg_jax.evaluation import moments, regression
from ecg_jax.evaluation.moments import METRICS
from ecg_jax.evaluation.predictions import Predictions
from ecg_jax.evaluation.settings import Settings
from ecg_jax.kinds import NUMBER

NAN = np.nan
TRUTH = np.array([40.0, 50, 60, 70, 80])
PREDICTED = np.array([44.0, 49, 62, 66, 84])  # wrong by 4, -1, 2, -4, 4
# Peak expiratory flow of 17 people, l/min, by a Wright and a mini Wright meter, first readings: Bland & Altman 1986.
WRIGHT = [494, 395, 516, 434, 476, 557, 413, 442, 650, 433, 417, 656, 267, 478, 178, 423, 427]
MINI_WRIGHT = [512, 430, 520, 428, 500, 600, 364, 380, 658, 445, 432, 626, 260, 477, 259, 350, 451]


def create(truth, predicted, **others):
    truth, predicted = (np.asarray(each, float).reshape(len(each), -1) for each in (truth, predicted))
    names = tuple("ABC"[: truth.shape[1]])
    return Predictions(np.arange(len(truth)).astype(str), names, truth, predicted, kind=NUMBER, **others)


def draw(size, seed=0, noise=8.0):
    """True and predicted ages; the latter regress to the mean."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(60, 15, size)
    return truth, 60 + 0.7 * (truth - 60) + rng.normal(0, noise, size)


def measure(truth, predicted, weights=None):
    weights = np.ones(len(truth)) if weights is None else np.asarray(weights, float)
    return dict(
        zip(METRICS, moments.measure(moments.create(truth, predicted), weights[:, None])[:, 0].tolist(), strict=True)
    )


def score(predictions, **settings):
    return regression.compute(predictions, Settings(**settings)).table.set_index("label")


def test_five_recordings_by_hand():
    row = score(create(TRUTH, PREDICTED), resamples=0).loc["A"]
    assert row["n"] == 5
    assert row["mean"] == 60
    assert row["deviation"] == pytest.approx(250**0.5)
    expected = {
        "mae": 15 / 5,
        "rmse": (53 / 5) ** 0.5,
        "r2": 1 - 53 / 1000,
        "pearson": 970 / (988 * 1000) ** 0.5,
        "calibration_slope": 970 / 988,
        "calibration_intercept": 60 - 61 * 970 / 988,
        "bias": 1,
        "limit_low": 1 - 1.96 * 12**0.5,
        "limit_high": 1 + 1.96 * 12**0.5,
        "mae_constant": (20 + 10 + 0 + 10 + 20) / 5,
    }
    assert row[list(METRICS)].to_dict() == pytest.approx(expected, rel=1e-12)


def test_bland_and_altman_1986():
    found = measure(np.array(MINI_WRIGHT, float), np.array(WRIGHT, float))
    assert found["bias"] == pytest.approx(-2.1, abs=0.05)
    assert (found["limit_high"] - found["limit_low"]) / (2 * 1.96) == pytest.approx(38.8, abs=0.05)
    assert found["pearson"] == pytest.approx(0.94, abs=0.005)


def test_scipy_and_scikit_learn_agree():
    truth, predicted = draw(500)
    found, line = measure(truth, predicted), scipy.stats.linregress(predicted, truth)
    assert found["mae"] == pytest.approx(sk.mean_absolute_error(truth, predicted))
    assert found["rmse"] == pytest.approx(sk.root_mean_squared_error(truth, predicted))
    assert found["r2"] == pytest.approx(sk.r2_score(truth, predicted))
    assert found["pearson"] == pytest.approx(scipy.stats.pearsonr(truth, predicted).statistic)
    assert (found["calibration_slope"], found["calibration_intercept"]) == pytest.approx((line.slope, line.intercept))
    assert found["mae_constant"] == pytest.approx(np.abs(truth - np.median(truth)).mean())


@pytest.mark.parametrize("seed", range(5))
def test_a_weight_is_so_many_recordings(seed):
    rng = np.random.default_rng(seed)
    truth, predicted = np.round(draw(12, seed))
    weights = rng.integers(0, 4, 12)
    assert measure(truth, predicted, weights) == pytest.approx(
        measure(np.repeat(truth, weights), np.repeat(predicted, weights)), rel=1e-9
    )


def test_a_resample_of_one_recording_alone_does_not_vary():
    """But for rounding, which must not become a score."""
    truth, predicted = draw(40)
    scores = moments.measure(moments.create(truth, predicted), 7 * np.eye(40))
    undefined = [METRICS.index(name) for name in ("r2", "pearson", "calibration_slope", "calibration_intercept")]
    assert np.isnan(scores[undefined]).all()
    np.testing.assert_allclose(scores[METRICS.index("bias")], predicted - truth, rtol=1e-9)


def test_units():
    truth, predicted = draw(50)
    found = measure(truth, predicted)
    in_months = measure(12 * truth, 12 * predicted)
    scaled = {"mae", "rmse", "calibration_intercept", "bias", "limit_low", "limit_high", "mae_constant"}
    assert in_months == pytest.approx({name: found[name] * (12 if name in scaled else 1) for name in METRICS})
    # Correlation knows neither unit nor origin; the other scores do not depend on the origin of both.
    assert measure(truth, 5 - 3 * predicted)["pearson"] == pytest.approx(-found["pearson"])
    far = measure(1e6 + truth, 1e6 + predicted)
    del found["calibration_intercept"], far["calibration_intercept"]
    assert far == pytest.approx(found, rel=1e-6, abs=1e-9)


def test_a_perfect_prediction_and_the_mean():
    perfect = measure(TRUTH, TRUTH)
    ideal = {"mae": 0, "rmse": 0, "r2": 1, "pearson": 1, "calibration_slope": 1, "bias": 0, "limit_low": 0}
    assert {name: perfect[name] for name in ideal} == pytest.approx(ideal, abs=1e-12)
    mean = measure(TRUTH, np.full(5, 60.0))
    assert mean["r2"] == pytest.approx(0)
    assert mean["mae"] == pytest.approx(mean["mae_constant"])


@pytest.mark.parametrize(
    ("truth", "predicted", "note", "undefined"),
    [
        ([NAN, NAN], [1, 2], "no known number", set(METRICS)),
        (
            [NAN, 4],
            [1, 2],
            "one known number",
            {"r2", "pearson", "calibration_slope", "calibration_intercept", "limit_low", "limit_high"},
        ),
        (
            [4.1, 4.1, 4.1],
            [1, 2, 4],
            "constant truth",
            {"r2", "pearson", "calibration_slope", "calibration_intercept"},
        ),
        (
            [1, 2, 4],
            [4.1, 4.1, 4.1],
            "constant predictions",
            {"pearson", "calibration_slope", "calibration_intercept"},
        ),
    ],
)
def test_what_is_undefined_is_empty_and_says_why(truth, predicted, note, undefined):
    row = score(create(truth, predicted), resamples=50).loc["A"]
    assert row["note"] == note
    assert {name for name in METRICS if np.isnan(row[name])} == undefined
    for name in undefined:
        assert np.isnan(row[f"{name}_low"])
        assert np.isnan(row[f"{name}_high"])


def test_unknown_numbers_are_left_out_label_by_label():
    truth = np.stack([TRUTH, np.array([NAN, 4, 5, NAN, 6])], axis=1)
    predicted = np.stack([PREDICTED, np.array([99, 4.5, 5, -9, 5])], axis=1)
    table = score(create(truth, predicted), resamples=0)
    assert table["n"].tolist() == [5, 3]
    assert table["mae"].tolist() == pytest.approx([3, 0.5])


def test_the_summary_is_the_mean_over_labels_of_what_is_defined():
    truth = np.stack([TRUTH, np.array([NAN, 4, 4, NAN, 4])], axis=1)
    predicted = np.stack([PREDICTED, np.array([99, 4.5, 5, -9, 4])], axis=1)
    found = regression.compute_summary(truth.astype(np.float32), predicted.astype(np.float32))
    assert found["mae"] == pytest.approx((3 + 0.5) / 2)
    assert found["r2"] == pytest.approx(0.947)  # of the first label alone
    assert found["pearson"] == pytest.approx(970 / (988 * 1000) ** 0.5)
    assert np.isnan(list(regression.compute_summary(np.full((3, 1), NAN), np.ones((3, 1))).values())).all()


def test_numbers_that_diverged_are_no_scores():
    found = regression.compute_summary(TRUTH[:, None], np.array([[1.0], [2], [NAN], [4], [np.inf]]))
    assert np.isnan(list(found.values())).all()


@pytest.mark.parametrize("interval", ["auto", "expanded", "percentile", "bca"])
def test_intervals_hold_their_estimate(interval):
    row = score(create(*draw(200)), interval=interval, resamples=300).loc["A"]
    for name in METRICS:
        assert row[f"{name}_low"] < row[name] < row[f"{name}_high"]


def test_auto_is_expanded_and_wider_than_percentiles():
    predictions = create(*draw(12))
    auto, expanded, percentile = (
        score(predictions, interval=kind).loc["A"] for kind in ("auto", "expanded", "percentile")
    )
    assert auto["mae_low"] == expanded["mae_low"] < percentile["mae_low"]
    assert auto["mae_high"] == expanded["mae_high"] > percentile["mae_high"]


def test_intervals_cover_the_truth():
    """Of 500 samples of 100 errors with bias 2 and deviation 8, 95 % intervals hold the truth in 91 to 97 %.

    Those of RMSE and limits, which squares of few large errors decide, come out at 92 to 94 %, as of other bootstraps.
    """
    rng = np.random.default_rng(0)
    truth = rng.normal(60, 15, (100, 500))
    predicted = truth + rng.normal(2, 8, truth.shape)
    names = tuple(f"sample {i}" for i in range(500))
    predictions = Predictions(np.arange(100).astype(str), names, truth, predicted, kind=NUMBER)
    table = score(predictions, resamples=200)
    for name, value in {"bias": 2.0, "rmse": 68**0.5, "limit_low": 2 - 1.96 * 8, "limit_high": 2 + 1.96 * 8}.items():
        held = ((table[f"{name}_low"] <= value) & (value <= table[f"{name}_high"])).mean()
        assert 0.91 <= held <= 0.97, name


def test_repeated_recordings_count_once():
    truth, predicted = draw(60)
    alone = score(create(truth, predicted)).loc["A"]
    patients = np.repeat([f"{i:02d}" for i in range(60)], 4)
    repeated = create(np.repeat(truth, 4), np.repeat(predicted, 4), patients=patients)
    by_patient, by_recording = (score(repeated, resampled=unit).loc["A"] for unit in ("patients", "recordings"))
    for name in ("mae", "r2", "bias"):
        widths = [row[f"{name}_high"] - row[f"{name}_low"] for row in (alone, by_patient, by_recording)]
        assert widths[1] == pytest.approx(widths[0], rel=1e-6)
        assert widths[2] < 0.6 * widths[0]


def test_few_recordings_or_patients_are_named():
    assert score(create(*draw(12)), resamples=0).loc["A", "note"] == "only 12 recordings"
    patients = (np.arange(40) % 9).astype(str)
    assert score(create(*draw(40), patients=patients), resamples=0).loc["A", "note"] == "only 9 patients"
    assert score(create(*draw(40)), resamples=0).loc["A", "note"] == ""


def test_no_resamples_no_intervals():
    found = regression.compute(create(*draw(40)), Settings(resamples=0))
    assert list(found.table) == ["label", "n", "mean", "deviation", *METRICS, "note"]
    assert found.samples.shape == (1, len(METRICS), 0)


@pytest.mark.parametrize("settings", [{"legacy": True}, {"resampled": "stratified"}])
def test_resampling_of_findings_is_refused(settings):
    with pytest.raises(InputError, match=f"{next(iter(settings))}.*of findings"):
        regression.compute(create(TRUTH, PREDICTED), Settings(**settings))
