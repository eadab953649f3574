"""What a naive server gets wrong, one test per trap, numbered as the description of the API does.

Traps that need a socket (6, 31, the transport half of 7 and 22) are sprung on a live server in
`tests/live`; what happens inside `params` (10, 21) is judged by `batches` and `dispatch`.
"""

from __future__ import annotations

import json
from pathlib import Path

from batchyard.batches.limits import Limits
from batchyard.store.store import open_store
from tests.api.asgi import exchange
from tests.api.conftest import Server, requests
from tests.api.ending import settle

ROOT = "/v1/messages/batches"
KEYS = [
    "id",
    "type",
    "processing_status",
    "request_counts",
    "ended_at",
    "created_at",
    "expires_at",
    "archived_at",
    "cancel_initiated_at",
    "results_url",
]


async def test_01_both_generations_of_clients_get_in(server: Server) -> None:
    secret = server.store.keys.create("test")[1]
    older = {"x-api-key": secret, "anthropic-version": "2023-06-01"}
    newer = {"authorization": f"Bearer {secret}", "anthropic-version": "2026-10-21"}
    for headers in (older, newer):
        assert (await server.client.get(ROOT, headers=headers)).status_code == 200


async def test_02_versions_betas_and_odd_sdk_headers_are_tolerated(server: Server) -> None:
    for version in ("2023-06-01", "2026-10-21"):
        headers = {
            "anthropic-version": version,
            "anthropic-beta": "made-up-2040-01-01",
            "x-stainless-timeout": "NOT_GIVEN",
        }
        made = await server.client.post(f"{ROOT}?beta=true", json=requests(), headers=headers)
        assert made.status_code == 200


async def test_03_every_beta_line_counts_and_is_trimmed(server: Server) -> None:
    lines = [("anthropic-beta", " a ,b"), ("anthropic-beta", "c ")]
    await server.client.post(ROOT, json=requests(), headers=lines)
    assert (await server.store.unfinished())[0].betas == ("a", "b", "c")


async def test_04_params_are_not_judged_at_create(server: Server) -> None:
    bad = ({}, {"messages": 5}, {"stream": True}, {"max_tokens": 0}, {"x": [None]}, {"model": ""})
    body = requests(100)
    body["requests"] += [{"custom_id": f"bad-{i}", "params": p} for i, p in enumerate(bad)]
    made = await server.client.post(ROOT, json=body)
    assert made.status_code == 200
    assert made.json()["request_counts"]["processing"] == 100 + len(bad)


async def test_05_a_bad_envelope_refuses_the_whole_batch_and_keeps_nothing(
    server: Server, tmp_path: Path
) -> None:
    good = requests(50)["requests"]
    for bad in (
        [*good, {"custom_id": "r-0", "params": {}}],
        [*good, {"params": {}}],
        [*good, {"custom_id": "x y", "params": {}}],
        [],
    ):
        refused = await server.client.post(ROOT, json={"requests": bad})
        assert refused.status_code == 400
    async with server.other(limits=Limits(requests_max=49)) as client:
        assert (await client.post(ROOT, json={"requests": good})).status_code == 400
    assert await server.store.unfinished() == []
    kept = [path for path in (tmp_path / "data").rglob("*") if "body" in path.name]
    assert kept == []


async def test_07_too_large_is_told_in_the_envelope(server: Server) -> None:
    limits = Limits(body_bytes_max=1_000)
    body = json.dumps(requests(50)).encode()
    announced = [("content-length", str(len(body)))]
    for headers in (announced, []):
        done = await exchange(
            server.app(limits=limits),
            "POST",
            ROOT,
            headers=headers,
            chunks=[body[i : i + 100] for i in range(0, len(body), 100)],
        )
        assert done.status == 413
        error = json.loads(done.body)
        assert error["error"]["type"] == "request_too_large"
        assert error["request_id"] == done.headers["request-id"]


async def test_08_create_answers_200_once_the_batch_is_durable(
    server: Server, tmp_path: Path
) -> None:
    made = await server.client.post(ROOT, json=requests(3))
    assert made.status_code == 200
    assert made.json()["request_counts"] == {
        "processing": 3,
        "succeeded": 0,
        "errored": 0,
        "canceled": 0,
        "expired": 0,
    }
    other_process = open_store(tmp_path / "data", server.clock)
    found = await other_process.batch("wrkspc_default", made.json()["id"])
    await other_process.close()
    assert found.requests == 3


async def test_09_an_sdks_retry_of_create_is_the_same_batch(server: Server) -> None:
    async def create(count: int, **headers: str) -> str:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        made = await server.client.post(ROOT, json=requests(count), headers=named)
        assert made.status_code == 200
        batch_id: str = made.json()["id"]
        return batch_id

    first = await create(2, x_stainless_retry_count="0")
    assert await create(2, x_stainless_retry_count="1") == first
    assert await create(2, x_stainless_retry_count="2") == first
    assert await create(3, x_stainless_retry_count="1") != first
    assert await create(2, x_stainless_retry_count="0") != first
    server.clock.jump(16 * 60)
    assert await create(2, x_stainless_retry_count="1") != first


