"""The probes: what they say to load balancers, to programs, and to people."""

from __future__ import annotations

import shutil
from collections import namedtuple

import pytest

from batchyard.api import ops
from batchyard.engine import Model
from batchyard.store.store import EngineReport
from tests.api.conftest import Server

JSON = {"accept": "application/json"}
Usage = namedtuple("Usage", "total used free")


def report(server: Server, **changes: object) -> EngineReport:
    known = {
        "name": "vllm",
        "kind": "messages",
        "url": "http://localhost:8000",
        "state": "up",
        "reason": "",
        "since": server.clock.now(),
        "in_flight": 12,
        "limit": 64,
        "models": (Model("qwen3"), Model("llama")),
        "updated_at": server.clock.now(),
    }
    return EngineReport(**{**known, **changes})  # type: ignore[arg-type] # the test's own words


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/health"])
async def test_a_healthy_server_says_ok(server: Server, path: str) -> None:
    plain = await server.client.get(path)
    assert (plain.status_code, plain.text) == (200, "ok\n")
    assert plain.headers["content-type"].startswith("text/plain")
    as_json = await server.client.get(path, headers=JSON)
    assert as_json.json() == {"status": "ok", "version": "9.9.9"}
    assert "anthropic-workspace-id" not in plain.headers


async def test_the_verbose_page_tells_every_check_and_engine(server: Server) -> None:
    paused = report(
        server, name="hosted", kind="anthropic", url="", state="paused", reason="401: invalid key"
    )
    await server.store.report_engines([report(server), paused])
    answer = await server.client.get("/readyz?verbose", headers=JSON)
    page = answer.json()
    assert (answer.status_code, page["status"], page["version"]) == (200, "ok", "9.9.9")
    assert [check["name"] for check in page["checks"]] == ["catalog", "disk", "dispatch"]
    assert all(check["ok"] for check in page["checks"])
    assert page["checks"][1]["free_bytes"] > 0
    engines = {engine["name"]: engine for engine in page["engines"]}
    assert engines["vllm"] == {
        "name": "vllm",
        "kind": "messages",
        "url": "http://localhost:8000",
        "state": "up",
        "reason": "",
        "since": "2025-10-09T08:53:20.000000+00:00",
        "in_flight": 12,
        "limit": 64,
        "models": ["qwen3", "llama"],
    }
    text = (await server.client.get("/readyz?verbose")).text
    assert "[+] engine vllm (messages at http://localhost:8000) up; 12 of 64 in flight" in text
    assert "[-] engine hosted (anthropic) paused: 401: invalid key;" in text
    assert text.endswith("batchyard 9.9.9: ok\n")


async def test_a_silent_dispatch_process_is_mentioned_but_creates_go_on(server: Server) -> None:
    await server.store.report_engines([report(server)])
    server.clock.jump(ops.SILENT_SECONDS + 5)
    answer = await server.client.get("/readyz?verbose")
    assert answer.status_code == 200
    assert "[-] dispatch silent for 35 s; work waits" in answer.text


async def test_a_full_disk_makes_the_server_unready(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**9, 10**9, 1_000))
    for path in ("/readyz", "/health", "/readyz?verbose"):
        assert (await server.client.get(path)).status_code == 503
    assert (await server.client.get("/livez")).status_code == 200
    page = (await server.client.get("/readyz?verbose", headers=JSON)).json()
    assert page["status"] == "failed"
    assert page["checks"][1] == {
        "name": "disk",
        "ok": False,
        "detail": "0.0 GiB free",
        "free_bytes": 1_000,
    }


async def test_an_unreadable_catalog_makes_the_server_unready(server: Server) -> None:
    class Broken:
        async def engine_reports(self) -> None:
            raise OSError("secret path")

    async with server.other(store=Broken()) as client:
        short, page = await client.get("/readyz"), await client.get("/readyz?verbose")
        assert (short.status_code, page.status_code) == (503, 503)
        assert "[-] catalog" in page.text
        assert "secret" not in page.text
        assert (await client.get("/livez")).status_code == 200


async def test_only_key_holders_see_the_verbose_page(server: Server) -> None:
    secret = server.store.keys.create("test")[1]
    async with server.other(auth_required=True) as client:
        assert (await client.get("/readyz?verbose")).status_code == 401
        assert (await client.get("/readyz")).status_code == 200
        shown = await client.get("/readyz?verbose", headers={"x-api-key": secret})
        assert shown.status_code == 200
