"""The dispatch room on a held clock: a real store, scripted engines, time that jumps."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec

from batchyard.batches.batch import Batch, NewBatch
from batchyard.batches.limits import Limits
from batchyard.clock import ManualClock
from batchyard.dispatch.fleet import Replica
from batchyard.dispatch.service import Service
from batchyard.engine import Ask, Engine, Model, Reply, Usage
from batchyard.errors import EngineError
from batchyard.fleets.local import LocalFleet
from batchyard.routing import Routing
from batchyard.store.segments.files import FileSystem
from batchyard.store.store import Store, open_store

WORKSPACE = "wrkspc_default"


class ScriptedEngine:
    """Answers `echo: <text>` after `latency` seconds, unless `fault` returns an error to raise."""

    def __init__(self, clock: ManualClock, models: Iterable[str] = ("m",), latency: float = 1.0):
        self.clock = clock
        self.served = [Model(name) for name in models]
        self.latency = latency
        self.fault: Callable[[str, int], EngineError | None] = lambda text, tries: None
        self.down: EngineError | None = None
        self.asked: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.log: list[tuple[float, str]] = []
        self.asks: list[Ask] = []
        self.in_flight = self.peak = 0
        self.closed = False

    async def create_message(self, ask: Ask) -> Reply:
        params = json.loads(ask.params)
        text = params["messages"][0]["content"]
        self.asked[text] += 1
        self.log.append((self.clock.monotonic(), text))
        self.asks.append(ask)
        if self.down is not None:
            raise self.down
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        try:
            await self.clock.sleep(self.latency)
        finally:
            self.in_flight -= 1
        if error := (self.down or self.fault(text, self.asked[text])):
            raise error
        self.answered[text] += 1
        message = {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": params["model"],
            "content": [{"type": "text", "text": f"echo: {text}"}],
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": {"input_tokens": 3, "output_tokens": 2},
        }
        return Reply(json.dumps(message).encode(), Usage(3, 2))

    async def forward(self, operation: Any, ask: Ask) -> Any:
        raise AssertionError("dispatch never forwards")

    async def models(self) -> list[Model]:
        if self.down is not None:
            raise self.down
        return self.served

    async def close(self) -> None:
        self.closed = True


class WatchedStore:
    """A store that knows whether any of its calls is still under way."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.under_way = 0

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if not inspect.iscoroutinefunction(found) or name == "room":
            return found

        async def counted(*args: Any, **keywords: Any) -> Any:
            self.under_way += 1
            try:
                return await found(*args, **keywords)
            finally:
                self.under_way -= 1

        return counted


class WatchedThreads(ThreadPoolExecutor):
    """The loop's threads, with a count of what they have not finished."""

    under_way = 0

    def submit(self, *args: Any, **keywords: Any) -> Any:
        """What is returned is done before it stops being counted: whoever waits hears first."""
        self.under_way += 1
        loop, told = asyncio.get_running_loop(), Future[Any]()

        def tell(done: Future[Any]) -> None:
            if told.set_running_or_notify_cancel():
                if error := done.exception():
                    told.set_exception(error)
                else:
                    told.set_result(done.result())
            loop.call_soon_threadsafe(self._done)

        super().submit(*args, **keywords).add_done_callback(tell)
        return told

    def _done(self) -> None:
        self.under_way -= 1


