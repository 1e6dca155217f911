"""What intervals and voltages alone predict, beside a network: in stores, evaluations and reports."""

import dataclasses
from pathlib import Path

import measure_test
import numpy as np
import pandas as pd
import pytest
import store_test
from cli_test import call
from rich.console import Console
from sklearn.metrics import roc_auc_score

from ecg_jax.data import datasets, store
from ecg_jax.data.datasets.dataset import Dataset, create_predictions
from ecg_jax.data.store import measurements
from ecg_jax.errors import InputError
from ecg_jax.evaluation import floor_comparison, measurement_floor, subgroups
from ecg_jax.evaluation.predictions import Predictions
from ecg_jax.evaluation.settings import Settings
from ecg_jax.explanation import measuring
from ecg_jax.inference import evaluated_files, scoring
from ecg_jax.inference import floor as floor_lib
from ecg_jax.inference.evaluated_files import Files
from ecg_jax.kinds import FINDING, NUMBER
from ecg_jax.recording import LEADS, create_recording
from ecg_jax.reporting import floor_table

NAN = np.nan
NAMES = ("heart_rate", "pr", "axis", "r_V5")
SPLINES = ("heart_rate", "pr", "axis")


def draw(size, seed=0):
    """Measurements `[N, 4]`: per minute, ms, degrees, mV."""
    rng = np.random.default_rng(seed)
    return np.stack(
        [
            rng.uniform(40, 140, size),
            rng.uniform(120, 280, size),
            rng.uniform(-180, 180, size),
            rng.uniform(0, 3, size),
        ],
        1,
    )


def learn(label, kind=FINDING, values=None, others=None):
    """Predictions of other recordings from a label, a function of measurements."""
    values = draw(600) if values is None else values
    others = draw(400, seed=1) if others is None else others
    found = measurement_floor.predict(values, NAMES, SPLINES, {"it": label(values).astype(float)}, others, kind)
    return found["it"], label(others)


@pytest.mark.parametrize(
    "label",
    [
        lambda values: values[:, 1] > 200,  # a long PR
        lambda values: values[:, 3] > 2,  # a high R
        lambda values: (values[:, 0] < 55) | (values[:, 0] > 110),  # at both ends of the rate
        lambda values: np.abs(values[:, 2]) > 140,  # an axis on either side of 180 degrees
    ],
    ids=["interval", "voltage", "both ends", "angle"],
)
def test_a_finding_that_a_measurement_defines_is_predicted_from_it(label):
    predicted, truth = learn(label)
    assert ((predicted >= 0) & (predicted <= 1)).all()
    assert roc_auc_score(truth, predicted) > 0.97


def test_a_number_is_predicted_in_its_unit():
    predicted, truth = learn(lambda values: values[:, 1] / 4 + 10 * values[:, 3], NUMBER)
    assert np.abs(predicted - truth).mean() < 1.5


def test_what_is_missing_says_something():
    """In fibrillation there is no PR; a rate that is unknown has the median."""
    values, others = draw(600), draw(400, seed=1)
    has_none, other = values[:, 0] > 100, others[:, 0] > 100
    values[has_none, 1] = others[other, 1] = NAN
    values[:, 0] = others[:, 0] = NAN
    found = measurement_floor.predict(values, NAMES, SPLINES, {"AF": has_none.astype(float)}, others)["AF"]
    assert found[other].min() > 0.8 > 0.2 > found[~other].max()


def test_nothing_measured_is_still_a_probability():
    values = np.full((60, 4), NAN)
    found = measurement_floor.predict(values, NAMES, SPLINES, {"AF": np.arange(60) % 3 == 0}, values[:5])
    np.testing.assert_allclose(found["AF"], 1 / 3, atol=0.01)


def test_a_label_that_is_too_rare_or_unknown_has_no_floor():
    values = draw(60)
    rare = np.zeros(60)
    rare[: measurement_floor.FEWEST - 1] = 1
    labels = {"rare": rare, "always": np.ones(60), "unknown": np.full(60, NAN), "half": np.arange(60) % 2.0}
    labels["half"][:20] = NAN
    found = measurement_floor.predict(values, NAMES, SPLINES, labels, draw(7))
    assert {name: each.shape for name, each in found.items()} == {"half": (7,)}


