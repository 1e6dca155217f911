"""Every table and figure of Ribeiro et al. 2020 from the stored predictions, and beside each what is free of leaks.

  python experiments/ribeiro2020_tables.py --data=DIR --output=ribeiro2020

Nat Commun 11:1760, doi 10.1038/s41467-020-15432-4. DIR holds `annotations/` (seven CSVs of 827
exams) and `dnn_predicts/` (probabilities `[827, 6]` of the headline model, ten seeds and three
other splits), as https://doi.org/10.5281/zenodo.3765780 and
https://github.com/antonior92/automatic-ecg-diagnosis have them. Writes, in the published layout
and precision, scores.csv, confusion_matrices.csv, kappa.csv, kappas_annotators_and_dnn.csv,
mcnemar.csv, bootstrap_percentiles.csv and bootstrap_percentiles_other_splits.csv; beside each
the same with `_leak_free` in its name; scores_of_all_seeds.csv; the figures (.pdf and .png); and
index.html, which shows and explains them.

The published network is the seed with the 6th-lowest micro average precision on the test set, and
its thresholds maximize F1 on the test set: both choices have seen what they are judged on. The
leak-free variants choose each exam's threshold on other exams (ten parts, cross-fitted), and
average ten seeds instead of choosing one.

Every published cell is reproduced (tests/ribeiro2020_tables_test.py). `experiments/evaluation_speed.py`
measures how long it takes.
"""

import argparse
import dataclasses
import datetime
import functools
import multiprocessing
import os
import shlex
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pandas as pd
from sklearn.metrics import precision_recall_curve

from ecg_jax import labels as label_lib
from ecg_jax.data.datasets.table import read_table
from ecg_jax.errors import InputError
from ecg_jax.evaluation import agreement, analysis, closed_intervals, metrics, resampling, tally
from ecg_jax.evaluation.predictions import Predictions
from ecg_jax.evaluation.settings import Settings
from ecg_jax.evaluation.thresholds import Thresholds
from ecg_jax.reporting import curves, figures, html, predictor_figures, tables

DOWNLOAD = "download it from https://doi.org/10.5281/zenodo.3765780 and github.com/antonior92/automatic-ecg-diagnosis"
GOLD, CARDIOLOGISTS = "gold_standard", ("cardiologist1", "cardiologist2")
READERS = {"cardio.": "cardiology_residents", "emerg.": "emergency_residents", "stud.": "medical_students"}
SEEDS = tuple(f"other_seeds/model_{i}" for i in range(1, 11))
SPLITS = {"random": "model_normal_order", "by date": "model_date_order", "by patient": "model_individual_patients"}
SHOWN = {"Precision": "precision", "Recall": "recall", "Specificity": "specificity", "F1 score": "f1"}
RESAMPLES, LOWEST, HIGHEST = 1000, 25, 975  # places among sorted resamples, as the original script took them
DNN, SAID = "DNN", ["not present", "present"]


@dataclasses.dataclass(frozen=True)
class Data:
    """What the folder holds: readings `[827, 6]` in {1, 0} and probabilities `[827, 6]`, by name."""

    readings: Mapping[str, np.ndarray]
    probabilities: Mapping[str, np.ndarray]

    @property
    def truth(self) -> np.ndarray:
        """The gold standard."""
        return self.readings[GOLD]


