r"""A network that others have published, trained further from their weights, with their input contract.

The argument names the network (`python -m ecg_jax.models` lists them); the weights are the file that its authors
publish:

  python -m ecg_jax.main --config=configs/published.py:ecgfounder --config.init.weights=12_lead_ECGFounder.pth \
      --config.data.dataset=ptbxl --config.data.source=DIR

The output layer starts from random weights. Only that layer learns with --config.freeze.patterns='("trunk",)'.
"""

from ml_collections import ConfigDict

from ecg_jax.config import create_default
from ecg_jax.errors import InputError
from ecg_jax.models.imports.published import PUBLISHED


def get_config(name: str = "ecgfounder") -> ConfigDict:
    """Returns the configuration of the network `name`."""
    if name not in PUBLISHED:
        raise InputError(f"--config=configs/published.py:{name}: no such network; known: {', '.join(PUBLISHED)}")
    facts = PUBLISHED[name]
    config = create_default()
    config.data.labels = "six"
    config.contract.update(facts.contract.to_dict() | {"leads": facts.contract.leads, "usual_deviations": ()})
    config.model.name = facts.module
    config.optimizer.update(name="adamw", learning_rate=1e-4, weight_decay=1e-2, clip_norm=1.0)
    config.schedule.update(name="cosine", warmup_fraction=0.05)
    config.train.update(batch_size=32, epochs=5.0)
    config.checkpoint.monitor = "auroc"
    return config
