"""Waves and intervals of the recordings that are predicted."""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence

from ecg_jax.errors import describe
from ecg_jax.explanation import delineator_weights
from ecg_jax.explanation.delineation import Delineation, Wave, measure
from ecg_jax.explanation.parts import delineate_parts
from ecg_jax.inference.predict import Measured, Prediction
from ecg_jax.interval_names import INTERVALS
from ecg_jax.recording import Recording

UNITS = {name: unit for name, unit in INTERVALS.items() if name != "p_duration"}
_AT_ONCE = 64  # windows of predictions that are held back, since waves are found faster of several recordings


def measure_all(predictions: Iterable[Prediction]) -> Iterator[Prediction]:
    """Adds `Prediction.measured` to predictions that hold their recordings, in order.

    Of a recording without a signal, or that could not be read, nothing is known; nor of one that cannot be delineated,
    whose `quality` gives the reason.

    Raises:
        InputError: when the delineator's weights cannot be read.
    """
    delineator_weights.load()
    group: list[Prediction] = []
    for made in predictions:
        group.append(made)
        if sum(max(1, len(each.windows)) for each in group) >= _AT_ONCE:
            yield from _measure_group(group)
            group = []
    yield from _measure_group(group)


def _measure_group(group: Sequence[Prediction]) -> Iterator[Prediction]:
    recordings = [each.ecg for each in group if each.ecg is not None and len(each.windows)]
    found = iter(_find(recordings))
    for each in group:
        known = next(found) if each.ecg is not None and len(each.windows) else create(None)
        if isinstance(known, str):
            quality = "; ".join(filter(None, (each.quality, f"not measured: {known}")))
            yield dataclasses.replace(each, measured=create(None), quality=quality)
        else:
            yield dataclasses.replace(each, measured=known)


def _find(recordings: Sequence[Recording]) -> list[Measured | str]:
    """What is measured of each, or why nothing is: one recording ends nothing."""
    try:
        found = zip(recordings, delineate_parts(recordings), strict=True)
        return [create(recording, delineation) for recording, delineation in found]
    except Exception as error:  # noqa: BLE001 - see above
        if len(recordings) > 1:
            return [each for recording in recordings for each in _find([recording])]
        return [describe(error)]


def create(recording: Recording | None, delineation: Delineation | None = None) -> Measured:
    """What is measured of a recording with these waves; of None nothing is known."""
    if recording is None or delineation is None:
        return Measured(dict.fromkeys(UNITS, float("nan")), [], {})
    found = measure(recording, delineation)
    return Measured({name: getattr(found, name) for name in UNITS}, delineation.waves, delineation.waves_by_lead)


def measure_part(measured: Measured, recording: Recording, begin: float, end: float) -> dict[str, float]:
    """The same measurements of what begins between two times, in seconds; the whole's where that is all."""
    if begin <= 0 and end >= len(recording.signal) / recording.sampling_rate:
        return measured.measurements
    waves: list[Wave] = [wave for wave in measured.waves if begin <= wave["onset"] < end]
    return create(recording, Delineation(waves, {})).measurements
