"""What a finished run writes: predictions, calibration, thresholds, an evaluation, and a baseline beside it."""

import dataclasses
import functools
import os
from collections.abc import Collection, Mapping
from typing import Any

import jax
import numpy as np
import pandas as pd
from ml_collections import ConfigDict
from rich.console import Console

from ecg_jax import files, spreadsheet
from ecg_jax.data.datasets import table as table_lib
from ecg_jax.data.datasets.dataset import WEIGHT, Dataset, create_predictions
from ecg_jax.data.store import messages
from ecg_jax.evaluation import calibration, heart_rate, left_out, metrics, subgroups
from ecg_jax.evaluation import thresholds as thresholds_lib
from ecg_jax.evaluation.calibration import Calibration
from ecg_jax.evaluation.left_out import LeftOut
from ecg_jax.evaluation.predictions import Predictions
from ecg_jax.evaluation.settings import Settings
from ecg_jax.inference import floor as floor_lib
from ecg_jax.inference import scoring
from ecg_jax.inference.evaluated import Evaluated
from ecg_jax.inference.evaluated_model import describe_leaks
from ecg_jax.kinds import FINDING
from ecg_jax.reporting import figures
from ecg_jax.runtime import run_folder
from ecg_jax.runtime.metric_writer import read_metrics
from ecg_jax.training.setup import Setup

_RARE = f"fewer than {thresholds_lib.FEWEST} positives or negatives"
_BASELINE_RECORDINGS = 1000
_SUBGROUPS = ("sex", "date", "source", *subgroups.EDGES)

Predicted = dict[str, tuple[np.ndarray, np.ndarray]]


def write(setup: Setup, predicted: Predicted, *, best_step: int, console: Console) -> dict[str, Any]:
    """Evaluates the best network on the test split, and writes the run folder's results.

    Calibration and thresholds are fitted on validation; the test split decides nothing. Labels with fewer than
    `thresholds.FEWEST` positives or negatives there keep their probabilities and the threshold 0.5. Numbers have
    neither.

    Args:
        setup: The run.
        predicted: `(probabilities or numbers [n, C], has_signal [n])` of `validation` and `test`.
        best_step: Of the checkpoint that predicted.
        console: Where the table is shown.

    Returns:
        What `result.json` holds; its scores are of uncalibrated probabilities, as while training.
    """
    dataset, workdir, config = setup.examples.dataset, setup.workdir, setup.config
    names = dataset.label_names
    known = {name: dataset.indices(name)[has_signal] for name, (_, has_signal) in predicted.items()}
    raw = {name: values[has_signal] for name, (values, has_signal) in predicted.items()}
    scored = {name: create_predictions(dataset, known[name], values) for name, values in raw.items()}
    lost = [each for name, (_, has_signal) in predicted.items() for each in _list_left_out(setup, name, has_signal)]
    evaluated = Evaluated(
        title=os.path.basename(os.path.abspath(workdir)),
        subtitle=f"Test split, best checkpoint (step {best_step})",
        predictions=scored["test"],
        validation=scored["validation"],
        facts=(f"Run folder {workdir}; data set {dataset.name}.",),
        warnings=(
            *left_out.describe(lost, f"{len(dataset.indices('validation')) + len(dataset.indices('test'))} recordings"),
            *describe_leaks(run_folder.read_inherited(workdir).trained_on, dataset, known["test"]),
        ),
        left_out=tuple(lost),
    )
    fitted, baselines = None, {}
    result: dict[str, Any] = {"best_step": best_step, "monitor": setup.monitor}
    if setup.kind == FINDING:
        evaluated, fitted = _decide(evaluated, config)
        assert evaluated.thresholds is not None
        result[run_folder.UNCHOSEN] = list(evaluated.thresholds.unchosen)
    result |= {name: setup.summarize(scored[name].labels, raw[name]) for name in predicted}
    if jax.process_index() != 0:
        return result
    if fitted is not None and evaluated.thresholds is not None:
        run_folder.write_json(os.path.join(workdir, run_folder.CALIBRATION), fitted.to_dict())
        thresholds = dict(zip(names, evaluated.thresholds.values.tolist(), strict=True))
        run_folder.write_json(os.path.join(workdir, run_folder.THRESHOLDS), thresholds)
        baselines = {scoring.RATE_ONLY: _score_baseline(setup, scored["test"].labels, known["test"])}
    table = pd.concat([_tabulate(setup, name, *predicted[name], fitted) for name in predicted])
    written = [files.write_text(os.path.join(workdir, run_folder.PREDICTIONS), spreadsheet.to_csv(table))]
    lines = read_metrics(os.path.join(workdir, "metrics.jsonl"))
    curve = functools.partial(figures.draw_learning_curve, lines, best_step)
    evaluated = dataclasses.replace(evaluated, learning_curve=curve)
    written += evaluate(workdir, evaluated, config, baselines, console, _find_floor(setup, scored["test"], console))
    if config.evaluation.report:
        stem = os.path.join(workdir, run_folder.EVALUATION, "learning_curve")
        written += figures.write_learning_curve(lines, best_step, stem)
    run_folder.write_json(os.path.join(workdir, run_folder.RESULT), result)
    _report_losses(setup, console)
    console.print(f"Written: {', '.join(written)}")
    return result


