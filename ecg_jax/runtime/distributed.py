"""One process or many."""

import os

import jax
from rich.console import Console

from ecg_jax.errors import InputError

_VARIABLES = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")


def start(console: Console) -> Console:
    """Joins the other processes, if the environment names them, and silences all but the first.

    The same command runs in every process, each with `JAX_COORDINATOR_ADDRESS`
    (host:port of process 0), `JAX_NUM_PROCESSES` and `JAX_PROCESS_ID` set.

    Args:
        console: Of this process.

    Returns:
        The console to use: the same in process 0, a silent one elsewhere.

    Raises:
        InputError: when only some of the variables are set.
    """
    values = {name: os.environ[name] for name in _VARIABLES if name in os.environ}
    if values and len(values) < len(_VARIABLES):
        missing = sorted(set(_VARIABLES) - set(values))
        raise InputError(f"environment: {', '.join(values)} set without {', '.join(missing)}; set all three or none")
    if values:
        address, count, index = (values[name] for name in _VARIABLES)
        if not (count.isdigit() and index.isdigit() and int(index) < int(count)):
            raise InputError(f"environment: JAX_PROCESS_ID is {index!r} of JAX_NUM_PROCESSES {count!r}; count from 0")
        jax.distributed.initialize(address, int(count), int(index))
    return console if jax.process_index() == 0 else Console(quiet=True)
