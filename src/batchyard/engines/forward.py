"""Passing a live call's answer on: bodies to stream, errors in the envelope of the Messages API."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator

from batchyard import wire
from batchyard.engine import Forwarded
from batchyard.engines.failures import read
from batchyard.engines.receive import Answer, Streamed
from batchyard.errors import EngineError, Overloaded, Rejected, Unavailable, type_of_status

_ERROR_BYTES_MAX = 1024 * 1024
_KEPT = ("retry-after", "retry-after-ms", "x-should-retry")


def passed_through(streamed: Streamed) -> Forwarded:
    """A good answer, byte for byte, as it comes."""
    content_type = streamed.headers.get("content-type", "application/json")
    return Forwarded(streamed.status, content_type, streamed)


async def once(streamed: Streamed) -> bytes:
    """The body of an error, which is small; anything beyond 1 MiB is cut."""
    body = bytearray()
    async for chunk in streamed:
        body += chunk
        if len(body) > _ERROR_BYTES_MAX:
            await streamed.aclose()
            break
    return bytes(body)


def envelope_of(answer: Answer, error: EngineError) -> Forwarded:
    """The engine's refusal under its own status, in the one shape clients read."""
    headers = {name: answer.headers[name] for name in _KEPT if name in answer.headers}
    kind = read(answer.body).type if isinstance(error, Rejected) else ""
    body = wire.error_envelope(_type(answer.status, kind), error.message, None)
    return Forwarded(answer.status, "application/json", _one(body), headers)


def refused(error: EngineError) -> Forwarded:
    """The refusal of an engine in this process; `error.status` is not None."""
    status = error.status or 500
    kind = error.type if isinstance(error, Rejected) else ""
    headers = {}
    if isinstance(error, Overloaded | Unavailable) and error.retry_after is not None:
        headers["retry-after"] = str(math.ceil(error.retry_after))
    body = wire.error_envelope(_type(status, kind), error.message, None)
    return Forwarded(status, "application/json", _one(body), headers)


def whole(status: int, body: bytes, content_type: str = "application/json") -> Forwarded:
    """An answer that is already there."""
    return Forwarded(status, content_type, _one(body))


async def _one(body: bytes) -> AsyncIterator[bytes]:
    yield body


def _type(status: int, said: str) -> str:
    if said.endswith("_error") or said == "request_too_large":
        return said
    return type_of_status(status)