def _decide(evaluated: Evaluated, config: ConfigDict) -> tuple[Evaluated, Calibration]:
    """With a calibration and thresholds, both fitted on validation."""
    scored, others = evaluated.predictions, evaluated.validation
    assert others is not None
    names = scored.names
    rare = thresholds_lib.find_unchosen(others.labels, names, thresholds_lib.FEWEST)
    fitted = calibration.fit(config.evaluation.calibration, others.labels, others.probabilities, names)
    fitted = fitted.leave([name for name in rare if "reason" not in fitted.maps[name]], _RARE)
    scored, others = (
        dataclasses.replace(each, probabilities=fitted.apply(each.probabilities, names), raw=each.probabilities)
        for each in (scored, others)
    )
    facts = (*evaluated.facts, _describe_calibration(fitted))
    evaluated = dataclasses.replace(evaluated, predictions=scored, validation=others, facts=facts)
    evaluated = evaluated.choose_thresholds(Settings(), rule=config.evaluation.threshold_rule)
    assert evaluated.thresholds is not None
    return dataclasses.replace(evaluated, thresholds=evaluated.thresholds.leave(rare, names)), fitted


def evaluate(
    workdir: str,
    evaluated: Evaluated,
    config: ConfigDict,
    baselines: Mapping[str, np.ndarray],
    console: Console,
    floor: floor_lib.Floor | None = None,
) -> list[str]:
    """Writes a run's `evaluation/`, and shows its scores; of the columns of its data, the usual ones make subgroups.

    Of findings, `evaluated` has thresholds; `baselines` and `floor` are as in `scoring.Extras`. Returns the files to
    look at.
    """
    extras = scoring.Extras(
        subgroups=[name for name in evaluated.predictions.attributes if name.removeprefix("measured_") in _SUBGROUPS],
        baselines=baselines,
        floor=floor,
        has_report=config.evaluation.report,
        has_figure_files=False,
    )
    settings = Settings(resamples=config.evaluation.resamples, seed=config.data.seed)
    folder = os.path.join(workdir, run_folder.EVALUATION)
    written = scoring.evaluate(evaluated, settings, folder, console, command="main", extras=extras)
    return [written[0], written[-1]] if extras.has_report else written[:1]


def _find_floor(setup: Setup, scored: Predictions, console: Console) -> floor_lib.Floor | None:
    """What measurements alone predict, as `evaluation.floor` says."""
    config, dataset = setup.config, setup.examples.dataset
    source = floor_lib.Source(dataset, config.data.checks, os.path.join(setup.workdir, floor_lib.CACHE), console)
    if config.evaluation.floor == "measure" or (config.evaluation.floor == "stored" and source.is_stored):
        return floor_lib.create(source, scored, seed=config.data.seed)
    return None


