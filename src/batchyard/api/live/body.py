"""The body of a live call: read under a limit, unpacked, and looked at just enough to route it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import msgspec

from batchyard.api.bodies.unpack import Unpack, too_large
from batchyard.api.call import Call
from batchyard.batches import versions
from batchyard.errors import InvalidRequest


class _Head(msgspec.Struct):
    model: str


_head = msgspec.json.Decoder(_Head)


async def read_body(call: Call, bytes_max: int) -> bytes:
    """The whole body, unpacked in a thread; raises `RequestTooLarge` as soon as it is."""
    unpack = Unpack(", ".join(call.headers.getlist("content-encoding")), bytes_max)
    declared = call.headers.get("content-length", "")
    if declared.isdecimal() and int(declared[:20]) > bytes_max:
        raise too_large(bytes_max, unpacked=False)
    body = bytearray()
    async for chunk in call.stream():
        if unpack.plain:
            _collect(body, unpack.pieces(chunk))
        else:
            await asyncio.to_thread(_collect, body, unpack.pieces(chunk))
    _collect(body, unpack.rest())
    return bytes(body)


def _collect(body: bytearray, pieces: Iterator[bytes]) -> None:
    for piece in pieces:
        body += piece


def model_of(params: bytes) -> str:
    """The model asked for; everything else in `params` is for the engine to judge."""
    try:
        params.decode()
        return _head.decode(params).model
    except msgspec.ValidationError as error:
        fault = str(error)
        if "missing required field" in fault:
            raise InvalidRequest("model: Field required") from None
        if "$.model" in fault:
            raise InvalidRequest("model: Input should be a valid string") from None
        raise InvalidRequest("The request body must be a JSON object.") from None
    except UnicodeDecodeError as error:
        fault = f"invalid UTF-8 at byte {error.start}"
    except RecursionError:
        fault = "nested too deeply"
    except msgspec.DecodeError as error:
        fault = str(error)
    raise InvalidRequest(f"The request body is not valid JSON: {fault}")


def refuse_dropped(params: bytes, version: str) -> None:
    """Raises `InvalidRequest` for what `version` no longer has; the engine judges the rest."""
    try:
        fault = versions.fault(params, version)
    except (KeyError, TypeError, AttributeError, msgspec.DecodeError, RecursionError):
        return
    if fault is not None:
        raise InvalidRequest(fault)
