"""Engines whose models change under way: no request is failed for a name that we gave it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from batchyard.clock import ManualClock
from batchyard.engine import Ask, Model, Reply
from batchyard.errors import Rejected, Unavailable
from tests.dispatch.harness import House, ScriptedEngine, all_echoed, asks

REQUESTS = asks(400, model="claude-x")


class Particular(ScriptedEngine):
    """Knows only the models it serves, as vLLM does."""

    def serve(self, *names: str) -> None:
        self.served = [Model(name) for name in names]

    async def create_message(self, ask: Ask) -> Reply:
        reply = await super().create_message(ask)
        if ask.model not in {model.id for model in self.served}:
            words = f"The model {ask.model} does not exist."
            raise Rejected(words, type="not_found_error", status=404)
        return reply


@pytest.fixture
def engine(clock: ManualClock) -> Particular:
    return Particular(clock)


@pytest.fixture
def other(clock: ManualClock) -> Particular:
    return Particular(clock)


@pytest.fixture
async def pair(
    tmp_path: Path, clock: ManualClock, engine: Particular, other: Particular
) -> AsyncIterator[House]:
    pair = House(tmp_path / "pair", clock, one=engine, two=other)
    await pair.start()
    yield pair
    await pair.stop()


def models_of(lines: dict[str, dict[str, dict[str, str]]]) -> set[str]:
    return {line["message"]["model"] for line in lines.values()}


async def test_an_engine_that_comes_back_with_another_model_goes_on_with_it(
    house: House, engine: Particular
) -> None:
    batch = await house.create(REQUESTS)
    await house.run(3)
    engine.down = Unavailable("connection refused")
    await house.run(3)
    engine.down = None
    engine.serve("another")
    await house.ended(batch)
    lines = await house.lines(batch)
    assert all_echoed(lines, REQUESTS)
    assert models_of(lines) == {"m", "another"}


async def test_a_model_swapped_under_way_is_found_out_by_the_first_refusals(
    house: House, engine: Particular
) -> None:
    batch = await house.create(REQUESTS)
    await house.run(3)
    asked = len(engine.asks)
    engine.serve("another")
    await house.ended(batch)
    assert all_echoed(await house.lines(batch), REQUESTS)
    refused = [ask for ask in engine.asks[asked:] if ask.model == "m"]
    assert len(refused) <= 256


async def test_a_shard_goes_to_the_replica_that_still_serves_its_model(
    pair: House, engine: Particular, other: Particular
) -> None:
    requests = asks(600)
    batch = await pair.create(requests)
    await pair.run(3)
    assert engine.answered
    engine.serve("another")
    await pair.ended(batch)
    lines = await pair.lines(batch)
    assert all_echoed(lines, requests)
    assert models_of(lines) == {"m"}


async def test_what_a_request_names_itself_and_is_not_there_costs_one_try(
    house: House, engine: Particular
) -> None:
    gone = Rejected("file_7 does not exist", type="not_found_error", status=404)
    engine.fault = lambda text, tries: gone if text == "q 7" else None
    batch = await house.create(asks(20))
    ended = await house.ended(batch)
    line = (await house.lines(batch))["q-7"]
    assert line["error"]["error"] == {
        "type": "not_found_error",
        "message": "file_7 does not exist",
    }
    assert (ended.tally.errored, engine.asked["q 7"]) == (1, 1)


async def test_not_found_is_not_believed_while_the_models_cannot_be_asked(
    house: House, engine: Particular
) -> None:
    listed = engine.models
    silent = True

    async def models() -> list[Model]:
        if silent:
            raise Unavailable("list refused")
        return await listed()

    await house.run(1)
    engine.models = models  # type: ignore[method-assign]
    engine.serve("another")
    batch = await house.create(asks(3, model="claude-x"))
    await house.run(5)
    assert (await house.look(batch)).tally.errored == 0
    silent = False
    await house.ended(batch)
    assert (await house.look(batch)).tally.succeeded == 3


async def test_a_cancel_while_a_shard_is_on_its_way_back_still_ends_the_batch(
    house: House, engine: Particular
) -> None:
    batch = await house.create(REQUESTS)
    await house.run(3)
    engine.serve("another")
    await house.run(1.5)
    await house.cancel(batch)
    ended = await house.ended(batch, within=60)
    assert ended.tally.canceled > 0
    assert len(await house.lines(batch)) == len(REQUESTS)


async def test_a_name_that_only_a_pattern_covers_is_no_strange_model(
    house: House, engine: Particular
) -> None:
    engine.serve("claude-x", "claude-y-20260101", "claude-*")
    await house.run(60)
    batch = await house.create(asks(20, model="claude-x"))
    engine.serve("claude-x", "claude-*")
    await house.ended(batch)
    assert models_of(await house.lines(batch)) == {"claude-x"}


async def test_a_second_model_that_turns_up_leaves_a_running_batch_with_the_first(
    house: House, engine: Particular
) -> None:
    engine.serve("first")
    requests = asks(3_000, model="claude-x")
    await house.run(60)
    engine.latency = 30.0
    batch = await house.create(requests)
    await house.run(3)
    engine.serve("first", "second")
    await house.ended(batch)
    lines = await house.lines(batch)
    assert all_echoed(lines, requests)
    assert models_of(lines) == {"first"}
