"""Leads recorded together: what DICOM (multiplex group), HL7 (sequence set) and MUSE (waveform) files are made of.

A file may hold several: twelve leads and a rhythm strip, or the four columns of a paper ECG, recorded one after the
other. Only simultaneous leads make a `Recording`.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from ecg_jax import units
from ecg_jax.errors import InputError
from ecg_jax.recording import LEADS, Recording, canonical_lead, create_recording

_LONGEST_NAME = 64


@dataclasses.dataclass(frozen=True)
class Group:
    """Leads of one length, sampled at the same instants.

    Attributes:
        samples: `[samples, leads]`, as stored; NaN where there is nothing.
        leads: Names in the standard spelling, one per column.
        millivolts_per_unit: `[leads]` or one for all, what one step of `samples` is in mV.
        sampling_rate: Hz.
        start: When it begins, comparable among the groups of a file; None where the file does not say.
        notes: See `Recording`.
        contradictions: See `Recording`.
    """

    samples: np.ndarray
    leads: tuple[str, ...]
    millivolts_per_unit: np.ndarray | float
    sampling_rate: float
    start: str | float | None = None
    notes: tuple[str, ...] = ()
    contradictions: tuple[str, ...] = ()

    @property
    def steps(self) -> np.ndarray:
        """`[leads]`, `millivolts_per_unit` of each lead."""
        return np.broadcast_to(self.millivolts_per_unit, len(self.leads))


def millivolts(path: str, field: str, unit: str) -> float:
    """What one `unit` is in mV; raises `InputError` when it is not a voltage."""
    factor = units.find_millivolts(unit)
    if factor is None:
        raise InputError(f"{path}: unit of {field} is {unit[:40]!r}; known: nV, uV, mV, V")
    return factor


def lead(path: str, text: str) -> str:
    """A lead's name in the standard spelling; raises `InputError` when it is empty, or no name at all."""
    name = canonical_lead(text)
    if not name or len(name) > _LONGEST_NAME or not name.isprintable():
        raise InputError(
            f"{path}: lead named {name[:_LONGEST_NAME]!r}; each lead needs a name, such as {', '.join(LEADS[:4])}"
        )
    return name


def describe_leads(leads: Sequence[str], notes: Sequence[Sequence[str]]) -> list[str]:
    """Merges the notes on each lead: one line per note, naming all leads that have it."""
    said: dict[str, list[str]] = {}
    for name, lines in zip(leads, notes, strict=True):
        for line in lines:
            said.setdefault(line, []).append(name)
    return [f"lead{'s' if len(names) > 1 else ''} {', '.join(names)}: {line}" for line, names in said.items()]


def stack(path: str, leads: Sequence[np.ndarray]) -> np.ndarray:
    """Joins the samples of leads, `[samples]` each, as `[samples, leads]`; raises `InputError` if lengths differ."""
    lengths = {len(samples) for samples in leads}
    if len(lengths) > 1:
        raise InputError(f"{path}: leads of {min(lengths)} to {max(lengths)} samples; all must be of one length")
    return np.stack(leads, axis=1)


def choose(path: str, groups: Sequence[Group]) -> Group:
    """Returns the group that holds all leads of the file, or joins groups recorded at the same time.

    Raises:
        InputError: when the leads were not, or not provably, recorded at the same time, or a rate is not positive.
    """
    for rate in {group.sampling_rate for group in groups}:
        if not rate > 0:
            raise InputError(f"{path}: sampling rate {rate} Hz; expected a positive one")
    best = max(groups, key=lambda group: (len(set(group.leads) & set(LEADS)), len(group.samples) / group.sampling_rate))
    if all(set(group.leads) <= set(best.leads) for group in groups):
        left_out = f"the leads with most and longest data were taken of {len(groups)} groups"
        return best if len(groups) == 1 else dataclasses.replace(best, notes=(*best.notes, left_out))
    if len({(len(group.samples), group.sampling_rate, group.start) for group in groups}) > 1 or best.start is None:
        described = "; ".join(f"{' '.join(group.leads)}: {len(group.samples)} samples" for group in groups)
        raise InputError(
            f"{path}: leads in {len(groups)} groups of which the file does not say that they are simultaneous"
            f" ({described[:300]}); export all leads over the whole time"
        )
    return dataclasses.replace(
        best,
        samples=np.hstack([group.samples for group in groups]),
        leads=tuple(lead for group in groups for lead in group.leads),
        millivolts_per_unit=np.concatenate([group.steps for group in groups]),
        notes=(*(note for group in groups for note in group.notes), f"{len(groups)} simultaneous groups joined"),
        contradictions=tuple(line for group in groups for line in group.contradictions),
    )


def to_recording(
    path: str, id: str, *groups: Group, valid: np.ndarray | None = None, duration: float | None = None
) -> Recording:
    """Makes a recording of the file's groups (see `choose`): leads in their usual order, the twelve first, in mV.

    Args:
        path: Named in messages.
        id: See `Recording`.
        groups: One or more.
        valid: `[samples]` bool, False where no lead has anything; None where all have.
        duration: See `Recording`.

    Raises:
        InputError: see `choose`; when a lead is there twice, or rate, size or amplitude are impossible.
    """
    group = choose(path, groups)
    limit = np.finfo(np.float32).max / 1e6
    with np.errstate(invalid="ignore", over="ignore"):
        if np.any(np.abs(group.samples) > limit) or np.any(np.abs(group.samples * group.millivolts_per_unit) > limit):
            raise InputError(f"{path}: samples beyond {limit:.0e} mV; the file is damaged, export it again")
    names = group.leads
    order = sorted(range(len(names)), key=lambda i: LEADS.index(names[i]) if names[i] in LEADS else len(LEADS))
    return create_recording(
        group.samples[:, order],
        leads=[names[i] for i in order],
        sampling_rate=group.sampling_rate,
        id=id,
        millivolts_per_unit=group.steps[order],
        valid=None if valid is None else np.broadcast_to(valid[:, None], group.samples.shape),
        duration=duration,
        notes=group.notes,
        contradictions=group.contradictions,
    )
