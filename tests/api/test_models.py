"""`/v1/models`: newest first, paged by id, aliases resolved, every stage of life accepted."""

from __future__ import annotations

import json

import pytest

from batchyard.api.context import Live
from batchyard.engine import Model
from batchyard.routing import Routing
from tests.api.conftest import Server

DAY = 86_400_000_000


def live(**options: dict[str, str]) -> Live:
    routing = Routing(["a", "b"], **options)  # type: ignore[arg-type] # only aliases are given
    routing.learn("a", [Model("old", created_at=DAY), Model("Qwen/new", created_at=9 * DAY)])
    routing.learn("b", [Model("mid", 32_768, 4_096, 5 * DAY), Model("old", created_at=DAY)])
    return Live({}, routing)


@pytest.mark.parametrize(
    ("query", "names", "more"),
    [
        ("", ["Qwen/new", "mid", "old"], False),
        ("limit=2", ["Qwen/new", "mid"], True),
        ("limit=3", ["Qwen/new", "mid", "old"], False),
        ("after_id=Qwen/new", ["mid", "old"], False),
        ("after_id=Qwen%2Fnew&limit=1", ["mid"], True),
        ("after_id=old", [], False),
        ("before_id=old", ["Qwen/new", "mid"], False),
        ("before_id=old&limit=1", ["mid"], True),
        ("before_id=Qwen/new", [], False),
        ("lifecycle%5B%5D=active&lifecycle%5B%5D=retired", ["Qwen/new", "mid", "old"], False),
        ("lifecycle[]=retired", [], False),
        ("lifecycle=deprecated", [], False),
        ("beta=true", ["Qwen/new", "mid", "old"], False),
    ],
)
async def test_pages(server: Server, query: str, names: list[str], more: bool) -> None:
    async with server.other(live=live()) as client:
        page = (await client.get(f"/v1/models?{query}")).json()
    assert [model["id"] for model in page["data"]] == names
    assert page["has_more"] is more
    assert page["first_id"] == (names[0] if names else None)
    assert page["last_id"] == (names[-1] if names else None)


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=1001", "after_id=gone", "after_id=old&before_id=mid", "lifecycle[]=dead"],
)
async def test_bad_queries_are_400(server: Server, query: str) -> None:
    async with server.other(live=live()) as client:
        assert (await client.get(f"/v1/models?{query}")).status_code == 400


async def test_one_model_has_every_field(server: Server) -> None:
    async with server.other(live=live(aliases={"house": "mid"})) as client:
        by_name, by_alias = await client.get("/v1/models/mid"), await client.get("/v1/models/house")
        slash = [(await client.get(f"/v1/models/Qwen{mark}new")).json() for mark in ("/", "%2F")]
        unknown = await client.get("/v1/models/none")
    assert by_alias.text == by_name.text
    assert json.loads(by_name.text) == {
        "id": "mid",
        "display_name": "mid",
        "created_at": "1970-01-06T00:00:00.000000+00:00",
        "max_input_tokens": 32_768,
        "max_tokens": 4_096,
        "type": "model",
        "lifecycle": "active",
        "deprecated_at": None,
        "retires_at": None,
        "line": None,
        "capabilities": None,
    }
    assert [model["id"] for model in slash] == ["Qwen/new"] * 2
    assert unknown.status_code == 404
    assert unknown.json()["error"]["message"] == "model: none"


async def test_a_name_of_claude_finds_the_only_model(server: Server) -> None:
    routing = Routing(["a"])
    routing.learn("a", [Model("only")])
    async with server.other(live=Live({}, routing)) as client:
        found = await client.get("/v1/models/claude-opus-5-5")
    assert found.json()["id"] == "only"


async def test_names_behind_a_pattern_are_found_and_not_listed(server: Server) -> None:
    routing = Routing(["hosted", "own"])
    routing.learn("hosted", [Model("claude-haiku-4-5-20251001"), Model("claude-*")])
    routing.learn("own", [Model("claude-tuned")])
    async with server.other(live=Live({}, routing)) as client:
        listed = (await client.get("/v1/models")).json()["data"]
        alias = (await client.get("/v1/models/claude-haiku-4-5")).json()
        unknown = await client.get("/v1/models/gpt-9")
    assert {model["id"] for model in listed} == {"claude-haiku-4-5-20251001", "claude-tuned"}
    assert alias["id"] == "claude-haiku-4-5"
    assert unknown.status_code == 404
    engines = {
        name: route.engines
        for name in ("claude-haiku-4-5", "claude-tuned")
        if (route := routing.resolve(name))
    }
    assert engines == {"claude-haiku-4-5": ("hosted",), "claude-tuned": ("own",)}