def read_data(folder: str) -> Data:
    """Reads the published annotations and predictions.

    Raises:
        InputError: when something is missing or of another shape.
    """
    readings = {}
    for name in (GOLD, *CARDIOLOGISTS, *READERS.values()):
        path = os.path.join(folder, "annotations", f"{name}.csv")
        if not os.path.isfile(path):
            raise InputError(f"{path}: no such file; {DOWNLOAD}")
        table = read_table(path, label_lib.SIX)
        readings[name] = np.stack([label_lib.parse_column(table[label], path) for label in label_lib.SIX], axis=1)
    shape, probabilities = readings[GOLD].shape, {}
    others = (f"other_splits/{name}" for name in SPLITS.values())
    for name in ("model", *SEEDS, *others):
        path = os.path.join(folder, "dnn_predicts", f"{name}.npy")
        try:
            values = np.load(path, allow_pickle=False)
        except FileNotFoundError as error:
            raise InputError(f"{path}: no such file; {DOWNLOAD}") from error
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: not a NumPy array ({error}); {DOWNLOAD}") from error
        if values.shape != shape or not (
            np.issubdtype(values.dtype, np.floating) and np.all((values >= 0) & (values <= 1))
        ):
            raise InputError(f"{path}: {values.shape} {values.dtype}; expected probabilities {shape}, 0 to 1")
        probabilities[name] = values.astype(np.float64)
    if bad := [name for name, values in readings.items() if values.shape != shape or np.isnan(values).any()]:
        raise InputError(f"{folder}/annotations/{bad[0]}.csv: expected 0 or 1 in {shape[0]} rows, as {GOLD}.csv has")
    return Data(readings, probabilities)


def choose_seed(data: Data) -> str:
    """The network of Table 2: the 6th-lowest micro average precision of ten seeds, on the test set."""
    found = [metrics.compute_ranking(data.truth.reshape(-1), data.probabilities[name].reshape(-1))[1] for name in SEEDS]
    return SEEDS[np.argsort(found, kind="stable")[5]]


def call(data: Data, name: str, *, leak_free: bool) -> np.ndarray:
    """What a network calls, `[827, 6]` in {1, 0}: at thresholds of the test set itself, or cross-fitted ones."""
    return (data.probabilities[name] >= choose_thresholds(data, name, leak_free=leak_free).values).astype(np.float64)


def choose_thresholds(data: Data, name: str, *, leak_free: bool) -> Thresholds:
    """Thresholds of maximal F1, from the test set itself or cross-fitted on its other parts."""
    return analysis.choose_thresholds(create_predictions(data, name), None, "max_f1", Settings(), on_test=not leak_free)


def create_predictions(data: Data, name: str) -> Predictions:
    """A network's probabilities beside the gold standard."""
    ids = np.arange(len(data.truth)).astype(str)
    return Predictions(ids, label_lib.SIX, data.truth, data.probabilities[name])


