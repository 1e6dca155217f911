"""Figures, as files in vector and bitmap form."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt

# Okabe & Ito's colours, told apart by colour-blind readers.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#666666"
_STYLE: dict[Any, Any] = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False}


def write_learning_curve(lines: Sequence[Mapping[str, Any]], best_step: int, stem: str) -> list[str]:
    """Draws loss, and macro AUROC and average precision on validation, over steps.

    Args:
        lines: Of `metrics.jsonl`.
        best_step: Marked with a vertical line.
        stem: Path without suffix.

    Returns:
        The files written (`.pdf` and `.png`).
    """

    def series(kind: str, key: str) -> tuple[list[int], list[float]]:
        chosen = [line for line in lines if line["kind"] == kind and line.get(key) is not None]
        return [line["step"] for line in chosen], [line[key] for line in chosen]

    with plt.rc_context(_STYLE):
        figure, (left, right) = plt.subplots(1, 2, figsize=(7.2, 2.8), layout="constrained")
        left.plot(*series("train", "loss"), color=GREY, lw=1, label="training")
        left.plot(*series("validation", "loss"), "o-", color=BLUE, ms=3, label="validation")
        left.set(xlabel="step", ylabel="cross entropy per label", ylim=(0, None))
        right.plot(*series("validation", "auroc"), "o-", color=BLUE, ms=3, label="AUROC, macro")
        right.plot(
            *series("validation", "average_precision"), "s-", color=ORANGE, ms=3, label="average precision, macro"
        )
        lowest = min([0.5, *series("validation", "auroc")[1], *series("validation", "average_precision")[1]])
        right.set(xlabel="step", ylabel="validation score", ylim=(lowest, 1.01))
        for axes in (left, right):
            axes.axvline(best_step, color=GREEN, lw=1, ls="--", label=f"best (step {best_step})")
            axes.legend()
        return _write(figure, stem)


def _write(figure: Any, stem: str) -> list[str]:
    os.makedirs(os.path.dirname(stem) or ".", exist_ok=True)
    paths = [f"{stem}.pdf", f"{stem}.png"]
    for path in paths:
        figure.savefig(path, dpi=200)
    plt.close(figure)
    return paths
