"""The pieces an OpenAPI document is put together from: operations, parameters, answers."""

from __future__ import annotations

from typing import Any

_Json = dict[str, Any]

_SECURITY: list[_Json] = [{"apiKey": []}, {"bearer": []}, {}]

_HEADERS: list[_Json] = [
    {
        "name": "anthropic-version",
        "in": "header",
        "required": False,
        "description": "`2023-06-01` or `2026-10-21`; may be left out.",
        "schema": {"type": "string", "enum": ["2023-06-01", "2026-10-21"]},
    },
    {
        "name": "anthropic-beta",
        "in": "header",
        "required": False,
        "description": "Comma list and repeated lines; any values, passed on to the engine.",
        "schema": {"type": "string"},
    },
    {
        "name": "anthropic-workspace-id",
        "in": "header",
        "required": False,
        "description": "If sent, must be the workspace of the key.",
        "schema": {"type": "string"},
    },
]


def operation(
    name: str,
    summary: str,
    description: str,
    responses: _Json,
    *,
    parameters: list[_Json] | None = None,
    body: str | None = None,
    open_: bool = False,
) -> _Json:
    operation: _Json = {"operationId": name, "summary": summary, "description": description}
    operation["parameters"] = [*(parameters or []), *([] if open_ else _HEADERS)]
    if body:
        operation["requestBody"] = {"required": True, "content": _content(body)}
    operation["responses"] = responses
    operation["security"] = [] if open_ else _SECURITY
    return operation


def paging() -> list[_Json]:
    limit = {"type": "integer", "minimum": 1, "maximum": 1000, "default": 20}
    return [
        _query("limit", "How many at most.", limit),
        _query("after_id", "The page after this id (older).", {"type": "string"}),
        _query("before_id", "The items right before this id (newer).", {"type": "string"}),
    ]


def _query(name: str, description: str, schema: _Json) -> _Json:
    return {
        "name": name,
        "in": "query",
        "required": False,
        "description": description,
        "schema": schema,
    }


def path(name: str, description: str) -> _Json:
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": description,
        "schema": {"type": "string"},
    }


def _content(name: str, media_type: str = "application/json") -> _Json:
    return {media_type: {"schema": {"$ref": f"#/components/schemas/{name}"}}}


def described(text: str, name: str, media_type: str = "application/json") -> _Json:
    return {"description": text, "content": _content(name, media_type)}


def spoken(text: str, *names: str) -> _Json:
    """An answer in plain text, or as JSON of one of the named shapes where that is asked for."""
    shapes = [{"$ref": f"#/components/schemas/{name}"} for name in names]
    schema = shapes[0] if len(shapes) == 1 else {"anyOf": shapes}
    content = {"application/json": {"schema": schema}, "text/plain": {"schema": {"type": "string"}}}
    return {"description": text, "content": content}


def ok(name: str, media_type: str = "application/json") -> _Json:
    return {"200": described("Done", name, media_type)}


def errors(*statuses: int) -> _Json:
    meanings = {
        400: "The call is wrong",
        401: "No valid key",
        403: "The key may not do this",
        404: "No such thing here",
        413: "Too large",
        416: "Nothing in that range",
        429: "Not now: `retry-after` says when",
        502: "The engine gave no usable answer",
        503: "Not now: the server or the engine is not ready",
        504: "The engine took too long",
        529: "The engine is overloaded",
    }
    return {str(status): described(meanings[status], "Error") for status in statuses}
