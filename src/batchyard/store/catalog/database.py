"""The open database: one way to write (a durable transaction), two to read, and its migrations."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.pool import QueuePool

import batchyard
from batchyard.errors import DiskFull, SchemaMismatch, StorageError, StorageFailed
from batchyard.store.catalog.writing import Writer
from batchyard.store.migrations import VERSIONS
from batchyard.store.segments.files import FULL_ERRNOS

BUSY_SECONDS = 30.0
"""How long a transaction waits for the other process; each holds the lock for milliseconds."""

_BUSY, _LOCKED, _FULL = sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL

_WRITE_FAULTS = (sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE)
"""What SQLite says when a file cannot grow, whatever the reason."""

_GROWS_BY = 32 * 1024
"""Bytes by which SQLite's shared memory grows; its log grows by a page."""


class Catalog:
    """An open catalog, shared by the threads of a process and by the processes of a machine."""

    def __init__(self, path: Path) -> None:
        """Open, creating or migrating. Raises SchemaMismatch, StorageFailed."""
        self.path = path
        with _faults(path):
            # SQLite gives its journals the mode of the database, so the mode is set at birth.
            _create_private(path)
            self._writer = _engine(path)
            sa.event.listen(self._writer, "begin", _begin_immediate)
            # Threads of one process queue up there; only processes have to poll SQLite's lock.
            self._writing = Writer(self._writer)
            self._reader = _engine(path, isolation_level="AUTOCOMMIT")
            _migrate(self._reader, self._writer)
            self._point = self._reader.connect()

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """One transaction, alone from its first statement on (`BEGIN IMMEDIATE`).

        On stable storage when the block has ended (`synchronous=FULL`), undone when it raises.
        Threads that come at the same time share one commit (see `Writer`).
        Raises DiskFull or, when the other process keeps the lock too long, StorageError: both may
        be tried again. StorageFailed means the outcome is unknown: exit and recover.
        """
        with _faults(self.path), self._writing.turn() as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """For reads in a thread; every statement sees one moment, two statements may see two."""
        with _faults(self.path), self._reader.connect() as connection:
            yield connection

    def look(self, statement: sa.Select[Any], values: Mapping[str, object]) -> sa.Row[Any] | None:
        """One row, tens of microseconds, for the event loop's thread alone: it keeps its own
        connection, so nothing is borrowed and nothing waits."""
        with _faults(self.path):
            return self._point.execute(statement, values).first()

    def close(self) -> None:
        self._point.close()
        self._reader.dispose()
        self._writer.dispose()


def _create_private(path: Path) -> None:
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


def _engine(path: Path, **options: Any) -> sa.Engine:
    engine = sa.create_engine(
        sa.URL.create("sqlite", database=os.fspath(path)),
        poolclass=QueuePool,
        connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False},
        **options,
    )
    sa.event.listen(engine, "connect", _configure)
    return engine


def _configure(connection: sqlite3.Connection, _record: object) -> None:
    # The driver's own idea of when to begin is switched off; `_begin_immediate` decides.
    connection.isolation_level = None
    connection.execute("PRAGMA synchronous=FULL")


def _begin_immediate(connection: sa.Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


@contextmanager
def _faults(path: Path) -> Iterator[None]:
    """The driver's faults in the house's words."""
    try:
        yield
    except sa.exc.DBAPIError as error:
        raise _told(error.orig, path) from error
    except sqlite3.Error as error:
        raise _told(error, path) from error


def _told(error: BaseException | None, path: Path) -> StorageError:
    extended = getattr(error, "sqlite_errorcode", 0)
    code = extended & 0xFF
    # SQLite knows a full disk when it writes, but takes a quota, a size limit, or a full disk under
    # its shared memory for a disk that fails.
    if code == _FULL or (extended in _WRITE_FAULTS and _no_room_beside(path)):
        return DiskFull(
            f"no room for the catalog {path}: {error}",
            fix="free some space; nothing was lost and the server goes on by itself",
        )
    if code in (_BUSY, _LOCKED):
        return StorageError(f"the catalog {path} was busy for {BUSY_SECONDS:.0f} s: {error}")
    if code == sqlite3.SQLITE_NOTADB:
        return SchemaMismatch(
            f"{path} is no catalog of Batchyard: {error}. Nothing was changed.",
            fix="name another --data-dir, or put a copy of the catalog in its place",
        )
    return StorageFailed(f"cannot use the catalog {path}: {error}")


def _no_room_beside(path: Path) -> bool:
    """Whether the files beside `path` cannot grow because of a full disk, a quota or a limit: asked
    by writing elsewhere what they would need, at the offset where the log would go on."""
    log = path.with_name(path.name + "-wal")
    probe = path.with_name(f"probe-{os.getpid()}")
    try:
        size = log.stat().st_size if log.exists() else 0
        fd = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.pwrite(fd, bytes(_GROWS_BY), size)
            os.fsync(fd)
        finally:
            os.close(fd)
            probe.unlink()
    except OSError as error:
        return error.errno in FULL_ERRNOS
    return False


# -- migrations -----------------------------------------------------------------------------------


def _migrate(reader: sa.Engine, writer: sa.Engine) -> None:
    """Bring the tables to the present schema: in one transaction, and by one process if two open
    at once. Alembic, slow to import, is left alone when there is nothing to do."""
    with reader.connect() as connection:
        if _version(connection) == VERSIONS[-1]:
            return
        _write_ahead(connection)
    with writer.begin() as connection:
        version = _version(connection)
        if version == VERSIONS[-1]:
            return
        if version is not None and version not in VERSIONS:
            raise SchemaMismatch(
                f"the catalog has schema {version}, written by a newer Batchyard; "
                f"this is Batchyard {batchyard.__version__}, which knows schema {VERSIONS[-1]}. "
                "Nothing was changed.",
                fix="start the version that last used this data directory, or a newer one",
            )
        _upgrade(connection)


def _write_ahead(connection: sa.Connection) -> None:
    mode = connection.exec_driver_sql("PRAGMA journal_mode=WAL").scalar()
    if mode != "wal":
        raise StorageFailed(
            f"the file system refuses SQLite's write-ahead log (journal_mode is {mode})",
            fix="put the data directory on a local file system",
        )


def _version(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    found = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    return None if found is None else str(found)


def _upgrade(connection: sa.Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "batchyard.store:migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
