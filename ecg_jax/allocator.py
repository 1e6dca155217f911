"""How memory is allocated: glibc keeps what was freed for the next step, instead of returning it to the system."""

import ctypes
import platform

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX, _ARENA_MAX = -1, -2, -4, -8  # glibc's malloc.h


def keep_freed_memory() -> bool:
    """Has all threads of this process share one heap that never shrinks: else Linux clears each page again.

    Returns:
        Whether it was done, which is where the C library is glibc.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    settings = ((_ARENA_MAX, 1), (_MMAP_MAX, 0), (_TRIM_THRESHOLD, 2**31 - 1), (_TOP_PAD, 2**26))
    return all([mallopt(parameter, value) == 1 for parameter, value in settings])
