"""What a run needs of a dataset, of a task, of a server and of a budget."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any, Protocol

from batchyard.client.readiness import Liveness, Readiness
from batchyard.client.results import Arrival, Receipt, Sink
from batchyard.client.verbs import Sendable
from batchyard.clock import Clock
from batchyard.pipeline.row import Fields
from batchyard.wire import MessageBatch


class SourceLike(Protocol):
    """Rows in their order, as often as they are wanted; `pipeline.source.Source` is one."""

    @property
    def name(self) -> str: ...
    def rows(self, first: int = 0) -> Iterator[dict[str, object]]: ...
    def fingerprint(self) -> str: ...


class ReadingLike(Protocol):
    """An answer that fits: its columns, and the text the model gave."""

    @property
    def answer(self) -> Mapping[str, object]: ...
    @property
    def raw(self) -> str: ...


class TaskLike(Protocol):
    """What is asked of each row; `pipeline.prompt.Task` is one. `read` raises `Misfit`."""

    def params_of(self, fields: Fields, *, position: int) -> bytes: ...
    def key(self, fields: Fields) -> bytes: ...
    def read(self, message: bytes) -> ReadingLike: ...
    def repaired(self, params: bytes, raw: str, why: str) -> bytes: ...
    def as_manifest(self) -> dict[str, Any]: ...
    @classmethod
    def from_manifest(cls, manifest: Mapping[str, Any]) -> Any: ...
    def difference(self, other: Any) -> list[str]: ...


class ServerLike(Protocol):
    """A server of the Message Batches API; `client.Client` is one."""

    @property
    def clock(self) -> Clock: ...
    @property
    def server(self) -> str: ...
    async def create(
        self, requests: Sendable, *, idempotency_key: str | None = None
    ) -> MessageBatch: ...
    async def retrieve(self, batch_id: str) -> MessageBatch: ...
    def list(self, *, page: int = 100) -> AsyncIterator[MessageBatch]: ...
    async def results(
        self, batch: MessageBatch, sink: Sink, *, arrival: Arrival | None = None
    ) -> Receipt: ...
    async def liveness(self) -> Liveness | None: ...
    async def readiness(self) -> Readiness | None: ...


class Allowance(Protocol):
    """Caps, asked before each batch is sent. Batches are named by their number in the run."""

    def fitting(self, sizes: Sequence[int]) -> int:
        """How many of the next rows may be sent, given the bytes of each one's request."""
        ...

    def reserve(self, batch: int, rows: int, body_bytes: int) -> None:
        """Set aside what the batch may take; raises `CapReached`, having set nothing aside."""
        ...

    def hold(self, batch: int, rows: int, body_bytes: int) -> None:
        """Set aside for a batch that an earlier session sent, whether it fits or not."""
        ...

    def settle(
        self, batch: int, *, rows: int, answers: int, input_tokens: int, output_tokens: int
    ) -> None:
        """The batch has ended: what it took, and how many of its rows have an answer now."""
        ...


class Unlimited:
    """No caps."""

    def fitting(self, sizes: Sequence[int]) -> int:
        return len(sizes)

    def reserve(self, batch: int, rows: int, body_bytes: int) -> None:
        """Nothing is counted."""

    def hold(self, batch: int, rows: int, body_bytes: int) -> None:
        """Nothing is counted."""

    def settle(
        self, batch: int, *, rows: int, answers: int, input_tokens: int, output_tokens: int
    ) -> None:
        """Nothing is counted."""
