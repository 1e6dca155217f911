"""Evaluates a model, or a file of predictions: scores with intervals, calibration, subgroups, figures, one page.

  python -m ecg_jax.evaluate --model=runs/finetune --output=evaluation
  python -m ecg_jax.evaluate --model=runs/finetune --data=stores/ptbxl --output=evaluation
  python -m ecg_jax.evaluate --predictions=probabilities.csv --labels=gold.csv --output=evaluation
  python -m ecg_jax.evaluate --predictions=ages.csv --labels=gold.csv --numbers --output=evaluation
  python -m ecg_jax.evaluate --model=runs/a --compare=runs/b --output=evaluation

--model is a run folder, whose best checkpoint predicts the test split of its own data, or --split of --data: a
prepared store, NAME:DIR of a data set (ptbxl:DIR), or a path alone, which is read with the run's data settings.
Recordings of the run keep the run's split. With --data it may also be weights that ship, a Keras file, or the PyTorch
file of a published network (`python -m ecg_jax.models`). The labels are scored that model and data set share.

--predictions is what `predict` writes (CSV, JSON, Parquet or a folder of its parts), any CSV or Parquet with a column
of probabilities per label, an array (.npy, [recordings, labels]), or an archive that may hold truth and class names
too (.npz: y_true, y_pred, classes). --labels is a CSV with a column per label: 0, 1 or empty for unknown. A run's
predictions.csv needs no --labels. Both are joined by name (a column `recording`, `path`, `id`, `exam_id`, ..., or
--recording_column), where folders, suffixes and leading zeros may differ. Files that name nothing, as .npy, are joined
line by line, and only with --by_position. Other columns of --labels make subgroups (age, sex, ...; those of 0 and 1,
which may be labels, only where --subgroups names them), and `patient_id` (`subject_id`, ..., or --patient_column) keeps
a patient's recordings together in the bootstrap. With --numbers the columns are quantities, as age in years: errors,
agreement and calibration are scored.

Thresholds are not chosen on the recordings that are scored. Those of a run were chosen on its validation split. Those
for a prediction file are chosen on --validation, or are the model's, where the file has them (JSON and Parquet of
`predict`; whether they were chosen on these recordings is then unknown, and a warning says so), or else each
recording's are chosen on the other parts of the file (cross-fitted). --choose_on_test chooses them on the scored
recordings all the same; every output then says so.

A run on its own data has a floor beside it: a regression on intervals and voltages of training recordings
(--nofloor leaves it out). Measuring takes a second for about a hundred ECGs on two CPU cores; the run folder keeps the
result. --measure makes subgroups of the intervals (PR of 180 to 220 ms, ...).

Writes report.html, which needs no other file and no network; scores, confusion, calibration, ... as .csv, .json and
.tex; figures as .pdf and .png; not_scored.csv, if some recordings are not. Exit status: 0; 2 if some could not be
read or were refused and the others are scored; 1 where something is wrong with the input, and then nothing is written.
"""

import dataclasses
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from absl import flags

from ecg_jax import cli, files
from ecg_jax.errors import InputError
from ecg_jax.evaluation import settings as settings_lib
from ecg_jax.evaluation import thresholds as thresholds_lib
from ecg_jax.kinds import FINDING, NUMBER
from ecg_jax.recording import CHECKS

if TYPE_CHECKING:
    import numpy as np
    from rich.console import Console

    from ecg_jax.data import joins
    from ecg_jax.data.datasets.dataset import Dataset
    from ecg_jax.inference import evaluated_files
    from ecg_jax.inference import floor as floor_lib
    from ecg_jax.inference.evaluated import Evaluated
    from ecg_jax.inference.model import Model

