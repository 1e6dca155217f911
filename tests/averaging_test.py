"""The moving average of weights, by hand."""

import math

import jax.numpy as jnp
import numpy as np
import pytest

from ecg_jax.training.state import update_average


def average(values, decay, start=0):
    """The average of weights, of which the first is the initial one: in float64 by definition, and as it is done."""
    expected, found = values[0], {"w": jnp.float32(values[0])}
    for step, value in enumerate(values[1:], start=start):
        now = min(decay, (1 + step) / (10 + step))
        expected = now * expected + (1 - now) * value
        found = update_average(found, {"w": jnp.float32(value)}, decay=decay, step=jnp.int32(step))
    return expected, float(found["w"])


def test_the_first_updates_by_hand():
    # decays 1/10, 2/11, then 0.2 where the warm-up would be 3/12
    expected = ((1 * 0.1 + 2 * 0.9) * 2 / 11 + 4 * 9 / 11) * 0.2 + 8 * 0.8
    assert average([1, 2, 4, 8], decay=0.2) == pytest.approx((expected, expected), rel=1e-6)


@pytest.mark.parametrize("steps", [1, 2, 20])
def test_the_initial_weights_count_as_computed(steps):
    initial_alone = [1.0] + [0.0] * steps  # the average is the weight of the initial parameters
    share = math.factorial(9) * math.factorial(steps) / math.factorial(steps + 9)
    assert average(initial_alone, decay=0.999) == pytest.approx((share, share), rel=1e-4)


def test_after_200_steps_of_a_slow_average_nothing_is_left_of_the_initial_weights():
    found = average([1.0] + [0.0] * 200, decay=0.999)[1]
    assert found < 1e-12 < 0.8 < 0.999**200  # what a constant decay would leave


def test_later_the_decay_is_the_one_that_was_set():
    values = np.random.default_rng(0).normal(size=5)
    expected = values[0]
    for value in values[1:]:
        expected = 0.9 * expected + 0.1 * value
    assert average(values, decay=0.9, start=80)[1] == pytest.approx(expected, rel=1e-6)  # (1 + 80) / (10 + 80) = 0.9
