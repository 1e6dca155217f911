r"""autoECG's modified model: the reference network with one output, normal against abnormal, from random weights.

  python -m ecg_jax.main --config=configs/binary.py --config.data.dataset=ptbxl --config.data.source=DIR

Without a data set of yours it trains on simulated ECGs; on a CPU, a network a quarter as wide, drawn in every step:

  python -m ecg_jax.main --config=configs/binary.py --config.model.name=narrow --config.data.mode=endless \
      --config.train.steps=1500 --config.train.eval_every=300
"""

from ml_collections import ConfigDict

from ecg_jax.config import create_default
from ecg_jax.contract import USUAL_DEVIATIONS


def get_config() -> ConfigDict:
    """Returns the configuration."""
    config = create_default()
    config.data.labels = "abnormal"
    config.data.simulated.population = "hospital"
    config.contract.update(highpass=0.5, lowpass=40.0, units_per_millivolt=2.0, usual_deviations=USUAL_DEVIATIONS)
    config.augment.amplitude_loss = 0.2
    return config
