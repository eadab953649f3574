"""Engines that refuse, fail, vanish and come back; a disk that fills: nothing is lost by it."""

from __future__ import annotations

import itertools
from pathlib import Path

from batchyard.clock import SECOND, ManualClock
from batchyard.errors import Misconfigured, Overloaded, Rejected, Spent, Unavailable
from tests.dispatch.harness import House, ScriptedEngine, all_echoed, asks
from tests.store.filesystems import FullFileSystem


async def test_a_rejected_request_carries_the_engines_words(
    house: House, engine: ScriptedEngine
) -> None:
    engine.fault = lambda text, tries: (
        Rejected("too long for me", type="invalid_request_error") if text == "q 3" else None
    )
    batch = await house.create(asks(5))
    ended = await house.ended(batch)
    lines = await house.lines(batch)
    assert lines["q-3"]["error"]["error"]["message"] == "too long for me"
    assert (ended.tally.succeeded, ended.tally.errored) == (4, 1)
    assert engine.asked["q 3"] == 1


async def test_transient_failures_are_asked_again_until_they_succeed(
    house: House, engine: ScriptedEngine
) -> None:
    engine.fault = lambda text, tries: Unavailable("hiccup", status=500) if tries < 3 else None
    requests = asks(30)
    batch = await house.create(requests)
    await house.ended(batch)
    assert all_echoed(await house.lines(batch), requests)


async def test_no_retry_comes_within_ten_milliseconds_of_a_failure(
    house: House, engine: ScriptedEngine
) -> None:
    engine.fault = lambda text, tries: Spent("reset") if tries < 4 else None
    await house.ended(await house.create(asks(1)))
    times = [moment for moment, text in engine.log if text == "q 0"]
    gaps = [b - a - engine.latency for a, b in itertools.pairwise(times)]
    assert len(gaps) == 3
    assert min(gaps) >= 0.01


async def test_poison_ends_errored_after_a_few_tries_while_its_neighbours_succeed(
    house: House, engine: ScriptedEngine
) -> None:
    engine.fault = lambda text, tries: (
        Unavailable("image input is not supported", status=500) if text == "q 7" else None
    )
    engine.latency = 5.0
    house.options["m"] = {"concurrency": 2}
    batch = await house.create(asks(400))
    ended = await house.ended(batch)
    line = (await house.lines(batch))["q-7"]
    assert line["error"]["error"]["type"] == "api_error"
    assert "image input is not supported" in line["error"]["error"]["message"]
    assert ended.tally.succeeded == 399
    assert engine.asked["q 7"] <= 12


async def test_a_dead_engine_means_waiting_not_errors(house: House, engine: ScriptedEngine) -> None:
    await house.run(1)
    engine.down = Unavailable("connection refused")
    requests = asks(300)
    batch = await house.create(requests)
    await house.run(3600)
    seen = await house.look(batch)
    assert (seen.processing_status, seen.tally.settled) == ("in_progress", 0)
    [report] = await house.store.engine_reports()
    assert (report.state, report.reason) == ("waiting", "connection refused")
    assert sum(engine.asked.values()) < 50
    engine.down = None
    await house.ended(batch)
    assert all_echoed(await house.lines(batch), requests)


async def test_an_engine_that_fails_everybody_is_waited_for_and_nobody_is_blamed(
    house: House, engine: ScriptedEngine
) -> None:
    engine.fault = lambda text, tries: Unavailable("EngineCore encountered an issue", status=500)
    requests = asks(100)
    batch = await house.create(requests)
    await house.run(1800)
    assert (await house.look(batch)).tally.settled == 0
    [report] = await house.store.engine_reports()
    assert report.state == "waiting"
    assert "EngineCore" in report.reason
    engine.fault = lambda text, tries: None
    await house.ended(batch)
    assert all_echoed(await house.lines(batch), requests)


async def test_a_wrong_key_pauses_the_engine_and_says_so(
    house: House, engine: ScriptedEngine
) -> None:
    engine.fault = lambda text, tries: Misconfigured("invalid x-api-key", status=401)
    requests = asks(200)
    batch = await house.create(requests)
    await house.run(600)
    assert (await house.look(batch)).tally.settled == 0
    [report] = await house.store.engine_reports()
    assert (report.state, report.reason) == ("paused", "invalid x-api-key")
    assert sum(engine.asked.values()) < 80
    engine.fault = lambda text, tries: None
    await house.ended(batch)
    assert all_echoed(await house.lines(batch), requests)


