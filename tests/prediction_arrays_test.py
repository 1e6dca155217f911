"""Archives of NumPy that hold predictions, truth and class names: read by their usual keys, or refused by key."""

import numpy as np
import pytest

from ecg_jax.data import prediction_arrays, prediction_files
from ecg_jax.errors import InputError
from ecg_jax.evaluation import metrics
from ecg_jax.inference import label_files

VALUES = np.array([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]], np.float32)
TRUTH = np.array([[1, 0], [0, 1], [1, 1]], np.uint8)
CLASSES = np.array(["AF", "SB"])


@pytest.fixture
def save(tmp_path):
    """Writes an archive; returns its path."""

    def save(**arrays):
        np.savez(tmp_path / "p.npz", **arrays)
        return str(tmp_path / "p.npz")

    return save


@pytest.mark.parametrize("predictions", ["y_test_pred", "y_pred", "y_prob", "predictions", "probabilities", "probs"])
@pytest.mark.parametrize("truth", ["y_test", "y_true", "labels", "targets", "Y"])
@pytest.mark.parametrize("classes", ["classes", "names", "class_names"])
def test_the_usual_keys_are_known(save, predictions, truth, classes):
    file = prediction_files.read_predictions(save(**{predictions: VALUES, truth: TRUTH, classes: CLASSES}))
    assert file.names == ("AF", "SB")
    np.testing.assert_array_equal(file.values, VALUES.astype(np.float64))
    np.testing.assert_array_equal(file.labels, TRUTH)
    for key in (predictions, truth, classes):
        assert key in file.facts[0]


def test_labels_may_be_the_names_of_the_classes_or_the_truth(save):
    assert prediction_arrays.read(save(y_pred=VALUES, y_true=TRUTH, labels=CLASSES)).names == ("AF", "SB")
    assert prediction_arrays.read(save(y_pred=VALUES, labels=CLASSES)).labels is None
    assert prediction_arrays.read(save(y_pred=VALUES, labels=TRUTH, names=CLASSES.astype("S"))).names == ("AF", "SB")


def test_probabilities_go_before_calls(save):
    calls = (VALUES > 0.3).astype(int)
    np.testing.assert_array_equal(prediction_arrays.read(save(y_pred=calls, y_prob=VALUES)).values, VALUES)


def test_one_label_may_be_a_row_of_numbers_and_unknown_truth_is_nan(save):
    file = prediction_files.read_predictions(save(y_pred=VALUES[:, 0], y_true=[1, np.nan, 0]), names=["AF"])
    found = label_files.use_own_labels(file).predictions
    np.testing.assert_array_equal(found.labels[:, 0], [1, np.nan, 0])


def test_what_else_is_known_of_recordings_is_read(save):
    more = {"ecg_id": [7, 8, 9], "patient_id": [3, 3, 5], "age": [50.0, np.nan, 70.0], "auroc": [0.5, 0.6]}
    file = prediction_files.read_predictions(save(y_pred=VALUES, y_true=TRUTH, classes=CLASSES, **more))
    found = label_files.use_own_labels(file)
    assert found.predictions.ids.tolist() == ["7", "8", "9"]
    assert found.predictions.patients.tolist() == ["3", "3", "5"]
    np.testing.assert_array_equal(found.predictions.attributes["age"], [50, np.nan, 70])
    assert set(found.predictions.attributes) == {"age"}


@pytest.mark.parametrize(
    "arrays, message",
    [
        ({"x": VALUES}, r"p\.npz: no array of predictions \(y_pred, .*; it has x"),
        ({"y_pred": VALUES, "y_true": TRUTH[:2]}, r"array y_true: \(2, 2\) beside predictions \(3, 2\)"),
        ({"y_pred": VALUES, "y_true": [0, 1, 1]}, r"array y_true: \(3,\) beside predictions \(3, 2\)"),
        ({"y_pred": VALUES, "y_true": 2 * TRUTH}, r"array y_true: row 0, column 0 holds 2; a label is 0, 1 or NaN"),
        ({"y_pred": VALUES, "classes": CLASSES[:1]}, r"array classes: 1 names for 2 columns"),
        ({"y_pred": VALUES[..., None]}, r"array y_pred: float32 \(3, 2, 1\); expected numbers"),
        ({"y_pred": np.full((3, 2), np.inf)}, r"array y_pred: row 0, column 0 holds inf"),
        ({"y_pred": 9 * VALUES - 3}, r"p\.npz: row 0, column 0 holds .*--logits"),
        ({"y_pred": VALUES, "classes": CLASSES.astype(object)}, r"array classes holds Python objects"),
    ],
)  # fmt: skip
def test_what_cannot_be_right_is_refused_by_its_key(save, arrays, message):
    with pytest.raises(InputError, match=message) as error:
        prediction_files.read_predictions(save(**arrays))
    assert "\n" not in str(error.value)


def test_an_archive_that_names_no_classes_asks_for_them(save):
    with pytest.raises(InputError, match=r"p\.npz: does not name its 2 columns; .* --names=A,B"):
        label_files.use_own_labels(prediction_files.read_predictions(save(y_pred=VALUES, y_true=TRUTH)))


def test_the_published_predictions_of_another_group_give_their_score(shared):
    """xresnet1d101 of the PTB-XL benchmark on its test fold: 2,203 recordings, 71 statements (Strodthoff 2021)."""
    path = shared / "reference" / "torch_fixtures" / "xresnet1d101" / "published_test.npz"
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    found = label_files.use_own_labels(prediction_files.read_predictions(str(path))).predictions
    assert (found.labels.shape, found.names[:2]) == ((2203, 71), ("1AVB", "2AVB"))
    assert metrics.compute_summary(found.labels, found.probabilities)["auroc"] == pytest.approx(0.92543586, abs=1e-8)
