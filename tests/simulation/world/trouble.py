"""What happens to servers: outages, cancels, deletes, deaths of every kind, disks, clocks."""

from __future__ import annotations

import random

from batchyard.clock import ManualClock
from tests.simulation.world.engine import OUTAGES, SeededEngine
from tests.simulation.world.server import Crashed, Server
from tests.simulation.world.users import Users

HOUR = 3600.0
CREATE_STEPS = 7
"""Steps on the disk of a create, if nobody takes one between them."""


class Trouble:
    """One event after the other, as the seed will have it. Events may raise Crashed."""

    def __init__(
        self, server: Server, users: Users, engines: list[SeededEngine], chance: random.Random
    ) -> None:
        self.server, self.users, self.engines, self.chance = server, users, engines, chance
        self.clock: ManualClock = server.clock
        self.events = {
            self.create: 3,
            self.outage: 2,
            self.long_outage: 1,
            self.recovery: 2,
            self.pace: 1,
            self.cancel: 3,
            self.cancel_and_die: 1,
            self.delete: 2,
            self.download: 1,
            self.clean_restart: 1,
            self.kill: 2,
            self.kill_soon: 4,
            self.kill_unsynced: 1,
            self.full_disk: 2,
            self.broken_disk: 1,
            self.busy_catalog: 1,
            self.clock_jump: 1,
            self.downtime: 1,
            self.a_day_too_far: 0.3,
        }

    async def event(self) -> None:
        """One of them, then a while of whatever follows from it."""
        act = self.chance.choices(list(self.events), list(self.events.values()))[0]
        self.server.happened[act.__name__] += 1
        self.server.tell(act.__name__)
        await act()
        await self.server.live(self.chance.random() * self.chance.choice([0.2, 1.0, 4.0]))
        self.users.look()

    async def after_death(self) -> None:
        """Start again on what is left; that may end in death, too."""
        server, chance = self.server, self.chance
        while not server.up:
            if chance.random() < 0.5:
                server.lose_power(chance)
            else:
                server.keep_power()
            if chance.random() < 0.1:
                self.jump(chance.choice([1, 25]) * HOUR)
            if chance.random() < 0.15:
                server.disk.dies_at = server.disk.steps + chance.randint(1, 12)
                server.happened["death while starting"] += 1
            try:
                await server.start()
                await self.users.find_out()
            except Crashed:
                continue

    def calm(self) -> None:
        """No more trouble from here on."""
        server = self.server
        for engine in self.engines:
            engine.down, engine.room, engine.latency = None, 1000, 0.3
            engine.fortune.over = True
        server.loop.dawdling = server.catalog.busy = 0.0
        server.disk.room = server.disk.dies_at = None
        server.disk.broken = server.disk.dies_unsynced = False

    # -- users -------------------------------------------------------------------------------------

    async def create(self) -> None:
        if self.chance.random() < 0.35:
            self._die_within(14)
            if self.chance.random() < 0.5:  # right after the row is there
                self.server.disk.dies_at = self.server.disk.steps + CREATE_STEPS
        await self.users.create(self.chance.choice([1, 12, 40]))

    async def cancel(self) -> None:
        wish = self.chance.choice(self.users.wishes)
        self.server.happened["cancel with calls in flight"] += any(
            engine.in_flight for engine in self.engines
        )
        await self.users.cancel(wish)
        self.users.stranger_looks(wish)
        if self.chance.random() < 0.3:  # whoever has not heard of it by then never will
            await self.server.live(3.0)

    async def cancel_and_die(self) -> None:
        self._die_within(8)
        await self.users.cancel(self.chance.choice(self.users.wishes))

    async def delete(self) -> None:
        if self.chance.random() < 0.3:
            self._die_within(8)
        await self.users.delete(self.chance.choice(self.users.wishes))

    async def download(self) -> None:
        await self.users.download(self.chance.choice(self.users.wishes))

    # -- engines -----------------------------------------------------------------------------------

    async def outage(self) -> None:
        self.chance.choice(self.engines).down = self.chance.choice(OUTAGES)

    async def long_outage(self) -> None:
        """Long enough for another engine, if there is one, to be given the work."""
        await self.outage()
        await self.server.live(self.chance.uniform(6, 10))

    async def recovery(self) -> None:
        for engine in self.engines:
            engine.down = None

    async def pace(self) -> None:
        engine = self.chance.choice(self.engines)
        engine.latency = self.chance.choice([0.01, 0.3, 2.0])
        engine.room = self.chance.choice([1, 4, 1000])
        self.server.loop.dawdling = self.chance.choice([0.0, 0.1, 0.5])

    # -- lives -------------------------------------------------------------------------------------

    async def clean_restart(self) -> None:
        await self.server.stop(self.chance.choice([0.0, 1.0, 30.0]))
        await self.server.start()

    async def kill(self) -> None:
        await self.server.kill()
        raise Crashed

    async def kill_soon(self) -> None:
        """At some step on the disk that is still to come."""
        self._die_within(self.chance.choice([5, 30]))

    async def kill_unsynced(self) -> None:
        """Between the writing of results and their sync."""
        self.server.disk.dies_unsynced = True

    async def downtime(self) -> None:
        await self.server.stop(0.0)
        self.jump(self.chance.choice([1, 12, 25, 30 * 24, 30 * 24]) * HOUR)
        await self.server.start()

    # -- disks and clocks --------------------------------------------------------------------------

    async def full_disk(self) -> None:
        """For a while; by some seeds it is the death of the server, or it is stopped meanwhile."""
        server, chance = self.server, self.chance
        server.disk.room = chance.choice([0, 500])
        await server.live(chance.uniform(0.2, 8))
        server.happened["results waited for space"] += server.store.disk_full
        if chance.random() < 0.3:
            await self.clean_restart()
        if chance.random() < 0.2:
            await self.kill()
        server.disk.room = None

    async def broken_disk(self) -> None:
        """A sync that fails is the end of the process: see what it has done until then."""
        self.server.disk.broken = True

    async def busy_catalog(self) -> None:
        self.server.catalog.busy = self.chance.choice([0.0, 0.3])

    async def clock_jump(self) -> None:
        self.jump(self.chance.uniform(-2, 2) * HOUR)

    async def a_day_too_far(self) -> None:
        """The clock goes wrong for a moment, far enough to expire everything."""
        self.jump(25 * HOUR)
        await self.server.live(2.0)
        self.jump(self.chance.choice([0, -25]) * HOUR)

    def jump(self, seconds: float) -> None:
        self.clock.jump(seconds)
        self.users.tell_time()

    def _die_within(self, steps: int) -> None:
        self.server.disk.dies_at = self.server.disk.steps + self.chance.randint(1, steps)
