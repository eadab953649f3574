"""A real engine: llama.cpp with a tiny model made on the spot, inside the server and over HTTP."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

import pytest

from tests.live.conftest import Serve
from tests.live.harness.calls import Calls, request
from tests.live.harness.serving import Server
from tests.live.harness.waiting import eventually
from tests.tiny_model import tiny_gguf
from tests.tiny_model.serve import LlamaServer, serving

pytestmark = pytest.mark.timeout(180)

GROUPS, EACH = 8, 20
CACHED_SHARE = 0.9


def interleaved(model: str) -> list[dict[str, Any]]:
    """Eight long system prompts, each asked twenty times, in the worst order for a cache."""
    dice = random.Random(8)
    words = ("review", "battery", "screen", "support", "price", "colour", "delivery", "camera")
    prompts = [
        f"Rules {group}. " + " ".join(dice.choice(words) for _ in range(420))
        for group in range(GROUPS)
    ]
    return [
        request(
            f"g{group}-{number}",
            f"Label review {number}.",
            model=model,
            max_tokens=8,
            system=prompts[group],
            temperature=0,
        )
        for number in range(EACH)
        for group in range(GROUPS)
    ]


def cached_share(results: dict[str, Any]) -> float:
    """Prompt tokens that the engine did not have to compute, by its own count in each answer."""
    cached = total = 0
    for result in results.values():
        usage = result["message"]["usage"]
        read = usage.get("cache_read_input_tokens") or 0
        cached += read
        total += read + usage["input_tokens"] + (usage.get("cache_creation_input_tokens") or 0)
    return cached / total


@pytest.fixture(scope="module")
def one_slot() -> Iterator[LlamaServer]:
    with serving(slots=1, context=4096, cache_ram=0) as upstream:
        yield upstream


def run(server: Server, requests: list[dict[str, Any]]) -> dict[str, Any]:
    calls = Calls(server.url)
    try:
        return calls.run(requests, within=120)
    finally:
        calls.close()


def served(server: Server) -> str:
    """The name of the only model, once the engine has told it."""

    def look() -> str:
        models = server.calls.ask("GET", "/v1/models").json["data"]
        name: str = models[0]["id"] if models else ""
        return name

    return eventually(look, within=20)


@pytest.mark.parametrize("dialect", ["anthropic", "openai"])
def test_over_http_a_batch_reaches_the_engine_in_prefix_order(
    serve: Serve, one_slot: LlamaServer, dialect: str
) -> None:
    before = one_slot.counters()
    server = serve("--engine", f"{dialect}+{one_slot.url};concurrency=1")
    results = run(server, interleaved(one_slot.model))
    assert {result["type"] for result in results.values()} == {"succeeded"}
    counted = one_slot.counters()
    cached = counted["prompt_tokens_cached_total"] - before["prompt_tokens_cached_total"]
    computed = counted["prompt_tokens_total"] - before["prompt_tokens_total"]
    assert cached / (cached + computed) >= CACHED_SHARE, (cached, computed)
    assert cached_share(results) >= CACHED_SHARE


def test_inside_the_server_a_batch_reaches_the_engine_in_prefix_order(serve: Serve) -> None:
    server = serve("--engine", f"llama:{tiny_gguf()},slots=1,context=4096,cache_ram=0")
    model = served(server)
    results = run(server, interleaved(model))
    assert {result["type"] for result in results.values()} == {"succeeded"}
    assert cached_share(results) >= CACHED_SHARE


def test_every_way_in_gives_the_same_text(serve: Serve, one_slot: LlamaServer) -> None:
    """The model is deterministic: a lost, swapped or cut answer would be another text."""
    asked = [
        request(f"r-{n}", f"Say something about {n}.", model="m", max_tokens=24, temperature=0)
        for n in range(40)
    ]
    texts = []
    for engine in (
        f"anthropic+{one_slot.url};concurrency=2",
        f"openai+{one_slot.url};concurrency=2",
        f"llama:{tiny_gguf()},slots=1,context=4096,cache_ram=0",
    ):
        server = serve("--engine", engine)
        model = served(server)
        for entry in asked:
            entry["params"]["model"] = model
        results = run(server, asked)
        texts.append(
            {
                custom_id: (
                    "".join(block["text"] for block in result["message"]["content"]).strip(),
                    result["message"]["stop_reason"],
                )
                for custom_id, result in results.items()
            }
        )
        assert server.stop() == 0
    assert len({text for text, _ in texts[0].values()}) > 30, "answers depend on the prompt"
    assert {stop for _, stop in texts[0].values()} <= {"end_turn", "max_tokens"}
    for other in texts[1:]:
        same = sum(other[custom_id] == said for custom_id, said in texts[0].items())
        assert same >= 38, {c: (texts[0][c], other[c]) for c in other if other[c] != texts[0][c]}


def test_live_calls_reach_the_engine_inside_the_dispatch_process(serve: Serve) -> None:
    server = serve("--engine", f"llama:{tiny_gguf()}")
    model = served(server)
    ask = request("x", "hello there", model=model, max_tokens=8)["params"]
    whole = server.calls.ask("POST", "/v1/messages", json.dumps(ask).encode())
    assert whole.status == 200, whole
    assert whole.json["content"][0]["text"]
    events = server.calls.ask("POST", "/v1/messages", json.dumps({**ask, "stream": True}).encode())
    assert events.headers["content-type"].startswith("text/event-stream")
    assert b"event: message_stop" in events.body
    counted = server.calls.ask("POST", "/v1/messages/count_tokens", json.dumps(ask).encode())
    assert counted.json["input_tokens"] > 0
