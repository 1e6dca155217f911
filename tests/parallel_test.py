"""One global batch, one trajectory: whatever shares the work."""

import os
import socket
from pathlib import Path

import numpy as np
import processes
import pytest

from ecg_jax.contract import InputContract
from ecg_jax.data.datasets import simulated
from ecg_jax.data.store import conversion
from ecg_jax.labels import SIX

WORKER = Path(__file__).parent / "workers" / "trajectory.py"
LAYOUTS = {  # name: mode, devices per process, processes
    "jit on 1 device": ("jit", 1, 1),
    "jit on 8 devices": ("jit", 8, 1),
    "pmap on 8 devices": ("pmap", 8, 1),
    "pmap on 2 processes of 2": ("pmap", 2, 2),
    "jit on 2 processes of 2": ("jit", 2, 2),
    "data in the memory of 8 devices": ("pmap_device", 8, 1),
    "five steps in one call": ("jit_scanned", 1, 1),
    "five steps in one call on 2 processes of 2": ("jit_scanned", 2, 2),
}
LOCAL = {"pmap on 8 devices, local statistics": ("pmap_local", 8, 1)}
ELASTIC = {  # what a run is stopped and continued on, in this order
    "4 devices": ("jit", 4, 1),
    "2 processes": ("pmap", 1, 2),
    "1 device, data resident": ("jit_device", 1, 1),
    "2 devices": ("pmap", 2, 1),
}


def run_layout(name: str, x64: bool, folder: Path, *more: str) -> list[dict[str, np.ndarray]]:
    mode, devices, count = (LAYOUTS | LOCAL | ELASTIC)[name]
    prefix = str(folder / f"{name.replace(' ', '_')}_{int(x64)}_")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    running = []
    for index in range(count):
        flag = f"--xla_force_host_platform_device_count={devices} --xla_backend_optimization_level=0"  # compiled once
        env = os.environ | {"XLA_FLAGS": f"{os.environ['XLA_FLAGS']} {flag}"}
        if count > 1:
            env |= {
                "JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{port}",
                "JAX_NUM_PROCESSES": str(count),
                "JAX_PROCESS_ID": str(index),
            }
        running.append(processes.start(WORKER, mode, int(x64), folder / "store", prefix, *more, env=env))
    outputs = ["".join(process.communicate(timeout=400)) for process in running]
    assert all(process.returncode == 0 for process in running), "\n".join(outputs)[-4000:]
    return [dict(np.load(f"{prefix}{index}.npz")) for index in range(count)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for results, with a store of simulated ECGs in it."""
    folder = tmp_path_factory.mktemp("trajectories")
    ecgs = simulated.create(source="", labels=SIX, seed=3, train=48, validation=0, test=0)
    origin = {"dataset": "simulated", "source": "", "seed": 3, "options": {}}
    settings = conversion.Settings(InputContract(samples=256), origin=origin)
    conversion.convert(str(folder / "store"), lambda: ecgs, settings)
    return folder


@pytest.fixture(scope="module")
def alone(folder: Path) -> dict[str, np.ndarray]:
    return run_layout("jit on 1 device", True, folder)[0]


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name == "pmap on 8 devices" else pytest.mark.slow)
        for name in LAYOUTS
        if name != "jit on 1 device"
    ],
)
def test_every_layout_follows_the_same_trajectory_in_float64(name, folder, alone):
    for ended in run_layout(name, True, folder):
        assert ended.keys() == alone.keys()
        history = alone["history"]  # of each step; where several are one call, their sums
        expected = alone | {"history": history.reshape(len(ended["history"]), -1, history.shape[1]).sum(axis=1)}
        for path, leaf in expected.items():
            assert ended[path].dtype == np.float64
            np.testing.assert_allclose(ended[path], leaf, rtol=0, atol=1e-9, err_msg=path)


@pytest.mark.slow
def test_a_run_that_continues_on_other_devices_and_processes_is_the_same_run(folder, alone):
    """In float64, to 1e-9: losses of every batch, so that they are the same batches, and where it ends."""
    checkpoints, history = str(folder / "checkpoints"), []
    for name, until in zip(ELASTIC, (4, 9, 13, 20), strict=True):
        ended = run_layout(name, True, folder, checkpoints, str(until))[0]
        history.append(ended.pop("history"))
    np.testing.assert_allclose(np.concatenate(history), alone["history"], rtol=0, atol=1e-9)
    for path, leaf in ended.items():
        np.testing.assert_allclose(leaf, alone[path], rtol=0, atol=1e-9, err_msg=path)


@pytest.mark.slow
def test_local_batch_statistics_are_another_trajectory_that_keeps_what_is_frozen(folder, alone):
    (ended,) = run_layout(*LOCAL, False, folder)
    frozen = [path for path in ended if path.startswith("batch_stats/trunk/stem/norm")]
    assert len(frozen) == 2
    for path in frozen:
        np.testing.assert_array_equal(ended[path], alone[path].astype(np.float32))
    assert np.abs(ended["batch_stats/head/conv1_norm/var"] - alone["batch_stats/head/conv1_norm/var"]).max() > 1e-4


@pytest.mark.slow
def test_losses_agree_in_float32(folder, alone):
    losses = []
    for name in ("jit on 1 device", "pmap on 8 devices"):
        loss_sum, count = run_layout(name, False, folder)[0]["history"].T
        losses.append(loss_sum / count)
    np.testing.assert_allclose(losses[1], losses[0], rtol=0, atol=1e-4)
    assert losses[0][-5:].mean() < losses[0][:5].mean()  # it did learn
    assert (alone["history"][:, 1] < 16 * 6).all()  # and some labels were unknown
