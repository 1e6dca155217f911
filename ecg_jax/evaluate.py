"""Evaluates a model, or anybody's predictions: scores with intervals, calibration, subgroups, figures, one page.

  python -m ecg_jax.evaluate --model=runs/finetune --output=evaluation
  python -m ecg_jax.evaluate --model=runs/finetune --data=stores/ptbxl --output=evaluation
  python -m ecg_jax.evaluate --predictions=probabilities.csv --labels=gold.csv --output=evaluation
  python -m ecg_jax.evaluate --model=runs/a --compare=runs/b --output=evaluation

--model is a run folder or a Keras file; its best checkpoint predicts the test split of its own data, or
--split of --data: a prepared store, NAME:DIR of a data set (ptbxl:DIR), or a path alone, which is read with the
run's data settings; where its recordings are the run's, its split is theirs. --predictions is a CSV
with a column of probabilities per label, an array (.npy, [recordings, labels]), or an archive that may
hold truth and class names too (.npz: y_true, y_pred, classes); --labels a CSV with a column per label,
0, 1 or empty for unknown. They are joined by name (a column `recording`, `path`, `id`, `exam_id`, ..., or
--recording_column), whatever folder, suffix or leading zeros names have in one of them; files that name
nothing, as .npy, line by line, and only with --by_position. Other columns of --labels make subgroups
(age, sex, ...), and `patient_id` (`subject_id`, ..., or --patient_column) keeps a patient's recordings
together in the bootstrap. A run's predictions.csv needs no --labels.

Thresholds never come from the recordings that are scored: a run's own were chosen on its validation
split; for a prediction file they are chosen on --validation, or else each recording's on the
other parts of the file (cross-fitted). --choose_on_test does it all the same, and says so everywhere.

Writes report.html, which needs no other file and no network; scores, confusion, calibration, ... as
.csv, .json and .tex; figures as .pdf and .png. Exit status: 0; 1 where something is wrong with the
input, and then nothing is written.
"""

import dataclasses
import os
import shlex
import sys
from collections.abc import Sequence
from typing import Any

from absl import flags

from ecg_jax import cli
from ecg_jax.errors import InputError
from ecg_jax.evaluation import settings as settings_lib
from ecg_jax.evaluation import thresholds as thresholds_lib
from ecg_jax.recording import CHECKS
from ecg_jax.runtime.progress import show_progress

