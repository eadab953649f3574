"""A store on a folder, and the steps of a batch's life as tests want to say them."""

from __future__ import annotations

import asyncio
import functools
import json
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from batchyard import wire
from batchyard.batches.batch import Batch, NewBatch, Shard
from batchyard.batches.limits import Limits
from batchyard.batches.result import OUTCOMES, Outcome
from batchyard.clock import ManualClock
from batchyard.store.catalog.database import Catalog
from batchyard.store.segments.files import FileSystem
from batchyard.store.store import Committed, ShardPlan, Store, Taken, open_store

WORKSPACE = "wrkspc_default"


def line(custom_id: str, outcome: Outcome = "succeeded", text: str = "hello") -> bytes:
    """A result line; `text` tells one answer from another."""
    if outcome == "succeeded":
        message = {
            "type": "message",
            "content": [{"type": "text", "text": text}],
            "usage": {"input_tokens": 1, "output_tokens": 2},
        }
        return wire.succeeded_line(custom_id, wire.encode(message))
    if outcome == "errored":
        return wire.errored_line(custom_id, "api_error", text)
    return wire.bare_line(custom_id, outcome)


def body(names: Iterable[str], salt: str = "") -> bytes:
    """A create body as a client would send it."""
    params = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": salt}]}
    return json.dumps(
        {"requests": [{"custom_id": name, "params": params} for name in names]}
    ).encode()


async def until(condition: Callable[[], object]) -> None:
    """Give the loop and the threads their turns until it holds."""
    while not condition():
        await asyncio.sleep(0)


def numbered(count: int) -> list[str]:
    return [f"r-{number}" for number in range(count)]


@functools.cache
def empty_catalog() -> bytes:
    """A catalog fresh from its migrations, made once: that is most of what opening costs."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "catalog.db"
        Catalog(path).close()
        return path.read_bytes()


class Room:
    """An open store, its clock, and what its listeners heard."""

    def __init__(
        self,
        path: Path,
        *,
        clock: ManualClock | None = None,
        files: FileSystem | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.path, self.clock = path, clock or ManualClock()
        self.limits = limits or Limits()
        if not path.exists():
            path.mkdir(mode=0o700, parents=True)
            (path / "batchyard.db").write_bytes(empty_catalog())
            (path / "batchyard.db").chmod(0o600)
        self.store: Store = open_store(path, self.clock, file_system=files)
        self.news: list[Committed] = []
        self.fatal: list[Exception] = []
        self.store.on_committed(self.news.append)
        self.store.on_fatal(self.fatal.append)

    async def restarted(self, files: FileSystem | None = None) -> Room:
        """The store as the next process finds it."""
        await self.store.close()
        return Room(self.path, clock=self.clock, files=files, limits=self.limits)

    async def create(self, names: Sequence[str] | int = 3, *, salt: str = "", **new: Any) -> Batch:
        names = numbered(names) if isinstance(names, int) else names
        self.clock.jump(0.001)
        spool = self.store.spool()
        try:
            spool.write(body(names, salt))
            wish: dict[str, Any] = {"workspace_id": WORKSPACE, "requests": len(names), **new}
            asked = NewBatch(body_sha256=spool.sha256(), **wish)
            return await self.store.create(spool, asked, self.limits)
        finally:
            spool.discard()

    async def plan(self, batch: Batch, per_shard: int = 1000) -> list[Shard]:
        found = await self.store.body(batch.id)
        try:
            entries = list(found.entries())
            cuts = range(0, len(entries), per_shard)
            plans = [ShardPlan("m", entries[at : at + per_shard]) for at in cuts]
            return await self.store.plan(batch.id, found, plans)
        finally:
            found.close()

    async def planned(self, names: Sequence[str] | int = 3, per_shard: int = 1000) -> Batch:
        batch = await self.create(names)
        await self.plan(batch, per_shard)
        return batch

    def answer(self, taken: Taken, count: int | None = None, text: str = "hello") -> list[str]:
        """Hand in results for the next `count` requests to do, going through the outcomes."""
        done: list[str] = []
        left = [n for n, entry in enumerate(taken.todo) if entry.custom_id in taken.tail.waiting]
        for number in left[:count]:
            entry, outcome = taken.todo[number], OUTCOMES[number % 4]
            if self.store.append(taken, entry, outcome, line(entry.custom_id, outcome, text)):
                done.append(entry.custom_id)
        return done

    async def finish(self, batch: Batch, text: str = "hello") -> Batch:
        """Plan if need be, take every shard, answer what is left."""
        shards = await self.store.shards(batch.id) or await self.plan(batch)
        for shard in shards:
            taken = await self.store.take(batch.id, shard.number)
            self.answer(taken, text=text)
            taken.close()
        await self.store.flush()
        return await self.look(batch)

    async def ended(self, names: Sequence[str] | int = 3) -> Batch:
        return await self.finish(await self.create(names))

    async def look(self, batch: Batch) -> Batch:
        return await self.store.batch(batch.workspace_id, batch.id)

    async def lines(self, batch: Batch) -> dict[str, bytes]:
        """Results by custom id; fails if one comes twice or the size is not what was said."""
        results = await self.store.results(batch.workspace_id, batch.id)
        whole = b"".join([chunk async for chunk in results.chunks()])
        assert len(whole) == results.size
        found = whole.splitlines(keepends=True)
        by_id = {json.loads(each)["custom_id"]: each for each in found}
        assert len(by_id) == len(found)
        return by_id

    def files(self, folder: str = "batches") -> list[str]:
        """Every file under a folder of the data directory."""
        root = self.path / folder
        return sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.is_file())
