"""Workers in this process, one per engine replica."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence

from batchyard.clock import Clock
from batchyard.dispatch.fleet import Replica, WorkerHandle
from batchyard.dispatch.worker.worker import Worker
from batchyard.engine import Model
from batchyard.routing import Routing
from batchyard.store.store import EngineReport, Store
from batchyard.tasks import TaskSet


class LocalFleet:
    """This machine's workers. Learns from each engine what it serves and keeps the routing true."""

    def __init__(
        self,
        replicas: Sequence[Replica],
        *,
        store: Store,
        routing: Routing,
        clock: Clock,
        on_change: Callable[[], None],
        on_fatal: Callable[[BaseException], None],
        strict_version: bool = False,
        seed: int | None = None,
    ) -> None:
        self._replicas = list(replicas)
        self._routing = routing
        self._clock = clock
        self._on_change = on_change
        self._models: dict[str, tuple[Model, ...]] = {}
        self._tasks = TaskSet(on_fatal)
        seeds = random.Random(seed)  # noqa: S311 (jitter, not secrecy)
        self._workers = [
            Worker(
                replica,
                store=store,
                clock=clock,
                on_change=on_change,
                learn=self._learn,
                on_fatal=on_fatal,
                strict_version=strict_version,
                seed=seeds.getrandbits(64),
            )
            for replica in self._replicas
        ]

    async def start(self) -> None:
        for worker in self._workers:
            self._tasks.spawn(worker.run())

    def workers(self) -> Sequence[WorkerHandle]:
        return self._workers

    async def drain(self, seconds: float) -> None:
        await asyncio.gather(*(worker.drain(seconds) for worker in self._workers))
        await self._tasks.end()

    async def close(self) -> None:
        for replica in self._replicas:
            await replica.engine.close()

    def reports(self) -> list[EngineReport]:
        """What the catalog should say of each engine right now."""
        found = []
        for replica, worker in zip(self._replicas, self._workers, strict=True):
            status = worker.status()
            found.append(
                EngineReport(
                    name=replica.name,
                    kind=replica.kind,
                    url=replica.url,
                    state=status.state,
                    reason=status.reason,
                    since=status.since,
                    in_flight=status.in_flight,
                    limit=status.limit,
                    models=self._models.get(replica.name, ()),
                )
            )
        return found

    def _learn(self, engine: str, models: list[Model]) -> None:
        self._models[engine] = tuple(models)
        self._routing.learn(engine, models)
        self._on_change()
