"""A large body on its way in: checked and written back meanwhile, refused at its first fault."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import random
import threading
from collections.abc import Awaitable
from pathlib import Path

import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from batchyard.api.bodies import arrival, intake
from batchyard.batches import jsontext, windows
from batchyard.batches.limits import Limits
from batchyard.errors import InvalidRequest, RequestTooLarge, StorageFailed
from batchyard.store.spool import Spool
from batchyard.store.store import Store
from tests.api.test_intake import body_of, call, pieces

LIMITS = Limits(requests_max=1_000, body_bytes_max=400_000)
BODY = body_of(200, "long " * 200)


class Spools(Store):
    """A store that can do what intake asks of it, and remembers what it wrote back."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.spools: list[Spool] = []
        self.flushed: list[int] = []
        self.gate = threading.Event()
        self.gate.set()
        self.begun: list[asyncio.Future[object]] = []

    def spool(self) -> Spool:
        self.spools.append(Spool(self._folder))
        return self.spools[-1]

    async def write_back(self, spool: Spool) -> None:
        size = spool.size

        def act() -> None:
            assert self.gate.wait(10)
            spool.sync()

        await asyncio.to_thread(act)
        self.flushed.append(size)


class Client:
    """Sends piece by piece and sees, before each, how far the server has come."""

    def __init__(self, body: bytes, **headers: str) -> None:
        self.left = pieces(body, 4_000)
        self.sent = 0
        self.read_before_the_last = 0
        self._headers = headers

    def request(self, store: Spools, *, patient: bool = True) -> Request:
        """A call that sends a piece once what began with the one before is over, if `patient`."""

        async def receive() -> Message:
            if patient and (begun := [act for act in store.begun if not act.done()]):
                await asyncio.wait(begun)
            if len(self.left) == 1 and store.spools:
                self.read_before_the_last = store.spools[0]._hashed
            if not self.left:
                return {"type": "http.disconnect"}
            self.sent += 1
            piece = self.left.pop(0)
            return {"type": "http.request", "body": piece, "more_body": bool(self.left)}

        raw = [(name.encode(), value.encode()) for name, value in self._headers.items()]
        return Request({"type": "http", "method": "POST", "headers": raw}, receive)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Spools:
    store, begin = Spools(tmp_path), arrival._begun

    def begun(act: Awaitable[object]) -> asyncio.Future[object]:
        store.begun.append(begin(act))
        return store.begun[-1]

    monkeypatch.setattr(arrival, "_begun", begun)
    return store


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """A body of two hundred kilobytes is a large one here."""
    monkeypatch.setattr(intake, "ARRIVING_BYTES", 10_000)
    monkeypatch.setattr(arrival, "CHECK_BYTES", 10_000)
    monkeypatch.setattr(arrival, "FLUSH_BYTES", 50_000)
    monkeypatch.setattr(windows, "WINDOW", 8_000)
    monkeypatch.setattr(jsontext, "_PIECE", 2_000)


def left(store: Spools) -> list[Path]:
    return list(store._folder.iterdir())


# -- taken -----------------------------------------------------------------------------------------


async def test_most_of_a_large_body_is_checked_and_durable_before_its_end_arrives(
    store: Spools,
) -> None:
    client = Client(BODY)
    spool, requests = await intake.receive(client.request(store), store, LIMITS)
    assert requests == 200
    assert client.read_before_the_last > len(BODY) - 50_000
    assert len(store.flushed) > 3
    assert store.flushed[-1] == len(BODY)
    assert spool.sha256() == hashlib.sha256(BODY).hexdigest()
    assert spool.path.read_bytes() == BODY
    spool.discard()


async def test_a_client_faster_than_the_check_is_not_waited_for_and_loses_nothing(
    store: Spools,
) -> None:
    chance = random.Random(7)
    for _ in range(5):
        sizes = iter(lambda: chance.randrange(1, 30_000), 0)
        at, chunks = 0, []
        while at < len(BODY):
            size = next(sizes)
            chunks.append(BODY[at : at + size])
            at += size
        spool, requests = await intake.receive(call(chunks), store, LIMITS)
        assert (requests, spool.size) == (200, len(BODY))
        assert spool.sha256() == hashlib.sha256(BODY).hexdigest()
        spool.discard()
    assert left(store) == []


# -- refused ---------------------------------------------------------------------------------------

FAULTY = BODY.replace(b'"r20"', b'"r 0"', 1)
TWICE = BODY.replace(b'"r199"', b'"r20"', 1)


async def test_the_first_fault_ends_the_reception(store: Spools) -> None:
    client = Client(FAULTY)
    with pytest.raises(InvalidRequest, match=r"requests\.20\.custom_id: String should match"):
        await intake.receive(client.request(store), store, LIMITS)
    assert client.sent * 4_000 < FAULTY.index(b'"r 0"') + 30_000 < len(FAULTY)
    assert left(store) == []


