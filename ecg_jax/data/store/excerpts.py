"""Examples of each quality flag: which recordings, which ten seconds of them, which leads."""

import dataclasses

import numpy as np

from ecg_jax.data import quality
from ecg_jax.data.store import Store
from ecg_jax.recording import Recording

SECONDS = 10
_LEADS = ("I", "II", "V1", "V5")
_SWAP_LEADS = ("I", "II", "aVR", "V6")  # the first three against the last show swapped electrodes
# Flags that no lead shows more than another.
_OF_THE_WHOLE = ("implausible_amplitude", "too_short", "duplicate", "limb_leads_disagree", "inverted")
_WINDOWS = 30  # searched for a defect


@dataclasses.dataclass(frozen=True)
class Excerpt:
    """A piece of a recording.

    Attributes:
        recording: Of at most `SECONDS`, with the leads that are shown.
        start: Seconds into the whole recording.
        flags: Of the whole recording.
    """

    recording: Recording
    start: float
    flags: tuple[str, ...]


def find(store: Store, flag: str, count: int = 3) -> list[Excerpt]:
    """Finds examples of a flag; of recordings without any flag, where it is empty. See `choose_rows` and `cut`."""
    return [cut(store, row, flag) for row in choose_rows(np.asarray(store.column("flags")), flag, count)]


def choose_rows(bits: np.ndarray, flag: str, count: int) -> list[int]:
    """Chooses recordings with a flag, evenly spread over those with the fewest others.

    Args:
        bits: `[N]` int32, see `quality.pack_flags`.
        flag: Its name; empty for recordings without any.
        count: How many at most.
    """
    if not flag:
        rows = np.flatnonzero(bits == 0)
    else:
        rows = np.flatnonzero(bits & quality.pack_flags([flag]))
        others = np.bitwise_count(bits[rows])
        rows = rows[np.argsort(others, kind="stable")]
        purest = int(np.count_nonzero(np.sort(others) == others.min(initial=64)))
        rows = rows[: max(purest, count)]
    places = np.unique(np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(int))
    return rows[places].tolist()


def cut(store: Store, row: int, flag: str) -> Excerpt:
    """Cuts the first ten seconds of a recording that show a flag, with the leads that do, or else I, II, V1 and V5."""
    whole = store.read(row, str(store.column("ids")[row]))
    flags = quality.unpack_flags(int(store.column("flags")[row]))
    length = round(SECONDS * whole.sampling_rate)
    starts = range(0, max(len(whole.signal) - length // 2, 1), length)[:_WINDOWS]
    pieces = {start: _slice(whole, slice(start, start + length)) for start in starts}
    shows = {start: bool(flag) and _has(piece, flag) for start, piece in pieces.items()} if len(pieces) > 1 else {}
    start = next((start for start, found in shows.items() if found), 0)
    piece = pieces[start]
    return Excerpt(_select(piece, _choose_leads(piece, flag)), start / whole.sampling_rate, flags)


def _choose_leads(piece: Recording, flag: str) -> list[str]:
    """Four leads, in the recording's order, preferably some that show the flag, of these the usual ones."""
    telling = list(_SWAP_LEADS) if flag == "swapped_limb_leads" else _find_leads(piece, flag)
    order = dict.fromkeys([*sorted(telling, key=lambda lead: lead not in _LEADS), *_LEADS, *piece.leads])
    chosen = [lead for lead in order if lead in piece.leads][: len(_LEADS)]
    return [lead for lead in piece.leads if lead in chosen]


def _find_leads(piece: Recording, flag: str) -> list[str]:
    """Leads that have a flag by themselves, or without which it is gone."""
    if not flag or flag in _OF_THE_WHOLE:
        return []
    if alone := [lead for lead in piece.leads if _has(_select(piece, [lead]), flag)]:
        return alone
    if len(piece.leads) < 2 or not _has(piece, flag):
        return []
    others = {lead: [other for other in piece.leads if other != lead] for lead in piece.leads}
    return [lead for lead in piece.leads if not _has(_select(piece, others[lead]), flag)]


def _has(piece: Recording, flag: str) -> bool:
    return bool(piece.valid.any()) and flag in quality.find_flags(piece)


def _slice(recording: Recording, rows: slice) -> Recording:
    return dataclasses.replace(recording, signal=recording.signal[rows], valid=recording.valid[rows])


def _select(recording: Recording, leads: list[str]) -> Recording:
    columns = [recording.leads.index(lead) for lead in leads]
    return dataclasses.replace(
        recording, signal=recording.signal[:, columns], valid=recording.valid[:, columns], leads=tuple(leads)
    )
