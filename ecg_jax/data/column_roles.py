"""What each column of a table of truth is taken for, in one sentence."""

import dataclasses
from collections.abc import Collection, Sequence

import pandas as pd

from ecg_jax import labels as label_lib
from ecg_jax.data.datasets import attributes as attribute_lib
from ecg_jax.printable import list_some


@dataclasses.dataclass(frozen=True)
class Roles:
    """Names of columns by what they are taken for."""

    labels: tuple[str, ...]
    subgroups: tuple[str, ...]
    unpredicted: tuple[str, ...]  # of 0 and 1, but no labels: each makes subgroups where it is named
    recordings: str  # that names them; empty without one
    patients: str
    facts: tuple[str, ...]  # who, where and when, weights and remarks
    constant: tuple[str, ...]  # of one value at most
    others: tuple[str, ...]  # whose values are nearly all different

    def describe(self, path: str) -> str:
        """All of these, and of many the first few."""
        some = {
            f"label{_s(self.labels)}": self.labels,
            f"column{_s(self.subgroups)} that may make subgroups": self.subgroups,
            "of 0 and 1 that are not scored (--subgroups=NAME makes subgroups)": self.unpredicted,
            "not used, as they name, place, date, weigh or remark on a recording": self.facts,
            "not used, as they have one value at most": self.constant,
            "not used, as nearly all of their values differ": self.others,
        }
        parts = [f"{len(names)} {role}: {list_some(names)}" for role, names in some.items() if names]
        named = {"recordings": self.recordings, "patients": self.patients}
        parts += [f"{what} are named by {name}" for what, name in named.items() if name]
        return f"Columns of {path}: {'; '.join(parts)}."


def _s(names: Sequence[str]) -> str:
    return "" if len(names) == 1 else "s"


def assign(
    table: pd.DataFrame,
    labels: Sequence[str],
    attributes: Collection[str],
    *,
    recordings: str = "",
    patients: str = "",
    parts: Collection[str] = (),
) -> Roles:
    """Finds what the columns of a table are for.

    Args:
        table: Of text.
        labels: Those of its columns that are scored.
        attributes: What was read of the others, as subgroups may be made of it.
        recordings: The column that names them.
        patients: The same of patients.
        parts: Columns that belong to labels, as their truth.
    """
    unpredicted = tuple(name for name in attributes if name in table and label_lib.is_label(table[name]))
    single = {name.lower() for name in table if table[name].nunique() < 2}
    used = {name.lower() for name in (*labels, *attributes, *parts, recordings, patients)}
    used |= {"is_male"} if "sex" in used else set()
    used |= {*attribute_lib.DATES} if "date" in used else set()
    rest = [str(name) for name in table if name.lower() not in used]
    facts = tuple(name for name in rest if attribute_lib.is_fact(name))
    return Roles(
        labels=tuple(labels),
        subgroups=tuple(name for name in attributes if name not in unpredicted and name.lower() not in single),
        unpredicted=unpredicted,
        recordings=recordings,
        patients=patients,
        facts=facts,
        constant=tuple(
            name for name in (*attributes, *rest) if name.lower() in single and name not in (*unpredicted, *facts)
        ),
        others=tuple(name for name in rest if name not in facts and name.lower() not in single),
    )
