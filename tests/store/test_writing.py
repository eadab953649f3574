"""Transactions that share a commit: durable together, undone alone."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa

from batchyard.store.catalog.writing import Writer

WAIT_SECONDS = 10


class Bench:
    """A table of words, a writer of it, and how often it committed."""

    def __init__(self, path: Path) -> None:
        url = sa.URL.create("sqlite", database=str(path))
        options = {"check_same_thread": False}
        self.engine = sa.create_engine(url, poolclass=sa.QueuePool, connect_args=options)
        sa.event.listen(self.engine, "connect", _begins_by_itself)
        sa.event.listen(self.engine, "begin", lambda c: c.exec_driver_sql("BEGIN IMMEDIATE"))
        with self.engine.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE words (word TEXT PRIMARY KEY)")
        self.commits, self.commit_fails = 0, False
        sa.event.listen(self.engine, "commit", self._committed)
        self.writer = Writer(self.engine)
        self.outcomes: dict[str, Exception | None] = {}

    def _committed(self, _connection: sa.Connection) -> None:
        self.commits += 1
        if self.commit_fails:
            raise sa.exc.OperationalError("COMMIT", None, sqlite3.OperationalError("full"))

    def write(self, word: str, fault: Exception | None = None) -> None:
        """Write a word, and remember how it went."""
        try:
            with self.writer.turn() as connection:
                connection.exec_driver_sql("INSERT INTO words VALUES (?)", (word,))
                _raise(fault)
        except Exception as error:  # noqa: BLE001 - looked at by the test
            self.outcomes[word] = error
        else:
            # Another connection sees only what is committed.
            self.outcomes[word] = None if word in self.words() else AssertionError("too early")

    def together(self, *words: str, **faults: Exception) -> None:
        """Have every word written while the first one is still being written."""
        self.beside_the_first(*(partial(self.write, word, faults.get(word)) for word in words))

    def beside_the_first(self, *acts: Callable[[], None]) -> None:
        threads = []
        with self.writer.turn() as connection:
            connection.exec_driver_sql("INSERT INTO words VALUES ('first')")
            for number, act in enumerate(acts, start=1):
                thread = threading.Thread(target=act)
                thread.start()
                threads.append(thread)
                wait_until(partial(self._waits, number))
        for thread in threads:
            thread.join(WAIT_SECONDS)
            assert not thread.is_alive()

    def _waits(self, number: int) -> bool:
        return self.writer.waiting == number

    def words(self) -> set[str]:
        with self.engine.connect() as connection:
            return set(connection.exec_driver_sql("SELECT word FROM words").scalars())


def _begins_by_itself(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None


def _raise(fault: Exception | None) -> None:
    if fault is not None:
        raise fault


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not true():
        assert time.monotonic() < deadline
        threading.Event().wait(0.001)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path / "words.db")
    yield bench
    bench.engine.dispose()


def test_who_comes_while_another_writes_shares_its_commit(bench: Bench) -> None:
    bench.together("a", "b", "c")
    assert bench.commits == 1
    assert bench.words() == {"first", "a", "b", "c"}
    assert bench.outcomes == {"a": None, "b": None, "c": None}


def test_who_comes_alone_commits_alone(bench: Bench) -> None:
    bench.write("a")
    bench.write("b")
    assert bench.commits == 2


def test_one_that_raises_is_undone_alone(bench: Bench) -> None:
    fault = ValueError("no")
    bench.together("a", "b", "c", b=fault)
    assert bench.outcomes == {"a": None, "b": fault, "c": None}
    assert bench.words() == {"first", "a", "c"}


def test_when_the_last_one_raises_the_others_are_committed(bench: Bench) -> None:
    bench.together("a", "b", b=ValueError("no"))
    assert bench.words() == {"first", "a"}


def test_when_the_first_one_raises_the_others_go_on(bench: Bench) -> None:
    fault = ValueError("no")
    bench.write("x", fault)
    bench.write("a")
    assert bench.outcomes == {"x": fault, "a": None}
    assert bench.words() == {"a"}


def test_a_commit_that_fails_is_everybodys_failure_and_nothing_is_kept(bench: Bench) -> None:
    bench.commit_fails = True
    with pytest.raises(sa.exc.OperationalError):
        bench.together("a", "b")
    wait_until(lambda: len(bench.outcomes) == 2)
    assert all(isinstance(e, sa.exc.OperationalError) for e in bench.outcomes.values())
    bench.commit_fails = False
    assert bench.words() == set()
    bench.write("after")
    assert bench.words() == {"after"}


def test_when_the_database_undoes_everything_everybody_is_told(bench: Bench) -> None:
    """As SQLite does on a full disk, in the middle of somebody's statement."""

    def undo() -> None:
        try:
            with bench.writer.turn() as connection:
                driver = connection.connection.dbapi_connection
                assert driver is not None
                driver.execute("ROLLBACK")
                _raise(OSError("full"))
        except OSError as error:
            bench.outcomes["undoes"] = error

    with pytest.raises(OSError, match="full"):
        bench.beside_the_first(undo)
    wait_until(lambda: "undoes" in bench.outcomes)
    assert bench.words() == set()
    bench.write("after")
    assert bench.words() == {"after"}
