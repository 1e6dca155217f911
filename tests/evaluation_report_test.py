"""The page of an evaluation, as a browser shows it: whole, whatever the labels are called and however few there are."""

import csv
import json
import os
import re
import shutil
import subprocess

import numpy as np
import pytest
from browser import Tables, browse, probe

from ecg_jax.evaluation import analysis
from ecg_jax.evaluation.predictions import Predictions
from ecg_jax.evaluation.settings import Settings
from ecg_jax.evaluation.thresholds import GIVEN, STAMP, TEST, Thresholds
from ecg_jax.reporting import evaluation_report, report

EVIL = (
    "<script>alert('x')</script>",
    '"quoted", with a comma & <b>',
    r"$\frac{1}{$ \alpha_x^2 50 % #{}~",
    "Vorhofflimmern é µ ≥ –",
    "left_ventricular_hypertrophy_" * 4,
)
PROBE = """function probe() {
  const all = (selector, read) => [...document.querySelectorAll(selector)].map(read);
  const first = () => all("#scores tbody tr", row => row.cells[0].textContent.trim());
  const found = { before: first() };
  const head = [...document.querySelectorAll("#scores thead th")].find(each => each.textContent.startsWith("AUROC"));
  const button = head.querySelector("button");
  if (button) { button.click(); found.down = first(); button.click(); found.up = first(); }
  found.images = [...document.images].map(image =>
    [image.complete, image.naturalWidth, image.naturalHeight, image.getBoundingClientRect().width]);
  found.page = [document.documentElement.scrollWidth, innerWidth];
  found.sections = all("h2", each => each.textContent.replace(/^\\d+ /, ""));
  found.stamps = all("[role=alert]", each =>
    [each.textContent, each.getBoundingClientRect().height, each.checkVisibility()]);
  found.warnings = all(".warnings li", each => [each.textContent, each.checkVisibility()]);
  found.links = all("nav a", link => Boolean(document.querySelector(link.getAttribute("href"))));
  found.scripts = document.scripts.length;
  found.requests = performance.getEntriesByType("resource").map(each => each.name)
    .filter(name => !name.startsWith("data:"));
  found.text = document.body.innerText;
  return found;
}"""
ALWAYS = ["What was evaluated", "Scores", "Curves", "Decisions", "Calibration", "Net benefit"]