_MODEL = flags.DEFINE_string("model", None, "A run folder, or a Keras file of the reference network.")
_DATA = flags.DEFINE_string(
    "data", None, "A place of data like the run's, a prepared store, or NAME:DIR of a data set; default the run's own."
)
_SPLIT = flags.DEFINE_enum(
    "split", None, ("train", "validation", "test", "all"), "Recordings to score; default test, or all where none is."
)
_PREDICTIONS = flags.DEFINE_string("predictions", None, "A CSV, .npy or .npz of probabilities, in place of --model.")
_LABELS = flags.DEFINE_string("labels", None, "A CSV of labels 0, 1 or empty, for --predictions.")
_NAMES = flags.DEFINE_list("names", [], "Labels to score: columns of a CSV, or those of an array in their order.")
_LOGITS = flags.DEFINE_bool("logits", False, "The numbers in --predictions (and others) are logits.")
_PARTIAL = flags.DEFINE_bool("partial", False, "Score the recordings that both files have, and leave out the others.")
_BY_POSITION = flags.DEFINE_bool(
    "by_position", False, "Join files that name no recordings line by line; without it they are refused."
)
_RECORDING_COLUMN = flags.DEFINE_list(
    "recording_column", [], "Columns that name recordings, in each file those it has; default recording, path, id, ..."
)
_PATIENT_COLUMN = flags.DEFINE_string(
    "patient_column", "", "The column that names patients; default patient_id, subject_id, ..."
)
_COMPARE = flags.DEFINE_string("compare", None, "Another run folder, Keras file or prediction file to compare with.")
_OUTPUT = flags.DEFINE_string("output", "evaluation", "The folder to write.")
_VALIDATION = flags.DEFINE_string("validation", None, "Predictions of other recordings, to choose thresholds on.")
_VALIDATION_LABELS = flags.DEFINE_string("validation_labels", None, "Their labels; default --labels.")
_RULE = flags.DEFINE_string("rule", None, f"What chooses thresholds: {thresholds_lib.RULES}; default max_f1.")
_THRESHOLDS = flags.DEFINE_list("thresholds", [], "Thresholds that are given, as LABEL=0.3, separated by commas.")
_CHOOSE_ON_TEST = flags.DEFINE_bool(
    "choose_on_test", False, "Choose thresholds on the recordings that are scored; every output then says so."
)
_CALIBRATION = flags.DEFINE_enum(
    "calibration",
    None,
    settings_lib.CALIBRATIONS,
    "Recalibrate, as fitted on --validation or the model's validation split.",
)
_CHECKS = flags.DEFINE_enum("checks", "refuse", CHECKS, "When physics contradicts a recording.")
_INTERVAL = flags.DEFINE_enum("interval", "auto", settings_lib.INTERVALS, "Kind of interval; auto suits few positives.")
_LEVEL = flags.DEFINE_float("level", 0.95, "Of the intervals.")
_RESAMPLES = flags.DEFINE_integer("resamples", 1000, "Of the bootstrap; 0 leaves intervals out.", lower_bound=0)
_RESAMPLED = flags.DEFINE_enum(
    "resampled", "auto", settings_lib.RESAMPLED, "What is drawn; auto: patients where they are known, else recordings."
)
_LEGACY = flags.DEFINE_bool("legacy", False, "Resamples and intervals as the script of Ribeiro et al. 2020 (seed 123).")
_SEED = flags.DEFINE_integer("seed", 0, "Of the resamples, and of the parts of a cross-fit.", lower_bound=0)
_BETA = flags.DEFINE_float("beta", 1.0, "Adds F-beta: above 1, recall counts more than precision.")
_PREVALENCE = flags.DEFINE_float("prevalence", None, "Adds predictive values where the labels have this prevalence.")
_MAX_FPR = flags.DEFINE_float("max_false_positive_rate", 0.1, "Where the partial AUROC ends.")
_SUBGROUPS = flags.DEFINE_list(
    "subgroups", None, "Columns that make subgroups; default all there are; `none` for none."
)
_ANNOTATORS = flags.DEFINE_list(
    "annotators", [], "CSVs of other readers' labels: kappa, McNemar, points in the figures."
)
_DECISION_RANGE = flags.DEFINE_list("decision_range", ["0.01", "0.99"], "Thresholds of the decision curves.")
_SEEDS = flags.DEFINE_list("seeds", [], "Predictions of networks trained from other seeds: a band in the figures.")
_CHALLENGE = flags.DEFINE_string("challenge_weights", None, "CSV of weights: adds the PhysioNet Challenge 2021 score.")
_NORMAL = flags.DEFINE_string("challenge_normal", "426783006", "Its class of sinus rhythm.")


def main(argv: Sequence[str]) -> int:
    """Evaluates; see the module's docstring."""
    cli.refuse_arguments(argv)
    if bool(_MODEL.value) == bool(_PREDICTIONS.value):
        raise InputError("pass either --model=RUN or --predictions=FILE; --help shows how")
    _check_output(_OUTPUT.value)
    _refuse_idle_flags()
    cli.require_files(
        _PREDICTIONS.value, _LABELS.value, _VALIDATION.value, _VALIDATION_LABELS.value, *_ANNOTATORS.value
    )
    settings, decision_range = _create_settings(), _parse_range(_DECISION_RANGE.value)
    if _RULE.value:
        thresholds_lib.parse_rule(_RULE.value)

    from ecg_jax.data import evaluation_tables
    from ecg_jax.evaluation import analysis, resampling
    from ecg_jax.inference import evaluation_input
    from ecg_jax.reporting import evaluation_report, tables

    console = cli.create_console()
    first = _open(console)
    second = _open_other(_COMPARE.value, first, console) if _COMPARE.value else None
    if second:
        first, second = evaluation_input.align(first, second, _create_rules())
        if not _CHOOSE_ON_TEST.value and not _THRESHOLDS.value:
            first, second = evaluation_input.treat_alike(first, second)
    readings = evaluation_tables.read_annotators(
        _ANNOTATORS.value, first.predictions, first.recordings, source=first.source, rules=_create_rules()
    )
    seeds = [_align_seed(path, first, console) for path in _SEEDS.value]
    names = _choose_subgroups(first.predictions.attributes)
    chosen = [_find_thresholds(each, settings) for each in (first, second) if each]
    console.print(
        f"Scoring {first.subtitle}: {', '.join(first.predictions.names)}; thresholds: {chosen[0].describe()}; "
        f"{settings.resamples} resamples"
    )
    warnings = tuple(dict.fromkeys((*first.warnings, *(second.warnings if second else ()))))
    with show_progress(console, "resampling") as update, resampling.watched(update):
        found = analysis.analyse(
            first.predictions,
            chosen[0],
            settings,
            attributes=names,
            annotators=readings,
            other=(second.predictions, chosen[1]) if second else None,
            decision_range=decision_range,
        )
        challenge = None
        if _CHALLENGE.value:
            challenge = evaluation_input.score_challenge(
                first.predictions, chosen[0], settings, _CHALLENGE.value, _NORMAL.value
            )
    with show_progress(console, "drawing") as update:
        written = evaluation_report.write(
            _OUTPUT.value,
            found,
            title=f"Evaluation of {first.title}" + (f" against {second.title}" if second else ""),
            models=(first.title, second.title) if second else (),
            subtitle=first.subtitle,
            command=shlex.join(["python", "-m", "ecg_jax.evaluate", *sys.argv[1:]]),
            facts=(*first.facts, *(second.facts if second else ())),
            warnings=warnings,
            annotators=readings,
            seeds=seeds,
            challenge=challenge,
            learning_curve=first.learning_curve,
            progress=update,
        )
    ends = [name for name in ("auroc_low", "auroc_high", "f1_low", "f1_high") if name in found.scores.table]
    shown = ["label", "n", "positives", "auroc", "average_precision", "f1", "threshold", *ends]
    seen = found.scores.table.assign(threshold=found.shown_thresholds)
    tables.print_scores(seen[shown], f"{first.title}: {first.subtitle}", console)
    for line in found.notes:
        console.print(f"note: {line}")
    for line in (*found.stamps, *warnings, *found.warnings):
        console.print(f"warning: {line}", style="yellow")
    if challenge is not None:
        tables.print_scores(challenge, "With partial credit", console)
    console.print(f"Written: {len(written)} files in {_OUTPUT.value}; look at {written[-1]}")
    return 0


