"""Shared by all tests: where real data lies, and a compilation cache so that subprocesses compile once."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("JAX_PLATFORMS", "cpu")
SHARED = Path(os.environ.get("ECG_JAX_SHARED", Path(__file__).parents[2] / "shared"))


@pytest.fixture(scope="session", autouse=True)
def compilation_cache(tmp_path_factory: pytest.TempPathFactory):
    """Lets every process of the test run share compiled programs."""
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(tmp_path_factory.mktemp("compiled"))
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.5"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real recordings, from ECG_JAX_SHARED; skips where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(f"no real data at {SHARED} (set ECG_JAX_SHARED)")
    return SHARED
