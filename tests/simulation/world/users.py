"""The users of a simulated server: what they wished for, what they were told, and what they saw."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import msgspec

from batchyard.batches.batch import Batch, NewBatch
from batchyard.batches.limits import Limits
from batchyard.clock import SECOND, Microseconds
from batchyard.errors import Damaged, InvalidRequest, NotFound, StorageError
from batchyard.store.catalog import batches as rows
from batchyard.store.store import Committed, Results
from tests.simulation.world.server import Crashed, Server

WORKSPACES = ("wrkspc_default", "wrkspc_other")
STATES = ("in_progress", "canceling", "ended")


@dataclass(frozen=True, slots=True)
class Request:
    """One request of a batch. A `faulty` one lacks a field that every engine wants."""

    custom_id: str
    text: str
    model: str
    faulty: bool

    def params(self) -> dict[str, Any]:
        params: dict[str, Any] = {
            "model": self.model,
            "messages": [{"role": "user", "content": self.text}],
        }
        return params if self.faulty else {**params, "max_tokens": 16}


@dataclass(slots=True, eq=False)
class Wish:
    """A batch as its owner knows it. Times are monotonic; None is never."""

    name: str
    workspace: str
    requests: dict[str, Request]
    idempotency_key: str | None
    asked_at: Microseconds = 0  # in wall time
    batch: Batch | None = None  # as first seen
    refused: bool = False  # there is no such batch
    seen: Batch | None = None  # as last seen
    cancel_asked: bool = False
    canceled: tuple[float, int] | None = None  # when the cancel was answered, in which life
    ended_at: float | None = None  # when it was first seen ended
    late: tuple[float, int] | None = None  # since when the wall clock is past its deadline
    was_late: bool = False
    delete_asked: bool = False
    deleted: bool = False
    bytes: bytes | None = None  # its results when they were first read

    def body(self) -> bytes:
        entries = [{"custom_id": r.custom_id, "params": r.params()} for r in self.requests.values()]
        return msgspec.json.encode({"requests": entries})


class Users:
    """All of them. `wrong` collects what should never have been seen."""

    def __init__(self, server: Server, chance: random.Random, models: list[str]) -> None:
        self.server, self.chance, self.models = server, chance, models
        self.wishes: list[Wish] = []
        self.wrong: list[str] = []
        server.on_committed = self.hear

    # -- what they do ------------------------------------------------------------------------------

    async def create(self, most: int) -> None:
        """Raises Crashed; then the batch may be there or not."""
        chance, number = self.chance, len(self.wishes)
        models = self.models if chance.random() < 0.3 else self.models[:1]
        requests = {}
        for n in range(chance.randint(1, most)):
            faulty = n % 19 == 18
            requests[f"r-{n}"] = Request(f"r-{n}", f"b{number} {n}", chance.choice(models), faulty)
        key = f"key-{number}" if chance.random() < 0.7 else None
        now = self.server.clock.now()
        wish = Wish(f"b{number}", chance.choice(WORKSPACES), requests, key, asked_at=now)
        self.wishes.append(wish)
        await self.send(wish)

    async def send(self, wish: Wish) -> None:
        """The create call itself."""
        store = self.server.store
        spool = store.spool()
        spool.write(wish.body())
        key = wish.idempotency_key
        new = NewBatch(wish.workspace, len(wish.requests), spool.sha256(), idempotency_key=key)
        try:
            batch = await self.server.while_alive(store.create(spool, new, Limits()))
        except Crashed:
            spool.close()  # whose process is gone; the file stays where it is
            raise
        except StorageError:  # full or busy, said the server: nothing was queued
            spool.discard()
            wish.refused = wish.batch is None
            self.server.happened["create refused"] += 1
            return
        spool.discard()
        wish.batch = wish.batch or batch
        self.server.changed.set()

    async def find_out(self) -> None:
        """After a death: was the create that got no answer written down? Raises Crashed."""
        for wish in [wish for wish in self.wishes if wish.batch is None and not wish.refused]:
            soon = self.server.clock.now() < wish.asked_at + Limits().idempotency_seconds * SECOND
            if wish.idempotency_key is not None and soon:
                await self.send(wish)
                self.server.happened["create repeated"] += 1
            page = self.server.store.batches(
                wish.workspace, limit=1000, after_id=None, before_id=None
            )
            known = {other.batch.id for other in self.wishes if other.batch is not None}
            found = await self.server.while_alive(page)
            new = [batch for batch in found.data if batch.id not in known]
            if len(new) > (wish.batch is None) or any(
                batch.requests != len(wish.requests) for batch in new
            ):
                self.wrong.append(f"{wish.name} became {new}")
            wish.batch = wish.batch or (new[0] if new else None)
            wish.refused = wish.batch is None
            self.server.happened["unanswered create found"] += bool(new)
            self.server.happened["unanswered create left nothing"] += wish.refused

    async def cancel(self, wish: Wish) -> None:
        if wish.batch is None or wish.deleted or wish.delete_asked:
            return
        wish.cancel_asked = True
        call = self.server.store.cancel(wish.workspace, wish.batch.id)
        try:
            after = await self.server.while_alive(call)
        except StorageError:
            return
        if wish.canceled is None:
            wish.canceled = (self.server.clock.monotonic(), self.server.lives)
        if after.processing_status == "in_progress":
            self.wrong.append(f"{wish.name} is in progress after its cancel")
        self.server.changed.set()

    async def delete(self, wish: Wish) -> None:
        """Refused before the end."""
        if wish.batch is None or wish.deleted:
            return
        self.see(wish)
        ended, wish.delete_asked = wish.ended_at is not None, True
        try:
            await self.server.while_alive(self.server.store.delete(wish.workspace, wish.batch.id))
        except InvalidRequest:
            wish.delete_asked = False
            if ended:
                self.wrong.append(f"{wish.name} has ended and cannot be deleted")
            return
        except NotFound:
            pass
        except StorageError:
            return
        if wish.ended_at is None:
            self.wrong.append(f"{wish.name} was deleted before its end")
        wish.deleted = True

    async def download(self, wish: Wish) -> None:
        """The results, if they are there; read before, they must be the same for ever."""
        if not self.see(wish) or wish.batch is None or wish.ended_at is None:
            return
        store = self.server.store
        try:
            results = await self.server.while_alive(store.results(wish.workspace, wish.batch.id))
            found = await self.server.while_alive(whole(results))
        except (NotFound, Damaged):  # a reader may be overtaken by the end of the 29 days
            if self.see(wish) and wish.seen is not None and wish.seen.archived_at is None:
                self.wrong.append(f"{wish.name} has no results")
            return
        if wish.bytes not in (None, found):
            self.wrong.append(f"{wish.name}: results changed after the end")
        if len(found) != results.size:
            self.wrong.append(f"{wish.name}: results end short")
        wish.bytes = found
        self.server.happened["results read"] += 1

    # -- what they see -----------------------------------------------------------------------------

    def hear(self, news: Committed) -> None:
        """Look at what has just been committed."""
        self.server.tell(news)
        touched = {batch_id for batch_id, _ in news.settled}
        for wish in self.wishes:
            if wish.batch is not None and wish.batch.id in touched:
                if wish.batch.id in news.ended and wish.ended_at is None:
                    wish.ended_at = self.server.clock.monotonic()
                self.see(wish)

    def look(self) -> None:
        """At everything, right now."""
        for wish in self.wishes:
            self.see(wish)

    def see(self, wish: Wish) -> bool:
        """Look at one batch: False if it is gone."""
        if wish.batch is None:
            return False
        try:
            now = rows.look(self.server.catalog, wish.workspace, wish.batch.id)
        except NotFound:
            if not wish.delete_asked:
                self.wrong.append(f"{wish.name} is not found")
            wish.deleted = True
            return False
        if wish.deleted:
            self.wrong.append(f"{wish.name} is there after its delete")
        clock = self.server.clock
        self.wrong += [f"{wish.name}: {fault}" for fault in faults(wish.seen or wish.batch, now)]
        if now.ended_at is not None and wish.ended_at is None:
            wish.ended_at = clock.monotonic()
        if now.cancel_initiated_at is not None and not wish.cancel_asked:
            self.wrong.append(f"{wish.name} was canceled by nobody")
        wish.seen = now
        return True

    def stranger_looks(self, wish: Wish) -> None:
        """Another workspace knows nothing of it."""
        other = WORKSPACES[1 - WORKSPACES.index(wish.workspace)]
        if wish.batch is None:
            return
        try:
            rows.look(self.server.catalog, other, wish.batch.id)
        except NotFound:
            return
        self.wrong.append(f"{wish.name} was found by a stranger")

    def tell_time(self) -> None:
        """Note whose deadline has passed; a clock that steps back may bring it before us again."""
        clock = self.server.clock
        for wish in self.wishes:
            if wish.batch is None:
                continue
            if clock.now() < wish.batch.expires_at:
                wish.late = None
            elif wish.late is None:
                wish.late, wish.was_late = (clock.monotonic(), self.server.lives), True


async def whole(results: Results) -> bytes:
    """All of them."""
    return b"".join([chunk async for chunk in results.chunks()])


def faults(before: Batch, now: Batch) -> list[str]:
    """What is wrong with a batch that was `before` and is `now`."""
    found = []

    def must(law: str, holds: bool) -> None:
        if not holds:
            found.append(f"{law}: {before} became {now}")

    counts, earlier = _counts(now), _counts(before)
    must("counts are not negative and sum to the total", min(*counts, now.processing) >= 0)
    must("counts move one way", all(a <= b for a, b in zip(earlier, counts, strict=True)))
    must(
        "states move one way",
        STATES.index(before.processing_status) <= STATES.index(now.processing_status),
    )
    ended = now.processing_status == "ended"
    must("ended is ended", ended == (now.ended_at is not None) == (now.processing == 0))
    must("it ends after it began", (now.ended_at or now.created_at) >= now.created_at)
    must("a day is a day", now.expires_at - now.created_at == 24 * 3600 * SECOND)
    for name in ("id", "workspace_id", "requests", "created_at", "expires_at"):
        must(f"{name} is constant", getattr(before, name) == getattr(now, name))
    for name in ("ended_at", "cancel_initiated_at", "archived_at"):
        must(f"{name} is set once", getattr(before, name) in (None, getattr(now, name)))
    must(
        "a canceling batch says when",
        now.processing_status != "canceling" or now.cancel_initiated_at is not None,
    )
    return found


def _counts(batch: Batch) -> tuple[int, ...]:
    tally = batch.tally
    return (tally.succeeded, tally.errored, tally.canceled, tally.expired)
