"""Delivery of a batch: whatever becomes of an answer, the server has it once."""

from __future__ import annotations

from dataclasses import replace

from batchyard.clock import SECOND
from batchyard.errors import Refused
from batchyard.pipeline.run.contract import ServerLike
from batchyard.pipeline.run.patience import AWAY, BUSY, Patience
from batchyard.pipeline.run.sending.body import Kept
from batchyard.pipeline.run.sending.likeness import alike
from batchyard.pipeline.run.store import Batch, RunStore
from batchyard.wire import MessageBatch

REMEMBERED_SECONDS = 23 * 3600
"""Our server knows an idempotency key for a day."""

LOOK_AGAIN_SECONDS = 5.0
"""A create that was cut off may still be on its way into a list; then one more look."""

WAIT_SECONDS = 10.0
"""Where a busy server does not say how long to wait."""


class Later(Exception):
    """The server takes no further batch now: ask again after `seconds`."""

    def __init__(self, seconds: float, reason: str) -> None:
        super().__init__(reason)
        self.seconds, self.reason = seconds, reason


class Delivery:
    """Sends planned batches, and finds out about those that may have been sent before.

    One at a time: while it is not known whether the server has a batch, no other one leaves, so
    two that look alike are not taken for each other.
    """

    def __init__(self, store: RunStore, server: ServerLike, patience: Patience) -> None:
        self._store, self._server, self._patience = store, server, patience
        self._clock = server.clock

    async def deliver(self, batch: Batch) -> None:
        """Return when the server has it.

        Raises `Later`; `Refused` when the server will not have it, its rows waiting again then;
        `ServerUnreachable` when the server has been away for too long. However it is left, it can
        be called again with what the store knows of the batch.
        """
        open_question = batch.state == "sending"
        while True:
            if open_question and not await self._remembers(batch) and await self._found(batch):
                return
            batch = self._leaving(batch)
            try:
                created = await self._server.create(
                    Kept(self._store.body_path(batch.seq), batch.body_bytes),
                    idempotency_key=batch.idempotency_key,
                )
            except BUSY as error:
                self._patience.there()
                if not open_question:
                    self._store.refused(batch.seq)
                raise Later(error.retry_after or WAIT_SECONDS, error.message) from error
            except AWAY as error:
                open_question = True
                await self._patience.bear(error)
            except Refused:
                if not open_question:
                    self._store.withdraw(batch)
                raise
            else:
                self._patience.there()
                self._store.created(batch.seq, created.id)
                return

    def _leaving(self, batch: Batch) -> Batch:
        now = self._clock.now()
        self._store.sending(batch.seq, now)
        return replace(batch, state="sending", sent_at=batch.sent_at or now)

    async def _remembers(self, batch: Batch) -> bool:
        """Whether the same key finds the same batch: then it can just be sent again."""
        if batch.sent_at is not None:
            age = (self._clock.now() - batch.sent_at) / SECOND
            if age > REMEMBERED_SECONDS:
                return False
        return await self._patience.through(self._server.liveness) is not None

    async def _found(self, batch: Batch) -> bool:
        """Whether the server has one that looks like it, which is taken for it until it has ended
        and its results tell."""

        async def look() -> MessageBatch | None:
            return await alike(self._server, batch, self._store.batch_ids() | {*batch.rejected})

        candidate = await self._patience.through(look)
        if candidate is None:
            await self._clock.sleep(LOOK_AGAIN_SECONDS)
            candidate = await self._patience.through(look)
        if candidate is not None:
            self._store.created(batch.seq, candidate.id, certain=False)
        return candidate is not None
