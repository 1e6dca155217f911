"""Metrics as JSON lines and as TensorBoard event files, without TensorFlow."""

import json
import math
import os
from collections.abc import Mapping

from tensorboardX import SummaryWriter

from ecg_jax import files


class MetricWriter:
    """Appends to `metrics.jsonl` and `tensorboard/` of a run folder."""

    def __init__(self, workdir: str, resume_step: int) -> None:
        """Opens both.

        Args:
            workdir: The run folder.
            resume_step: Lines of later steps belong to an interrupted run and are removed.
        """
        self._path = os.path.join(workdir, "metrics.jsonl")
        kept = [line for line in read_metrics(self._path) if line["step"] <= resume_step]
        self._written = {(line["step"], line["kind"]) for line in kept}
        with files.replacing(self._path) as file:
            file.writelines(json.dumps(line) + "\n" for line in kept)
        self._file = open(self._path, "a")  # noqa: SIM115 - closed in close()
        self._board = SummaryWriter(os.path.join(workdir, "tensorboard"), purge_step=resume_step + 1, flush_secs=10)

    def write(self, step: int, kind: str, values: Mapping[str, float]) -> None:
        """Writes one line, unless there is one; values that are not finite become null."""
        if (step, kind) in self._written:
            return
        self._written.add((step, kind))
        finite = {key: value if math.isfinite(value) else None for key, value in values.items()}
        self._file.write(json.dumps({"step": step, "kind": kind, **finite}) + "\n")
        for key, value in finite.items():
            if value is not None:
                self._board.add_scalar(f"{kind}/{key}", value, step)

    def flush(self) -> None:
        """Makes everything written so far survive a kill."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Flushes and closes both."""
        self.flush()
        self._file.close()
        self._board.close()


def read_metrics(path: str) -> list[dict]:
    """Reads `metrics.jsonl`; a last line that a kill cut short is left out."""
    if not os.path.exists(path):
        return []
    lines = []
    with open(path) as file:
        for text in file:
            try:
                lines.append(json.loads(text))
            except json.JSONDecodeError:
                break
    return lines
