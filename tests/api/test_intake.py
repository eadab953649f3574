"""Create bodies in every shape they arrive in, and what a refused one leaves: nothing."""

from __future__ import annotations

import asyncio
import gzip
import json
import threading
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from batchyard.api.bodies import intake, unpack
from batchyard.batches import envelope
from batchyard.batches.limits import Limits
from batchyard.errors import InvalidRequest, Refused, RequestTooLarge
from batchyard.store.spool import Spool
from batchyard.store.store import Store

LIMITS = Limits(requests_max=5, body_bytes_max=200_000)


def body_of(count: int, text: str = "Hi") -> bytes:
    params = {"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": text}]}
    return json.dumps(
        {"requests": [{"custom_id": f"r{n}", "params": params} for n in range(count)]}
    ).encode()


def call(chunks: Iterable[bytes], *, cut: bool = False, **headers: str) -> Request:
    """A request whose body arrives in `chunks`; `cut` is a client that goes away after them."""
    messages: list[Message] = [
        {"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks
    ]
    end: Message = {"type": "http.request", "body": b"", "more_body": False}
    messages.append({"type": "http.disconnect"} if cut else end)
    waiting = iter(messages)

    async def receive() -> Message:
        await asyncio.sleep(0)
        return next(waiting)

    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": "POST", "headers": raw}, receive)


def pieces(body: bytes, size: int = 700) -> list[bytes]:
    return [body[start : start + size] for start in range(0, len(body), size)]


class Spools(Store):
    """A store that can only do what intake asks of it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def spool(self) -> Spool:
        return Spool(self._folder)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Spools(tmp_path)


def spooled(tmp_path: Path) -> list[Path]:
    return list(tmp_path.iterdir())


async def refused(request: Request, store: Store, limits: Limits = LIMITS) -> Refused:
    with pytest.raises(Refused) as caught:
        await intake.receive(request, store, limits)
    return caught.value


async def taken(request: Request, store: Store) -> tuple[bytes, int]:
    spool, requests = await intake.receive(request, store, LIMITS)
    text = spool.path.read_bytes()
    spool.discard()
    return text, requests


def bare_deflate(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(body) + packer.flush()


# -- taken -----------------------------------------------------------------------------------------


async def test_a_body_in_pieces_is_spooled_as_sent(store: Store) -> None:
    body = body_of(3)
    assert await taken(call(pieces(body), content_length=str(len(body))), store) == (body, 3)
    assert await taken(call(pieces(body, 1)), store) == (body, 3)


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("gzip", gzip.compress(body_of(4), mtime=0)),
        ("X-GZIP ", gzip.compress(body_of(4), mtime=0)),
        ("gzip", gzip.compress(body_of(4)[:50], mtime=0) + gzip.compress(body_of(4)[50:], mtime=0)),
        ("deflate", zlib.compress(body_of(4))),
        ("deflate", bare_deflate(body_of(4))),
        ("identity", body_of(4)),
        ("", body_of(4)),
    ],
    ids=["gzip", "x-gzip", "two members", "zlib", "bare deflate", "identity", "none"],
)
@pytest.mark.parametrize("size", [1, 20, 100_000])
async def test_a_packed_body_is_unpacked_on_the_way(
    store: Store, encoding: str, packed: bytes, size: int
) -> None:
    request = call(pieces(packed, size), content_encoding=encoding)
    assert await taken(request, store) == (body_of(4), 4)


async def test_what_a_bare_stream_still_holds_at_its_end_is_not_lost(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its last byte may be read long before the last of what it stands for is out."""
    monkeypatch.setattr(unpack, "PIECE", 50)
    for spaces in range(100, 1_000, 50):
        body = b'{"requests":[{"custom_id":"a","params":{}}]}' + b" " * spaces
        request = call([bare_deflate(body)], content_encoding="deflate")
        assert await taken(request, store) == (body, 1)


async def test_a_body_of_exactly_the_limit_is_taken(store: Store) -> None:
    body = body_of(2)
    body += b" " * (LIMITS.body_bytes_max - len(body))
    assert await taken(call(pieces(body, 65_536)), store) == (body, 2)
    packed = call(pieces(gzip.compress(body)), content_encoding="gzip")
    assert await taken(packed, store) == (body, 2)


async def test_a_long_body_is_checked_in_a_thread_and_a_short_one_at_once(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = []
    check = envelope.check

    def seen(read: Any, requests_max: int) -> int:
        threads.append(threading.current_thread())
        return check(read, requests_max)

    monkeypatch.setattr(envelope, "check", seen)
    await taken(call([body_of(2)]), store)
    await taken(call([body_of(2, "long " * 10_000)]), store)
    assert threads[0] is threading.main_thread()
    assert threads[1] is not threading.main_thread()


# -- refused ---------------------------------------------------------------------------------------


async def test_a_body_said_to_be_too_large_is_refused_unread(store: Store, tmp_path: Path) -> None:
    request = call([], cut=True, content_length=str(LIMITS.body_bytes_max + 1))
    error = await refused(request, store)
    assert isinstance(error, RequestTooLarge)
    assert error.anchor == "request_too_large"
    assert spooled(tmp_path) == []


async def test_a_body_that_turns_out_too_large_is_refused_on_the_way(
    store: Store, tmp_path: Path
) -> None:
    chunks = iter([b" " * 65_536] * 4 + [b"never read"])
    request = call(chunks)
    error = await refused(request, store)
    assert isinstance(error, RequestTooLarge)
    assert error.anchor == "request_too_large"
    assert spooled(tmp_path) == []


async def test_a_bomb_is_refused_without_being_unpacked(store: Store, tmp_path: Path) -> None:
    bomb = gzip.compress(b" " * 50_000_000)
    written = 0
    write = Spool.write

    def counted(spool: Spool, chunk: bytes) -> None:
        nonlocal written
        written += len(chunk)
        write(spool, chunk)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Spool, "write", counted)
        error = await refused(call([bomb], content_encoding="gzip"), store)
    assert isinstance(error, RequestTooLarge)
    assert error.anchor == "request_body_too_large_after_decoding"
    assert written <= LIMITS.body_bytes_max < unpack.PIECE
    assert spooled(tmp_path) == []


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "gzip;q=1", "é"])
async def test_an_unknown_encoding_is_refused_by_name(
    store: Store, tmp_path: Path, encoding: str
) -> None:
    request = call([body_of(1)], content_encoding=encoding)
    error = await refused(request, store)
    assert isinstance(error, InvalidRequest)
    assert error.anchor == "request_body_encoding_unsupported"
    assert spooled(tmp_path) == []


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("gzip", b"not gzip at all"),
        ("gzip", b""),
        ("gzip", gzip.compress(body_of(2), mtime=0)[:-1]),
        ("gzip", gzip.compress(body_of(2), mtime=0)[:20]),
        ("gzip", gzip.compress(body_of(2), mtime=0) + b"more"),
        ("gzip", gzip.compress(body_of(2), mtime=0)[:-8] + b"wrong sum"[:8]),
        ("deflate", zlib.compress(body_of(2))[:-1]),
        ("deflate", zlib.compress(body_of(2)) + b"more"),
        ("deflate", bare_deflate(body_of(2))[:-3]),
        ("deflate", b"\xff\xff\xff"),
    ],
)
async def test_a_broken_packing_is_refused(
    store: Store, tmp_path: Path, encoding: str, packed: bytes
) -> None:
    error = await refused(call(pieces(packed, 9), content_encoding=encoding), store)
    assert error.anchor == "request_body_encoding_invalid"
    assert spooled(tmp_path) == []