def score(readings: Mapping[str, np.ndarray], truth: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Scores of several readers on any resamples.

    Args:
        readings: `[N, C]` in {1, 0} by reader.
        truth: `[N, C]` in {1, 0}.
        weights: `[N, R]`, how often each exam is in each resample.

    Returns:
        `[C, scores of SHOWN, R]` by reader.
    """
    present, called = truth > 0.5, np.stack([*readings.values()]) > 0.5
    outcomes = np.stack([present & called, ~present & called, present & ~called, ~present & ~called])
    hits, alarms, misses, rejections = np.moveaxis(outcomes, 2, -1).astype(np.float64) @ weights  # [readers, C, R]
    found = tally.compute_decisions(hits, alarms, misses, rejections, Settings())
    scores_of_all = np.stack([found[name] for name in SHOWN.values()], axis=2)
    return dict(zip(readings, scores_of_all, strict=True))


def tabulate_scores(readings: Mapping[str, np.ndarray], truth: np.ndarray) -> pd.DataFrame:
    """Table 2: labels by score and reader."""
    found = score(readings, truth, np.ones((len(truth), 1)))
    columns = {(title, reader): found[reader][:, j, 0] for j, title in enumerate(SHOWN) for reader in readings}
    return pd.DataFrame(columns, index=label_lib.SIX)


def tabulate_confusion(readings: Mapping[str, np.ndarray], truth: np.ndarray) -> pd.DataFrame:
    """Confusion matrices, labels by name as published."""
    order = sorted(range(len(label_lib.SIX)), key=lambda i: label_lib.SIX[i])
    counts = [
        np.concatenate([agreement.count_pairs(truth[:, i], calls[:, i]) for calls in readings.values()], axis=1)
        for i in order
    ]
    rows = pd.MultiIndex.from_product([[label_lib.SIX[i] for i in order], SAID], names=["diagnosis", "true label"])
    columns = pd.MultiIndex.from_product([[*readings], SAID], names=["predictor", "predicted label"])
    return pd.DataFrame(np.concatenate(counts), rows, columns)


def widen(table: pd.DataFrame, value: str) -> pd.DataFrame:
    """A table of readers by labels, as published, from rows of both."""
    wide = table.pivot(index="readers", columns="label", values=value)
    return wide.loc[table["readers"].unique(), [*label_lib.SIX]].rename_axis(index=None, columns=None)


def bootstrap(readings: Mapping[str, np.ndarray], truth: np.ndarray, *, legacy: bool) -> dict[str, np.ndarray]:
    """Scores of 1,000 resamples, `[6, 4, 1000]` by reader."""
    design = resampling.create_design(len(truth), legacy=legacy)

    def statistic(weights: np.ndarray) -> np.ndarray:
        return np.concatenate(
            [values.reshape(-1, weights.shape[1]) for values in score(readings, truth, weights).values()]
        )

    drawn = resampling.resample(statistic, design, RESAMPLES, seed=0)
    return dict(zip(readings, drawn.reshape(len(readings), len(label_lib.SIX), len(SHOWN), -1), strict=True))


def tabulate_percentiles(samples: Mapping[str, np.ndarray], shown: tuple[str, ...], first: str) -> pd.DataFrame:
    """Percentiles of the resamples, as published: the 26th and the 976th of the sorted, and the median."""
    rows = []
    for reader, values in samples.items():
        ordered = np.sort(values, axis=-1)
        for i, label in enumerate(label_lib.SIX):
            for j, title in enumerate(SHOWN):
                if title in shown:
                    cells = ordered[i, j]
                    rows.append([reader, label, title, cells[LOWEST], np.median(cells), cells[HIGHEST]])
    table = pd.DataFrame(rows, columns=[first, "diagnosis", "score", "p2.5", "median", "p97.5"])
    return table if len(shown) > 1 else table.drop(columns="score")


def tabulate_seeds(data: Data) -> pd.DataFrame:
    """F1 at cross-fitted thresholds, AUROC and average precision of every seed; their mean and standard deviation."""
    rows = []
    for name in SEEDS:
        calls = call(data, name, leak_free=True) > 0.5
        for i, label in enumerate(label_lib.SIX):
            truth = data.truth[:, i]
            sums = tally.create(truth, data.probabilities[name][:, i], calls[:, i])
            values = tally.compute_scores(sums, np.ones((len(truth), 1)), Settings())
            rows.append(
                [name.rsplit("_", 1)[1], label, *(values[key][0] for key in ("f1", "auroc", "average_precision"))]
            )
    table = pd.DataFrame(rows, columns=["seed", "label", "f1", "auroc", "average_precision"])
    grouped = table.drop(columns="seed").groupby("label", sort=False)
    parts = [
        table,
        *(part.reset_index().assign(seed=name) for name, part in (("mean", grouped.mean()), ("sd", grouped.std()))),
    ]
    return pd.concat(parts, ignore_index=True)


def tabulate_leak_free_intervals(readings: Mapping[str, np.ndarray], truth: np.ndarray) -> pd.DataFrame:
    """Scores with intervals that hold with few positives, one row per reader and label."""
    rows = []
    for reader, calls in readings.items():
        for i, label in enumerate(label_lib.SIX):
            counts = metrics.count_outcomes(truth[:, i], calls[:, i] > 0.5)
            hits, alarms, misses, rejections = counts
            values = tally.compute_decisions(hits, alarms, misses, rejections, Settings())
            ends = closed_intervals.compute_proportion_intervals(counts)
            row = {"predictor": reader, "diagnosis": label, "positives": int(truth[:, i].sum())}
            for name in SHOWN.values():
                row |= {name: values[name], f"{name}_low": ends[name][0], f"{name}_high": ends[name][1]}
            rows.append(row)
    return pd.DataFrame(rows)


def draw_curves(data: Data, nominal: str) -> figures.Figure:
    """The paper's precision-recall curves: nominal network, range of ten seeds, annotators."""
    grid = np.linspace(0, 1, 201)
    panels = []
    for i, label in enumerate(label_lib.SIX):
        truth = data.truth[:, i]
        seeds = np.stack([data.probabilities[name][:, i] for name in SEEDS])
        precision, recall, _ = precision_recall_curve(truth, data.probabilities[nominal][:, i])
        panels.append(
            curves.PrecisionRecall(
                label,
                recall,
                precision,
                metrics.compute_ranking(truth, data.probabilities[nominal][:, i])[1],
                float(truth.mean()),
                band=(grid, *metrics.compute_precision_range(truth > 0.5, seeds, grid)),
                chosen=_place(truth, call(data, nominal, leak_free=False)[:, i]),
                annotators={name: _place(truth, data.readings[file][:, i]) for name, file in READERS.items()},
            )
        )
    return curves.draw_precision_recall(panels)


def _place(truth: np.ndarray, calls: np.ndarray) -> tuple[float, float]:
    """Recall and precision."""
    hits, alarms, misses, _ = metrics.count_outcomes(truth, calls > 0.5)
    return float(hits / (hits + misses)), float(hits / max(hits + alarms, 1))


EXPLANATION = (
    "Ten networks were trained, alike but for their seeds. The published one has the 6th-lowest micro average "
    "precision on the test set, just above the median, and the six thresholds are those that maximize F1 on the test "
    "set itself. Both choices have seen the exams that they are judged on, so the published scores of the network are "
    "optimistic; those of the residents and students are not affected. The stored headline file, model.npy, is another "
    "seed.",
    "The leak-free tables take the same probabilities, but each exam's threshold is chosen on the nine tenths of the "
    "exams that it does not belong to (ten parts, labels about as frequent in each). No seed is chosen: scores of "
    "all ten are given, with mean and standard deviation; where one must stand for all, it is the published one.",
    "Intervals: the published ones are percentiles of 1,000 resamples drawn with numpy.random.seed(123). With few "
    "positives they are too narrow, and where a score is 1 they have no width. The leak-free tables have Wilson's "
    "intervals, for proportions and for F1. McNemar's test is published without continuity correction; beside it "
    "stands the exact test, adjusted for six labels by Holm's method.",
)


def write_all(data: Data, output: str, command: str) -> list[str]:
    """Computes and writes everything; returns the paths."""
    os.makedirs(output, exist_ok=True)
    nominal, truth, written = choose_seed(data), data.truth, []
    persons = {name: data.readings[file] for name, file in READERS.items()}
    published = {DNN: call(data, nominal, leak_free=False)} | persons
    free = {DNN: call(data, nominal, leak_free=True)} | persons

    def write(name: str, table: pd.DataFrame, digits: int, index: bool = True) -> pd.DataFrame:
        path = os.path.join(output, f"{name}.csv")
        table.to_csv(path, float_format=f"%.{digits}f", index=index)
        written.append(path)
        return table

    samples = bootstrap(published, truth, legacy=True)
    others = {}
    for leak_free in (False, True):
        calls = {title: call(data, f"other_splits/{name}", leak_free=leak_free) for title, name in SPLITS.items()}
        others[leak_free] = calls | {"original DNN": (free if leak_free else published)[DNN]}
    other_samples = bootstrap(others[False], truth, legacy=True)
    plans = plan_figures(data, nominal, published, samples, other_samples)
    pool = ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("fork"))  # drawing takes longest
    pictures = {name: pool.submit(draw, plan, os.path.join(output, f"figure_{name}")) for name, plan in plans.items()}
    shown = {}
    for readings, end in ((published, ""), (free, "_leak_free")):
        panel = {DNN: readings[DNN], "Cert. cardiol. 1": data.readings[CARDIOLOGISTS[0]]}
        panel["Certif. cardiol. 2"] = data.readings[CARDIOLOGISTS[1]]
        errors = agreement.compare_errors(readings, truth, label_lib.SIX)
        shown[f"scores{end}"] = write(f"scores{end}", tabulate_scores(readings, truth), 3)
        shown[f"confusion_matrices{end}"] = write(f"confusion_matrices{end}", tabulate_confusion(readings, truth), 3)
        kappas = agreement.compare_readers(readings, label_lib.SIX)
        shown[f"kappa{end}"] = write(f"kappa{end}", widen(kappas, "kappa"), 3)
        kappas = agreement.compare_readers(panel, label_lib.SIX)
        name = f"kappas_annotators_and_dnn{end}"
        shown[name] = write(name, widen(kappas, "kappa"), 3)
        shown[f"mcnemar{end}"] = write(f"mcnemar{end}", widen(errors, "p_holm" if end else "p_asymptotic"), 3)
    name = "bootstrap_percentiles"
    shown[name] = write(name, tabulate_percentiles(samples, tuple(SHOWN), "predictor"), 6, index=False)
    shown[f"{name}_leak_free"] = write(f"{name}_leak_free", tabulate_leak_free_intervals(free, truth), 6, index=False)
    name = "bootstrap_percentiles_other_splits"
    shown[name] = write(name, tabulate_percentiles(other_samples, ("F1 score",), "model"), 6, index=False)
    intervals = tabulate_leak_free_intervals(others[True], truth).rename(columns={"predictor": "model"})
    shown[f"{name}_leak_free"] = write(f"{name}_leak_free", intervals, 6, index=False)
    shown["scores_of_all_seeds"] = write("scores_of_all_seeds", tabulate_seeds(data), 6, index=False)

    drawn = {name: picture.result() for name, picture in pictures.items()}
    written += [path for _, paths in drawn.values() for path in paths]
    page = create_page(shown, {name: source for name, (source, _) in drawn.items()}, nominal, command)
    html.write_page(os.path.join(output, "index.html"), page)
    return [*written, os.path.join(output, "index.html")]


