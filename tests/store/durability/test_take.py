"""Shards change hands: the new owner skips what is done, the old one changes nothing."""

from __future__ import annotations

import asyncio
import json
import zlib

import pytest

from batchyard.batches.result import Tally
from batchyard.errors import Damaged, NotFound
from tests.store.room import Room, line, numbered


async def test_a_shard_comes_with_its_requests_in_execution_order(room: Room) -> None:
    batch = await room.create(10)
    body = await room.store.body(batch.id)
    sent = {entry.custom_id: body.params(entry) for entry in body.entries()}
    body.close()
    await room.plan(batch, per_shard=4)
    for number, names in enumerate((numbered(10)[:4], numbered(10)[4:8], numbered(10)[8:])):
        taken = await room.store.take(batch.id, number)
        assert [entry.custom_id for entry in taken.todo] == names
        assert [taken.params(entry) for entry in taken.todo] == [sent[name] for name in names]
        assert (taken.shard.fence, taken.shard.requests) == (1, len(names))
        taken.close()


async def test_a_plan_is_made_once(room: Room) -> None:
    batch = await room.create(6)
    assert not batch.planned
    first = await room.plan(batch, per_shard=2)
    assert (await room.look(batch)).planned
    body = room.path / "batches" / batch.id / "body"
    assert not body.exists()
    with pytest.raises(Damaged):
        await room.store.body(batch.id)
    body.write_bytes(b'{"requests":[]}')  # as after a crash before its removal
    assert await room.plan(batch) == first == await room.store.shards(batch.id)


async def test_a_plan_that_forgets_a_request_is_refused(room: Room) -> None:
    batch = await room.create(3)
    body = await room.store.body(batch.id)
    with pytest.raises(ValueError, match="holds 0 of its 3 requests"):
        await room.store.plan(batch.id, body, [])
    body.close()
    assert not (await room.look(batch)).planned


async def test_unknown_shards_cannot_be_taken(room: Room) -> None:
    batch = await room.planned()
    with pytest.raises(NotFound):
        await room.store.take(batch.id, 1)


async def test_the_next_owner_gets_what_is_left_and_a_higher_fence(room: Room) -> None:
    batch = await room.planned(8)
    first = await room.store.take(batch.id, 0)
    done = room.answer(first, 5)
    second = await room.store.take(batch.id, 0)  # lines on their way are not lost
    assert second.shard.fence == 2
    assert second.shard.tally.settled == 5
    assert [entry.custom_id for entry in second.todo] == numbered(8)[5:]
    assert done == numbered(8)[:5]
    first.close()
    second.close()


async def test_an_owner_who_did_nothing_leaves_no_trace_in_the_row(room: Room) -> None:
    batch = await room.planned(4)
    for _ in range(5):
        (await room.store.take(batch.id, 0)).close()
    [shard] = await room.store.shards(batch.id)
    assert (shard.fence, shard.segments) == (5, ((5, 0, 0),))


async def test_a_restarted_process_goes_on_where_the_counts_stood(room: Room) -> None:
    batch = await room.planned(8)
    taken = await room.store.take(batch.id, 0)
    room.answer(taken, 5, text="before")
    await room.store.flush()
    seen = (await room.look(batch)).tally
    again = await room.restarted()
    assert (await again.look(batch)).tally == seen == Tally(2, 1, 1, 1)
    ended = await again.finish(batch, text="after")
    assert ended.processing_status == "ended"
    found = await again.lines(batch)
    assert sorted(found) == numbered(8)
    assert sum(b"before" in each for each in found.values()) == 3  # two succeeded, one errored
    taken.close()
    await again.store.close()


async def test_lines_that_were_durable_but_not_counted_are_counted_and_may_end_the_batch(
    room: Room,
) -> None:
    """As after a crash between the sync and the catalog's transaction."""
    batch = await room.planned(3)
    (await room.store.take(batch.id, 0)).close()
    segment = room.path / "batches" / batch.id / "results" / "0.1.jsonl"
    segment.write_bytes(b"".join(line(name) for name in numbered(3)) + b'{"custom_id":"torn')
    taken = await room.store.take(batch.id, 0)
    assert (taken.todo, taken.shard.tally) == ([], Tally(succeeded=3))
    assert room.news[-1].ended == (batch.id,)
    assert room.news[-1].settled == {(batch.id, 0): Tally(succeeded=3)}
    taken.close()
    assert (await room.look(batch)).processing_status == "ended"
    assert sorted(await room.lines(batch)) == numbered(3)
    assert segment.read_bytes().endswith(b"}}\n")  # the torn tail is cut


async def test_a_cancelled_take_leaves_the_shard_to_the_next(room: Room) -> None:
    batch = await room.planned(4)
    for turns in range(6):
        task = asyncio.ensure_future(room.store.take(batch.id, 0))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        done = (await asyncio.gather(task, return_exceptions=True))[0]
        if not isinstance(done, BaseException):
            done.close()
    assert len(await room.lines(await room.finish(batch))) == 4


# -- damage ---------------------------------------------------------------------------------------


async def half_done(room: Room) -> tuple[object, bytes]:
    batch = await room.planned(8)
    taken = await room.store.take(batch.id, 0)
    room.answer(taken, 6)
    await room.store.flush()
    taken.close()
    segment = room.path / "batches" / batch.id / "results" / "0.1.jsonl"
    return batch, segment.read_bytes()


