"""Transactions of several threads that share one commit, and so one sync of the disk.

Who comes while another writes joins that transaction instead of waiting for its commit; the last
in line commits for all. Each is still alone from its first statement on, is undone alone when it
raises, and returns only when it is on stable storage.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import sqlalchemy as sa


class Writer:
    """Threads of one process write here in turn. `waiting` are those whose turn is yet to come."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._counting, self._turn = threading.Lock(), threading.Lock()
        self._shared: _Shared | None = None
        self.waiting = 0

    @contextmanager
    def turn(self) -> Iterator[sa.Connection]:
        """Durable when the block has ended, undone when it or the commit raises."""
        self._count(1)
        with self._turn:
            self._count(-1)
            shared = self._shared = self._shared or _Shared(self._engine)
            try:
                with shared.part():
                    yield shared.connection
            finally:
                # Whoever waits by now surely has its turn, and then it is the one to look.
                if shared.broken or self.waiting == 0:
                    self._shared = None
                    shared.end()
        shared.wait()

    def _count(self, change: int) -> None:
        with self._counting:
            self.waiting += change


class _Shared:
    """One transaction and those who have written in it."""

    def __init__(self, engine: sa.Engine) -> None:
        self.connection = engine.connect()
        self.broken = False
        self._failure: BaseException | None = None
        self._parts = 0
        self._over = threading.Event()
        try:
            self._transaction = self.connection.begin()
        except BaseException:
            self.connection.close()
            raise

    @contextmanager
    def part(self) -> Iterator[None]:
        """What one thread writes. The first needs no savepoint: it is undone with everything."""
        savepoint = None
        try:
            if self._parts:
                savepoint = self.connection.begin_nested()
            yield
            if savepoint is not None:
                savepoint.commit()
        except BaseException as error:
            if not self._parts:
                self.broken = True
            elif not self._open():  # a full disk makes SQLite undo what the others wrote, too
                self.broken, self._failure = True, error
            elif savepoint is not None:
                savepoint.rollback()
            raise
        self._parts += 1

    def end(self) -> None:
        """Commit, or undo what is broken; `wait` tells everybody what came of it."""
        try:
            if self.broken:
                self._transaction.rollback()
            else:
                self._transaction.commit()
        except BaseException as error:  # noqa: BLE001 raised by `wait`, in every thread it concerns
            self._failure = self._failure or error
            with suppress(Exception):
                self._transaction.rollback()
        finally:
            self.connection.close()
            self._over.set()

    def wait(self) -> None:
        """Return when it is committed; raises why it was not."""
        self._over.wait()
        if self._failure is not None:
            raise self._failure

    def _open(self) -> bool:
        driver = self.connection.connection.dbapi_connection
        return bool(driver is not None and driver.in_transaction)
