"""The api process: the HTTP edge on the socket it inherited, over its own view of the store."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack
from ipaddress import ip_network
from socket import socket
from typing import Any

import uvicorn

from batchyard.api.context import ApiContext, Compat, Live
from batchyard.api.routes import create_app
from batchyard.clock import SystemClock
from batchyard.events import Notifier
from batchyard.server.engines.building import engine_seen_from_api
from batchyard.server.listen import is_loopback
from batchyard.server.processes import compose
from batchyard.server.processes.errand import Errand
from batchyard.server.processes.protocol import StrictProtocol
from batchyard.store.store import open_store

KEEP_ALIVE_SECONDS = 75
"""Longer than the idle time of common proxies and SDKs: they close first, nobody is cut off."""

DRAIN_SECONDS = 5


async def run_api(errand: Errand, say_ready: Callable[..., None]) -> int:
    """Serve until SIGTERM; returns when the answers under way are out, or after five seconds."""
    assert errand.listen_fd is not None
    async with AsyncExitStack() as stack:
        context = _context(errand, stack)
        keys = context.store.keys
        server = _Server(_configured(create_app(context)), lambda: say_ready(keys=keys.any()))
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, server.finish)
        await server.serve([socket(fileno=errand.listen_fd)])
    return 0


def _context(errand: Errand, stack: AsyncExitStack) -> ApiContext:
    settings, clock = errand.settings, SystemClock()
    store = open_store(settings.data_dir, clock)
    stack.push_async_callback(store.close)
    store.on_fatal(compose.die)
    notifier = Notifier(compose.news_socket(settings.data_dir))
    stack.callback(notifier.close)
    offered = compose.engines_socket(settings.data_dir)
    engines = {spec.name: engine_seen_from_api(spec, settings, offered) for spec in errand.engines}
    for engine in engines.values():
        stack.push_async_callback(engine.close)
    return ApiContext(
        store=store,
        live=Live(engines, compose.routing(errand)),
        clock=clock,
        keys=store.keys,
        limits=compose.limits(settings),
        notify=notifier.notify,
        public_url=settings.public_url,
        auth_required=not is_loopback(settings.host) and not settings.insecure_no_auth,
        compat=Compat(
            documented_counts=settings.compat.documented_counts,
            strict_version=settings.compat.strict_version,
        ),
        data_dir=settings.data_dir,
        cors_origins=settings.cors_origins,
        trusted_proxies=tuple(ip_network(network) for network in settings.trusted_proxies),
    )


class _Server(uvicorn.Server):
    """uvicorn on a socket it was handed, which says when it serves."""

    def __init__(self, config: uvicorn.Config, on_serving: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_serving = on_serving

    def finish(self) -> None:
        """Take no more connections; end when the answers under way are out."""
        self.should_exit = True

    async def serve(self, sockets: list[socket] | None = None) -> None:
        # The inherited method would take SIGINT and SIGTERM and raise them again at the end.
        await self._serve(sockets)

    async def startup(self, sockets: list[socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_serving()


def _configured(app: Any) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        loop="none",
        http=StrictProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )
