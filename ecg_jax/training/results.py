"""What a finished run writes: predictions, calibration, thresholds, an evaluation, and a baseline beside it."""

import functools
import os
import shlex
import sys
from typing import Any

import jax
import numpy as np
import pandas as pd
from ml_collections import ConfigDict
from rich.console import Console

from ecg_jax import files, spreadsheet
from ecg_jax.data.datasets import table as table_lib
from ecg_jax.data.datasets.dataset import Dataset, create_predictions
from ecg_jax.data.store import messages
from ecg_jax.evaluation import analysis, calibration, heart_rate, metrics
from ecg_jax.evaluation.analysis import Analysis
from ecg_jax.evaluation.predictions import Predictions
from ecg_jax.evaluation.settings import Settings
from ecg_jax.evaluation.thresholds import Thresholds
from ecg_jax.reporting import evaluation_report, figures, tables
from ecg_jax.runtime import run_folder
from ecg_jax.runtime.metric_writer import read_metrics
from ecg_jax.training.setup import Setup

_BASELINE_RECORDINGS = 1000
_SHOWN = ("label", "n", "positives", "auroc", "auroc_rate_only", "average_precision", "f1", "threshold")
_SUBGROUPS = ("age", "sex", "date", "source")

Predicted = dict[str, tuple[np.ndarray, np.ndarray]]


def write(setup: Setup, predicted: Predicted, *, best_step: int, console: Console) -> dict[str, Any]:
    """Judges the best network on the test split, and writes the run folder's results.

    Calibration and thresholds are fitted on validation; the test split has no say in anything.

    Args:
        setup: The run.
        predicted: `(probabilities [n, C], has_signal [n])` of `validation` and `test`.
        best_step: Of the checkpoint that predicted.
        console: Where the table is shown.

    Returns:
        What `result.json` holds: the best step, validation and test scores (of uncalibrated
        probabilities, as while training).
    """
    dataset, settings = setup.examples.dataset, setup.config.evaluation
    names = dataset.label_names
    rows = {name: dataset.indices(name) for name in predicted}
    known = {name: rows[name][has_signal] for name, (_, has_signal) in predicted.items()}
    raw = {name: values[has_signal] for name, (values, has_signal) in predicted.items()}
    fitted = calibration.fit(settings.calibration, dataset.labels[known["validation"]], raw["validation"], names)
    scored = {
        name: create_predictions(dataset, known[name], fitted.apply(raw[name], names), raw[name]) for name in predicted
    }
    chosen = analysis.choose_thresholds(scored["test"], scored["validation"], settings.threshold_rule, Settings())
    result = {"best_step": best_step, "monitor": setup.monitor, run_folder.UNCHOSEN: list(chosen.unchosen)} | {
        name: metrics.compute_summary(scored[name].labels, raw[name]) for name in predicted
    }
    if jax.process_index() == 0:
        run_folder.write_json(os.path.join(setup.workdir, run_folder.CALIBRATION), fitted.to_dict())
        thresholds = dict(zip(names, chosen.values.tolist(), strict=True))
        run_folder.write_json(os.path.join(setup.workdir, run_folder.THRESHOLDS), thresholds)
        written = [_write_predictions(setup, predicted, rows, fitted)]
        baseline = _score_baseline(setup, scored["test"].labels, known["test"])
        found = analyse(scored["test"], chosen, setup.config)
        lines = read_metrics(os.path.join(setup.workdir, "metrics.jsonl"))
        written += write_evaluation(
            setup.workdir,
            found,
            baseline,
            title=f"Test split, best checkpoint (step {best_step})",
            facts=(f"Run folder {setup.workdir}; data set {dataset.name}; {_describe_calibration(fitted)}.",),
            learning_curve=functools.partial(figures.draw_learning_curve, lines, best_step),
            has_report=settings.report,
            console=console,
        )
        if settings.report:
            stem = os.path.join(setup.workdir, run_folder.EVALUATION, "learning_curve")
            written += figures.write_learning_curve(lines, best_step, stem)
        run_folder.write_json(os.path.join(setup.workdir, run_folder.RESULT), result)
        _report_losses(setup, console)
        console.print(f"Written: {', '.join(written)}")
    return result


def create_settings(config: ConfigDict) -> Settings:
    """How a run's own evaluation is computed."""
    return Settings(resamples=config.evaluation.resamples, seed=config.data.seed)


def analyse(predictions: Predictions, chosen: Thresholds, config: ConfigDict) -> Analysis:
    """A run's own evaluation; of the columns of its data, the usual ones make subgroups."""
    names = [name for name in predictions.attributes if name in _SUBGROUPS]
    return analysis.analyse(predictions, chosen, create_settings(config), attributes=names)


def write_evaluation(
    workdir: str,
    found: Analysis,
    baseline: np.ndarray,
    *,
    title: str,
    has_report: bool,
    console: Console,
    **said: Any,
) -> list[str]:
    """Writes a run's `evaluation/`, and shows its scores.

    Args:
        workdir: The run folder.
        found: Of its predictions.
        baseline: AUROC of the heart rate alone, per label and macro.
        title: Of the table that is shown.
        has_report: Write the page too.
        console: Where it is shown.
        **said: See `evaluation_report.write`.
    """
    table = found.scores.table
    rates = np.concatenate([baseline, np.full(len(table) - len(baseline), np.nan)])
    folder, extra = os.path.join(workdir, run_folder.EVALUATION), {"auroc_rate_only": rates}
    if has_report:
        written = evaluation_report.write(
            folder,
            found,
            title=f"Evaluation of {os.path.basename(os.path.abspath(workdir))}",
            subtitle=title,
            command=shlex.join(["python", "-m", "ecg_jax.main", *sys.argv[1:]]),
            extra_scores=extra,
            figure_files=False,
            **said,
        )
        written = [written[0], written[-1]]
    else:
        written = evaluation_report.write_tables(folder, found, extra)[:1]
    shown = table.assign(auroc_rate_only=rates, threshold=found.shown_thresholds)
    ends = [f"{name}{end}" for name in ("auroc", "f1") for end in ("_low", "_high")]
    shown = shown[[*_SHOWN, *(name for name in ends if name in shown)]]
    tables.print_scores(shown, title, console)
    console.print(
        f"Thresholds: {found.thresholds.describe()}; 'rate only': AUROC of a baseline that knows the heart rate alone"
    )
    for line in found.warnings:
        console.print(f"warning: {line}", style="yellow")
    return written


def _describe_calibration(fitted: calibration.Calibration) -> str:
    reasons = [f"{name}: {values['reason']}" for name, values in fitted.maps.items() if "reason" in values]
    if fitted.method == "none":
        return "probabilities are not recalibrated"
    left = f"; as they are: {'; '.join(reasons)}" if reasons else ""
    return f"probabilities are recalibrated ({fitted.method}), as fitted on validation{left}"


def _write_predictions(
    setup: Setup, predicted: Predicted, rows: dict[str, np.ndarray], fitted: calibration.Calibration
) -> str:
    dataset = setup.examples.dataset
    frames = []
    for name, (raw, has_signal) in predicted.items():
        columns = {"recording": dataset.ids[rows[name]], "split": name} | describe(dataset, rows[name])
        probabilities = fitted.apply(raw, dataset.label_names)
        for i, label in enumerate(dataset.label_names):
            columns |= {
                f"{label}_true": dataset.labels[rows[name], i],
                label: probabilities[:, i],
                f"{label}_raw": raw[:, i],
            }
        is_refused = np.isin(dataset.ids[rows[name]], list(setup.examples.refused))
        columns["quality"] = np.select([is_refused, ~has_signal], ["refused", "no signal"], "")
        frames.append(pd.DataFrame(columns))
    path = os.path.join(setup.workdir, run_folder.PREDICTIONS)
    return files.write_text(path, spreadsheet.to_csv(pd.concat(frames)))


def describe(dataset: Dataset, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Whose recordings these are, and what else is known of them: columns of `predictions.csv`, beside its own."""
    known = {} if dataset.patients is None else {"patient_id": dataset.patients}
    known |= {name: values for name, values in dataset.attributes.items() if name != "sampling_weight"}
    own = {f"{label}{end}" for label in dataset.label_names for end in ("", "_true", "_raw")}
    own |= {"recording", "split", "fold", "quality"}
    if "date" in known:
        known["date"] = table_lib.format_dates(known["date"])
    return {name: values[rows] for name, values in known.items() if name not in own}


def _score_baseline(setup: Setup, test_labels: np.ndarray, test_rows: np.ndarray) -> np.ndarray:
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
    return np.array([*aurocs, float(metrics.average(np.array(aurocs)))])


def _report_losses(setup: Setup, console: Console) -> None:
    """Says which recordings were dropped, refused, doubted or had gaps, and what was noticed while they were read."""
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
    for line in messages.describe(examples.notes):
        console.print(line)


def _some(ids: list[str]) -> str:
    return ", ".join(ids[:8]) + (f" and {len(ids) - 8} more" if len(ids) > 8 else "")
