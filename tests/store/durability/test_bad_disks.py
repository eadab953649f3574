"""Full disks hold the work and lose nothing; failing ones end the process before it can lie."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from batchyard.errors import DiskFull, StorageError, StorageFailed
from batchyard.store import committer
from tests.store.filesystems import FailingSync, FullFileSystem
from tests.store.room import Room, line, numbered, until


@pytest.fixture
def disk() -> FullFileSystem:
    return FullFileSystem()


@pytest.fixture
async def full(
    tmp_path: Path, disk: FullFileSystem, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Room]:
    monkeypatch.setattr(committer, "RETRY_SECONDS", 0.01)
    room = Room(tmp_path / "data", files=disk)
    yield room
    await room.store.close()


# -- a full disk ----------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
async def test_lines_wait_for_space_and_go_on_by_themselves(
    full: Room, disk: FullFileSystem, code: int
) -> None:
    batch = await full.planned(9, per_shard=3)
    taken = [await full.store.take(batch.id, number) for number in range(3)]
    disk.error = code
    disk.room = len(line("r-0")) + 10  # one line and a torn one
    for each in taken:
        full.answer(each, 2)
    await until(lambda: disk.refused > 3 and full.store.disk_full)
    before = (await full.look(batch)).tally.settled
    assert before < 6
    for each in taken:
        full.answer(each)
    disk.room = None
    await full.store.flush()
    assert not full.store.disk_full
    assert sorted(await full.lines(batch)) == numbered(9)
    assert full.fatal == []
    for each in taken:
        each.close()


async def test_what_was_torn_by_a_full_disk_is_recovered_by_the_next_process(
    full: Room, disk: FullFileSystem
) -> None:
    batch = await full.planned(6)
    taken = await full.store.take(batch.id, 0)
    disk.room = len(line("r-0")) + 10
    full.answer(taken)
    await until(lambda: full.store.disk_full)
    again = await full.restarted()  # gives up what could not be written
    assert len(await again.lines(await again.finish(batch))) == 6
    taken.close()
    await again.store.close()


async def test_there_is_no_room_for_more_lines_while_too_many_wait(
    full: Room, disk: FullFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(committer, "QUEUE_BYTES_MAX", 1000)
    batch = await full.planned(50)
    taken = await full.store.take(batch.id, 0)
    await full.store.room()
    disk.room = 0
    for entry in taken.todo:
        full.store.append(taken, entry, "succeeded", line(entry.custom_id))
    waiting = asyncio.ensure_future(full.store.room())
    await until(lambda: disk.refused > 2)
    assert not waiting.done()
    disk.room = None
    await waiting
    await full.store.flush()
    assert full.store._committer._queued_bytes == 0
    taken.close()


async def test_a_catalog_without_room_holds_the_counts_until_there_is(
    full: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = await full.planned(6, per_shard=3)
    one, two = [await full.store.take(batch.id, number) for number in range(2)]
    mark, failures = (
        committer.shards.mark,
        [DiskFull("full"), StorageError("busy"), DiskFull("full")],
    )

    def failing(*args: object) -> object:
        if failures:
            raise failures.pop()
        return mark(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(committer.shards, "mark", failing)
    full.answer(one, 2)
    await until(lambda: len(failures) < 3)
    full.answer(two)
    one.close()  # its segment is closed before it is counted: it must still be
    await full.store.flush()
    assert failures == []
    assert (await full.look(batch)).tally.settled == 5
    assert full.fatal == []
    two.close()


# -- a disk that fails ----------------------------------------------------------------------------


async def test_a_failed_sync_is_never_followed_by_another_count(tmp_path: Path) -> None:
    files = FailingSync()
    room = Room(tmp_path / "data", files=files)
    batch = await room.planned(6)
    taken = await room.store.take(batch.id, 0)
    room.answer(taken, 2)
    await room.store.flush()
    files.error = errno.EIO
    room.answer(taken, 2)
    with pytest.raises(StorageFailed, match="Input/output error"):
        await room.store.flush()
    files.error = None
    with pytest.raises(StorageFailed):
        room.answer(taken, 1)
    with pytest.raises(StorageFailed):
        await room.store.room()
    await until(lambda: room.fatal)
    assert len(room.fatal) == 1
    assert (await room.look(batch)).tally.settled == 2
    taken.close()
    again = await room.restarted()
    assert len(await again.lines(await again.finish(batch))) == 6
    await again.store.close()


async def test_a_sync_that_failed_is_not_asked_again(tmp_path: Path) -> None:
    """It would succeed: the kernel has marked the page clean, and the bytes are nowhere."""
    files = FailingSync()
    room = Room(tmp_path / "data", files=files)
    batch = await room.planned(6)
    taken = await room.store.take(batch.id, 0)
    files.error, files.once = errno.EIO, True
    room.answer(taken, 2)
    with pytest.raises(StorageFailed, match="Input/output error"):
        await room.store.flush()
    assert (await room.look(batch)).tally.settled == 0
    taken.close()
    await room.store.close()


@pytest.mark.parametrize("act", ["create", "plan", "take"])
async def test_a_failed_sync_of_any_act_is_fatal(tmp_path: Path, act: str) -> None:
    files = FailingSync()
    room = Room(tmp_path / "data", files=files)
    batch = await room.create()
    if act == "take":
        await room.plan(batch)
        taken = await room.store.take(batch.id, 0)
        room.answer(taken, 1)
        await room.store.flush()
        taken.close()
    files.error = errno.EIO
    with pytest.raises(StorageFailed):
        await {
            "create": lambda: room.create(salt="2"),
            "plan": lambda: room.plan(batch),
            "take": lambda: room.store.take(batch.id, 0),
        }[act]()
    assert len(room.fatal) == 1
    await room.store.close()
