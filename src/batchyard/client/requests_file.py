"""A file of requests, one `{"custom_id", "params"}` object a line, checked before it is sent."""

from __future__ import annotations

import re
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
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
    """A checked file, or a part of one. `requests` is how many it holds; `body()` the create
    call's JSON body.

    The file is read once to check it and once for each time it is sent, line by line, so its size
    does not matter to memory. Blank lines, CRLF and a byte order mark are forgiven.
    """

    def __init__(self, path: Path, *, name: str | None = None, part: Part | None = None) -> None:
        """Check `path`, shown as `name` in faults; raises `BadRequestsFile`, `OSError`.

        `part` is one that `split` found, checked already.
        """
        self.path, self.name = path, name or str(path)
        self._part = part or _checked(path, self.name, sys.maxsize, sys.maxsize)[0]

    @classmethod
    def split(
        cls, path: Path, requests_max: int, bytes_max: int, *, name: str | None = None
    ) -> list[RequestsFile]:
        """Check all of `path` and cut it into parts that are within the limits of one batch.

        A custom_id must be unique in the whole file. Raises `BadRequestsFile`, `OSError`.
        """
        parts = _checked(path, name or str(path), requests_max, bytes_max)
        return [cls(path, name=name, part=part) for part in parts]

    @property
    def requests(self) -> int:
        """How many there are."""
        return self._part.requests

    def body(self) -> Body:
        """The body of the create call, read from the file while it is sent."""
        return Body(self._chunks, self._part.size)

    async def _chunks(self) -> AsyncIterator[bytes]:
        sent, size = 0, self._part.size
        for chunk in _gathered(self.path, self._part):
            sent += len(chunk)
            if sent > size:
                break
            yield chunk
        if sent != size:
            raise BadRequestsFile(
                f"{self.name} changed while it was being sent; no batch was created",
                fix="let whatever writes it finish, then run this again",
            )


@dataclass(slots=True)
class Part:
    """Lines that make one batch: `size` is that of its create body.

    They begin at the byte `first` and end before `end`, None for all that follow.
    """

    first: int
    end: int | None = None
    requests: int = 0
    size: int = len(_HEAD) + len(_TAIL) - 1

    def grown(self, line: bytes) -> int:
        """The size with one more line, which a comma sets apart from the one before."""
        return self.size + len(line) + 1


def _gathered(path: Path, part: Part) -> Iterator[bytes]:
    """The create body in parts of about `CHUNK_BYTES`."""
    pending, separator = bytearray(_HEAD), b""
    with path.open("rb") as file:
        for _, first, line in _lines(file, part.first):
            if part.end is not None and first >= part.end:
                break
            pending += separator
            pending += line
            separator = b","
            if len(pending) >= CHUNK_BYTES:
                yield bytes(pending)
                pending.clear()
    pending += _TAIL
    yield bytes(pending)


def _lines(file: IO[bytes], first: int = 0) -> Iterator[tuple[int, int, bytes]]:
    """The lines from byte `first` on that have something on them, with their beginnings, and
    their numbers from 1."""
    file.seek(first)
    for number, line in enumerate(file, 1):
        text = (line.removeprefix(_BOM) if not first else line).strip()
        if text:
            yield number, first, text
        first += len(line)


def _checked(path: Path, name: str, requests_max: int, bytes_max: int) -> list[Part]:
    """The file without a fault, cut wherever the next line would be too much for one batch."""
    seen: dict[str, int] = {}
    faults: list[str] = []
    parts = [Part(0)]
    with path.open("rb") as file:
        for number, first, line in _lines(file):
            fault = _fault(line, number, seen)
            if fault is not None:
                faults.append(f"{name}:{number}: {fault}")
                if number == 1 and (whole := _another_format(line)):
                    raise BadRequestsFile(
                        f"{faults[0]}\nnothing was sent", fix=whole.format(name=name)
                    )
            part = parts[-1]
            if part.requests and (part.requests >= requests_max or part.grown(line) > bytes_max):
                part.end = first
                parts.append(part := Part(first))
            part.size = part.grown(line)
            part.requests += 1
    if faults:
        more = len(faults) - SHOWN_MAX
        listed = faults[:SHOWN_MAX] + ([f"and {more} more lines like these"] if more > 0 else [])
        raise BadRequestsFile("\n".join([*listed, "nothing was sent"]), fix=_EXPECTED)
    if not seen:
        raise BadRequestsFile(f"{name} has no requests in it; nothing was sent", fix=_EXPECTED)
    return parts


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
    """A part of the file for a message: short, on one line."""
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
        return "batchyard convert {name} requests.jsonl   (translates Chat Completions)"
    return None
