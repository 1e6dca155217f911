"""Why a model predicts what it predicts: attributions of recordings, in time and by lead and wave."""

import dataclasses
import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from ecg_jax import labels as label_lib
from ecg_jax import statements
from ecg_jax.contract import InputContract
from ecg_jax.data.preprocess import create_known_windows, mask_missing, place, trim
from ecg_jax.errors import InputError, describe, suggest
from ecg_jax.explanation import methods
from ecg_jax.explanation.segments import label_samples
from ecg_jax.inference.model import Model
from ecg_jax.inference.predict import Prediction, find_highest
from ecg_jax.kinds import NUMBER
from ecg_jax.recording import Recording
from ecg_jax.reporting import ecg_page
from ecg_jax.reporting.ecg_shade import Explanation

DEFAULT = methods.DEFAULT
_WORTH = (*label_lib.SIX, *statements.SUPERCLASSES[1:], label_lib.ABNORMAL)  # explaining, the most specific first
_DEFAULT_THRESHOLD = 0.5
MANY = 12  # labels, above which only the usual ones are shown or explained by default


def check(model: Model, labels: Sequence[str], method: str) -> None:
    """Raises `InputError` for labels that the model lacks, and an unknown method."""
    if unknown := [label for label in labels if label not in model.label_names]:
        known = ", ".join(model.label_names) + suggest(unknown[0], model.label_names)
        raise InputError(f"the model has no label {', '.join(unknown)}; it has {known}")
    if method not in methods.METHODS:
        raise InputError(f"method is {method!r}; known: {', '.join(methods.METHODS)}{suggest(method, methods.METHODS)}")


def choose_labels(model: Model, made: Prediction) -> list[str]:
    """Labels of a prediction to explain, the most specific first.

    Of the six diagnoses, superclasses and `abnormal`, then of the others but NORM of a model that has at most `MANY`
    labels or none of these, those at or above their thresholds, or else `abnormal`; without it, the nearest to its
    threshold. A model of numbers has them all.
    """
    if model.kind == NUMBER:
        return list(model.label_names)
    candidates = [label for label in _WORTH if label in model.label_names]
    if not candidates or len(model.label_names) <= MANY:
        candidates += [label for label in model.label_names if label not in (*candidates, statements.NORMAL)]
    candidates = candidates or list(model.label_names)
    ratios = {label: relate_to_threshold(model, made, label) for label in candidates}
    called = [label for label in candidates if ratios[label] >= 1]
    if not called and label_lib.ABNORMAL in candidates:
        return [label_lib.ABNORMAL]
    return called or [max(candidates, key=lambda label: ratios[label])]


def relate_to_threshold(model: Model, made: Prediction, label: str) -> float:
    """A label's probability relative to its threshold, or to 0.5 where the model brings none."""
    threshold = model.thresholds.get(label, _DEFAULT_THRESHOLD)
    return float(made.probabilities[model.label_names.index(label)]) / max(threshold, 1e-9)


def explain_all(
    model: Model, predictions: Iterable[Prediction], labels: Sequence[str] = (), method: str = DEFAULT
) -> Iterator[Prediction]:
    """Adds `Prediction.explanations` to predictions that are measured and hold their recordings, in order.

    Args:
        model: What predicted them.
        predictions: See `measured.measure_all`; one without a signal, or that could not be read, stays as it is.
        labels: To explain of each; by default those that `choose_labels` chooses.
        method: One of `explanation.methods.METHODS`.

    Raises:
        InputError: see `check`; where a method does not suit the network. Other errors of one recording end nothing:
            its `quality` gives the reason. So it does where all values are 0.
    """
    check(model, labels, method)
    return (_explain_safely(model, made, labels, method) for made in predictions)


def _explain_safely(model: Model, made: Prediction, labels: Sequence[str], method: str) -> Prediction:
    try:
        found = explain(model, made, labels, method)
    except InputError:
        raise
    except Exception as error:  # noqa: BLE001 - see `explain_all`
        return _note(made, f"not explained: {describe(error)}")
    if empty := [each.label for each in found if not each.shares.any()]:
        waves = "" if made.measured and made.measured.waves else " (no waves were found)"
        made = _note(made, f"nothing to attribute{waves}: {', '.join(empty)}")
    return dataclasses.replace(made, explanations=found)


def _note(made: Prediction, line: str) -> Prediction:
    return dataclasses.replace(made, quality="; ".join(filter(None, (made.quality, line))))


