r"""Age in years from the ECG, a number; by default of simulated patients.

On your own data:

  python -m ecg_jax.main --config=configs/age.py --config.data.dataset=ptbxl --config.data.source=DIR

Any other number that a data set knows of its recordings, such as a column `lvef` of your table:

  python -m ecg_jax.main --config=configs/age.py --config.data.labels=lvef --config.data.dataset=folder \
      --config.data.source=FILE.csv

The trunk starts from weights that ship; without them --config.init.weights=.
"""

from ml_collections import ConfigDict

from ecg_jax.config import create_default
from ecg_jax.contract import USUAL_DEVIATIONS


def get_config() -> ConfigDict:
    """Returns the configuration."""
    config = create_default()
    config.data.update(labels="age", label_kind="number")
    config.data.simulated.update(train=3000, validation=400, test=1000, population="hospital")
    config.contract.update(highpass=0.5, lowpass=40.0, units_per_millivolt=2.0, usual_deviations=USUAL_DEVIATIONS)
    config.model.name = "narrow"
    config.init.weights = "simulated"
    config.loss.name = "huber"
    config.optimizer.update(name="adamw", learning_rate=1e-3, weight_decay=1e-3, clip_norm=1.0)
    config.schedule.update(name="cosine", warmup_fraction=0.05)
    config.early_stopping.patience = 0
    config.train.update(batch_size=32, epochs=5.0, ema_decay=0.99)
    config.checkpoint.monitor = "mae"
    return config
