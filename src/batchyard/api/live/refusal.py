"""What an engine answered instead of a message, as the caller is told."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.responses import Response

from batchyard import wire
from batchyard.engine import Forwarded
from batchyard.errors import Misconfigured, type_of_status

ERROR_BYTES_MAX = 1024 * 1024
"""How much of an engine's error answer is read."""

PASSED_ON = ("retry-after", "retry-after-ms", "x-should-retry")
"""Headers of an engine's answer that mean the same coming from us."""


def passed_on(forwarded: Forwarded) -> dict[str, str]:
    """The headers of an engine's answer that go on to the caller."""
    return {name: forwarded.headers[name] for name in PASSED_ON if name in forwarded.headers}


async def refusal(engine: str, forwarded: Forwarded, request_id: str) -> Response:
    """An engine's error in our envelope, under our id.

    A refusal of credentials is about ours, not the caller's, who must not look for the mistake in
    its own key; a redirect is never followed.
    """
    body = await _collected(forwarded)
    error = _error_object(body)
    words = error.get("message") or f"HTTP {forwarded.status}"
    if forwarded.status in (401, 402, 403):
        raise Misconfigured(f"{engine} refused this server's own credentials: {words}")
    if forwarded.status < 400:
        raise Misconfigured(f"{engine} answered with a redirect (HTTP {forwarded.status}).")
    kind = error.get("type") or type_of_status(forwarded.status)
    rendered = wire.error_envelope(kind, words, request_id, "engine_error")
    return Response(rendered, forwarded.status, passed_on(forwarded), media_type="application/json")


async def _collected(forwarded: Forwarded) -> bytes:
    body = bytearray()
    try:
        async for chunk in forwarded.body:
            body += chunk
            if len(body) > ERROR_BYTES_MAX:
                break
    finally:
        await close(forwarded)
    return bytes(body)


class _EngineWords(msgspec.Struct):
    error: dict[str, Any]


def _error_object(body: bytes) -> dict[str, str]:
    """`type` and `message` of an error envelope, as far as there is one."""
    try:
        error = msgspec.json.decode(body, type=_EngineWords).error
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return {}
    return {name: value for name, value in error.items() if isinstance(value, str)}


async def close(forwarded: Forwarded) -> None:
    """Cut an answer short; the engine behind it stops generating."""
    aclose = getattr(forwarded.body, "aclose", None)
    if aclose is not None:
        await aclose()
