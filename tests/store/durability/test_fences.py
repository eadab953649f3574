"""Late writers: of two who hold a shard, in overlap, only the one with the higher fence counts."""

from __future__ import annotations

import asyncio

import pytest

from batchyard.batches.result import Tally
from batchyard.errors import Fenced, StorageError
from batchyard.store.catalog import shards
from tests.store.room import Room, line, numbered


async def test_a_late_worker_changes_nothing(room: Room) -> None:
    """Two processes, in overlap: the old owner goes on appending while the new one works."""
    batch = await room.planned(12)
    late, owner = room, Room(room.path, clock=room.clock)
    old = await late.store.take(batch.id, 0)
    late.answer(old, 4, text="counted")
    await late.store.flush()
    new = await owner.store.take(batch.id, 0)
    assert len(new.todo) == 8
    for at in range(8):
        late.store.append(old, old.todo[4 + at], "succeeded", line(f"r-{4 + at}", text="late"))
        owner.store.append(new, new.todo[at], "succeeded", line(f"r-{4 + at}", text="owner"))
        await asyncio.gather(late.store.flush(), owner.store.flush())
        assert (await owner.look(batch)).tally.settled == 5 + at
    assert late.news[-1].lost == ((batch.id, 0, 1),)
    assert late.news[-1].settled == {}
    found = await owner.lines(batch)
    assert sorted(found) == sorted(numbered(12))
    assert sum(b"late" in each for each in found.values()) == 0
    assert sum(b"owner" in each for each in found.values()) == 8
    old.close()
    new.close()
    await owner.store.close()


async def test_a_lost_shard_takes_no_more_lines_once_its_owner_was_told(room: Room) -> None:
    batch = await room.planned(4)
    owner = Room(room.path, clock=room.clock)
    old = await room.store.take(batch.id, 0)
    new = await owner.store.take(batch.id, 0)
    assert room.store.append(old, old.todo[0], "succeeded", line("r-0"))
    await room.store.flush()
    assert not room.store.append(old, old.todo[1], "succeeded", line("r-1"))
    await room.store.flush()
    old.close()
    new.close()
    await owner.store.close()


async def test_a_late_commit_between_the_new_fence_and_its_reading_loses_nothing(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old owner's lines reach its segment while the new owner reads it: what the row says in
    the end is what the new owner found, and the old owner's count is refused."""
    batch = await room.planned(6)
    owner = Room(room.path, clock=room.clock)
    old = await room.store.take(batch.id, 0)
    room.answer(old, 2)
    await room.store.flush()
    segments = owner.store._segments
    read, waited = segments.read, []

    def read_slowly(batch_id: str, name: str) -> object:
        if name.startswith("results/"):
            waited.append(asyncio.run_coroutine_threadsafe(late_lines(), loop).result())
        return read(batch_id, name)

    async def late_lines() -> Tally:
        for entry in old.todo[2:4]:
            room.store.append(old, entry, "succeeded", line(entry.custom_id))
        await room.store.flush()
        return (await room.look(batch)).tally

    loop = asyncio.get_running_loop()
    monkeypatch.setattr(segments, "read", read_slowly)
    new = await owner.store.take(batch.id, 0)
    assert [tally.settled for tally in waited] == [2]  # refused: the fence had passed
    assert new.shard.tally.settled == 4  # but the lines were there to be found
    assert [entry.custom_id for entry in new.todo] == ["r-4", "r-5"]
    owner.answer(new)
    await owner.store.flush()
    assert sorted(await owner.lines(batch)) == numbered(6)
    old.close()
    new.close()
    await owner.store.close()


async def test_of_two_who_take_at_once_one_owns_and_the_other_knows(room: Room) -> None:
    batch = await room.planned(6)
    other = Room(room.path, clock=room.clock)
    (await room.store.take(batch.id, 0)).close()
    for _ in range(5):
        both = await asyncio.gather(
            room.store.take(batch.id, 0), other.store.take(batch.id, 0), return_exceptions=True
        )
        taken = [each for each in both if not isinstance(each, BaseException)]
        failed = [each for each in both if isinstance(each, BaseException)]
        assert all(isinstance(each, Fenced) for each in failed)
        [shard] = await room.store.shards(batch.id)
        assert shard.fence == max(each.shard.fence for each in taken)
        for each in taken:
            each.close()
    assert len(await room.lines(await room.finish(batch))) == 6
    await other.store.close()


async def test_marks_under_an_old_fence_are_refused(room: Room) -> None:
    batch = await room.planned(3)
    (await room.store.take(batch.id, 0)).close()
    (await room.store.take(batch.id, 0)).close()
    mark = shards.Mark(batch.id, 0, 1, Tally(succeeded=3), ((1, 100),))
    with room.store._catalog.write() as connection:
        assert shards.mark(connection, [mark], 0).lost == {(batch.id, 0, 1)}
    assert (await room.look(batch)).tally == Tally()


async def test_the_catalog_refuses_more_results_than_requests(room: Room) -> None:
    batch = await room.planned(3)
    (await room.store.take(batch.id, 0)).close()
    mark = shards.Mark(batch.id, 0, 1, Tally(succeeded=4), ((1, 100),))
    with pytest.raises(StorageError), room.store._catalog.write() as connection:
        shards.mark(connection, [mark], 0)


async def test_who_loses_the_shard_while_taking_it_is_told_so(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = await room.planned(4)
    owner = Room(room.path, clock=room.clock)
    (await room.store.take(batch.id, 0)).close()
    segments, loop = room.store._segments, asyncio.get_running_loop()
    read = segments.read
    taken = []

    def read_slowly(batch_id: str, name: str) -> object:
        if not taken:
            taking = owner.store.take(batch.id, 0)
            taken.append(asyncio.run_coroutine_threadsafe(taking, loop).result())
        return read(batch_id, name)

    monkeypatch.setattr(segments, "read", read_slowly)
    with pytest.raises(Fenced):
        await room.store.take(batch.id, 0)
    assert (taken[0].shard.fence, room.fatal) == (3, [])
    owner.answer(taken[0])
    await owner.store.flush()
    assert len(await owner.lines(batch)) == 4
    taken[0].close()
    await owner.store.close()
