"""What a finished run writes: predictions, thresholds, scores, a baseline beside them, a figure."""

import os
from typing import Any

import jax
import numpy as np
import pandas as pd
from rich.console import Console

from ecg_jax.evaluation import heart_rate, metrics, thresholds
from ecg_jax.reporting import figures, tables
from ecg_jax.runtime import run_folder
from ecg_jax.runtime.metric_writer import read_metrics
from ecg_jax.training.setup import Setup

_BASELINE_RECORDINGS = 1000

Predicted = dict[str, tuple[np.ndarray, np.ndarray]]


def write(setup: Setup, predicted: Predicted, *, best_step: int, console: Console) -> dict[str, Any]:
    """Judges the best network on the test split, and writes the run folder's results.

    Thresholds maximize F1 on validation; the test split has no say in anything.

    Args:
        setup: The run.
        predicted: `(probabilities [n, C], has_signal [n])` of `validation` and `test`.
        best_step: Of the checkpoint that predicted.
        console: Where the table is shown.

    Returns:
        What `result.json` holds: the best step, validation and test scores.
    """
    dataset = setup.examples.dataset
    names = dataset.label_names
    rows = {name: dataset.indices(name) for name in predicted}
    labels = {name: dataset.labels[rows[name]][has_signal] for name, (_, has_signal) in predicted.items()}
    probabilities = {name: values[has_signal] for name, (values, has_signal) in predicted.items()}
    chosen = thresholds.choose_max_f1(labels["validation"], probabilities["validation"])
    scores = metrics.compute_scores(labels["test"], probabilities["test"], names, chosen)
    result = {
        "best_step": best_step,
        "monitor": setup.monitor,
        "validation": metrics.compute_summary(labels["validation"], probabilities["validation"]),
        "test": metrics.compute_summary(labels["test"], probabilities["test"]),
    }
    if jax.process_index() == 0:
        baseline = _score_baseline(setup, labels["test"], rows["test"][predicted["test"][1]])
        scores.insert(scores.columns.get_loc("auroc") + 1, "auroc_rate_only", baseline)
        written = _write_files(setup, predicted, rows, dict(zip(names, chosen, strict=True)), scores, best_step)
        run_folder.write_json(os.path.join(setup.workdir, run_folder.RESULT), result)
        tables.print_scores(scores, f"Test split, best checkpoint (step {best_step})", console)
        console.print(
            "Thresholds maximize F1 on validation; 'rate only': AUROC of a baseline that knows the heart rate alone"
        )
        _report_losses(setup, console)
        console.print(f"Written: {', '.join(written)}")
    return result


def _write_files(
    setup: Setup,
    predicted: Predicted,
    rows: dict[str, np.ndarray],
    chosen: dict[str, float],
    scores: pd.DataFrame,
    best_step: int,
) -> list[str]:
    dataset, folder = setup.examples.dataset, setup.workdir
    os.makedirs(os.path.join(folder, "evaluation"), exist_ok=True)
    frames = []
    for name, (probabilities, has_signal) in predicted.items():
        frame = pd.DataFrame({"recording": dataset.ids[rows[name]], "split": name})
        for i, label in enumerate(dataset.label_names):
            frame[f"{label}_true"] = dataset.labels[rows[name], i]
            frame[label] = probabilities[:, i]
        is_refused = np.isin(frame["recording"], list(setup.examples.refused))
        frame["quality"] = np.select([is_refused, ~has_signal], ["refused", "no signal"], "")
        frames.append(frame)
    paths = [os.path.join(folder, name) for name in ("predictions.csv", run_folder.THRESHOLDS, "evaluation/scores.csv")]
    pd.concat(frames).to_csv(paths[0], index=False)
    run_folder.write_json(paths[1], chosen)
    scores.to_csv(paths[2], index=False)
    lines = read_metrics(os.path.join(folder, "metrics.jsonl"))
    return paths + figures.write_learning_curve(lines, best_step, os.path.join(folder, "evaluation", "learning_curve"))


def _score_baseline(setup: Setup, test_labels: np.ndarray, test_rows: np.ndarray) -> list[float]:
    """AUROC per label and macro of a model that sees the heart rate alone."""
    examples = setup.examples

    def measure(chosen: np.ndarray) -> np.ndarray:
        rate = examples.contract.sampling_rate
        return np.array([heart_rate.measure_heart_rate(examples.read(int(row))["signal"], rate) for row in chosen])

    train_rows = examples.dataset.indices("train")
    spread = np.linspace(0, len(train_rows) - 1, min(len(train_rows), _BASELINE_RECORDINGS)).astype(int)
    train_rows = train_rows[spread]
    guesses = heart_rate.predict_from_rate(measure(train_rows), examples.dataset.labels[train_rows], measure(test_rows))
    aurocs = [metrics.compute_ranking(test_labels[:, i], guesses[:, i])[0] for i in range(test_labels.shape[1])]
    return [*aurocs, float(np.nanmean(aurocs)) if not np.isnan(aurocs).all() else np.nan]


def _report_losses(setup: Setup, console: Console) -> None:
    """Says which recordings were dropped, refused, doubted or had gaps."""
    examples = setup.examples
    for title, reasons in (("Refused", examples.refused), ("Doubtful, used all the same", examples.findings)):
        if reasons:
            ids = _some(sorted(reasons))
            console.print(f"{title}: {len(reasons)} recording(s): {ids}; the first: {next(iter(reasons.values()))}")
    if examples.dropped:
        console.print(f"Dropped, all zeros: {len(examples.dropped)} recording(s): {_some(sorted(examples.dropped))}")
    if examples.gaps:
        total = sum(examples.gaps.values())
        console.print(
            f"Masked: {total} NaN or infinite samples in {len(examples.gaps)} recording(s): "
            + _some(sorted(examples.gaps))
        )


def _some(ids: list[str]) -> str:
    return ", ".join(ids[:8]) + (f" and {len(ids) - 8} more" if len(ids) > 8 else "")