class House:
    """A store with a dispatch service over it; the service can be stopped, killed and restarted."""

    def __init__(self, path: Path, clock: ManualClock, **engines: Engine) -> None:
        self.path = path
        self.clock = clock
        self.engines = engines
        self.fatal: list[BaseException] = []
        self.options: dict[str, dict[str, Any]] = {}
        self.aliases: dict[str, str] = {}
        self.file_system: FileSystem | None = None
        self.service: Service | None = None

    async def start(self) -> None:
        self.threads = WatchedThreads(4)
        asyncio.get_running_loop().set_default_executor(self.threads)
        self.real_store = open_store(self.path, self.clock, file_system=self.file_system)
        self.store: Any = WatchedStore(self.real_store)
        routing = Routing(self.engines, aliases=self.aliases)
        self.changed = asyncio.Event()
        service: Service

        self.fleet = LocalFleet(
            [
                Replica(name, engine, "scripted", **self.options.get(name, {}))
                for name, engine in self.engines.items()
            ],
            store=self.store,
            routing=routing,
            clock=self.clock,
            on_change=lambda: service.feed_soon(),  # noqa: PLW0108 (it is made below)
            on_fatal=self.fatal.append,
            seed=7,
        )
        service = self.service = Service(
            store=self.store,
            fleet=self.fleet,
            routing=routing,
            clock=self.clock,
            changed=self.changed,
            reports=self.fleet.reports,
            on_fatal=self.fatal.append,
        )
        await service.start()

    async def stop(self, drain_seconds: float = 0.0) -> None:
        assert self.service is not None
        await self.reach(self.service.stop(drain_seconds))
        await self.real_store.close()
        self.service = None

    async def create(
        self, requests: dict[str, dict[str, Any]], workspace: str = WORKSPACE
    ) -> Batch:
        """Write a batch down as the api would, and tell dispatch."""
        body = json.dumps(
            {"requests": [{"custom_id": i, "params": p} for i, p in requests.items()]}
        ).encode()
        return await self.create_of(body, len(requests), workspace)

    async def create_of(self, body: bytes, count: int, workspace: str = WORKSPACE) -> Batch:
        """The same of a body as it is sent."""
        spool = self.real_store.spool()
        spool.write(body)
        new = NewBatch(workspace, count, spool.sha256())
        batch = await self.store.create(spool, new, Limits())
        self.changed.set()
        return batch

    async def cancel(self, batch: Batch) -> None:
        await self.store.cancel(batch.workspace_id, batch.id)
        self.changed.set()

    async def look(self, batch: Batch) -> Batch:
        return await self.store.batch(batch.workspace_id, batch.id)

    async def lines(self, batch: Batch) -> dict[str, dict[str, Any]]:
        """The result lines of an ended batch by custom_id; fails on a doubled one."""
        results = await self.store.results(batch.workspace_id, batch.id)
        text = b"".join([chunk async for chunk in results.chunks()])
        assert len(text) == results.size
        found: dict[str, dict[str, Any]] = {}
        for line in text.splitlines():
            value = msgspec.json.decode(line)
            assert value["custom_id"] not in found, "a line is doubled"
            found[value["custom_id"]] = value["result"]
        return found

    async def quiet(self) -> None:
        """Let everything that can happen without time passing happen."""
        still = 0
        while still < 3:
            await self.real_store.flush()
            for _ in range(10):
                await asyncio.sleep(0)
            still += 1
            if self.store.under_way or self.threads.under_way:
                still = 0
                await asyncio.to_thread(lambda: None)
        assert not self.fatal, self.fatal

    async def run(self, seconds: float) -> None:
        """Let `seconds` of simulated time pass, jumping from one event to the next."""
        end = self.clock.monotonic() + seconds
        while True:
            await self.quiet()
            wake = self.clock.next_wake()
            now = self.clock.monotonic()
            if wake is None or now + wake > end:
                await self.clock.advance(end - now)
                await self.quiet()
                return
            await self.clock.advance(wake)

    async def reach(self, goal: Awaitable[Any], within: float = 3600.0) -> Any:
        """Let time pass until `goal` is reached; returns its result."""
        task = asyncio.ensure_future(goal)
        end = self.clock.monotonic() + within
        while not task.done():
            await self.quiet()
            if task.done():
                break
            wake = self.clock.next_wake()
            assert wake is not None, "nothing is going to happen any more"
            assert self.clock.monotonic() + wake <= end, "the goal was not reached in time"
            await self.clock.advance(wake)
        return task.result()

    async def ended(self, batch: Batch, within: float = 3600.0) -> Batch:
        """Let time pass until the batch has ended."""
        end = self.clock.monotonic() + within
        while (seen := await self.look(batch)).processing_status != "ended":
            assert self.clock.monotonic() < end, f"not ended in {within} s: {seen}"
            await self.run(1.0)
        return seen


def ask_for(text: str, model: str = "m", **more: Any) -> dict[str, Any]:
    """Params that ask an engine to echo `text`."""
    messages = [{"role": "user", "content": text}]
    return {"model": model, "max_tokens": 16, "messages": messages, **more}


def asks(count: int, prefix: str = "q", model: str = "m") -> dict[str, dict[str, Any]]:
    """`count` requests with their custom_ids."""
    return {f"{prefix}-{n}": ask_for(f"{prefix} {n}", model) for n in range(count)}


def all_echoed(lines: dict[str, Any], requests: dict[str, Any]) -> bool:
    """Whether every request has a line, and each the echo of its own prompt."""
    return set(lines) == set(requests) and all(
        line["type"] == "succeeded"
        and line["message"]["content"][0]["text"]
        == f"echo: {requests[custom_id]['messages'][0]['content']}"
        for custom_id, line in lines.items()
    )
