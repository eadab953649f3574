"""A compressed request body, unpacked piece by piece under a limit."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from batchyard.errors import InvalidRequest, RequestTooLarge

PIECE = 256 * 1024
"""The most bytes unpacked at once: a body of mostly spaces grows a thousandfold."""

_GZIP, _ZLIB, _BARE = 31, 15, -15
_NOTHING = frozenset({"", "identity"})


class Unpack:
    """Turns the chunks of a body as sent into the bytes meant.

    Knows `gzip` (also in several members) and `deflate` (in zlib's wrapping, or bare as some
    clients send it). Any other encoding is `InvalidRequest`.
    """

    def __init__(self, encoding: str, bytes_max: int) -> None:
        name = encoding.strip().lower()
        if name not in _NOTHING | {"gzip", "x-gzip", "deflate"}:
            raise InvalidRequest(
                f'Content-Encoding: "{encoding[:40]}" is not supported.',
                fix="Send gzip, deflate or no encoding.",
                code="request_body_encoding_unsupported",
            )
        self.plain = name in _NOTHING
        self._name = name
        self._room = bytes_max
        self._bytes_max = bytes_max
        self._stream: zlib._Decompress | None = None

    def pieces(self, chunk: bytes) -> Iterator[bytes]:
        """What `chunk` adds; `RequestTooLarge` as soon as that passes the limit."""
        if self.plain:
            yield self._within(chunk)
            return
        while chunk:
            if self._stream is None or (self._stream.eof and self._name != "deflate"):
                self._stream = zlib.decompressobj(self._wrapping(chunk))
            if self._stream.eof:
                raise self._broken()
            yield self._next(self._stream, chunk)
            chunk = self._stream.unused_data or self._stream.unconsumed_tail

    def rest(self) -> Iterator[bytes]:
        """What was still to come after the last chunk; a body that was cut is `InvalidRequest`."""
        while not self.plain and not (self._stream and self._stream.eof):
            piece = self._next(self._stream, b"") if self._stream else b""
            if not piece:
                raise self._broken()
            yield piece

    def _next(self, stream: zlib._Decompress, chunk: bytes) -> bytes:
        try:
            return self._within(stream.decompress(chunk, PIECE))
        except zlib.error:
            raise self._broken() from None

    def _within(self, piece: bytes) -> bytes:
        self._room -= len(piece)
        if self._room < 0:
            raise too_large(self._bytes_max, unpacked=not self.plain)
        return piece

    def _wrapping(self, chunk: bytes) -> int:
        if self._name != "deflate":
            return _GZIP
        return _ZLIB if chunk[0] & 0x0F == zlib.DEFLATED else _BARE

    def _broken(self) -> InvalidRequest:
        return InvalidRequest(
            f"The request body is not valid {self._name}.",
            fix="Send it complete, or without Content-Encoding.",
            code="request_body_encoding_invalid",
        )


def too_large(bytes_max: int, *, unpacked: bool) -> RequestTooLarge:
    """The refusal of a body of more than `bytes_max` bytes, which it may have after unpacking."""
    return RequestTooLarge(
        f"Request exceeds the maximum size of {bytes_max} bytes.",
        code="request_body_too_large_after_decoding" if unpacked else None,
    )
