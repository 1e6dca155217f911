"""Figures as files, or as text within a page; and the learning curve of a training run.

A function that draws takes numbers and returns a figure, which stays open until it is written or closed.
"""

import base64
import dataclasses
import io
import os
import warnings
from collections.abc import Mapping, Sequence
from typing import IO, Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ecg_jax import files
from ecg_jax.reporting import layout, style  # first: style chooses matplotlib's backend

import matplotlib.pyplot as plt  # isort: skip

_STAMP = "stamp"  # the id of its text


@style.styled
def write(figure: Figure, stem: str) -> list[str]:
    """Writes a figure as PDF and as PNG of 300 dots per inch at a path without suffix, and closes it; the paths."""
    os.makedirs(os.path.dirname(stem) or ".", exist_ok=True)
    for options in ({"format": "pdf", "metadata": {"CreationDate": None}}, {"format": "png", "dpi": 300}):
        with files.replacing(f"{stem}.{options['format']}", "wb") as file:
            _save(figure, file, **options)
    close(figure)
    return [f"{stem}.pdf", f"{stem}.png"]


@style.styled
def encode(figure: Figure) -> str:
    """A data URI of the figure's SVG, the same for the same figure; the figure stays open."""
    buffer = io.BytesIO()
    _save(figure, buffer, format="svg", metadata={"Date": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def stamp(figure: Figure, lines: Sequence[str]) -> None:
    """Writes lines that no reader may miss above a figure."""
    if lines:
        look: dict[str, Any] = {"fontsize": style.SMALL, "color": style.ORANGE, "weight": "bold"}
        figure.text(0.5, 1.0, style.literal("; ".join(lines)), gid=_STAMP, ha="center", va="bottom", **look)


def _save(figure: Figure, target: IO[bytes], **options: Any) -> None:
    if any(text.get_gid() == _STAMP for text in figure.texts):  # it is above the figure
        options["bbox_inches"] = "tight"
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)  # of a name in another script
        figure.savefig(target, **options)


def close(figure: Figure) -> None:
    """Closes a figure, which matplotlib otherwise keeps for the life of the process."""
    plt.close(figure)


@style.styled
def draw_learning_curve(lines: Sequence[Mapping[str, Any]], best_step: int) -> Figure:
    """Draws loss, and scores on validation, over the steps of lines of `metrics.jsonl`.

    The scores are macro AUROC and average precision, or of numbers the means over labels of R2 (from -1 up) and
    Pearson's correlation.
    """

    def series(kind: str, key: str) -> tuple[list[int], list[float]]:
        chosen = [line for line in lines if line["kind"] == kind and line.get(key) is not None]
        return [line["step"] for line in chosen], [line[key] for line in chosen]

    curve = _NUMBERS if any("mae" in line for line in lines) else _FINDINGS
    figure, panels, _ = layout.create_panels(2)
    panels[0].plot(*series("train", "loss"), color=style.GREY, lw=0.8, label="training loss")
    panels[0].plot(*series("validation", "loss"), "^-.", color=style.GREEN, ms=3, label="validation loss")
    panels[0].set(xlabel="Step", ylabel=curve.loss, ylim=(0, None))
    lowest = curve.usual
    for (key, name), look, color in zip(curve.scores.items(), ("o-", "s--"), (style.BLUE, style.ORANGE), strict=True):
        steps, values = series("validation", key)
        panels[1].plot(steps, values, look, color=color, ms=3, label=name)
        lowest = np.nanmin([lowest, *values])
    panels[1].set(xlabel="Step", ylabel="Validation score", ylim=(max(lowest, curve.lowest) - 0.02, 1.02))
    handles: list[Artist] = [line for axes in panels for line in axes.lines]
    last = max([best_step, 1, *(line["step"] for line in lines)])
    for axes in panels:
        axes.set_xlim(-0.02 * last, 1.02 * last)
        marked = axes.axvline(best_step, color=style.BLACK, lw=0.8, ls=":", label=f"best (step {best_step:,})")
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, steps=style.STEPS))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    layout.set_titles(panels, ("", ""), ("", ""))
    layout.add_legend(figure, [*handles, marked])
    layout.arrange(figure, panels, aspect=0.6)
    return figure


@dataclasses.dataclass(frozen=True)
class _Curve:
    """What is drawn of a training."""

    loss: str  # what it is called
    scores: Mapping[str, str]  # what the two on validation are called, by key
    usual: float  # lower end of their axis, unless one is lower
    lowest: float  # end below which nothing is drawn


_FINDINGS = _Curve(
    "Cross entropy per label", {"auroc": "AUROC, macro", "average_precision": "average precision, macro"}, 0.5, 0.0
)
_NUMBERS = _Curve("Loss per label", {"r2": "R², mean", "pearson": "Pearson's r, mean"}, 0.0, -1.0)


def write_learning_curve(lines: Sequence[Mapping[str, Any]], best_step: int, stem: str) -> list[str]:
    """Writes what `draw_learning_curve` draws, as `write` does."""
    return write(draw_learning_curve(lines, best_step), stem)
