"""Bytes as clients see them: the batch object, pages, errors, result lines. A change here is a
change of the API."""

from __future__ import annotations

import httpx2

from batchyard.api.context import Compat
from tests.api.conftest import Server
from tests.api.ending import settle

ROOT = "/v1/messages/batches"
CREATED = "2025-10-09T08:53:20.000000+00:00"
EXPIRES = "2025-10-10T08:53:20.000000+00:00"


def bare(answer: httpx2.Response, *ids: str) -> str:
    """The body with ids that differ from run to run named by their place."""
    text = answer.text.replace(answer.headers["request-id"], "REQUEST")
    for number, batch_id in enumerate(ids):
        text = text.replace(batch_id, f"ID{number}")
    return text


def batch(status: str, counts: str, *, ended: str, cancel: str = "null", url: str = "null") -> str:
    return (
        f'{{"id":"ID0","type":"message_batch","processing_status":"{status}",'
        f'"request_counts":{{{counts}}},"ended_at":{ended},"created_at":"{CREATED}",'
        f'"expires_at":"{EXPIRES}","archived_at":null,"cancel_initiated_at":{cancel},'
        f'"results_url":{url}}}'
    )


async def test_a_new_batch(server: Server) -> None:
    batch_id = await server.create(3)
    counts = '"processing":3,"succeeded":0,"errored":0,"canceled":0,"expired":0'
    answer = await server.client.get(f"{ROOT}/{batch_id}")
    assert bare(answer, batch_id) == batch("in_progress", counts, ended="null")


async def test_a_running_batch_shows_its_progress(server: Server) -> None:
    batch_id = await server.create(3)
    await settle(server.store, batch_id, count=1)
    answer = await server.client.get(f"{ROOT}/{batch_id}")
    counts = '"processing":2,"succeeded":1,"errored":0,"canceled":0,"expired":0'
    assert bare(answer, batch_id) == batch("in_progress", counts, ended="null")


async def test_counts_as_documented_move_only_at_the_end(server: Server) -> None:
    batch_id = await server.create(3)
    await settle(server.store, batch_id, count=1)
    async with server.other(compat=Compat(documented_counts=True)) as client:
        counts = '"processing":3,"succeeded":0,"errored":0,"canceled":0,"expired":0'
        running = await client.get(f"{ROOT}/{batch_id}")
        assert bare(running, batch_id) == batch("in_progress", counts, ended="null")
        await settle(server.store, batch_id)
        ended = (await client.get(f"{ROOT}/{batch_id}")).json()
    assert ended["processing_status"] == "ended"
    assert ended["request_counts"]["succeeded"] == 3


async def test_a_canceling_batch(server: Server) -> None:
    batch_id = await server.create(3)
    server.clock.jump(1.5)
    counts = '"processing":3,"succeeded":0,"errored":0,"canceled":0,"expired":0'
    cancel = '"2025-10-09T08:53:21.500000+00:00"'
    first = await server.client.post(f"{ROOT}/{batch_id}/cancel")
    assert bare(first, batch_id) == batch("canceling", counts, ended="null", cancel=cancel)
    server.clock.jump(60)
    again = await server.client.post(f"{ROOT}/{batch_id}/cancel")
    assert again.text == first.text


async def test_an_ended_batch(server: Server) -> None:
    batch_id = await server.create(3)
    server.clock.jump(90)
    outcomes = {"r-0": "succeeded", "r-1": "errored", "r-2": "expired"}
    await settle(server.store, batch_id, choose=outcomes.__getitem__)  # type: ignore[arg-type] # str is fine
    answer = await server.client.get(f"{ROOT}/{batch_id}")
    counts = '"processing":0,"succeeded":1,"errored":1,"canceled":0,"expired":1'
    assert bare(answer, batch_id) == batch(
        "ended",
        counts,
        ended='"2025-10-09T08:54:50.000000+00:00"',
        url='"http://batches.test:8484/v1/messages/batches/ID0/results"',
    )


