"""Death at every step of a batch's life, by kill and by power loss; then restart and audit.

A step is a change to a file or a commit of the catalog. The life is lived again and again, dying at
step 1, 2, 3, … until it is lived to its end, as SQLite's own tests do. After each death the next
process must find everything that was acknowledged, and nothing half.
"""

from __future__ import annotations

import contextlib
import random
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import sqlalchemy as sa

from batchyard.batches.batch import Batch
from batchyard.errors import NotFound, StorageFailed
from batchyard.store.committer import Committed
from tests.store.filesystems import Dead, MortalFileSystem
from tests.store.room import WORKSPACE, Room, numbered

NAMES = numbered(7)
STEPS_MAX = 200


@dataclass
class Ledger:
    """What a client or the dispatch process had been told before the end."""

    created: list[Batch] = field(default_factory=list)
    planned: set[str] = field(default_factory=set)
    canceled: set[str] = field(default_factory=set)
    settled: dict[tuple[str, int], int] = field(default_factory=dict)
    read: dict[str, dict[str, bytes]] = field(default_factory=dict)  # whole results, once seen
    deleting: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)
    archived: set[str] = field(default_factory=set)

    def hear(self, news: Committed) -> None:
        for shard, tally in news.settled.items():
            self.settled[shard] = max(self.settled.get(shard, 0), tally.settled)


async def live(room: Room, ledger: Ledger) -> None:
    """Everything the store does for batches: two of them, one deleted in the end, one archived."""
    one = await room.create(NAMES, salt="one")
    ledger.created.append(one)
    two = await room.create(NAMES, salt="two")
    ledger.created.append(two)
    await room.store.cancel(WORKSPACE, two.id)
    ledger.canceled.add(two.id)
    await room.plan(one, per_shard=3)
    ledger.planned.add(one.id)
    taken = await room.store.take(one.id, 0)
    room.answer(taken, 2, text="first life")
    await room.store.flush()
    taken = await room.store.take(one.id, 0)
    room.answer(taken, text="first life")
    other = await room.store.take(one.id, 1)
    room.answer(other, 1, text="first life")
    await room.store.flush()
    room.answer(other, text="first life")
    await room.finish(one, text="first life")
    ledger.read[one.id] = await room.lines(one)
    await room.finish(two, text="first life")
    ledger.read[two.id] = await room.lines(two)
    ledger.deleting.add(one.id)
    await room.store.delete(WORKSPACE, one.id)
    ledger.deleted.add(one.id)
    await room.store.archive(two.id)
    ledger.archived.add(two.id)


async def audit(room: Room, ledger: Ledger) -> None:
    """What the next process finds, and that it can bring everything to its end."""
    await room.store.prune()
    found = {batch.id: batch for batch in (await listed(room))}
    for batch in ledger.created:
        if batch.id in ledger.deleted:
            with pytest.raises(NotFound):
                await room.look(batch)
        elif batch.id not in ledger.deleting:
            assert batch.id in found, "an acknowledged batch is gone"
    assert len(found) <= len(ledger.created) + 1
    for batch in found.values():
        await audit_one(room, ledger, batch)
    for batch in found.values():
        await room.store.delete(WORKSPACE, batch.id)
    assert list((room.path / "batches").iterdir()) == []
    assert list((room.path / "spool").iterdir()) == []
    assert room.fatal == []


async def audit_one(room: Room, ledger: Ledger, batch: Batch) -> None:
    assert batch.requests == len(NAMES)
    assert batch.planned >= (batch.id in ledger.planned)
    if batch.id in ledger.canceled:
        assert batch.cancel_initiated_at is not None
    rows = {(batch.id, row.number): row.tally.settled for row in await room.store.shards(batch.id)}
    if batch.archived_at is not None:
        return
    assert batch.id not in ledger.archived
    for shard, settled in ledger.settled.items():
        assert shard[0] != batch.id or rows[shard] >= settled, "a counted result is gone"
    assert batch.tally.settled == sum(rows.values())
    assert (batch.processing_status == "ended") == (batch.tally.settled == len(NAMES))
    counted = batch.tally.settled
    ended = await room.finish(batch, text="second life")
    assert ended.processing_status == "ended"
    lines = await room.lines(ended)
    assert sorted(lines) == NAMES
    first = sum(b"first life" in line for line in lines.values())
    bare = sum(b"life" not in line for line in lines.values())  # canceled, expired
    assert first + bare >= counted, "a counted result was asked for again"
    if batch.id in ledger.read:
        assert lines == ledger.read[batch.id], "results that were read have changed"


