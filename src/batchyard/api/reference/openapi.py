"""The OpenAPI document: every path of `routes`, with the shapes of `wire` and `ops`."""

from __future__ import annotations

from typing import Any

import msgspec

from batchyard import wire
from batchyard.api import ops
from batchyard.api.reference.pieces import described, errors, ok, operation, paging, path, spoken
from batchyard.api.reference.schemas import extra_schemas

_Json = dict[str, Any]

LINES = "application/x-jsonl"

_RESULT_HEADERS: list[_Json] = [
    {
        "name": name,
        "in": "header",
        "required": False,
        "description": words,
        "schema": {"type": "string"},
    }
    for name, words in (
        ("Range", "`bytes=100-199`, `bytes=100-` or `bytes=-100`; anything else is ignored."),
        ("If-Range", "Take `Range` only if this is the `ETag`, else send everything."),
        ("If-None-Match", "Answer 304 if this is the `ETag`."),
    )
]

_CREATE_HEADERS: list[_Json] = [
    {
        "name": "Idempotency-Key",
        "in": "header",
        "required": False,
        "description": "Ours: the same key and body within 24 hours return the batch made before.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255},
    },
    {
        "name": "anthropic-user-profile-id",
        "in": "header",
        "required": False,
        "description": "Applies to every request of the batch.",
        "schema": {"type": "string"},
    },
    {
        "name": "Content-Encoding",
        "in": "header",
        "required": False,
        "description": "`gzip`, or none; the size limit holds for the decoded body.",
        "schema": {"type": "string", "enum": ["gzip"]},
    },
]


