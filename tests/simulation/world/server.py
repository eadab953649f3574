"""A server as a row of lives on one disk: started, stopped, killed, cut off from its power."""

from __future__ import annotations

import asyncio
import random
import re
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from batchyard.clock import ManualClock
from batchyard.dispatch.fleet import Replica
from batchyard.dispatch.service import Service
from batchyard.errors import StorageFailed
from batchyard.fleets.local import LocalFleet
from batchyard.routing import Routing
from batchyard.store.keeping import Keeper
from batchyard.store.segments.files import LocalSegments
from batchyard.store.store import Committed, Store
from batchyard.store.taken import Tail
from tests.simulation.world.disk import KeptEngines, SeededCatalog, SeededDisk
from tests.simulation.world.engine import SeededEngine
from tests.simulation.world.one_thread import LoopRunner, OneThreadLoop
from tests.store.room import empty_catalog

T = TypeVar("T")
_ECHO = re.compile(rb'"echo: ([^"]*)"')


class Crashed(Exception):
    """The server died under a caller: nobody knows whether what was asked for has happened."""


@dataclass(slots=True)
class Death:
    """The end of a life, in monotonic time, and the answers it had not made durable."""

    at: float
    life: int
    lost: set[str] = field(default_factory=set)  # what they were asked


class Server:
    """One process at a time. What it is told to do it does while it lives; see `while_alive`."""

    def __init__(
        self,
        folder: Path,
        loop: OneThreadLoop,
        kept: KeptEngines,
        engines: Mapping[str, SeededEngine],
    ) -> None:
        self.folder, self.loop, self.kept, self.engines = folder, loop, kept, engines
        self.clock: ManualClock = loop.clock
        self.lives = self.places = 0
        self.deaths: list[Death] = []
        self.happened: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.story: list[str] = []
        self.on_committed: Callable[[Committed], None] = lambda news: None
        self.up = False
        self._new_place()
        for name in ("batches", "spool"):
            (self.root / name).mkdir(mode=0o700, parents=True)
        (self.root / "batchyard.db").write_bytes(empty_catalog())
        self.disk = SeededDisk(self.root, self.graveyard)

    def _new_place(self) -> None:
        self.root = self.folder / f"data-{self.places}"
        self.graveyard = self.folder / f"gone-{self.places}"
        self.places += 1

    def tell(self, what: object) -> None:
        """A line of the story."""
        self.story.append(f"{self.clock.monotonic():9.3f} {self.clock.now()} {what}")

    # -- lives -------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Recover and serve. Raises Crashed if it dies of it."""
        self.lives += 1
        self.tell(f"life {self.lives} begins")
        self.loop.dead = False
        self.doom: asyncio.Future[None] = self.loop.create_future()
        self.loop.on_death = self._dies
        for engine in self.engines.values():
            engine.life = self.lives
        self.catalog = SeededCatalog(self.root / "batchyard.db", self.disk, self.loop.chance)
        segments = LocalSegments(self.root / "batches", self.disk)
        keeper = Keeper(self.catalog, segments, self.root / "spool", self.disk)
        self.runner = LoopRunner(self.loop)
        self.store = Store(keeper, self.clock, self.runner)
        self.store.on_committed(self._committed)
        self.store.on_fatal(self._fatal)
        self.changed = asyncio.Event()
        self.service = self._dispatch()
        self.up = True
        await self.while_alive(self.service.start())

    def _dispatch(self) -> Service:
        """As the dispatch process puts it together."""
        service: Service
        fleet = LocalFleet(
            [Replica(name, engine, "seeded") for name, engine in self.engines.items()],
            store=self.store,
            routing=(routing := Routing(self.engines)),
            clock=self.clock,
            on_change=lambda: service.feed_soon(),  # noqa: PLW0108 (it is made below)
            on_fatal=self._fatal,
            seed=self.loop.chance.getrandbits(32),
        )
        service = Service(
            store=self.store,
            fleet=fleet,
            routing=routing,
            clock=self.clock,
            changed=self.changed,
            reports=fleet.reports,
            on_fatal=self._fatal,
        )
        return service

    async def while_alive(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`; raises Crashed if the server dies before it is there."""
        task = self.loop.create_task(work)
        await asyncio.wait([task, self.doom], return_when=asyncio.FIRST_COMPLETED)
        if task.done() and not self.doom.done():
            return task.result()
        if task.done() and not task.cancelled():
            task.exception()  # looked at: nobody is left to be told
        await self._gone("death at a step")
        raise Crashed

    async def live(self, seconds: float) -> None:
        """Let time pass. Raises Crashed."""
        await self.while_alive(self.clock.sleep(seconds))

    async def stop(self, drain_seconds: float) -> None:
        """A clean stop. Raises Crashed if it dies of it."""

        async def stopped() -> None:
            await self.service.stop(drain_seconds)
            await self.store.close()

        await self.while_alive(stopped())
        self.up = False
        self._ended()
        self.kept.take_back()
        self.happened["clean stop"] += 1
        self.tell("stopped")

    async def kill(self) -> None:
        """`kill -9`, right now."""
        self.loop.dead = True
        await self._gone("kill -9")

    def lose_power(self, chance: random.Random) -> None:
        """After a death: the disk holds what was synced, and of the rest whatever it likes."""
        assert not self.up
        old, disk = self.root, self.disk
        self._new_place()
        disk.power_loss(self.root, chance)
        self.happened["power loss"] += 1
        self.tell("the power is gone")
        self.happened["power loss that forgot results"] += disk.forgot
        assert old != self.root
        self.disk = SeededDisk(self.root, self.graveyard)

    def keep_power(self) -> None:
        """After a death: the disk holds all that was written, synced or not."""
        assert not self.up
        room = self.disk.room
        self.disk = SeededDisk(self.root, self.graveyard, killed=self.disk)
        self.disk.room = room

    # -- ends --------------------------------------------------------------------------------------

    def _dies(self) -> None:
        if not self.doom.done():
            self.doom.set_result(None)

    def _committed(self, news: Committed) -> None:
        self.happened["shards beyond the first"] += any(number for _, number in news.settled)
        self.on_committed(news)

    def _fatal(self, error: BaseException) -> None:
        """What the program answers by exiting at once."""
        if not isinstance(error, StorageFailed) or not self.disk.failed:
            self.wrong.append(f"the process ended itself: {error!r}")
        if not self.loop.dead:
            self.happened["exit after a failed sync"] += 1
        self.loop.dead = True
        self._dies()

    async def _gone(self, how: str) -> None:
        """Every task ends where it is; nothing it does from here on reaches the disk."""
        self.happened[how] += 1
        self.tell(how)
        self.happened["death with calls in flight"] += any(
            engine.in_flight for engine in self.engines.values()
        )
        self._ended()
        self.loop.forget()
        self.disk.dies_at = 0
        mine = asyncio.current_task()
        while left := [task for task in asyncio.all_tasks() if task is not mine]:
            for task in left:
                task.cancel()
            self.loop.forget()
            await asyncio.wait(left, return_when=asyncio.ALL_COMPLETED)
            for task in left:
                if not task.cancelled():
                    task.exception()
        self.runner.forget()
        self.up = False
        self.catalog.close()
        self.disk.close_all()
        self.kept.take_back()

    def _ended(self) -> None:
        committer = self.store._committer
        tails: set[Tail] = {*committer._dirty, *committer._held}
        lines = b"".join(line for tail in tails for line in (*tail.lines, *tail.held))
        lost = {found.decode() for found in _ECHO.findall(lines)}
        self.happened["answers lost by a death"] += len(lost)
        self.happened["catalog refused"] += self.catalog.refused
        self.deaths.append(Death(self.clock.monotonic(), self.lives, lost))
