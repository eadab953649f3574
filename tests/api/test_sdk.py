"""The official Python SDK as the client, in its strictest mood, sync calls being the same wire."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anthropic
import pytest
from anthropic import AsyncAnthropic
from anthropic.types.messages import MessageBatchIndividualResponse
from pydantic import TypeAdapter

from batchyard.engine import Model
from tests.api.conftest import BASE, Server, client_of, requests
from tests.api.ending import settle

_line = TypeAdapter(MessageBatchIndividualResponse)


def sdk_of(server: Server, **options: Any) -> AsyncAnthropic:
    return AsyncAnthropic(
        api_key="local",
        base_url=BASE,
        max_retries=0,
        http_client=client_of(server.app()),
        _strict_response_validation=True,
        **options,
    )


@pytest.fixture
async def sdk(server: Server) -> AsyncIterator[AsyncAnthropic]:
    async with sdk_of(server) as client:
        yield client


@pytest.fixture(params=["ga", "beta"])
def batches(request: pytest.FixtureRequest, sdk: AsyncAnthropic) -> Any:
    return sdk.messages.batches if request.param == "ga" else sdk.beta.messages.batches


async def test_the_whole_life_of_a_batch(server: Server, batches: Any) -> None:
    created = await batches.create(**requests(3))
    assert created.processing_status == "in_progress"
    assert created.request_counts.processing == 3
    assert created._request_id.startswith("req_01")
    await settle(server.store, created.id)

    ended = await batches.retrieve(created.id)
    assert (ended.processing_status, ended.request_counts.succeeded) == ("ended", 3)
    assert (ended.expires_at - ended.created_at).total_seconds() == 24 * 3600
    lines = [line async for line in await batches.results(created.id)]
    assert sorted(line.custom_id for line in lines) == ["r-0", "r-1", "r-2"]
    assert {line.result.message.usage.service_tier for line in lines} == {"batch"}

    gone = await batches.delete(created.id)
    assert (gone.id, gone.type) == (created.id, "message_batch_deleted")
    with pytest.raises(anthropic.NotFoundError):
        await batches.retrieve(created.id)


async def test_every_outcome_passes_strict_validation(server: Server) -> None:
    outcomes = {"r-0": "succeeded", "r-1": "errored", "r-2": "canceled", "r-3": "expired"}
    batch_id = await server.create(4)
    await settle(server.store, batch_id, choose=outcomes.__getitem__)  # type: ignore[arg-type] # str is fine
    answer = await server.client.get(f"/v1/messages/batches/{batch_id}/results")
    seen = [_line.validate_json(line, strict=False) for line in answer.content.splitlines()]
    assert {each.custom_id: each.result.type for each in seen} == outcomes


async def test_both_ways_through_the_list(server: Server, batches: Any) -> None:
    """Walking back goes block by block, each block newest first."""
    six = [await server.create() for _ in range(6)][::-1]
    forward = [batch.id async for batch in await batches.list(limit=2)]
    assert forward == six
    backward = [batch.id async for batch in await batches.list(limit=2, before_id=six[5])]
    assert backward == [six[3], six[4], six[1], six[2], six[0]]


async def test_cancel(server: Server, batches: Any) -> None:
    canceling = await batches.cancel(await server.create())
    assert canceling.processing_status == "canceling"
    assert canceling.cancel_initiated_at == canceling.created_at


async def test_results_before_the_end_are_refused_by_the_sdk_itself(
    server: Server, batches: Any
) -> None:
    with pytest.raises(anthropic.AnthropicError, match="results_url"):
        await batches.results(await server.create())


async def test_errors_carry_class_type_and_id(server: Server, sdk: AsyncAnthropic) -> None:
    with pytest.raises(anthropic.BadRequestError) as bad:
        await sdk.messages.batches.create(requests=[])
    assert bad.value.type == "invalid_request_error"
    assert bad.value.request_id is not None
    assert bad.value.request_id.startswith("req_01")
    with pytest.raises(anthropic.NotFoundError) as missing:
        await sdk.messages.batches.retrieve("msgbatch_nope")
    assert missing.value.type == "not_found_error"
    async with sdk_of(server, default_headers={"anthropic-version": "1999-01-01"}) as old:
        with pytest.raises(anthropic.BadRequestError, match="unknown_version"):
            await old.messages.batches.list()


async def test_a_stranger_is_told_401(server: Server) -> None:
    http = client_of(server.app(auth_required=True))
    async with AsyncAnthropic(api_key="x", base_url=BASE, max_retries=0, http_client=http) as sdk:
        with pytest.raises(anthropic.AuthenticationError, match="API key is invalid"):
            await sdk.messages.batches.list()


async def test_models(server: Server, sdk: AsyncAnthropic) -> None:
    served = [Model("qwen/one", 32_768, 4_096, created_at=5_000_000), Model("two")]
    server.context.live.routing.learn("e", served)
    listed = [model async for model in await sdk.models.list(limit=1, lifecycle=["active"])]
    assert [model.id for model in listed] == ["qwen/one", "two"]
    assert (listed[0].max_input_tokens, listed[0].max_tokens) == (32_768, 4_096)
    assert listed[1].created_at.year == 1970
    assert (await sdk.models.retrieve("qwen/one")).id == "qwen/one"
    with pytest.raises(anthropic.NotFoundError):
        await sdk.models.retrieve("three")