def _check_output(folder: str) -> None:
    parent = os.path.abspath(folder)
    while not os.path.exists(parent):
        parent = os.path.dirname(parent)
    if not folder or not os.path.isdir(parent) or not os.access(parent, os.W_OK):
        raise InputError(f"--output={folder}: not a folder that can be written")


def _refuse_idle_flags() -> None:
    """Raises `InputError` for a flag that would do nothing."""
    idle = {"data": "--model", "checks": "--model"}
    if _MODEL.value:
        names = ["labels", "names", "logits", "validation", "validation_labels", "patient_column"]
        if not (_COMPARE.value or _SEEDS.value or _ANNOTATORS.value):
            names += ["partial", "by_position", "recording_column"]
        idle = dict.fromkeys(names, "--predictions; a model brings its data's labels and validation split")
    elif not _VALIDATION.value:
        idle["validation_labels"] = "--validation"
    elif _CHOOSE_ON_TEST.value:
        idle["validation"] = "thresholds that are chosen there, not with --choose_on_test"
    for name, partner in idle.items():
        if flags.FLAGS[name].present:
            raise InputError(f"--{name} goes with {partner}")


def _create_rules() -> Any:
    from ecg_jax.data import joins

    return joins.Rules(tuple(_RECORDING_COLUMN.value), _PATIENT_COLUMN.value, _PARTIAL.value, _BY_POSITION.value)


def _create_settings() -> settings_lib.Settings:
    return settings_lib.Settings(
        beta=_BETA.value,
        prevalence=_PREVALENCE.value,
        max_false_positive_rate=_MAX_FPR.value,
        interval=_INTERVAL.value,
        level=_LEVEL.value,
        resamples=_RESAMPLES.value,
        resampled=_RESAMPLED.value,
        legacy=_LEGACY.value,
        seed=_SEED.value,
    )


def _parse_range(texts: Sequence[str]) -> tuple[float, float]:
    try:
        low, high = (float(text) for text in texts)
    except ValueError:
        low, high = 1.0, 0.0
    if not 0 <= low < high < 1:
        raise InputError(f"--decision_range={','.join(texts)}: expected two thresholds from 0 to below 1, as 0.05,0.5")
    return low, high


def _open(console: Any) -> Any:
    """What is evaluated, as the flags say."""
    from ecg_jax.inference import evaluation_input

    if _MODEL.value:
        return _open_model(_MODEL.value, None, console)
    assert _PREDICTIONS.value is not None  # or --model is given
    opened = evaluation_input.open_file(
        _PREDICTIONS.value,
        labels=_LABELS.value,
        names=_NAMES.value,
        split=_SPLIT.value,
        logits=_LOGITS.value,
        validation=_VALIDATION.value,
        validation_labels=_VALIDATION_LABELS.value,
        calibration=_CALIBRATION.value,
        rules=_create_rules(),
    )
    for fact in opened.facts:
        console.print(fact)
    return opened


