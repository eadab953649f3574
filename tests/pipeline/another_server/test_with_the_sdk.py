"""The other server as the official SDK meets it: every operation, validated strictly."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anthropic
import pytest

from tests.pipeline.another_server import AnotherServer, Faults, times_asked
from tests.pipeline.another_server.batch import KEPT_SECONDS, LIFE_SECONDS

MODEL = "claude-haiku-4-5"


@contextlib.asynccontextmanager
async def served(
    state: Path, **options: Any
) -> AsyncIterator[tuple[AnotherServer, anthropic.AsyncAnthropic]]:
    """A server and a strict client of it that never repeats a call."""
    async with (
        AnotherServer(state, **options) as server,
        anthropic.AsyncAnthropic(
            base_url=server.url, api_key="k", max_retries=0, _strict_response_validation=True
        ) as client,
    ):
        yield server, client


def request(custom_id: str, text: str = "Hello", **params: Any) -> Any:
    asked = {
        "model": MODEL,
        "max_tokens": 64,
        "messages": [{"role": "user", "content": text}],
        **params,
    }
    return {"custom_id": custom_id, "params": asked}


async def ended(client: anthropic.AsyncAnthropic, batch_id: str) -> Any:
    """The batch once it has ended. Each look is a call, so the server works meanwhile."""
    while True:
        batch = await client.messages.batches.retrieve(batch_id)
        if batch.processing_status == "ended":
            return batch


async def results(client: anthropic.AsyncAnthropic, batch_id: str) -> dict[str, Any]:
    found = await client.messages.batches.results(batch_id)
    return {line.custom_id: line.result async for line in found}


async def run(client: anthropic.AsyncAnthropic, *requests: Any) -> dict[str, Any]:
    batch = await client.messages.batches.create(requests=list(requests))
    await ended(client, batch.id)
    return await results(client, batch.id)


async def test_a_batch_is_made_followed_to_its_end_and_read(tmp_path: Path) -> None:
    async with served(tmp_path, faults=Faults(held=True)) as (server, client):
        batch = await client.messages.batches.create(
            requests=[request(f"r-1-{number}") for number in range(40)]
        )
        assert (batch.processing_status, batch.results_url) == ("in_progress", None)
        assert batch.request_counts.processing == 40
        server.turn(held=False)
        done = await ended(client, batch.id)
        assert done.request_counts.model_dump() == {
            "processing": 0, "succeeded": 40, "errored": 0, "canceled": 0, "expired": 0,
        }  # fmt: skip
        assert done.results_url == f"{server.url}/v1/messages/batches/{batch.id}/results"
        found = await results(client, batch.id)
        assert set(found) == {f"r-1-{number}" for number in range(40)}
        assert list(found) != [f"r-1-{number}" for number in range(40)], "shuffled"
        assert {result.type for result in found.values()} == {"succeeded"}


async def test_counts_stay_processing_until_the_batch_has_ended(tmp_path: Path) -> None:
    async with served(tmp_path, faults=Faults(ending_seconds=3600)) as (_, client):
        batch = await client.messages.batches.create(requests=[request("a"), request("b")])
        for _ in range(5):
            batch = await client.messages.batches.retrieve(batch.id)
            assert batch.request_counts.processing == 2
            assert batch.request_counts.succeeded == 0
        with pytest.raises(anthropic.NotFoundError, match="has no available results"):
            await client.get(f"/v1/messages/batches/{batch.id}/results", cast_to=object)


async def test_the_list_pages_newest_first_in_both_directions(tmp_path: Path) -> None:
    async with served(tmp_path) as (_, client):
        create = client.messages.batches.create
        made = [(await create(requests=[request(f"{number}")])).id for number in range(6)]
        newest = made[::-1]
        assert [batch.id async for batch in client.messages.batches.list(limit=4)] == newest
        first = await client.messages.batches.list(limit=2)
        assert [batch.id for batch in first.data] == newest[:2]
        assert (first.first_id, first.last_id, first.has_more) == (*newest[:2], True)
        older = await client.messages.batches.list(limit=2, after_id=newest[3])
        assert [batch.id for batch in older.data] == newest[4:]
        assert older.has_more is False
        newer = await client.messages.batches.list(limit=2, before_id=newest[5])
        assert [batch.id for batch in newer.data] == newest[3:5]
        assert newer.has_more is True


async def test_what_is_canceled_before_it_was_sent_is_canceled(tmp_path: Path) -> None:
    async with served(tmp_path, faults=Faults(held=True)) as (_, client):
        batch = await client.messages.batches.create(requests=[request("a"), request("b")])
        batch = await client.messages.batches.cancel(batch.id)
        assert batch.processing_status == "canceling"
        assert batch.request_counts.processing == 2
        done = await ended(client, batch.id)
        assert done.request_counts.canceled == 2
        again = await client.messages.batches.cancel(batch.id)
        assert again == done
        assert {one.type for one in (await results(client, batch.id)).values()} == {"canceled"}


async def test_a_running_batch_is_not_deleted_and_an_ended_one_is_gone(tmp_path: Path) -> None:
    async with served(tmp_path, faults=Faults(held=True)) as (server, client):
        batch = await client.messages.batches.create(requests=[request("a")])
        with pytest.raises(anthropic.BadRequestError, match="cannot be deleted"):
            await client.messages.batches.delete(batch.id)
        server.turn(held=False)
        await ended(client, batch.id)
        deleted = await client.messages.batches.delete(batch.id)
        assert (deleted.id, deleted.type) == (batch.id, "message_batch_deleted")
        with pytest.raises(anthropic.NotFoundError):
            await client.messages.batches.retrieve(batch.id)
        assert (await client.messages.batches.list()).data == []


async def test_a_day_later_what_was_not_sent_has_expired(tmp_path: Path) -> None:
    async with served(tmp_path, faults=Faults(held=True)) as (server, client):
        batch = await client.messages.batches.create(requests=[request("a")])
        server.advance(LIFE_SECONDS)
        done = await ended(client, batch.id)
        assert done.request_counts.expired == 1
        assert done.ended_at == done.expires_at


async def test_after_29_days_a_batch_is_there_and_its_results_are_not(tmp_path: Path) -> None:
    async with served(tmp_path) as (server, client):
        batch = await client.messages.batches.create(requests=[request("a")])
        await ended(client, batch.id)
        server.advance(KEPT_SECONDS)
        batch = await client.messages.batches.retrieve(batch.id)
        assert batch.archived_at is not None
        assert batch.results_url is None


async def test_what_is_wrong_inside_params_is_an_errored_line(tmp_path: Path) -> None:
    async with served(tmp_path) as (_, client):
        found = await run(
            client,
            request("model", model="nobody"),
            request("extra", nonsense=1),
            request("none", max_tokens=0),
            request("stream", stream=True),
            request("version", temperature=0),
            request("fine"),
        )
        kinds = {name: one.error.error.type for name, one in found.items() if name != "fine"}
        assert kinds.pop("model") == "not_found_error"
        assert set(kinds.values()) == {"invalid_request_error"}
        assert found["fine"].type == "succeeded"
        assert found["extra"].error.error.message == "nonsense: Extra inputs are not permitted"


async def test_faults_strike_the_rows_of_the_seed_and_retries_succeed(tmp_path: Path) -> None:
    rows = [f"{number}" for number in range(400)]
    faults = Faults(seed=3, transient=0.05, permanent=0.05, expired=0.05)
    async with served(tmp_path, faults=faults) as (server, client):
        first = await run(client, *[request(f"run-1-{row}") for row in rows])
        struck = {name for name, one in first.items() if one.type != "succeeded"}
        assert struck == {
            f"run-1-{row}" for row in rows if faults.fate(row, 1) not in ("succeeded", "misfit")
        }
        assert 20 < len(struck) < 120
        kinds = {one.error.error.type for one in first.values() if one.type == "errored"}
        assert kinds == {"invalid_request_error", "overloaded_error"}
        again = [request(name.replace("-1-", "-2-")) for name in struck]
        second = await run(client, *again)
        still = {name for name, one in second.items() if one.type != "succeeded"}
        assert {second[name].error.error.type for name in still} == {"invalid_request_error"}
        server.turn(healed=True)
        third = await run(client, *[request(name.replace("-2-", "-3-")) for name in still])
        assert {one.type for one in third.values()} == {"succeeded"}
        times = times_asked(server.ledger_path)
        assert sum(times.values()) == len(rows) + len(struck) + len(still)
        assert max(times.values()) == 3


async def test_a_create_whose_answer_is_lost_has_made_a_batch(tmp_path: Path) -> None:
    async with served(tmp_path, faults=Faults(lose_creates=1)) as (_, client):
        with pytest.raises(anthropic.APIConnectionError):
            await client.messages.batches.create(requests=[request("a")])
        assert len((await client.messages.batches.list()).data) == 1


async def test_an_idempotency_key_means_nothing_here(tmp_path: Path) -> None:
    async with served(tmp_path) as (_, client):
        for _ in range(2):
            await client.messages.batches.create(
                requests=[request("a")], extra_headers={"idempotency-key": "one"}
            )
        assert len((await client.messages.batches.list()).data) == 2


async def test_a_refused_create_names_the_wait_and_makes_nothing(tmp_path: Path) -> None:
    faults = Faults(refuse_creates=1, retry_after=7)
    async with served(tmp_path, faults=faults) as (server, client):
        with pytest.raises(anthropic.RateLimitError) as caught:
            await client.messages.batches.create(requests=[request("a")])
        assert caught.value.response.headers["retry-after"] == "7"
        assert times_asked(server.ledger_path) == {}
        await client.messages.batches.create(requests=[request("a")])


async def test_who_is_away_cannot_be_reached_and_works_on(tmp_path: Path) -> None:
    async with served(tmp_path) as (server, client):
        batch = await client.messages.batches.create(requests=[request("a")])
        await server.go_away()
        with pytest.raises(anthropic.APIConnectionError):
            await client.messages.batches.retrieve(batch.id)
        await server.come_back()
        assert (await ended(client, batch.id)).request_counts.succeeded == 1


async def test_siblings_answer_where_they_are_switched_on(tmp_path: Path) -> None:
    asked = request("")["params"]
    counted = {name: value for name, value in asked.items() if name != "max_tokens"}
    async with served(tmp_path / "on", live=True, count_tokens=True) as (_, client):
        said = await client.messages.create(**asked)
        assert said.content[0].text.startswith("answer ")
        assert (await client.messages.count_tokens(**counted)).input_tokens == 2
        assert MODEL in [model.id async for model in client.models.list()]
    async with served(tmp_path / "off") as (_, client):
        with pytest.raises(anthropic.NotFoundError):
            await client.messages.create(**asked)
        with pytest.raises(anthropic.NotFoundError):
            await client.messages.count_tokens(**counted)


async def test_only_the_keys_it_knows_come_in(tmp_path: Path) -> None:
    async with served(tmp_path, keys=["secret"]) as (server, client):
        with pytest.raises(anthropic.AuthenticationError, match="API key is invalid"):
            await client.messages.batches.list()
        await client.with_options(api_key="secret").messages.batches.list()
        await client.messages.batches.list(extra_headers={"x-api-key": "secret"})
        assert server.batches == {}
