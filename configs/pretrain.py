"""Weights to start from: every statement of the simulator, trained on simulated ECGs.

Every example is drawn on the device inside the training step, so that none is repeated and nothing is read. The input
contract is in millivolts (0.5 to 40 Hz). Recordings that were z-scored are given usual amplitudes, as are three in ten
training examples. On an accelerator, the published network:

  python -m ecg_jax.main --config=configs/pretrain.py --config.model.dtype=bfloat16 --config.train.steps_per_call=10 \
      --config.train.batch_size=1024 --config.train.steps=20000

On a CPU, a network a quarter as wide, an hour on two cores:

  python -m ecg_jax.main --config=configs/pretrain.py --config.model.name=narrow --config.train.steps=5000
"""

from ml_collections import ConfigDict

from ecg_jax.config import create_default
from ecg_jax.contract import USUAL_DEVIATIONS


def get_config() -> ConfigDict:
    """Returns the configuration."""
    config = create_default()
    config.data.mode = "endless"
    config.data.labels = "six,abnormal,superclasses,statements"
    config.data.simulated.update(population="hospital", train=64, validation=2000, test=2000)
    config.contract.update(highpass=0.5, lowpass=40.0, units_per_millivolt=2.0, usual_deviations=USUAL_DEVIATIONS)
    config.augment.update(amplitude_loss=0.3, lead_dropout=0.02, lead_sets=0.05, time_mask=0.1)
    config.optimizer.update(name="adamw", learning_rate=3e-3, weight_decay=1e-3, clip_norm=1.0)
    config.schedule.update(name="one_cycle", warmup_fraction=0.2)
    config.early_stopping.patience = 0
    config.train.update(batch_size=64, steps=20_000, eval_every=1000, log_every=100, ema_decay=0.998)
    config.checkpoint.monitor = "auroc"
    return config
