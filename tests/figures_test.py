"""Figures show the numbers they are given, as they are, at the size of a journal's columns, and nothing overlaps."""

import base64
import re
import warnings
import zlib
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.cbook import pts_to_poststep
from matplotlib.colors import to_hex
from matplotlib.patches import PathPatch
from matplotlib.text import Text

from ecg_jax.evaluation.calibration import Reliability
from ecg_jax.reporting import cells, curves, figures, forest, predictor_figures, reliability, scatter, style

LONG = "Left bundle branch block, complete, at $5 an_hour x^2 or $10"  # 60 letters
NOTHING = np.array([])


@pytest.fixture(autouse=True)
def strict():
    """No warning of matplotlib's or NumPy's, no change of global settings, no figure left open."""
    before = dict(matplotlib.rcParams)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
    plt.close("all")
    assert dict(matplotlib.rcParams) == before


def precision_recall(title="AF", **changes):
    # Four cases, scores 0.9 (positive), 0.8, 0.7 (positive), 0.6: as scikit-learn returns them.
    values = {
        "recall": np.array([1, 1, 0.5, 0.5, 0]),
        "precision": np.array([1 / 2, 2 / 3, 1 / 2, 1, 1]),
        "average_precision": 5 / 6,
        "prevalence": 0.5,
    }
    return curves.PrecisionRecall(title, **values | changes)


def roc(title="AF", **changes):
    rates = {"false_positive_rate": np.array([0, 0, 0.5, 0.5, 1]), "true_positive_rate": np.array([0, 0.5, 0.5, 1, 1])}
    return curves.Roc(title, **rates | {"auroc": 0.75} | changes)


def calibration(observed=(0.1, 0.5), count=(40, 8)):
    observed = np.array(observed)
    return Reliability(np.array([0.2, 0.6]), observed, observed - 0.1, observed + 0.2, np.array(count))


def net_benefit(title="AF", **changes):
    threshold = np.array([0, 0.25, 0.5, 1])
    with np.errstate(divide="ignore"):
        treat_all = 0.2 - 0.8 * threshold / (1 - threshold)
    return curves.DecisionCurve(
        title, **{"threshold": threshold, "model": np.array([0.2, 0.15, 0.1, 0]), "treat_all": treat_all} | changes
    )


def read(figure):
    """The texts of a figure, as they are shown."""
    return [text.get_text().replace(r"\$", "$").replace("\n", " ") for text in find_texts(figure)]


def find_texts(figure):
    """What is written and seen: ticks beyond an axis exist, too, but are not drawn."""
    every = set(figure.findobj(lambda artist: isinstance(artist, Text)))
    for axes in figure.findobj(plt.Axes):
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
                every.discard(tick.label2)
                if not low <= tick.get_loc() <= high or not axes.axison or not tick.label1.get_visible():
                    every.discard(tick.label1)
    return [text for text in every if text.get_visible() and text.get_text().strip()]


def assert_legible(figure):
    """Every text is inside the figure, of 7 points or more, and on no other."""
    figure.draw_without_rendering()
    texts = find_texts(figure)
    boxes = [text.get_window_extent() for text in texts]
    width, height = figure.get_size_inches() * figure.dpi
    for text, box in zip(texts, boxes, strict=True):
        assert text.get_fontsize() >= 7
        assert -1 < box.x0 < box.x1 < width + 1, text
        assert -1 < box.y0 < box.y1 < height + 1, text
    low, high = (np.array([getattr(box, corner) for box in boxes]) for corner in ("min", "max"))
    overlaps = np.all((low[:, None] + 1 < high) & (low + 1 < high[:, None]), axis=-1)
    assert [(texts[i], texts[k]) for i, k in np.argwhere(np.triu(overlaps, 1))] == []


def get_panels(figure):
    return [axes for axes in figure.axes if axes.axison]


def letters(figure):
    return sorted(text.get_text().strip() for text in find_texts(figure) if text.get_fontweight() == "bold")


