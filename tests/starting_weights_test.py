"""Where a network starts."""

import pytest
from rich.console import Console

from ecg_jax import config as config_lib
from ecg_jax.errors import InputError
from ecg_jax.runtime import run_folder
from ecg_jax.training import starting_weights


class Asked(Exception):
    """Raised in place of a pretraining."""


def load(workdir, **changes):
    config = config_lib.override(config_lib.create_default(), {"init.weights": "pretrain", **changes})

    def pretrain(inner, folder):
        raise Asked(folder)

    starting_weights.load(config, {}, workdir=str(workdir), pretrain=pretrain, console=Console(quiet=True))


def test_a_finished_pretraining_is_used_again_by_the_same_settings_alone(tmp_path):
    folder = tmp_path / starting_weights.PRETRAIN_FOLDER
    with pytest.raises(Asked):
        load(tmp_path)
    folder.mkdir()
    done = starting_weights.create_pretrain_config(config_lib.create_default())
    run_folder.write_json(str(folder / run_folder.CONFIG), config_lib.to_dict(done))
    with pytest.raises(Asked):  # begun, not finished
        load(tmp_path)
    run_folder.write_json(str(folder / run_folder.RESULT), {})
    with pytest.raises(Asked):
        load(tmp_path, seed=7)
    with pytest.raises(Asked):
        load(tmp_path, **{"pretrain.steps": 3})
    with pytest.raises(InputError, match=r"contract\.json"):  # past the pretraining: its weights are looked for
        load(tmp_path)


def test_pretraining_draws_other_patients_than_fine_tuning():
    config = config_lib.create_default()
    assert starting_weights.create_pretrain_config(config).data.seed != config.data.seed
