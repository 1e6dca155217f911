"""One process or many: the same command in each, joined where the environment says that there are others.

The others are those that these name, the first that names any:

- `JAX_COORDINATOR_ADDRESS` (host:port of process 0), `JAX_NUM_PROCESSES` and `JAX_PROCESS_ID`; in a
  Kubernetes indexed Job or JobSet `JOB_COMPLETION_INDEX` serves as the last;
- Open MPI's `mpirun`;
- a SLURM step of several tasks (`srun`);
- a Cloud TPU slice of several hosts, or several slices.

JAX finds the address of the last three. `ECG_JAX_JOIN_TIMEOUT` (seconds, 300) limits the wait
for the others, and a process that was not heard of for `ECG_JAX_HEARTBEAT_TIMEOUT` (seconds,
100) ends them all.
"""

import contextlib
import dataclasses
import os
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence

import jax
from jax._src import distributed as jax_distributed
from rich.console import Console

from ecg_jax.errors import InputError

ADDRESS, COUNT, INDEX, POD_INDEX = (
    "JAX_COORDINATOR_ADDRESS",
    "JAX_NUM_PROCESSES",
    "JAX_PROCESS_ID",
    "JOB_COMPLETION_INDEX",
)
JOIN_TIMEOUT, HEARTBEAT_TIMEOUT = "ECG_JAX_JOIN_TIMEOUT", "ECG_JAX_HEARTBEAT_TIMEOUT"
_SLURM = ("SLURM_JOB_ID", "SLURM_STEP_NODELIST", "SLURM_NTASKS", "SLURM_PROCID", "SLURM_LOCALID")
_DAY = 24 * 3600  # JAX aborts the process at its own limits: they come after ours
_METADATA = "http://metadata.google.internal/computeMetadata/v1/instance/attributes/"
_METADATA_SECONDS, _PROBE_SECONDS = 5, 3


@dataclasses.dataclass(frozen=True)
class Group:
    """The processes of a run, as one of them sees it.

    Attributes:
        source: What names them.
        count: How many they are.
        index: This one, from 0; None where JAX finds it.
        address: host:port of process 0; None where JAX finds it.
        local_device: The one GPU of its host that is this process's; None for what JAX finds.
        method: How JAX finds what is None; see `jax.distributed.initialize`.
    """

    source: str
    count: int
    index: int | None = None
    address: str | None = None
    local_device: int | None = None
    method: str | None = None


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
    """Reads from an environment which processes there are.

    Args:
        environ: Environment variables.

    Returns:
        The group that this process belongs to; None where nothing says that there is another one.

    Raises:
        InputError: when variables are incomplete or contradict each other.
    """
    launched = _find_open_mpi(environ) or _find_slurm(environ)
    given = [name for name in (ADDRESS, COUNT, INDEX) if name in environ]
    if launched and given:
        return _reconcile(launched, environ)
    if not given:
        return launched or _find_tpu(environ)
    index_name = INDEX if INDEX in environ or POD_INDEX not in environ else POD_INDEX
    if missing := [name for name in (ADDRESS, COUNT, index_name) if name not in environ]:
        raise InputError(
            f"environment: {', '.join(given)} set without {', '.join(missing)}; set all of {ADDRESS}, {COUNT} and "
            f"{INDEX} (of a Kubernetes indexed Job: {POD_INDEX}), or none"
        )
    count, index = _read_place(environ, COUNT, index_name)
    address = _check_address(environ[ADDRESS])
    return Group(ADDRESS, count, index, address, method="deactivate") if count > 1 else None


def _reconcile(launched: Group, environ: Mapping[str, str]) -> Group:
    """A launcher's group with the address that was set; what else was set must be the launcher's."""
    for name, value in ((COUNT, launched.count), (INDEX, launched.index)):
        if environ.get(name, str(value)) != str(value):
            raise InputError(
                f"environment: {name} is {environ[name]!r}, and by {launched.source} it is {value}; unset it, or start "
                "a single process with the launcher"
            )
    return dataclasses.replace(launched, address=_check_address(environ[ADDRESS])) if ADDRESS in environ else launched


def _find_open_mpi(environ: Mapping[str, str]) -> Group | None:
    names = ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_LOCAL_RANK")
    if environ.get(names[0], "1") == "1":
        return None
    _require(environ, names, "start all processes with one mpirun")
    has_address = "OMPI_MCA_orte_hnp_uri" in environ
    if not has_address and ADDRESS not in environ:
        raise InputError(
            f"environment: this Open MPI names no host (version 5 does not); set {ADDRESS}=HOST:PORT of rank 0, as "
            f"mpirun -x {ADDRESS}"
        )
    count, index = _read_place(environ, *names[:2])
    if has_address:
        return Group("Open MPI", count, index, method="ompi")
    return Group("Open MPI", count, index, local_device=int(environ[names[2]]), method="deactivate")


