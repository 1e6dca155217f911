"""Dose and response of several models: where their probability crosses, against where the guideline's limit is.

  python experiments/dose_response.py --output=DIR
  python experiments/dose_response.py --intervals --patients=16
  python experiments/dose_response.py --models=real,runs/finetune --doses=pr,qt --patients=128 --output=DIR

Writes a figure and the curves of each model and dose, and crossings.csv, and prints the crossings. --intervals prints
instead how far the intervals that the package's delineator measures move with those that are set.
"""

import argparse
import os
import sys

import numpy as np
import pandas as pd

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.dirname(HERE)]

import jax  # noqa: E402

from ecg_jax.explanation.delineation import delineate_many, measure  # noqa: E402
from ecg_jax.inference import dose_response  # noqa: E402
from ecg_jax.inference.model import load_model  # noqa: E402
from ecg_jax.reporting import dose_figure  # noqa: E402
from ecg_jax.runtime import startup  # noqa: E402
from ecg_jax.simulation import doses  # noqa: E402

MEASURES = {"pr": "pr", "rate": "heart_rate", "qrs": "qrs", "qrs-right": "qrs", "qrs-left": "qrs", "qt": "qtc"}


def cross(name: str, model_name: str, patients: int, folder: str) -> pd.DataFrame:
    """The crossings of one model and dose; writes its figure and curves."""
    model, dose = load_model(model_name), doses.DOSES[name]
    title = os.path.splitext(os.path.basename(model_name))[0]
    response = dose_response.respond(model, dose, patients=patients)
    path = os.path.join(folder, f"{title}_{name}.png")
    crossings = dose_response.write(response, f"{title}, {patients} simulated patients", path)
    crossings.insert(0, "dose", name)
    crossings.insert(0, "model", title)
    return crossings


def compare_intervals(patients: int) -> None:
    """Prints the median measured interval at each dose, and the least-squares slope over doses."""
    keys = jax.random.split(jax.random.key(0), patients)
    for name, measured in MEASURES.items():
        dose = doses.DOSES[name]
        medians = []
        for value in dose.values:
            recordings = dose_response.create_recordings(jax.device_get(doses.draw(dose, value, keys)))
            found = [
                getattr(measure(*pair), measured) for pair in zip(recordings, delineate_many(recordings), strict=True)
            ]
            medians.append(np.nanmedian(found))
        slope = np.polyfit(dose.values, medians, 1)[0]
        print(f"{name:10} slope {slope:.2f}:", *(f"{a:g}={b:.0f}" for a, b in zip(dose.values, medians, strict=True)))


def main() -> None:
    """Runs what the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="real,simulated", help="as for predict --model, separated by commas")
    parser.add_argument("--doses", default=",".join(doses.DOSES))
    parser.add_argument("--patients", type=int, default=64)
    parser.add_argument("--output", default="dose_response", help="folder")
    parser.add_argument("--intervals", action="store_true")
    arguments = parser.parse_args()
    startup.keep_programs()
    if arguments.intervals:
        compare_intervals(arguments.patients)
        return
    os.makedirs(arguments.output, exist_ok=True)
    tables = []
    for name in arguments.doses.split(","):
        for model in arguments.models.split(","):
            tables.append(cross(name, model, arguments.patients, arguments.output))
            for row in tables[-1].itertuples():
                limits = "/".join(f"{limit:g}" for limit in row.limits)
                print(f"{row.model:20}{name:12}{row.label:10}{row.level:10}{row.probability:6.3f}", end=" ")
                print(f"{dose_figure.show_crossing(row):28} readers {row.readers:.3g}, guideline {limits}", flush=True)
    pd.concat(tables).to_csv(os.path.join(arguments.output, "crossings.csv"), index=False, float_format="%.4g")


if __name__ == "__main__":
    main()