async def listed(room: Room) -> list[Batch]:
    page = await room.store.batches(WORKSPACE, limit=20, after_id=None, before_id=None)
    return page.data


async def lived_until(step: int, folder: Path) -> tuple[Room, MortalFileSystem, Ledger, bool]:
    """Live until step `step`, then stop; whether the end came before."""
    files = MortalFileSystem(folder / "data", folder / "graveyard")
    room = Room(folder / "data", files=files)
    files.steps, files.dies_at = 0, step
    ledger = Ledger()
    room.store.on_committed(ledger.hear)
    writer = room.store._catalog._writer
    sa.event.listen(writer, "commit", lambda _connection: files.step())
    finished = False
    with contextlib.suppress(Dead, StorageFailed):
        await live(room, ledger)
        finished = True
    return room, files, ledger, finished


async def test_a_kill_at_any_step_loses_nothing_acknowledged(memory: Path) -> None:
    for step in range(1, STEPS_MAX):
        room, _, ledger, finished = await lived_until(step, folder := memory / str(step))
        await room.store.close()
        again = Room(folder / "data", clock=room.clock)
        await audit(again, ledger)
        await again.store.close()
        if finished:
            break
    assert finished
    assert step > 80, "the life has fewer steps than it should: is anything synced?"


@pytest.mark.parametrize("seed", range(3))
async def test_a_power_loss_at_any_step_loses_nothing_acknowledged(memory: Path, seed: int) -> None:
    for step in range(1 + seed, STEPS_MAX, 3):
        room, files, ledger, finished = await lived_until(step, folder := memory / str(step))
        files.power_loss(folder / "after", random.Random(step * 1000 + seed))
        await room.store.close()
        again = Room(folder / "after", clock=room.clock)
        await audit(again, ledger)
        await again.store.close()
        if finished:
            break
    assert finished


async def test_what_recovery_counted_survives_a_power_loss_after_the_kill(memory: Path) -> None:
    """A killed process leaves bytes that can be read but were never synced: whoever counts them
    must sync them first."""
    for step in range(1, STEPS_MAX):
        room, killed, ledger, finished = await lived_until(step, folder := memory / str(step))
        await room.store.close()
        files = MortalFileSystem(folder / "data", folder / "graveyard", killed=killed)
        again = Room(folder / "data", clock=room.clock, files=files)
        again.store.on_committed(ledger.hear)
        await again.store.prune()
        for batch in await again.store.unfinished():
            for shard in await again.store.shards(batch.id):
                (await again.store.take(batch.id, shard.number)).close()
        await again.store.flush()
        files.power_loss(folder / "after")
        await again.store.close()
        last = Room(folder / "after", clock=room.clock)
        await audit(last, ledger)
        await last.store.close()
        if finished:
            break
    assert finished


async def test_a_second_crash_during_recovery_loses_nothing_either(memory: Path) -> None:
    """Die in the middle of the life, then at every step of what the next process does first."""
    for step in range(1, STEPS_MAX):
        folder = memory / str(step)
        room, _, ledger, _ = await lived_until(58, folder)
        await room.store.close()
        files = MortalFileSystem(folder / "data", folder / "graveyard2")
        again = Room(folder / "data", clock=room.clock, files=files)
        files.steps, files.dies_at = 0, step
        finished = False
        with contextlib.suppress(Dead, StorageFailed):
            await again.store.prune()
            for batch in await again.store.unfinished():
                await again.finish(batch, text="between")
            finished = True
        await again.store.close()
        last = Room(folder / "data", clock=room.clock)
        await audit(last, ledger)
        await last.store.close()
        if finished:
            break
    assert finished
