"""The documentation of labels says what the code does."""

from pathlib import Path

from ecg_jax import statements
from ecg_jax.data.datasets import label_table
from ecg_jax.simulation.reader import CRITERIA

FILE = Path(label_table.__file__).with_name("LABELS.md")


def test_the_checked_in_table_is_up_to_date():
    assert FILE.read_text() == label_table.describe(CRITERIA), "run the command at the head of LABELS.md"


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
