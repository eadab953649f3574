"""The dispatch process: engines, workers, coordinator and sweeper over its view of the store."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack

from batchyard.clock import SystemClock
from batchyard.dispatch.fleet import Replica
from batchyard.dispatch.service import Service
from batchyard.engine import Engine
from batchyard.engines.socket import serve_engines
from batchyard.errors import EngineError
from batchyard.events import Listener
from batchyard.fleets.local import LocalFleet
from batchyard.server.engines.building import replica
from batchyard.server.processes import compose
from batchyard.server.processes.errand import Errand
from batchyard.store.store import Store, open_store

TELL_SECONDS = 2.0
"""How long an engine inside may take to say what it serves before the banner goes on without."""

NICENESS = 10
"""The api process goes first: who creates or polls should not feel that batches run."""


async def run_dispatch(errand: Errand, say_ready: Callable[..., None]) -> int:
    """Run until SIGTERM, then drain; returns when every answer that arrived is written down."""
    os.nice(NICENESS)
    settings = errand.settings
    asked = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asked.set)
    async with AsyncExitStack() as stack:
        store = open_store(settings.data_dir, SystemClock())
        stack.push_async_callback(store.close)
        store.on_fatal(compose.die)
        replicas = [replica(spec, settings) for spec in errand.engines]
        changed = asyncio.Event()
        service = _service(errand, store, replicas, changed)
        await _hear_news(errand, changed, stack)
        inside = {
            made.name: made.engine
            for made, spec in zip(replicas, errand.engines, strict=True)
            if spec.inside
        }
        await stack.enter_async_context(
            serve_engines(compose.engines_socket(settings.data_dir), inside)
        )
        await service.start()
        say_ready(models=await _told(inside))
        await asked.wait()
        await service.stop(settings.drain_seconds)
    return 0


def _service(
    errand: Errand, store: Store, replicas: list[Replica], changed: asyncio.Event
) -> Service:
    clock, routing = SystemClock(), compose.routing(errand)
    strict_version = errand.settings.compat.strict_version
    fleet = LocalFleet(
        replicas,
        store=store,
        routing=routing,
        clock=clock,
        on_change=lambda: service.feed_soon(),  # noqa: PLW0108 (made two lines below)
        on_fatal=compose.die,
        strict_version=strict_version,
    )
    service = Service(
        store=store,
        fleet=fleet,
        routing=routing,
        clock=clock,
        changed=changed,
        reports=fleet.reports,
        on_fatal=compose.die,
        strict_version=strict_version,
    )
    return service


async def _hear_news(errand: Errand, changed: asyncio.Event, stack: AsyncExitStack) -> None:
    """Have `changed` set whenever the api process says that the catalog has changed."""
    listener = Listener(compose.news_socket(errand.settings.data_dir))
    listener.open()
    stack.callback(listener.close)

    async def pass_on() -> None:
        while True:
            await listener.wait()
            changed.set()

    task = asyncio.create_task(pass_on())
    stack.callback(task.cancel)


async def _told(inside: Mapping[str, Engine]) -> dict[str, list[str]]:
    """What the engines inside this process serve, for the banner: as far as they know already."""
    told = {}
    for name, engine in inside.items():
        with contextlib.suppress(EngineError, TimeoutError):
            models = await asyncio.wait_for(engine.models(), TELL_SECONDS)
            told[name] = [model.id for model in models]
    return told
