"""Writes the table of findings in `docs/labels.md`: their codes in each source, and which data sets know them.

python -m ecg_jax.data.datasets.label_table docs/labels.md
"""

from collections.abc import Iterator, Mapping

from ecg_jax import statements
from ecg_jax.data.datasets import code15, ludb, snomed, sph

_IN_SPH = sph.STATEMENTS | {statements.NORMAL: (sph.NORMAL,)}
_IN_LUDB = ludb.STATEMENTS | {statements.NORMAL: ("normal, as above",)}
_IN_CODE = {code: f"`{name}`" for name, code in statements.SIX.items()} | {statements.NORMAL: f"`{code15.NORMAL}`"}


def describe(criteria: Mapping[str, str]) -> str:
    """The table; `criteria` says by which criterion the simulator states a finding, by code: others are not drawn."""
    header = ["label", "meaning", "PTB-XL", "Challenge", "SPH", "LUDB", "CODE", "simulated", "criterion"]
    table = [header, ["---"] * len(header), *_list_findings(criteria)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in table)


def update(text: str, criteria: Mapping[str, str]) -> str:
    """The text of `docs/labels.md` with its table, which is the end of it, written again."""
    return text[: text.index("| label |")] + describe(criteria)


def _list_findings(criteria: Mapping[str, str]) -> Iterator[list[str]]:
    for name, diagnostic in [(name, name) for name in statements.SUPERCLASSES] + [("form", ""), ("rhythm", "")]:
        for code, statement in statements.STATEMENTS.items():
            kind = "rhythm" if statement.is_rhythm else "form"
            if statement.superclass == diagnostic and (diagnostic or kind == name):
                column = statements.column_name(code)
                row = [code if column == code else f"**{column}**", f"{statement.meaning} ({name})", f"`{code}`"]
                row += [_in_challenge(code), ", ".join(map(str, _IN_SPH.get(code, ())))]
                row += ["; ".join(_IN_LUDB.get(code, ())), _IN_CODE.get(code, "")]
                yield [*row, "yes" if code in criteria else "", criteria.get(code, "")]


def _in_challenge(code: str) -> str:
    known = snomed.KNOWN.get(code, frozenset())
    letters = "".join(letter for letter, source in snomed.SOURCES.items() if source in known)
    found = [f"{name} {number}" for number, name in snomed.ABBREVIATIONS.items() if snomed.STATEMENTS.get(name) == code]
    ptbxl = snomed.SOURCES["H"]
    special = {name: snomed.find_meaning(ptbxl, name) for name in snomed.STATEMENTS | snomed.GENERAL}
    of = [name for name, codes in special.items() if code in codes and snomed.STATEMENTS.get(name) != code]
    found += [f"H: {name}" for name in of if ptbxl in known and snomed.is_used(ptbxl, name)]
    return "; ".join([*found, *filter(None, [letters])])


if __name__ == "__main__":
    import sys
    from pathlib import Path

    from ecg_jax.simulation.criteria import CRITERIA  # imports JAX

    file = Path(sys.argv[1])
    file.write_text(update(file.read_text(), CRITERIA))
