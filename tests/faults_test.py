"""What goes wrong in a run: too little memory, steps that are not finite."""

import io
import json
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import pytest
from ml_collections import ConfigDict
from rich.console import Console

from configs import smoke
from ecg_jax import config as config_lib
from ecg_jax.errors import InputError
from ecg_jax.runtime import hardware, parallel
from ecg_jax.training import loop, step_log

GB = 10**9
REMEDIES = "model.dtype=bfloat16, model.checkpoint_activations=true"
STATS = {"bytes_limit": 60 * GB, "bytes_in_use": 2 * GB, "peak_bytes_in_use": 3 * GB}


def explain(message: str, **options) -> str:
    explained = hardware.explain_out_of_memory(RuntimeError(message), **{"batch_size": 512} | options)
    assert "\n" not in str(explained)
    return str(explained)


@pytest.mark.parametrize(
    "message",
    [
        "RESOURCE_EXHAUSTED: Out of memory while trying to allocate 100000000000 bytes.",
        "RESOURCE_EXHAUSTED: Out of memory while trying to allocate 93.13GiB.\nBufferAssignment OOM Debugging.",
        "RESOURCE_EXHAUSTED: Failed to allocate request for 93.13GiB (100000000000B) on device ordinal 0",
    ],
)
def test_a_gpu_out_of_memory_is_told_with_the_batch_that_fits(message):
    found = explain(message, stats=STATS, state_bytes=2 * GB, devices=4, device_kind="NVIDIA X")
    # 512 ECGs take 100 GB beside 2 GB of state; of 60 GB, 58 are left: 512 * 0.58 * 0.9 = 267
    assert found == (
        "the memory of a device (NVIDIA X, 60.0 GB) is too small for a batch of 512, which needs about 102.0 GB; "
        f"264 would fit. Set one or more of train.batch_size=264, train.accumulate=2, {REMEDIES}"
    )


def test_a_tpu_out_of_memory_is_told_from_the_compilers_numbers():
    message = (
        "RESOURCE_EXHAUSTED: XLA:TPU compile permanent error. Ran out of memory in memory space hbm. "
        "Used 31.00G of 15.50G hbm. Exceeded hbm capacity by 15.50G."
    )
    found = explain(message, batch_size=128, accumulate=2, device_kind="TPU v5 lite")
    assert "(TPU v5 lite, 16.6 GB) is too small for a batch of 128 in 2 parts, which needs about 33.3 GB; 57" in found
    assert "train.batch_size=57, train.accumulate=8, " in found  # 57 in 2 parts is 28.5 at a time: 16, not 32


def test_without_numbers_half_the_batch_is_proposed():
    found = explain("RESOURCE_EXHAUSTED: Out of memory", batch_size=64)
    assert "(device) is too small for a batch of 64; 32 would be half of it. Set" in found
    small = "RESOURCE_EXHAUSTED: Out of memory while trying to allocate 1000 bytes."
    assert "32 would be half of it" in explain(small, batch_size=64, stats=STATS)


def test_where_nothing_fits_no_batch_size_is_proposed():
    message = "RESOURCE_EXHAUSTED: Out of memory while trying to allocate 900000000000 bytes."
    found = explain(message, batch_size=8, devices=8, stats=STATS)
    assert f"; not even one ECG per device would fit. Set one or more of {REMEDIES}" in found


def test_another_error_stays_what_it_is():
    assert hardware.explain_out_of_memory(RuntimeError("INTERNAL: out of luck"), batch_size=8) is None


def tiny(**train) -> ConfigDict:
    config = smoke.get_config()
    config.contract.samples = 64
    config.model.variant.units = 1
    config.train.update(train)
    return config