async def test_counted_bytes_that_are_lost_are_reported_and_asked_again(
    room: Room, capsys: pytest.CaptureFixture[str]
) -> None:
    batch, data = await half_done(room)
    third = data.index(b'{"custom_id":"r-3"')
    segment = next((room.path / "batches").rglob("0.1.jsonl"))
    segment.write_bytes(data[: third + 20])
    taken = await room.store.take(batch.id, 0)  # type: ignore[attr-defined]
    assert [entry.custom_id for entry in taken.todo] == [f"r-{n}" for n in range(3, 8)]
    assert "result_segment_damaged" in capsys.readouterr().out
    room.answer(taken)
    taken.close()
    await room.store.flush()
    assert sorted(await room.lines(batch)) == numbered(8)  # type: ignore[arg-type]


async def test_good_lines_behind_a_damage_are_saved(room: Room) -> None:
    batch, data = await half_done(room)
    at = data.index(b'{"custom_id":"r-2"')
    segment = next((room.path / "batches").rglob("0.1.jsonl"))
    segment.write_bytes(data[: at + 5] + b"\x00\x00\x00" + data[at + 8 :])
    for _ in range(2):  # also when nothing happens between two takes
        taken = await room.store.take(batch.id, 0)  # type: ignore[attr-defined]
        assert [entry.custom_id for entry in taken.todo] == ["r-2", "r-6", "r-7"]
        assert taken.shard.tally.settled == 5
        taken.close()
    assert (await room.look(batch)).tally.settled == 5  # type: ignore[arg-type]
    await room.finish(batch)  # type: ignore[arg-type]
    found = await room.lines(batch)  # type: ignore[arg-type]
    assert sorted(found) == numbered(8)
    assert all(found[f"r-{n}"] in data for n in (0, 1, 3, 4, 5))


@pytest.mark.parametrize("where", ["first", "last"])
async def test_a_flipped_bit_that_still_reads_well_is_noticed_by_the_next_owner(
    room: Room, capsys: pytest.CaptureFixture[str], where: str
) -> None:
    """Every line looks right and one is not: none is taken for an answer, all are asked again."""
    batch, data = await half_done(room)
    at = data.index(b"hello") if where == "first" else data.rindex(b"hello") + 4
    segment = next((room.path / "batches").rglob("0.1.jsonl"))
    segment.write_bytes(data[:at] + bytes([data[at] ^ 2]) + data[at + 1 :])
    taken = await room.store.take(batch.id, 0)  # type: ignore[attr-defined]
    assert [entry.custom_id for entry in taken.todo] == numbered(8)
    assert "result_segment_damaged" in capsys.readouterr().out
    assert (await room.look(batch)).tally.settled == 0  # type: ignore[arg-type]
    room.answer(taken, text="at last")
    taken.close()
    await room.store.flush()
    found = await room.lines(batch)  # type: ignore[arg-type]
    assert sorted(found) == numbered(8)
    assert not any(b"hello" in each for each in found.values())


async def test_a_flipped_bit_in_a_segment_of_an_earlier_owner_is_noticed_too(room: Room) -> None:
    batch, data = await half_done(room)
    second = await room.store.take(batch.id, 0)  # type: ignore[attr-defined]
    room.answer(second, 1)
    second.close()
    await room.store.flush()
    segment = next((room.path / "batches").rglob("0.1.jsonl"))
    segment.write_bytes(data.replace(b"hello", b"jello", 1))
    third = await room.store.take(batch.id, 0)  # type: ignore[attr-defined]
    assert len(third.todo) == 7, "the line of the second owner is as it was written"
    third.close()


async def test_what_recovery_finds_beyond_the_record_gets_its_checksum(room: Room) -> None:
    batch = await room.planned(4)
    taken = await room.store.take(batch.id, 0)
    room.answer(taken, 1)
    await room.store.flush()
    segment = next((room.path / "batches").rglob("0.1.jsonl"))
    with segment.open("ab") as file:
        file.write(line("r-1") + b'{"custom_id":"r-2"')
    again = await room.restarted()
    taken = await again.store.take(batch.id, 0)
    assert [entry.custom_id for entry in taken.todo] == ["r-2", "r-3"]
    assert taken.shard.segments[0] == (1, segment.stat().st_size, zlib.crc32(segment.read_bytes()))
    again.answer(taken)
    taken.close()
    await again.store.flush()
    assert sorted(await again.lines(batch)) == numbered(4)
    await again.store.close()


async def test_segments_from_before_there_were_checksums_are_read_as_they_are(room: Room) -> None:
    batch, _ = await half_done(room)
    forget_checksums(room)
    taken = await room.store.take(batch.id, 0)  # type: ignore[attr-defined]
    assert [entry.custom_id for entry in taken.todo] == ["r-6", "r-7"]
    room.answer(taken)
    taken.close()
    await room.store.flush()
    assert sorted(await room.lines(batch)) == numbered(8)  # type: ignore[arg-type]
    forget_checksums(room)
    assert sorted(await room.lines(batch)) == numbered(8)  # type: ignore[arg-type]


def forget_checksums(room: Room) -> None:
    with room.store._catalog.write() as connection:
        for number, text in connection.exec_driver_sql("SELECT number, segments FROM shards"):
            bare = json.dumps([segment[:2] for segment in json.loads(text)])
            connection.exec_driver_sql(
                "UPDATE shards SET segments = ? WHERE number = ?", (bare, number)
            )


async def test_a_shard_whose_requests_are_damaged_is_reported_not_guessed(room: Room) -> None:
    batch = await room.planned(8, per_shard=4)
    requests = room.path / "batches" / batch.id / "requests" / "1.jsonl"
    requests.write_bytes(requests.read_bytes()[:-100])
    with pytest.raises(Damaged):
        await room.store.take(batch.id, 1)
    requests.unlink()
    with pytest.raises(Damaged):
        await room.store.take(batch.id, 1)
    assert len((await room.store.take(batch.id, 0)).todo) == 4
    assert room.fatal == []
