"""The published tables, cell by cell, from the stored predictions; and the same script on a small made study."""

import importlib.util
import itertools
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import (
    average_precision_score,
    cohen_kappa_score,
    precision_recall_curve,
    precision_recall_fscore_support,
)

from ecg_jax.evaluation import scores
from ecg_jax.evaluation.predictions import Predictions
from ecg_jax.evaluation.settings import Settings
from ecg_jax.evaluation.thresholds import GIVEN, Thresholds
from ecg_jax.labels import SIX

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "experiments" / "ribeiro2020_tables.py"
PUBLISHED = {  # ours: theirs
    "scores.csv": "scores.csv",
    "confusion_matrices.csv": "confusion matrices.csv",
    "kappa.csv": "kappa.csv",
    "kappas_annotators_and_dnn.csv": "kappas_annotators_and_DNN.csv",
    "mcnemar.csv": "mcnemar.csv",
    "bootstrap_percentiles.csv": "bootstrap_percentiles.csv",
    "bootstrap_percentiles_other_splits.csv": "bootstrap_percentiles_other_splits_f1.csv",
}
SCORES = ("Precision", "Recall", "Specificity")
FIGURES = [
    "precision_recall",
    "confusion_matrices",
    *(f"bootstrap_{name}" for name in ("precision", "recall", "specificity", "f1", "f1_other_splits")),
]
READERS = {"cardio.": "cardiology_residents", "emerg.": "emergency_residents", "stud.": "medical_students"}


def run(data: Path, output: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), f"--data={data}", f"--output={output}"]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def published(shared, tmp_path_factory) -> tuple[Path, Path]:
    output = tmp_path_factory.mktemp("tables") / "ribeiro2020"
    done = run(shared / "data" / "ribeiro2020", output)
    assert done.returncode == 0, done.stderr
    return output, shared / "data" / "ribeiro2020" / "published_tables"


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLISHED)
def test_every_published_cell_is_ours(published, name):
    ours, theirs = (folder / file for folder, file in zip(published, (name, PUBLISHED[name]), strict=True))
    assert ours.read_text() == theirs.read_text()


def test_the_legacy_option_gives_the_published_intervals(shared):
    """As `python -m ecg_jax.evaluate --legacy` computes them, of the published network at its thresholds."""
    folder = shared / "data" / "ribeiro2020"
    truth = pd.read_csv(folder / "annotations" / "gold_standard.csv")[[*SIX]].to_numpy(float)
    probabilities = np.load(folder / "dnn_predicts" / "other_seeds" / "model_1.npy").astype(float)
    predictions = Predictions(np.arange(len(truth)).astype(str), SIX, truth, probabilities)
    given = Thresholds(np.array([0.124, 0.07, 0.05, 0.278, 0.390, 0.174]), "", GIVEN)
    table = scores.compute(predictions, given, Settings(legacy=True)).table.set_index("label")
    published = pd.read_csv(folder / "published_tables" / "bootstrap_percentiles.csv").set_index(
        ["predictor", "score", "diagnosis"]
    )
    names = {"Precision": "precision", "Recall": "recall", "Specificity": "specificity", "F1 score": "f1"}
    for title, name in names.items():
        expected = published.loc[("DNN", title)].loc[[*SIX]]
        np.testing.assert_allclose(table.loc[[*SIX], f"{name}_low"], expected["p2.5"], atol=5.1e-7)
        np.testing.assert_allclose(table.loc[[*SIX], f"{name}_high"], expected["p97.5"], atol=5.1e-7)


@pytest.mark.slow
def test_thresholds_of_the_test_set_flatter_the_network(published):
    f1 = {
        end: pd.read_csv(published[0] / f"scores{end}.csv", header=[0, 1], index_col=0)["F1 score"]
        for end in ("", "_leak_free")
    }
    assert (f1["_leak_free"]["DNN"] <= f1[""]["DNN"]).all()
    assert (f1["_leak_free"]["DNN"] < f1[""]["DNN"]).sum() >= 3
    pd.testing.assert_frame_equal(f1["_leak_free"].drop(columns="DNN"), f1[""].drop(columns="DNN"))


def show(score: float, low: float, high: float) -> str:
    return f"{score:.3f} ({low:.3f}-{high:.3f})"