@pytest.mark.parametrize(
    "body",
    [b"", b"nonsense", body_of(0), body_of(6), body_of(2)[:-1], b"\xff" * 70_000],
    ids=["empty", "nonsense", "no request", "too many", "cut", "bytes"],
)
async def test_a_faulty_envelope_leaves_nothing(store: Store, tmp_path: Path, body: bytes) -> None:
    assert isinstance(await refused(call(pieces(body)), store), InvalidRequest)
    assert spooled(tmp_path) == []


async def test_a_client_that_goes_away_leaves_nothing(store: Store, tmp_path: Path) -> None:
    for headers in ({}, {"content_encoding": "gzip"}):
        body = gzip.compress(body_of(2), mtime=0) if headers else body_of(2)
        with pytest.raises(ClientDisconnect):
            await intake.receive(call(pieces(body, 20)[:2], cut=True, **headers), store, LIMITS)
        assert spooled(tmp_path) == []


async def test_a_call_given_up_during_the_check_leaves_nothing(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def slow(read: Any, _: int) -> int:
        begun.set()
        go_on.wait(10)
        try:
            read(0, 10)
        finally:
            ended.set()
        raise AssertionError("the spool was closed: reading it must fail")

    monkeypatch.setattr(envelope, "check", slow)
    task = asyncio.create_task(intake.receive(call([body_of(2, "x" * 50_000)]), store, LIMITS))
    assert await asyncio.to_thread(begun.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert spooled(tmp_path) == []
    go_on.set()
    assert await asyncio.to_thread(ended.wait, 10)