async def test_09_an_idempotency_key_stands_for_one_batch(server: Server) -> None:
    key = {"idempotency-key": "k-1"}
    first = await server.client.post(ROOT, json=requests(2), headers=key)
    server.clock.jump(23 * 3600)
    again = await server.client.post(ROOT, json=requests(2), headers=key)
    assert again.json()["id"] == first.json()["id"]
    other = await server.client.post(ROOT, json=requests(3), headers=key)
    assert other.status_code == 400
    assert other.json()["error"]["details"]["error_code"] == "idempotency_key_reused"
    for bad in ("", "k" * 256):
        refused = await server.client.post(ROOT, json=requests(), headers={"idempotency-key": bad})
        assert refused.status_code == 400


async def test_10_what_clients_send_by_default_is_taken(server: Server) -> None:
    made = await server.client.post(
        ROOT,
        json=requests(
            1,
            max_tokens=128_000,
            stream=False,
            temperature=0.1,
            tool_choice={"type": "auto"},
            tools=[{"name": "t", "input_schema": {"type": "object"}}],
            service_tier="auto",
            metadata={"user_id": "u"},
            inference_geo=None,
            cache_control={"type": "ephemeral"},
            messages=[{"role": "user", "content": [{"type": "text", "text": "Hi"}]}],
        ),
    )
    assert made.status_code == 200


async def test_11_cancel_and_delete_take_any_body(server: Server) -> None:
    json_type = {"content-type": "application/json"}
    for content in (b"", b"{}", b"null", b"\x00"):
        for headers in ({}, json_type):
            batch_id = await server.create()
            path = f"{ROOT}/{batch_id}"
            done = await server.client.post(f"{path}/cancel", content=content, headers=headers)
            assert done.status_code == 200
            await settle(server.store, batch_id, choose=lambda _: "canceled")
            gone = await server.client.request("DELETE", path, content=content, headers=headers)
            assert gone.status_code == 200


async def test_12_every_key_is_always_there(server: Server) -> None:
    open_, ended = await server.create(), await server.ended()
    canceling = (await server.client.post(f"{ROOT}/{await server.create()}/cancel")).json()["id"]
    for batch_id in (open_, ended, canceling):
        shown = (await server.client.get(f"{ROOT}/{batch_id}")).json()
        assert list(shown) == KEYS
        assert len(shown["request_counts"]) == 5
    assert all(list(b) == KEYS for b in (await server.client.get(ROOT)).json()["data"])


async def test_13_ended_comes_with_everything_that_belongs_to_it(server: Server) -> None:
    batch_id = await server.create(5)
    await server.client.post(f"{ROOT}/{batch_id}/cancel")
    statuses = []
    for _ in range(6):
        shown = (await server.client.get(f"{ROOT}/{batch_id}")).json()
        statuses.append(shown["processing_status"])
        ended = shown["processing_status"] == "ended"
        assert (shown["ended_at"] is not None) is ended
        assert (shown["results_url"] is not None) is ended
        results = await server.client.get(f"{ROOT}/{batch_id}/results")
        assert results.status_code == (200 if ended else 404)
        if not ended:
            await settle(server.store, batch_id, count=1, choose=lambda _: "canceled")
    assert statuses == ["canceling"] * 5 + ["ended"]


async def test_14_counts_always_sum_to_the_total(server: Server) -> None:
    batch_id = await server.create(7)
    seen = []
    for outcome in ("succeeded", "errored", "canceled", "expired", "succeeded"):
        await settle(server.store, batch_id, count=1, choose=lambda _, o=outcome: o)  # type: ignore[misc] # bound now
        counts = (await server.client.get(f"{ROOT}/{batch_id}")).json()["request_counts"]
        assert sum(counts.values()) == 7
        seen.append(counts)
    assert seen[-1] == {
        "processing": 2,
        "succeeded": 2,
        "errored": 1,
        "canceled": 1,
        "expired": 1,
    }


async def test_15_results_url_is_made_from_each_request(server: Server) -> None:
    batch_id = await server.ended()
    for host in ("one.example", "two.example:81"):
        shown = await server.client.get(f"{ROOT}/{batch_id}", headers={"host": host})
        assert shown.json()["results_url"] == f"http://{host}{ROOT}/{batch_id}/results"


async def test_16_the_results_path_works_without_the_url(server: Server) -> None:
    """Also under names that SDKs percent-encode."""
    batch_id = await server.ended()
    direct = await server.client.get(f"{ROOT}/{batch_id}/results")
    assert direct.status_code == 200
    assert len(direct.content.splitlines()) == 2
