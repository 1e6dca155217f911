"""What columns of intervals are called, and their units; `explanation.intervals` says how they are measured."""

INTERVALS = {
    "heart_rate": "per minute",
    "pr": "ms",
    "qrs": "ms",
    "qt": "ms",
    "qtc": "ms",
    "axis": "degrees",
    "p_duration": "ms",
}