def test_unknown_labels_are_not_learned_from():
    values, label = draw(200), (draw(200)[:, 1] > 200).astype(float)
    label[::2] = NAN
    some = measurement_floor.predict(values, NAMES, SPLINES, {"it": label}, values[:9])["it"]
    kept = measurement_floor.predict(values[1::2], NAMES, SPLINES, {"it": label[1::2]}, values[:9])["it"]
    np.testing.assert_allclose(some, kept)


# A network beside it.


def predictions(values, truth, kind=FINDING, names=("AF", "SB")):
    return Predictions(np.arange(len(truth)).astype(str), names, truth, values, kind=kind)


def test_network_and_floor_have_the_same_intervals_and_a_difference():
    rng = np.random.default_rng(0)
    truth = np.stack([rng.random(200) < 0.3, rng.random(200) < 0.5], axis=1).astype(float)
    truth[:20, 1] = NAN
    sharp, blunt = (np.clip(0.3 + 0.4 * np.nan_to_num(truth) + rng.normal(0, sd, (200, 2)), 0, 1) for sd in (0.2, 0.6))
    network = predictions(
        np.concatenate([sharp, sharp[:, :1]], 1), np.concatenate([truth, truth[:, :1]], 1), names=("AF", "SB", "ST")
    )
    settings = Settings(resamples=50)
    table = floor_comparison.compare(network, predictions(blunt, truth), settings).set_index("label")
    assert table.index.tolist() == ["AF", "SB", "macro"]  # the floor knows nothing of ST
    for i, name in enumerate(("AF", "SB")):
        known, row = ~np.isnan(truth[:, i]), table.loc[name]
        for column, values in (("network", sharp), ("floor", blunt)):
            assert row[column] == pytest.approx(roc_auc_score(truth[known, i], values[known, i]))
            assert row[f"{column}_low"] < row[column] < row[f"{column}_high"]
        assert row["difference"] == pytest.approx(row["network"] - row["floor"])
        assert 0 < row["difference_low"] < row["difference"] < row["difference_high"]
        assert row["p_holm"] < 0.05
    assert floor_comparison.find_close(table.reset_index(), FINDING) == []
    swapped = floor_comparison.compare(predictions(blunt, truth), predictions(sharp, truth), settings)
    assert floor_comparison.find_close(swapped, FINDING) == ["AF", "SB", "macro"]
    shown = floor_table.create(swapped, "2,000 training recordings", FINDING, settings)
    assert "the floor: a logistic regression on measurements of 2,000 training recordings" in shown.caption
    assert shown.note == "Not clearly better than the floor: AF, SB, macro."


def test_scores_have_no_macro_of_the_floor_beside_one_of_other_labels():
    scores = pd.DataFrame({"label": ["AF", "SB", "ST", "macro", "micro"], "auroc": [0.9, 0.8, 0.4, 0.7, 0.7]})
    floor = pd.DataFrame({"label": ["AF", "SB", "macro"], "floor": [0.7, 0.9, 0.8]})
    order = ["AF", "SB", "ST", "macro"]
    np.testing.assert_array_equal(scoring.arrange_floor(scores, floor, order), [0.7, 0.9, NAN, NAN])
    scores.loc[2, "auroc"] = NAN  # of one class: in neither macro
    np.testing.assert_array_equal(scoring.arrange_floor(scores, floor, order), [0.7, 0.9, NAN, 0.8])


def test_of_numbers_it_is_the_mean_absolute_error():
    truth = np.linspace(20, 90, 50)[:, None]
    network, floor = (
        predictions(truth + error * (-1) ** np.arange(50)[:, None], truth, NUMBER, ("age",)) for error in (2, 5)
    )
    table = floor_comparison.compare(network, floor, Settings(resamples=50))
    row = table.set_index("label").loc["age"]
    assert (row["network"], row["floor"], row["difference"]) == pytest.approx((2, 5, -3))
    assert floor_comparison.find_close(table, NUMBER) == []
    assert floor_comparison.find_close(floor_comparison.compare(floor, network, Settings(resamples=50)), NUMBER) == [
        "age"
    ]


# Measurements of data sets.