def _describe_calibration(fitted: Calibration) -> str:
    if fitted.method == "none":
        return "Probabilities are not recalibrated."
    reasons = [f"{name}: {values['reason']}" for name, values in fitted.maps.items() if "reason" in values]
    left = f"; as they are: {'; '.join(reasons)}" if reasons else ""
    return f"Probabilities are recalibrated ({fitted.method}), as fitted on validation{left}."


def _list_left_out(setup: Setup, split: str, has_signal: np.ndarray) -> list[LeftOut]:
    """The recordings of a split that are not scored."""
    dataset, refused = setup.examples.dataset, setup.examples.refused
    names = dataset.ids[dataset.indices(split)[~has_signal]].tolist()
    return [LeftOut(name, refused.get(name, left_out.NO_SIGNAL), name in refused, split) for name in names]


def _tabulate(
    setup: Setup, split: str, raw: np.ndarray, has_signal: np.ndarray, fitted: Calibration | None
) -> pd.DataFrame:
    """One split's part of `predictions.csv`; `fitted` is the calibration, None of numbers."""
    dataset = setup.examples.dataset
    rows = dataset.indices(split)
    columns = {"recording": dataset.ids[rows], "split": split} | describe(dataset, rows)
    predicted = raw if fitted is None else fitted.apply(raw, dataset.label_names)
    for i, label in enumerate(dataset.label_names):
        columns[f"{label}_true"] = dataset.labels[rows, i]
        columns[label] = predicted[:, i]
        if fitted is not None:
            columns[f"{label}_raw"] = raw[:, i]
    is_refused = np.isin(dataset.ids[rows], list(setup.examples.refused))
    columns["quality"] = np.select([is_refused, ~has_signal], ["refused", "no signal"], "")
    return pd.DataFrame(columns)


def describe(dataset: Dataset, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Patients and attributes of recordings: columns of `predictions.csv`, beside its own."""
    known = {} if dataset.patients is None else {"patient_id": dataset.patients}
    known |= {name: values for name, values in dataset.attributes.items() if name != WEIGHT}
    own = {f"{label}{end}" for label in dataset.label_names for end in ("", "_true", "_raw")}
    own |= {"recording", "split", "fold", "quality"}
    if "date" in known:
        known["date"] = table_lib.format_dates(known["date"])
    return {name: values[rows] for name, values in known.items() if name not in own}


def _score_baseline(setup: Setup, test_labels: np.ndarray, test_rows: np.ndarray) -> np.ndarray:
    """AUROC per label and macro of a model that sees the heart rate alone."""
    examples = setup.examples

    def measure(rows: np.ndarray) -> np.ndarray:
        rate = examples.contract.sampling_rate
        return np.array([heart_rate.measure_heart_rate(examples.read(int(row))["signal"], rate) for row in rows])

    train_rows = examples.dataset.indices("train")
    spread = np.linspace(0, len(train_rows) - 1, min(len(train_rows), _BASELINE_RECORDINGS)).astype(int)
    train_rows = train_rows[spread]
    guesses = heart_rate.predict_from_rate(measure(train_rows), examples.dataset.labels[train_rows], measure(test_rows))
    aurocs = [metrics.compute_ranking(test_labels[:, i], guesses[:, i])[0] for i in range(test_labels.shape[1])]
    return np.array([*aurocs, float(metrics.average(np.array(aurocs)))])


def _report_losses(setup: Setup, console: Console) -> None:
    """Lists recordings that were dropped, refused, doubtful or had gaps, and what was noticed while they were read."""
    examples = setup.examples

    def count(ids: Collection[str]) -> str:
        more = f" and {len(ids) - 8} more" if len(ids) > 8 else ""
        return f"{len(ids)} recording(s): {', '.join(sorted(ids)[:8])}{more}"

    for title, reasons in (("Refused", examples.refused), ("Doubtful, used all the same", examples.findings)):
        if reasons:
            console.print(f"{title}: {count(reasons)}; the first: {next(iter(reasons.values()))}")
    if examples.dropped:
        console.print(f"Dropped, all zeros: {count(examples.dropped)}")
    if examples.gaps:
        console.print(f"Masked: {sum(examples.gaps.values())} NaN or infinite samples in {count(examples.gaps)}")
    for line in messages.describe(examples.notes):
        console.print(line)
