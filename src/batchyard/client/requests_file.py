"""A file of requests, one `{"custom_id", "params"}` object a line, checked before it is sent."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import IO

import msgspec

from batchyard.batches.limits import CUSTOM_ID_PATTERN
from batchyard.client.http import Body
from batchyard.errors import BadRequestsFile

CHUNK_BYTES = 256 * 1024
SHOWN_MAX = 5
"""Faults that are listed; the rest are counted."""

_HEAD, _TAIL = b'{"requests":[', b"]}"
_BOM = b"\xef\xbb\xbf"
_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_custom_id = re.compile(CUSTOM_ID_PATTERN)


class RequestsFile:
    """A checked file. `requests` is how many it holds; `body()` the create call's JSON body.

    The file is read once to check it and once for each time it is sent, line by line, so its size
    does not matter to memory. Blank lines, CRLF and a byte order mark are forgiven.
    """

    def __init__(self, path: Path, *, name: str | None = None) -> None:
        """Check `path`, shown as `name` in faults; raises `BadRequestsFile`, `OSError`."""
        self.path, self.name = path, name or str(path)
        self.requests, self._size = _checked(path, self.name)

    def body(self) -> Body:
        """The body of the create call, read from the file while it is sent."""
        return Body(self._chunks, self._size)

    async def _chunks(self) -> AsyncIterator[bytes]:
        sent = 0
        for chunk in _gathered(self.path):
            sent += len(chunk)
            if sent > self._size:
                break
            yield chunk
        if sent != self._size:
            raise BadRequestsFile(
                f"{self.name} changed while it was being sent; no batch was created",
                fix="let whatever writes it finish, then run this again",
            )


def _gathered(path: Path) -> Iterator[bytes]:
    """The create body in pieces of about `CHUNK_BYTES`."""
    pending, separator = bytearray(_HEAD), b""
    with path.open("rb") as file:
        for _, line in _lines(file):
            pending += separator
            pending += line
            separator = b","
            if len(pending) >= CHUNK_BYTES:
                yield bytes(pending)
                pending.clear()
    pending += _TAIL
    yield bytes(pending)


def _lines(file: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """The lines with something on them, and their numbers from 1."""
    for number, line in enumerate(file, 1):
        text = (line.removeprefix(_BOM) if number == 1 else line).strip()
        if text:
            yield number, text


def _checked(path: Path, name: str) -> tuple[int, int]:
    """(requests, bytes of the create body) of a file without a fault."""
    seen: dict[str, int] = {}
    faults: list[str] = []
    count, size = 0, len(_HEAD) + len(_TAIL)
    with path.open("rb") as file:
        for number, line in _lines(file):
            fault = _fault(line, number, seen)
            if fault is not None:
                faults.append(f"{name}:{number}: {fault}")
                if number == 1 and (whole := _another_format(line)):
                    raise BadRequestsFile(
                        f"{faults[0]}\nnothing was sent", fix=whole.format(name=name)
                    )
            count += 1
            size += len(line) + 1
    if faults:
        more = len(faults) - SHOWN_MAX
        listed = faults[:SHOWN_MAX] + ([f"and {more} more lines like these"] if more > 0 else [])
        raise BadRequestsFile("\n".join([*listed, "nothing was sent"]), fix=_EXPECTED)
    if count == 0:
        raise BadRequestsFile(f"{name} has no requests in it; nothing was sent", fix=_EXPECTED)
    return count, size - 1


_EXPECTED = 'one JSON object a line: {"custom_id": "row-1", "params": {"model": …, "messages": …}}'


def _fault(line: bytes, number: int, seen: dict[str, int]) -> str | None:
    """What is wrong with one line, None when it is a request with a new custom_id."""
    try:
        line.decode()
        fields = _object.decode(line)
        custom_id = msgspec.json.decode(fields.get("custom_id", b"null"))
    except UnicodeDecodeError as error:
        return f"not UTF-8 text (byte {error.start})"
    except (msgspec.DecodeError, RecursionError) as error:
        return f"not a JSON object: {error}"
    unknown = sorted(fields.keys() - {"custom_id", "params"})
    if "custom_id" not in fields:
        return "custom_id is missing"
    if not isinstance(custom_id, str):
        return "custom_id is not a string"
    if not _custom_id.fullmatch(custom_id):
        return f"custom_id {_quoted(custom_id)} does not match {CUSTOM_ID_PATTERN}"
    if "params" not in fields:
        return "params is missing"
    if not bytes(fields["params"]).lstrip().startswith(b"{"):
        return "params is not an object"
    if unknown:
        return f"unknown field {_quoted(unknown[0])} beside custom_id and params"
    first = seen.setdefault(custom_id, number)
    if first != number:
        return (
            f'custom_id "{custom_id}" was used in line {first} already; '
            "answers could not be told apart"
        )
    return None


def _quoted(text: str) -> str:
    """A piece of the file for a message: short, on one line."""
    return msgspec.json.encode(text[:80]).decode()


def _another_format(line: bytes) -> str | None:
    """The command that turns what people often have into what is wanted."""
    if line == b"{":
        return "jq -c . {name} | batchyard create -"
    if line.startswith(b"["):
        return "jq -c '.[]' {name} | batchyard create -"
    try:
        fields = _object.decode(line)
    except (msgspec.DecodeError, RecursionError):
        return None
    if "requests" in fields:
        return "jq -c '.requests[]' {name} | batchyard create -"
    if {"method", "url", "body"} <= fields.keys():
        return (
            "this looks like a batch for Chat Completions; its requests need "
            "translating to Messages params first"
        )
    return None
