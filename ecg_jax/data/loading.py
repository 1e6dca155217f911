"""A recording becomes the windows of an input contract and what was noticed about it, in any process; without JAX."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from ecg_jax.contract import InputContract
from ecg_jax.data import quality, shared_memory, verify
from ecg_jax.data.preprocess import create_input, create_windows, mask_missing, trim
from ecg_jax.data.readers import LazyRecording
from ecg_jax.data.splits import manifest
from ecg_jax.errors import InputError, describe
from ecg_jax.recording import Recording

NO_SIGNAL = "no signal"
_SOME = 100  # samples

Loaded = tuple[Sequence[np.ndarray], dict[str, Any]]  # windows `[samples, leads]`, and what was noticed


@dataclasses.dataclass(frozen=True)
class Loader:
    """How recordings are loaded; it can be sent to another process.

    Attributes:
        contract: Which the windows follow.
        trained: What the network was trained on, where that is known.
        checks: See `verify.enforce`.
        whole: Take all of a long recording, in windows.
        has_zeros: Take a recording that lacks leads, with zeros in their place.
        keep: Keep the recording.
    """

    contract: InputContract
    trained: manifest.Trained | None = None
    checks: str = "refuse"
    whole: bool = False
    has_zeros: bool = False
    keep: bool = False

    def load_some(self, recordings: Sequence[LazyRecording], most: int) -> list[Loaded]:
        """Loads recordings in order, the first at least, until there are `most` windows or more."""
        loaded, windows = [], 0
        for lazy in recordings:
            loaded.append(self.load(lazy))
            windows += len(loaded[-1][0])
            if windows >= most:
                break
        return loaded

    def load(self, lazy: LazyRecording) -> Loaded:
        """One bad file ends nothing, whatever it makes a library raise: that is noticed as `error`."""
        try:
            return self._load(lazy)
        except InputError as error:
            message = " ".join(str(error).split())
        except Exception as error:  # noqa: BLE001 - see above
            message = f"{lazy.name}: cannot be read ({describe(error)})"
        return (), {"error": message}

    def _load(self, lazy: LazyRecording) -> Loaded:
        contract = self.contract
        missing: tuple[str, ...] = ()
        given = dataclasses.replace(lazy.read())  # what is remembered of it is forgotten at the end
        recording, findings = verify.enforce(given, self.checks)
        if self.whole:
            kept, first = trim(recording) if contract.trim else (recording, 0)
            extended, missing = mask_missing(kept, contract.leads) if self.has_zeros else (kept, ())
            signals, starts = create_windows(extended, contract)
            moves = np.array([_moves(kept, start, contract) for start in starts.tolist()])
            starts = starts + first / recording.sampling_rate
        else:
            signals, starts, moves = create_input(recording, contract)[0][None], np.zeros(1), np.ones(1, bool)
        notes = (*verify.list_notes(recording, findings, self.checks), *_describe_derived(recording, contract, missing))
        kept_ecg = {"ecg": dataclasses.replace(recording)} if self.keep else {}
        if recording.is_degenerate or not moves.any():
            said = "; ".join((NO_SIGNAL, *notes))
            return (), {"quality": said, "defects": (NO_SIGNAL,), "notes": notes, **kept_ecg}
        flags = quality.find_flags(recording)
        defects = []
        if missing:
            listed = ", ".join(missing)
            defects.append(f"{len(missing)} of {len(contract.leads)} leads missing ({listed}), zeros in their place")
        if not moves.all():
            defects.append(f"{np.sum(~moves)} of {len(moves)} windows without a signal")
        if recording.gaps:
            defects.append(f"{recording.gaps} samples masked")
        seen = self.trained.find(recording) if self.trained else ""
        known = {
            "quality": "; ".join(filter(None, (*defects, seen, *flags, *notes))),
            "flags": flags,
            "defects": (*defects, *flags),
            "notes": notes,
            "starts": starts[moves],
            **kept_ecg,
        }
        return [*(signals if moves.all() else signals[moves])], known


def _describe_derived(recording: Recording, contract: InputContract, missing: Sequence[str]) -> list[str]:
    """A note on limb leads that are computed from others."""
    derived = [lead for lead in contract.leads if lead not in recording.leads and lead not in missing]
    return [f"derived from other limb leads: {', '.join(derived)}"] if derived else []


def _moves(recording: Recording, start: float, contract: InputContract) -> bool:
    """Whether the recording changes inside a window itself: filters bring something in from beside it."""
    begin, end = (
        round(s * recording.sampling_rate) for s in (start, start + contract.samples / contract.sampling_rate)
    )
    part = recording.signal[begin:end, recording.lead_columns]
    return any(bool(np.any(some != part[:1])) for some in (part[:_SOME], part))  # nearly all move at once


_own: tuple[Loader, Sequence[LazyRecording]]  # a worker's


def open_own(loader: Loader, recordings: Sequence[LazyRecording], place: tuple[str, int] | None) -> None:
    """Gives a worker process what it loads, once, and the memory for it, see `shared_memory.open_blocks`."""
    global _own
    _own = loader, recordings
    shared_memory.open_blocks(place)


def load_own(begin: int, end: int, most: int, block: int | None) -> tuple[list[Loaded], list[int]]:
    """Loads recordings number `begin` to before `end` in a worker, see `Loader.load_some`.

    Returns:
        What was loaded; and, where its windows are in `block`, how many each has, which are left out.
    """
    loader, recordings = _own
    loaded = loader.load_some(recordings[begin:end], most)
    if not shared_memory.write(block, [window for windows, _ in loaded for window in windows]):
        return loaded, []
    return [((), known) for _, known in loaded], [len(windows) for windows, _ in loaded]
