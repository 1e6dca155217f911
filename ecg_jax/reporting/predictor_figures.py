"""Predictors side by side, label by label: confusion matrices, and box plots of resampled scores."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from ecg_jax.reporting import cells, layout, style  # first: style chooses matplotlib's backend

import matplotlib.pyplot as plt  # isort: skip

# From white to a blue on which black letters are still legible.
_SHADES = LinearSegmentedColormap.from_list("shades", ("#FFFFFF", "#DCE9F4", "#9CC3E2"))
_HATCHES = ("", "////", "....", "\\\\\\\\", "xxxx", "----", "++++")
_BOX_LEGEND = "Line: median. Box: quartiles. Whiskers: 2.5th and 97.5th percentiles."


@style.styled
def draw_confusion(matrices: Mapping[str, Mapping[str, np.ndarray]]) -> Figure:
    """Draws confusion matrices, a row of them per label and a column per predictor.

    Each cell shows its count, and its per cent of the cases of that truth, which is also its shade.

    Args:
        matrices: By label, then by predictor: `[2, 2]` counts, rows true (absent, present), columns predicted (absent,
            present). A predictor may lack labels. With more than six predictors the figure is wider than a page.
    """
    predictors = list(dict.fromkeys(name for row in matrices.values() for name in row))
    if not predictors:
        raise ValueError("a figure needs at least one confusion matrix, not 0")
    width = 1.4 + 0.97 * len(predictors)
    width = style.SINGLE if width <= style.SINGLE else max(width, style.DOUBLE)
    figure = plt.figure(figsize=(width, 0.8 * len(matrices)))
    grid = figure.subplots(len(matrices), len(predictors), squeeze=False)
    for row, (label, by_predictor) in zip(grid, matrices.items(), strict=True):
        for axes, name in zip(row, predictors, strict=True):
            if name in by_predictor:
                _draw_matrix(axes, np.asarray(by_predictor[name]))
            else:
                axes.set(xlim=(-0.5, 1.5), ylim=(1.5, -0.5))
                axes.spines[:].set_visible(False)
                layout.say(axes, cells.DASH)
            axes.set(xticks=[], yticks=[])
            axes.tick_params(length=0)
        row[0].set_yticks([0, 1], ["truly absent", "truly present"])
        row[0].set_ylabel(style.literal(label, 16), rotation=0, ha="right", va="center", ma="right", labelpad=6)
    for axes, name in zip(grid[0], predictors, strict=True):
        axes.set_title(style.literal(name, 16), loc="center")
    for axes in grid[-1]:
        axes.set_xticks([0, 1], ["absent", "present"])
        axes.set_xlabel("Predicted")
    layout.arrange(figure, list(grid.ravel()), aspect=0.5 if len(predictors) <= 4 else 0.65)  # a cell holds two lines
    return figure


def _draw_matrix(axes: Axes, counts: np.ndarray) -> None:
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.full((2, 2), np.nan)
    np.divide(counts, totals, out=shares, where=totals > 0)
    axes.imshow(shares, cmap=_SHADES, vmin=0, vmax=1, aspect="auto")
    axes.spines[:].set_visible(True)
    for (i, j), share in np.ndenumerate(shares):
        text = f"{counts[i, j]:,.0f}\n({cells.show(float(100 * share), '.1f')}{' %' if np.isfinite(share) else ''})"
        axes.text(j, i, text, ha="center", va="center", fontsize=style.SMALL, linespacing=1.15)


@style.styled
def draw_bootstrap_boxes(samples: Mapping[str, np.ndarray], label_names: Sequence[str], axis_label: str) -> Figure:
    """Draws box plots of resampled scores, grouped by label, predictors side by side.

    `samples` are `[C, R]` by predictor, R resamples of the score of each label; NaN is ignored.
    """
    if not samples or not label_names:
        raise ValueError(f"box plots need a predictor and a label, not {len(samples)} and {len(label_names)}")
    for name, values in samples.items():
        if len(values) != len(label_names):
            raise ValueError(f"{name} has {len(values)} rows, but there are {len(label_names)} labels")
    figure, (axes,), _ = layout.create_panels(1, style.DOUBLE)
    width = 0.8 / len(samples)
    handles = []
    for k, (name, values) in enumerate(samples.items()):
        color, hatch = style.choose_look(k)[0], _HATCHES[k % len(_HATCHES)]
        look: dict[str, Any] = {"facecolor": _lighten(color), "edgecolor": color, "hatch": hatch, "linewidth": 0.7}
        handles.append(Patch(label=name, **look))
        offset = (k - (len(samples) - 1) / 2) * width
        boxes = {i + offset: _summarize(row) for i, row in enumerate(values) if np.isfinite(row).any()}
        thin = {"color": color, "linewidth": 0.7}
        axes.bxp(
            list(boxes.values()),
            positions=list(boxes),
            widths=0.8 * width,
            showfliers=False,
            patch_artist=True,
            boxprops=look,
            medianprops={"color": style.BLACK, "linewidth": 1.2},
            whiskerprops=thin,
            capprops=thin,
            manage_ticks=False,
        )
    for i in range(1, len(label_names)):
        axes.axvline(i - 0.5, color=style.LIGHT_GREY, lw=0.5, zorder=0)
    _write_names(axes, label_names)
    axes.tick_params(axis="x", length=0)
    axes.set(xlim=(-0.5, len(label_names) - 0.5), ylabel=style.literal(axis_label, 40))
    layout.add_legend(figure, handles, title=_BOX_LEGEND)
    layout.arrange(figure, [axes], aspect=0.4)
    return figure


def _write_names(axes: Axes, names: Sequence[str]) -> None:
    """Writes the names of groups below them, upright where they are too long to be read otherwise."""
    letters = int(95 / len(names))  # fit below a group
    longest = max(map(len, names))
    is_upright = longest > 3 * letters or max(len(word) for name in names for word in name.split()) > letters
    if is_upright:
        letters = max(20, int(1.3 * longest / max(1, 48 // len(names))))
    shown = [style.literal(name, letters) for name in names]
    axes.set_xticks(range(len(names)), shown, rotation=90 if is_upright else 0)


def _summarize(values: np.ndarray) -> dict[str, float]:
    ends = np.percentile(values[np.isfinite(values)], (2.5, 25, 50, 75, 97.5))
    return dict(zip(("whislo", "q1", "med", "q3", "whishi"), ends.tolist(), strict=True))


def _lighten(color: str) -> tuple[float, ...]:
    return tuple(1 - 0.35 * (1 - part) for part in to_rgb(color))
