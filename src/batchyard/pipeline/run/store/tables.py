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
-- One row of the input. `position` counts from 0 in the input's order.
-- status  waiting    to be asked (again)
--         batched    in the batch `batch`, whose answer is not here yet
--         succeeded, errored, canceled, expired    how it ended; `error_type` says which kind
-- `answer` is a JSON object of the answer columns, `raw` the text the model gave. `error` says why
-- a row failed; of a waiting one with `repairs`, why its last answer (`raw`) did not fit.
-- Tokens are those of all `attempts`. `key` names what is asked: equal keys, equal questions.
CREATE TABLE IF NOT EXISTS rows (
    position      INTEGER PRIMARY KEY,
    status        TEXT NOT NULL DEFAULT 'waiting',
    key           BLOB NOT NULL,
    batch         INTEGER,
    attempts      INTEGER NOT NULL DEFAULT 0,
    repairs       INTEGER NOT NULL DEFAULT 0,
    input_tokens  INTEGER NOT NULL DEFAULT 0,
    output_tokens INTEGER NOT NULL DEFAULT 0,
    stop_reason   TEXT,
    model         TEXT,
    error_type    TEXT,
    error         TEXT,
    answer        TEXT,
    raw           TEXT
);
CREATE INDEX IF NOT EXISTS waiting ON rows (position) WHERE status = 'waiting';
CREATE INDEX IF NOT EXISTS failed ON rows (error_type, position)
    WHERE status IN ('errored', 'canceled', 'expired');

-- One batch of rows; its request for the row at position 17 is `<tag>-<seq>-17`.
-- state  planned    body and rows are fixed; surely not on the server
--        sending    on its way; whether the server has it is not known
--        created    the server has it as `batch_id`; `certain` 0: it looks as if it were this one
--        ended      all its results are on the server
--        collected  they are in `rows`
--        lost       the server does not know it any more
CREATE TABLE IF NOT EXISTS batches (
    seq             INTEGER PRIMARY KEY,
    state           TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    server          TEXT NOT NULL,
    batch_id        TEXT,
    certain         INTEGER NOT NULL DEFAULT 1,
    rejected        TEXT NOT NULL DEFAULT '[]',
    requests        INTEGER NOT NULL,
    body_bytes      INTEGER NOT NULL,
    first           INTEGER NOT NULL,
    last            INTEGER NOT NULL,
    task            INTEGER NOT NULL,
    created_at      TEXT NOT NULL,
    sent_at         INTEGER
);

-- Sums over `rows`, moved in the same transaction: rows by status, tokens; and `prepared` (all rows
-- of the input are here), `task` (how often what is asked was changed),
-- `seconds` (how long sessions have worked on it).
CREATE TABLE IF NOT EXISTS totals (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
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
