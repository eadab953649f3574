"""Reading results: all lines or a visible break, in bounded pieces, never a line early."""

from __future__ import annotations

import asyncio
import re
from itertools import pairwise

import pytest

from batchyard.clock import rfc3339
from batchyard.errors import Damaged, NotFound
from batchyard.store import results as results_module
from batchyard.store.results import Results
from batchyard.store.segments.files import FileSystem
from tests.store.room import WORKSPACE, Room, line, numbered


async def test_results_are_the_very_bytes_that_were_handed_in(room: Room) -> None:
    batch = await room.planned(10, per_shard=3)
    sent = {}
    for number in range(4):
        taken = await room.store.take(batch.id, number)
        for entry in taken.todo:
            sent[entry.custom_id] = line(entry.custom_id, text=f"é\u2028 {entry.custom_id}")
            room.store.append(taken, entry, "succeeded", sent[entry.custom_id])
        taken.close()
    await room.store.flush()
    assert await room.lines(batch) == sent
    assert list(sent) == numbered(10)


async def test_there_are_no_results_before_the_end(room: Room) -> None:
    batch = await room.planned(2, per_shard=1)
    taken = await room.store.take(batch.id, 0)
    room.answer(taken)
    taken.close()
    await room.store.flush()
    words = f"Message Batch {batch.id} has no available results."
    with pytest.raises(NotFound, match=f"^{re.escape(words)}$") as refused:
        await room.store.results(WORKSPACE, batch.id)
    assert refused.value.should_retry is False


async def test_results_of_an_archived_batch_are_not_found_and_the_date_is_told(room: Room) -> None:
    batch = await room.ended()
    room.clock.jump(29 * 24 * 3600)
    await room.store.archive(batch.id)
    with pytest.raises(NotFound, match=rfc3339(room.clock.now())[:10]) as refused:
        await room.store.results(WORKSPACE, batch.id)
    assert refused.value.should_retry is False


async def test_large_results_come_in_pieces_of_at_most_a_mebibyte(room: Room) -> None:
    batch = await room.planned(5, per_shard=5)
    taken = await room.store.take(batch.id, 0)
    room.answer(taken, text="x" * 1_500_000)
    taken.close()
    await room.store.flush()
    found = await room.store.results(WORKSPACE, batch.id)
    sizes = [len(chunk) async for chunk in found.chunks()]
    assert max(sizes) == results_module.CHUNK_BYTES_MAX <= 1024 * 1024
    assert sum(sizes) == found.size > 3_000_000


@pytest.mark.parametrize("end", ["delete", "archive"])
async def test_a_download_overtaken_by_the_end_of_its_bytes_breaks_visibly(
    room: Room, end: str
) -> None:
    batch = await room.finish(await room.planned(9, per_shard=3))
    found = await room.store.results(WORKSPACE, batch.id)
    stream = found.chunks()
    first = await anext(stream)
    if end == "delete":
        await room.store.delete(WORKSPACE, batch.id)
    else:
        await room.store.archive(batch.id)
    assert 0 < len(first) < found.size
    with pytest.raises(Damaged):
        async for _ in stream:
            pass


async def test_a_download_of_a_segment_that_lost_its_end_breaks_visibly(room: Room) -> None:
    batch = await room.ended()
    segment = next((room.path / "batches" / batch.id / "results").iterdir())
    segment.write_bytes(segment.read_bytes()[:-10])
    found = await room.store.results(WORKSPACE, batch.id)
    with pytest.raises(Damaged, match="ends at byte"):
        async for _ in found.chunks():
            pass


async def drain(found: Results, pieces: list[bytes]) -> None:
    async for piece in found.chunks():
        pieces.append(piece)  # noqa: PERF401 (what came before the break is wanted)


async def test_a_flipped_bit_is_reported_and_never_served(
    room: Room, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even the bytes before it, though they would fill many a piece."""
    monkeypatch.setattr(results_module, "CHUNK_BYTES_MAX", 16)
    batch = await room.finish(await room.planned(9, per_shard=3))
    whole = b"".join((await room.lines(batch)).values())
    segment = room.path / "batches" / batch.id / "results" / "1.1.jsonl"
    sound = segment.read_bytes()
    for bit in range(0, 8 * len(sound), 23):
        damaged = bytearray(sound)
        damaged[bit // 8] ^= 1 << bit % 8
        segment.write_bytes(damaged)
        pieces: list[bytes] = []
        with pytest.raises(Damaged, match=r"1\.1\.jsonl"):
            await drain(await room.store.results(WORKSPACE, batch.id), pieces)
        assert b"".join(pieces) == whole[: whole.index(sound)]
        assert "result_segment_damaged" in capsys.readouterr().out
    segment.write_bytes(sound)
    assert b"".join((await room.lines(batch)).values()) == whole


async def test_bytes_that_are_not_in_memory_are_read_in_a_thread(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results_module, "CHUNK_BYTES_MAX", 64)
    batch = await room.ended(5)
    found = await room.store.results(WORKSPACE, batch.id)
    first = [chunk async for chunk in found.chunks()]
    monkeypatch.setattr(FileSystem, "glance", lambda *_: None)
    assert [chunk async for chunk in found.chunks()] == first


async def test_any_part_of_the_results_can_be_read(room: Room) -> None:
    batch = await room.finish(await room.planned(9, per_shard=3))
    found = await room.store.results(WORKSPACE, batch.id)
    whole = b"".join([chunk async for chunk in found.chunks()])
    for first in range(0, found.size, 97):
        for end in (first, first + 1, first + 300, found.size):
            if end <= found.size:
                part = [chunk async for chunk in found.chunks(first, end)]
                assert b"".join(part) == whole[first:end]


async def test_a_reader_who_takes_everything_at_once_leaves_others_their_turn(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results_module, "CHUNK_BYTES_MAX", 64)
    batch = await room.ended(20)
    found = await room.store.results(WORKSPACE, batch.id)
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    task = asyncio.create_task(others())
    seen = [turns async for _ in found.chunks()]
    task.cancel()
    assert len(seen) > 20
    assert all(later > earlier for earlier, later in pairwise(seen))


async def test_two_readers_of_one_batch_do_not_disturb_each_other(room: Room) -> None:
    batch = await room.finish(await room.planned(9, per_shard=3))
    one, two = await asyncio.gather(room.lines(batch), room.lines(batch))
    assert one == two


async def test_a_reader_who_goes_away_leaves_no_file_open(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results_module, "CHUNK_BYTES_MAX", 64)
    batch = await room.ended(20)
    before = open_files()
    for turns in (1, 2, 3, 5, 8):
        found = await room.store.results(WORKSPACE, batch.id)
        stream = found.chunks()
        await anext(stream)
        task = asyncio.ensure_future(anext(stream))  # type: ignore[arg-type]
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await stream.aclose()  # type: ignore[attr-defined]
    await asyncio.to_thread(room.store._readers.shutdown)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert open_files() == before


def open_files() -> set[str]:
    import os

    found = set()
    for fd in os.listdir("/proc/self/fd"):
        try:
            name = os.readlink(f"/proc/self/fd/{fd}")
        except OSError:
            continue
        if name.endswith(".jsonl"):
            found.add(name)
    return found
