"""Cancels, deadlines, stops and restarts: how batches end other than by being answered."""

from __future__ import annotations

import asyncio

from batchyard.clock import SECOND
from tests.dispatch.harness import House, ScriptedEngine, all_echoed, asks


async def test_a_cancel_settles_what_was_not_sent_and_keeps_what_was_answered(
    house: House, engine: ScriptedEngine
) -> None:
    batch = await house.create(asks(500))
    await house.run(1.5)
    await house.cancel(batch)
    asked_before = sum(engine.asked.values())
    ended = await house.ended(batch, within=15)
    lines = await house.lines(batch)
    assert len(lines) == 500
    assert sum(engine.asked.values()) == asked_before
    assert ended.tally.succeeded == sum(engine.answered.values()) > 0
    assert ended.tally.canceled == 500 - ended.tally.succeeded
    assert ended.cancel_initiated_at is not None


async def test_a_cancel_waits_a_moment_for_answers_under_way_but_not_for_ever(
    house: House, engine: ScriptedEngine
) -> None:
    engine.latency = 10_000.0
    batch = await house.create(asks(3))
    await house.run(2)
    await house.cancel(batch)
    ended = await house.ended(batch, within=20)
    assert ended.tally.canceled == 3


async def test_a_batch_canceled_before_it_was_planned_ends_all_canceled(
    house: House, engine: ScriptedEngine
) -> None:
    batch = await house.create(asks(20))
    await house.cancel(batch)
    ended = await house.ended(batch, within=30)
    assert ended.tally.canceled + ended.tally.succeeded == 20
    assert len(await house.lines(batch)) == 20


async def test_after_a_day_the_rest_expires_and_finished_work_stays(
    house: House, engine: ScriptedEngine
) -> None:
    house.options["m"] = {"concurrency": 1}
    await house.stop()
    await house.start()
    batch = await house.create(asks(5))
    await house.run(2.5)
    house.clock.jump(24 * 3600 - 10)
    engine.latency = 1_000.0
    await house.run(5)
    assert (await house.look(batch)).processing_status == "in_progress"
    ended = await house.ended(batch, within=10)
    assert (ended.tally.succeeded, ended.tally.expired) == (3, 2)
    assert ended.expires_at == batch.created_at + 24 * 3600 * SECOND
    assert len(await house.lines(batch)) == 5


async def test_what_expired_while_the_server_was_down_is_never_sent(
    house: House, engine: ScriptedEngine
) -> None:
    engine.latency = 3600.0
    batch = await house.create(asks(40))
    await house.run(10)
    await house.stop()
    asked = sum(engine.asked.values())
    house.clock.jump(25 * 3600)
    await house.start()
    ended = await house.ended(batch, within=10)
    assert ended.tally.expired == 40
    assert sum(engine.asked.values()) == asked


async def test_a_restart_asks_only_for_what_has_no_answer(
    house: House, engine: ScriptedEngine
) -> None:
    requests = asks(300)
    batch = await house.create(requests)
    await house.run(3.5)
    await house.stop(drain_seconds=10.0)
    answered = sum(engine.answered.values())
    assert 0 < answered < 300
    await house.start()
    await house.ended(batch)
    assert all_echoed(await house.lines(batch), requests)
    assert set(engine.asked.values()) == {1}, "a drained stop costs no repeats"


async def test_a_stop_without_patience_repeats_only_what_was_in_flight(
    house: House, engine: ScriptedEngine
) -> None:
    requests = asks(300)
    batch = await house.create(requests)
    await house.run(3.5)
    in_flight = engine.in_flight
    await house.stop()
    await house.start()
    await house.ended(batch)
    assert all_echoed(await house.lines(batch), requests)
    assert sum(engine.asked.values()) - 300 <= in_flight


async def test_a_wall_clock_that_steps_back_extends_no_deadline_and_loses_nothing(
    house: House, engine: ScriptedEngine
) -> None:
    requests = asks(40)
    batch = await house.create(requests)
    await house.run(1)
    house.clock.jump(-3600)
    ended = await house.ended(batch)
    assert ended.expires_at == batch.expires_at
    assert all_echoed(await house.lines(batch), requests)


async def test_a_server_that_drains_takes_no_more_shards(
    house: House, engine: ScriptedEngine
) -> None:
    engine.latency = 5.0
    first = await house.create(asks(3, "first"))
    await house.run(1)
    assert house.service is not None
    stopping = asyncio.ensure_future(house.service.stop(30.0))
    second = await house.create(asks(3, "second"))
    await house.run(3)
    assert not stopping.done()
    assert all(shard.fence == 0 for shard in await house.store.shards(second.id))
    await house.reach(stopping)
    await house.start()
    for batch in (first, second):
        await house.ended(batch)
    assert set(engine.asked.values()) == {1}
