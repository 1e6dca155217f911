"""Parts of a beat: P wave, QRS complex, and from the end of QRS to the end of T."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

SEGMENTS = ("P", "QRS", "ST-T")  # labelled 1, 2, 3
_LONGEST_ST = 0.5  # seconds from the end of QRS to the onset of its T wave


def label_samples(waves: Iterable[Mapping[str, Any]], start: float, samples: int, sampling_rate: float) -> np.ndarray:
    """Which segment each sample of a window belongs to.

    Args:
        waves: `Delineation.waves`: of the whole recording, in seconds from its first sample, in order of time.
        start: Of the window, in seconds from the recording's first sample; negative where it begins with padding.
        samples: Length of the window, T.
        sampling_rate: Of the window, Hz.

    Returns:
        `[T]` int8: 0 elsewhere, 1 P, 2 QRS, 3 ST-T. Where they overlap QRS comes before ST-T, and that before P. A T
        wave without a QRS complex just before it begins at its own onset.
    """
    labels = np.zeros(samples, np.int8)
    for number, begin, end in sorted(_list_spans(waves), key=lambda span: (1, 3, 2).index(span[0])):
        first, last = (min(max(round((each - start) * sampling_rate), 0), samples) for each in (begin, end))
        labels[first:last] = number
    return labels


def _list_spans(waves: Iterable[Mapping[str, Any]]) -> list[tuple[int, float, float]]:
    """Label, begin and end of each segment, in seconds."""
    spans = []
    previous = -np.inf  # end of the last QRS complex
    for wave in waves:
        begin = wave["onset"]
        if wave["wave"] == "QRS":
            previous = wave["offset"]
        elif wave["wave"] == "T" and begin - previous < _LONGEST_ST:
            begin = min(begin, previous)
        spans.append(({"P": 1, "QRS": 2, "T": 3}[wave["wave"]], begin, wave["offset"]))
    return spans
