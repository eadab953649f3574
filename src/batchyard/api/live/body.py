"""The body of a live call: read under a limit, unpacked, and looked at just enough to route it."""

from __future__ import annotations

import zlib

import msgspec

from batchyard.api.call import Call
from batchyard.batches import versions
from batchyard.errors import InvalidRequest, RequestTooLarge


class _Head(msgspec.Struct):
    model: str


_head = msgspec.json.Decoder(_Head)


async def read_body(call: Call, bytes_max: int) -> bytes:
    """The whole body, decoded; raises `RequestTooLarge` as soon as it is."""
    encoding = call.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip", "x-gzip", ""):
        raise InvalidRequest(
            f'Content-Encoding: "{encoding[:40]}" is not supported.',
            fix="Send gzip or no encoding.",
            code="request_body_encoding_unsupported",
        )
    declared = call.headers.get("content-length", "")
    if "gzip" not in encoding and declared.isdecimal() and int(declared[:20]) > bytes_max:
        raise _too_large(bytes_max)
    unpack = _Gzip(bytes_max) if "gzip" in encoding else None
    body = bytearray()
    async for chunk in call.stream():
        body += unpack.take(chunk) if unpack else chunk
        if len(body) > bytes_max:
            raise _too_large(bytes_max)
    if unpack is not None:
        unpack.check_whole()
    return bytes(body)


class _Gzip:
    """Unpacks gzip as it arrives, several members too; stops one byte past `bytes_max`."""

    def __init__(self, bytes_max: int) -> None:
        self._room = bytes_max + 1
        self._member = zlib.decompressobj(wbits=31)

    def take(self, chunk: bytes) -> bytes:
        out = bytearray()
        while chunk and self._room:
            if self._member.eof:
                self._member = zlib.decompressobj(wbits=31)
            try:
                piece = self._member.decompress(chunk, self._room)
            except zlib.error:
                raise _not_gzip() from None
            out += piece
            self._room -= len(piece)
            chunk = self._member.unused_data
        return bytes(out)

    def check_whole(self) -> None:
        if not self._member.eof:
            raise _not_gzip()


def _too_large(bytes_max: int) -> RequestTooLarge:
    return RequestTooLarge(f"Request exceeds the maximum size of {bytes_max} bytes.")


def _not_gzip() -> InvalidRequest:
    return InvalidRequest(
        "The request body is not valid gzip.",
        fix="Send it complete, or without Content-Encoding.",
        code="request_body_encoding_invalid",
    )


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