def plan_figures(
    data: Data,
    nominal: str,
    published: Mapping[str, np.ndarray],
    samples: Mapping[str, np.ndarray],
    other_samples: Mapping[str, np.ndarray],
) -> dict[str, Callable[[], figures.Figure]]:
    """What draws each figure, by name."""
    matrices = {
        label: {name: agreement.count_pairs(data.truth[:, i], calls[:, i]) for name, calls in published.items()}
        for i, label in enumerate(label_lib.SIX)
    }

    def plan_boxes(values: Mapping[str, np.ndarray], title: str) -> Callable[[], figures.Figure]:
        chosen = {name: each[:, [*SHOWN].index(title)] for name, each in values.items()}
        return functools.partial(predictor_figures.draw_bootstrap_boxes, chosen, label_lib.SIX, title)

    return {
        "precision_recall": functools.partial(draw_curves, data, nominal),
        "confusion_matrices": functools.partial(predictor_figures.draw_confusion, matrices),
        **{f"bootstrap_{key}": plan_boxes(samples, title) for title, key in SHOWN.items()},
        "bootstrap_f1_other_splits": plan_boxes(other_samples, "F1 score"),
    }


def draw(plan: Callable[[], figures.Figure], stem: str) -> tuple[str, list[str]]:
    """Draws a figure; returns its SVG as a data URI, and the files written."""
    figure = plan()
    return figures.encode(figure), figures.write(figure, stem)


