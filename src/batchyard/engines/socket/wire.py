"""What two halves of one program say to each other: lines of JSON, params, and frames.

One call is one connection: a line that names the engine and the call, then the params; back comes a
line and, for what has a body, frames of which the last is empty. Nothing of HTTP is needed for
that, and hanging up cancels the call.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Annotated, Literal, TypeVar

import msgspec

from batchyard.engine import Model, Usage
from batchyard.errors import (
    EngineError,
    ErrorType,
    Misconfigured,
    Overloaded,
    Rejected,
    Spent,
    Unavailable,
)

LINE_BYTES_MAX = 1024 * 1024

Verb = Literal["create", "models", "messages", "count_tokens"]


class Call(msgspec.Struct):
    """The first line of a call; `length` bytes of params follow it."""

    engine: str
    verb: Verb
    model: str = ""
    trace: str = ""
    api_version: str = ""
    betas: tuple[str, ...] = ()
    priority: Literal["low", "high"] = "low"
    length: Annotated[int, msgspec.Meta(ge=0)] = 0


class Refusal(msgspec.Struct):
    """An `EngineError` on its way; `kind` is the name of its class."""

    kind: str
    message: str
    status: int | None = None
    type: ErrorType = "api_error"
    retry_after: float | None = None


class Told(msgspec.Struct):
    """The first line of an answer: a refusal, or what the verb asked for. Frames may follow."""

    refusal: Refusal | None = None
    models: list[Model] | None = None
    usage: Usage | None = None
    status: int = 0
    content_type: str = ""
    headers: dict[str, str] = {}


_call = msgspec.json.Decoder(Call)
_told = msgspec.json.Decoder(Told)
_Head = TypeVar("_Head")


def call_of(line: bytes) -> Call:
    """The call that a line announces; `EOFError` for noise, as if the other side were gone."""
    return _decoded(_call, line)


def told_of(line: bytes) -> Told:
    """The answer that a line begins; `EOFError` for noise, as if the other side were gone."""
    return _decoded(_told, line)


def _decoded(decoder: msgspec.json.Decoder[_Head], line: bytes) -> _Head:
    try:
        return decoder.decode(line)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise EOFError from error


class Wire:
    """A connection that carries lines, bytes and frames (four bytes of length, then the data)."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def send_frame(self, data: bytes) -> None:
        await self.send(len(data).to_bytes(4, "big") + data)

    async def line(self) -> bytes:
        try:
            return await self._reader.readuntil(b"\n")
        except asyncio.LimitOverrunError as error:
            raise EOFError from error

    async def frame(self) -> bytes:
        return await self.exactly(int.from_bytes(await self._reader.readexactly(4), "big"))

    async def exactly(self, length: int) -> bytes:
        return await self._reader.readexactly(length)

    async def hung_up(self) -> None:
        """Return when the other side has closed; it sends nothing after its call."""
        with contextlib.suppress(OSError):
            await self._reader.read(1)

    def abort(self) -> None:
        self._writer.transport.abort()


def refusal_of(error: EngineError) -> Refusal:
    return Refusal(
        kind=type(error).__name__,
        message=error.message,
        status=error.status,
        type=getattr(error, "type", "api_error"),
        retry_after=getattr(error, "retry_after", None),
    )


def revived(refusal: Refusal) -> EngineError:
    """The error as the engine raised it."""
    message, status = refusal.message, refusal.status
    match refusal.kind:
        case "Rejected":
            return Rejected(message, type=refusal.type, status=status)
        case "Overloaded":
            return Overloaded(message, retry_after=refusal.retry_after, status=status)
        case "Unavailable":
            return Unavailable(message, retry_after=refusal.retry_after, status=status)
        case "Misconfigured":
            return Misconfigured(message, status=status)
    return Spent(message, status=status)
