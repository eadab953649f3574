"""The tables of `rows.db`: plain SQLite, made to be read by anyone with any tool."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from batchyard.errors import DiskFull, StorageFailed

NAME = "rows.db"

SCHEMA = """
CREATE TABLE IF NOT EXISTS rows (
    -- One row of the input. Comments stay in the file: `.schema` shows them.
    position      INTEGER PRIMARY KEY,               -- from 0, in the input's order
    status        TEXT NOT NULL DEFAULT 'waiting',   -- waiting    to be asked, or asked again
                                                     -- batched    in `batch`, not answered yet
                                                     -- succeeded, errored, canceled, expired
    key           BLOB NOT NULL,                     -- equal keys, equal questions
    batch         INTEGER,                           -- the last it was in: batches.seq
    attempts      INTEGER NOT NULL DEFAULT 0,        -- how often it was asked
    repairs       INTEGER NOT NULL DEFAULT 0,        -- as often its answer did not fit
    input_tokens  INTEGER NOT NULL DEFAULT 0,        -- of all attempts, cached ones too
    output_tokens INTEGER NOT NULL DEFAULT 0,
    stop_reason   TEXT,
    model         TEXT,                              -- that answered
    error_type    TEXT,                              -- the kind of failure
    error         TEXT,                              -- why it failed, or did not fit last time
    answer        TEXT,                              -- JSON object of the answer columns
    raw           TEXT                               -- the text the model gave
);
CREATE INDEX IF NOT EXISTS waiting ON rows (position) WHERE status = 'waiting';
CREATE INDEX IF NOT EXISTS failed ON rows (error_type, position)
    WHERE status IN ('errored', 'canceled', 'expired');

CREATE TABLE IF NOT EXISTS batches (
    -- One batch of rows, written down before it leaves.
    seq             INTEGER PRIMARY KEY,   -- the row at 17 has the custom_id <tag>-<seq>-17
    state           TEXT NOT NULL,         -- planned    surely not on a server
                                           -- sending    not known whether the server has it
                                           -- created    the server has it, as `batch_id`
                                           -- ended      all its results are on the server
                                           -- collected  they are in `rows`
                                           -- lost       the server does not know it any more
    idempotency_key TEXT NOT NULL,
    server          TEXT NOT NULL,
    batch_id        TEXT,
    certain         INTEGER NOT NULL,      -- 0: `batch_id` only looks like it
    rejected        TEXT NOT NULL,         -- JSON list of ids that looked like it
    requests        INTEGER NOT NULL,
    body_bytes      INTEGER NOT NULL,
    first           INTEGER NOT NULL,      -- position of its first row
    last            INTEGER NOT NULL,      -- and of its last one
    task            INTEGER NOT NULL,      -- totals.task when it was planned
    created_at      TEXT NOT NULL,
    sent_at         INTEGER                -- when it first left, microseconds since 1970
);

CREATE TABLE IF NOT EXISTS totals (
    -- Sums over `rows` (by status, and tokens), moved in the same transactions; `prepared`: all
    -- rows of the input are here; `task`: how often what is asked was changed; `seconds`: how long
    -- sessions have worked on it.
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;
INSERT OR IGNORE INTO totals VALUES
    ('waiting', 0), ('batched', 0), ('succeeded', 0), ('errored', 0), ('canceled', 0),
    ('expired', 0), ('input_tokens', 0), ('output_tokens', 0), ('prepared', 0), ('task', 0),
    ('seconds', 0);
"""


class Database:
    """One connection. A transaction is durable when it has left its context.

    Raises `DiskFull` and `StorageFailed`, having changed nothing.
    """

    def __init__(self, path: Path, *, make: bool = False) -> None:
        self._path = path
        # A notebook prepares in one thread and runs in another; never two at once.
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        with self._faults():
            self.run("PRAGMA journal_mode = WAL")
            self.run("PRAGMA synchronous = FULL")
            if make:
                self._connection.executescript(SCHEMA)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of it or nothing."""
        with self._faults():
            self.run("BEGIN IMMEDIATE")
            try:
                yield
                self.run("COMMIT")
            except BaseException:
                # A full disk has ended the transaction already.
                if self._connection.in_transaction:
                    self.run("ROLLBACK")
                raise

    def run(self, sql: str, *values: object) -> int:
        """Do one statement; returns how many rows it changed."""
        return self._connection.execute(sql, values).rowcount

    def each(self, sql: str, values: Sequence[Sequence[Any]]) -> int:
        """Do one statement for each of the values; returns how many rows were changed."""
        return self._connection.executemany(sql, values).rowcount

    def ask(self, sql: str, *values: object) -> sqlite3.Cursor:
        """The rows that a query finds."""
        return self._connection.execute(sql, values)

    def close(self) -> None:
        self._connection.close()

    @contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            fault = DiskFull if "full" in str(error) else StorageFailed
            raise fault(
                f"cannot write {self._path}: {error}; what was there before is safe",
                fix="make room, then `batchyard resume`",
            ) from error