FLAGS = flags.FLAGS
_OF_FINDINGS = (
    *("rule", "thresholds", "choose_on_test", "validation", "validation_labels", "calibration", "logits", "beta"),
    *("prevalence", "max_false_positive_rate", "annotators", "seeds", "decision_range", "challenge_weights"),
    *("challenge_normal", "legacy"),
)
flags.DEFINE_string("model", None, "A run folder, weights that ship, a Keras file, or a published PyTorch file.")
flags.DEFINE_string(
    "data", None, "A place of data like the run's, a prepared store, or NAME:DIR of a data set; default the run's own."
)
flags.DEFINE_enum(
    "split", None, ("train", "validation", "test", "all"), "Recordings to score; default test, or all where none is."
)
flags.DEFINE_string(
    "predictions", None, "A CSV, JSON, Parquet, .npy or .npz of probabilities or numbers, in place of --model."
)
flags.DEFINE_string("labels", None, "A CSV of labels 0, 1 or empty (or true numbers), for --predictions.")
flags.DEFINE_list("names", [], "Labels to score: columns of a CSV, or those of an array in their order.")
flags.DEFINE_bool("logits", False, "The numbers in --predictions (and others) are logits.")
flags.DEFINE_bool("numbers", False, "Those in --predictions (and --compare) are quantities, as age in years.")
flags.DEFINE_bool("partial", False, "Score the recordings that both files have, and leave out the others.")
flags.DEFINE_bool("by_position", False, "Join files that name no recordings line by line; without it they are refused.")
flags.DEFINE_list(
    "recording_column", [], "Columns that name recordings, in each file those it has; default recording, path, id, ..."
)
flags.DEFINE_string("patient_column", "", "The column that names patients; default patient_id, subject_id, ...")
flags.DEFINE_string("compare", None, "Another run folder, Keras file or prediction file to compare with.")
flags.DEFINE_string("output", "evaluation", "The folder to write.")
flags.DEFINE_string("validation", None, "Predictions of other recordings, to choose thresholds on.")
flags.DEFINE_string("validation_labels", None, "Their labels; default --labels.")
flags.DEFINE_string("rule", None, f"What chooses thresholds: {thresholds_lib.RULES}; default max_f1.")
flags.DEFINE_list("thresholds", [], "Thresholds that are given, as LABEL=0.3, separated by commas.")
flags.DEFINE_bool(
    "choose_on_test", False, "Choose thresholds on the recordings that are scored; every output then says so."
)
flags.DEFINE_enum(
    "calibration",
    None,
    settings_lib.CALIBRATIONS,
    "Recalibrate, as fitted on --validation or the model's validation split.",
)
flags.DEFINE_enum("checks", "refuse", CHECKS, "When physics contradicts a recording.")
flags.DEFINE_enum("interval", "auto", settings_lib.INTERVALS, "Kind of interval; auto suits few positives.")
flags.DEFINE_float("level", 0.95, "Of the intervals.")
flags.DEFINE_integer("resamples", 1000, "Of the bootstrap; 0 leaves intervals out.", lower_bound=0)
flags.DEFINE_enum(
    "resampled", "auto", settings_lib.RESAMPLED, "What is drawn; auto: patients where they are known, else recordings."
)
flags.DEFINE_bool("legacy", False, "Resamples and intervals as the script of Ribeiro et al. 2020 (seed 123).")
flags.DEFINE_integer("seed", 0, "Of the resamples, and of the parts of a cross-fit.", lower_bound=0)
flags.DEFINE_float("beta", 1.0, "Adds F-beta: above 1, recall counts more than precision.")
flags.DEFINE_float("prevalence", None, "Adds predictive values where the labels have this prevalence.")
flags.DEFINE_float("max_false_positive_rate", 0.1, "Where the partial AUROC ends.")
flags.DEFINE_list("subgroups", None, "Columns that make subgroups; default all but those of 0 and 1; `none` for none.")
flags.DEFINE_bool(
    "floor",
    None,
    "Compare with a regression on intervals and voltages of the data's training split; default where these are "
    "measured, or the data is the run's own.",
)
flags.DEFINE_bool("measure", False, "Measure intervals of the scored recordings: columns that make subgroups.")
flags.DEFINE_list("annotators", [], "CSVs of other readers' labels: kappa, McNemar, points in the figures.")
flags.DEFINE_list("decision_range", ["0.01", "0.99"], "Thresholds of the decision curves.")
flags.DEFINE_list("seeds", [], "Predictions of networks trained from other seeds: a band in the figures.")
flags.DEFINE_string("challenge_weights", None, "CSV of weights: adds the PhysioNet Challenge 2021 score.")
flags.DEFINE_string("challenge_normal", "426783006", "Its class of sinus rhythm.")


