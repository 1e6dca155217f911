"""What bfloat16, accumulation and the convolutions' fast algorithms cost in accuracy, against the spread over seeds.

  python experiments/numerics.py [--seeds=5] [--steps=200] [--output=numerics]

A small fixed task: the narrow network on short simulated ECGs (1024 samples), the same recordings every time, from
another seed (initial weights, order, dropout) each time. A variant passes if its mean macro AUROC and loss on the
test split lie within what two means over as many seeds differ by: twice the standard error of the difference.
"""

import json
import os
import statistics
import sys

from absl import app, flags, logging

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))

from ecg_jax.runtime import compilation, memory  # noqa: E402

_SEEDS = flags.DEFINE_integer("seeds", 5, "Runs of each variant.", lower_bound=2)
_STEPS = flags.DEFINE_integer("steps", 200, "Of each run.", lower_bound=1)
_OUTPUT = flags.DEFINE_string("output", "numerics", "Folder for the runs and numerics.json.")

VARIANTS = {  # keys of the configuration
    "float32, direct convolutions": {"model.convolution": "direct"},
    "float32, fast convolutions": {"model.convolution": "fast"},
    "bfloat16": {"model.dtype": "bfloat16"},
    "accumulate=4": {"train.accumulate": 4},
}


def main(_: object) -> None:
    """Trains, compares, writes."""
    logging.set_verbosity(logging.FATAL)  # Orbax logs every file it touches
    memory.keep_freed_memory()
    compilation.keep_programs()
    from rich.console import Console

    from ecg_jax import config as config_lib
    from ecg_jax.training import loop

    found: dict[str, dict[str, list[float]]] = {}
    for name, settings in VARIANTS.items():
        found[name] = {"auroc": [], "loss": []}
        for seed in range(_SEEDS.value):
            config = config_lib.create_default()
            config.seed = seed
            config.data.simulated.update(train=1600, validation=200, test=1000)
            config.contract.samples = 1024
            config.model.name = "narrow"
            config.optimizer.update(name="adamw", learning_rate=2e-3)
            config.schedule.update(name="one_cycle", warmup_fraction=0.25)
            config.early_stopping.patience = 0
            config.train.update(batch_size=32, steps=_STEPS.value, eval_every=_STEPS.value)
            config.evaluation.update(report=False, resamples=0)
            config.update_from_flattened_dict(settings)
            folder = os.path.join(_OUTPUT.value, f"{name.replace(' ', '_').replace(',', '')}-{seed}")
            result = loop.train_and_evaluate(config, folder, Console(quiet=True))
            for score, values in found[name].items():
                values.append(result["test"][score])
            print(f"{name}, seed {seed}: AUROC {found[name]['auroc'][-1]:.4f}", flush=True)
    first = next(iter(found.values()))
    print(f"Over {_SEEDS.value} seeds, mean (SD), and the difference from the first in standard errors of it")
    for name, scores in found.items():
        cells = []
        for score, values in scores.items():
            mean, sd = statistics.mean(values), statistics.stdev(values)
            error = ((sd**2 + statistics.variance(first[score])) / _SEEDS.value) ** 0.5
            apart = (mean - statistics.mean(first[score])) / error
            cells.append(f"{score} {mean:.4f} ({sd:.4f}), {apart:+.1f}")
        print(f"  {name}: {'; '.join(cells)}")
    with open(os.path.join(_OUTPUT.value, "numerics.json"), "w") as file:
        json.dump(found, file, indent=1)


if __name__ == "__main__":
    app.run(main)
