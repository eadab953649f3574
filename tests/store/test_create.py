"""Birth of a batch: whole or not at all, once for a repeated call, within the workspace's limit."""

from __future__ import annotations

import asyncio
import stat

import pytest
import sqlalchemy as sa

from batchyard.batches.limits import Limits
from batchyard.batches.result import Tally
from batchyard.clock import SECOND
from batchyard.errors import DiskFull, InvalidRequest, NotFound, RateLimited
from tests.store.filesystems import FullFileSystem
from tests.store.room import WORKSPACE, Room, body, numbered


async def test_a_created_batch_is_found_by_its_id_at_once(room: Room) -> None:
    batch = await room.create(3, api_version="2026-10-21", betas=("a-1", "b-2"))
    assert await room.look(batch) == batch
    assert batch.processing_status == "in_progress"
    assert batch.requests == batch.processing == 3
    assert batch.tally == Tally()
    assert (batch.api_version, batch.betas) == ("2026-10-21", ("a-1", "b-2"))
    assert not batch.planned
    assert batch.ended_at is batch.cancel_initiated_at is batch.archived_at is None


async def test_a_batch_expires_exactly_a_day_after_it_was_created(room: Room) -> None:
    batch = await room.create()
    assert batch.created_at == room.clock.now()
    assert batch.expires_at - batch.created_at == 24 * 3600 * SECOND


async def test_the_body_lies_in_the_batch_s_folder_and_the_spool_is_gone(room: Room) -> None:
    batch = await room.create(5)
    assert room.files() == [f"{batch.id}/body"]
    assert room.files("spool") == []
    assert (room.path / "batches" / batch.id / "body").read_bytes() == body(numbered(5))


async def test_what_is_written_is_private(room: Room) -> None:
    batch = await room.create()
    await room.finish(batch)
    for path in [room.path, *room.path.rglob("*")]:
        allowed = 0o700 if path.is_dir() else 0o600
        assert stat.S_IMODE(path.stat().st_mode) & ~allowed == 0, path


async def test_ids_sort_by_birth_even_when_the_clock_steps_back_and_across_restarts(
    room: Room,
) -> None:
    born = [(await room.create()).id]
    room.clock.jump(-3600)
    born.append((await room.create()).id)
    again = await room.restarted()
    again.clock.jump(-3600)
    born.append((await again.create()).id)
    await again.store.close()
    assert born == sorted(born)


async def test_ids_sort_by_birth_across_two_processes(room: Room) -> None:
    other = Room(room.path, clock=room.clock)
    born = [(await each.create()).id for each in (room, other, room, other, room)]
    await other.store.close()
    assert born == sorted(born)


async def test_an_id_is_not_given_again_after_its_batch_was_deleted(room: Room) -> None:
    batch = await room.ended()
    await room.store.delete(WORKSPACE, batch.id)
    room.clock.jump(-3600)
    assert (await room.create()).id > batch.id


@pytest.mark.parametrize(
    "stranger", ["msgbatch_", "", "../../etc/passwd", "msgbatch_01" + "I" * 22]
)
async def test_what_is_no_id_is_not_found(room: Room, stranger: str) -> None:
    with pytest.raises(NotFound, match=r"^Message Batch .* not found.$"):
        await room.store.batch(WORKSPACE, stranger)


async def test_what_is_no_id_is_never_looked_up(room: Room) -> None:
    """Whatever a stranger puts in a path reaches no statement and no file name."""
    asked: list[str] = []
    for engine in (room.store._catalog._reader, room.store._catalog._writer):
        sa.event.listen(engine, "before_execute", lambda *_: asked.append("a statement"))
    for odd in ("", "..", "msgbatch_01", "a' OR '1'='1", "msgbatch_01" + "0" * 22, "é" * 30):
        for ask in (room.store.batch, room.store.results):
            with pytest.raises(NotFound):
                await ask(WORKSPACE, odd)
        assert asked == []
        with pytest.raises(InvalidRequest, match="after_id"):
            await room.store.batches(WORKSPACE, limit=1, after_id=odd, before_id=None)
    mine = (await room.create()).id
    with pytest.raises(NotFound):
        await room.store.batch(WORKSPACE, mine[:-1] + ("y" if mine.endswith("z") else "z"))
    assert asked, "an id of the right shape is looked up"


async def test_a_batch_is_invisible_from_another_workspace(room: Room) -> None:
    batch = await room.ended()
    store = room.store
    for ask in (store.batch, store.cancel, store.results, store.delete):
        with pytest.raises(NotFound, match=f"^Message Batch {batch.id} not found.$"):
            await ask("wrkspc_other", batch.id)
    assert (await room.look(batch)).processing_status == "ended"


# -- repeats --------------------------------------------------------------------------------------


async def test_an_idempotency_key_makes_one_batch_however_often_it_is_sent(room: Room) -> None:
    first = await room.create(idempotency_key="k")
    assert await room.create(idempotency_key="k") == first
    again = await room.restarted()
    assert await again.create(idempotency_key="k") == first
    assert again.files() == [f"{first.id}/body"]
    assert again.files("spool") == []
    await again.store.close()


