"""Numbers as they are printed in figures."""

import math

MISSING = "–"


def show(value: float, decimals: int = 2) -> str:
    """A number with a true minus sign; an en dash for NaN."""
    if math.isnan(value):
        return MISSING
    rounded = round(value, decimals) + 0.0  # what rounds to zero has no sign
    return f"{rounded:.{decimals}f}".replace("-", "−").replace("inf", "∞")


def show_interval(value: float, interval: tuple[float, float] | None) -> str:
    """A number, and its interval in brackets, with an en dash, or with "to" where the dash could be a minus."""
    if math.isnan(value):
        return MISSING
    if interval is None:
        return show(value)
    if any(map(math.isnan, interval)):
        return f"{show(value)} ({MISSING})"
    joint = " to " if min(interval) < 0 else "–"
    return f"{show(value)} ({joint.join(show(end) for end in interval)})"


def format_tick(value: float, _: float | None = None) -> str:
    """The number at a tick, with no more decimals than it needs."""
    return f"{value:.6g}".replace("-", "−")
