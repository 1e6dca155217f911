"""Where a network starts."""

import jax
import numpy as np
import pytest
from rich.console import Console

from configs import finetune
from ecg_jax import config as config_lib
from ecg_jax import models
from ecg_jax import weights as shipped
from ecg_jax.errors import InputError
from ecg_jax.models import weights as weights_lib
from ecg_jax.training import starting_weights


def load(**changes):
    config = config_lib.override(finetune.get_config(), changes)
    network = models.create(**config.model, num_labels=1)
    variables = models.init(network, jax.random.key(0), (config.contract.samples, 12))
    found = starting_weights.load(config, variables, Console(quiet=True), labels=("abnormal",))
    return weights_lib.flatten(variables), weights_lib.flatten(found)


def test_fine_tuning_starts_from_the_demonstration_trunk_up_to_the_cut_and_from_a_head_of_its_own():
    drawn, found = load()
    arrays = shipped.read().arrays
    trunk = [path for path in found if "/trunk/" in path]
    assert len(trunk) > 30
    for path in trunk:
        np.testing.assert_array_equal(found[path], arrays[path])
    for path in set(found) - set(trunk):
        np.testing.assert_array_equal(found[path], drawn[path])


def test_another_input_contract_or_width_is_refused():
    with pytest.raises(InputError, match=r"the demonstration weights: trained under another input contract .*lowpass"):
        load(**{"contract.lowpass": 100.0})
    with pytest.raises(InputError, match="of another shape"):
        load(**{"model.name": "reference"})


def test_what_is_no_weights_is_named():
    with pytest.raises(
        InputError, match=r"config\.init\.weights is 'pretrain'; expected nothing, 'demonstration', a run"
    ):
        load(**{"init.weights": "pretrain"})
