"""The create body, held against the standard library and plain rules; and what unpacks it."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from contextlib import ExitStack
from typing import Any
from unittest.mock import patch

from batchyard.api.bodies.unpack import Unpack
from batchyard.batches import envelope, jsontext, request, windows
from batchyard.errors import InvalidRequest, RequestTooLarge

_CUSTOM_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_DEPTH_MAX = 400  # both parsers give up somewhere beyond, not at the same depth
_REQUESTS_MAX = 50
_UNPACKED_MAX = 100_000


class _Pairs(list[tuple[str, Any]]):
    """An object with all its fields, repeated ones too."""


def requests_in(body: bytes) -> list[tuple[str, Any]] | None:
    """(custom_id, params) of every request as the standard library reads them, None if refused."""
    try:
        whole = json.loads(body.decode(), parse_constant=_refuse, object_pairs_hook=_Pairs)
        json.dumps(whole, ensure_ascii=False).encode()  # half a surrogate pair has no bytes
    except ValueError:
        return None
    if not isinstance(whole, _Pairs) or [name for name, _ in whole] != ["requests"]:
        return None
    listed = whole[0][1]
    if isinstance(listed, _Pairs) or not isinstance(listed, list) or not listed:
        return None
    found = [_entry(value) for value in listed]
    names = {each[0] for each in found if each}
    return [each for each in found if each] if len(names) == len(listed) else None


def _entry(value: Any) -> tuple[str, Any] | None:
    """One entry. Of a repeated field the last one counts, but every custom_id must be one."""
    if not isinstance(value, _Pairs) or {name for name, _ in value} != {"custom_id", "params"}:
        return None
    ids = [given for name, given in value if name == "custom_id"]
    if not all(isinstance(each, str) and _CUSTOM_ID.fullmatch(each) for each in ids):
        return None
    params = dict(value)["params"]
    return (ids[-1], params) if isinstance(params, _Pairs) else None


def _refuse(name: str) -> None:
    raise ValueError(name)


def check_body(data: bytes) -> None:
    """The first byte says how small the windows are, the rest is the body."""
    if not data or data.count(b"[") + data.count(b"{") > _DEPTH_MAX:
        return
    body = data[1:]

    def read(offset: int, size: int) -> bytes:
        return body[offset : offset + size]

    expected = requests_in(body)
    with ExitStack() as small:
        small.enter_context(patch.object(windows, "WINDOW", 16 + 4 * data[0]))
        small.enter_context(patch.object(windows, "_TAIL", 64))
        small.enter_context(patch.object(jsontext, "_PIECE", max(20, 2 * data[0])))
        refusal, count = "", 0
        try:
            count = envelope.check(read, _REQUESTS_MAX)
        except InvalidRequest as refused:
            refusal = refused.message
        assert _arriving(body, 1 + data[0]) == (0 if refusal else count)
        if refusal or expected is None or len(expected) > _REQUESTS_MAX:
            assert refusal.encode(), "taken, and not by the rules"
            assert expected is None or len(expected) > _REQUESTS_MAX, refusal
            return
        assert count == len(expected)
        entries = list(envelope.entries(read))
    found = [(each.custom_id, read(each.offset, each.length)) for each in entries]
    assert [name for name, _ in found] == [name for name, _ in expected]
    for (_, text), (_, params) in zip(found, expected, strict=True):
        assert text.startswith(b"{")
        assert json.loads(text, object_pairs_hook=_Pairs) == params
        check_params(text)


def _arriving(body: bytes, step: int) -> int:
    """What a check says of a body that arrives piece by piece: the requests, 0 when refused."""
    arrived = 0

    def read(offset: int, size: int) -> bytes:
        return body[offset : min(offset + size, arrived)]

    def there(upto: int) -> bool:
        return upto <= arrived or arrived >= len(body)

    steps = envelope.checking(read, there, _REQUESTS_MAX)
    try:
        while True:
            next(steps)
            assert arrived < len(body), "waits for more than there is"
            arrived += step
    except InvalidRequest:
        return 0
    except StopIteration as ended:
        return int(ended.value)


def check_params(data: bytes) -> None:
    """The laws of params say what is wrong, or nothing; they never fail themselves."""
    for strict in (False, True):
        fault = request.check(data, api_version="2026-10-21", strict_version=strict)
        if fault is not None:
            assert fault.type == "invalid_request_error"
            assert fault.message
            fault.message.encode()
    model, wanted = request.model_of(data), request.wanted_max_tokens(data)
    if fault is None:
        value = json.loads(data.decode())
        assert value["messages"]
        assert value["model"] == model
        assert wanted is not None
        assert wanted == value["max_tokens"]
        assert wanted >= 1
        assert not value.get("stream")


def check_unpacked(data: bytes) -> None:
    """Two bytes for the encoding and the size of the pieces, then the compressed body."""
    if len(data) < 2:
        return
    encoding, step, sent = ("gzip", "deflate")[data[0] % 2], data[1] + 1, data[2:]
    unpack, found, failed = Unpack(encoding, _UNPACKED_MAX), bytearray(), False
    try:
        for start in range(0, len(sent), step):
            for piece in unpack.pieces(sent[start : start + step]):
                found += piece
        for piece in unpack.rest():
            found += piece
    except (InvalidRequest, RequestTooLarge):
        failed = True
    assert len(found) <= _UNPACKED_MAX
    if not failed:
        assert found == (gzip.decompress(sent) if encoding == "gzip" else _inflated(sent))


def _inflated(sent: bytes) -> bytes:
    bare = sent[0] & 0x0F != zlib.DEFLATED
    return zlib.decompress(sent, -15 if bare else 15)
