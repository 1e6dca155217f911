"""`python -m ecg_jax.evaluate`: what it writes is right, and bad input is one line and no folder."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import processes
import pytest
from browser import Tables
from cli_test import call, noise, write_wfdb
from sklearn import metrics as sk
from store_test import convert

from ecg_jax.contract import InputContract
from ecg_jax.data import datasets
from ecg_jax.evaluation import thresholds as thresholds_lib
from ecg_jax.evaluation.thresholds import STAMP

ROOT = Path(__file__).parents[1]
NAMES = ["AF", "RBBB", "SB"]
SIZE = 200
TABLES = ["scores", "confusion", "calibration", "decision_curves", "subgroups"]
FIGURES = ["forest", "precision_recall", "roc", "confusion", "reliability", "decision_curves", "subgroups"]

UNDRAWN = ROOT / "tests" / "workers" / "undrawn.py"


def sigmoid(values):
    return 1 / (1 + np.exp(-values))


def draw(seed, prefix, skill, size=SIZE):
    """Predictions of planted skill and labels of some recordings, the labels' rows in another order."""
    rng = np.random.default_rng(seed)
    truth = (rng.random((size, 3)) < [0.25, 0.35, 0.45]).astype(int)
    probabilities = sigmoid(skill * truth + rng.normal(0, 1, truth.shape) - skill / 2)
    ids = [f"{prefix}{i:03d}" for i in range(size)]
    labels = pd.DataFrame({"recording": ids, "patient_id": [f"{prefix}p{i // 2}" for i in range(size)]})
    labels[NAMES] = truth
    labels["age"] = rng.integers(20, 90, size)
    labels["sex"] = rng.choice(["F", "M"], size)
    predictions = pd.DataFrame(probabilities, columns=NAMES)
    predictions.insert(0, "recording", ids)
    return predictions, labels.sample(frac=1, random_state=seed)[
        ["sex", "SB", "recording", "RBBB", "AF", "age", "patient_id"]
    ]


