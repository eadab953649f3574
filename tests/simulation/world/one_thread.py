"""An event loop that is the whole world: no thread beside it, no time but the held clock's.

What the program would do in threads is done here between two turns of the loop, after a delay that
the seed chooses; when nobody has anything left to do the clock moves on to whoever wakes next. So a
seed decides everything that happens, and in what order.
"""

from __future__ import annotations

import asyncio
import math
import random
import selectors
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from batchyard.clock import ManualClock
from batchyard.store.runner import Pause


class Died(BaseException):
    """The process stopped here; nothing after this ran. No `except Exception` may survive it."""


class _Idle(selectors.SelectSelector):
    """Asked for news of sockets only when the loop has nothing else to do: then time passes."""

    pass_time: Callable[[float], None]

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None or timeout > 0:
            self.pass_time(math.inf if timeout is None else timeout)
        return []


class OneThreadLoop(asyncio.SelectorEventLoop):
    """`run_in_executor` runs here. `on_death` is told when an act raises `Died`."""

    def __init__(self, clock: ManualClock, chance: random.Random) -> None:
        idle = _Idle()
        idle.pass_time = self._pass_time
        super().__init__(idle)
        self.clock, self.chance = clock, chance
        self.dawdling = 0.0  # how likely an act is to come late
        self.dead = False
        self.on_death: Callable[[], None] = lambda: None
        self.told: list[dict[str, Any]] = []
        self._acts: set[asyncio.Future[Any]] = set()
        self.set_exception_handler(lambda _, context: self.told.append(context))

    def time(self) -> float:
        return self.clock.monotonic()

    def call_soon_threadsafe(self, callback: Any, *args: Any, context: Any = None) -> Any:
        return self.call_soon(callback, *args, context=context)

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:
        future: asyncio.Future[Any] = self.create_future()
        self._acts.add(future)
        future.add_done_callback(self._acts.discard)
        if self.dead:
            future.cancel()
        else:
            self.soon(self._act, future, func, args)
        return future

    def soon(self, act: Callable[..., None], *args: Any) -> None:
        """Do something that another thread would do: in the next turn, or late if it dawdles."""
        if self.dawdling and self.chance.random() < self.dawdling:
            self.call_later(self.chance.random() * 0.2, act, *args)
        else:
            self.call_soon(act, *args)

    def living(self, act: Callable[[], Any]) -> Any:
        """Do a piece of the process's work, unless it is dead; it may die of it."""
        if self.dead:
            return None
        try:
            return act()
        except Died:
            self.dead = True
            self.on_death()
            return None

    def forget(self) -> None:
        """The process is gone: what its threads had begun ends nowhere."""
        self.dead = True
        for future in list(self._acts):
            future.cancel()

    def _act(self, future: asyncio.Future[Any], func: Any, args: Any) -> None:
        if future.cancelled():
            return

        def act() -> None:
            try:
                future.set_result(func(*args))
            except Exception as error:  # noqa: BLE001 as a thread would: whoever waits hears it
                future.set_exception(error)

        self.living(act)

    def _pass_time(self, seconds: float) -> None:
        wake = self.clock.next_wake()
        if wake is None and math.isinf(seconds):
            raise AssertionError("nothing is going to happen any more")
        self.clock.wake_next(seconds)


class _Bell(threading.Condition):
    """A condition nobody waits on: whoever is noticed hears of it in the next turn."""

    rung: Callable[[], None]

    def notify(self, n: int = 1) -> None:
        self.rung()


class LoopRunner:
    """`Runner` on the loop: a round is done between two turns, its pauses are simulated time."""

    def __init__(self, loop: OneThreadLoop) -> None:
        self._loop = loop
        self._pause: Pause | None = None
        self._rounds: Iterator[Pause] = iter(())
        self._alarm: asyncio.TimerHandle | None = None
        self._due = self._gone = False
        self._ended: asyncio.Future[None] | None = None
        self.lock = threading.RLock()
        self.changed = _Bell(self.lock)
        self.changed.rung = lambda: self._loop.call_soon(self._look) and None

    def start(self, rounds: Iterator[Pause]) -> None:
        self._rounds, self._ended = rounds, self._loop.create_future()
        self._loop.call_soon(self._go_on)

    def side_by_side(self, act: Callable[[Any], Any], items: Iterable[Any]) -> Iterable[Any]:
        return map(act, items)

    async def end(self) -> None:
        if self._ended is not None:
            await asyncio.shield(self._ended)

    def forget(self) -> None:
        """The process is gone, and its thread with it."""
        self._pause, self._gone = None, True
        if self._alarm is not None:
            self._alarm.cancel()

    def _look(self) -> None:
        """Whether the pause is over; then what follows it is done soon."""
        if self._pause is not None and not self._due and self._pause.over():
            self._is_due()

    def _is_due(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        if not self._due:
            self._due = True
            self._loop.soon(self._go_on)

    def _go_on(self) -> None:
        self._due, self._alarm = False, None
        if self._gone:
            return
        self._pause = self._loop.living(lambda: next(self._rounds, None))
        if self._loop.dead:
            return
        if self._pause is None:
            assert self._ended is not None
            self._ended.set_result(None)
            return
        if self._pause.seconds is not None:
            self._alarm = self._loop.call_later(self._pause.seconds, self._is_due)
        self._look()
