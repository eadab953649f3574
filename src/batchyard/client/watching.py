"""Watching a batch: one look after the other until it has ended, through a server's restarts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from batchyard.client.readiness import EngineState, Readiness
from batchyard.clock import Clock
from batchyard.errors import Refused, ServerUnreachable, ServiceUnavailable
from batchyard.wire import MessageBatch

LOOK_SECONDS = 1.0
LOOK_SECONDS_ELSEWHERE = 10.0
"""Pause between two looks at a server of another make: the hosted API asks for ten seconds."""

ENGINES_EVERY = 5
"""Engines are asked about on every fifth look, and on each one that shows no progress."""

PATIENCE_SECONDS = 600.0
"""How long a server that was there may be away before watching it is given up."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A batch as it was at `moment` (seconds, monotonic). `trouble` says why it may be old.

    `engines` is None where the server does not tell about them.
    """

    batch: MessageBatch
    moment: float
    engines: tuple[EngineState, ...] | None = None
    trouble: str = ""


class Looker(Protocol):
    """What watching needs of a client."""

    @property
    def clock(self) -> Clock: ...
    async def retrieve(self, batch_id: str, /) -> MessageBatch: ...
    async def readiness(self) -> Readiness | None: ...


async def watch(client: Looker, batch_id: str) -> AsyncIterator[Snapshot]:
    """Snapshots of a batch, the last one of its end.

    The first look raises like `Client.retrieve`. After that a server that is away is waited for:
    the snapshots say so, and `ServerUnreachable` is raised only after `PATIENCE_SECONDS`.
    """
    clock = client.clock
    batch = await client.retrieve(batch_id)
    engines = await _engines(client)
    pause = LOOK_SECONDS if engines is not None else LOOK_SECONDS_ELSEWHERE
    seen = clock.monotonic()
    looks, trouble = 0, ""
    while True:
        yield Snapshot(batch, clock.monotonic(), engines, trouble)
        if batch.processing_status == "ended":
            return
        await clock.sleep(pause)
        looks += 1
        before = batch
        try:
            batch = await client.retrieve(batch_id)
            if engines is not None and (looks % ENGINES_EVERY == 0 or batch == before):
                engines = await _engines(client) or engines
            seen, trouble = clock.monotonic(), ""
        except (ServerUnreachable, ServiceUnavailable) as error:
            trouble = error.message
            if clock.monotonic() - seen > PATIENCE_SECONDS:
                raise


async def _engines(client: Looker) -> tuple[EngineState, ...] | None:
    try:
        readiness = await client.readiness()
    except (Refused, ServerUnreachable):
        return None
    return None if readiness is None else tuple(readiness.engines)