def _open_other(path: str, first: Any, console: Any) -> Any:
    """What it is compared with: another model on the same recordings, or another file of predictions of them."""
    from ecg_jax.inference import evaluation_input

    if not path.endswith((".csv", ".npy", ".npz")):
        if not os.path.exists(path):
            raise InputError(f"--compare={path}: no such file or folder")
        if not _MODEL.value:
            raise InputError(f"--compare={path}: a model needs --model, whose recordings it predicts; or pass a file")
        return _open_model(path, first, console)
    return evaluation_input.open_other_file(
        path, first, labels=_LABELS.value, logits=_LOGITS.value, split=_SPLIT.value, rules=_create_rules()
    )


def _align_seed(path: str, first: Any, console: Any) -> Any:
    """Another seed's probabilities of the recordings that are scored."""
    from ecg_jax.inference import evaluation_input

    rules = dataclasses.replace(_create_rules(), partial=True)  # what is missing is refused below
    one, other = evaluation_input.align(first, _open_other(path, first, console), rules)
    if len(one.predictions.ids) < len(first.predictions.ids):
        raise InputError(f"{path}: lacks {len(first.predictions.ids) - len(one.predictions.ids)} of the recordings")
    return other.predictions.ranking


def _open_model(path: str, first: Any, console: Any) -> Any:
    """A model's predictions of the data that the flags name, or of the first model's."""
    from rich.progress import track

    from ecg_jax import config as config_lib
    from ecg_jax.inference import evaluation_input
    from ecg_jax.inference.model import load_model
    from ecg_jax.runtime import run_folder
    from ecg_jax.training import elsewhere, run_data

    model = load_model(path)
    for note in model.notes:
        console.print(f"Model: {note}")
    config = config_lib.create_default()
    if os.path.isdir(path):
        config = config_lib.from_dict(run_folder.read_json(os.path.join(path, run_folder.CONFIG)))
    if first:
        dataset, is_own = first.dataset, False
    elif _DATA.value:
        dataset, is_own = elsewhere.open_data(_DATA.value, config, model.split, model.label_names, console)
    elif os.path.isdir(path):
        with elsewhere.explained(config.data.dataset):
            dataset, is_own = run_data.assign(config, run_data.open_dataset(config, path, console)), True
    else:
        raise InputError(f"{path}: a Keras file brings no data; pass --data=STORE or --data=NAME:DIR")
    for note in () if first else dataset.notes:
        console.print(f"  {note}")

    def progress(made: Any, total: int) -> Any:
        return track(made, "predicting", total, console=console, disable=not console.is_terminal)

    return evaluation_input.predict_model(
        path,
        model,
        dataset,
        split=_SPLIT.value,
        is_own=is_own,
        needs_validation=bool(_RULE.value or _CALIBRATION.value or not model.thresholds) and not _CHOOSE_ON_TEST.value,
        calibration=_CALIBRATION.value,
        checks=_CHECKS.value,
        progress=progress,
    )


def _choose_subgroups(attributes: Any) -> list[str]:
    wanted = _SUBGROUPS.value
    if wanted is None:
        return list(attributes)
    if wanted in ([], ["none"]):
        return []
    if missing := [name for name in wanted if name not in attributes]:
        raise InputError(f"--subgroups: no column {', '.join(missing)}; there are: {', '.join(attributes) or 'none'}")
    return wanted


def _find_thresholds(each: Any, settings: settings_lib.Settings) -> thresholds_lib.Thresholds:
    from ecg_jax.evaluation import analysis
    from ecg_jax.inference import evaluation_input

    if _THRESHOLDS.value:
        if _RULE.value or _CHOOSE_ON_TEST.value:
            raise InputError(
                "--thresholds are given, and --rule or --choose_on_test would choose them; pass one of both"
            )
        return evaluation_input.parse_thresholds(_THRESHOLDS.value, each.predictions.names)
    if each.thresholds is not None and not _RULE.value and not _CHOOSE_ON_TEST.value:
        return each.thresholds
    return analysis.choose_thresholds(
        each.predictions, each.validation, _RULE.value or "max_f1", settings, on_test=_CHOOSE_ON_TEST.value
    )


if __name__ == "__main__":
    cli.run(main)
