"""The input a network expects. Written into every run, checked wherever data meets a model.

A contract is also a list of steps, from a recording to that input. `data.preprocess` carries them out with NumPy,
`data.preprocess_on_device` with JAX.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from ecg_jax.errors import InputError
from ecg_jax.recording import HIGHEST_RATE, LEADS, canonical_leads

MOST_SAMPLES = 1 << 22  # three hours at 400 Hz
NORMALIZATIONS = ("none", "zscore")
# mV, from 0.5 to 40 Hz: the medians of I, II, III, aVR, aVL, aVF, V1 to V6 in PTB-XL's folds 1 to 8.
USUAL_DEVIATIONS = (0.127, 0.122, 0.092, 0.118, 0.090, 0.089, 0.144, 0.233, 0.225, 0.221, 0.205, 0.169)


@dataclasses.dataclass(frozen=True)
class Resample:
    """Changes the sampling rate, Hz."""

    before: float
    after: float


@dataclasses.dataclass(frozen=True)
class Filter:
    """A Butterworth band of order 2 and a notch of quality 30, forward and backward; frequencies in Hz, 0 for none."""

    sampling_rate: float
    highpass: float
    lowpass: float
    notch: float


@dataclasses.dataclass(frozen=True)
class ZScore:
    """Gives each lead zero mean and unit variance over its valid samples; a flat lead becomes 0."""


@dataclasses.dataclass(frozen=True)
class Scale:
    """Multiplies by one factor, or by one per lead."""

    factors: tuple[float, ...]


Step = Resample | Filter | ZScore | Scale


@dataclasses.dataclass(frozen=True)
class InputContract:
    """The array a network was trained on.

    Attributes:
        leads: Lead names, in the order of the array's columns.
        sampling_rate: Hz.
        samples: Length; shorter recordings are zero-padded on both sides, longer ones
            cropped to their centre.
        highpass: Hz below which the signal is removed; 0 for no filter.
        lowpass: Hz above which the signal is removed; 0 for no filter.
        notch: Powerline frequency that is removed (50 or 60 Hz); 0 for no filter.
        units_per_millivolt: The value of 1 mV. The published network was trained on
            arrays of about 2 x mV (CODE), hence the default.
        normalization: `none` keeps amplitudes (times `units_per_millivolt`); `zscore`
            makes every lead zero mean and unit variance over its valid samples.
        usual_deviations: Standard deviation of each lead, millivolts, given to recordings that were z-scored before
            and have lost their amplitude. Empty: such recordings are refused, unless `normalization` is `zscore`.
    """

    leads: tuple[str, ...] = LEADS
    sampling_rate: float = 400.0
    samples: int = 4096
    highpass: float = 0.0
    lowpass: float = 0.0
    notch: float = 0.0
    units_per_millivolt: float = 2.0
    normalization: str = "none"
    usual_deviations: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "leads", canonical_leads(self.leads))
        unknown = [lead for lead in self.leads if lead not in LEADS]
        if unknown or len(set(self.leads)) != len(self.leads) or not self.leads:
            raise InputError(f"contract.leads is {self.leads}; expected distinct leads of {LEADS}")
        for field in ("sampling_rate", "samples", "units_per_millivolt"):
            if not getattr(self, field) > 0:
                raise InputError(f"contract.{field} is {getattr(self, field)}; it must be positive")
        if self.samples > MOST_SAMPLES or self.sampling_rate > HIGHEST_RATE:
            raise InputError(
                f"contract.samples is {self.samples}, contract.sampling_rate {self.sampling_rate}; at most "
                f"{MOST_SAMPLES} and {HIGHEST_RATE} Hz are supported"
            )
        nyquist = self.sampling_rate / 2
        for field in ("highpass", "lowpass", "notch"):
            if not 0 <= getattr(self, field) < nyquist:
                raise InputError(
                    f"contract.{field} is {getattr(self, field)} Hz; it must be 0 (off) or below half the "
                    f"sampling rate, {nyquist:g} Hz"
                )
        if self.lowpass and self.highpass >= self.lowpass:
            raise InputError(f"contract.highpass is {self.highpass} Hz, not below contract.lowpass, {self.lowpass} Hz")
        if self.normalization not in NORMALIZATIONS:
            raise InputError(f"contract.normalization is {self.normalization!r}; known: {', '.join(NORMALIZATIONS)}")
        object.__setattr__(self, "usual_deviations", tuple(map(float, self.usual_deviations)))
        usual = self.usual_deviations
        is_each_positive = len(usual) == len(self.leads) and all(0 < value < math.inf for value in usual)
        if usual and not (is_each_positive and self.normalization == "none"):
            raise InputError(
                f"contract.usual_deviations is {usual}; expected one number above 0 for each of the "
                f"{len(self.leads)} leads, and none where contract.normalization is zscore"
            )

    @property
    def takes_normalized(self) -> bool:
        """Whether recordings that were z-scored before can be given to the network."""
        return self.normalization == "zscore" or bool(self.usual_deviations)

    @property
    def shape(self) -> tuple[int, int]:
        """`(samples, leads)` of one example."""
        return self.samples, len(self.leads)

    def signal_steps(self, sampling_rate: float) -> tuple[Step, ...]:
        """What comes first, for a recording of this rate (Hz) with the contract's leads; unit and length are kept."""
        band = self.highpass, self.lowpass, self.notch
        steps: list[Step] = []
        if sampling_rate != self.sampling_rate:
            steps.append(Resample(sampling_rate, self.sampling_rate))
        if any(band):
            steps.append(Filter(self.sampling_rate, *band))
        return tuple(steps)

    def amplitude_steps(self, normalized: bool = False) -> tuple[Step, ...]:
        """What comes last, once the recording has the contract's length; `normalized` if it was z-scored before."""
        if self.normalization == "zscore":
            return () if normalized else (ZScore(),)
        unit = Scale((self.units_per_millivolt,))
        return (ZScore(), Scale(self.usual_deviations), unit) if normalized else (unit,)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dict that `from_dict` reads back."""
        return dataclasses.asdict(self) | {"leads": list(self.leads), "usual_deviations": list(self.usual_deviations)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "InputContract":
        """Builds a contract from keyword values; an unknown key raises `InputError`."""
        known = [field.name for field in dataclasses.fields(cls)]
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise InputError(f"contract has unknown key(s) {', '.join(unknown)}; known: {', '.join(known)}")
        usual = tuple(values.get("usual_deviations", ()))
        return cls(**dict(values) | {"leads": tuple(values.get("leads", LEADS)), "usual_deviations": usual})

    def differences(self, other: "InputContract") -> list[str]:
        """One line per field in which `other` differs, own value first."""
        mine, theirs = self.to_dict(), other.to_dict()
        return [f"{key}: {mine[key]} against {theirs[key]}" for key in mine if mine[key] != theirs[key]]
