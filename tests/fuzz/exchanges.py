"""Bytes on a connection: an engine's HTTP, the socket between our halves, a caller's headers."""

from __future__ import annotations

import asyncio
import re
from asyncio import events
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from batchyard import ids
from batchyard.api.auth import _presented
from batchyard.api.batches import _is_sdk_retry, page_query
from batchyard.api.call import KNOWN_VERSIONS, Call
from batchyard.api.catalogue import _lifecycles
from batchyard.api.context import NEARBY
from batchyard.engines.connection import Broken, Connection
from batchyard.engines.receive import Answer, Whole
from batchyard.engines.socket.wire import Wire, call_of, revived, told_of
from batchyard.errors import EngineError, InvalidRequest
from tests.engines.test_connection import Heard
from tests.engines.test_connection import Wire as Transport

_LOOP = asyncio.new_event_loop()
_LIMIT = 4_096
_ORIGIN = re.compile(r"https?://[\w.:\[\]~-]+(/[\w.~-]+)*\Z", re.ASCII)


def check_http(data: bytes) -> None:
    """One byte for how the answer is cut: whatever it is, it has one end, the same however cut."""
    if not data:
        return
    step, sent = data[0] + 1, data[1:]
    whole = _exchange([sent])
    assert _exchange([sent[at : at + step] for at in range(0, len(sent), step)]) == whole


def _exchange(pieces: list[bytes]) -> tuple[Any, ...]:
    """What a receiver heard of an answer in these pieces: status, headers, body, end."""
    events._set_running_loop(_LOOP)
    try:
        idle: list[object] = []
        heard, wire, connection = Heard(), Transport(), Connection(idle.append)
        connection.connection_made(wire)
        whole = Whole(connection, _LIMIT)
        connection.begin(b"HEAD", b"", _Both(heard, whole), total_seconds=None, idle_seconds=None)
        for piece in pieces:
            if not wire.aborted:
                connection.data_received(piece)
        if not heard.ends:
            connection.connection_lost(None)
        (end,) = heard.ends
        assert wire.aborted or idle
        assert len(idle) <= 1
        assert whole.answer.done()
        if isinstance(end, Broken):
            assert isinstance(whole.answer.exception(), Broken)
            return ("broken",)
        answer = whole.answer.result()
        assert isinstance(answer, Answer)
        assert answer.body == heard.body
        assert len(answer.body) <= _LIMIT
        return answer.status, answer.headers, answer.body
    finally:
        events._set_running_loop(None)


class _Both:
    """Two receivers told alike."""

    def __init__(self, *receivers: Any) -> None:
        self._receivers = receivers

    def __getattr__(self, name: str) -> Any:
        def tell(*told: Any) -> None:
            for receiver in self._receivers:
                getattr(receiver, name)(*told)

        return tell


def check_socket(data: bytes) -> None:
    """What the halves say to each other is parsed, or ends as a connection that broke."""
    wire = _wire(data)
    with suppress(EOFError):
        call = call_of(_run(wire.line()))
        assert len(_run(wire.exactly(call.length))) == call.length
    wire = _wire(data)
    with suppress(EOFError):
        told = told_of(_run(wire.line()))
        if told.refusal is not None:
            assert isinstance(revived(told.refusal), EngineError)
        while frame := _run(wire.frame()):
            assert frame in data


def _wire(data: bytes) -> Wire:
    reader = asyncio.StreamReader(limit=_LIMIT, loop=_LOOP)
    reader.feed_data(data)
    reader.feed_eof()
    return Wire(reader, None)  # type: ignore[arg-type]


def _run(coroutine: Coroutine[Any, Any, bytes]) -> bytes:
    """The result of a coroutine that has nothing to wait for."""
    try:
        coroutine.send(None)
    except StopIteration as over:
        found: bytes = over.value
        return found
    coroutine.close()
    raise EOFError  # it waits for bytes that will not come


def check_call(data: bytes) -> None:
    """A query and headers of a caller: read, or refused by name; never half believed."""
    query, _, head = data.partition(b"\n")
    lines = [line.partition(b":") for line in head.split(b"\n")]
    scope = {
        "type": "http",
        "method": "GET",
        "scheme": "http",
        "path": "/v1/messages/batches",
        "query_string": query,
        "headers": [(name.lower(), value.strip()) for name, _, value in lines],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8484),
    }
    call = Call(scope)
    for ask in (page_query, _lifecycles, Call.api_version):
        try:
            _check_answer(ask(call))
        except InvalidRequest as refused:
            refused.message.encode()
    assert all(beta and beta == beta.strip() for beta in call.betas())
    origin = call.origin(None, NEARBY)
    assert _ORIGIN.match(origin), origin
    assert _is_sdk_retry(call) in (True, False)
    assert all(isinstance(secret, str) for secret in _presented(call))


def _check_answer(found: Any) -> None:
    if isinstance(found, tuple):
        limit, after_id, before_id = found
        assert 1 <= limit <= 1000
        assert not (after_id and before_id)
        for cursor in (after_id, before_id):
            assert not (cursor and ids.is_batch_id(cursor)) or re.fullmatch(r"\w{33}", cursor)
    elif isinstance(found, str):
        assert found in KNOWN_VERSIONS
