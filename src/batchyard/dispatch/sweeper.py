"""Time as an actor: settles what will never be asked, archives, prunes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from batchyard.batches.request import Entry, check
from batchyard.clock import Clock
from batchyard.dispatch.patience import patiently
from batchyard.dispatch.worker.attempt import Line, errored
from batchyard.errors import Damaged, Fenced
from batchyard.store.store import Store, Taken
from batchyard.telemetry import logger

log = logger(__name__)

SWEEP_SECONDS = 60.0

LineFor = Callable[[Entry, Taken], Line]
"""Renders the line of a request nobody will ask; its params can be read from the shard."""


async def settle_shard(
    store: Store, clock: Clock, shard: tuple[str, int], line_for: LineFor
) -> None:
    """Give every open request of a shard its line without asking an engine.

    Takes the shard like a worker does, under a new fence, so what was answered before stays.
    """
    try:
        taken = await patiently(clock, lambda: store.take(*shard))
    except (Damaged, Fenced):
        # Nobody knows the requests of a damaged shard; the others must get their lines anyway.
        log.exception("shard_not_taken", batch=shard[0], shard=shard[1])
        return
    try:
        for entry in taken.todo:
            line = line_for(entry, taken)
            store.append(taken, entry, line.outcome, line.bytes)
        await store.room()
    finally:
        taken.close()


def refusal(message: str, *, strict_version: bool, api_version: str) -> LineFor:
    """Lines for requests whose model nobody serves; a fault in the params goes before that."""

    def line_for(entry: Entry, taken: Taken) -> Line:
        try:
            params = taken.params(entry)
        except Damaged as error:
            return errored(entry, "api_error", error.message)
        fault = check(params, api_version=api_version, strict_version=strict_version)
        if fault is not None:
            return errored(entry, fault.type, fault.message)
        return errored(entry, "not_found_error", message)

    return line_for


class Sweeper:
    """Once a minute: takes away results past their time and bytes nobody owns."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def run(self) -> None:
        """Sweep for ever, at once to begin with: the server may have been down for days."""
        await patiently(self._clock, self._store.prune)
        while True:
            await self.sweep()
            await self._clock.sleep(SWEEP_SECONDS)

    async def sweep(self) -> None:
        """Archive what is due. A failure leaves the rest for the next time."""
        for batch_id in await patiently(self._clock, self._store.due_for_archive):
            await patiently(self._clock, partial(self._store.archive, batch_id))
            log.info("batch_archived", batch=batch_id)
