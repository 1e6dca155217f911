"""The weights `simulated`, trained further on a mixture of simulated ECGs and PTB-XL's folds 1 to 8.

PTB-XL is used in millivolts and, if available, as z-scored arrays; labels that a part does not have are masked. Fold 9
chooses the checkpoint, the calibration and the thresholds; fold 10 is the test.

  python -m ecg_jax.main --config=configs/real.py --config.data.source=simulated:,ptbxl:DIR
"""

from ml_collections import ConfigDict

from ecg_jax.config import create_default
from ecg_jax.contract import USUAL_DEVIATIONS


def get_config() -> ConfigDict:
    """Returns the configuration."""
    config = create_default()
    config.data.update(dataset="combined", labels="six,abnormal,superclasses,statements")
    config.data.simulated.update(population="hospital", train=6000, validation=0, test=0)
    config.data.ptbxl.sampling_rate = 100
    config.contract.update(highpass=0.5, lowpass=40.0, units_per_millivolt=2.0, usual_deviations=USUAL_DEVIATIONS)
    config.model.name = "narrow"
    config.init.update(weights="simulated", exclude=())
    config.augment.update(amplitude_loss=0.2, lead_dropout=0.02, time_mask=0.1, scale=0.1)
    config.optimizer.update(name="adamw", learning_rate=5e-4, weight_decay=1e-3, clip_norm=1.0)
    config.schedule.update(name="cosine", warmup_fraction=0.05)
    config.early_stopping.patience = 0
    config.train.update(batch_size=64, epochs=4.0, ema_decay=0.99)
    config.checkpoint.monitor = "auroc"
    return config
