"""Shared by all tests: where real data lies, and a compilation cache so that subprocesses compile once."""

import os
import sys
from pathlib import Path

import pytest

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Compiling takes longer than running here; less optimized programs compute the same function.
FAST_COMPILE = "--xla_backend_optimization_level=1"
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {FAST_COMPILE}"

import jax  # noqa: E402 - reads the environment

SHARED = Path(os.environ.get("ECG_JAX_SHARED", Path(__file__).parents[2] / "shared"))


@pytest.fixture(scope="session", autouse=True)
def compilation_cache(tmp_path_factory: pytest.TempPathFactory):
    """Lets every process of the test run share compiled programs."""
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(base / "compiled")
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.5"
    jax.config.update("jax_compilation_cache_dir", os.environ["JAX_COMPILATION_CACHE_DIR"])
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
    if "processes" in sys.modules:  # some test that was collected starts programs
        sys.modules["processes"].start_server()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real recordings, from ECG_JAX_SHARED; skips where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(f"no real data at {SHARED} (set ECG_JAX_SHARED)")
    return SHARED
