"""The recipe of Ribeiro et al. 2020 (Nat Commun 11:1760): six diagnoses from scratch.

Adam at 1e-3, batches of 64, at most 70 epochs; the learning rate is divided by ten when
validation loss has not improved for 7 epochs, down to 1e-5; 9 epochs without an
improvement of 1e-5 end the run. Unlike the reference's, batches are drawn from the whole
shuffled data, not contiguous slices of the file.

  python -m ecg_jax.main --config=configs/reference.py --config.data.dataset=code15 --config.data.source=DIR

The full-size network is slow on a CPU (about 18 ECG/s on two cores): use an accelerator.
"""

from ml_collections import ConfigDict

from ecg_jax.config import create_default


def get_config() -> ConfigDict:
    """Returns the configuration."""
    config = create_default()
    config.model.name = "reference"
    config.data.labels = "six"
    config.optimizer.update(name="adam", learning_rate=1e-3)
    config.schedule.name = "plateau"
    config.plateau.update(factor=0.1, patience=7, min_learning_rate=1e-5)
    config.early_stopping.update(patience=9, min_delta=1e-5)
    config.train.update(batch_size=64, epochs=70.0)
    config.checkpoint.monitor = "loss"
    return config