def test_files_are_of_print_quality_and_the_figure_is_closed(tmp_path):
    figure = curves.draw_roc([roc()])
    width, height = figure.get_size_inches()
    assert width == 3.5
    paths = figures.write(figure, str(tmp_path / "new" / "roc"))
    assert paths == [str(tmp_path / "new" / "roc.pdf"), str(tmp_path / "new" / "roc.png")]
    pdf, png = (Path(path).read_bytes() for path in paths)
    assert pdf.startswith(b"%PDF-")
    assert b"CreationDate" not in pdf
    streams = b"".join(map(inflate, re.findall(rb"stream\r?\n(.*?)endstream", pdf, re.DOTALL)))
    assert b"/Type3" not in pdf + streams
    assert b"/FontFile2" in pdf + streams  # TrueType
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    assert int.from_bytes(png[16:20]) == 1050
    assert int.from_bytes(png[20:24]) == pytest.approx(300 * height, abs=1)
    assert b"pHYs\x00\x00\x2e\x23" in png  # 11,811 dots per metre
    assert plt.get_fignums() == []


def inflate(stream):
    try:
        return zlib.decompress(stream)
    except zlib.error:
        return b""


def test_the_same_figure_is_the_same_text_and_stays_open():
    first, second = (curves.draw_precision_recall([precision_recall()]) for _ in range(2))
    encoded = figures.encode(first)
    assert encoded == figures.encode(first) == figures.encode(second)
    head, _, body = encoded.partition(",")
    assert head == "data:image/svg+xml;base64"
    assert b"<svg" in base64.b64decode(body)
    assert b"<dc:date>" not in base64.b64decode(body)
    assert len(plt.get_fignums()) == 2
    figures.close(first)
    assert plt.get_fignums() == [second.number]


@pytest.mark.parametrize("count,width,letter", [(1, 3.5, ""), (2, 7.2, "B"), (4, 7.2, "D"), (12, 7.2, "L")])
def test_panels_have_letters_and_fit_a_page(count, width, letter):
    figure = curves.draw_roc([roc(f"label {i}", auroc=i / 20) for i in range(count)])
    assert figure.get_size_inches()[0] == width
    assert figure.get_size_inches()[1] < 9.5
    assert len(get_panels(figure)) == count
    assert letters(figure) == [chr(ord("A") + i) for i in range(count if count > 1 else 0)]
    assert (letters(figure) or [""])[-1] == letter
    for i, axes in enumerate(get_panels(figure)):
        assert axes.get_title(loc="left") == f"label {i}"
        box = axes.get_position()
        assert box.width * width == pytest.approx(box.height * figure.get_figheight())
    # A free place in the last row takes the legend.
    assert bool(figure.legends) == (count != 4)
    assert_legible(figure)


def test_no_panel_is_an_error():
    for draw in (curves.draw_precision_recall, curves.draw_roc, reliability.draw_reliability, forest_of):
        with pytest.raises(ValueError, match="at least one"):
            draw([])
    with pytest.raises(ValueError, match="at least one"):
        predictor_figures.draw_confusion({"AF": {}})


def forest_of(rows, **settings):
    return forest.draw_forest(rows, axis_label="AUROC", **settings)


def test_precision_holds_down_to_the_next_recall():
    figure = curves.draw_precision_recall([precision_recall()], f1_lines=())
    (line,) = (line for line in get_panels(figure)[0].lines if line.get_drawstyle() == "steps-post")
    assert to_hex(line.get_color()).upper() == style.BLUE
    x, y = pts_to_poststep(*line.get_data())
    assert np.sum(-np.diff(x) * y[:-1]) == pytest.approx(5 / 6)  # the average precision: (1 + 2/3) / 2
    assert "AP 0.83, prevalence 0.500" in read(figure)