CAPTIONS = {
    "scores": "Scores of the network, residents and students (Table 2).",
    "confusion_matrices": "Confusion matrices.",
    "kappa": "Cohen's kappa of every two readers.",
    "kappas_annotators_and_dnn": "Cohen's kappa of the network and the two certified cardiologists.",
    "mcnemar": "p values of McNemar's test that two readers err equally often.",
    "bootstrap_percentiles": "Scores with intervals.",
    "bootstrap_percentiles_other_splits": "F1 of networks trained on other splits, with intervals.",
    "scores_of_all_seeds": "All ten seeds at cross-fitted thresholds, their mean and standard deviation.",
}
FIGURES = {
    "precision_recall": "Precision and recall: published seed (line), range of ten seeds (band), residents, students.",
    "confusion_matrices": "Confusion matrices as published: counts, and per cent of each row.",
    **{
        f"bootstrap_{key}": f"{title}: 1,000 resamples. Boxes: quartiles; whiskers: 2.5 to 97.5 %."
        for title, key in SHOWN.items()
    },
    "bootstrap_f1_other_splits": "F1 of networks trained on other splits: 1,000 resamples.",
}


def create_page(shown: Mapping[str, pd.DataFrame], drawn: Mapping[str, str], nominal: str, command: str) -> html.Page:
    """The page that shows published and leak-free tables side by side."""
    end = "_leak_free"

    def table(name: str) -> tables.Table:
        frame = shown[name].copy()
        if not isinstance(frame.index, pd.RangeIndex):
            frame.columns = [" ".join(column) if isinstance(column, tuple) else column for column in frame.columns]
            names = [each or "" for each in frame.index.names]
            frame = frame.reset_index(names=[each or "diagnosis or readers" for each in names])
        return tables.Table(
            name, CAPTIONS[name.removesuffix(end)] + (" Leak-free." if name.endswith(end) else ""), frame
        )

    sections = [html.Section("What is published, and what is free of leaks", EXPLANATION)]
    for name in CAPTIONS:
        both = [table(each) for each in (name, f"{name}{end}") if each in shown]
        sections.append(html.Section(CAPTIONS[name].split(" (")[0].rstrip("."), (), both))
    pictures = [html.Figure(f"figure_{name}", FIGURES[name], source) for name, source in drawn.items()]
    sections.append(html.Section("Figures, as published", (), (), pictures))
    seeds = shown["scores_of_all_seeds"]
    mean = seeds[seeds["seed"] == "mean"]["f1"].mean()
    return html.Page(
        title="Automatic diagnosis of the 12-lead ECG: the published tables, and leak-free ones",
        subtitle="Ribeiro et al. 2020, Nat Commun 11:1760",
        command=command,
        date=datetime.date.today().isoformat(),
        key=[
            (f"{shown['scores'][('F1 score', DNN)].mean():.3f}", "macro F1 as published"),
            (
                f"{shown['scores_leak_free'][('F1 score', DNN)].mean():.3f}",
                f"the same network ({os.path.basename(nominal)}), leak-free",
            ),
            (f"{mean:.3f}", "mean of ten seeds, leak-free"),
        ],
        stamps=[
            "Tables without the word leak-free have thresholds, and a seed, that were chosen on the test set itself"
        ],
        sections=sections,
    )


def main() -> None:
    """Reads, computes, writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="Folder with annotations/ and dnn_predicts/.")
    parser.add_argument("--output", default="ribeiro2020", help="Folder to write.")
    flags = parser.parse_args()
    try:
        data = read_data(flags.data)
    except InputError as error:
        sys.exit(f"error: {' '.join(str(error).split())}")
    written = write_all(data, flags.output, f"python {shlex.join(sys.argv)}")
    print(f"Written: {', '.join(written)}")


if __name__ == "__main__":
    main()
