"""A sample and its estimate against a server: through the client, as a run takes them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator

import pytest

from batchyard.client import Client
from batchyard.pipeline.estimate.estimate import from_sample
from batchyard.pipeline.estimate.ground import ground
from batchyard.pipeline.estimate.prices.prices import Prices
from batchyard.pipeline.estimate.sample import take_sample
from batchyard.pipeline.estimate.text import lines
from batchyard.pipeline.estimate.tokens import input_figure, output_bound
from batchyard.pipeline.row import Fields, Outcome
from tests.client.stub import Stub, answer, stub

PARAMS = b'{"model":"tiny","max_tokens":50,"messages":[{"role":"user","content":"12345678"}]}'
ROWS: list[tuple[int, Fields]] = [(0, {}), (50, {}), (99, {})]


class Task:
    """Asks every row the same."""

    def params_of(self, _fields: Fields, *, position: int) -> bytes:
        assert position in (0, 50, 99)
        return PARAMS


def judge(position: int, line: bytes) -> Outcome:
    result = json.loads(line)
    message = result["message"]
    used = message["usage"]
    return Outcome(
        position,
        "succeeded",
        input_tokens=used["input_tokens"],
        output_tokens=used["output_tokens"],
        model=message["model"],
    )


@pytest.fixture
def server() -> Iterator[Stub]:
    with stub() as found:
        yield found


@pytest.fixture
async def client(server: Stub) -> AsyncIterator[Client]:
    async with Client(server.url) as found:
        yield found


async def test_a_sample_through_the_client_makes_an_estimate(server: Stub, client: Client) -> None:
    server.batchyard()
    usage = {"input_tokens": 30, "output_tokens": 10}
    server.on("POST /v1/messages", answer({"content": [], "model": "tiny", "usage": usage}))
    kept = list[Outcome]()
    sample = await take_sample(client, Task(), ROWS, judge=judge, keep=kept.append)
    assert [one.body for one in server.asked] == [PARAMS] * 3
    assert sorted(one.position for one in kept) == [0, 50, 99]
    where = ground(await client.readiness(), "tiny")
    found = from_sample(sample, 100, "tiny", ground=where, prices=Prices({}))
    assert found is not None
    assert lines(found, 80)[:2] == [
        "estimate      from the 3-row sample (±1 %)",
        "  tokens      3.0 k in · 1.0 k out",
    ]
    assert found.pace is not None
    assert found.pace.best >= found.pace.measured > 0


async def test_a_server_without_live_calls_leaves_prompts_to_guess_from(
    client: Client,
) -> None:
    kept = list[Outcome]()
    sample = await take_sample(client, Task(), ROWS, judge=judge, keep=kept.append)
    assert sample.trouble == "the server has no live calls: Not found."
    assert kept == []
    assert (await input_figure(client, [PARAMS], 100)).value == 2  # eight characters
    assert output_bound([PARAMS]).value == 50
