"""Planning a batch: prefix order on disk, one model a shard, the same again after a crash."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from batchyard.batches.batch import Batch, NewBatch, Shard
from batchyard.batches.limits import SHARD_BYTES_MAX, SHARD_REQUESTS_MAX, Limits
from batchyard.dispatch.planner import plan
from batchyard.errors import Damaged
from batchyard.store.store import Store
from tests.store.room import WORKSPACE, Room


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = Room(tmp_path / "data").store
    yield store
    await store.close()


async def created(store: Store, requests: list[dict[str, Any]], count: int | None = None) -> Batch:
    """A batch of `requests`, accepted as one of `count`."""
    spool = store.spool()
    spool.write(json.dumps({"requests": requests}, indent=1).encode())
    new = NewBatch(WORKSPACE, count or len(requests), spool.sha256())
    try:
        return await store.create(spool, new, Limits())
    finally:
        spool.discard()


def request(name: str, text: str = "", **params: Any) -> dict[str, Any]:
    asked = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": text}]}
    return {"custom_id": name, "params": {**asked, **params}}


async def asked_of(store: Store, shard: Shard) -> list[tuple[str, dict[str, Any]]]:
    """The requests of a shard as a worker gets them, in execution order."""
    taken = await store.take(shard.batch_id, shard.number)
    try:
        return [(entry.custom_id, json.loads(taken.params(entry))) for entry in taken.todo]
    finally:
        taken.close()


async def test_requests_that_begin_alike_stand_side_by_side(store: Store) -> None:
    requests = [
        request(f"r{number}", f"question {number % 7}", system=f"Prompt {number % 4}. " * 200)
        for number in range(80)
    ]
    random.Random(1).shuffle(requests)
    batch = await created(store, requests)
    [shard] = await plan(store, batch)
    assert (shard.model, shard.requests, shard.number) == ("m", 80, 0)
    asked = await asked_of(store, shard)
    assert sorted(name for name, _ in asked) == sorted(one["custom_id"] for one in requests)
    by_name = {one["custom_id"]: one["params"] for one in requests}
    assert all(by_name[name] == params for name, params in asked)
    prompts = [(params["system"], params["messages"][0]["content"]) for _, params in asked]
    assert prompts == sorted(prompts)


async def test_every_shard_has_one_model_and_fits(store: Store) -> None:
    large = "x" * (SHARD_BYTES_MAX // 3)
    requests = [
        *(request(f"a{number}", model="a") for number in range(SHARD_REQUESTS_MAX + 300)),
        *(request(f"b{number}", large, model="b") for number in range(4)),
        request("none", model=None),
        request("huge", large * 4, model="b"),
    ]
    random.Random(2).shuffle(requests)
    batch = await created(store, requests)
    shards = await plan(store, batch)
    assert [shard.number for shard in shards] == list(range(len(shards)))
    sizes = [(shard.model, shard.requests) for shard in shards]
    assert sizes == [("", 1), ("a", 1_024), ("a", 300), ("b", 2), ("b", 2), ("b", 1)]
    found = []
    for shard in shards:
        for name, params in await asked_of(store, shard):
            assert (params["model"] or "") == shard.model
            found.append(name)
    assert sorted(found) == sorted(one["custom_id"] for one in requests)


async def test_a_plan_made_again_is_the_same_plan(store: Store) -> None:
    requests = [request(f"r{number}", f"{number * 7919 % 97}") for number in range(500)]
    batch = await created(store, requests)
    first = await plan(store, batch)
    order = [await asked_of(store, shard) for shard in first]
    again = await created(store, requests)
    second = await plan(store, again)
    assert [await asked_of(store, shard) for shard in second] == order
    assert [shard.requests for shard in await store.shards(batch.id)] == [
        shard.requests for shard in first
    ]


async def test_a_body_with_other_requests_than_accepted_is_not_planned(store: Store) -> None:
    batch = await created(store, [request("a"), request("b")], count=3)
    with pytest.raises(Damaged, match="2 requests where 3 were accepted"):
        await plan(store, batch)
    assert await store.shards(batch.id) == []


async def test_a_body_is_closed_whatever_happens(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = await created(store, [request("a")])
    body = await store.body(batch.id)

    async def this_one(_: str) -> Any:
        return body

    async def failing(*_: object) -> Any:
        raise OSError

    monkeypatch.setattr(store, "body", this_one)
    monkeypatch.setattr(store, "plan", failing)
    with pytest.raises(OSError):  # noqa: PT011  the very error of the line above
        await plan(store, batch)
    with pytest.raises(ValueError, match="closed"):
        body.read(0, 1)


@pytest.mark.parametrize(
    ("requests", "replicas", "fewest", "largest"),
    [(600, 1, 1, 1024), (600, 2, 16, 38), (100, 8, 4, 32), (40, 2, 2, 32), (9_000, 2, 9, 1024)],
)
async def test_a_batch_has_shards_enough_for_every_replica(
    store: Store, requests: int, replicas: int, fewest: int, largest: int
) -> None:
    batch = await created(store, [request(f"r{number}") for number in range(requests)])
    shards = await plan(store, batch, replicas=replicas)
    assert sum(shard.requests for shard in shards) == requests
    assert len(shards) >= fewest
    assert max(shard.requests for shard in shards) <= largest