def test_precision_and_recall_are_shown_with_equal_f1_prevalence_range_and_people():
    band = (np.array([0, 0.5, 1]), np.array([0.8, 0.6, 0.5]), np.array([1.0, 0.9, 0.7]))
    people = {"residents": (0.5, 0.75), "students": (0.25, 0.5)}
    figure = curves.draw_precision_recall([precision_recall(band=band, chosen=(1, 2 / 3), annotators=people)])
    (axes,) = get_panels(figure)
    lines = [line.get_xydata() for line in axes.lines if to_hex(line.get_color()).upper() == style.LIGHT_GREY]
    for points, f1 in zip(lines, (0.2, 0.4, 0.6, 0.8), strict=True):
        recall, precision = points.T
        assert 2 * recall * precision / (recall + precision) == pytest.approx(f1)
        assert (recall[-1], precision[0]) == pytest.approx((1, 1))
    assert {"0.2", "0.4", "0.6", "0.8"} <= set(read(figure))
    (area,) = axes.collections
    corners = {(x, y) for x, y in area.get_paths()[0].vertices.round(9).tolist()}
    assert corners == {(0, 0.8), (0.5, 0.6), (1, 0.5), (0, 1.0), (0.5, 0.9), (1, 0.7)}
    dots = {tuple(line.get_xydata()[0]): line.get_marker() for line in axes.lines if len(line.get_xydata()) == 1}
    assert set(dots) == {(0.5, 0.75), (0.25, 0.5), (1, 2 / 3)}
    assert len(set(dots.values())) == 3
    (prevalence,) = (line for line in axes.lines if line.get_linestyle() == ":")
    assert set(prevalence.get_ydata()) == {0.5}
    assert {"residents", "students", "network at its threshold", "range over seeds"} <= set(read(figure))
    assert_legible(figure)


def test_a_person_looks_the_same_in_all_panels_and_unlike_the_others():
    names = [f"reader {i}" for i in range(9)]
    panels = [
        roc("both", annotators={name: (0.1 * i, 0.5) for i, name in enumerate(names)}),
        roc("last", annotators={"reader 8": (0.8, 0.5)}),
    ]
    first, second = get_panels(curves.draw_roc(panels))

    def looks(axes):
        dots = [line for line in axes.lines if len(line.get_xydata()) == 1]
        return [(line.get_marker(), line.get_markeredgecolor()) for line in dots]

    assert len(set(looks(first))) == 9
    assert looks(second) == looks(first)[8:]


def test_roc_tells_its_area_and_interval():
    figure = curves.draw_roc([roc(interval=(0.7012, 0.806), chosen=(0, 0.5))])
    (axes,) = get_panels(figure)
    (curve,) = (line for line in axes.lines if len(line.get_xydata()) == 5)
    assert curve.get_xydata().tolist() == [[0, 0], [0, 0.5], [0.5, 0.5], [0.5, 1], [1, 1]]
    assert "AUROC 0.75 (0.70–0.81)" in read(figure)
    assert "network at its threshold" in read(figure)
    assert_legible(figure)


def test_reliability_has_intervals_and_a_histogram_of_log_counts():
    probabilities = np.concatenate([np.full(90, 0.01), np.full(10, 0.99), [np.nan]])
    series = {"as predicted": calibration(), "recalibrated": calibration((0.3, np.nan), (30, 0))}
    figure = reliability.draw_reliability([reliability.ReliabilityPanel("AF", series, probabilities)])
    (axes,) = figure.axes
    (below,) = axes.child_axes
    assert [line.get_xydata().tolist() for line in axes.lines[1:]] == [[[0.2, 0.1], [0.6, 0.5]], [[0.2, 0.3]]]
    assert len({(line.get_color(), line.get_linestyle(), line.get_marker()) for line in axes.lines}) == 3
    bars = [segment.tolist() for group in axes.collections for segment in group.get_segments()]
    expected = [[[0.2, 0], [0.2, 0.3]], [[0.6, 0.4], [0.6, 0.7]], [[0.2, 0.2], [0.2, 0.5]]]
    assert np.array(bars) == pytest.approx(np.array(expected))
    assert below.get_yscale() == "log"
    heights = [bar.get_height() for bar in below.patches]
    assert (heights[0], heights[-1], sum(heights), len(heights)) == (90, 10, 100, 20)
    assert (*axes.get_xlim(), *axes.get_ylim(), *below.get_xlim()) == (0, 1, 0, 1, 0, 1)
    assert_legible(figure)