@pytest.mark.slow
def test_the_page_of_the_documentation_has_these_numbers(published):
    page = (ROOT / "docs" / "ribeiro2020.md").read_text()
    ends = pd.read_csv(published[0] / "bootstrap_percentiles.csv").set_index(["predictor", "score", "diagnosis"])
    free = pd.read_csv(published[0] / "bootstrap_percentiles_leak_free.csv").set_index(["predictor", "diagnosis"])
    seeds = pd.read_csv(published[0] / "scores_of_all_seeds.csv").set_index(["seed", "label"])["f1"]
    old, new = (
        pd.read_csv(published[0] / f"scores{end}.csv", header=[0, 1], index_col=0) for end in ("", "_leak_free")
    )
    for label in SIX:
        f1, rest = re.findall(rf"^\| {label} \| (.*) \|$", page, re.MULTILINE)
        readers = [show(*free.loc[(name, label), ["f1", "f1_low", "f1_high"]]) for name in old["F1 score"]]
        network = show(old.loc[label, ("F1 score", "DNN")], *ends.loc[("DNN", "F1 score", label), ["p2.5", "p97.5"]])
        spread = f"{seeds['mean', label]:.3f} ({seeds['sd', label]:.3f})"
        positives = str(free.loc[("DNN", label), "positives"])
        assert f1.split(" | ") == [positives, network, readers[0], spread, *readers[1:]]
        both = [f"{old.loc[label, (name, 'DNN')]:.3f}; {new.loc[label, (name, 'DNN')]:.3f}" for name in SCORES]
        assert rest.split(" | ") == both


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    """120 exams in the published layout: readers who err at random, networks of some skill."""
    folder = tmp_path_factory.mktemp("study")
    rng = np.random.default_rng(0)
    gold = (rng.random((120, 6)) < 0.2).astype(int)
    (folder / "annotations").mkdir()
    for name in ("gold_standard", "cardiologist1", "cardiologist2", *READERS.values()):
        wrong = rng.random(gold.shape) < (0 if name == "gold_standard" else 0.08)
        table = pd.DataFrame(np.where(wrong, 1 - gold, gold), columns=SIX)
        table.to_csv(folder / "annotations" / f"{name}.csv", index=False)
    for part in ("other_seeds", "other_splits"):
        (folder / "dnn_predicts" / part).mkdir(parents=True)
    splits = ("model_normal_order", "model_date_order", "model_individual_patients")
    names = ["model", *(f"other_seeds/model_{i}" for i in range(1, 11)), *(f"other_splits/{name}" for name in splits)]
    for name in names:
        logit = 3 * gold - 2 + rng.normal(size=gold.shape)
        np.save(folder / "dnn_predicts" / f"{name}.npy", (1 / (1 + np.exp(-logit))).astype(np.float32))
    return folder


