"""The style of figures: that of medical journals, legible in print, with and without colours."""

import functools
import textwrap
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt

from ecg_jax.printable import make_printable

# Okabe & Ito's colours, which colour-blind readers can distinguish.
BLUE, ORANGE, GREEN, PURPLE, SKY, AMBER = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00"
BLACK, GREY, LIGHT_GREY = "#000000", "#666666", "#C8C8C8"
_COLORS = (BLUE, ORANGE, GREEN, PURPLE, BLACK, SKY, AMBER)
_LINES = ("-", "--", "-.", ":", (0, (3, 1, 1, 1, 1, 1)), (0, (6, 2)), (0, (1, 3)))
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
SINGLE, DOUBLE = 3.5, 7.2  # inches: a column of a journal, and its page
SMALL = 7  # points
STEPS = (1, 2, 5, 10)  # between ticks, times a power of ten
STYLE: dict[Any, Any] = {
    "axes.labelsize": 8,
    "axes.linewidth": 0.6,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 8,
    "font.family": "sans-serif",
    "font.sans-serif": ["Arial", "Liberation Sans", "DejaVu Sans", "Noto Sans CJK JP"],
    "font.size": 8,
    "hatch.linewidth": 0.5,
    "legend.fontsize": SMALL,
    "legend.frameon": False,
    "legend.title_fontsize": SMALL,
    "lines.linewidth": 1.2,
    "pdf.fonttype": 42,  # TrueType, which publishers demand: Type 3 cannot be edited
    "svg.hashsalt": "ecg_jax",  # otherwise every SVG has random ids
    "xtick.labelsize": SMALL,
    "xtick.major.size": 2.5,
    "xtick.major.width": 0.6,
    "ytick.labelsize": SMALL,
    "ytick.major.size": 2.5,
    "ytick.major.width": 0.6,
}
_P = ParamSpec("_P")
_R = TypeVar("_R")


def styled(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Makes a function run in this style. Drawing and saving both need it: ticks are made when saving."""

    @functools.wraps(function)
    def run(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        with plt.rc_context(STYLE):
            return function(*args, **kwargs)

    return run


def choose_look(k: int) -> tuple[str, Any, str]:
    """Colour, line and marker of the k-th series, from 0; combinations differ even where parts recur."""
    count = len(_COLORS)
    return _COLORS[(k + k // count) % count], _LINES[k % count], _MARKERS[k % count]


def literal(text: str, width: int = 1000) -> str:
    """Text that matplotlib shows unchanged, including dollar signs, in lines of at most `width` characters."""
    return textwrap.fill(make_printable(text), width).replace("$", r"\$")
