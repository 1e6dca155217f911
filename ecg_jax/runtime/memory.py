"""Memory that stays with the process between steps."""

import ctypes
import os
import platform

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX, _ARENA_MAX = -1, -2, -4, -8  # glibc's malloc.h
_ACCELERATORS = ("/dev/nvidiactl", "/dev/kfd", "/dev/accel0", "/dev/vfio/0")


def keep_freed_memory() -> bool:
    """Has glibc keep what is freed, for the next step, instead of giving it back to the system.

    On a CPU every step allocates and frees gigabytes, and Linux clears each page anew when it is
    touched; `experiments/throughput.py` has what that costs. All threads then share one heap, so it
    is not done where an accelerator computes. To be called before JAX is imported.

    Returns:
        Whether it is so from now on.
    """
    if platform.libc_ver()[0] != "glibc" or any(map(os.path.exists, _ACCELERATORS)):
        return False
    mallopt = ctypes.CDLL(None).mallopt
    settings = ((_ARENA_MAX, 1), (_MMAP_MAX, 0), (_TRIM_THRESHOLD, 2**31 - 1), (_TOP_PAD, 2**26))
    return all([mallopt(parameter, value) == 1 for parameter, value in settings])
