"""Histories: the store against a model of a dozen lines, with restarts and power losses between."""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from batchyard.batches.batch import Batch
from batchyard.errors import InvalidRequest, NotFound
from batchyard.store.store import Taken
from tests.store.filesystems import MortalFileSystem
from tests.store.room import WORKSPACE, Room, line, numbered


@dataclass
class Known:
    """What the model knows of a batch: its first acknowledged lines are the last word."""

    batch: Batch
    canceled: bool = False
    planned: bool = False
    archived: bool = False
    said: dict[str, bytes] = field(default_factory=dict)  # handed in, fate unknown until a flush
    done: dict[str, bytes] = field(default_factory=dict)  # flushed


class Histories(RuleBasedStateMachine):
    """Any order of calls, with the process dying in between."""

    @initialize()
    def begin(self) -> None:
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.lives = 0
        self.known: dict[str, Known] = {}
        self.deleted: list[str] = []
        self.held: list[tuple[Known, Taken]] = []
        self.files = MortalFileSystem(self.path(), Path(self.folder.name) / "graves0")
        self.room = self.run(self.opened)

    def run(self, act: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        return self.runner.run(act())

    def path(self) -> Path:
        return Path(self.folder.name) / str(self.lives)

    async def opened(self) -> Room:
        return Room(self.path(), files=self.files)

    def teardown(self) -> None:
        self.let_go()
        self.run(self.room.store.close)
        self.runner.close()
        self.folder.cleanup()

    def let_go(self) -> None:
        for _, taken in self.held:
            taken.close()
        self.held = []

    # -- what happens -----------------------------------------------------------------------------

    @precondition(lambda self: len(self.known) < 4)
    @rule(count=st.integers(1, 6))
    def create(self, count: int) -> None:
        batch = self.run(lambda: self.room.create(count, salt=str(len(self.known))))
        self.known[batch.id] = Known(batch)

    def some(self, data: Any, condition: Callable[[Known], bool] = lambda _: True) -> Known | None:
        fit = [known for known in self.known.values() if condition(known)]
        return data.draw(st.sampled_from(fit)) if fit else None

    @rule(data=st.data())
    def cancel(self, data: Any) -> None:
        if known := self.some(data):
            self.run(lambda: self.room.store.cancel(WORKSPACE, known.batch.id))
            known.canceled = known.canceled or len(known.done) < known.batch.requests

    @rule(data=st.data(), per_shard=st.integers(1, 4))
    def plan(self, data: Any, per_shard: int) -> None:
        if known := self.some(data, lambda known: not known.planned):
            self.run(lambda: self.room.plan(known.batch, per_shard))
            known.planned = True

    @rule(data=st.data())
    def take(self, data: Any) -> None:
        if known := self.some(data, lambda known: known.planned and not known.archived):
            shards = self.run(lambda: self.room.store.shards(known.batch.id))
            number = data.draw(st.sampled_from(shards)).number
            taken = self.run(lambda: self.room.store.take(known.batch.id, number))
            gone = {e.custom_id for e in taken.todo} & known.done.keys()
            assert not gone, f"done requests are to be done again: {gone}"
            self.held.append((known, taken))

    @precondition(lambda self: self.held)
    @rule(data=st.data(), count=st.integers(1, 4))
    def answer(self, data: Any, count: int) -> None:
        known, taken = data.draw(st.sampled_from(self.held))
        self.run(lambda: self.hand_in(known, taken, count))

    async def hand_in(self, known: Known, taken: Taken, count: int) -> None:
        for entry in taken.todo[:count]:
            text = line(entry.custom_id, text=f"fence {taken.shard.fence} life {self.lives}")
            if self.room.store.append(taken, entry, "succeeded", text):
                known.said[entry.custom_id] = text

    @rule()
    def flush(self) -> None:
        self.run(self.room.store.flush)
        for known in self.known.values():
            rows = self.run(lambda known=known: self.room.store.shards(known.batch.id))
            if sum(row.tally.settled for row in rows) == len(known.done | known.said):
                known.done |= {name: known.done.get(name, b"") for name in known.said}

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def release(self, data: Any) -> None:
        at = data.draw(st.integers(0, len(self.held) - 1))
        self.held.pop(at)[1].close()

    @rule(data=st.data())
    def delete(self, data: Any) -> None:
        if known := self.some(data):
            self.flush()  # or a commit under way could end it between the look and the act
            ended = self.run(lambda: self.room.look(known.batch)).ended_at is not None
            try:
                self.run(lambda: self.room.store.delete(WORKSPACE, known.batch.id))
                assert ended
                del self.known[known.batch.id]
                self.deleted.append(known.batch.id)
            except InvalidRequest:
                assert not ended

    @rule(data=st.data())
    def archive(self, data: Any) -> None:
        if known := self.some(data):
            self.flush()  # likewise, between the act and the look
            self.run(lambda: self.room.store.archive(known.batch.id))
            known.archived = self.run(lambda: self.room.look(known.batch)).ended_at is not None

    @rule(seed=st.integers(0, 1000))
    def lose_power(self, seed: int) -> None:
        self.run(self.room.store.flush)  # or the copy would be of a catalog in mid-write
        self.flush()
        target = Path(self.folder.name) / str(self.lives + 1)
        self.files.power_loss(target, random.Random(seed))
        self.let_go()
        self.run(self.room.store.close)
        self.lives += 1
        self.files = MortalFileSystem(target, Path(self.folder.name) / f"graves{self.lives}")
        self.room = self.run(self.opened)
        self.run(self.room.store.prune)

    # -- what must always hold --------------------------------------------------------------------

    @invariant()
    def every_batch_is_as_known(self) -> None:
        if hasattr(self, "known"):
            for known in self.known.values():
                self.run(lambda known=known: self.check(known))

    @invariant()
    def what_was_deleted_stays_gone(self) -> None:
        for name in getattr(self, "deleted", []):
            try:
                self.run(lambda name=name: self.room.store.batch(WORKSPACE, name))
                raise AssertionError(f"{name} is back")
            except NotFound:
                pass

    async def check(self, known: Known) -> None:
        now = await self.room.look(known.batch)
        assert now.requests == known.batch.requests
        assert now.expires_at == known.batch.expires_at
        assert now.planned == known.planned
        assert now.tally.settled >= len(known.done)
        assert now.tally.settled <= len(known.said.keys() | known.done.keys())
        assert (now.processing_status == "ended") == (now.processing == 0)
        assert (now.archived_at is not None) == known.archived
        if now.processing_status == "canceling":
            assert known.canceled
        if now.processing_status == "ended" and not known.archived:
            lines = await self.room.lines(now)
            assert sorted(lines) == sorted(numbered(known.batch.requests))


TestHistories = Histories.TestCase
TestHistories.settings = settings(
    max_examples=25,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
