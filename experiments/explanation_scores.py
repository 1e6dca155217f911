"""Scores of attributions on simulated ECGs with a known cause, for `explanation_truth.py`."""

import dataclasses
import itertools
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
import pandas as pd

from ecg_jax import models, statements
from ecg_jax.data.preprocess import create_input
from ecg_jax.errors import InputError
from ecg_jax.explanation import faithfulness, simulated_causes
from ecg_jax.explanation.delineation import delineate_many
from ecg_jax.explanation.methods import attribute, share
from ecg_jax.explanation.segments import SEGMENTS, label_samples
from ecg_jax.inference.model import Model
from ecg_jax.recording import LEADS, create_recording
from ecg_jax.simulation import SAMPLING_RATE
from ecg_jax.simulation.simulator import SAMPLES

CELL = round(0.02 * SAMPLING_RATE)  # samples: of a cell, of smoothing, and of tolerance
BATCH = 5  # recordings that are explained at once
FLOORS = ("signal size", "random")  # what needs no network, beside the methods
FEW = 10  # recordings for the choice, and of rates
COMPARED = 5  # recordings of which similarity is measured, each with four more networks
CURVES = 50  # recordings with deletion and insertion
SLOW = {"shapley": 0.1}  # methods that take long, and the share of recordings that they are scored on
KEYS = {"choose": 1, "report": 2, "compare": 3}  # of other draws for each purpose
LEVELS = {
    "random head": ("head",),
    "random upper half": ("head", "trunk/unit3", "trunk/unit4"),
    "random": ("head", "trunk"),
}


@dataclasses.dataclass(frozen=True)
class Examples:
    """Recordings with one finding that the models get right."""

    signal: np.ndarray  # `[N, T, 12]` as the models expect it
    cause: np.ndarray  # `[N, T, 12]` bool
    segments: np.ndarray  # `[N, T]` int8, by the delineator
    right: float  # share of what was drawn that they get right

    def take(self, rows: np.ndarray) -> "Examples":
        """Some of them."""
        return Examples(self.signal[rows], self.cause[rows], self.segments[rows], self.right)


def find_output(model: Model, code: str) -> int:
    """The number of a statement's output."""
    name = statements.column_name(code)
    if name not in model.label_names:
        raise InputError(f"the model has no output {name}; it has {', '.join(model.label_names)}")
    return model.label_names.index(name)


def draw_examples(code: str, purpose: str, given: Sequence[Model], count: int) -> Examples:
    """Draws recordings with this finding that all these models, of one input contract, state at their thresholds."""
    contract = given[0].contract
    if (contract.shape, contract.sampling_rate, contract.leads) != ((SAMPLES, len(LEADS)), SAMPLING_RATE, LEADS):
        raise InputError(f"the model expects {contract.shape} at {contract.sampling_rate:g} Hz, not as simulated")
    key = jax.random.fold_in(jax.random.key(KEYS[purpose]), list(statements.STATEMENTS).index(code))
    found: list[Examples] = []
    tried = kept = 0
    for drawn in simulated_causes.draw(code, key):
        recordings = [
            create_recording(signal[valid], leads=LEADS, sampling_rate=SAMPLING_RATE, id="")
            for signal, valid in zip(drawn.signal, drawn.valid, strict=True)
        ]
        signal = np.stack([create_input(recording, contract)[0] for recording in recordings])
        is_right = np.ones(len(signal), bool)
        for model in given:
            place = find_output(model, code)
            is_right &= model.predict(signal)[:, place] >= model.thresholds[model.label_names[place]]
        start = -float(drawn.valid[0].argmax()) / SAMPLING_RATE
        segments = np.stack(
            [
                label_samples(delineation.waves, start, SAMPLES, SAMPLING_RATE)
                for delineation in delineate_many(recordings)
            ]
        )
        tried, kept = tried + len(signal), kept + int(is_right.sum())
        found.append(Examples(signal, drawn.cause, segments, 0.0).take(is_right))
        if kept >= count:
            break
    signal, cause, segments = (
        np.concatenate([getattr(each, name) for each in found])[:count] for name in ("signal", "cause", "segments")
    )
    return Examples(signal, cause, segments, kept / tried)


