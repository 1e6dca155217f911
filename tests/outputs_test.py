"""Outputs are taken over by the names of their labels."""

import numpy as np
import pytest

from ecg_jax import models
from ecg_jax.errors import InputError
from ecg_jax.models import outputs
from ecg_jax.models import weights as weights_lib

KERNEL, BIAS = outputs.PATHS


@pytest.mark.parametrize(
    "name, head", [("narrow", "dense"), ("narrow", "transfer"), ("resnet1d_wang", "dense"), ("autoecg_2d", "dense")]
)
def test_the_output_layer_is_all_that_depends_on_the_labels(name, head):
    def find_shapes(num_labels):
        network = models.create(name, head=head, num_labels=num_labels)
        return {path: leaf.shape for path, leaf in weights_lib.flatten(models.shapes(network, (1024, 12))).items()}

    two, three = find_shapes(2), find_shapes(3)
    assert two.keys() == three.keys()
    assert {path for path in two if two[path] != three[path]} == set(outputs.PATHS)


def take_over(stored_labels, labels):
    """Of outputs whose stored weights are 1, 2, 3, ... and whose drawn ones are -1, -2, -3, ..."""
    count, own = np.arange(1.0, len(stored_labels) + 1), -np.arange(1.0, len(labels) + 1)
    stored = {KERNEL: np.stack([count, 10 * count]), BIAS: count, "params/trunk/kernel": np.ones(3)}
    found = outputs.rearrange(stored, stored_labels, {KERNEL: np.stack([own, 10 * own]), BIAS: own}, labels)
    np.testing.assert_array_equal(found["params/trunk/kernel"], np.ones(3))
    np.testing.assert_array_equal(found[KERNEL], np.stack([found[BIAS], 10 * found[BIAS]]))
    return found[BIAS].tolist()


@pytest.mark.parametrize(
    "stored_labels, labels, expected",
    [
        ("abc", "abc", [1, 2, 3]),
        ("abc", "cab", [3, 1, 2]),  # the same in another order
        ("abc", "bx", [2, -2]),  # one of three, and one that was not there
        ("abc", "xyzb", [-1, -2, -3, 2]),
        ("abc", "b", [2]),
        ("a", "xy", [-1, -2]),
    ],
)
def test_outputs_follow_their_labels_and_others_stay_as_drawn(stored_labels, labels, expected):
    assert take_over(stored_labels, labels) == expected


def test_other_outputs_than_labels_are_refused():
    with pytest.raises(InputError, match="head/output/kernel has 3 outputs for the labels a, b"):
        outputs.rearrange({KERNEL: np.ones((2, 3))}, "ab", {KERNEL: np.ones((2, 2))}, "ab")
