"""The laws of one connection: however bytes are cut, the same answer; whatever comes, an end."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchyard.engines.connection import Broken, Connection, Phase


class Wire(asyncio.Transport):
    """A transport that only remembers."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""
        self.aborted = False
        self.reading = True
        self.kept_back = 0

    def get_write_buffer_size(self) -> int:
        return self.kept_back

    def write(self, data: Any) -> None:
        self.sent += bytes(data)

    def abort(self) -> None:
        self.aborted = True

    def is_closing(self) -> bool:
        return self.aborted

    def is_reading(self) -> bool:
        return self.reading

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass


class Heard:
    """A receiver that notes what it was told."""

    def __init__(self) -> None:
        self.status = 0
        self.body = b""
        self.ends: list[object] = []

    def head(self, status: int, headers: dict[str, str]) -> None:
        assert not self.status, "two heads"
        self.status, self.headers = status, headers

    def data(self, chunk: bytes) -> None:
        assert self.status, "a body before its head"
        assert not self.ends, "a body after its end"
        self.body += chunk

    def done(self) -> None:
        self.ends.append("done")

    def broken(self, error: Broken) -> None:
        self.ends.append(error)


def exchange(*pieces: bytes, unsent: bool = False) -> tuple[Heard, Connection, Wire, list[object]]:
    """One exchange in which these pieces arrive one by one."""
    idle: list[object] = []
    heard, wire, connection = Heard(), Wire(), Connection(idle.append)

    async def run() -> None:
        connection.connection_made(wire)
        connection.begin(b"HEAD", b"BODY", heard, total_seconds=None, idle_seconds=None)
        if unsent:
            connection.pause_writing()
        for piece in pieces:
            if piece and not wire.aborted:
                connection.data_received(piece)

    asyncio.run(run())
    return heard, connection, wire, idle


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[a:b] for a, b in itertools.pairwise(edges)]


def framed(body: bytes, *, chunked: bool) -> bytes:
    if not chunked:
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    third = max(1, len(body) // 3)
    parts = [body[start : start + third] for start in range(0, len(body), third)]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
    return b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"


@settings(deadline=None)
@given(st.binary(max_size=400), st.booleans(), st.lists(st.integers(0, 10_000), max_size=12))
def test_however_an_answer_is_cut_it_is_the_same(
    body: bytes, chunked: bool, places: list[int]
) -> None:
    heard, _, wire, idle = exchange(*cut(framed(body, chunked=chunked), places))
    assert (heard.status, heard.body, heard.ends) == (200, body, ["done"])
    assert wire.sent == b"HEADBODY"
    assert len(idle) == 1
    assert not wire.aborted


@settings(deadline=None)
@given(st.lists(st.binary(max_size=60), max_size=6), st.booleans())
def test_whatever_arrives_there_is_one_end(pieces: list[bytes], clean: bool) -> None:
    heard, connection, _, _ = exchange(*pieces)
    connection.connection_lost(None if clean else ConnectionResetError(104, "Connection reset"))
    assert len(heard.ends) == 1


@settings(deadline=None)
@given(st.integers(0, 200), st.binary(max_size=100), st.booleans())
def test_an_answer_that_is_cut_off_is_never_taken_for_whole(
    at: int, body: bytes, chunked: bool
) -> None:
    whole = framed(body, chunked=chunked)
    at %= len(whole)
    heard, connection, _, _ = exchange(whole[:at])
    connection.connection_lost(None)
    (end,) = heard.ends
    assert isinstance(end, Broken)
    assert end.phase == ("answering" if at else "sent")


@pytest.mark.parametrize(("unsent", "phase"), [(False, "sent"), (True, "unsent")])
def test_a_loss_before_any_answer_tells_whether_the_request_had_left(
    unsent: bool, phase: Phase
) -> None:
    heard, connection, _, _ = exchange(unsent=unsent)
    connection.connection_lost(ConnectionResetError(104, "Connection reset by peer"))
    (end,) = heard.ends
    assert isinstance(end, Broken)
    assert (end.phase, end.reason, end.reused) == (phase, "connection reset by peer", False)


@pytest.mark.parametrize("kept_back", [0, 1])
def test_a_connection_that_has_not_sent_all_of_its_request_carries_no_other(kept_back: int) -> None:
    idle: list[object] = []
    heard, wire, connection = Heard(), Wire(), Connection(idle.append)

    async def run() -> None:
        connection.connection_made(wire)
        connection.begin(b"HEAD", b"BODY", heard, total_seconds=None, idle_seconds=None)
        wire.kept_back = kept_back
        connection.data_received(framed(b"early", chunked=False))

    asyncio.run(run())
    assert (heard.body, heard.ends) == (b"early", ["done"])
    assert (wire.aborted, idle) == ((True, []) if kept_back else (False, [connection]))


def test_what_comes_after_an_answer_costs_the_connection_and_nothing_else() -> None:
    heard, _, wire, _ = exchange(framed(b"one", chunked=False) + framed(b"two", chunked=False))
    assert (heard.body, heard.ends) == (b"one", ["done"])
    assert wire.aborted


def test_words_out_of_turn_close_the_connection() -> None:
    _, connection, wire, _ = exchange(framed(b"one", chunked=False))
    connection.data_received(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
    assert wire.aborted


def test_an_abandoned_exchange_tells_nobody_and_hurts_nobody() -> None:
    heard, connection, wire, _ = exchange(framed(b"one", chunked=False))
    connection.abandon(heard)
    assert not wire.aborted, "its exchange was over, the connection may be another's by now"
    late, connection, wire, _ = exchange()
    connection.abandon(late)
    connection.connection_lost(None)
    assert wire.aborted
    assert late.ends == []
