"""What the HTTP edge is given: plain arguments, put together by the composition root."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path

import batchyard
from batchyard.batches.limits import Limits
from batchyard.clock import Clock
from batchyard.engine import Engine
from batchyard.routing import Route, Routing
from batchyard.store.keys import Keys
from batchyard.store.store import EngineReport, Store

Network = IPv4Network | IPv6Network

NEARBY: tuple[Network, ...] = tuple(
    ip_network(text)
    for text in (
        "127.0.0.0/8",
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",
        "::1/128",
        "fc00::/7",
    )
)
"""Loopback and private networks: where reverse proxies live, believed about `X-Forwarded-*`."""

REFRESH_SECONDS = 1.0
"""How old the api process's view of the engines may get."""

STARTING_SECONDS = 2.0
"""How long a call waits for the first words of an engine that is starting."""

STARTING_LOOK_SECONDS = 0.05
"""How old the view may get meanwhile."""


class Live:
    """The engines a live call can reach from this process, and the table of models.

    What the engines serve is learned from the reports that the dispatch process leaves in the
    store; they are looked at when a call needs them, at most once a second.
    """

    def __init__(self, engines: Mapping[str, Engine], routing: Routing) -> None:
        self.engines = dict(engines)
        self.routing = routing
        self.reports: dict[str, EngineReport] = {}
        self._looked_at: float | None = None

    async def refresh(self, store: Store, clock: Clock) -> None:
        """Bring `reports` and `routing` up to date if they are older than a second."""
        await self._look(store, clock, REFRESH_SECONDS)

    async def first_words(self, store: Store, clock: Clock) -> None:
        """Wait until every engine has told its models, or why it cannot: for two seconds at most.

        The server accepts work before its engines have answered, and its first caller should not
        have to learn that.
        """
        until = clock.monotonic() + STARTING_SECONDS
        await self.refresh(store, clock)
        while self._starting() and clock.monotonic() < until:
            await clock.sleep(STARTING_LOOK_SECONDS)
            await self._look(store, clock, STARTING_LOOK_SECONDS)

    async def route(self, name: str, store: Store, clock: Clock) -> Route | None:
        """Where `name` is served; None only once the engines had the time for their first words."""
        await self.refresh(store, clock)
        route = self.routing.resolve(name)
        if route is None and self.routing.pending():
            await self.first_words(store, clock)
            route = self.routing.resolve(name)
        return route

    def _starting(self) -> bool:
        reports = (self.reports.get(name) for name in self.routing.pending())
        return any(report is None or report.state == "starting" for report in reports)

    async def _look(self, store: Store, clock: Clock, age: float) -> None:
        now = clock.monotonic()
        if self._looked_at is not None and now - self._looked_at < age:
            return
        self._looked_at = now
        for report in await store.engine_reports():
            self.reports[report.name] = report
            # An engine that is still starting has told nothing: "no models" would mean "any name".
            if report.models or report.state == "up":
                self.routing.learn(report.name, report.models)


@dataclass(frozen=True, slots=True)
class Compat:
    """Where the hosted API and a self-hosted one may sensibly differ; off is our own way.

    `documented_counts` keeps every request `processing` until the batch ends. `strict_version`
    refuses in live calls what the asked-for API version no longer has (sampling parameters).
    """

    documented_counts: bool = False
    strict_version: bool = False


def _nobody(_: str) -> None:
    return None


@dataclass(frozen=True)
class ApiContext:
    """Everything the routes need; nothing of it is looked up elsewhere.

    `notify` tells the dispatch process to look again (a hint, see `events`). `public_url` replaces
    the origin that is otherwise derived from each request. `auth_required` False means that no key
    is asked for as long as none exists. `trusted_proxies` are the peers whose `X-Forwarded-*`
    headers count. `cors_origins` are the web origins that may call from a browser; none by default.
    `data_dir` is only looked at for its free space.
    """

    store: Store
    live: Live
    clock: Clock
    keys: Keys | None = None
    limits: Limits = field(default_factory=Limits)
    notify: Callable[[str], None] = _nobody
    public_url: str | None = None
    auth_required: bool = False
    compat: Compat = field(default_factory=Compat)
    trusted_proxies: tuple[Network, ...] = NEARBY
    cors_origins: tuple[str, ...] = ()
    organization_id: str = "00000000-0000-4000-8000-000000000000"
    data_dir: Path | None = None
    version: str = batchyard.__version__
