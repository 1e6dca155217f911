"""Many recordings through one model: read in parallel, predicted in batches, bad ones set aside."""

import dataclasses
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from ecg_jax.data import quality, verify
from ecg_jax.data.preprocess import create_input
from ecg_jax.data.readers import Source
from ecg_jax.data.splits import manifest
from ecg_jax.errors import InputError
from ecg_jax.inference.model import Model

NO_SIGNAL = "no signal"


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What became of one recording.

    Attributes:
        recording: Its name.
        probabilities: `[labels]` float32; NaN where there was no signal or an error.
        quality: What was noticed about the signal, separated by `; `; empty if nothing.
        error: Why it could not be read; empty if it could.
    """

    recording: str
    probabilities: np.ndarray
    quality: str
    error: str = ""


def predict(
    model: Model, sources: Sequence[Source], *, batch_size: int = 32, threads: int = 4, checks: str = "refuse"
) -> Iterator[Prediction]:
    """Predicts recordings in order; one that cannot be read yields its error.

    Args:
        model: See `load_model`.
        sources: See `readers.find`.
        batch_size: Recordings predicted at once.
        threads: That read ahead.
        checks: See `verify.enforce`; a recording that is refused yields its error.
    """
    blank = np.full(len(model.label_names), np.nan, np.float32)
    trained = manifest.Trained(model.split) if model.split else None

    def load(source: Source) -> tuple[np.ndarray, str, str]:
        try:
            recording, findings = verify.enforce(source.read(), checks)
            signal, _ = create_input(recording, model.contract)
        except InputError as error:
            return np.zeros(model.contract.shape, np.float32), "", " ".join(str(error).split())
        if recording.is_degenerate:
            return signal, NO_SIGNAL, ""
        noticed = [
            f"{recording.gaps} samples masked" if recording.gaps else "",
            trained.find(recording) if trained else "",
            *quality.examine(recording).flags,
            *((f"repaired: {found.message}" if checks == "repair" else found.message) for found in findings),
        ]
        return signal, "; ".join(filter(None, noticed)), ""

    with ThreadPoolExecutor(threads) as pool:
        chunks = [sources[i : i + batch_size] for i in range(0, len(sources), batch_size)]
        pending = [pool.submit(load, source) for source in chunks[0]] if chunks else []
        for number, chunk in enumerate(chunks):
            loaded = [future.result() for future in pending]
            following = chunks[number + 1] if number + 1 < len(chunks) else []
            pending = [pool.submit(load, source) for source in following]
            signal = np.zeros((min(batch_size, len(sources)), *model.contract.shape), np.float32)
            for i, (example, _, _) in enumerate(loaded):
                signal[i] = example
            probabilities = model.predict(signal)
            for i, (source, (_, seen, error)) in enumerate(zip(chunk, loaded, strict=True)):
                known = not error and seen != NO_SIGNAL
                yield Prediction(source.name, probabilities[i] if known else blank, seen, error)