def draw(names, size=60, seed=0, **others):
    rng = np.random.default_rng(seed)
    labels = np.zeros((size, len(names)))
    labels[: size // 2] = 1
    labels = rng.permuted(labels, axis=0)
    probabilities = np.clip(0.3 + 0.3 * labels + 0.2 * rng.normal(size=labels.shape), 0, 1)
    return Predictions(np.arange(size).astype(str), tuple(names), labels, probabilities, **others)


def write(folder, predictions, *, source=GIVEN, resamples=20, said=None, **asked):
    thresholds = Thresholds(np.full(len(predictions.names), 0.5), "max_f1" if source == TEST else "", source)
    found = analysis.analyse(predictions, thresholds, Settings(resamples=resamples), **asked)
    words = {"title": "Evaluation of x", "subtitle": "sub", "command": "python"} | (said or {})
    figure_files = words.pop("figure_files", False)
    added = {name: words.pop(name) for name in ("seeds", "challenge", "scores") if name in words}
    added = evaluation_report.Additions(annotators=asked.get("annotators") or {}, **added)
    content = evaluation_report.describe(found, added, words.pop("models", ()))
    return report.write(str(folder), content, report.About(**words), figure_files=figure_files), found


def look(folder, tmp_path, size="1200,900"):
    """What a browser without a network sees of the page; its numbers are checked against what is always so."""
    found, console = probe(folder / "report.html", tmp_path, PROBE, f"--window-size={size}")
    assert console == []
    assert found["requests"] == []
    assert all(found["links"])
    assert found["page"][0] <= found["page"][1]
    assert found["scripts"] == 2  # the page's own, and the one that looks
    assert found["images"]
    for complete, width, height, shown in found["images"]:
        assert complete
        assert min(width, height, shown) > 20
    return found


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """Two labels and everything that a page can show."""
    folder = tmp_path_factory.mktemp("full")
    attributes = {"sex": np.tile(["F", "M"], 30), "age": np.tile([30.0, 50.0, 70.0], 20)}
    predictions = draw(["AF", "SB"], attributes=attributes, patients=np.repeat(np.arange(30), 2).astype(str))
    other = draw(["AF", "SB"], seed=0)
    other = Predictions(other.ids, other.names, other.labels, other.probabilities**2)
    thresholds = Thresholds(np.array([0.5, 0.5]), "", GIVEN)
    said = {"facts": ("Predictions: here.",), "warnings": ("leak: <b>none</b>",), "title": "Evaluation of <i>x</i>"}
    written, found = write(
        folder,
        predictions,
        source=TEST,
        said=said | {"figure_files": True},
        annotators={"Dr <A>": predictions.labels},
        other=(other, thresholds),
    )
    return folder, written, found


@pytest.fixture(scope="module", params=["1200,900", "500,900"])
def seen(request, full, tmp_path_factory):
    return look(full[0], tmp_path_factory.mktemp("browser"), request.param)


@pytest.mark.slow
def test_what_is_there_has_its_section_and_files(full, seen):
    folder, written, found = full
    assert seen["sections"] == [
        *ALWAYS[:2], "Comparison with another model", *ALWAYS[2:], "Agreement between readers", "Subgroups",
    ]  # fmt: skip
    assert len(seen["images"]) >= 9
    assert sorted(written) == sorted(str(path) for path in folder.iterdir())
    assert written[-1] == str(folder / "report.html")
    for path in written:
        assert os.path.getsize(path) > 100
        with open(path, "rb") as file:
            start = file.read(8)
        assert start.startswith({"pdf": b"%PDF", "png": b"\x89PNG"}.get(path.rpartition(".")[2], b""))
    content = Tables((folder / "report.html").read_text("utf-8"))
    assert set(content.tables) >= {"scores", "comparison", "confusion", "calibration", "kappa", "mcnemar", "subgroups"}
    shown = {row[0]: row for row in content.tables["scores"]}
    assert shown["AF"][content.tables["scores"][0].index("AUROC")].startswith(f"{found.scores.table['auroc'][0]:.3f} (")


@pytest.mark.slow
def test_stamps_and_warnings_are_seen(full, seen):
    ((text, height, visible),) = seen["stamps"]
    assert (text, visible) == (STAMP, True)
    assert height > 30
    assert ["leak: <b>none</b>", True] in seen["warnings"]
    text = (full[0] / "report.html").read_text("utf-8")
    assert "<b>none</b>" not in text
    assert "<i>x</i>" not in text
    assert "Dr <A>" not in text
    for name in ("scores", "comparison", "kappa", "subgroups", "decision_curves"):
        rows = list(csv.DictReader((full[0] / f"{name}.csv").open()))
        assert rows
        assert {row["stamp"] for row in rows} == {STAMP}


@pytest.mark.slow
def test_scores_sort_by_their_value(full, seen):
    values = dict(zip(full[2].scores.table["label"], full[2].scores.table["auroc"], strict=True))
    assert seen["before"] == ["AF", "SB", "macro", "micro", "weighted"]
    ranked = [values[name] for name in seen["down"]]
    assert ranked == sorted(ranked, reverse=True)
    ranked = [values[name] for name in seen["up"]]
    assert ranked == sorted(ranked)


@pytest.mark.slow
def test_a_figure_as_a_file_has_the_stamp_too(full):
    """Files travel alone; what depends on thresholds must not lose what the page says."""
    pdf = shutil.which("pdftotext")
    if pdf is None:
        pytest.skip("no pdftotext (apt-get install poppler-utils)")
    for name in ("confusion", "forest"):
        text = subprocess.run([pdf, full[0] / f"{name}.pdf", "-"], capture_output=True, text=True, check=True).stdout
        assert "test set" in text


@pytest.mark.slow
def test_what_is_not_there_has_no_section(tmp_path):
    """One label, no intervals, no other readers."""
    written, _ = write(tmp_path / "page", draw(["AF"]), resamples=0)
    found = look(tmp_path / "page", tmp_path)
    assert found["sections"] == ALWAYS
    assert found["stamps"] == []
    assert found["warnings"] == []
    assert found["before"] in (["AF", "macro"], ["AF"])
    names = {os.path.basename(path) for path in written}
    assert not {name for name in names if name.startswith(("kappa", "comparison", "subgroups", "panel", "mcnemar"))}
    assert "stamp" not in (tmp_path / "page" / "scores.csv").read_text()
    text = Tables((tmp_path / "page" / "report.html").read_text("utf-8")).text
    assert "macro AUROC" not in text
    assert "0 resamples" in text


@pytest.fixture(scope="module")
def evil(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evil")
    attributes = {EVIL[0]: np.tile([EVIL[1], EVIL[2]], 30)}
    write(folder, draw(EVIL, attributes=attributes), said={"title": EVIL[0], "subtitle": EVIL[1], "command": EVIL[2]})
    return folder


@pytest.mark.slow
def test_evil_names_break_nothing_in_a_browser(evil, tmp_path):
    found = look(evil, tmp_path, "500,900")
    assert found["before"][: len(EVIL)] == list(EVIL)
    assert set(found["down"]) == set(found["before"])
    text = (evil / "report.html").read_text("utf-8")
    assert text.count("<script>") == 1
    assert "<b>" not in text.replace("<b>0.", "").replace("<b>60", "")


@pytest.mark.slow
def test_evil_names_stay_what_they_are_in_files(evil):
    for name in ("scores", "confusion", "calibration", "decision_curves", "subgroups"):
        with (evil / f"{name}.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        stored = json.loads((evil / f"{name}.json").read_text())["rows"]
        assert [row["label"] for row in rows] == [row["label"] for row in stored]
        assert set(EVIL) <= {row["label"] for row in rows}
    with (evil / "subgroups.csv").open(newline="") as file:
        assert {row["column"] for row in csv.DictReader(file)} == {EVIL[0]}
    latex = (evil / "scores.tex").read_text()
    assert r"\$\textbackslash{}frac\{1\}\{\$" in latex
    assert r"\& \textless{}b\textgreater{}" in latex


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex (apt-get install texlive-latex-recommended)")
def test_tables_of_evil_names_compile(evil, tmp_path):
    inputs = "".join(rf"\input{{{evil / name}.tex}}\clearpage " for name in ("scores", "confusion", "subgroups"))
    document = rf"\documentclass{{article}}\usepackage{{booktabs,textcomp}}\begin{{document}}{inputs}\end{{document}}"
    (tmp_path / "document.tex").write_text(document)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "document.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stdout[-2000:]


@pytest.mark.slow
def test_twenty_labels_and_one_without_positives(tmp_path):
    """Tables have all of them, figures those of most positives, and say so."""
    predictions = draw([f"label {i}" for i in range(20)])
    predictions.labels[:, 3] = 0
    predictions.labels[:, 4] = np.nan
    _, result = write(tmp_path / "page", predictions, resamples=0)
    found = look(tmp_path / "page", tmp_path)
    assert len(found["before"]) == 23
    assert found["down"][-2:] == found["up"][-2:] == ["label 3", "label 4"]  # their AUROC is unknown
    for words in ("no positives: label 3", "no known label: label 4"):
        assert any(words in text for text, _ in found["warnings"])
    text = (tmp_path / "page" / "report.html").read_text("utf-8")
    assert "labels of most positives" in text
    content = Tables(text)
    row = next(row for row in content.tables["scores"] if row[0] == "label 3")
    assert row[content.tables["scores"][0].index("AUROC")] == "–"
    assert re.search(r"\bnan\b", found["text"], re.IGNORECASE) is None
    assert not any(cell.lower() == "nan" for table in content.tables.values() for line in table for cell in line)
    assert np.isnan(result.scores.table["auroc"][3])


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 2])
def test_as_few_recordings_as_there_can_be(tmp_path, size):
    predictions = draw(["AF"], size=2, attributes={"sex": np.array(["F", "M"])}).take(np.arange(size))
    write(tmp_path / "page", predictions)
    found = look(tmp_path / "page", tmp_path)
    assert found["sections"][: len(ALWAYS)] == ALWAYS
    assert re.search(rf"\b{size} recordings?\b", found["text"])
    assert "1 recordings" not in found["text"]
    assert re.search(r"\bnan\b", found["text"], re.IGNORECASE) is None


@pytest.mark.slow
def test_the_page_is_painted(full, tmp_path):
    from matplotlib import image

    browse(full[0] / "report.html", tmp_path, "--window-size=1200,1500", f"--screenshot={tmp_path / 'page.png'}")
    pixels = image.imread(tmp_path / "page.png")[..., :3]
    red, green, blue = np.moveaxis(pixels, -1, 0)
    assert (red - green > 0.5).mean() > 0.002  # the frame of a stamp
    assert (blue - red > 0.4).mean() > 0.001  # the points of a figure
    assert (pixels.max(axis=-1) < 0.3).mean() > 0.01  # text