def main(argv: Sequence[str]) -> int:
    """Evaluates; see the module's docstring."""
    cli.refuse_arguments(argv)
    if bool(FLAGS.model) == bool(FLAGS.predictions):
        raise InputError("pass either --model=RUN or --predictions=FILE; --help shows how")
    cli.require_folder(FLAGS.output)
    refuse_flags_of_findings(is_number=FLAGS.numbers)
    _refuse_idle_flags()
    cli.require_files(FLAGS.predictions, FLAGS.labels, FLAGS.validation, FLAGS.validation_labels, *FLAGS.annotators)
    settings, decision_range = _create_settings(), _parse_range(FLAGS.decision_range)
    if FLAGS.rule:
        thresholds_lib.parse_rule(FLAGS.rule)

    from ecg_jax.data.store import is_store
    from ecg_jax.inference import evaluated, label_files, scoring

    if is_store(FLAGS.output):
        raise InputError(f"--output={FLAGS.output}: is a prepared store, whose report would be replaced; name another")
    files.refuse_overwriting(scoring.list_files(FLAGS.output), _list_inputs())
    console, rules = cli.create_console(), _create_rules()
    first = _open(console)
    second = _open_other(FLAGS.compare, first, console) if FLAGS.compare else None
    if second:
        first, second = evaluated.align(*evaluated.share_labels(first, second), rules)
    first, floor = _measure(first, console)
    extras = scoring.Extras(
        floor=floor,
        subgroups=() if FLAGS.subgroups == ["none"] else FLAGS.subgroups,
        annotators=label_files.read_annotators(FLAGS.annotators, first, rules),
        seeds=[_align_seed(path, first, console) for path in FLAGS.seeds],
        decision_range=decision_range,
        challenge=(FLAGS.challenge_weights, FLAGS.challenge_normal) if FLAGS.challenge_weights else None,
    )
    if first.predictions.kind == FINDING:
        first, second = _choose_thresholds(first, second, settings)
    written = scoring.evaluate(first, settings, FLAGS.output, console, command="evaluate", second=second, extras=extras)
    console.print(f"Written: {len(written)} files in {FLAGS.output}; look at {written[-1]}")
    is_whole = not any(lost.is_broken for each in (first, second) if each for lost in each.left_out)
    return 0 if is_whole else 2


def _list_inputs() -> list[str]:
    """Files that flags name."""
    single = ("model", "data", "predictions", "labels", "compare", "validation", "validation_labels")
    named = [*(FLAGS[name].value for name in (*single, "challenge_weights")), *FLAGS.annotators, *FLAGS.seeds]
    return [path.rpartition(":")[2] for path in named if path]


def _measure(first: "Evaluated", console: "Console") -> tuple["Evaluated", "floor_lib.Floor | None"]:
    """With intervals that make subgroups, and the measurement floor, as the flags say."""
    from ecg_jax.inference import floor as floor_lib

    if first.dataset is None:
        return first, None
    source = floor_lib.Source(first.dataset, FLAGS.checks, first.cache, console)
    if FLAGS.measure and not source.is_stored:  # else they are attributes already
        first = dataclasses.replace(first, predictions=floor_lib.add_intervals(source, first.predictions))
    usual = source.is_stored or first.cache is not None
    is_wanted = usual if FLAGS.floor is None else FLAGS.floor
    return first, floor_lib.create(source, first.predictions, seed=FLAGS.seed) if is_wanted else None


def _choose_thresholds(
    first: "Evaluated", second: "Evaluated | None", settings: settings_lib.Settings
) -> tuple["Evaluated", "Evaluated | None"]:
    """Both with thresholds, as the flags say."""
    from ecg_jax.inference import evaluated

    if second and not FLAGS.choose_on_test and not FLAGS.thresholds:
        first, second = evaluated.drop_unpaired_thresholds(first, second)
    how = {"given": FLAGS.thresholds, "rule": FLAGS.rule, "on_test": FLAGS.choose_on_test}
    return first.choose_thresholds(settings, **how), second and second.choose_thresholds(settings, **how)


def _refuse_idle_flags() -> None:
    """Raises `InputError` for a flag that would do nothing."""
    idle = dict.fromkeys(("data", "checks", "floor", "measure"), "--model")
    if FLAGS.model:
        names = ["labels", "names", "logits", "numbers", "validation", "validation_labels", "patient_column"]
        if not (FLAGS.compare or FLAGS.seeds or FLAGS.annotators):
            names += ["partial", "by_position", "recording_column"]
        idle = dict.fromkeys(names, "--predictions; a model brings its data's labels and validation split")
    elif not FLAGS.validation:
        idle["validation_labels"] = "--validation"
    elif FLAGS.choose_on_test:
        idle["validation"] = "thresholds that are chosen there, not with --choose_on_test"
    cli.refuse_flags(idle)
    if FLAGS.thresholds and (FLAGS.rule or FLAGS.choose_on_test):
        raise InputError("--thresholds are given, and --rule or --choose_on_test would choose them; pass one of both")


def refuse_flags_of_findings(*, is_number: bool) -> None:
    """Raises `InputError` for a flag that means nothing where the predictions are numbers."""
    if not is_number:
        return
    if present := [name for name in _OF_FINDINGS if FLAGS[name].present]:
        named = ", ".join(f"--{name}" for name in present)
        raise InputError(
            f"{named}: for findings and their probabilities, but these predictions are numbers; leave it out"
        )
    if FLAGS.resampled == "stratified":
        raise InputError(
            "--resampled=stratified is by findings, but these predictions are numbers; draw recordings or patients"
        )