def _find_slurm(environ: Mapping[str, str]) -> Group | None:
    # The shell of salloc and a batch script know SLURM_NTASKS and SLURM_PROCID too: only a step is several processes.
    if environ.get("SLURM_STEP_NUM_TASKS", "1") == "1":
        return None
    _require(environ, _SLURM, "start all processes with one srun, which hands its variables on (--export=ALL)")
    count, index = _read_place(environ, "SLURM_STEP_NUM_TASKS", "SLURM_PROCID")
    return Group("SLURM", count, index, method="slurm")


def _find_tpu(environ: Mapping[str, str]) -> Group | None:
    hosts = environ.get("TPU_PROCESS_ADDRESSES") or environ.get("TPU_WORKER_HOSTNAMES") or "localhost"
    slices = environ.get("MEGASCALE_NUM_SLICES") or "1"
    if not slices.isdigit():
        raise InputError(f"environment: MEGASCALE_NUM_SLICES is {slices!r}; it is a number")
    count = len(hosts.split(",")) * int(slices)
    if count == 1:
        return None
    if "TPU_WORKER_ID" not in environ:
        raise InputError(
            f"environment: {count} TPU hosts without TPU_WORKER_ID; set it to this host's place among them, from 0"
        )
    return Group("Cloud TPU", count)


def _require(environ: Mapping[str, str], names: Sequence[str], remedy: str) -> None:
    if missing := [name for name in names if name not in environ]:
        present = ", ".join(name for name in names if name in environ) or "the number of processes"
        raise InputError(f"environment: {present} set without {', '.join(missing)}; {remedy}")


def _read_place(environ: Mapping[str, str], count_name: str, index_name: str) -> tuple[int, int]:
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


def _read_tpu_metadata(environ: Mapping[str, str]) -> dict[str, str]:
    """What a Cloud TPU VM's metadata server says, under the names that the variables have on GKE."""
    # JAX has set the first where there are TPU chips; GKE, which sets variables instead, sets the second.
    if environ.get("TPU_ML_PLATFORM") != "JAX" or "TPU_SKIP_MDS_QUERY" in environ:
        return {}
    found = {}
    for key, name in (("worker-network-endpoints", "TPU_WORKER_HOSTNAMES"), ("agent-worker-number", "TPU_WORKER_ID")):
        found[name] = _get_metadata(key)
    for line in _get_metadata("tpu-env").splitlines():
        name, _, value = line.partition(":")
        if name.strip().startswith("MEGASCALE_"):
            found[name.strip()] = value.strip().strip("'")
    return {name: value for name, value in found.items() if value}


def _get_metadata(key: str) -> str:
    request = urllib.request.Request(_METADATA + key, headers={"Metadata-Flavor": "Google"})
    with contextlib.suppress(OSError), urllib.request.urlopen(request, timeout=_METADATA_SECONDS) as answer:
        return answer.read().decode()
    return ""


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
                cluster_detection_method=group.method,
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
    address = group.address or jax_distributed.global_state.coordinator_address or "an address not found"
    who = f"process {jax_distributed.global_state.process_id if group.index is None else group.index} of {group.count}"
    place = f"{address} (by {group.source})"
    if error and group.index == 0:
        return f"{place}: {who} cannot open the port ({error}); set {ADDRESS} to a free port of its own host"
    if error:
        return f"{place}: {who} cannot join ({error}); check the variables of {group.source}"
    wait = f"{JOIN_TIMEOUT} sets the wait in seconds"
    if group.index == 0:
        return (
            f"{place}: not all {group.count} processes came within {timeout} s; check that each was started, with an "
            f"index of its own, and reaches this address; {wait}"
        )
    if reason := _probe(address):
        return (
            f"{place}: {who} has waited {timeout} s for process 0, which does not answer ({reason}); check that it "
            f"runs, that this is its address, and that no firewall closes the port; {wait}"
        )
    return (
        f"{place}: {who} has waited {timeout} s; process 0 answers, but not all {group.count} processes came; check "
        f"that each was started, with an index of its own; {wait}"
    )


def _probe(address: str) -> str:
    """Why nobody can be reached at an address; empty where somebody can."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _PROBE_SECONDS).close()
    except (OSError, ValueError) as error:
        return str(error)
    return ""
