"""Lists of models in the shapes of both dialects, and the limits engines put in them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from batchyard.clock import SECOND
from batchyard.engine import Model
from batchyard.engines.anthropic import MessagesEngine, listed_models
from batchyard.engines.translate import models_of
from tests.upstreams.scripted import Scripted


def born(seconds: int) -> Model:
    return Model("m", created_at=seconds * SECOND)


@pytest.mark.parametrize(
    ("entry", "model"),
    [
        ({"id": "m"}, Model("m")),
        ({"id": "m", "max_model_len": 4096, "owned_by": "vllm"}, Model("m", 4096, 4096)),
        ({"id": "m", "meta": {"n_ctx": 2048, "n_ctx_train": 8192}}, Model("m", 2048)),
        ({"id": "m", "context_length": 512}, Model("m", 512)),
        ({"id": "m", "max_input_tokens": 9_000, "max_tokens": 800}, Model("m", 9_000, 800)),
        ({"id": "m", "created_at": "2026-03-01T00:00:00Z"}, born(1_772_323_200)),
        ({"id": "m", "created": 1_700_000_000}, born(1_700_000_000)),
        ({"id": "m", "created": 1, "owned_by": "llamacpp"}, Model("m")),
        ({"id": "m", "created": 1_700_000_000_000}, Model("m")),
        ({"id": "m", "created": 10**30, "max_tokens": 10**30}, Model("m")),
        ({"id": "m", "created_at": "0001-01-01T00:00:00"}, Model("m")),
        ({"id": "m", "created_at": "9999-12-31T23:59:59-12:00"}, Model("m")),
        ({"id": "m", "created_at": "yesterday", "max_tokens": "many"}, Model("m")),
    ],
)
def test_limits_are_read_where_engines_put_them(entry: dict[str, Any], model: Model) -> None:
    assert listed_models(json.dumps({"data": [entry]}).encode()) == [model]
    assert listed_models(json.dumps([entry]).encode()) == [model]


@pytest.mark.parametrize("body", [b"", b"no", b"{}", b'{"data":5}', b'{"data":[5,{"id":7}]}'])
def test_a_list_that_is_none_lists_nothing(body: bytes) -> None:
    assert listed_models(body) == []


@pytest.mark.parametrize(
    ("told", "model"),
    [
        ({"created": 1e300}, Model("m")),
        ({"created": 1_700_000_000_000}, Model("m")),
        ({"created": -5}, Model("m")),
        ({"max_model_len": -1}, Model("m")),
        ({"max_model_len": 10**30, "meta": {"n_ctx": 8}}, Model("m", 8, 8)),
    ],
)
def test_nonsense_in_the_list_of_a_chat_engine_counts_as_not_told(
    told: dict[str, Any], model: Model
) -> None:
    listed = models_of(json.dumps({"data": [{"id": "m", **told}]}).encode())
    assert [found for found, _ in listed.values()] == [model]


def page(*names: str, more: bool = False, last: str | None = None) -> tuple[int, object]:
    return 200, {"data": [{"id": name} for name in names], "has_more": more, "last_id": last}


async def test_a_list_in_pages_is_read_to_its_end() -> None:
    pages = {
        "/v1/models": page("a", "b", more=True, last="b/é"),
        "/v1/models?limit=1000&after_id=b%2F%C3%A9": page("c"),
    }
    async with Scripted(pages=pages) as upstream, MessagesEngine(upstream.url) as engine:
        assert [model.id for model in await engine.models()] == ["a", "b", "c"]


async def test_a_list_without_an_end_is_left() -> None:
    pages = {
        "/v1/models": page("a", more=True, last="a"),
        "/v1/models?limit=1000&after_id=a": page("a", more=True, last="a"),
    }
    async with Scripted(pages=pages) as upstream, MessagesEngine(upstream.url) as engine:
        assert {model.id for model in await engine.models()} == {"a"}


async def test_the_hosted_list_is_asked_for_with_a_version_and_leaves_aliases_open() -> None:
    pages = {"/v1/models?limit=1000": page("claude-haiku-4-5-20251001")}
    async with (
        Scripted(pages=pages) as upstream,
        MessagesEngine(upstream.url, api_key="k", hosted=True) as engine,
    ):
        models = await engine.models()
        (asked,) = upstream.others
    assert asked.headers["anthropic-version"] == "2023-06-01"
    assert asked.headers["x-api-key"] == "k"
    assert [model.id for model in models] == ["claude-haiku-4-5-20251001", "claude-*"]
    assert any(model.covers("claude-haiku-4-5") for model in models)
    assert not any(model.covers("gpt-9") for model in models)