class Source(list):
    """Recordings whose rate and R of V1 are their numbers; counts what was read."""

    def __init__(self, count=60):
        super().__init__()
        labels = {"slow": (np.arange(count) % 4 == 0).astype(np.float32), "pr": np.ones(count, np.float32)}
        split = np.array(["train"] * (count - 20) + ["validation"] * 10 + ["test"] * 10)
        ids = np.array([f"r{i}" for i in range(count)])
        self.dataset = Dataset("mine", ids, labels, self.read, split=split, reads_files=False)

    def read(self, row):
        self.append(row)
        if row == 3:
            raise InputError("it is broken")
        return create_recording(np.ones((100, 12)), leads=LEADS, sampling_rate=100, id=f"r{row}")


@pytest.fixture
def measured(monkeypatch):
    """Replaces the delineator: the rate says whether a recording is slow."""

    def measure_many(recordings):
        for recording in recordings:
            row = np.full(len(measuring.UNITS), np.nan, np.float32)
            if not isinstance(recording, str):
                row[0] = 40 if int(recording.id[1:]) % 4 == 0 else 80
            yield recording if isinstance(recording, str) else row

    monkeypatch.setattr(measuring, "measure_many", measure_many)


def score(dataset, split="test"):
    rows = dataset.indices(split)
    return create_predictions(dataset, rows, np.full((len(rows), len(dataset.columns)), 0.5))


def test_the_floor_learns_from_training_recordings_and_keeps_what_was_measured(measured, tmp_path):
    mine, cache = Source(), str(tmp_path / "measurements.npz")
    source = floor_lib.Source(mine.dataset, "refuse", cache, console := Console(width=200))
    with console.capture() as shown:
        floor = floor_lib.create(source, score(mine.dataset), seed=0)
    assert "1 of 50 recordings could not be measured; r3: InputError: it is broken" in shown.get()
    assert floor.learned_from == "40 training recordings"
    assert floor.predictions.names == ("slow",)  # that of a measurement has no floor
    assert floor.predictions.ids.tolist() == [f"r{i}" for i in range(50, 60)]
    truth = floor.predictions.labels[:, 0]
    assert roc_auc_score(truth, floor.predictions.probabilities[:, 0]) == 1
    assert sorted(mine) == [*range(40), *range(50, 60)]
    mine.clear()
    again = floor_lib.create(source, score(mine.dataset), seed=0)
    assert mine == [3]  # it might have been mended
    np.testing.assert_array_equal(again.predictions.probabilities, floor.predictions.probabilities)
    with_intervals = floor_lib.add_intervals(source, score(mine.dataset))
    assert [*with_intervals.attributes] == ["heart_rate", "measured_pr", "qrs", "qt", "qtc", "axis", "p_duration"]
    assert with_intervals.attributes["heart_rate"][:3].tolist() == [80, 80, 40]
    assert mine == [3]


def test_what_is_interrupted_goes_on(measured, tmp_path, monkeypatch):
    mine, cache = Source(), str(tmp_path / "measurements.npz")
    source = floor_lib.Source(mine.dataset, "refuse", cache, Console(quiet=True))
    whole = measuring.measure_many

    def stop(recordings):
        yield from (row for row, _ in zip(whole(recordings), range(30), strict=False))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(measuring, "measure_many", stop)
        with pytest.raises(KeyboardInterrupt):
            floor_lib.measure(source, np.arange(60))
    mine.clear()
    floor_lib.measure(source, np.arange(60))
    assert sorted(mine) == [3, *range(30, 60)]
    mine.clear()
    monkeypatch.setattr(measuring, "describe_version", lambda: "another delineator")
    floor_lib.measure(source, np.arange(60))
    assert len(mine) == 60


def test_measurements_of_files_are_of_the_checks_that_changed_them(measured, tmp_path):
    mine, cache = Source(), str(tmp_path / "measurements.npz")
    files = dataclasses.replace(mine.dataset, reads_files=True)
    counts = []
    for dataset, checks in ((files, "warn"), (files, "warn"), (files, "repair"), (mine.dataset, "warn")) * 2:
        mine.clear()
        floor_lib.measure(floor_lib.Source(dataset, checks, cache, Console(quiet=True)), np.arange(5, 9))
        counts.append(len(mine))
    assert counts == [4, 0, 4, 4] * 2
    damaged = bytearray(Path(cache).read_bytes())
    for i in range(0, len(damaged), 7):
        Path(cache).write_bytes(damaged[:i] + bytes([damaged[i] ^ 8]) + damaged[i + 1 :])
        floor_lib._read_cache(floor_lib.Source(files, "warn", cache, Console(quiet=True)))


