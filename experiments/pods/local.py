"""Starts several processes of one run on this machine: one for each GPU, or a rehearsal of a pod.

  python experiments/pods/local.py 4 --config=configs/smoke.py --workdir=runs/smoke

The flags are those of `python -m ecg_jax.main`. Process k sees GPU k alone, and there are no more
processes than GPUs, if there are any. SIGTERM or Ctrl-C stops all of them at a common step, with a
checkpoint. When one ends badly the others are asked to end too, and killed if they have not after 30
seconds. The exit status is the highest of theirs (128 + N for signal N).
"""

import os
import signal
import socket
import subprocess
import sys
import time
from types import FrameType

_GRACE_SECONDS, _POLL_SECONDS = 30, 0.1


def main(argv: list[str]) -> int:
    """Runs `argv[0]` processes with the flags that follow."""
    if not (argv and argv[0].isdigit() and int(argv[0])):
        sys.stderr.write("error: start with the number of processes, as 4 --config=configs/smoke.py\n")
        return 1
    count = int(argv[0])
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    command = [sys.executable, "-m", "ecg_jax.main", *argv[1:]]
    # A session of their own, so that Ctrl-C in the terminal reaches them once: through this process.
    processes = [
        subprocess.Popen(command, env=_environment(address, count, index), start_new_session=True)
        for index in range(count)
    ]

    def pass_on(number: int, frame: FrameType | None) -> None:
        _send(processes, signal.SIGTERM)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, pass_on)
    return _wait(processes)


def _environment(address: str, count: int, index: int) -> dict[str, str]:
    place = {"JAX_COORDINATOR_ADDRESS": address, "JAX_NUM_PROCESSES": str(count), "JAX_PROCESS_ID": str(index)}
    return {"JAX_LOCAL_DEVICE_IDS": str(index)} | dict(os.environ) | place


def _wait(processes: list[subprocess.Popen[bytes]]) -> int:
    deadline = None
    while any(process.poll() is None for process in processes):
        if deadline is None and any(process.returncode for process in processes):
            deadline = time.monotonic() + _GRACE_SECONDS
            _send(processes, signal.SIGTERM)
        if deadline is not None and time.monotonic() > deadline:
            _send(processes, signal.SIGKILL)
        time.sleep(_POLL_SECONDS)
    return max(process.returncode if process.returncode >= 0 else 128 - process.returncode for process in processes)


def _send(processes: list[subprocess.Popen[bytes]], number: int) -> None:
    for process in processes:
        if process.poll() is None:
            process.send_signal(number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
