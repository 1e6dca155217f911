"""A run of seconds, to see whether everything works on this machine."""

from ml_collections import ConfigDict

from ecg_jax.config import create_default


def get_config() -> ConfigDict:
    """Returns the configuration."""
    config = create_default()
    config.data.simulated.update(train=64, validation=32, test=32)
    config.contract.samples = 1024
    config.model.name = "narrow"
    config.augment.update(noise=0.05, wander=0.1, scale=0.1, shift=0.05)
    config.train.update(batch_size=16, steps=8, eval_every=4, log_every=2, ema_decay=0.9)
    return config
