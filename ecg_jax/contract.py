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
MOST_WINDOWS = 1000  # of every recording
LONGEST_MEDIAN = 10.0  # seconds
NORMALIZATIONS = ("none", "zscore", "zscore_joint", "minmax")
RESAMPLINGS = ("polyphase", "polyphase_zeros", "linear")
STATISTICS = ("input", "recording")
_CHOICES = {"normalization": NORMALIZATIONS, "resampling": RESAMPLINGS, "statistics": STATISTICS}
HIGHEST_ORDER = 10
# mV, from 0.5 to 40 Hz: the medians of I, II, III, aVR, aVL, aVF, V1 to V6 in PTB-XL's folds 1 to 8.
USUAL_DEVIATIONS = (0.127, 0.122, 0.092, 0.118, 0.090, 0.089, 0.144, 0.233, 0.225, 0.221, 0.205, 0.169)


@dataclasses.dataclass(frozen=True)
class Resample:
    """Changes the sampling rate, Hz, by one of `RESAMPLINGS`."""

    before: float
    after: float
    method: str = "polyphase"


@dataclasses.dataclass(frozen=True)
class Filter:
    """Butterworth filters and a notch of quality 30, forward and backward; frequencies in Hz, 0 for none.

    With `order` 0 a high-pass and a low-pass filter of order 2, as one filter with the notch. Otherwise one band-pass
    filter of this order (`scipy.signal.butter`, whose band-pass filters have twice as many poles).
    """

    sampling_rate: float
    highpass: float
    lowpass: float
    notch: float
    order: int = 0


@dataclasses.dataclass(frozen=True)
class SubtractMedian:
    """Subtracts the running median of so many samples, an odd number; beyond the ends the signal is taken to be 0."""

    samples: int


@dataclasses.dataclass(frozen=True)
class ZScore:
    """Gives each lead, or all leads jointly, zero mean and unit variance over the valid samples; what is flat is 0."""

    is_joint: bool = False
    is_unbiased: bool = False  # the variance of n samples is divided by n - 1, not n


@dataclasses.dataclass(frozen=True)
class MinMax:
    """Maps the valid samples of each lead linearly to the range from 0 to 1; a flat lead becomes 0."""


@dataclasses.dataclass(frozen=True)
class Shift:
    """Subtracts one number, in millivolts."""

    millivolts: float


@dataclasses.dataclass(frozen=True)
class Scale:
    """Multiplies by one factor, or by one per lead."""

    factors: tuple[float, ...]