def test_most_unreadable_is_no_floor(measured):
    mine = Source()
    dataset = dataclasses.replace(mine.dataset, read=lambda row: mine.read(row if row > 25 else 3))
    with (console := Console(width=200)).capture() as shown:
        assert floor_lib.create(floor_lib.Source(dataset, "refuse", None, console), score(dataset), seed=0) is None
    assert "most training recordings cannot be measured" in shown.get()


@pytest.mark.parametrize("split", ["train", None])
def test_without_other_recordings_there_is_no_floor_and_a_line_says_so(measured, split):
    dataset = Source().dataset
    if split is None:
        dataset = dataclasses.replace(dataset, split=None)
    rows = np.arange(5)
    with (console := Console(width=200)).capture() as shown:
        source = floor_lib.Source(dataset, "refuse", None, console)
        assert floor_lib.create(source, create_predictions(dataset, rows, np.full((5, 2), 0.5)), seed=0) is None
    assert "No measurement floor: it needs a training split, none of whose recordings is scored" in shown.get()


# Measurements of stores.


def create_measurer(seen, version="1"):
    """Measures the number of samples, and the highest of V1."""

    def measure(recordings):
        for recording in recordings:
            seen.append(len(recording.signal))
            yield np.array([len(recording.signal), recording.signal[:, 6].max(), np.nan], np.float32)

    return measurements.Measurer({"pr": "ms", "r_V1": "mV", "qt": "ms"}, version, measure)


@pytest.fixture
def folder(tmp_path):
    store_test.convert(tmp_path / "store")
    return str(tmp_path / "store")


def open_numbers(folder, labels):
    return datasets.open_source("store", source=folder, labels=labels, seed=0, options={}, kind=NUMBER)


def test_measurements_of_a_store_are_attributes_and_labels(folder):
    before = store_test.open_store(folder)
    assert before.store.measurements == {}
    assert not measurements.was_begun(folder)
    assert measurements.add(folder, create_measurer([])) == (7, [])  # without the silent, the broken and that in volts
    dataset = store_test.open_store(folder)
    assert [*dataset.attributes] == ["age", "sex", "pr", "qt"]
    np.testing.assert_array_equal(dataset.attributes["pr"], dataset.store.lengths)
    assert np.isnan(dataset.attributes["qt"]).all()
    for name in ("ids", "labels", "hashes"):
        np.testing.assert_array_equal(getattr(dataset, name), getattr(before, name))
    tops = [dataset.read(i).signal[:, 6].max() for i in range(7)]
    numbers = open_numbers(folder, "pr,r_V1")
    assert [*numbers.attributes] == ["age", "sex", "qt"]
    np.testing.assert_allclose(numbers.labels, np.stack([dataset.store.lengths, tops], 1))
    with pytest.raises(InputError, match="no number st_V1; there are: age, pr, qt"):
        open_numbers(folder, "st_V1")
    measured = floor_lib.measure(floor_lib.Source(dataset, "refuse", None, Console(quiet=True)), np.array([4, 1]))
    found = dict(zip(measuring.UNITS, measured.T, strict=True))
    np.testing.assert_array_equal(found["pr"], dataset.store.lengths[[4, 1]])
    np.testing.assert_allclose(found["r_V1"], np.array(tops)[[4, 1]])
    manifest = store.read_manifest(folder)
    assert manifest["measured"] == {"version": "1", "units": {"pr": "ms", "r_V1": "mV", "qt": "ms"}}


def test_a_shard_is_measured_once_whatever_ends_it(folder):
    seen = []
    measurer = create_measurer(seen)

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measurements.add(folder, measurer, stop)
    first = len(seen)
    assert 0 < first < 7
    assert measurements.was_begun(folder)
    assert store_test.open_store(folder).store.measurements == {}
    assert measurements.add(folder, measurer).measured == 7 - first
    assert measurements.add(folder, measurer).measured == 0
    assert len(seen) == 7
    path = next((Path(folder) / "measured").iterdir())
    content = path.read_bytes()
    middle = len(content) // 2
    for damaged in (b"damaged", content[:middle], content[:100] + b"????" + content[104:]):
        path.write_bytes(damaged)
        assert 0 < measurements.add(folder, measurer).measured < 7
    assert measurements.add(folder, create_measurer(seen, version="2")).measured == 7


