"""Cancel, end, delete, archive, prune: states only move forward, and bytes go after rows."""

from __future__ import annotations

import re

import pytest

from batchyard.errors import InvalidRequest, NotFound
from tests.store.room import WORKSPACE, Room

DAY = 24 * 3600


async def test_cancel_is_durable_when_it_returns_and_idempotent(room: Room) -> None:
    batch = await room.create()
    canceled = await room.store.cancel(WORKSPACE, batch.id)
    assert canceled.processing_status == "canceling"
    assert canceled.cancel_initiated_at == room.clock.now()
    again = await room.restarted()
    again.clock.jump(5)
    assert await again.store.cancel(WORKSPACE, batch.id) == canceled
    await again.store.close()


async def test_cancel_changes_nothing_of_an_ended_batch(room: Room) -> None:
    batch = await room.ended()
    assert await room.store.cancel(WORKSPACE, batch.id) == batch
    assert batch.cancel_initiated_at is None


async def test_a_canceled_batch_ends_and_remembers_when_cancel_was_asked(room: Room) -> None:
    batch = await room.store.cancel(WORKSPACE, (await room.create()).id)
    ended = await room.finish(batch)
    assert ended.processing_status == "ended"
    assert ended.cancel_initiated_at == batch.cancel_initiated_at


async def test_a_clock_that_steps_back_ends_nothing_before_it_began(room: Room) -> None:
    one, two = await room.create(), await room.create()
    room.clock.jump(-1000)
    canceled = await room.store.cancel(WORKSPACE, one.id)
    assert canceled.cancel_initiated_at == one.created_at
    assert (await room.finish(two)).ended_at == two.created_at


async def test_a_batch_is_never_ended_without_its_plan(room: Room) -> None:
    batch = await room.store.cancel(WORKSPACE, (await room.create()).id)
    room.clock.jump(2 * DAY)
    again = await room.restarted()
    await again.store.prune()
    assert (await again.look(batch)).processing_status == "canceling"
    assert await again.store.unfinished() == [batch]
    await again.store.close()


async def test_unfinished_lists_every_workspace_s_running_batches_oldest_first(room: Room) -> None:
    first = await room.create()
    second = await room.create(workspace_id="wrkspc_other")
    await room.ended()
    third = await room.store.cancel(WORKSPACE, (await room.create()).id)
    assert await room.store.unfinished() == [first, second, third]


# -- delete ---------------------------------------------------------------------------------------


async def test_a_running_batch_cannot_be_deleted(room: Room) -> None:
    words = "In progress batches cannot be deleted. Consider canceling the batch instead."
    for batch in (
        await room.create(),
        await room.store.cancel(WORKSPACE, (await room.create()).id),
    ):
        with pytest.raises(InvalidRequest, match=f"^{re.escape(words)}$"):
            await room.store.delete(WORKSPACE, batch.id)


async def test_a_deleted_batch_is_gone_for_every_call_and_from_the_disk(room: Room) -> None:
    batch = await room.ended()
    await room.store.delete(WORKSPACE, batch.id)
    again = await room.restarted()
    store = again.store
    for ask in (store.batch, store.cancel, store.results, store.delete):
        with pytest.raises(NotFound, match=f"^Message Batch {batch.id} not found.$"):
            await ask(WORKSPACE, batch.id)
    with pytest.raises(NotFound):
        await store.take(batch.id, 0)
    assert list((room.path / "batches").iterdir()) == []
    await store.close()


# -- archive --------------------------------------------------------------------------------------


async def test_results_are_due_for_archive_29_days_after_creation_not_after_the_end(
    room: Room,
) -> None:
    batch = await room.create()
    never_ended = await room.create()
    room.clock.jump(20 * DAY)
    await room.finish(batch)
    room.clock.jump(9 * DAY - 60)
    assert await room.store.due_for_archive() == []
    room.clock.jump(60)
    assert await room.store.due_for_archive() == [batch.id]
    assert never_ended.id not in await room.store.due_for_archive()


async def test_an_archived_batch_keeps_its_counts_and_loses_its_bytes(room: Room) -> None:
    batch = await room.ended(8)
    room.clock.jump(29 * DAY)
    await room.store.archive(batch.id)
    archived = await room.look(batch)
    assert archived.archived_at == room.clock.now()
    assert (archived.tally, archived.ended_at) == (batch.tally, batch.ended_at)
    assert list((room.path / "batches").iterdir()) == []
    assert await room.store.due_for_archive() == []
    room.clock.jump(DAY)
    await room.store.archive(batch.id)
    assert await room.look(batch) == archived


async def test_a_running_batch_is_not_archived(room: Room) -> None:
    batch = await room.planned()
    await room.store.archive(batch.id)
    assert (await room.look(batch)).archived_at is None
    assert len(room.files()) == 1


# -- prune ----------------------------------------------------------------------------------------


async def test_prune_removes_what_crashes_left_and_nothing_else(room: Room) -> None:
    running, planned, ended = await room.create(), await room.planned(), await room.ended()
    kept = room.files()
    orphan = room.path / "batches" / ("msgbatch_01" + "2" * 22)
    (orphan / "requests").mkdir(parents=True)
    (orphan / "body").write_text("never answered")
    (orphan / "requests" / "0.jsonl").write_text("")
    (room.path / "batches" / planned.id / "body").write_text("already planned")
    (room.path / "spool" / "dead.body").write_text("half a body")
    (room.path / "batches" / "README").write_text("somebody else's")
    await room.store.prune()
    assert room.files() == sorted([*kept, "README"])
    assert room.files("spool") == []
    assert len(await room.lines(ended)) == 3
    for batch in (running, planned):
        assert (await room.finish(batch)).processing_status == "ended"


async def test_prune_stumbles_over_nothing_that_is_not_ours(room: Room) -> None:
    for folder in ("spool", "batches"):
        (room.path / folder / "lost+found").mkdir()
        (room.path / folder / "notes.txt").write_text("not ours")
    await room.store.prune()
    assert (room.path / "spool" / "lost+found").is_dir()
    assert (room.path / "batches" / "notes.txt").exists()


async def test_prune_leaves_a_body_that_is_still_arriving(room: Room) -> None:
    spool = room.store.spool()
    other = Room(room.path, clock=room.clock)
    await other.store.prune()
    assert spool.path.exists()
    spool.close()
    await other.store.prune()
    assert not spool.path.exists()
    await other.store.close()


async def test_prune_never_takes_a_batch_that_is_being_created_by_another_process(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder is there before the row: prune must not mistake it for what a crash left."""
    other = Room(room.path, clock=room.clock)
    segments = room.store._segments
    adopt = segments.adopt

    def slowly(batch_id: str, spooled: object) -> None:
        adopt(batch_id, spooled)  # type: ignore[arg-type]
        found = other.store._keeper.segments.batches()
        assert found == [batch_id]
        pruned.append(room.store._threads.submit(other.store._keeper.prune))

    pruned: list[object] = []
    monkeypatch.setattr(segments, "adopt", slowly)
    batch = await room.create()
    pruned[0].result()  # type: ignore[attr-defined]
    assert room.files() == [f"{batch.id}/body"]
    await other.store.close()
