"""CPSC2018's own MATLAB files: a struct `ECG` {sex, age, data}, data [12, N] double in mV at 500 Hz.

Leads I, II, III, aVR, aVL, aVF, V1-V6. Source: Liu et al., J. Med. Imaging Health Inform. 8 (2018) 1368,
http://2018.icbeb.org/Challenge.html. The file names neither leads nor rate nor unit.
"""

from ecg_jax.data.readers import matlab, reading
from ecg_jax.errors import InputError
from ecg_jax.recording import LEADS, Recording, create_recording

SAMPLING_RATE = 500.0


def matches(path: str, head: bytes) -> bool:
    """Tells a MATLAB 5 file whose first variable is called `ECG`."""
    return matlab.begins_with(head, b"ECG")


@reading.reader("CPSC2018 MATLAB")
def read(path: str, id: str) -> Recording:
    """Reads the recording; raises `InputError` when the file is damaged or of another layout."""
    data = matlab.read(reading.read_bytes(path), b"ECG", b"data")
    if data.ndim != 2 or data.shape[0] != len(LEADS) or data.dtype.kind != "f":
        raise InputError(f"{path}: ECG.data is {data.dtype} {data.shape}; expected double (12, samples)")
    return create_recording(data.T, leads=LEADS, sampling_rate=SAMPLING_RATE, id=id)
