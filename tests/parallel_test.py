"""One global batch, one trajectory: whatever shares the work."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

WORKER = Path(__file__).parent / "workers" / "trajectory.py"
LAYOUTS = {  # name: mode, devices per process, processes
    "jit on 1 device": ("jit", 1, 1),
    "jit on 8 devices": ("jit", 8, 1),
    "pmap on 8 devices": ("pmap", 8, 1),
    "pmap on 2 processes of 4": ("pmap", 4, 2),
    "jit on 2 processes of 4": ("jit", 4, 2),
}
LOCAL = {"pmap on 8 devices, local statistics": ("pmap_local", 8, 1)}


def run_layout(name: str, x64: bool, folder: Path) -> list[dict[str, np.ndarray]]:
    mode, devices, processes = (LAYOUTS | LOCAL)[name]
    prefix = str(folder / f"{name.replace(' ', '_')}_{int(x64)}_")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    running = []
    for index in range(processes):
        count = f"--xla_force_host_platform_device_count={devices}"
        env = os.environ | {"XLA_FLAGS": f"{os.environ['XLA_FLAGS']} {count}"}
        if processes > 1:
            env |= {
                "JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{port}",
                "JAX_NUM_PROCESSES": str(processes),
                "JAX_PROCESS_ID": str(index),
            }
        command = [sys.executable, str(WORKER), mode, str(int(x64)), prefix]
        running.append(subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
    outputs = [process.communicate(timeout=400)[0] for process in running]
    assert all(process.returncode == 0 for process in running), "\n".join(outputs)[-4000:]
    return [dict(np.load(f"{prefix}{index}.npz")) for index in range(processes)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("trajectories")


@pytest.fixture(scope="module")
def alone(folder: Path) -> dict[str, np.ndarray]:
    return run_layout("jit on 1 device", True, folder)[0]


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in LAYOUTS if name != "jit on 1 device"])
def test_every_layout_follows_the_same_trajectory_in_float64(name, folder, alone):
    for ended in run_layout(name, True, folder):
        assert ended.keys() == alone.keys()
        for path, leaf in alone.items():
            assert leaf.dtype == np.float64
            np.testing.assert_allclose(ended[path], leaf, rtol=0, atol=1e-9, err_msg=path)


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
