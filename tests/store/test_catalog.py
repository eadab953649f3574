"""The catalog: schema and migrations, two processes, engine reports, what its faults mean."""

from __future__ import annotations

import asyncio
import errno
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from batchyard.clock import ManualClock
from batchyard.engine import Model
from batchyard.errors import DiskFull, SchemaMismatch, StorageError, StorageFailed
from batchyard.store.catalog import database
from batchyard.store.catalog.database import Catalog
from batchyard.store.catalog.tables import metadata
from batchyard.store.migrations import VERSIONS
from batchyard.store.store import EngineReport, open_store
from tests.store.room import WORKSPACE, Room


def test_the_migrations_lead_to_the_tables_the_code_uses(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path / "catalog.db")
    with catalog.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    catalog.close()
    made = sqlite3.connect(tmp_path / "catalog.db")
    laws = [
        row[0].count("CHECK") for row in made.execute("SELECT sql FROM sqlite_master") if row[0]
    ]
    made.close()
    wanted = [c for table in metadata.tables.values() for c in table.constraints]
    assert sum(laws) == sum(type(c).__name__ == "CheckConstraint" for c in wanted) == 2


def test_the_versions_are_alembic_s_own_in_order() -> None:
    config = Config()
    config.set_main_option("script_location", "batchyard.store:migrations")
    script = ScriptDirectory.from_config(config)
    assert script.get_current_head() == VERSIONS[-1]
    assert [step.revision for step in script.walk_revisions()][::-1] == list(VERSIONS)


def test_the_catalog_of_a_newer_program_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "batchyard.db"
    Catalog(path).close()
    raw = sqlite3.connect(path)
    raw.execute("UPDATE alembic_version SET version_num = '0999'")
    raw.commit()
    raw.close()
    before = path.read_bytes()
    with pytest.raises(SchemaMismatch, match="schema 0999, written by a newer Batchyard") as told:
        open_store(tmp_path, ManualClock())
    assert told.value.fix is not None
    assert path.read_bytes() == before


def test_what_is_no_catalog_is_refused(tmp_path: Path) -> None:
    strange = b"not a database, but long enough to look like one" * 9
    (tmp_path / "batchyard.db").write_bytes(strange)
    with pytest.raises(SchemaMismatch, match=r"batchyard\.db is no catalog of .* not a database"):
        open_store(tmp_path, ManualClock())
    assert (tmp_path / "batchyard.db").read_bytes() == strange


def test_a_migration_that_dies_leaves_an_empty_catalog_that_opens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upgrade = database._upgrade

    def dies(connection: object) -> None:
        upgrade(connection)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    monkeypatch.setattr(database, "_upgrade", dies)
    with pytest.raises(KeyboardInterrupt):
        Catalog(tmp_path / "catalog.db")
    raw = sqlite3.connect(tmp_path / "catalog.db")
    assert raw.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    raw.close()
    monkeypatch.undo()
    Catalog(tmp_path / "catalog.db").close()


OPEN = """
import sys
from pathlib import Path
from batchyard.store.catalog.database import Catalog
catalog = Catalog(Path(sys.argv[1]))
with catalog.write() as connection:
    connection.exec_driver_sql(
        "INSERT INTO workspaces (id, name, created_at) VALUES (?, '', 0)", (sys.argv[2],))
catalog.close()
"""


def test_processes_that_open_a_new_directory_at_once_all_succeed(tmp_path: Path) -> None:
    path = tmp_path / "catalog.db"
    command = [sys.executable, "-W", "error", "-c", OPEN, str(path)]
    running = [subprocess.Popen([*command, str(number)]) for number in range(4)]
    assert [each.wait() for each in running] == [0] * 4
    raw = sqlite3.connect(path)
    assert raw.execute("SELECT count(*) FROM workspaces").fetchone() == (4,)
    raw.close()


