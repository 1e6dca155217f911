"""The documentation of labels says what the code does."""

from pathlib import Path

from ecg_jax import statements
from ecg_jax.data.datasets import label_table, snomed
from ecg_jax.simulation.criteria import CRITERIA

TEXT = (Path(__file__).parents[1] / "docs" / "labels.md").read_text()


def test_the_checked_in_table_is_up_to_date():
    assert label_table.update(TEXT, CRITERIA) == TEXT, "run the command at the head of docs/labels.md"


def test_the_text_names_the_rhythms_and_the_sources():
    rhythms = [code for code, found in statements.STATEMENTS.items() if found.is_rhythm]
    abnormal = [code for code in rhythms if code in statements.MEMBERS[statements.ABNORMAL]]
    assert f"no rhythm is stated but {', '.join(code for code in rhythms if code not in abnormal)} (" in TEXT
    assert f"any other diagnostic statement; or {', '.join(abnormal)} |" in TEXT
    assert f"  {', '.join(f'{letter} {name}' for letter, name in snomed.SOURCES.items())}." in TEXT


def test_every_finding_has_a_row():
    rows = [line.split(" | ") for line in label_table.describe({}).splitlines() if line.count(" | ") == 8]
    codes = [row[2].strip("`") for row in rows]
    assert [code for code in codes if code in statements.STATEMENTS] == [*dict.fromkeys(codes[2:])]
    assert set(statements.STATEMENTS) <= set(codes)


def test_what_the_simulator_states_has_its_criterion():
    text = label_table.describe({"LVH": "S in V1 and R in V5 above 3.5 mV"})
    line = next(line for line in text.splitlines() if "`LVH`" in line and line.count(" | ") == 8)
    assert line.endswith("| yes | S in V1 and R in V5 above 3.5 mV |")
    line = next(line for line in text.splitlines() if "`RVH`" in line and line.count(" | ") == 8)
    assert line.endswith("|  |  |")
