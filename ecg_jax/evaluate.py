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
import functools
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from absl import flags

from ecg_jax import cli
from ecg_jax.errors import InputError
from ecg_jax.evaluation import settings as settings_lib
from ecg_jax.evaluation import thresholds as thresholds_lib
from ecg_jax.recording import CHECKS

if TYPE_CHECKING:
    import numpy as np
    from rich.console import Console

    from ecg_jax.data import joins
    from ecg_jax.data.datasets.dataset import Dataset
    from ecg_jax.inference import evaluated_files
    from ecg_jax.inference.evaluated import Evaluated

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

    from ecg_jax.data import label_files
    from ecg_jax.inference import evaluated, scoring

    console, rules = cli.create_console(), _create_rules()
    first = _open(console)
    second = _open_other(_COMPARE.value, first, console) if _COMPARE.value else None
    if second:
        first, second = evaluated.align(first, second, rules)
        if not _CHOOSE_ON_TEST.value and not _THRESHOLDS.value:
            first, second = evaluated.drop_unpaired_thresholds(first, second)
    choose = functools.partial(
        evaluated.Evaluated.choose_thresholds,
        settings=settings,
        given=_THRESHOLDS.value,
        rule=_RULE.value,
        on_test=_CHOOSE_ON_TEST.value,
    )
    extras = scoring.Extras(
        subgroups=() if _SUBGROUPS.value == ["none"] else _SUBGROUPS.value,
        annotators=label_files.read_annotators(_ANNOTATORS.value, first.predictions, first.side, rules),
        seeds=[_align_seed(path, first, console) for path in _SEEDS.value],
        decision_range=decision_range,
        challenge=(_CHALLENGE.value, _NORMAL.value) if _CHALLENGE.value else None,
    )
    written = scoring.evaluate(
        choose(first),
        settings,
        _OUTPUT.value,
        console,
        command="evaluate",
        second=choose(second) if second else None,
        extras=extras,
    )
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
    if _THRESHOLDS.value and (_RULE.value or _CHOOSE_ON_TEST.value):
        raise InputError("--thresholds are given, and --rule or --choose_on_test would choose them; pass one of both")


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


def _create_rules() -> "joins.Rules":
    from ecg_jax.data import joins

    return joins.Rules(tuple(_RECORDING_COLUMN.value), _PATIENT_COLUMN.value, _PARTIAL.value, _BY_POSITION.value)


def _create_files(path: str) -> "evaluated_files.Files":
    """A file of predictions, read as the flags say."""
    from ecg_jax.inference import evaluated_files

    return evaluated_files.Files(path, _LABELS.value, _NAMES.value, _SPLIT.value, _LOGITS.value, _create_rules())


def _open(console: "Console") -> "Evaluated":
    """What is evaluated, as the flags say."""
    from ecg_jax.inference import evaluated_files

    if _MODEL.value:
        return _open_model(_MODEL.value, None, console)
    assert _PREDICTIONS.value is not None  # or --model is given
    files = dataclasses.replace(
        _create_files(_PREDICTIONS.value), validation=_VALIDATION.value, validation_labels=_VALIDATION_LABELS.value
    )
    opened = evaluated_files.open_file(files, _CALIBRATION.value)
    for fact in opened.facts:
        console.print(fact)
    return opened


def _open_other(path: str, first: "Evaluated", console: "Console") -> "Evaluated":
    """What it is compared with: another model on the same recordings, or another file of predictions of them."""
    from ecg_jax.inference import evaluated_files

    if path.endswith((".csv", ".npy", ".npz")):
        return evaluated_files.open_other_file(_create_files(path), first)
    if not os.path.exists(path):
        raise InputError(f"--compare={path}: no such file or folder")
    if not _MODEL.value:
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
    for note in model.notes:
        console.print(f"Model: {note}")
    if dataset is None:
        dataset, is_own = elsewhere.open_for_model(path, model, _DATA.value, console)
        for note in dataset.notes:
            console.print(f"  {note}")
    choices = evaluated_model.Choices(
        split=_SPLIT.value,
        needs_validation=bool(_RULE.value or _CALIBRATION.value or not model.thresholds) and not _CHOOSE_ON_TEST.value,
        calibration=_CALIBRATION.value,
        checks=_CHECKS.value,
    )
    return evaluated_model.predict_model(path, model, dataset, choices, is_own=is_own, console=console)


if __name__ == "__main__":
    cli.run(main)
