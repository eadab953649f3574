"""Group commit: bytes, then counts, then news; few syncs, bounded memory, honest about the disk."""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from batchyard.batches.result import Tally
from batchyard.store import committer
from batchyard.store.segments.files import FileSystem
from tests.store.room import Room, line, until


class CountingFileSystem(FileSystem):
    """Counts writes and syncs; syncs wait while `gate` is closed."""

    def __init__(self) -> None:
        self.writes = self.syncs = self.waiting = self.waiting_at_once = 0
        self.gate = threading.Event()
        self.gate.set()
        self.lock = threading.Lock()

    def write(self, fd: int, data: memoryview, offset: int) -> int:
        self.writes += 1
        return super().write(fd, data, offset)

    def sync(self, fd: int) -> None:
        with self.lock:
            self.syncs += 1
            self.waiting += 1
            self.waiting_at_once = max(self.waiting, self.waiting_at_once)
        self.gate.wait(10)
        with self.lock:
            self.waiting -= 1


@pytest.fixture
def counting() -> CountingFileSystem:
    return CountingFileSystem()


@pytest.fixture
async def counted(tmp_path: Path, counting: CountingFileSystem) -> AsyncIterator[Room]:
    room = Room(tmp_path / "data", files=counting)
    yield room
    counting.gate.set()
    await room.store.close()


async def test_news_comes_after_the_counts_and_the_counts_after_the_bytes(room: Room) -> None:
    batch = await room.planned(4)
    taken = await room.store.take(batch.id, 0)
    heard = []

    def listen(news: committer.Committed) -> None:
        row = room.store._catalog
        from batchyard.store.catalog import batches

        stood = batches.look(row, batch.workspace_id, batch.id)
        segment = room.path / "batches" / batch.id / "results" / "0.1.jsonl"
        heard.append((news.settled, stood.tally, segment.read_bytes().count(b"\n"), news.ended))

    room.store.on_committed(listen)
    room.answer(taken, 3)
    await room.store.flush()
    tally = Tally(1, 1, 1, 0)
    assert heard == [({(batch.id, 0): tally}, tally, 3, ())]
    room.answer(taken)
    await room.store.flush()
    ended = await room.look(batch)
    assert heard[1] == ({(batch.id, 0): ended.tally}, ended.tally, 4, (batch.id,))
    assert (ended.processing_status, ended.processing) == ("ended", 0)
    assert ended.ended_at == room.clock.now()
    taken.close()


async def test_a_line_after_a_pause_is_committed_without_being_asked_for(room: Room) -> None:
    batch = await room.planned(2)
    taken = await room.store.take(batch.id, 0)
    room.answer(taken, 1)
    await until(lambda: room.news)
    assert (await room.look(batch)).tally.settled == 1
    taken.close()


async def test_lines_that_come_during_a_commit_share_the_next_one(
    counted: Room, counting: CountingFileSystem
) -> None:
    batch = await counted.planned(1000)
    taken = await counted.store.take(batch.id, 0)
    counting.gate.clear()
    counting.syncs = counting.writes = 0
    counted.answer(taken, 1)
    await until(lambda: counting.waiting)
    for entry in taken.todo[1:]:
        counted.store.append(taken, entry, "canceled", line(entry.custom_id, "canceled"))
    counting.gate.set()
    await counted.store.flush()
    assert (counting.writes, counting.syncs) == (2, 2)
    assert len(await counted.lines(batch)) == 1000
    taken.close()


async def test_segments_are_synced_side_by_side(
    counted: Room, counting: CountingFileSystem
) -> None:
    batch = await counted.planned(8, per_shard=1)
    taken = [await counted.store.take(batch.id, number) for number in range(8)]
    counted.answer(taken[0])
    await counted.store.flush()
    counting.gate.clear()
    counting.waiting_at_once = 0
    for each in taken[1:]:
        counted.answer(each)
    await until(lambda: counting.waiting >= 7)
    counting.gate.set()
    await counted.store.flush()
    assert counting.waiting_at_once == 7
    assert (await counted.look(batch)).processing_status == "ended"
    for each in taken:
        each.close()


async def test_counts_of_a_batch_are_the_sum_of_its_shards_at_every_moment(room: Room) -> None:
    batch = await room.planned(40, per_shard=7)
    last = Tally()
    for shard in await room.store.shards(batch.id):
        taken = await room.store.take(batch.id, shard.number)
        for count in (1, 2, 10):
            room.answer(taken, count)
            await room.store.flush()
            now = await room.look(batch)
            assert now.processing + now.tally.settled == 40
            assert now.tally.settled >= last.settled
            rows = await room.store.shards(batch.id)
            assert sum((row.tally for row in rows), Tally()) == now.tally
            assert (now.processing_status == "ended") == (now.processing == 0)
            assert (now.ended_at is not None) == (now.processing == 0)
            last = now.tally
        taken.close()
    assert last.settled == 40


async def test_the_first_line_of_a_request_wins(room: Room) -> None:
    batch = await room.planned(1)
    taken = await room.store.take(batch.id, 0)
    assert room.store.append(taken, taken.todo[0], "succeeded", line("r-0", text="first"))
    assert not room.store.append(taken, taken.todo[0], "canceled", line("r-0", "canceled"))
    await room.store.flush()
    assert not room.store.append(taken, taken.todo[0], "canceled", line("r-0", "canceled"))
    assert b"first" in (await room.lines(batch))["r-0"]
    assert (await room.look(batch)).tally == Tally(succeeded=1)
    taken.close()


@pytest.mark.parametrize(
    "bad",
    [
        line("r-1"),
        line("r-0")[:-1],
        line("r-0") + b"\n",
        line("r-0") + line("r-0"),
        line("r-0").replace(b"hello", b"he\nllo"),
        b"",
    ],
)
async def test_what_is_not_one_line_of_this_request_is_refused(room: Room, bad: bytes) -> None:
    batch = await room.planned(2)
    taken = await room.store.take(batch.id, 0)
    with pytest.raises(ValueError, match="r-0"):
        room.store.append(taken, taken.todo[0], "succeeded", bad)
    assert room.store.append(taken, taken.todo[0], "succeeded", line("r-0"))
    taken.close()


async def test_closing_a_shard_loses_no_line_and_leaves_no_file_open(room: Room) -> None:
    batch = await room.planned(30, per_shard=3)
    for number in range(10):
        taken = await room.store.take(batch.id, number)
        room.answer(taken)
        taken.close()
        taken.close()
    await room.store.flush()
    assert len(await room.lines(batch)) == 30
    await room.store.close()
    fds = [
        os.readlink(f"/proc/self/fd/{fd}")
        for fd in os.listdir("/proc/self/fd")
        if fd.isdigit() and os.path.islink(f"/proc/self/fd/{fd}")
    ]
    assert [name for name in fds if batch.id in name] == []


async def test_a_shard_that_was_closed_takes_no_more_lines(room: Room) -> None:
    batch = await room.planned(3)
    taken = await room.store.take(batch.id, 0)
    room.answer(taken, 1)
    taken.close()
    assert not room.store.append(taken, taken.todo[1], "succeeded", line("r-1"))
    await room.store.flush()
    assert not room.store.append(taken, taken.todo[1], "succeeded", line("r-1"))
    assert (await room.look(batch)).tally.settled == 1
    assert room.fatal == []


async def test_closing_the_store_commits_what_was_handed_in(room: Room) -> None:
    batch = await room.planned(5)
    taken = await room.store.take(batch.id, 0)
    room.answer(taken)
    again = await room.restarted()
    assert len(await again.lines(batch)) == 5
    taken.close()
    await again.store.close()
