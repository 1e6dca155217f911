"""What the server that workers are forked from imports, for seconds on a cold disk: Ctrl-C is not for it meanwhile."""

import importlib
import signal

_before = signal.signal(signal.SIGINT, signal.SIG_IGN)
for _name in ("ecg_jax.data.store.conversion", "ecg_jax.data.datasets", "ecg_jax.data.loading", "threadpoolctl"):
    importlib.import_module(_name)
signal.signal(signal.SIGINT, _before)  # as processes that others fork from it expect