async def test_an_archived_batch(server: Server) -> None:
    batch_id = await server.ended()
    server.clock.jump(29 * 24 * 3600)
    await server.store.archive(batch_id)
    shown = (await server.client.get(f"{ROOT}/{batch_id}")).json()
    assert shown["archived_at"] == "2025-11-07T08:53:20.000000+00:00"
    assert shown["results_url"] is None
    assert shown["processing_status"] == "ended"
    assert shown["request_counts"]["succeeded"] == 2
    results = await server.client.get(f"{ROOT}/{batch_id}/results")
    assert results.status_code == 404
    assert results.json()["error"]["type"] == "not_found_error"
    assert "2025-11-07" in results.json()["error"]["message"]


async def test_a_page(server: Server) -> None:
    older, newer = await server.create(), await server.create()
    page = await server.client.get(f"{ROOT}?limit=1")
    assert page.text.startswith(f'{{"data":[{{"id":"{newer}",')
    assert bare(page, newer).endswith('],"has_more":true,"first_id":"ID0","last_id":"ID0"}')
    page = await server.client.get(f"{ROOT}?limit=1&after_id={newer}")
    assert bare(page, older).endswith('],"has_more":false,"first_id":"ID0","last_id":"ID0"}')


async def test_an_empty_page(server: Server) -> None:
    empty = '{"data":[],"has_more":false,"first_id":null,"last_id":null}'
    assert (await server.client.get(ROOT)).text == empty
    assert (await server.client.get("/v1/models")).text == empty


async def test_a_deleted_batch(server: Server) -> None:
    batch_id = await server.ended()
    answer = await server.client.delete(f"{ROOT}/{batch_id}")
    assert bare(answer, batch_id) == '{"id":"ID0","type":"message_batch_deleted"}'


async def test_errors(server: Server) -> None:
    missing = await server.client.get(f"{ROOT}/x")
    assert bare(missing) == (
        '{"type":"error","error":{"type":"not_found_error","message":"Message Batch x not found.",'
        '"details":{"error_code":"not_found"}},"request_id":"REQUEST"}'
    )
    async with server.other(auth_required=True) as client:
        locked = await client.get(ROOT, headers={"x-api-key": "sk-wrong"})
    assert bare(locked) == (
        '{"type":"error","error":{"type":"authentication_error","message":"API key is invalid.",'
        '"details":{"error_code":"authentication_failed"}},"request_id":"REQUEST"}'
    )
    verb = await server.client.put(ROOT)
    assert verb.headers["allow"] == "GET, POST, HEAD"
    assert bare(verb) == (
        '{"type":"error","error":{"type":"invalid_request_error","message":"PUT is not possible at '
        '/v1/messages/batches. Use GET, POST, HEAD. [method_not_allowed]",'
        '"details":{"error_code":"method_not_allowed"}},"request_id":"REQUEST"}'
    )


async def test_result_lines(server: Server) -> None:
    outcomes = {"r-0": "succeeded", "r-1": "errored", "r-2": "canceled", "r-3": "expired"}
    batch_id = await server.create(4)
    await settle(server.store, batch_id, choose=outcomes.__getitem__)  # type: ignore[arg-type] # str is fine
    answer = await server.client.get(f"{ROOT}/{batch_id}/results")
    assert answer.headers["content-length"] == str(len(answer.content))
    message = (
        '{"id":"msg_01","type":"message","role":"assistant","model":"tiny","content":[{"type":"text",'
        '"text":"hello"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":3,'
        '"output_tokens":5,"service_tier":"batch"}}'
    )
    error = (
        '{"type":"error","error":{"type":"invalid_request_error",'
        '"message":"messages: Field required"},"request_id":null}'
    )
    assert sorted(answer.text.splitlines(keepends=True)) == [
        f'{{"custom_id":"r-0","result":{{"type":"succeeded","message":{message}}}}}\n',
        f'{{"custom_id":"r-1","result":{{"type":"errored","error":{error}}}}}\n',
        '{"custom_id":"r-2","result":{"type":"canceled"}}\n',
        '{"custom_id":"r-3","result":{"type":"expired"}}\n',
    ]
