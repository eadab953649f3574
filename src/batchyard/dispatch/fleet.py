"""Where workers live, as the coordinator sees it: hand out shards, recall them, look at health."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from batchyard.batches.batch import Batch
from batchyard.batches.result import Outcome
from batchyard.clock import Microseconds
from batchyard.engine import Engine, Model

WorkerState = Literal["starting", "up", "waiting", "paused"]


@dataclass(frozen=True, slots=True)
class Replica:
    """One engine as configured. `concurrency` None means adapt; `slots` is what the engine told.

    `name` is unique and is also the engine's name in the routing table.
    """

    name: str
    engine: Engine
    kind: str
    url: str = ""
    concurrency: int | None = None
    slots: int | None = None


@dataclass(frozen=True, slots=True)
class ShardOrder:
    """A shard on its way to a worker: the model its requests name, and what the engine serves."""

    batch: Batch
    number: int
    requested_model: str
    model: Model


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """A worker at a glance. `backlog` counts requests in hand and not yet sent, by batch; `astray`
    the shards in hand whose model the engine has ceased to serve: they wait to be taken back."""

    state: WorkerState
    reason: str
    since: Microseconds
    in_flight: int
    limit: int
    shards: int
    backlog: dict[str, int]
    astray: int = 0


class WorkerHandle(Protocol):
    """One engine replica with its slots. Calls return at once; work happens behind them."""

    @property
    def name(self) -> str:
        """The replica's name."""
        ...

    def hand(self, order: ShardOrder) -> None:
        """Give a shard: the worker takes it from the store under a new fence and settles it."""
        ...

    def recall(self, batch_id: str, outcome: Outcome, grace_seconds: float) -> None:
        """Settle what was not sent as `outcome` now, what is in flight after `grace_seconds`."""
        ...

    async def give_back(self, *, astray_only: bool = False) -> list[tuple[str, int]]:
        """Return every shard in hand, unsettled requests and all, for another worker to take, or
        those alone that are astray.

        What was answered is durable when it returns; nothing of these shards is in flight.
        """
        ...

    def status(self) -> WorkerStatus:
        """How it stands right now."""
        ...

    def weigh(self, late: set[str]) -> None:
        """Tell which batches run late; they get a larger share from now on."""
        ...


class Fleet(Protocol):
    """A set of workers with one life."""

    async def start(self) -> None:
        """Begin; workers exist and may still be `starting`."""
        ...

    def workers(self) -> Sequence[WorkerHandle]:
        """The workers there are now."""
        ...

    async def drain(self, seconds: float) -> None:
        """Send nothing more, wait up to `seconds` for answers under way, let go of the rest."""
        ...

    async def close(self) -> None:
        """Release engines. May be called twice."""
        ...