async def test_an_engine_that_is_down_at_the_start_is_found_when_it_comes(
    tmp_path: Path, clock: ManualClock, engine: ScriptedEngine
) -> None:
    engine.down = Unavailable("connection refused")
    house = House(tmp_path / "data", clock, m=engine)
    await house.start()
    batch = await house.create(asks(10))
    await house.run(120)
    assert (await house.look(batch)).tally.settled == 0
    engine.down = None
    await house.ended(batch, within=120)
    await house.stop()


async def test_pushback_shrinks_the_number_in_flight_and_everybody_succeeds(
    house: House, engine: ScriptedEngine
) -> None:
    engine.fault = lambda text, tries: (
        Overloaded("slow down", status=429, retry_after=1.0) if engine.in_flight >= 4 else None
    )
    requests = asks(300)
    batch = await house.create(requests)
    await house.ended(batch)
    assert all_echoed(await house.lines(batch), requests)
    refused = sum(engine.asked.values()) - 300
    assert refused < 300


async def test_shards_of_a_dead_engine_go_to_its_twin(tmp_path: Path, clock: ManualClock) -> None:
    one, two = ScriptedEngine(clock), ScriptedEngine(clock)
    house = House(tmp_path / "data", clock, one=one, two=two)
    await house.start()
    requests = asks(4_000)
    batch = await house.create(requests)
    await house.run(5)
    one.down = Unavailable("connection refused")
    await house.ended(batch, within=600)
    assert all_echoed(await house.lines(batch), requests)
    await house.stop()


async def test_a_wall_clock_that_steps_back_does_not_keep_shards_at_a_dead_engine(
    tmp_path: Path, clock: ManualClock
) -> None:
    one, two = ScriptedEngine(clock), ScriptedEngine(clock)
    house = House(tmp_path / "data", clock, one=one, two=two)
    await house.start()
    batch = await house.create(asks(200))
    await house.run(2)
    dead = one if one.asked else two
    dead.down = Unavailable("connection refused")
    await house.run(1)
    clock.jump(-3600)
    await house.ended(batch, within=120)
    await house.stop()


async def test_an_idle_dispatch_keeps_saying_that_it_is_there(
    house: House, clock: ManualClock
) -> None:
    await house.run(120)
    newest = max(report.updated_at for report in await house.store.engine_reports())
    assert clock.now() - newest <= 15 * SECOND


async def test_a_full_disk_makes_work_wait_and_loses_nothing(
    tmp_path: Path, clock: ManualClock, engine: ScriptedEngine
) -> None:
    disk = FullFileSystem()
    house = House(tmp_path / "data", clock, m=engine)
    house.file_system = disk
    await house.start()
    requests = asks(120)
    batch = await house.create(requests)
    await house.run(0.5)
    disk.room = 0
    for _ in range(20):
        await house.clock.advance(1.0)
    assert (await house.look(batch)).processing_status == "in_progress"
    assert not house.fatal
    disk.room = None
    await house.ended(batch)
    assert all_echoed(await house.lines(batch), requests)
    assert set(engine.asked.values()) == {1}, "held answers are not asked for again"
    await house.stop()


async def test_poison_ends_errored_also_when_nobody_is_left_to_succeed_beside_it(
    house: House, engine: ScriptedEngine
) -> None:
    engine.fault = lambda text, tries: (
        Unavailable("image input is not supported", status=500) if text in BAD else None
    )
    batch = await house.create(asks(20))
    ended = await house.ended(batch, within=120)
    assert (ended.tally.succeeded, ended.tally.errored) == (17, 3)
    assert max(engine.asked[text] for text in BAD) <= 12


BAD = ("q 3", "q 4", "q 5")


async def test_many_poisoned_requests_side_by_side_hold_up_nobody(
    house: House, engine: ScriptedEngine
) -> None:
    bad = {f"q {number}" for number in range(40)}
    engine.fault = lambda text, tries: (
        Unavailable("image input is not supported", status=500) if text in bad else None
    )
    batch = await house.create(asks(400))
    ended = await house.ended(batch, within=600)
    assert (ended.tally.succeeded, ended.tally.errored) == (360, 40)
