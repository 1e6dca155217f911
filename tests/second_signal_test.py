"""A second Ctrl-C ends a run at once, whatever it is doing, and without a crash."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

CONFIG = Path(__file__).parents[1] / "configs" / "smoke.py"
FLAGS = [
    f"--config={CONFIG}",
    "--config.contract.samples=256",
    "--config.train.steps=100000",
    "--config.train.eval_every=1000",
    "--config.train.log_every=5",
    "--config.checkpoint.every=5",
]


def wait_for(run: subprocess.Popen, word: str) -> None:
    """Reads what a run says until a line begins with a word."""
    for line in run.stdout:
        if line.startswith(word):
            return
    raise AssertionError(f"the run ended: {run.wait()}")


@pytest.mark.slow
@pytest.mark.parametrize("word, pause", [("Compiling", 0.5), ("step", 0.02)], ids=["compiling", "in a step or a save"])
def test_a_second_ctrl_c_ends_a_run_within_a_second_and_without_a_crash(tmp_path, word, pause):
    command = [sys.executable, "-m", "ecg_jax.main", *FLAGS, f"--workdir={tmp_path}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ) as run:
        wait_for(run, word)
        run.send_signal(signal.SIGINT)
        time.sleep(pause)
        run.send_signal(signal.SIGINT)
        begin = time.monotonic()
        assert run.wait(60) == 130
        assert time.monotonic() - begin < 1
        assert run.stderr.read().endswith("Interrupted.\n")


def is_running(process: int) -> bool:
    """Whether a process is there, and not only waits for its parent to ask how it ended."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_children_end_with_the_process():
    script = (
        "import multiprocessing, os, signal, sys, time\n"
        "from ecg_jax.runtime import second_signal\n"
        "second_signal.watch()\n"
        "signal.signal(signal.SIGINT, lambda *_: None)\n"
        "child = multiprocessing.get_context('fork').Process(target=time.sleep, args=(60,))\n"
        "child.start()\n"
        "os.kill(os.getpid(), signal.SIGINT); time.sleep(0.1)\n"  # the first is the program's own to answer
        "print(child.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGINT); time.sleep(60)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30)
    assert done.returncode == 130, done.stderr
    end = time.monotonic() + 5
    while is_running(int(done.stdout)):
        assert time.monotonic() < end