async def test_an_idempotency_key_with_another_body_is_refused(room: Room) -> None:
    first = await room.create(idempotency_key="k")
    with pytest.raises(InvalidRequest, match=first.id) as refused:
        await room.create(idempotency_key="k", salt="other")
    assert refused.value.anchor == "idempotency_key_reused"
    assert room.files() == [f"{first.id}/body"]


async def test_an_idempotency_key_is_forgotten_after_a_day_and_unknown_next_door(
    room: Room,
) -> None:
    first = await room.create(idempotency_key="k")
    other = await room.create(idempotency_key="k", workspace_id="wrkspc_other")
    room.clock.jump(24 * 3600 - 1)
    assert (await room.create(idempotency_key="k")).id == first.id
    room.clock.jump(2)
    assert len({first.id, other.id, (await room.create(idempotency_key="k")).id}) == 3


async def test_an_sdk_s_retry_finds_the_batch_of_the_lost_answer(room: Room) -> None:
    await room.create(key_id="k1")
    second = await room.create(key_id="k1")
    assert await room.create(key_id="k1", sdk_retry=True) == second
    keyless = await room.create()
    assert await room.create(sdk_retry=True) == keyless


@pytest.mark.parametrize(
    "change",
    [{"salt": "x"}, {"key_id": "k2"}, {"key_id": None}, {"workspace_id": "wrkspc_other"}],
    ids=lambda change: next(iter(change)),
)
async def test_a_retry_of_another_call_makes_its_own_batch(
    room: Room, change: dict[str, object]
) -> None:
    first = await room.create(key_id="k1")
    assert (await room.create(**{"key_id": "k1", "sdk_retry": True, **change})).id != first.id


async def test_an_equal_body_that_is_no_retry_or_comes_late_is_a_new_batch(room: Room) -> None:
    first = await room.create()
    second = await room.create()
    room.clock.jump(15 * 60 + 1)
    third = await room.create(sdk_retry=True)
    assert len({first.id, second.id, third.id}) == 3


async def test_a_deleted_batch_is_no_answer_to_a_retry(room: Room) -> None:
    first = await room.finish(await room.create(idempotency_key="k"))
    await room.store.delete(WORKSPACE, first.id)
    assert (await room.create(idempotency_key="k", sdk_retry=True)).id != first.id


# -- limits ---------------------------------------------------------------------------------------


async def test_a_workspace_has_so_many_batches_in_process_and_no_more(room: Room) -> None:
    room.limits = Limits(batches_in_process_max=2)
    first = await room.create()
    retried = await room.create(idempotency_key="k")
    with pytest.raises(RateLimited, match="has 2 of 2 batches in process") as refused:
        await room.create()
    assert refused.value.retry_after == 30
    assert len(room.files()) == 2
    assert room.files("spool") == []
    assert await room.create(idempotency_key="k") == retried  # a repeat needs no room
    await room.create(workspace_id="wrkspc_other")
    await room.store.cancel(WORKSPACE, first.id)
    with pytest.raises(RateLimited):  # canceling is still in process
        await room.create()
    await room.finish(first)
    await room.create()


async def test_creates_at_once_do_not_slip_past_the_limit(room: Room) -> None:
    room.limits = Limits(batches_in_process_max=3)
    tries = [room.create(salt=str(n)) for n in range(8)]
    done = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(each, RateLimited) for each in done) == 5
    assert len(await room.store.unfinished()) == 3


async def test_repeats_at_once_make_one_batch(room: Room) -> None:
    done = await asyncio.gather(*(room.create(idempotency_key="k") for _ in range(6)))
    assert len({batch.id for batch in done}) == 1
    assert len(room.files()) == 1


# -- cancelled and full ---------------------------------------------------------------------------


async def test_a_caller_who_goes_away_leaves_a_whole_batch_or_none(room: Room) -> None:
    for turns in range(6):
        task = asyncio.ensure_future(room.create(salt=str(turns)))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    batches = await room.store.unfinished()
    assert [f"{batch.id}/body" for batch in batches] == room.files()
    assert room.files("spool") == []
    assert room.fatal == []


async def test_a_create_without_room_leaves_nothing(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    segments = room.store._segments
    adopt = segments.adopt

    def full(batch_id: str, spooled: object) -> None:
        adopt(batch_id, spooled)  # type: ignore[arg-type]
        raise DiskFull("no room")

    monkeypatch.setattr(segments, "adopt", full)
    with pytest.raises(DiskFull):
        await room.create()
    assert room.files() == room.files("spool") == []
    assert list((room.path / "batches").iterdir()) == []
    assert await room.store.unfinished() == []


async def test_a_plan_without_room_can_be_made_later(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    files = FullFileSystem()
    room = Room(tmp_path_factory.mktemp("full") / "data", files=files)
    batch = await room.create(10)
    files.room = 500
    with pytest.raises(DiskFull):
        await room.plan(batch, per_shard=4)
    assert await room.store.shards(batch.id) == []
    files.room = None
    assert len(await room.plan(batch, per_shard=4)) == 3
    assert len(await room.lines(await room.finish(batch))) == 10
    assert room.fatal == []
    await room.store.close()
