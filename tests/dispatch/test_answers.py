"""Batches in, one right line per request out: who is asked what, and how often."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchyard.clock import ManualClock
from batchyard.dispatch import coordinator
from batchyard.engine import Ask, Model, Reply
from tests.dispatch.harness import House, ScriptedEngine, all_echoed, ask_for, asks


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


async def test_a_small_batch_starts_beside_however_many_large_ones(
    tmp_path: Path, clock: ManualClock, engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coordinator, "SHARDS_PER_WORKER_MAX", 4)
    house = House(tmp_path / "data", clock, m=engine)
    house.options["m"] = {"concurrency": 2}
    await house.start()
    for number in range(6):
        await house.create(asks(100, f"large{number}"), workspace="wrkspc_large")
    await house.run(30)
    asked_at = clock.monotonic()
    small = await house.create(asks(2, "small"))
    await house.ended(small, within=10)
    starts = [moment for moment, text in engine.log if text.startswith("small")]
    assert min(starts) - asked_at <= 2.0
    await house.stop()


async def test_requests_so_large_that_few_fit_a_shard_fill_the_engine_all_the_same(
    house: House, engine: ScriptedEngine
) -> None:
    engine.latency = 100.0
    await house.create({f"q-{n}": ask_for("x" * 3_000_000 + str(n)) for n in range(8)})
    await house.run(0.9)
    assert engine.in_flight == 8


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


async def test_a_quick_replica_does_not_wait_for_a_slow_one(
    tmp_path: Path, clock: ManualClock
) -> None:
    quick, slow = ScriptedEngine(clock, latency=0.1), ScriptedEngine(clock, latency=10.0)
    house = House(tmp_path / "data", clock, slow=slow, quick=quick)
    await house.start()
    requests = asks(1_000)
    batch = await house.create(requests)
    await house.ended(batch, within=100)  # the quick one alone: 10 s; the slow one alone: 400 s
    assert len(quick.answered) > 700
    assert all_echoed(await house.lines(batch), requests)
    await house.stop()


@pytest.mark.parametrize(
    "reason", ["refusal", "max_tokens", "tool_use", "pause_turn", "model_context_window_exceeded"]
)
async def test_however_an_answer_stops_it_is_an_answer(
    house: House, engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    answer = engine.create_message

    async def stopped(ask: Ask) -> Reply:
        reply = await answer(ask)
        return Reply(reply.message.replace(b"end_turn", reason.encode()), reply.usage)

    monkeypatch.setattr(engine, "create_message", stopped)
    batch = await house.create(asks(1))
    assert (await house.ended(batch)).tally.succeeded == 1
    line = (await house.lines(batch))["q-0"]
    assert (line["type"], line["message"]["stop_reason"]) == ("succeeded", reason)
