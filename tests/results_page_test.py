"""A page of results, and its tables as files: every number as it was given, and no remark lost on the way."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import markupsafe
import numpy as np
import pandas as pd
import pytest
from browser import Tables, browse, probe
from rich.console import Console

from ecg_jax import files
from ecg_jax.reporting import cells, html, tables, tex
from ecg_jax.reporting.html import Figure, Page, Section
from ecg_jax.reporting.tables import Table

EVIL = "<script>alert('x')</script>&\"quoted\" {{ 1 }}"
STAMP = "Thresholds were chosen on the test set: these scores are optimistic"
SVG = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' width='900' height='90'%3E"
    "%3Crect width='900' height='90'/%3E%3C/svg%3E"
)
NAN = float("nan")


def create_scores():
    """Four labels; the second has no AUROC, the last no interval."""
    return pd.DataFrame(
        {
            "label": ["AF", "1dAVb", "LBBB", "macro"],
            "n": [100, 90, 1000, 100],
            "auroc": [0.8966, NAN, 0.95, 0.9233],
            "auroc_low": [0.7931, NAN, 0.9, NAN],
            "auroc_high": [0.9689, NAN, 1.0, NAN],
            "gain": [-0.0124, 0.25, NAN, -0.0001],
            "gain_low": [-0.031, 0.125, NAN, -0.5],
            "gain_high": [0.004, 0.5, NAN, 0.5],
            "threshold": [np.inf, 0.5, 0.125, NAN],
        }
    )


def create_page(**changes):
    scores = Table("scores", "All scores.", create_scores(), "A dash: unknown.", {"threshold": ".2f", "n": ","})
    evil = Table("evil", EVIL, pd.DataFrame({"label": [EVIL, "b"], EVIL: [EVIL, None]}), EVIL)
    wide = Table("wide", "Wide " * 40, pd.DataFrame({f"column_{i}": [i + 0.5, i - 0.5] for i in range(40)}))
    empty = Table("empty", "Nothing.", pd.DataFrame({"label": [], "f1": []}))
    values = {
        "title": EVIL,
        "subtitle": EVIL,
        "command": f"python -m ecg_jax.evaluate --x={EVIL}",
        "date": EVIL,
        "key": [("0.974", "macro AUROC"), (EVIL, EVIL)],
        "stamps": [STAMP, EVIL],
        "warnings": ["Few positives.", EVIL],
        "sections": [
            Section("Scores", ["First.", EVIL], [scores, evil], [Figure("curve", EVIL, SVG), Figure("b", "B.", SVG)]),
            Section(EVIL, (), [wide, empty]),
        ],
    }
    return Page(**values | changes)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "index.html"
    html.write_page(str(path), create_page())
    return path


@pytest.fixture(scope="module")
def content(page):
    return Tables(page.read_text("utf-8"))


def test_numbers_are_shown_with_their_intervals_in_one_column(content):
    assert content.tables["scores"] == [
        ["Label", "n", "AUROC", "Gain", "Threshold"],
        ["AF", "100", "0.897 (0.793–0.969)", "−0.012 (−0.031 to 0.004)", "inf"],
        ["1dAVb", "90", "–", "0.250 (0.125–0.500)", "0.50"],
        ["LBBB", "1,000", "0.950 (0.900–1.000)", "–", "0.12"],
        ["macro", "100", "0.923 (–)", "0.000 (−0.500 to 0.500)", "–"],
    ]
    assert content.tables["empty"] == [["Label", "F1"], ["None."]]


def test_cells_sort_by_full_precision(page):
    row = re.search(r"<tr>\s*<th[^>]*>AF</th>.*?</tr>", page.read_text("utf-8"), re.DOTALL).group(0)
    assert re.findall(r'data-value="(.*?)"', row) == ["100.0", "0.8966", "-0.0124", "Infinity"]


def test_sections_are_numbered_and_linked(page, content):
    text = page.read_text("utf-8")
    assert '<a href="#section-1">1 Scores</a>' in text
    assert '<section id="section-1">\n<h2>1 Scores</h2>' in text
    for part in ("A dash: unknown.", "First.", "Few positives.", "0.974", "macro AUROC", STAMP):
        assert part in content.text + str(content.tables)


def test_text_of_others_is_escaped_everywhere(page, content):
    text = page.read_text("utf-8")
    assert text.count("<script>") == 1  # the page's own
    assert EVIL not in text
    # Title twice, subtitle, date, command, key twice, stamp, warning, link, heading, paragraph, note, figure.
    assert content.text.count(EVIL) == 14
    assert f'<span id="evil-caption">{markupsafe.escape(EVIL)}</span>' in text
    assert content.tables["evil"] == [["Label", EVIL], [EVIL, EVIL], ["b", "–"]]
    assert [attributes["alt"] for tag, attributes in content.tags if tag == "img"] == [EVIL, "B."]
    assert [attributes for tag, attributes in content.tags if set(attributes) & {"onclick", "onload", "onerror"}] == []


def test_the_page_refers_to_nothing_outside_itself(page, content):
    for tag, attributes in content.tags:
        for name in ("src", "href", "action", "data", "srcset", "poster"):
            assert attributes.get(name, "#").startswith(("#", "data:")), (tag, attributes)
    assert re.findall(r"https?://\S+?(?=['\"])", page.read_text("utf-8")) == []
    style = re.search(r"<style>(.*?)</style>", page.read_text("utf-8"), re.DOTALL).group(1)
    assert "url(" not in style
    assert "@import" not in style
    policy = next(a["content"] for t, a in content.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy


PROBE = """
const column = (table, place) => [...document.querySelectorAll(`#${table} tbody tr`)]
  .map(row => row.cells[place].textContent.trim());
