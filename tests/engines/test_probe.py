"""Finding out what answers at a URL: fakes of each engine's manners, and a real llama.cpp."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from batchyard.engine import Model
from batchyard.engines.probe import detect, probe_loopback
from batchyard.errors import Misconfigured, Unavailable
from tests.tiny_model.serve import LlamaServer
from tests.upstreams.scripted import Scripted

CHAT = ("/v1/chat/completions",)


def listed(**entry: Any) -> tuple[int, object]:
    return 200, {"object": "list", "data": [{"id": "m", **entry}]}


async def test_a_server_with_both_dialects_is_asked_in_messages() -> None:
    async with Scripted() as upstream:
        found = await detect(upstream.url)
    assert found.dialect == "messages"
    assert found.url == upstream.url
    assert found.models == (Model("echo-1"),)


async def test_a_server_without_messages_is_asked_in_chat() -> None:
    async with Scripted(paths=CHAT) as upstream:
        assert (await detect(f"{upstream.url}/v1")).dialect == "chat"


async def test_a_dialect_that_was_named_is_not_second_guessed() -> None:
    async with Scripted() as upstream:
        assert (await detect(upstream.url, dialect="chat")).dialect == "chat"
    async with Scripted(paths=CHAT) as upstream:
        with pytest.raises(Misconfigured, match=r"not at /v1/messages \(POST /v1/messages → 404\)"):
            await detect(upstream.url, dialect="messages")


async def test_finding_out_makes_nothing_compute() -> None:
    async with Scripted(paths=CHAT) as upstream:
        await detect(upstream.url)
        assert [exchange.body for exchange in upstream.exchanges] == [b"{}"]
        assert upstream.exchanges[0].status == 400


async def test_a_refusal_with_a_500_still_shows_that_the_path_exists() -> None:
    """llama.cpp and transformers answer so to a request without messages."""
    async with Scripted() as upstream:
        upstream.pages["/v1/messages"] = (500, {"error": {"code": 500, "message": "required"}})
        upstream.paths = frozenset(CHAT)
        assert (await detect(upstream.url)).dialect == "messages"


async def test_a_server_that_speaks_neither_is_told_what_was_tried() -> None:
    async with Scripted(paths=()) as upstream:
        with pytest.raises(Misconfigured) as caught:
            await detect(upstream.url)
    assert caught.value.message == (
        f"{upstream.url} answers, but speaks neither the Messages API nor Chat Completions "
        "(tried POST /v1/messages → 404, POST /v1/chat/completions → 404)"
    )


async def test_a_page_for_every_path_is_no_engine() -> None:
    page = b"<!doctype html><title>App</title>"
    paths = ("/v1/messages", "/v1/chat/completions", "/v1/models")
    pages: dict[str, tuple[int, object]] = dict.fromkeys(paths, (200, page))
    async with Scripted(paths=(), pages=pages) as upstream:
        with pytest.raises(Misconfigured, match="speaks neither"):
            await detect(upstream.url)


async def test_a_key_is_offered_and_its_refusal_told() -> None:
    async with Scripted(key="sk-1") as upstream:
        assert (await detect(upstream.url, api_key="sk-1")).dialect == "messages"
        with pytest.raises(Misconfigured, match="HTTP 401"):
            await detect(upstream.url)


async def test_nobody_there_and_a_gateway_without_an_engine_are_unavailable() -> None:
    with pytest.raises(Unavailable, match="connection refused"):
        await detect("http://127.0.0.1:9")
    async with Scripted(paths=()) as upstream:
        upstream.pages["/v1/messages"] = (502, b"bad gateway")
        with pytest.raises(Unavailable, match="bad gateway"):
            await detect(upstream.url)


async def test_an_engine_that_says_nothing_is_unavailable_in_time() -> None:
    with (
        socket.create_server(("127.0.0.1", 0), backlog=5) as silent,
        pytest.raises(Unavailable, match=r"within 0\.2 s"),
    ):
        await detect(f"http://127.0.0.1:{silent.getsockname()[1]}", seconds=0.2)


@pytest.mark.parametrize(
    ("owner", "page", "software", "version"),
    [
        ("vllm", "/version", "vllm", "0.32.0"),
        ("sglang", "/get_server_info", "sglang", "0.32.0"),
        ("library", "/api/version", "ollama", "0.32.0"),
        ("nvidia", "/nothing", "dynamo", ""),
        (None, "/version", "vllm", "0.32.0"),
        (None, "/api/version", "ollama", "0.32.0"),
        ("somebody", "/nothing", "", ""),
    ],
)
async def test_software_is_known_by_its_manners(
    owner: str | None, page: str, software: str, version: str
) -> None:
    pages = {"/v1/models": listed(owned_by=owner), page: (200, {"version": "0.32.0"})}
    async with Scripted(pages=pages) as upstream:
        found = await detect(upstream.url)
    assert (found.software, found.version) == (software, version)


@pytest.mark.parametrize("answer", [(404, {}), (200, b"not json"), (500, {})])
async def test_no_list_of_models_is_no_reason_to_refuse(answer: tuple[int, object]) -> None:
    async with Scripted(pages={"/v1/models": answer}) as upstream:
        assert (await detect(upstream.url)).models == ()


async def test_a_context_is_read_from_the_list_of_models() -> None:
    pages = {"/v1/models": listed(owned_by="vllm", max_model_len=4096)}
    async with Scripted(pages=pages) as upstream:
        found = await detect(upstream.url)
    assert (found.context, found.slots) == (4096, None)


async def test_the_usual_ports_are_looked_at_together() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=5) as silent:
        async with Scripted() as engine, Scripted(paths=()) as other:
            ports = {
                engine.port: "vllm",
                9: "sglang",
                silent.getsockname()[1]: "llama.cpp",
                other.port: "ollama",
            }
            found, refused, mute, wrong = await probe_loopback(ports, seconds=0.3)
    assert found.detected is not None
    assert found.url == engine.url
    assert (refused.label, refused.reason) == ("sglang", "not running")
    assert (mute.label, mute.reason) == ("llama.cpp", "no answer in 0.3 s")
    assert "speaks neither" in wrong.reason


async def test_llama_cpp_is_known_with_its_slots_and_context(llama_server: LlamaServer) -> None:
    found = await detect(llama_server.url, api_key=llama_server.key)
    assert (found.dialect, found.software) == ("messages", "llama.cpp")
    assert [model.id for model in found.models] == [llama_server.model]
    assert found.slots is not None
    assert found.context is not None
    assert (await detect(llama_server.url, dialect="chat")).dialect == "chat"
