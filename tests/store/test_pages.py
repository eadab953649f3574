"""Lists: newest first, both ways, whatever is created or deleted meanwhile."""

from __future__ import annotations

import pytest

from batchyard.errors import InvalidRequest, NotFound
from batchyard.store.store import BatchPage
from tests.store.room import WORKSPACE, Room


async def page(
    room: Room, limit: int = 20, after: str | None = None, before: str | None = None
) -> BatchPage:
    return await room.store.batches(WORKSPACE, limit=limit, after_id=after, before_id=before)


async def newest_first(room: Room, count: int) -> list[str]:
    return [(await room.create()).id for _ in range(count)][::-1]


def ids(found: BatchPage) -> list[str]:
    return [batch.id for batch in found.data]


async def test_an_empty_workspace_has_an_empty_page(room: Room) -> None:
    await room.create(workspace_id="wrkspc_other")
    assert await page(room) == BatchPage([], has_more=False)


async def test_a_page_is_newest_first_and_says_whether_there_are_older_ones(room: Room) -> None:
    all_of_them = await newest_first(room, 5)
    assert ids(await page(room, 5)) == all_of_them
    assert not (await page(room, 5)).has_more
    first = await page(room, 3)
    assert (ids(first), first.has_more) == (all_of_them[:3], True)
    rest = await page(room, 3, after=all_of_them[2])
    assert (ids(rest), rest.has_more) == (all_of_them[3:], False)


async def test_before_gives_the_block_just_newer_still_newest_first(room: Room) -> None:
    """The walk recorded from the hosted API: 31 29 27 16 06 04, two at a time, back from 04."""
    n31, n29, n27, n16, n06, n04 = await newest_first(room, 6)
    steps = [await page(room, 2, before=cursor) for cursor in (n04, n16, n29)]
    assert [ids(step) for step in steps] == [[n16, n06], [n29, n27], [n31]]
    assert [step.has_more for step in steps] == [True, True, False]
    assert await page(room, 2, before=n31) == BatchPage([], has_more=False)


async def test_a_deleted_batch_is_not_listed_but_still_pages(room: Room) -> None:
    newest, middle, oldest = [(await room.ended(1)).id for _ in range(3)][::-1]
    await room.store.delete(WORKSPACE, middle)
    assert ids(await page(room)) == [newest, oldest]
    assert ids(await page(room, after=middle)) == [oldest]
    assert ids(await page(room, before=middle)) == [newest]


async def test_a_batch_created_between_two_pages_moves_nothing(room: Room) -> None:
    five = await newest_first(room, 5)
    first = await page(room, 2)
    await room.create()
    second = await page(room, 2, after=ids(first)[-1])
    assert ids(first) + ids(second) == five[:4]


@pytest.mark.parametrize("limit", range(1, 9))
async def test_walking_either_way_sees_every_batch_once(room: Room, limit: int) -> None:
    everything = await newest_first(room, 7)
    older = ids(found := await page(room, limit))
    while found.has_more:
        older += ids(found := await page(room, limit, after=older[-1]))
    assert older == everything
    newer = ids(found := await page(room, limit, before=everything[-1]))
    while found.has_more:
        newer = ids(found := await page(room, limit, before=newer[0])) + newer
    assert newer == everything[:-1]


@pytest.mark.parametrize("limit", [0, -1, 1001])
async def test_a_limit_outside_the_allowed_is_refused(room: Room, limit: int) -> None:
    with pytest.raises(InvalidRequest, match=r"^limit: Input should be"):
        await page(room, limit)


async def test_both_cursors_at_once_are_refused(room: Room) -> None:
    cursor = (await room.create()).id
    with pytest.raises(InvalidRequest, match="not both"):
        await page(room, after=cursor, before=cursor)


@pytest.mark.parametrize("cursor", ["", "nonsense", "msgbatch_01"])
async def test_a_cursor_that_is_no_id_is_refused_by_its_name(room: Room, cursor: str) -> None:
    with pytest.raises(InvalidRequest, match=r"^before_id: "):
        await page(room, before=cursor)
    with pytest.raises(InvalidRequest, match=r"^after_id: "):
        await page(room, after=cursor)


async def test_another_workspace_s_cursor_is_as_unknown_as_one_that_never_was(room: Room) -> None:
    foreign = (await room.create(workspace_id="wrkspc_other")).id
    never = foreign[:-1] + ("1" if foreign[-1] != "1" else "2")
    for cursor in (foreign, never):
        with pytest.raises(NotFound, match=f"^Message Batch {cursor} not found.$"):
            await page(room, after=cursor)
