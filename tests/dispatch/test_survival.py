"""What must not end the process, nor keep others waiting: odd requests, odd engines, damage."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from batchyard.batches.batch import Batch, Shard
from batchyard.clock import ManualClock
from batchyard.dispatch import coordinator
from batchyard.engine import Ask, Model, Reply
from batchyard.errors import Unavailable
from batchyard.store import committer
from batchyard.store.store import Store, Taken
from tests.dispatch.harness import House, ScriptedEngine, all_echoed, ask_for, asks
from tests.store.filesystems import FullFileSystem


async def test_a_model_that_is_no_name_costs_its_own_request_and_nothing_else(
    house: House,
) -> None:
    requests = {"odd": ask_for("odd", model="ODD"), "good": ask_for("good")}
    entries = [{"custom_id": name, "params": params} for name, params in requests.items()]
    body = json.dumps({"requests": entries}).replace('"ODD"', "1e400").encode()
    batch, other = await house.create_of(body, 2), await house.create(asks(5))
    await house.ended(batch)
    lines = await house.lines(batch)
    assert lines["odd"]["error"]["error"]["type"] == "invalid_request_error"
    assert lines["good"]["type"] == "succeeded"
    await house.ended(other)
    assert all_echoed(await house.lines(other), asks(5))


async def test_a_batch_that_cannot_be_planned_keeps_nobody_waiting(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, unlucky = coordinator.plan, True

    async def plan(store: Store, batch: Batch, *, replicas: int) -> list[Shard]:
        if unlucky and batch.requests == 3:
            raise ValueError("nobody thought of this")
        return await real(store, batch, replicas=replicas)

    monkeypatch.setattr(coordinator, "plan", plan)
    odd, good = await house.create(asks(3)), await house.create(asks(5))
    await house.ended(good, within=30)
    assert (await house.look(odd)).tally.settled == 0
    unlucky = False
    await house.ended(odd, within=60)


@pytest.mark.parametrize("ends_by", ["cancel", "deadline", "unknown model"])
async def test_a_damaged_shard_keeps_nobody_waiting(
    house: House, engine: ScriptedEngine, ends_by: str
) -> None:
    engine.down = Unavailable("connection refused")
    await house.stop()  # a new process knows of no model as long as the engine is down
    await house.start()
    hurt = await house.create(asks(4, model="nobody" if ends_by == "unknown model" else "m"))
    await house.run(2)
    shard = house.path / "batches" / hurt.id / "requests" / "0.jsonl"
    shard.write_bytes(shard.read_bytes()[:-9])
    if ends_by == "cancel":
        await house.cancel(hurt)
    elif ends_by == "deadline":
        house.clock.jump(25 * 3600)
    await house.run(2)
    engine.down = None
    good = await house.create(asks(5))
    await house.ended(good, within=90)
    assert all_echoed(await house.lines(good), asks(5))
    assert (await house.look(hurt)).tally.settled == 0


async def test_a_batch_that_ends_while_it_is_looked_up_is_forgotten(house: House) -> None:
    batch = await house.create(asks(3))
    seen_before_the_end = await house.store.unfinished()
    await house.ended(batch)
    real = house.store.unfinished

    async def late() -> list[Batch]:
        house.store.unfinished = real
        return list(seen_before_the_end)

    house.store.unfinished = late
    await house.run(5)
    assert house.store.unfinished == real
    assert house.service is not None
    assert house.service._coordinator.motions() == []


async def test_what_is_canceled_while_the_disk_is_full_waits_in_a_bounded_space(
    tmp_path: Path, clock: ManualClock, engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(committer, "QUEUE_BYTES_MAX", 200)
    disk = FullFileSystem()
    house = House(tmp_path / "data", clock, m=engine)
    house.file_system = disk
    house.aliases = {f"m{number}": "m" for number in range(60)}
    engine.down = Unavailable("connection refused")
    await house.start()
    batch = await house.create({f"q-{n}": ask_for("x", model=f"m{n}") for n in range(60)})
    await house.run(2)
    taken, take = [], house.store.take

    async def counted(*key: object) -> Taken:
        taken.append(key)
        return await take(*key)

    house.store.take = counted
    disk.room = 0
    await house.cancel(batch)
    turns = 0
    while turns < 100:  # counted from the moment in which the disk is known to be full
        await house.clock.advance(0.2)
        await asyncio.to_thread(lambda: None)  # gives threads their turn
        turns += house.real_store.disk_full
    assert len(taken) < 30, "each holds files open and lines in memory"
    disk.room = None
    ended = await house.ended(batch, within=60)
    assert ended.tally.canceled == 60
    await house.stop()


class BuggyModels(ScriptedEngine):
    """Trips over its own list of models."""

    async def models(self) -> list[Model]:
        raise KeyError("data")


async def test_an_engine_that_trips_over_its_models_is_waited_for(
    tmp_path: Path, clock: ManualClock, engine: ScriptedEngine
) -> None:
    house = House(tmp_path / "data", clock, buggy=BuggyModels(clock), m=engine)
    await house.start()
    batch = await house.create(asks(5))
    await house.ended(batch, within=30)
    reports = {report.name: report for report in await house.store.engine_reports()}
    assert reports["buggy"].state == "waiting"
    assert "KeyError" in reports["buggy"].reason
    await house.stop()


class Odd(ScriptedEngine):
    """The first answer to a text that is in `odd` comes by way of `odd[text]`."""

    def __init__(self, clock: ManualClock, odd: dict[str, Callable[[Reply], Reply]]) -> None:
        super().__init__(clock)
        self.odd = odd

    async def create_message(self, ask: Ask) -> Reply:
        reply = await super().create_message(ask)
        text = json.loads(ask.params)["messages"][0]["content"]
        return self.odd.pop(text)(reply) if text in self.odd else reply


def called_off(_: Reply) -> Reply:
    raise asyncio.CancelledError


def pretty(reply: Reply) -> Reply:
    return replace(reply, message=json.dumps(json.loads(reply.message), indent=1).encode())


@pytest.mark.parametrize("way", [called_off, pretty])
async def test_an_odd_answer_of_an_engine_costs_a_try_at_most(
    tmp_path: Path, clock: ManualClock, way: Callable[[Reply], Reply]
) -> None:
    house = House(tmp_path / "data", clock, m=Odd(clock, {"q 3": way}))
    await house.start()
    batch = await house.create(asks(10))
    await house.ended(batch, within=60)
    assert all_echoed(await house.lines(batch), asks(10))
    await house.stop()
