r"""Fine-tuning with few recordings, from tens to some hundreds: only the output layer of the weights `real` learns.

  python -m ecg_jax.main --config=configs/few.py --config.data.dataset=folder --config.data.source=FILE.csv \
      --config.data.labels=COLUMN,COLUMN

Outputs of labels that the weights have are kept and learn further; others start from random weights. A fifth of the
patients validates and a quarter tests; with fewer than about 100 recordings --config.split.folds=5 tests each of them.
Compare with the weights as they are: `ecg-jax evaluate --model=RUN --compare=real`.
"""

from ml_collections import ConfigDict

from ecg_jax.config import create_default
from ecg_jax.contract import USUAL_DEVIATIONS


def get_config() -> ConfigDict:
    """Returns the configuration."""
    config = create_default()
    config.data.labels = "abnormal"
    config.data.simulated.update(train=150, validation=50, test=100, population="hospital")
    config.split.update(validation=0.2, test=0.25)
    config.contract.update(highpass=0.5, lowpass=40.0, units_per_millivolt=2.0, usual_deviations=USUAL_DEVIATIONS)
    config.model.name = "narrow"
    config.init.update(weights="real", exclude=())
    config.freeze.patterns = ("trunk",)
    config.optimizer.update(name="adamw", learning_rate=1e-3, weight_decay=1e-2)
    config.schedule.update(name="cosine", warmup_fraction=0.05)
    config.early_stopping.patience = 0
    config.augment.amplitude_loss = 0.2
    config.train.update(batch_size=16, steps=200, eval_every=50)
    return config
