"""The scripted upstream on a thread of its own, so that plain tests can hold its strings."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any, Self

import uvloop

from tests.upstreams.connection import Exchange
from tests.upstreams.scripted import Scripted


class Upstream:
    """`with Upstream(models=["m"], latency=0.05) as upstream: upstream.url`; settings as there."""

    def __init__(self, **settings: Any) -> None:
        self.scripted = Scripted(**settings)
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self.up()
        return self

    def __exit__(self, *_: object) -> None:
        self.down()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    @property
    def url(self) -> str:
        return self.scripted.url

    @property
    def exchanges(self) -> list[Exchange]:
        """Every generating call so far, in order of arrival.

        The empty question by which a starting server finds out the dialect is not one of them.
        """
        return [exchange for exchange in self.scripted.exchanges if exchange.body != b"{}"]

    def up(self) -> None:
        """Listen on the same port as before."""
        self._run(self.scripted.up)

    def down(self) -> None:
        """Refuse connections, drop those there are."""
        self._run(self.scripted.down)

    def set(self, **settings: Any) -> None:
        """Change settings of `Scripted` while it serves."""

        async def change() -> None:
            self.scripted.set(**settings)

        self._run(change)

    def clear(self) -> None:
        """Forget what was seen."""

        async def forget() -> None:
            self.scripted.clear()

        self._run(forget)

    def _run(self, act: Callable[[], Any]) -> None:
        asyncio.run_coroutine_threadsafe(act(), self._loop).result(30)
