"""The one plug: Messages params in, a Message out, or an `EngineError` that says what next."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import msgspec

Operation = Literal["messages", "count_tokens"]

# What is made anew for each request is a struct: a tenth of a frozen dataclass's price, and out of
# the garbage collector's sight.


class Ask(msgspec.Struct, frozen=True, gc=False):
    """One request as an engine sees it. An engine has never heard of a batch.

    `params` is one compact JSON object, the body of `POST /v1/messages`, with `model` already the
    name the engine serves. `trace` travels as `X-Request-Id` where the engine takes one.
    `priority` is "low" for batch work and "high" for live calls.
    """

    params: bytes
    model: str
    trace: str = ""
    api_version: str = "2023-06-01"
    betas: tuple[str, ...] = ()
    priority: Literal["low", "high"] = "low"


TOKENS_MAX = 2**53
"""No count of tokens is larger; one that an engine claims to be is nonsense."""


def tokens(told: int | None) -> int:
    """The count an engine told, 0 where it told none; nonsense is brought into range."""
    if not told or told < 0:
        return 0
    return told if told <= TOKENS_MAX else TOKENS_MAX


class Usage(msgspec.Struct, frozen=True, gc=False):
    """Tokens of one answer; the three input counts do not overlap."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_input_tokens: int = 0
    cache_creation_input_tokens: int = 0


class Reply(msgspec.Struct, frozen=True, gc=False):
    """An answer. `message` is one Message object as JSON without newlines, valid UTF-8."""

    message: bytes
    usage: Usage


@dataclass(frozen=True, slots=True)
class Model:
    """A model an engine serves. Token limits are None where the engine does not tell.

    An `id` that ends in `*` stands for every name that begins so: a service with aliases of its own
    resolves them, but does not list them.
    """

    id: str
    max_input_tokens: int | None = None
    max_tokens: int | None = None
    created_at: int = 0  # microseconds since the epoch, 0 when unknown

    @property
    def is_pattern(self) -> bool:
        """Whether this is no model but a way names begin."""
        return self.id.endswith("*")

    def covers(self, name: str) -> bool:
        """Whether an engine that serves this answers to `name`."""
        return self.id == name or (self.is_pattern and name.startswith(self.id[:-1]))


@dataclass(frozen=True, slots=True)
class Forwarded:
    """The answer to a live call, passed through: a status, a content type and a body to stream."""

    status: int
    content_type: str
    body: AsyncIterator[bytes]
    headers: dict[str, str] = field(default_factory=dict)


class Engine(Protocol):
    """What a worker and a live call need of an engine. Methods may be called concurrently."""

    async def create_message(self, ask: Ask) -> Reply:
        """Ask once and return the whole answer. Never retries what may have been computed.

        Raises `Rejected`, `Overloaded`, `Unavailable`, `Spent` or `Misconfigured`. Cancelling the
        call closes the connection, which makes most engines stop generating.
        """
        ...

    async def forward(self, operation: Operation, ask: Ask) -> Forwarded:
        """Run a live call as sent, streaming included; the caller must exhaust or close `body`.

        A 4xx/5xx of the engine is returned in the Messages error envelope, not raised; raises
        `Unavailable` when the engine cannot be reached, `Rejected` when it has no such operation.
        """
        ...

    async def models(self) -> Sequence[Model]:
        """The models served right now: also the cheapest proof that the engine is alive.

        Raises like `create_message`. An empty sequence means "any name is taken".
        """
        ...

    async def close(self) -> None:
        """Release connections, threads and memory. May be called twice."""
        ...