def write_run_file(path, parts):
    """As a run's predictions.csv: truth and split beside the probabilities."""
    frames = []
    for split, (predictions, labels) in parts.items():
        truth = labels.set_index("recording").loc[predictions["recording"], NAMES]
        frame = predictions.assign(split=split, **{f"{name}_true": truth[name].to_numpy() for name in NAMES})
        frames.append(frame)
    pd.concat(frames).to_csv(path, index=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Files as users have them."""
    folder = tmp_path_factory.mktemp("files")
    predictions, labels = draw(0, "t", 2.5)
    worse, _ = draw(0, "t", 0.8)
    other, other_labels = draw(1, "v", 2.5)
    predictions.to_csv(folder / "p.csv", index=False)
    worse.to_csv(folder / "worse.csv", index=False)
    labels.to_csv(folder / "l.csv", index=False)
    other.to_csv(folder / "pv.csv", index=False)
    other_labels.to_csv(folder / "lv.csv", index=False)
    pd.concat([labels, other_labels]).to_csv(folder / "all.csv", index=False)
    write_run_file(folder / "run.csv", {"validation": (other, other_labels), "test": (predictions, labels)})
    write_run_file(folder / "worse_run.csv", {"validation": (other, other_labels), "test": (worse, labels)})
    ordered = labels.set_index("recording").loc[predictions["recording"]].reset_index()
    for name, table in (
        ("p", predictions),
        ("l", ordered),
        ("pv", other),
        ("lv", other_labels.sort_values("recording")),
    ):
        table[NAMES].to_csv(folder / f"{name}_bare.csv", index=False)
    np.save(folder / "p.npy", predictions[NAMES].to_numpy())
    rng = np.random.default_rng(3)
    for name in ("anna", "ben", "other/anna", "model"):
        reading = labels.drop(columns=["age", "sex", "patient_id"]).sample(frac=1, random_state=1)
        for label in NAMES:
            reading[label] = np.where(rng.random(SIZE) < 0.1, 1 - reading[label], reading[label])
        (folder / name).parent.mkdir(exist_ok=True)
        reading.to_csv(folder / f"{name}.csv", index=False)

    def change(name, column, value):
        table = predictions.astype(object)
        table.loc[5, column] = value
        table.to_csv(folder / f"{name}.csv", index=False)

    change("empty_cell", "RBBB", "")
    change("inf", "RBBB", "inf")
    change("text", "RBBB", "high")
    change("above", "RBBB", 1.5)
    change("no_id", "recording", "")
    change("repeated", "recording", "t000")
    for name, values in (
        ("per_cent", 100 * predictions[NAMES]),
        ("logits", np.log(predictions[NAMES] / (1 - predictions[NAMES]))),
    ):
        predictions.assign(**values).to_csv(folder / f"{name}.csv", index=False)
    predictions.assign(recording=predictions["recording"] + "x").to_csv(folder / "strange.csv", index=False)
    predictions[:150].to_csv(folder / "fewer.csv", index=False)
    labels.drop(columns="SB").to_csv(folder / "no_sb.csv", index=False)
    labels.assign(AF=2).to_csv(folder / "twos.csv", index=False)
    labels.drop(columns="patient_id").to_csv(folder / "no_patients.csv", index=False)
    predictions[NAMES][:150].to_csv(folder / "fewer_bare.csv", index=False)
    predictions.assign(**dict.fromkeys(NAMES, ""), quality="no signal").to_csv(folder / "silent.csv", index=False)
    for name in ("macro", "micro"):
        predictions.rename(columns={"AF": name}).to_csv(folder / f"{name}_p.csv", index=False)
        labels.rename(columns={"AF": name}).to_csv(folder / f"{name}_l.csv", index=False)
    (folder / "nothing.csv").write_text("")
    np.save(folder / "cube.npy", np.full((SIZE, 3, 2), 0.5))
    np.save(folder / "nan.npy", np.full((SIZE, 3), np.nan))
    np.save(folder / "words.npy", np.full((SIZE, 3), "0.5"))
    np.savez(folder / "several.npz", np.full((SIZE, 3), 0.5))
    (folder / "several.npz").rename(folder / "several.npy")
    return folder


@pytest.fixture
def evaluate(folder, tmp_path):
    """Runs the command where the files lie, without drawing; returns what came of it, with `output`, its folder."""

    def evaluate(*flags, output=None, cwd=folder):
        place = tmp_path / "output" if output is None else output
        done = processes.run(UNDRAWN, *flags, f"--output={place}", cwd=cwd)
        done.output = Path(place)
        return done

    return evaluate


def read(done, name="scores"):
    assert done.returncode == 0, done.stdout + done.stderr
    return pd.read_csv(done.output / f"{name}.csv", keep_default_na=False, na_values=[""])


def page(done):
    return Tables((done.output / "report.html").read_text("utf-8"))


def load(folder, predictions="p", labels="l"):
    """Probabilities and truth, `[N, 3]`, in the order of the predictions."""
    found = pd.read_csv(folder / f"{predictions}.csv").set_index("recording")
    return found[NAMES].to_numpy(), pd.read_csv(folder / f"{labels}.csv").set_index("recording").loc[
        found.index, NAMES
    ].to_numpy()


FEW = "--resamples=50"
NONE = "--resamples=0"
FILES = ["--predictions=p.csv", "--labels=l.csv"]


@pytest.fixture(scope="module")
def whole(folder, tmp_path_factory):
    """Everything at once, as a user runs it: two models, two readers, thresholds of the test set."""
    done = call(
        "evaluate", *FILES, "--compare=worse.csv", "--annotators=anna.csv,ben.csv", "--seeds=worse.csv",
        "--choose_on_test", FEW,
        "--output=made/here", cwd=folder,
    )  # fmt: skip
    done.output = folder / "made" / "here"
    return done


@pytest.mark.slow
def test_everything_is_written_and_said(whole):
    assert whole.returncode == 0, whole.stderr
    assert whole.stderr == ""
    tables = [*TABLES, "kappa", "panel", "mcnemar", "comparison"]
    expected = [f"{name}.{end}" for name in tables for end in ("csv", "json", "tex")]
    figures = [*FIGURES, "bootstrap_auroc", "bootstrap_f1"]
    expected += [f"{name}.{end}" for name in figures for end in ("pdf", "png")]
    found = {path.name for path in whole.output.iterdir()}
    assert {*expected, "report.html"} <= found
    assert all(path.stat().st_size > 100 for path in whole.output.iterdir())
    assert f"Written: {len(found)} files in made/here" in whole.stdout
    assert "made/here/report.html" in whole.stdout
    for words in ("Scoring 200 recordings", "AF, RBBB, SB", "50 resamples"):
        assert words in whole.stdout
    for name in tables:
        rows = json.loads((whole.output / f"{name}.json").read_text())["rows"]
        assert len(rows) == len(pd.read_csv(whole.output / f"{name}.csv"))


@pytest.mark.slow
def test_thresholds_of_the_test_set_put_a_stamp_on_everything(whole):
    assert STAMP in whole.stdout
    for path in whole.output.glob("*.csv"):
        assert (pd.read_csv(path)["stamp"] == STAMP).all(), path.name
    for path in whole.output.glob("*.json"):
        assert json.loads(path.read_text())["stamps"] == [STAMP], path.name
    for path in whole.output.glob("*.tex"):
        assert STAMP in path.read_text(), path.name
    content = page(whole)
    alerts = [attributes for _, attributes in content.tags if attributes.get("role") == "alert"]
    assert len(alerts) == 1
    assert STAMP in content.text
    captions = [attributes["alt"] for tag, attributes in content.tags if tag == "img"]
    assert len(captions) >= 9
    assert all(STAMP in caption for caption in captions)


@pytest.mark.slow
def test_the_page_says_how_it_was_made(whole):
    text = page(whole).text
    assert "python -m ecg_jax.evaluate --predictions=p.csv --labels=l.csv" in text
    for words in ("Evaluation of p against worse", "200 recordings of 100 patients", "50 resamples", "max_f1"):
        assert words in text


@pytest.mark.slow
def test_a_comparison_has_intervals_and_tests(whole):
    table = read(whole, "comparison")
    assert set(table["label"]) == {*NAMES, "macro"}
    row = table[(table["label"] == "SB") & (table["metric"] == "auroc")].iloc[0]
    assert row["difference"] == pytest.approx(row["first"] - row["second"])
    assert row["difference"] > 0.05
    assert row["difference_low"] < row["difference"] < row["difference_high"]
    assert set(table["test"]) == {"bootstrap", "DeLong", "McNemar"}
    accuracy = table[table["metric"] == "accuracy"]
    assert (
        (accuracy["difference_low"] < accuracy["difference"]) & (accuracy["difference"] < accuracy["difference_high"])
    ).all()
    assert set(table[table["metric"] == "accuracy"]["test"]) == {"McNemar"}
    tested = table[table["label"] != "macro"]
    assert (tested["p_holm"] >= tested["p"] - 1e-12).all()
    assert tested["p_holm"].notna().all()


@pytest.mark.slow
def test_readers_are_compared_with_the_model_and_with_each_other(whole, folder):
    table = read(whole, "kappa")
    assert set(table["readers"]) == {"model vs anna", "model vs ben", "anna vs ben"}
    anna, ben = (pd.read_csv(folder / f"{name}.csv").set_index("recording") for name in ("anna", "ben"))
    expected = sk.cohen_kappa_score(anna["AF"], ben.loc[anna.index, "AF"])
    row = table[(table["readers"] == "anna vs ben") & (table["label"] == "AF")].iloc[0]
    assert row["kappa"] == pytest.approx(expected)
    assert row["kappa"] > 0.4
    both = anna["AF"] + ben.loc[anna.index, "AF"]
    assert (row["positives"], row["prevalence"]) == ((both > 0).sum(), pytest.approx(both.mean() / 2))
    assert row["pabak"] == pytest.approx(2 * row["agree"] - 1)
    assert read(whole, "panel")["readers"].tolist() == [3, 3, 3]
    assert set(read(whole, "mcnemar")["readers"]) == set(table["readers"])


@pytest.mark.slow
def test_scores_are_those_of_scikit_learn_at_the_thresholds_shown(whole, folder):
    probabilities, truth = load(folder)
    table = read(whole).set_index("label")
    assert list(table.index) == [*NAMES, "macro", "micro", "weighted"]
    np.testing.assert_allclose(table.loc[NAMES, "threshold"], thresholds_lib.choose(truth, probabilities))
    for i, name in enumerate(NAMES):
        row, label, score = table.loc[name], truth[:, i], probabilities[:, i]
        called = score >= row["threshold"]
        assert (row["n"], row["positives"]) == (SIZE, label.sum())
        expected = {
            "auroc": sk.roc_auc_score(label, score),
            "average_precision": sk.average_precision_score(label, score),
            "partial_auroc": sk.roc_auc_score(label, score, max_fpr=0.1),
            "f1": sk.f1_score(label, called),
            "precision": sk.precision_score(label, called),
            "recall": sk.recall_score(label, called),
            "specificity": sk.recall_score(1 - label, ~called),
            "balanced_accuracy": sk.balanced_accuracy_score(label, called),
            "mcc": sk.matthews_corrcoef(label, called),
            "brier": sk.brier_score_loss(label, score),
        }
        assert row[list(expected)].to_dict() == pytest.approx(expected)
        for metric in expected:
            assert row[f"{metric}_low"] <= row[metric] <= row[f"{metric}_high"]
        hits, misses = np.sum(called & (label == 1)), np.sum(~called & (label == 1))
        counts = read(whole, "confusion").set_index("label").loc[name]
        assert (counts["hits"], counts["misses"]) == (hits, misses)
    for metric in ("auroc", "f1"):
        assert table.loc["macro", metric] == pytest.approx(table.loc[NAMES, metric].mean())
    assert table.loc["micro", "auroc"] == pytest.approx(sk.roc_auc_score(truth.ravel(), probabilities.ravel()))


@pytest.mark.slow
def test_thresholds_are_cross_fitted_by_default_and_said_so(evaluate, folder):
    done = evaluate(*FILES, NONE)
    table = read(done).set_index("label")
    for text in (done.stdout, page(done).text, (done.output / "scores.tex").read_text()):
        assert "cross-fitted" in text
        assert "optimistic" not in text
    assert "stamp" not in table
    assert not [name for name in table if name.endswith("_low")]
    probabilities, truth = load(folder)
    for i, name in enumerate(NAMES):
        assert table.loc[name, "auroc"] == pytest.approx(sk.roc_auc_score(truth[:, i], probabilities[:, i]))
    best = np.array(
        [
            sk.f1_score(truth[:, i], probabilities[:, i] >= t)
            for i, t in enumerate(thresholds_lib.choose(truth, probabilities))
        ]
    )
    assert (table.loc[NAMES, "f1"] <= best + 1e-12).all()
    assert set(read(done, "subgroups")["column"]) == {"age", "sex"}
    assert read(done, "subgroups").groupby("group")["n"].first()[["F", "M"]].sum() == SIZE


@pytest.mark.slow
def test_thresholds_are_chosen_on_validation_where_it_is_given(evaluate, folder):
    expected = thresholds_lib.choose(*reversed(load(folder, "pv", "lv")))
    probabilities, truth = load(folder)
    flags = ["--validation=pv.csv", "--validation_labels=lv.csv", "--calibration=platt"]
    done = evaluate(*FILES, NONE, *flags[:2])
    table = read(done).set_index("label")
    np.testing.assert_allclose(table.loc[NAMES, "threshold"], expected)
    assert "chosen on the validation set (max_f1)" in done.stdout
    for i, name in enumerate(NAMES):
        assert table.loc[name, "f1"] == pytest.approx(sk.f1_score(truth[:, i], probabilities[:, i] >= expected[i]))
    own = evaluate("--predictions=run.csv", NONE)  # the same in one file
    assert "chosen on the validation set" in own.stdout
    assert "split test" in own.stdout
    pd.testing.assert_frame_equal(read(own).set_index("label"), table, check_exact=False)
    calibrated = evaluate(*FILES, NONE, *flags)
    kinds = read(calibrated, "calibration")
    assert kinds["probabilities"].tolist() == ["as predicted", "recalibrated"] * 3
    np.testing.assert_allclose(
        kinds[kinds["probabilities"] == "as predicted"]["brier"], table.loc[NAMES, "brier"], rtol=1e-9
    )
    np.testing.assert_allclose(read(calibrated).set_index("label").loc[NAMES, "auroc"], table.loc[NAMES, "auroc"])
    tied = evaluate(*FILES, NONE, *flags[:2], "--calibration=isotonic")
    ranked = read(tied).set_index("label").loc[NAMES, ["auroc", "average_precision"]]
    pd.testing.assert_frame_equal(ranked, table.loc[NAMES, ["auroc", "average_precision"]])
    for text in (" ".join(tied.stdout.split()), page(tied).text, (tied.output / "scores.json").read_text()):
        assert "of the raw probabilities, which recalibration may tie" in text


@pytest.mark.slow
def test_validation_has_labels_of_its_own_or_is_refused(evaluate):
    """Without ids, those of the scored recordings would be taken, line by line, for those of others."""
    bare = ["--predictions=p_bare.csv", "--labels=l_bare.csv", "--by_position", NONE]
    assert evaluate(*bare, "--validation=pv_bare.csv", "--validation_labels=lv_bare.csv").returncode == 0


@pytest.mark.parametrize("validation", ["pv_bare.csv", "p_bare.csv"])
def test_without_ids_the_labels_of_the_scored_recordings_are_not_those_of_validation(evaluate, validation):
    flags = ["--predictions=p_bare.csv", "--labels=l_bare.csv", f"--validation={validation}", "--by_position", NONE]
    assert_refused(evaluate(*flags), validation, "--validation_labels")


@pytest.mark.slow
def test_one_table_of_labels_may_serve_both_files(evaluate):
    done = evaluate("--predictions=p.csv", "--labels=all.csv", "--validation=pv.csv", "--partial", NONE)
    assert done.returncode == 0, done.stderr
    assert "Scoring 200 recordings" in done.stdout


@pytest.mark.slow
def test_given_thresholds_and_what_else_can_be_asked_for(evaluate, folder):
    more = ["--beta=2", "--prevalence=0.02", "--subgroups=sex", "--decision_range=0.05,0.5", "--level=0.8"]
    done = evaluate(*FILES, FEW, "--thresholds=SB=0.3,AF=0.5,RBBB=1", *more)
    table = read(done).set_index("label")
    assert table.loc[NAMES, "threshold"].tolist() == [0.5, 1.0, 0.3]
    assert "thresholds: given" in done.stdout
    probabilities, truth = load(folder)
    called = probabilities >= [0.5, 1.0, 0.3]
    assert table.loc["SB", "f_beta"] == pytest.approx(sk.fbeta_score(truth[:, 2], called[:, 2], beta=2))
    recall, specificity = table.loc["SB", ["recall", "specificity"]]
    expected = 0.02 * recall / (0.02 * recall + 0.98 * (1 - specificity))
    assert table.loc["SB", "ppv_at_prevalence"] == pytest.approx(expected)
    assert set(read(done, "subgroups")["column"]) == {"sex"}
    curves = read(done, "decision_curves")
    assert (curves["threshold"].min(), curves["threshold"].max()) == pytest.approx((0.05, 0.5))
    assert "80 % intervals" in (done.output / "report.html").read_text("utf-8")


@pytest.mark.slow
def test_the_old_way_of_drawing_is_said(evaluate):
    done = evaluate(*FILES, FEW, "--legacy", "--subgroups=none", "--interval=percentile")
    assert "Ribeiro et al. 2020" in done.stdout
    text = page(done).text
    assert "Ribeiro et al. 2020" in text
    assert "seed 123" in text
    assert not (done.output / "subgroups.csv").exists()


@pytest.mark.slow
def test_the_same_command_gives_the_same_numbers_and_another_seed_other_intervals(evaluate):
    flags = [*FILES, FEW, "--subgroups=none", "--thresholds=AF=.5,SB=.5,RBBB=.5"]
    first, second, other = (read(evaluate(*flags, *more)) for more in ((), ("--seed=0",), ("--seed=1",)))
    pd.testing.assert_frame_equal(first, second)
    assert other["auroc"].equals(first["auroc"])
    assert not other["partial_auroc_low"].equals(first["partial_auroc_low"])


@pytest.mark.slow
def test_logits_become_probabilities(evaluate, folder):
    done = evaluate("--predictions=logits.csv", "--labels=l.csv", "--logits", NONE, "--subgroups=none")
    probabilities, truth = load(folder)
    assert read(done)["brier"][0] == pytest.approx(sk.brier_score_loss(truth[:, 0], probabilities[:, 0]))


@pytest.mark.slow
def test_recordings_drawn_one_by_one_are_compared_by_delong(evaluate):
    flags = ["--resampled=recordings", "--subgroups=none", "--compare=worse.csv", NONE]
    table = read(evaluate(*FILES, *flags), "comparison")
    chosen = table[(table["metric"] == "auroc") & (table["label"] != "macro")]
    assert set(chosen["test"]) == {"DeLong"}
    assert (chosen["difference_low"] < chosen["difference"]).all()
    assert (chosen["p"] < 0.05).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    "flags",
    [
        ["--predictions=run.csv", "--compare=run.csv"],
        [*FILES, "--validation=pv.csv", "--validation_labels=lv.csv", "--compare=p.csv"],
        [*FILES, "--compare=p.csv"],
    ],
    ids=["files of runs", "with validation", "cross-fitted"],
)
def test_a_model_does_not_differ_from_itself(evaluate, flags):
    """Thresholds of both are chosen in one way."""
    table = read(evaluate(*flags, FEW, "--subgroups=none"), "comparison")
    assert (table["difference"] == 0).all()


@pytest.mark.slow
def test_lines_joined_without_ids_are_said_to_be(evaluate):
    """Rows saved in any order give scores; a reader must know what they rest on."""
    done = evaluate("--predictions=p_bare.csv", "--labels=l_bare.csv", NONE, "--subgroups=none", "--by_position")
    assert done.returncode == 0, done.stderr
    assert "line by line" in page(done).text


@pytest.mark.slow
def test_a_second_evaluation_leaves_nothing_of_the_first(evaluate, tmp_path):
    first = evaluate(*FILES, NONE, "--annotators=anna.csv", "--choose_on_test", "--compare=worse.csv")
    assert first.returncode == 0, first.stderr
    second = evaluate(*FILES, NONE, "--subgroups=none")
    assert second.returncode == 0, second.stderr
    kept = [path.name for path in second.output.glob("*.csv") if "stamp" in pd.read_csv(path)]
    assert kept == []


def assert_refused(done, *parts):
    """Exit status 1, one line on stderr that says what is wrong, and nothing written."""
    assert done.returncode == 1, done.stdout + done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    for part in parts:
        assert part in lines[0], lines[0]
    assert "np." not in lines[0], lines[0]
    assert not done.output.exists()


@pytest.mark.parametrize(
    "flags, parts",
    [
        ([], ["--model=RUN", "--predictions=FILE"]),
        (["--labels=l.csv"], ["--model=RUN", "--predictions=FILE"]),
        ([*FILES, "--model=run"], ["--model=RUN", "--predictions=FILE"]),
        (["--predictions=p.csv"], ["p.csv", "holds no labels", "--labels"]),
        ([*FILES, "--data=store"], ["--data", "--model"]),
        ([*FILES, "extra"], ["unexpected argument", "extra"]),
        ([*FILES, "--split=test"], ["p.csv", "split"]),
        (["--predictions=run.csv", "--split=train"], ["run.csv", "'train'", "test, validation"]),
        (["--predictions=run.csv", "--split=val"], ["--split", "validation"]),
        ([*FILES, "--rule=best"], ["'best'", "max_f1", "youden", "sensitivity=X"]),
        ([*FILES, "--rule=sensitivity=2"], ["sensitivity=2", "at most 1"]),
        ([*FILES, "--subgroups=height"], ["--subgroups", "height", "age, sex"]),
        ([*FILES, "--thresholds=AF=0.5"], ["--thresholds", "RBBB, SB"]),
        ([*FILES, "--thresholds=AF=1.5,RBBB=0.5,SB=0.5"], ["--thresholds", "AF=1.5", "from 0 to 1"]),
        ([*FILES, "--thresholds=AF=0.5,RBBB=0.5,SB=0.5,ST=0.5"], ["--thresholds", "ST=0.5", "AF, RBBB, SB"]),
        ([*FILES, "--thresholds=AF=0.5,RBBB=0.5,SB=0.5,AF=0.6"], ["--thresholds", "AF"]),
        ([*FILES, "--thresholds=AF=0.5,RBBB=0.5,SB=0.5", "--rule=youden"], ["--thresholds", "--rule"]),
        ([*FILES, "--decision_range=0.5,0.1"], ["--decision_range=0.5,0.1", "0.05,0.5"]),
        ([*FILES, "--decision_range=low,high"], ["--decision_range"]),
        ([*FILES, "--decision_range=0.1"], ["--decision_range"]),
        ([*FILES, "--level=2"], ["level is 2"]),
        ([*FILES, "--level=nan"], ["level is nan"]),
        ([*FILES, "--prevalence=0"], ["prevalence is 0"]),
        ([*FILES, "--beta=0"], ["beta is 0"]),
        ([*FILES, "--max_false_positive_rate=2"], ["max_false_positive_rate is 2"]),
        ([*FILES, "--seed=-1"], ["seed", "-1"]),
        ([*FILES, "--resampled=bootstrap"], ["--resampled", "patients"]),
        (["--predictions=p.csv", "--labels=no_patients.csv", "--resampled=patients"], ["patient_id"]),
        ([*FILES, "--calibration=platt"], ["--calibration=platt", "--validation"]),
        ([*FILES, "--validation=p.csv"], ["p.csv", "200", "scored too"]),
        ([*FILES, "--validation=pv.csv"], ["pv.csv", "l.csv", "--validation_labels"]),
        ([*FILES, "--validation_labels=lv.csv"], ["--validation_labels", "--validation"]),
        ([*FILES, "--names=ST"], ["p.csv", "ST", "AF, RBBB, SB"]),
        ([*FILES, "--names=AF,AF"], ["AF"]),
        ([*FILES, "--compare=run"], ["--compare=run: no such file or folder"]),
        ([*FILES, "--compare=."], ["--compare=.", "--model"]),
        ([*FILES, "--compare=none.csv"], ["none.csv", "no such file"]),
        ([*FILES, "--compare=strange.csv"], ["strange.csv", "l.csv", "share no recording"]),
        ([*FILES, "--annotators=none.csv"], ["none.csv", "no such file"]),
        ([*FILES, "--annotators=no_sb.csv"], ["no_sb.csv", "SB"]),
        ([*FILES, "--annotators=fewer_bare.csv"], ["fewer_bare.csv", "150", "200"]),
        ([*FILES, "--annotators=model.csv"], ["model", "rename"]),
        ([*FILES, "--annotators=anna.csv,other/anna.csv"], ["anna"]),
        ([*FILES, "--seeds=none.csv"], ["none.csv", "no such file"]),
        ([*FILES, "--seeds=strange.csv"], ["strange.csv", "recording"]),
        ([*FILES, "--challenge_weights=none.csv"], ["none.csv", "no such file"]),
        ([*FILES, "--challenge_weights=l.csv"], ["l.csv", "classes"]),
        (["--model=none"], ["none", "run folder"]),
        (["--model=p.csv"], ["p.csv", "run folder"]),
        (["--predictions=none.csv", "--labels=l.csv"], ["none.csv", "no such file"]),
        (["--predictions=p.csv", "--labels=none.csv"], ["none.csv", "no such file"]),
        (["--predictions=nothing.csv", "--labels=l.csv"], ["nothing.csv"]),
        (["--predictions=empty_cell.csv", "--labels=l.csv"], ["empty_cell.csv", "line 7", "'RBBB'", "empty"]),
        (["--predictions=inf.csv", "--labels=l.csv"], ["inf.csv", "line 7", "'RBBB'", "inf"]),
        (["--predictions=text.csv", "--labels=l.csv"], ["text.csv", "line 7", "'RBBB'", "high"]),
        (["--predictions=above.csv", "--labels=l.csv"], ["above.csv", "line 7", "1.5", "between 0 and 1"]),
        (["--predictions=no_id.csv", "--labels=l.csv"], ["no_id.csv", "line 7", "empty"]),
        (["--predictions=repeated.csv", "--labels=l.csv"], ["repeated.csv", "lines 2 and 7", "t000"]),
        (["--predictions=per_cent.csv", "--labels=l.csv"], ["per_cent.csv", "per cent"]),
        (["--predictions=logits.csv", "--labels=l.csv"], ["logits.csv", "--logits"]),
        (["--predictions=strange.csv", "--labels=l.csv"], ["strange.csv", "l.csv", "share no recording", "t000x"]),
        (["--predictions=fewer.csv", "--labels=l.csv"], ["fewer.csv", "50 of the 200", "--partial"]),
        (["--predictions=fewer_bare.csv", "--labels=l_bare.csv"], ["fewer_bare.csv has 150", "l_bare.csv 200"]),
        (["--predictions=silent.csv", "--labels=l.csv"], ["silent.csv", "no recording has a prediction"]),
        (["--predictions=p.csv", "--labels=no_sb.csv", "--names=AF,SB"], ["no_sb.csv", "SB", "AF"]),
        (["--predictions=p_bare.csv", "--labels=l.csv"], ["p_bare.csv does not", "l.csv names them"]),
        (["--predictions=p_bare.csv", "--labels=l_bare.csv"], ["neither names them", "--by_position"]),
        ([*FILES, "--compare=fewer.csv"], ["fewer.csv", "50 of the 200", "--partial"]),
        ([*FILES, "--recording_column=exam"], ["no column exam to name recordings", "recording"]),
        ([*FILES, "--patient_column=exam"], ["--patient_column=exam", "no such column"]),
        (["--predictions=run.csv", "--compare=fewer.csv"], ["fewer.csv", "50 of the 200", "--partial"]),
        (["--model=run", "--by_position"], ["--by_position goes with --predictions"]),
        (["--predictions=p.csv", "--labels=twos.csv"], ["twos.csv", "line ", "'AF'", "2", "0, 1 or empty"]),
        (["--predictions=macro_p.csv", "--labels=macro_l.csv"], ["macro"]),
        (["--predictions=micro_p.csv", "--labels=micro_l.csv"], ["micro"]),
        (["--predictions=p.npy", "--labels=l.csv"], ["p.npy", "3 columns", "--names"]),
        (["--predictions=p.npy", "--labels=l.csv", "--names=AF,SB"], ["p.npy", "3 columns", "2 label names"]),
        (["--predictions=cube.npy", "--labels=l.csv"], ["cube.npy", "(200, 3, 2)"]),
        (["--predictions=nan.npy", "--labels=l.csv"], ["nan.npy", "row 0", "nan"]),
        (["--predictions=words.npy", "--labels=l.csv"], ["words.npy", "numbers"]),
        (["--predictions=several.npy", "--labels=l.csv"], ["several.npy"]),
    ],
    ids=lambda value: " ".join(value) if not value or value[0].startswith("--") else "",
)  # fmt: skip
def test_what_cannot_be_right_is_one_line_and_no_folder(evaluate, flags, parts):
    assert_refused(evaluate(NONE, *flags), *parts)


def test_what_columns_and_patients_are_taken_for_is_said(evaluate, folder):
    labels = pd.read_csv(folder / "l.csv").assign(smoker=[0, 1] * (SIZE // 2), LBBB=[1, 0] * (SIZE // 2))
    labels.to_csv(folder / "smokers.csv", index=False)
    done = evaluate("--predictions=p.csv", "--labels=smokers.csv", NONE)
    assert set(read(done, "subgroups")["column"]) == {"age", "sex"}
    for text in (done.stdout, page(done).text):
        assert "2 of 0 and 1 that are not scored (--subgroups=NAME makes subgroups): smoker, LBBB" in text
        assert "recordings are named by recording; patients are named by patient_id." in text
        assert "100 patients are known; without resamples there are no intervals." in text


def test_an_output_that_is_no_folder_is_refused_before_anything_is_computed(evaluate, folder):
    for output in ("p.csv", "p.csv/deeper", ""):
        done = evaluate(*FILES, NONE, output=output)
        assert done.returncode == 1
        assert done.stderr.startswith(f"error: --output={output}: "), done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
        assert "Scoring" not in done.stdout
    assert (folder / "p.csv").read_text().startswith("recording,AF,RBBB,SB\n")


def test_a_prepared_store_is_no_place_for_an_evaluation(evaluate, tmp_path):
    (tmp_path / "store.json").write_text("{}")
    (tmp_path / "problems.csv").write_text("mine")
    done = evaluate(*FILES, NONE, output=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: --output={tmp_path}: is a prepared store"), done.stderr
    assert (tmp_path / "problems.csv").read_text() == "mine"
    assert len([*tmp_path.iterdir()]) == 2


@pytest.mark.slow
def test_help_teaches():
    done = call("evaluate", "--help")
    for words in ("python -m ecg_jax.evaluate --model=", "--predictions=", "--labels=", "cross-fitted"):
        assert words in done.stdout
    assert "Traceback" not in done.stderr


RUN = [
    f"--config={ROOT / 'configs' / 'smoke.py'}",
    "--config.contract.samples=512",
    *(f"--config.data.simulated.{split}={size}" for split, size in (("train", 16), ("validation", 40), ("test", 40))),
    "--config.data.labels=AF,SB",
    "--config.train.batch_size=8",
    "--config.train.steps=2",
    "--config.train.eval_every=2",
    "--config.evaluation.resamples=50",
]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A finished run, a copy whose data is another since, and a copy without thresholds."""
    place = tmp_path_factory.mktemp("runs")
    flags = [*RUN, f"--workdir={place / 'run'}"]
    done = call("main", *flags, "--config.evaluation.report=false")
    assert done.returncode == 0, done.stderr
    for name in ("changed", "unfinished"):
        copy = place / name
        subprocess.run(["cp", "-r", place / "run", copy], check=True)
    config = json.loads((place / "run" / "config.json").read_text())
    config["data"]["seed"] += 1
    (place / "changed" / "config.json").write_text(json.dumps(config))
    (place / "unfinished" / "thresholds.json").unlink()
    return place


@pytest.mark.slow
def test_a_run_is_evaluated_as_it_evaluated_itself(evaluate, runs):
    own = pd.read_csv(runs / "run" / "evaluation" / "scores.csv").set_index("label")
    done = evaluate("--model=run", FEW, cwd=runs)
    table = read(done).set_index("label")
    numbers = own.select_dtypes("number").drop(columns="auroc_rate_only")
    assert set(numbers) <= set(table)
    pd.testing.assert_frame_equal(
        table.loc[own.index, list(numbers)].astype(float), numbers.astype(float), rtol=1e-6, atol=1e-6
    )
    assert "chosen on the validation set (max_f1)" in done.stdout
    assert "split test" in done.stdout
    assert "leak" not in done.stdout
    assert page(done).text.count("leak") == 0
    file = evaluate("--predictions=run/predictions.csv", FEW, cwd=runs)
    columns = ["auroc", "average_precision", "f1", "brier", "threshold"]
    pd.testing.assert_frame_equal(read(file).set_index("label")[columns], table[columns], rtol=1e-6, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("split", ["validation", "all"])
def test_thresholds_of_a_run_do_not_come_from_the_recordings_that_are_scored(evaluate, runs, split):
    """Its own were chosen on its validation split: there they are cross-fitted, or every output says so."""
    done = evaluate("--model=run", NONE, f"--split={split}", cwd=runs)
    assert done.returncode == 0, done.stderr
    assert "leak" in done.stdout
    assert "leak" in page(done).text
    if split == "all":
        assert "16 of the 96 recordings trained the model" in done.stdout
        assert read(done)["n"][0] == 96
    assert "cross-fitted" in done.stdout or "stamp" in read(done)


@pytest.mark.slow
def test_a_run_whose_data_changed_is_warned_of(evaluate, runs):
    done = evaluate("--model=changed", NONE, cwd=runs)
    assert done.returncode == 0, done.stderr
    assert "fingerprint" in done.stdout
    assert "fingerprint" in page(done).text


@pytest.mark.slow
def test_a_run_without_thresholds_gets_some_from_its_validation_split(evaluate, runs):
    done = evaluate("--model=unfinished", NONE, cwd=runs)
    assert "unfinished" in done.stdout
    assert "chosen on the validation set (max_f1)" in done.stdout
    own = json.loads((runs / "run" / "thresholds.json").read_text())
    np.testing.assert_allclose(read(done).set_index("label").loc[list(own), "threshold"], list(own.values()), rtol=1e-5)


@pytest.mark.slow
def test_two_runs_are_compared_on_the_first_ones_recordings(evaluate, runs):
    table = read(evaluate("--model=run", "--compare=changed", NONE, cwd=runs), "comparison")
    assert (table["difference"] == 0).all()  # the same network
    assert set(table["label"]) == {"AF", "SB", "macro"}


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """Twelve files with a table, one without a signal."""
    place = tmp_path_factory.mktemp("recordings")
    for i in range(12):
        write_wfdb(place / "ecgs", f"r{i}", noise(i) * (i != 5))
    table = pd.DataFrame({"path": [f"ecgs/r{i}" for i in range(12)], "AF": [i % 2 for i in range(12)]})
    table["SB"], table["sex"] = table["AF"][::-1].to_numpy(), ["F", "M", "M"] * 4
    table.to_csv(place / "mine.csv", index=False)
    return place


@pytest.mark.slow
def test_a_data_set_is_evaluated_whole_where_it_has_no_split(evaluate, runs, recordings):
    done = evaluate(f"--model={runs / 'run'}", f"--data=folder:{recordings / 'mine.csv'}", NONE)
    assert read(done)["n"][0] == 11
    assert "split all" in done.stdout
    assert "leak" not in done.stdout
    assert "1 of the 12 recordings have no signal or no prediction and are left out: ecgs/r5" in page(done).text
    assert "sex" in set(read(done, "subgroups")["column"])


@pytest.mark.slow
def test_files_that_cannot_be_read_are_warned_of_and_listed_and_the_status_is_that_of_predict(
    evaluate, runs, recordings
):
    table = pd.read_csv(recordings / "mine.csv").assign(patient="p", smoker=[0, 1] * 6)
    table.to_csv(recordings / "broken.csv", index=False)
    write_wfdb(recordings / "ecgs", "cut", noise())
    (recordings / "ecgs" / "cut.dat").write_bytes(b"")
    (recordings / "broken.csv").write_text((recordings / "broken.csv").read_text().replace("ecgs/r3,", "ecgs/cut,"))
    done = evaluate(f"--model={runs / 'run'}", f"--data=folder:{recordings / 'broken.csv'}", NONE)
    assert done.returncode == 2, done.stderr
    assert pd.read_csv(done.output / "scores.csv")["n"][0] == 10
    line = "1 of the 12 recordings could not be read or were refused and are left out: ecgs/cut ("
    assert f"warning: {line}" in done.stdout
    assert line in page(done).text
    assert pd.read_csv(done.output / "not_scored.csv")["recording"].tolist() == ["ecgs/r5", "ecgs/cut"][::-1]
    for text in (done.stdout, page(done).text):
        assert "patients are named by patient" in text
        assert "1 columns of 0 and 1 are not used: smoker" in text


@pytest.mark.slow
def test_a_store_is_evaluated(evaluate, runs, recordings):
    contract = InputContract.from_dict(json.loads((runs / "run" / "contract.json").read_text()))
    dataset = datasets.open_source("folder", source=str(recordings / "mine.csv"), labels="AF,SB", seed=0, options={})
    convert(recordings / "store", dataset, contract=contract)
    done = evaluate(f"--model={runs / 'run'}", f"--data={recordings / 'store'}", NONE, "--subgroups=none")
    assert read(done)["n"][0] == 11
    assert "chosen on the validation set" in done.stdout
    missing = evaluate(
        f"--model={runs / 'run'}", f"--data={recordings / 'store'}", NONE, "--split=test", output=f"{recordings}/x"
    )
    assert_refused(missing, "split", "--split=all")


@pytest.mark.slow
@pytest.mark.parametrize(
    "flags, parts",
    [
        (["--labels=l.csv"], ["--labels", "--predictions"]),
        (["--validation=l.csv"], ["--validation", "--predictions"]),
        (["--validation_labels=l.csv"], ["--validation_labels", "--predictions"]),
        (["--names=AF"], ["--names", "--predictions"]),
        (["--logits"], ["--logits", "--predictions"]),
        (["--partial"], ["--partial"]),
        (["--data=nowhere"], ["nowhere"]),
        (["--data=ptbxl:nowhere"], ["nowhere", "--data"]),
        (["--split=validation", "--calibration=platt"], ["--calibration=platt", "validation"]),
    ],
    ids=lambda value: value[0] if value[0].startswith("--") else "",
)
def test_flags_that_do_not_belong_to_a_model_are_refused(evaluate, runs, flags, parts):
    assert_refused(evaluate("--model=run", NONE, *flags, cwd=runs), *parts)
