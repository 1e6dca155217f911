"""Compiled programs are kept on disk, so that the same command need not compile again."""

import hashlib
import os
import platform
import sys
import tempfile

from ecg_jax.errors import InputError

_VARIABLE = "JAX_COMPILATION_CACHE_DIR"


def keep_programs() -> None:
    """Has JAX keep what it compiles for longer than a second.

    In the folder that JAX_COMPILATION_CACHE_DIR names; by default one under the user's cache, of its
    own for each kind of processor. JAX_ENABLE_COMPILATION_CACHE=false turns it off. To be called
    before JAX is imported, which reads the environment then.

    Raises:
        InputError: when the folder that was named cannot be written. If it is the default one, a
            line says so and nothing is kept.
    """
    if os.environ.get("JAX_ENABLE_COMPILATION_CACHE", "").lower() in ("0", "false"):
        return
    named = os.environ.get(_VARIABLE)
    if named and "://" in named:  # a bucket
        return
    folder = named or os.path.join(_find_user_cache(), "ecg_jax", f"compiled-{_identify_processor()}")
    problem = _try_to_write(folder)
    if problem is None:
        os.environ[_VARIABLE] = folder
        return
    told = (
        f"{folder}: compiled programs cannot be kept there ({problem}); set {_VARIABLE} to a folder that can be written"
    )
    if named:
        raise InputError(f"{told}, or JAX_ENABLE_COMPILATION_CACHE=false")
    print(f"warning: {told}", file=sys.stderr)


def _find_user_cache() -> str:
    return os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")


def _identify_processor() -> str:
    """Programs for one processor may not run on another that sees the same disk."""
    features = platform.machine()
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo") as file:
            features += next((line for line in file if line.startswith(("flags", "Features"))), "")
    return hashlib.sha256(features.encode()).hexdigest()[:12]


def _try_to_write(folder: str) -> str | None:
    try:
        os.makedirs(folder, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return None
    except OSError as error:
        return error.strerror or str(error)