async def test_a_fault_at_the_very_end_is_still_found(store: Spools) -> None:
    for body, words in ((BODY[:-1], "ends too early"), (TWICE, "Duplicate custom_id found: r20")):
        with pytest.raises(InvalidRequest, match=words):
            await intake.receive(Client(body).request(store), store, LIMITS)
        assert left(store) == []


@pytest.mark.parametrize(
    ("headers", "heard_out"),
    [
        ({}, False),
        ({"connection": "keep-alive"}, False),
        ({"connection": "close"}, True),
        ({"connection": "close", "expect": "100-continue"}, False),
    ],
    ids=["none", "keep-alive", "close", "close and expect"],
)
async def test_who_wants_the_connection_closed_is_heard_out_first(
    store: Spools, headers: dict[str, str], heard_out: bool
) -> None:
    client = Client(FAULTY, **headers)
    with pytest.raises(InvalidRequest):
        await intake.receive(client.request(store), store, LIMITS)
    assert (client.left == []) is heard_out
    assert left(store) == []


async def test_nobody_is_heard_out_for_ever(store: Spools) -> None:
    client = Client(b" " * 3 * LIMITS.body_bytes_max, connection="close")
    with pytest.raises(RequestTooLarge):
        await intake.receive(client.request(store, patient=False), store, LIMITS)
    assert client.sent * 4_000 < 2 * LIMITS.body_bytes_max + 10_000


# -- given up --------------------------------------------------------------------------------------


async def test_a_client_that_goes_away_during_a_write_back_leaves_nothing(store: Spools) -> None:
    store.gate.clear()
    client = Client(BODY)
    client.left = client.left[:40]
    client.left.append(b"")  # more was to come: what follows is a disconnect
    request = client.request(store, patient=False)
    task = asyncio.create_task(intake.receive(_cut(request, client), store, LIMITS))
    with pytest.raises(ClientDisconnect):
        await task
    assert left(store) == []
    store.gate.set()


def _cut(request: Request, client: Client) -> Request:
    """`request`, but that every piece says that more is to come."""
    receive = request.receive

    async def endless() -> Message:
        message = await receive()
        return {**message, "more_body": True} if message["type"] == "http.request" else message

    return Request(request.scope, endless)


async def test_a_call_given_up_in_the_middle_leaves_nothing(store: Spools) -> None:
    store.gate.clear()
    begun = asyncio.Event()

    async def receive() -> Message:
        if store.spools and store.spools[0].size > 120_000:
            begun.set()
            await asyncio.Event().wait()
        at = store.spools[0].size if store.spools else 0
        return {"type": "http.request", "body": BODY[at : at + 9_000], "more_body": True}

    request = Request({"type": "http", "method": "POST", "headers": []}, receive)
    task = asyncio.create_task(intake.receive(request, store, LIMITS))
    await asyncio.wait_for(begun.wait(), 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert left(store) == []
    store.gate.set()


async def test_a_write_back_that_fails_fails_the_create(
    store: Spools, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def worn(spool: Spool) -> None:
        calls.append(spool.size)
        if len(calls) == 1:
            raise StorageFailed(f"cannot store the request body: {errno.EIO}")

    monkeypatch.setattr(Spool, "sync", worn)
    with pytest.raises(StorageFailed):
        await intake.receive(Client(BODY).request(store), store, LIMITS)
    assert left(store) == []


async def test_a_write_back_that_fails_when_all_has_arrived_fails_the_create(
    store: Spools, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.gate.clear()
    calls = []

    def worn(_: Spool) -> None:
        calls.append(1)
        if len(calls) == 1:
            raise StorageFailed(f"cannot store the request body: {errno.EIO}")

    monkeypatch.setattr(Spool, "sync", worn)
    request = Client(BODY).request(store, patient=False)
    task = asyncio.create_task(intake.receive(request, store, LIMITS))
    while not store.spools or store.spools[0].size < len(BODY):
        await asyncio.to_thread(int)
    store.gate.set()
    with pytest.raises(StorageFailed):
        await task
    assert left(store) == []


async def test_a_write_back_that_fails_last_fails_the_create(
    store: Spools, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel tells of a failed write once: whoever is told must not keep it to himself."""

    def worn(spool: Spool) -> None:
        if spool.size == len(BODY):
            raise StorageFailed(f"cannot store the request body: {errno.EIO}")

    monkeypatch.setattr(Spool, "sync", worn)
    with pytest.raises(StorageFailed):
        await intake.receive(Client(BODY).request(store), store, LIMITS)
    assert left(store) == []
