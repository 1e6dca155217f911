"""What is set before JAX is imported: where compiled programs are kept, and how memory is allocated."""

import hashlib
import os
import platform
import sys
import tempfile

from ecg_jax.allocator import keep_freed_memory
from ecg_jax.errors import InputError

_VARIABLE = "JAX_COMPILATION_CACHE_DIR"
_ACCELERATORS = ("/dev/nvidiactl", "/dev/kfd", "/dev/accel0", "/dev/vfio/0")


def configure_allocator() -> bool:
    """Keeps freed memory for the next step, see `allocator.keep_freed_memory`.

    On a CPU every step allocates and frees gigabytes; `experiments/throughput.py` measures what clearing them costs.
    As threads then share one heap, it is not done where an accelerator computes.

    Returns:
        Whether it was done.
    """
    return not any(map(os.path.exists, _ACCELERATORS)) and keep_freed_memory()


def keep_programs() -> None:
    """Has JAX keep programs that took longer than a second to compile.

    They are kept in the folder that JAX_COMPILATION_CACHE_DIR names; by default one under the user's cache, of its
    own for each kind of processor. JAX_ENABLE_COMPILATION_CACHE=false turns it off.

    Raises:
        InputError: when the folder that was named cannot be written. If it is the default one, a
            line says so and nothing is kept.
    """
    if os.environ.get("JAX_ENABLE_COMPILATION_CACHE", "").lower() in ("0", "false"):
        return
    named = os.environ.get(_VARIABLE)
    if named and "://" in named:  # a bucket
        return
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    folder = named or os.path.join(cache, "ecg_jax", f"compiled-{_identify_processor()}")
    try:
        os.makedirs(folder, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            os.environ[_VARIABLE] = folder
    except OSError as error:
        message = (
            f"{folder}: compiled programs cannot be kept there ({error.strerror or error}); "
            f"set {_VARIABLE} to a folder that can be written"
        )
        if named:
            raise InputError(f"{message}, or JAX_ENABLE_COMPILATION_CACHE=false") from error
        print(f"warning: {message}", file=sys.stderr)


def _identify_processor() -> str:
    """Programs for one processor may not run on another that sees the same disk."""
    features = platform.machine()
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo") as file:
            features += next((line for line in file if line.startswith(("flags", "Features"))), "")
    return hashlib.sha256(features.encode()).hexdigest()[:12]