def test_what_could_not_be_measured_is_tried_again_alone(folder):
    seen = []
    measurer = create_measurer(seen)

    def fail(recordings):
        yield from ("odd" if i % 2 else row for i, row in enumerate(measurer.measure(recordings)))

    count, failures = measurements.add(folder, dataclasses.replace(measurer, measure=fail))
    ids = store_test.open_store(folder).ids
    assert (count, len(failures), failures[0]) == (7 - len(failures), len(failures), f"{ids[1]}: odd")
    assert np.isnan(store_test.open_store(folder).attributes["pr"]).sum() == len(failures) > 1
    seen.clear()
    assert measurements.add(folder, measurer) == (len(failures), [])
    assert len(seen) == len(failures)
    assert not np.isnan(store_test.open_store(folder).attributes["pr"]).any()


def test_a_shard_of_repeats_alone_has_nothing_to_measure(tmp_path):
    own = store_test.create_dataset()
    rows = np.array([0, 2, 3] * 3)
    repeats = Dataset("mine", own.ids[:9], {"AF": np.zeros(9)}, lambda row: own.read(rows[row]), reads_files=False)
    store_test.convert(tmp_path, repeats, exclude=("duplicate",))
    assert len(store.read_manifest(str(tmp_path))["shards"]) > 1
    assert measurements.add(str(tmp_path), create_measurer([])) == (3, [])


def test_a_preparation_keeps_measurements_for_what_comes_next(folder):
    measurements.add(folder, create_measurer([]))
    store_test.convert(folder)  # without measuring, the store has the column no longer
    assert store_test.open_store(folder).store.measurements == {}
    assert measurements.was_begun(folder)
    assert measurements.add(folder, create_measurer([])).measured == 0
    assert "pr" in store_test.open_store(folder).attributes


def test_a_name_that_is_taken_says_that_it_was_measured(tmp_path):
    own = store_test.create_dataset()
    own = dataclasses.replace(own, attributes={"pr": np.arange(10.0), **own.attributes})
    store_test.convert(tmp_path, own)
    measurements.add(str(tmp_path), create_measurer([]))
    dataset = store_test.open_store(tmp_path)
    assert dataset.attributes["pr"].tolist()[:2] == [0, 2]
    np.testing.assert_array_equal(dataset.attributes["measured_pr"], dataset.store.lengths)


def test_real_measurements_are_in_their_units_and_of_their_leads():
    """A textbook ECG: 75 beats per minute, PR 110 ms before any margin, R of V5 above that of V1."""
    ecg = create_recording(measure_test.draw(), leads=LEADS, sampling_rate=measure_test.RATE, id="ecg")
    shuffled = dataclasses.replace(ecg, signal=ecg.signal[:, ::-1], valid=ecg.valid[:, ::-1], leads=LEADS[::-1])
    silent = create_recording(np.zeros((5000, 12)), leads=LEADS, sampling_rate=500, id="silent")
    rows = np.stack([*measuring.measure_many([ecg, shuffled, silent])])
    found = dict(zip(measuring.UNITS, rows[0], strict=True))
    assert found["heart_rate"] == pytest.approx(75, abs=0.3)
    assert 100 < found["pr"] < 180
    assert found["r_V5"] > 3 * found["r_V1"]
    assert found["r_V5"] == pytest.approx(ecg.signal[:, 10].max(), abs=0.05)
    assert np.isnan(rows[2]).all()
    np.testing.assert_allclose(rows[1], rows[0], atol=0.5)


def test_a_recording_that_cannot_be_measured_ends_nothing(monkeypatch):
    def fail(recordings):
        for each in recordings:
            if each.id == "odd":
                raise ValueError("odd")
            yield each

    monkeypatch.setattr(measuring, "delineate_parts", fail)
    monkeypatch.setattr(measuring, "measure", lambda recording, found: found)
    monkeypatch.setattr(measuring, "_arrange", lambda found: np.full(len(measuring.UNITS), len(found.id), np.float32))
    ecgs = [create_recording(np.ones((9, 12)), leads=LEADS, sampling_rate=9, id=id) for id in ("a", "odd", "bb")]
    found = [*measuring.measure_many([*ecgs, "not read"])]
    assert [each if isinstance(each, str) else each[0] for each in found] == [1, "ValueError: odd", 2, "not read"]


# As a user runs it.


