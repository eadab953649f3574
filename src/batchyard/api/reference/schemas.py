"""Shapes that `wire` does not model because we never take them apart: params, messages, lines."""

from __future__ import annotations

from typing import Any, get_args

from batchyard.batches.limits import CUSTOM_ID_PATTERN, Limits
from batchyard.errors import ErrorType

_Json = dict[str, Any]


def extra_schemas() -> _Json:
    """JSON Schemas by name. Open objects: what they hold besides is passed on untouched."""
    return {
        "Error": _error(None),
        "MessageBatchPage": _page("MessageBatch"),
        "ModelPage": _page("ModelInfo"),
        "NewMessageBatch": _new_batch(),
        "MessageParams": _params(tokens_min=1),
        "MessageCall": _params(tokens_min=0),
        "TokenCountCall": _params(tokens_min=None),
        "Message": _message(),
        "MessageBatchResult": _result(),
    }


def _new_batch() -> _Json:
    entry = {
        "type": "object",
        "required": ["custom_id", "params"],
        "additionalProperties": False,
        "properties": {
            "custom_id": {"type": "string", "pattern": CUSTOM_ID_PATTERN},
            "params": {
                "description": "Should be MessageParams; what is not ends as an errored line.",
                "anyOf": [{"$ref": "#/components/schemas/MessageParams"}, {"type": "object"}],
            },
        },
    }
    return {
        "type": "object",
        "required": ["requests"],
        "additionalProperties": False,
        "properties": {
            "requests": {
                "type": "array",
                "minItems": 1,
                "maxItems": Limits().requests_max,
                "items": entry,
            }
        },
    }


def _params(tokens_min: int | None) -> _Json:
    """With a `max_tokens` from `tokens_min` up; None where no answer is asked for."""
    room = {"max_tokens": {"type": "integer", "minimum": tokens_min}}
    return {
        "type": "object",
        "description": "The body of a Messages call; fields not named here are passed on.",
        "required": ["model", *(() if tokens_min is None else room), "messages"],
        "properties": {
            "model": {"type": "string"},
            **({} if tokens_min is None else room),
            "messages": {"type": "array", "minItems": 1, "items": {"type": "object"}},
            "system": {"type": ["string", "array"]},
            "tools": {"type": "array", "items": {"type": "object"}},
            "temperature": {"type": "number"},
            "stream": {"type": "boolean", "description": "Not in a batch."},
        },
    }


def _message() -> _Json:
    return {
        "type": "object",
        "required": ["id", "type", "role", "model", "content", "stop_reason", "usage"],
        "properties": {
            "id": {"type": "string"},
            "type": {"const": "message"},
            "role": {"const": "assistant"},
            "model": {"type": "string", "description": "The model that really answered."},
            "content": {"type": "array", "items": {"type": "object"}},
            "stop_reason": {"type": ["string", "null"]},
            "stop_sequence": {"type": ["string", "null"]},
            "usage": {
                "type": "object",
                "required": ["input_tokens", "output_tokens"],
                "properties": {
                    "input_tokens": {"type": "integer"},
                    "output_tokens": {"type": "integer"},
                    "service_tier": {"type": "string"},
                },
            },
        },
    }


def _result() -> _Json:
    outcomes = [
        {
            "type": "object",
            "required": ["type", "message"],
            "properties": {
                "type": {"const": "succeeded"},
                "message": {"$ref": "#/components/schemas/Message"},
            },
        },
        {
            "type": "object",
            "required": ["type", "error"],
            "properties": {
                "type": {"const": "errored"},
                "error": _error(list(get_args(ErrorType))),
            },
        },
        *(
            {"type": "object", "required": ["type"], "properties": {"type": {"const": name}}}
            for name in ("canceled", "expired")
        ),
    ]
    return {
        "type": "object",
        "required": ["custom_id", "result"],
        "properties": {"custom_id": {"type": "string"}, "result": {"oneOf": outcomes}},
    }


def _error(types: list[str] | None) -> _Json:
    kind: _Json = {"type": "string"} if types is None else {"enum": types}
    return {
        "type": "object",
        "required": ["type", "error", "request_id"],
        "properties": {
            "type": {"const": "error"},
            "error": {
                "type": "object",
                "required": ["type", "message"],
                "properties": {
                    "type": kind,
                    "message": {"type": "string"},
                    "details": {
                        "type": "object",
                        "properties": {"error_code": {"type": "string"}},
                    },
                },
            },
            "request_id": {"type": ["string", "null"]},
        },
    }


def _page(of: str) -> _Json:
    return {
        "type": "object",
        "required": ["data", "has_more", "first_id", "last_id"],
        "properties": {
            "data": {"type": "array", "items": {"$ref": f"#/components/schemas/{of}"}},
            "has_more": {"type": "boolean"},
            "first_id": {"type": ["string", "null"]},
            "last_id": {"type": ["string", "null"]},
        },
    }
