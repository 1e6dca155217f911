r"""Which unit and order of leads the published weights take: runs them on the published test tracings.

  python experiments/ribeiro2020_weights.py --model=model.hdf5 --tracings=ecg_tracings.hdf5 \
      --predictions=model.npy --output=DIR [--annotations=DIR]

Where to download what (Ribeiro et al. 2020, https://doi.org/10.1038/s41467-020-15432-4):

  model.hdf5         https://doi.org/10.5281/zenodo.3625017
  ecg_tracings.hdf5  https://doi.org/10.5281/zenodo.3625006, or https://doi.org/10.5281/zenodo.3765780; in data.zip:
                     CODE-test, `tracings` [827, 4096, 12] at 400 Hz
  annotations        in the same data.zip, the folder of gold_standard.csv
  model.npy          https://github.com/antonior92/automatic-ecg-diagnosis, dnn_predicts/model.npy

The authors' READMEs say aVR, aVL, aVF in one place and aVL, aVF, aVR in another, and "1e-4 V: if in V, multiply by
1000", which contradicts itself; CODE's arrays measure about 2 units per mV. So the network is given the array times
1, 2, 1/2, 10, 1/10, 1000 and 1/1000, its columns 4 to 6 in each of their six orders. What reproduces model.npy
differs by less than 0.001 everywhere: float32 leaves 2e-7 between Keras and this package on a CPU, and other kernels
round otherwise, but nine networks of other seeds are off by 0.37 or more, and by 0.07 within the first 64
recordings. What is off by 0.01 there goes no further. What the file holds is told apart: the order of its leads by
Einthoven's and Goldberger's identities, its unit by the size of lead II.

Prints a conclusion and the flags of `predict` that follow, and writes DIR/hypotheses.csv. Takes about 2 minutes on 2
CPU cores at the speed of `predict`, 20 with --annotations, which scores every hypothesis on all recordings (micro
average precision; model.npy's is 0.950). That matters because the authors' predict.py takes the array as it is:
that the network was trained on such arrays, too, does not follow from model.npy.

This has not been run on the published weights and tracings, which were not at hand: no result is claimed.
"""

import collections
import itertools
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from absl import flags
from rich.console import Console
from rich.progress import track

from ecg_jax import cli, labels
from ecg_jax.data.measures import amplitude, lead_order
from ecg_jax.data.readers import code_hdf5, hdf5_file
from ecg_jax.errors import InputError
from ecg_jax.recording import LEADS, Recording
from ecg_jax.units import CODE_UNITS_PER_MILLIVOLT

if TYPE_CHECKING:
    from ecg_jax.inference.model import Model

FACTORS = {
    1.0: "as it is",
    2.0: "mV made 2 per mV",
    0.5: "2 per mV made mV",
    10.0: "mV made 1e-4 V",
    0.1: "1e-4 V made mV",
    1000.0: "V made mV",
    0.001: "microvolts made mV",
}
TOLERANCE, HOPELESS = 1e-3, 1e-2  # largest difference of a probability
SCREENED, BATCH = 64, 32  # recordings
STORED = " ".join(str(column) for column in range(1, 13))

_MODEL = flags.DEFINE_string("model", None, "The published weights, model.hdf5.", required=True)
_TRACINGS = flags.DEFINE_string("tracings", None, "The published test tracings, ecg_tracings.hdf5.", required=True)
_PREDICTIONS = flags.DEFINE_string("predictions", None, "What the authors predicted, model.npy.", required=True)
_OUTPUT = flags.DEFINE_string("output", None, "The folder for hypotheses.csv.", required=True)
_ANNOTATIONS = flags.DEFINE_string("annotations", None, "The folder of gold_standard.csv; scores every hypothesis.")


Hypothesis = tuple[float, tuple[int, ...]]  # the array times this, its columns in this order
HYPOTHESES: list[Hypothesis] = [
    (factor, (0, 1, 2, *augmented, *range(6, 12)))
    for factor, augmented in itertools.product(FACTORS, itertools.permutations((3, 4, 5)))
]


def read_tracings(path: str) -> np.ndarray:
    """Reads `[N, samples, 12]` float32; raises `InputError` when the file is not of that layout, or has NaN."""
    count = len(code_hdf5.read_ids(path))
    tracings = hdf5_file.read_array(path, "tracings").astype(np.float32)
    if not np.isfinite(tracings).all():
        raise InputError(f"{path}: NaN or infinity among the {count} tracings; the network needs numbers")
    return tracings


def read_predictions(path: str, count: int) -> np.ndarray:
    """Reads `[count, 6]` probabilities; raises `InputError` when the file is missing or holds anything else."""
    try:
        found = np.load(path, allow_pickle=False)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path}: not a readable .npy ({' '.join(str(error).split())})") from error
    expected = f"[{count}, {len(labels.SIX)}], one row per tracing, one column of {', '.join(labels.SIX)}"
    if not isinstance(found, np.ndarray) or found.shape != (count, len(labels.SIX)):
        raise InputError(f"{path}: shape {getattr(found, 'shape', 'unknown')}; expected {expected}")
    if found.dtype.kind != "f" or not ((found >= 0) & (found <= 1)).all():
        raise InputError(f"{path}: {found.dtype} values that are no probabilities; expected {expected}, from 0 to 1")
    return found


