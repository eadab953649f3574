"""HTTP/1.1 on asyncio streams: calls in, answers out, and connections that break when told to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

BODY_BYTES_MAX = 268_435_456
PIECE_BYTES = 1 << 16


@dataclass
class Call:
    """One request. Header names are in lower case; `body` is None when it is too large."""

    method: str
    path: str
    query: list[tuple[str, str]]
    headers: dict[str, str]
    body: bytes | None


@dataclass
class Answer:
    """One answer: a body, or a file that is streamed."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    file: Path | None = None


Handler = Callable[[Call], Awaitable[Answer | None]]
"""Answers a call; None means that the connection is closed without a word."""


async def converse(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, handler: Handler
) -> None:
    """Answer the calls of one connection until it ends."""
    try:
        while (call := await _read(reader, writer)) is not None:
            answer = await handler(call)
            if answer is None:
                writer.transport.abort()
                return
            await _write(writer, answer, keep=call.body is not None)
            if call.body is None or call.headers.get("connection", "").lower() == "close":
                return
    except (OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        return  # The other side has gone, or speaks no HTTP.
    finally:
        writer.close()


async def _read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Call | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")[:-2]
    method, target, _ = first.split(" ")
    headers: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        name, value = name.strip().lower(), value.strip()
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    if headers.get("expect", "").lower() == "100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    parts = urlsplit(target)
    query = parse_qsl(parts.query, keep_blank_values=True)
    return Call(method, parts.path, query, headers, await _body(reader, headers))


async def _body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes | None:
    if headers.get("transfer-encoding", "").lower() != "chunked":
        length = int(headers.get("content-length", "0"))
        return None if length > BODY_BYTES_MAX else await reader.readexactly(length)
    pieces, size = [], 0
    while True:
        length = int((await reader.readuntil(b"\r\n")).split(b";")[0], 16)
        piece = await reader.readexactly(length + 2)
        if not length:
            return b"".join(pieces)
        size += length
        if size > BODY_BYTES_MAX:
            return None
        pieces.append(piece[:-2])


async def _write(writer: asyncio.StreamWriter, answer: Answer, *, keep: bool) -> None:
    headers = {"connection": "keep-alive" if keep else "close", **answer.headers}
    if answer.file is None:
        headers["content-length"] = str(len(answer.body))
    else:
        headers["transfer-encoding"] = "chunked"
    head = f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    writer.write(head.encode("latin-1") + b"\r\n" + answer.body)
    if answer.file is not None:
        with answer.file.open("rb") as source:
            while piece := source.read(PIECE_BYTES):
                writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                await writer.drain()
        writer.write(b"0\r\n\r\n")
    await writer.drain()
