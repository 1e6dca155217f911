"""A recording as a TFDS record: int16 microvolts at its own sampling rate, and what its data set states of it.

A record holds 12 leads in the order of `LEADS`, one microvolt per step, -32768 where there is nothing. Amplitudes
beyond +-32.767 mV are set to that, which the record's notes say.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import tensorflow_datasets as tfds

from ecg_jax.contract import InputContract
from ecg_jax.data.datasets.dataset import Dataset
from ecg_jax.data.preprocess import standardize
from ecg_jax.data.store import INVALID, STEPS_PER_MILLIVOLT, quantize
from ecg_jax.recording import LEADS, Recording, create_recording

UNKNOWN = -1  # of a label, and of a fold
METADATA = {"leads": list(LEADS), "unit": "uV", "invalid": int(INVALID)}
_FACTS = ("id", "patient_id", "age", "sex", "source", "fold")
_OF_RECORDING = ("id", "signal", "sampling_rate", "gaps", "duration", "notes")


def create_features(label_names: Sequence[str]) -> tfds.features.FeaturesDict:
    """The features of a record; each label is an int8: 1 present, 0 absent, -1 unknown."""
    scalar, text = tfds.features.Scalar, tfds.features.Text
    return tfds.features.FeaturesDict(
        {
            "id": text(doc="Unique within the data set."),
            "patient_id": text(doc="Empty where unknown."),
            "age": scalar(np.float32, doc="Years; NaN where unknown."),
            "sex": text(doc="F, M, or empty where unknown."),
            "source": text(doc="Which of the data set's own sources, where it has several; else empty."),
            "fold": scalar(np.int32, doc="The data set's own; -1 where it has none."),
            "labels": tfds.features.FeaturesDict({name: scalar(np.int8) for name in label_names}),
            # Integers would be written one by one as int64.
            "signal": tfds.features.Tensor(
                shape=(None, len(LEADS)), dtype=np.int16, encoding="bytes", doc="Microvolts; -32768 where invalid."
            ),
            "sampling_rate": scalar(np.float32, doc="Hz."),
            "gaps": scalar(np.int32, doc="Samples that were NaN or infinite in the file."),
            "duration": scalar(np.float32, doc="Seconds, where the file states them apart from its rate; else NaN."),
            "notes": text(doc="What the reader assumed, derived or mended, one per line."),
        }
    )


def describe(dataset: Dataset, label_names: Sequence[str]) -> pd.DataFrame:
    """What a data set states of its recordings, one per row.

    Returns:
        `id`, `split`, `patient_id`, `sex` and `source` (str, empty where unknown), `age` (float32, NaN where unknown),
        `fold` (-1 where there is none), and each label as in a record; one that the data set does not offer is unknown.
    """
    size = len(dataset.ids)
    nothing, unknown = np.full(size, ""), np.full(size, np.nan, np.float32)
    facts = {
        "id": dataset.ids,
        "split": dataset.split,
        "patient_id": nothing if dataset.patients is None else dataset.patients,
        "sex": dataset.attributes.get("sex", nothing),
        "source": dataset.attributes.get("source", nothing),
        "age": dataset.attributes.get("age", unknown),
        "fold": np.full(size, UNKNOWN) if dataset.folds is None else dataset.folds,
    }
    states = {name: np.nan_to_num(dataset.columns.get(name, unknown), nan=UNKNOWN) for name in label_names}
    return pd.DataFrame(facts | {name: state.astype(np.int8) for name, state in states.items()})


def encode(recording: Recording, facts: Mapping[str, Any], label_names: Sequence[str]) -> dict[str, Any]:
    """A recording and its row of `describe` as a record of `create_features`.

    Raises:
        InputError: when the recording lacks leads, or is normalized.
    """
    signal, valid = standardize(recording, InputContract(sampling_rate=recording.sampling_rate))
    steps, beyond = quantize(signal, valid)
    clipped = [f"{beyond} samples beyond +-32.767 mV are set to that"] if beyond else []
    return {
        **{name: facts[name] for name in _FACTS},
        "labels": {name: facts[name] for name in label_names},
        "signal": steps,
        "sampling_rate": recording.sampling_rate,
        "gaps": recording.gaps,
        "duration": np.nan if recording.duration is None else recording.duration,
        "notes": "\n".join(dict.fromkeys([*recording.notes, *recording.contradictions, *clipped])),
    }


def select_recording(features: Mapping[str, Any]) -> tfds.features.FeaturesDict:
    """Those features of a record that `decode` needs: the others take time to read."""
    return tfds.features.FeaturesDict({name: features[name] for name in _OF_RECORDING})


def decode(record: Mapping[str, Any]) -> Recording:
    """A record as a recording in millivolts."""
    steps, duration = record["signal"], float(record["duration"])
    recording = create_recording(
        steps,
        leads=LEADS,
        sampling_rate=float(record["sampling_rate"]),
        id=record["id"].decode(),
        millivolts_per_unit=1 / STEPS_PER_MILLIVOLT,
        valid=steps != INVALID,
        duration=None if np.isnan(duration) else duration,
        notes=record["notes"].decode().splitlines(),
    )
    return dataclasses.replace(recording, gaps=int(record["gaps"]))
