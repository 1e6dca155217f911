"""The pages of evidence state what the code and the studies' own tables state."""

import ast
import re
from pathlib import Path

from ecg_jax import pretrained
from ecg_jax.evaluation.metrics import list_metrics
from ecg_jax.evaluation.settings import INTERVALS, Settings

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


def split_row(line: str) -> tuple[str, list[str]]:
    first, *others = [cell.strip() for cell in line.strip("|").split(" | ")]
    return first.strip(" |"), [cell.strip(" |") for cell in others]


def read_studies() -> dict[str, list[str]]:
    """The numbers and ranges in the tables at the heads of the studies of coverage, by the name of their row."""
    found: dict[str, list[str]] = {}
    for study in ("interval", "regression"):
        text = (ROOT / "experiments" / f"{study}_coverage.py").read_text()
        for line in (ast.get_docstring(ast.parse(text)) or "").splitlines():
            name, *cells = re.split(r"\s{2,}|(?<=\d) (?=\d)", line.strip())
            found.setdefault(name, []).extend(cells)
    return found


def test_every_number_of_coverage_is_in_the_table_of_its_study():
    text = (DOCS / "statistics.md").read_text().partition("## Coverage")[2]
    rows = [split_row(line) for line in text.splitlines() if re.match(r"\| [A-Za-z].*\d", line)]
    rows = [(name, cells) for name, cells in rows if not name.startswith(("positives", "recordings"))]
    assert len(rows) > 40
    studies = read_studies()
    for name, cells in rows:
        stated = iter(studies[name])
        assert all(cell in stated for cell in cells), (name, cells)  # in this order


def test_the_intervals_of_every_score_are_described():
    text = (DOCS / "statistics.md").read_text()
    for name in list_metrics(Settings(beta=2, prevalence=0.1)):
        assert f"`{name}`" in text, name
    assert all(name in text for name in INTERVALS)


def test_weak_findings_are_those_of_the_weights_that_ship():
    rows = [row for row in pretrained.read("real").results if row["auroc"] < 0.8 and "mean" not in row["label"]]
    shown = [
        (f"{row['positives']} of {row['n']}", f"{row['auroc']:.3f} ({row['auroc_low']:.3f}-{row['auroc_high']:.3f})")
        for row in rows
    ]
    text = (DOCS / "limits.md").read_text().partition("## Findings that are not told well")[2].partition("- **")[0]
    lines = [line for line in text.splitlines() if re.search(r"\d of \d", line)]
    assert len(lines) == len(shown)
    for row, parts in zip(rows, shown, strict=True):
        assert any(line.startswith(f"| {row['label']}, ") and all(part in line for part in parts) for line in lines)


def test_sensitivities_and_counts_of_the_page_of_limits_are_those_of_the_weights():
    found = pretrained.read("real")
    results = {(row["set"], row["label"]): row for row in found.results}
    text = (DOCS / "limits.md").read_text()
    for key, shown in {
        ("PTB-XL", "abnormal"): "on fold 10, of the same hospital, {:.2f}",
        ("PTB-XL, z-scored", "abnormal"): "z-scored, {:.2f}",
        ("ludb", "abnormal"): "on LUDB {:.2f}",
        ("ludb", "SB"): "bradycardia has {:.2f} on LUDB",
        ("challenge2021", "SB"): "{:.2f} in the Challenge",
    }.items():
        assert shown.format(results[key]["recall"]) in " ".join(text.split()), key
    scored = {label for _, label in results if "mean" not in label}
    counts = f"**{len(found.labels) - len(scored)} of the {len(found.labels)} outputs have no result"
    assert counts in text
    assert f"{len(found.unchosen)} outputs" in text
    parts = {name: results[name, "SR"]["n"] for name in ("PTB-XL", "PTB-XL, z-scored", "ludb")}
    assert f"{parts['PTB-XL'] + parts['PTB-XL, z-scored']} of PTB-XL's fold 10, LUDB's {parts['ludb']}" in text


def test_results_of_the_weights_are_the_same_on_every_page():
    rows = {(row["set"], row["label"]): row for row in pretrained.read("real").results}
    names = ("PTB-XL", "PTB-XL, z-scored", "ludb")
    cells = [
        f"{rows[name, 'abnormal']['auroc']:.3f} ({rows[name, 'abnormal']['auroc_low']:.3f}-"
        f"{rows[name, 'abnormal']['auroc_high']:.3f})"
        for name in names
    ]
    for page in ("README.md", "docs/results.md", "docs/limits.md", "ecg_jax/pretrained/real.md"):
        assert all(cell in (ROOT / page).read_text() for cell in cells), page
