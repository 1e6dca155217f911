"""One process or many: the same command in each, joined where the environment names others.

Peers come from the first of these that names more than one process:

- the variables of a launcher: Open MPI's `mpirun`, or a SLURM step (`srun`);
- `JAX_NUM_PROCESSES`, `JAX_PROCESS_ID` and `JAX_COORDINATOR_ADDRESS` (host:port of process 0). In a Kubernetes indexed
  Job or JobSet `JOB_COMPLETION_INDEX` serves as the second, and JAX finds the address if `jax[k8s]` is installed;
- a Cloud TPU slice of several hosts, or several slices.

What these do not state is found by `jax.distributed.initialize`. `ECG_JAX_JOIN_TIMEOUT` (seconds, 300) limits the wait
for the others, and a process that is silent for `ECG_JAX_HEARTBEAT_TIMEOUT` (seconds, 100) ends them all.
"""

import contextlib
import dataclasses
import os
import re
import socket
import threading
import urllib.request
from collections.abc import Mapping

import jax
from rich.console import Console

from ecg_jax.errors import InputError

ADDRESS, COUNT, INDEX, POD_INDEX = (
    "JAX_COORDINATOR_ADDRESS",
    "JAX_NUM_PROCESSES",
    "JAX_PROCESS_ID",
    "JOB_COMPLETION_INDEX",
)
JOIN_TIMEOUT, HEARTBEAT_TIMEOUT = "ECG_JAX_JOIN_TIMEOUT", "ECG_JAX_HEARTBEAT_TIMEOUT"
_LAUNCHERS = {  # variables of the number of processes, and of the index of this one
    "Open MPI": ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
    # The shell of salloc and a batch script have SLURM_NTASKS and SLURM_PROCID too: only a step is several processes.
    "SLURM": ("SLURM_STEP_NUM_TASKS", "SLURM_PROCID"),
}
_LOCAL_RANK = "OMPI_COMM_WORLD_LOCAL_RANK"
_DAY = 24 * 3600  # JAX aborts the process at its own limits, which must come after ours
_PROBE_SECONDS = 3
_METADATA = "http://metadata.google.internal/computeMetadata/v1/instance/attributes/"
_METADATA_SECONDS = 5


@dataclasses.dataclass(frozen=True)
class Group:
    """The processes of a run, as one of them sees it. JAX finds what is None.

    Attributes:
        source: What names them.
        count: How many they are.
        index: This one, from 0.
        address: host:port of process 0.
        local_device: The one GPU of its host that is this process's.
    """

    source: str
    count: int
    index: int | None = None
    address: str | None = None
    local_device: int | None = None


def start(console: Console) -> Console:
    """Joins the other processes, where the environment names them, and silences all but the first.

    Args:
        console: Of this process.

    Returns:
        The console to use: the same in process 0, a silent one elsewhere.

    Raises:
        InputError: when variables are incomplete or contradict each other, or not all processes
            came in time.
    """
    group = detect(_read_tpu_metadata(os.environ) | dict(os.environ))
    if group:
        timeout = _read_seconds(os.environ, JOIN_TIMEOUT, 300)
        heartbeat = _read_seconds(os.environ, HEARTBEAT_TIMEOUT, 100)
        if not group.index:
            console.print(f"Waiting for {group.count} processes, named by {group.source} (up to {timeout} s)")
        _join(group, timeout, heartbeat)
    return console if jax.process_index() == 0 else Console(quiet=True)


def detect(environ: Mapping[str, str]) -> Group | None:
    """Reads from environment variables which processes there are.

    Returns:
        The group that this process belongs to; None where nothing names another one.

    Raises:
        InputError: when variables are incomplete or contradict each other.
    """
    launched = next((name for name, (count, _) in _LAUNCHERS.items() if environ.get(count, "1") != "1"), None)
    address = _check_address(environ[ADDRESS]) if ADDRESS in environ else None
    if launched:
        count, index = _read_place(environ, *_LAUNCHERS[launched], source=launched)
        for name, value in ((COUNT, count), (INDEX, index)):
            if environ.get(name, str(value)) != str(value):
                raise InputError(
                    f"environment: {name} is {environ[name]!r}, and by {launched} it is {value}; unset it, or start "
                    "a single process with the launcher"
                )
        is_set = launched == "Open MPI" and "JAX_LOCAL_DEVICE_IDS" not in environ  # version 5 is unknown to JAX
        return Group(launched, count, index, address, _read_local_rank(environ) if is_set else None)
    if not {ADDRESS, COUNT, INDEX} & environ.keys():
        count = _count_tpu_hosts(environ)
        return Group("Cloud TPU", count) if count > 1 else None
    index_name = INDEX if INDEX in environ or POD_INDEX not in environ else POD_INDEX
    count, index = _read_place(environ, COUNT, index_name, source="a process that was started by hand")
    if address is None and "KUBERNETES_SERVICE_HOST" not in environ:
        raise InputError(f"environment: {COUNT} set without {ADDRESS}; set it to HOST:PORT of process 0")
    return Group(ADDRESS if address else "Kubernetes", count, index, address) if count > 1 else None