def read_annotations(folder: str, count: int) -> np.ndarray:
    """Reads the gold standard, `[count, 6]`; raises `InputError` when it is missing, of another length or empty."""
    from ecg_jax.data.datasets.table import read_table

    path = os.path.join(folder, "gold_standard.csv")
    table = read_table(path, labels.SIX)
    if len(table) != count:
        raise InputError(f"{path}: {len(table)} rows against {count} tracings; row i must label tracing i")
    truth = np.stack(list(labels.select(labels.SIX, {}, table, path).values()), axis=1)
    if not (truth == 1).any():
        raise InputError(f"{path}: no 1 in any of {', '.join(labels.SIX)}; there is nothing to score")
    return truth


def read_network(path: str, samples: int) -> "Model":
    """Loads the Keras file; raises `InputError` when it is not a network of the six diagnoses over `samples`."""
    import jax

    from ecg_jax.inference.model import load_model

    jax.config.update("jax_default_matmul_precision", "highest")  # an accelerator's default may round to 10 bits
    model = load_model(path, units_per_millivolt=1.0)  # arrays go in as they are; a run folder is refused
    if model.label_names != labels.SIX:
        raise InputError(f"{path}: the network has {len(model.label_names)} output(s); expected {len(labels.SIX)}")
    if model.contract.samples != samples:
        raise InputError(f"{path}: the network takes {model.contract.samples} samples, the tracings have {samples}")
    return model


def find_order(recordings: Sequence[Recording]) -> tuple[tuple[str, ...] | None, int]:
    """Finds the lead order that physics gives most recordings, None without a majority, and how many it fits."""

    def find(recording: Recording) -> tuple[str, ...] | None:
        if lead_order.measure_residual(*lead_order.compute_products(recording)) <= lead_order.CONTRADICTED:
            return recording.leads
        found = lead_order.find_order(recording)
        return found.leads if found else None

    votes = collections.Counter(order for order in map(find, recordings) if order)
    order, count = votes.most_common(1)[0] if votes else (None, 0)
    return (order if 2 * count > len(recordings) else None), count


def estimate_unit(recordings: Sequence[Recording], order: tuple[str, ...]) -> amplitude.ScaleEstimate:
    """Estimates how many of the array's units are 1 mV."""
    column, scale = order.index("II"), CODE_UNITS_PER_MILLIVOLT  # which the reader has divided by
    known = [recording.signal[recording.valid[:, column], column] for recording in recordings]
    return amplitude.estimate_scale(
        np.array([np.ptp(np.percentile(lead, (0.5, 99.5))) * scale for lead in known if lead.size])
    )


def predict(model: "Model", tracings: np.ndarray, hypotheses: Sequence[Hypothesis], console: Console) -> np.ndarray:
    """Computes probabilities `[hypotheses, N, 6]` of `tracings` `[N, samples, 12]`, with a progress bar."""
    console.print(f"Predicting: {len(tracings)} recording(s), as {len(hypotheses)} hypothesis(es) have it")
    made = np.empty((len(hypotheses), len(tracings), len(labels.SIX)), np.float32)
    work = list(itertools.product(range(len(hypotheses)), range(0, len(tracings), BATCH)))
    for i, start in track(work, "predicting", console=console, disable=not console.is_terminal):
        factor, columns = hypotheses[i]
        part = tracings[start : start + BATCH, :, list(columns)]
        batch = np.zeros((BATCH, *part.shape[1:]), np.float32)  # one shape, one compilation
        batch[: len(part)] = part * np.float32(factor)
        made[i, start : start + BATCH] = model.predict(batch)[: len(part)]
    return made


def compare(
    model: "Model",
    tracings: np.ndarray,
    expected: np.ndarray,
    *,
    order: tuple[str, ...] | None,
    truth: np.ndarray | None,
    console: Console,
) -> pd.DataFrame:
    """Compares every hypothesis with the stored predictions, on all recordings where there is a `truth`.

    Returns:
        One row per hypothesis, the nearest first: `factor`, `unit`, `columns`, `leads` (what the network is given, in
        the file's `order`), `recordings` (compared), `largest_difference`, `median_difference`, `reproduces` (0 or 1),
        `micro_average_precision` (by `truth`; else NaN).
    """
    first = SCREENED if truth is None else len(tracings)
    made = list(predict(model, tracings[:first], HYPOTHESES, console))
    near = [i for i, screened in enumerate(made) if np.abs(screened - expected[:first]).max() < HOPELESS]
    if near and first < len(tracings):
        rest = predict(model, tracings[first:], [HYPOTHESES[i] for i in near], console)
        for i, others in zip(near, rest, strict=True):
            made[i] = np.concatenate([made[i], others])
    rows = []
    for (factor, columns), found in zip(HYPOTHESES, made, strict=True):
        difference = np.abs(found - expected[: len(found)])
        rows.append(
            {
                "factor": factor,
                "unit": FACTORS[factor],
                "columns": " ".join(str(column + 1) for column in columns),
                "leads": ",".join(order[column] for column in columns) if order else "",
                "recordings": len(found),
                "largest_difference": float(difference.max()),
                "median_difference": float(np.median(difference)),
                "reproduces": int(len(found) == len(tracings) and difference.max() < TOLERANCE),
                "micro_average_precision": score(truth, found) if truth is not None else np.nan,
            }
        )
    return pd.DataFrame(rows).sort_values("largest_difference", kind="stable", ignore_index=True)


