"""Networks side by side after the same further training: their test AUROC, and differences of these.

  python experiments/fine_tuned.py --data=ptbxl:DIR --test=ludb:DIR,challenge2021:DIR --networks simulated \
      chagas_inception:FILE narrow

Each network of --networks (weights that ship, NAME:FILE of a published network, or `narrow` for random weights) starts
with an output layer of random weights and trains with the recipe of `configs/published.py` on the training split of
--data; published networks see a random window of each recording in each epoch. Of several
--learning_rates, that with the largest mean AUROC of all labels on the validation split, with the first seed, is taken.

Scored are the test split of --data, each recording once, and the sets of --test, by the mean of the windows that
`predict` takes, before calibration, and of all seeds: AUROC with intervals by patient, and paired differences between
the first network and each other (DeLong or bootstrap). No test set chooses anything. Writes scores.csv, seeds.csv and
differences.csv in --output; continues where it was stopped.
"""

import argparse
import dataclasses
import os
import sys
import time

import numpy as np
import pandas as pd
from absl import logging
from ml_collections import ConfigDict
from rich.console import Console

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]

import label_efficiency  # noqa: E402
import probe  # noqa: E402
import regressions  # noqa: E402
import zero_shot  # noqa: E402

from configs import published as recipe  # noqa: E402
from ecg_jax import pretrained as shipped  # noqa: E402
from ecg_jax.contract import InputContract  # noqa: E402
from ecg_jax.data.datasets.dataset import Dataset, create_predictions  # noqa: E402
from ecg_jax.evaluation.predictions import Predictions  # noqa: E402
from ecg_jax.inference import batches  # noqa: E402
from ecg_jax.inference.model import load_model  # noqa: E402
from ecg_jax.inference.predict import predict as predict_all  # noqa: E402
from ecg_jax.models.imports import published  # noqa: E402
from ecg_jax.runtime import startup  # noqa: E402
from ecg_jax.training import loop, run_data  # noqa: E402

LABELS = "six,abnormal,superclasses"
NARROW = "narrow"  # with random weights
VALIDATION = "validation"

Key = tuple[str | int, ...]  # network, set, and of one run alone its seed


def create_config(network: str, epochs: float, learning_rate: float, seed: int) -> ConfigDict:
    """The recipe for one network, without data."""
    name, file = published.split_name(network)
    config = recipe.get_config(name or next(iter(published.PUBLISHED)))
    if not name:
        contract = InputContract.from_dict(shipped.read(shipped.SIMULATED).contract)
        config.contract.update(contract.to_dict() | {"leads": contract.leads})
        config.contract.usual_deviations = contract.usual_deviations
        config.model.name = NARROW
    config.init.weights = "" if network == NARROW else network if name else file
    config.seed, config.optimizer.learning_rate, config.train.epochs = seed, learning_rate, epochs
    config.data.crop = "random" if name else "center"
    config.split.check_content = False
    config.early_stopping.patience = 0
    config.evaluation.update(report=False, resamples=0)
    return config


def train(config: ConfigDict, folder: str) -> None:
    """One run, unless it has been made."""
    if not os.path.exists(os.path.join(folder, "result.json")):
        loop.train_and_evaluate(config, folder, Console(quiet=True))


def predict(path: str, dataset: Dataset, tests: regressions.Tests) -> dict[str, Predictions]:
    """Predictions of each set, of the recordings that can be predicted."""
    model, found = load_model(path), {}
    chosen = dataclasses.replace(dataset, columns={name: dataset.columns[name] for name in model.label_names})
    for name, rows in tests.items():
        made = list(predict_all(model, batches.list_recordings(dataset, rows), checks="warn", whole=True))
        kept = np.array([bool(len(each.windows)) for each in made])
        found[name] = create_predictions(chosen, rows[kept], np.stack([each.raw for each in made])[kept])
    return found


def score(found: Predictions) -> pd.DataFrame:
    """See `zero_shot.score`."""
    return zero_shot.score(found, {}, "auto")[regressions.COLUMNS]


def run(network: str, options: argparse.Namespace, dataset: Dataset) -> list[dict[str, Predictions]]:
    """The predictions of all seeds, at the learning rate that the first one chooses."""
    sets, rates = regressions.list_tests(dataset), options.learning_rates
    if len(rates) > 1:
        sets[VALIDATION] = dataset.indices("validation")

    def make(rate: float, seed: int) -> dict[str, Predictions]:
        begin, short = time.monotonic(), os.path.basename(network.partition(":")[0])
        folder = os.path.join(options.output, f"{short}-{options.epochs:g}-{rate:g}-{seed}")
        config = create_config(network, options.epochs, rate, seed)
        train(probe.name_data(config, f"combined:{options.data}", LABELS, options.set), folder)
        found = predict(folder, dataset, sets)
        if seed == 0 and VALIDATION in found:
            scored = score(found[VALIDATION]).set_index("label")["auroc"]
            values[rate] = scored[scored.index.isin(dataset.label_names)].mean()
        chosen_by = f", validation {values[rate]:.4f}" if len(rates) > 1 else ""
        print(f"{folder}: {time.monotonic() - begin:.0f} s{chosen_by}", flush=True)
        return found

    values = dict.fromkeys(rates, np.nan)
    first = {rate: make(rate, 0) for rate in rates}
    best = max(values, key=lambda rate: values[rate])
    return [first[best], *(make(best, seed) for seed in range(1, options.seeds))]


def main() -> None:
    """Trains, scores, writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=[shipped.SIMULATED, NARROW])
    parser.add_argument("--data", required=True, help="NAME:PLACE,... of data sets with a split")
    parser.add_argument("--test", default="", help="NAME:PLACE,... of data sets without one")
    parser.add_argument("--set", nargs="*", default=[], help="settings of the data, as ptbxl.sampling_rate=100")
    parser.add_argument("--epochs", type=float, default=3.0)
    parser.add_argument("--learning_rates", type=float, nargs="+", default=[1e-3])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--output", default="fine_tuned", help="folder for runs and results")
    options = parser.parse_args()
    logging.set_verbosity(logging.FATAL)  # Orbax logs every file it touches
    startup.configure_allocator()
    whole = ",".join(filter(None, [options.data, options.test]))
    config = probe.name_data(recipe.get_config(), f"combined:{whole}", LABELS, options.set)
    dataset = run_data.open_files(config, partial=True)
    made: dict[str, list[dict[str, Predictions]]] = {}
    scores, seeds, differences = dict[Key, pd.DataFrame](), dict[Key, pd.DataFrame](), dict[Key, pd.DataFrame]()
    for network in options.networks:
        made[network] = run(network, options, dataset)
        for name in regressions.list_tests(dataset):
            found = [each[name] for each in made[network]]
            seeds |= {(network, name, seed): score(each) for seed, each in enumerate(found)}
            scores[network, name] = score(label_efficiency.average(found))
            first = [each[name] for each in made[options.networks[0]]]
            if network != options.networks[0]:
                both = label_efficiency.average(first), label_efficiency.average(found)
                differences[network, name] = label_efficiency.compare(name, *both)
        print(
            pd.concat(scores, names=["network", "set"]).loc[network].to_string(float_format="{:.3f}".format), flush=True
        )
        for name, tables in {"scores": scores, "seeds": seeds, "differences": differences}.items():
            if tables:
                path = os.path.join(options.output, f"{name}.csv")
                names = ["network", "set", "seed"][: len(next(iter(tables)))]
                pd.concat(tables, names=names).reset_index(names).to_csv(path, index=False)
    print(f"Written: {options.output}")


if __name__ == "__main__":
    main()
