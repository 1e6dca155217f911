"""What an evaluation computes and how: the choices a user has."""

import dataclasses

from ecg_jax.errors import InputError

CALIBRATIONS = ("none", "temperature", "platt", "isotonic")
INTERVALS = ("auto", "percentile", "expanded", "bca")
RESAMPLED = ("auto", "recordings", "patients", "stratified")


@dataclasses.dataclass(frozen=True)
class Settings:
    """Choices of an evaluation.

    Attributes:
        beta: Of F-beta, which is computed where it is not 1.
        prevalence: At which predictive values are computed besides, 0 to 1; None for none.
        max_false_positive_rate: Where the partial AUROC ends (McClish's standardization).
        interval: One of `INTERVALS`; see `intervals`.
        level: Of the intervals.
        resamples: Number of bootstrap resamples; 0 leaves the intervals out.
        resampled: What is drawn, one of `RESAMPLED`: `auto` is patients where they are known;
            `stratified` draws recordings within each combination of labels.
        legacy: Draw resamples, and take intervals from them, as the script of Ribeiro et al. 2020 did
            (recordings, seed 123, level 0.95); `interval`, `resampled` and `seed` do nothing then.
        seed: Of the resamples and of cross-fitted thresholds.
        few: With fewer positives or negatives than this, a warning accompanies the scores.
    """

    beta: float = 1.0
    prevalence: float | None = None
    max_false_positive_rate: float = 0.1
    interval: str = "auto"
    level: float = 0.95
    resamples: int = 1000
    resampled: str = "auto"
    legacy: bool = False
    seed: int = 0
    few: int = 30

    def __post_init__(self) -> None:
        for name, value, known in (
            ("interval", self.interval, INTERVALS),
            ("resampled", self.resampled, RESAMPLED),
        ):
            if value not in known:
                raise InputError(f"{name} is {value!r}; known: {', '.join(known)}")
        ranges = {
            "beta": (self.beta, 0, float("inf")),
            "level": (self.level, 0, 1),
            "prevalence": (0.5 if self.prevalence is None else self.prevalence, 0, 1),
            "max_false_positive_rate": (self.max_false_positive_rate, 0, 1 + 1e-12),
        }
        for name, (number, low, high) in ranges.items():
            if not low < number < high:
                raise InputError(f"{name} is {number:g}; it must lie between {low:g} and {high:g}")
        if self.legacy and self.level != 0.95:
            raise InputError(f"level is {self.level:g}; the legacy intervals are of 0.95")
        if self.resamples < 0:
            raise InputError(f"resamples is {self.resamples}; it must be at least 0")