def _count_tpu_hosts(environ: Mapping[str, str]) -> int:
    if environ.get("TPU_ML_PLATFORM") != "JAX":  # set by JAX where there are TPU chips
        return 1
    hosts = environ.get("TPU_PROCESS_ADDRESSES") or environ.get("TPU_WORKER_HOSTNAMES") or "localhost"
    slices = environ.get("MEGASCALE_NUM_SLICES") or "1"
    if not slices.isdigit():
        raise InputError(f"environment: MEGASCALE_NUM_SLICES is {slices!r}; it is a number")
    return len(hosts.split(",")) * int(slices)


def _read_tpu_metadata(environ: Mapping[str, str]) -> dict[str, str]:
    """What a Cloud TPU VM's metadata server states of its hosts, under the names of the variables on GKE."""
    # JAX has set the first where there are TPU chips; GKE, which sets variables instead, sets the second.
    if environ.get("TPU_ML_PLATFORM") != "JAX" or "TPU_SKIP_MDS_QUERY" in environ:
        return {}
    slices = re.search(r"MEGASCALE_NUM_SLICES:\s*'?(\d+)", _get_metadata("tpu-env"))
    found = {"TPU_WORKER_HOSTNAMES": _get_metadata("worker-network-endpoints")}
    return found | ({"MEGASCALE_NUM_SLICES": slices[1]} if slices else {})


def _get_metadata(key: str) -> str:
    """An attribute of the machine; empty where there is none, or no server."""
    request = urllib.request.Request(_METADATA + key, headers={"Metadata-Flavor": "Google"})
    with contextlib.suppress(OSError), urllib.request.urlopen(request, timeout=_METADATA_SECONDS) as answer:
        return answer.read().decode()
    return ""


def _read_local_rank(environ: Mapping[str, str]) -> int:
    rank = environ.get(_LOCAL_RANK, "")
    if not rank.isdigit():
        raise InputError(
            f"environment: {_LOCAL_RANK} is {rank!r}; start all processes with one mpirun, which sets it, or set "
            "JAX_LOCAL_DEVICE_IDS"
        )
    return int(rank)


def _read_place(environ: Mapping[str, str], count_name: str, index_name: str, source: str) -> tuple[int, int]:
    if missing := [name for name in (count_name, index_name) if name not in environ]:
        raise InputError(f"environment: {source} needs {count_name} and {index_name}; {' and '.join(missing)} not set")
    count, index = environ[count_name], environ[index_name]
    if not (count.isdigit() and index.isdigit() and int(index) < int(count)):
        raise InputError(f"environment: {index_name} is {index!r} of {count_name} {count!r}; count from 0")
    return int(count), int(index)


def _check_address(address: str) -> str:
    host, _, port = address.rpartition(":")
    if not (host and port.isdigit() and 0 < int(port) < 2**16):
        raise InputError(f"environment: {ADDRESS} is {address!r}; it is HOST:PORT of process 0, any free port")
    return address


def _read_seconds(environ: Mapping[str, str], name: str, default: int) -> int:
    value = environ.get(name, str(default))
    if not (value.isdigit() and int(value) > 0):
        raise InputError(f"environment: {name} is {value!r}; it is a whole number of seconds above 0")
    return int(value)


def _join(group: Group, timeout: int, heartbeat: int) -> None:
    """Joins, or raises `InputError` after the timeout, which JAX alone would turn into an abort."""
    failures: list[Exception] = []

    def initialize() -> None:
        try:
            jax.distributed.initialize(
                group.address,
                group.count if group.index is not None else None,
                group.index,
                local_device_ids=group.local_device,
                cluster_detection_method="deactivate" if group.source == ADDRESS else None,
                initialization_timeout=timeout + _DAY,
                heartbeat_timeout_seconds=heartbeat,
                shutdown_timeout_seconds=_DAY,  # the first process evaluates and writes; the others wait for it
            )
        except Exception as error:  # noqa: BLE001 - JAX and its cluster detection raise many kinds
            failures.append(error)

    joining = threading.Thread(target=initialize, daemon=True)
    joining.start()
    joining.join(timeout)
    if joining.is_alive() or failures:
        raise InputError(_describe_failure(group, timeout, failures[0] if failures else None))


def _describe_failure(group: Group, timeout: int, error: Exception | None) -> str:
    who = "this process" if group.index is None else f"process {group.index} of {group.count}"
    place = f"{group.address or 'environment'} (by {group.source})"
    if error:
        return (
            f"{place}: {who} cannot join ({error}); check the variables of {group.source}, and set {ADDRESS} to "
            "HOST:PORT of process 0, any free port of its host"
        )
    wait = f"{JOIN_TIMEOUT} sets the wait in seconds"
    reason = _probe(group.address) if group.address and group.index else ""
    if reason:
        return (
            f"{place}: {who} has waited {timeout} s for process 0, which does not answer ({reason}); check that it "
            f"runs, that this is its address, and that no firewall closes the port; {wait}"
        )
    return (
        f"{place}: not all {group.count} processes came within {timeout} s, {who} among those that did; check "
        f"that each was started, with an index of its own, and reaches process 0; {wait}"
    )


def _probe(address: str) -> str:
    """Why an address cannot be reached; empty where it can."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _PROBE_SECONDS).close()
    except OSError as error:
        return str(error)
    return ""
