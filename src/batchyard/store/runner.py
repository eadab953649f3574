"""Who runs the committer's rounds: a thread of its own, which sleeps between them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol, TypeVar

SYNCS_AT_ONCE = 8

T = TypeVar("T")
R = TypeVar("R")


class Pause(NamedTuple):
    """What the next round waits for: that `over()` holds, asked again at every notice that
    `changed` is given, but `seconds` at most; None is as long as it takes."""

    over: Callable[[], bool]
    seconds: float | None = None


class Runner(Protocol):
    """Runs rounds beside the event loop. `lock` is what both sides take, `changed` its bell: to
    enter that is to take the lock too, at four times the price."""

    lock: AbstractContextManager[object]
    changed: threading.Condition

    def start(self, rounds: Iterator[Pause]) -> None:
        """Begin to run `rounds`, keeping every pause it asks for. Called once, on the loop."""
        ...

    def side_by_side(self, act: Callable[[T], R], items: Iterable[T]) -> Iterable[R]:
        """What `act` made of each item, in order; the acts may run at the same time."""
        ...

    async def end(self) -> None:
        """Return once `rounds`, if it was started, has come to its end. May be called twice."""
        ...


class ThreadRunner:
    """`Runner` with a thread, and threads beside it for acts that mostly wait for the disk."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self._pool = ThreadPoolExecutor(SYNCS_AT_ONCE, "batchyard-sync")
        self._thread: threading.Thread | None = None

    def start(self, rounds: Iterator[Pause]) -> None:
        self._thread = threading.Thread(
            target=self._run, args=(rounds,), name="batchyard-commit", daemon=True
        )
        self._thread.start()

    def side_by_side(self, act: Callable[[T], R], items: Iterable[T]) -> Iterable[R]:
        return self._pool.map(act, items)

    async def end(self) -> None:
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)
        self._pool.shutdown()

    def _run(self, rounds: Iterator[Pause]) -> None:
        for pause in rounds:
            with self.changed:
                self.changed.wait_for(pause.over, pause.seconds)
