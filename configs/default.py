"""Every key with its default: the reference network on simulated ECGs, six diagnoses."""

from ml_collections import ConfigDict

from ecg_jax.config import create_default


def get_config() -> ConfigDict:
    """Returns the configuration."""
    return create_default()
