"""The measurement floor in a report: a network beside what intervals and voltages alone predict."""

import pandas as pd

from ecg_jax.evaluation import floor_comparison
from ecg_jax.evaluation.settings import Settings
from ecg_jax.kinds import FINDING
from ecg_jax.reporting.report import Section, describe_level, format_p
from ecg_jax.reporting.tables import Table

NAME = "floor"
_MEANING = (
    "What usual measurements alone predict: heart rate, PR, QRS, QT, QTc, axis, duration of P, and R, S and ST of each "
    "lead, as a delineator finds them. A network that is not above this floor sees no more than these measurements say."
)
SECTION = Section("Network and measurements", (_MEANING,), (NAME,))
_REGRESSIONS = {True: ("AUROC", "a logistic regression"), False: ("Mean absolute error", "a ridge regression")}


def create(frame: pd.DataFrame, learned_from: str, kind: str, settings: Settings) -> Table:
    """The table of `floor_comparison.compare`; `learned_from` says how many recordings the floor has seen."""
    score, regression = _REGRESSIONS[kind == FINDING]
    close = floor_comparison.find_close(frame, kind)
    note = f"Not clearly better than the floor: {', '.join(close)}." if close and settings.resamples else ""
    return Table(
        NAME,
        f"{score} of the network, and of the floor: {regression} on measurements of {learned_from}; with "
        f"{describe_level(settings)}; difference: network minus floor; p adjusted over labels by Holm.",
        frame,
        note,
        format_p(frame),
    )