def test_decision_curves_end_a_little_below_zero():
    figure = curves.draw_decision_curves([net_benefit(), net_benefit(model=np.full(4, -0.01), treat_all=-np.ones(4))])
    first, second = get_panels(figure)
    assert first.get_ylim() == pytest.approx((-0.05, 0.22))
    assert [line.get_ydata()[1] for line in first.lines] == pytest.approx([0.15, 0.2 - 0.8 / 3, 0])
    assert len({line.get_linestyle() for line in first.lines}) == 3
    assert second.get_ylim() == pytest.approx((-0.011, 0.0025))
    assert {"network", "treat all", "treat none", "Net benefit"} <= set(read(figure))
    assert_legible(figure)


def test_cells_tell_counts_and_per_cent_of_the_truth():
    matrices = {
        "AF": {"network": np.array([[790, 10], [3, 9]]), "students": np.array([[1234, 0], [0, 0]])},
        "ST": {"network": np.array([[1, 3], [0, 5]])},
    }
    figure = predictor_figures.draw_confusion(matrices)
    cells = [[text.get_text() for text in axes.texts] for axes in figure.axes]
    assert cells[0] == ["790\n(98.8 %)", "10\n(1.2 %)", "3\n(25.0 %)", "9\n(75.0 %)"]
    assert cells[1] == ["1,234\n(100.0 %)", "0\n(0.0 %)", "0\n(–)", "0\n(–)"]
    assert cells[3] == ["–"]  # the students know no ST
    shades = figure.axes[0].images[0].get_array()
    assert shades.tolist() == [[0.9875, 0.0125], [0.25, 0.75]]
    darkest = figure.axes[0].images[0].cmap(1.0)[:3]
    assert np.dot(darkest, (0.2126, 0.7152, 0.0722)) > 0.6  # black on it has a contrast of 10 and more
    assert read(figure).count("Predicted") == 2
    assert {"AF", "ST", "network", "students", "absent", "truly present"} <= set(read(figure))
    assert_legible(figure)


def test_boxes_are_percentiles_of_what_is_known():
    rng = np.random.default_rng(0)
    samples = {"network": rng.random((2, 400)), "students": rng.random((2, 400))}
    samples["network"][0, :100] = np.nan
    samples["students"][1] = np.nan
    figure = predictor_figures.draw_bootstrap_boxes(samples, ["AF", "ST"], "F1")
    (axes,) = figure.axes
    boxes = [patch.get_path().vertices for patch in axes.patches if isinstance(patch, PathPatch)]
    known = [samples["network"][0, 100:], samples["network"][1], samples["students"][0]]
    centres = [0 - 0.2, 1 - 0.2, 0 + 0.2]
    for box, values, centre in zip(boxes, known, centres, strict=True):
        assert (box[:, 1].min(), box[:, 1].max()) == pytest.approx(tuple(np.percentile(values, (25, 75))))
        assert box[:4, 0].mean() == pytest.approx(centre)
        levels = {y for line in axes.lines for x, y in line.get_xydata() if abs(x - centre) < 0.2}
        expected = np.percentile(values, (2.5, 25, 50, 75, 97.5))
        assert sorted(levels) == pytest.approx(expected)
    hatches = {patch.get_hatch() for patch in axes.patches}
    assert len(hatches) == 2
    assert "Line: median. Box: quartiles. Whiskers: 2.5th and 97.5th percentiles." in read(figure)
    assert {"AF", "ST", "F1", "network", "students"} <= set(read(figure))
    assert_legible(figure)


def test_boxes_of_wrong_shape_are_refused():
    with pytest.raises(ValueError, match="network has 3 rows, but there are 2 labels"):
        predictor_figures.draw_bootstrap_boxes({"network": np.zeros((3, 9))}, ["AF", "ST"], "F1")
    with pytest.raises(ValueError, match="not 0 and 1"):
        predictor_figures.draw_bootstrap_boxes({}, ["AF"], "F1")


