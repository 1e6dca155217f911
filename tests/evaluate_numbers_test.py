"""`evaluate --numbers`: files of predicted numbers, what is written of them, and what is refused in one line."""

from pathlib import Path

import numpy as np
import pandas as pd
import processes
import pytest
from browser import Tables
from cli_test import assert_one_line, call
from scipy import stats
from sklearn import metrics as sk

ROOT = Path(__file__).parents[1]
UNDRAWN = ROOT / "tests" / "workers" / "undrawn.py"
SIZE = 120
NONE = "--resamples=0"
FILES = ["--predictions=p.csv", "--labels=l.csv", "--numbers"]
TABLES = ["scores", "tenths", "subgroups"]
FIGURES = ["predicted", "agreement", "tenths", "subgroups"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Files as users have them: LVEF in %, beside age and sex; recordings in another order in the labels."""
    folder, rng = tmp_path_factory.mktemp("numbers"), np.random.default_rng(0)
    ids = [f"r{i:03d}" for i in range(SIZE)]
    truth = np.round(rng.normal(55, 10, SIZE))
    predicted = 55 + 0.6 * (truth - 55) + rng.normal(0, 5, SIZE)
    age = rng.integers(20, 90, SIZE)
    labels = pd.DataFrame({"recording": ids, "patient_id": [f"p{i // 2:02d}" for i in range(SIZE)], "lvef": truth})
    labels = labels.assign(age=age, sex=rng.choice(["F", "M"], SIZE))
    labels.loc[3, "lvef"] = np.nan
    labels.sample(frac=1, random_state=0).to_csv(folder / "l.csv", index=False)
    predictions = pd.DataFrame({"recording": ids, "lvef": predicted})
    predictions.to_csv(folder / "p.csv", index=False)
    predictions.assign(lvef=predicted + rng.normal(0, 8, SIZE)).to_csv(folder / "worse.csv", index=False)
    predictions.assign(lvef=truth / 100).to_csv(folder / "shares.csv", index=False)
    predictions.assign(lvef="high").to_csv(folder / "words.csv", index=False)
    labels.assign(lvef="high").to_csv(folder / "word_labels.csv", index=False)
    predictions.assign(lvef=[*predicted[1:], np.inf]).to_csv(folder / "inf.csv", index=False)
    # Age alone, which beside other labels is an attribute: PTB-XL writes 300 for 90 and older.
    guessed = age + rng.normal(0, 5, SIZE)
    predictions.drop(columns="lvef").assign(age=guessed).to_csv(folder / "ages.csv", index=False)
    labels.drop(columns="lvef").assign(age=[*age[:-1], 300]).to_csv(folder / "age_labels.csv", index=False)
    run = pd.DataFrame({"recording": ids, "split": ["validation", "test", "test"] * (SIZE // 3), "sex": labels["sex"]})
    run = run.assign(age_true=age, age=guessed, quality="")
    run.loc[SIZE - 1, ["age", "quality"]] = [np.nan, "no signal"]
    run.to_csv(folder / "run.csv", index=False)
    np.save(folder / "p.npy", predicted)
    np.savez(folder / "p.npz", y_pred=predicted, y_true=truth, classes=["lvef"], sex=labels["sex"].to_numpy(str))
    findings = predictions.assign(lvef=rng.random(SIZE))
    findings.rename(columns={"lvef": "AF"}).to_csv(folder / "findings.csv", index=False)
    return folder


@pytest.fixture
def evaluate(folder, tmp_path):
    """Runs the command where the files lie, without drawing; returns what came of it, with `output`, its folder."""

    def evaluate(*flags):
        done = processes.run(UNDRAWN, *flags, f"--output={tmp_path / 'output'}", cwd=folder)
        done.output = tmp_path / "output"
        return done

    return evaluate


def read(done, name="scores"):
    assert done.returncode == 0, done.stdout + done.stderr
    return pd.read_csv(done.output / f"{name}.csv", keep_default_na=False, na_values=[""])


def join(folder, predictions, labels, column):
    """Truth and predictions, `[n]`, where the truth is known."""
    both = [pd.read_csv(folder / f"{name}.csv").set_index("recording")[column] for name in (labels, predictions)]
    table = pd.concat(both, axis=1, keys=["truth", "predicted"]).dropna()
    return table["truth"].to_numpy(), table["predicted"].to_numpy()


@pytest.mark.slow
def test_everything_is_written_and_said(folder):
    done = call("evaluate", *FILES, "--resamples=50", "--compare=worse.csv", "--output=made", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    found = {path.name for path in (folder / "made").iterdir()}
    expected = {f"{name}.{end}" for name in (*TABLES, "comparison") for end in ("csv", "json", "tex")}
    expected |= {f"{name}.{end}" for name in FIGURES for end in ("pdf", "png")}
    assert found == {*expected, "report.html"}
    for words in ("Scoring 120 recordings: lvef; 50 resamples", "MAE", "RMSE", "R²", "Pearson's r", "Lower limit"):
        assert words in done.stdout
    assert "threshold" not in done.stdout
    content = Tables((folder / "made" / "report.html").read_text("utf-8"))
    for words in ("Evaluation of p against worse", "120 recordings of 60 patients", "Bland and Altman 1986", "R²"):
        assert words in content.text
    assert len([tag for tag, _ in content.tags if tag == "img"]) == len(FIGURES)


def test_scores_are_those_of_scipy_and_scikit_learn(evaluate, folder):
    row = read(evaluate(*FILES, NONE)).iloc[0]
    truth, predicted = join(folder, "p", "l", "lvef")
    line = stats.linregress(predicted, truth)
    assert row["n"] == SIZE - 1
    assert row["mae"] == pytest.approx(sk.mean_absolute_error(truth, predicted))
    assert row["r2"] == pytest.approx(sk.r2_score(truth, predicted))
    assert row["pearson"] == pytest.approx(line.rvalue)
    assert row["calibration_slope"] == pytest.approx(line.slope)
    difference = predicted - truth
    assert row["limit_high"] == pytest.approx(difference.mean() + 1.96 * difference.std(ddof=1))
    assert not [name for name in row.index if name.endswith("_low") and name != "limit_low"]


def test_two_files_are_compared(evaluate):
    table = read(evaluate(*FILES, "--compare=worse.csv", "--resamples=200"), "comparison").set_index("metric")
    assert table["first"]["mae"] < table["second"]["mae"]  # the other has noise added
    assert table.loc["mae", "difference_high"] < 0 < table.loc["r2", "difference_low"]


def test_other_columns_make_subgroups_and_patients_are_drawn(evaluate):
    done = evaluate(*FILES, "--resamples=50")
    table = read(done, "subgroups")
    assert set(table["column"]) == {"age", "sex"}
    assert set(table["metric"]) == {"mae", "bias", "r2"}
    assert "recordings of a patient count together" in (done.output / "scores.tex").read_text()
    assert read(evaluate(*FILES, NONE, "--subgroups=sex"), "subgroups")["column"].unique().tolist() == ["sex"]


@pytest.mark.parametrize(
    "flags",
    [
        ["--predictions=p.npy", "--labels=l.csv", "--names=lvef", "--by_position"],
        ["--predictions=p.npy", "--labels=l.csv", "--by_position"],  # its only number but age
        ["--predictions=p.npz"],
    ],
)
def test_arrays(evaluate, folder, flags):
    labels = pd.read_csv(folder / "l.csv")
    truth, predicted = labels["lvef"].to_numpy(), np.load(folder / "p.npy")
    if flags == ["--predictions=p.npz"]:
        truth = np.load(folder / "p.npz")["y_true"]
    known = ~np.isnan(truth)
    row = read(evaluate(*flags, "--numbers", NONE)).iloc[0]
    assert row["label"] == "lvef"
    assert row["mae"] == pytest.approx(np.abs(predicted - truth)[known].mean())


def test_age_is_a_label_where_nothing_else_is_shared(evaluate, folder):
    done = evaluate("--predictions=ages.csv", "--labels=age_labels.csv", "--numbers", NONE)
    row = read(done).iloc[0]
    truth, predicted = join(folder, "ages", "age_labels", "age")
    assert truth[-1] == 300  # unknown
    assert (row["label"], row["n"]) == ("age", SIZE - 1)
    assert row["mae"] == pytest.approx(np.abs(predicted - truth)[:-1].mean())
    assert read(done, "subgroups")["column"].unique().tolist() == ["sex"]


def test_a_runs_file_needs_no_labels(evaluate, folder):
    done = evaluate("--predictions=run.csv", "--numbers", NONE)
    table = pd.read_csv(folder / "run.csv")
    part = table[(table["split"] == "test") & table["age"].notna()]
    row = read(done).iloc[0]
    assert (row["label"], row["n"]) == ("age", len(part))
    assert row["mae"] == pytest.approx((part["age"] - part["age_true"]).abs().mean())
    assert read(done, "subgroups")["column"].unique().tolist() == ["sex"]
    line = f"warning: 1 of the {len(part) + 1} recordings of run.csv have no signal or no prediction and are left out"
    assert f"{line}: r119 (no signal)" in done.stdout
    assert (done.output / "not_scored.csv").read_text() == "recording,problem,split\nr119,no signal,test\n"


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--predictions=p.csv", "--labels=l.csv"], ["p.csv", "between 0 and 1", "--numbers"]),
        (["--predictions=run.csv"], ["run.csv", "no column of probabilities", "--numbers"]),
        (["--predictions=words.csv", *FILES[1:]], ["words.csv", "no column of numbers"]),
        (["--predictions=words.csv", *FILES[1:], "--names=lvef"], ["words.csv", "line 2", "holds high", "a number"]),
        (["--predictions=inf.csv", *FILES[1:]], ["inf.csv", "line 121", "holds inf", "a number"]),
        (
            ["--predictions=p.csv", "--labels=word_labels.csv", "--numbers"],
            ["word_labels.csv", "line 2", "'lvef'", "holds high", "empty for unknown"],
        ),
        ([*FILES, "--compare=findings.csv"], ["findings.csv", "no column lvef"]),
        ([*FILES, "--rule=youden", "--beta=2"], ["--rule, --beta", "numbers"]),
        ([*FILES, "--resampled=stratified"], ["--resampled=stratified", "numbers"]),
        ([*FILES, "--subgroups=lvef"], ["no column lvef", "age, sex"]),
        (["--model=runs/x", "--numbers"], ["--numbers goes with --predictions"]),
    ],
)
def test_what_is_wrong_is_refused_in_one_line(evaluate, flags, words):
    done = evaluate(*flags)
    assert_one_line(done, *words)
    assert not done.output.exists()


@pytest.mark.parametrize(
    "flag",
    [
        *("--rule=youden", "--thresholds=lvef=40", "--choose_on_test", "--validation=p.csv"),
        *("--validation_labels=l.csv", "--calibration=platt", "--logits", "--beta=2", "--prevalence=0.1"),
        *("--max_false_positive_rate=0.2", "--annotators=l.csv", "--seeds=worse.csv", "--decision_range=0.1,0.5"),
        *("--challenge_weights=w.csv", "--challenge_normal=1", "--legacy"),
    ],
)
def test_flags_of_findings_are_refused(evaluate, flag):
    assert_one_line(evaluate(*FILES, flag), flag.partition("=")[0], "these predictions are numbers")
