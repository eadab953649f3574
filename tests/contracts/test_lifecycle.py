"""The store obeys the law: every event on a batch in every state does what the table says."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from batchyard.batches import lifecycle
from batchyard.batches.batch import Batch
from batchyard.batches.lifecycle import Event, State
from batchyard.errors import NotFound, Refused
from tests.store.room import WORKSPACE, Room

DAY = 24 * 3600.0


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    opened = Room(tmp_path / "data")
    yield opened
    await opened.store.close()


async def batch_in(room: Room, state: State) -> Batch:
    """A batch that got into `state` the way batches do."""
    if state in (State.IN_PROGRESS, State.CANCELING):
        batch = await room.planned(3)
    else:
        batch = await room.ended(3)
    if state is State.CANCELING:
        batch = await room.store.cancel(WORKSPACE, batch.id)
    if state is State.ARCHIVED:
        await room.store.archive(batch.id)
        batch = await room.look(batch)
    if state is State.GONE:
        await room.store.delete(WORKSPACE, batch.id)
    return batch


async def fire(room: Room, event: Event, batch: Batch) -> bool:
    """Let it happen; False when the store refuses. Only unfinished batches are ever settled."""
    store = room.store
    try:
        match event:
            case Event.CANCEL:
                await store.cancel(WORKSPACE, batch.id)
            case Event.EXPIRE:
                room.clock.jump(DAY + 1)
            case Event.ARCHIVE:
                await store.archive(batch.id)
            case Event.DELETE:
                await store.delete(WORKSPACE, batch.id)
            case Event.SETTLE_ALL:
                if batch.id not in [one.id for one in await store.unfinished()]:
                    return False
                await room.finish(batch)
    except Refused:
        return False
    return True


async def now(room: Room, batch: Batch) -> State:
    try:
        return lifecycle.state_of(await room.look(batch))
    except NotFound:
        return lifecycle.state_of(None)


@pytest.mark.parametrize(("state", "event"), list(itertools.product(State, Event)))
async def test_the_store_obeys_the_law(room: Room, state: State, event: Event) -> None:
    batch = await batch_in(room, state)
    assert await now(room, batch) is state
    happened = await fire(room, event, batch)
    expected = lifecycle.after(state, event)
    assert await now(room, batch) is (expected or state)
    if event in (Event.CANCEL, Event.DELETE, Event.SETTLE_ALL):
        assert happened is (expected is not None)


@pytest.mark.parametrize("state", State)
async def test_results_are_read_when_the_law_says_so(room: Room, state: State) -> None:
    batch = await batch_in(room, state)
    readable = state is not State.GONE and lifecycle.results_readable(batch)
    if readable:
        assert len(await room.lines(batch)) == 3
        return
    with pytest.raises(NotFound):
        await room.store.results(WORKSPACE, batch.id)