def test_a_forest_has_a_row_of_numbers_each():
    rows = [
        forest.ForestRow("Sex", is_heading=True),
        forest.ForestRow("Female", 0.912, 0.854, 0.956, count="402 (23)"),
        forest.ForestRow("Male", np.nan, np.nan, np.nan, count="425 (0)"),
        forest.ForestRow("Unknown", 0.9),
    ]
    figure = forest_of(rows, reference=0.94, count_label="N (AF)", value_label="AUROC (95 % CI)")
    texts = read(figure)
    assert {"0.91 (0.85–0.96)", "–", "0.90 (–)", "402 (23)", "N (AF)", "AUROC (95 % CI)"} <= set(texts)
    assert letters(figure) == ["AUROC (95 % CI)", "N (AF)", "Sex"]
    (axes,) = figure.axes
    intervals = [
        line.get_xdata().tolist() for line in axes.lines if line.get_linestyle() == "-" and line.get_marker() != "s"
    ]
    assert intervals[0] == [0.854, 0.956]
    assert [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "s"] == [
        0.912,
        pytest.approx(np.nan, nan_ok=True),
        0.9,
    ]
    (reference,) = (line for line in axes.lines if line.get_linestyle() == "--")
    assert set(reference.get_xdata()) == {0.94}
    assert axes.get_xlim()[0] < 0.854 < 0.956 < axes.get_xlim()[1]
    assert_legible(figure)
    assert forest_of(rows * 2).get_figheight() > figure.get_figheight() + 0.5


def test_numbers_below_zero_are_not_joined_by_a_dash():
    assert cells.show_interval(-0.2, -0.5, 0.004, ".2f") == "−0.20 (−0.50 to 0.00)"
    assert cells.show_interval(1.5, 0.7, 2.0, ".2f") == "1.50 (0.70–2.00)"
    assert cells.show(-0.001, ".2f") == "0.00"
    assert cells.show(-1.25, ".1f") == "−1.2"
    assert cells.show_tick(-0.005) == "−0.005"
    figure = forest_of([forest.ForestRow("one", -0.2, -0.5, np.inf)], reference=0.0)
    assert "−0.20 (−0.50 to ∞)" in read(figure)
    assert figure.axes[0].lines[1].get_xdata()[1] == figure.axes[0].get_xlim()[1]


def test_a_learning_curve_skips_what_was_not_measured(tmp_path):
    lines = [
        {"kind": "train", "step": 1, "loss": 0.7},
        {"kind": "validation", "step": 1000, "loss": 0.5, "auroc": 0.6, "average_precision": None},
        {"kind": "validation", "step": 2000, "loss": 0.4, "auroc": 0.8, "average_precision": 0.3},
        {"kind": "validation", "step": 3000, "loss": float("nan"), "auroc": float("nan")},
    ]
    figure = figures.draw_learning_curve(lines, 2000)
    loss, score = figure.axes
    assert loss.lines[0].get_xydata().tolist() == [[1, 0.7]]
    assert score.lines[0].get_xydata()[:2].tolist() == [[1000, 0.6], [2000, 0.8]]
    assert score.lines[1].get_xydata().tolist() == [[2000, 0.3]]
    assert score.get_ylim()[0] < 0.3
    assert [axes.lines[-1].get_xdata()[0] for axes in figure.axes] == [2000, 2000]
    assert "best (step 2,000)" in read(figure)
    assert_legible(figure)
    assert figures.write_learning_curve([], 0, str(tmp_path / "curve")) == [
        str(tmp_path / "curve.pdf"),
        str(tmp_path / "curve.png"),
    ]


def test_a_learning_curve_of_numbers():
    lines = [{"kind": "train", "step": 1, "loss": 2.0}]
    for step, r2, pearson in ((100, -7.5, 0.1), (200, 0.5, 0.8)):
        scores = {"loss": 1.0, "mae": 9.0, "rmse": 12.0, "r2": r2, "pearson": pearson}
        lines.append({"kind": "validation", "step": step} | scores)
    figure = figures.draw_learning_curve(lines, 200)
    loss, score = figure.axes
    assert "entropy" not in loss.get_ylabel()
    assert score.lines[0].get_xydata().tolist() == [[100, -7.5], [200, 0.5]]
    assert score.lines[1].get_xydata().tolist() == [[100, 0.1], [200, 0.8]]
    assert score.get_ylim()[0] == pytest.approx(-1.02)  # an early R2 may be of any size below
    assert {"R², mean", "Pearson's r, mean"} <= {*read(figure)}
    assert_legible(figure)


