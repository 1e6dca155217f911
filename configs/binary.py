"""autoECG's modified model: the reference network with one output, normal against abnormal.

python -m ecg_jax.main --config=configs/binary.py --config.data.dataset=ptbxl --config.data.source=DIR
"""

from ml_collections import ConfigDict

from ecg_jax.config import create_default


def get_config() -> ConfigDict:
    """Returns the configuration."""
    config = create_default()
    config.data.labels = "abnormal"
    return config