Step = Resample | Filter | SubtractMedian | ZScore | MinMax | Shift | Scale


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
            makes every lead zero mean and unit variance over its valid samples, `zscore_joint` all leads together;
            `minmax` maps every lead to the range from 0 to 1.
        usual_deviations: Standard deviation of each lead, millivolts, given to recordings that were z-scored before
            and have lost their amplitude. Empty: such recordings are refused, unless `normalization` forgets amplitude.
        trim: Cut off both ends of a recording for as long as all leads are equal there.
        resampling: `polyphase` continues a recording by its ends' straight line, `polyphase_zeros` by zeros
            (`scipy.signal.resample_poly`); `linear` interpolates between samples, so that first and last stay.
        bandpass_order: Of one Butterworth band-pass filter; 0 for filters of order 2 on either side. See `Filter`.
        median_baseline: Seconds of a running median that is subtracted; 0 for none.
        offset: Millivolts that are subtracted before `units_per_millivolt`.
        unbiased: Whether a z-score's variance is divided by the number of samples less one.
        statistics: What normalization is computed over: the network's `input`, or the whole `recording`.
        window_stride: Samples between the beginnings of windows of a longer recording; its rest is dropped. 0 for
            windows spread evenly, so that all of it is seen.
        window_count: Number of windows, whatever the length: numbers 1 to `window_count` of `window_count + 2`, which
            begin at multiples of (length - samples) // (window_count + 2). 0 for as many as fit.
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
    trim: bool = False
    resampling: str = "polyphase"
    bandpass_order: int = 0
    median_baseline: float = 0.0
    offset: float = 0.0
    unbiased: bool = False
    statistics: str = "input"
    window_stride: int = 0
    window_count: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "leads", canonical_leads(self.leads))
        object.__setattr__(self, "usual_deviations", tuple(map(float, self.usual_deviations)))
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
        for field, known in _CHOICES.items():
            if getattr(self, field) not in known:
                raise InputError(f"contract.{field} is {getattr(self, field)!r}; known: {', '.join(known)}")
        for field in ("window_stride", "window_count", "bandpass_order", "median_baseline"):
            if not 0 <= getattr(self, field) < math.inf:
                raise InputError(f"contract.{field} is {getattr(self, field)}; it must be 0 (off) or more")
        if self.window_count > MOST_WINDOWS:
            raise InputError(f"contract.window_count is {self.window_count}; at most {MOST_WINDOWS} are supported")
        if self.median_baseline > LONGEST_MEDIAN:
            raise InputError(
                f"contract.median_baseline is {self.median_baseline} s; at most {LONGEST_MEDIAN} s are supported"
            )
        if self.window_stride and self.window_count:
            raise InputError(
                "contract.window_stride and contract.window_count exclude each other; set one of them to 0"
            )
        self._check_filters()
        self._check_amplitudes()

    def _check_filters(self) -> None:
        nyquist = self.sampling_rate / 2
        for field in ("highpass", "lowpass", "notch"):
            if not 0 <= getattr(self, field) < nyquist:
                raise InputError(
                    f"contract.{field} is {getattr(self, field)} Hz; it must be 0 (off) or below half the "
                    f"sampling rate, {nyquist:g} Hz"
                )
        if self.lowpass and self.highpass >= self.lowpass:
            raise InputError(f"contract.highpass is {self.highpass} Hz, not below contract.lowpass, {self.lowpass} Hz")
        if self.bandpass_order and not (self.highpass and self.lowpass and self.bandpass_order <= HIGHEST_ORDER):
            raise InputError(
                f"contract.bandpass_order is {self.bandpass_order}; a band-pass filter has both contract.highpass and "
                f"contract.lowpass, and an order of at most {HIGHEST_ORDER}"
            )

    def _check_amplitudes(self) -> None:
        usual = self.usual_deviations
        is_each_positive = len(usual) == len(self.leads) and all(0 < value < math.inf for value in usual)
        if usual and not (is_each_positive and self.normalization == "none"):
            raise InputError(
                f"contract.usual_deviations is {usual}; expected one number above 0 for each of the "
                f"{len(self.leads)} leads, and none where contract.normalization is {self.normalization}"
            )
        if not math.isfinite(self.offset) or (self.offset and (usual or self.normalization != "none")):
            raise InputError(
                f"contract.offset is {self.offset} mV; it must be finite, and 0 with contract.normalization or "
                "contract.usual_deviations, which have a mean of their own"
            )

    @property
    def takes_normalized(self) -> bool:
        """Whether recordings whose leads were z-scored before can be given to the network."""
        return self.normalization in ("zscore", "minmax") or bool(self.usual_deviations)

    @property
    def shape(self) -> tuple[int, int]:
        """`(samples, leads)` of one example."""
        return self.samples, len(self.leads)

    @property
    def has_windows(self) -> bool:
        """Whether it states which parts of a longer recording the network sees."""
        return bool(self.window_stride or self.window_count)

    def signal_steps(self, sampling_rate: float) -> tuple[Step, ...]:
        """What comes first, for a recording of this rate (Hz) with the contract's leads; its unit is kept."""
        band = self.highpass, self.lowpass, self.notch
        steps: list[Step] = []
        if sampling_rate != self.sampling_rate:
            steps.append(Resample(sampling_rate, self.sampling_rate, self.resampling))
        if any(band):
            steps.append(Filter(self.sampling_rate, *band, self.bandpass_order))
        if self.median_baseline:
            steps.append(SubtractMedian(2 * int(self.median_baseline * self.sampling_rate / 2) + 1))
        return tuple(steps)

    def amplitude_steps(self, normalized: bool = False) -> tuple[Step, ...]:
        """What comes last, over what `statistics` names; `normalized` if the recording was z-scored before."""
        match self.normalization:
            case "zscore":
                return () if normalized else (ZScore(is_unbiased=self.unbiased),)
            case "zscore_joint":
                return (ZScore(is_joint=True, is_unbiased=self.unbiased),)
            case "minmax":
                return (MinMax(),)
        unit = Scale((self.units_per_millivolt,))
        if normalized:
            return ZScore(), Scale(self.usual_deviations), unit
        return (Shift(self.offset), unit) if self.offset else (unit,)

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
