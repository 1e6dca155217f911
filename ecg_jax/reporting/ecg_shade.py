"""What speaks for a finding, on ECG paper: a shade behind the traces, and a table of shares by lead and wave.

Warm (orange) speaks for the finding, cool (blue) against it; blue is striped too, so that a print without colours shows
which is which.
"""

import dataclasses

import numpy as np
import scipy.ndimage
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from ecg_jax.kinds import FINDING, NUMBER
from ecg_jax.recording import LEADS
from ecg_jax.reporting import style

PARTS = ("P", "QRS", "ST-T", "elsewhere")  # of time, whose shares are stated
FOR, AGAINST = style.ORANGE, style.BLUE
DARKEST = 0.8  # opacity of the largest values
_SMOOTH = 0.015  # seconds, standard deviation: single samples are narrower than a printed line
_FULL = 99.5  # per cent of all samples are at most as dark as the darkest
_ROWS = 40  # of a shade; every other one is empty where it speaks against
_CELL_WIDTH, _CELL_HEIGHT = 12.5, 3.8  # mm, of a table
_NAMED = 4  # leads, in words
_MUCH = 0.02  # of the values missing, which is stated
_VERBS = {FINDING: ("speaks for", "speaks against"), NUMBER: ("raises", "lowers")}
NOTICE = "The shade says what the network computes, not what the patient has, and is not validated for clinical use."


@dataclasses.dataclass(frozen=True)
class Explanation:
    """How much each sample of a network's input speaks for a label, or against it."""

    label: str
    method: str
    values: np.ndarray  # `[T, L]` float32 in units of the label's logit, or of a number; positive speaks for it
    shares: np.ndarray  # `[L, 4]` of the sum of |values|: leads by `PARTS`
    leads: tuple[str, ...]  # of the L columns
    sampling_rate: float  # Hz
    start: float  # seconds into the recording of the first sample; below 0 where the input is padded
    missing: float | None = None  # of integrated gradients, of what the values should add up to: a share, 0 is none
    half_widths: np.ndarray | None = None  # `[L, 4]` of Shapley values: of the shares' 95 % intervals
    kind: str = FINDING  # of the label, one of `kinds.KINDS`


def smooth(values: np.ndarray, sampling_rate: float) -> tuple[np.ndarray, float]:
    """`[T, L]` as it is drawn: a Gaussian mean over time, from -1 to 1 on one scale for all leads; and what 1 is."""
    smoothed = scipy.ndimage.gaussian_filter1d(values, _SMOOTH * sampling_rate, axis=0, mode="constant")
    largest = float(np.percentile(np.abs(smoothed), _FULL) or np.abs(smoothed).max() or 1.0)
    return np.clip(smoothed / largest, -1, 1), largest


def create_legend(darkest: float, method: str, kind: str = FINDING) -> list[Patch]:
    """What the colours mean; and the darkest shade, in units of the values per second.

    Grad-CAM has neither leads nor what speaks against a label, and its values add up to nothing.
    """
    more, less = _VERBS[kind]
    if method == "grad_cam":
        return [Patch(color=FOR, alpha=DARKEST, linewidth=0, label=f"when something {more} it, in whichever lead")]
    unit = "of its unit" if kind == NUMBER else "logits"
    return [
        Patch(color=FOR, alpha=DARKEST, linewidth=0, label=f"{more} it"),
        Patch(facecolor=AGAINST, alpha=0.6, hatch="---", edgecolor="white", linewidth=0, label=f"{less} it"),
        Patch(alpha=0, label=f"darkest: {darkest / 100:.2g} {unit} in 10 ms"),
    ]


def create_title(explanation: Explanation) -> str:
    """Of the page of an explanation."""
    return f"What {_VERBS[explanation.kind][0]} {explanation.label}"


def describe(explanation: Explanation) -> str:
    """`describe_shares`, and `describe_missing` where there is much; or that there is nothing."""
    if not explanation.shares.any():
        return "nothing to attribute"
    parts = (describe_shares(explanation.shares, explanation.leads), describe_missing(explanation))
    return "; ".join(filter(None, parts))


def describe_missing(explanation: Explanation) -> str:
    """What the values do not add up to, in words; empty where it is little, or unknown."""
    missing = explanation.missing or 0.0
    return f"{missing:.0%} not attributed" if missing > _MUCH else ""


def describe_shares(shares: np.ndarray, leads: tuple[str, ...]) -> str:
    """Shares `[L, 4]` in words: of the parts of time, and of the leads that have the largest."""
    by_lead = sorted(zip(leads, shares.sum(axis=1), strict=True), key=lambda each: -each[1])[:_NAMED]
    by_part = zip(PARTS, shares.sum(axis=0), strict=True)
    parts, largest = (", ".join(f"{name} {share:.0%}" for name, share in each) for each in (by_part, by_lead))
    return f"{parts}; leads {largest}"


def draw_shade(axes: Axes, values: np.ndarray, extent: tuple[float, float, float, float]) -> None:
    """Draws `[n]` values from -1 to 1 as a shade that fills `extent` (left, right, bottom, top) evenly."""
    image = np.zeros((_ROWS, len(values), 4))
    image[..., :3] = np.where((values >= 0)[:, None], to_rgb(FOR), to_rgb(AGAINST))
    image[..., 3] = DARKEST * np.abs(values)
    image[::2, values < 0, 3] *= 0.3
    limits = axes.axis()
    axes.imshow(image, aspect="auto", extent=extent, interpolation="nearest", zorder=1)
    axes.axis(limits)


def draw_shares(figure: Figure, shares: np.ndarray, leads: tuple[str, ...], left: float, top: float) -> None:
    """Draws a table of shares `[L, 4]` in per cent, leads in their usual order and their sum, at millimetres."""
    order = [leads.index(lead) for lead in LEADS if lead in leads]
    shares = shares[order].T
    shares = 100 * np.concatenate([shares, shares.sum(axis=1, keepdims=True)], axis=1)
    shares = np.concatenate([shares, shares.sum(axis=0, keepdims=True)])
    columns = [*(leads[i] for i in order), "all leads"]
    rows = [*PARTS, "sum"]
    width, height = (25.4 * side for side in figure.get_size_inches())
    wide, high = len(columns) * _CELL_WIDTH, len(rows) * _CELL_HEIGHT
    axes = figure.add_axes((left / width, 1 - (top + high) / height, wide / width, high / height))
    shade = np.where(np.arange(len(columns)) < len(order), shares / max(shares[:-1, :-1].max(), 1e-9), 0)
    shade[-1] = 0
    axes.imshow(shade, cmap="Greys", vmin=0, vmax=1.6, aspect="auto")
    for (row, column), share in np.ndenumerate(shares):
        if share >= 0.5:
            axes.text(column, row, f"{share:.0f}", ha="center", va="center_baseline", fontsize=6.5)
    axes.set_xticks(range(len(columns)), columns, fontsize=6.5)
    axes.set_yticks(range(len(rows)), rows, fontsize=6.5)
    axes.tick_params(length=0, pad=1.5, labeltop=True, labelbottom=False)
    axes.spines[:].set_visible(False)
