"""The dispatch room from outside: batches in, one right line per request out, whatever happens."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from tests.dispatch.harness import House, ScriptedEngine, ask_for, asks

from batchyard.clock import SECOND, ManualClock
from batchyard.engine import Model
from batchyard.errors import Misconfigured, Overloaded, Rejected, Spent, Unavailable


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def engine(clock: ManualClock) -> ScriptedEngine:
    return ScriptedEngine(clock)


@pytest.fixture
async def house(tmp_path: Path, clock: ManualClock, engine: ScriptedEngine):
    house = House(tmp_path / "data", clock, m=engine)
    await house.start()
    yield house
    if house.service is not None:
        await house.stop()


def all_echoed(lines: dict, requests: dict) -> bool:
    return set(lines) == set(requests) and all(
        line["type"] == "succeeded"
        and line["message"]["content"][0]["text"]
        == f"echo: {requests[custom_id]['messages'][0]['content']}"
        for custom_id, line in lines.items()
    )


async def test_a_batch_ends_with_one_right_line_per_request(house: House) -> None:
    requests = asks(50)
    batch = await house.create(requests)
    ended = await house.ended(batch, within=60)
    assert all_echoed(await house.lines(batch), requests)
    assert ended.tally.succeeded == 50
    assert ended.ended_at is not None


async def test_every_request_is_asked_once_when_nothing_fails(
    house: House, engine: ScriptedEngine
) -> None:
    await house.ended(await house.create(asks(200)))
    assert set(engine.asked.values()) == {1}


async def test_a_thousand_requests_over_several_shards_all_arrive(house: House) -> None:
    requests = asks(2_500)
    batch = await house.create(requests)
    await house.ended(batch)
    assert all_echoed(await house.lines(batch), requests)


async def test_faulty_params_become_errored_lines_and_bother_no_engine(
    house: House, engine: ScriptedEngine
) -> None:
    requests = {
        "good": ask_for("good"),
        "no-messages": {"model": "m", "max_tokens": 16},
        "streamed": ask_for("streamed", stream=True),
        "zero": {**ask_for("zero"), "max_tokens": 0},
    }
    batch = await house.create(requests)
    await house.ended(batch)
    lines = await house.lines(batch)
    assert lines["good"]["type"] == "succeeded"
    for custom_id in ("no-messages", "streamed", "zero"):
        assert lines[custom_id]["error"]["error"]["type"] == "invalid_request_error"
    assert set(engine.asked) == {"good"}


async def test_an_unknown_model_is_a_not_found_line_and_its_siblings_succeed(house: House) -> None:
    batch = await house.create({"a": ask_for("a"), "b": ask_for("b", model="nobody")})
    await house.ended(batch)
    lines = await house.lines(batch)
    assert lines["a"]["type"] == "succeeded"
    assert lines["b"]["error"]["error"]["type"] == "not_found_error"
    assert "nobody" in lines["b"]["error"]["error"]["message"]


async def test_a_claude_name_reaches_the_only_model_and_the_answer_tells_the_truth(
    house: House, engine: ScriptedEngine
) -> None:
    batch = await house.create({"a": ask_for("a", model="claude-opus-5-5")})
    await house.ended(batch)
    assert (await house.lines(batch))["a"]["message"]["model"] == "m"
    assert engine.asks[0].model == "m"


async def test_max_tokens_beyond_the_models_window_is_clamped(
    house: House, engine: ScriptedEngine
) -> None:
    engine.served = [Model("m", max_tokens=100)]
    await house.run(31)
    await house.ended(await house.create({"a": {**ask_for("a"), "max_tokens": 128_000}}))
    assert b'"max_tokens":100' in engine.asks[-1].params


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
    times = [moment for moment, _ in engine.log]
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


async def test_a_small_batch_beside_a_large_one_starts_within_two_seconds(
    house: House, engine: ScriptedEngine
) -> None:
    large = await house.create(asks(20_000, "large"))
    await house.run(30)
    asked_at = house.clock.monotonic()
    small = await house.create(asks(5, "small"))
    await house.ended(small, within=10)
    starts = [moment for moment, text in engine.log if text.startswith("small")]
    assert max(starts) - asked_at <= 2.0
    assert (await house.look(large)).processing_status == "in_progress"


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


async def test_two_engines_of_one_model_share_the_work(tmp_path: Path, clock: ManualClock) -> None:
    one, two = ScriptedEngine(clock), ScriptedEngine(clock)
    house = House(tmp_path / "data", clock, one=one, two=two)
    await house.start()
    requests = asks(6_000)
    batch = await house.create(requests)
    await house.ended(batch)
    assert all_echoed(await house.lines(batch), requests)
    assert min(len(one.answered), len(two.answered)) > 1_000
    await house.stop()


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


async def test_an_idle_dispatch_keeps_saying_that_it_is_there(
    house: House, clock: ManualClock
) -> None:
    await house.run(120)
    newest = max(report.updated_at for report in await house.store.engine_reports())
    assert clock.now() - newest <= 15 * SECOND
