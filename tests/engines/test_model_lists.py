"""Lists of models in the shapes of both dialects, and the limits engines put in them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from batchyard.clock import SECOND
from batchyard.engine import Model
from batchyard.engines.anthropic import listed_models
from batchyard.engines.translate import models_of


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
