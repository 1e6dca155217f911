"""A search space: learning rate by head dropout, for any configuration with the transfer head.

python -m ecg_jax.sweep --config=configs/finetune.py --space=experiments/learning_rate.py --workdir=sweeps/learning_rate
"""


def space() -> dict[str, list]:
    """Returns the grid: a dotted key of the configuration -> the values to try."""
    return {
        "optimizer.learning_rate": [3e-4, 1e-3, 3e-3],
        "model.transfer.dropout_rate": [0.0, 0.2],
    }