def test_every_commit_is_synced_and_the_log_is_written_ahead(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path / "catalog.db")
    with catalog.write() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
    catalog.close()


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (sqlite3.SQLITE_FULL, DiskFull),
        (sqlite3.SQLITE_BUSY, StorageError),
        (sqlite3.SQLITE_IOERR_FSYNC, StorageFailed),
        (sqlite3.SQLITE_CORRUPT, StorageFailed),
        (sqlite3.SQLITE_READONLY, StorageFailed),
    ],
)
def test_faults_are_told_apart_by_what_to_do_next(
    tmp_path: Path, code: int, told: type[StorageError]
) -> None:
    error = sqlite3.OperationalError("words")
    error.sqlite_errorcode = code
    assert type(database._told(error, tmp_path)) is told


@pytest.mark.parametrize("code", [sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE])
def test_a_fault_of_growing_is_a_full_disk_exactly_when_nothing_else_can_grow(
    tmp_path: Path, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = sqlite3.OperationalError("words")
    error.sqlite_errorcode = code
    assert type(database._told(error, tmp_path / "catalog.db")) is StorageFailed

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    assert type(database._told(error, tmp_path / "catalog.db")) is DiskFull
    assert list(tmp_path.iterdir()) == []


LIMITED = """
import resource, sys
from pathlib import Path
from batchyard.errors import DiskFull
from batchyard.store.catalog.database import Catalog
catalog = Catalog(Path(sys.argv[1]))
add = "INSERT INTO workspaces (id, name, created_at) VALUES (?, ?, 0)"
def write(name):
    with catalog.write() as connection:
        connection.exec_driver_sql(add, (name, "x" * 300_000))
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
for attempt in range(3):
    try:
        write("refused")
        sys.exit("written beyond the limit")
    except DiskFull:
        pass
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
write("written")
with catalog.read() as connection:
    names = connection.exec_driver_sql("SELECT id FROM workspaces").scalars().all()
assert names == ["written"], names
catalog.close()
"""


def test_a_size_limit_or_quota_is_a_full_disk_and_not_the_end(tmp_path: Path) -> None:
    """SQLite reports both as an I/O error; as one, they would stop the server for good."""
    command = [sys.executable, "-W", "error", "-c", LIMITED, str(tmp_path / "catalog.db")]
    subprocess.run(command, check=True)
    assert not list(tmp_path.glob("probe-*"))


async def test_readers_never_wait_for_a_writer(room: Room) -> None:
    batch = await room.create()
    with room.store._catalog.write() as connection:
        connection.exec_driver_sql("UPDATE batches SET processing_status = 'canceling'")
        assert await room.look(batch) == batch
        page = await room.store.batches(WORKSPACE, limit=1, after_id=None, before_id=None)
        assert page.data == [batch]
    assert (await room.look(batch)).processing_status == "canceling"


async def test_two_processes_write_at_once_and_both_succeed(room: Room) -> None:
    other = Room(room.path, clock=room.clock)
    made = await asyncio.gather(*((room, other)[n % 2].create(salt=str(n)) for n in range(12)))
    assert len({batch.id for batch in made}) == 12
    await asyncio.gather(
        *((room, other)[n % 2].store.cancel(WORKSPACE, made[n].id) for n in range(12))
    )
    found = await room.store.unfinished()
    assert [batch.processing_status for batch in found] == ["canceling"] * 12
    await other.store.close()


# -- engine reports -------------------------------------------------------------------------------


def report(name: str, **changes: object) -> EngineReport:
    known: dict[str, object] = {
        "name": name,
        "kind": "messages",
        "url": "http://localhost:8000",
        "state": "up",
        "reason": "",
        "since": 17,
        "in_flight": 3,
        "limit": 64,
        "models": (Model("qwen", 32768, 1024, 5), Model("tiny")),
    }
    return EngineReport(**{**known, **changes})  # type: ignore[arg-type]


async def test_engine_reports_cross_from_one_process_to_the_other(room: Room) -> None:
    other = Room(room.path, clock=room.clock)
    assert await other.store.engine_reports() == []
    now = room.clock.now()
    await room.store.report_engines([report("b"), report("a", models=())])
    assert await other.store.engine_reports() == [
        report("a", models=(), updated_at=now),
        report("b", updated_at=now),
    ]
    await room.store.report_engines([report("b", state="waiting", reason="connection refused")])
    [one] = await other.store.engine_reports()
    assert (one.name, one.state, one.reason) == ("b", "waiting", "connection refused")
    await room.store.report_engines([])
    assert await other.store.engine_reports() == []
    await other.store.close()