def score(truth: np.ndarray, probabilities: np.ndarray) -> float:
    """Micro average precision."""
    from ecg_jax.evaluation import metrics

    return metrics.compute_ranking(truth.ravel(), probabilities.ravel())[1]


def describe(row: pd.Series) -> str:
    """Says what the network is given."""
    values = "values as they are" if row.factor == 1 else f"values x {row.factor:g} ({row.unit})"
    columns = "columns as stored" if row.columns == STORED else f"columns {row.columns}"
    return f"{values}, {columns}" + (f": {row.leads}" if row.leads else "")


def conclude(table: pd.DataFrame, scale: amplitude.ScaleEstimate) -> tuple[str, str]:
    """The conclusion, and the flags of `predict` that follow from it, one line each."""
    fitting, nearest = table[table.reproduces == 1], table.iloc[0]
    size = f"largest difference {nearest.largest_difference:.2g} in {nearest.recordings} recordings"
    if fitting.empty:
        message = (
            f"none of {len(table)} hypotheses reproduces the predictions; the nearest ({size}): {describe(nearest)}"
        )
        return message, "none follow"
    if len(fitting) > 1:
        listed = "; ".join(describe(row) for _, row in fitting.iterrows())
        return f"{len(fitting)} hypotheses reproduce the predictions, and nothing tells which: {listed}", "none follow"
    known = {CODE_UNITS_PER_MILLIVOLT, *(1 / unit for unit in amplitude.UNITS)}
    units = [unit * nearest.factor for unit in known if scale.low <= unit <= scale.high]
    has_names = set(nearest.leads.split(",")) == set(LEADS)
    leads = f"--leads={nearest.leads}" if has_names else "(no --leads: the file's own order is not settled)"
    unit = "(no --units_per_millivolt: the file's own unit is not settled)"
    unit = f"--units_per_millivolt={units[0]:g}" if len(units) == 1 else unit
    return f"only this reproduces the predictions ({size}): {describe(nearest)}", f"{leads} {unit}"


def main(argv: Sequence[str]) -> int:
    """Compares, writes the table and concludes; see the module's docstring."""
    cli.refuse_arguments(argv)
    console = cli.create_console()
    if os.path.exists(_OUTPUT.value) and not (os.path.isdir(_OUTPUT.value) and os.access(_OUTPUT.value, os.W_OK)):
        raise InputError(f"--output={_OUTPUT.value}: not a folder that can be written")
    tracings = read_tracings(_TRACINGS.value)
    expected = read_predictions(_PREDICTIONS.value, len(tracings))
    truth = read_annotations(_ANNOTATIONS.value, len(tracings)) if _ANNOTATIONS.value else None
    model = read_network(_MODEL.value, tracings.shape[1])
    os.makedirs(_OUTPUT.value, exist_ok=True)

    recordings = [code_hdf5.read(_TRACINGS.value, row, declared=code_hdf5.CODE) for row in range(len(tracings))]
    order, count = find_order(recordings)
    leads = ",".join(order) if order else "in no order that most recordings agree on"
    console.print(f"In the file: leads {leads}, by Einthoven and Goldberger in {count} of {len(recordings)} recordings")
    scale = estimate_unit(recordings, order or LEADS)
    console.print(f"In the file: {scale.message}")

    table = compare(model, tracings, expected, order=order, truth=truth, console=console)
    path = os.path.join(_OUTPUT.value, "hypotheses.csv")
    table.to_csv(f"{path}.partial", index=False)
    os.replace(f"{path}.partial", path)
    conclusion, follows = conclude(table, scale)
    console.print(f"Written: {path}, {len(table)} hypotheses\nConclusion: {conclusion}\nFlags of predict: {follows}")
    if truth is not None:
        best = table.loc[table.micro_average_precision.idxmax()]
        console.print(
            f"Gold standard: best is {describe(best)}: micro average precision {best.micro_average_precision:.3f}; "
            f"the stored predictions have {score(truth, expected):.3f}"
        )
    return 0


if __name__ == "__main__":
    cli.run(main)
