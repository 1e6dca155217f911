"""The storage of a study: a SQLite file in the sweep's folder, or a PostgreSQL server for many machines."""

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import optuna
import sqlalchemy
from rich.console import Console

from ecg_jax.errors import InputError

FILE = "study.db"
ERRORS = (sqlalchemy.exc.SQLAlchemyError, optuna.exceptions.StorageInternalError)
_PATIENCE = (1, 2, 5, 10, 30, *[60] * 10)  # seconds between attempts to reach the database
_LOCK = 0x4543475F4A4158  # of PostgreSQL; one for all sweeps in a database, which hold it for a moment
# A writer of SQLite waits for its turn at the beginning of a transaction, not in the middle of it.
_SQLITE: dict[str, Any] = {"connect_args": {"timeout": 120, "isolation_level": "IMMEDIATE"}}
_POSTGRESQL: dict[str, Any] = {"pool_pre_ping": True, "connect_args": {"connect_timeout": 10}}
_T = TypeVar("_T")


class Unreachable(InputError):
    """The database does not answer."""


class Database:
    """The database of a study, as one process sees it."""

    def __init__(self, workdir: str, address: str, console: Console) -> None:
        """Connects, and creates Optuna's tables if necessary.

        Args:
            workdir: The sweep's folder.
            address: See `find_url`; empty for a file in the folder.
            console: For the message that the database does not answer.

        Raises:
            Unreachable: when it does not answer.
        """
        self._lock_file = os.path.join(workdir, "lock")
        self._url = address or f"sqlite:///{os.path.join(os.path.abspath(workdir), FILE)}"
        self._console = console
        self._connection: Any = None
        try:
            self._server = sqlalchemy.create_engine(self._url, **_POSTGRESQL) if address else None
            with self.lock():
                self.storage = optuna.storages.RDBStorage(
                    self._url, engine_kwargs=dict(_POSTGRESQL if address else _SQLITE)
                )
        except (*ERRORS, ImportError) as error:
            raise self._explain(error) from error

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Admits one of the processes of the study at a time; released when the process dies."""
        if self._server is None:
            with open(self._lock_file, "w") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                yield
            return
        with self._server.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(sqlalchemy.text("SELECT pg_advisory_lock(:number)"), {"number": _LOCK})
            self._connection = connection
            try:
                yield
            finally:
                self._connection = None
                with contextlib.suppress(*ERRORS):  # a dead connection holds no lock
                    connection.execute(sqlalchemy.text("SELECT pg_advisory_unlock(:number)"), {"number": _LOCK})

    def check_lock(self) -> None:
        """Raises one of `ERRORS` when the lock was lost with its connection, which would otherwise be unnoticed."""
        if self._connection is not None:
            self._connection.execute(sqlalchemy.text("SELECT 1"))

    def persist(self, action: Callable[[], _T]) -> _T:
        """Repeats an action until the database answers.

        Raises:
            Unreachable: when it does not answer for a long time.
        """
        for wait in (*_PATIENCE, None):
            try:
                return action()
            except ERRORS as error:
                if wait is None:
                    raise self._explain(error) from error
                self._console.print(f"The database does not answer ({_name(error)}); next attempt in {wait} s")
                self.storage.remove_session()
                time.sleep(wait)
        raise AssertionError("the last attempt returns or raises")

    def _explain(self, error: Exception) -> Unreachable:
        if isinstance(error, ImportError):
            return Unreachable("--storage: the driver of PostgreSQL is missing; pip install 'ecg_jax[postgresql]'")
        shown = sqlalchemy.engine.make_url(self._url).render_as_string(hide_password=True)
        return Unreachable(
            f"--storage={shown} does not answer ({_name(error)}); start the server, or correct the address; finished "
            "runs are kept"
        )


def find_url(storage: str) -> str:
    """Adds the driver to the address of a database.

    Raises:
        InputError: when it is no PostgreSQL address.
    """
    scheme, _, rest = storage.partition("://")
    if not storage or scheme.startswith("postgresql+"):
        return storage
    if scheme in ("postgresql", "postgres"):
        return f"postgresql+psycopg://{rest}"
    raise InputError(
        f"--storage={storage}: expected postgresql://USER:PASSWORD@HOST/DATABASE; without it, --workdir holds the study"
    )


def _name(error: Exception) -> str:
    return " ".join(str(getattr(error, "orig", None) or error.__cause__ or error).split())[:200]