@pytest.mark.parametrize("size", [1, 30, 2500])
@pytest.mark.parametrize("count", [1, pytest.param(11, marks=pytest.mark.slow)])
def test_predicted_numbers_are_legible_of_any_size(size, count):
    truth = np.linspace(-3, 4e4, size)
    predicted = truth + np.sin(np.arange(size))
    names = [f"{LONG[:-3]}{i:3d}" for i in range(count)]
    ends = (-1.0, 0.5)
    drawn = {
        scatter.draw_predicted: (
            [scatter.Scatter(name, truth, predicted, "MAE 1", (1.0, 0.0)) for name in names],
            scatter.Scatter("K", NOTHING, NOTHING, "", (np.nan, np.nan)),
        ),
        scatter.draw_agreement: (
            [scatter.Agreement(name, truth, predicted, 0.0, (-2.0, 2.0), (ends, ends, ends)) for name in names],
            scatter.Agreement("K", NOTHING, NOTHING, np.nan, (np.nan, np.nan)),
        ),
        scatter.draw_errors: (
            [
                scatter.Errors(name, truth[:10], predicted[:10], predicted[:10] - 1, predicted[:10] + 1)
                for name in names
            ],
            scatter.Errors("K", NOTHING, NOTHING),
        ),
    }
    for draw, (panels, empty) in drawn.items():
        figure = draw([*panels, empty])
        texts = read(figure)
        assert "no known number" in texts
        assert not any("nan" in text for text in texts)
        for name in names:
            assert any(text.split() == name.split() for text in texts), name
        assert_legible(figure)
        figures.close(figure)


def draw_everything(names):
    """Each kind of figure, of labels with these names, the first of which has no positives and all that can be NaN."""
    panels = {
        curves.draw_precision_recall: [
            precision_recall(
                names[0],
                recall=NOTHING,
                precision=NOTHING,
                average_precision=np.nan,
                prevalence=np.nan,
                band=(NOTHING, NOTHING, NOTHING),
                chosen=(np.nan, np.nan),
                annotators={LONG: (np.nan, 0.5)},
            ),
            *map(precision_recall, names[1:]),
        ],
        curves.draw_roc: [
            roc(
                names[0],
                false_positive_rate=NOTHING,
                true_positive_rate=NOTHING,
                auroc=np.nan,
                interval=(np.nan, 1.0),
                annotators={LONG: (0.5, np.nan)},
            ),
            *map(roc, names[1:]),
        ],
        reliability.draw_reliability: [
            reliability.ReliabilityPanel(names[0], {LONG: calibration((np.nan, np.nan), (0, 0))}, NOTHING),
            *(reliability.ReliabilityPanel(name, {LONG: calibration()}, np.linspace(0, 1, 99)) for name in names[1:]),
        ],
        curves.draw_decision_curves: [
            net_benefit(names[0], threshold=NOTHING, model=NOTHING, treat_all=NOTHING),
            *map(net_benefit, names[1:]),
        ],
    }
    yield from ((draw(values), True) for draw, values in panels.items())
    yield predictor_figures.draw_confusion({name: {LONG: np.eye(2, dtype=int)} for name in names}), False
    yield predictor_figures.draw_bootstrap_boxes({LONG: np.full((len(names), 9), np.nan)}, names, LONG), False
    rows = [forest.ForestRow(LONG, is_heading=True), *(forest.ForestRow(name) for name in names)]
    yield forest_of(rows), False


@pytest.mark.parametrize("count", [1, pytest.param(11, marks=pytest.mark.slow)])
def test_long_names_and_missing_numbers_are_shown_as_they_are(count):
    names = [f"{LONG[:-3]}{i:3d}" for i in range(count)]
    for figure, has_panels in draw_everything(names):
        texts = read(figure)
        assert LONG in texts or "treat none" in texts  # a decision curve has no names but its labels'
        for name in names:
            assert any(text.split() == name.split() for text in texts), (name, texts)
        assert any(text.startswith("no positives") for text in texts) == has_panels
        assert not any("nan" in text for text in texts)
        for text in find_texts(figure):
            assert text._preprocess_math(text.get_text())[1] is False  # nothing is set as a formula
        assert_legible(figure)
        figures.close(figure)
