"""Keys: shown once, found by their hash, revoked for good."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchyard.clock import SECOND
from batchyard.errors import NotFound
from batchyard.store.keys import DEFAULT_WORKSPACE, with_checksum
from tests.store.room import Room


async def test_a_key_is_found_by_its_secret_and_by_nothing_else(room: Room) -> None:
    key, secret = room.store.keys.create("me")
    other, other_secret = room.store.keys.create("you", "wrkspc_search")
    assert room.store.keys.find(secret) == key
    assert room.store.keys.find(other_secret) == other
    assert (key.name, key.workspace_id) == ("me", DEFAULT_WORKSPACE)
    assert other.workspace_id == "wrkspc_search"


async def test_a_secret_has_the_shape_scanners_look_for(room: Room) -> None:
    key, secret = room.store.keys.create("me")
    assert re.fullmatch(r"by_[0-9A-Za-z]{10}_[0-9A-Za-z]{38}", secret)
    assert secret.startswith(f"by_{key.id}_")
    assert secret.endswith(key.hint)
    assert with_checksum(secret[:-6]) == secret


async def test_the_secret_is_nowhere_on_the_disk(room: Room) -> None:
    _, secret = room.store.keys.create("me")
    await room.store.close()
    middle = secret[14:-6].encode()
    assert all(middle not in p.read_bytes() for p in room.path.rglob("*") if p.is_file())


async def test_keys_are_durable_when_they_are_returned(room: Room) -> None:
    key, secret = room.store.keys.create("me")
    again = await room.restarted()
    assert again.store.keys.find(secret) == key
    await again.store.close()


@settings(max_examples=60, deadline=None)
@given(at=st.integers(0, 51), letter=st.sampled_from("0Aaz_-é\n"))
def test_a_mistyped_secret_fails_its_checksum(at: int, letter: str) -> None:
    secret = with_checksum("by_0123456789_" + "x" * 32)
    typo = secret[:at] + letter + secret[at + 1 :]
    assert typo == secret or with_checksum(typo[:-6]) != typo


@pytest.mark.parametrize("stranger", ["", "by_", "sk-ant-api03-x", "by_0123456789_" + "x" * 38])
async def test_what_was_never_a_key_is_not_found(room: Room, stranger: str) -> None:
    room.store.keys.create("me")
    assert room.store.keys.find(stranger) is None
    assert room.store.keys.find(with_checksum("by_0123456789_" + "x" * 32)) is None


async def test_a_revoked_key_is_unknown_at_once_in_every_process(room: Room) -> None:
    other = Room(room.path, clock=room.clock)
    key, secret = room.store.keys.create("me")
    assert other.store.keys.find(secret) == key
    revoked = room.store.keys.revoke(key.id)
    assert revoked.revoked_at == room.clock.now()
    assert other.store.keys.find(secret) is None
    room.clock.jump(5)
    assert room.store.keys.revoke(key.id) == revoked
    assert room.store.keys.list() == [revoked]
    await other.store.close()


async def test_a_key_expires_at_its_moment(room: Room) -> None:
    end = room.clock.now() + 60 * SECOND
    _, secret = room.store.keys.create("guest", expires=end)
    room.clock.jump(59.9)
    assert room.store.keys.find(secret) is not None
    assert room.store.keys.any()
    room.clock.jump(0.1)
    assert room.store.keys.find(secret) is None
    assert not room.store.keys.any()


async def test_two_keys_are_valid_at_once_so_that_one_can_replace_the_other(room: Room) -> None:
    assert not room.store.keys.any()
    old, old_secret = room.store.keys.create("me")
    _, new_secret = room.store.keys.create("me")
    room.store.keys.revoke(old.id)
    assert room.store.keys.find(old_secret) is None
    assert room.store.keys.find(new_secret) is not None
    assert room.store.keys.any()


async def test_keys_are_listed_by_workspace_oldest_first(room: Room) -> None:
    made = []
    for name in ("a", "b", "c"):
        room.clock.jump(1)
        made.append(room.store.keys.create(name, f"wrkspc_{name != 'b'}")[0])
    assert room.store.keys.list() == made
    assert room.store.keys.list("wrkspc_False") == [made[1]]


async def test_an_unknown_key_cannot_be_revoked(room: Room) -> None:
    with pytest.raises(NotFound):
        room.store.keys.revoke("nobody")
