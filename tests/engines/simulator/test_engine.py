"""The simulator's time, cache, slots and troubles, on a clock that is held by hand."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Any

import pytest

from batchyard.clock import ManualClock
from batchyard.engine import Ask, Model, Reply
from batchyard.engines.simulator import Simulator
from batchyard.engines.simulator.cache import PrefixCache
from batchyard.errors import EngineError, Overloaded, Rejected, Unavailable
from tests.engines.simulator.asks import ask, message, simulator, text

SHARED = "You are a careful reader of reviews. " * 40


async def run(clock: ManualClock, engine: Simulator, *asks: Ask) -> list[Reply]:
    """The replies to `asks` sent at once, the clock moved on as far as they need it."""
    tasks = [asyncio.create_task(engine.create_message(one)) for one in asks]
    await clock.advance(0)
    while (wait := clock.next_wake()) is not None:
        await clock.advance(wait)
    return await asyncio.gather(*tasks)


# -- time and slots -------------------------------------------------------------------------------


async def test_time_is_latency_prefill_and_decode() -> None:
    clock = ManualClock()
    engine = simulator(clock, latency="50ms", prefill="1ms", decode="10ms")
    (reply,) = await run(clock, engine, ask())
    spent = 0.05 + reply.usage.input_tokens * 0.001 + reply.usage.output_tokens * 0.01
    assert clock.monotonic() == pytest.approx(spent)


async def test_jitter_stays_within_its_bounds_and_differs() -> None:
    spent = set()
    for number in range(20):
        clock = ManualClock()
        await run(clock, simulator(clock, latency="50ms", jitter="20ms"), ask(f"Island {number}"))
        spent.add(clock.monotonic())
    assert len(spent) == 20
    assert all(0.03 <= seconds <= 0.07 for seconds in spent)


async def test_no_more_run_at_once_than_there_are_slots() -> None:
    clock = ManualClock()
    engine = simulator(clock, latency="1s", slots="4")
    await run(clock, engine, *(ask(f"Island {number}") for number in range(10)))
    assert clock.monotonic() == pytest.approx(3)
    assert engine.slots == 4


async def test_live_calls_overtake_batch_work_that_waits() -> None:
    clock = ManualClock()
    engine = simulator(clock, latency="1s", slots="1")
    done: list[str] = []

    async def one(name: str, priority: str) -> None:
        await engine.create_message(ask(name, priority=priority))
        done.append(name)

    tasks = [asyncio.create_task(one(name, "low")) for name in ("first", "second", "third")]
    await clock.advance(0)
    tasks.append(asyncio.create_task(one("urgent", "high")))
    await clock.advance(9)
    await asyncio.gather(*tasks)
    assert done == ["first", "urgent", "second", "third"]


async def test_cancelled_requests_give_their_slot_back() -> None:
    clock = ManualClock()
    engine = simulator(clock, latency="1s", slots="1")
    running, waiting = (asyncio.create_task(engine.create_message(ask(n))) for n in "ab")
    await clock.advance(0)
    waiting.cancel()
    running.cancel()
    await asyncio.gather(running, waiting, return_exceptions=True)
    assert repr(engine) == "<Simulator simulator-1: 0/1>"
    await run(clock, engine, ask("c"))


# -- the prefix cache -----------------------------------------------------------------------------


async def test_a_shared_prefix_is_read_from_the_cache_and_costs_no_time() -> None:
    clock = ManualClock()
    engine = simulator(clock, prefill="1ms")
    (first,) = await run(clock, engine, ask("One", system=SHARED))
    cold = clock.monotonic()
    (second,) = await run(clock, engine, ask("Two", system=SHARED))
    assert first.usage.cache_read_input_tokens == 0
    assert second.usage.cache_read_input_tokens % 16 == 0
    assert second.usage.cache_read_input_tokens > 0.9 * first.usage.input_tokens
    assert clock.monotonic() - cold < cold / 10
    usage = json.loads(second.message)["usage"]
    assert usage["cache_read_input_tokens"] == second.usage.cache_read_input_tokens
    assert usage["input_tokens"] == second.usage.input_tokens


async def test_order_decides_what_a_small_cache_is_worth() -> None:
    """Eight prefixes, room for two: grouped nearly all is cached, round robin nothing is."""

    async def share(order: list[int]) -> float:
        engine = simulator(kv_blocks="60")
        cached = total = 0
        for number, group in enumerate(order):
            asked = ask(f"Item {number}", system=f"Group {group}. {SHARED}")
            usage = (await engine.create_message(asked)).usage
            cached += usage.cache_read_input_tokens
            total += usage.cache_read_input_tokens + usage.input_tokens
        return cached / total

    groups = [number % 8 for number in range(160)]
    assert await share(groups) == 0
    assert await share(sorted(groups)) > 0.9


def test_the_cache_forgets_tails_before_heads_and_what_is_old_before_what_is_new() -> None:
    cache = PrefixCache(10)
    old, new = b"o" * 64 * 6, b"n" * 64 * 6
    assert cache.admit(old) == 0
    assert cache.admit(new) == 0
    assert len(cache) == 10
    assert cache.admit(old[: 64 * 4] + b"x" * 64) == 64
    assert cache.admit(new[: 64 * 5]) == 5 * 16 - 1


def test_no_blocks_mean_no_cache() -> None:
    cache = PrefixCache(0)
    assert [cache.admit(b"x" * 640) for _ in range(3)] == [0, 0, 0]


# -- trouble on demand ----------------------------------------------------------------------------


async def outcomes(engine: Simulator, asks: list[Ask]) -> list[str]:
    async def one(asked: Ask) -> str:
        try:
            return type(await engine.create_message(asked)).__name__
        except EngineError as error:
            return type(error).__name__

    return [await one(asked) for asked in asks]


async def test_transient_faults_come_at_their_rate_and_pass_on_another_try() -> None:
    engine = simulator(faults="0.2", overload="0.1")
    asks = [ask(f"Island {number}") for number in range(500)]
    first = Counter(await outcomes(engine, asks))
    assert 70 < first["Unavailable"] < 130
    assert 25 < first["Overloaded"] < 80
    for _ in range(9):
        again = await outcomes(engine, asks)
    assert Counter(again)["Reply"] > 300


async def test_faults_do_not_depend_on_order() -> None:
    asks = [ask(f"Island {number}") for number in range(100)]
    forward = await outcomes(simulator(faults="0.3"), asks)
    backward = await outcomes(simulator(faults="0.3"), asks[::-1])
    assert forward == backward[::-1]


async def test_every_request_gets_through_in_the_end() -> None:
    engine = simulator(faults="0.3", overload="0.2")
    for number in range(50):
        tries = await outcomes(engine, [ask(f"Island {number}")] * 40)
        assert "Reply" in tries


async def test_permanent_faults_stay_with_their_request() -> None:
    engine = simulator(permanent="0.1")
    asks = [ask(f"Island {number}") for number in range(300)]
    first = await outcomes(engine, asks)
    assert 15 < Counter(first)["Rejected"] < 50
    assert await outcomes(engine, asks) == first


async def test_overload_says_when_to_come_back() -> None:
    with pytest.raises(Overloaded) as caught:
        await simulator(overload="1", retry_after="3s").create_message(ask())
    assert (caught.value.retry_after, caught.value.status) == (3.0, 429)


async def test_a_limit_refuses_the_one_too_many() -> None:
    clock = ManualClock()
    engine = simulator(clock, limit="2", latency="1s")
    running = [asyncio.create_task(engine.create_message(ask(n))) for n in "ab"]
    await clock.advance(0)
    with pytest.raises(Overloaded, match="more than 2"):
        await engine.create_message(ask("c"))
    await clock.advance(2)
    await asyncio.gather(*running)
    assert (await run(clock, engine, ask("c")))[0].usage.output_tokens


async def test_nobody_answers_while_it_is_down() -> None:
    clock = ManualClock()
    engine = simulator(clock, down="10s-20s")
    await run(clock, engine, ask())
    await clock.advance(10)
    for call in (engine.create_message(ask()), engine.models(), engine.forward("messages", ask())):
        with pytest.raises(Unavailable) as caught:
            await call
        assert caught.value.status is None
    await clock.advance(10)
    assert await engine.models()


# -- models and live calls ------------------------------------------------------------------------


async def test_models_are_those_configured() -> None:
    engine = simulator(model="small+large", context="4096")
    assert await engine.models() == [Model("small", 4096), Model("large", 4096)]
    assert await simulator().models() == [Model("simulator-1", 200_000)]
    assert (await message(engine, ask(model="large")))["model"] == "large"
    with pytest.raises(Rejected, match="model: medium") as caught:
        await engine.create_message(ask(model="medium"))
    assert caught.value.type == "not_found_error"


async def test_a_prompt_longer_than_the_context_is_refused() -> None:
    with pytest.raises(Rejected, match=r"prompt is too long: \d+ tokens > 100 maximum"):
        await simulator(context="100").create_message(ask("word " * 200))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"messages": None}, "messages: Field required"),
        ({"messages": []}, "at least one message"),
        ({"messages": "hello"}, "valid list"),
        ({"messages": [5]}, "valid list"),
    ],
)
async def test_what_is_no_request_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(Rejected, match=words):
        await simulator().create_message(ask(**changes))


async def test_a_live_answer_is_the_batch_answer() -> None:
    engine = simulator()
    forwarded = await engine.forward("messages", ask())
    body = b"".join([chunk async for chunk in forwarded.body])
    assert forwarded.status == 200
    assert json.loads(body)["content"][0]["text"] == await text(engine, ask())


async def test_a_stream_adds_up_to_the_same_answer_at_the_pace_of_decoding() -> None:
    clock = ManualClock()
    engine = simulator(clock, decode="10ms")
    forwarded = await engine.forward("messages", ask(stream=True))
    assert forwarded.content_type == "text/event-stream"

    async def read() -> bytes:
        return b"".join([chunk async for chunk in forwarded.body])

    reading = asyncio.create_task(read())
    await clock.advance(60)
    events = [
        json.loads(line[6:]) for line in reading.result().splitlines() if line[:5] == b"data:"
    ]
    assert events[0]["type"] == "message_start"
    assert events[-1]["type"] == "message_stop"
    deltas = [event["delta"]["text"] for event in events if event["type"] == "content_block_delta"]
    assert "".join(deltas) == await text(simulator(), ask())


async def test_a_live_refusal_comes_in_the_envelope() -> None:
    forwarded = await simulator(overload="1").forward("messages", ask())
    envelope = json.loads(b"".join([chunk async for chunk in forwarded.body]))
    assert (forwarded.status, envelope["error"]["type"]) == (429, "rate_limit_error")
    assert forwarded.headers["retry-after"] == "1"


async def test_tokens_are_counted_as_they_are_charged() -> None:
    engine = simulator()
    forwarded = await engine.forward("count_tokens", ask("Grüße " * 20, system="Short."))
    counted = json.loads(b"".join([chunk async for chunk in forwarded.body]))
    usage = (await engine.create_message(ask("Grüße " * 20, system="Short."))).usage
    assert counted == {"input_tokens": usage.input_tokens}
