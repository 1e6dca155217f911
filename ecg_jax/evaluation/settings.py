"""The choices of an evaluation."""

import dataclasses

from ecg_jax.errors import InputError

CALIBRATIONS = ("none", "temperature", "platt", "isotonic")
INTERVALS = ("auto", "percentile", "expanded", "bca")
RESAMPLED = ("auto", "recordings", "patients", "stratified")


@dataclasses.dataclass(frozen=True)
class Settings:
    """Choices of an evaluation.

    Attributes:
        beta: Of F-beta, which is computed unless it is 1.
        prevalence: Prevalence for further predictive values, 0 to 1; None for none.
        max_false_positive_rate: Upper end of the partial AUROC (McClish's standardization).
        interval: One of `INTERVALS`; see `intervals`.
        level: Of the intervals.
        resamples: Number of bootstrap resamples; 0 for no intervals.
        resampled: Unit of resampling, one of `RESAMPLED`: `auto` is patients where they are known;
            `stratified` draws recordings within each combination of labels.
        legacy: Draw resamples, and take intervals from them, as the script of Ribeiro et al. 2020 did
            (recordings, seed 123, level 0.95); `interval`, `resampled` and `seed` have no effect then.
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
        for name, known in {"interval": INTERVALS, "resampled": RESAMPLED}.items():
            if getattr(self, name) not in known:
                raise InputError(f"{name} is {getattr(self, name)!r}; known: {', '.join(known)}")
        bounds = {"beta": float("inf"), "level": 1, "prevalence": 1, "max_false_positive_rate": 1 + 1e-12}
        for name, high in bounds.items():
            number = getattr(self, name)
            if number is not None and not 0 < number < high:
                raise InputError(f"{name} is {number:g}; it must lie between 0 and {high:g}")
        if self.legacy and self.level != 0.95:
            raise InputError(f"level is {self.level:g}; the legacy intervals are of 0.95")
        if self.resamples < 0:
            raise InputError(f"resamples is {self.resamples}; it must be at least 0")