def document(version: str) -> _Json:
    """The whole document, OpenAPI 3.1."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Batchyard",
            "version": version,
            "description": "The Message Batches API on your own engines.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": {**_batches(), **_live(), **_models(), **_probes(), **_reference()},
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {
                "apiKey": {"type": "apiKey", "in": "header", "name": "x-api-key"},
                "bearer": {"type": "http", "scheme": "bearer"},
            },
        },
    }


def _batches() -> _Json:
    batch, one = ok("MessageBatch"), [path("batch_id", "The id of a batch, `msgbatch_…`.")]
    root = "/v1/messages/batches"
    return {
        root: {
            "post": operation(
                "createBatch",
                "Create a batch",
                "Checks the envelope while the body arrives and answers once the batch is durable. "
                "Anything wrong inside `params` ends as an errored line, never as an error here.",
                batch | errors(400, 401, 403, 413, 429, 503),
                parameters=_CREATE_HEADERS,
                body="NewMessageBatch",
            ),
            "get": operation(
                "listBatches",
                "List batches",
                "Newest first. A cursor may be the id of a batch that is gone.",
                ok("MessageBatchPage") | errors(400, 401, 403),
                parameters=paging(),
            ),
        },
        f"{root}/{{batch_id}}": {
            "get": operation(
                "retrieveBatch",
                "Retrieve a batch",
                "Its state and counts now. Cheap to poll; `retry-after` is a hint when to.",
                batch | errors(400, 401, 403, 404),
                parameters=one,
            ),
            "delete": operation(
                "deleteBatch",
                "Delete a batch",
                "Possible once it has ended. Requests and results are removed for good.",
                ok("DeletedMessageBatch") | errors(400, 401, 403, 404),
                parameters=one,
            ),
        },
        f"{root}/{{batch_id}}/cancel": {
            "post": operation(
                "cancelBatch",
                "Cancel a batch",
                "What is running may finish; the rest becomes `canceled`. Calling it again, or "
                "after the end, changes nothing and answers 200.",
                batch | errors(400, 401, 403, 404),
                parameters=one,
            )
        },
        f"{root}/{{batch_id}}/results": {
            "get": operation(
                "batchResults",
                "Read the results",
                "One JSON object a line, one line for each request, in any order. Broken off, "
                "never ended short, when something fails on the way. A single `Range` of bytes "
                "goes on from there; `ETag` is the id of the batch, whose results never change.",
                ok("MessageBatchResult", LINES)
                | {"206": described("The part that `Range` names", "MessageBatchResult", LINES)}
                | {"304": {"description": "Known already, by `If-None-Match`"}}
                | errors(400, 401, 403, 404, 416),
                parameters=[*one, *_RESULT_HEADERS],
            )
        },
    }


def _live() -> _Json:
    return {
        "/v1/messages": {
            "post": operation(
                "createMessage",
                "Create a message now",
                "Passed to an engine that serves `model`, before any batch work; with "
                '`"stream": true` the events are passed on as they come.',
                ok("Message") | errors(400, 401, 403, 404, 413, 429, 502, 503, 504, 529),
                body="MessageCall",
            )
        },
        "/v1/messages/count_tokens": {
            "post": operation(
                "countTokens",
                "Count the tokens of a message",
                "Asked of an engine that serves `model` and can count.",
                ok("TokenCount") | errors(400, 401, 403, 404, 413, 429, 502, 503, 504, 529),
                body="TokenCountCall",
            )
        },
    }


def _models() -> _Json:
    lifecycle = {
        "name": "lifecycle[]",
        "in": "query",
        "required": False,
        "description": "`active`, `deprecated`, `retired`; every model served here is active.",
        "schema": {"type": "array", "items": {"enum": ["active", "deprecated", "retired"]}},
    }
    return {
        "/v1/models": {
            "get": operation(
                "listModels",
                "List models",
                "What the engines serve right now, newest first.",
                ok("ModelPage") | errors(400, 401, 403),
                parameters=[*paging(), lifecycle],
            )
        },
        "/v1/models/{model_id}": {
            "get": operation(
                "retrieveModel",
                "Retrieve a model",
                "Aliases resolve to the model that really answers.",
                ok("ModelInfo") | errors(400, 401, 403, 404),
                parameters=[path("model_id", "A served name or an alias.")],
            )
        },
    }


def _probes() -> _Json:
    verbose = {
        "name": "verbose",
        "in": "query",
        "required": False,
        "description": "Tells every check and engine (`Readiness`); needs a key where keys exist. "
        "Anything but `0` and `false` asks for it.",
        "schema": {"type": "string"},
    }
    words = "Plain text, or JSON when `Accept` names it."
    alive = {"200": spoken("It answers", "Status")}
    ready = {
        "200": spoken("Ready", "Status", "Readiness"),
        "503": spoken("Not ready", "Status", "Readiness"),
    }
    refused = errors(401, 403)
    return {
        "/livez": {"get": operation("livez", "Is it alive?", words, alive, open_=True)},
        **{
            path: {
                "get": operation(
                    name, summary, words, ready | refused, parameters=[verbose], open_=True
                )
            }
            for path, name, summary in (
                ("/readyz", "readyz", "Would a create be accepted?"),
                ("/health", "health", "The same as /readyz"),
            )
        },
    }


def _reference() -> _Json:
    paths = {
        "/openapi.json": ("openapi", "This document", "application/json"),
        "/docs": ("docs", "This reference as a page", "text/html"),
        "/docs/errors": ("errorCodes", "Every error code, each with an anchor", "text/html"),
    }
    return {
        path: {
            "get": operation(
                name,
                summary,
                "Served from the program itself; nothing is loaded from elsewhere.",
                {"200": {"description": summary, "content": {kind: {"schema": {}}}}},
                open_=True,
            )
        }
        for path, (name, summary, kind) in paths.items()
    }


def _schemas() -> _Json:
    kinds = (
        wire.MessageBatch,
        wire.DeletedMessageBatch,
        wire.ModelInfo,
        wire.TokenCount,
        ops.Status,
        ops.Readiness,
    )
    _, schemas = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    return dict(sorted({**schemas, **extra_schemas()}.items()))