const heads = table => [...document.querySelectorAll(`#${table} thead th`)];
function sort(table, place) {
  heads(table)[place].querySelector("button").click();
  return [heads(table)[place].getAttribute("aria-sort"), column(table, 0)];
}
const box = element => { const { left, top, width, height } = element.getBoundingClientRect();
                         return { left, top, width, height }; };
function probe() {
  const found = { sorted: [2, 2, 3, 3, 4, 4, 0, 0, 1].map(place => sort("scores", place)) };
  found.states = heads("scores").filter(head => head.hasAttribute("aria-sort")).length;
  found.evil = [sort("evil", 1), sort("evil", 1)];
  const button = heads("scores")[1].firstChild;
  button.focus();
  found.focus = document.activeElement === button && button.tabIndex === 0;
  found.buttons = document.querySelectorAll("#empty button").length;
  found.page = [document.documentElement.scrollWidth, innerWidth];
  const wide = document.querySelector("#wide"), scroll = wide.parentElement;
  found.overflow = scroll.scrollWidth - scroll.clientWidth;
  const watched = [wide.tHead.rows[0].cells[0], wide.tBodies[0].rows[0].cells[0], wide.caption.firstChild];
  const before = watched.map(box), other = wide.tBodies[0].rows[0].cells[1], moved = box(other).left;
  scroll.scrollLeft = 500;
  found.kept = watched.map((each, i) => box(each).left - before[i].left);
  found.moved = moved - box(other).left;
  found.captions = [before[2].width, scroll.clientWidth];
  found.figures = [...document.images].map(image => [image.naturalWidth, box(image).width]);
  const style = element => { const { color, backgroundColor, fontWeight, display } = getComputedStyle(element);
                             return [color, backgroundColor, Number(fontWeight), display]; };
  const stamps = [...document.querySelectorAll("[role=alert]")];
  found.stamps = stamps.map(each => [each.textContent, box(each), ...style(each)]);
  found.first = box(document.querySelector("h2")).top;
  found.requests = performance.getEntriesByType("resource").map(entry => entry.name)
    .filter(name => !name.startsWith("data:"));
  return found;
}"""


@pytest.fixture(scope="module", params=["1200,900", "500,900"])
def probed(request, page, tmp_path_factory):
    found, console = probe(page, tmp_path_factory.mktemp("browser"), PROBE, f"--window-size={request.param}")
    return found | {"console": console}


@pytest.mark.slow
def test_in_a_browser_tables_sort_by_value_and_what_is_unknown_stands_last(probed):
    assert probed["sorted"] == [
        ["descending", ["LBBB", "macro", "AF", "1dAVb"]],
        ["ascending", ["AF", "macro", "LBBB", "1dAVb"]],
        ["descending", ["1dAVb", "macro", "AF", "LBBB"]],
        ["ascending", ["AF", "macro", "1dAVb", "LBBB"]],
        ["descending", ["AF", "1dAVb", "LBBB", "macro"]],  # infinity is a value
        ["ascending", ["LBBB", "1dAVb", "AF", "macro"]],
        ["ascending", ["1dAVb", "AF", "LBBB", "macro"]],
        ["descending", ["macro", "LBBB", "AF", "1dAVb"]],
        ["descending", ["LBBB", "macro", "AF", "1dAVb"]],  # of equal values, those that stood first
    ]
    assert probed["states"] == 1
    assert probed["evil"] == [["ascending", [EVIL, "b"]], ["descending", [EVIL, "b"]]]
    assert probed["focus"]
    assert probed["buttons"] == 0


@pytest.mark.slow
def test_in_a_browser_a_wide_table_scrolls_in_its_box_beside_its_first_column(probed):
    assert probed["page"][0] <= probed["page"][1]
    assert probed["overflow"] > 500
    assert probed["kept"] == pytest.approx([0, 0, 0], abs=0.5)
    assert probed["moved"] == pytest.approx(500)
    assert probed["captions"][0] < probed["captions"][1] + 1
    for natural, width in probed["figures"]:
        assert natural == 900
        assert width == 900 if probed["page"][1] > 900 else 400 < width < probed["page"][1]


@pytest.mark.slow
def test_in_a_browser_stamps_stand_out_above_all_results(probed):
    assert [text for text, *_ in probed["stamps"]] == [STAMP, EVIL]
    for _, box, color, background, weight, display in probed["stamps"]:
        assert box["height"] > 40
        assert box["width"] > 400
        assert box["top"] + box["height"] < probed["first"]
        assert color != background
        assert weight >= 700
        assert display == "block"


@pytest.mark.slow
def test_in_a_browser_nothing_is_requested_or_reported(probed):
    assert probed["requests"] == []
    assert probed["console"] == []


@pytest.mark.slow
def test_on_paper_stamps_are_there_too(page, tmp_path):
    """A printed page cannot be measured; so its rules are made those of the screen."""
    script = """function probe() {
      const sheet = document.styleSheets[0];
      const rules = [...sheet.cssRules].filter(rule => rule.media?.mediaText === "print");
      for (const rule of rules.flatMap(rule => [...rule.cssRules]).filter(rule => rule.selectorText))
        sheet.insertRule(rule.cssText, sheet.cssRules.length);
      const style = getComputedStyle(document.querySelector("[role=alert]"));
      return [rules.length, style.display, style.visibility, parseFloat(style.borderTopWidth), style.color,
              getComputedStyle(document.querySelector("nav")).display];
    }"""
    found, _ = probe(page, tmp_path, script)
    assert found[:3] == [2, "block", "visible"]
    assert found[3] > 2
    assert found[4:] == ["rgb(0, 0, 0)", "none"]


@pytest.mark.slow
def test_in_a_browser_the_page_is_painted(page, tmp_path):
    from matplotlib import image

    browse(page, tmp_path, "--window-size=1200,1200", f"--screenshot={tmp_path / 'page.png'}")
    pixels = image.imread(tmp_path / "page.png")[..., :3]
    red, green, _ = np.moveaxis(pixels, -1, 0)
    assert (red - green > 0.5).mean() > 0.005  # the frame of a stamp
    assert (pixels.max(axis=-1) < 0.3).mean() > 0.01


def test_a_page_or_a_table_that_cannot_be_right_is_refused():
    frame = pd.DataFrame({"a": [1]})
    with pytest.raises(ValueError, match="begins with a letter"):
        Table("../x", "", frame)
    with pytest.raises(ValueError, match="formats of no column: b; there are: \\['a'\\]"):
        Table("x", "", frame, formats={"b": ".1f"})
    with pytest.raises(ValueError, match="columns repeat: a, a"):
        Table("x", "", pd.DataFrame([[1, 2]], columns=["a", "a"]))
    with pytest.raises(ValueError, match="not a data URI of an SVG"):
        Figure("x", "", "https://example.org/x.svg")
    with pytest.raises(ValueError, match="these are not: x"):
        create_page(sections=[Section("s", (), [Table("x", "", frame)], [Figure("x", "", SVG)])])


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "index.html"
    html.write_page(str(path), create_page())
    before = path.read_bytes()
    with pytest.raises(UnicodeEncodeError):  # half of a character: no file can hold it
        html.write_page(str(path), create_page(date="\ud800"))
    assert path.read_bytes() == before
    with pytest.raises(UnicodeEncodeError):
        files.write_text(str(tmp_path / "other"), "x" * 100_000 + "\ud800")
    assert [each.name for each in tmp_path.iterdir()] == ["index.html"]


def test_names_become_headings():
    names = {
        "auroc": "AUROC",
        "auroc_rate_only": "AUROC, rate only",
        "average_precision": "Average precision",
        "f1": "F1",
        "n": "n",
        "positives": "Positives",
        "mcc": "MCC",
        "ppv": "PPV",
        "npv": "NPV",
        "auroc_difference": "AUROC difference",
        "mean_auroc": "Mean AUROC",
        "1dAVb": "1dAVb",
        "optimizer.learning_rate": "optimizer.learning_rate",
    }
    assert {name: cells.create_heading(name) for name in names} == names


def test_the_terminal_merges_intervals_too(capsys):
    tables.print_scores(create_scores().head(2), "Title", Console(width=120))
    lines = [[cell.strip() for cell in line.split("│")[1:-1]] for line in capsys.readouterr().out.splitlines()]
    assert [line for line in lines if line] == [
        ["AF", "100", "0.897 (0.793-0.969)", "-0.012 (-0.031 to 0.004)", "inf"],
        ["1dAVb", "90", "-", "0.250 (0.125-0.500)", "0.500"],
    ]


def test_numbers_are_numbers_whatever_holds_them():
    frame = pd.DataFrame(
        {
            "mixed": pd.Series([1, None, np.float32(0.5)], dtype=object),
            "nullable": pd.array([1, None, 3], dtype="Int64"),
            "text": ["x", None, 2.0],
            "unknown": [NAN, NAN, NAN],
            "is_known": [True, False, True],
        }
    )
    columns = {column.heading: column for column in cells.arrange(frame)}
    assert [column.is_number for column in columns.values()] == [True, True, False, True, False]
    assert columns["Mixed"].texts == ["1", "–", "0.500"]
    assert columns["Nullable"].texts == ["1", "–", "3"]
    assert columns["Text"].texts == ["x", "–", "2.000"]
    assert columns["Is known"].texts == ["True", "False", "True"]
    assert np.isnan(columns["Text"].values[1])


def test_files_hold_full_precision_and_the_stamps(tmp_path):
    frame = create_scores().iloc[:2, :5].assign(auroc=[1 / 3, NAN])
    paths = tables.write_table(str(tmp_path / "new"), Table("scores", "All & more.", frame, "Note."), [STAMP, "b"])
    assert [path.rpartition("/")[2] for path in paths] == ["scores.csv", "scores.json", "scores.tex"]
    csv, text, latex = (Path(path).read_text("utf-8") for path in paths)
    assert csv == (
        "label,n,auroc,auroc_low,auroc_high,stamp\n"
        f"AF,100,0.3333333333333333,0.7931,0.9689,{STAMP}; b\n"
        f"1dAVb,90,,,,{STAMP}; b\n"
    )
    assert json.loads(text) == {
        "caption": "All & more.",
        "note": "Note.",
        "stamps": [STAMP, "b"],
        "rows": [
            {"label": "AF", "n": 100, "auroc": 1 / 3, "auroc_low": 0.7931, "auroc_high": 0.9689},
            {"label": "1dAVb", "n": 90, "auroc": None, "auroc_low": None, "auroc_high": None},
        ],
    }
    assert latex.splitlines()[1:] == [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{All \& more. \textbf{{{STAMP}}} \textbf{{b}}}}",
        r"\label{tab:scores}",
        r"\small",
        r"\begin{tabular}{lrr}",
        r"\toprule",
        r"Label & n & AUROC \\",
        r"\midrule",
        r"AF & 100 & 0.333 (0.793--0.969) \\",
        r"1dAVb & 90 & -- \\",
        r"\bottomrule",
        r"\end{tabular}",
        r"\par\smallskip\parbox{\linewidth}{\footnotesize Note.}",
        r"\end{table}",
    ]


def test_without_stamps_the_csv_is_the_frame(tmp_path):
    frame = create_scores()
    path, second, _ = tables.write_table(str(tmp_path), Table("scores", "", frame))
    pd.testing.assert_frame_equal(pd.read_csv(path), frame)
    assert json.loads(Path(second).read_text())["rows"][0]["threshold"] is None  # JSON has no infinity
    with pytest.raises(ValueError, match="'stamp' would be overwritten"):
        tables.write_table(str(tmp_path), Table("x", "", frame.assign(stamp="x")), ["s"])
    assert not (tmp_path / "x.csv").exists()


EVIL_TEX = '[0] * a\\b {c} $d$ 5 % #6 x_1 a^2 ~ <g> | "q" `r\' --flag − ± ≤ é\n\n50–60 °C'


def test_latex_prints_every_character_as_it_is():
    assert tex.escape("[0] *") == "{[}0{]} {*}"
    assert tex.escape("a\\b {c} $d$ 5 % #6 x_1 & y") == r"a\textbackslash{}b \{c\} \$d\$ 5 \% \#6 x\_1 \& y"
    assert tex.escape("a^2 ~ <g> |") == r"a\textasciicircum{}2 \textasciitilde{} \textless{}g\textgreater{} \textbar{}"
    assert tex.escape("--flag a-b ---") == "-{}-flag a-b -{}-{}-"
    assert tex.escape("−1–2 ± é") == r"$-$1--2 $\pm$ é"
    assert tex.escape("a\n\nb\x00c") == "a  b c"


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex (apt-get install texlive-latex-recommended)")
@pytest.mark.slow
def test_latex_compiles(tmp_path):
    frame = pd.DataFrame({"label": [EVIL_TEX, "*", "[x]"], EVIL_TEX: [EVIL_TEX * 2, EVIL, ""], "n": [1, 2, 3]})
    for name, table in {"evil": frame, "scores": create_scores(), "empty": frame.head(0)}.items():
        tables.write_table(str(tmp_path), Table(name, EVIL_TEX, table, EVIL_TEX), [EVIL_TEX])
    document = "".join(rf"\input{{{name}.tex}}" for name in ("evil", "scores", "empty"))
    document = rf"\documentclass{{article}}\usepackage{{booktabs}}\begin{{document}}{document}\end{{document}}"
    (tmp_path / "document.tex").write_text(document)
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "document.tex"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        errors="replace",
    )
    assert done.returncode == 0, done.stdout[-2000:]