def count_used(method: str, examples: Examples) -> int:
    """How many recordings a method is scored on."""
    return max(BATCH, round(SLOW.get(method, 1.0) * len(examples.signal)))


def explain(method: str, model: Model, variables: Any, examples: Examples, output: int) -> tuple[np.ndarray, float]:
    """Attributions `[N, T, L]` of a method or of one of `FLOORS`, and seconds of processor time for each."""
    if method == "signal size":
        return np.abs(examples.signal), 0.0
    if method == "random":
        return np.random.default_rng(0).random(examples.signal.shape, np.float32), 0.0
    values, seconds = [], []
    count = len(examples.signal)
    for begin in range(0, count, BATCH):
        batch = examples.take(np.arange(begin, begin + BATCH) % count)
        started = time.process_time()
        values.append(attribute(method, model.network, variables, batch.signal, output, batch.segments))
        seconds.append((time.process_time() - started) / BATCH)
    return np.concatenate(values)[:count], float(np.min(seconds))  # the first one compiles


def score(method: str, model: Model, examples: Examples, output: int) -> pd.DataFrame:
    """A row for each recording."""
    examples = examples.take(np.arange(count_used(method, examples)))
    values, seconds = explain(method, model, model.variables, examples, output)

    def predict(signal: np.ndarray) -> np.ndarray:
        return model.predict(signal)[:, output]

    nothing = float(predict(np.zeros_like(examples.signal[:1]))[0])
    rows = []
    for i, (signal, cause, segments) in enumerate(zip(examples.signal, examples.cause, examples.segments, strict=True)):
        ends = (float(predict(signal[None])[0]), nothing)
        deletion, insertion = (
            faithfulness.compute_area(
                ends[keep], predict(faithfulness.remove_cells(signal, values[i], CELL, keep=keep)), ends[not keep]
            )
            if i < CURVES
            else np.nan
            for keep in (False, True)
        )
        by_segment = share(values[i], segments).sum(axis=0)
        rows.append(
            {
                "recording": i,
                "inside": cause.mean(),
                "share": faithfulness.compute_share(values[i], cause),
                "positive share": faithfulness.compute_share(np.maximum(values[i], 0), cause),
                "pointing": float(faithfulness.points_at(values[i], cause, width=CELL, tolerance=CELL)),
                "deletion": deletion,
                "insertion": insertion,
                **dict(zip((*SEGMENTS, "elsewhere"), by_segment, strict=True)),
                "seconds": seconds,
                "right": examples.right,
            }
        )
    return pd.DataFrame(rows)


def compare(method: str, first: Model, second: Model, examples: Examples, code: str) -> pd.DataFrame:
    """Similarity of the first network's attributions to the second's, and to its own with random weights."""
    examples = examples.take(np.arange(count_used(method, examples)))
    output = find_output(first, code)
    values, _ = explain(method, first, first.variables, examples, output)
    others = {"another seed": explain(method, second, second.variables, examples, find_output(second, code))[0]}
    fresh = models.init(first.network, jax.random.key(7), first.contract.shape)
    for level, parts in LEVELS.items():
        variables = faithfulness.randomize(first.variables, fresh, parts)
        others[level] = explain(method, first, variables, examples, output)[0]
    return pd.DataFrame(
        {
            "recording": i,
            "with": name,
            "similarity": faithfulness.compare(np.abs(values[i]), np.abs(other[i]), CELL),
            "signed": faithfulness.compare(values[i], other[i], CELL),
        }
        for (name, other), i in itertools.product(others.items(), range(len(values)))
    )


Task = tuple[dict[str, str], Callable[[], pd.DataFrame]]  # what it is of, and how it is computed
