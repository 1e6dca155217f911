r"""autoECG's transfer model, normal against abnormal; by default on simulated ECGs.

A pretrained trunk cut after Keras' layer 45 (of 50), its first 5 layers frozen, then
three convolutions and three dense layers. The trunk is that of the shipped weights
(`ecg_jax/pretrained/`), whose input contract is in millivolts. On your own data:

  python -m ecg_jax.main --config=configs/finetune.py --config.data.dataset=ptbxl --config.data.source=DIR

From the published weights, at full size and with their contract:

  python -m ecg_jax.main --config=configs/finetune.py --config.model.name=reference \
      --config.init.weights=model.hdf5 --config.contract.highpass=0.0 --config.contract.lowpass=0.0 \
      --config.data.dataset=ptbxl --config.data.source=DIR
"""

from ml_collections import ConfigDict

from ecg_jax.config import create_default
from ecg_jax.contract import USUAL_DEVIATIONS


def get_config() -> ConfigDict:
    """Returns the configuration."""
    config = create_default()
    config.data.labels = "abnormal"
    config.data.simulated.update(train=3000, validation=400, test=1000, population="hospital")
    config.contract.update(highpass=0.5, lowpass=40.0, units_per_millivolt=2.0, usual_deviations=USUAL_DEVIATIONS)
    config.model.update(name="narrow", head="transfer")
    config.init.weights = "simulated"
    config.freeze.first_keras_layers = 5
    config.optimizer.update(name="adamw", learning_rate=5e-4, weight_decay=1e-4)
    config.schedule.update(name="cosine", warmup_fraction=0.05)
    config.early_stopping.patience = 0
    config.augment.amplitude_loss = 0.2
    config.train.update(batch_size=32, epochs=2.0)
    config.checkpoint.monitor = "auroc"
    return config