def _create_settings() -> settings_lib.Settings:
    names = [field.name for field in dataclasses.fields(settings_lib.Settings)]
    return settings_lib.Settings(**{name: getattr(FLAGS, name) for name in names if name in FLAGS})


def _parse_range(texts: Sequence[str]) -> tuple[float, float]:
    try:
        low, high = (float(text) for text in texts)
    except ValueError:
        low, high = 1.0, 0.0
    if not 0 <= low < high < 1:
        raise InputError(f"--decision_range={','.join(texts)}: expected two thresholds from 0 to below 1, as 0.05,0.5")
    return low, high


def _create_rules() -> "joins.Rules":
    from ecg_jax.data import joins

    return joins.Rules(tuple(FLAGS.recording_column), FLAGS.patient_column, FLAGS.partial, FLAGS.by_position)


def _open(console: "Console") -> "Evaluated":
    """What is evaluated, as the flags say."""
    from ecg_jax.inference import evaluated_files

    if FLAGS.model:
        return _open_model(FLAGS.model, None, console)
    files = dataclasses.replace(
        _create_files(FLAGS.predictions, FLAGS.numbers),
        validation=FLAGS.validation,
        validation_labels=FLAGS.validation_labels,
    )
    opened = evaluated_files.open_file(files, FLAGS.calibration)
    for fact in opened.facts:
        console.print(fact)
    return opened


def _create_files(path: str, is_number: bool) -> "evaluated_files.Files":
    from ecg_jax.data.prediction_values import LOGITS, NUMBERS, PROBABILITIES
    from ecg_jax.inference import evaluated_files

    scale = NUMBERS if is_number else LOGITS if FLAGS.logits else PROBABILITIES
    return evaluated_files.Files(path, FLAGS.labels, FLAGS.names, FLAGS.split, scale, _create_rules())


def _open_other(path: str, first: "Evaluated", console: "Console") -> "Evaluated":
    """What it is compared with: another model on the same recordings, or another file of predictions of them."""
    from ecg_jax.data import prediction_files
    from ecg_jax.inference import evaluated_files

    if prediction_files.is_file(path):
        files = _create_files(path, first.predictions.kind == NUMBER)
        return evaluated_files.open_other_file(files, first)
    from ecg_jax import pretrained
    from ecg_jax.models.imports import published

    if path not in pretrained.FILES and not os.path.exists(published.split_name(path)[1]):
        raise InputError(f"--compare={path}: no such file or folder")
    if not FLAGS.model:
        raise InputError(f"--compare={path}: a model needs --model, whose recordings it predicts; or pass a file")
    return _open_model(path, first.dataset, console)


def _align_seed(path: str, first: "Evaluated", console: "Console") -> "np.ndarray":
    """Another seed's probabilities of the recordings that are scored."""
    from ecg_jax.inference import evaluated

    rules = dataclasses.replace(_create_rules(), partial=True)  # what is missing is refused below
    one, other = evaluated.align(first, _open_other(path, first, console), rules)
    if len(one.predictions.ids) < len(first.predictions.ids):
        raise InputError(f"{path}: lacks {len(first.predictions.ids) - len(one.predictions.ids)} of the recordings")
    return other.predictions.ranking


def _open_model(path: str, dataset: "Dataset | None", console: "Console") -> "Evaluated":
    """A model's predictions of a data set, or if None of the one that the flags name."""
    from ecg_jax.inference import evaluated_model
    from ecg_jax.inference.model import load_model
    from ecg_jax.training import elsewhere

    model, is_own = load_model(path), False
    refuse_flags_of_findings(is_number=model.kind == NUMBER)
    for note in model.notes:
        console.print(f"Model: {note}")
    if dataset is None:
        dataset, is_own = elsewhere.open_for_model(path, model, FLAGS.data, console)
        for note in dataset.notes:
            console.print(f"  {note}")
    else:
        dataset = evaluated_model.share_labels(model, dataset)
    return evaluated_model.predict_model(
        path,
        model,
        dataset,
        split=FLAGS.split,
        is_own=is_own,
        needs_validation=_needs_validation(model),
        checks=FLAGS.checks,
        console=console,
    ).recalibrate(FLAGS.calibration)


def _needs_validation(model: "Model") -> bool:
    """Whether thresholds or a calibration are to be found on other recordings."""
    has_own = bool(model.thresholds) and not FLAGS.rule and not FLAGS.calibration
    return model.kind == FINDING and not has_own and not FLAGS.choose_on_test


if __name__ == "__main__":
    cli.run(main)
