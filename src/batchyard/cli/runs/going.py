"""A run under way: shown while it goes, stopped by Ctrl-C, written and summed up at its end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from batchyard.cli import display, failures, talk
from batchyard.cli.runs import finding
from batchyard.cli.runs.begun import Begun
from batchyard.cli.runs.interrupts import Stops
from batchyard.cli.runs.options.values import Tolerance
from batchyard.cli.runs.said import words
from batchyard.cli.runs.said.sight import LOOK, View
from batchyard.cli.runs.said.telling import Telling
from batchyard.clock import SystemClock
from batchyard.errors import BatchyardError

if TYPE_CHECKING:
    from batchyard.pipeline.estimate.budget import Budget
    from batchyard.pipeline.run import Progress, RunStore

LOOK_SECONDS = 1.0
"""How long Ctrl-C waits for the server to say what is in flight."""


class Interrupted(Exception):
    """Ctrl-C has stopped `going`; `in_flight` rows were with engines at that moment."""

    def __init__(self, going: Going, in_flight: int) -> None:
        super().__init__()
        self.going, self.in_flight = going, in_flight


@dataclass(slots=True)
class Going:
    """A run that is carried out to its end, or as far as it comes."""

    begun: Begun
    telling: Telling
    budget: Budget
    screen: display.Display[View]
    last: Progress | None = None
    stopped: asyncio.Event = field(default_factory=asyncio.Event)

    def show(self, progress: Progress) -> None:
        """Put how far it is before the user."""
        self.last = progress
        self.screen.show(View(progress, self.cost()))

    def cost(self) -> Decimal | None:
        """Dollars so far, None where nothing has a price."""
        price = self.begun.price
        if price is None or (price.standard is None and price.gpu_hour is None):
            return None
        return self.budget.cost()

    async def go(self) -> None:
        """Until every row has ended. Raises `Interrupted`, `CapReached`, `ServerUnreachable`."""
        with self.screen.open():
            await self._guarded(self.begun.runner(self.budget, self.show).run())

    async def _guarded(self, work: Coroutine[None, None, None]) -> None:
        """Do `work` until it is done, Ctrl-C comes, or the run's own server has gone."""
        own = self.begun.at.own
        working = asyncio.ensure_future(work)
        stopping = asyncio.ensure_future(self.stopped.wait())
        watching = asyncio.ensure_future(own.gone()) if own else None
        tasks: list[asyncio.Future[Any]] = [working, stopping]
        tasks += [watching] if watching else []
        try:
            self.begun.at.stops.stop = self.stopped.set
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if stopping.done() and not working.done():
                raise Interrupted(self, await self._in_flight())
            if watching is not None and watching.done() and not working.done():
                raise watching.result()
            working.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _in_flight(self) -> int:
        """Rows that engines are answering right now; 0 where the server does not say."""
        with suppress(TimeoutError, BatchyardError):
            readiness = await asyncio.wait_for(self.begun.at.client.readiness(), LOOK_SECONDS)
            return sum(engine.in_flight for engine in readiness.engines) if readiness else 0
        return 0

    def end(self, fail_on: Tolerance) -> int:
        """Write the file and sum up; returns the exit code."""
        begun, totals = self.begun, self.begun.store.totals
        written = begun.write()
        groups = begun.groups()
        forgiven = fail_on.forgives(totals.failed, totals.rows)
        code = failures.OK if forgiven else failures.FAILED_REQUESTS
        self.telling.wrote(begun, written, groups)
        self.telling.done(begun, groups, code, self.cost())
        return code

    def told(self, in_flight: int) -> None:
        """Say what is saved, what goes on, and how to come back; a server of its own has ended."""
        store, last = self.begun.store, self.last
        if self.telling.as_json:
            self.telling.done(self.begun, self.begun.groups(), failures.INTERRUPTED, self.cost())
            return
        ended = store.totals.succeeded + store.totals.failed
        saved = max(ended, last.succeeded + last.failed) if last else ended
        command = finding.command("resume", store.path, newest=True)
        if self.begun.at.own is not None:
            counts = (saved + in_flight, in_flight)
            for line in words.interrupted(str(store.path), counts, command=command):
                talk.say(line)
            return
        running = [one.batch_id for one in store.unfinished() if one.batch_id]
        talk.say(f"Stopped sending new rows. {words.keeps_running(running) if running else ''}")
        talk.say(words.goes_on(saved, str(store.path), command))


async def carried_out(
    begun: Begun, telling: Telling, *, mode: display.Mode, fail_on: Tolerance
) -> int:
    """Ask every row that is left, write the file, sum up; returns the exit code.

    Raises what stopped it before its end; what was answered by then is kept.
    """
    screen = display.chosen(mode, LOOK, as_json=telling.as_json)
    going = Going(begun, telling, begun.budget(), screen)
    clock = begun.at.client.clock
    began = clock.monotonic()
    try:
        await going.go()
    finally:
        begun.store.worked(round(clock.monotonic() - began))
    return going.end(fail_on)


def concluded(store: RunStore, work: Callable[[Stops], Coroutine[None, None, int]]) -> int:
    """The exit code of a verb's work; after Ctrl-C once everything it began has come to rest."""
    stops = Stops(SystemClock())

    async def whole() -> int:
        with stops.heard():
            return await work(stops)

    try:
        return asyncio.run(whole())
    except Interrupted as found:
        found.going.told(found.in_flight)
        raise failures.Stopped from None
    except asyncio.CancelledError:
        again = finding.command("resume", store.path, newest=True)
        how = "stopped at once" if stops.quitted else "stopped"
        raise failures.Stopped(
            f"{how}; what was answered is kept, what was in flight is asked again by\n{again}"
        ) from None
