"""Six diagnoses from simulated ECGs alone, drawn anew for every step: weights to start from.

Every example is drawn on the device inside the training step, so that none comes twice and nothing is read. The input
contract keeps amplitudes (0.5 to 40 Hz). A recording that someone has z-scored gets each lead's usual standard
deviation, and so do three in ten of the examples: the network takes both. On an accelerator, the published network:

  python -m ecg_jax.main --config=configs/pretrain.py --config.model.dtype=bfloat16 --config.train.steps_per_call=10 \
      --config.train.batch_size=1024 --config.train.steps=20000

On a CPU, a network a quarter as wide, an hour on two cores:

  python -m ecg_jax.main --config=configs/pretrain.py --config.model.name=narrow --config.train.steps=5000
"""

from ml_collections import ConfigDict

from ecg_jax.config import create_default

# mV, from 0.5 to 40 Hz: the medians of I, II, III, aVR, aVL, aVF, V1 to V6 in PTB-XL's folds 1 to 8.
USUAL_DEVIATIONS = (0.127, 0.122, 0.092, 0.118, 0.090, 0.089, 0.144, 0.233, 0.225, 0.221, 0.205, 0.169)


def get_config() -> ConfigDict:
    """Returns the configuration."""
    config = create_default()
    config.data.mode = "endless"
    config.data.simulated.update(population="hospital", train=64, validation=2000, test=2000)
    config.contract.update(highpass=0.5, lowpass=40.0, units_per_millivolt=2.0, usual_deviations=USUAL_DEVIATIONS)
    config.augment.update(amplitude_loss=0.3, lead_dropout=0.02, lead_sets=0.05, time_mask=0.1)
    config.optimizer.update(name="adamw", learning_rate=3e-3, weight_decay=1e-3, clip_norm=1.0)
    config.schedule.update(name="one_cycle", warmup_fraction=0.2)
    config.early_stopping.patience = 0
    config.train.update(batch_size=64, steps=20_000, eval_every=1000, log_every=100, ema_decay=0.998)
    config.checkpoint.monitor = "auroc"
    return config
