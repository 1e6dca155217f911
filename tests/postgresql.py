"""A PostgreSQL server of one's own, where one is installed."""

import contextlib
import glob
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator


def find_programs() -> str | None:
    """The folder of `initdb` and `pg_ctl`; None where there are none."""
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/pg_ctl"))
    path = found[-1] if found else shutil.which("pg_ctl")
    return os.path.dirname(path) if path else None


class Server:
    """A running server; `address` is its database's."""

    def __init__(self, folder: str, programs: str) -> None:
        self._folder, self._programs = folder, programs
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self.address = f"postgresql://postgres@127.0.0.1:{self._port}/postgres"

    def run(self, program: str, *arguments: str) -> None:
        """Runs one of its programs as the user `postgres`, since the server refuses to be root."""
        command = [os.path.join(self._programs, program), *arguments]
        if os.geteuid() == 0:
            command = ["runuser", "-u", "postgres", "--", *command]
        subprocess.run(command, check=True, capture_output=True, cwd="/", timeout=60)

    def start(self) -> None:
        """Starts it, and waits until it answers."""
        options = f"-p {self._port} -k {self._folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        self.run("pg_ctl", "-D", f"{self._folder}/data", "-l", f"{self._folder}/log", "-w", "-o", options, "start")

    def stop(self, mode: str = "immediate") -> None:
        """Stops it; `immediate` is how it would end with its machine."""
        self.run("pg_ctl", "-D", f"{self._folder}/data", "-m", mode, "-w", "stop")


@contextlib.contextmanager
def serve() -> Iterator[Server]:
    """Starts a server, and removes all of it in the end."""
    programs = find_programs()
    assert programs
    with tempfile.TemporaryDirectory(prefix="postgresql-") as folder:
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(folder, user.pw_uid, user.pw_gid)
        server = Server(folder, programs)
        server.run("initdb", "-D", f"{folder}/data", "-A", "trust", "-U", "postgres")
        server.start()
        try:
            yield server
        finally:
            with contextlib.suppress(subprocess.CalledProcessError):
                server.stop()
