"""The table of findings in `LABELS.md`: their codes in each source, and which data sets know them.

python -m ecg_jax.data.datasets.label_table > ecg_jax/data/datasets/LABELS.md
"""

from collections.abc import Iterator, Mapping, Sequence

from ecg_jax import statements
from ecg_jax.data.datasets import code15, ludb, snomed, sph

_HEAD = """# Labels

Written by `python -m ecg_jax.data.datasets.label_table > ecg_jax/data/datasets/LABELS.md`; do not edit it.

A label is 1 (present), 0 (absent) or unknown. The names are PTB-XL's SCP-ECG statements (`ecg_jax/statements.py`); the
six diagnoses of Ribeiro et al. 2020 are names for six of them, and either name is understood. `--config.data.labels`
takes `six`, `abnormal`, `superclasses` (NORM, MI, STTC, CD, HYP), `statements` (those that the data set knows), names
of labels, and any of these separated by commas; or `all`.

## What `abnormal` means

| source | 0: normal | 1: abnormal | unknown |
|---|---|---|---|
"""
_ABNORMAL = (
    (
        "PTB-XL, and any table with a column `scp_codes`",
        "NORM is the only diagnostic statement, and no rhythm is stated but {sinus} (PAC and PVC decide nothing)",
        "any other diagnostic statement; or {rhythms}",
        "neither",
    ),
    ("CODE, CODE-15%, SaMi-Trop", "`normal_ecg` is 1", "it is 0", "it is empty"),
    (
        "PhysioNet/CinC Challenge 2020/21",
        "never: a sinus rhythm is no statement of normality",
        "a finding that is abnormal in PTB-XL, or another rhythm",
        "the rest",
    ),
    (
        "LUDB",
        "sinus rhythm, an axis that does not deviate, and nothing else",
        "any other finding, but irregular sinus rhythm and early repolarization",
        "the rest",
    ),
    ("SPH", "statement 1 without any finding", "any finding", "the rest"),
    (
        "simulated, population `hospital`",
        "the simulated reader states nothing diagnostic, and sinus rhythm of any rate (PAC and PVC decide nothing)",
        "any diagnostic statement, or another rhythm",
        "never",
    ),
    ("simulated, population `textbook`", "none of 1dAVb, RBBB, LBBB and AF", "any of these", "never"),
)
_RULES = """
## What follows from statements

- A superclass is present where one of its statements is, absent where all of them are absent or the ECG is normal, and
  otherwise unknown. In PTB-XL all five are unknown for a recording without a diagnostic statement.
- A statement that a source does not annotate is unknown there. A general finding (bundle branch block of no side,
  infarction of no wall) makes its superclass present and leaves the statements open that it may be.
- A long PR interval (LPR) without first-degree AV block (1AVB, 1dAVb) makes the latter unknown.
- PTB-XL's recordings in the Challenge (HR) have been translated into SNOMED CT: there NSR is SR or NORM, TAb is NDT,
  NT_, TAB_ or LOWT, LVH is LVH or VCLVH, MI any infarction but AMI, VEB is PVC or PRC(S), SVPB is SVARR and VH is
  SEHYP. A code that stands for several says that all are absent where it is absent, and otherwise leaves them open.

## Findings

- `Challenge`: abbreviations and SNOMED CT codes, and the sources that annotate the finding:
  {sources}.
- `SPH`: numbers of the AHA/ACC/HRS standard. `LUDB`: how the text of a finding begins. `CODE`: the column of CODE and
  CODE-15%. A data set knows a finding where the table has something for it.
- `simulated`: whether the reader of population `hospital` states it, and by which criterion. Sources, in brackets:
  `ecg_jax/simulation/reader.py`.

"""

_IN_SPH = sph.STATEMENTS | {statements.NORMAL: (sph.NORMAL,)}
_IN_LUDB = ludb.STATEMENTS | {statements.NORMAL: ("normal, as above",)}
_IN_CODE = {code: f"`{name}`" for name, code in statements.SIX.items()} | {statements.NORMAL: f"`{code15.NORMAL}`"}


def describe(criteria: Mapping[str, str]) -> str:
    """The text of `LABELS.md`.

    Args:
        criteria: By which criterion the simulator states a finding, by code; one that is not there is not drawn.
    """
    sinus = [code for code, found in statements.STATEMENTS.items() if found.is_rhythm]
    rhythms = [code for code in sinus if code in statements.MEMBERS[statements.ABNORMAL]]
    words = {"sinus": ", ".join(code for code in sinus if code not in rhythms), "rhythms": ", ".join(rhythms)}
    rows = [tuple(cell.format(**words) for cell in row) for row in _ABNORMAL]
    letters = ", ".join(f"{letter} {name}" for letter, name in snomed.SOURCES.items())
    header = ["label", "meaning", "PTB-XL", "Challenge", "SPH", "LUDB", "CODE", "simulated", "criterion"]
    table = [header, ["---"] * len(header), *_list_findings(criteria)]
    return _HEAD + "".join(map(_row, rows)) + _RULES.format(sources=letters) + "".join(map(_row, table))


def _list_findings(criteria: Mapping[str, str]) -> Iterator[list[str]]:
    for name, diagnostic in [(name, name) for name in statements.SUPERCLASSES] + [("form", ""), ("rhythm", "")]:
        for code, statement in statements.STATEMENTS.items():
            kind = "rhythm" if statement.is_rhythm else "form"
            if statement.superclass == diagnostic and (diagnostic or kind == name):
                column = statements.column_name(code)
                row = [code if column == code else f"**{column}**", f"{statement.meaning} ({name})", f"`{code}`"]
                row += [
                    _in_challenge(code),
                    ", ".join(map(str, _IN_SPH.get(code, ()))),
                    "; ".join(_IN_LUDB.get(code, ())),
                ]
                yield [*row, _IN_CODE.get(code, ""), "yes" if code in criteria else "", criteria.get(code, "")]


def _in_challenge(code: str) -> str:
    known = snomed.KNOWN.get(code, frozenset())
    letters = "".join(letter for letter, source in snomed.SOURCES.items() if source in known)
    found = [f"{name} {number}" for number, name in snomed.ABBREVIATIONS.items() if snomed.STATEMENTS.get(name) == code]
    ptbxl = snomed.SOURCES["H"]
    special = {name: snomed.find_meaning(ptbxl, name) for name in snomed.STATEMENTS | snomed.GENERAL}
    of = [name for name, codes in special.items() if code in codes and snomed.STATEMENTS.get(name) != code]
    found += [f"H: {name}" for name in of if ptbxl in known and snomed.is_used(ptbxl, name)]
    return "; ".join([*found, *filter(None, [letters])])


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |\n"


if __name__ == "__main__":
    from ecg_jax.simulation.reader import CRITERIA  # imports JAX

    print(describe(CRITERIA), end="")
