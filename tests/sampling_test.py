"""Which recording stands where in the stream: shuffled, balanced, weighted."""

import numpy as np
import pytest

from ecg_jax.data.datasets.dataset import Dataset
from ecg_jax.data.sampling import Order, balanced_weights, draw_uniform
from ecg_jax.errors import InputError

NAN = np.nan
FIRST_EPOCH = [5, 7, 2, 0, 3, 1, 6, 4]


def create_dataset(labels, **attributes):
    labels = np.asarray(labels, np.float32)
    return Dataset(
        name="test",
        ids=np.arange(len(labels)).astype(str),
        columns={f"l{i}": labels[:, i] for i in range(labels.shape[1])},
        read=lambda i: None,
        split=np.array(["train"] * len(labels)),
        attributes={name: np.asarray(values) for name, values in attributes.items()},
    )


def test_every_epoch_visits_everything_once_in_another_order():
    order = Order(create_dataset(np.zeros((100, 1))), seed=0)
    first, second = order.rows_at(np.arange(200)).reshape(2, 100)
    np.testing.assert_array_equal(np.sort(first), np.arange(100))
    np.testing.assert_array_equal(np.sort(second), np.arange(100))
    assert np.mean(first == second) < 0.1
    assert np.mean(first == np.arange(100)) < 0.1


def test_a_position_does_not_depend_on_what_was_asked_before():
    dataset = create_dataset(np.zeros((7, 1)))
    positions = np.array([40, 3, 12, 3, 6, 7])
    together = Order(dataset, seed=5).rows_at(positions)
    alone = [Order(dataset, seed=5).rows_at(np.array([p]))[0] for p in positions]
    np.testing.assert_array_equal(together, alone)


def test_the_order_is_that_of_these_numbers_for_ever():
    """A run that is continued by a later version must see the same batches."""
    assert Order(create_dataset(np.zeros((8, 1))), seed=0).rows_at(np.arange(8)).tolist() == FIRST_EPOCH


def test_another_seed_is_another_order():
    dataset = create_dataset(np.zeros((50, 1)))
    orders = {tuple(Order(dataset, seed=s).rows_at(np.arange(50))) for s in range(20)}
    assert len(orders) == 20


def test_only_the_training_split_is_drawn_from():
    dataset = create_dataset(np.zeros((4, 1)))
    dataset.split[1] = "test"
    assert set(Order(dataset, seed=0).rows_at(np.arange(30))) == {0, 2, 3}


def test_balanced_weights_by_hand():
    labels = [[1, 0], [1, 0], [0, 1], [1, 1], [0, 0], [NAN, 0]]
    # Positives of the first: 3; of the second: 2; of neither: 2. Each group holds a third.
    expected = [1 / 9, 1 / 9, 1 / 6, 1 / 9 + 1 / 6, 1 / 6, 1 / 6]
    np.testing.assert_allclose(balanced_weights(np.array(labels)), expected)
    assert sum(expected) == pytest.approx(1)


def test_a_label_without_positives_takes_no_share():
    np.testing.assert_allclose(balanced_weights(np.array([[1, 0], [0, 0], [0, 0]])), [0.5, 0.25, 0.25])


def test_balanced_sampling_draws_the_rare_as_often_as_the_common():
    labels = np.zeros((1000, 1))
    labels[:10] = 1
    rows = Order(create_dataset(labels), seed=0, sampling="balanced").rows_at(np.arange(20_000))
    assert np.mean(rows < 10) == pytest.approx(0.5, abs=0.015)  # four standard errors
    assert len(np.unique(rows[rows < 10])) == 10


def test_weighted_sampling_follows_its_column():
    dataset = create_dataset(np.zeros((3, 1)), sampling_weight=[1.0, 0.0, 3.0])
    rows = Order(dataset, seed=0, sampling="weighted").rows_at(np.arange(20_000))
    assert np.mean(rows == 2) == pytest.approx(0.75, abs=0.013)
    assert not np.any(rows == 1)


@pytest.mark.parametrize(
    ("weights", "message"),
    [([1.0, -1.0], "recording 1 has sampling_weight -1"), ([NAN, 1.0], "recording 0 has"), ([0.0, 0.0], "is 0")],
)
def test_weights_that_are_none_are_refused(weights, message):
    with pytest.raises(InputError, match=message):
        Order(create_dataset(np.zeros((2, 1)), sampling_weight=weights), seed=0, sampling="weighted")


def test_weighted_sampling_needs_its_column():
    with pytest.raises(InputError, match="no column sampling_weight"):
        Order(create_dataset(np.zeros((2, 1))), seed=0, sampling="weighted")


def test_uniform_numbers_are_uniform_and_independent_of_their_neighbours():
    drawn = draw_uniform(0, "row", np.arange(100_000))
    assert drawn.min() >= 0
    assert drawn.max() < 1
    counts = np.histogram(drawn, 100, (0, 1))[0]
    assert np.sum((counts - 1000) ** 2 / 1000) < 160  # chi-square with 99 degrees of freedom: p = 1e-4 at 161
    assert abs(np.corrcoef(drawn[:-1], drawn[1:])[0, 1]) < 0.013
    assert abs(np.corrcoef(drawn, draw_uniform(0, "crop", np.arange(100_000)))[0, 1]) < 0.013
    assert abs(np.corrcoef(drawn, draw_uniform(1, "row", np.arange(100_000)))[0, 1]) < 0.013