@pytest.mark.slow
@pytest.mark.parametrize("message", ["RESOURCE_EXHAUSTED: Out of memory allocating 8000 bytes.", "INTERNAL: a bug"])
def test_a_step_out_of_memory_ends_the_run_in_one_line(tmp_path, monkeypatch, message):
    def compile_train(self, step):
        def call(state, batch):
            raise jax.errors.JaxRuntimeError(message)

        return call

    monkeypatch.setattr(parallel.Parallel, "compile_train", compile_train)
    expected = InputError if "RESOURCE" in message else jax.errors.JaxRuntimeError
    match = "too small for a batch of 16; 8 would be half of it" if "RESOURCE" in message else message
    with pytest.raises(expected, match=match):
        loop.train_and_evaluate(tiny(), str(tmp_path), Console(quiet=True))


def fake_train_step(bad: set[int]):
    """A step that only counts, and finds some steps not finite; it compiles nothing."""

    def compile_train(self, step):
        def call(state, batch):
            number, window = int(state.step), state.window
            is_bad = number in bad
            first = number if is_bad and window.bad_step < 0 else window.bad_step
            window = window.replace(
                steps=window.steps + 1,
                loss_sum=window.loss_sum + 1,
                loss_count=window.loss_count + 1,
                skipped=window.skipped + is_bad,
                bad_step=jnp.asarray(first, jnp.int32),
            )
            return state.replace(step=state.step + 1, window=window)

        return call

    return compile_train


@pytest.mark.slow
def test_skipped_steps_are_told_with_their_recordings_and_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(parallel.Parallel, "compile_train", fake_train_step({3, 5, 13}))
    config = tiny(nonfinite="skip", steps=20, log_every=10, eval_every=20)
    config.evaluation.update(resamples=10, report=False)
    output = io.StringIO()
    loop.train_and_evaluate(config, str(tmp_path), Console(file=output, soft_wrap=True))
    warnings = [line for line in output.getvalue().splitlines() if line.startswith("warning: the loss")]
    assert len(warnings) == 2
    assert warnings[0].startswith("warning: the loss or gradient of step 3 is not finite; its batch: train-")
    assert warnings[0].endswith("2 of the last 10 steps were skipped")
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["skipped"] for line in lines if line["kind"] == "train"] == [2, 1]


@pytest.mark.slow
@pytest.mark.parametrize("nonfinite", ["skip", "stop"])
def test_a_run_stops_when_most_steps_are_skipped_or_at_the_first(tmp_path, monkeypatch, nonfinite):
    monkeypatch.setattr(parallel.Parallel, "compile_train", fake_train_step({*range(30)} - {1, 4}))
    config = tiny(nonfinite=nonfinite, steps=20, log_every=10, eval_every=20)
    told = {
        "skip": "8 of the last 10 steps were skipped: more than half",
        "stop": "There is no checkpoint yet; look at these",
    }
    with pytest.raises(InputError, match=f"step 0 is not finite.*{told[nonfinite]}") as caught:
        loop.train_and_evaluate(config, str(tmp_path), Console(quiet=True))
    assert ("skipped" in str(caught.value)) == (nonfinite == "skip")


def judge(windows: list[tuple[int, int]]) -> int:
    """Windows of `(steps, skipped)` that pass before the run is stopped."""
    examples = SimpleNamespace(ids=lambda order, step: ["a", "b"])
    setup = SimpleNamespace(workdir="run", config=tiny(), examples=examples, order=None)
    log = step_log.StepLog(setup, None, None, Console(quiet=True))
    for number, (steps, skipped) in enumerate(windows):
        try:
            log._judge_skipped(SimpleNamespace(steps=steps, skipped=skipped, bad_step=0))
        except InputError:
            return number
    return len(windows)


def test_windows_of_few_steps_are_judged_together():
    assert judge([(1, 1), (20, 3), (1, 1)]) == 3  # a log line of one step, before an evaluation
    assert judge([(1, 1)] * 20) == 5  # more than half of ten
    assert judge([(20, 10), (20, 11)]) == 1
    assert judge([(1, 0), (1, 1)] * 50) == 100


def test_what_to_do_at_a_non_finite_step_is_one_of_two():
    config = config_lib.override(config_lib.create_default(), {"train.nonfinite": "ignore"})
    with pytest.raises(InputError, match=r"config.train.nonfinite is 'ignore'; known: stop, skip"):
        config_lib.check(config)