def explain(
    model: Model, made: Prediction, labels: Sequence[str] = (), method: str = DEFAULT
) -> tuple[Explanation, ...]:
    """Explains labels of one prediction; see `explain_all`.

    Of each it explains the window in which it is the most probable; windows that are shorter than a page, as many as
    the page shows, and where they overlap, their mean is taken. What was not recorded is 0, whatever the method.
    """
    if made.ecg is None or made.measured is None or not len(made.windows):
        return ()
    contract = model.contract
    signals, known, begins, padding = cut(made.ecg, contract)
    predicted = np.isin(begins, made.starts)  # those without a signal are not
    signals, known, begins = signals[predicted], known[predicted], begins[predicted]
    found = []
    for label in labels or choose_labels(model, made):
        shown = _find_shown(made, begins, find_highest(model, made, label), contract)
        start = float(begins[shown[0]]) - padding
        offsets = np.round((begins[shown] - begins[shown[0]]) * contract.sampling_rate).astype(int)
        segments = label_samples(
            made.measured.waves, start, int(offsets[-1]) + contract.samples, contract.sampling_rate
        )
        values, missing, widths = _attribute(
            model, signals[shown], offsets, model.label_names.index(label), segments, method
        )
        is_known = _join(known[shown], offsets)
        values = np.where(is_known, values, np.float32(0))
        widths = None if widths is None else np.where(is_known, widths, np.float32(0))
        shares = methods.share(values, segments)
        widths = None if widths is None else methods.share(widths, segments, of=values)
        where = (contract.leads, contract.sampling_rate, start)
        found.append(Explanation(label, method, values, shares, *where, missing, widths, model.kind))
    return tuple(found)


def _find_shown(made: Prediction, begins: np.ndarray, highest: float, contract: InputContract) -> np.ndarray:
    """Numbers of the windows to explain: the one that begins at `highest`, or all on the page where they are shorter.

    On the page are those whose middle is.
    """
    assert made.ecg is not None, "predicted without keep"
    nearest = np.array([np.abs(begins - highest).argmin()])
    seconds = contract.samples / contract.sampling_rate
    if seconds >= ecg_page.SECONDS:
        return nearest
    page = ecg_page.place(highest, len(made.ecg.signal) / made.ecg.sampling_rate)
    middles = begins + seconds / 2
    shown = np.flatnonzero((middles >= page) & (middles < page + ecg_page.SECONDS))
    return shown if len(shown) else nearest


def _join(known: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """What is known `[n, L]` bool in any of windows `[W, T, L]` that begin at `offsets`."""
    joined = np.zeros((int(offsets[-1]) + known.shape[1], known.shape[2]), bool)
    for window, offset in zip(known, offsets, strict=True):
        joined[offset : offset + len(window)] |= window
    return joined


def _attribute(
    model: Model, signals: np.ndarray, offsets: np.ndarray, output: int, segments: np.ndarray, method: str
) -> tuple[np.ndarray, float | None, np.ndarray | None]:
    """Of windows `[W, T, L]` that begin at `offsets` of `segments` `[n]`, see `methods.Attribution`.

    Returns:
        Values `[n, L]` in units of the logit, or of the number; the largest share that is missing from a window; half
        widths `[n, L]`.
    """
    found = [
        methods.explain(
            method,
            model.network,
            model.variables,
            signal[None],
            output,
            segments[None, offset : offset + len(signal)],
            sampling_rate=model.contract.sampling_rate,
            activation=model.activation,
        )
        for signal, offset in zip(signals, offsets, strict=True)
    ]
    missing = [float(each.missing[0]) for each in found if each.missing is not None]
    widths = [each.half_widths[0] for each in found if each.half_widths is not None]
    values = _average([each.values[0] for each in found], offsets, len(segments))
    unit = np.float32(1 if model.scale is None else model.scale.deviation[output])
    known = unit * _average(widths, offsets, len(segments)) if widths else None
    return unit * values, max(missing, default=None), known


def _average(windows: Sequence[np.ndarray], offsets: np.ndarray, samples: int) -> np.ndarray:
    """The mean `[samples, L]` of windows `[T, L]` that begin at `offsets`, 0 between them."""
    total = np.zeros((samples, windows[0].shape[1]), np.float32)
    count = np.zeros((samples, 1), np.float32)
    for window, offset in zip(windows, offsets, strict=True):
        total[offset : offset + len(window)] += window
        count[offset : offset + len(window)] += 1
    return total / np.maximum(count, 1)


def cut(recording: Recording, contract: InputContract) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """The inputs of a whole recording, and when they are.

    Returns:
        `[windows, samples, leads]` float32, and bool where they are known; `[windows]`, seconds into the recording at
        which they begin; and the seconds of zeros before them in a recording that is shorter than an input.
    """
    kept, first = trim(recording) if contract.trim else (recording, 0)
    signals, known, begins = create_known_windows(mask_missing(kept, contract.leads)[0], contract)
    length = math.ceil(len(kept.signal) * contract.sampling_rate / recording.sampling_rate)
    padding = place(length, contract.samples)[1] / contract.sampling_rate
    return signals, known, begins + first / recording.sampling_rate, padding
