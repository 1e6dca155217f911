"""Losses against numbers worked out by hand."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ecg_jax.errors import InputError
from ecg_jax.training import losses

LOG2 = math.log(2)


def test_cross_entropy_of_logit_zero_is_log_2_per_label():
    total, count = losses.create(num_labels=2)(jnp.zeros((3, 2)), jnp.array([[0.0, 1], [1, 1], [0, 0]]))
    assert (float(total), float(count)) == (pytest.approx(6 * LOG2), 6)


def test_cross_entropy_of_a_confident_answer():
    total, _ = losses.create(num_labels=1)(jnp.array([[3.0]]), jnp.array([[1.0]]))
    assert float(total) == pytest.approx(math.log(1 + math.exp(-3)))
    total, _ = losses.create(num_labels=1)(jnp.array([[3.0]]), jnp.array([[0.0]]))
    assert float(total) == pytest.approx(3 + math.log(1 + math.exp(-3)))


def test_huge_logits_do_not_overflow():
    total, _ = losses.create(num_labels=1)(jnp.array([[1000.0], [-1000.0]]), jnp.array([[0.0], [1.0]]))
    assert float(total) == 2000


def test_unknown_labels_have_neither_loss_nor_count_nor_gradient():
    loss = losses.create(num_labels=2)
    label = jnp.array([[1.0, jnp.nan], [jnp.nan, jnp.nan]])
    total, count = loss(jnp.zeros((2, 2)), label)
    assert (float(total), float(count)) == (pytest.approx(LOG2), 1)
    gradient = jax.grad(lambda logits: loss(logits, label)[0])(jnp.zeros((2, 2)))
    np.testing.assert_allclose(gradient, [[-0.5, 0], [0, 0]])


def test_class_weights_scale_the_present_labels():
    total, count = losses.create(num_labels=2, positive_weight=(3.0, 5.0))(jnp.zeros((1, 2)), jnp.ones((1, 2)))
    assert (float(total), float(count)) == (pytest.approx(8 * LOG2), 2)
    total, _ = losses.create(num_labels=2, positive_weight=(3.0,))(jnp.zeros((1, 2)), jnp.array([[1.0, 0]]))
    assert float(total) == pytest.approx(4 * LOG2)


def test_focal_loss_weighs_by_the_error_to_the_gamma():
    total, _ = losses.create(num_labels=1, focal_gamma=2.0)(jnp.zeros((1, 1)), jnp.ones((1, 1)))
    assert float(total) == pytest.approx(0.25 * LOG2)
    p = 1 / (1 + math.exp(-2))
    total, _ = losses.create(num_labels=1, focal_gamma=2.0)(jnp.full((1, 1), 2.0), jnp.zeros((1, 1)))
    assert float(total) == pytest.approx(-(p**2) * math.log(1 - p), rel=1e-5)


def test_the_focal_loss_of_a_certain_answer_has_a_finite_gradient():
    loss = losses.create(num_labels=1, focal_gamma=0.5)
    gradient = jax.grad(lambda logits: loss(logits, jnp.ones((1, 1)))[0])(jnp.full((1, 1), 200.0))
    assert np.isfinite(gradient).all()


def test_label_smoothing_moves_targets_towards_a_half():
    total, _ = losses.create(num_labels=1, label_smoothing=0.2)(jnp.full((1, 1), 2.0), jnp.ones((1, 1)))
    p = 1 / (1 + math.exp(-2))
    assert float(total) == pytest.approx(-(0.9 * math.log(p) + 0.1 * math.log(1 - p)), rel=1e-5)


@pytest.mark.parametrize(
    "settings",
    [{"positive_weight": (1.0, 2.0)}, {"positive_weight": (-1.0,)}, {"focal_gamma": -1.0}, {"label_smoothing": 1.0}],
)
def test_a_setting_out_of_range_is_refused(settings):
    with pytest.raises(InputError, match=next(iter(settings))):
        losses.create(num_labels=3, **settings)
