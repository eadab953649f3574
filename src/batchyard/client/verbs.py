"""The verbs: create, retrieve, list, watch, results, cancel, delete, live calls, and how it is."""

from __future__ import annotations

import re
import secrets
from collections.abc import AsyncIterator
from email.utils import parsedate_to_datetime
from typing import Protocol, Self, TypeVar

import msgspec

from batchyard.client.answer import Answer
from batchyard.client.http import Body, Exchange, Http, Repeat
from batchyard.client.readiness import Liveness, Readiness
from batchyard.client.results import Arrival, Receipt, Sink, fetch
from batchyard.client.watching import Snapshot, watch
from batchyard.clock import Clock, SystemClock
from batchyard.errors import NotFound, NotThisApi
from batchyard.wire import DeletedMessageBatch, MessageBatch, TokenCount

T = TypeVar("T")

_MESSAGES = "/v1/messages"
_ROOT = f"{_MESSAGES}/batches"
_plausible_id = re.compile(r"[A-Za-z0-9_-]{1,200}")
_JSON = {"accept": "application/json"}


class Batches(msgspec.Struct, frozen=True):
    """A page of batches, newest first."""

    data: list[MessageBatch]
    has_more: bool = False
    last_id: str | None = None


class Sendable(Protocol):
    """What a create call can send: a `RequestsFile`, or a body that was kept whole."""

    def body(self) -> Body: ...


class _Message(msgspec.Struct, frozen=True):
    """As much of a message as tells it from another answer."""

    content: list[msgspec.Raw]


class Client:
    """A server of the Message Batches API, ours or another; an async context manager.

    Methods raise the errors of `errors.Refused` for what the server refuses, `ServerUnreachable`
    when it cannot be reached and `NotThisApi` when something else answers in its place.
    """

    def __init__(self, server: str, *, key: str | None = None, clock: Clock | None = None) -> None:
        self.clock: Clock = clock or SystemClock()
        self._http = Http(server, key, self.clock)

    @property
    def server(self) -> str:
        """Where it is, without a final slash."""
        return self._http.base

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._http.__aexit__(*exception)

    async def create(
        self, requests: Sendable, *, idempotency_key: str | None = None
    ) -> MessageBatch:
        """Make a batch of a checked file. However often it is sent, one batch comes of it.

        A lost answer is asked for again only where the server remembers idempotency keys; the
        same key in a later call finds the same batch for as long as the server remembers it.
        """
        remembers = await self.liveness() is not None
        return await self._ask(
            MessageBatch,
            Exchange(
                "POST",
                _ROOT,
                repeat="always" if remembers else "if refused",
                headers={
                    "content-type": "application/json",
                    "idempotency-key": idempotency_key or secrets.token_hex(16),
                },
                body=requests.body(),
            ),
        )

    async def retrieve(self, batch_id: str) -> MessageBatch:
        """The batch as it is now."""
        return await self._ask(MessageBatch, Exchange("GET", _path(batch_id)))

    async def page(self, *, limit: int, after_id: str | None = None) -> Batches:
        """One page of at most `limit` batches, after the one with `after_id`."""
        query: dict[str, str | int] = {"limit": limit}
        if after_id:
            query["after_id"] = after_id
        return await self._ask(Batches, Exchange("GET", _ROOT, query=query))

    async def list(self, *, page: int = 100) -> AsyncIterator[MessageBatch]:
        """Every batch, newest first, fetched `page` at a time."""
        after_id: str | None = None
        while True:
            found = await self.page(limit=page, after_id=after_id)
            for batch in found.data:
                yield batch
            after_id = found.last_id
            if not found.has_more or not found.data or after_id is None:
                return

    def watch(self, batch_id: str) -> AsyncIterator[Snapshot]:
        """How the batch is, about once a second, until it has ended; see `watching.watch`."""
        return watch(self, batch_id)

    async def results(
        self, batch: MessageBatch, sink: Sink, *, arrival: Arrival | None = None
    ) -> Receipt:
        """Write the results of an ended batch to `sink`; see `results.fetch`.

        The path is asked on this server whatever `results_url` says: the key goes nowhere else.
        """
        return await fetch(self._http, self.clock, batch, sink, arrival or Arrival())

    async def cancel(self, batch_id: str) -> MessageBatch:
        """Ask to stop what has not been sent yet; again changes nothing."""
        exchange = Exchange("POST", f"{_path(batch_id)}/cancel", body=Body(_nothing, 0))
        return await self._ask(MessageBatch, exchange)

    async def delete(self, batch_id: str) -> DeletedMessageBatch:
        """Remove an ended batch and its results."""
        exchange = Exchange("DELETE", _path(batch_id), repeat="if refused")
        return await self._ask(DeletedMessageBatch, exchange)

    async def message(self, params: bytes) -> bytes:
        """One live call: the JSON of the message that answers `params`, the JSON of a call.

        It is sent again only where the server surely has not acted: a lost answer raises `Lost`,
        and may be paid for. `NotFound` is also what a server without live calls answers.
        """
        exchange = _call(_MESSAGES, params, repeat="if refused")
        answer = await self._http.ask(exchange)
        answer.value(_Message)
        return answer.body

    async def count_tokens(self, params: bytes) -> int | None:
        """How many tokens the server counts in the JSON of a call, None where it does not count."""
        exchange = _call(f"{_MESSAGES}/count_tokens", params, repeat="always")
        try:
            return (await self._ask(TokenCount, exchange)).input_tokens
        except (NotFound, NotThisApi):
            return None

    async def liveness(self) -> Liveness | None:
        """Version and clock of a Batchyard server, None when it is a server of another make."""
        answer = await self._probe("/livez")
        try:
            found = answer.value(Liveness)
        except NotThisApi:
            return None
        return Liveness(found.version, _seconds(answer.headers.get("date", "")))

    async def readiness(self) -> Readiness | None:
        """State of server and engines, None when it is a server of another make.

        Raises what the server answers when it wants a key and this is none.
        """
        answer = await self._probe("/readyz?verbose=1")
        try:
            return answer.value(Readiness)
        except NotThisApi:
            error = answer.error()
        if error is not None and answer.status in (401, 403):
            raise error
        return None

    async def _probe(self, path: str) -> Answer:
        return await self._http.once(Exchange("GET", path, headers=_JSON))

    async def _ask(self, kind: type[T], exchange: Exchange) -> T:
        answer = await self._http.ask(exchange)
        return answer.value(kind)


def _path(batch_id: str) -> str:
    """The path of one batch, and never another path, whatever is passed for an id."""
    if not _plausible_id.fullmatch(batch_id):
        raise NotFound(f'"{batch_id[:80]}" is not the id of a batch', should_retry=False)
    return f"{_ROOT}/{batch_id}"


def _call(path: str, params: bytes, *, repeat: Repeat) -> Exchange:
    async def whole() -> AsyncIterator[bytes]:
        yield params

    headers = {"content-type": "application/json"}
    return Exchange("POST", path, repeat=repeat, headers=headers, body=Body(whole, len(params)))


async def _nothing() -> AsyncIterator[bytes]:
    return
    yield


def _seconds(date: str) -> int | None:
    """An HTTP date as seconds since the epoch."""
    try:
        return int(parsedate_to_datetime(date).timestamp())
    except ValueError:
        return None
