"""Every row of the table of statements, and what does not fit into a row."""

from __future__ import annotations

import asyncio
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from batchyard.batches.limits import Limits
from batchyard.errors import DiskFull, StorageError, StorageFailed
from tests.api.asgi import exchange
from tests.api.conftest import Server, requests
from tests.api.statements import NONE, ROOT, ROWS, Row


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.says)
async def test_statement(server: Server, row: Row) -> None:
    names = {"none": NONE}
    wanted = row.path + json.dumps(row.wants)
    if "{open}" in wanted:
        names["open"] = await server.create()
    if "{ended}" in wanted:
        names["ended"] = await server.ended()
    if "{gone}" in wanted:
        names["gone"] = await server.ended()
        await server.client.delete(f"{ROOT}/{names['gone']}")
    content = row.body if isinstance(row.body, bytes) else None
    sent = None if content is not None else row.body

    answer = await server.client.request(
        row.method, _filled(row.path, names), json=sent, content=content, headers=row.headers
    )

    assert answer.status_code == row.status, answer.text
    assert answer.headers["request-id"].startswith("req_01")
    if row.status >= 400:
        _check_envelope(answer, {k: _filled(v, names) for k, v in row.wants.items()})
    elif row.wants:
        found = answer.json()
        assert {name: found[name] for name in row.wants} == row.wants


def _check_envelope(answer: Any, wants: dict[str, str]) -> None:
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-should-retry"] == "false"
    found = answer.json()
    assert found["type"] == "error"
    assert found["request_id"] == answer.headers["request-id"]
    for name, value in wants.items():
        start = value.removesuffix("…")
        assert found["error"][name][: len(start) if value != start else None] == start


def _filled(text: str, names: dict[str, str]) -> str:
    for name, value in names.items():
        text = text.replace(f"{{{name}}}", value)
    return text


async def test_more_requests_than_allowed_are_refused_with_their_number(server: Server) -> None:
    """1.4, 2.2: the default limit is 100,000; a smaller one has the same words."""
    async with server.other(limits=Limits(requests_max=3)) as client:
        taken = await client.post(ROOT, json=requests(3))
        refused = await client.post(ROOT, json=requests(4))
    assert taken.status_code == 200
    assert refused.status_code == 400
    assert (
        refused.json()["error"]["message"]
        == "requests: List should have at most 3 items after validation, not 4"
    )
    assert Limits().requests_max == 100_000
    assert Limits().body_bytes_max == 256 * 1024 * 1024


async def test_a_body_over_the_limit_is_413_before_it_is_read(server: Server) -> None:
    """1.4, 5.5: an early answer in the envelope."""
    async with server.other(limits=Limits(body_bytes_max=100)) as client:
        answer = await client.post(ROOT, json=requests())
    assert answer.status_code == 413
    assert answer.json()["error"]["type"] == "request_too_large"
    assert answer.json()["request_id"] == answer.headers["request-id"]


async def test_every_answer_has_the_headers_of_an_authenticated_call(server: Server) -> None:
    """1.3: request id, organization and workspace; content types always said."""
    batch_id = await server.ended()
    seen = set()
    for path in (f"{ROOT}/{batch_id}", ROOT, f"{ROOT}/{NONE}", f"{ROOT}/{batch_id}/results"):
        answer = await server.client.get(path)
        seen.add(answer.headers["request-id"])
        assert answer.headers["anthropic-workspace-id"].startswith("wrkspc_")
        assert len(answer.headers["anthropic-organization-id"]) == 36
        kind = "application/x-jsonl" if path.endswith("/results") else "application/json"
        assert answer.headers["content-type"] == kind
    assert len(seen) == 4


async def test_betas_of_all_lines_are_kept_trimmed_and_once(server: Server) -> None:
    """1.2: repeated header lines and comma lists mean the same."""
    answer = await server.client.post(
        ROOT,
        json=requests(),
        headers=[("anthropic-beta", "a-1, b-2 ,a-1"), ("anthropic-beta", "c-3,,")],
    )
    unfinished = await server.store.unfinished()
    assert unfinished[0].id == answer.json()["id"]
    assert unfinished[0].betas == ("a-1", "b-2", "c-3")


async def test_the_version_of_the_create_call_stays_with_the_batch(server: Server) -> None:
    for version in ("2023-06-01", "2026-10-21"):
        answer = await server.client.post(
            ROOT, json=requests(), headers={"anthropic-version": version}
        )
        batches = {batch.id: batch for batch in await server.store.unfinished()}
        assert batches[answer.json()["id"]].api_version == version


async def test_dispatch_is_told_of_every_wish(server: Server) -> None:
    open_, ended = await server.create(), await server.ended()
    server.told.clear()
    await server.client.post(f"{ROOT}/{open_}/cancel")
    await server.client.delete(f"{ROOT}/{ended}")
    await server.client.get(f"{ROOT}/{open_}")
    assert server.told == [open_, ended]


async def test_a_create_that_is_cut_off_leaves_nothing(server: Server, tmp_path: Path) -> None:
    gone = asyncio.Event()
    gone.set()
    body = json.dumps(requests()).encode()
    done = await exchange(
        server.app(), "POST", ROOT, chunks=[body[:20], body[20:40]], hang_up=gone, whole=False
    )
    assert (done.sent, done.raised) == ([], None)
    assert await server.store.unfinished() == []
    assert [path for path in (tmp_path / "data").rglob("*.body") if path.is_file()] == []


@pytest.mark.parametrize(
    ("fault", "code", "words"),
    [
        (DiskFull("no room in /secret"), "disk_full", "disk is full; nothing was stored"),
        (StorageFailed("EIO on /secret"), "storage_failed", "nothing was acknowledged"),
    ],
)
async def test_a_create_on_a_failing_disk_is_503_at_once(
    server: Server, fault: StorageError, code: str, words: str
) -> None:
    class Failing:
        def spool(self) -> None:
            raise fault

    async with server.other(store=Failing()) as client:
        answer = await client.post(ROOT, json=requests())
    assert answer.status_code == 503
    assert answer.json()["error"]["type"] == "api_error"
    assert answer.json()["error"]["details"]["error_code"] == code
    assert words in answer.json()["error"]["message"]
    assert "secret" not in answer.text
    assert int(answer.headers["retry-after"]) >= 1


async def test_a_gzipped_create_is_taken_under_the_same_limit(server: Server) -> None:
    packed = gzip.compress(json.dumps(requests(50)).encode())
    headers = {"content-encoding": "gzip"}
    made = await server.client.post(ROOT, content=packed, headers=headers)
    assert made.json()["request_counts"]["processing"] == 50
    async with server.other(limits=Limits(body_bytes_max=1_000)) as client:
        refused = await client.post(ROOT, content=packed, headers=headers)
    assert refused.status_code == 413
    assert refused.json()["error"]["details"]["error_code"] == (
        "request_body_too_large_after_decoding"
    )
