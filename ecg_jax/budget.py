"""What reading one file may cost, whatever it announces: a few bytes can ask for any amount of memory and time.

Honest files stay far below: ECGs compress to a third at best, and the longest recordings that are predicted, of a day
at the rate that the network expects, hold as many samples as they are stored with.
"""

from ecg_jax.errors import InputError

MOST_LEADS = 512  # of one recording; maps of the body's surface have 256
MOST_VALUES = 1 << 29  # samples times leads as stored: a day of twelve leads at 500 Hz
LONGEST = 31 * 86_400  # seconds

_UNPACKED, _TIMES_UNPACKED = 1 << 24, 4  # bytes, and times those of the file
_RESAMPLED, _TIMES_RESAMPLED = 1 << 25, 8  # values, and times those that the recording has


def limit_unpacked(stored: int, times: int = _TIMES_UNPACKED) -> int:
    """Bytes to which `stored` bytes of a file may unpack: 16 MiB, or some times what is stored."""
    return max(_UNPACKED, times * stored)


def check_stored(id: str, samples: int, leads: int, sampling_rate: float) -> None:
    """Raises `InputError` on a recording of more leads, values or seconds than any ECG has."""
    for found, most, unit in (
        (leads, MOST_LEADS, "leads"),
        (samples * leads, MOST_VALUES, "values (samples times leads)"),
        (samples / sampling_rate, LONGEST, "seconds"),
    ):
        if found > most:
            raise InputError(f"{id}: {found:.15g} {unit}; at most {most} are read, cut it into parts")


def check_windows(id: str, windows: int, shape: tuple[int, int]) -> None:
    """Raises `InputError` when a recording would become far more windows of `(samples, leads)` than any needs."""
    most = MOST_VALUES // (shape[0] * shape[1])
    if windows > most:
        raise InputError(f"{id}: {windows} windows of {shape[0]} samples; at most {most} are made of one recording")


def check_resampled(id: str, known: int, samples: int, leads: int) -> None:
    """Raises `InputError` when resampling would make far more of a recording than it has.

    Args:
        id: Of the recording.
        known: Number of its valid values.
        samples: After resampling.
        leads: After resampling, with those that are zeros.
    """
    most = max(_RESAMPLED, _TIMES_RESAMPLED * known)
    if samples * leads > most:
        raise InputError(
            f"{id}: {samples} samples of {leads} leads at the network's sampling rate, of {known} values that the "
            f"recording has; at most {most // leads} samples are made of them, cut it into parts"
        )
