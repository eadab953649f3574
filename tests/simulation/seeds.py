"""From a seed to a history and its audit."""

from __future__ import annotations

import random
import shutil
import tempfile
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import structlog

from batchyard import ids
from batchyard.batches.shards import Bounds, cut
from batchyard.clock import ManualClock
from batchyard.dispatch import planner
from batchyard.store.catalog import database
from tests.simulation.world.audit import Audit
from tests.simulation.world.disk import KeptEngines
from tests.simulation.world.engine import Call, Fortune, SeededEngine
from tests.simulation.world.one_thread import OneThreadLoop
from tests.simulation.world.server import Crashed, Server
from tests.simulation.world.trouble import Trouble
from tests.simulation.world.users import Users

HARMLESS = {
    "results_wait",
    "storage_failed",
    "storage_waits",
    "engine_held",
    "bytes_not_removed",
}
"""What a server in trouble may complain of; anything else it complains of is a fault of ours."""


@dataclass
class History:
    """What one seed led to."""

    seed: int
    happened: Counter[str] = field(default_factory=Counter)
    story: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


class World:
    """Everything there is, in one folder, by one seed."""

    def __init__(self, seed: int, folder: Path, loop: OneThreadLoop, kept: KeptEngines) -> None:
        chance = self.chance = loop.chance
        self.history = History(seed)
        self.calls: list[Call] = []
        self.fortune = Fortune(chance)
        served = chance.choice([[["m"]], [["m"], ["m"]], [["m", "n"], ["n"]], [["m"], ["n"]]])
        self.served = {name for names in served for name in names}
        self.engines = {
            f"e{n}": SeededEngine(loop.clock, self.fortune, names, self.calls)
            for n, names in enumerate(served)
        }
        self.server = Server(folder, loop, kept, self.engines)
        self.users = Users(self.server, chance, ["m", "n", "ghost"])
        engines = list(self.engines.values())
        self.trouble = Trouble(self.server, self.users, engines, chance)
        loop.dawdling = chance.choice([0.0, 0.1])

    async def live(self) -> History:
        """Trouble, then calm, then the audit."""
        await self.server.start()
        await self._survive(self.users.create(self.chance.choice([1, 30, 60])))
        for _ in range(self.chance.randint(2, 8)):
            await self._survive(self.trouble.event())
        self.trouble.calm()
        await self._finish()
        self.audit = Audit(self.server, self.users, self.fortune, self.calls, self.served)
        self.history.wrong = await self.audit.run()
        self.history.wrong += [*self.server.wrong, *self.users.wrong, *self._complaints()]
        await self.server.stop(0.0)
        self._count()
        return self.history

    async def _survive(self, work: Any) -> None:
        try:
            await work
        except Crashed:
            self.server.tell("crashed")
            await self.trouble.after_death()
        self.users.tell_time()

    async def _finish(self) -> None:
        """Every batch ends, now that nothing goes wrong any more."""
        clock = self.server.clock
        began = clock.monotonic()
        patience = 3600.0 if self.fortune.poisoned else 300.0
        while open_ := [w for w in self.users.wishes if w.batch and not w.deleted]:
            self.users.look()
            if all(wish.ended_at is not None for wish in open_):
                break
            if clock.monotonic() > began + patience:
                self.users.wrong += [f"not ended in time: {wish.seen}" for wish in open_]
                break
            await self.server.live(1.0)
        self.server.happened["seconds to the end"] = round(clock.monotonic() - began)

    def _complaints(self) -> Iterator[str]:
        for context in self.server.loop.told:
            yield f"the loop was told: {context}"
        for engine in self.engines.values():
            yield from engine.strays

    def _count(self) -> None:
        happened = self.history.happened = self.server.happened
        happened["requests"] += sum(len(wish.requests) for wish in self.users.wishes)
        happened["calls"] += len(self.calls)
        for call in self.calls:
            happened[f"calls {call.fate}"] += 1
        for text, calls in self.audit.calls.items():
            lives = {call.life for call in calls}
            happened["calls asked again after a death"] += len(lives) > 1
            ways = {(call.life, call.engine) for call in calls}
            happened["given to another engine"] += len(ways) > len(lives)
            happened["poison blamed"] += self.fortune.is_poison(text) and len(calls) > 5
        for wish in self.users.wishes:
            if wish.seen is not None:
                for name in wish.seen.tally.__slots__:
                    happened[f"requests {name}"] += getattr(wish.seen.tally, name)
                happened["batches archived"] += wish.seen.archived_at is not None
                happened["batches deleted"] += wish.deleted
        self.history.story = [
            *self.server.story,
            *(f"{c.began:9.3f} life {c.life} {c.text}: {c.fate} {c.ended:.3f}" for c in self.calls),
        ]


@contextmanager
def seeded(chance: random.Random, complaints: list[str]) -> Iterator[KeptEngines]:
    """Whatever else is left to luck goes by the seed, and what the server logs is kept."""

    def keep(_logger: Any, level: str, event: dict[str, Any]) -> Any:
        if event["event"] not in HARMLESS:
            complaints.append(f"{level}: {event}")
        raise structlog.DropEvent

    before = structlog.get_config()
    most = chance.choice([8, 24, 1024])

    def cut_small(shared: Any, sizes: Any, bounds: Bounds) -> Any:
        return cut(shared, sizes, Bounds(min(most, bounds.requests), bounds.bytes))

    dice = random.Random(chance.random())
    structlog.configure(processors=[keep], wrapper_class=structlog.make_filtering_bound_logger(30))
    kept = _KEPT
    try:
        with (
            mock.patch.object(planner, "cut", cut_small),
            mock.patch.object(ids.secrets, "randbits", dice.getrandbits),
            mock.patch.object(database, "_engine", kept),
        ):
            random.seed(chance.random())
            yield kept
    finally:
        structlog.configure(**before)


_KEPT = KeptEngines()


def live_through(seed: int) -> History:
    """One seed, from its first batch to its audit."""
    chance = random.Random(seed)
    clock = ManualClock()
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None))
    loop = OneThreadLoop(clock, chance)
    complaints: list[str] = []
    try:
        with seeded(chance, complaints) as kept:
            world = World(seed, folder, loop, kept)
            try:
                history = loop.run_until_complete(world.live())
            except Exception:  # noqa: BLE001 told with the seed that did it
                history = world.history
                history.story = world.server.story
                history.wrong = [*world.server.wrong, *world.users.wrong, traceback.format_exc()]
                loop.run_until_complete(world.server.kill())
            history.wrong += complaints
            return history
    finally:
        loop.close()
        shutil.rmtree(folder)