@pytest.fixture(scope="module")
def made(study, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("made") / "tables"
    done = run(study, output)
    assert done.returncode == 0, done.stderr
    return output


def call_as_published(study: Path, file: str) -> np.ndarray:
    """Thresholds as the original script chose them: of maximal F1 on the test set, positive above the one before."""
    gold = pd.read_csv(study / "annotations" / "gold_standard.csv").to_numpy()
    scores = np.load(study / "dnn_predicts" / f"{file}.npy")
    calls = []
    for truth, score in zip(gold.T, scores.T, strict=True):
        precision, recall, cuts = precision_recall_curve(truth, score)
        best = np.argmax(np.nan_to_num(2 * precision * recall / (precision + recall)))
        calls.append(score > (cuts[best - 1] if best else cuts[0] - 1e-10))
    return np.stack(calls, axis=1).astype(int)


def find_nominal(study: Path) -> str:
    gold = pd.read_csv(study / "annotations" / "gold_standard.csv").to_numpy()
    files = [f"other_seeds/model_{i}" for i in range(1, 11)]
    found = [
        average_precision_score(gold, np.load(study / "dnn_predicts" / f"{file}.npy"), average="micro")
        for file in files
    ]
    return files[np.argsort(found)[5]]


@pytest.fixture(scope="module")
def readings(study) -> dict[str, np.ndarray]:
    persons = {name: pd.read_csv(study / "annotations" / f"{file}.csv").to_numpy() for name, file in READERS.items()}
    return {"DNN": call_as_published(study, find_nominal(study))} | persons


@pytest.mark.slow
def test_scores_and_kappas_are_scikit_learns(made, study, readings):
    gold = pd.read_csv(study / "annotations" / "gold_standard.csv").to_numpy()
    table = pd.read_csv(made / "scores.csv", header=[0, 1], index_col=0)
    for name, calls in readings.items():
        precision, recall, f1, _ = precision_recall_fscore_support(gold, calls)
        for title, expected in (("Precision", precision), ("Recall", recall), ("F1 score", f1)):
            np.testing.assert_allclose(table[(title, name)].loc[[*SIX]], expected, atol=5.1e-4)
    kappa = pd.read_csv(made / "kappa.csv", index_col=0)
    assert [*kappa.index] == [f"{a} vs {b}" for a, b in itertools.combinations(readings, 2)]
    for a, b in itertools.combinations(readings, 2):
        expected = [cohen_kappa_score(readings[a][:, i], readings[b][:, i]) for i in range(6)]
        np.testing.assert_allclose(kappa.loc[f"{a} vs {b}"], expected, atol=5.1e-4)


@pytest.mark.slow
def test_percentiles_are_those_of_the_original_generator(made, study, readings):
    """One exam at a time, as the original script: seed 123, sorted, places 25 and 975."""
    gold = pd.read_csv(study / "annotations" / "gold_standard.csv").to_numpy()
    np.random.seed(123)  # noqa: NPY002
    rows = np.random.randint(len(gold), size=len(gold) * 1000).reshape(1000, -1)  # noqa: NPY002
    table = pd.read_csv(made / "bootstrap_percentiles.csv").set_index(["predictor", "diagnosis", "score"])
    assert len(table) == 4 * 6 * 4
    truth, called = gold[rows, 1], readings["stud."][rows, 1]
    hits = (truth & called).sum(axis=1)
    found = {
        "Precision": hits / called.sum(axis=1),
        "Recall": hits / truth.sum(axis=1),
        "Specificity": ((1 - truth) & (1 - called)).sum(axis=1) / (1 - truth).sum(axis=1),
        "F1 score": 2 * hits / (truth.sum(axis=1) + called.sum(axis=1)),
    }
    for title, values in found.items():
        values = np.sort(values)
        expected = [values[25], np.median(values), values[975]]
        np.testing.assert_allclose(table.loc[("stud.", SIX[1], title)], expected, atol=5.1e-7)


@pytest.mark.slow
def test_every_table_has_its_leak_free_variant_and_a_page_explains_them(made):
    for name in PUBLISHED:
        assert (made / name).exists()
        assert (made / name.replace(".csv", "_leak_free.csv")).exists()
    for name in FIGURES:
        assert (made / f"figure_{name}.pdf").read_bytes().startswith(b"%PDF")
        assert (made / f"figure_{name}.png").read_bytes().startswith(b"\x89PNG")
    page = (made / "index.html").read_text()
    for words in ("6th-lowest micro average precision", "maximize F1 on the test set itself", "not affected"):
        assert words in page
    seeds = pd.read_csv(made / "scores_of_all_seeds.csv")
    assert [*seeds["seed"].unique()] == [*map(str, range(1, 11)), "mean", "sd"]
    own = seeds[(seeds["label"] == "AF") & seeds["seed"].str.isdigit()]["f1"]
    mean = seeds[(seeds["label"] == "AF") & (seeds["seed"] == "mean")]["f1"].item()
    assert mean == pytest.approx(own.mean(), abs=1e-6)


@pytest.mark.parametrize(
    "damage, message",
    [
        (
            lambda f: (f / "annotations" / "gold_standard.csv").unlink(),
            "gold_standard.csv: no such file; download it from",
        ),
        (lambda f: (f / "dnn_predicts" / "model.npy").unlink(), "model.npy: no such file; download it from"),
        (
            lambda f: np.save(f / "dnn_predicts" / "model.npy", np.zeros((3, 6))),
            "expected probabilities (120, 6), 0 to 1",
        ),
        (lambda f: (f / "dnn_predicts" / "model.npy").write_text("x"), "model.npy: not a NumPy array"),
        (
            lambda f: (f / "annotations" / "cardiologist1.csv").write_text(",".join(SIX) + "\n0,0,0,0,0,\n"),
            "cardiologist1.csv: expected 0 or 1 in 120 rows",
        ),
    ],
)
def test_a_damaged_folder_is_refused_in_one_line(study, tmp_path, monkeypatch, damage, message):
    shutil.copytree(study, tmp_path / "study")
    damage(tmp_path / "study")
    spec = importlib.util.spec_from_file_location("ribeiro2020_tables", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, script)
    spec.loader.exec_module(script)
    monkeypatch.setattr(sys, "argv", ["x", f"--data={tmp_path / 'study'}", f"--output={tmp_path / 'out'}"])
    with pytest.raises(SystemExit, match="^error: [^\n]*" + re.escape(message)):
        script.main()
    assert not (tmp_path / "out").exists()