def test_intervals_have_clinical_groups_where_these_tell_recordings_apart():
    for name in ("pr", "measured_pr"):
        assert subgroups.assign(name, np.array([100, 150, 230, NAN])).tolist() == [
            "below 120",
            "120 to below 180",
            "220 and above",
            "unknown",
        ]
    assert len({*subgroups.assign("pr", np.linspace(0.1, 0.3, 9))}) == 4  # seconds: quartiles
    assert subgroups.assign("qrs", np.array([0.0, 1, NAN])).tolist() == ["0", "1", "unknown"]


def test_intervals_beside_predictions_make_subgroups(tmp_path):
    """The CSV of `predict --measure` beside a CSV of labels."""
    truth = np.arange(6) % 2
    table = pd.DataFrame(
        {"recording": [f"r{i}" for i in range(6)], "AF": truth * 0.5 + 0.2, "heart_rate": [45.0] * 5 + [80]}
    )
    table = table.assign(pr=np.where(truth, NAN, 150), qrs=[80, 90, 100, 110, 120, 130], axis=[0.5] * 6)
    table.to_csv(tmp_path / "p.csv", index=False)
    table[["recording"]].assign(AF=truth, axis=[1, 0, 1, 0, 1, 0]).to_csv(tmp_path / "l.csv", index=False)
    opened = evaluated_files.open_file(Files(str(tmp_path / "p.csv"), str(tmp_path / "l.csv")))
    assert opened.predictions.names == ("AF", "axis")  # that of the labels is one of them
    assert [*opened.predictions.attributes] == ["heart_rate", "pr", "qrs"]
    groups = {
        name: subgroups.assign(name, values)[:2].tolist() for name, values in opened.predictions.attributes.items()
    }
    assert groups == {"heart_rate": ["below 50"] * 2, "pr": ["120 to below 180", "unknown"], "qrs": ["below 110"] * 2}
    assert opened.warnings == ()


def test_an_interval_that_few_recordings_have_is_no_label(tmp_path):
    count = 1200
    truth = np.arange(count) % 2
    table = pd.DataFrame(
        {"recording": np.arange(count), "AF": truth * 0.5 + 0.2, "qt": NAN, "pr": [NAN] * 1199 + [160]}
    )
    table.to_csv(tmp_path / "p.csv", index=False)
    table[["recording"]].assign(AF=truth).to_csv(tmp_path / "l.csv", index=False)
    opened = evaluated_files.open_file(Files(str(tmp_path / "p.csv"), str(tmp_path / "l.csv")))
    assert (opened.predictions.names, [*opened.predictions.attributes]) == (("AF",), ["qt", "pr"])


@pytest.mark.slow
def test_a_store_is_measured_once_and_a_run_has_a_floor(tmp_path):
    few, some = (
        [
            f"--config.data.simulated.{name}={size}"
            for name, size in zip(("train", "validation", "test"), sizes, strict=True)
        ]
        for sizes in ((4, 2, 2), (64, 32, 32))
    )
    config = ["--config=configs/smoke.py", "--config.evaluation.resamples=20", "--config.model.variant.units=1"]
    done = call(
        "prepare", "--config=configs/smoke.py", "--output=store", "--measure", "--workers=1", *few, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "Measured 8 recordings" in done.stdout
    assert "all were measured before" in call("prepare", "--output=store", "--measure", cwd=tmp_path).stdout
    kept = ["--config.evaluation.floor=measure", "--config.evaluation.report=false"]
    done = call("main", *config, *kept, *some, "--workdir=run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert {"auroc_floor", "auroc_rate_only"} <= {*pd.read_csv(tmp_path / "run" / "evaluation" / "scores.csv")}
    assert (tmp_path / "run" / floor_lib.CACHE).exists()
    done = call("evaluate", "--model=run", "--measure", "--resamples=20", "--output=out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Measuring" not in done.stdout
    floor = pd.read_csv(tmp_path / "out" / "floor.csv").set_index("label")
    assert {"1dAVb", "macro"} <= {*floor.index}
    assert floor.loc["1dAVb", "floor"] > 0.7
    assert "Network and measurements" in (tmp_path / "out" / "report.html").read_text()
    groups = pd.read_csv(tmp_path / "out" / "subgroups.csv")
    assert {"heart_rate", "pr", "qrs", "axis"} <= {*groups["column"]}
    refused = call("evaluate", "--predictions=run/predictions.csv", "--measure", cwd=tmp_path)
    assert "--measure goes with --model" in refused.stderr
