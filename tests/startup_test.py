"""What happens before JAX is imported: programs that are kept, memory that is kept."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ecg_jax.errors import InputError
from ecg_jax.runtime import startup

VARIABLE = "JAX_COMPILATION_CACHE_DIR"


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A user's cache folder, and an environment that names no other."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(VARIABLE, raising=False)
    yield tmp_path / "cache"
    os.environ.pop(VARIABLE, None)


def test_programs_are_kept_under_the_users_cache_by_processor(home):
    startup.keep_programs()
    folder = Path(os.environ[VARIABLE])
    assert folder.parent == home / "ecg_jax"
    assert folder.name.startswith("compiled-")
    assert folder.is_dir()


def test_a_folder_that_was_named_is_used(home, tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(tmp_path / "mine"))
    startup.keep_programs()
    assert os.environ[VARIABLE] == str(tmp_path / "mine")
    assert not home.exists()
    monkeypatch.setenv(VARIABLE, "gs://bucket/programs")  # JAX's own matter
    startup.keep_programs()


def test_a_named_folder_that_cannot_be_written_is_an_error_with_a_remedy(home, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv(VARIABLE, str(tmp_path / "file" / "programs"))
    with pytest.raises(InputError, match=r"cannot be kept there \(Not a directory\); set JAX_COMPILATION_CACHE_DIR to"):
        startup.keep_programs()


def test_a_default_folder_that_cannot_be_written_is_a_warning(home, capsys):
    home.touch()
    startup.keep_programs()
    assert VARIABLE not in os.environ
    warning = capsys.readouterr().err
    assert warning.startswith(f"warning: {home}/ecg_jax/compiled-")
    assert warning.count("\n") == 1


def test_it_can_be_turned_off(home, monkeypatch):
    monkeypatch.setenv("JAX_ENABLE_COMPILATION_CACHE", "false")
    startup.keep_programs()
    assert VARIABLE not in os.environ


FAULTS = """
import resource, threading, numpy as np
from ecg_jax.runtime import startup

is_kept = KEEP and startup.configure_allocator()

def touch():
    for _ in range(5):
        np.ones(8_000_000)  # 64 MB

def count():
    thread = threading.Thread(target=touch)  # as JAX computes in threads
    thread.start()
    thread.join()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

first = count()
print(is_kept, count() - first)
"""


@pytest.mark.skipif(startup.platform.libc_ver()[0] != "glibc", reason="another C library")
def test_kept_memory_is_not_cleared_again():
    def run(keep):
        command = [sys.executable, "-c", FAULTS.replace("KEEP", str(keep))]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        is_kept, faults = done.stdout.split()
        return is_kept, int(faults)

    is_kept, faults = run(True)
    if is_kept == "False":
        pytest.skip("an accelerator computes here")
    assert faults < 0.05 * run(False)[1]
